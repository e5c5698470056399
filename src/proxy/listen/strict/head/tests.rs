use super::*;

const BOUNDS: Bounds = Bounds { target_bytes_max: 64, head_bytes_max: 600, head_lines_max: 8, chunk_extension_bytes_max: 16 };

/// Scans and checks a head, whatever the pieces it comes in.
fn read(bytes: &[u8]) -> Result<Option<Head<'_>>, Fault> {
    let mut ends = [1, 2, 5, bytes.len().max(1)].map(|size| {
        let mut scan = Scan::default();
        let sizes = (1..=bytes.len()).filter(|end| end % size == 0 || *end == bytes.len());
        sizes.map(|end| scan.advance(&bytes[..end], &BOUNDS)).find(|found| *found != Ok(None)).unwrap_or(Ok(None))
    });
    let end = ends[0];
    ends.iter_mut().for_each(|other| assert_eq!(*other, end, "in pieces: {}", bytes.escape_ascii()));
    end?.map(|end| check(&bytes[..end], &BOUNDS)).transpose()
}

fn framing(lines: &str) -> Result<Framing, Fault> {
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
    read(head.as_bytes()).map(|head| head.expect("a whole head").framing)
}

fn fault(head: &str) -> Option<Fault> {
    read(head.as_bytes()).err()
}

#[test]
fn a_plain_head_is_read_to_its_end() {
    let bytes = b"GET /a?b=%20|c HTTP/1.1\r\nHost: a.example:80\r\nx:\t y z \r\nempty:\r\n\r\nGET";
    let head = read(bytes).expect("no fault").expect("a whole head");
    assert_eq!((head.method, head.target, head.minor, head.framing), (&b"GET"[..], &b"/a?b=%20|c"[..], 1, Framing::None));
    assert!(!head.asks_upgrade);
    let all: Vec<_> = lines(bytes).map(|line| line.expect("a line")).collect();
    assert_eq!(all, [(&b"Host"[..], &b"a.example:80"[..]), (b"x", b"y z"), (b"empty", b"")]);
    assert_eq!(read(b"GET / HTTP/1.1\r\nhost: a\r\n").expect("no fault").map(|head| head.minor), None);
}

#[test]
fn a_request_line_has_three_parts_and_a_version() {
    for (line, want) in [
        ("GET /", Some(Fault::RequestLine)),
        ("GET  / HTTP/1.1", Some(Fault::RequestLine)),
        ("GET / HTTP/1.1 ", Some(Fault::RequestLine)),
        (" GET / HTTP/1.1", Some(Fault::RequestLine)),
        ("GET\t/ HTTP/1.1", Some(Fault::RequestLine)),
        ("GET / a HTTP/1.1", Some(Fault::RequestLine)),
        ("G(T / HTTP/1.1", Some(Fault::RequestLine)),
        ("GET / http/1.1", Some(Fault::RequestLine)),
        ("GET / HTTP/1.10", Some(Fault::RequestLine)),
        ("GET / HTTP/11", Some(Fault::RequestLine)),
        ("GET / HTTP/1.2", Some(Fault::Version)),
        ("GET / HTTP/0.9", Some(Fault::Version)),
        ("PRI * HTTP/2.0", Some(Fault::Version)),
        ("CONNECT a:443 HTTP/1.1", Some(Fault::MethodRefused)),
        ("TRACE / HTTP/1.1", Some(Fault::MethodRefused)),
        ("PROPFIND / HTTP/1.1", None),
        ("GET / HTTP/1.0", None),
        ("OPTIONS * HTTP/1.1", None),
        ("GET * HTTP/1.1", Some(Fault::Target)),
        ("GET a HTTP/1.1", Some(Fault::Target)),
        ("GET ?a HTTP/1.1", Some(Fault::Target)),
        ("GET /a#b HTTP/1.1", Some(Fault::Target)),
        ("GET /a\u{1} HTTP/1.1", Some(Fault::Target)),
        ("GET /\u{e9} HTTP/1.1", None),
        ("GET //evil.example/x HTTP/1.1", None),
        ("GET http://a.example HTTP/1.1", None),
        ("GET HTTPS://a.example:443/b?c HTTP/1.1", None),
        ("GET http://u@a.example/ HTTP/1.1", Some(Fault::Target)),
        ("GET http:///x HTTP/1.1", Some(Fault::Target)),
        ("GET http://a:b/ HTTP/1.1", Some(Fault::Target)),
        ("GET ftp://a.example/ HTTP/1.1", Some(Fault::Target)),
        ("GET a.example:80 HTTP/1.1", Some(Fault::Target)),
    ] {
        assert_eq!(fault(&format!("{line}\r\nhost: a\r\n\r\n")), want, "{line}");
    }
    assert_eq!(fault(&format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(65))), Some(Fault::Method));
}

#[test]
fn a_line_is_a_name_and_a_value() {
    for (line, want) in [
        ("x : y", Fault::HeaderLine),
        (" x: y", Fault::HeaderLine),
        ("\tx: y", Fault::HeaderLine),
        (": y", Fault::HeaderLine),
        ("x", Fault::HeaderLine),
        ("x: a\u{0}b", Fault::HeaderLine),
        ("x: a\rb", Fault::HeaderLine),
        ("x: a\r", Fault::HeaderLine),
        ("x: a\u{7f}b", Fault::HeaderLine),
        ("x\u{e9}: y", Fault::HeaderLine),
        ("x: a\nb: c", Fault::BareLineFeed),
        ("x: a\r\n b", Fault::HeaderLine),
        ("expect: more", Fault::Expectation),
        ("expect: 100-continue, more", Fault::Expectation),
    ] {
        assert_eq!(fault(&format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n")), Some(want), "{}", line.escape_debug());
    }
    assert_eq!(fault("GET / HTTP/1.1\nhost: a\n\n"), Some(Fault::BareLineFeed));
    assert_eq!(fault("\r\nGET / HTTP/1.1\r\n"), Some(Fault::RequestLine));
    for line in ["x: \u{e9}", "x: a\tb", "x:", "expect: 100-Continue", "X_y: 1"] {
        assert_eq!(fault(&format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n")), None, "{line}");
    }
    assert_eq!(fault("GET / HTTP/1.0\r\nexpect: more\r\n\r\n"), None, "it means nothing there");
}

#[test]
fn one_host_is_named() {
    for (lines, named) in [
        ("host: a.example", true),
        ("Host: [2001:db8::1]:8080", true),
        ("host: 127.0.0.1:1", true),
        ("host: xn--a_b.example", true),
        ("", false),
        ("host:", false),
        ("host: a\r\nhost: a", false),
        ("host: a, b", false),
        ("host: a/b@c", false),
        ("host: u@a", false),
        ("host: a b", false),
        ("host: a:", false),
        ("host: a:1x", false),
        ("host: a:123456", false),
        ("host: [::1", false),
        ("host: ::1", false),
        ("host: http://a", false),
    ] {
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        let want = (!named).then_some(Fault::Host);
        assert_eq!(fault(&format!("GET / HTTP/1.1\r\n{lines}\r\n")), want, "{lines}");
        assert_eq!(fault(&format!("GET http://b/ HTTP/1.1\r\n{lines}\r\n")), want, "{lines}");
    }
    assert_eq!(fault("GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn the_end_of_a_body_is_said_in_one_way() {
    for (lines, want) in [
        ("", Ok(Framing::None)),
        ("content-length: 0\r\n", Ok(Framing::None)),
        ("content-length: 007\r\n", Ok(Framing::Length(7))),
        ("Content-Length:\t12 \r\n", Ok(Framing::Length(12))),
        ("transfer-encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
        ("content-length: 1\r\ncontent-length: 1\r\n", Err(Fault::ContentLength)),
        ("content-length: 1\r\ncontent-length: 2\r\n", Err(Fault::ContentLength)),
        ("content-length: 1, 1\r\n", Err(Fault::ContentLength)),
        ("content-length: +1\r\n", Err(Fault::ContentLength)),
        ("content-length: -1\r\n", Err(Fault::ContentLength)),
        ("content-length: 0x1\r\n", Err(Fault::ContentLength)),
        ("content-length: 1 1\r\n", Err(Fault::ContentLength)),
        ("content-length: 1.0\r\n", Err(Fault::ContentLength)),
        ("content-length:\r\n", Err(Fault::ContentLength)),
        ("content-length: 9999999999999999999\r\n", Err(Fault::ContentLength)),
        ("content-length: 1\r\ntransfer-encoding: chunked\r\n", Err(Fault::TwoFramings)),
        ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", Err(Fault::TwoFramings)),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", Err(Fault::UnknownCoding)),
        ("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: chunked, chunked\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: gzip, chunked\r\n", Err(Fault::UnknownCoding)),
        ("transfer-encoding: chunked, identity\r\n", Err(Fault::UnknownCoding)),
        ("transfer-encoding: xchunked\r\n", Err(Fault::UnknownCoding)),
        ("transfer-encoding: identity\r\n", Err(Fault::UnknownCoding)),
        ("transfer-encoding: chunked;q=1\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: \"chunked\"\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: chunked,\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding:\r\n", Err(Fault::TransferEncoding)),
        ("transfer-encoding: \u{b}chunked\r\n", Err(Fault::HeaderLine)),
    ] {
        assert_eq!(framing(lines), want, "{lines}");
    }
    assert_eq!(fault("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), Some(Fault::TransferEncoding));
}

#[test]
fn bounds_hold_before_the_head_is_whole() {
    assert_eq!(fault(&format!("GET /{}", "a".repeat(200))), Some(Fault::TargetTooLong));
    assert_eq!(fault(&format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(64))), Some(Fault::TargetTooLong));
    assert_eq!(fault(&format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(63))), None);
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(600))), Some(Fault::HeadTooLarge));
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(600))), Some(Fault::HeadTooLarge));
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\n{}", "a:\r\n".repeat(9))), Some(Fault::TooManyLines));
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a:\r\n".repeat(7))), None);
}
