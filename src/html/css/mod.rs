//! Addresses in CSS: a tokenizer (CSS Syntax 3, section 4) that reads byte by byte, as they come.
//!
//! It knows strings, comments, escapes, names, numbers and `url()` with what recovers from a bad one:
//! enough to say where an address stands and where only text that looks like one. Non-ASCII characters
//! are parts of names, as browsers read them. What a sheet does with an address is not asked: one in a
//! rule that never applies counts too.

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

/// Longer addresses are not read, and stay closed. `data:` does not count.
const ADDRESS_BYTES_MAX: usize = 16 << 10;

/// How deep sheets may stand in `data:` addresses of sheets.
pub(super) const DEPTH_MAX: u8 = 2;

/// Names that matter are shorter.
const NAME_BYTES_MAX: usize = 24;

/// An address in a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The offset of its first byte.
    pub(super) at: usize,
    /// Its text without escapes; `None` where it is too long to be read.
    pub(super) text: Option<String>,
    pub(super) kind: Kind,
}

/// What an address is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image, a font, a shape.
    Resource,
    /// Another sheet.
    Import,
    /// A string in a custom property, which may become an address elsewhere (`image-set(var(--x))`).
    Maybe,
}

/// Reads a sheet, or the declarations of an attribute.
#[derive(Debug)]
pub(super) struct Scanner {
    encoding: &'static Encoding,
    /// Whether the second byte of a character may look like ASCII.
    wide: bool,
    lead: Option<u8>,
    state: State,
    escape: Escape,
    /// Of the token that is read; lower case.
    name: Vec<u8>,
    /// What the next token, if it is a string or a `url()`, is.
    expect: Option<Kind>,
    /// The same for the token that is read.
    expected: Option<Kind>,
    /// Open parentheses since that of an image function: every string there is an address.
    images: u32,
    custom: Custom,
    /// The address that is read.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    at: usize,
    kind: Kind,
    /// Decoded so far.
    text: String,
    /// Not yet decoded.
    raw: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Slash,
    Comment {
        star: bool,
    },
    /// How much of `<!--` was read.
    Opening(u8),
    Name(Token),
    String(u8),
    /// After `url(`.
    UrlStart,
    Url,
    UrlEnd,
    BadUrl,
}

/// What a name is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Plain,
    At,
    /// After `#` or a number: never a function.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Start,
    Hex {
        value: u32,
        digits: u8,
    },
    /// After a CR that belongs to the escape: an LF does too.
    Cr,
}

/// Whether a custom property is being declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Custom {
    No,
    Name,
    Value,
}

impl Scanner {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        Self {
            encoding,
            wide: [SHIFT_JIS, GBK, GB18030, BIG5, EUC_KR, EUC_JP].contains(&encoding),
            lead: None,
            state: State::Text,
            escape: Escape::None,
            name: Vec::new(),
            expect: None,
            expected: None,
            images: 0,
            custom: Custom::No,
            pending: None,
        }
    }

    /// Reads the next bytes, the first of which is at `offset`.
    pub(super) fn read(&mut self, bytes: &[u8], offset: usize, found: &mut Vec<Address>) {
        for (index, &byte) in bytes.iter().enumerate() {
            // A character's second byte is never punctuation, whatever it looks like.
            let byte_as_read = if self.wide && self.is_trail(byte) { 0x80 } else { byte };
            while !self.step(byte_as_read, byte, offset + index, found) {}
        }
    }

    /// The sheet ends: what is open is closed.
    pub(super) fn end(&mut self, found: &mut Vec<Address>) {
        if let Escape::Hex { value, .. } = self.escape {
            self.escaped(value);
        }
        if matches!(self.state, State::String(_) | State::Url | State::UrlEnd) {
            self.address(found);
        }
        self.state = State::Text;
    }

    /// Nothing from this offset on may be sent: the address there is not yet known.
    pub(super) fn hold(&self) -> Option<usize> {
        self.pending.as_ref().map(|pending| pending.at)
    }

    fn is_trail(&mut self, byte: u8) -> bool {
        match self.lead.take() {
            Some(lead) => {
                let pair = [lead, byte];
                self.encoding.decode_without_bom_handling_and_without_replacement(&pair).is_some()
            }
            None => {
                self.lead = (byte >= 0x81).then_some(byte);
                false
            }
        }
    }

    /// Takes a byte in; `false` if it has to be looked at again. `raw` is what it is in an address.
    fn step(&mut self, byte: u8, raw: u8, at: usize, found: &mut Vec<Address>) -> bool {
        if self.escape != Escape::None {
            return self.escape_step(byte, raw, found);
        }
        match self.state {
            State::Text => self.text_step(byte, at),
            State::Slash => {
                if byte == b'*' {
                    self.state = State::Comment { star: false };
                    return true;
                }
                self.punctuation(b'/');
                self.state = State::Text;
                false
            }
            State::Comment { star } => {
                self.state = if star && byte == b'/' { State::Text } else { State::Comment { star: byte == b'*' } };
                true
            }
            State::Opening(read) => match (read, byte) {
                (1, b'!') | (2, b'-') => {
                    self.state = State::Opening(read + 1);
                    true
                }
                (3, b'-') => {
                    self.state = State::Text;
                    true
                }
                (3, _) => {
                    self.begin_name(Token::Plain);
                    self.push_name(b'-');
                    false
                }
                _ => {
                    self.state = State::Text;
                    false
                }
            },
            State::Name(token) => self.name_step(token, byte),
            State::String(quote) => {
                match byte {
                    _ if byte == quote => {
                        self.address(found);
                        self.state = State::Text;
                    }
                    b'\\' => self.escape = Escape::Start,
                    b'\n' | b'\r' | 0x0c => {
                        self.pending = None;
                        self.state = State::Text;
                    }
                    _ => self.push(raw, found),
                }
                true
            }
            State::UrlStart => match byte {
                _ if is_space(byte) => true,
                b'"' | b'\'' => {
                    self.open();
                    self.begin_string(byte, at, Some(self.expected.unwrap_or(Kind::Resource)));
                    true
                }
                _ => {
                    self.begin_address(at, self.expected.unwrap_or(Kind::Resource));
                    self.state = State::Url;
                    false
                }
            },
            State::Url => {
                match byte {
                    b')' => {
                        self.address(found);
                        self.state = State::Text;
                    }
                    _ if is_space(byte) => self.state = State::UrlEnd,
                    b'"' | b'\'' | b'(' | 0x01..=0x1f | 0x7f => self.bad_url(),
                    b'\\' => self.escape = Escape::Start,
                    _ => self.push(raw, found),
                }
                true
            }
            State::UrlEnd => match byte {
                _ if is_space(byte) => true,
                b')' => {
                    self.address(found);
                    self.state = State::Text;
                    true
                }
                _ => {
                    self.bad_url();
                    false
                }
            },
            State::BadUrl => {
                match byte {
                    b')' => self.state = State::Text,
                    b'\\' => self.escape = Escape::Start,
                    _ => {}
                }
                true
            }
        }
    }

    fn text_step(&mut self, byte: u8, at: usize) -> bool {
        match byte {
            _ if is_space(byte) => {}
            b'/' => self.state = State::Slash,
            b'"' | b'\'' => {
                let kind = match self.expect.take() {
                    Some(kind) => Some(kind),
                    None if self.images > 0 => Some(Kind::Resource),
                    None => (self.custom == Custom::Value).then_some(Kind::Maybe),
                };
                self.begin_string(byte, at, kind);
            }
            b'@' => self.begin_name(Token::At),
            b'#' | b'0'..=b'9' => self.begin_name(Token::Other),
            b'\\' => {
                self.begin_name(Token::Plain);
                self.escape = Escape::Start;
            }
            _ if is_name(byte) => {
                self.begin_name(Token::Plain);
                return false;
            }
            b'<' => {
                self.punctuation(byte);
                self.state = State::Opening(1);
            }
            _ => self.punctuation(byte),
        }
        true
    }

    fn punctuation(&mut self, byte: u8) {
        self.expect = None;
        match byte {
            b'(' => self.open(),
            b')' => self.images = self.images.saturating_sub(1),
            b':' if self.custom == Custom::Name => self.custom = Custom::Value,
            b';' | b'}' => self.custom = Custom::No,
            _ if self.custom == Custom::Name => self.custom = Custom::No,
            _ => {}
        }
    }

    fn open(&mut self) {
        if self.images > 0 {
            self.images = self.images.saturating_add(1);
        }
    }

    // === names ===

    fn begin_name(&mut self, token: Token) {
        self.name.clear();
        self.expected = self.expect.take();
        self.state = State::Name(token);
    }

    fn push_name(&mut self, byte: u8) {
        if self.name.len() < NAME_BYTES_MAX {
            self.name.push(byte.to_ascii_lowercase());
        }
    }

    fn name_step(&mut self, token: Token, byte: u8) -> bool {
        if byte == b'\\' {
            self.escape = Escape::Start;
            return true;
        }
        if is_name(byte) {
            if self.name == b"-" && token == Token::Plain && byte.is_ascii_digit() {
                self.state = State::Name(Token::Other);
            }
            self.push_name(byte);
            return true;
        }
        self.state = State::Text;
        if token == Token::At && self.name == b"import" {
            self.expect = Some(Kind::Import);
        }
        if byte == b'(' && token == Token::Plain {
            self.function();
            return true;
        }
        if self.custom != Custom::Value {
            self.custom = if token == Token::Plain && self.name.starts_with(b"--") { Custom::Name } else { Custom::No };
        }
        false
    }

    fn function(&mut self) {
        match self.name.as_slice() {
            b"url" => {
                self.state = State::UrlStart;
                return;
            }
            b"src" => {
                self.open();
                self.expect = Some(self.expected.unwrap_or(Kind::Resource));
                return;
            }
            b"image-set" | b"-webkit-image-set" | b"image" | b"cross-fade" | b"-webkit-cross-fade" if self.images == 0 => {
                self.images = 1;
            }
            _ => self.open(),
        }
        self.expect = None;
    }

    // === strings and addresses ===

    fn begin_string(&mut self, quote: u8, at: usize, kind: Option<Kind>) {
        if let Some(kind) = kind {
            self.begin_address(at + 1, kind);
        }
        self.state = State::String(quote);
    }

    fn begin_address(&mut self, at: usize, kind: Kind) {
        self.pending = Some(Pending { at, kind, text: String::new(), raw: Vec::new() });
    }

    fn push(&mut self, raw: u8, found: &mut Vec<Address>) {
        let Some(pending) = &mut self.pending else { return };
        pending.raw.push(raw);
        let read = pending.text.len() + pending.raw.len();
        // Nothing is loaded from there, and it may be a whole font.
        let is_data = read == 5 && pending.text.is_empty() && pending.raw.eq_ignore_ascii_case(b"data:");
        if is_data && pending.kind != Kind::Import {
            self.pending = None;
        } else if read > ADDRESS_BYTES_MAX {
            found.push(Address { at: pending.at, text: None, kind: pending.kind });
            self.pending = None;
        }
    }

    fn address(&mut self, found: &mut Vec<Address>) {
        let Some(mut pending) = self.pending.take() else { return };
        pending.flush(self.encoding);
        if !pending.text.is_empty() {
            found.push(Address { at: pending.at, text: Some(pending.text), kind: pending.kind });
        }
    }

    fn bad_url(&mut self) {
        self.pending = None;
        self.state = State::BadUrl;
    }

    // === escapes ===

    fn escape_step(&mut self, byte: u8, raw: u8, found: &mut Vec<Address>) -> bool {
        match self.escape {
            Escape::None => false,
            Escape::Start => {
                self.escape = Escape::None;
                match (byte as char).to_digit(16) {
                    Some(value) if byte < 0x80 => self.escape = Escape::Hex { value, digits: 1 },
                    _ if matches!(byte, b'\n' | b'\r' | 0x0c) => return self.no_escape(byte),
                    _ => match self.state {
                        State::Name(_) => self.push_name(if byte == raw { byte } else { 0x80 }),
                        _ => self.push(raw, found),
                    },
                }
                true
            }
            Escape::Hex { value, digits } => match (byte as char).to_digit(16) {
                Some(digit) if digits < 6 => {
                    self.escape = Escape::Hex { value: value * 16 + digit, digits: digits + 1 };
                    true
                }
                _ => {
                    self.escaped(value);
                    self.escape = if byte == b'\r' { Escape::Cr } else { Escape::None };
                    is_space(byte)
                }
            },
            Escape::Cr => {
                self.escape = Escape::None;
                byte == b'\n'
            }
        }
    }

    /// A backslash before a line's end: in a string the line goes on, elsewhere it is no escape.
    fn no_escape(&mut self, byte: u8) -> bool {
        match self.state {
            State::String(_) => {
                if byte == b'\r' {
                    self.escape = Escape::Cr;
                }
                true
            }
            State::Url => {
                self.bad_url();
                true
            }
            State::BadUrl => true,
            _ => {
                self.state = State::Text;
                self.punctuation(b'\\');
                true
            }
        }
    }

    fn escaped(&mut self, value: u32) {
        let c = char::from_u32(value).filter(|&c| c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER);
        self.escape = Escape::None;
        match self.state {
            State::Name(_) => self.push_name(u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(0x80)),
            _ => {
                if let Some(pending) = &mut self.pending {
                    pending.flush(self.encoding);
                    pending.text.push(c);
                }
            }
        }
    }
}

impl Pending {
    fn flush(&mut self, encoding: &'static Encoding) {
        if !self.raw.is_empty() {
            self.text.push_str(&encoding.decode_without_bom_handling(&self.raw).0);
            self.raw.clear();
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | 0 | 0x80..)
}

#[cfg(test)]
mod tests;
