//! The rest of the world: one listener that answers as every foreign host, over TLS and plain alike,
//! plays the vendors' scripts and writes down whatever reaches it. Not the site: that is `origin.rs`.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{self, ServerConfig, server::Acceptor},
};
use url::form_urlencoded;

use crate::forms::{self, Beacon, Played, glob};

/// A GIF of one transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// The foreign world.
pub(crate) struct Recorder {
    /// Where every foreign host is.
    pub(crate) port: u16,
    world: Arc<World>,
}

struct World {
    played: Played,
    extras: Mutex<Vec<Extra>>,
    heard: Mutex<Vec<Heard>>,
    tags: Mutex<HashMap<String, usize>>,
    greeted: Mutex<Vec<String>>,
    answering: AtomicUsize,
    last: Mutex<Instant>,
}

struct Extra {
    host: String,
    target: String,
    body: String,
    delay: Duration,
}

/// A request that reached a foreign host.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Which host was asked.
    pub(crate) host: String,
    /// How.
    pub(crate) method: Method,
    /// For which path.
    pub(crate) path: String,
    /// With which query, without the question mark; empty where there is none.
    pub(crate) query: String,
    /// What the browser said it was for.
    pub(crate) role: Role,
    /// The cookies that came along.
    pub(crate) cookies: String,
    /// The page it came from, as far as it told.
    pub(crate) referer: String,
    /// What was posted.
    pub(crate) body: String,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It loads a vendor's script.
    Script,
    /// It loads a vendor's document into a frame.
    Frame,
    /// It asks whether another may be sent (CORS).
    Preflight,
    /// It tells the vendor about the visit.
    Beacon,
}

impl Recorder {
    /// Starts it with the vendors as the demo plays them.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let world = Arc::new(World {
            played: forms::played(),
            extras: Mutex::default(),
            heard: Mutex::default(),
            tags: Mutex::default(),
            greeted: Mutex::default(),
            answering: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        });
        let config = config();
        let shared = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).greet(stream, Arc::clone(&config)));
            }
        });
        Self { port, world }
    }

    /// Serves one more script, with a delay; `target` is path and query and must be equal.
    pub(crate) fn serve(&self, host: &str, target: &str, body: &str, delay: Duration) {
        let extra = Extra { host: host.to_owned(), target: target.to_owned(), body: body.to_owned(), delay };
        self.world.extras.lock().expect("no holder panics").push(extra);
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.world.heard.lock().expect("no holder panics").clone()
    }

    /// How many requests had this id in their query.
    pub(crate) fn tagged(&self, id: &str) -> usize {
        self.world.tags.lock().expect("no holder panics").get(id).copied().unwrap_or_default()
    }

    /// Every host to which a connection was opened, with or without a request: a preconnect also tells.
    pub(crate) fn greeted(&self) -> Vec<String> {
        self.world.greeted.lock().expect("no holder panics").clone()
    }

    /// Starts the record anew.
    pub(crate) fn forget(&self) {
        self.world.heard.lock().expect("no holder panics").clear();
        self.world.greeted.lock().expect("no holder panics").clear();
    }

    /// Whether nothing is being answered and nothing came for a while.
    pub(crate) fn is_quiet(&self, quiet: Duration) -> bool {
        let last = *self.world.last.lock().expect("no holder panics");
        self.world.answering.load(Ordering::Acquire) == 0 && last.elapsed() >= quiet
    }
}

/// A request being answered; ended when dropped, since the browser may leave in the middle.
struct Busy<'world>(&'world World);

impl<'world> Busy<'world> {
    fn new(world: &'world World) -> Self {
        world.answering.fetch_add(1, Ordering::AcqRel);
        Self(world)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.last.lock().expect("no holder panics") = Instant::now();
        self.0.answering.fetch_sub(1, Ordering::AcqRel);
    }
}

fn config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["everyone.test".to_owned()]).expect("a valid name");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("just made");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    Arc::new(config)
}

// === impl Heard ===

impl Heard {
    /// Whether it is this beacon. The address of a frame carries ids as well.
    pub(crate) fn is(&self, beacon: &Beacon) -> bool {
        matches!(self.role, Role::Beacon | Role::Frame)
            && self.host == beacon.host
            && glob(&beacon.path, &self.path)
            && self.has(&beacon.query)
    }

    /// Whether the query has a parameter like this `name=pattern`.
    fn has(&self, wanted: &str) -> bool {
        let Some((wanted, pattern)) = wanted.split_once('=') else { return true };
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.any(|(name, value)| name == wanted && glob(pattern, &value))
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {}{}", self.role, self.method, self.host, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        for (name, value) in [("body", &self.body), ("cookies", &self.cookies), ("from", &self.referer)] {
            if !value.is_empty() {
                write!(f, " {name} {}", value.chars().take(200).collect::<String>())?;
            }
        }
        Ok(())
    }
}

// === impl World ===

impl World {
    async fn greet(self: Arc<Self>, stream: TcpStream, config: Arc<ServerConfig>) {
        let mut first = [0];
        if !matches!(stream.peek(&mut first).await, Ok(1)) {
            return; // The browser opened a spare connection and closed it.
        }
        if first[0] != HANDSHAKE {
            return self.talk(stream).await;
        }
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
        // A handshake that is broken off has told who was called as well.
        let name = start.client_hello().server_name().unwrap_or_default().to_owned();
        self.greeted.lock().expect("no holder panics").push(name);
        if let Ok(stream) = start.into_stream(config).await {
            self.talk(stream).await;
        }
    }

    async fn talk(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|req| {
            let world = Arc::clone(&self);
            async move {
                let _busy = Busy::new(&world);
                Ok::<_, Infallible>(world.answer(req).await)
            }
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await; // The browser may just leave.
    }

    async fn answer(&self, req: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = req.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut heard = Heard {
            host: field(&head.headers, "host").rsplit_once(':').map_or(field(&head.headers, "host"), |(host, _)| host).to_owned(),
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            role: Role::Beacon,
            cookies: field(&head.headers, "cookie").to_owned(),
            referer: field(&head.headers, "referer").to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let (kind, content, delay) = match tag(&heard.query) {
            Some(id) if heard.method != Method::OPTIONS => {
                *self.tags.lock().expect("no holder panics").entry(id).or_default() += 1;
                let (kind, content) = by_destination(&head.headers);
                (kind, content.to_vec(), Duration::ZERO)
            }
            _ => self.content(&mut heard, &head.headers),
        };
        let resp = dress(&head.headers, kind, content);
        self.heard.lock().expect("no holder panics").push(heard);
        tokio::time::sleep(delay).await;
        resp
    }

    /// What is sent back, and the request's role with it.
    fn content(&self, heard: &mut Heard, headers: &HeaderMap) -> (&'static str, Vec<u8>, Duration) {
        if heard.method == Method::OPTIONS {
            heard.role = Role::Preflight;
            return ("", Vec::new(), Duration::ZERO);
        }
        let target = if heard.query.is_empty() { heard.path.clone() } else { format!("{}?{}", heard.path, heard.query) };
        let extras = self.extras.lock().expect("no holder panics");
        if let Some(extra) = extras.iter().find(|extra| extra.host == heard.host && extra.target == target) {
            heard.role = Role::Script;
            return ("text/javascript", extra.body.clone().into_bytes(), extra.delay);
        }
        for (role, kind, files) in [
            (Role::Script, "text/javascript", &self.played.script),
            (Role::Frame, "text/html; charset=utf-8", &self.played.frame),
        ] {
            if let Some(file) = files.iter().find(|file| file.host == heard.host && glob(&file.path, &heard.path)) {
                heard.role = role;
                return (kind, file.file.clone().into_bytes(), Duration::ZERO);
            }
        }
        let wanted = field(headers, "sec-fetch-dest");
        match wanted {
            "script" => ("text/javascript", Vec::new(), Duration::ZERO),
            "iframe" | "document" => ("text/html", b"<!doctype html><title>A vendor's page</title>".to_vec(), Duration::ZERO),
            // A browser tells plain hosts no destination, but what it would like to get.
            _ if wanted == "image" || field(headers, "accept").starts_with("image/") => {
                ("image/gif", PIXEL.to_vec(), Duration::ZERO)
            }
            _ => ("", Vec::new(), Duration::ZERO),
        }
    }
}

/// The id of a hostile case in a query: such an address gets an answer of the right kind that does nothing.
pub(crate) fn tag(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "hc").map(|(_, id)| id.into_owned())
}

/// The answer to a case's request, from the site.
pub(crate) fn neutral(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let (kind, content) = by_destination(asked);
    let mut resp = dress(asked, kind, content.to_vec());
    resp.headers_mut().remove(header::SET_COOKIE);
    resp
}

fn by_destination(asked: &HeaderMap) -> (&'static str, &'static [u8]) {
    let accept = field(asked, "accept");
    match field(asked, "sec-fetch-dest") {
        "script" | "worker" | "sharedworker" | "serviceworker" | "audioworklet" | "paintworklet" => ("text/javascript", b";"),
        "style" => ("text/css", b".case{}"),
        "iframe" | "frame" | "document" | "embed" | "object" => ("text/html", b"<!doctype html><title>Elsewhere</title>"),
        "image" => ("image/gif", PIXEL),
        "font" => ("font/woff2", b"wOF2"),
        "audio" => ("audio/wav", b"RIFF"),
        "video" => ("video/mp4", b"ftyp"),
        "track" => ("text/vtt", b"WEBVTT\n"),
        "manifest" => ("application/manifest+json", b"{}"),
        // A browser tells plain hosts no destination, but what it would like to get.
        _ if accept.starts_with("image/") => ("image/gif", PIXEL),
        _ if accept.starts_with("text/css") => ("text/css", b".case{}"),
        _ if accept.starts_with("text/html") => ("text/html", b"<!doctype html><title>Elsewhere</title>"),
        _ => ("", b""),
    }
}

/// The head: readable by every site, never cached, and with a cookie of the vendor's own.
fn dress(asked: &HeaderMap, kind: &'static str, content: Vec<u8>) -> Response<Full<Bytes>> {
    let status = if content.is_empty() && kind.is_empty() { StatusCode::NO_CONTENT } else { StatusCode::OK };
    let origin = Some(field(asked, "origin")).filter(|origin| !origin.is_empty()).unwrap_or("*");
    let mut resp = Response::builder()
        .status(status)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)
        .header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, field(asked, "access-control-request-headers"))
        .header(header::SET_COOKIE, "foreign_id=1.2.3; Path=/; Max-Age=3600; SameSite=None; Secure");
    if !kind.is_empty() {
        resp = resp.header(header::CONTENT_TYPE, kind);
    }
    resp.body(Full::new(Bytes::from(content))).expect("every value above is a header value")
}

fn field<'head>(headers: &'head HeaderMap, name: &str) -> &'head str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
