//! Style sheets of XML: `<?xml-stylesheet?>`, and what may stand in a sheet in XSLT.
//!
//! A sheet is applied to a document in the browser and can produce anything. Browsers load it from the
//! site itself only, so it comes through the gate, and its literal elements are gated like a page's.
//! What computes elements or addresses is refused: nobody can tell what becomes of it.

use std::borrow::Cow;

use quick_xml::events::attributes::Attributes;

use super::super::tag::Tag;
use super::{
    XmlError,
    scope::{self, Scope, Space},
    tag::{StartTag, name_of},
};

/// The target of the instruction.
pub(super) const TARGET: &str = "xml-stylesheet";

/// Instructions whose output can be read off the sheet, or is text.
#[rustfmt::skip]
const READABLE: [&str; 33] = [
    "apply-imports", "apply-templates", "attribute", "attribute-set", "call-template", "choose", "comment",
    "decimal-format", "element", "fallback", "for-each", "for-each-group", "if", "import", "include", "key",
    "message", "number", "otherwise", "output", "param", "preserve-space", "sequence", "sort", "strip-space",
    "stylesheet", "template", "text", "transform", "value-of", "variable", "when", "with-param",
];

/// Attributes that may be computed: they load nothing on any element.
const HARMLESS: [&str; 16] = [
    "alt", "class", "colspan", "dir", "height", "id", "lang", "name", "role", "rowspan", "scope", "tabindex", "target", "title",
    "value", "width",
];

/// Whether an element of that name can load something without a `style`, which is refused by itself.
fn loads(name: &str) -> bool {
    !matches!(Tag::of(name.as_bytes()), Tag::Other | Tag::Background | Tag::Html)
}

/// The undecoded address that an instruction names, if it is one for a style sheet.
pub(super) fn address(instruction: &str) -> Option<Cow<'_, str>> {
    let target = name_of(instruction);
    if target != TARGET {
        return None;
    }
    let mut attributes = Attributes::new(instruction, target.len()).filter_map(Result::ok);
    attributes.find(|attribute| attribute.key.into_inner() == "href").map(|attribute| attribute.value)
}

/// Refuses what cannot be read in a document in which XSLT is bound.
pub(super) fn check(scope: &Scope, space: Space, local: &str, tag: &StartTag<'_>, in_script: bool) -> Result<(), XmlError> {
    let refuse = |what: String| Err(XmlError::Sheet { at: tag.span.start, what });
    let value = |name: &str| tag.attributes.iter().find(|named| named.name == name).map(|named| named.decoded());
    let escapes =
        |named: &super::tag::Named<'_>| scope::split(named.name).1 == "disable-output-escaping" && named.decoded().trim() != "no";
    if tag.attributes.iter().any(escapes) {
        return refuse("disable-output-escaping".to_owned());
    }
    if space != Space::Xslt {
        return Ok(());
    }
    if in_script {
        return refuse(format!("xsl:{local} in a script"));
    }
    if !READABLE.contains(&local) {
        return refuse(format!("xsl:{local}"));
    }
    let name = value("name").unwrap_or_default().trim().to_ascii_lowercase();
    match local {
        "element" if name.contains('{') || value("namespace").is_some() || loads(scope::split(&name).1) => {
            refuse("xsl:element with a name that is computed or loads something".to_owned())
        }
        "attribute" if HARMLESS.contains(&name.as_str()) => Ok(()),
        // A link is the visitor's own act.
        "attribute" if name == "href" && scope.parent().eq_ignore_ascii_case("a") => Ok(()),
        "attribute" => refuse(format!("xsl:attribute for `{name}`")),
        _ => Ok(()),
    }
}
