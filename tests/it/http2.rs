//! HTTP/2 in front: ordinary use with a client of good faith, and abuse with frames by hand. Under abuse a
//! stream or the connection ends, memory stays bounded, and others are served.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{
    frames::{
        CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Ended, GOAWAY, HEADERS, PING, PROTOCOL_ERROR,
        REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, get,
    },
    harness::{Gate, Got, Upstream, respond},
    process::{Process, free, start},
};

// === A client of good faith ===

type Client = SendRequest<Full<Bytes>>;

async fn over<I>(io: I) -> Client
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // As browsers: a containment policy of every vendor is a long line.
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (client, connection) = builder.max_header_list_size(1 << 18).handshake(TokioIo::new(io)).await.expect("a handshake");
    tokio::spawn(connection);
    client
}

async fn client(address: SocketAddr) -> Client {
    over(TcpStream::connect(address).await.expect("the gate listens")).await
}

/// The body of one GET.
pub(crate) async fn body_over<I>(io: I, url: &str) -> String
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = over(io).await;
    let resp = client.send_request(Request::get(url).body(Full::default()).expect("a request")).await.expect("an answer");
    text(resp).await
}

fn request(method: Method, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
    let mut req = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        req = req.header(*name, *value);
    }
    req.body(Full::new(Bytes::copy_from_slice(body))).expect("a request")
}

async fn ask(client: &Client, method: Method, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response<Incoming> {
    let asked = client.clone().send_request(request(method, url, headers, body));
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("in time").expect("an answer")
}

async fn text(resp: Response<Incoming>) -> String {
    String::from_utf8_lossy(&resp.into_body().collect().await.expect("a whole body").to_bytes()).into_owned()
}

#[tokio::test]
async fn the_site_behind_sees_one_host_one_cookie_and_nothing_of_the_protocol() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::with(&upstream, |config| config.upstream_host = consentry::config::UpstreamHost::Visitor).await;
    let client = client(gate.address).await;
    let headers = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("trailer", "x")];
    let resp = ask(&client, Method::POST, "http://shop.example:81/a?b=c", &headers, b"body").await;
    assert_eq!((resp.status(), resp.version()), (StatusCode::OK, Version::HTTP_2));
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert!(!resp.headers().contains_key(name), "{name}");
    }
    let got = upstream.last();
    assert_eq!(got.line, "POST /a?b=c HTTP/1.1");
    assert_eq!((got.header("host"), got.header("cookie")), (Some("shop.example:81"), Some("a=1; b=2")));
    assert_eq!((got.header("te"), got.header("trailer"), got.header("transfer-encoding")), (None, None, None));
    assert_eq!((got.header("content-length"), &got.body[..]), (Some("4"), &b"body"[..]));

    let failed = ask(&client, Method::GET, "http://shop.example/_consent/nothing", &[], b"").await;
    assert_eq!(failed.status(), StatusCode::NOT_FOUND, "a failure page has no Connection header here");
}

#[tokio::test]
async fn a_page_is_gated_and_a_decision_is_taken() {
    let page =
        r#"<!doctype html><title>x</title><body><script src="https://connect.facebook.net/en_US/fbevents.js"></script></body>"#;
    let upstream = Upstream::page(page).await;
    let gate = Gate::start(&upstream).await;
    let client = client(gate.address).await;
    let (origin, document) = (gate.origin(), [("sec-fetch-dest", "document"), ("accept", "text/html")]);
    let before = text(ask(&client, Method::GET, &format!("{origin}/"), &document, b"").await).await;
    assert!(before.contains("accept_all") && !before.contains(" src=\"https://connect"), "{before}");
    let token = gate.token().await;
    let body = serde_json::json!({ "choice": "accept_all", "notice": token }).to_string();
    let headers = [("content-type", "application/json"), ("origin", origin.as_str())];
    let decided = ask(&client, Method::POST, &format!("{origin}/_consent/decision"), &headers, body.as_bytes()).await;
    assert_eq!(decided.status(), StatusCode::OK);
    let cookie = decided.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    let granted = ask(&client, Method::GET, &format!("{origin}/"), &[document[0], ("cookie", &cookie)], b"").await;
    assert!(text(granted).await.contains(" src=\"https://connect"));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|got: &Got| match (got.line.split(' ').next(), got.path()) {
        (Some("HEAD"), _) => {
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 5\r\nconnection: close\r\n\r\n".to_vec()
        }
        (_, "/204") => b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec(),
        (_, "/304") => b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\nconnection: close\r\n\r\n".to_vec(),
        (_, "/hints") => {
            let hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n";
            [&hints[..], &respond("200 OK", &[("content-type", "image/png")], b"later")].concat()
        }
        (_, "/101") => b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello".to_vec(),
        _ => respond("206 Partial Content", &[("content-type", "video/mp4"), ("content-range", "bytes 0-3/9")], b"film"),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let client = client(gate.address).await;
    let image = [("sec-fetch-dest", "image"), ("if-none-match", "\"1\""), ("range", "bytes=0-3")];
    for (method, path, status, length, body) in [
        (Method::HEAD, "/", 200, Some("5"), ""),
        (Method::HEAD, "/_consent/", 200, None, ""),
        (Method::GET, "/204", 204, None, ""),
        (Method::GET, "/304", 304, None, ""),
        (Method::GET, "/hints", 200, Some("5"), "later"),
        (Method::GET, "/film", 206, Some("4"), "film"),
    ] {
        let resp = ask(&client, method.clone(), &format!("http://a.site{path}"), &image, b"").await;
        assert_eq!(resp.status(), status, "{path}");
        assert!(resp.headers().get("link").is_none(), "what came ahead of the answer is not in it");
        if let Some(length) = length {
            assert_eq!(resp.headers()["content-length"], length, "{method} {path}");
        }
        assert_eq!(text(resp).await, body, "{method} {path}");
    }
    let resp = ask(&client, Method::GET, "http://a.site/101", &[("sec-fetch-dest", "image")], b"").await;
    assert_eq!(resp.status(), StatusCode::BAD_GATEWAY, "nobody asked for another protocol");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection_and_long_bodies_come_whole() {
    let big = |seed: usize| -> Vec<u8> { (0..4_000_000_usize).map(|at| ((at * 31 + seed) % 251) as u8).collect() };
    let upstream = Upstream::start(move |got| match got.path() {
        "/big" => respond("200 OK", &[("content-type", "image/png")], &big(7)),
        path => respond("200 OK", &[("content-type", "image/png")], format!("{path} {}", got.body.len()).as_bytes()),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let client = client(gate.address).await;
    let asked: Vec<_> = (0..300)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move { text(ask(&client, Method::GET, &format!("http://a.site/{n}"), &[], b"").await).await })
        })
        .collect();
    let upload = ask(&client, Method::PUT, "http://a.site/up", &[], &big(3)).await;
    assert_eq!(text(upload).await, "/up 4000000");
    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.expect("no panic"), format!("/{n} 0"));
    }
    assert!(upstream.got().iter().any(|got| got.path() == "/up" && got.body == big(3)));

    // A slow reader: nothing is lost, and meanwhile others on the connection are answered.
    let mut slow = ask(&client, Method::GET, "http://a.site/big", &[("sec-fetch-dest", "image")], b"").await.into_body();
    let mut all = Vec::new();
    while let Some(piece) = slow.frame().await {
        all.extend_from_slice(&piece.expect("it goes on").into_data().expect("data"));
        if all.len() % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(text(ask(&client, Method::GET, "http://a.site/now", &[], b"").await).await, "/now 0");
        }
    }
    assert!(all == big(7), "{} bytes", all.len());
}

#[tokio::test]
async fn a_stop_lets_streams_end_and_says_goaway() {
    let upstream = Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(700));
        respond("200 OK", &[("content-type", "image/png")], b"late")
    })
    .await;
    let mut gate = Gate::start(&upstream).await;
    let mut connection = Connection::open(gate.address).await;
    assert!(connection.ask(1, &get("/"), false).await);
    let seen = tokio::spawn(async move {
        let (mut goaway, mut body) = (false, Vec::new());
        while let Some(frame) = connection.next().await {
            goaway |= frame.kind == GOAWAY && frame.payload[4..8] == [0; 4];
            if frame.kind == DATA {
                body.extend_from_slice(&frame.payload);
            }
        }
        (goaway, body)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    gate.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "no longer than it takes");
    assert_eq!(seen.await.expect("no panic"), (true, b"late".to_vec()));
}

// === Malformed requests ===

#[tokio::test]
async fn a_malformed_request_ends_its_stream_and_does_not_reach_the_site() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    let base = get("/");
    let with = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    let without = |name: &str| base.iter().copied().filter(|(key, _)| *key != name).collect::<Vec<_>>();
    let reset = Ended::Reset(PROTOCOL_ERROR);
    let bad = Ended::Answered(400);
    for (asked, want) in [
        (with(&[("X-Upper", "1")]), reset),
        (with(&[("x\r\ny", "1")]), reset),
        (with(&[("x", "1\r\nhost: evil")]), reset),
        (with(&[("x", "1\nfoo: bar")]), reset),
        (with(&[("x", "1\0")]), reset),
        (with(&[("x y", "1")]), reset),
        (with(&[("x:", "1")]), reset),
        (with(&[("", "1")]), reset),
        (with(&[("x", "1"), (":path", "/late")]), reset),
        (with(&[(":authority", "b.site")]), reset),
        (with(&[(":path", "/twice")]), reset),
        (with(&[(":unknown", "1")]), reset),
        (with(&[(":status", "200")]), reset),
        (with(&[("connection", "close")]), reset),
        (with(&[("upgrade", "websocket")]), reset),
        (with(&[("keep-alive", "timeout=5")]), reset),
        (with(&[("proxy-connection", "close")]), reset),
        (with(&[("transfer-encoding", "chunked")]), reset),
        (with(&[("te", "gzip")]), reset),
        (with(&[("content-length", "5")]), reset),
        (with(&[("content-length", "+0")]), reset),
        (with(&[("content-length", "0, 0")]), reset),
        (with(&[("content-length", "0"), ("content-length", "1")]), reset),
        (with(&[("content-length", "0"), ("content-length", "0")]), bad),
        (with(&[("host", "b.site")]), bad),
        (with(&[("host", "a.site"), ("host", "b.site")]), bad),
        (without(":method"), reset),
        (without(":scheme"), reset),
        (without(":path"), reset),
        (without(":authority"), bad),
        ([(":method", "CONNECT"), (":authority", "a.site:443")].to_vec(), Ended::Answered(405)),
        (
            [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a.site"), (":path", "/ws")]
                .to_vec(),
            reset,
        ),
        ([&[(":method", "G T")][..], &base[1..]].concat(), reset),
        ([&base[..3], &[(":path", "x")]].concat(), reset),
        ([&base[..3], &[(":path", "http://evil/")]].concat(), reset),
        ([&base[..3], &[(":path", "")]].concat(), reset),
        ([&base[..3], &[(":path", "/a b")]].concat(), reset),
        ([&base[..2], &[(":authority", "a.site/x@evil")], &base[3..]].concat(), reset),
        ([&base[..2], &[(":authority", "user@a.site")], &base[3..]].concat(), bad),
    ] {
        let mut connection = Connection::open(gate.address).await;
        assert!(connection.ask(1, &asked, false).await);
        let ended = connection.ended(1).await;
        let refused = ended == want || matches!((ended, want), (Ended::Gone(Some(PROTOCOL_ERROR)), Ended::Reset(_)));
        assert!(refused, "{asked:?}: {ended:?}, not {want:?}");
        if let Ended::Reset(_) | Ended::Answered(_) = ended {
            assert!(connection.ask(3, &get("/_consent/state"), false).await);
            assert_eq!(connection.ended(3).await, Ended::Answered(200), "after {asked:?} the connection goes on");
        }
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
}

#[tokio::test]
async fn a_body_that_does_not_fit_its_length_is_never_whole_for_the_site() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a.site"), (":path", "/"), ("content-length", "5")];
    for pieces in [&[&b"123"[..]][..], &[b"123456"], &[b"12345", b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"]] {
        let mut connection = Connection::open(gate.address).await;
        assert!(connection.ask(1, &post, true).await);
        for (at, piece) in pieces.iter().enumerate() {
            let last = if at + 1 == pieces.len() { END_STREAM } else { 0 };
            connection.send(DATA, last, 1, piece).await;
        }
        assert_eq!(connection.ended(1).await, Ended::Reset(PROTOCOL_ERROR), "{pieces:?}");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(upstream.got().iter().all(|got| got.path() == "/" && got.body == b"12345"), "{:?}", upstream.got());
}

// === Abuse, of a gate in a process of its own ===

/// A gate whose memory can be read.
struct Child {
    process: Process,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

async fn child(upstream: &Upstream, limits: &str) -> Child {
    let dir = tempfile::tempdir().expect("a folder");
    let (listen, admin) = (free(), free());
    let config = format!(
        "[server]\nlisten = \"{listen}\"\nadmin = \"{admin}\"\n[upstream]\nurl = \"http://{}\"\n[limits]\n{limits}\n",
        upstream.address
    );
    std::fs::write(dir.path().join("consentry.toml"), config).expect("a file");
    let process = start(&["serve"], dir.path(), None, listen).await;
    // Once round, so that what is built at the first request is there.
    body_over(TcpStream::connect(listen).await.expect("it listens"), "http://a.site/_consent/state").await;
    Child { process, address: listen, _dir: dir }
}

impl Child {
    /// Resident memory in kB.
    fn memory_kb(&self) -> u64 {
        let status = Path::new("/proc").join(self.process.0.id().to_string()).join("status");
        let status = std::fs::read_to_string(status).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Somebody else, on a connection of their own, is served.
    async fn serves_others(&self) {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let state = tokio::time::timeout(Duration::from_secs(10), body_over(stream, "http://a.site/_consent/state")).await;
        assert!(state.expect("in time").contains("decided"));
        let answer = crate::process::get(self.address, "a.site", "/_consent/state").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// Memory has grown by less than `mb_max` since `before_kb`, and others are served.
    async fn stands(&self, what: &str, before_kb: u64, mb_max: u64) {
        self.serves_others().await;
        let grown_kb = self.memory_kb().saturating_sub(before_kb);
        println!("{what}: {grown_kb} kB more than the {before_kb} kB before");
        assert!(grown_kb < mb_max * 1_024, "{what}: {grown_kb} kB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset_ends_the_connection() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let upstream = Upstream::start(|_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        respond("200 OK", &[("content-type", "image/png")], b"x")
    })
    .await;
    let gate = child(&upstream, "").await;
    let before = gate.memory_kb();
    // As fast as they can be written.
    let mut connection = Connection::open(gate.address).await;
    let flood: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| {
            let stream = n * 2 + 1;
            let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&get("/")));
            [ask, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    connection.write_within(&flood, Duration::from_secs(10)).await;
    let code = connection.gone().await;
    assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    assert!(ASKED.load(Ordering::Relaxed) < 1_000, "the site behind is spared: {}", ASKED.load(Ordering::Relaxed));

    // Slowly enough for each to be begun.
    let mut connection = Connection::open(gate.address).await;
    let mut taken = 0;
    for n in 0..2_000_u32 {
        let stream = n * 2 + 1;
        if !connection.ask(stream, &get("/"), false).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !connection.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await {
            break;
        }
        taken = n;
    }
    assert!(taken < 1_500, "{taken} streams were begun to be reset");
    gate.stands("rapid reset", before, 32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_continuations_ends_the_connection() {
    let upstream = Upstream::page("<p>x").await;
    let gate = child(&upstream, "").await;
    let before = gate.memory_kb();
    let line = fields(&[("x", &"y".repeat(16_000))]);
    for (what, piece, codes) in
        [("full", &line[..], 1..=11), ("empty", &[][..], 11..=11), ("tiny", &[0, 1, b'x', 1, b'y'][..], 11..=11)]
    {
        let mut connection = Connection::open(gate.address).await;
        assert!(connection.send(HEADERS, END_STREAM, 1, &fields(&get("/"))).await);
        let began = Instant::now();
        let (flood, mut taken) = (frame(CONTINUATION, 0, 1, piece).repeat(64), 0);
        while began.elapsed() < Duration::from_secs(10) && connection.write_within(&flood, Duration::from_secs(2)).await {
            taken += flood.len();
        }
        println!("{what} continuations: {taken} bytes were written");
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: it goes on and on");
        let code = connection.gone().await;
        assert!(code.is_none_or(|code| codes.contains(&code)), "{what}: {code:?}");
    }
    // One that stops half way holds no more than its connection, and not for long.
    let mut half = Connection::open(gate.address).await;
    assert!(half.send(HEADERS, END_STREAM, 1, &fields(&get("/"))).await);
    gate.stands("continuations", before, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_that_the_gate_is_made_to_send_are_counted() {
    let upstream = Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(200));
        respond("200 OK", &[("content-type", "image/png")], b"x")
    })
    .await;
    let gate = child(&upstream, "").await;
    let before = gate.memory_kb();
    for (what, kind, flags, payload) in [
        ("window of nothing", WINDOW_UPDATE, 0, 0_u32.to_be_bytes().to_vec()),
        ("window overflow", WINDOW_UPDATE, 0, 0x7fff_ffff_u32.to_be_bytes().to_vec()),
        ("data after the end", DATA, 0, b"more".to_vec()),
        ("head after the end", HEADERS, END_HEADERS | END_STREAM, fields(&[("x", "y")])),
        ("length that does not fit", HEADERS, END_HEADERS | END_STREAM, Vec::new()),
    ] {
        let mut connection = Connection::open(gate.address).await;
        let mut sent = 0;
        for n in 0..5_000_u32 {
            let stream = n * 2 + 1;
            let faulty = if payload.is_empty() {
                frame(kind, flags, stream, &fields(&[&get("/")[..], &[("content-length", "9")]].concat()))
            } else {
                let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&get("/")));
                [ask, frame(kind, flags, stream, &payload)].concat()
            };
            if !connection.write_within(&faulty, Duration::from_secs(2)).await {
                break;
            }
            sent = n;
        }
        let code = connection.gone().await;
        println!("{what}: {sent} were written, then GOAWAY {code:?}");
        assert!(sent < 4_999 || code.is_some_and(|code| code != 0), "{what}: {sent}, {code:?}");
    }
    gate.stands("resets that the gate sends", before, 32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_stays_shut_is_bounded_and_given_up() {
    let big: &'static [u8] = vec![b'x'; 4 << 20].leak();
    let upstream = Upstream::start(|_| respond("200 OK", &[("content-type", "image/png")], big)).await;
    let gate = child(&upstream, "write_idle_s = 2\nhttp2_idle_s = 3").await;
    let before = gate.memory_kb();
    // No window at all; a window for the streams but none for the connection; and of one byte a stream.
    for (what, window) in [("shut", 0), ("the connection's is used up", 1 << 20), ("one byte", 1)] {
        let began = Instant::now();
        let mut connections = Vec::new();
        for _ in 0..4 {
            let mut connection = Connection::open_with(gate.address, window).await;
            for n in 0..100_u32 {
                assert!(connection.ask(n * 2 + 1, &get("/big"), false).await);
            }
            connections.push(connection);
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let held_kb = gate.memory_kb().saturating_sub(before);
        println!("window {what}: {held_kb} kB for 400 answers of 4 MiB");
        assert!(held_kb < 200 << 10, "{what}: {held_kb} kB");
        gate.serves_others().await;
        for connection in &mut connections {
            // It answers pings all the while.
            while let Some(frame) = connection.next().await {
                assert!(began.elapsed() < Duration::from_secs(20), "{what}: it is held for ever: {frame:?}");
            }
        }
    }
    // glibc gives little back of what many threads freed.
    gate.stands("windows", before, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_pings_and_settings_cost_no_memory() {
    let upstream = Upstream::page("<p>x").await;
    let gate = child(&upstream, "write_idle_s = 2").await;
    let before = gate.memory_kb();
    for (what, piece) in [
        ("pings", frame(PING, 0, 0, b"12345678")),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ("empty data", [frame(HEADERS, END_HEADERS, 1, &fields(&get("/"))), frame(DATA, 0, 1, b"").repeat(10_000)].concat()),
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 3, 7])),
        ("unknown", frame(0xfa, 0, 0, b"grease")),
    ] {
        // Never reading: acknowledgements pile up here until the gate stops reading, and gives up.
        let mut connection = Connection::open(gate.address).await;
        let flood = if piece.len() > 1_000 { piece } else { piece.repeat(10_000) };
        let (began, mut taken) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(3) && connection.write_within(&flood, Duration::from_secs(3)).await {
            taken += flood.len();
        }
        println!("{what}: {taken} bytes taken in {} ms", began.elapsed().as_millis());
        gate.stands(what, before, 16).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let upstream = Upstream::page("<p>x").await;
    let gate = child(&upstream, "").await;
    let before = gate.memory_kb();
    let line = fields(&[("x", &"y".repeat(16_000))]);
    let lines: Vec<u8> = fields(&[("x", "y")]).repeat(300);
    for (what, blocks, want) in [
        ("80 kB", vec![&line[..]; 5], &[Ended::Answered(431)][..]),
        ("300 lines", vec![&lines[..]], &[Ended::Answered(431)]),
        ("1 MB", vec![&line[..]; 64], &[Ended::Gone(Some(ENHANCE_YOUR_CALM)), Ended::Gone(Some(9)), Ended::Gone(None)]),
    ] {
        let mut connection = Connection::open(gate.address).await;
        assert!(connection.send(HEADERS, END_STREAM, 1, &fields(&get("/"))).await);
        for (at, block) in blocks.iter().enumerate() {
            let end = if at + 1 == blocks.len() { END_HEADERS } else { 0 };
            connection.send(CONTINUATION, end, 1, block).await;
        }
        let ended = connection.ended(1).await;
        assert!(want.contains(&ended), "{what}: {ended:?}");
    }
    assert!(upstream.got().is_empty());
    gate.stands("large heads", before, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_streams_are_refused_beyond_the_bound() {
    let upstream = Upstream::page("<p>x").await;
    let gate = child(&upstream, "http2_streams = 50").await;
    let before = gate.memory_kb();
    let mut connection = Connection::open(gate.address).await;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a.site"), (":path", "/")];
    for n in 0..5_000_u32 {
        if !connection.ask(n * 2 + 1, &post, true).await {
            break;
        }
    }
    let (mut refused, mut goaway) = (0, None);
    while let Some(frame) = connection.next().await {
        match frame.kind {
            RST_STREAM if frame.payload == REFUSED_STREAM.to_be_bytes() => refused += 1,
            GOAWAY => goaway = Some(frame.payload[4..8].to_vec()),
            _ => {}
        }
    }
    println!("{refused} streams refused, then {goaway:?}");
    assert!(refused > 0 && refused <= 200, "{refused}");
    gate.stands("thousands of streams", before, 32).await;
}

#[tokio::test]
async fn a_connection_without_streams_is_let_go() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::with(&upstream, |config| config.limits.http2_idle_s = 1).await;
    let mut connection = Connection::open(gate.address).await;
    assert!(connection.ask(1, &get("/_consent/state"), false).await);
    assert_eq!(connection.ended(1).await, Ended::Answered(200));
    let began = Instant::now();
    assert_eq!(connection.gone().await, Some(0));
    while connection.next().await.is_some() {}
    assert!(began.elapsed() < Duration::from_secs(4));
}
