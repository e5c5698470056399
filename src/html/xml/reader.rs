//! The pieces of a document, one after the other: what is open, and what becomes of each.

use std::{ops::Range, sync::Arc};

use url::Url;

use super::super::{
    GateError, Limits, Page, TagReport, code,
    finding::{self, Findings},
    insert::Insert,
    script, sheet as css,
    value::Named as Value,
    walk::{Context, Setting, Walker},
};
use super::{
    XmlError,
    framer::Piece,
    places::Places,
    scope::Scope,
    splice::View,
    tag::{self, StartTag},
    text::{OpenScript, Progress},
};
use crate::{policy::Hits, vocab::Verdict};

/// The state of one reading.
pub(super) struct Reader {
    /// Looks addresses up as it does in HTML. It walks nothing here.
    pub(super) walker: Walker,
    pub(super) findings: Findings,
    pub(super) scope: Scope,
    pub(super) scripts: Vec<OpenScript>,
    /// What `xml:base` says, with the depth of the element that says it.
    pub(super) bases: Vec<(usize, Arc<Url>)>,
    pub(super) places: Places,
    root: Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Awaited,
    Open,
    Over,
}

impl Reader {
    pub(super) fn new(page: Arc<Page>, limits: Limits) -> Self {
        let ctx = Context::new(Arc::clone(&page), Arc::new(limits), encoding_rs::UTF_8);
        Self {
            walker: Walker::new(ctx, Setting::Page, 0),
            findings: Findings::default(),
            scope: Scope::default(),
            scripts: Vec::new(),
            bases: Vec::new(),
            places: Places::new(&page),
            root: Root::Awaited,
        }
    }

    /// Nothing from this offset on may be sent yet.
    pub(super) fn hold(&self) -> Option<usize> {
        self.scripts.iter().find(|script| script.progress == Progress::Waiting).map(|script| script.at)
    }

    /// Whether the page is changed at all.
    pub(super) fn is_idle(&self) -> bool {
        !self.walker.ctx.page.changes()
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, view: View<'_>, piece: Piece) -> Result<(), GateError> {
        match piece {
            Piece::Text(range) => self.text(view, range),
            Piece::Cdata(range) if self.root == Root::Open => self.script_text(view, range, true),
            Piece::Cdata(range) => Err(not_well_formed(range.start, "a CDATA section outside of the root element")),
            Piece::Start(span) => self.start(view, span),
            Piece::End(span) => self.end(view, span),
            Piece::Instruction(span) => self.instruction(view, span),
            Piece::Doctype(span) if self.root == Root::Awaited => {
                if super::doctype::declares(view.get(span)) {
                    Err(XmlError::Declarations.into())
                } else {
                    Ok(())
                }
            }
            Piece::Doctype(span) => Err(not_well_formed(span.start, "a document type behind the beginning")),
        }?;
        self.findings.check(&self.walker.ctx.limits)
    }

    /// No piece begins before `safe` any more.
    pub(super) fn advance(&mut self, safe: usize) -> Result<(), GateError> {
        for index in 0..self.scripts.len() {
            let script = &self.scripts[index];
            if script.progress == Progress::Waiting && safe > script.content + self.hold_bytes_max(script) {
                self.overflow(index)?;
            }
        }
        Ok(())
    }

    /// The document ends. One that is empty was never begun.
    pub(super) fn finish(&mut self, at: usize) -> Result<(), GateError> {
        match self.root {
            Root::Open => Err(not_well_formed(at, "it ends with elements open")),
            Root::Awaited if at > 0 => Err(not_well_formed(at, "it has no root element")),
            Root::Awaited | Root::Over => Ok(()),
        }
    }

    fn text(&mut self, view: View<'_>, range: Range<usize>) -> Result<(), GateError> {
        if self.root == Root::Open {
            return self.script_text(view, range, false);
        }
        let blank = view.get(range.clone()).iter().all(|&byte| tag::is_space(char::from(byte)));
        if blank { Ok(()) } else { Err(not_well_formed(range.start, "text outside of the root element")) }
    }

    // === elements ===

    fn start(&mut self, view: View<'_>, span: Range<usize>) -> Result<(), GateError> {
        let tag = StartTag::read(view, span)?;
        let at = tag.span.start;
        if self.root == Root::Over {
            return Err(not_well_formed(at, "a second root element"));
        }
        self.root = Root::Open;
        self.scope.open(tag.name, at)?;
        for attribute in &tag.attributes {
            match attribute.name.strip_prefix("xmlns") {
                Some("") => self.scope.bind("", &attribute.decoded(), at)?,
                Some(prefix) if prefix.starts_with(':') => self.scope.bind(&prefix[1..], &attribute.decoded(), at)?,
                _ => {}
            }
        }
        if let Some(base) = tag.attributes.iter().find(|attribute| attribute.name == "xml:base") {
            let outer = self.bases.last().map_or(&self.walker.ctx.base, |(_, base)| base);
            if let Ok(base) = outer.join(&base.decoded()) {
                self.bases.push((self.scope.depth(), Arc::new(base)));
            }
        }
        self.element(view, &tag)?;
        if tag.is_empty { self.close(tag.name, tag.span.end) } else { Ok(()) }
    }

    fn end(&mut self, view: View<'_>, span: Range<usize>) -> Result<(), GateError> {
        let at = span.start;
        let name = tag::end_name(view, span).ok_or_else(|| not_well_formed(at, "an end tag that cannot be read"))?;
        self.close(name, at)
    }

    /// The element opened last ends; its text went up to `at`.
    fn close(&mut self, name: &str, at: usize) -> Result<(), GateError> {
        let depth = self.scope.depth();
        if !self.scope.close(name) {
            return Err(not_well_formed(at, "an end tag of another name than the start tag"));
        }
        self.bases.pop_if(|(of, _)| *of == depth);
        if let Some(script) = self.scripts.pop_if(|script| script.depth == depth) {
            self.script_ends(script, at);
        }
        if self.scope.depth() == 0 {
            self.root = Root::Over;
        }
        Ok(())
    }

    // === inline scripts ===

    /// Text of the element opened last, which may be a script's.
    fn script_text(&mut self, view: View<'_>, range: Range<usize>, plain: bool) -> Result<(), GateError> {
        let limits = Arc::clone(&self.walker.ctx.limits);
        let depth = self.scope.depth();
        let Some(index) = self.scripts.len().checked_sub(1).filter(|&last| self.scripts[last].depth == depth) else {
            return Ok(());
        };
        let (held, beyond) = self.scripts[index].split(range, self.hold_bytes_max(&self.scripts[index]));
        self.push(index, view, held, plain);
        if !beyond.is_empty() {
            if self.scripts[index].progress == Progress::Waiting {
                self.overflow(index)?;
            }
            self.push(index, view, beyond, plain);
            if self.scripts[index].len() > limits.memory_bytes_max {
                return Err(GateError::Script { max: limits.memory_bytes_max });
            }
        }
        Ok(())
    }

    fn push(&mut self, index: usize, view: View<'_>, range: Range<usize>, plain: bool) {
        let script = &mut self.scripts[index];
        match script.progress {
            Progress::Settled => {}
            _ if plain => script.push_plain(view.get(range)),
            _ => script.push_text(view.get(range)),
        }
    }

    /// A style is held whole, like a `noscript`.
    fn hold_bytes_max(&self, open: &OpenScript) -> usize {
        let limits = &self.walker.ctx.limits;
        if open.script.is_some() { limits.hold_bytes_max } else { limits.noscript_bytes_max }
    }

    /// A script is longer than what may be held: decide by its beginning, else let it pass under watch.
    fn overflow(&mut self, index: usize) -> Result<(), GateError> {
        let script = &self.scripts[index];
        if script.script.is_none() {
            return Err(GateError::Noscript { max: self.hold_bytes_max(script) });
        }
        let page = &self.walker.ctx.page;
        let text = script.so_far();
        let mut scanner = page.policy.inline_scanner();
        scanner.feed(text.as_bytes());
        // What would excuse a hit may come later, and then it would be too late to hold.
        let hits = scanner.hits_so_far();
        if hits.is_empty() || self.walker.ctx.allows(&hits) {
            self.scripts[index].progress = Progress::Passing;
            return Ok(());
        }
        self.note_script(index, &text, &hits, Verdict::Hold);
        self.hold_script(index, hits);
        self.scripts[index].progress = Progress::Settled;
        Ok(())
    }

    fn script_ends(&mut self, mut script: OpenScript, at: usize) {
        if script.progress == Progress::Settled {
            return;
        }
        let passed = script.progress == Progress::Passing;
        let text = script.text().to_owned();
        let Value { hits, closed } = self.hits_of(&script, &text);
        if hits.is_empty() && !closed {
            return;
        }
        let otherwise = if passed { Verdict::Strip } else { Verdict::Hold };
        let verdict = if closed { otherwise } else { self.walker.ctx.verdict(&hits, otherwise) };
        let hits = if closed { Hits::none() } else { hits };
        // For as long as it is looked at.
        self.scripts.push(script);
        let index = self.scripts.len() - 1;
        self.note_script(index, &text, &hits, verdict);
        match verdict {
            Verdict::Allow => {}
            Verdict::Hold => self.hold_script(index, hits),
            Verdict::Strip => {
                self.findings.held.merge(hits);
                self.findings.report.poisoned += 1;
                if !self.is_idle() {
                    self.findings.patches.insert(at, script::POISON);
                }
            }
        }
        self.scripts.pop();
    }

    /// The rules that a script's text, its own imports, or a style's addresses hit.
    fn hits_of(&mut self, script: &OpenScript, text: &str) -> Value {
        let ctx = &self.walker.ctx;
        let Some(kind) = script.script else { return css::look_through(ctx, text, 0, &mut self.findings) };
        let mut hits = ctx.page.policy.match_inline(text.as_bytes());
        let mut resolver = ctx.resolver(&mut self.findings.report.others);
        code::named(kind, text.as_bytes(), &mut resolver).into_iter().for_each(|named| hits.merge(named.hits));
        Value::hits(hits)
    }

    fn hold_script(&mut self, index: usize, hits: Hits) {
        if !self.is_idle() {
            let (page, script, patches) = (&self.walker.ctx.page, &self.scripts[index], &mut self.findings.patches);
            patches.insert(script.name_end, Insert::marker(page, &hits));
            patches.insert(script.name_end, Insert::INERT_TYPE);
            script.types.iter().for_each(|&at| patches.insert(at, Insert::RENAME));
        }
        self.findings.held.merge(hits);
    }

    fn note_script(&mut self, index: usize, text: &str, hits: &Hits, verdict: Verdict) {
        let tag = TagReport {
            offset: self.scripts[index].at,
            element: if self.scripts[index].script.is_some() { "script" } else { "style" }.to_owned(),
            attribute: None,
            address: None,
            rules: finding::rules(hits),
            verdict,
            late: script::needs_parse_time(text.as_bytes()),
        };
        self.findings.note(&self.walker.ctx.limits, tag);
    }
}

pub(super) fn not_well_formed(at: usize, why: &'static str) -> GateError {
    XmlError::NotWellFormed { at, why }.into()
}
