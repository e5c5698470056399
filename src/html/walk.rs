//! The parser's events -> patches: one walk over a document or over a piece of it.
//!
//! Elements that are open are a stack: an SVG script may contain a style and be closed by the end
//! tag of the `svg` around it. Bytes of an element that cannot be decided yet are held.

use std::{ops::Range, sync::Arc};

use encoding_rs::Encoding;
use url::Url;

use super::{
    GateError, Limits, Page, TagReport,
    address::{Resolver, decode},
    classify::{self, Found},
    finding::{self, Findings},
    locate::{Attribute, Batch, End, Event, Start},
    noscript,
    script::{self, Progress},
    splice::View,
    tag::{Role, Tag},
};
use crate::{policy::Hits, vocab::Verdict};

/// What is being walked, which decides what a hit leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// The page: hits are held in place.
    Page,
    /// Content of a `noscript`: hits are cut, nothing will ever bring them back.
    Noscript,
    /// The document in a `srcdoc`: only asked whether there is a hit.
    Srcdoc,
}

/// What every part of a walk over one page shares.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) page: Arc<Page>,
    pub(super) limits: Arc<Limits>,
    pub(super) encoding: &'static Encoding,
    /// The page's address, or its first `<base href>`.
    pub(super) base: Arc<Url>,
    pub(super) base_settled: bool,
}

impl Context {
    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver { policy: &self.page.policy, base: &self.base, encoding: self.encoding }
    }
}

/// The state of one walk.
pub(super) struct Walker {
    pub(super) ctx: Context,
    pub(super) setting: Setting,
    /// How many pieces this one is inside of.
    pub(super) depth: u8,
    open: Vec<Open>,
    /// Where namespaces are doubtful: from where on, and up to where there is no CDATA section.
    doubt: Option<Range<usize>>,
}

/// An element whose end matters.
#[derive(Debug)]
struct Open {
    id: u32,
    /// Where its start tag begins.
    at: usize,
    /// Where its name ends: the place for our attributes.
    name_end: usize,
    /// Where its content begins.
    content: usize,
    foreign: bool,
    awaits: Awaits,
}

#[derive(Debug)]
enum Awaits {
    /// Its text, to be matched. `types` are the offsets of its `type` attributes.
    Text { progress: Progress, types: Vec<usize> },
    /// Its text, to be read as markup by browsers without scripts.
    Noscript,
    /// Its text, to be read as markup by older browsers.
    SecondReading,
    /// Its end, which must be the same whether it is in HTML or in foreign content.
    SameEnd,
    /// Its end, to be cut up to there.
    Cut,
}

impl Walker {
    pub(super) fn new(ctx: Context, setting: Setting, depth: u8) -> Self {
        Self { ctx, setting, depth, open: Vec::new(), doubt: None }
    }

    /// Takes in what the parser saw. `view` covers all of it, and all that is held.
    pub(super) fn walk(&mut self, view: View<'_>, batch: &Batch, findings: &mut Findings) -> Result<(), GateError> {
        if let (None, Some(from)) = (&self.doubt, batch.doubtful_from) {
            self.doubt = Some(from..from);
        }
        for event in &batch.events {
            match event {
                Event::Start(start) => self.start(view, start, batch.attributes(start), findings)?,
                Event::End(end) => self.end(view, end, findings)?,
            }
        }
        if let Some(at) = batch.unreadable_from {
            return Err(GateError::Ambiguous { at });
        }
        findings.check(&self.ctx.limits)
    }

    /// Looks at what is open when no event lies before `safe` any more.
    pub(super) fn advance(&mut self, view: View<'_>, safe: usize, findings: &mut Findings) -> Result<(), GateError> {
        if let Some(doubt) = &mut self.doubt {
            doubt.start = doubt.start.max(doubt.end.saturating_sub(SECTION_BYTES));
            no_section_in(view, doubt.start..safe.max(doubt.end), doubt.len())?;
            doubt.end = safe.max(doubt.end);
        }
        for open in &mut self.open {
            let text = open.content..safe.max(open.content);
            match &mut open.awaits {
                Awaits::Text { progress: Progress::Waiting { lead }, types: _ } => {
                    let settled = script::is_hydration(view.get(text.clone()), lead) == Some(true);
                    if settled {
                        open.settle();
                    } else if text.len() > self.ctx.limits.hold_bytes_max {
                        overflow(&self.ctx, self.setting, open, view, findings)?;
                    }
                }
                Awaits::Text { progress: Progress::Passing, .. } => script_fits(&self.ctx.limits, &text)?,
                Awaits::Text { progress: Progress::Settled, .. } | Awaits::Cut => {}
                Awaits::Noscript | Awaits::SecondReading => piece_fits(&self.ctx.limits, &text)?,
                Awaits::SameEnd => {
                    piece_fits(&self.ctx.limits, &text)?;
                    no_end_in(view, open.at, text)?;
                }
            }
        }
        Ok(())
    }

    /// The document, or the piece, ends at `end` with elements still open.
    pub(super) fn finish(&mut self, view: View<'_>, end: usize, findings: &mut Findings) -> Result<(), GateError> {
        while let Some(open) = self.open.pop() {
            self.close(view, open, end..end, findings)?;
        }
        findings.check(&self.ctx.limits)
    }

    /// Nothing from this offset on may be sent yet.
    pub(super) fn hold(&self) -> Option<usize> {
        let holds = |open: &&Open| match &open.awaits {
            Awaits::Text { progress, .. } => matches!(progress, Progress::Waiting { .. }),
            Awaits::Noscript | Awaits::SecondReading | Awaits::SameEnd | Awaits::Cut => true,
        };
        self.open.iter().find(holds).map(|open| open.at)
    }

    /// Nothing from this offset on may be forgotten yet.
    pub(super) fn keep(&self) -> Option<usize> {
        let keeps = |open: &&Open| !matches!(open.awaits, Awaits::Text { progress: Progress::Settled, .. });
        let doubt = self.doubt.as_ref().map(|doubt| doubt.end.saturating_sub(SECTION_BYTES).max(doubt.start));
        self.open.iter().find(keeps).map(|open| open.at).into_iter().chain(doubt).min()
    }

    // === start tags ===

    fn start(
        &mut self,
        view: View<'_>,
        start: &Start,
        attributes: &[Attribute],
        findings: &mut Findings,
    ) -> Result<(), GateError> {
        let name_end = name_end(view, start);
        let Some(tag) = Tag::of(view.get(start.span.start + 1..name_end)) else { return Ok(()) };
        let element = Element { view, tag, start, name_end, attributes };
        if start.doubtful && tag.reads_differently() {
            if !start.has_content {
                return Err(GateError::Ambiguous { at: start.span.start });
            }
            self.push(&element, Awaits::SameEnd);
        }
        match tag {
            // In foreign content it is an element like any other.
            Tag::Noscript if start.foreign => {}
            Tag::Noscript => self.push(&element, Awaits::Noscript),
            Tag::RawText if start.second_reading => self.push(&element, Awaits::SecondReading),
            Tag::RawText => {}
            Tag::Plaintext if start.second_reading => return Err(GateError::Ambiguous { at: start.span.start }),
            Tag::Plaintext => {}
            Tag::Base => self.base(&element),
            Tag::Script => self.script(&element, findings)?,
            Tag::Meta if self.amend_policy(&element, findings) => {}
            _ => {
                self.element(&element, findings)?;
                if tag == Tag::Iframe && start.second_reading {
                    self.push(&element, Awaits::SecondReading);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, element: &Element<'_>, awaits: Awaits) {
        if element.start.has_content {
            self.open.push(Open {
                id: element.start.id,
                at: element.start.span.start,
                name_end: element.name_end,
                content: element.start.span.end,
                foreign: element.start.foreign,
                awaits,
            });
        }
    }

    /// The first `<base href>` of a document counts.
    fn base(&mut self, element: &Element<'_>) {
        if self.ctx.base_settled {
            return;
        }
        if let Some(href) = element.value(b"href")
            && let Ok(base) = self.ctx.base.join(&decode(href, self.ctx.encoding))
        {
            self.ctx.base = Arc::new(base);
            self.ctx.base_settled = true;
        }
    }

    fn script(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<(), GateError> {
        let gone = self.element(element, findings)?;
        if element.start.framed {
            self.push(element, Awaits::SecondReading);
        }
        // Without scripts nothing is executed; with them a `noscript` is text.
        if gone || self.setting == Setting::Noscript {
            return Ok(());
        }
        if script::is_executed(element.value(b"type"), element.value(b"language"), self.ctx.encoding) {
            let types = element.named(b"type").map(|attribute| attribute.name.start).collect();
            self.push(element, Awaits::Text { progress: Progress::Waiting { lead: 0 }, types });
        }
        Ok(())
    }

    /// Any element by its address attributes. Returns whether it was taken out of action.
    fn element(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<bool, GateError> {
        let Some(otherwise) = classify::verdict_of(element, self.setting, self.ctx.encoding) else { return Ok(false) };
        let mut found = Found::default();
        for (index, attribute) in element.attributes.iter().enumerate() {
            let Some(role) = element.tag.role(element.view.get(attribute.name.clone())) else { continue };
            let Some(value) = attribute.value.clone() else { continue };
            let (hits, closed) = self.look_up(role, element.view.get(value), findings)?;
            if hits.is_empty() && !closed {
                continue;
            }
            let verdict = if closed { otherwise } else { finding::verdict(&self.ctx.page, &hits, otherwise) };
            findings.note(&self.ctx.limits, classify::report(&self.ctx, element, attribute, role, &hits, verdict));
            if verdict != Verdict::Allow {
                found.held.merge(hits);
                found.attributes.push(index);
                found.closed |= closed;
            }
        }
        if found.attributes.is_empty() {
            return Ok(false);
        }
        findings.held.merge(found.held.clone());
        findings.closed |= found.closed;
        self.apply(element, otherwise, &found, findings);
        Ok(true)
    }

    /// The rules an attribute hits, and whether it must be closed for another reason.
    fn look_up(&self, role: Role, value: &[u8], findings: &mut Findings) -> Result<(Hits, bool), GateError> {
        let resolver = self.ctx.resolver();
        Ok(match role {
            Role::Address => (resolver.raw(value), false),
            Role::Candidates => (resolver.candidates(value), false),
            Role::List => (resolver.list(value), false),
            Role::Refresh => (resolver.refresh(value), false),
            Role::Document => noscript::document(self, value, findings)?,
        })
    }

    fn apply(&mut self, element: &Element<'_>, verdict: Verdict, found: &Found, findings: &mut Findings) {
        if self.ctx.page.observe || self.setting == Setting::Srcdoc {
            return;
        }
        if verdict == Verdict::Strip && element.start.expendable && !element.tag.is_the_pages_own() {
            if element.tag.content_goes_too() && element.start.has_content {
                self.push(element, Awaits::Cut);
            } else {
                findings.patches.cut(element.start.span.clone());
            }
            return;
        }
        // A vendor that is not known can never be granted: the marker stays empty.
        let needs = if found.closed { Hits::none() } else { found.held.clone() };
        findings.patches.insert(element.name_end, finding::marker(&self.ctx.page, &needs));
        if element.tag == Tag::Script {
            findings.patches.insert(element.name_end, finding::INERT_TYPE);
        }
        for attribute in element.attributes {
            let name = element.view.get(attribute.name.clone());
            let same = |&held: &usize| element.view.get(element.attributes[held].name.clone()).eq_ignore_ascii_case(name);
            let a_type = element.tag == Tag::Script && name.eq_ignore_ascii_case(b"type");
            if a_type || found.attributes.iter().any(same) {
                findings.patches.insert(attribute.name.start, finding::rename(&self.ctx.page));
            }
        }
    }

    /// Rewrites a policy in a `meta`. Returns whether the element is one.
    fn amend_policy(&self, element: &Element<'_>, findings: &mut Findings) -> bool {
        let is_policy = element
            .value(b"http-equiv")
            .is_some_and(|kind| decode(kind, self.ctx.encoding).trim().eq_ignore_ascii_case("content-security-policy"));
        if !is_policy {
            return false;
        }
        let page = &self.ctx.page;
        if let Some(amend) = page.amend_csp.as_ref().filter(|_| self.setting == Setting::Page && !page.observe)
            && let Some(attribute) = element.named(b"content").next()
            && let Some(value) = attribute.value.clone()
            && let Some(amended) = amend(&decode(element.view.get(value.clone()), self.ctx.encoding))
        {
            let quoted = value.start > 0 && matches!(element.view.get(value.start - 1..value.start), b"\"" | b"'");
            findings.patches.replace(value, classify::attribute_text(&amended, quoted));
        }
        true
    }

    // === end tags ===

    fn end(&mut self, view: View<'_>, end: &End, findings: &mut Findings) -> Result<(), GateError> {
        // An element may be open for two reasons.
        while let Some(place) = self.open.iter().rposition(|open| open.id == end.id) {
            let open = self.open.remove(place);
            self.close(view, open, end.span.clone(), findings)?;
        }
        Ok(())
    }

    /// The element ends with the end tag at `end`: its own, an ancestor's, or none (empty) at the
    /// end of the document.
    fn close(&mut self, view: View<'_>, mut open: Open, end: Range<usize>, findings: &mut Findings) -> Result<(), GateError> {
        let text = open.content..end.start;
        match open.awaits {
            Awaits::Text { progress: Progress::Settled, .. } => {}
            Awaits::Text { .. } => {
                if text.len() > self.ctx.limits.hold_bytes_max {
                    overflow(&self.ctx, self.setting, &mut open, view, findings)?;
                }
                self.close_script(view, &open, text, findings);
            }
            Awaits::Noscript => {
                piece_fits(&self.ctx.limits, &text)?;
                let setting = if self.setting == Setting::Srcdoc { Setting::Srcdoc } else { Setting::Noscript };
                noscript::piece(self, view, text, setting, findings)?;
            }
            Awaits::SecondReading => {
                piece_fits(&self.ctx.limits, &text)?;
                noscript::piece(self, view, text, self.setting, findings)?;
            }
            Awaits::SameEnd => {
                no_end_in(view, open.at, text)?;
                if !end.is_empty() && !is_own(view, &open, &end) {
                    return Err(GateError::Ambiguous { at: open.at });
                }
            }
            Awaits::Cut => {
                let own = !end.is_empty() && is_own(view, &open, &end);
                findings.patches.cut(open.at..if own { end.end } else { end.start });
            }
        }
        Ok(())
    }

    fn close_script(&self, view: View<'_>, open: &Open, text: Range<usize>, findings: &mut Findings) {
        let Awaits::Text { progress, .. } = &open.awaits else { return };
        let (end, bytes) = (text.end, view.get(text));
        match progress {
            Progress::Settled => {}
            Progress::Waiting { lead } if script::is_hydration(bytes, &mut lead.clone()) == Some(true) => {}
            Progress::Waiting { .. } => {
                let hits = classify::inline(&self.ctx, bytes, open.foreign);
                settle(&self.ctx, self.setting, open, bytes, hits, findings);
            }
            Progress::Passing => {
                let hits = classify::inline(&self.ctx, bytes, open.foreign);
                if hits.is_empty() {
                    return;
                }
                let verdict = finding::verdict(&self.ctx.page, &hits, Verdict::Strip);
                note_script(&self.ctx, open.at, bytes, &hits, verdict, findings);
                if verdict == Verdict::Strip {
                    findings.held.merge(hits);
                    findings.report.poisoned += 1;
                    if self.setting == Setting::Page && !self.ctx.page.observe {
                        findings.patches.insert(end, script::POISON);
                    }
                }
            }
        }
    }
}

impl Open {
    fn settle(&mut self) {
        if let Awaits::Text { progress, .. } = &mut self.awaits {
            *progress = Progress::Settled;
        }
    }
}

// === scripts ===

/// A script is longer than what may be held: decide by its beginning, else let it pass under watch.
/// The beginning is cut at the limit, so that the decision does not hang on how bytes arrived.
fn overflow(ctx: &Context, setting: Setting, open: &mut Open, view: View<'_>, findings: &mut Findings) -> Result<(), GateError> {
    if !matches!(open.awaits, Awaits::Text { progress: Progress::Waiting { .. }, .. }) {
        return Ok(());
    }
    if open.foreign {
        // What ends it depends on the namespace, and a parser can be wrong about that.
        return Err(GateError::Ambiguous { at: open.at });
    }
    let bytes = view.get(open.content..open.content + ctx.limits.hold_bytes_max);
    let mut scanner = ctx.page.policy.inline_scanner();
    scanner.feed(bytes);
    // What would excuse a hit may come later, and then it would be too late to hold.
    let hits = scanner.hits_so_far();
    let hydration = script::is_hydration(bytes, &mut 0) == Some(true);
    let settled = hydration || settle(ctx, setting, open, bytes, hits, findings);
    if let Awaits::Text { progress, .. } = &mut open.awaits {
        *progress = if settled { Progress::Settled } else { Progress::Passing };
    }
    Ok(())
}

/// Reports a script whose start tag is still held, and takes it out of action unless it is allowed.
fn settle(ctx: &Context, setting: Setting, open: &Open, text: &[u8], hits: Hits, findings: &mut Findings) -> bool {
    if hits.is_empty() {
        return false;
    }
    let verdict = finding::verdict(&ctx.page, &hits, Verdict::Hold);
    note_script(ctx, open.at, text, &hits, verdict, findings);
    if verdict == Verdict::Allow {
        return false;
    }
    if setting == Setting::Page && !ctx.page.observe {
        findings.patches.insert(open.name_end, finding::marker(&ctx.page, &hits));
        findings.patches.insert(open.name_end, finding::INERT_TYPE);
        if let Awaits::Text { types, .. } = &open.awaits {
            types.iter().for_each(|&at| findings.patches.insert(at, finding::rename(&ctx.page)));
        }
    }
    findings.held.merge(hits);
    true
}

fn note_script(ctx: &Context, at: usize, text: &[u8], hits: &Hits, verdict: Verdict, findings: &mut Findings) {
    let tag = TagReport {
        offset: at,
        element: "script".to_owned(),
        attribute: None,
        address: None,
        rules: finding::rules(hits),
        verdict,
        late: script::needs_parse_time(text),
    };
    findings.note(&ctx.limits, tag);
}

/// In HTML the first end tag of its name ends a text. If foreign content saw it pass, in a comment or
/// inside another tag, the two readings part there.
fn no_end_in(view: View<'_>, element: usize, text: Range<usize>) -> Result<(), GateError> {
    let name = name_at(view, element + 1);
    let text = view.get(text);
    let ends = |at: usize| {
        let rest = text[at..].strip_prefix(b"</").and_then(|rest| rest.get(..name.len()));
        rest.is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    if memchr::memchr_iter(b'<', text).any(ends) { Err(GateError::Ambiguous { at: element }) } else { Ok(()) }
}

const SECTION: &[u8] = b"<![CDATA[";

/// A CDATA section's beginning, and enough of what stands before it to see whether it is commented out.
const SECTION_BYTES: usize = SECTION.len() + 8;

/// A CDATA section is one only in foreign content. Where that is doubtful it must not occur, unless it
/// is commented out as XHTML pages do in scripts and styles. The first `seen` bytes were searched
/// before.
fn no_section_in(view: View<'_>, range: Range<usize>, seen: usize) -> Result<(), GateError> {
    let text = view.get(range.clone());
    let new = memchr::memmem::find_iter(text, SECTION).filter(|at| at + SECTION.len() > seen);
    for at in new {
        if !matches!(text[..at].trim_ascii_end(), [.., b'/' | b'*']) {
            return Err(GateError::Ambiguous { at: range.start + at });
        }
    }
    Ok(())
}

fn is_own(view: View<'_>, open: &Open, end: &Range<usize>) -> bool {
    name_at(view, end.start + 2).eq_ignore_ascii_case(name_at(view, open.at + 1))
}

fn script_fits(limits: &Limits, text: &Range<usize>) -> Result<(), GateError> {
    if text.len() > limits.memory_bytes_max {
        return Err(GateError::Script { max: limits.memory_bytes_max });
    }
    Ok(())
}

fn piece_fits(limits: &Limits, text: &Range<usize>) -> Result<(), GateError> {
    if text.len() > limits.noscript_bytes_max {
        return Err(GateError::Noscript { max: limits.noscript_bytes_max });
    }
    Ok(())
}

// === elements ===

/// A start tag with everything that is known about it.
pub(super) struct Element<'a> {
    pub(super) view: View<'a>,
    pub(super) tag: Tag,
    pub(super) start: &'a Start,
    pub(super) name_end: usize,
    pub(super) attributes: &'a [Attribute],
}

impl<'a> Element<'a> {
    /// The attributes of a name (lower case), in order.
    pub(super) fn named(&self, name: &'static [u8]) -> impl Iterator<Item = &'a Attribute> + use<'a> {
        let view = self.view;
        self.attributes.iter().filter(move |attribute| view.get(attribute.name.clone()).eq_ignore_ascii_case(name))
    }

    /// The raw value of the first attribute of a name: the one that counts.
    pub(super) fn value(&self, name: &'static [u8]) -> Option<&'a [u8]> {
        let attribute = self.named(name).next()?;
        Some(attribute.value.clone().map_or(&[], |value| self.view.get(value)))
    }
}

fn name_end(view: View<'_>, start: &Start) -> usize {
    start.span.start + 1 + name_at(view, start.span.start + 1).len()
}

fn name_at(view: View<'_>, at: usize) -> &[u8] {
    let rest = &view.bytes[(at - view.base).min(view.bytes.len())..];
    let end = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'/' | b'>'));
    &rest[..end.unwrap_or(rest.len())]
}
