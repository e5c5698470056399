//! The site may believe it lives at the upstream's address (`--upstream https://my.site` on a
//! laptop): addresses in headers that name the upstream are turned to the front, and back, so that
//! the first click does not leave the gate and the site's own origin checks hold.
//!
//! Only scheme and authority are swapped; path and query keep their bytes. Addresses inside pages
//! are not touched, here or elsewhere.

use std::fmt;

use http::{
    HeaderMap,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LOCATION, LOCATION, ORIGIN, REFERER, REFRESH, SET_COOKIE},
};
use url::Url;

use super::{
    cookies::attribute_pair,
    lines::{Line, edit_lines},
    refresh::refresh_url,
};

/// A tuple origin (RFC 6454, section 4) of the schemes the gate speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// From `host` or `host:port`, in any case; none where that is no authority without user info.
    pub fn new(https: bool, authority: &str) -> Option<Self> {
        let scheme = if https { "https" } else { "http" };
        if authority.contains(['@', '/', '\\', '?', '#']) {
            return None;
        }
        Self::of(&Url::parse(&format!("{scheme}://{authority}/")).ok()?)
    }

    /// The origin of an `http` or `https` URL.
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        Some(Self { https, host, port: url.port_or_known_default()? })
    }

    /// Whether the scheme is `https`.
    pub fn https(&self) -> bool {
        self.https
    }

    /// The host in lower case, without port or trailing dot; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same place by either scheme: the port is the same, or each has its scheme's own.
    fn is_variant_of(&self, other: &Self) -> bool {
        self.host == other.host && (self.port == other.port || self.has_default_port() && other.has_default_port())
    }

    fn has_default_port(&self) -> bool {
        self.port == if self.https { 443 } else { 80 }
    }
}

/// The ASCII serialisation (RFC 6454, section 6.2): a default port is left out.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        if self.has_default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The two addresses of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// What the visitor's browser shows.
    pub front: Origin,
    /// What the gate asks.
    pub upstream: Origin,
}

/// Turns the upstream's address to the front's in `Location`, `Content-Location` (RFC 9110, 10.2.2
/// and 8.7), `Refresh` and `Access-Control-Allow-Origin`, and makes `Set-Cookie` lines fit the front.
///
/// Absolute and protocol-relative addresses of the upstream's host count, with either scheme; a
/// default port is as good as none. A cookie's `Domain` that only the upstream lies in is removed,
/// so that the cookie belongs to the front's host alone. On a plain `http` front, `Secure` and
/// `Partitioned` (which needs it) are removed and `SameSite=None` (which needs it) becomes
/// `SameSite=Lax`. Cookies named `__Host-…` and `__Secure-…` keep `Secure`, without which no
/// browser takes them: they work on `http://localhost` in browsers that trust it, elsewhere not.
pub fn localize_response(headers: &mut HeaderMap, sides: &Sides) {
    for name in [LOCATION, CONTENT_LOCATION, ACCESS_CONTROL_ALLOW_ORIGIN] {
        edit_lines(headers, &name, |line| swap_whole(line.as_bytes(), |found| to_front(found, sides)));
    }
    edit_lines(headers, &REFRESH, |line| swap_refresh(line.as_bytes(), sides));
    edit_lines(headers, &SET_COOKIE, |line| fit_cookie(line.as_bytes(), sides));
}

/// Turns the front's address to the upstream's in `Origin` and `Referer`: for requests whose `Host`
/// is rewritten too, so that the site's own checks against forged requests compare equals. Only
/// exactly the front's origin is turned; a foreign origin stays foreign.
pub fn localize_request(headers: &mut HeaderMap, sides: &Sides) {
    for name in [ORIGIN, REFERER] {
        edit_lines(headers, &name, |line| {
            swap_whole(line.as_bytes(), |found| (*found == sides.front).then_some(&sides.upstream))
        });
    }
}

/// Whether an upstream that is asked by `http` redirects to its own `https` address. Turned to the
/// front, that redirect leads back to where it came from, for ever: the operator should name the
/// upstream with `https://`.
pub fn wants_https(headers: &HeaderMap, sides: &Sides) -> bool {
    let location = headers.get(LOCATION).and_then(|line| split(line.as_bytes()));
    location.is_some_and(|(scheme, authority, _)| {
        let found = read_origin(scheme.unwrap_or(sides.upstream.https), authority);
        !sides.upstream.https && found.is_some_and(|found| found.https && found.is_variant_of(&sides.upstream))
    })
}

fn to_front<'s>(found: &Origin, sides: &'s Sides) -> Option<&'s Origin> {
    found.is_variant_of(&sides.upstream).then_some(&sides.front)
}

fn swap_whole<'s>(value: &[u8], swap: impl Fn(&Origin) -> Option<&'s Origin>) -> Line {
    swap_address(value, swap).map_or(Line::Keep, Line::Replace)
}

fn swap_refresh(value: &[u8], sides: &Sides) -> Line {
    let Some(place) = refresh_url(value) else { return Line::Keep };
    match swap_address(&value[place.clone()], |found| to_front(found, sides)) {
        Some(url) => Line::Replace([&value[..place.start], &url, &value[place.end..]].concat()),
        None => Line::Keep,
    }
}

/// The address with another origin; none where it is relative or `swap` says nothing.
fn swap_address<'s>(address: &[u8], swap: impl Fn(&Origin) -> Option<&'s Origin>) -> Option<Vec<u8>> {
    let (scheme, authority, rest) = split(address)?;
    let under = |https| swap(&read_origin(https, authority)?);
    // A protocol-relative address is the place in question if it is by either scheme.
    let origin = scheme.map_or_else(|| under(true).or_else(|| under(false)), under)?;
    Some([origin.to_string().as_bytes(), rest].concat())
}

fn read_origin(https: bool, authority: &[u8]) -> Option<Origin> {
    let authority = std::str::from_utf8(authority).ok()?;
    // User info is not part of an origin; browsers take the last `@`.
    Origin::new(https, authority.rsplit('@').next().unwrap_or(authority))
}

/// Scheme (`https`? none if protocol-relative), authority and rest of an absolute address, as the
/// URL standard splits it: `\` is read as `/`, and more than two of them as two.
fn split(address: &[u8]) -> Option<(Option<bool>, &[u8], &[u8])> {
    let address = address.trim_ascii();
    let after = |scheme: &[u8]| {
        let start = address.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &address[scheme.len()..])
    };
    let (https, tail) = match (after(b"https:"), after(b"http:")) {
        (Some(tail), _) => (Some(true), tail),
        (_, Some(tail)) => (Some(false), tail),
        _ => (None, address),
    };
    let slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let slashes = tail.iter().take_while(|byte| slash(byte)).count();
    if slashes < 2 {
        return None;
    }
    let tail = &tail[slashes..];
    let end = tail.iter().position(|byte| slash(byte) || matches!(byte, b'?' | b'#')).unwrap_or(tail.len());
    Some((https, &tail[..end], &tail[end..]))
}

/// Cookie attributes as in RFC 6265, section 5.2; what becomes of them is told at [`localize_response`].
fn fit_cookie(line: &[u8], sides: &Sides) -> Line {
    let prefixed = |prefix: &[u8]| line.trim_ascii_start().get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
    let plain = !sides.front.https && !prefixed(b"__host-") && !prefixed(b"__secure-");
    let mut parts = line.split(|&byte| byte == b';');
    let pair = parts.next().unwrap_or_default();
    let fitted: Vec<&[u8]> =
        std::iter::once(pair).chain(parts.filter_map(|attribute| fit_attribute(attribute, sides, plain))).collect();
    let fitted = fitted.join(&b";"[..]);
    if fitted == line { Line::Keep } else { Line::Replace(fitted) }
}

/// The attribute as the front needs it; `plain` says that nothing may ask for HTTPS.
fn fit_attribute<'a>(attribute: &'a [u8], sides: &Sides, plain: bool) -> Option<&'a [u8]> {
    let (name, value) = attribute_pair(attribute);
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    if is("domain") && only_upstream_lies_in(value, sides) || plain && (is("secure") || is("partitioned")) {
        return None;
    }
    let cross_site = plain && is("samesite") && value.eq_ignore_ascii_case(b"none");
    Some(if cross_site { b" SameSite=Lax" } else { attribute })
}

/// Whether the front would refuse this `Domain` and the upstream would not (RFC 6265, section 5.1.3).
fn only_upstream_lies_in(domain: &[u8], sides: &Sides) -> bool {
    let Ok(domain) = std::str::from_utf8(domain) else { return false };
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let lies_in = |host: &str| host.strip_suffix(domain.as_str()).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
    !domain.is_empty() && lies_in(&sides.upstream.host) && !lies_in(&sides.front.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::sample::{dump, head, headers, lines};

    fn sides(front: &str, upstream: &str) -> Sides {
        let origin = |text| Origin::of(&Url::parse(text).expect("a test address parses")).expect("http or https");
        Sides { front: origin(front), upstream: origin(upstream) }
    }

    #[test]
    fn an_origin_is_read_from_an_authority_and_shown_without_a_default_port() {
        for (https, authority, want) in [
            (true, "My.Site:443", Some("https://my.site")),
            (false, "my.site:443", Some("http://my.site:443")),
            (false, "127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            (false, "[::1]:80", Some("http://[::1]")),
            (true, "my.site.", Some("https://my.site")),
            (true, "a@my.site", None),
            (true, "my.site/x", None),
            (true, "my.site:x", None),
            (true, "", None),
        ] {
            assert_eq!(Origin::new(https, authority).map(|o| o.to_string()).as_deref(), want, "{authority}");
        }
        assert_eq!(Origin::of(&Url::parse("ftp://a.example/").expect("parses")), None);
    }

    #[test]
    fn addresses_of_the_upstream_are_turned_to_the_front() {
        let public = sides("http://localhost:8080", "https://my.site");
        let private = sides("https://my.site", "http://10.0.0.5:3000");
        for (sides, sent, want) in [
            (&public, "https://my.site/a?b=%20 c#d", Some("http://localhost:8080/a?b=%20 c#d")),
            (&public, "http://my.site/a", Some("http://localhost:8080/a")),
            (&public, "HTTPS://MY.site:443", Some("http://localhost:8080")),
            (&public, "http://my.site:80?x", Some("http://localhost:8080?x")),
            (&public, "//my.site/a//b", Some("http://localhost:8080/a//b")),
            (&public, "//my.site:80/a", Some("http://localhost:8080/a")),
            (&public, "https:\\\\my.site\\a", Some("http://localhost:8080\\a")),
            (&public, "https://u:p@my.site/a", Some("http://localhost:8080/a")),
            (&public, "https://my.site./a", Some("http://localhost:8080/a")),
            (&public, "https://my.site:8443/a", None),
            (&public, "https://my.site.evil.example/", None),
            (&public, "https://my.site@evil.example/", None),
            (&public, "https://www.my.site/", None),
            (&public, "/https://my.site/", None),
            (&public, "a?u=https://my.site/", None),
            (&public, "https:/my.site/", None),
            (&private, "http://10.0.0.5:3000/a", Some("https://my.site/a")),
            (&private, "https://10.0.0.5:3000/a", Some("https://my.site/a")),
            (&private, "http://10.0.0.5/a", None),
            (&private, "https://my.site/a", None),
        ] {
            for name in ["location", "content-location", "access-control-allow-origin"] {
                let mut map = headers(name, &[sent]);
                localize_response(&mut map, sides);
                assert_eq!(lines(&map, name), [want.unwrap_or(sent)], "{name}: {sent}");
            }
            let mut map = headers("refresh", &[&format!("3; URL='{sent}'x")]);
            localize_response(&mut map, sides);
            assert_eq!(lines(&map, "refresh"), [format!("3; URL='{}'x", want.unwrap_or(sent))], "{sent}");
        }
    }

    #[test]
    fn the_wildcard_and_null_origins_and_other_headers_are_left_alone() {
        let sent = ["access-control-allow-origin: *", "location: ", "refresh: 5", "x-link: https://my.site/"];
        let mut map = head(&sent);
        localize_response(&mut map, &sides("http://localhost:8080", "https://my.site"));
        let mut want = sent.map(str::to_owned).to_vec();
        want.sort();
        assert_eq!(dump(&map), want);
    }

    #[test]
    fn a_cookie_fits_the_front() {
        let laptop = sides("http://localhost:8080", "https://www.my.site");
        let tls = sides("https://stage.my.site", "https://www.my.site");
        let inside = sides("https://www.my.site", "http://10.0.0.5:3000");
        for (sides, sent, want) in [
            (&laptop, "a=1; Domain=.my.site; Path=/", "a=1; Path=/"),
            (&laptop, "a=1; domain = WWW.my.site ;Path=/", "a=1;Path=/"),
            (&laptop, "a=1; Domain=other.example", "a=1; Domain=other.example"),
            (&laptop, "a=1; Domain=y.site", "a=1; Domain=y.site"),
            (&laptop, "a=1; Domain=; Path=/", "a=1; Domain=; Path=/"),
            (&laptop, "a=Secure; Secure; HttpOnly", "a=Secure; HttpOnly"),
            (&laptop, "a=1; SECURE;samesite = none; Partitioned", "a=1; SameSite=Lax"),
            (&laptop, "Secure; SameSite=Strict", "Secure; SameSite=Strict"),
            (&laptop, "samesite=none; Path=/", "samesite=none; Path=/"),
            (&laptop, "__Host-a=1; Secure; SameSite=None; Path=/", "__Host-a=1; Secure; SameSite=None; Path=/"),
            (&laptop, "__Secure-a=1; Secure; Domain=my.site", "__Secure-a=1; Secure"),
            (&tls, "a=1; Domain=my.site; Secure; SameSite=None", "a=1; Domain=my.site; Secure; SameSite=None"),
            (&tls, "a=1; Domain=www.my.site; Secure", "a=1; Secure"),
            (&inside, "a=1; Domain=my.site; Secure", "a=1; Domain=my.site; Secure"),
            (&inside, "a=1; Domain=10.0.0.5", "a=1"),
        ] {
            let mut map = headers("set-cookie", &["first=1", sent]);
            localize_response(&mut map, sides);
            assert_eq!(lines(&map, "set-cookie"), ["first=1", want], "{sent}");
        }
    }

    #[test]
    fn only_the_fronts_own_origin_is_turned_on_the_way_in() {
        let sides = sides("http://localhost:8080", "https://my.site");
        for (sent, want) in [
            ("origin: http://localhost:8080", "origin: https://my.site"),
            ("referer: http://localhost:8080/a?b", "referer: https://my.site/a?b"),
            ("origin: https://localhost:8080", "origin: https://localhost:8080"),
            ("origin: http://localhost", "origin: http://localhost"),
            ("origin: https://evil.example", "origin: https://evil.example"),
            ("referer: https://evil.example/?http://localhost:8080/", "referer: https://evil.example/?http://localhost:8080/"),
            ("origin: null", "origin: null"),
        ] {
            let mut map = head(&[sent]);
            localize_request(&mut map, &sides);
            assert_eq!(dump(&map), [want]);
        }
    }

    #[test]
    fn a_redirect_from_http_to_its_own_https_is_seen() {
        let plain = sides("http://localhost:8080", "http://my.site");
        for (location, want) in
            [("https://my.site/", true), ("http://my.site/", false), ("https://b.example/", false), ("/a", false)]
        {
            assert_eq!(wants_https(&headers("location", &[location]), &plain), want, "{location}");
        }
        let tls = sides("http://localhost:8080", "https://my.site");
        assert!(!wants_https(&headers("location", &["https://my.site/"]), &tls));
    }
}
