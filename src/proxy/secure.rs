//! What TLS adds around the way of a request: an authority's challenge is answered, plain HTTP is
//! sent to HTTPS, and answers over TLS carry `Strict-Transport-Security`.

use std::{future::Future, sync::Arc};

use http::{HeaderValue, Request, Response, StatusCode, header};
use ipnet::IpNet;
use tokio::net::TcpListener;

use crate::{
    site::{Front, Peer},
    tls::{REDIRECT, Tls},
    wire::{self, Body},
};

/// The certificates, the port of the TLS listener, and whose word on scheme and host counts.
#[derive(Clone)]
pub struct Secure {
    tls: Tls,
    port: u16,
    trusted_proxies: Arc<[IpNet]>,
}

impl Secure {
    /// For the TLS listener `listener`, which is open.
    pub fn new(tls: Tls, listener: &TcpListener, trusted_proxies: &[IpNet]) -> Self {
        let port = listener.local_addr().map_or(443, |address| address.port());
        Self { tls, port, trusted_proxies: trusted_proxies.into() }
    }

    /// The answer that no site gives: to a challenge of ours, or the way to HTTPS.
    fn instead<B>(&self, req: &Request<B>, front: &Front) -> Option<Response<Body>> {
        let host = front.host.trim_matches(['[', ']']);
        if let Some(text) = self.tls.challenge(host, req.uri().path()) {
            return Some(wire::answer(StatusCode::OK, "application/octet-stream", text));
        }
        if front.is_https() {
            return None;
        }
        let location = self.tls.redirect(host, req.uri(), self.port)?;
        let mut resp = Response::new(wire::empty());
        *resp.status_mut() = REDIRECT;
        resp.headers_mut().insert(header::LOCATION, location);
        // Whoever leaves TLS again must not be held to it by caches.
        resp.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(resp)
    }
}

/// Answers a request with `handle`, and with what TLS adds. A head that names no host is `handle`'s to refuse.
pub async fn around<B, F>(
    secure: Option<&Secure>,
    req: Request<B>,
    peer: Peer,
    handle: impl FnOnce(Request<B>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let Some(secure) = secure else { return handle(req).await };
    // Over TLS there is nothing to redirect, and only challenges to look at.
    let looked_at = !peer.tls || Tls::is_challenge_path(req.uri().path());
    let front = looked_at.then(|| Front::of(&req, peer, &secure.trusted_proxies).ok()).flatten();
    if let Some(resp) = front.as_ref().and_then(|front| secure.instead(&req, front)) {
        return resp;
    }
    let mut resp = handle(req).await;
    if peer.tls || front.is_some_and(|front| front.is_https()) {
        secure.tls.secure(resp.headers_mut());
    }
    resp
}
