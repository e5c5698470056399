//! What changes from request to request in markup that was rendered once: the places are marked
//! with noncharacters while a template is rendered, and the text is cut there.
//!
//! Escaping lives here: every value is put into a double-quoted attribute, and what goes into the
//! site's pages is ASCII, so that it reads the same in every charset.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::wire::{push_ascii, push_escaped};

/// What the markup of one answer is filled with. Plain text: escaping is done here.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The absolute address of the gate's own paths without a slash at its end, such as
    /// `https://shop.example/_consent`: absolute, because a page may carry a `<base>`.
    pub prefix_url: &'a str,
    /// The notice token.
    pub token: &'a str,
    /// Where a decision leads back to: a path on this origin, already checked.
    pub return_to: &'a str,
    /// The nonce that the page's own Content-Security-Policy allows, if it has one.
    pub csp_nonce: Option<&'a str>,
}

impl Fill<'_> {
    /// `https://shop.example` of `https://shop.example/_consent`.
    pub(super) fn origin(&self) -> &str {
        let host = self.prefix_url.find("://").map_or(0, |at| at + 3);
        let end = self.prefix_url[host..].find('/').map_or(self.prefix_url.len(), |at| host + at);
        &self.prefix_url[..end]
    }
}

/// A place in rendered markup whose content is known only with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    Prefix,
    Origin,
    Token,
    Return,
    /// The return path as the value of a query parameter.
    ReturnQuery,
}

impl Hole {
    const ALL: [Self; 5] = [Self::Prefix, Self::Origin, Self::Token, Self::Return, Self::ReturnQuery];

    /// The noncharacter that stands for it: no text that people write has one, and escaping leaves it.
    pub(super) fn mark(self) -> char {
        char::from_u32(0xFDD0 + self as u32).expect("U+FDD0 to U+FDD4 are scalar values")
    }

    fn of(mark: char) -> Option<Self> {
        Self::ALL.into_iter().find(|hole| hole.mark() == mark)
    }

    fn push(self, fill: &Fill<'_>, out: &mut String) {
        match self {
            Self::Prefix => push_escaped(fill.prefix_url, out),
            Self::Origin => push_escaped(fill.origin(), out),
            Self::Token => push_escaped(fill.token, out),
            Self::Return => push_escaped(fill.return_to, out),
            Self::ReturnQuery => write!(out, "{}", utf8_percent_encode(fill.return_to, QUERY)).expect("a String takes any text"),
        }
    }
}

/// Kept readable where it is safe: unreserved characters of RFC 3986, and the slash.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The characters that mark holes; text from files must not hold one.
pub(super) fn is_reserved(c: char) -> bool {
    ('\u{FDD0}'..='\u{FDEF}').contains(&c)
}

/// Markup rendered once, cut at its holes.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces(Vec<(String, Option<Hole>)>);

impl Pieces {
    /// Cuts at the marks. A reserved character that marks nothing is dropped.
    pub(super) fn cut(marked: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        for c in marked.chars() {
            match Hole::of(c) {
                Some(hole) => pieces.push((std::mem::take(&mut text), Some(hole))),
                None if is_reserved(c) => {}
                None => text.push(c),
            }
        }
        pieces.push((text, None));
        Self(pieces)
    }

    /// The same with every piece in ASCII: for markup that goes into the site's pages.
    pub(super) fn into_ascii(self) -> Self {
        Self(self.0.into_iter().map(|(text, hole)| (ascii(&text), hole)).collect())
    }

    pub(super) fn fill(&self, fill: &Fill<'_>) -> String {
        let mut out = String::with_capacity(self.0.iter().map(|(text, _)| text.len() + 64).sum());
        for (text, hole) in &self.0 {
            out.push_str(text);
            if let Some(hole) = hole {
                hole.push(fill, &mut out);
            }
        }
        out
    }

    /// With nothing in the holes: the form that a notice is addressed by.
    pub(super) fn blank(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Non-ASCII characters as numeric character references. Right in text and attributes, not inside
/// `<script>` or `<style>`; the lint keeps those out of what is injected.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    text.chars().for_each(|c| push_ascii(c, &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: Fill<'_> =
        Fill { prefix_url: "https://shop.example/_consent", token: "t", return_to: "/a?b=\"><script>ü", csp_nonce: None };

    #[test]
    fn holes_are_filled_escaped_and_blank_when_nothing_is_known() {
        let marked =
            format!("<a href=\"{}/x?r={}\" title=\"{}ß\">", Hole::Prefix.mark(), Hole::ReturnQuery.mark(), Hole::Return.mark());
        let pieces = Pieces::cut(&marked).into_ascii();
        assert_eq!(
            pieces.fill(&FILL),
            "<a href=\"https://shop.example/_consent/x?r=/a%3Fb%3D%22%3E%3Cscript%3E%C3%BC\" title=\"/a?b=&#34;&gt;&lt;script&gt;&#252;&#223;\">"
        );
        assert_eq!(pieces.blank(), "<a href=\"/x?r=\" title=\"&#223;\">");
    }

    #[test]
    fn the_origin_is_cut_from_the_prefix() {
        for (prefix_url, origin) in [
            ("https://shop.example/_consent", "https://shop.example"),
            ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080"),
            ("https://shop.example", "https://shop.example"),
        ] {
            assert_eq!(Fill { prefix_url, ..FILL }.origin(), origin);
        }
    }
}
