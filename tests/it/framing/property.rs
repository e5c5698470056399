//! Whatever the checker accepts, hyper takes for the same request with the same end: heads and bodies
//! made of the parts that requests are smuggled with, and a byte of them exchanged.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};

use super::oracle::{agree, agree_on_body};

const METHODS: [&str; 6] = ["GET", "POST", "OPTIONS", "get", "M-SEARCH", "CONNECT"];
const TARGETS: [&str; 10] = [
    "/",
    "/a?b=c",
    "//evil.example/",
    "*",
    "http://a.example",
    "HTTP://a.example:80?x",
    "https://[::1]/\u{e4}",
    "/|\"{}^`\\<>",
    "/\u{e4}\u{20ac}?\u{e4}",
    "/a?b?c#d",
];
const VERSIONS: [&str; 4] = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2"];
const NAMES: [&str; 12] = [
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "Expect",
    "Host",
    "X-A",
    "x_b",
    "Cookie",
    "!#$%&'*+-.^_`|~",
    "TE",
    "x-a",
];
const VALUES: [&str; 16] = [
    "",
    "0",
    "3",
    "003",
    "+3",
    "3, 3",
    "999999999999999999",
    "chunked",
    "Chunked",
    "gzip, chunked",
    "close",
    "upgrade",
    "websocket",
    "100-continue",
    "\t a\tb \t",
    "\u{e4}",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        3 => select(&VALUES[..]).prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    (select(&NAMES[..]), select(&[":", ": ", ":\t", " : "][..]), value)
        .prop_map(|(name, colon, value)| [name.as_bytes(), colon.as_bytes(), &value, b"\r\n"].concat())
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let first = (select(&METHODS[..]), select(&TARGETS[..]), select(&VERSIONS[..]));
    let exchanged = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (first, vec(line(), 0..4), exchanged).prop_map(|((method, target, version), lines, exchanged)| {
        let mut bytes = format!("{method} {target} {version}\r\nHost: a.example\r\n").into_bytes();
        bytes.extend(lines.concat());
        bytes.extend_from_slice(b"\r\n");
        if let Some((at, byte)) = exchanged {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

const PIECES: [&str; 16] = [
    "0\r\n",
    "1\r\nx\r\n",
    "3\r\nabc\r\n",
    "00A\r\n0123456789\r\n",
    "1;a=\"b\"\r\nx\r\n",
    "2\r\n\r\n\r\n",
    "X: y\r\n",
    "Y:\t\r\n",
    "\r\n",
    "\n",
    "\r",
    ";",
    "1",
    "5\r\n0\r\n\r\n\r\n",
    "x",
    "f",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(&PIECES[..9]), 0..4);
    let noise = prop::option::weighted(0.4, (any::<prop::sample::Index>(), select(&PIECES[..])));
    let end = select(&["0\r\n\r\n", "0;c\r\nX: y\r\n\r\n", "00\r\n\r\nGET", "0\r\n"][..]);
    (pieces, end, noise).prop_map(|(pieces, end, noise)| {
        let mut bytes = (pieces.concat() + end).into_bytes();
        if let Some((at, piece)) = noise {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        bytes
    })
}

fn holds(strategy: impl Strategy<Value = Vec<u8>>, agree: impl Fn(&[u8]) -> bool) {
    let (tried, accepted) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut runner = TestRunner::new(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() });
    let ran = runner.run(&strategy, |bytes| {
        tried.fetch_add(1, Ordering::Relaxed);
        accepted.fetch_add(u32::from(agree(&bytes)), Ordering::Relaxed);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let (tried, accepted) = (tried.into_inner(), accepted.into_inner());
    assert!(accepted * 20 > tried, "{accepted} of {tried} were accepted: too few to tell anything");
}

#[test]
fn what_is_accepted_is_the_same_request_to_hyper() {
    holds(head(), agree);
}

#[test]
fn a_body_ends_where_hyper_takes_it_to_end() {
    holds(body(), agree_on_body);
}
