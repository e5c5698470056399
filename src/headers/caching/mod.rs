//! Validators and caching of gated pages: what is stored belongs to one visitor, is asked about
//! before each use, and is confirmed only for the variant the visitor would get now.
//!
//! Not here: when a page is gated, and what a variant is made of.

mod entity_tag;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, VARY},
};

use self::entity_tag::{EntityTag, is_variant};
use super::lines::{Line, edit_lines};
use crate::vocab::Hash;

/// Everything besides the origin's bytes that a gated page follows from (policy revision, grants,
/// state of the notice), as 16 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant(String);

impl Variant {
    /// The variant named by a hash over all of that.
    pub fn new(hash: &Hash) -> Self {
        Self(hash.short())
    }

    /// Reads 16 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_variant(text).then(|| Self(text.to_owned()))
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === requests ===

/// What [`prepare_conditionals`] left of a request's conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditionals {
    relay_304: bool,
    /// The origin's tags that stood behind tags of the current variant.
    restored: Vec<EntityTag>,
    /// Tags or a date that never were the gate's are sent as well.
    foreign: bool,
}

impl Conditionals {
    /// Whether a 304 of the origin may be relayed. Where not, the visitor's copy may be one that the
    /// gate never saw: an origin that answers 304 all the same has answered nothing.
    pub fn may_relay_304(&self) -> bool {
        self.relay_304
    }

    /// Whether the 304 confirms a gated page, so that [`mark_variant`] is due on it.
    pub fn confirms_gated(&self, response: &HeaderMap) -> bool {
        match response.get(ETAG).and_then(|line| EntityTag::parse(line.as_bytes())) {
            Some(tag) => self.restored.iter().any(|restored| restored.opaque == tag.opaque),
            None => !self.foreign && !self.restored.is_empty(),
        }
    }
}

/// Makes a request's conditions (RFC 9110, section 13.1) ones that the origin can answer.
///
/// `If-None-Match`: a tag of the current variant becomes the origin's tag again, a tag of another
/// variant is removed. On a navigation nothing else stays: not tags without a mark, not dates, not
/// `Range`, since a copy from before the gate, or a part of a page, must not be confirmed. Otherwise
/// tags without a mark (style sheets, images) pass, and a request without any marked tag keeps its
/// bytes. `If-Match` with a mark gets the origin's tag, of whichever variant: it guards an edit of
/// the origin's content. `If-Range` with a mark goes together with `Range`: gated pages have no parts.
///
/// `variant` tells the current one; it is asked only where a condition carries one.
pub fn prepare_conditionals(headers: &mut HeaderMap, variant: impl FnOnce() -> Variant, navigation: bool) -> Conditionals {
    if navigation {
        [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE].iter().for_each(|name| drop(headers.remove(name)));
    }
    edit_lines(headers, &IF_MATCH, |line| {
        let tags = EntityTag::parse_list(line.as_bytes());
        if !tags.iter().any(|tag| tag.unmarked().is_some()) {
            return Line::Keep;
        }
        Line::Replace(write_list(tags.into_iter().map(|tag| tag.unmarked().map_or_else(|| tag.clone(), |(own, _)| own))))
    });
    if headers.get(IF_RANGE).and_then(|line| EntityTag::parse(line.as_bytes())).is_some_and(|tag| tag.unmarked().is_some()) {
        [IF_RANGE, RANGE].iter().for_each(|name| drop(headers.remove(name)));
    }
    prepare_if_none_match(headers, variant, navigation)
}

fn prepare_if_none_match(headers: &mut HeaderMap, variant: impl FnOnce() -> Variant, navigation: bool) -> Conditionals {
    let lines: Vec<Vec<u8>> = headers.get_all(IF_NONE_MATCH).iter().map(|line| line.as_bytes().to_vec()).collect();
    let tags = EntityTag::parse_list(&lines.join(&b","[..]));
    let variant = tags.iter().any(|tag| tag.unmarked().is_some()).then(variant);
    if !navigation && variant.is_none() {
        let foreign = headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
        return Conditionals { relay_304: foreign, restored: Vec::new(), foreign };
    }
    let (mut restored, mut plain) = (Vec::new(), Vec::new());
    for tag in tags {
        match tag.unmarked() {
            Some((own, marked)) if variant.as_ref().is_some_and(|variant| marked == variant.as_str()) => restored.push(own),
            Some(_) => {}
            None => plain.push(tag),
        }
    }
    if navigation {
        plain.clear();
    }
    headers.remove(IF_NONE_MATCH);
    // A date counts only where there is no tag (section 13.1.3): it must not begin to count now.
    headers.remove(IF_MODIFIED_SINCE);
    let relay_304 = !restored.is_empty() || !plain.is_empty();
    if relay_304 {
        let list = write_list(restored.iter().chain(&plain).cloned());
        headers.insert(IF_NONE_MATCH, HeaderValue::from_bytes(&list).expect("tags that were read from headers go into one"));
    }
    Conditionals { relay_304, restored, foreign: !plain.is_empty() }
}

fn write_list(tags: impl Iterator<Item = EntityTag>) -> Vec<u8> {
    tags.map(|tag| tag.write()).collect::<Vec<_>>().join(&b", "[..])
}

// === responses ===

/// What speaks of the origin's bytes (RFC 9110; RFC 9530 and its predecessors), or tells shared
/// caches to keep the page in words that outrank `Cache-Control`. Targeted fields (RFC 9213) are
/// found by the end of their name.
const STALE: &[&str] = &[
    "accept-ranges",
    "age",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "edge-control",
    "expires",
    "last-modified",
    "pragma",
    "repr-digest",
    "surrogate-control",
    "unencoded-digest",
    "x-accel-expires",
];

/// Makes the head of a gated page, or of a 304 that confirms one, fit what is sent: the entity tag
/// carries the variant, what spoke of the origin's bytes is gone, and no shared cache may keep it.
///
/// `Cache-Control` (RFC 9111, section 5.2) becomes `private, no-cache`, or `private, no-store` where
/// the origin said `no-store`; `no-transform` and `must-revalidate` stay. `Vary` names what a variant
/// depends on. To be called once a response.
pub fn mark_variant(headers: &mut HeaderMap, variant: &Variant) {
    mark_etag(headers, variant);
    let targeted = |name: &HeaderName| *name != CACHE_CONTROL && name.as_str().ends_with("cache-control");
    let stale: Vec<HeaderName> =
        headers.keys().filter(|name| STALE.contains(&name.as_str()) || targeted(name)).cloned().collect();
    stale.iter().for_each(|name| drop(headers.remove(name)));
    let cache_control = own_cache_control(headers);
    headers.insert(CACHE_CONTROL, cache_control);
    append_vary(headers, &["Cookie", "Accept-Language"]);
}

/// Lets nobody keep the answer, whatever [`mark_variant`] allowed.
pub fn forbid_storing(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

/// A tag that is not well-formed, or that is not the only one, is dropped.
fn mark_etag(headers: &mut HeaderMap, variant: &Variant) {
    let mut tags = headers.get_all(ETAG).iter();
    let tag = tags.next().and_then(|line| EntityTag::parse(line.as_bytes())).filter(|_| tags.next().is_none());
    headers.remove(ETAG);
    if let Some(tag) = tag {
        let marked = HeaderValue::from_bytes(&tag.marked(variant.as_str()).write()).expect("a tag with hex digits is a tag");
        headers.insert(ETAG, marked);
    }
}

fn own_cache_control(headers: &HeaderMap) -> HeaderValue {
    // Words inside quotes are read as directives too: that can only close.
    let origin: String =
        headers.get_all(CACHE_CONTROL).iter().map(|line| String::from_utf8_lossy(line.as_bytes()) + ",").collect();
    let says = |directive: &str| origin.split(',').any(|word| word.trim().eq_ignore_ascii_case(directive));
    let mut value = String::from(if says("no-store") { "private, no-store" } else { "private, no-cache" });
    for kept in ["no-transform", "must-revalidate"].into_iter().filter(|&directive| says(directive)) {
        value.push_str(", ");
        value.push_str(kept);
    }
    HeaderValue::from_str(&value).expect("directives are ASCII")
}

/// Adds header names to `Vary` (RFC 9110, section 12.5.5) unless it has them or is `*`.
pub fn append_vary(headers: &mut HeaderMap, names: &[&'static str]) {
    let lines: Vec<&[u8]> = headers.get_all(VARY).iter().map(HeaderValue::as_bytes).filter(|line| !line.is_empty()).collect();
    let text = lines.join(&b", "[..]);
    let has = |name: &str| text.split(|&byte| byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
    let missing: Vec<&[u8]> = names.iter().filter(|name| !has(name)).map(|name| name.as_bytes()).collect();
    if missing.is_empty() || has("*") {
        return;
    }
    let all: Vec<&[u8]> = std::iter::once(text.as_slice()).filter(|text| !text.is_empty()).chain(missing).collect();
    // One line, since some caches read only the first.
    headers.insert(VARY, HeaderValue::from_bytes(&all.join(&b", "[..])).expect("header names extend a header value"));
}

#[cfg(test)]
mod tests;
