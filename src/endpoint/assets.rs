//! `GET /_consent/assets/<hash>/<name>`: the gate's own style and script, immutable under their hash.

use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    notice::IMMUTABLE,
    site::Ctx,
    wire::{self, Body, Failure},
};

pub(super) fn answer(ctx: &Ctx, path: &str) -> Result<Response<Body>, Failure> {
    let asset = ctx.notices().asset(path).ok_or(Failure::NotFound)?;
    let mut resp = wire::answer(StatusCode::OK, asset.content_type, asset.bytes.clone());
    resp.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    Ok(resp)
}
