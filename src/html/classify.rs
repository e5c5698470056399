//! Small pure answers about one element: does it load at all, what becomes of it, how is it reported.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::{
    TagReport,
    address::{decode, shown},
    element::Element,
    finding::rules,
    foreign::texts,
    locate::Attribute,
    tag::{Role, Tag},
    walk::{Context, Setting},
};
use crate::{policy::Hits, vocab::Verdict};

/// The attributes of one element that are not granted.
#[derive(Debug)]
pub(super) struct Found {
    /// Places in the element's list.
    pub(super) attributes: Vec<usize>,
    pub(super) held: Hits,
    /// Something inside could not be read: it never comes back.
    pub(super) closed: bool,
    /// The element itself, by its name.
    pub(super) whole: bool,
    /// Nothing but CSS: the element stays.
    pub(super) styles_only: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { attributes: Vec::new(), held: Hits::none(), closed: false, whole: false, styles_only: true }
    }
}

/// Link relations that fetch, or open a connection, ahead of use. Nothing is lost without them.
const HINTS: [&str; 8] =
    ["preload", "modulepreload", "preconnect", "dns-prefetch", "prefetch", "prerender", "compression-dictionary", "monetization"];

/// Link relations that fetch for use.
const RESOURCES: [&str; 10] = [
    "stylesheet",
    "icon",
    "apple-touch-icon",
    "apple-touch-icon-precomposed",
    "apple-touch-startup-image",
    "mask-icon",
    "fluid-icon",
    "manifest",
    "search",
    "import",
];

/// Names of parameters that plug-ins took addresses from.
const PARAMS: [&str; 10] = ["movie", "src", "url", "href", "data", "filename", "code", "codebase", "archive", "object"];

/// The header that a `meta` stands for, lower case.
pub(super) fn header(element: &Element<'_>, encoding: &'static Encoding) -> Option<String> {
    element.value(b"http-equiv").map(|name| decode(name, encoding).trim().to_ascii_lowercase())
}

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
        Tag::Meta => header(element, encoding).filter(|name| matches!(name.as_str(), "refresh" | "link")).map(|_| held),
        Tag::Param => {
            word(b"name").filter(|name| PARAMS.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))).map(|_| held)
        }
        Tag::Amp => Some(Verdict::Strip),
        Tag::Input => word(b"type").filter(|kind| kind.trim().eq_ignore_ascii_case("image")).map(|_| held),
        _ => Some(held),
    }
}

/// The rules in a script's text. In foreign content references and CDATA sections are read too.
pub(super) fn inline(ctx: &Context, text: &[u8], foreign: bool) -> Hits {
    let policy = &ctx.page.policy;
    let mut hits = policy.match_inline(text);
    if foreign && memchr::memchr2(b'&', b'<', text).is_some() {
        texts(text).iter().for_each(|text| hits.merge(policy.match_inline(text.as_bytes())));
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
        Role::Address | Role::Frame | Role::Code | Role::Linked => shown(&ctx.base, &decode(value, ctx.encoding)),
        // Which of several it was is not worth a second pass.
        _ => None,
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

/// Markup for the beginning of a document in an attribute's value. ASCII whatever the markup.
pub(super) fn document_text(markup: &str, quoted: bool) -> Cow<'static, str> {
    let text = attribute_text(markup, true);
    if quoted {
        return text;
    }
    // White space would end the value, the others are errors there.
    let escaped = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}' | '=' | '`');
    let text = text.chars().map(|c| if escaped(c) { format!("&#{};", u32::from(c)) } else { c.to_string() });
    Cow::Owned(text.collect())
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
