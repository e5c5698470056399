//! Headers that make a browser fetch or go somewhere: `Link` and `Refresh`.

use http::{
    HeaderMap, HeaderName,
    header::{LINK, LOCATION, REFRESH},
};
use url::Url;

use super::{
    lines::{Line, edit_lines, without_cut},
    refresh::refresh_urls,
};
use crate::{
    policy::{Policy, RuleId},
    vocab::Grants,
};

/// An address that was cut from a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutHeader {
    /// The header it stood in.
    pub header: HeaderName,
    /// Scheme, host and path; no query. Empty where nothing could be read.
    pub address: String,
    /// The rules that spoke; none where the header could not be read.
    pub rules: Vec<RuleId>,
}

impl CutHeader {
    /// What is reported about something that no reader agrees on and that is closed for that reason.
    pub(super) fn unreadable(header: &HeaderName) -> Self {
        Self { header: header.clone(), address: String::new(), rules: Vec::new() }
    }
}

/// The report on an address (resolved against `base`) that is an ungranted vendor's; none if it may stay.
pub(super) fn ungranted(address: &[u8], header: &HeaderName, scope: &Scope<'_>) -> Option<CutHeader> {
    let mut url = scope.base.join(&String::from_utf8_lossy(address)).ok()?;
    let hits = scope.policy.match_url(&url);
    if scope.policy.allows(scope.grants, &hits) {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only on URLs that cannot have user info, and those have none.
    let _ = (url.set_username(""), url.set_password(None));
    Some(CutHeader { header: header.clone(), address: url.into(), rules: hits.iter().collect() })
}

/// What addresses are judged by.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) policy: &'a Policy,
    pub(super) grants: &'a Grants,
    pub(super) base: &'a Url,
}

/// Relations (RFC 8288, section 3.3; IANA's registry) on which no browser fetches anything. A relation
/// that is not listed counts as loading: `preload`, `preconnect`, `stylesheet`, `next` (which one browser has
/// fetched ahead), and what they invent tomorrow.
const INERT: &str = "alternate amphtml author bookmark canonical collection describedby edit external first help hub index \
    item last license me memento nofollow noopener noreferrer original payment pingback prev privacy-policy profile search \
    self service-desc service-doc shortlink start tag terms-of-service timegate timemap type up webmention";

/// Cuts from `Link` (RFC 8288, section 3) the links to ungranted vendors that a browser may follow by
/// itself, and links that cannot be read. The others keep their bytes; a line without links is dropped.
/// `base` is the address of the response.
pub fn filter_link(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, base: &Url) -> Vec<CutHeader> {
    let scope = Scope { policy, grants, base };
    let mut cut = Vec::new();
    edit_lines(headers, &LINK, |line| {
        let parts = split_outside_quotes(line.as_bytes(), b',').map(|link| match judge(link, &scope) {
            None => (link, true),
            Some(found) => {
                cut.push(found);
                (link, false)
            }
        });
        without_cut(parts, b',')
    });
    cut
}

fn judge(link: &[u8], scope: &Scope<'_>) -> Option<CutHeader> {
    if link.trim_ascii().is_empty() {
        return None;
    }
    let Some(link) = read_link(link) else { return Some(CutHeader::unreadable(&LINK)) };
    if link.is_inert() {
        return None;
    }
    let sources = link.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("imagesrcset"));
    let sources = sources.flat_map(|(_, value)| srcset_addresses(value)).map(str::as_bytes);
    std::iter::once(link.target).chain(sources).find_map(|address| ungranted(address, &LINK, scope))
}

/// Everything in a source set (HTML standard, section 4.8.4.2.1) that may be an address: each word, and
/// what follows each comma in it, where one candidate may end or an address may just hold a comma.
/// Descriptors come along as well; as addresses they name files beside the page.
fn srcset_addresses(value: &str) -> impl Iterator<Item = &str> {
    value.split_ascii_whitespace().flat_map(|word| {
        let tails = word.match_indices(',').map(|(comma, _)| &word[comma + 1..]);
        std::iter::once(word).chain(tails).map(|tail| tail.trim_matches(',')).filter(|tail| !tail.is_empty())
    })
}

struct Link<'a> {
    target: &'a [u8],
    params: Vec<(String, String)>,
}

impl Link<'_> {
    /// Whether every word of every `rel` is inert (only the first `rel` counts by the standard, but
    /// not to every reader). A link that says nothing is not.
    fn is_inert(&self) -> bool {
        let rels = self.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("rel"));
        let mut words = rels.flat_map(|(_, value)| value.split_ascii_whitespace()).peekable();
        words.peek().is_some() && words.all(|word| INERT.split(' ').any(|inert| word.eq_ignore_ascii_case(inert)))
    }
}

/// `<target>; name=value; …` (RFC 8288, appendix B.2). None where readers would disagree on where a
/// link ends: an unclosed bracket or quote, a `<` within one, text behind a quoted value.
fn read_link(link: &[u8]) -> Option<Link<'_>> {
    let inner = link.trim_ascii().strip_prefix(b"<")?;
    let close = inner.iter().position(|&byte| byte == b'>')?;
    let (target, params) = (inner[..close].trim_ascii(), &inner[close + 1..]);
    let mut params = split_outside_quotes(params, b';');
    let blank = params.next().is_none_or(|before| before.trim_ascii().is_empty());
    let params = params.map(read_param).collect::<Option<_>>()?;
    (blank && !target.contains(&b'<')).then_some(Link { target, params })
}

/// Name and unquoted value of a parameter (RFC 9110, sections 5.6.6 and 5.6.4).
fn read_param(param: &[u8]) -> Option<(String, String)> {
    let param = String::from_utf8_lossy(param);
    let (name, value) = param.split_once('=').unwrap_or((&param, ""));
    let (name, value) = (name.trim_ascii(), value.trim_ascii());
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => (value.to_owned(), ""),
    };
    (rest.is_empty() && !name.contains('<') && !value.contains('<')).then(|| (name.to_owned(), value))
}

/// The text up to the closing quote, backslashes resolved, and what follows; none if it is not closed.
pub(super) fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => text.push(chars.next()?),
            other => text.push(other),
        }
    }
}

/// The pieces between separators that stand neither in `"…"` nor, for commas, in `<…>`.
fn split_outside_quotes(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    value.split(move |&byte| {
        let plain = !quoted && !bracketed;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if plain && separator == b',' => bracketed = true,
            b'>' if bracketed => bracketed = false,
            _ => {}
        }
        plain && byte == separator
    })
}

/// Drops `Refresh` headers (HTML standard, document lifecycle) that lead to an ungranted vendor in any
/// browser's reading: line by line, and as the one value that several lines make. `base` is the address
/// of the response.
pub fn filter_refresh(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, base: &Url) -> Vec<CutHeader> {
    let scope = Scope { policy, grants, base };
    let leads = |value: &[u8]| refresh_urls(value).find_map(|url| ungranted(url, &REFRESH, &scope));
    let mut cut = Vec::new();
    edit_lines(headers, &REFRESH, |line| match leads(line.as_bytes()) {
        Some(found) => {
            cut.push(found);
            Line::Drop
        }
        None => Line::Keep,
    });
    let joined = headers.get_all(REFRESH).iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    if let Some(found) = leads(&joined) {
        headers.remove(REFRESH);
        cut.push(found);
    }
    cut
}

/// The ungranted vendor that a redirect leads to, by its `Location` (RFC 9110, section 10.2.2): of
/// several lines any. `base` is the address of the response.
pub fn ungranted_location(headers: &HeaderMap, policy: &Policy, grants: &Grants, base: &Url) -> Option<CutHeader> {
    let scope = Scope { policy, grants, base };
    headers.get_all(LOCATION).iter().find_map(|line| ungranted(line.as_bytes(), &LOCATION, &scope))
}

#[cfg(test)]
mod tests;
