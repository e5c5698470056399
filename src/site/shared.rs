//! What all sites of the process share ([`Shared`]), and which sites there are ([`Sites`]).

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::{Limiter, Site};
use crate::{
    config::{Config, Limits},
    consent::Keys,
    consent_log::ConsentLog,
    telemetry::Telemetry,
};

/// What all sites of the process share. Cheap to copy: a reload makes another one around the same log and keys.
#[derive(Clone)]
pub struct Shared {
    /// Every bound by name.
    pub limits: Limits,
    /// Proxies in front whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The consent log.
    pub log: Arc<ConsentLog>,
    /// Where the parts of this process tell what they see.
    pub telemetry: Telemetry,
    /// How often a network may decide, on all sites together.
    pub decisions: Arc<Limiter>,
    /// How often a network may come to the gate's other own paths, on all sites together.
    pub own_requests: Arc<Limiter>,
    /// What signs cookies and tokens. Both name their site, so that one site's are no good on another.
    pub(super) keys: Arc<Keys>,
}

impl Shared {
    /// What a process begins with.
    pub fn new(config: &Config, keys: Keys, log: ConsentLog, telemetry: Telemetry) -> Self {
        let limits = config.limits.clone();
        Self {
            decisions: Arc::new(Limiter::per_minute(limits.decisions_per_minute)),
            own_requests: Arc::new(Limiter::per_minute(limits.own_requests_per_minute)),
            limits,
            trusted_proxies: config.trusted_proxies.clone(),
            telemetry,
            log: Arc::new(log),
            keys: Arc::new(keys),
        }
    }

    /// The same under other bounds. A rate that stays the same goes on counting.
    pub fn under(&self, limits: Limits, trusted_proxies: Vec<IpNet>) -> Self {
        let mut next = self.clone();
        if limits.decisions_per_minute != self.limits.decisions_per_minute {
            next.decisions = Arc::new(Limiter::per_minute(limits.decisions_per_minute));
        }
        if limits.own_requests_per_minute != self.limits.own_requests_per_minute {
            next.own_requests = Arc::new(Limiter::per_minute(limits.own_requests_per_minute));
        }
        Self { limits, trusted_proxies, ..next }
    }
}

/// The sites in force, for who tells of all of them; swapped whole by a reload.
pub struct Sites(ArcSwap<Vec<Arc<Site>>>);

impl Sites {
    /// The sites a process begins with.
    pub fn new(sites: Vec<Arc<Site>>) -> Self {
        Self(ArcSwap::from_pointee(sites))
    }

    /// Every site in force now, in the order of the configuration.
    pub fn all(&self) -> Arc<Vec<Arc<Site>>> {
        self.0.load_full()
    }

    /// Puts others in their place.
    pub fn swap(&self, sites: Vec<Arc<Site>>) {
        self.0.store(Arc::new(sites));
    }
}

/// How one server of a site behind is doing, for health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamState {
    /// Scheme, host and port, as configured.
    pub address: String,
    /// For how long it still gets no requests; `None` while it gets them.
    pub out_for: Option<Duration>,
    /// Failures in a row: no connection, no answer, none in time.
    pub failures: u32,
    /// Failures since the process began.
    pub failures_total: u64,
    /// Open connections, idle ones and tunnels included.
    pub open: usize,
    /// Requests under way, and open tunnels.
    pub busy: usize,
    /// Requests that were sent once more because of it.
    pub retries_total: u64,
}
