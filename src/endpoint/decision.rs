//! `POST /_consent/decision`: the way of one decision.
//!
//! same-origin? -> bounded read -> parse against the offer -> record -> durable -> cookie -> answer.
//! What follows the read runs detached from the connection: a visitor who leaves does not cancel a
//! write half done.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{error, info};
use uuid::Uuid;

use super::{
    failure::wants_json,
    preferences::{self, Kept},
    state,
};
use crate::{
    consent::{
        Choice, Decision, FieldFault, Offered, Problem, Rejected, VisitorState,
        decision::{form_fields, json_fields, parse},
        token,
    },
    consent_log::{BrowserClass, Kind, Layer, LogError, Method, PolicyLeaf, Record, Recorded, record_id},
    headers,
    notice::{self, Message},
    site::{Ctx, Seen, grants_for, is_declared_bot, new_subject},
    telemetry::metrics::{DecisionOutcome, UNREAD},
    vocab::PurposeSet,
    wire::{self, Body, Causes, Failure, SEC_FETCH_SITE},
};

/// A decision comes in one piece from a page: half a minute is long for it.
const READ_MAX: Duration = Duration::from_secs(30);

pub(super) async fn post(ctx: Ctx, req: Request<Body>) -> Result<Response<Body>, Failure> {
    let (head, body) = req.into_parts();
    same_origin(&ctx, &head.headers)?;
    if is_declared_bot(&head.headers) {
        // Refused and not dropped in silence: a person whose browser says so has to know (traps: bots).
        ctx.site.metrics.decision(UNREAD, DecisionOutcome::Bot);
        return Err(Failure::Bot);
    }
    let format = Format::of(&head.headers)?;
    let body = wire::read_bounded(body, ctx.site.shared.limits.decision_bytes as usize, READ_MAX).await?;
    let decided = tokio::spawn(async move { decide(&ctx, &head.headers, format, body).await });
    decided.await.map_err(|error| Failure::Internal(error.to_string()))
}

/// `Sec-Fetch-Site` first, which no page can forge; without it `Origin` must be ours. A null origin
/// (`Referrer-Policy: no-referrer`) counts only beside the former; with neither it is refused.
pub(super) fn same_origin(ctx: &Ctx, headers: &HeaderMap) -> Result<(), Failure> {
    let ours = ctx.front.origin.origin().ascii_serialization();
    let origin = match headers.contains_key(header::ORIGIN) {
        false => None,
        true => Some(wire::single(headers, &header::ORIGIN).ok_or(Failure::CrossSite("more than one Origin"))?),
    };
    if headers.contains_key(SEC_FETCH_SITE) {
        if wire::single(headers, &SEC_FETCH_SITE) != Some("same-origin") {
            return Err(Failure::CrossSite("Sec-Fetch-Site is not same-origin"));
        }
        return match origin {
            None | Some("null") => Ok(()),
            Some(origin) if origin == ours => Ok(()),
            Some(_) => Err(Failure::CrossSite("Origin is another one")),
        };
    }
    match origin {
        Some(origin) if origin == ours => Ok(()),
        Some(_) => Err(Failure::CrossSite("Origin is another one")),
        None => Err(Failure::CrossSite("neither Sec-Fetch-Site nor Origin")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Form,
    Json,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let kind = wire::single(headers, &header::CONTENT_TYPE).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "application/json" => Ok(Self::Json),
            _ => Err(Failure::UnknownFormat),
        }
    }
}

/// A decision whose every field was checked.
struct Checked {
    decision: Decision,
    shown: token::Shown,
    return_to: String,
}

async fn decide(ctx: &Ctx, headers: &HeaderMap, format: Format, body: Bytes) -> Response<Body> {
    let checked = match check(ctx, headers, format, &body) {
        Ok(checked) => checked,
        Err(read) => {
            ctx.site.metrics.decision(UNREAD, DecisionOutcome::Invalid);
            return unprocessable(ctx, headers, format, &read);
        }
    };
    // Durable before the cookie: a crash before this line leaves nothing, one after it a record
    // whose visitor is asked again.
    match append(ctx, headers, &checked).await {
        Ok(recorded) => {
            let (id, kind) = (recorded.id(), recorded.record().kind);
            let subject = recorded.record().subject;
            ctx.site.metrics.decision(checked.decision.choice.name(), DecisionOutcome::Recorded);
            info!(site = ctx.front.host, kind = kind.as_str(), method = checked.decision.choice.name(), "decision recorded");
            let purposes = checked.decision.purposes.iter().cloned().collect();
            // Nobody may be listening.
            let _ = ctx.site.seen.send(Arc::new(Seen::Decision { choice: checked.decision.choice.name(), purposes }));
            let state = new_state(ctx, &checked.decision, id, subject);
            recorded_answer(ctx, headers, format, &checked, &recorded, &state)
        }
        Err(error) => not_recorded(ctx, headers, format, &checked, error.as_ref()),
    }
}

/// Puts the decision on record. A visitor who is erased at this very moment decides as somebody new.
async fn append(ctx: &Ctx, headers: &HeaderMap, checked: &Checked) -> Result<Recorded, Box<dyn std::error::Error + Send + Sync>> {
    let log = &ctx.site.shared.log;
    let before = ctx.state.as_ref().filter(|state| state.record.is_some());
    match log.append(record(ctx, headers, checked, before)?).await {
        Err(LogError::Erased(_)) => Ok(log.append(record(ctx, headers, checked, None)?).await?),
        other => Ok(other?),
    }
}

/// Parses against what the notice offered, then verifies the token and the place to return to. Every
/// fault of all three is found.
fn check(ctx: &Ctx, headers: &HeaderMap, format: Format, body: &[u8]) -> Result<Checked, Box<Rejected>> {
    let fields = match format {
        Format::Form => form_fields(body),
        Format::Json => json_fields(body).map_err(|fault| Box::new(Rejected { faults: vec![fault], ..Rejected::default() }))?,
    };
    let policy = ctx.policy();
    let ids = |set: PurposeSet| -> Vec<&str> { set.iter().map(|p| policy.purposes()[usize::from(p.0)].id.as_str()).collect() };
    let purposes = ids(policy.asked());
    let vendors: Vec<(&str, Vec<&str>)> = policy
        .declared()
        .iter()
        .map(|vendor| (policy.vendor_def(vendor).id.as_str(), ids(policy.vendor_purposes(vendor))))
        .collect();
    let parsed = parse(fields, &Offered { purposes: &purposes, vendors: &vendors });
    let (decision, mut read) = match parsed {
        Ok(decision) => (Some(decision.clone()), decision.into_read()),
        Err(read) => (None, read),
    };
    let return_to = match &read.return_to {
        None => Some("/".to_owned()),
        Some(wanted) => preferences::place(ctx, wanted),
    };
    if return_to.is_none() {
        read.faults.push(FieldFault::new("return", Problem::ReturnBad));
    }
    read.return_to.clone_from(&return_to);
    let shown = read.notice.as_deref().and_then(|token| ctx.shown(token));
    let shown = match (shown, &decision) {
        (Some(shown), _) => Some(shown),
        // Refusing must never be harder than accepting: a page that stood open for days still refuses.
        (None, Some(decision)) if !decision.grants_anything() => {
            let notice = ctx.notices().notice(ctx.language(headers), notice::Layer::Preferences).hash;
            Some(token::Shown { notice, layer: token::Layer::Api })
        }
        (None, _) => {
            let problem = if read.notice.is_none() { Problem::NoticeMissing } else { Problem::NoticeStale };
            read.faults.push(FieldFault::new("notice", problem));
            None
        }
    };
    match (decision, shown, return_to) {
        (Some(decision), Some(shown), Some(return_to)) => Ok(Checked { decision, shown, return_to }),
        _ => Err(Box::new(read)),
    }
}

/// The stored proof of the decision.
fn record(ctx: &Ctx, headers: &HeaderMap, checked: &Checked, before: Option<&VisitorState>) -> Result<Record, getrandom::Error> {
    let Checked { decision, shown, .. } = checked;
    let policy = ctx.policy();
    let granted_before = before.is_some_and(VisitorState::grants_anything);
    let kind = kind_of(decision, before, policy.asked().iter().count());
    let subject = match before.and_then(|state| state.subject) {
        Some(subject) => Some(subject),
        None if decision.grants_anything() || granted_before => Some(new_subject()?),
        None => None,
    };
    let purposes: BTreeMap<String, bool> = policy
        .asked()
        .iter()
        .map(|purpose| policy.purposes()[usize::from(purpose.0)].id.clone())
        .map(|id| (id.clone(), decision.purposes.contains(&id)))
        .collect();
    let language =
        ctx.notices().find(&shown.notice).map_or_else(|| ctx.language(headers).tag().to_owned(), |notice| notice.lang.clone());
    Ok(Record {
        id: record_id(ctx.now),
        prev: before.and_then(|state| state.record),
        kind,
        time: ctx.now,
        expires: ctx.expires_at(),
        site: ctx.front.host.clone(),
        controller: policy.controller().name.clone(),
        subject,
        notice: shown.notice,
        policy: policy.revision(),
        language,
        layer: match shown.layer {
            token::Layer::Banner => Layer::Banner,
            token::Layer::Preferences => Layer::Preferences,
            token::Layer::Api => Layer::Api,
        },
        method: match decision.choice {
            Choice::AcceptAll => Method::AcceptAll,
            Choice::RejectAll => Method::RejectAll,
            Choice::Save => Method::Save,
            Choice::Withdraw => Method::Withdraw,
        },
        gpc: ctx.gpc,
        purposes,
        vendors: decision.vendors.clone(),
        jurisdiction: policy.regime().jurisdiction.clone(),
        regime: policy.regime().id.clone(),
        browser: browser_class(headers),
        enforced: PolicyLeaf::of(policy).address(),
        product: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn kind_of(decision: &Decision, before: Option<&VisitorState>, asked: usize) -> Kind {
    let granted_before = before.is_some_and(VisitorState::grants_anything);
    match decision.grants_anything() {
        false if granted_before => Kind::Withdrawn,
        false => Kind::Refused,
        true if before.is_some_and(|state| state.purposes == decision.purposes && state.vendors == decision.vendors) => {
            Kind::Renewed
        }
        true if decision.purposes.len() == asked && decision.vendors.is_empty() => Kind::Given,
        true => Kind::Partial,
    }
}

/// Two words for plausibility; the user agent string itself is never kept.
fn browser_class(headers: &HeaderMap) -> Option<BrowserClass> {
    let agent = wire::single(headers, &header::USER_AGENT)?;
    let kind = [("Firefox/", "firefox"), ("Edg/", "edge"), ("Chrome/", "chrome"), ("Safari/", "safari")]
        .iter()
        .find(|(mark, _)| agent.contains(mark))
        .map_or("other", |(_, kind)| kind);
    let form = if agent.contains("Mobile") || agent.contains("Android") { "mobile" } else { "desktop" };
    BrowserClass::parse(&format!("{kind}/{form}"))
}

fn new_state(ctx: &Ctx, decision: &Decision, record: Uuid, subject: Option<crate::vocab::SubjectId>) -> VisitorState {
    VisitorState {
        site: ctx.front.host.clone(),
        regime: ctx.policy().regime().id.clone(),
        // A refusal by somebody who never granted leaves no identifier for six months.
        record: subject.map(|_| record),
        subject,
        revision: ctx.policy().revision().0.short(),
        purposes: decision.purposes.clone(),
        vendors: decision.vendors.clone(),
        // As the cookie keeps them: the answer and every later state say the same.
        decided_at: whole_seconds(ctx.now),
        expires_at: whole_seconds(ctx.expires_at()),
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn recorded_answer(
    ctx: &Ctx,
    headers: &HeaderMap,
    format: Format,
    checked: &Checked,
    recorded: &Recorded,
    state: &VisitorState,
) -> Response<Body> {
    let mut resp = match format {
        Format::Json => {
            let mut body = state::of(ctx, Some(state));
            // A page always sends Fetch Metadata; who does not is a program of the operator's.
            if !headers.keys().any(|name| name.as_str().starts_with("sec-fetch-")) {
                body["record"] = Value::from(recorded.id().to_string());
            }
            wire::answer(StatusCode::OK, wire::JSON, body.to_string())
        }
        Format::Form => see_other(&checked.return_to),
    };
    resp.headers_mut().append(header::SET_COOKIE, ctx.mint(recorded, state));
    forget_fetched_ahead(ctx, resp.headers_mut());
    expire_ungranted(ctx, headers, checked, resp.headers_mut());
    resp
}

fn see_other(place: &str) -> Response<Body> {
    let mut resp = Response::new(wire::empty());
    *resp.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    resp.headers_mut().insert(header::LOCATION, location);
    resp.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    resp
}

/// Pages that a browser fetched or rendered ahead were made for the state before this decision
/// (Clear-Site-Data, W3C). Never "cookies" or "storage": they would log the visitor out and take this
/// decision along. Browsers heed it only where the connection is safe.
fn forget_fetched_ahead(ctx: &Ctx, out: &mut HeaderMap) {
    let host = ctx.front.host.trim_matches(['[', ']']);
    let on_this_machine = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if ctx.front.is_https() || on_this_machine {
        out.insert("clear-site-data", HeaderValue::from_static("\"prefetchCache\", \"prerenderCache\""));
    }
}

/// Expires the cookies of every vendor that the decision does not cover.
fn expire_ungranted(ctx: &Ctx, headers: &HeaderMap, checked: &Checked, out: &mut HeaderMap) {
    let (policy, decision) = (ctx.policy(), &checked.decision);
    let grants = grants_for(policy, &decision.purposes, &decision.vendors);
    let names = headers::cut_request_cookies(&mut headers.clone(), policy, &grants, &[]);
    let path = page_path(headers, &checked.return_to);
    for line in headers::expire(&names, &ctx.front.host, &path, ctx.front.is_https(), headers::Room::decision()) {
        out.append(header::SET_COOKIE, line);
    }
}

/// The page a decision leads back to, or else was made on, tells for which deeper paths a cookie may
/// have been set: such a cookie is not sent to the gate's own paths.
fn page_path(headers: &HeaderMap, return_to: &str) -> String {
    let back = return_to.split('?').next().unwrap_or_default();
    if back != "/" {
        return back.to_owned();
    }
    let referer = wire::single(headers, &header::REFERER).and_then(|text| url::Url::parse(text).ok());
    referer.map_or_else(|| "/".to_owned(), |url| url.path().to_owned())
}

/// A grant has no effect; a refusal takes effect all the same, and the answer says that it was not recorded.
fn not_recorded(
    ctx: &Ctx,
    headers: &HeaderMap,
    format: Format,
    checked: &Checked,
    cause: &(dyn std::error::Error + 'static),
) -> Response<Body> {
    ctx.site.metrics.decision(checked.decision.choice.name(), DecisionOutcome::NotRecorded);
    error!(site = ctx.front.host, cause = %Causes(cause), "a decision could not be recorded");
    let refusal = !checked.decision.grants_anything();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut resp = match format {
        Format::Json => {
            let kept = if refusal { None } else { ctx.state.as_ref() };
            let mut body = state::of(ctx, kept);
            body["recorded"] = Value::from(false);
            wire::answer(status, wire::JSON, body.to_string())
        }
        Format::Form => {
            let message = if refusal { Message::RefusedUnrecorded } else { Message::NotRecorded };
            let kept = if refusal {
                Kept::Nothing
            } else {
                Kept::Asked { purposes: &checked.decision.purposes, vendors: &checked.decision.vendors }
            };
            preferences::render(ctx, headers, status, &checked.return_to, kept, &[], Some(message))
        }
    };
    if refusal {
        resp.headers_mut().append(header::SET_COOKIE, ctx.expire());
        forget_fetched_ahead(ctx, resp.headers_mut());
        expire_ungranted(ctx, headers, checked, resp.headers_mut());
    }
    resp
}

fn unprocessable(ctx: &Ctx, headers: &HeaderMap, format: Format, read: &Rejected) -> Response<Body> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    if format == Format::Json || wants_json(headers) {
        let language = ctx.language(headers);
        let fields: BTreeMap<&str, String> =
            read.faults.iter().map(|fault| (fault.field.as_str(), language.problem(&fault.field, fault.problem))).collect();
        return wire::answer(status, wire::JSON, json!({ "error": "the decision has faults", "fields": fields }).to_string());
    }
    let kept = Kept::Asked { purposes: &read.purposes, vendors: &read.vendors };
    preferences::render(ctx, headers, status, read.return_to.as_deref().unwrap_or("/"), kept, &read.faults, None)
}
