//! Whether a source expression of the site's policy already lets the gate's own addresses through.

use percent_encoding::percent_decode_str;
use url::Url;

/// Whether the expression (CSP Level 3, section 2.3.1) matches every address under `own`, whose path
/// ends in `/` and whose origin is the page's. Errs towards no: then a source is added twice.
pub(super) fn covers(expression: &str, own: &Url) -> bool {
    if let Some(keyword) = expression.strip_prefix('\'') {
        return keyword.eq_ignore_ascii_case("self'");
    }
    if expression == "*" {
        return true;
    }
    if let Some(scheme) = expression.strip_suffix(':')
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        return scheme_covers(scheme, own);
    }
    let (scheme, rest) = match expression.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, expression),
    };
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    scheme.is_none_or(|scheme| scheme_covers(scheme, own))
        && host_covers(host, own)
        && port_covers(port, own)
        && path_covers(path, own)
}

/// Section 6.7.2.7: `http` stands for `https` too.
fn scheme_covers(scheme: &str, own: &Url) -> bool {
    scheme.eq_ignore_ascii_case(own.scheme()) || scheme.eq_ignore_ascii_case("http") && own.scheme() == "https"
}

/// Section 6.7.2.8.
fn host_covers(pattern: &str, own: &Url) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), own.host_str().unwrap_or_default());
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => suffix.starts_with('.') && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// Section 6.7.2.9.
fn port_covers(pattern: Option<&str>, own: &Url) -> bool {
    match pattern {
        None => own.port().is_none(),
        Some("*") => true,
        Some(port) => port.parse().is_ok_and(|port| own.port_or_known_default() == Some(port)),
    }
}

/// Section 6.7.2.10: a path that ends in `/` covers what is below it, another one itself alone.
fn path_covers(pattern: &str, own: &Url) -> bool {
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    pattern.is_empty() || pattern.ends_with('/') && decoded(own.path()).starts_with(&decoded(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_covers_own_addresses_as_browsers_match_it() {
        for (own, expression, want) in [
            ("https://a.site/_consent/", "'self'", true),
            ("https://a.site/_consent/", "'SELF'", true),
            ("https://a.site/_consent/", "'none'", false),
            ("https://a.site/_consent/", "'unsafe-inline'", false),
            ("https://a.site/_consent/", "*", true),
            ("https://a.site/_consent/", "https:", true),
            ("https://a.site/_consent/", "HTTP:", true),
            ("http://a.site/_consent/", "https:", false),
            ("https://a.site/_consent/", "data:", false),
            ("https://a.site/_consent/", "A.site", true),
            ("https://a.site/_consent/", "http://a.site", true),
            ("http://a.site/_consent/", "https://a.site", false),
            ("https://a.site/_consent/", "wss://a.site", false),
            ("https://a.site/_consent/", "a.site:443", true),
            ("https://a.site/_consent/", "a.site:*", true),
            ("https://a.site/_consent/", "a.site:8443", false),
            ("https://a.site:8443/_consent/", "a.site", false),
            ("https://a.site:8443/_consent/", "a.site:8443", true),
            ("https://a.site/_consent/", "*.site", true),
            ("https://a.site/_consent/", "https://*", true),
            ("https://a.site/_consent/", "*.a.site", false),
            ("https://a.site/_consent/", "*site", false),
            ("https://a.site/_consent/", "b.site", false),
            ("https://a.site/_consent/", "a.site/", true),
            ("https://a.site/_consent/", "a.site/_consent/", true),
            ("https://a.site/_consent/", "a.site/%5fconsent/", true),
            ("https://a.site/_consent/", "a.site/_consent", false),
            ("https://a.site/_consent/", "a.site/_consent/assets/", false),
            ("https://a.site/_consent/", "a.site/js/", false),
            ("https://a.site/_consent/", "a.site/_consent/?x/", false),
        ] {
            assert_eq!(covers(expression, &Url::parse(own).expect("a test address parses")), want, "{expression} {own}");
        }
    }
}
