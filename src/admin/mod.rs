//! The admin listener: whether the gate lives, whether it is ready, its numbers, and what browsers reported.

mod door;
mod health;
mod metrics;
mod reports;

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::watch;

pub use health::{Probe, Reached};

use crate::{
    config::AdminToken,
    site::Site,
    wire::{self, Body},
};
use door::Entry;
use health::Reachable;

/// Answers what the admin listener is asked.
pub struct Admin {
    site: Arc<Site>,
    token: Option<AdminToken>,
    reachable: Reachable,
    stopping: watch::Receiver<bool>,
}

impl Admin {
    /// Tells of a site. `probe` asks the sites behind; `stopping` turns true when the gate is about to stop.
    pub fn new(site: Arc<Site>, probe: Probe, stopping: watch::Receiver<bool>) -> Self {
        Self { token: site.config.admin_token.clone(), reachable: Reachable::new(probe), site, stopping }
    }

    /// Answers `/healthz` (the process and its consent log live), `/readyz` (it may get requests), `/metrics`
    /// (numbers for Prometheus) and `/reports` (third parties that browsers reported).
    pub async fn answer<B>(&self, req: Request<B>) -> Response<Body> {
        let entry = door::entry(&req, self.token.as_ref());
        if entry == Entry::WrongHost {
            return refusal(StatusCode::FORBIDDEN, "the Host header names another machine");
        }
        if !matches!(*req.method(), Method::GET | Method::HEAD) {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "GET");
        }
        match (req.uri().path(), entry) {
            ("/healthz", Entry::Whole) => health::healthy(&self.site),
            ("/readyz", Entry::Whole) => self.ready().await,
            ("/healthz", _) => bare(&health::healthy(&self.site)),
            ("/readyz", _) => bare(&self.ready().await),
            ("/metrics", Entry::Whole) => metrics::told(&self.site),
            ("/reports", Entry::Whole) => wire::answer(StatusCode::OK, wire::JSON, reports::told(&self.site).to_string()),
            (_, Entry::Whole) => refusal(StatusCode::NOT_FOUND, "there are /healthz, /readyz, /metrics and /reports"),
            _ => {
                let mut resp = refusal(StatusCode::UNAUTHORIZED, "send the admin token: Authorization: Bearer …");
                resp.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                resp
            }
        }
    }

    async fn ready(&self) -> Response<Body> {
        let stopping = *self.stopping.borrow();
        health::ready(&self.site, &self.reachable, stopping).await
    }
}

fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    wire::answer(status, wire::JSON, serde_json::json!({ "error": why }).to_string())
}

/// The status of an answer and nothing of what it tells.
fn bare(told: &Response<Body>) -> Response<Body> {
    wire::answer(told.status(), wire::JSON, "{}")
}
