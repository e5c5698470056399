//! `POST /_consent/report`: what browsers say was stopped, or would have been.
//!
//! Three forms: `application/csp-report` (`report-uri`), `application/reports+json` (Reporting API) and
//! the guard's own JSON. Of a report nothing is kept but a third party's host and a directive, both
//! counted; of the guard's, the ids of rules that exist.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::Value;
use tracing::warn;
use url::Url;

use crate::{
    policy::HostClass,
    site::{Blocked, Ctx, DIRECTIVES},
    wire::{self, Body, Failure, SEC_FETCH_SITE},
};

/// A report comes in one piece from a browser: ten seconds are long for it.
const READ_MAX: Duration = Duration::from_secs(10);
/// The most reports that are read out of one body.
const REPORTS_MAX: usize = 256;
/// The most times that one page can have held one rule's tags.
const HELD_MAX: u64 = 1_000;

pub(super) async fn post(ctx: &Ctx, req: Request<Body>) -> Result<Response<Body>, Failure> {
    let (head, body) = req.into_parts();
    own_pages_only(ctx, &head.headers)?;
    let form = Form::of(&head.headers).ok_or(Failure::UnknownFormat)?;
    let body = wire::read_bounded(body, ctx.site.shared.limits.report_bytes as usize, READ_MAX).await?;
    take(ctx, form, &body);
    let mut resp = Response::new(wire::empty());
    *resp.status_mut() = StatusCode::NO_CONTENT;
    Ok(resp)
}

/// Browsers name where a report comes from; what comes from elsewhere is not worth its reading. One
/// that names nothing is counted: who wants to invent reports needs no browser for it.
fn own_pages_only(ctx: &Ctx, headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(SEC_FETCH_SITE) && wire::single(headers, &SEC_FETCH_SITE) != Some("same-origin") {
        return Err(Failure::CrossSite("a report from another site"));
    }
    let ours = ctx.front.origin.origin().ascii_serialization();
    match headers.get_all(header::ORIGIN).iter().find(|origin| *origin != "null" && *origin != ours.as_str()) {
        Some(_) => Err(Failure::CrossSite("a report from another origin")),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One report (CSP Level 3, section 5.3).
    Csp,
    /// A list of reports (Reporting API, section 3.5.3).
    List,
    /// The guard's.
    Guard,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = wire::single(headers, &header::CONTENT_TYPE)?;
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/csp-report" => Some(Self::Csp),
            "application/reports+json" => Some(Self::List),
            // A beacon of text is what every browser sends without asking first.
            "application/json" | "text/plain" => Some(Self::Guard),
            _ => None,
        }
    }
}

fn take(ctx: &Ctx, form: Form, body: &Bytes) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return ctx.site.reports.dropped() };
    match form {
        Form::Csp => count(ctx, read(&value["csp-report"], ["blocked-uri", "effective-directive", "violated-directive"])),
        Form::List => {
            for report in value.as_array().into_iter().flatten().take(REPORTS_MAX) {
                let violation = report["type"] == "csp-violation";
                let keys = ["blockedURL", "effectiveDirective", "violatedDirective"];
                count(ctx, if violation { read(&report["body"], keys) } else { None });
            }
        }
        Form::Guard => {
            let held = value["held"].as_object();
            for (vendor, times) in held.into_iter().flatten().take(REPORTS_MAX) {
                // Only ids that exist: nothing that a visitor wrote is kept.
                let known = ctx.policy().vendor(vendor).is_some();
                match times.as_u64().filter(|times| known && *times > 0) {
                    Some(times) => ctx.site.reports.held(vendor, times.min(HELD_MAX)),
                    None => ctx.site.reports.dropped(),
                }
            }
        }
    }
}

/// The third party and the directive of a violation; `None` where it names none.
fn read(violation: &Value, [blocked, effective, violated]: [&str; 3]) -> Option<Blocked> {
    // `inline`, `eval`, `data` and extensions are no addresses of the web (section 5.4).
    let url = Url::parse(violation[blocked].as_str()?).ok()?;
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return None;
    }
    let host = url.host_str()?.trim_end_matches('.').to_owned();
    let said = violation[effective].as_str().or_else(|| violation[violated].as_str())?;
    let said = said.split_ascii_whitespace().next()?;
    let directive = DIRECTIVES.into_iter().find(|known| *known == said)?;
    (!host.is_empty()).then(|| Blocked { host, directive, stopped: violation["disposition"] == "enforce" })
}

fn count(ctx: &Ctx, blocked: Option<Blocked>) {
    let Some(blocked) = blocked.filter(|blocked| blocked.host != ctx.front.host) else { return ctx.site.reports.dropped() };
    let new = ctx.site.reports.count(&blocked, ctx.now);
    // A vendor that is held anyway is no news, and what is allowed by now is settled.
    if !new || !matches!(ctx.policy().host_class(&blocked.host), HostClass::Unknown | HostClass::Offered(_)) {
        return;
    }
    let (host, directive) = (blocked.host.as_str(), blocked.directive);
    let mend = match ctx.policy().host_class(host) {
        HostClass::Offered(preset) => format!("add \"{}\" to presets in policies/hosts.toml", preset.id),
        _ => "classify it in policies/hosts.toml: as allowed, or as [[gated]]".to_owned(),
    };
    let what = if blocked.stopped { "was stopped" } else { "would be stopped with containment = \"enforce\"" };
    warn!(host, directive, "a third party that nobody classified {what}: {mend}");
}
