//! Bytes -> the pieces that XML is made of, as far as they have arrived.
//!
//! Where a piece ends is all that is said here. Tags, instructions and the document type are whole
//! pieces; text comes as it arrives.

use std::ops::Range;

use quick_xml::parser::{ElementParser, Parser as _, PiParser};

use super::{super::splice::View, XmlError};

/// A piece of a document, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text with references.
    Text(Range<usize>),
    /// Text inside a CDATA section, without its brackets.
    Cdata(Range<usize>),
    /// `<name …>` or `<name …/>`.
    Start(Range<usize>),
    /// `</name>`.
    End(Range<usize>),
    /// `<?target …?>`.
    Instruction(Range<usize>),
    /// `<!DOCTYPE …>`.
    Doctype(Range<usize>),
}

impl Piece {
    /// Where it stands.
    pub(super) fn range(&self) -> &Range<usize> {
        match self {
            Self::Text(at) | Self::Cdata(at) | Self::Start(at) | Self::End(at) | Self::Instruction(at) | Self::Doctype(at) => at,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Content,
    Comment,
    Cdata,
    Start(ElementParser),
    End,
    Instruction(PiParser),
    Doctype,
}

/// Finds one piece after the other.
#[derive(Debug)]
pub(super) struct Framer {
    /// Where the piece that is being read begins.
    at: usize,
    /// Up to here it is known not to end.
    scanned: usize,
    mode: Mode,
    /// How long a piece that must be whole may be.
    piece_bytes_max: usize,
}

const MARK: &[u8] = b"\xef\xbb\xbf";
const COMMENT: &[u8] = b"<!--";
const CDATA: &[u8] = b"<![CDATA[";
const DOCTYPE: &[u8] = b"<!DOCTYPE";

/// An internal subset that declares nothing is short.
const DOCTYPE_BYTES_MAX: usize = 64 << 10;

impl Framer {
    pub(super) fn new(piece_bytes_max: usize) -> Self {
        Self { at: 0, scanned: 0, mode: Mode::Content, piece_bytes_max }
    }

    /// No later piece begins before this offset, and none that was begun needs what lies before it.
    pub(super) fn safe(&self) -> usize {
        match self.mode {
            Mode::Comment | Mode::Cdata => self.scanned,
            _ => self.at,
        }
    }

    /// Whether the document may end here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.mode, Mode::Content)
    }

    /// The next piece; `None` where more bytes are needed. `view` covers everything from `safe` on.
    pub(super) fn next(&mut self, view: View<'_>) -> Result<Option<Piece>, XmlError> {
        let end = view.base + view.bytes.len();
        loop {
            let (at, scanned) = (self.at, self.scanned);
            let rest = view.get(scanned..end);
            let whole = |found: Option<usize>| found.map(|last| at..scanned + last + 1);
            let piece = match &mut self.mode {
                Mode::Content => {
                    if rest.is_empty() || at == 0 && rest.len() < MARK.len() && MARK.starts_with(rest) {
                        return Ok(None);
                    }
                    if at == 0 && rest.starts_with(MARK) {
                        self.next_from(MARK.len());
                        continue;
                    }
                    let text = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                    if text > 0 {
                        self.next_from(at + text);
                        return Ok(Some(Piece::Text(at..at + text)));
                    }
                    match markup(rest, at)? {
                        Some((mode, length)) => (self.mode, self.scanned) = (mode, at + length),
                        None => return Ok(None),
                    }
                    continue;
                }
                Mode::Comment => match memchr::memmem::find(rest, b"-->") {
                    Some(last) => {
                        self.next_from(scanned + last + 3);
                        continue;
                    }
                    None => {
                        self.scanned = scanned.max(end.saturating_sub(2));
                        return Ok(None);
                    }
                },
                Mode::Cdata => {
                    if let Some(last) = memchr::memmem::find(rest, b"]]>") {
                        self.next_from(scanned + last + 3);
                        return Ok(Some(Piece::Cdata(scanned..scanned + last)));
                    }
                    self.scanned = scanned.max(end.saturating_sub(2));
                    return Ok((self.scanned > scanned).then_some(Piece::Cdata(scanned..self.scanned)));
                }
                Mode::Start(parser) => whole(parser.feed(rest)).map(Piece::Start),
                Mode::End => whole(memchr::memchr(b'>', rest)).map(Piece::End),
                Mode::Instruction(parser) => whole(parser.feed(rest)).map(Piece::Instruction),
                // Read from its beginning every time: it is short.
                Mode::Doctype => super::doctype::end(view.get(at..end)).map(|length| Piece::Doctype(at..at + length)),
            };
            let max = if matches!(self.mode, Mode::Doctype) { DOCTYPE_BYTES_MAX } else { self.piece_bytes_max };
            let piece_end = piece.as_ref().map_or(end, |piece| piece.range().end);
            // By its length and not by how it arrived.
            if piece_end - at > max {
                return Err(XmlError::Piece { at, max });
            }
            match &piece {
                Some(_) => self.next_from(piece_end),
                None => self.scanned = end,
            }
            return Ok(piece);
        }
    }

    fn next_from(&mut self, at: usize) {
        (self.at, self.scanned, self.mode) = (at, at, Mode::Content);
    }
}

/// What begins with this `<`, and how long its beginning is; `None` while that is open.
fn markup(rest: &[u8], at: usize) -> Result<Option<(Mode, usize)>, XmlError> {
    let fault = XmlError::NotWellFormed { at, why: "`<` begins nothing that XML knows" };
    Ok(match rest {
        [b'<'] => None,
        [b'<', b'?', ..] => Some((Mode::Instruction(PiParser::default()), 2)),
        [b'<', b'/', ..] => Some((Mode::End, 2)),
        [b'<', b'!', ..] => {
            let kinds = [(COMMENT, Mode::Comment), (CDATA, Mode::Cdata), (DOCTYPE, Mode::Doctype)];
            match kinds.iter().find(|(begins, _)| rest.starts_with(begins)) {
                Some((begins, mode)) => Some((*mode, begins.len())),
                None if kinds.iter().any(|(begins, _)| begins.starts_with(rest)) => None,
                None => return Err(fault),
            }
        }
        [b'<', first, ..] if is_name_start(*first) => Some((Mode::Start(ElementParser::default()), 1)),
        _ => return Err(fault),
    })
}

/// Every letter, and every byte of a letter beyond ASCII.
pub(super) fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'_' | b':')
}
