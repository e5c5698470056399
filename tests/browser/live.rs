//! What stays open, in a browser: a WebSocket and a stream of events through the gate, each waiting for the other.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    cdp::{Browser, Script},
    gate::Gate,
    recorder::Recorder,
};

/// Each event is answered over the socket before the next is sent: what buffers either way stands still.
const ROUNDS: usize = 20;
/// In one message, there and back.
const LARGE_BYTES: usize = 300_000;

const PAGE: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Live</title><link rel="icon" href="data:,"></head>
<body><p>Live</p><script>
const seen = { events: [], echoes: [], bytes: 0, faults: [] };
const socket = new WebSocket(`ws://${location.host}/echo`), stream = new EventSource('/stream');
socket.binaryType = 'arraybuffer';
const open = new Promise(done => { socket.onopen = done; });
stream.onmessage = async ({ data }) => { seen.events.push(data); await open; socket.send('got ' + data); };
stream.addEventListener('end', () => { stream.close(); socket.send(new Uint8Array(300000).fill(7)); });
socket.onmessage = ({ data }) => {
  if (typeof data === 'string') return seen.echoes.push(data);
  seen.bytes = new Uint8Array(data).filter(byte => byte === 7).length;
  socket.close(1000, 'done');
};
socket.onerror = () => seen.faults.push('socket');
stream.onerror = () => { if (seen.bytes === 0) seen.faults.push('stream'); };
const closed = new Promise(done => { socket.onclose = ({ code, reason }) => done({ ...seen, code, reason }); });
</script></body></html>"#;

/// A site with a page, a stream of events at `/stream` and an echo at `/echo`.
async fn site() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let next = Arc::new(Notify::new());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&next)));
        }
    });
    port
}

async fn serve(mut stream: TcpStream, next: Arc<Notify>) {
    let mut peeked = [0; 16];
    // A request line is in the first packet: the gate sends heads whole.
    let read = stream.peek(&mut peeked).await.unwrap_or(0);
    if peeked[..read].starts_with(b"GET /echo") {
        return echo(stream, &next).await;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    if head.starts_with(b"GET /stream") {
        return events(stream, &next).await;
    }
    let length = PAGE.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{PAGE}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn echo(stream: TcpStream, next: &Notify) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() {
            next.notify_one();
        }
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn events(mut stream: TcpStream, next: &Notify) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    for round in 1..=ROUNDS {
        if stream.write_all(format!("data: {round}\n\n").as_bytes()).await.is_err() {
            return;
        }
        next.notified().await;
    }
    let _ = stream.write_all(b"event: end\ndata: -\n\n").await;
    // The browser closes: it would come again otherwise.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_u8()).await;
}

#[tokio::test]
async fn a_socket_and_a_stream_of_events_answer_each_other() {
    let recorder = Recorder::start().await;
    let gate = Gate::start(site().await).await;
    let browser = Browser::start(recorder.port).await;
    let page = browser.owner().page(Script::On).await;
    page.go(&format!("http://shop.localhost:{}/", gate.port)).await.expect("the page loads");
    let seen =
        page.eval("Promise.race([closed, new Promise(done => setTimeout(() => done({ ...seen, late: true }), 20000))])").await;
    let rounds: Vec<String> = (1..=ROUNDS).map(|round| round.to_string()).collect();
    let echoes: Vec<String> = rounds.iter().map(|round| format!("got {round}")).collect();
    assert_eq!(seen["events"], serde_json::json!(rounds), "{seen}");
    assert_eq!(seen["echoes"], serde_json::json!(echoes), "{seen}");
    assert_eq!(seen["bytes"], LARGE_BYTES, "{seen}");
    assert_eq!((&seen["code"], &seen["reason"]), (&1000.into(), &"done".into()), "the end comes through as it was said: {seen}");
    assert_eq!(seen["faults"], serde_json::json!([]), "{seen}");
    println!("live: {ROUNDS} events and answers in turn, {LARGE_BYTES} bytes there and back, closed as asked");
}
