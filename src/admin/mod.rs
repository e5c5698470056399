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
    consent_log::{ConsentLog, Pushes},
    site::Sites,
    telemetry::metrics::Metrics,
    wire::{self, Body},
};
use door::Entry;
use health::Reachable;

/// Answers what the admin listener is asked.
pub struct Admin {
    sites: Arc<Sites>,
    log: Arc<ConsentLog>,
    metrics: Arc<Metrics>,
    pushes: Option<Arc<Pushes>>,
    token: Option<AdminToken>,
    reachable: Reachable,
    stopping: watch::Receiver<bool>,
}

/// What the admin listener tells of.
pub struct Told {
    /// The sites in force.
    pub sites: Arc<Sites>,
    /// The consent log that they share.
    pub log: Arc<ConsentLog>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// How pushing checkpoints to second parties goes, where somebody is named.
    pub pushes: Option<Arc<Pushes>>,
}

impl Admin {
    /// `token` opens it to other machines; `probe` asks the sites behind; `stopping` turns true when the gate is
    /// about to stop.
    pub fn new(told: Told, token: Option<AdminToken>, probe: Probe, stopping: watch::Receiver<bool>) -> Self {
        let Told { sites, log, metrics, pushes } = told;
        Self { sites, log, metrics, pushes, token, reachable: Reachable::new(probe), stopping }
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
            ("/healthz", Entry::Whole) => health::healthy(&self.log, &self.sites.all(), &self.warnings()),
            ("/readyz", Entry::Whole) => self.ready().await,
            ("/healthz", _) => bare(&health::healthy(&self.log, &self.sites.all(), &self.warnings())),
            ("/readyz", _) => bare(&self.ready().await),
            ("/metrics", Entry::Whole) => metrics::told(&self.metrics, &self.log, self.pushes.as_deref(), &self.sites.all()),
            ("/reports", Entry::Whole) => wire::answer(StatusCode::OK, wire::JSON, reports::told(&self.sites.all()).to_string()),
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
        health::ready(&self.log, &self.sites.all(), &self.reachable, stopping, &self.warnings()).await
    }

    /// What somebody has to look at although the gate does its work.
    fn warnings(&self) -> Vec<String> {
        self.pushes.iter().flat_map(|pushes| pushes.told()).filter_map(|pushed| pushed.alarm).collect()
    }
}

fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    wire::answer(status, wire::JSON, serde_json::json!({ "error": why }).to_string())
}

/// The status of an answer and nothing of what it tells.
fn bare(told: &Response<Body>) -> Response<Body> {
    wire::answer(told.status(), wire::JSON, "{}")
}
