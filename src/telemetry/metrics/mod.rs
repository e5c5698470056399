//! Numbers for Prometheus. One [`Metrics`] a process, made by whoever starts it and handed on: nothing
//! here is global. Every label comes from the configuration, the policy or this room, never from a
//! request: what a visitor sends cannot make a new series.
//!
//! What can be read at any time (the consent log's health, say) is no counter here: the admin room reads
//! it when it is asked, and hands it to [`Metrics::text`].

mod labels;
mod site;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::SystemTime,
};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

pub use labels::{DecisionOutcome, PageOutcome, UNREAD};
use labels::{OfDecision, OfFailure, OfKind, OfLimit, OfPage, OfRequest, OfSite, OfVerdict};
pub use site::SiteMetrics;

/// The type of [`Metrics::text`] (OpenMetrics 1.0; Prometheus reads it from 2.5 on).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From half a millisecond to half a minute: what lies above is a stream.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Everything that is counted as it happens.
pub struct Metrics {
    registry: Registry,
    /// What every program tells of itself, under names without our prefix.
    process: Registry,
    requests: Family<OfRequest, Counter>,
    seconds: Family<OfKind, Histogram, Buckets>,
    first_byte_seconds: Family<OfSite, Histogram, Buckets>,
    sent_bytes: Family<OfSite, Counter>,
    upstream_failures: Family<OfFailure, Counter>,
    pages: Family<OfPage, Counter>,
    verdicts: Family<OfVerdict, Counter>,
    decisions: Family<OfDecision, Counter>,
    limits: Family<OfLimit, Counter>,
    connections: Gauge,
    access_lines_dropped: Counter,
}

/// A connection that counts as open until this is dropped.
pub struct OpenConnection(Gauge);

#[derive(Clone, Copy)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

// === impl Metrics ===

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("consentry");
        let r = &mut registry;
        let (connections, access_lines_dropped) = (Gauge::default(), Counter::default());
        r.register("open_connections", "Connections from visitors that are open", connections.clone());
        r.register("access_lines_dropped", "Lines of the access log that were not written", access_lines_dropped.clone());
        let sent_bytes = Family::default();
        r.register_with_unit("sent", "Bytes of answers' bodies", Unit::Bytes, sent_bytes.clone());
        let build = Family::<Vec<(&str, &str)>, Gauge>::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);
        r.register("build_info", "The version that runs", build);
        Arc::new(Self {
            requests: counter(r, "requests", "Requests that were answered"),
            seconds: histogram(r, "request_duration", "From a request's head to the end of its answer's body"),
            first_byte_seconds: histogram(r, "upstream_first_byte", "From a request sent to the upstream to its answer's head"),
            sent_bytes,
            upstream_failures: counter(r, "upstream_failures", "Requests that failed because of the site behind"),
            pages: counter(r, "pages", "Pages, style sheets and documents that went through the engine, or were refused"),
            verdicts: counter(r, "verdicts", "Tags in them, by the vendors whose rules hit"),
            decisions: counter(r, "decisions", "Decisions that visitors sent"),
            limits: counter(r, "limits_hit", "Requests and connections that met a bound, by its name in the limits table"),
            connections,
            access_lines_dropped,
            process: process(),
            registry,
        })
    }

    /// The part of one site. `name` is the site's by the configuration.
    pub fn site(self: &Arc<Self>, name: &str) -> SiteMetrics {
        let site: Arc<str> = name.into();
        let of = OfSite { site: Arc::clone(&site) };
        let (first_byte, sent) = (self.first_byte_seconds.get_or_create_owned(&of), self.sent_bytes.get_or_create_owned(&of));
        SiteMetrics::new(Arc::clone(self), site, first_byte, sent)
    }

    /// A bound was met. `limit` is its name in `[limits]`.
    pub fn limit_hit(&self, limit: &'static str) {
        self.limits.get_or_create(&OfLimit { limit }).inc();
    }

    /// A connection from a visitor was opened; it is open until what is returned is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    pub(super) fn access_line_dropped(&self) {
        self.access_lines_dropped.inc();
    }

    /// Everything as text, and what was read just now beside it.
    pub fn text(&self, now: &Registry) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.process)?;
        text::encode_registry(&mut out, &self.registry)?;
        text::encode_registry(&mut out, now)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

// === impl OpenConnection ===

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counter<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Counter>
where
    S: Clone + Eq + std::hash::Hash + fmt::Debug + prometheus_client::encoding::EncodeLabelSet + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn histogram<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Histogram, Buckets>
where
    S: Clone + Eq + std::hash::Hash + fmt::Debug + prometheus_client::encoding::EncodeLabelSet + Send + Sync + 'static,
{
    let family = Family::new_with_constructor(Buckets);
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

/// When the process began, under the name that every client library gives it.
fn process() -> Registry {
    let mut registry = Registry::default();
    let started = Gauge::<f64, AtomicU64>::default();
    started.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
    registry.register_with_unit("process_start_time", "When the process began, since the Unix epoch", Unit::Seconds, started);
    registry
}
