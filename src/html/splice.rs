//! The document's raw bytes and the patches to them, by offset.
//!
//! Nothing is serialised anew: what no patch touches leaves as it came. Output is monotone, a byte
//! once sent is never revised.

use std::{collections::VecDeque, ops::Range};

use super::{Page, insert::Insert};

/// A change at one offset: some bytes go, some text comes in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) at: usize,
    pub(super) cut: usize,
    pub(super) insert: Insert,
}

/// The patches not yet applied, in document order.
#[derive(Debug, Default)]
pub(super) struct Patches {
    queue: VecDeque<Patch>,
    added: usize,
}

impl Patches {
    /// Inserts text. At one offset, what was inserted first stands first.
    pub(super) fn insert(&mut self, at: usize, text: impl Into<Insert>) {
        self.add(Patch { at, cut: 0, insert: text.into() });
    }

    /// Cuts a range and what was to happen inside it.
    pub(super) fn cut(&mut self, range: Range<usize>) {
        self.replace(range, "");
    }

    /// Puts text in the place of a range.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<Insert>) {
        let swallowed =
            |patch: &Patch| patch.at > range.start && patch.at < range.end || patch.at == range.start && patch.cut > 0;
        if self.queue.back().is_some_and(|last| last.at >= range.start) {
            self.queue.retain(|patch| !swallowed(patch));
        }
        self.add(Patch { at: range.start, cut: range.len(), insert: text.into() });
    }

    /// How many there have been.
    pub(super) fn added(&self) -> usize {
        self.added
    }

    fn add(&mut self, patch: Patch) {
        self.added += 1;
        // At one offset insertions come before a cut, so that the cut does not lie in front of them.
        let key = |patch: &Patch| (patch.at, patch.cut > 0);
        let mut place = self.queue.len();
        while place > 0 && key(&self.queue[place - 1]) > key(&patch) {
            place -= 1;
        }
        self.queue.insert(place, patch);
    }
}

/// The bytes that are still needed, by their document offsets.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// The document offset of `bytes[0]`.
    base: usize,
    /// The document offset up to which all is sent.
    sent: usize,
    /// The patches that were applied, where somebody wants to know.
    pub(super) applied: Option<Vec<Patch>>,
}

impl Window {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The document offset behind the last byte.
    pub(super) fn end(&self) -> usize {
        self.base + self.bytes.len()
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, base: self.base }
    }

    /// Sends everything before `limit`, patched for the response to which `page` belongs.
    pub(super) fn emit(&mut self, limit: usize, patches: &mut Patches, page: &Page, out: &mut Vec<u8>) {
        while let Some(patch) = patches.queue.front()
            && patch.at + patch.cut <= limit
        {
            self.copy_to(patch.at, out);
            patch.insert.write(page, out);
            self.sent = self.sent.max(patch.at + patch.cut);
            let done = patches.queue.pop_front();
            if let Some(applied) = &mut self.applied {
                applied.extend(done);
            }
        }
        // A range that is to be cut is not sent in part.
        let limit = patches.queue.front().map_or(limit, |next| limit.min(next.at));
        self.copy_to(limit, out);
    }

    /// Sends everything as it came.
    pub(super) fn pass(&mut self, out: &mut Vec<u8>) {
        self.copy_to(self.end(), out);
        self.forget(usize::MAX);
    }

    /// Forgets the bytes that were sent and that nobody needs to read again from `keep` on.
    pub(super) fn forget(&mut self, keep: usize) {
        let done = self.sent.min(keep).saturating_sub(self.base);
        // Moving the rest costs; it is moved when at least as much is forgotten.
        if done == self.bytes.len() {
            self.bytes.clear();
        } else if done > self.bytes.len() / 2 {
            self.bytes.drain(..done);
        } else {
            return;
        }
        self.base += done;
    }

    fn copy_to(&mut self, to: usize, out: &mut Vec<u8>) {
        if to > self.sent {
            out.extend_from_slice(&self.bytes[self.sent - self.base..to - self.base]);
            self.sent = to;
        }
    }
}

/// Bytes of the document by their offsets.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) base: usize,
}

impl<'a> View<'a> {
    /// Offsets come from the parser that was given these very bytes.
    pub(super) fn get(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range.start - self.base..range.end - self.base]
    }
}
