//! The parser's events -> patches: one walk over a document or over a piece of it.
//!
//! Elements that are open are a stack: an SVG script may contain a style and be closed by the end
//! tag of the `svg` around it. Bytes of an element that cannot be decided yet are held.

use std::{ops::Range, sync::Arc};

use encoding_rs::Encoding;
use url::Url;

use super::{
    GateError, Limits, Page,
    address::{Resolver, decode},
    certain::{Doubt, no_end_in},
    classify::{self, Found},
    element::{Element, name_end},
    finding::{self, Findings},
    locate::{Attribute, Batch, End, Event, Start},
    noscript,
    open::{Awaits, Open, piece_fits, script_ends, script_goes_on},
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
    doubt: Option<Doubt>,
}

impl Walker {
    pub(super) fn new(ctx: Context, setting: Setting, depth: u8) -> Self {
        Self { ctx, setting, depth, open: Vec::new(), doubt: None }
    }

    /// Takes in what the parser saw. `view` covers all of it, and all that is held.
    pub(super) fn walk(&mut self, view: View<'_>, batch: &Batch, findings: &mut Findings) -> Result<(), GateError> {
        if let (None, Some(from)) = (&self.doubt, batch.doubtful_from) {
            self.doubt = Some(Doubt::new(from));
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
            doubt.search(view, safe)?;
        }
        for open in &mut self.open {
            let text = open.content..safe.max(open.content);
            match &open.awaits {
                Awaits::Text { .. } => script_goes_on(&self.ctx, self.setting, open, view, text, findings)?,
                Awaits::Noscript | Awaits::SecondReading => piece_fits(&self.ctx.limits, &text)?,
                Awaits::SameEnd => {
                    piece_fits(&self.ctx.limits, &text)?;
                    no_end_in(view, open.at, text)?;
                }
                Awaits::Cut => {}
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
        self.open.iter().find(|open| open.holds()).map(|open| open.at)
    }

    /// Nothing from this offset on may be forgotten yet.
    pub(super) fn keep(&self) -> Option<usize> {
        let open = self.open.iter().find(|open| open.keeps()).map(|open| open.at);
        open.into_iter().chain(self.doubt.as_ref().map(Doubt::keep)).min()
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
        // In foreign content its text is markup, and was seen.
        let apart = start.inside.any() && !start.foreign;
        match tag {
            // In foreign content it is an element like any other.
            Tag::Noscript if start.foreign => {}
            Tag::Noscript => self.push(&element, Awaits::Noscript),
            Tag::RawText if apart => self.push(&element, Awaits::SecondReading),
            Tag::RawText => {}
            Tag::Plaintext if start.inside.any() => return Err(GateError::Ambiguous { at: start.span.start }),
            Tag::Plaintext => {}
            Tag::Base => self.base(&element),
            Tag::Script => self.script(&element, findings)?,
            Tag::Meta if self.amend_policy(&element, findings) => {}
            _ => {
                self.element(&element, findings)?;
                if tag == Tag::Iframe && apart {
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
                inside: element.start.inside,
                awaits,
            });
        }
    }

    /// The first `<base href>` of a document counts; in foreign content it is none.
    fn base(&mut self, element: &Element<'_>) {
        if self.ctx.base_settled || element.start.foreign && !element.start.doubtful {
            return;
        }
        if let Some(href) = element.value(b"href") {
            // One that cannot be read, or of these schemes, leaves the page's own address in force
            // (HTML standard, "set the frozen base URL"), and no later one counts.
            self.ctx.base_settled = true;
            let base = self.ctx.base.join(&decode(href, self.ctx.encoding)).ok();
            if let Some(base) = base.filter(|base| !matches!(base.scheme(), "data" | "javascript")) {
                self.ctx.base = Arc::new(base);
            }
        }
    }

    fn script(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<(), GateError> {
        let gone = self.element(element, findings)?;
        if element.start.inside.frameset && !element.start.foreign {
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
        if !self.ctx.page.changes() || self.setting == Setting::Srcdoc {
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
            Awaits::Text { .. } => script_ends(&self.ctx, self.setting, &mut open, view, text, findings)?,
            Awaits::Noscript => {
                piece_fits(&self.ctx.limits, &text)?;
                let setting = if self.setting == Setting::Srcdoc { Setting::Srcdoc } else { Setting::Noscript };
                noscript::piece(self, view, text, setting, open.inside, findings)?;
            }
            Awaits::SecondReading => {
                piece_fits(&self.ctx.limits, &text)?;
                noscript::piece(self, view, text, self.setting, open.inside, findings)?;
            }
            Awaits::SameEnd => {
                no_end_in(view, open.at, text)?;
                if !end.is_empty() && !open.is_closed_by(view, &end) {
                    return Err(GateError::Ambiguous { at: open.at });
                }
            }
            Awaits::Cut => {
                let own = open.is_closed_by(view, &end);
                findings.patches.cut(open.at..if own { end.end } else { end.start });
            }
        }
        Ok(())
    }
}
