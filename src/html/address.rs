//! An address as a page writes it -> the rules it hits.
//!
//! A clean absolute or root-relative address is looked up as it stands. Everything else (entities,
//! tabs, backslashes, user info, ports, full-width hosts, …) takes the way a browser takes: decode,
//! then join with the page's base by the URL standard.

use std::{borrow::Cow, collections::BTreeMap};

use encoding_rs::Encoding;
use url::Url;

use super::OTHERS_MAX;
use crate::policy::{Hits, Policy};

/// What an address is resolved against.
pub(super) struct Resolver<'p> {
    pub(super) policy: &'p Policy,
    pub(super) base: &'p Url,
    /// The page's own host.
    pub(super) own: Option<&'p str>,
    pub(super) encoding: &'static Encoding,
    /// Other hosts that no rule hits are counted here.
    pub(super) others: &'p mut BTreeMap<String, u32>,
}

impl Resolver<'_> {
    /// The rules for an attribute value, raw.
    pub(super) fn raw(&mut self, value: &[u8]) -> Hits {
        match self.fast(value) {
            Some(hits) => hits,
            None => self.decoded(&decode(value, self.encoding)),
        }
    }

    /// The rules for an address without entities.
    pub(super) fn decoded(&mut self, address: &str) -> Hits {
        // What a browser cannot parse it does not load.
        self.base.join(address).map_or_else(|_| Hits::none(), |url| self.url(&url))
    }

    /// The rules for an address that is absolute, or begins with `//`; none for any other.
    pub(super) fn absolute(&mut self, address: &str) -> Hits {
        let text = address.trim_start_matches(|c: char| c <= ' ');
        let relative =
            !text.starts_with(['/', '\\']) && !text.contains(':') || text.starts_with('/') && !text[1..].starts_with(['/', '\\']);
        if relative { Hits::none() } else { self.decoded(address) }
    }

    /// The rules for a module specifier (HTML standard, "resolve a module specifier"): a bare name is no address.
    pub(super) fn specifier(&mut self, text: &str) -> Hits {
        if ["/", "./", "../"].iter().any(|prefix| text.starts_with(prefix)) {
            return self.decoded(text);
        }
        Url::parse(text).map_or_else(|_| Hits::none(), |url| self.url(&url))
    }

    fn url(&mut self, url: &Url) -> Hits {
        let hits = self.policy.match_url(url);
        if hits.is_empty()
            && let Some(host) = url.host_str()
        {
            self.other(host);
        }
        hits
    }

    fn other(&mut self, host: &str) {
        if self.own == Some(host) {
            return;
        }
        if let Some(count) = self.others.get_mut(host) {
            *count = count.saturating_add(1);
        } else if self.others.len() < OTHERS_MAX {
            self.others.insert(host.to_owned(), 1);
        }
    }

    /// The rules for a `srcset`.
    pub(super) fn candidates(&mut self, value: &[u8]) -> Hits {
        let mut hits = Hits::none();
        let text = decode(value, self.encoding);
        for address in candidates(&text) {
            // Decoded already, and the short way does not care unless there is an ampersand.
            let found = self.fast(address.as_bytes()).filter(|_| !address.contains('&'));
            hits.merge(found.unwrap_or_else(|| self.decoded(address)));
        }
        hits
    }

    /// The rules for a list with these characters between its addresses.
    pub(super) fn list(&mut self, value: &[u8], between: impl Fn(char) -> bool) -> Hits {
        let mut hits = Hits::none();
        for address in decode(value, self.encoding).split(between).filter(|address| !address.is_empty()) {
            hits.merge(self.decoded(address));
        }
        hits
    }

    /// The rules for the addresses of a `Link` header (RFC 8288).
    pub(super) fn links(&mut self, value: &[u8]) -> Hits {
        let mut hits = Hits::none();
        for link in decode(value, self.encoding).split('<').skip(1) {
            hits.merge(self.decoded(link.split('>').next().unwrap_or_default()));
        }
        hits
    }

    /// The rules for the address in a refresh.
    pub(super) fn refresh(&mut self, value: &[u8]) -> Hits {
        match refresh_address(&decode(value, self.encoding)) {
            Some(address) => self.decoded(address),
            None => Hits::none(),
        }
    }

    /// `None` where only the long way is sure to agree with a browser.
    fn fast(&mut self, value: &[u8]) -> Option<Hits> {
        if value.starts_with(b"data:") {
            return Some(Hits::none());
        }
        let after_scheme = value.strip_prefix(b"https://").or_else(|| value.strip_prefix(b"http://"));
        let (host, rest) = match after_scheme {
            Some(rest) => {
                let end = rest.iter().position(|&byte| !is_host(byte)).unwrap_or(rest.len());
                (str::from_utf8(&rest[..end]).ok()?, &rest[end..])
            }
            None if value.starts_with(b"/") && !value.starts_with(b"//") => (self.base.host_str()?, value),
            None => return None,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        // User info and ports go the long way.
        let ends_here = matches!(rest.first(), None | Some(b'/' | b'?' | b'#'));
        if host.is_empty() || host.ends_with('.') || !ends_here {
            return None;
        }
        let end = rest.iter().position(|&byte| !is_path(byte)).unwrap_or(rest.len());
        let (path, rest) = rest.split_at(end);
        if memchr::memmem::find(path, b"/.").is_some() {
            return None;
        }
        let path = if path.is_empty() { "/" } else { str::from_utf8(path).ok()? };
        let query = match rest {
            [] | [b'#', ..] => None,
            [b'?', query @ ..] => Some(clean_query(query)?),
            _ => return None,
        };
        let hits = self.policy.match_address(host, path, query.as_deref());
        if hits.is_empty() {
            self.other(host);
        }
        Some(hits)
    }
}

/// `scheme://host/path` of an address for a report: a query may say who somebody is.
pub(super) fn shown(base: &Url, address: &str) -> Option<String> {
    let url = base.join(address).ok()?;
    Some(format!("{}://{}{}", url.scheme(), url.host_str()?, url.path()))
}

/// Text of an attribute value: characters of the page's encoding, then character references.
pub(super) fn decode<'v>(value: &'v [u8], encoding: &'static Encoding) -> Cow<'v, str> {
    let text = if value.is_ascii() { String::from_utf8_lossy(value) } else { encoding.decode_without_bom_handling(value).0 };
    // A browser reads a zero byte as the replacement character, which the URL parser would strip at the start.
    let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text };
    if text.contains('&') { htmlize::unescape_attribute(text) } else { text }
}

/// The query up to its fragment, if it is plain once its references are read.
fn clean_query(raw: &[u8]) -> Option<Cow<'_, str>> {
    let raw = str::from_utf8(raw).ok().filter(|raw| raw.is_ascii())?;
    let query = if raw.contains('&') { htmlize::unescape_attribute(raw) } else { Cow::Borrowed(raw) };
    let end = query.find('#').unwrap_or(query.len());
    if !query.bytes().all(|byte| is_path(byte) || matches!(byte, b'?' | b'&' | b'%' | b'#')) {
        return None;
    }
    Some(match query {
        Cow::Borrowed(query) => Cow::Borrowed(&query[..end]),
        Cow::Owned(mut query) => {
            query.truncate(end);
            Cow::Owned(query)
        }
    })
}

/// What a byte may be part of without a second look.
const HOST: u8 = 1;
const PATH: u8 = 2;

/// A path's characters are those that the URL standard leaves as they are. No `%`: `%2e` is a dot.
static CLEAN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.' {
            table[byte] |= HOST;
        }
        if c.is_ascii_alphanumeric() || matches!(c, b'!' | b'$' | b'\''..=b'/' | b':' | b';' | b'=' | b'@' | b'_' | b'~') {
            table[byte] |= PATH;
        }
        byte += 1;
    }
    table
};

fn is_host(byte: u8) -> bool {
    CLEAN[usize::from(byte)] & HOST != 0
}

fn is_path(byte: u8) -> bool {
    CLEAN[usize::from(byte)] & PATH != 0
}

/// The addresses of a `srcset` (HTML standard, "parse a srcset attribute").
fn candidates(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        let trimmed = address.trim_end_matches(',');
        rest = if trimmed.len() < address.len() { after } else { after_descriptors(after) };
        Some(trimmed)
    })
}

/// Commas inside parentheses do not end a candidate.
fn after_descriptors(text: &str) -> &str {
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b',' if !inside => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// The address in `5; url=…` (HTML standard, "shared declarative refresh steps").
fn refresh_address(text: &str) -> Option<&str> {
    let space = |c: char| c.is_ascii_whitespace();
    let text = text.trim_start_matches(space);
    let delay = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if delay.len() == text.len() && !text.starts_with('.') {
        return None;
    }
    let rest = delay.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !rest.starts_with(|c: char| space(c) || c == ';' || c == ',') {
        return None;
    }
    let rest = rest.trim_start_matches(space);
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(space);
    if rest.is_empty() {
        return None;
    }
    let address = after_url_word(rest).unwrap_or(rest);
    Some(match address.chars().next() {
        Some(quote @ ('"' | '\'')) => address[1..].split(quote).next().unwrap_or_default(),
        _ => address,
    })
}

fn after_url_word(text: &str) -> Option<&str> {
    let word = text.get(..3).filter(|word| word.eq_ignore_ascii_case("url"))?;
    let rest = text[word.len()..].trim_start_matches(|c: char| c.is_ascii_whitespace()).strip_prefix('=')?;
    Some(rest.trim_start_matches(|c: char| c.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srcset_is_read_as_browsers_read_it() {
        for (text, want) in [
            ("a.png", vec!["a.png"]),
            (" a.png 1x , b.png 2x", vec!["a.png", "b.png"]),
            ("a.png, b.png", vec!["a.png", "b.png"]),
            ("a.png,b.png 2x", vec!["a.png,b.png"]),
            ("a?w_1,h_2 100w, b 200w", vec!["a?w_1,h_2", "b"]),
            ("a (x,y) 1x, b", vec!["a", "b"]),
            (",, a ,,b", vec!["a", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(candidates(text).collect::<Vec<_>>(), want, "{text}");
        }
    }

    #[test]
    fn refresh_is_read_as_browsers_read_it() {
        for (text, want) in [
            ("5", None),
            ("0; url=https://a.b/", Some("https://a.b/")),
            (" .5 , URL = 'x y' z", Some("x y")),
            ("0;https://a.b/", Some("https://a.b/")),
            ("0 \"q", Some("q")),
            ("x; url=y", None),
            ("0; urls", Some("urls")),
            ("0;", None),
        ] {
            assert_eq!(refresh_address(text), want, "{text}");
        }
    }
}
