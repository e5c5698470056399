//! Small pure answers about one element: does it load at all, what becomes of it, how is it reported.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::{
    TagReport,
    address::decode,
    element::Element,
    finding::rules,
    locate::Attribute,
    tag::{Role, Tag},
    walk::{Context, Setting},
};
use crate::{policy::Hits, vocab::Verdict};

/// The attributes of one element that are not granted.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Places in the element's list.
    pub(super) attributes: Vec<usize>,
    pub(super) held: Hits,
    /// Something inside could not be read: it never comes back.
    pub(super) closed: bool,
}

/// Link relations that fetch, or open a connection, ahead of use. Nothing is lost without them.
const HINTS: [&str; 7] =
    ["preload", "modulepreload", "preconnect", "dns-prefetch", "prefetch", "prerender", "compression-dictionary"];

/// Link relations that fetch for use.
const RESOURCES: [&str; 7] =
    ["stylesheet", "icon", "apple-touch-icon", "apple-touch-icon-precomposed", "mask-icon", "manifest", "import"];

/// What becomes of the element on a hit; `None` if its addresses load nothing.
pub(super) fn verdict_of(element: &Element<'_>, setting: Setting, encoding: &'static Encoding) -> Option<Verdict> {
    let word = |name| element.value(name).map(|value| decode(value, encoding));
    let held = if setting == Setting::Noscript { Verdict::Strip } else { Verdict::Hold };
    match element.tag {
        Tag::Link => {
            let rel = word(b"rel")?;
            let has = |list: &[&str]| {
                rel.split_ascii_whitespace().any(|word| list.iter().any(|known| known.eq_ignore_ascii_case(word)))
            };
            if has(&RESOURCES) { Some(held) } else { has(&HINTS).then_some(Verdict::Strip) }
        }
        Tag::Meta => word(b"http-equiv").filter(|kind| kind.trim().eq_ignore_ascii_case("refresh")).map(|_| held),
        Tag::Input => word(b"type").filter(|kind| kind.trim().eq_ignore_ascii_case("image")).map(|_| held),
        _ => Some(held),
    }
}

/// The rules in a script's text. In foreign content references and CDATA sections are read too.
pub(super) fn inline(ctx: &Context, text: &[u8], foreign: bool) -> Hits {
    let policy = &ctx.page.policy;
    let mut hits = policy.match_inline(text);
    if foreign && text.iter().any(|&byte| byte == b'&' || byte == b'<') {
        let text = String::from_utf8_lossy(text).replace("<![CDATA[", "").replace("]]>", "");
        hits.merge(policy.match_inline(htmlize::unescape(text.as_str()).as_bytes()));
    }
    hits
}

/// One line about an attribute that hit.
pub(super) fn report(
    ctx: &Context,
    element: &Element<'_>,
    attribute: &Attribute,
    role: Role,
    hits: &Hits,
    verdict: Verdict,
) -> TagReport {
    let lower = |range| String::from_utf8_lossy(element.view.get(range)).to_ascii_lowercase();
    let value = attribute.value.clone().map_or(&[][..], |value| element.view.get(value));
    let address = match role {
        Role::Address => ctx.resolver().shown(&decode(value, ctx.encoding)),
        // Which of several it was is not worth a second pass.
        Role::Candidates | Role::List | Role::Refresh | Role::Document => None,
    };
    TagReport {
        offset: element.start.span.start,
        element: lower(element.start.span.start + 1..element.name_end),
        attribute: Some(lower(attribute.name.clone())),
        address,
        rules: rules(hits),
        verdict,
        late: false,
    }
}

/// Text for an attribute value, quoted unless it stands in quotes already. ASCII whatever the text.
pub(super) fn attribute_text(text: &str, quoted: bool) -> Cow<'static, str> {
    let mut value = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '"' => value.push_str("&quot;"),
            '\'' => value.push_str("&#39;"),
            '&' => value.push_str("&amp;"),
            '<' => value.push_str("&lt;"),
            '>' => value.push_str("&gt;"),
            c if c.is_ascii() => value.push(c),
            c => value.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    Cow::Owned(if quoted { value } else { format!("\"{value}\"") })
}
