//! What goes into a page and what comes out of it: the engine's view of one page of one visitor, the
//! notice in it, and the report at its end.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, Method, header};
use tracing::{debug, error, info, warn};
use url::Url;

use super::pipeline::{Prepared, Treatment, random};
use crate::{
    browser::{self, Scripts},
    config::{Containment, Limits},
    consent::{safe_return, token},
    headers::csp,
    html::{self, Ending},
    notice::{Fill, Layer},
    site::{Ctx, Seen, Site},
    telemetry::{Route, Trail, metrics::PageOutcome},
    vocab::Verdict,
    wire::{Causes, Failure},
};

/// What the engine needs to know about this page of this visitor.
pub(super) fn page(ctx: &Ctx, prepared: &Prepared, headers: &HeaderMap) -> Result<html::Page, Failure> {
    let nonce = format!("{:016x}", random().map_err(|error| Failure::Internal(error.to_string()))?);
    let gated = prepared.treatment == Treatment::Gate && prepared.asked.has_scripts();
    let Inserted { head, body, frame } = if gated { inserted(ctx, prepared, headers, &nonce) } else { Inserted::default() };
    let needs = needs(ctx)?;
    Ok(html::Page {
        policy: Arc::clone(ctx.policy()),
        grants: ctx.grants,
        base: prepared.address.clone(),
        nonce,
        head,
        body,
        amend_csp: gated.then(|| -> html::AmendCsp { Arc::new(move |policy: &str| csp::amend_meta(policy, &needs)) }),
        observe: prepared.treatment == Treatment::Observe,
        hold: ctx.site.config.rings.markup,
        frame,
    })
}

/// What goes into a page.
#[derive(Default)]
struct Inserted {
    head: String,
    body: String,
    /// Into documents that stand in attributes of the page.
    frame: String,
}

/// Scripts and style for the head; for the body of what fills a tab the banner, or after a decision the
/// way back to it. Where no vendor is declared there is nothing to ask for.
fn inserted(ctx: &Ctx, prepared: &Prepared, headers: &HeaderMap, nonce: &str) -> Inserted {
    let notices = ctx.notices();
    let language = notices.negotiate(Some(&prepared.language));
    let prefix_url = ctx.prefix_url();
    let csp_nonce = csp::page_nonce(headers);
    let decided_at = ctx.state.as_ref().map(|state| state.decided_at.to_string());
    let state = Scripts::state(ctx.policy(), &ctx.grants);
    let scripts = &ctx.snapshot.scripts;
    let in_browser = browser::Fill {
        prefix_url: &prefix_url,
        gate_nonce: nonce,
        csp_nonce: csp_nonce.as_deref(),
        decided_at: decided_at.as_deref(),
        state: &state,
        reports: ctx.site.config.containment != Containment::Off,
        contained: ctx.site.config.containment == Containment::Enforce,
    };
    // It takes the elements before it out of the document; what comes after it may be code that runs.
    let guard = if ctx.site.config.rings.guard { scripts.guard(&in_browser) } else { String::new() };
    if ctx.policy().declared().is_empty() {
        return Inserted { head: guard.clone(), body: String::new(), frame: guard };
    }
    let gate = scripts.gate(&in_browser);
    // In XML nothing is deferred: there the guard has to come first.
    let xml = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("xml")));
    let scripts = if xml { format!("{guard}{gate}") } else { gate + &guard };
    if !prepared.asked.top_level {
        return Inserted { head: scripts, body: String::new(), frame: guard };
    }
    let notice = notices.notice(language, Layer::Banner).hash;
    ctx.count_impression(&prepared.head.headers, notice);
    let token = ctx.notice_token(notice, token::Layer::Banner);
    let return_to = return_to(ctx, prepared);
    let fill = Fill { prefix_url: &prefix_url, token: &token, return_to: &return_to, csp_nonce: csp_nonce.as_deref() };
    let body = if ctx.state.is_some() { notices.choices(language, &fill) } else { notices.banner(language, &fill) };
    Inserted { head: notices.head(&fill) + &scripts, body, frame: guard }
}

/// The page itself; the answer to a POST is no place to come back to.
fn return_to(ctx: &Ctx, prepared: &Prepared) -> String {
    let target = &prepared.address[url::Position::BeforePath..url::Position::AfterQuery];
    let place = (prepared.head.method != Method::POST).then(|| safe_return(target, &ctx.front.origin, &ctx.site.config.prefix));
    place.flatten().unwrap_or_else(|| "/".to_owned())
}

pub(super) fn needs(ctx: &Ctx) -> Result<csp::Needs, Failure> {
    let own = Url::parse(&ctx.prefix_url()).map_err(|_| Failure::Internal("the prefix is no address".to_owned()))?;
    Ok(csp::Needs::new(&own, "consentry"))
}

/// Tells what the page carried, once it is over.
pub(super) fn on_end(ctx: &Ctx, prepared: &Prepared) -> html::OnEnd {
    let observe = prepared.treatment == Treatment::Observe;
    let (site, policy, trail) = (Arc::clone(&ctx.site), Arc::clone(ctx.policy()), Arc::clone(&ctx.trail));
    let path = prepared.address.path().to_owned();
    Box::new(move |report, ending| {
        match &ending {
            Ending::Cut(error) if observe => warn!(page = path, "this page would be cut: {}", Causes(error)),
            // As a route: this trace is not the operator's own try, but a visitor's page.
            Ending::Cut(error) => error!(page = ?Route::of(&path), "a page was cut: {}", Causes(error)),
            Ending::Complete | Ending::Left => {}
        }
        let seen = Seen::page(&policy, &path, report);
        count(&site, (!observe).then_some(&*trail), &seen, &ending);
        debug!(page = path, tags = report.tags.len(), poisoned = report.poisoned, "page gated");
        if observe {
            tell_observed(&path, &seen);
            if let Some(why) = &report.unread {
                warn!(page = path, "this page would be cut: {why}");
            }
        }
        // Nobody may be listening.
        let _ = site.seen.send(Arc::new(seen));
    })
}

/// Counts a page and its tags; a tag of two vendors counts for each. A dry run has no trail: nothing was
/// done to the page, and what is counted are the verdicts alone.
fn count(site: &Site, trail: Option<&Trail>, seen: &Seen, ending: &Ending<'_>) {
    let Seen::Page { tags, .. } = seen else { return };
    if let Some(trail) = trail {
        let with = |verdict| u32::try_from(tags.iter().filter(|tag| tag.verdict == verdict).count()).unwrap_or(u32::MAX);
        trail.tags(with(Verdict::Hold), with(Verdict::Strip));
        site.metrics.page(match ending {
            Ending::Complete => PageOutcome::Gated,
            Ending::Cut(_) => PageOutcome::Cut,
            Ending::Left => PageOutcome::Left,
        });
    }
    let mut counts: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for tag in tags {
        tag.vendors.iter().for_each(|vendor| *counts.entry((vendor, tag.verdict.name())).or_default() += 1);
    }
    for ((vendor, verdict), tags) in counts {
        site.metrics.verdicts(vendor, verdict, tags);
    }
}

/// The loud part of a dry run.
fn tell_observed(path: &str, seen: &Seen) {
    let Seen::Page { tags, .. } = seen else { return };
    for tag in tags.iter().filter(|tag| tag.verdict != Verdict::Allow) {
        let (rules, element) = (tag.rules.join(" + "), tag.element.as_str());
        info!(page = path, verdict = %tag.verdict, rules, element, "would not pass");
    }
}

/// The engine's bounds, as `[limits]` names them.
pub(super) fn limits(limits: &Limits) -> html::Limits {
    html::Limits {
        hold_bytes_max: limits.script_hold_bytes as usize,
        noscript_bytes_max: limits.noscript_hold_bytes as usize,
        memory_bytes_max: limits.parser_memory_bytes as usize,
        patches_max: limits.page_patches as usize,
        decoded_bytes_max: limits.page_bytes,
        decoded_ratio_max: limits.page_ratio,
        ..html::Limits::default()
    }
}
