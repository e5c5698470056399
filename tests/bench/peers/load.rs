//! What asks: one request to compare a body, h2load for load and for a fixed rate, wrk for new connections, connections
//! that wait.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use crate::peer::LOAD_CORE;

/// What a browser says of a navigation: with less the gate would put no banner in.
pub(crate) const NAVIGATION: [&str; 4] =
    ["Accept: text/html,*/*;q=0.8", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none"];

/// The body of one answer, dechunked; panics where it is no 200 or not whole.
pub(crate) fn body(port: u16, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let head = NAVIGATION.join("\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
    let rest = &answer[end + 4..];
    if head.contains("transfer-encoding: chunked") { dechunked(rest) } else { rest.to_vec() }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..line]).trim(), 16).expect("a size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// Asks for a URL `count` times over kept connections. A count, and not a time: when it is over nothing is half done,
/// whatever share of the core the proxy got. Panics where an answer was none.
pub(crate) fn requests(url: &str, clients: usize, count: u64, headers: &[&str]) {
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_CORE.to_string(), "h2load", "--h1", "-t1", "-c", &clients.to_string(), "-n", &count.to_string()]);
    for line in headers {
        command.args(["-H", line]);
    }
    let output = command.arg(url).output().expect("h2load runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("status codes: {count} 2xx")), "{url}: h2load said\n{text}");
}

/// Opens a TLS connection for every request for a while; returns how many were answered.
pub(crate) fn connections(url: &str, clients: usize, span: Duration) -> u64 {
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1", "-c", &clients.to_string()]);
    // wrk counts in whole seconds.
    command.args(["-d", &format!("{}s", span.as_secs().max(1)), "--timeout", "10s", "-H", "Connection: close"]);
    let output = command.args(["-H", "Host: localhost", url]).output().expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx"), "{url}\n{text}");
    let count = text.lines().find_map(|line| line.trim().split_once(" requests in ")).and_then(|(count, _)| count.parse().ok());
    count.unwrap_or_else(|| panic!("{url}: wrk said\n{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The 99th percentile in microseconds at a fixed rate over 20 connections.
pub(crate) fn p99_us(url: &str, rate: usize, span: Duration, folder: &std::path::Path) -> f64 {
    const CLIENTS: usize = 20;
    let log = folder.join("h2load.log");
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_CORE.to_string(), "h2load", "--h1", "-t1", "-c", &CLIENTS.to_string()]);
    command.args(["--rps", &(rate / CLIENTS).to_string(), "-D", &span.as_secs().max(1).to_string()]);
    command.arg(format!("--log-file={}", log.display()));
    for line in NAVIGATION {
        command.args(["-H", line]);
    }
    let output = command.arg(url).output().expect("h2load runs");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    // Start in microseconds of an epoch, status, microseconds until the end.
    let mut times: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t').skip(1);
            fields.next().filter(|status| *status == "200").and(fields.next())?.parse().ok()
        })
        .collect();
    assert!(times.len() > 100, "{url}: h2load said\n{}", String::from_utf8_lossy(&output.stdout));
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// A connection with one request behind it, kept open.
pub(crate) fn idle(port: u16, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    exchange(&mut stream, path, length);
    stream
}

/// One request on an open connection, its answer of that length read whole.
pub(crate) fn exchange(stream: &mut (impl std::io::Read + std::io::Write), path: &str, length: usize) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + length) {
            return;
        }
        let read = stream.read(&mut piece).expect("it answers");
        assert_ne!(read, 0, "it hung up");
        answer.extend_from_slice(&piece[..read]);
    }
}

/// A connection that has asked and reads nothing.
pub(crate) fn slow(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let head = NAVIGATION.join("\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n").expect("it reads");
    stream
}
