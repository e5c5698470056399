//! Requests as raw bytes, and what has to become of each. The first thirty-five are the probe that a
//! naive proxy on the same parser failed; the others grew beside it.

/// One connection's bytes.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) want: Want,
}

/// What has to become of them.
pub(crate) enum Want {
    /// Answered with this status, then the end; the upstream sees nothing.
    Refused(u16),
    /// The upstream sees these requests, each in one canonical form.
    Forwarded(&'static [Canon]),
    /// The first request is answered, the second is refused with this status.
    SecondRefused(u16),
    /// The gate answers with these statuses, and the upstream sees nothing.
    Answered(&'static [u16]),
}

/// Method, target, host and body.
pub(crate) type Canon = (&'static str, &'static str, &'static str, &'static [u8]);

use Want::{Answered, Forwarded, Refused, SecondRefused};

const PLAIN: &[Canon] = &[("GET", "/", "a.example", b"")];
const ABC: &[Canon] = &[("POST", "/", "a.example", b"abc")];

/// A head of these lines, for `a.example`, that asks for the connection's end.
fn head(first: &str, lines: &str) -> String {
    format!("{first}\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n")
}

fn get(lines: &str) -> Vec<u8> {
    head("GET / HTTP/1.1", lines).into_bytes()
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    (head("POST / HTTP/1.1", lines) + body).into_bytes()
}

fn line(first: &str) -> Vec<u8> {
    head(first, "").into_bytes()
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let raw = |text: &str| text.as_bytes().to_vec();
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let all = [lengths(), codings(), hosts(), lines(), bounds()].into_iter().flatten();
    let chunks = vec![
        ("a chunked body", chunked("3\r\nabc\r\n0\r\n\r\n"), Forwarded(ABC)),
        (
            "chunks in capital letters and with zeros",
            chunked("00A\r\n0123456789\r\n000\r\n\r\n"),
            Forwarded(&[("POST", "/", "a.example", b"0123456789")]),
        ),
        ("a chunk extension", chunked("3;a=b\r\nabc\r\n0;c\r\n\r\n"), Forwarded(ABC)),
        ("trailers", chunked("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), Forwarded(ABC)),
        ("a chunk extension above the bound", chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(2_000))), Refused(400)),
        ("a bad chunk size", chunked("x\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a negative chunk size", chunked("-3\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a chunk size that overflows", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a space behind the chunk size", chunked("3 \r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a chunk line that ends in LF", chunked("3\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("LF in a chunk extension", chunked("3;a\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("CR in a chunk extension", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a chunk longer than its size", chunked("2\r\nabc\r\n0\r\n\r\n"), Refused(400)),
        ("a chunk that ends in LF", chunked("3\r\nabc\n0\r\n\r\n"), Refused(400)),
        ("a trailer that is no line", chunked("0\r\nx\r\n\r\n"), Refused(400)),
        ("a folded trailer", chunked("0\r\nx: y\r\n z\r\n\r\n"), Refused(400)),
        ("a last chunk that ends in LF", chunked("0\n\n"), Refused(400)),
    ];
    let pipelined = vec![
        (
            "two requests at once",
            raw(&format!("GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n{}", head("GET /2 HTTP/1.1", ""))),
            Forwarded(&[("GET", "/1", "a.example", b""), ("GET", "/2", "a.example", b"")]),
        ),
        (
            "a request behind a body of known length",
            raw(&format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc{}", head("GET /2 HTTP/1.1", ""))),
            Forwarded(&[("POST", "/", "a.example", b"abc"), ("GET", "/2", "a.example", b"")]),
        ),
        (
            "a request behind a chunked body",
            raw(&format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{}",
                head("GET /2 HTTP/1.1", "")
            )),
            Forwarded(&[("POST", "/", "a.example", b"abc"), ("GET", "/2", "a.example", b"")]),
        ),
        (
            "an empty line behind a body",
            raw(&format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc\r\n{}",
                head("GET /2 HTTP/1.1", "")
            )),
            Forwarded(&[("POST", "/", "a.example", b"abc"), ("GET", "/2", "a.example", b"")]),
        ),
        ("an empty line in front", [b"\r\n".to_vec(), get("")].concat(), Forwarded(PLAIN)),
        ("two empty lines in front", [b"\r\n\r\n".to_vec(), get("")].concat(), Refused(400)),
        (
            "a request behind a faulty one",
            raw(&format!("GET / HTTP/1.1\r\nHost: a.example\r\nx : y\r\n\r\n{SMUGGLED}")),
            Refused(400),
        ),
        (
            "a faulty request behind a good one",
            raw(&format!("GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nx : y\r\n\r\n{SMUGGLED}")),
            SecondRefused(400),
        ),
        (
            "more body than its length",
            raw(&format!("POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n{SMUGGLED}")),
            SecondRefused(400),
        ),
    ];
    all.chain(chunks).chain(pipelined).map(|(name, bytes, want)| Case { name, bytes, want }).collect()
}

type Rows = Vec<(&'static str, Vec<u8>, Want)>;

fn lengths() -> Rows {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abc");
    vec![
        ("a plain request", get(""), Forwarded(PLAIN)),
        ("a body of known length", length("3"), Forwarded(ABC)),
        ("a length with zeros in front", length("0003"), Forwarded(ABC)),
        ("a length of nothing", post("Content-Length: 0\r\n", ""), Forwarded(&[("POST", "/", "a.example", b"")])),
        (
            "a body with GET",
            [get("Content-Length: 3\r\n"), b"abc".to_vec()].concat(),
            Forwarded(&[("GET", "/", "a.example", b"abc")]),
        ),
        ("two lengths that differ", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), Refused(400)),
        ("the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), Refused(400)),
        ("a list of lengths", length("3, 3"), Refused(400)),
        ("a length with a sign", length("+3"), Refused(400)),
        ("a negative length", length("-3"), Refused(400)),
        ("a length in another base", length("0x3"), Refused(400)),
        ("a length with a fraction", length("3.0"), Refused(400)),
        ("a length with a space in it", length("3 3"), Refused(400)),
        ("an empty length", length(""), Refused(400)),
        ("a length that overflows", length("18446744073709551619"), Refused(400)),
    ]
}

fn codings() -> Rows {
    let coded = |lines: &str| post(lines, "3\r\nabc\r\n0\r\n\r\n");
    vec![
        ("CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")), Refused(400)),
        (
            "TE.CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &format!("5c\r\n{SMUGGLED}0\r\n\r\n")),
            Refused(400),
        ),
        ("TE.TE, two lines", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Refused(400)),
        ("TE.TE, an unknown one", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), Refused(501)),
        ("TE.TE, identity", coded("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), Refused(400)),
        ("TE.TE, a space before the colon", coded("Transfer-Encoding : chunked\r\n"), Refused(400)),
        ("TE.TE, a tab before the colon", coded("Transfer-Encoding\t: chunked\r\n"), Refused(400)),
        ("TE.TE, folded", coded("Transfer-Encoding:\r\n chunked\r\n"), Refused(400)),
        ("TE.TE, a vertical tab", coded("Transfer-Encoding: \x0bchunked\r\n"), Refused(400)),
        ("TE.TE, quoted", coded("Transfer-Encoding: \"chunked\"\r\n"), Refused(400)),
        ("a coding of another name", coded("Transfer-Encoding: xchunked\r\n"), Refused(501)),
        ("gzip, chunked", coded("Transfer-Encoding: gzip, chunked\r\n"), Refused(501)),
        ("chunked, identity", coded("Transfer-Encoding: chunked, identity\r\n"), Refused(501)),
        ("chunked with a parameter", coded("Transfer-Encoding: chunked;a=b\r\n"), Refused(400)),
        ("chunked in capital letters", coded("TRANSFER-ENCODING: CHUNKED\r\n"), Forwarded(ABC)),
        (
            "a coding in HTTP/1.0",
            (head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n").into_bytes(),
            Refused(400),
        ),
        (
            "an underscore in place of the hyphen",
            post("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n", "abc"),
            Forwarded(ABC),
        ),
        ("100-continue", post("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc"), Forwarded(ABC)),
        ("another expectation", post("Content-Length: 3\r\nExpect: miracles\r\n", "abc"), Refused(417)),
        (
            "an upgrade with a body",
            post("Content-Length: 3\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", "abc"),
            Forwarded(ABC),
        ),
    ]
}

fn hosts() -> Rows {
    let raw = |text: &str| text.as_bytes().to_vec();
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\nConnection: close\r\n\r\n").into_bytes();
    vec![
        ("no host", raw("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), Refused(400)),
        ("two hosts", get("Host: b.example\r\n"), Refused(400)),
        ("the same host twice", get("Host: a.example\r\n"), Refused(400)),
        ("an empty host", host(""), Refused(400)),
        ("a host with a path", host("a.example/b@c"), Refused(400)),
        ("a host with a user", host("u@a.example"), Refused(400)),
        ("a host with a space", host("a.example b.example"), Refused(400)),
        ("a host with a comma", host("a.example, b.example"), Refused(400)),
        ("a host with an odd port", host("a.example:8o"), Refused(400)),
        ("a host with a port", host("a.example:81"), Forwarded(PLAIN)),
        ("an absolute address", line("GET http://evil.example/x?y HTTP/1.1"), Forwarded(&[("GET", "/x?y", "evil.example", b"")])),
        (
            "an absolute address without a path",
            line("GET http://evil.example HTTP/1.1"),
            Forwarded(&[("GET", "/", "evil.example", b"")]),
        ),
        ("an absolute address with a user", line("GET http://u:p@evil.example/ HTTP/1.1"), Refused(400)),
        ("an absolute address of another scheme", line("GET ftp://evil.example/ HTTP/1.1"), Refused(400)),
        (
            "an absolute address without a host",
            raw("GET http://evil.example/ HTTP/1.1\r\nConnection: close\r\n\r\n"),
            Refused(400),
        ),
        ("two slashes", line("GET //evil.example/x HTTP/1.1"), Forwarded(&[("GET", "//evil.example/x", "a.example", b"")])),
        ("an authority alone", line("GET evil.example:80 HTTP/1.1"), Refused(400)),
        ("a tunnel", line("CONNECT evil.example:443 HTTP/1.1"), Refused(405)),
        ("an echo", line("TRACE / HTTP/1.1"), Refused(405)),
        ("a question about the server", line("OPTIONS * HTTP/1.1"), Answered(&[204])),
        ("a star with another method", line("GET * HTTP/1.1"), Refused(400)),
    ]
}

fn lines() -> Rows {
    let raw = |text: &str| text.as_bytes().to_vec();
    vec![
        ("HTTP/0.9", raw("GET /\r\n\r\n"), Refused(400)),
        ("HTTP/1.2", line("GET / HTTP/1.2"), Refused(505)),
        ("HTTP/2.0", line("GET / HTTP/2.0"), Refused(505)),
        ("HTTP/0.9 by name", line("GET / HTTP/0.9"), Refused(505)),
        ("a version in small letters", line("GET / http/1.1"), Refused(400)),
        ("a version of more digits", line("GET / HTTP/1.1.1"), Refused(400)),
        ("HTTP/1.0", line("GET / HTTP/1.0"), Forwarded(PLAIN)),
        ("two spaces", line("GET  / HTTP/1.1"), Refused(400)),
        ("a tab for a space", line("GET\t/ HTTP/1.1"), Refused(400)),
        ("a space in the target", line("GET /a b HTTP/1.1"), Refused(400)),
        ("a control byte in the target", line("GET /\x01 HTTP/1.1"), Refused(400)),
        ("a fragment", line("GET /a#b HTTP/1.1"), Refused(400)),
        ("a method with odd bytes", line("G(T / HTTP/1.1"), Refused(400)),
        ("a method of the site's own", line("PROPFIND /x HTTP/1.1"), Forwarded(&[("PROPFIND", "/x", "a.example", b"")])),
        (
            "percent-encoded bytes",
            line("GET /%00%0d%0a%2e%2e/ HTTP/1.1"),
            Forwarded(&[("GET", "/%00%0d%0a%2e%2e/", "a.example", b"")]),
        ),
        ("a space before the colon", get("X : y\r\n"), Refused(400)),
        ("a folded line", get("X: y\r\n z\r\n"), Refused(400)),
        ("a folded first line", raw("GET / HTTP/1.1\r\n Host: a.example\r\nHost: a.example\r\n\r\n"), Refused(400)),
        ("a line without a colon", get("X\r\n"), Refused(400)),
        ("a line without a name", get(": y\r\n"), Refused(400)),
        ("NUL in a value", get("X: a\0b\r\n"), Refused(400)),
        ("NUL in a name", get("X\0: b\r\n"), Refused(400)),
        ("CR in a value", get("X: a\rb\r\n"), Refused(400)),
        ("CR for a line's end", raw("GET / HTTP/1.1\rHost: a.example\r\n\r\n"), Refused(400)),
        ("LF for a line's end", raw("GET / HTTP/1.1\nHost: a.example\nConnection: close\n\n"), Refused(400)),
        ("LF for one line's end", get("X: a\nY: b\r\n"), Refused(400)),
        ("bytes above ASCII in a value", get("X: \u{e4}\r\n"), Forwarded(PLAIN)),
        ("cookies nominated away", get("Connection: Cookie, Host\r\nCookie: a=1\r\n"), Forwarded(PLAIN)),
    ]
}

fn bounds() -> Rows {
    vec![
        ("a target above the bound", line(&format!("GET /{} HTTP/1.1", "a".repeat(20_000))), Refused(414)),
        ("a header above the bound", get(&format!("X: {}\r\n", "a".repeat(500_000))), Refused(431)),
        ("a hundred and one lines", get(&"X: y\r\n".repeat(101)), Forwarded(PLAIN)),
        ("lines above the bound", get(&"X: y\r\n".repeat(300)), Refused(431)),
        ("a method above the bound", line(&format!("{} / HTTP/1.1", "M".repeat(100))), Refused(501)),
    ]
}
