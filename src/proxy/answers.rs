//! Answers that are looked into before they are passed on, although they are no pages: a script that
//! comes back from one of the site's own paths may be a vendor's, whatever the path is called; a file of
//! speculation rules names what the browser is to fetch ahead.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header, response};
use tracing::{debug, info};

use super::{
    asked::Wanted,
    heads::all_codings,
    paths, peek,
    pipeline::{Prepared, Treatment},
};
use crate::{
    config::Limits,
    headers,
    html::Opener,
    policy::RuleId,
    site::Ctx,
    wire::{self, Body, Causes, Failure, SEC_FETCH_DEST},
};

/// How much is decoded at a time: what lies behind the last byte that counts is not.
const PIECE_BYTES: usize = 4 << 10;

const SPECULATION_RULES: &str = "application/speculationrules+json";

/// A set that tells the browser to do nothing.
const NO_RULES: &str = r#"{"prefetch":[],"prerender":[]}"#;

/// What is to be looked for in an answer that is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing: it passes.
    No,
    /// A vendor's script.
    Script,
    /// Addresses of vendors.
    SpeculationRules,
}

/// Tells from both heads.
pub(super) fn look(ctx: &Ctx, prepared: &Prepared, head: &response::Parts) -> Look {
    let bodiless = prepared.head.method == Method::HEAD || !head.status.is_success() || head.status == StatusCode::NO_CONTENT;
    if bodiless || !ctx.site.config.rings.paths {
        return Look::No;
    }
    let kind = essence(&head.headers);
    if kind == SPECULATION_RULES || wire::single(&prepared.head.headers, &SEC_FETCH_DEST) == Some("speculationrules") {
        return Look::SpeculationRules;
    }
    // Browsers run nearly any type that a script element names.
    let script = ["javascript", "ecmascript", "jscript"].iter().any(|name| kind.contains(name))
        || paths::wanted(prepared) == Wanted::Script
            && !["image/", "audio/", "video/", "font/"].iter().any(|k| kind.starts_with(k));
    if script && ctx.policy().looks_at_answers(&ctx.grants) { Look::Script } else { Look::No }
}

/// Type and subtype in lower case; empty where the head does not say.
fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Looks at the beginning of a script. A vendor's own becomes an empty one; any other passes byte for
/// byte, streaming from where the look ended.
pub(super) async fn script(ctx: &Ctx, prepared: &Prepared, head: response::Parts, body: Body) -> Result<Response<Body>, Failure> {
    let limits = &ctx.site.config.limits;
    let mut opener = opener(&head.headers, limits, limits.page_bytes)?;
    let mut scanner = ctx.policy().answer_scanner();
    let mut left = limits.answer_scan_bytes as usize;
    let mut found: Vec<RuleId> = Vec::new();
    let looked = peek::look(body, |bytes| {
        for piece in bytes.chunks(PIECE_BYTES) {
            let plain = opener.read(piece).map_err(|error| unreadable(&error))?;
            scanner.feed(&plain[..plain.len().min(left)]);
            left = left.saturating_sub(plain.len());
            let hits = scanner.hits_so_far();
            if !ctx.policy().allows(&ctx.grants, &hits) {
                found = hits.iter().collect();
            }
            if left == 0 || !found.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    });
    let body = looked.await?;
    if found.is_empty() {
        return Ok(Response::from_parts(head, body));
    }
    let (path, rules) = (prepared.address.path(), paths::names(ctx.policy(), &found));
    if prepared.treatment == Treatment::Observe {
        info!(path, rules, "this script would not be passed on");
        return Ok(Response::from_parts(head, body));
    }
    debug!(path, rules, "a script was not passed on");
    Ok(paths::nothing(ctx.policy(), Wanted::Script, &prepared.head.method, &found))
}

/// Reads a file of speculation rules (HTML standard, section 7.6) whole. One that names an ungranted
/// vendor anywhere, or that cannot be read, becomes one without rules.
pub(super) async fn speculation_rules(
    ctx: &Ctx,
    prepared: &Prepared,
    mut head: response::Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let limits = &ctx.site.config.limits;
    let most = limits.script_hold_bytes;
    let bytes = wire::read_bounded(body, most as usize, Limits::seconds(limits.body_idle_s)).await;
    let bytes = bytes.map_err(|error| Failure::Unreadable(format!("speculation rules: {}", Causes(&error))))?;
    let plain = opener(&head.headers, limits, most)?.read(&bytes).map_err(|error| unreadable(&error))?;
    let found = serde_json::from_slice(&plain).map_or(Some(Vec::new()), |rules| vendor_in(ctx, prepared, &rules));
    let Some(rules) = found else { return Ok(Response::from_parts(head, wire::full(bytes))) };
    let (path, rules) = (prepared.address.path(), paths::names(ctx.policy(), &rules));
    if prepared.treatment == Treatment::Observe {
        info!(path, rules, "these speculation rules would not be passed on");
        return Ok(Response::from_parts(head, wire::full(bytes)));
    }
    debug!(path, rules, "speculation rules were emptied");
    [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::ETAG, header::LAST_MODIFIED, header::EXPIRES]
        .iter()
        .for_each(|name| drop(head.headers.remove(name)));
    headers::forbid_storing(&mut head.headers);
    headers::append_vary(&mut head.headers, &["Cookie"]);
    Ok(Response::from_parts(head, wire::full(Bytes::from_static(NO_RULES.as_bytes()))))
}

/// The rules that some text of the file hits as an address.
fn vendor_in(ctx: &Ctx, prepared: &Prepared, value: &serde_json::Value) -> Option<Vec<RuleId>> {
    match value {
        serde_json::Value::String(text) => {
            let hits = ctx.policy().match_url(&prepared.address.join(text).ok()?);
            (!ctx.policy().allows(&ctx.grants, &hits)).then(|| hits.iter().collect())
        }
        serde_json::Value::Array(list) => list.iter().find_map(|item| vendor_in(ctx, prepared, item)),
        serde_json::Value::Object(members) => members.values().find_map(|item| vendor_in(ctx, prepared, item)),
        _ => None,
    }
}

fn opener(headers: &HeaderMap, limits: &Limits, bytes_max: u64) -> Result<Opener, Failure> {
    let coding = all_codings(headers);
    let opener = Opener::new(coding.as_deref(), bytes_max, limits.page_ratio);
    opener.ok_or_else(|| Failure::Unreadable("the answer has a content coding that is not read here, or several".to_owned()))
}

fn unreadable(error: &crate::html::DecodeError) -> Failure {
    Failure::Unreadable(Causes(error).to_string())
}
