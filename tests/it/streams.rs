//! What does not end by itself: tunnels, streams of events, long polls, bodies with fields after them; in both
//! protocols, and when the gate stops.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use consentry::config::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    frames::{Connection, DATA, END_STREAM, HEADERS, get},
    harness::{Gate, Upstream},
};

/// An upstream that is a function of each connection, once its first head is read.
async fn raw_upstream<F>(serve: impl Fn(TcpStream, String) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let serve = serve.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                        return;
                    }
                }
                serve(stream, String::from_utf8_lossy(&head).to_ascii_lowercase()).await;
            });
        }
    });
    address
}

async fn gate_to(address: SocketAddr, edit: impl FnOnce(&mut Config)) -> Gate {
    let any = Upstream::page("x").await;
    Gate::with(&any, |config| {
        config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")];
        edit(config);
    })
    .await
}

async fn send(gate: &Gate, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
    stream.write_all(text.replace("HOST", &gate.address.to_string()).as_bytes()).await.expect("sent");
    stream
}

/// Reads until `end` has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&all).contains(end) {
            assert!(stream.read_buf(&mut all).await.expect("bytes") > 0, "{}", String::from_utf8_lossy(&all));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(5), read).await;
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(in_time.is_ok(), "{end:?} did not come: {all}");
    all
}

/// Reads to the end of the connection; the time it took.
async fn to_end(stream: &mut TcpStream) -> (String, Duration) {
    let (began, mut all) = (Instant::now(), Vec::new());
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("an end");
    (String::from_utf8_lossy(&all).into_owned(), began.elapsed())
}

const ASK: &str = "GET /ws HTTP/1.1\r\nhost: HOST\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const CHANGED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Echoes what it gets; at its end it says so, and half a second later closes.
async fn echo(mut stream: TcpStream, _: String) {
    let _ = stream.write_all(CHANGED).await;
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        let _ = stream.write_all(&bytes[..read]).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _ = stream.write_all(b"bye").await;
}

#[tokio::test]
async fn a_tunnel_whose_one_direction_ended_goes_on_in_the_other() {
    let gate = gate_to(raw_upstream(echo).await, |_| {}).await;
    let mut stream = send(&gate, ASK).await;
    until(&mut stream, "\r\n\r\n").await;
    stream.write_all(b"ping").await.expect("sent");
    until(&mut stream, "ping").await;
    stream.shutdown().await.expect("half closed");
    assert_eq!(to_end(&mut stream).await.0, "bye", "what the site says after that still comes");

    let first = raw_upstream(|mut stream, _| async move {
        let _ = stream.write_all(&[CHANGED, b"all"].concat()).await;
        let _ = stream.shutdown().await;
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("text");
        assert_eq!(rest, "last words");
    })
    .await;
    let gate = gate_to(first, |_| {}).await;
    let mut stream = send(&gate, ASK).await;
    let mut all = String::new();
    stream.read_to_string(&mut all).await.expect("the end of one direction");
    assert!(all.ends_with("all"), "{all}");
    stream.write_all(b"last words").await.expect("the other direction goes on");
    stream.shutdown().await.expect("closed");
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_one_that_speaks_does_not() {
    let gate = gate_to(raw_upstream(echo).await, |config| config.limits.tunnel_idle_s = 1).await;
    let mut stream = send(&gate, ASK).await;
    until(&mut stream, "\r\n\r\n").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(b"still here").await.expect("sent");
        until(&mut stream, "still here").await;
    }
    let (_, took) = to_end(&mut stream).await;
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_stop_waits_for_tunnels_and_then_cuts_them() {
    let upstream = raw_upstream(echo).await;
    let mut gate = gate_to(upstream, |config| config.limits.drain_s = 30).await;
    let mut stream = send(&gate, ASK).await;
    until(&mut stream, "\r\n\r\n").await;
    let stopping = tokio::spawn(async move {
        gate.stop().await;
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.write_all(b"under way").await.expect("sent");
    until(&mut stream, "under way").await;
    assert!(!stopping.is_finished(), "it waits");
    stream.shutdown().await.expect("half closed");
    to_end(&mut stream).await;
    let ended = Instant::now();
    let stopped = stopping.await.expect("no panic");
    assert!(stopped.saturating_duration_since(ended) < Duration::from_secs(3), "and no longer than for them");

    let mut gate = gate_to(upstream, |config| config.limits.drain_s = 1).await;
    let mut stream = send(&gate, ASK).await;
    until(&mut stream, "\r\n\r\n").await;
    let began = Instant::now();
    gate.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(to_end(&mut stream).await.1 < Duration::from_secs(2), "it is cut");
}

#[tokio::test]
async fn only_the_protocol_that_was_asked_for_is_joined() {
    for changed in ["", "upgrade: other\r\n", "upgrade: websocket, other\r\n"] {
        let upstream = raw_upstream(move |mut stream, _| async move {
            let answer = format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{changed}\r\nhello");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut [0]).await;
        })
        .await;
        let gate = gate_to(upstream, |_| {}).await;
        let mut stream = send(&gate, &ASK.replace("connection: Upgrade", "connection: Upgrade, close")).await;
        let all = to_end(&mut stream).await.0;
        assert!(all.starts_with("HTTP/1.1 502 ") && !all.contains("hello"), "{changed}: {all}");
        let mut stream = send(&gate, "GET / HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n").await;
        let all = to_end(&mut stream).await.0;
        assert!(all.starts_with("HTTP/1.1 502 "), "nobody asked: {all}");
    }
    // A body before the change would be bytes of nobody's: it is an ordinary request.
    let upstream = raw_upstream(|mut stream, head| async move {
        let text = if head.contains("upgrade") { "asked to change" } else { "an ordinary one" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let gate = gate_to(upstream, |_| {}).await;
    let body = "content-length: 4\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\nbody";
    let mut stream = send(&gate, &format!("POST / HTTP/1.1\r\nhost: HOST\r\n{body}")).await;
    assert!(to_end(&mut stream).await.0.ends_with("an ordinary one"));
}

/// An event, and the next one once something came in.
async fn events(mut stream: TcpStream, _: String) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head).await;
    for n in 0..4 {
        let _ = stream.write_all(format!("9\r\ndata: {n}\n\n\r\n").as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
}

#[tokio::test]
async fn events_come_one_by_one_and_no_clock_ends_them() {
    let edit = |config: &mut Config| {
        config.limits.write_idle_s = 1;
        config.limits.body_idle_s = 1;
        config.limits.upstream_first_byte_s = 1;
        config.limits.head_s = 1;
        config.limits.http2_idle_s = 1;
    };
    let gate = gate_to(raw_upstream(events).await, edit).await;
    let mut one = send(&gate, "GET /events HTTP/1.1\r\nhost: HOST\r\naccept: text/event-stream\r\n\r\n").await;
    // Each before the next one is sent: 700 ms after the one before, and some for a busy machine.
    let soon = |n: u64| Duration::from_millis(if n == 0 { 600 } else { 1_300 });
    let mut last = Instant::now();
    for n in 0..4 {
        until(&mut one, &format!("data: {n}")).await;
        assert!(last.elapsed() < soon(n), "{n} after {:?}", last.elapsed());
        last = Instant::now();
    }
    until(&mut one, "0\r\n\r\n").await;

    let mut two = Connection::open(gate.address).await;
    assert!(two.ask(1, &[&get("/events")[..], &[("accept", "text/event-stream")]].concat(), false).await);
    let (mut last, mut seen) = (Instant::now(), 0);
    loop {
        let frame = two.next().await.expect("it goes on");
        if frame.kind == DATA && !frame.payload.is_empty() {
            assert_eq!(frame.payload, format!("data: {seen}\n\n").as_bytes());
            assert!(last.elapsed() < soon(seen), "{seen} after {:?}", last.elapsed());
            last = Instant::now();
            seen += 1;
        }
        if frame.stream == 1 && frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS) {
            break;
        }
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_given_up() {
    let upstream = raw_upstream(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let gate = gate_to(upstream, |config| {
        config.limits.write_idle_s = 1;
        config.limits.drain_s = 30;
    })
    .await;
    let mut stream = send(&gate, "GET / HTTP/1.1\r\nhost: HOST\r\n\r\n").await;
    until(&mut stream, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut gate = gate;
    let began = Instant::now();
    gate.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "its connection is gone already: {:?}", began.elapsed());
}

#[tokio::test]
async fn fields_after_a_body_reach_who_asks_for_them_and_never_the_site() {
    let upstream = raw_upstream(|mut stream, head| async move {
        let mut asked = head.into_bytes();
        let has_body = asked.windows(7).any(|window| window == b"chunked");
        while has_body && !asked.windows(5).any(|window| window == b"0\r\n\r\n") {
            assert!(stream.read_buf(&mut asked).await.expect("bytes") > 0);
        }
        let asked = String::from_utf8_lossy(&asked);
        assert!(!asked.contains("x-after") && !asked.contains("trailer"), "{asked}");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        let _ = stream.write_all(format!("{head}2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n").as_bytes()).await;
    })
    .await;
    let gate = gate_to(upstream, |_| {}).await;
    let ask = "GET / HTTP/1.1\r\nhost: HOST\r\nte: trailers\r\nconnection: close, te\r\n\r\n";
    assert!(to_end(&mut send(&gate, ask).await).await.0.ends_with("2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n"));
    let ask = "GET / HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n";
    assert!(to_end(&mut send(&gate, ask).await).await.0.ends_with("2\r\nok\r\n0\r\n\r\n"), "not who has not asked");
    let head = "POST / HTTP/1.1\r\nhost: HOST\r\ntransfer-encoding: chunked\r\ntrailer: x-after\r\nconnection: close\r\n\r\n";
    let mut stream = send(&gate, &format!("{head}4\r\nbody\r\n0\r\nx-after: 1\r\n\r\n")).await;
    assert!(to_end(&mut stream).await.0.starts_with("HTTP/1.1 200 "));

    let mut two = Connection::open(gate.address).await;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a.site"), (":path", "/"), ("trailer", "x-after")];
    assert!(two.ask(1, &post, true).await);
    assert!(two.send(DATA, 0, 1, b"body").await);
    assert!(two.ask(1, &[("x-after", "1")], false).await);
    let mut heads = 0;
    loop {
        let frame = two.next().await.expect("it goes on");
        heads += u32::from(frame.kind == HEADERS);
        if frame.stream == 1 && frame.flags & END_STREAM != 0 {
            assert_eq!((frame.kind, heads), (HEADERS, 2), "the last is a second head");
            break;
        }
    }
}

#[tokio::test]
async fn an_upload_is_asked_for_once_and_the_site_is_not_asked_to() {
    let upstream = raw_upstream(|mut stream, head| async move {
        assert!(!head.contains("expect"), "{head}");
        let mut body = Vec::new();
        while body.len() < 4 && matches!(stream.read_buf(&mut body).await, Ok(1..)) {}
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    })
    .await;
    let gate = gate_to(upstream, |_| {}).await;
    let head = "PUT / HTTP/1.1\r\nhost: HOST\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    let mut stream = send(&gate, head).await;
    let first = until(&mut stream, "\r\n\r\n").await;
    assert_eq!(first, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.expect("sent");
    let rest = to_end(&mut stream).await.0;
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("ok") && !rest.contains("100 Continue"), "{rest}");
}

#[tokio::test]
async fn a_long_poll_may_be_silent_as_long_as_the_limit_says_and_may_be_given_up() {
    let (gone, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = raw_upstream(move |mut stream, head| {
        let gone = gone.clone();
        async move {
            if head.starts_with("get /leave") {
                // The gate gives the request up when the visitor has.
                let _ = stream.read(&mut [0]).await;
                let _ = gone.send(());
                return;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let edit = |config: &mut Config| {
        config.limits.write_idle_s = 1;
        config.limits.head_s = 1;
        config.limits.http2_idle_s = 1;
    };
    let gate = gate_to(upstream, edit).await;
    let mut one = send(&gate, "GET /poll HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n").await;
    assert!(to_end(&mut one).await.0.ends_with("{}"));
    let mut two = Connection::open(gate.address).await;
    assert!(two.ask(1, &get("/poll"), false).await);
    assert_eq!(two.ended(1).await, crate::frames::Ended::Answered(200));

    let one = send(&gate, "GET /leave HTTP/1.1\r\nhost: HOST\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(one);
    tokio::time::timeout(Duration::from_secs(3), told.recv()).await.expect("HTTP/1.1: it is told").expect("it lives");
    let mut two = Connection::open(gate.address).await;
    assert!(two.ask(1, &get("/leave"), false).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(two.send(crate::frames::RST_STREAM, 0, 1, &8_u32.to_be_bytes()).await);
    tokio::time::timeout(Duration::from_secs(3), told.recv()).await.expect("HTTP/2: it is told").expect("it lives");
}
