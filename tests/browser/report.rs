//! What a test says in the end: what leaked, what did not fire and what broke, in one line and then in
//! full. A test goes on after a fault, so that one run tells all of them.

use crate::{
    cdp::Visitor,
    forms::Beacon,
    recorder::{Heard, Role},
    world::{World, is_own},
};

/// What a test found.
pub(crate) struct Report {
    test: &'static str,
    checked: usize,
    leaks: Vec<String>,
    unfired: Vec<String>,
    broken: Vec<String>,
}

impl Report {
    pub(crate) fn new(test: &'static str) -> Self {
        Self { test, checked: 0, leaks: Vec::new(), unfired: Vec::new(), broken: Vec::new() }
    }

    /// So many things were looked at elsewhere.
    pub(crate) fn looked_at(&mut self, count: usize) {
        self.checked += count;
    }

    /// Something reached a vendor, or stayed in the jar, without consent.
    pub(crate) fn leak(&mut self, place: &str, what: impl std::fmt::Display) {
        self.leaks.push(format!("{place}: {what}"));
    }

    /// Something that was granted did not happen, or not as often as it should.
    pub(crate) fn unfired(&mut self, place: &str, what: impl std::fmt::Display) {
        self.unfired.push(format!("{place}: {what}"));
    }

    /// A page does not work.
    pub(crate) fn broken(&mut self, place: &str, what: impl std::fmt::Display) {
        self.broken.push(format!("{place}: {what}"));
    }

    /// A step of a test: where it failed, the page is broken. Says whether it went well.
    pub(crate) fn step(&mut self, place: &str, outcome: Result<(), String>) -> bool {
        outcome.map_err(|fault| self.broken(place, fault)).is_ok()
    }

    /// Something that has to be so, or the page is broken.
    pub(crate) fn expect(&mut self, place: &str, holds: bool, otherwise: &str) {
        self.checked += 1;
        if !holds {
            self.broken(place, otherwise);
        }
    }

    /// Nothing may have reached anybody, and nobody may have left a cookie in the jar.
    pub(crate) async fn silent(&mut self, place: &str, world: &World, visitor: &Visitor<'_>) {
        self.unheard(place, world);
        for cookie in visitor.cookies().await.iter().filter(|cookie| !is_own(&cookie.name)) {
            self.leak(place, format_args!("cookie {} of {}{}", cookie.name, cookie.domain, cookie.path));
        }
    }

    /// Nothing may have reached anybody: no request, no connection, no tracker's cookie at the site.
    pub(crate) fn unheard(&mut self, place: &str, world: &World) {
        self.checked += 1;
        for heard in world.recorder.heard() {
            self.leak(place, heard);
        }
        for host in world.recorder.greeted() {
            self.leak(place, format_args!("a connection to {host}"));
        }
        for asked in world.origin.asked() {
            let names = asked.cookies.split(';').filter_map(|pair| pair.trim().split_once('=').map(|(name, _)| name));
            for name in names.filter(|name| *name != "session") {
                self.leak(place, format_args!("the site got the cookie {name} with {}", asked.path));
            }
        }
    }

    /// Each beacon was sent as often as it says, and no other.
    pub(crate) fn fired(&mut self, place: &str, beacons: &[Beacon], heard: &[Heard]) {
        self.checked += 1;
        for beacon in beacons {
            let count = heard.iter().filter(|one| one.is(beacon)).count();
            if count != beacon.count {
                let Beacon { host, path, query, count: want } = beacon;
                self.unfired(place, format_args!("{count} of {want} beacons {host}{path} with {query}; heard {}", list(heard)));
            }
        }
        self.surprises(place, beacons, heard);
    }

    fn surprises(&mut self, place: &str, beacons: &[Beacon], heard: &[Heard]) {
        let told = |one: &&Heard| one.role == Role::Beacon && !beacons.iter().any(|beacon| one.is(beacon));
        for other in heard.iter().filter(told) {
            self.unfired(place, format_args!("a beacon nobody expects: {other}"));
        }
    }

    /// Everything that was told so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        [&self.leaks, &self.unfired, &self.broken].into_iter().flatten().cloned().collect()
    }

    /// Prints the test's one line, and fails it if there is anything to tell.
    pub(crate) fn finish(self) {
        let Self { test, checked, leaks, unfired, broken } = self;
        println!(
            "{test}: {checked} checks, {} leaks, {} did not fire, {} broken pages",
            leaks.len(),
            unfired.len(),
            broken.len(),
        );
        let faults = [("leak", leaks), ("did not fire", unfired), ("broken", broken)];
        let lines: Vec<String> = faults
            .into_iter()
            .flat_map(|(kind, faults)| faults.into_iter().map(move |fault| format!("  {kind}: {fault}")))
            .collect();
        assert!(lines.is_empty(), "{test}:\n{}", lines.join("\n"));
        assert!(checked > 0, "{test} looked at nothing");
    }
}

fn list(heard: &[Heard]) -> String {
    let lines: Vec<String> = heard.iter().map(Heard::to_string).collect();
    format!("[{}]", lines.join("; "))
}
