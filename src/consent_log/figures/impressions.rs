//! How often notices were shown: counts by day, site, regime and notice, and nobody whom.
//!
//! They are kept in memory and now and then added up in the log by its writer. They prove nothing and are no
//! leaves: a crash loses the last minute of them.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::vocab::Hash;

/// How long counts stay in memory while pages are shown.
const KEPT: Duration = Duration::from_secs(60);
/// Different counts in memory. Sites, regimes and notices are known, so that it is not met; one more is not counted.
const COUNTS_MAX: usize = 10_000;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The day in UTC, such as `2026-05-31`.
    pub day: String,
    /// The site's host, or `*` for a site that has no names by its configuration.
    pub site: String,
    /// The id of the regime.
    pub regime: String,
    /// The notice's address.
    pub notice: Hash,
}

/// A count as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impression {
    /// What was counted.
    pub shown: Shown,
    /// How often.
    pub count: u64,
}

/// Counts in memory.
pub(in crate::consent_log) struct Impressions(Mutex<Counts>);

struct Counts {
    since: Instant,
    counts: HashMap<Shown, u64>,
}

impl Default for Impressions {
    fn default() -> Self {
        Self(Mutex::new(Counts { since: Instant::now(), counts: HashMap::new() }))
    }
}

impl Shown {
    /// At a time.
    pub(in crate::consent_log) fn at(time: Timestamp, site: &str, regime: &str, notice: Hash) -> Self {
        let day = time.strftime("%Y-%m-%d").to_string();
        Self { day, site: site.to_owned(), regime: regime.to_owned(), notice }
    }
}

impl Impressions {
    /// Counts one more. Whether it is time to take them.
    pub(in crate::consent_log) fn add(&self, shown: Shown) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = all.counts.len() >= COUNTS_MAX;
        match all.counts.get_mut(&shown) {
            Some(count) => *count += 1,
            None if full => {}
            None => drop(all.counts.insert(shown, 1)),
        }
        let due = all.since.elapsed() >= KEPT;
        if due {
            // Asked for once; whoever takes them begins anew.
            all.since = Instant::now();
        }
        due
    }

    /// Everything counted so far.
    pub(in crate::consent_log) fn take(&self) -> Vec<Impression> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.since = Instant::now();
        mem::take(&mut all.counts).into_iter().map(|(shown, count)| Impression { shown, count }).collect()
    }
}
