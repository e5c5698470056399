//! What the parser makes of foreign content: the namespaces of `lol_html`, which goes up or down one level at a time
//! and knows nothing of the elements between.

use super::{
    names::{Namespace, breaks_out, is_point, says_html},
    reader::Tag,
};

/// The parser's idea of where it is.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Above HTML.
    levels: Vec<Namespace>,
}

impl Parser {
    /// Whether it is in HTML, and in nothing else.
    pub(super) fn is_at_rest(&self) -> bool {
        self.levels.is_empty()
    }

    pub(super) fn has_sections(&self) -> bool {
        self.namespace() != Namespace::Html
    }

    fn namespace(&self) -> Namespace {
        self.levels.last().copied().unwrap_or(Namespace::Html)
    }

    /// Takes in a start tag. Returns whether the element is of HTML.
    pub(super) fn start(&mut self, tag: &Tag) -> bool {
        let now = self.namespace();
        match &*tag.name {
            b"svg" => self.levels.push(Namespace::Svg),
            b"math" => self.levels.push(Namespace::Math),
            _ if now == Namespace::Html => return true,
            _ if breaks_out(tag) => {
                self.levels.pop();
                return self.namespace() == Namespace::Html;
            }
            // Of several attributes of one name any will do, and references in them are not read.
            b"annotation-xml" if now == Namespace::Math => {
                let html = |(name, value): &(Vec<u8>, Vec<u8>)| name == b"encoding" && says_html(value);
                if !tag.self_closing && tag.attributes.iter().any(html) {
                    self.levels.push(Namespace::Html);
                }
            }
            name if is_point(now, name) && !tag.self_closing => self.levels.push(Namespace::Html),
            _ => {}
        }
        false
    }

    pub(super) fn end(&mut self, name: &[u8]) {
        let outer = self.levels.len().checked_sub(2).map_or(Namespace::Html, |at| self.levels[at]);
        let leaves = match self.namespace() {
            Namespace::Html => is_point(outer, name) || outer == Namespace::Math && name == b"annotation-xml",
            Namespace::Svg => matches!(name, b"svg" | b"p" | b"br"),
            Namespace::Math => matches!(name, b"math" | b"p" | b"br"),
        };
        if leaves {
            self.levels.pop();
        }
    }
}
