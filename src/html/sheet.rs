//! CSS in a page and on its own: addresses that are not granted get a scheme that nothing loads.
//!
//! A sheet is never held as a whole. Only an address whose end has not arrived is, up to a limit.

use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use encoding_rs::Encoding;

use super::{
    GateError, Limits, Page, PageReport, TagReport,
    address::{decode, shown},
    code,
    css::{Address, DEPTH_MAX, Kind, Scanner},
    element::Element,
    finding::{self, Findings},
    foreign::texts,
    insert::Insert,
    locate::Attribute,
    references::Referenced,
    splice::{View, Window},
    value::Named,
    walk::{Context, Setting},
};
use crate::{policy::Hits, vocab::Verdict};

/// Gates one style sheet, in as many chunks as it comes. The output does not depend on them.
pub struct SheetGate {
    ctx: Context,
    window: Window,
    scanner: Scanner,
    findings: Findings,
    closed: bool,
}

impl SheetGate {
    /// A gate for a sheet at the page's base, in an encoding that contains ASCII.
    pub fn new(page: Arc<Page>, limits: Limits, encoding: &'static Encoding) -> Self {
        Self {
            ctx: Context::new(page, Arc::new(limits), encoding),
            window: Window::default(),
            scanner: Scanner::new(encoding),
            findings: Findings::default(),
            closed: false,
        }
    }

    /// Takes the next chunk and appends what may be sent to `out`. After an error, drop the sheet: every later call
    /// fails.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), GateError> {
        let start = self.window.end();
        self.window.push(chunk);
        self.step(|scanner, found| scanner.read(chunk, start, found))?;
        let end = self.window.end();
        self.window.emit(self.scanner.hold().unwrap_or(end), &mut self.findings.patches, &self.ctx.page, out);
        self.window.forget(usize::MAX);
        Ok(())
    }

    /// The sheet is over: appends the rest to `out`.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), GateError> {
        self.step(|scanner, found| scanner.end(found))?;
        self.window.emit(self.window.end(), &mut self.findings.patches, &self.ctx.page, out);
        self.closed = true;
        Ok(())
    }

    /// What was met so far.
    pub fn report(&self) -> &PageReport {
        &self.findings.report
    }

    fn step(&mut self, read: impl FnOnce(&mut Scanner, &mut Vec<Address>)) -> Result<(), GateError> {
        if self.closed {
            return Err(GateError::Closed);
        }
        let mut found = Vec::new();
        read(&mut self.scanner, &mut found);
        for address in found {
            let place = Place { offset: address.at, element: "style", attribute: None };
            settle(&self.ctx, Setting::Page, &address, Some(address.at), place, &mut self.findings);
        }
        let checked = self.findings.check(&self.ctx.limits);
        self.closed = checked.is_err();
        checked
    }
}

impl fmt::Debug for SheetGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SheetGate").field("report", self.report()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Where an address is reported.
#[derive(Clone, Copy)]
struct Place<'p> {
    offset: usize,
    element: &'p str,
    attribute: Option<&'p str>,
}

/// Decides about an address and, at `at`, takes it out of action. Returns whether it is to be, in the page.
fn settle(
    ctx: &Context,
    setting: Setting,
    address: &Address,
    at: Option<usize>,
    place: Place<'_>,
    findings: &mut Findings,
) -> Option<Named> {
    let named = judge(ctx, address, 0, findings);
    if named.is_nothing() {
        return None;
    }
    let otherwise = if setting == Setting::Noscript { Verdict::Strip } else { Verdict::Hold };
    let verdict = if named.closed { otherwise } else { ctx.verdict(&named.hits, otherwise) };
    let tag = TagReport {
        offset: place.offset,
        element: place.element.to_owned(),
        attribute: place.attribute.map(str::to_owned),
        address: address.text.as_deref().and_then(|text| shown(&ctx.base, text)),
        rules: finding::rules(&named.hits),
        verdict,
        late: false,
    };
    findings.note(&ctx.limits, tag);
    if verdict == Verdict::Allow {
        return None;
    }
    findings.held.merge(named.hits.clone());
    findings.closed |= named.closed;
    if let Some(at) = at.filter(|_| ctx.page.changes() && setting != Setting::Srcdoc) {
        let needs = if named.closed { Hits::none() } else { named.hits.clone() };
        findings.patches.insert(at, Insert::scheme(&ctx.page, &needs));
    }
    Some(named)
}

/// The rules that an address in CSS hits.
fn judge(ctx: &Context, address: &Address, depth: u8, findings: &mut Findings) -> Named {
    let Some(text) = &address.text else { return Named { closed: true, ..Named::default() } };
    if address.kind == Kind::Import
        && let Some(data) = code::data(text)
    {
        return look_through(ctx, &data.text, depth + 1, findings);
    }
    let mut resolver = ctx.resolver(&mut findings.report.others);
    Named::hits(if address.kind == Kind::Maybe { resolver.absolute(text) } else { resolver.decoded(text) })
}

/// The rules that the undecoded address of a sheet hits, or what stands in it.
pub(super) fn linked(ctx: &Context, address: &[u8], findings: &mut Findings) -> Named {
    match code::data(&decode(address, ctx.encoding)) {
        Some(data) => look_through(ctx, &data.text, 0, findings),
        None => Named::hits(ctx.resolver(&mut findings.report.others).raw(address)),
    }
}

/// The rules that anything in a whole sheet hits. Sheets in sheets in sheets are not read.
pub(super) fn look_through(ctx: &Context, css: &str, depth: u8, findings: &mut Findings) -> Named {
    if depth > DEPTH_MAX {
        return Named { closed: true, ..Named::default() };
    }
    let (mut scanner, mut found, mut named) = (Scanner::new(encoding_rs::UTF_8), Vec::new(), Named::default());
    scanner.read(css.as_bytes(), 0, &mut found);
    scanner.end(&mut found);
    for address in &found {
        named.merge(judge(ctx, address, depth, findings));
    }
    named
}

/// The text of a `<style>` while it arrives.
#[derive(Debug)]
pub(super) struct Styles {
    scanner: Scanner,
    /// Up to here it was read.
    read: usize,
}

impl Styles {
    pub(super) fn new(ctx: &Context, content: usize) -> Self {
        Self { scanner: Scanner::new(ctx.encoding), read: content }
    }

    /// Nothing from here on may be sent yet.
    pub(super) fn hold(&self) -> Option<usize> {
        self.scanner.hold()
    }

    /// Reads on; `last` if the text ends there.
    pub(super) fn read(
        &mut self,
        ctx: &Context,
        setting: Setting,
        view: View<'_>,
        to: usize,
        last: bool,
        findings: &mut Findings,
    ) -> Result<(), GateError> {
        let mut found = Vec::new();
        if to > self.read {
            self.scanner.read(view.get(self.read..to), self.read, &mut found);
            self.read = to;
        }
        if last {
            self.scanner.end(&mut found);
        }
        for address in found {
            let place = Place { offset: address.at, element: "style", attribute: None };
            settle(ctx, setting, &address, Some(address.at), place, findings);
        }
        findings.check(&ctx.limits)
    }
}

/// What a `<style>` in foreign content hits: its text is markup there, with references, sections and comments, which
/// must not hide anything. An element in it stays out of the sheet; nobody writes that, and it is not read.
pub(super) fn foreign(ctx: &Context, text: &[u8], findings: &mut Findings) -> Named {
    let raw = ctx.encoding.decode_without_bom_handling(text).0;
    let mut named = look_through(ctx, &raw, 0, findings);
    let [own, all] = texts(raw.as_bytes());
    named.closed |= own != all;
    named.merge(look_through(ctx, &own, 0, findings));
    named
}

/// A `style`, or an attribute of SVG that is a property. Returns what makes it necessary to take the whole attribute
/// away: an address whose place in the raw value is not known.
pub(super) fn attribute(
    ctx: &Context,
    setting: Setting,
    element: &Element<'_>,
    attribute: &Attribute,
    findings: &mut Findings,
) -> Option<Named> {
    let value = attribute.value.clone()?;
    let raw = element.view.get(value.clone());
    let (text, places, encoding): (Cow<'_, [u8]>, _, _) = if memchr::memchr(b'&', raw).is_none() {
        (Cow::Borrowed(raw), None, ctx.encoding)
    } else {
        match Referenced::read(raw, ctx.encoding) {
            Some(read) => (Cow::Owned(read.text.clone().into_bytes()), Some(Some(read)), encoding_rs::UTF_8),
            None => (Cow::Owned(decode(raw, ctx.encoding).into_owned().into_bytes()), Some(None), encoding_rs::UTF_8),
        }
    };
    let (mut scanner, mut found) = (Scanner::new(encoding), Vec::new());
    scanner.read(&text, 0, &mut found);
    scanner.end(&mut found);
    let lower = |range: Range<usize>| String::from_utf8_lossy(element.view.get(range)).to_ascii_lowercase();
    let mut unplaced: Option<Named> = None;
    for address in found {
        let at = match &places {
            None => Some(address.at),
            Some(read) => read.as_ref().and_then(|read| read.raw(address.at)),
        };
        let at = at.map(|at| value.start + at);
        let (element_name, name) = (lower(element.start.span.start + 1..element.name_end), lower(attribute.name.clone()));
        let offset = if setting == Setting::Srcdoc { element.start.span.start } else { at.unwrap_or(value.start) };
        let place = Place { offset, element: &element_name, attribute: Some(&name) };
        let named = settle(ctx, setting, &address, at, place, findings);
        if let (None, Some(named)) = (at, named) {
            unplaced.get_or_insert_default().merge(named);
        }
    }
    unplaced
}
