//! The tokens of a piece of markup, one after the other, as the HTML standard has them (13.2.5).
//!
//! What is text and what is markup is for others to say, after each start tag; so the same bytes can be read by
//! readers that are of different minds.

use std::ops::Range;

use crate::html::{GateError, splice::View};

/// One reader's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// Everything before this offset has been read.
    pub(super) at: usize,
    state: State,
    /// A longer tag is refused.
    tag_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Markup,
    /// Whether nothing of it has been read yet.
    Comment {
        begins: bool,
    },
    /// A CDATA section.
    Section,
    /// What ends with the first `>`.
    Bogus,
    Text(Text),
}

/// How text is read in which nothing but its end tag is markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Up to the end tag of this name.
    Until(&'static str),
    /// That of a script, in which comments count.
    Script(Escape),
    /// Up to the end of the document.
    Plain,
}

/// How deep in a comment of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    None,
    Once,
    /// In a script in a comment.
    Twice,
}

/// A start or end tag. Names are lower case.
#[derive(Debug)]
pub(super) enum Token {
    Start(Tag),
    End(Box<[u8]>),
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) at: usize,
    pub(super) name: Box<[u8]>,
    pub(super) self_closing: bool,
    /// In order, only of those elements where they decide about the namespace.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How a CDATA section begins.
pub(super) const SECTION: &[u8] = b"<![CDATA[";

impl Text {
    /// How the text of an HTML element of that name is read.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        const NAMES: [&str; 8] = ["textarea", "title", "style", "iframe", "xmp", "noembed", "noframes", "noscript"];
        match name {
            b"script" => Some(Self::Script(Escape::None)),
            b"plaintext" => Some(Self::Plain),
            _ => NAMES.into_iter().find(|known| known.as_bytes() == name).map(Self::Until),
        }
    }
}

impl Reader {
    pub(super) fn new(at: usize, tag_bytes_max: usize) -> Self {
        Self { at, state: State::Markup, tag_bytes_max }
    }

    pub(super) fn is_in_markup(&self) -> bool {
        self.state == State::Markup
    }

    /// What follows the start tag just read is markup after all.
    pub(super) fn read_markup(&mut self) {
        self.state = State::Markup;
    }

    /// What follows the start tag just read is text.
    pub(super) fn read_text(&mut self, text: Text) {
        self.state = State::Text(text);
    }

    /// The next tag, if it begins before `before` and ends before `end`, where the bytes end. `sections`: whether
    /// there are CDATA sections here.
    pub(super) fn next(&mut self, view: View<'_>, before: usize, end: usize, sections: bool) -> Result<Option<Token>, GateError> {
        while self.at < before.min(end) {
            let text = view.get(self.at..end);
            let was = (self.at, self.state);
            match self.state {
                State::Markup => {
                    let plain = memchr::memchr(b'<', text).unwrap_or(text.len());
                    self.at += plain;
                    let text = &text[plain..];
                    if self.at >= before || text.len() < 2 {
                        return Ok(None);
                    }
                    match (text[1], text.get(2)) {
                        (b'/', None) => return Ok(None),
                        (b'/', Some(letter)) if letter.is_ascii_alphabetic() => return self.tag(text, 2),
                        (letter, _) if letter.is_ascii_alphabetic() => return self.tag(text, 1),
                        (b'!', _) if text.starts_with(b"<!--") => self.turn(4, State::Comment { begins: true }),
                        (b'!', _) if sections && text.starts_with(SECTION) => self.turn(SECTION.len(), State::Section),
                        (b'!', _) if b"<!--".starts_with(text) || sections && SECTION.starts_with(text) => return Ok(None),
                        (b'/', Some(b'>')) => self.at += 3,
                        (b'!' | b'/', _) => self.turn(2, State::Bogus),
                        (b'?', _) => self.turn(1, State::Bogus),
                        _ => self.at += 1,
                    }
                }
                State::Comment { begins: true } => match text {
                    [b'>', ..] => self.turn(1, State::Markup),
                    [b'-', b'>', ..] => self.turn(2, State::Markup),
                    [b'-'] => return Ok(None),
                    _ => self.state = State::Comment { begins: false },
                },
                State::Comment { begins: false } => {
                    let ends = |&at: &usize| text[..at].ends_with(b"--") || text[..at].ends_with(b"--!");
                    let found = memchr::memchr_iter(b'>', text).find(ends).map(|at| at + 1);
                    self.pass(found, text.len(), 3);
                }
                State::Section => {
                    let found = memchr::memmem::find(text, b"]]>").map(|at| at + 3);
                    self.pass(found, text.len(), 2);
                }
                State::Bogus => self.pass(memchr::memchr(b'>', text).map(|at| at + 1), text.len(), 0),
                State::Text(Text::Plain) => self.at = end,
                State::Text(Text::Until(name)) => {
                    let mut places = memchr::memchr_iter(b'<', text).filter_map(|at| Some((at, is_end(&text[at..], name)?)));
                    let Some((at, whole)) = places.next() else {
                        self.at = end;
                        return Ok(None);
                    };
                    self.at += at;
                    return if whole && self.at < before { self.tag(&text[at..], 2) } else { Ok(None) };
                }
                State::Text(Text::Script(escape)) => {
                    let Some((at, whole)) = self.script(text, escape) else { return Ok(None) };
                    return if whole && self.at < before { self.tag(&text[at..], 2) } else { Ok(None) };
                }
            }
            if was == (self.at, self.state) {
                // What ends it has not arrived.
                break;
            }
        }
        Ok(None)
    }

    fn turn(&mut self, by: usize, state: State) {
        self.at += by;
        self.state = state;
    }

    /// Behind the end of what is no markup, or as far as the end cannot have begun.
    fn pass(&mut self, found: Option<usize>, length: usize, kept: usize) {
        match found {
            Some(by) => self.turn(by, State::Markup),
            None => self.at += length.saturating_sub(kept),
        }
    }

    /// Reads on in the text of a script, up to its end tag or what may become one: where that is, and whether it is one.
    fn script(&mut self, text: &[u8], mut escape: Escape) -> Option<(usize, bool)> {
        let begin = self.at;
        let mut at = 0;
        let found = loop {
            let Some(next) = memchr::memchr2(b'<', b'-', &text[at..]) else { break None };
            at += next;
            let rest = &text[at..];
            let open = |known: &[u8]| rest.len() < known.len() && known.starts_with(rest);
            if open(b"<!--") || open(b"-->") {
                break Some((at, false));
            }
            let mut step = 1;
            if rest.starts_with(b"-->") {
                escape = Escape::None;
            } else if escape == Escape::None && rest.starts_with(b"<!--") {
                // Its dashes may be those of its end.
                (escape, step) = (Escape::Once, 2);
            } else if rest[0] == b'<' {
                match (is_end(rest, "script"), named(&rest[1..], "script"), escape) {
                    (Some(true), _, Escape::Twice) => escape = Escape::Once,
                    (Some(whole), _, _) => break Some((at, whole)),
                    (None, Some(true), Escape::Once) => escape = Escape::Twice,
                    (None, Some(false), Escape::Once) => break Some((at, false)),
                    _ => {}
                }
            }
            at += step;
        };
        self.at = begin + found.map_or(text.len(), |(at, _)| at);
        self.state = State::Text(Text::Script(escape));
        found
    }

    /// The tag at the beginning of `text`, whose name begins at `name`.
    fn tag(&mut self, text: &[u8], name: usize) -> Result<Option<Token>, GateError> {
        let at = self.at;
        let length = text[name..].iter().position(|byte| ends_name(*byte));
        let lower: Box<[u8]> = text[name..][..length.unwrap_or(0)].to_ascii_lowercase().into();
        let decides = matches!(&*lower, b"font" | b"annotation-xml");
        let mut attributes = Vec::new();
        let end = length.and_then(|length| {
            tag_end(text, name + length, |name, value| {
                if decides {
                    attributes.push((text[name].to_ascii_lowercase(), text[value].to_vec()));
                }
            })
        });
        if end.map_or(text.len(), |(end, _)| end) > self.tag_bytes_max {
            return Err(GateError::Ambiguous { at });
        }
        let Some((end, self_closing)) = end else { return Ok(None) };
        self.turn(end, State::Markup);
        Ok(Some(if name == 2 { Token::End(lower) } else { Token::Start(Tag { at, name: lower, self_closing, attributes }) }))
    }
}

/// Whether an end tag of that name begins here; `Some(false)`: it may, and more must arrive.
fn is_end(text: &[u8], name: &str) -> Option<bool> {
    match text.get(1) {
        None => Some(false),
        Some(b'/') => named(&text[2..], name),
        Some(_) => None,
    }
}

/// Whether a tag's name is this; `Some(false)`: it may be, and more must arrive.
fn named(text: &[u8], name: &str) -> Option<bool> {
    let known = name.len().min(text.len());
    if !text[..known].eq_ignore_ascii_case(&name.as_bytes()[..known]) {
        return None;
    }
    match text.get(name.len()) {
        None => Some(false),
        Some(&byte) => ends_name(byte).then_some(true),
    }
}

/// Whether a tag's name is over before this byte.
pub(super) fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// From behind a tag's name: where the tag ends, and whether it closes itself. `None`: further on.
pub(super) fn tag_end(text: &[u8], mut at: usize, mut seen: impl FnMut(Range<usize>, Range<usize>)) -> Option<(usize, bool)> {
    let after_space = |mut at: usize| {
        while is_space(*text.get(at)?) {
            at += 1;
        }
        Some(at)
    };
    loop {
        at = after_space(at)?;
        match text[at] {
            b'>' => return Some((at + 1, false)),
            b'/' if *text.get(at + 1)? == b'>' => return Some((at + 2, true)),
            b'/' => at += 1,
            _ => {
                // The first character of a name may be `=`.
                let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'=' | b'/' | b'>');
                let name = at..at + 1 + text[at + 1..].iter().position(ends)?;
                at = after_space(name.end)?;
                let mut value = at..at;
                if text[at] == b'=' {
                    at = after_space(at + 1)?;
                    value = match text[at] {
                        quote @ (b'"' | b'\'') => at + 1..at + 1 + memchr::memchr(quote, &text[at + 1..])?,
                        _ => at..at + text[at..].iter().position(|byte| is_space(*byte) || *byte == b'>')?,
                    };
                    at = value.end + usize::from(value.start > at);
                }
                seen(name, value);
            }
        }
    }
}
