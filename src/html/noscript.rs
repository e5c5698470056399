//! Documents inside the document: `noscript`, `srcdoc`, and text that older browsers read as markup.
//!
//! To the parser they are text. They are located again, as pieces of their own, two levels deep.

use std::ops::Range;

use super::{
    GateError,
    finding::Findings,
    locate::{Batch, Inside, Locator, Plan},
    splice::View,
    value::Named,
    walk::{Setting, Walker},
};
use crate::policy::Hits;

/// How deep pieces may nest. Nobody writes deeper; what does is refused.
const DEPTH_MAX: u8 = 2;

/// Walks a piece of the page as markup.
pub(super) fn piece(
    outer: &Walker,
    view: View<'_>,
    range: Range<usize>,
    setting: Setting,
    inside: Inside,
    findings: &mut Findings,
) -> Result<(), GateError> {
    let bytes = view.get(range.clone());
    if memchr::memchr(b'<', bytes).is_none() {
        return Ok(());
    }
    if outer.depth == DEPTH_MAX {
        return Err(GateError::Nesting);
    }
    let piece = View { bytes, base: range.start };
    walk(&mut Walker::new(outer.ctx.clone(), setting, outer.depth + 1), piece, inside, findings)
}

/// The rules hit anywhere inside a document in an attribute, and whether it could not be read and must stay closed.
pub(super) fn document(outer: &Walker, text: &str, findings: &mut Findings) -> Result<Named, GateError> {
    const CLOSED: Named = Named { hits: Hits::none(), closed: true };
    if outer.depth == DEPTH_MAX || text.len() > outer.ctx.limits.noscript_bytes_max {
        return Ok(CLOSED);
    }
    let mut inner = Findings::default();
    inner.report.others = std::mem::take(&mut findings.report.others);
    let mut ctx = outer.ctx.clone();
    ctx.encoding = encoding_rs::UTF_8; // It was decoded just now.
    let mut walker = Walker::new(ctx, Setting::Srcdoc, outer.depth + 1);
    let walked = walk(&mut walker, View { bytes: text.as_bytes(), base: 0 }, Inside::default(), &mut inner);
    findings.report.others = std::mem::take(&mut inner.report.others);
    match walked {
        Ok(()) => {}
        Err(GateError::Nesting | GateError::Ambiguous { .. } | GateError::Noscript { .. }) => return Ok(CLOSED),
        Err(fault) => return Err(fault),
    }
    findings.report.poisoned += inner.report.poisoned;
    Ok(Named { hits: inner.held, closed: inner.closed })
}

fn walk(walker: &mut Walker, piece: View<'_>, inside: Inside, findings: &mut Findings) -> Result<(), GateError> {
    let limits = walker.ctx.limits.clone();
    let mut locator = Locator::new(Plan::Piece, piece.base, inside, limits.memory_bytes_max);
    let mut batch = Batch::default();
    locator.write(piece.bytes, &mut batch).map_err(|fault| GateError::from_locate(fault, &limits))?;
    walker.walk(piece, &batch, findings)?;
    locator.end(&mut batch).map_err(|fault| GateError::from_locate(fault, &limits))?;
    walker.walk(piece, &batch, findings)?;
    walker.advance(piece, piece.base + piece.bytes.len(), findings)?;
    walker.finish(piece, piece.base + piece.bytes.len(), findings)
}
