//! HTTP/2 in front: ordinary use with a client of good faith.

mod abuse;
mod malformed;

use std::{
    net::SocketAddr,
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
    frames::{Connection, DATA, Ended, GOAWAY, get},
    harness::{Gate, Got, Upstream, respond},
};

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
    let gate = Gate::with(&upstream, |config| config.sites[0].upstream_host = consentry::config::UpstreamHost::Visitor).await;
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
