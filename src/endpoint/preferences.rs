//! `GET /_consent/`: the preference page, complete without JavaScript, also the place to withdraw.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use crate::{
    consent::{FieldFault, safe_return, token},
    notice::{Decided, Fill, Layer, Message, Shown, Ticked},
    site::{Ctx, grants_for},
    wire::{self, Body},
};

pub(super) fn page(ctx: &Ctx, req: &Request<Body>) -> Response<Body> {
    let query = req.uri().query().unwrap_or_default();
    let wanted =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "return").map(|(_, value)| value.into_owned());
    if *req.method() == http::Method::GET {
        let notice = ctx.notices().notice(ctx.language(req.headers()), Layer::Preferences).hash;
        ctx.count_impression(req.headers(), notice);
    }
    let return_to = wanted.and_then(|wanted| place(ctx, &wanted)).unwrap_or_else(|| "/".to_owned());
    render(ctx, req.headers(), StatusCode::OK, &return_to, Kept::Recorded, &[], None)
}

/// What the boxes show.
pub(super) enum Kept<'a> {
    /// The visitor's recorded choice.
    Recorded,
    /// What came in with a form that is at fault.
    Asked {
        /// Ids of the purposes ticked.
        purposes: &'a BTreeSet<String>,
        /// Vendors that differ from them.
        vendors: &'a BTreeMap<String, bool>,
    },
    /// Nothing: a refusal is in effect.
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
    kept: Kept<'_>,
    faults: &[FieldFault],
    message: Option<Message>,
) -> Response<Body> {
    let language = ctx.language(headers);
    let notice = ctx.notices().notice(language, Layer::Preferences);
    let token = ctx.notice_token(notice.hash, token::Layer::Preferences);
    let prefix_url = ctx.prefix_url();
    let fill = Fill { prefix_url: &prefix_url, token: &token, return_to, csp_nonce: None };
    let grants = match kept {
        Kept::Recorded => ctx.grants,
        Kept::Asked { purposes, vendors } => grants_for(ctx.policy(), purposes, vendors),
        Kept::Nothing => ctx.policy().undecided(),
    };
    let shown = Shown {
        decided: ctx.state.as_ref().map(|state| Decided {
            at: state.decided_at,
            expires: state.expires_at,
            receipt: state.record.is_some(),
        }),
        ticked: Ticked::of(ctx.policy(), &grants),
        problems: faults.iter().map(|fault| (fault.field.clone(), fault.problem)).collect(),
        message,
    };
    let mut resp = wire::answer(status, wire::HTML, ctx.notices().preferences(language, &fill, &shown));
    let headers = resp.headers_mut();
    if let Ok(csp) = HeaderValue::from_str(&ctx.notices().page_csp()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, csp);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    resp
}
