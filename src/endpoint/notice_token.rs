//! `GET /_consent/notice-token`: a notice token for scripts of the site. Decisions made with it are
//! recorded as made through the API.

use http::{Request, Response, StatusCode};
use serde_json::json;

use crate::{
    consent::token::Layer,
    notice,
    site::Ctx,
    wire::{self, Body},
};

pub(super) fn answer(ctx: &Ctx, req: &Request<Body>) -> Response<Body> {
    let notice = ctx.notices().notice(ctx.language(req.headers()), notice::Layer::Preferences);
    let token = ctx.notice_token(notice.hash, Layer::Api);
    wire::answer(StatusCode::OK, wire::JSON, json!({ "notice": token, "sha256": notice.hash.to_string() }).to_string())
}
