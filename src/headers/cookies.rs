//! Cookies both ways: ungranted vendors' cookies go to neither side, and the gate's own cookies
//! are nobody's business but the gate's.
//!
//! Cookies are read as browsers and servers do (RFC 6265, sections 4.2 and 5.2), not as the
//! grammar of section 4.1 wishes: pairs are what stands between semicolons.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

use super::lines::{Line, edit_lines, without_cut};
use crate::{
    policy::{Policy, RuleId},
    vocab::Grants,
};

/// A `Set-Cookie` line that was not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutCookie {
    /// The cookie's name. Never its value.
    pub name: String,
    /// The rules that spoke; none where the site tried to set a cookie of the gate's.
    pub rules: Vec<RuleId>,
}

/// Removes ungranted vendors' cookies, and the gate's own (names in `own`), from every `Cookie`
/// header (RFC 6265, section 4.2). The pairs that stay keep their bytes and their order; a header
/// without pairs is dropped. Returns the names of the ungranted vendors' cookies, each once.
pub fn cut_request_cookies(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, own: &[&str]) -> Vec<String> {
    let mut cut: Vec<String> = Vec::new();
    edit_lines(headers, &COOKIE, |line| {
        let pairs = line.as_bytes().split(|&byte| byte == b';');
        let parts = pairs.map(|part| (part, stays(&read_pair(part), policy, grants, own, &mut cut)));
        without_cut(parts, b';')
    });
    cut
}

/// Removes the gate's own cookies (names in `own`) and nothing else: for paths that pass untouched.
/// Returns no names, as no vendor's cookie was cut.
pub fn cut_own_cookies(headers: &mut HeaderMap, own: &[&str]) -> Vec<String> {
    edit_lines(headers, &COOKIE, |line| {
        let pairs = line.as_bytes().split(|&byte| byte == b';');
        without_cut(pairs.map(|part| (part, !own.contains(&&*read_pair(part).name))), b';')
    });
    Vec::new()
}

fn stays(pair: &Pair<'_>, policy: &Policy, grants: &Grants, own: &[&str], cut: &mut Vec<String>) -> bool {
    if own.contains(&&*pair.name) {
        return false;
    }
    if policy.allows(grants, &policy.match_cookie(&pair.name, &pair.value)) {
        return true;
    }
    if !cut.iter().any(|name| *name == pair.name) {
        cut.push(pair.name.clone().into_owned());
    }
    false
}

/// Drops the `Set-Cookie` lines (RFC 6265, section 5.2) of ungranted vendors, and any line by which
/// the site would set or expire one of the gate's own cookies (names in `own`). A line that expires
/// a vendor's cookie stays: it takes away and stores nothing. Lines that stay are not touched.
pub fn filter_set_cookie(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, own: &[&str]) -> Vec<CutCookie> {
    let mut cut = Vec::new();
    edit_lines(headers, &SET_COOKIE, |line| match why_cut(line, policy, grants, own) {
        Some(cookie) => {
            cut.push(cookie);
            Line::Drop
        }
        None => Line::Keep,
    });
    cut
}

/// Drops only the lines by which the site would set or expire one of the gate's own cookies (names in `own`).
pub fn filter_own_set_cookie(headers: &mut HeaderMap, own: &[&str]) {
    edit_lines(headers, &SET_COOKIE, |line| {
        let pair = line.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        if own.contains(&&*read_pair(pair).name) { Line::Drop } else { Line::Keep }
    });
}

fn why_cut(line: &HeaderValue, policy: &Policy, grants: &Grants, own: &[&str]) -> Option<CutCookie> {
    let mut parts = line.as_bytes().split(|&byte| byte == b';');
    let pair = read_pair(parts.next().unwrap_or_default());
    let name = pair.name.clone().into_owned();
    if own.contains(&name.as_str()) {
        return Some(CutCookie { name, rules: Vec::new() });
    }
    let hits = policy.match_cookie(&pair.name, &pair.value);
    let kept = policy.allows(grants, &hits) || expires(parts);
    (!kept).then(|| CutCookie { name, rules: hits.iter().collect() })
}

struct Pair<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// Name and value without the white space around them. Browsers send a cookie without a name as its
/// bare value, so that `=consentry=x` in `Set-Cookie` comes back as `consentry=x`: it is read the way
/// it would come back. A pair without `=` is a name to some servers and a value to others; as a name
/// it can be matched.
fn read_pair(part: &[u8]) -> Pair<'_> {
    let start = part.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'=')).unwrap_or(part.len());
    let pair = &part[start..];
    let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &b""[..]),
    };
    Pair { name: String::from_utf8_lossy(name.trim_ascii()), value: String::from_utf8_lossy(unquoted(value.trim_ascii())) }
}

/// Servers read a value in quotes without them (RFC 6265, section 4.1.1), and so does a shape.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// Whether the attributes certainly expire the cookie, without asking a clock: `Max-Age` of zero or
/// less, which outranks `Expires` (RFC 6265, section 5.3), or a date of 1970. Of several attributes
/// of one name the last counts in browsers; here all must agree.
fn expires<'a>(attributes: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut ages, mut dates) = (Vec::new(), Vec::new());
    for attribute in attributes {
        let (name, value) = attribute_pair(attribute);
        if name.eq_ignore_ascii_case(b"max-age") {
            ages.push(value);
        } else if name.eq_ignore_ascii_case(b"expires") {
            dates.push(value);
        }
    }
    if ages.is_empty() { !dates.is_empty() && dates.into_iter().all(is_1970) } else { ages.into_iter().all(is_no_age) }
}

/// Zero or a negative number; anything else may be an age or be ignored.
fn is_no_age(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    number && (value[0] == b'-' || digits.iter().all(|&digit| digit == b'0'))
}

fn is_1970(value: &[u8]) -> bool {
    const YEAR_S: u64 = 365 * 24 * 60 * 60;
    let date = std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok()).is_some_and(|since| since.as_secs() < YEAR_S)
}

/// An attribute's name and value without the white space around them; no `=` means no value.
pub(super) fn attribute_pair(attribute: &[u8]) -> (&[u8], &[u8]) {
    match attribute.iter().position(|&byte| byte == b'=') {
        Some(at) => (attribute[..at].trim_ascii(), attribute[at + 1..].trim_ascii()),
        None => (attribute.trim_ascii(), b""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::headers::sample::{headers, lines, policy, rules};

    const OWN: &[&str] = &["consentry", "__Host-consentry"];

    #[test]
    fn only_ungranted_trackers_and_own_cookies_leave_the_request() {
        let policy = policy();
        for (sent, want, names) in [
            (&["a=1; _acme_id=2; b=3"][..], &["a=1; b=3"][..], &["_acme_id"][..]),
            (&["_acme_id=2; b=3"], &["b=3"], &["_acme_id"]),
            (&["a=1;_acme_id=2;b=3"], &["a=1;b=3"], &["_acme_id"]),
            (&["a=1; _acme_id=2"], &["a=1"], &["_acme_id"]),
            (&["a=1; _acme_id=2;"], &["a=1;"], &["_acme_id"]),
            (&["_acme_id=2; _acme_x=\"q\";"], &[], &["_acme_id", "_acme_x"]),
            (&["_acme_id=2; _acme_id=3"], &[], &["_acme_id"]),
            (&["_acme_id=2", "b=3"], &["b=3"], &["_acme_id"]),
            (&["a=1 ;  b = x=y ;; c"], &["a=1 ;  b = x=y ;; c"], &[]),
            (&["uid=user7; uid=ac.9"], &["uid=user7"], &["uid"]),
            (&["_ACME_ID=1"], &["_ACME_ID=1"], &[]),
            (&["  _acme_id  = 2; b=3"], &["b=3"], &["_acme_id"]),
            (&["_acme_id; =_acme_x=1; b=3"], &["b=3"], &["_acme_id", "_acme_x"]),
            (&["consentry=s; a=1; __Host-consentry=t"], &["a=1"], &[]),
            (&["__Host-consentry=t"], &[], &[]),
            (&["consentry2=s"], &["consentry2=s"], &[]),
        ] {
            let mut map = headers("cookie", sent);
            let cut = cut_request_cookies(&mut map, policy, &policy.undecided(), OWN);
            assert_eq!(lines(&map, "cookie"), want, "{sent:?}");
            assert_eq!(cut, names, "{sent:?}");
        }
    }

    #[test]
    fn a_granted_vendors_cookies_pass_and_own_cookies_never_do() {
        let policy = policy();
        let mut map = headers("cookie", &["_acme_id=2; consentry=s"]);
        assert!(cut_request_cookies(&mut map, policy, &policy.everything(), OWN).is_empty());
        assert_eq!(lines(&map, "cookie"), ["_acme_id=2"]);
    }

    #[test]
    fn set_cookie_lines_of_ungranted_vendors_and_of_own_names_are_dropped() {
        let policy = policy();
        for (line, want) in [
            ("sid=1; HttpOnly", None),
            ("_acme_id=1; Path=/", Some(&["acme/cookies"][..])),
            ("uid=ac.1", Some(&["acme/cookies"])),
            ("uid=7", None),
            ("consentry=forged; Path=/", Some(&[])),
            ("__Host-consentry=; Max-Age=0", Some(&[])),
            ("=consentry=forged", Some(&[])),
            (" consentry =forged", Some(&[])),
            ("_acme_id=; Max-Age=0; Path=/", None),
            ("_acme_id=; max-age=-1", None),
            ("_acme_id=; Max-Age=0; Max-Age=99", Some(&["acme/cookies"])),
            ("_acme_id=; Max-Age=; Path=/", Some(&["acme/cookies"])),
            ("_acme_id=; Expires=Thu, 01 Jan 1970 00:00:01 GMT", None),
            ("_acme_id=; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=60", Some(&["acme/cookies"])),
            ("_acme_id", Some(&["acme/cookies"])),
            ("=_acme_id", Some(&["acme/cookies"])),
            ("==_acme_id=1", Some(&["acme/cookies"])),
            ("_acme_id==1=2=", Some(&["acme/cookies"])),
            ("\t_acme_id\t=\t1", Some(&["acme/cookies"])),
            ("_acme_id=\u{e9}\u{4e00}", Some(&["acme/cookies"])),
            ("_acme_\u{e9}=1", Some(&["acme/cookies"])),
            ("uid=\"ac.1\"", Some(&["acme/cookies"])),
            ("uid=\"7\"", None),
            ("__Secure-_acme_id=1; Secure", Some(&["acme/cookies"])),
            ("__HOST-_acme_id=1; Secure; Path=/", Some(&["acme/cookies"])),
            ("__Host-Http-_acme_id=1", Some(&["acme/cookies"])),
            ("__Secure-sid=1", None),
            ("\"_acme_id\"=1", None), // Another name to every browser.
            ("my _acme_id=1", None),
            ("", None),
            ("=", None),
            ("a=1, _acme_id=2", None), // One cookie, whose value has a comma.
            ("_acme_id=x; Expires=Tue, 01 Jan 2036 00:00:00 GMT", Some(&["acme/cookies"])),
        ] {
            let mut map = headers("set-cookie", &["first=1", line, "last=1"]);
            let cut = filter_set_cookie(&mut map, policy, &policy.undecided(), OWN);
            let all = ["first=1", line, "last=1"];
            let kept: Vec<&str> = all.into_iter().filter(|l| want.is_none() || *l != line).collect();
            assert_eq!(lines(&map, "set-cookie"), kept, "{line}");
            assert_eq!(cut.first().map(|c| rules(policy, &c.rules)), want.map(<[_]>::to_vec), "{line}");
        }
        let mut map = headers("set-cookie", &["_acme_id=1"]);
        assert!(filter_set_cookie(&mut map, policy, &policy.everything(), OWN).is_empty());
        assert_eq!(lines(&map, "set-cookie"), ["_acme_id=1"]);
    }

    proptest! {
        /// Taking the cut pairs out of what came in, by an independent and slower way, leaves what goes out.
        #[test]
        fn bytes_that_stay_are_untouched(parts in prop::collection::vec((any::<bool>(), "[ \t]{0,2}[a-z\u{80}-\u{ff}=\", ]{0,8}[ ]?"), 1..8)) {
            let policy = policy();
            let parts: Vec<(bool, String)> = parts
                .into_iter()
                .map(|(tracker, text)| (tracker, if tracker { format!(" _acme_{}=1", text.replace('=', "").trim()) } else { text }))
                .collect();
            let joined = parts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(";");
            let mut map = HeaderMap::new();
            map.append(COOKIE, HeaderValue::from_bytes(joined.as_bytes()).expect("no control characters"));
            cut_request_cookies(&mut map, policy, &policy.undecided(), OWN);
            let kept: Vec<&str> = parts.iter().filter(|(tracker, _)| !tracker).map(|(_, text)| text.as_str()).collect();
            let mut want = kept.join(";");
            if parts[0].0 {
                want = format!("{}{}", kept.first().map_or("", |k| k.trim_ascii_start()), want.get(kept.first().map_or(0, |k| k.len())..).unwrap_or_default());
            }
            let any_cut = parts.iter().any(|(tracker, _)| *tracker);
            let blank = kept.iter().all(|k| k.trim_ascii().is_empty());
            let got = map.get(COOKIE).map(|value| value.as_bytes().to_vec());
            prop_assert_eq!(got, (!(any_cut && blank)).then(|| want.into_bytes()));
        }
    }
}
