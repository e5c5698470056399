//! The site behind the gate: pages that a test puts there, served the way real servers do (validators,
//! a strict policy, compression), and a record of what reached it.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
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
use tokio::net::TcpListener;

use crate::recorder::{neutral, tag};

const BODY_BYTES_MAX: usize = 64 * 1024;
/// Every page of the site was last changed then.
const CHANGED: &str = "Mon, 02 Nov 2026 10:00:00 GMT";

/// The site.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) port: u16,
    site: Arc<Site>,
}

struct Site {
    manner: Manner,
    pages: Mutex<HashMap<String, Doc>>,
    raw: Mutex<HashMap<String, Raw>>,
    tags: Mutex<HashMap<String, usize>>,
    asked: Mutex<Vec<Asked>>,
    nonces: AtomicU64,
}

/// How the site serves its pages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// With `ETag` and `Last-Modified`, cacheable, and 304 where the browser has the page.
    pub(crate) validators: bool,
    /// With a strict Content-Security-Policy.
    pub(crate) policy: Option<Strict>,
    /// Compressed.
    pub(crate) coding: Option<Coding>,
}

/// A Content-Security-Policy under which the site's own tags work, because each carries the nonce.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strict {
    /// Scripts by nonce, and what these load (`'strict-dynamic'`).
    Nonce,
    /// The same, in a `<meta>` at the top of the head.
    NonceInMeta,
    /// Scripts by nonce or from the hosts named.
    NonceAndHosts,
}

/// A content coding.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

/// A page of the site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doc {
    /// The document, whole.
    pub(crate) html: String,
    /// Header fields of its own.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// Anything the site serves, byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Its status.
    pub(crate) status: u16,
    /// Its header fields, all of them but `Cache-Control`, which forbids storing where none is given.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// A request that reached the site.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How.
    pub(crate) method: Method,
    /// For what.
    pub(crate) path: String,
    /// With which cookies.
    pub(crate) cookies: String,
    /// Whether it asked for a newer version only.
    pub(crate) conditional: bool,
    /// How it was answered.
    pub(crate) status: StatusCode,
}

impl Origin {
    /// Starts an empty site.
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let site = Arc::new(Site {
            manner,
            pages: Mutex::default(),
            raw: Mutex::default(),
            tags: Mutex::default(),
            asked: Mutex::default(),
            nonces: AtomicU64::new(0x5EED),
        });
        let shared = Arc::clone(&site);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&shared);
                let service = service_fn(move |req| {
                    let site = Arc::clone(&site);
                    async move { Ok::<_, Infallible>(site.answer(req).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port, site }
    }

    /// Puts a page there.
    pub(crate) fn put(&self, path: &str, doc: Doc) {
        self.site.pages.lock().expect("no holder panics").insert(path.to_owned(), doc);
    }

    /// Puts a file there.
    pub(crate) fn put_raw(&self, path: &str, raw: Raw) {
        self.site.raw.lock().expect("no holder panics").insert(path.to_owned(), raw);
    }

    /// How many requests had this id in their query.
    pub(crate) fn tagged(&self, id: &str) -> usize {
        self.site.tags.lock().expect("no holder panics").get(id).copied().unwrap_or_default()
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.site.asked.lock().expect("no holder panics").clone()
    }

    /// Starts the record anew.
    pub(crate) fn forget(&self) {
        self.site.asked.lock().expect("no holder panics").clear();
    }
}

// === impl Doc ===

impl Doc {
    /// A page of a small shop with this in its head and in its body.
    pub(crate) fn shop(head: &str, body: &str) -> Self {
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>A small shop</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n{head}\n</head>\n<body>\n<h1>A small shop</h1>\n<p>Cups and plates.</p>\n\
             {body}\n<p><a href=\"/next\">More</a></p>\n</body>\n</html>\n"
        );
        Self { html, headers: Vec::new() }
    }
}

// === impl Raw ===

impl Raw {
    fn answer(self) -> Response<Full<Bytes>> {
        let mut resp = Response::builder().status(self.status);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cache-control")) {
            resp = resp.header(header::CACHE_CONTROL, "no-store");
        }
        for (name, value) in &self.headers {
            resp = resp.header(name, value);
        }
        resp.body(Full::new(Bytes::from(self.body))).expect("a case's header fields are header fields")
    }
}

// === impl Site ===

impl Site {
    async fn answer(&self, req: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = req.into_parts();
        let _ = Limited::new(body, BODY_BYTES_MAX).collect().await; // What is posted does not matter, that it is does.
        let path = head.uri.path().to_owned();
        let doc = self.pages.lock().expect("no holder panics").get(&path).cloned();
        let raw = self.raw.lock().expect("no holder panics").get(&path).cloned();
        let id = head.uri.query().and_then(tag);
        let resp = match (doc, raw, &id) {
            (Some(doc), ..) => self.page(&path, doc, &head.headers),
            (None, Some(raw), _) => raw.answer(),
            // The target of a hostile case.
            (None, None, Some(_)) => neutral(&head.headers),
            (None, None, None) => plain(StatusCode::NOT_FOUND),
        };
        if let Some(id) = id {
            *self.tags.lock().expect("no holder panics").entry(id).or_default() += 1;
        }
        self.asked.lock().expect("no holder panics").push(Asked {
            method: head.method,
            path,
            cookies: field(&head.headers, "cookie").to_owned(),
            conditional: head.headers.contains_key("if-none-match") || head.headers.contains_key("if-modified-since"),
            status: resp.status(),
        });
        resp
    }

    fn page(&self, path: &str, doc: Doc, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = format!("\"{}-{}\"", path.replace('/', "."), doc.html.len());
        if self.manner.validators && is_fresh(asked, &tag) {
            let mut resp = plain(StatusCode::NOT_MODIFIED);
            resp.headers_mut().insert(header::ETAG, tag.parse().expect("paths here are ASCII"));
            return resp;
        }
        let mut html = doc.html;
        let mut resp = Response::builder()
            .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
            // The server-side halves of two trackers, and the site's own session.
            .header(header::SET_COOKIE, "_fbp=fb.1.1700000000000.123456789; Path=/; Max-Age=7776000")
            .header(header::SET_COOKIE, "FPID=FPID2.2.abcdefghijklmnop.1700000000; Path=/; HttpOnly")
            .header(header::SET_COOKIE, "session=of-the-site; Path=/; HttpOnly");
        if let Some(strict) = self.manner.policy {
            let nonce = format!("n{:x}", self.nonces.fetch_add(0x9E37, Ordering::Relaxed));
            // Unquoted: a tag written by a script stands in quotes of its own.
            html = html.replace("<script", &format!("<script nonce={nonce}"));
            let policy = strict.policy(&nonce);
            if let Strict::NonceInMeta = strict {
                let meta = format!("<head>\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">");
                html = html.replacen("<head>", &meta, 1);
            } else {
                resp = resp.header(header::CONTENT_SECURITY_POLICY, policy);
            }
        }
        if self.manner.validators {
            // `no-cache` is "ask each time": it makes the browser send the condition that this is about.
            resp = resp
                .header(header::ETAG, &tag)
                .header(header::LAST_MODIFIED, CHANGED)
                .header(header::CACHE_CONTROL, "public, no-cache");
        }
        for (name, value) in doc.headers {
            resp = resp.header(name, value);
        }
        let (coding, body) = encode(self.manner.coding, asked, html);
        if let Some(coding) = coding {
            resp = resp.header(header::CONTENT_ENCODING, coding).header(header::VARY, "Accept-Encoding");
        }
        resp.body(Full::new(Bytes::from(body))).expect("every value above is a header value")
    }
}

impl Strict {
    fn policy(self, nonce: &str) -> String {
        let scripts = match self {
            Self::Nonce | Self::NonceInMeta => format!("'nonce-{nonce}' 'strict-dynamic'"),
            Self::NonceAndHosts => format!("'nonce-{nonce}' https: http:"),
        };
        format!(
            "default-src 'self'; script-src {scripts}; style-src 'self'; img-src 'self' data: https: http:; \
             connect-src https: http:; frame-src https: http:; form-action 'none'; base-uri 'none'; object-src 'none'"
        )
    }
}

/// RFC 9110, section 13.2.2: the date counts only where no tag was sent.
fn is_fresh(asked: &HeaderMap, tag: &str) -> bool {
    match asked.get("if-none-match") {
        Some(tags) => tags.to_str().is_ok_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)),
        None => field(asked, "if-modified-since") == CHANGED,
    }
}

fn encode(coding: Option<Coding>, asked: &HeaderMap, html: String) -> (Option<&'static str>, Vec<u8>) {
    let accepted = field(asked, "accept-encoding");
    match coding {
        Some(Coding::Gzip) if accepted.contains("gzip") => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(html.as_bytes()).expect("memory takes it");
            (Some("gzip"), encoder.finish().expect("memory takes it"))
        }
        Some(Coding::Brotli) if accepted.contains("br") => {
            let mut encoded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut html.as_bytes(), &mut encoded, &params).expect("memory takes it");
            (Some("br"), encoded)
        }
        _ => (None, html.into_bytes()),
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).expect("no field can be wrong")
}

fn field<'head>(headers: &'head HeaderMap, name: &str) -> &'head str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
