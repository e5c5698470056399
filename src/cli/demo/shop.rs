//! The shop: pages from `templates/demo/pages/`, and forms that lead back to where they were.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::{FILES, played::Played};
use crate::wire::{self, Body};

/// Answers a request to the shop.
pub(super) fn answer<B>(req: &Request<B>, played: &Played) -> Response<Body> {
    let path = req.uri().path();
    if req.method() == Method::POST {
        let mut resp = wire::answer(StatusCode::SEE_OTHER, wire::HTML, "");
        let back = HeaderValue::from_str(&format!("{path}#thanks")).unwrap_or(HeaderValue::from_static("/"));
        resp.headers_mut().insert(header::LOCATION, back);
        return resp;
    }
    let name = match path.trim_matches('/') {
        "" => "home",
        name => name,
    };
    let (file, content_type) = match name.rsplit_once('.') {
        Some((_, "css")) => (name.to_owned(), "text/css; charset=utf-8"),
        Some((_, "svg")) => (name.to_owned(), "image/svg+xml"),
        _ => (format!("pages/{name}.html"), wire::HTML),
    };
    // Only what lies below pages/, and the shop's own style and pictures.
    match FILES.get_file(&file).and_then(|file| file.contents_utf8()).filter(|_| !name.contains("..")) {
        Some(text) => wire::answer(StatusCode::OK, content_type, played.localise(text)),
        None => wire::answer(
            StatusCode::NOT_FOUND,
            wire::HTML,
            "<!doctype html><title>Not here</title><p>The shop has no such page. <a href=\"/\">Home</a>",
        ),
    }
}
