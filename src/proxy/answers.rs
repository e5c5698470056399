//! Answers that are looked into before they are passed on, although they are no pages: a script that
//! comes back from one of the site's own paths may be a vendor's, whatever the path is called; a file of
//! speculation rules names what the browser is to fetch ahead.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, header, response};
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
    policy::{Hits, RuleId},
    site::Ctx,
    wire::{self, Body, Causes, Failure, SEC_FETCH_DEST},
};

/// How much is decoded at a time: what lies behind the last byte that counts is not.
const PIECE_BYTES: usize = 4 << 10;

const SPECULATION_RULES: &str = "application/speculationrules+json";

/// A set that tells the browser to do nothing.
const NO_RULES: &str = r#"{"prefetch":[],"prerender":[]}"#;

/// What a look at an answer's body came to.
pub(super) enum Looked {
    /// It goes on; whether it is a vendor's that has a grant.
    On(response::Parts, Body, bool),
    /// Something else is answered.
    Instead(Response<Body>),
}

/// Looks at what may be a vendor's script, and at speculation rules. Everything else goes on unread. A
/// script that calls itself a page is looked at, too: browsers run it where a script element names it.
pub(super) async fn look(
    ctx: &Ctx,
    prepared: &Prepared,
    suspects: &Suspects,
    head: response::Parts,
    body: Body,
) -> Result<Looked, Failure> {
    let bodiless = prepared.head.method == Method::HEAD || !head.status.is_success() || head.status == StatusCode::NO_CONTENT;
    let known = paths::is_vendors(ctx, prepared);
    if bodiless || !ctx.site.config.rings.paths {
        return Ok(Looked::On(head, body, known));
    }
    let kind = essence(&head.headers);
    if kind == SPECULATION_RULES || wire::single(&prepared.head.headers, &SEC_FETCH_DEST) == Some("speculationrules") {
        return Box::pin(speculation_rules(ctx, prepared, head, body)).await;
    }
    if may_run(ctx, prepared, &kind) {
        Box::pin(script_look(ctx, prepared, suspects, head, body)).await
    } else {
        Ok(Looked::On(head, body, known))
    }
}

/// Whether a browser may run the answer as a script. Nearly any type will do where a script element names
/// it. Where the browser does not say so (over plain HTTP), a script is what is called one, or what is
/// called nothing in particular: pages and streams of events are not kept waiting for a look.
fn may_run(ctx: &Ctx, prepared: &Prepared, kind: &str) -> bool {
    let never = ["image/", "audio/", "video/", "font/", "text/event-stream"].iter().any(|family| kind.starts_with(family));
    let called_script = ["javascript", "ecmascript", "jscript"].iter().any(|name| kind.contains(name));
    let called_nothing = matches!(kind, "" | "text/plain" | "application/octet-stream");
    let path = prepared.address.path();
    let said = prepared.head.headers.contains_key(SEC_FETCH_DEST) || path.ends_with(".js") || path.ends_with(".mjs");
    let wanted = paths::wanted(prepared) == Wanted::Script && (said || called_nothing);
    ctx.policy().looks_at_answers() && !never && (called_script || wanted)
}

/// Type and subtype in lower case; empty where the head does not say.
fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Looks at the beginning of a script. A vendor's own becomes an empty one without a grant; any other
/// passes byte for byte, streaming from where the look ended. With a grant the vendor's passes as well,
/// but is kept by nobody past the grant: so the look does not depend on one.
async fn script_look(
    ctx: &Ctx,
    prepared: &Prepared,
    suspects: &Suspects,
    head: response::Parts,
    body: Body,
) -> Result<Looked, Failure> {
    let limits = &ctx.site.shared.limits;
    let mut opener = opener(&head.headers, limits, limits.page_bytes)?;
    let mut scanner = ctx.policy().answer_scanner();
    let mut left = limits.answer_scan_bytes as usize;
    let mut hits = Hits::none();
    let looked = peek::look(body, |bytes| {
        for piece in bytes.chunks(PIECE_BYTES) {
            let plain = opener.read(piece).map_err(|error| unreadable(&error))?;
            scanner.feed(&plain[..plain.len().min(left)]);
            left = left.saturating_sub(plain.len());
            hits = scanner.hits_so_far();
            if left == 0 || !ctx.policy().allows(&ctx.grants, &hits) {
                return Ok(false);
            }
        }
        Ok(true)
    });
    let body = looked.await?;
    if hits.is_empty() {
        let known = paths::is_vendors(ctx, prepared);
        return Ok(Looked::On(head, body, known));
    }
    let found: Vec<RuleId> = hits.iter().collect();
    let (path, rules) = (prepared.address.path(), paths::names(ctx.policy(), &found));
    let allowed = ctx.policy().allows(&ctx.grants, &hits);
    if prepared.treatment == Treatment::Observe {
        if !allowed {
            info!(path, rules, "this script would not be passed on");
        }
        return Ok(Looked::On(head, body, false));
    }
    suspects.add(&prepared.head.uri);
    if allowed {
        return Ok(Looked::On(head, body, true));
    }
    debug!(path, rules, "a script was not passed on");
    Ok(Looked::Instead(paths::nothing(ctx.policy(), Wanted::Script, &prepared.head.method, &found)))
}

/// Where vendors' scripts came back from. A browser may hold such a script from before the gate, or from
/// before the vendor was known, and ask whether it still stands: there it gets no yes, but the script,
/// to be looked at. Wrong or forgotten entries cost a download, nothing else.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<BTreeSet<u64>>);

/// How many are remembered; then the list begins anew.
const SUSPECTS_MAX: usize = 4_096;

impl Suspects {
    /// Whether a vendor's script came back from a path with its query.
    pub(super) fn hold(&self, target: &Uri) -> bool {
        self.places().contains(&place(target))
    }

    fn add(&self, target: &Uri) {
        let mut places = self.places();
        if places.len() >= SUSPECTS_MAX {
            places.clear();
        }
        places.insert(place(target));
    }

    fn places(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(target: &Uri) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.path_and_query().map(|target| target.as_str()).hash(&mut hasher);
    hasher.finish()
}

/// Reads a file of speculation rules (HTML standard, section 7.6) whole. One that names an ungranted
/// vendor anywhere, or that cannot be read, becomes one without rules.
async fn speculation_rules(ctx: &Ctx, prepared: &Prepared, mut head: response::Parts, body: Body) -> Result<Looked, Failure> {
    let limits = &ctx.site.shared.limits;
    let most = limits.script_hold_bytes;
    let bytes = wire::read_bounded(body, most as usize, Limits::seconds(limits.body_idle_s)).await;
    let bytes = bytes.map_err(|error| Failure::Unreadable(format!("speculation rules: {}", Causes(&error))))?;
    let plain = opener(&head.headers, limits, most)?.read(&bytes).map_err(|error| unreadable(&error))?;
    let found = serde_json::from_slice(&plain).map_or(Some(Vec::new()), |rules| vendor_in(ctx, prepared, &rules));
    let Some(rules) = found else { return Ok(Looked::On(head, wire::full(bytes), false)) };
    let (path, rules) = (prepared.address.path(), paths::names(ctx.policy(), &rules));
    if prepared.treatment == Treatment::Observe {
        info!(path, rules, "these speculation rules would not be passed on");
        return Ok(Looked::On(head, wire::full(bytes), false));
    }
    debug!(path, rules, "speculation rules were emptied");
    [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::ETAG, header::LAST_MODIFIED, header::EXPIRES]
        .iter()
        .for_each(|name| drop(head.headers.remove(name)));
    headers::forbid_storing(&mut head.headers);
    headers::append_vary(&mut head.headers, &["Cookie"]);
    Ok(Looked::Instead(Response::from_parts(head, wire::full(Bytes::from_static(NO_RULES.as_bytes())))))
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
