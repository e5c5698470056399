//! `GET /metrics`: what was counted, and beside it what is read at this moment.

use std::sync::Arc;

use http::{Response, StatusCode};
use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    consent_log::{ConsentLog, Health, Pushes},
    site::Site,
    telemetry::metrics::{CONTENT_TYPE, Metrics},
    wire::{self, Body},
};

type Labelled = Family<Vec<(&'static str, String)>, Gauge>;

/// The states of the consent log, of which one is 1 and the others are 0.
const STATES: [&str; 4] = ["ready", "low_disk", "poisoned", "closed"];

/// All metrics of the process.
pub(super) fn told(metrics: &Metrics, log: &ConsentLog, pushes: Option<&Pushes>, sites: &[Arc<Site>]) -> Response<Body> {
    let mut now = Registry::with_prefix("consentry");
    read_log(&mut now, log);
    if let Some(pushes) = pushes {
        read_pushes(&mut now, pushes);
    }
    let policy = Labelled::default();
    for site in sites {
        let revision = site.snapshot().policy.revision().to_string();
        policy.get_or_create(&vec![("site", site.metrics.site().to_string()), ("revision", revision)]).set(1);
    }
    now.register("policy_info", "The policy revision in force", policy);
    match metrics.text(&now) {
        Ok(text) => wire::answer(StatusCode::OK, CONTENT_TYPE, text),
        Err(_) => {
            wire::answer(StatusCode::INTERNAL_SERVER_ERROR, wire::JSON, r#"{"error":"the metrics cannot be written down"}"#)
        }
    }
}

fn read_log(now: &mut Registry, log: &ConsentLog) {
    let states = Labelled::default();
    let state = state(&log.health());
    for name in STATES {
        states.get_or_create(&vec![("state", name.to_owned())]).set(i64::from(name == state));
    }
    now.register("consent_log_state", "The consent log's state: 1 for the one it is in", states);
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        match unit {
            Some(unit) => now.register_with_unit(name, help, unit, gauge),
            None => now.register(name, help, gauge),
        }
    };
    gauge("consent_log_leaves", "Decisions, notices and policies in the consent log", None, log.leaves());
    gauge("consent_log_waiting", "Of those, the ones that wait for the disk", None, log.waiting() as u64);
    if let Ok(free) = log.free_bytes() {
        gauge("consent_log_free", "What is free on the disk of the consent log", Some(Unit::Bytes), free);
    }
}

/// How checkpoints get to second parties: a row for each way that is used.
fn read_pushes(now: &mut Registry, pushes: &Pushes) {
    let (age, failures, alarm) = (Labelled::default(), Labelled::default(), Labelled::default());
    for pushed in pushes.told() {
        let way = || vec![("way", pushed.way.to_string())];
        age.get_or_create(&way()).set(i64::try_from(pushed.age.as_secs()).unwrap_or(i64::MAX));
        failures.get_or_create(&way()).set(i64::try_from(pushed.failures).unwrap_or(i64::MAX));
        alarm.get_or_create(&way()).set(i64::from(pushed.alarm.is_some()));
    }
    let help = "Since a second party last had the newest checkpoint of the consent log";
    now.register_with_unit("consent_log_push_age", help, Unit::Seconds, age);
    now.register("consent_log_push_failures", "Tries to push a checkpoint that failed since the start", failures);
    now.register("consent_log_push_alarm", "1 where that has failed for too long, or would push another history", alarm);
}

fn state(health: &Health) -> &'static str {
    match health {
        Health::Ready => STATES[0],
        Health::LowDisk { .. } => STATES[1],
        Health::Poisoned { .. } => STATES[2],
        Health::Closed => STATES[3],
    }
}
