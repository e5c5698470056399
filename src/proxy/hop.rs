//! Hop-by-hop headers (RFC 9110, 7.6.1): they end at the gate, in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Never forwarded, nominated or not.
const HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Names that `Connection` cannot nominate away: `Connection: cookie` would let a visitor, or a page,
/// drop the consent cookie on the way and `Connection: host` the site's name (traps: nomination).
const PROTECTED: [&str; 14] = [
    "cookie",
    "set-cookie",
    "host",
    "origin",
    "referer",
    "authorization",
    "content-length",
    "content-type",
    "content-encoding",
    "content-security-policy",
    "cache-control",
    "forwarded",
    "via",
    "sec-gpc",
];
const PROTECTED_PREFIXES: [&str; 2] = ["x-forwarded-", "sec-fetch-"];

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
    PROTECTED.contains(&name.as_str()) || PROTECTED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
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
