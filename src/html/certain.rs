//! Where the parser cannot be sure of the namespace: what must hold for its reading and a browser's to
//! be the same. Everything else is refused.

use std::ops::Range;

use super::{GateError, element::name_at, splice::View};

/// The part of a page in which namespaces are doubtful, searched for CDATA sections, which are one
/// thing in HTML and another in foreign content.
pub(super) struct Doubt {
    from: usize,
    /// Up to here there is none.
    searched: usize,
}

const SECTION: &[u8] = b"<![CDATA[";

/// A section's beginning, and enough of what stands before it to see whether it is commented out.
const LOOK_BACK_BYTES: usize = SECTION.len() + 8;

impl Doubt {
    pub(super) fn new(from: usize) -> Self {
        Self { from, searched: from }
    }

    /// Searches on. A section is an error, unless it is commented out as XHTML pages do in scripts and
    /// styles.
    pub(super) fn search(&mut self, view: View<'_>, to: usize) -> Result<(), GateError> {
        let (start, to) = (self.keep(), to.max(self.searched));
        let text = view.get(start..to);
        let seen = self.searched - start;
        for at in memchr::memmem::find_iter(text, SECTION).filter(|at| at + SECTION.len() > seen) {
            if !matches!(text[..at].trim_ascii_end(), [.., b'/' | b'*']) {
                return Err(GateError::Ambiguous { at: start + at });
            }
        }
        self.searched = to;
        Ok(())
    }

    /// What must not be forgotten yet: a section may arrive in pieces.
    pub(super) fn keep(&self) -> usize {
        self.searched.saturating_sub(LOOK_BACK_BYTES).max(self.from)
    }
}

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
