//! Hop-by-hop headers (RFC 9110, 7.6.1): they end at the gate, in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::wire;

/// Never forwarded, nominated or not.
const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Names that `Connection` cannot nominate away: `Connection: cookie` would let a visitor, or a page,
/// drop the consent cookie on the way and `Connection: host` the site's name (traps: nomination); what
/// the gate decides by, sets itself or relies on a browser to obey stays as well.
const PROTECTED: [&str; 37] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "cdn-loop",
    "cookie",
    "date",
    "etag",
    "expires",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "origin",
    "range",
    "referer",
    "referrer-policy",
    "refresh",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-real-ip",
];
const PROTECTED_PREFIXES: [&str; 9] = [
    "x-forwarded-",
    "sec-",
    "content-",
    "access-control-",
    "consentry-",
    "x-consentry-",
    "cross-origin-",
    "x-content-type-",
    "x-frame-",
];

/// Names whose spelling with underscores a site behind may take for the name itself: servers hand both
/// to a program as one variable (RFC 3875, 4.1.18). What decides where a body ends, or what the gate
/// sets, must not come in that way.
const NO_LOOKALIKE: [&str; 8] =
    ["content-length", "cookie", "forwarded", "host", "sec-gpc", "transfer-encoding", "via", "x-real-ip"];
const NO_LOOKALIKE_PREFIXES: [&str; 4] = ["x-forwarded-", "sec-fetch-", "consentry-", "x-consentry-"];

/// Removes the hop-by-hop headers and what `Connection` nominates.
pub(super) fn strip(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in nominated.iter().chain(&HOP) {
        headers.remove(name);
    }
}

fn is_protected(name: &HeaderName) -> bool {
    is_among(name.as_str(), &PROTECTED, &PROTECTED_PREFIXES)
}

fn is_among(name: &str, names: &[&str], prefixes: &[&str]) -> bool {
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Removes trailers that are no mere remark on the body: whoever merges trailers into the head would be
/// told by them what no filter has seen (RFC 9110, 6.5.1).
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_lookalikes(trailers);
    let names: Vec<HeaderName> = trailers.keys().filter(|name| is_protected(name) || HOP.contains(name)).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

/// Removes from a request what only looks like a header that it must not have.
pub(super) fn strip_lookalikes(headers: &mut HeaderMap) {
    let is_lookalike = |name: &&HeaderName| {
        name.as_str().contains('_') && is_among(&name.as_str().replace('_', "-"), &NO_LOOKALIKE, &NO_LOOKALIKE_PREFIXES)
    };
    let lookalikes: Vec<HeaderName> = headers.keys().filter(is_lookalike).cloned().collect();
    for name in lookalikes {
        headers.remove(name);
    }
}

/// Whether a head says plainly where its body ends: by no transfer coding or `chunked` alone, since any
/// other would be lost on the way, and by no length beside it, or one plain one (RFC 9112, 6.1 and 6.3).
pub(super) fn framed_plainly(headers: &HeaderMap) -> bool {
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return !coded
            || wire::single(headers, &header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    }
    let length = wire::single(headers, &header::CONTENT_LENGTH).unwrap_or_default();
    !coded && !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit())
}

/// The protocol a request asks to change to, if it does (RFC 9110, 7.8). Not to another HTTP: inside
/// such a tunnel requests would pass the gate unread.
pub(super) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    let is_http =
        |protocol: &str| ["h2", "http", "tls"].iter().any(|name| protocol.trim().to_ascii_lowercase().starts_with(name));
    let protocol = headers.get(header::UPGRADE).filter(|_| asks)?;
    let other = protocol.to_str().is_ok_and(|list| !list.split(',').any(is_http));
    other.then(|| protocol.clone())
}

/// Whether an answer with status 101 changes to a protocol that was asked for (RFC 9110, 15.2.2).
pub(super) fn agrees(answer: &HeaderMap, asked: &HeaderValue) -> bool {
    let names = |value: &HeaderValue| -> Vec<String> {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let asked = names(asked);
    let chosen: Vec<String> = answer.get_all(header::UPGRADE).iter().flat_map(names).collect();
    !chosen.is_empty() && chosen.iter().all(|name| asked.contains(name))
}

/// Puts the upgrade back after [`strip`].
pub(super) fn ask_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominated_headers_go_and_protected_ones_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, Cookie, X-Custom, x-forwarded-for"),
            ("cookie", "a=1"),
            ("x-custom", "1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "cookie", "x-forwarded-for"]);
    }

    #[test]
    fn only_remarks_on_the_body_stand_behind_it() {
        let mut trailers = HeaderMap::new();
        for name in
            ["x-checksum", "grpc-status", "cookie", "set-cookie", "content-length", "x-forwarded-for", "x_forwarded_for", "te"]
        {
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip_trailers(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-checksum"]);
    }

    #[test]
    fn what_only_looks_like_a_header_goes() {
        let mut headers = HeaderMap::new();
        for name in ["x_forwarded_for", "x-forwarded_proto", "transfer_encoding", "x_mine", "x-forwarded-for", "sec_gpc"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip_lookalikes(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-forwarded-for", "x_mine"]);
    }

    #[test]
    fn a_body_ends_in_one_plain_way() {
        for (lines, plain) in [
            (&[][..], true),
            (&[("content-length", "5")], true),
            (&[("transfer-encoding", "chunked")], true),
            (&[("content-length", "5"), ("content-length", "5")], false),
            (&[("content-length", "5, 5")], false),
            (&[("content-length", "+5")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked"), ("content-length", "5")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(framed_plainly(&map), plain, "{lines:?}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert_eq!(wanted_upgrade(&headers), None);
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        assert_eq!(wanted_upgrade(&headers), Some(HeaderValue::from_static("websocket")));
        for http in ["h2c", "H2C, websocket", "HTTP/2.0", "TLS/1.0"] {
            headers.insert(header::UPGRADE, HeaderValue::from_static(http));
            assert_eq!(wanted_upgrade(&headers), None, "{http}");
        }
    }
}
