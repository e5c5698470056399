//! The metrics of one site.

use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{
    DecisionOutcome, Metrics, PageOutcome,
    labels::{OfDecision, OfFailure, OfKind, OfPage, OfRequest, OfVerdict},
};
use crate::telemetry::{AccessLine, Outcome};

/// Classes of status codes, by their first digit less one.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted for one site. What is counted for every request is looked up once, and made when it
/// is first needed: a site without tunnels has no series for them.
pub struct SiteMetrics {
    all: Arc<Metrics>,
    site: Arc<str>,
    requests: [[OnceLock<Counter>; CLASSES.len()]; Outcome::ALL.len()],
    seconds: [OnceLock<Histogram>; Outcome::ALL.len()],
    first_byte_seconds: Histogram,
    sent_bytes: Counter,
}

impl SiteMetrics {
    pub(super) fn new(all: Arc<Metrics>, site: Arc<str>, first_byte_seconds: Histogram, sent_bytes: Counter) -> Self {
        Self { all, site, requests: Default::default(), seconds: Default::default(), first_byte_seconds, sent_bytes }
    }

    /// The metrics of all sites together.
    pub fn all(&self) -> &Arc<Metrics> {
        &self.all
    }

    /// The site's name, as it stands in every label.
    pub fn site(&self) -> &Arc<str> {
        &self.site
    }

    /// A request is over.
    pub fn answered(&self, line: &AccessLine) {
        let kind = line.kind as usize;
        let class = usize::from(line.status / 100).clamp(1, CLASSES.len()) - 1;
        let requests = self.requests[kind][class].get_or_init(|| {
            let of = OfRequest { site: Arc::clone(&self.site), kind: line.kind.name(), status: CLASSES[class] };
            self.all.requests.get_or_create_owned(&of)
        });
        let seconds = self.seconds[kind].get_or_init(|| {
            self.all.seconds.get_or_create_owned(&OfKind { site: Arc::clone(&self.site), kind: line.kind.name() })
        });
        requests.inc();
        seconds.observe(line.duration.as_secs_f64());
        self.sent_bytes.inc_by(line.bytes);
        if let Some(first_byte) = line.first_byte {
            self.first_byte_seconds.observe(first_byte.as_secs_f64());
        }
    }

    /// A request failed because of the site behind. `reason` is one word, such as `unreachable`.
    pub fn upstream_failed(&self, reason: &'static str) {
        self.all.upstream_failures.get_or_create(&OfFailure { site: Arc::clone(&self.site), reason }).inc();
    }

    /// A page is over, or was refused.
    pub fn page(&self, outcome: PageOutcome) {
        self.all.pages.get_or_create(&OfPage { site: Arc::clone(&self.site), outcome: outcome.name() }).inc();
    }

    /// Tags of a page met rules of a vendor of the policy. `verdict` is one of `allow`, `hold`, `strip`.
    pub fn verdicts(&self, vendor: &str, verdict: &'static str, tags: u64) {
        let of = OfVerdict { site: Arc::clone(&self.site), vendor: vendor.to_owned(), verdict };
        self.all.verdicts.get_or_create(&of).inc_by(tags);
    }

    /// A decision came. `choice` is the act by name, or [`UNREAD`](super::UNREAD).
    pub fn decision(&self, choice: &'static str, outcome: DecisionOutcome) {
        let of = OfDecision { site: Arc::clone(&self.site), choice, outcome: outcome.name() };
        self.all.decisions.get_or_create(&of).inc();
    }
}
