//! Text of an inline script, or of a style, in XML: what of it is its own, and how far it has been read.

use std::ops::Range;

use super::super::script::Script;

/// How far it is decided what becomes of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its start tag is held until the text is known.
    Waiting,
    /// Too long to hold: its start tag is gone, a hit ends it with a syntax error.
    Passing,
    /// Nothing to decide any more.
    Settled,
}

/// An inline script, or a style, that is open.
#[derive(Debug)]
pub(super) struct OpenScript {
    /// How many elements are open inside it when text is its own.
    pub(super) depth: usize,
    /// Where its start tag begins.
    pub(super) at: usize,
    pub(super) name_end: usize,
    /// Where its content begins.
    pub(super) content: usize,
    /// Where its `type` attributes begin.
    pub(super) types: Vec<usize>,
    pub(super) progress: Progress,
    /// What the script is; `None` for a style, which is held whole.
    pub(super) script: Option<Script>,
    /// Its text so far: CDATA as it is, references read.
    text: String,
    /// Text that may end inside a reference.
    raw: Vec<u8>,
}

impl OpenScript {
    pub(super) fn new(
        depth: usize,
        at: usize,
        name_end: usize,
        content: usize,
        types: Vec<usize>,
        script: Option<Script>,
    ) -> Self {
        Self { depth, at, name_end, content, types, script, progress: Progress::Waiting, text: String::new(), raw: Vec::new() }
    }

    /// The part of a range that lies before the limit of what may be held, and the part behind.
    pub(super) fn split(&self, range: Range<usize>, hold_bytes_max: usize) -> (Range<usize>, Range<usize>) {
        let limit = (self.content + hold_bytes_max).clamp(range.start, range.end);
        (range.start..limit, limit..range.end)
    }

    /// Takes in text with references.
    pub(super) fn push_text(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// Takes in text that has none.
    pub(super) fn push_plain(&mut self, bytes: &[u8]) {
        // A character may come in two pieces; signatures are ASCII.
        self.settle();
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }

    /// All of its text so far.
    pub(super) fn text(&mut self) -> &str {
        self.settle();
        &self.text
    }

    /// The text so far, where more may follow.
    pub(super) fn so_far(&self) -> String {
        self.text.clone() + &read(&self.raw)
    }

    /// How much is kept.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.raw.len()
    }

    fn settle(&mut self) {
        if !self.raw.is_empty() {
            self.text.push_str(&read(&self.raw));
            self.raw.clear();
        }
    }
}

fn read(raw: &[u8]) -> String {
    htmlize::unescape(String::from_utf8_lossy(raw)).into_owned()
}
