//! Expiring cookies in the browser after a refusal or a withdrawal, in every variant they may have
//! been set as: a request names its cookies, but not the domain and path they belong to.

use http::HeaderValue;

/// How much [`expire`] may add to an answer's head.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The most bytes, header names and line ends included.
    bytes_max: usize,
    /// Where in the list of variants to begin.
    start: Start,
}

#[derive(Clone, Copy, Debug)]
enum Start {
    /// With `Path=/`.
    Root,
    /// With the first deeper path.
    Deeper,
    /// Anywhere.
    Turn(usize),
}

impl Room {
    /// A page of somebody who has not decided, with cookies from before the gate: proxies in front
    /// often hold a whole head in 4 KiB, and the site's own headers must fit as well. What is left over
    /// goes with later pages, hence a `turn` that differs from page to page: a list that always began
    /// at the same place would never come to its end.
    pub fn page(turn: usize) -> Self {
        Self { bytes_max: 1536, start: Start::Turn(turn) }
    }

    /// A page after a decision, whose answer has expired the variants of `Path=/`: what is left is deeper.
    pub fn page_after_decision() -> Self {
        Self { bytes_max: 3072, start: Start::Deeper }
    }

    /// The answer to a decision, which has hardly any other headers: every variant that can matter.
    pub fn decision() -> Self {
        Self { bytes_max: 6144, start: Start::Root }
    }
}

/// How many variants are looked at: names that nobody can shorten must not cost time either.
const TURNS_MAX: usize = 2_000;

/// What a line takes beside its value: the header's name and the line's end.
const LINE_BYTES: usize = "set-cookie: \r\n".len();

/// `Set-Cookie` lines that expire each cookie (RFC 6265, section 3.1): without `Domain`, and with the
/// host and each parent of two labels or more as `Domain`; with `Path=/` and with every prefix of
/// `path`, with and without a slash at its end.
///
/// `host` may carry a port; an IP address or a name of one label has no `Domain` variants. `path` is
/// a URL's path; what follows a `?`, `;` or anything else that an attribute cannot hold is ignored.
/// `secure` says that the visitor speaks HTTPS: a cookie without `Secure` cannot replace one that has
/// it. Names that no header can carry are left out, and so is what exceeds the `room`: `Path=/` comes
/// first for all names and domains, deeper paths follow, the shortest first.
pub fn expire(names: &[impl AsRef<str>], host: &str, path: &str, secure: bool, room: Room) -> Vec<HeaderValue> {
    let mut known: Vec<&str> = Vec::new();
    for name in names.iter().map(AsRef::as_ref).filter(|name| is_name(name)) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let (paths, domains) = (paths(path), domains(host));
    let variants = paths.len() * domains.len() * known.len();
    let start = match room.start {
        Start::Root => 0,
        Start::Deeper => domains.len() * known.len(),
        Start::Turn(turn) => turn,
    };
    let mut lines = Vec::new();
    let mut bytes = 0;
    for turn in 0..variants.min(TURNS_MAX) {
        let nth = (start % variants + turn) % variants;
        let (name, nth) = (known[nth % known.len()], nth / known.len());
        let (domain, path) = (&domains[nth % domains.len()], &paths[nth / domains.len()]);
        let Some(line) = line(name, domain.as_deref(), path, secure) else { continue };
        // One that is too long does not stand in the way of the others.
        if bytes + line.len() + LINE_BYTES <= room.bytes_max {
            bytes += line.len() + LINE_BYTES;
            lines.push(line);
        }
    }
    lines
}

/// A name that a cookie can have and that was read without loss.
fn is_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, ';' | '=' | char::REPLACEMENT_CHARACTER);
    !name.is_empty() && name.trim_ascii() == name && !name.contains(odd)
}

/// One line, or none where a name's prefix forbids the variant (RFC 6265bis, section 4.1.3).
fn line(name: &str, domain: Option<&str>, path: &str, secure: bool) -> Option<HeaderValue> {
    let prefixed = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let host_only = prefixed("__Host-");
    if host_only && (domain.is_some() || path != "/") {
        return None;
    }
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let secure = if secure || host_only || prefixed("__Secure-") { "; Secure" } else { "" };
    HeaderValue::from_bytes(format!("{name}=; Max-Age=0; Path={path}{domain}{secure}").as_bytes()).ok()
}

/// No `Domain`, then the host, then its parents down to two labels.
fn domains(host: &str) -> Vec<Option<String>> {
    let mut domains = vec![None];
    if let Ok(url) = url::Url::parse(&format!("http://{host}/"))
        && let Some(url::Host::Domain(name)) = url.host()
    {
        let mut rest = name.trim_end_matches('.');
        while let Some((_, parent)) = rest.split_once('.') {
            domains.push(Some(rest.to_owned()));
            rest = parent;
        }
    }
    domains
}

/// `/`, then each prefix of the path without and with a slash at its end.
fn paths(path: &str) -> Vec<String> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, ';' | '?' | '#');
    let end = path.find(|c| !fits(c)).unwrap_or(path.len());
    let mut paths = vec!["/".to_owned()];
    let mut prefix = String::new();
    for segment in path[..end].split('/').filter(|segment| !segment.is_empty()) {
        prefix.push('/');
        prefix.push_str(segment);
        paths.push(prefix.clone());
        paths.push(format!("{prefix}/"));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[&str], host: &str, path: &str, secure: bool) -> Vec<String> {
        let lines = expire(names, host, path, secure, Room::decision());
        lines.iter().map(|line| String::from_utf8(line.as_bytes().to_vec()).expect("UTF-8 in, UTF-8 out")).collect()
    }

    #[test]
    fn every_domain_and_path_variant_is_expired_shallow_ones_first() {
        assert_eq!(
            lines(&["_acme"], "Shop.A.example:8443", "/en/cart?x=1", true),
            [
                "_acme=; Max-Age=0; Path=/; Secure",
                "_acme=; Max-Age=0; Path=/; Domain=shop.a.example; Secure",
                "_acme=; Max-Age=0; Path=/; Domain=a.example; Secure",
                "_acme=; Max-Age=0; Path=/en; Secure",
                "_acme=; Max-Age=0; Path=/en; Domain=shop.a.example; Secure",
                "_acme=; Max-Age=0; Path=/en; Domain=a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/; Secure",
                "_acme=; Max-Age=0; Path=/en/; Domain=shop.a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/; Domain=a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/cart; Secure",
                "_acme=; Max-Age=0; Path=/en/cart; Domain=shop.a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/cart; Domain=a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/cart/; Secure",
                "_acme=; Max-Age=0; Path=/en/cart/; Domain=shop.a.example; Secure",
                "_acme=; Max-Age=0; Path=/en/cart/; Domain=a.example; Secure",
            ]
        );
    }

    #[test]
    fn addresses_and_single_labels_have_no_domain_and_bad_hosts_none_either() {
        for host in ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "localhost", "localhost:3000", "", "a b", "a.example/x;y"] {
            let got = lines(&["_acme"], host, "/", false);
            let domains = if host.starts_with("a.example") { 2 } else { 1 };
            assert_eq!(got.len(), domains, "{host}: {got:?}");
            assert_eq!(got[0], "_acme=; Max-Age=0; Path=/", "{host}");
        }
    }

    #[test]
    fn prefixed_names_get_only_the_variants_browsers_take() {
        assert_eq!(lines(&["__Host-a"], "a.example", "/x", false), ["__Host-a=; Max-Age=0; Path=/; Secure"]);
        let secure = lines(&["__secure-a"], "a.example", "/", false);
        assert_eq!(
            secure,
            ["__secure-a=; Max-Age=0; Path=/; Secure", "__secure-a=; Max-Age=0; Path=/; Domain=a.example; Secure"]
        );
    }

    #[test]
    fn names_that_no_header_carries_are_left_out() {
        assert_eq!(
            lines(&["a;b", "a=b", "", " a", "a\r\nb", "a\u{7f}", "a\u{fffd}", "ü", "ok", "ok"], "localhost", "/", false),
            ["ü=; Max-Age=0; Path=/", "ok=; Max-Age=0; Path=/"]
        );
    }

    #[test]
    fn a_path_ends_where_an_attribute_would() {
        for path in ["/a;Domain=evil.example/b", "/a b", "/a\r\nx", "/aé", "/a#b"] {
            let got = lines(&["n"], "localhost", path, false);
            assert_eq!(got.last().expect("there are lines"), "n=; Max-Age=0; Path=/a/", "{path}");
        }
    }

    #[test]
    fn every_name_comes_before_any_deeper_path() {
        let names: Vec<String> = (0..20).map(|n| format!("_acme_{n}")).collect();
        let got = expire(&names, "a.b.example", "/1/2/3/4/5/6/7/8/9", true, Room::decision());
        let root = got.iter().filter(|l| l.to_str().is_ok_and(|l| l.contains("Path=/;"))).count();
        assert_eq!(root, 20 * 3);
        assert!(got.len() > root);
    }

    #[test]
    fn a_page_keeps_within_its_room_and_a_few_pages_reach_every_variant() {
        let size = |lines: &[HeaderValue]| lines.iter().map(|line| line.len() + LINE_BYTES).sum::<usize>();
        let names: Vec<String> = (0..9).map(|n| format!("_acme_{n}")).collect();
        let mut reached = std::collections::BTreeSet::new();
        for page in 0..60 {
            let got = expire(&names, "www.a.example", "/shop/shoes", false, Room::page(page * 7_919));
            assert!(size(&got) <= 1536);
            reached.extend(got.into_iter().map(|line| line.as_bytes().to_vec()));
        }
        assert_eq!(reached.len(), 9 * 3 * 5);

        let mut names: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
        names.push("short".to_owned());
        let got = expire(&names, "localhost", "/", true, Room::page(0));
        assert!(size(&got) <= 1536);
        assert!(got.iter().any(|line| line.as_bytes().starts_with(b"short=")), "a long name does not crowd out a short one");
        assert!(expire(&[""; 0], "a.example", "/", false, Room::page(7)).is_empty());
        let deeper = expire(&["n"], "a.example", "/shop", false, Room::page_after_decision());
        assert_eq!(deeper[0], "n=; Max-Age=0; Path=/shop");
    }
}
