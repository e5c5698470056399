//! Elements that are open, and what is done when their text is long or over.

use std::ops::Range;

use super::{
    GateError, Limits, TagReport,
    address::shown,
    classify,
    code::{self, Named},
    element::name_at,
    finding::{self, Findings},
    foreign::texts,
    insert::Insert,
    locate::Inside,
    script::{self, Progress, Script},
    sheet::{self, Styles},
    splice::View,
    walk::{Context, Setting},
};
use crate::{policy::Hits, vocab::Verdict};

/// An element whose end matters.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u32,
    /// Where its start tag begins.
    pub(super) at: usize,
    /// Where its name ends: the place for our attributes.
    pub(super) name_end: usize,
    /// Where its content begins.
    pub(super) content: usize,
    pub(super) foreign: bool,
    /// Whether it may be cut without a change in how the rest is read.
    pub(super) expendable: bool,
    pub(super) inside: Inside,
    pub(super) awaits: Awaits,
}

#[derive(Debug)]
pub(super) enum Awaits {
    /// Its text, to be matched. `types` are the offsets of its `type` attributes.
    Text { progress: Progress, types: Vec<usize>, script: Script },
    /// Its text, to be read as CSS while it arrives.
    Styles(Box<Styles>),
    /// All of its text, to be read as CSS in markup.
    ForeignStyles { types: Vec<usize> },
    /// Its text, which may be the configuration of a vendor's tag.
    Configuration,
    /// Its text, to be read as markup by browsers without scripts.
    Noscript,
    /// Its text, to be read as markup by older browsers.
    SecondReading,
    /// Its end, which must be the same whether it is in HTML or in foreign content.
    SameEnd,
    /// Its text, which must be the same in both.
    SameText,
    /// Its end, up to which a `base` is none.
    Template,
    /// Its end, to be cut up to there.
    Cut,
}

impl Open {
    /// Nothing from this offset on may be sent yet.
    pub(super) fn hold(&self) -> Option<usize> {
        match &self.awaits {
            Awaits::Text { progress, .. } => matches!(progress, Progress::Waiting { .. }).then_some(self.at),
            Awaits::Styles(styles) => styles.hold(),
            Awaits::Template => None,
            Awaits::ForeignStyles { .. }
            | Awaits::Configuration
            | Awaits::Noscript
            | Awaits::SecondReading
            | Awaits::SameEnd
            | Awaits::SameText
            | Awaits::Cut => Some(self.at),
        }
    }

    /// Whether its text will be read again.
    pub(super) fn keeps(&self) -> bool {
        !matches!(self.awaits, Awaits::Text { progress: Progress::Settled, .. } | Awaits::Styles(_) | Awaits::Template)
    }

    /// Whether an end tag is its own, and not an ancestor's.
    pub(super) fn is_closed_by(&self, view: View<'_>, end: &Range<usize>) -> bool {
        !end.is_empty() && name_at(view, end.start + 2).eq_ignore_ascii_case(name_at(view, self.at + 1))
    }

    /// From its start tag to its end. Its start tag must not have been sent.
    pub(super) fn whole(&self, view: View<'_>, end: &Range<usize>) -> Range<usize> {
        self.at..if self.is_closed_by(view, end) { end.end } else { end.start }
    }

    fn now(&mut self, next: Progress) {
        if let Awaits::Text { progress, .. } = &mut self.awaits {
            *progress = next;
        }
    }
}

/// A script has arrived up to the end of `text`, and goes on.
pub(super) fn script_goes_on(
    ctx: &Context,
    setting: Setting,
    open: &mut Open,
    view: View<'_>,
    text: Range<usize>,
    findings: &mut Findings,
) -> Result<(), GateError> {
    let Awaits::Text { progress, .. } = &mut open.awaits else { return Ok(()) };
    match progress {
        Progress::Waiting { lead } => {
            // No further than the limit, for the same reason as in `overflow`.
            let beginning = text.start..text.end.min(text.start + ctx.limits.hold_bytes_max);
            if script::is_hydration(view.get(beginning), lead) == Some(true) {
                open.now(Progress::Settled);
            } else if text.len() > ctx.limits.hold_bytes_max {
                overflow(ctx, setting, open, view, findings)?;
            }
        }
        Progress::Passing => {
            if text.len() > ctx.limits.memory_bytes_max {
                return Err(GateError::Script { max: ctx.limits.memory_bytes_max });
            }
        }
        Progress::Settled => {}
    }
    Ok(())
}

/// A script is over with this end tag, or what closed it.
pub(super) fn script_ends(
    ctx: &Context,
    setting: Setting,
    open: &mut Open,
    view: View<'_>,
    end: &Range<usize>,
    findings: &mut Findings,
) -> Result<(), GateError> {
    if !open.keeps() {
        return Ok(());
    }
    let text = open.content..end.start;
    // As if it had arrived piece by piece.
    script_goes_on(ctx, setting, open, view, text.clone(), findings)?;
    let Awaits::Text { progress, script, .. } = &open.awaits else { return Ok(()) };
    let script = *script;
    let passed = match progress {
        Progress::Settled => return Ok(()),
        Progress::Waiting { .. } => false,
        Progress::Passing => true,
    };
    let hint = script == Script::SpeculationRules;
    let otherwise = if passed || hint { Verdict::Strip } else { Verdict::Hold };
    let hits = all_hits(ctx, open, script, view, &text, otherwise, findings);
    if hits.is_empty() {
        return Ok(());
    }
    let verdict = ctx.verdict(&hits, otherwise);
    match verdict {
        Verdict::Allow => {}
        // Nothing is lost without it, and nothing needs it later.
        Verdict::Strip if hint && !passed && open.expendable => {
            findings.held.merge(hits);
            if setting == Setting::Page && ctx.page.changes() {
                findings.patches.cut(open.whole(view, end));
            }
        }
        Verdict::Strip if passed => {
            findings.held.merge(hits);
            findings.report.poisoned += 1;
            if setting == Setting::Page && ctx.page.changes() {
                findings.patches.insert(text.end, script::POISON);
            }
        }
        Verdict::Hold | Verdict::Strip => hold(ctx, setting, open, hits, findings),
    }
    Ok(())
}

/// The rules hit by a script's text, and by the addresses in it that it loads by itself; each is reported.
fn all_hits(
    ctx: &Context,
    open: &Open,
    script: Script,
    view: View<'_>,
    text: &Range<usize>,
    otherwise: Verdict,
    findings: &mut Findings,
) -> Hits {
    let bytes = view.get(text.clone());
    let mut all = classify::inline(ctx, bytes, open.foreign);
    if !all.is_empty() {
        let verdict = ctx.verdict(&all, otherwise);
        note(ctx, open, bytes, &all, verdict, findings);
    }
    let mut resolver = ctx.resolver(&mut findings.report.others);
    let mut named = code::named(script, bytes, &mut resolver);
    if open.foreign && memchr::memchr2(b'&', b'<', bytes).is_some() {
        for text in texts(bytes) {
            // Where it stands in the markup is not known.
            named.extend(code::named(script, text.as_bytes(), &mut resolver).into_iter().map(|named| Named { at: 0, ..named }));
        }
    }
    for Named { at, address, hits } in named {
        let tag = TagReport {
            offset: text.start + at,
            element: "script".to_owned(),
            attribute: None,
            address: shown(&ctx.base, &address),
            rules: finding::rules(&hits),
            verdict: ctx.verdict(&hits, otherwise),
            late: false,
        };
        findings.note(&ctx.limits, tag);
        all.merge(hits);
    }
    all
}

/// A `<style>` in foreign content is over.
pub(super) fn foreign_styles_end(
    ctx: &Context,
    setting: Setting,
    open: &Open,
    view: View<'_>,
    text: Range<usize>,
    findings: &mut Findings,
) -> Result<(), GateError> {
    let bytes = view.get(text.clone());
    if memchr::memchr2(b'&', b'<', bytes).is_none() {
        return Styles::new(ctx, text.start).read(ctx, setting, view, text.end, true, findings);
    }
    let named = sheet::foreign(ctx, bytes, findings);
    if named.is_nothing() {
        return Ok(());
    }
    let verdict = if named.closed { Verdict::Hold } else { ctx.verdict(&named.hits, Verdict::Hold) };
    let tag = TagReport {
        offset: open.at,
        element: "style".to_owned(),
        attribute: None,
        address: None,
        rules: finding::rules(&named.hits),
        verdict,
        late: false,
    };
    findings.note(&ctx.limits, tag);
    if verdict != Verdict::Allow {
        findings.closed |= named.closed;
        // A style of a type that is not CSS's is not applied.
        if setting == Setting::Srcdoc {
            findings.held.merge(named.hits);
        } else {
            let needs = if named.closed { Hits::none() } else { named.hits };
            hold(ctx, Setting::Page, open, needs, findings);
        }
    }
    Ok(())
}

/// Whether the configuration of an AMP tag names a vendor: it goes with the tag.
pub(super) fn configuration_ends(ctx: &Context, open: &Open, text: &[u8], findings: &mut Findings) -> Option<Verdict> {
    let mut hits = ctx.page.policy.match_inline(text);
    let mut resolver = ctx.resolver(&mut findings.report.others);
    for script in String::from_utf8_lossy(text).split("<script").skip(1) {
        let json = script.split_once('>').map_or("", |(_, json)| json).split("</script").next().unwrap_or_default();
        code::strings(json.as_bytes()).iter().for_each(|address| hits.merge(resolver.absolute(address)));
    }
    if hits.is_empty() {
        return None;
    }
    let verdict = ctx.verdict(&hits, Verdict::Strip);
    let tag = TagReport {
        offset: open.at,
        element: "amp-analytics".to_owned(),
        attribute: None,
        address: None,
        rules: finding::rules(&hits),
        verdict,
        late: false,
    };
    findings.note(&ctx.limits, tag);
    if verdict != Verdict::Allow {
        findings.held.merge(hits);
    }
    Some(verdict)
}

/// A script is longer than what may be held: decide by its beginning, else let it pass under watch.
/// The beginning is cut at the limit, so that the decision does not hang on how bytes arrived.
fn overflow(ctx: &Context, setting: Setting, open: &mut Open, view: View<'_>, findings: &mut Findings) -> Result<(), GateError> {
    if open.foreign {
        // What ends it depends on the namespace, and a parser can be wrong about that.
        return Err(GateError::Ambiguous { at: open.at });
    }
    let bytes = view.get(open.content..open.content + ctx.limits.hold_bytes_max);
    let mut scanner = ctx.page.policy.inline_scanner();
    scanner.feed(bytes);
    // What would excuse a hit may come later, and then it would be too late to hold.
    let hits = scanner.hits_so_far();
    if hits.is_empty() || ctx.allows(&hits) {
        open.now(Progress::Passing);
    } else {
        note(ctx, open, bytes, &hits, Verdict::Hold, findings);
        hold(ctx, setting, open, hits, findings);
        open.now(Progress::Settled);
    }
    Ok(())
}

/// Takes a script out of action by its start tag, which has not been sent.
fn hold(ctx: &Context, setting: Setting, open: &Open, hits: Hits, findings: &mut Findings) {
    if setting == Setting::Page && ctx.page.changes() {
        findings.patches.insert(open.name_end, Insert::marker(&ctx.page, &hits));
        findings.patches.insert(open.name_end, Insert::INERT_TYPE);
        if let Awaits::Text { types, .. } | Awaits::ForeignStyles { types } = &open.awaits {
            types.iter().for_each(|&at| findings.patches.insert(at, Insert::RENAME));
        }
    }
    findings.held.merge(hits);
}

fn note(ctx: &Context, open: &Open, text: &[u8], hits: &Hits, verdict: Verdict, findings: &mut Findings) {
    let tag = TagReport {
        offset: open.at,
        element: "script".to_owned(),
        attribute: None,
        address: None,
        rules: finding::rules(hits),
        verdict,
        late: script::needs_parse_time(text),
    };
    findings.note(&ctx.limits, tag);
}

/// A text that is read apart is held whole.
pub(super) fn piece_fits(limits: &Limits, text: &Range<usize>) -> Result<(), GateError> {
    if text.len() > limits.noscript_bytes_max {
        return Err(GateError::Noscript { max: limits.noscript_bytes_max });
    }
    Ok(())
}
