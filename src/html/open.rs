//! Elements that are open, and what is done when their text is long or over.

use std::ops::Range;

use super::{
    GateError, Limits, TagReport, classify,
    element::name_at,
    finding::{self, Findings},
    locate::Inside,
    script::{self, Progress},
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
    pub(super) inside: Inside,
    pub(super) awaits: Awaits,
}

#[derive(Debug)]
pub(super) enum Awaits {
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

impl Open {
    /// Whether nothing from its start tag on may be sent yet.
    pub(super) fn holds(&self) -> bool {
        match &self.awaits {
            Awaits::Text { progress, .. } => matches!(progress, Progress::Waiting { .. }),
            Awaits::Noscript | Awaits::SecondReading | Awaits::SameEnd | Awaits::Cut => true,
        }
    }

    /// Whether its text will be read again.
    pub(super) fn keeps(&self) -> bool {
        !matches!(self.awaits, Awaits::Text { progress: Progress::Settled, .. })
    }

    /// Whether an end tag is its own, and not an ancestor's.
    pub(super) fn is_closed_by(&self, view: View<'_>, end: &Range<usize>) -> bool {
        !end.is_empty() && name_at(view, end.start + 2).eq_ignore_ascii_case(name_at(view, self.at + 1))
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

/// A script is over, and all of it is `text`.
pub(super) fn script_ends(
    ctx: &Context,
    setting: Setting,
    open: &mut Open,
    view: View<'_>,
    text: Range<usize>,
    findings: &mut Findings,
) -> Result<(), GateError> {
    if !open.keeps() {
        return Ok(());
    }
    // As if it had arrived piece by piece.
    script_goes_on(ctx, setting, open, view, text.clone(), findings)?;
    let Awaits::Text { progress, .. } = &open.awaits else { return Ok(()) };
    let passed = match progress {
        Progress::Settled => return Ok(()),
        Progress::Waiting { .. } => false,
        Progress::Passing => true,
    };
    let bytes = view.get(text.clone());
    let hits = classify::inline(ctx, bytes, open.foreign);
    if hits.is_empty() {
        return Ok(());
    }
    let otherwise = if passed { Verdict::Strip } else { Verdict::Hold };
    let verdict = finding::verdict(&ctx.page, &hits, otherwise);
    note(ctx, open, bytes, &hits, verdict, findings);
    match verdict {
        Verdict::Allow => {}
        Verdict::Hold => hold(ctx, setting, open, hits, findings),
        Verdict::Strip => {
            findings.held.merge(hits);
            findings.report.poisoned += 1;
            if setting == Setting::Page && ctx.page.changes() {
                findings.patches.insert(text.end, script::POISON);
            }
        }
    }
    Ok(())
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
    if hits.is_empty() || ctx.page.policy.allows(&ctx.page.grants, &hits) {
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
        findings.patches.insert(open.name_end, finding::marker(&ctx.page, &hits));
        findings.patches.insert(open.name_end, finding::INERT_TYPE);
        if let Awaits::Text { types, .. } = &open.awaits {
            types.iter().for_each(|&at| findings.patches.insert(at, finding::rename(&ctx.page)));
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
