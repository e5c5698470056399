//! Everything a test needs in one place: the site, the gate before it, the foreign world and a browser;
//! and the report in which a test says what leaked, what did not fire and what broke.

use std::time::{Duration, Instant};

use crate::{
    cdp::{Browser, Cookie, Page, Visitor},
    forms::{Beacon, Form},
    gate::Gate,
    origin::{Doc, Manner, Origin},
    recorder::{Heard, Recorder, Role},
};

/// So long nothing must happen before a page counts as done. A script that was loaded sends at once.
const QUIET: Duration = Duration::from_millis(150);
/// Past this a page is never going to be quiet.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a beacon may take from the click on.
const FIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Cookies that may be in a jar whatever the visitor chose: the gate's and the site's own.
const OWN_COOKIES: [&str; 2] = ["consentry", "session"];

/// A whole small world. Fields are ended in this order.
pub(crate) struct World {
    /// The visitors' browser.
    pub(crate) browser: Browser,
    gate: Option<Gate>,
    /// The site behind.
    pub(crate) origin: Origin,
    /// Everybody else.
    pub(crate) recorder: Recorder,
}

/// What a test found.
pub(crate) struct Report {
    test: &'static str,
    checked: usize,
    leaks: Vec<String>,
    unfired: Vec<String>,
    broken: Vec<String>,
}

// === impl World ===

impl World {
    /// A site without a gate.
    pub(crate) async fn bare(manner: Manner) -> Self {
        let recorder = Recorder::start().await;
        let origin = Origin::start(manner).await;
        let browser = Browser::start(recorder.port).await;
        Self { browser, gate: None, origin, recorder }
    }

    /// A site with the gate in front of it.
    pub(crate) async fn gated(manner: Manner) -> Self {
        let mut world = Self::bare(manner).await;
        world.gate = Some(Gate::start(world.origin.port).await);
        world
    }

    /// The address of a page without the gate.
    pub(crate) fn direct(&self, path: &str) -> String {
        site_at(self.origin.port, path)
    }

    /// The address of a page through the gate.
    pub(crate) fn through(&self, path: &str) -> String {
        site_at(self.gate_port(), path)
    }

    /// Where the gate listens.
    pub(crate) fn gate_port(&self) -> u16 {
        self.gate.as_ref().expect("this test's world has a gate").port
    }

    /// Puts a form on two pages of the site: as it is usually pasted, and at the end of the body.
    pub(crate) fn stock(&self, form: &Form) {
        let usual = if form.in_head() { Doc::shop(&form.html, "") } else { Doc::shop("", &form.html) };
        self.origin.put(&form.path(), usual);
        self.origin.put(&format!("{}/next", form.path()), Doc::shop("", &form.html));
    }

    /// Forgets all requests, as before a page view that is looked at.
    pub(crate) fn forget(&self) {
        self.recorder.forget();
        self.origin.forget();
    }

    /// Goes to a page and waits until nothing happens any more.
    pub(crate) async fn visit(&self, page: &Page, address: &str) -> Result<(), String> {
        page.go(address).await?;
        self.settle(page).await
    }

    /// Waits until nothing happens any more.
    pub(crate) async fn settle(&self, page: &Page) -> Result<(), String> {
        let start = Instant::now();
        while !(page.is_quiet(QUIET) && self.recorder.is_quiet(QUIET)) {
            if start.elapsed() > SETTLE_TIMEOUT {
                return Err(format!("not quiet after {SETTLE_TIMEOUT:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until the beacons were sent, and then for what may come too much.
    pub(crate) async fn fire(&self, page: &Page, beacons: &[Beacon]) -> Result<(), String> {
        let start = Instant::now();
        let mut missing = true;
        while missing && start.elapsed() < FIRE_TIMEOUT {
            let heard = self.recorder.heard();
            missing = beacons.iter().any(|beacon| heard.iter().filter(|one| one.is(beacon)).count() < beacon.count);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.settle(page).await
    }

    /// The first-party cookies in a jar that are neither the gate's nor the site's.
    pub(crate) async fn trackers(&self, visitor: &Visitor<'_>) -> Vec<Cookie> {
        let jar = visitor.cookies().await;
        jar.into_iter().filter(|cookie| cookie.domain.ends_with("localhost") && !is_own(&cookie.name)).collect()
    }
}

fn site_at(port: u16, path: &str) -> String {
    format!("http://www.shop.localhost:{port}{path}")
}

fn is_own(cookie: &str) -> bool {
    OWN_COOKIES.contains(&cookie)
}

// === impl Report ===

impl Report {
    pub(crate) fn new(test: &'static str) -> Self {
        Self { test, checked: 0, leaks: Vec::new(), unfired: Vec::new(), broken: Vec::new() }
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
        let told = |one: &&Heard| one.role == Role::Beacon && !beacons.iter().any(|beacon| one.is(beacon));
        for other in heard.iter().filter(told) {
            self.unfired(place, format_args!("a beacon nobody expects: {other}"));
        }
    }

    /// Prints the test's one line, and fails it if there is anything to tell.
    pub(crate) fn finish(self) {
        let Self { test, checked, leaks, unfired, broken } = self;
        println!(
            "{test}: {checked} checks, {} leaks, {} did not fire, {} broken pages",
            leaks.len(),
            unfired.len(),
            broken.len()
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
