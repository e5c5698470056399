//! `/healthz`: whether this process should be started again. `/readyz`: whether it should get requests.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    consent_log::{ConsentLog, Health as LogHealth},
    site::Site,
    wire::{self, Body},
};

/// Whether the site behind one site can be reached.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The site's name by the configuration.
    pub site: Arc<str>,
    /// The address of the site behind, as configured.
    pub upstream: String,
    /// Why not, in plain words.
    pub fault: Option<String>,
}

/// Asks every site behind. Whoever makes one bounds the time it takes.
pub type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Reached>> + Send>> + Send + Sync>;

/// How long an answer of the sites behind stands: however often readiness is asked for, they are not
/// asked more often.
const STANDS: Duration = Duration::from_secs(3);

/// What is known of the sites behind.
pub(super) struct Reachable {
    probe: Probe,
    last: Mutex<Option<(Instant, Vec<Reached>)>>,
}

impl Reachable {
    pub(super) fn new(probe: Probe) -> Self {
        Self { probe, last: Mutex::default() }
    }

    /// What they said a moment ago, or say now. Those who ask at the same time wait for one answer.
    async fn look(&self) -> Vec<Reached> {
        let mut last = self.last.lock().await;
        if let Some((_, reached)) = last.as_ref().filter(|(when, _)| when.elapsed() < STANDS) {
            return reached.clone();
        }
        let reached = (self.probe)().await;
        *last = Some((Instant::now(), reached.clone()));
        reached
    }
}

/// Broken is what only a new process mends: a consent log that failed to write or is gone. A full disk is
/// not: a new process would find it as full.
pub(super) fn healthy(log: &ConsentLog, sites: &[Arc<Site>], warnings: &[String]) -> Response<Body> {
    let log = log.health();
    let broken = matches!(log, LogHealth::Poisoned { .. } | LogHealth::Closed);
    let reasons = if broken { vec![log_fault(&log)] } else { Vec::new() };
    let policy = policies(sites);
    let told = json!({
        "healthy": !broken, "reasons": reasons, "warnings": warnings, "consent_log": log_told(&log), "policy": policy,
    });
    wire::answer(status(!broken), wire::JSON, told.to_string())
}

/// Ready is a gate that can record a grant, reaches every site behind, and is not about to stop.
pub(super) async fn ready(
    log: &ConsentLog,
    sites: &[Arc<Site>],
    reachable: &Reachable,
    stopping: bool,
    warnings: &[String],
) -> Response<Body> {
    let log = log.health();
    let mut reasons = Vec::new();
    if stopping {
        reasons.push("the gate is stopping: requests under way may end, new ones belong elsewhere".to_owned());
    }
    if log != LogHealth::Ready {
        reasons.push(log_fault(&log));
    }
    // One that stops lets the sites behind alone.
    let reached = if stopping { Vec::new() } else { reachable.look().await };
    for Reached { site, fault, .. } in &reached {
        // The fault names the address.
        reasons.extend(fault.iter().map(|fault| format!("site {site}: {fault}")));
    }
    let upstreams: Vec<_> = reached
        .iter()
        .map(|Reached { site, upstream, fault }| json!({ "site": &**site, "upstream": upstream, "reachable": fault.is_none() }))
        .collect();
    let policy = policies(sites);
    let ready = reasons.is_empty();
    let told = json!({
        "ready": ready, "reasons": reasons, "warnings": warnings, "consent_log": log_told(&log), "upstreams": upstreams,
        "policy": policy,
    });
    wire::answer(status(ready), wire::JSON, told.to_string())
}

/// The policy revision in force; of several sites each by its name.
fn policies(sites: &[Arc<Site>]) -> Value {
    let revision = |site: &Arc<Site>| json!(site.snapshot().policy.revision().to_string());
    match sites {
        [one] => revision(one),
        several => several.iter().map(|site| (site.config.name(), revision(site))).collect(),
    }
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn log_fault(log: &LogHealth) -> String {
    format!("no grant can be recorded: the consent log is {}", log_told(log))
}

/// The consent log's state in plain words.
fn log_told(log: &LogHealth) -> String {
    match log {
        LogHealth::Ready => "ready".to_owned(),
        LogHealth::LowDisk { free_bytes, reserve_bytes } => {
            format!("short of disk: {free_bytes} bytes are free and {reserve_bytes} must stay free ([limits] log_reserve_bytes)")
        }
        LogHealth::Poisoned { first } => format!("stopped, a write failed: {first}; mend the disk and start consentry again"),
        LogHealth::Closed => "closed".to_owned(),
    }
}
