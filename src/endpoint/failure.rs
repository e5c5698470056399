//! The answer to a failure: a page in the visitor's language, or JSON for a script.

use http::{HeaderMap, HeaderValue, Response, header};
use serde_json::json;

use crate::{
    notice::Notices,
    wire::{self, Body, Failure},
};

/// The gate's own answer: what the visitor sees. What the operator reads is traced by the caller.
pub fn failure_page(notices: &Notices, headers: &HeaderMap, failure: &Failure) -> Response<Body> {
    let status = failure.status();
    let mut resp = if wants_json(headers) {
        // A script's author reads this; what concerns the operator alone stays in the trace.
        let told = if failure.concerns_operator() {
            status.canonical_reason().unwrap_or("error").to_owned()
        } else {
            failure.to_string()
        };
        let body = json!({ "error": told, "status": status.as_u16() });
        wire::answer(status, wire::JSON, body.to_string())
    } else {
        let language = notices.negotiate(wire::single(headers, &header::ACCEPT_LANGUAGE));
        let mut page = wire::answer(
            status,
            wire::HTML,
            match failure {
                Failure::Bot => notices.bot_page(language, status.as_u16()),
                _ => notices.error_page(language, status.as_u16(), ""),
            },
        );
        if let Ok(csp) = HeaderValue::from_str(&notices.page_csp()) {
            page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, csp);
        }
        page
    };
    failure.headers(resp.headers_mut());
    if failure.leaves_body_unread() {
        resp.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    resp
}

/// A script posts JSON or asks for it.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let json =
        |name| wire::single(headers, &name).is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    json(header::CONTENT_TYPE) || json(header::ACCEPT)
}
