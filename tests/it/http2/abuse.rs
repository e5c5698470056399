//! Abuse of HTTP/2 with frames by hand, of a gate in a process of its own: a stream or the connection ends,
//! memory stays bounded, and others are served.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::body_over;
use crate::{
    frames::{
        CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Ended, GOAWAY, HEADERS, PING, REFUSED_STREAM,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, get,
    },
    harness::{Upstream, respond},
    process::{Process, free, start},
};

/// A figure that belongs to the test's outcome.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, and where the test fails")]
fn figure(text: &str) {
    println!("{text}");
}

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
        figure(&format!("{what}: {grown_kb} kB more than the {before_kb} kB before"));
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
        figure(&format!("{what} continuations: {taken} bytes were written"));
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
        figure(&format!("{what}: {sent} were written, then GOAWAY {code:?}"));
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
        figure(&format!("window {what}: {held_kb} kB for 400 answers of 4 MiB"));
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
        figure(&format!("{what}: {taken} bytes taken in {} ms", began.elapsed().as_millis()));
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
    figure(&format!("{refused} streams refused, then {goaway:?}"));
    assert!(refused > 0 && refused <= 200, "{refused}");
    gate.stands("thousands of streams", before, 32).await;
}
