//! The admin listener: whether the gate lives, whether it is ready, its numbers, and what browsers reported.

mod metrics;
mod reports;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header, uri::Authority};
use serde_json::json;

use crate::{
    consent_log::Health as LogHealth,
    site::Site,
    wire::{self, Body},
};

/// Tells health and reports.
#[derive(Clone)]
pub struct Health {
    site: Arc<Site>,
}

impl Health {
    /// Tells the health of a site.
    pub fn new(site: Arc<Site>) -> Self {
        Self { site }
    }

    /// Answers `/healthz` (the process and its consent log live), `/readyz` (it may get requests), `/metrics`
    /// (numbers for Prometheus) and `/reports` (third parties that browsers reported).
    pub fn answer<B>(&self, req: &Request<B>) -> Response<Body> {
        // A page elsewhere that rebinds its name to this address must learn nothing (traps: admin).
        if !names_this_machine(req) {
            return wire::answer(StatusCode::FORBIDDEN, wire::JSON, r#"{"error":"the Host header names another machine"}"#);
        }
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            return wire::answer(StatusCode::METHOD_NOT_ALLOWED, wire::JSON, r#"{"error":"GET"}"#);
        }
        match req.uri().path() {
            "/healthz" | "/readyz" => self.health(),
            "/metrics" => metrics::told(&self.site),
            "/reports" => wire::answer(StatusCode::OK, wire::JSON, reports::told(&self.site).to_string()),
            _ => wire::answer(
                StatusCode::NOT_FOUND,
                wire::JSON,
                r#"{"error":"there are /healthz, /readyz, /metrics and /reports"}"#,
            ),
        }
    }

    fn health(&self) -> Response<Body> {
        let log = self.site.log.health();
        let status = if log == LogHealth::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let told = match log {
            LogHealth::Ready => "ready".to_owned(),
            LogHealth::LowDisk { free_bytes, reserve_bytes } => {
                format!("only {free_bytes} bytes are free on the disk; {reserve_bytes} must stay free")
            }
            LogHealth::Poisoned { first } => format!("a write failed: {first}; start consentry again"),
            LogHealth::Closed => "closed".to_owned(),
        };
        let revision = self.site.snapshot().policy.revision().to_string();
        wire::answer(status, wire::JSON, json!({ "consent_log": told, "policy": revision }).to_string())
    }
}

fn names_this_machine<B>(req: &Request<B>) -> bool {
    let host = wire::single(req.headers(), &header::HOST).and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for (host, want) in
            [("localhost:8081", true), ("127.0.0.1", true), ("[::1]:8081", true), ("evil.example", false), ("10.0.0.1", false)]
        {
            let req = Request::builder().header("host", host).body(()).expect("a test request");
            assert_eq!(names_this_machine(&req), want, "{host}");
        }
    }
}
