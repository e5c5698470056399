//! The paths the gate answers itself, one file each. Never forwarded; what is not here is the gate's
//! own 404.

mod assets;
mod decision;
mod failure;
mod notice_token;
mod preferences;
mod receipt;
mod report;
mod state;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

pub use failure::failure_page;

use crate::{
    site::Ctx,
    telemetry::metrics::{DecisionOutcome, UNREAD},
    wire::{self, Body, Failure},
};

/// Where the newest signed checkpoint of the consent log is public.
const CHECKPOINT: &str = "/.well-known/consent-log/checkpoint";

/// Paths outside the prefix that are the gate's own: never what the site behind may say about itself.
const WELL_KNOWN: [&str; 2] = [GPC, CHECKPOINT];

/// Where a site says whether it heeds Global Privacy Control.
const GPC: &str = "/.well-known/gpc.json";

/// The path below the prefix, such as `/decision`, if the request's path is one of the gate's own.
pub fn own_path<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let below = path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    below.or_else(|| WELL_KNOWN.contains(&path).then_some(path))
}

/// Answers a request to one of the gate's own paths.
pub async fn answer(ctx: Ctx, req: Request<Body>, own_path: &str) -> Result<Response<Body>, Failure> {
    let read = matches!(*req.method(), Method::GET | Method::HEAD);
    // A decision is counted by itself, and only once it is known to come from the site: pages
    // elsewhere must not use up what a visitor has.
    let decides = own_path == "/decision" && req.method() == Method::POST && decision::same_origin(&ctx, req.headers()).is_ok();
    match decides {
        true => within(&ctx, &ctx.site.shared.decisions, "decisions_per_minute")
            .inspect_err(|_| ctx.site.metrics.decision(UNREAD, DecisionOutcome::Limited))?,
        false => within(&ctx, &ctx.site.shared.own_requests, "own_requests_per_minute")?,
    }
    match own_path {
        "" | "/" if read => Ok(preferences::page(&ctx, &req)),
        "/state" if read => Ok(state::answer(&ctx)),
        "/notice-token" if read => Ok(notice_token::answer(&ctx, &req)),
        "/receipt" if read => receipt::answer(&ctx, req.headers(), req.uri()).await,
        CHECKPOINT if read => checkpoint(&ctx),
        GPC if read => Ok(gpc(&ctx)),
        "/decision" if req.method() == Method::POST => decision::post(ctx, req).await,
        "/report" if req.method() == Method::POST => report::post(&ctx, req).await,
        "/decision" | "/report" => Err(Failure::MethodNotAllowed { allow: "POST" }),
        "" | "/" | "/state" | "/notice-token" | "/receipt" | CHECKPOINT | GPC => {
            Err(Failure::MethodNotAllowed { allow: "GET, HEAD" })
        }
        _ => match own_path.strip_prefix("/assets/") {
            Some(asset) if read => assets::answer(&ctx, req.headers(), asset),
            Some(_) => Err(Failure::MethodNotAllowed { allow: "GET, HEAD" }),
            None => Err(Failure::NotFound),
        },
    }
}

/// For whoever wants to hold the log to it later: hashes and a signature, nothing about anybody.
fn checkpoint(ctx: &Ctx) -> Result<Response<Body>, Failure> {
    let note = ctx.site.shared.log.checkpoint().ok_or(Failure::NotFound)?;
    let mut resp = wire::answer(StatusCode::OK, wire::TEXT, note.to_string());
    resp.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(resp)
}

/// The GPC support resource (W3C Global Privacy Control, 2026-04-03). The signal asks that data is not given away:
/// under opt-in nothing is before a decision, whatever the signal. A dry run holds nothing back, and says so.
/// `lastUpdate` is the specification's date: later changes to it do not change what is said here.
fn gpc(ctx: &Ctx) -> Response<Body> {
    let heeded = !ctx.site.config.observe;
    let statement = serde_json::json!({ "gpc": heeded, "lastUpdate": "2026-04-03T00:00:00Z" });
    wire::answer(StatusCode::OK, wire::JSON, statement.to_string())
}

fn within(ctx: &Ctx, limiter: &crate::site::Limiter, limit: &'static str) -> Result<(), Failure> {
    limiter.check(ctx.front.network()).map_err(|retry_after| Failure::TooMany { limit, retry_after })
}
