//! Whether the parser reads SVG and MathML as browsers do.
//!
//! What is text and what is markup hangs on the namespace: the text of a `<title>` in SVG is markup. The parser
//! follows namespaces by the names of single tags, browsers by all that is open. So from the first `<svg>` or `<math>`
//! on the bytes are read a second time, by readers that have the rules of both; and by one for each way in which
//! browsers may see it where that hangs on what is open around. Every start tag that a browser may see must be one
//! that the parser saw, else the page is refused. When all of them are back in HTML the reading ends.

mod names;
mod parser;
mod reader;
mod text;
mod tree;

use super::{GateError, locate::Start, splice::View};
use parser::Parser;
use reader::{Reader, Text, Token};
pub(super) use text::texts;
use tree::{Fate, Tree, Way};

/// Ways in which browsers may see a page. Nobody writes pages that have more.
const WAYS_MAX: usize = 8;

/// Watches over foreign content.
#[derive(Debug)]
pub(super) struct Foreign {
    zone: Option<Zone>,
    tag_bytes_max: usize,
}

/// From the first tag of foreign content to where everybody is back in HTML.
#[derive(Debug)]
struct Zone {
    reader: Reader,
    parser: Parser,
    /// The start tag that the parser read last.
    last: Option<Seen>,
    /// Where its start tags are that not all browsers have come to.
    starts: Vec<usize>,
    browsers: Vec<Browser>,
}

/// A way in which browsers may see it.
#[derive(Clone, Debug)]
struct Browser {
    reader: Reader,
    tree: Tree,
    last: Option<Seen>,
}

/// What was made of a start tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    at: usize,
    /// Whether the element is of HTML.
    html: bool,
    /// Whether its content is text.
    text: bool,
}

/// Whether an element is to browsers what it is to the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    Same,
    /// Its content is markup to the parser, and may be text to browsers.
    MaybeText,
    /// The other way round.
    MaybeMarkup,
}

impl Foreign {
    /// `tag_bytes_max`: what a single tag may be long.
    pub(super) fn new(tag_bytes_max: usize) -> Self {
        Self { zone: None, tag_bytes_max }
    }

    /// The parser has seen this `<svg>` or `<math>`, and everything before it.
    pub(super) fn enter(&mut self, start: &Start) {
        if self.zone.is_some() {
            return;
        }
        let reader = Reader::new(start.span.start, self.tag_bytes_max);
        let browser = |tree| Browser { reader: reader.clone(), tree, last: None };
        let mut browsers = vec![browser(Tree::out())];
        if start.inside.any() {
            // Some do not let foreign content in there.
            browsers.extend([Way::Html, Way::Foreign].map(|way| browser(Tree::Unknown(way))));
        }
        self.zone = Some(Zone { reader, parser: Parser::default(), last: None, starts: Vec::new(), browsers });
    }

    /// Whether somebody may be in foreign content.
    pub(super) fn is_open(&self) -> bool {
        self.zone.is_some()
    }

    /// Reads on up to `end`.
    pub(super) fn read(&mut self, view: View<'_>, end: usize) -> Result<(), GateError> {
        while let Some(zone) = &mut self.zone {
            let more = zone.step(view, end)?;
            zone.catch_up(view, end)?;
            if zone.is_at_rest() {
                self.zone = None;
            } else if !more {
                break;
            }
        }
        Ok(())
    }

    /// What browsers make of the start tag that was read last. An error if the parser's own reading is not understood.
    pub(super) fn agreement(&self, start: &Start) -> Result<Agreement, GateError> {
        let Some(zone) = &self.zone else { return Ok(Agreement::Same) };
        let at = start.span.start;
        let Some(own) = zone.last.filter(|seen| seen.at == at) else { return Err(GateError::Ambiguous { at }) };
        Ok(match zone.seen(at).all(|seen| seen.text == own.text) {
            true => Agreement::Same,
            false if own.text => Agreement::MaybeMarkup,
            false => Agreement::MaybeText,
        })
    }

    /// Whether it is certain that the element read last is of HTML, or certain that it is not.
    pub(super) fn is_certain(&self, start: &Start) -> bool {
        let Some(zone) = &self.zone else { return true };
        zone.seen(start.span.start).all(|seen| seen.html != start.foreign)
    }

    /// What must not be forgotten yet.
    pub(super) fn keep(&self) -> Option<usize> {
        let zone = self.zone.as_ref()?;
        zone.browsers.iter().map(|browser| browser.reader.at).chain([zone.reader.at]).min()
    }
}

impl Zone {
    /// What browsers made of a start tag, those that see one there.
    fn seen(&self, at: usize) -> impl Iterator<Item = Seen> {
        self.browsers.iter().filter_map(move |browser| browser.last.filter(|seen| seen.at == at))
    }

    fn is_at_rest(&self) -> bool {
        let at_rest =
            |browser: &Browser| browser.tree.is_at_rest() && browser.reader.is_in_markup() && browser.reader.at == self.reader.at;
        self.parser.is_at_rest() && self.reader.is_in_markup() && self.browsers.iter().all(at_rest)
    }

    /// The parser reads one tag. Returns whether there was one.
    fn step(&mut self, view: View<'_>, end: usize) -> Result<bool, GateError> {
        let sections = self.parser.has_sections();
        match self.reader.next(view, end, end, sections)? {
            None => return Ok(false),
            Some(Token::End(name)) => self.parser.end(&name),
            Some(Token::Start(tag)) => {
                let html = self.parser.start(&tag);
                let text = Text::of(&tag.name).filter(|_| html);
                text.into_iter().for_each(|text| self.reader.read_text(text));
                self.last = Some(Seen { at: tag.at, html, text: text.is_some() });
                self.starts.push(tag.at);
            }
        }
        Ok(true)
    }

    /// Browsers read as far as the parser has.
    fn catch_up(&mut self, view: View<'_>, end: usize) -> Result<(), GateError> {
        let to = self.reader.at;
        let mut number = 0;
        while number < self.browsers.len() {
            let forks = self.browsers[number].read(view, to, end, &self.starts)?;
            number += usize::from(forks.is_empty());
            self.browsers.extend(forks);
            if self.browsers.len() > WAYS_MAX {
                self.unite();
                number = 0;
            }
            if self.browsers.len() > WAYS_MAX {
                return Err(GateError::Ambiguous { at: to });
            }
        }
        if self.browsers.len() > 1 {
            self.unite();
        }
        if self.browsers.iter().all(|browser| browser.reader.at >= to) {
            self.starts.clear();
        }
        Ok(())
    }

    /// Those that see the same are one.
    fn unite(&mut self) {
        let mut number = 1;
        while number < self.browsers.len() {
            let (before, rest) = self.browsers.split_at(number);
            let again =
                |other: &Browser| other.reader == rest[0].reader && other.tree == rest[0].tree && other.last == rest[0].last;
            if before.iter().any(again) {
                self.browsers.remove(number);
            } else {
                number += 1;
            }
        }
    }
}

impl Browser {
    /// Reads what begins before `to`, which must be what the parser saw, up to where there is more than one way on:
    /// the others are returned.
    fn read(&mut self, view: View<'_>, to: usize, end: usize, starts: &[usize]) -> Result<Vec<Self>, GateError> {
        while let Some(token) = self.reader.next(view, to, end, self.tree.has_sections())? {
            let fate = match token {
                Token::End(name) => {
                    self.last = None;
                    self.tree.end(&name)
                }
                Token::Start(tag) => {
                    if starts.binary_search(&tag.at).is_err() {
                        return Err(GateError::Ambiguous { at: tag.at });
                    }
                    let (html, fate) = self.tree.start(&tag);
                    let text = Text::of(&tag.name).filter(|_| self.tree.is_unknown() || html && self.tree.has_text(&tag.name));
                    text.into_iter().for_each(|text| self.reader.read_text(text));
                    self.last = Some(Seen { at: tag.at, html, text: text.is_some() });
                    if text.is_some() && self.tree.is_unknown() {
                        return Ok(self.text_or_markup());
                    }
                    fate
                }
            };
            let other = |tree| Self { tree, ..self.clone() };
            let (now, forks) = match fate {
                Fate::Certain => continue,
                Fate::OrOut => (None, vec![other(Tree::out())]),
                Fate::OrSelect => (None, vec![other(Tree::Unknown(Way::Select))]),
                Fate::Unknown => (Some(Tree::Unknown(Way::Html)), vec![other(Tree::Unknown(Way::Foreign))]),
            };
            if let Some(now) = now {
                self.tree = now;
            }
            return Ok(forks);
        }
        Ok(Vec::new())
    }

    /// What was begun as text, in all the other ways in which it and what follows may be read.
    fn text_or_markup(&self) -> Vec<Self> {
        let other = |way: Way, text: bool| {
            let mut other = Self { tree: Tree::Unknown(way), ..self.clone() };
            if !text {
                other.reader.read_markup();
                other.last = self.last.map(|seen| Seen { html: false, text, ..seen });
            }
            other
        };
        let mut ways =
            vec![other(Way::Html, true), other(Way::Foreign, true), other(Way::Html, false), other(Way::Foreign, false)];
        ways.retain(|way| way.tree != self.tree || way.reader != self.reader);
        ways
    }
}
