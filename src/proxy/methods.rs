//! Requests that no site behind gets, whatever version of HTTP they came by: tunnels, echoes, and
//! questions about the server itself.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::wire::{self, Body, Failure};

/// What is allowed, as an `Allow` header says it. Other methods pass as well: sites have their own.
pub(super) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The answer of the gate itself, for a request that is not for a site. `CONNECT` asks for a tunnel;
/// `TRACE` shows a script the cookies it must not see. `OPTIONS *` asks about the server (RFC 9110,
/// 9.3.7), and the visitor's server is the gate.
pub(super) fn own<B>(req: &Request<B>) -> Result<Option<Response<Body>>, Failure> {
    if matches!(*req.method(), Method::CONNECT | Method::TRACE) {
        return Err(Failure::MethodNotAllowed { allow: ALLOWED });
    }
    if req.uri().path() != "*" {
        return Ok(None);
    }
    let mut resp = Response::new(wire::empty());
    *resp.status_mut() = StatusCode::NO_CONTENT;
    resp.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    Ok(Some(resp))
}
