//! What browsers reported: third parties by host, and what the guard held by rule. Counted, bounded,
//! without a visitor, in memory alone. A report is a claim that anybody on the network can make.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// The counters of a site.
pub struct Reports {
    counted: Mutex<Counted>,
    hosts_max: usize,
}

/// Everything that was counted since the process began.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Third parties by host name.
    pub hosts: BTreeMap<String, HostCount>,
    /// Reports about hosts that made room for others.
    pub beyond: u64,
    /// Reports that named no third party: inline code, extensions, the site itself, nonsense.
    pub dropped: u64,
    /// What the guard held in pages, by the id of its rule.
    pub held: BTreeMap<String, u64>,
    /// How many hosts were told of, so that a flood of names cannot fill a log.
    told: usize,
}

/// One third party.
#[derive(Clone, Debug, Default)]
pub struct HostCount {
    /// Reports of a policy that stopped it.
    pub stopped: u64,
    /// Reports of a policy that would have stopped it.
    pub reported: u64,
    /// Reports by what it was to be used as, such as `img-src`.
    pub directives: BTreeMap<&'static str, u64>,
    /// When it was first reported.
    pub first: Timestamp,
    /// When it was last reported.
    pub last: Timestamp,
}

impl HostCount {
    /// How many reports named it.
    pub fn total(&self) -> u64 {
        self.stopped.saturating_add(self.reported)
    }
}

/// What one report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Host name, lower case.
    pub host: String,
    /// The directive that spoke, one of [`DIRECTIVES`].
    pub directive: &'static str,
    /// Whether it was stopped, and not reported only.
    pub stopped: bool,
}

/// The directives that name where something is loaded from (CSP Level 3, section 6.1).
pub const DIRECTIVES: [&str; 16] = [
    "default-src",
    "script-src",
    "script-src-elem",
    "script-src-attr",
    "style-src",
    "style-src-elem",
    "style-src-attr",
    "img-src",
    "font-src",
    "connect-src",
    "frame-src",
    "child-src",
    "worker-src",
    "media-src",
    "object-src",
    "manifest-src",
];

impl Reports {
    /// Counts at most `hosts_max` hosts.
    pub fn new(hosts_max: u64) -> Self {
        Self { counted: Mutex::default(), hosts_max: usize::try_from(hosts_max).unwrap_or(usize::MAX) }
    }

    /// Counts a report about a third party. True where the host is new and there is room to tell of it.
    pub fn count(&self, blocked: &Blocked, now: Timestamp) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !counted.hosts.contains_key(&blocked.host);
        if new && counted.hosts.len() >= self.hosts_max {
            // The rarest makes room: names that somebody invents cannot push out what pages really load.
            let rarest = counted.hosts.iter().min_by_key(|(_, count)| (count.total(), count.last)).map(|(host, _)| host.clone());
            let gone = rarest.and_then(|host| counted.hosts.remove(&host));
            counted.beyond = counted.beyond.saturating_add(gone.map_or(0, |gone| gone.total()));
        }
        let count = counted.hosts.entry(blocked.host.clone()).or_insert_with(|| HostCount { first: now, ..HostCount::default() });
        count.last = now;
        let kind = if blocked.stopped { &mut count.stopped } else { &mut count.reported };
        *kind = kind.saturating_add(1);
        let used = count.directives.entry(blocked.directive).or_default();
        *used = used.saturating_add(1);
        let tell = new && counted.told < self.hosts_max;
        counted.told += usize::from(tell);
        tell
    }

    /// Counts what the guard held in one page. `vendor` is the id of a vendor that exists.
    pub fn held(&self, vendor: &str, times: u64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match counted.held.get_mut(vendor) {
            Some(count) => *count = count.saturating_add(times),
            None => drop(counted.held.insert(vendor.to_owned(), times)),
        }
    }

    /// Counts a report that names no third party.
    pub fn dropped(&self) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.dropped = counted.dropped.saturating_add(1);
    }

    /// Everything counted so far.
    pub fn all(&self) -> Counted {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(host: &str) -> Blocked {
        Blocked { host: host.to_owned(), directive: "img-src", stopped: false }
    }

    #[test]
    fn invented_names_cannot_push_out_what_pages_load() {
        let reports = Reports::new(4);
        for _ in 0..3 {
            reports.count(&blocked("cdn.example"), Timestamp::UNIX_EPOCH);
        }
        let told = (0..1_000).filter(|n| reports.count(&blocked(&format!("x{n}.example")), Timestamp::UNIX_EPOCH)).count();
        let counted = reports.all();
        assert_eq!(counted.hosts.len(), 4);
        assert_eq!(counted.hosts["cdn.example"].total(), 3);
        assert_eq!(counted.beyond, 997);
        assert_eq!(told, 3, "a flood of names does not flood the log");
    }

    #[test]
    fn a_host_is_new_once() {
        let reports = Reports::new(16);
        assert!(reports.count(&blocked("a.example"), Timestamp::UNIX_EPOCH));
        assert!(!reports.count(&blocked("a.example"), Timestamp::UNIX_EPOCH));
        reports.count(&Blocked { directive: "connect-src", stopped: true, ..blocked("a.example") }, Timestamp::UNIX_EPOCH);
        let count = &reports.all().hosts["a.example"];
        assert_eq!((count.stopped, count.reported), (1, 2));
        assert_eq!(count.directives, BTreeMap::from([("img-src", 2), ("connect-src", 1)]));
    }
}
