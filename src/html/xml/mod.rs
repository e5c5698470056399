//! The gate for XML: XHTML, SVG documents, and whatever else browsers show as XML, since elements of
//! both may stand in any of it.
//!
//! The same principle as in HTML: `quick-xml` only takes apart what `framer` finds, the raw bytes stay,
//! patches by offset change what must change. XML has one reading or none: where a document is not
//! well-formed a browser stops, and so does the gate. The text is UTF-8; other encodings are transcoded
//! before they come here.

mod doctype;
mod element;
mod framer;
mod places;
mod reader;
mod scope;
mod sheet;
mod tag;
mod text;

use std::{fmt, sync::Arc};

use super::{GateError, Limits, Page, PageReport, splice, splice::Window};
use framer::Framer;
use reader::Reader;

/// Why a document in XML could not be gated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// A browser stops here, too.
    #[error("at byte {at} the document is not well-formed: {why}; mend it, or send it as text/html")]
    NotWellFormed {
        /// Offset in the decoded document.
        at: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The internal subset of the document type.
    #[error(
        "the document type declares entities or attributes, which can hide a tag anywhere; write them out, or exempt the path"
    )]
    Declarations,
    /// One tag, instruction or document type is too long.
    #[error("at byte {at} a tag, an instruction or a document type is longer than {max} bytes; shorten it, or exempt the path")]
    Piece {
        /// Where it begins in the decoded document.
        at: usize,
        /// The limit.
        max: usize,
    },
    /// Elements in elements.
    #[error("at byte {at} more than {max} elements are inside each other, or as many namespaces bound; write it flatter")]
    Deep {
        /// Offset in the decoded document.
        at: usize,
        /// The limit.
        max: usize,
    },
    /// An XSLT style sheet whose output cannot be told from reading it.
    #[error("at byte {at} the style sheet uses {what}, which may produce any tag; use literal elements, or exempt the path")]
    Sheet {
        /// Offset in the decoded document.
        at: usize,
        /// The construct.
        what: String,
    },
}

/// Gates one document, in as many chunks as it comes. The output does not depend on them.
pub struct XmlGate {
    window: Window,
    framer: Framer,
    reader: Reader,
    /// Whether a document that cannot be read passes all the same.
    lenient: bool,
    closed: bool,
}

impl XmlGate {
    /// A gate for a document in UTF-8.
    pub fn new(page: Arc<Page>, limits: Limits) -> Self {
        Self {
            window: Window::default(),
            framer: Framer::new(limits.memory_bytes_max),
            lenient: !page.changes(),
            reader: Reader::new(page, limits),
            closed: false,
        }
    }

    /// Takes the next chunk and appends what may be sent to `out`. After an error, drop the document:
    /// every later call fails. What is in `out` when it is not well-formed is what a browser would show.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), GateError> {
        self.window.push(chunk);
        self.guarded(out, Self::step)
    }

    /// The document is over: decides what is still open and appends the rest to `out`.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), GateError> {
        self.guarded(out, |gate, out| {
            gate.step(out)?;
            let at = gate.window.end();
            if !gate.framer.is_between() {
                return Err(XmlError::NotWellFormed { at, why: "it ends inside a tag, a comment or a section" }.into());
            }
            gate.reader.finish(at)?;
            gate.window.emit(at, &mut gate.reader.findings.patches, &gate.reader.walker.ctx.page, out);
            Ok(())
        })?;
        self.closed = true;
        Ok(())
    }

    /// What was met so far.
    pub fn report(&self) -> &PageReport {
        &self.reader.findings.report
    }

    fn guarded(
        &mut self,
        out: &mut Vec<u8>,
        work: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), GateError>,
    ) -> Result<(), GateError> {
        if self.closed {
            return Err(GateError::Closed);
        }
        if self.reader.findings.report.unread.is_some() {
            self.window.pass(out);
            return Ok(());
        }
        match work(self, out) {
            Err(fault) if self.lenient => {
                self.reader.findings.report.unread = Some(fault.to_string());
                self.window.pass(out);
                Ok(())
            }
            result => {
                self.closed = result.is_err();
                result
            }
        }
    }

    fn step(&mut self, out: &mut Vec<u8>) -> Result<(), GateError> {
        let (result, limit) = loop {
            let (piece, safe) = match self.framer.next(self.window.view()) {
                Ok(Some(piece)) => (piece.clone(), piece.range().start),
                Ok(None) => break (Ok(()), self.framer.safe()),
                Err(fault) => break (Err(fault.into()), self.framer.safe()),
            };
            let view = self.window.view();
            if let Err(fault) = self.reader.advance(safe).and_then(|()| self.reader.take(view, piece)) {
                break (Err(fault), safe);
            }
        };
        // As if the bytes had arrived one by one, also where it ends in an error.
        let result = result.and(self.reader.advance(limit));
        let limit = self.reader.hold().map_or(limit, |hold| limit.min(hold));
        self.window.emit(limit, &mut self.reader.findings.patches, &self.reader.walker.ctx.page, out);
        self.window.forget(usize::MAX);
        result
    }
}

impl fmt::Debug for XmlGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlGate").field("report", self.report()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
