//! The parser's events -> patches: one walk over a document or over a piece of it.
//!
//! Elements that are open are a stack: an SVG script may contain a style and be closed by the end
//! tag of the `svg` around it. Bytes of an element that cannot be decided yet are held.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use encoding_rs::Encoding;
use url::Url;

use super::{
    GateError, Limits, Page,
    address::{Resolver, decode},
    certain::{no_end_in, no_markup_in},
    element::{Element, name_at, name_end},
    finding::Findings,
    foreign::{Agreement, Foreign},
    locate::{Attribute, Batch, End, Event, Start},
    noscript,
    open::{Awaits, Open, configuration_ends, foreign_styles_end, piece_fits, script_ends, script_goes_on},
    outcome::Questions,
    script::{Progress, Script},
    sheet::Styles,
    splice::View,
    tag::Tag,
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
    /// Where the outcome is to be remembered: what was asked about the visitor's grants.
    pub(super) questions: Option<Arc<Questions>>,
}

impl Context {
    pub(super) fn new(page: Arc<Page>, limits: Arc<Limits>, encoding: &'static Encoding) -> Self {
        Self { limits, encoding, base: Arc::new(page.base.clone()), base_settled: false, questions: None, page }
    }

    /// Whether everything that was hit is granted. What becomes of a page may depend on the visitor's grants through
    /// this question alone: an outcome is remembered with the answers.
    pub(super) fn allows(&self, hits: &Hits) -> bool {
        let allowed = self.page.policy.allows(&self.page.grants, hits);
        if let Some(questions) = &self.questions {
            questions.note(hits, allowed);
        }
        allowed
    }

    /// The verdict of hits: `otherwise` where they are not granted.
    pub(super) fn verdict(&self, hits: &Hits, otherwise: Verdict) -> Verdict {
        if self.allows(hits) { Verdict::Allow } else { otherwise }
    }

    /// Hosts that no rule hits are counted in `others`.
    pub(super) fn resolver<'c>(&'c self, others: &'c mut BTreeMap<String, u32>) -> Resolver<'c> {
        let own = self.page.base.host_str();
        Resolver { policy: &self.page.policy, base: &self.base, own, encoding: self.encoding, others }
    }
}

/// The state of one walk.
pub(super) struct Walker {
    pub(super) ctx: Context,
    pub(super) setting: Setting,
    /// How many pieces this one is inside of.
    pub(super) depth: u8,
    open: Vec<Open>,
    foreign: Foreign,
    /// Whether a template may be open that the parser took for closed, or the other way round.
    templates_doubtful: bool,
}

impl Walker {
    pub(super) fn new(ctx: Context, setting: Setting, depth: u8) -> Self {
        let foreign = Foreign::new(ctx.limits.memory_bytes_max);
        Self { ctx, setting, depth, open: Vec::new(), foreign, templates_doubtful: false }
    }

    /// Takes in what the parser saw. `view` covers all of it, and all that is held.
    pub(super) fn walk(&mut self, view: View<'_>, batch: &Batch, findings: &mut Findings) -> Result<(), GateError> {
        for event in &batch.events {
            match event {
                Event::Start(start) => {
                    self.start(view, start, batch.attributes(start), findings)?;
                }
                Event::End(end) => self.end(view, end, findings)?,
            }
        }
        findings.check(&self.ctx.limits)
    }

    /// Looks at what is open when no event lies before `safe` any more.
    pub(super) fn advance(&mut self, view: View<'_>, safe: usize, findings: &mut Findings) -> Result<(), GateError> {
        self.foreign.read(view, safe)?;
        for open in &mut self.open {
            let text = open.content..safe.max(open.content);
            match &open.awaits {
                Awaits::Text { .. } => script_goes_on(&self.ctx, self.setting, open, view, text, findings)?,
                Awaits::Noscript | Awaits::SecondReading => piece_fits(&self.ctx.limits, &text)?,
                Awaits::SameEnd => {
                    piece_fits(&self.ctx.limits, &text)?;
                    no_end_in(view, open.at, text)?;
                }
                Awaits::SameText => {
                    piece_fits(&self.ctx.limits, &text)?;
                    no_markup_in(view, open.at, text)?;
                }
                Awaits::ForeignStyles { .. } | Awaits::Configuration => piece_fits(&self.ctx.limits, &text)?,
                Awaits::Styles(_) | Awaits::Template | Awaits::Cut => {}
            }
            if let Awaits::Styles(styles) = &mut open.awaits {
                styles.read(&self.ctx, self.setting, view, safe, false, findings)?;
            }
        }
        Ok(())
    }

    /// The document, or the piece, ends at `end` with elements still open.
    pub(super) fn finish(&mut self, view: View<'_>, end: usize, findings: &mut Findings) -> Result<(), GateError> {
        self.foreign.read(view, end)?;
        if self.setting == Setting::Noscript && self.foreign.is_open() {
            // Without scripts the page goes on in there.
            return Err(GateError::Ambiguous { at: end });
        }
        while let Some(open) = self.open.pop() {
            self.close(view, open, end..end, findings)?;
        }
        findings.check(&self.ctx.limits)
    }

    /// Nothing from this offset on may be sent yet.
    pub(super) fn hold(&self) -> Option<usize> {
        self.open.iter().filter_map(Open::hold).min()
    }

    /// Nothing from this offset on may be forgotten yet.
    pub(super) fn keep(&self) -> Option<usize> {
        let open = self.open.iter().find(|open| open.keeps()).map(|open| open.at);
        open.into_iter().chain(self.foreign.keep()).min()
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
        let tag = Tag::of(view.get(start.span.start + 1..name_end));
        let element = Element { view, tag, start, name_end, attributes };
        if element.name().eq_ignore_ascii_case(b"svg") || element.name().eq_ignore_ascii_case(b"math") {
            self.foreign.read(view, start.span.start)?;
            self.foreign.enter(start);
        }
        if tag.reads_differently() || tag == Tag::Base {
            self.compare(&element)?;
        }
        // In foreign content its text is markup, and was seen.
        let apart = start.inside.any() && !start.foreign;
        if apart && matches!(tag, Tag::RawText | Tag::Style | Tag::Iframe) {
            self.push(&element, Awaits::SecondReading);
        }
        match tag {
            // In foreign content it is an element like any other.
            Tag::Noscript if !start.foreign => {
                self.element(&element, findings)?;
                self.push(&element, Awaits::Noscript);
            }
            Tag::Plaintext if start.inside.any() => return Err(GateError::Ambiguous { at: start.span.start }),
            Tag::Base => {
                self.element(&element, findings)?;
                if !self.is_in_template() {
                    self.base(&element);
                }
            }
            Tag::Style => self.styles(&element, findings)?,
            Tag::Script => self.script(&element, findings)?,
            Tag::Amp => self.amp(&element, findings)?,
            Tag::Other if element.name().eq_ignore_ascii_case(b"template") => {
                self.element(&element, findings)?;
                self.template(&element)?;
            }
            _ => {
                if tag == Tag::Meta {
                    self.amend_policy(&element, findings);
                }
                self.element(&element, findings)?;
            }
        }
        Ok(())
    }

    /// What the parser makes of an element must be what browsers make of it, or come to the same.
    fn compare(&mut self, element: &Element<'_>) -> Result<(), GateError> {
        let (start, tag) = (element.start, element.tag);
        self.foreign.read(element.view, start.span.end)?;
        let ambiguous = Err(GateError::Ambiguous { at: start.span.start });
        if tag == Tag::Base {
            let counts = !self.ctx.base_settled && element.value(b"href").is_some();
            let certain = self.foreign.is_certain(start) && (start.foreign || !self.templates_doubtful);
            return if counts && !certain { ambiguous } else { Ok(()) };
        }
        match self.foreign.agreement(start)? {
            Agreement::Same => {}
            _ if !start.has_content || tag == Tag::Plaintext => return ambiguous,
            // To those for whom it is no text there is nothing in it.
            Agreement::MaybeMarkup if element.view.get(start.span.clone()).ends_with(b"/>") => return ambiguous,
            Agreement::MaybeMarkup => self.push(element, Awaits::SameText),
            Agreement::MaybeText => self.push(element, Awaits::SameEnd),
        }
        Ok(())
    }

    pub(super) fn push(&mut self, element: &Element<'_>, awaits: Awaits) {
        if element.start.has_content {
            self.open.push(Open {
                id: element.start.id,
                at: element.start.span.start,
                name_end: element.name_end,
                content: element.start.span.end,
                foreign: element.start.foreign,
                expendable: element.start.expendable,
                inside: element.start.inside,
                awaits,
            });
        }
    }

    /// What stands in a template is not part of the document.
    fn template(&mut self, element: &Element<'_>) -> Result<(), GateError> {
        self.foreign.read(element.view, element.start.span.end)?;
        self.templates_doubtful |= !self.foreign.is_certain(element.start) || element.start.inside.frameset;
        if !element.start.foreign {
            self.push(element, Awaits::Template);
        }
        Ok(())
    }

    fn is_in_template(&self) -> bool {
        self.open.iter().any(|open| matches!(open.awaits, Awaits::Template))
    }

    /// The first `<base href>` of a document counts; in foreign content it is none.
    pub(super) fn base(&mut self, element: &Element<'_>) {
        if self.ctx.base_settled || element.start.foreign {
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
        if let Some(script) = Script::of(element.value(b"type"), element.value(b"language"), self.ctx.encoding) {
            let types = element.named(b"type").map(|attribute| attribute.name.start).collect();
            self.push(element, Awaits::Text { progress: Progress::Waiting { lead: 0 }, types, script });
        }
        Ok(())
    }

    fn styles(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<(), GateError> {
        self.element(element, findings)?;
        let kind = element.value(b"type").map(|kind| decode(kind, self.ctx.encoding)).unwrap_or_default();
        if !kind.trim().is_empty() && !kind.trim().eq_ignore_ascii_case("text/css") {
            return Ok(());
        }
        if element.start.foreign {
            let types = element.named(b"type").map(|attribute| attribute.name.start).collect();
            self.push(element, Awaits::ForeignStyles { types });
        } else {
            let styles = Box::new(Styles::new(&self.ctx, element.start.span.end));
            self.push(element, Awaits::Styles(styles));
        }
        Ok(())
    }

    /// AMP's own scripts read what its elements say; nothing there is ever brought back.
    fn amp(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<(), GateError> {
        let gone = self.element(element, findings)?;
        if !gone && element.name().eq_ignore_ascii_case(b"amp-analytics") {
            self.push(element, Awaits::Configuration);
        }
        Ok(())
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
            Awaits::Text { .. } => {
                script_ends(&self.ctx, self.setting, &mut open, view, &end, findings)?;
            }
            Awaits::Styles(mut styles) => styles.read(&self.ctx, self.setting, view, end.start, true, findings)?,
            Awaits::ForeignStyles { .. } => {
                piece_fits(&self.ctx.limits, &text)?;
                foreign_styles_end(&self.ctx, self.setting, &open, view, text, findings)?;
            }
            Awaits::Configuration => {
                piece_fits(&self.ctx.limits, &text)?;
                let verdict = configuration_ends(&self.ctx, &open, view.get(text), findings);
                if verdict == Some(Verdict::Strip) && self.ctx.page.changes() && self.setting != Setting::Srcdoc {
                    findings.patches.cut(open.whole(view, &end));
                }
            }
            Awaits::Noscript => {
                piece_fits(&self.ctx.limits, &text)?;
                let setting = if self.setting == Setting::Srcdoc { Setting::Srcdoc } else { Setting::Noscript };
                noscript::piece(self, view, text, setting, open.inside, findings)?;
            }
            Awaits::SecondReading => {
                piece_fits(&self.ctx.limits, &text)?;
                let before = findings.patches.added();
                noscript::piece(self, view, text, self.setting, open.inside, findings)?;
                // Quotes of ours in a sheet would end its strings.
                let sheet = name_at(view, open.at + 1).eq_ignore_ascii_case(b"style");
                if sheet && findings.patches.added() > before {
                    return Err(GateError::Ambiguous { at: open.at });
                }
            }
            Awaits::SameEnd => {
                no_end_in(view, open.at, text)?;
                if !end.is_empty() && !open.is_closed_by(view, &end) {
                    return Err(GateError::Ambiguous { at: open.at });
                }
            }
            Awaits::SameText => {
                no_markup_in(view, open.at, text)?;
                if !end.is_empty() && !open.is_closed_by(view, &end) {
                    return Err(GateError::Ambiguous { at: open.at });
                }
            }
            Awaits::Template => {
                // Browsers know no other end of it.
                let own = end.is_empty() || name_at(view, end.start + 2).eq_ignore_ascii_case(b"template");
                self.templates_doubtful |= !own;
            }
            Awaits::Cut => {
                findings.patches.cut(open.whole(view, &end));
            }
        }
        Ok(())
    }
}
