//! Time: every phase of a connection has a bound, and none but its own.

use std::time::{Duration, Instant};

use consentry::{
    config::Limits,
    proxy::listen::{self, clients::Clients},
    wire,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::{
    WAIT, gate,
    recorder::{Recorder, send},
};
use crate::harness::{Gate, Upstream};

async fn connect(gate: &Gate) -> TcpStream {
    TcpStream::connect(gate.address).await.expect("the gate listens")
}

/// Reads to the end of the connection; how long that took.
async fn to_end(stream: &mut TcpStream) -> (String, Duration) {
    let (started, mut bytes) = (Instant::now(), Vec::new());
    timeout(WAIT, stream.read_to_end(&mut bytes)).await.expect("the connection ends").ok();
    (String::from_utf8_lossy(&bytes).into_owned(), started.elapsed())
}

#[tokio::test]
async fn a_head_that_drips_in_is_told_so_and_an_idle_connection_just_ends() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |config| (config.limits.head_s, config.limits.idle_s) = (1, 2)).await;
    let mut silent = connect(&gate).await;
    let (text, took) = to_end(&mut silent).await;
    assert!(text.is_empty() && took >= Duration::from_millis(900), "{text} {took:?}");

    let mut slow = connect(&gate).await;
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a.example\r\nX: 0123456789012345678901234567890" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        to_end(&mut slow).await
    };
    let (text, _) = dripping.await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");

    let mut idle = connect(&gate).await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("sent");
    let (text, took) = to_end(&mut idle).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("ok"), "one answer, then nothing: {text}");
    assert!(took >= Duration::from_millis(1_900), "idle time is apart from head time: {took:?}");
    assert_eq!(recorder.take().len(), 1);
}

#[tokio::test]
async fn an_answer_that_takes_its_time_is_no_idle_connection() {
    let upstream = Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(2_500));
        crate::harness::respond("200 OK", &[("content-type", "text/plain")], b"late")
    })
    .await;
    let gate = Gate::with(&upstream, |config| (config.limits.head_s, config.limits.idle_s) = (1, 1)).await;
    let mut stream = connect(&gate).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("sent");
    assert!(to_end(&mut stream).await.0.ends_with("late"));
}

#[tokio::test]
async fn a_body_has_to_come_and_to_come_fast_enough() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |config| {
        config.limits.body_idle_s = 1;
        config.limits.body_bytes_per_s = 50;
    })
    .await;
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300\r\n\r\n";
    let mut silent = connect(&gate).await;
    silent.write_all(format!("{head}abc").as_bytes()).await.expect("sent");
    let (text, _) = to_end(&mut silent).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");

    // Never silent for long, and never done.
    for (size, status) in [(2, 408), (30, 200)] {
        let mut stream = connect(&gate).await;
        let dripping = async {
            stream.write_all(head.as_bytes()).await.expect("sent");
            for _ in 0..300 / size {
                if stream.write_all(&vec![b'x'; size]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            to_end(&mut stream).await
        };
        let (text, _) = timeout(Duration::from_secs(30), dripping).await.expect("it ends");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{size}: {text}");
    }
    assert_eq!(recorder.take().len(), 1, "only the whole one arrived");
}

#[tokio::test]
async fn a_visitor_who_reads_nothing_is_cut_and_one_who_reads_slowly_is_not() {
    let body: &'static [u8] = vec![b'x'; 32 << 20].leak();
    let upstream =
        Upstream::start(move |_| crate::harness::respond("200 OK", &[("content-type", "application/octet-stream")], body)).await;
    let gate = Gate::with(&upstream, |config| config.limits.write_idle_s = 1).await;
    let ask = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let mut deaf = connect(&gate).await;
    deaf.write_all(ask).await.expect("sent");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut bytes = Vec::new();
    timeout(WAIT, deaf.read_to_end(&mut bytes)).await.expect("the connection ends").ok();
    assert!(bytes.len() < body.len(), "it was cut: {}", bytes.len());

    let mut slow = connect(&gate).await;
    slow.write_all(ask).await.expect("sent");
    let (mut piece, mut all) = (vec![0; 4 << 20], 0);
    let reading = async {
        while let Ok(read @ 1..) = slow.read(&mut piece).await {
            all += read;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), reading).await.expect("it ends");
    assert!(all > body.len(), "it was whole: {all}");
}

#[tokio::test]
async fn one_client_does_not_take_all_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(async move {
        let limits = Limits { drain_s: 1, ..Limits::default() };
        let setting = listen::Setting { clients: Clients::new(3, Vec::new()), ..listen::Setting::direct(&limits) };
        listen::serve(vec![listen::Socket::plain(listener)], setting, stopping, |_, _| async {
            wire::answer(http::StatusCode::OK, "text/plain", "ok")
        })
        .await;
    });
    let ask = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(address).await.expect("it listens"));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(send(address, &[ask], WAIT).await.statuses.is_empty(), "the fourth is closed unread");
    held.pop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(send(address, &[ask], WAIT).await.statuses, [200]);
    drop(held);
    stop.send(true).expect("it still serves");
    serving.await.expect("it ends");
}
