//! Requests of HTTP/2 that are malformed, or that would be two requests in HTTP/1.1: their stream ends, and
//! the site behind sees nothing of them.

use std::time::Duration;

use crate::{
    frames::{Connection, DATA, END_STREAM, Ended, PROTOCOL_ERROR, get},
    harness::{Gate, Upstream},
};

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
