//! Everything a test needs in one place: the site, the gate before it, the foreign world and a browser.

use std::time::{Duration, Instant};

use crate::{
    cdp::{Browser, Cookie, Page, Visitor},
    forms::{Beacon, Form},
    gate::Gate,
    origin::{Doc, Manner, Origin},
    recorder::{Heard, Recorder},
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

    /// The same with a gate that is set up otherwise.
    pub(crate) async fn gated_with(settings: &str, policies: &[(&str, String)]) -> Self {
        let mut world = Self::bare(Manner::default()).await;
        world.gate = Some(Gate::start_with(world.origin.port, settings, policies).await);
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

    /// Puts many forms on one page.
    pub(crate) fn stock_all(&self, path: &str, forms: &[Form]) -> String {
        let html = |in_head: bool| -> String {
            forms.iter().filter(|form| form.in_head() == in_head).map(|form| format!("{}\n", form.html)).collect()
        };
        self.origin.put(path, Doc::shop(&html(true), &html(false)));
        path.to_owned()
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
        self.fire_but(page, beacons, 0).await
    }

    /// The same where some of them cannot come.
    pub(crate) async fn fire_but(&self, page: &Page, beacons: &[Beacon], missed: usize) -> Result<(), String> {
        let start = Instant::now();
        while missing(beacons, &self.recorder.heard()) > missed && start.elapsed() < FIRE_TIMEOUT {
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

/// How many beacons were not sent yet.
pub(crate) fn missing(beacons: &[Beacon], heard: &[Heard]) -> usize {
    let sent = |beacon: &Beacon| heard.iter().filter(|one| one.is(beacon)).count();
    beacons.iter().map(|beacon| beacon.count.saturating_sub(sent(beacon))).sum()
}

fn site_at(port: u16, path: &str) -> String {
    format!("http://www.shop.localhost:{port}{path}")
}

/// Whether a cookie may be in a jar whatever the visitor chose.
pub(crate) fn is_own(cookie: &str) -> bool {
    OWN_COOKIES.contains(&cookie)
}
