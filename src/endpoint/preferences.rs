//! `GET /_consent/`: the preference page, complete without JavaScript, also the place to withdraw.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use crate::{
    consent::{Decision, FieldFault, safe_return, token::Layer},
    notice::{Fill, Message, Shown},
    site::Ctx,
    wire::{self, Body},
};

/// Nothing but our own files, and nobody may put the page into a frame: its buttons are worth a click-jack.
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn page(ctx: &Ctx, req: &Request<Body>) -> Response<Body> {
    let query = req.uri().query().unwrap_or_default();
    let wanted = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "return").map(|(_, value)| value.into_owned());
    let return_to = wanted.and_then(|wanted| place(ctx, &wanted)).unwrap_or_else(|| "/".to_owned());
    render(ctx, req.headers(), StatusCode::OK, &return_to, &Kept::Recorded, &[], None)
}

/// What the boxes show.
pub(super) enum Kept<'a> {
    /// The visitor's recorded choice.
    Recorded,
    /// What came in with a form that is at fault.
    Asked(&'a Decision),
    /// Nothing: what came in cannot be read.
    Nothing,
}

/// A safe place to go back to.
pub(super) fn place(ctx: &Ctx, wanted: &str) -> Option<String> {
    safe_return(wanted, &ctx.front.origin, &ctx.site.config.prefix)
}

/// The page with the visitor's state, or with what was wrong about a form.
pub(super) fn render(
    ctx: &Ctx,
    headers: &HeaderMap,
    status: StatusCode,
    return_to: &str,
    kept: &Kept<'_>,
    faults: &[FieldFault],
    message: Option<Message>,
) -> Response<Body> {
    let language = ctx.language(headers);
    let notice = ctx.notices().preferences_notice(language);
    let token = ctx.notice_token(notice.hash, Layer::Preferences);
    let prefix_url = ctx.prefix_url();
    let fill = Fill { prefix_url: &prefix_url, token: &token, return_to, gate_nonce: "", csp_nonce: None };
    let (purposes, vendors) = match kept {
        Kept::Recorded => ctx.state.as_ref().map(|state| (state.purposes.clone(), state.vendors.clone())).unwrap_or_default(),
        Kept::Asked(decision) => (decision.purposes.clone(), decision.vendors.clone()),
        Kept::Nothing => Default::default(),
    };
    let shown = Shown {
        purposes: &purposes,
        vendors: &vendors,
        decided: ctx.state.as_ref().map(|state| (state.decided_at, state.expires_at)),
        granted: ctx.state.as_ref().is_some_and(|state| state.grants_anything()),
        gpc: ctx.gpc,
        faults,
        message,
    };
    let mut resp = wire::answer(status, wire::HTML, ctx.notices().preferences(language, &fill, &shown));
    let headers = resp.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    resp
}
