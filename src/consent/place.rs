//! Where a decision's form may lead back to: a path on this origin, and never one of the gate's own.

use url::Url;

/// The path and query to return to, or `None` where `wanted` is not safe: it must begin with one
/// slash, hold no control character or backslash in any spelling, resolve to the same origin, and
/// lie outside `prefix`.
pub fn safe_return(wanted: &str, origin: &Url, prefix: &str) -> Option<String> {
    if wanted.len() > 2048 || !wanted.starts_with('/') || wanted.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    // Some servers and browsers decode before they read: `/%2fevil` and `/%5cevil` as well as `%0d%0a`.
    let spelled = percent_encoding::percent_decode_str(wanted).decode_utf8().ok()?;
    if spelled.starts_with("//") || spelled.starts_with("/\\") || spelled.chars().any(char::is_control) {
        return None;
    }
    let url = origin.join(wanted).ok()?;
    let same = url.scheme() == origin.scheme()
        && url.host() == origin.host()
        && url.port_or_known_default() == origin.port_or_known_default();
    if !same || is_below(url.path(), prefix) || url.path().starts_with("//") {
        return None;
    }
    let mut place = url.path().to_owned();
    if let Some(query) = url.query() {
        place.push('?');
        place.push_str(query);
    }
    Some(place)
}

fn is_below(path: &str, prefix: &str) -> bool {
    let plain = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    plain.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_on_this_origin_is_safe() {
        let origin = Url::parse("https://a.site:8443/").expect("a test origin");
        for (wanted, want) in [
            ("/", Some("/")),
            ("/a/b?c=d&e=%C3%A9", Some("/a/b?c=d&e=%C3%A9")),
            ("/a#fragment", Some("/a")),
            ("/a/../b", Some("/b")),
            ("/x?next=//evil.example", Some("/x?next=//evil.example")),
            ("//evil.example", None),
            ("/\\evil.example", None),
            ("/%2fevil.example", None),
            ("/%5Cevil.example", None),
            ("/.//evil.example", None),
            ("https://evil.example/", None),
            ("javascript:alert(1)", None),
            ("/\tx", None),
            ("/a%0d%0aSet-Cookie:x=y", None),
            ("/_consent/decision", None),
            ("/%5fconsent/", None),
            ("/a/../_consent/", None),
            ("/_consenting", Some("/_consenting")),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(safe_return(wanted, &origin, "/_consent").as_deref(), want, "{wanted:?}");
        }
    }
}
