//! The gate for one kind of document, and the way of its text there.

use std::sync::Arc;

use encoding_rs::{CoderResult, Decoder};

use super::super::{Gate, GateError, Limits, Outcome, Page, PageReport, SheetGate, charset::Charset, sniff::Kind, xml::XmlGate};

/// What looks for tags in a body.
#[derive(Debug)]
pub(super) enum Engine {
    Html(Box<Gate>),
    Xml(Box<XmlGate>),
    Css(Box<SheetGate>),
}

impl Engine {
    /// The engine for a kind of document in an encoding.
    pub(super) fn new(kind: Kind, page: Page, limits: Limits, charset: Charset) -> Self {
        let page = Arc::new(page);
        match kind {
            Kind::Html if charset.is_transcoded(kind) => Self::Html(Box::new(Gate::new(page, limits))),
            Kind::Html => Self::Html(Box::new(Gate::with_encoding(page, limits, charset.encoding()))),
            Kind::Xml => Self::Xml(Box::new(XmlGate::new(page, limits))),
            Kind::Css if charset.is_transcoded(kind) => Self::Css(Box::new(SheetGate::new(page, limits, encoding_rs::UTF_8))),
            Kind::Css => Self::Css(Box::new(SheetGate::new(page, limits, charset.encoding()))),
        }
    }

    /// Gates the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), GateError> {
        match self {
            Self::Html(gate) => gate.write(bytes, out),
            Self::Xml(gate) => gate.write(bytes, out),
            Self::Css(gate) => gate.write(bytes, out),
        }
    }

    /// The document is over.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), GateError> {
        match self {
            Self::Html(gate) => gate.end(out),
            Self::Xml(gate) => gate.end(out),
            Self::Css(gate) => gate.end(out),
        }
    }

    /// Keeps what it takes to use the outcome again: that of a page in HTML. Returns whether it does.
    pub(super) fn keep_outcome(&mut self) -> bool {
        match self {
            Self::Html(gate) => {
                gate.keep_outcome();
                true
            }
            Self::Xml(_) | Self::Css(_) => false,
        }
    }

    /// Keeps it no longer.
    pub(super) fn forget_outcome(&mut self) {
        if let Self::Html(gate) = self {
            gate.forget_outcome();
        }
    }

    /// The outcome, if it was kept and the page is over.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        match self {
            Self::Html(gate) => gate.take_outcome(),
            Self::Xml(_) | Self::Css(_) => None,
        }
    }

    /// What was met so far.
    pub(super) fn report(&self) -> &PageReport {
        match self {
            Self::Html(gate) => gate.report(),
            Self::Xml(gate) => gate.report(),
            Self::Css(gate) => gate.report(),
        }
    }
}

/// Makes UTF-8 out of the encodings in which tags could hide, as browsers read them: what is invalid
/// becomes U+FFFD, and the byte order mark goes.
pub(super) struct Transcoder(Decoder);

impl Transcoder {
    /// `None` where the bytes stay what they are.
    pub(super) fn new(kind: Kind, charset: Charset) -> Option<Self> {
        charset.is_transcoded(kind).then(|| Self(charset.encoding().new_decoder_with_bom_removal()))
    }

    /// Appends the next bytes to `text`; `last` if none follow.
    pub(super) fn write(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        let mut rest = bytes;
        loop {
            let from = text.len();
            text.resize(from + rest.len() * 3 + 16, 0);
            let (result, read, written, _) = self.0.decode_to_utf8(rest, &mut text[from..], last);
            text.truncate(from + written);
            rest = &rest[read..];
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}
