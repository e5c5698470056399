//! One start tag of XML, taken apart by `quick-xml`: where its name and its attributes are.

use std::ops::Range;

use quick_xml::events::attributes::Attributes;

use super::super::{address::decode, locate::Attribute, splice::View};
use super::{XmlError, framer::is_name_start};

/// A start tag, by its places in the document.
#[derive(Debug)]
pub(super) struct StartTag<'a> {
    pub(super) span: Range<usize>,
    pub(super) name: &'a str,
    /// Where its name ends: the place for our attributes.
    pub(super) name_end: usize,
    pub(super) attributes: Vec<Named<'a>>,
    pub(super) is_empty: bool,
}

/// An attribute with its name and its undecoded value.
#[derive(Clone, Debug)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) place: Attribute,
}

impl Named<'_> {
    /// The value with its references read.
    pub(super) fn decoded(&self) -> std::borrow::Cow<'_, str> {
        decode(self.value.as_bytes(), encoding_rs::UTF_8)
    }
}

impl<'a> StartTag<'a> {
    /// Takes a tag apart. What XML forbids is an error, so that there is one reading of the rest.
    pub(super) fn read(view: View<'a>, span: Range<usize>) -> Result<Self, XmlError> {
        let fault = |why| XmlError::NotWellFormed { at: span.start, why };
        let text = str::from_utf8(view.get(span.clone())).map_err(|_| fault("a tag is not in the document's encoding"))?;
        let inner = &text[1..text.len() - 1];
        let (inner, is_empty) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
        let name = name_of(inner);
        if !is_name(name) {
            return Err(fault("a tag's name is no name"));
        }
        let place = |part: &str| {
            let at = span.start + 1 + (part.as_ptr().addr() - inner.as_ptr().addr());
            at..at + part.len()
        };
        let mut attributes: Vec<Named<'a>> = Vec::new();
        for attribute in Attributes::new(inner, name.len()) {
            let attribute = attribute.map_err(|_| fault("an attribute without a value in quotes, or twice"))?;
            let name = attribute.key.into_inner();
            let std::borrow::Cow::Borrowed(value) = attribute.value else {
                return Err(fault("an attribute that cannot be read"));
            };
            let names = place(name);
            let before = view.get(names.start - 1..names.start);
            if !is_name(name) || !before[0].is_ascii_whitespace() || value.contains('<') {
                return Err(fault("an attribute's name is no name, or its value contains `<`"));
            }
            attributes.push(Named { name, value, place: Attribute { name: names, value: Some(place(value)) } });
        }
        let name_end = span.start + 1 + name.len();
        Ok(Self { span, name, name_end, attributes, is_empty })
    }
}

/// The name in `</name >`.
pub(super) fn end_name(view: View<'_>, span: Range<usize>) -> Option<&str> {
    let text = str::from_utf8(view.get(span)).ok()?;
    let inner = text.strip_prefix("</")?.strip_suffix('>')?;
    Some(inner.trim_end_matches(is_space))
}

/// Up to the first white space.
pub(super) fn name_of(text: &str) -> &str {
    &text[..text.find(is_space).unwrap_or(text.len())]
}

/// White space of XML.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name(name: &str) -> bool {
    let rest = |byte: u8| is_name_start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.bytes().next().is_some_and(is_name_start) && name.bytes().all(rest)
}
