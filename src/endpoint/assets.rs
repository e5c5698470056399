//! `GET /_consent/assets/<hash>/<name>`: the gate's own style and scripts, immutable under their hash.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    asset::IMMUTABLE,
    headers::{self, Coding},
    site::Ctx,
    wire::{self, Body, Failure},
};

pub(super) fn answer(ctx: &Ctx, asked: &HeaderMap, path: &str) -> Result<Response<Body>, Failure> {
    let style = Some(ctx.notices().style()).filter(|style| style.path == path);
    let asset = style.or_else(|| ctx.snapshot.scripts.asset(path)).ok_or(Failure::NotFound)?;
    let coding = headers::accepted(asked).best(&[Coding::Brotli, Coding::Gzip, Coding::Identity]);
    let (bytes, coding) = match coding {
        Some(coding @ Coding::Brotli) => (&asset.brotli, Some(coding)),
        Some(coding @ Coding::Gzip) => (&asset.gzip, Some(coding)),
        _ => (&asset.bytes, None),
    };
    let mut resp = wire::answer(StatusCode::OK, asset.content_type, bytes.clone());
    resp.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    resp.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        resp.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    Ok(resp)
}
