//! One start tag with everything that is known about it.

use super::{
    locate::{Attribute, Start},
    splice::View,
    tag::Tag,
};

/// A start tag with everything that is known about it.
pub(super) struct Element<'a> {
    pub(super) view: View<'a>,
    pub(super) tag: Tag,
    pub(super) start: &'a Start,
    pub(super) name_end: usize,
    pub(super) attributes: &'a [Attribute],
}

impl<'a> Element<'a> {
    /// Its name as written.
    pub(super) fn name(&self) -> &'a [u8] {
        self.view.get(self.start.span.start + 1..self.name_end)
    }

    /// The attributes of a name (lower case), in order.
    pub(super) fn named(&self, name: &'static [u8]) -> impl Iterator<Item = &'a Attribute> + use<'a> {
        let view = self.view;
        self.attributes.iter().filter(move |attribute| view.get(attribute.name.clone()).eq_ignore_ascii_case(name))
    }

    /// The raw value of the first attribute of a name: the one that counts.
    pub(super) fn value(&self, name: &'static [u8]) -> Option<&'a [u8]> {
        let attribute = self.named(name).next()?;
        Some(attribute.value.clone().map_or(&[], |value| self.view.get(value)))
    }
}

/// Where the name of a start tag ends.
pub(super) fn name_end(view: View<'_>, start: &Start) -> usize {
    start.span.start + 1 + name_at(view, start.span.start + 1).len()
}

/// The name that begins at an offset, as written.
pub(super) fn name_at(view: View<'_>, at: usize) -> &[u8] {
    let rest = &view.bytes[(at - view.base).min(view.bytes.len())..];
    let end = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'/' | b'>'));
    &rest[..end.unwrap_or(rest.len())]
}
