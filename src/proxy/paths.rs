//! Vendors behind the site's own name: a request whose own address is an ungranted vendor's does not
//! reach the site behind, and what would lead or bring a vendor back is answered with nothing.
//!
//! Nothing is of the kind that was asked for: an empty script, a transparent pixel, an empty page, or
//! no content. Pages run on, no error is thrown, and nobody keeps it.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header, response};
use tracing::{debug, info};

use super::{
    asked::{Ahead, Wanted},
    pipeline::{Prepared, Treatment},
};
use crate::{
    headers,
    policy::{Policy, RuleId},
    site::Ctx,
    wire::{self, Body},
};

/// Names the rules that spoke, so that an operator sees in the browser's tools why an answer is empty.
const HELD: HeaderName = HeaderName::from_static("consentry-held");

/// A transparent image of one pixel (GIF89a).
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// An empty document in standards mode.
const PAGE: &str = "<!doctype html><title></title>";

/// How much of a body is read that nobody gets: a beacon's most (Fetch standard, 64 KiB). A larger one
/// costs its connection.
const DRAIN_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The rules by which the request's own address is an ungranted vendor's; none where it may pass. In a
/// dry run it passes and is told.
pub(super) fn held(ctx: &Ctx, prepared: &Prepared) -> Option<Vec<RuleId>> {
    if prepared.treatment == Treatment::Exempt || !ctx.site.config.rings.paths {
        return None;
    }
    let hits = prepared.hits(ctx);
    if ctx.policy().allows(&ctx.grants, hits) {
        return None;
    }
    let rules: Vec<RuleId> = hits.iter().collect();
    let (path, spoke) = (prepared.address.path(), names(ctx.policy(), &rules));
    if prepared.treatment == Treatment::Observe {
        info!(path, rules = spoke, "would not be forwarded");
        return None;
    }
    debug!(path, rules = spoke, "not forwarded");
    Some(rules)
}

/// Whether what comes back is a vendor's by its address, and so is this visitor's only because of a grant:
/// nobody may keep it past that.
pub(super) fn is_vendors(ctx: &Ctx, prepared: &Prepared) -> bool {
    let gated = prepared.treatment == Treatment::Gate && ctx.site.config.rings.paths;
    gated && !prepared.hits(ctx).is_empty()
}

/// The answer to a request that is not forwarded. Its body is read to the end, for the connection's sake.
pub(super) async fn instead(ctx: &Ctx, prepared: &Prepared, rules: &[RuleId], body: Body) -> Response<Body> {
    let mut resp = nothing(ctx.policy(), wanted(prepared), &prepared.head.method, rules);
    if wire::read_bounded(body, DRAIN_BYTES_MAX, DRAIN_MAX).await.is_err() {
        resp.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    resp
}

/// What is answered in place of a redirect that leads to an ungranted vendor without the visitor going
/// there; none for any other answer. A click on `/out?to=…` passes, and so does what cannot be told
/// from one: over plain HTTP browsers do not say what a document is for.
pub(super) fn redirected(ctx: &Ctx, prepared: &Prepared, head: &response::Parts) -> Option<Response<Body>> {
    if !head.status.is_redirection() || head.status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let ahead = Ahead::of(&prepared.head.headers);
    let wanted = wanted(prepared);
    if wanted == Wanted::Navigation && ahead == Ahead::No {
        return None;
    }
    let found = headers::ungranted_location(&head.headers, ctx.policy(), &ctx.grants, &prepared.address)?;
    debug!(path = prepared.address.path(), to = found.address, "a redirect was not passed on");
    let mut resp = nothing(ctx.policy(), wanted, &prepared.head.method, &found.rules);
    if wanted == Wanted::Navigation {
        // The browser drops what it fetched ahead, and asks again when the visitor goes there.
        *resp.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Some(resp)
}

/// An empty answer of the kind that was asked for.
pub(super) fn nothing(policy: &Policy, wanted: Wanted, method: &Method, rules: &[RuleId]) -> Response<Body> {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let (kind, body): (&'static str, &'static [u8]) = match wanted {
        Wanted::Script if safe => ("text/javascript; charset=utf-8", b""),
        Wanted::Style if safe => ("text/css; charset=utf-8", b""),
        Wanted::Image if safe => ("image/gif", PIXEL),
        Wanted::Frame => (wire::HTML, PAGE.as_bytes()),
        // A visitor who was to be sent there stays where they are.
        Wanted::Navigation | Wanted::Data | Wanted::Script | Wanted::Style | Wanted::Image => ("", b""),
    };
    let mut resp = if kind.is_empty() {
        let mut resp = wire::answer(StatusCode::NO_CONTENT, wire::HTML, "");
        resp.headers_mut().remove(header::CONTENT_TYPE);
        resp
    } else {
        wire::answer(StatusCode::OK, kind, body)
    };
    headers::append_vary(resp.headers_mut(), &["Cookie"]);
    if let Ok(rules) = HeaderValue::from_str(&names(policy, rules)) {
        resp.headers_mut().insert(HELD, rules);
    }
    resp
}

pub(super) fn wanted(prepared: &Prepared) -> Wanted {
    Wanted::of(&prepared.head.method, &prepared.head.headers, prepared.address.path())
}

/// The ids of rules, for people.
pub(super) fn names(policy: &Policy, rules: &[RuleId]) -> String {
    rules.iter().map(|&rule| policy.rule(rule).id.as_str()).collect::<Vec<_>>().join(" ")
}
