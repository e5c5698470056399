//! What a site's own code says to vendors while their tags are held: it runs on, its callbacks are
//! answered, nothing is sent. After **Accept all** in the open page every call arrives, once and in
//! order; where the operator's policy says "drop", no event does.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{
    cdp::{Page, Script, Visitor},
    forms::{Beacon, glob},
    hand::{ACCEPT, decide},
    origin::{Doc, Manner},
    recorder::Role,
    report::Report,
    world::World,
};

/// What sites say to one vendor (`calls/README.md`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    #[serde(skip)]
    vendor: String,
    base: String,
    opens: usize,
    #[serde(default)]
    stub: String,
    rest: Option<String>,
    #[serde(default = "yes")]
    early: bool,
    exists: String,
    call: String,
    #[serde(default)]
    callbacks: Vec<String>,
    sends: Option<Beacon>,
}

fn yes() -> bool {
    true
}

/// Every file of `calls/`, by vendor.
fn all() -> Vec<Calls> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/calls");
    let entries = std::fs::read_dir(folder).unwrap_or_else(|fault| panic!("{folder}: {fault}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder just opened can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        let mut calls: Calls = toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        calls.vendor = path.file_stem().and_then(|stem| stem.to_str()).expect("file names here are ASCII").to_owned();
        calls
    };
    paths.into_iter().map(read).collect()
}

/// One visitor, going from page to page as if each were the first.
struct Walk<'world> {
    world: &'world World,
    visitor: &'world Visitor<'world>,
    page: &'world Page,
}

#[tokio::test]
async fn calls_at_any_time_wait_and_arrive_once_in_order() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("stand-ins, calls");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    for calls in all() {
        world.origin.put("/calls", calls.at_any_time());
        let place = format!("{} at any time", calls.vendor);
        if walk.undecided("/calls", &place, &mut report).await {
            report.step(&place, page.click("#buy").await);
            walk.accept(&calls, &["inline", "ready", "load", "click"], &place, &mut report).await;
        }
        world.origin.put("/early", calls.above_the_tag());
        let place = format!("{} above the tag", calls.vendor);
        if walk.undecided("/early", &place, &mut report).await {
            let events: &[&str] = if calls.early { &["early", "inline"] } else { &["inline"] };
            walk.accept(&calls, events, &place, &mut report).await;
        }
    }
    report.finish();
}

#[tokio::test]
async fn callbacks_are_answered_at_once_and_only_once() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("stand-ins, callbacks");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    for calls in all().into_iter().filter(|calls| !calls.callbacks.is_empty()) {
        let place = format!("{} callbacks", calls.vendor);
        world.origin.put("/callbacks", calls.with_callbacks());
        if !walk.undecided("/callbacks", &place, &mut report).await {
            continue;
        }
        let answered = format!("answered.length === {} && answered.every(times => times === 1)", calls.callbacks.len());
        report.expect(&place, page.eval(&answered).await == true, "a callback was not answered, or not once");
        report.expect(&place, page.eval("location.hash").await == "#bought", "the page waits for the vendor to go on");
        decide(&page, ACCEPT, &mut report, &place).await;
        report.step(&place, world.settle(&page).await);
        report.expect(&place, page.eval(&answered).await == true, "a callback was answered a second time");
    }
    report.finish();
}

#[tokio::test]
async fn an_operator_may_let_early_events_go() {
    let default = include_str!("../../policies/default.toml").replace("\"deliver\"", "\"drop\"");
    let world = World::gated_under(&[("default.toml", default)]).await;
    let mut report = Report::new("stand-ins, dropped");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    for calls in all() {
        world.origin.put("/calls", calls.at_any_time());
        let place = format!("{} dropped", calls.vendor);
        if walk.undecided("/calls", &place, &mut report).await {
            report.step(&place, page.click("#buy").await);
            walk.accept(&calls, &[], &place, &mut report).await;
        }
    }
    report.finish();
}

#[tokio::test]
async fn a_page_is_not_hidden_for_a_script_that_does_not_come() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("anti-flicker");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    let snippet = "<style>.async-hide { opacity: 0 }</style>\n\
        <script>(function (a, s, y, n, c, h, i) { s.className += ' ' + y; h.start = 1 * new Date; \
        h.end = i = function () { window.ended = (window.ended || 0) + 1; s.className = s.className.replace(RegExp(' ?' + y), '') }; \
        (a[n] = a[n] || []).hide = h; setTimeout(function () { i(); h.end = null }, c); h.timeout = c; \
        })(window, document.documentElement, 'async-hide', 'dataLayer', 60000, { 'GTM-AAAAA01': true });</script>";
    world.origin.put("/hidden", Doc::shop(snippet, ""));
    let shown = "getComputedStyle(document.documentElement).opacity === '1'";
    if walk.undecided("/hidden", "held", &mut report).await {
        report.expect("held", page.eval(shown).await == true, "the page stays hidden");
        report.expect("held", page.eval("window.ended").await == 1, "who waits for it was not told, or told again");
        decide(&page, ACCEPT, &mut report, "held").await;
        report.step("granted", world.visit(&page, &world.through("/hidden")).await);
        report.expect("granted", page.eval(shown).await == false, "the vendor's page is not hidden any more");
    }
    report.finish();
}

// === impl Walk ===

impl Walk<'_> {
    /// Goes there as somebody new: nobody hears of it and nothing fails.
    async fn undecided(&self, path: &str, place: &str, report: &mut Report) -> bool {
        self.visitor.start_over(self.page).await;
        self.world.forget();
        let arrived = report.step(place, self.world.visit(self.page, &self.world.through(path)).await);
        report.silent(place, self.world, self.visitor).await;
        self.quiet(place, report);
        arrived
    }

    /// Agrees in the open page, makes one more call, and looks at what was sent.
    async fn accept(&self, calls: &Calls, events: &[&str], place: &str, report: &mut Report) {
        let Self { world, page, .. } = self;
        report.silent(place, world, self.visitor).await;
        page.sent();
        if !decide(page, ACCEPT, report, place).await {
            return;
        }
        let mut events: Vec<&str> = events.to_vec();
        let opening = calls.opens + events.len();
        if calls.sends.is_some() {
            report.step(place, self.until(opening).await);
            events.push("later");
        }
        page.eval(&calls.event("later")).await;
        report.step(place, self.until(calls.opens + events.len()).await);
        report.step(place, world.settle(page).await);
        self.quiet(place, report);

        let Some(sends) = &calls.sends else { return };
        let heard = world.recorder.heard();
        let beacons: Vec<_> = heard.iter().filter(|one| one.role == Role::Beacon).collect();
        let told = || beacons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if beacons.len() != calls.opens + events.len() {
            report.unfired(place, format_args!("{} of {} beacons: {}", beacons.len(), calls.opens + events.len(), told()));
        }
        for event in &events {
            let beacon = Beacon { query: sends.query.replace("$E", event), ..sends.clone() };
            let times = heard.iter().filter(|one| one.is(&beacon)).count();
            if times != 1 {
                report.unfired(place, format_args!("{event} arrived {times} times: {}", told()));
            }
        }
        self.ordered(sends, &events, place, report);
    }

    /// The page sent the events in this order. What arrives is no witness: connections are many.
    fn ordered(&self, sends: &Beacon, events: &[&str], place: &str, report: &mut Report) {
        let sent: Vec<url::Url> = self.page.sent().iter().filter_map(|address| address.parse().ok()).collect();
        let (key, pattern) = sends.query.split_once('=').expect("an event is told by a parameter");
        let is = |url: &url::Url, event: &str| {
            url.host_str() == Some(sends.host.as_str())
                && url.query_pairs().any(|(name, value)| name == key && glob(&pattern.replace("$E", event), &value))
        };
        let order: Vec<&str> = sent.iter().filter_map(|url| events.iter().find(|event| is(url, event)).copied()).collect();
        report.expect(place, order == events, &format!("sent in the order {order:?}, called in the order {events:?}"));
    }

    async fn until(&self, beacons: usize) -> Result<(), String> {
        let start = std::time::Instant::now();
        let told = || self.world.recorder.heard().iter().filter(|one| one.role == Role::Beacon).count();
        while told() < beacons && start.elapsed() < std::time::Duration::from_secs(5) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn quiet(&self, place: &str, report: &mut Report) {
        for complaint in self.page.complaints() {
            report.broken(place, complaint);
        }
    }
}

// === impl Calls ===

impl Calls {
    fn event(&self, name: &str) -> String {
        self.call.replace("$E", name)
    }

    /// While the page is parsed, when it is ready, when it is loaded, on a click.
    fn at_any_time(&self) -> Doc {
        let body = format!(
            "<p><button id=\"buy\">Buy</button></p>\n<script>{};</script>\n<script>\n\
             document.addEventListener('DOMContentLoaded', function () {{ {}; }});\n\
             addEventListener('load', function () {{ {}; }});\n\
             document.getElementById('buy').onclick = function () {{ {}; }};\n</script>",
            self.event("inline"),
            self.event("ready"),
            self.event("load"),
            self.event("click"),
        );
        Doc::shop(&self.base, &body)
    }

    /// Above the tag, with a stub of the site's own where sites have one, and careful about it.
    fn above_the_tag(&self) -> Doc {
        let careful = |name| format!("<script>if ({}) {{ {}; }}</script>", self.exists, self.event(name));
        let tag = self.rest.as_ref().unwrap_or(&self.base);
        let early = if self.early { careful("early") } else { String::new() };
        Doc::shop(&format!("{}\n{early}\n{tag}", self.stub), &careful("inline"))
    }

    /// Each call once, after one whose callback fails; the first answer leads on.
    fn with_callbacks(&self) -> Doc {
        let first = self.callbacks.first().expect("asked for");
        let mut body = format!(
            "<script>\nvar answered = [{}];\n{};\n",
            vec!["0"; self.callbacks.len()].join(", "),
            first.replace("$D", "function () { throw new Error('the page\\'s own') }"),
        );
        for (at, call) in self.callbacks.iter().enumerate() {
            let done = format!("function () {{ answered[{at}]++; location.hash = 'bought' }}");
            body.push_str(&format!("{};\n", call.replace("$D", &done)));
        }
        body.push_str("</script>");
        Doc::shop(&self.base, &body)
    }
}
