//! Where browsers may read an element in another way than the parser: what must hold for both readings to come to
//! the same. Everything else is refused.

use std::ops::Range;

use super::{GateError, element::name_at, splice::View};

/// In HTML the first end tag of its name ends a text. If foreign content saw it pass, in a comment or
/// inside another tag, the two readings part there.
pub(super) fn no_end_in(view: View<'_>, element: usize, text: Range<usize>) -> Result<(), GateError> {
    let name = name_at(view, element + 1);
    let text = view.get(text);
    let ends = |at: usize| {
        let rest = text[at..].strip_prefix(b"</").and_then(|rest| rest.get(..name.len()));
        rest.is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    if memchr::memchr_iter(b'<', text).any(ends) { Err(GateError::Ambiguous { at: element }) } else { Ok(()) }
}

/// Text in which there is nothing that would be read in another way as markup.
pub(super) fn no_markup_in(view: View<'_>, element: usize, text: Range<usize>) -> Result<(), GateError> {
    match memchr::memchr2(b'<', b'&', view.get(text)) {
        Some(_) => Err(GateError::Ambiguous { at: element }),
        None => Ok(()),
    }
}
