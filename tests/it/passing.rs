//! What passes: hosts and addresses, hop-by-hop headers, other protocols, upstreams that misbehave.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Gate, Upstream, respond};

#[tokio::test]
async fn the_upstream_is_asked_under_its_own_name_and_told_the_visitors() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    let origin = gate.origin();
    gate.send(
        "POST",
        "/a?b=c",
        &[("origin", &origin), ("referer", &format!("{origin}/x")), ("x-forwarded-for", "6.6.6.6")],
        b"body",
    )
    .await;
    let got = upstream.last();
    assert_eq!(got.line, "POST /a?b=c HTTP/1.1");
    assert_eq!(got.body, b"body");
    assert_eq!(got.header("host"), Some(upstream.address.to_string().as_str()));
    assert_eq!(got.header("origin"), Some(format!("http://{}", upstream.address).as_str()));
    assert_eq!(got.header("x-forwarded-host"), Some(gate.address.to_string().as_str()));
    assert_eq!(got.header("x-forwarded-for"), Some("127.0.0.1"), "an invented address is not passed on");
    assert_eq!(got.header("x-forwarded-proto"), Some("http"));

    let visitor = Gate::with(&upstream, |config| config.sites[0].upstream_host = consentry::config::UpstreamHost::Visitor).await;
    visitor.get("/", &[("host", "shop.example")]).await;
    assert_eq!(upstream.last().header("host"), Some("shop.example"));
}

#[tokio::test]
async fn addresses_and_cookies_of_the_upstream_become_the_gates() {
    let upstream = Upstream::start(|got| {
        let host = got.header("host").expect("a host").to_owned();
        let location = format!("http://{host}/next?a=b");
        respond(
            "302 Found",
            &[("location", &location), ("set-cookie", "s=1; Domain=127.0.0.1; Path=/; Secure; SameSite=None")],
            b"",
        )
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let answer = gate.get("/", &[("host", "shop.test")]).await;
    assert_eq!(answer.header("location"), Some("http://shop.test/next?a=b"));
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(!cookie.contains("Domain") && !cookie.contains("Secure") && cookie.starts_with("s=1;"), "{cookie}");
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_gate() {
    let upstream = Upstream::start(|_| {
        respond(
            "200 OK",
            &[("content-type", "text/plain"), ("keep-alive", "timeout=5"), ("x-mine", "1"), ("proxy-authenticate", "x")],
            b"ok",
        )
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let raw = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nconnection: close, cookie, x-secret\r\ncookie: a=1\r\nx-secret: 1\r\nte: trailers\r\n\r\n",
        gate.address
    );
    let answer = gate.raw(raw.as_bytes()).await;
    let got = upstream.last();
    assert_eq!(got.header("cookie"), Some("a=1"), "nobody nominates the cookie away");
    assert_eq!((got.header("x-secret"), got.header("te"), got.header("connection")), (None, None, None));
    assert_eq!(
        (answer.header("keep-alive"), answer.header("proxy-authenticate"), answer.header("x-mine")),
        (None, None, Some("1"))
    );
}

#[tokio::test]
async fn a_request_that_names_no_host_or_a_tunnel_is_refused() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    for (raw, want) in [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b@c\r\nconnection: close\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n", 405),
    ] {
        assert_eq!(gate.raw(raw.as_bytes()).await.status, want, "{raw}");
    }
    assert!(upstream.got().is_empty());
    let absolute = gate.raw(b"GET http://shop.example/p HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n").await;
    assert_eq!(absolute.status, 200);
    assert_eq!(upstream.last().line, "GET /p HTTP/1.1");
    assert_eq!(upstream.last().header("x-forwarded-host"), Some("shop.example"));
}

#[tokio::test]
async fn an_upstream_that_is_away_or_silent_or_mute_is_told_as_502_or_504() {
    let upstream = Upstream::start(|got| if got.path() == "/broken" { b"NONSENSE\r\n\r\n".to_vec() } else { Vec::new() }).await;
    let gate = Gate::start(&upstream).await;
    for path in ["/broken", "/closed"] {
        let answer = gate.get(path, &[]).await;
        assert_eq!(answer.status, 502, "{path}");
        assert!(answer.text().contains("<html"), "a page of the gate's own: {}", answer.text());
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let late = Gate::with(&upstream, |config| {
        config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")];
        config.limits.upstream_first_byte_s = 1;
    })
    .await;
    assert_eq!(late.get("/", &[]).await.status, 504);
    drop(silent);
    let away =
        Gate::with(&upstream, |config| config.sites[0].upstreams = vec!["http://127.0.0.1:9".parse().expect("a URL")]).await;
    assert_eq!(away.get("/", &[]).await.status, 502);
}

#[tokio::test]
async fn another_protocol_is_joined_after_the_upstreams_101_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.expect("a head");
                let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
                assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
                if head.starts_with("get /no ") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
                    return;
                }
                let _ = stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
                    .await;
                let mut echo = [0; 16];
                while let Ok(read @ 1..) = stream.read(&mut echo).await {
                    let _ = stream.write_all(&echo[..read]).await;
                }
            });
        }
    });
    let any = Upstream::page("x").await;
    let gate =
        Gate::with(&any, |config| config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")]).await;
    let ask =
        |path| format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n", gate.address);
    let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
    stream.write_all(ask("/ws").as_bytes()).await.expect("sent");
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("more");
        seen.push(byte[0]);
    }
    assert!(String::from_utf8_lossy(&seen).starts_with("HTTP/1.1 101 "));
    stream.write_all(b"ping").await.expect("sent");
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.expect("an echo");
    assert_eq!(&back, b"ping");

    let mut plain = TcpStream::connect(gate.address).await.expect("the gate listens");
    plain.write_all(ask("/no").as_bytes()).await.expect("sent");
    plain
        .write_all(format!("GET /_consent/state HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gate.address).as_bytes())
        .await
        .expect("sent");
    let mut all = Vec::new();
    plain.read_to_end(&mut all).await.expect("both answers");
    let all = String::from_utf8_lossy(&all);
    assert!(all.starts_with("HTTP/1.1 200") && all.contains("\"decided\""), "the second request is parsed by the gate: {all}");
}

#[tokio::test]
async fn bodies_stream_both_ways_as_they_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n1d\r\n<!doctype html><body><p>first</\r\n").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
    let any = Upstream::page("x").await;
    let gate =
        Gate::with(&any, |config| config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")]).await;
    let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", gate.address).as_bytes()).await.expect("sent");
    let mut seen = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), async {
        let mut chunk = [0; 1024];
        while !seen.contains("<p>first") {
            let read = stream.read(&mut chunk).await.expect("more");
            assert!(read > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    });
    read.await.expect("what the upstream has sent is not held back");
}

#[tokio::test]
async fn a_dead_idle_connection_costs_no_visitor_an_error() {
    // Answers one request a connection, says keep-alive, and closes all the same.
    let upstream =
        Upstream::start(|_| b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    let gate = Gate::start(&upstream).await;
    for _ in 0..20 {
        assert_eq!(gate.get("/", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn a_gate_that_stops_lets_requests_under_way_end() {
    let upstream = Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(600));
        respond("200 OK", &[("content-type", "text/plain")], b"late")
    })
    .await;
    let mut gate = Gate::start(&upstream).await;
    let address = gate.address;
    let asked = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("the gate listens");
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.expect("sent");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("an answer, then the end");
        String::from_utf8_lossy(&all).into_owned()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.stop().await;
    assert!(asked.await.expect("no panic").ends_with("late"));
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn an_upstream_that_is_the_gate_itself_is_told_and_not_asked_for_ever() {
    let any = Upstream::page("x").await;
    let free = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port");
    let gate = Gate::with(&any, |config| {
        config.listen = free;
        config.sites[0].upstreams = vec![format!("http://{free}").parse().expect("a URL")];
    })
    .await;
    assert_eq!(gate.get("/", &[]).await.status, 508);
}

#[tokio::test]
async fn bounds_hold_for_heads() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    let big = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\nconnection: close\r\n\r\n", "y".repeat(200_000));
    assert!(matches!(gate.raw(big.as_bytes()).await.status, 400 | 431));
    let many: String = (0..500).map(|n| format!("x{n}: 1\r\n")).collect();
    assert!(matches!(
        gate.raw(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}connection: close\r\n\r\n").as_bytes()).await.status,
        400 | 431
    ));
    assert!(upstream.got().is_empty());
}
