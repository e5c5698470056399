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
    let world = World::gated_with("", &[("default.toml", default.as_str())]).await;
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

/// Orders and habits of pages that come up in the wild: head, body, what holds before a decision, what
/// holds after **Accept all**.
const HABITS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "a function of the page's own under the name",
        "<script>window.mine = []; window.fbq = function (name) { mine.push(name) }; fbq('one')</script>",
        "<script>fbq('two')</script>",
        "mine.join() === 'one,two'",
        "fbq('three'), mine.join() === 'one,two,three'",
    ),
    (
        "a declared function, and defaults of the site's own above the tag",
        "<script>function gtag() { dataLayer.push(arguments) } window.dataLayer = window.dataLayer || []; var kept = dataLayer;\n\
         gtag('consent', 'default', { analytics_storage: 'granted' })</script>\n\
         <script>gtag('js', new Date()); gtag('config', 'G-HABIT00001')</script>",
        "<script>gtag('event', 'inline')</script>",
        "dataLayer.length === 2",
        "dataLayer === kept && dataLayer.map(call => call[0]).join() === 'consent,js,config,event'",
    ),
    (
        "a layer set anew above the container",
        "<script>dataLayer = [{ pageType: 'home' }]; dataLayer.push({ event: 'first' })</script>\n\
         <script>(function (w, l) { w[l] = w[l] || []; w[l].push({ 'gtm.start': 1, event: 'gtm.js' }); 'https://no.example/gtm.js' })(window, 'dataLayer')</script>",
        "<script>dataLayer.push({ event: 'last' })</script>",
        "dataLayer.length === 3",
        "dataLayer.map(one => one.event).join() === ',first,gtm.js,last'",
    ),
    (
        "options that are used again",
        "",
        "<script>var times = 0, options = { event_callback: function () { times++ } }; gtag('event', 'a', options)</script>",
        "times === 1",
        "options.event_callback(), times === 2",
    ),
    (
        "who listens is not answered",
        "",
        "<script>var heard = 0; ttq.on('ready', function () { heard++ }); ttq.page(); ttq.instance('C1').track('a'); \
         ttq.instance('C1').identify({}); _paq.push([function () { heard++ }]); dataLayer.push(function () { heard++ }); \
         ga(function () { heard++ })</script>",
        "heard === 0 && ttq.methods.includes('track') && Array.isArray(ttq)",
        "heard === 0",
    ),
    (
        "base code that waits for something itself",
        "<script>/* connect.facebook.net/en_US/fbevents.js */ setTimeout(function () { (function (f) { if (f.fbq) return; \
         var n = f.fbq = function () { n.queue.push(arguments[1]) }; n.queue = [] })(window); fbq('init', '1') }, 300)</script>",
        "<script>fbq('track', 'early')</script>",
        "typeof fbq === 'function'",
        "new Promise(done => setTimeout(() => done(fbq.queue.join() === '1,early'), 600))",
    ),
    (
        "a push of the page's own around the queue's",
        "<script>window._paq = window._paq || []; var seen = 0, native = _paq.push; _paq.push = function () { seen++; \
         return native.apply(_paq, arguments) }; _paq.push(['trackEvent', 'a', 'b'])</script>",
        "",
        "seen === 1 && _paq.length === 1",
        "_paq.length === 1 && _paq[0][0] === 'trackEvent'",
    ),
];

#[tokio::test]
async fn habits_of_pages_keep_working() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("stand-ins, habits");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    for (place, head, body, before, after) in HABITS {
        world.origin.put("/habit", Doc::shop(head, body));
        if walk.undecided("/habit", place, &mut report).await {
            report.expect(place, page.eval(before).await == true, "not as expected before a decision");
            decide(&page, ACCEPT, &mut report, place).await;
            report.step(place, world.settle(&page).await);
            report.expect(place, page.eval(after).await == true, "not as expected after it");
            walk.quiet(place, &mut report);
        }
    }
    report.finish();
}

/// The site's own script file makes the vendor's element: the guard holds it, the calls wait with it.
#[tokio::test]
async fn calls_wait_for_a_script_that_the_page_makes() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("stand-ins, made by a script");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    let made = "(function (c, a) { c[a] = c[a] || function () { (c[a].q = c[a].q || []).push(arguments) };\n\
        var t = document.createElement('script'); t.async = 1; t.src = 'https://www.clarity' + '.ms/tag/' + 'bundle0001';\n\
        document.head.appendChild(t) })(window, 'clarity'); clarity('event', 'bundled');";
    world.origin.put("/bundle.js", Doc::file("text/javascript", made));
    world.origin.put("/made", Doc::shop("<script src=\"/bundle.js\"></script>", "<script>clarity('event', 'inline')</script>"));
    let place = "a bundle";
    if walk.undecided("/made", place, &mut report).await {
        page.sent();
        decide(&page, ACCEPT, &mut report, place).await;
        report.step(place, walk.until(3).await);
        report.step(place, world.settle(&page).await);
        let sends =
            Beacon { host: "k.clarity.ms".to_owned(), path: "/collect".to_owned(), query: "event=$E".to_owned(), count: 1 };
        walk.ordered(&sends, &["start", "bundled", "inline"], place, &mut report);
        walk.quiet(place, &mut report);
    }
    report.finish();
}

/// Held addresses in style sheets: the marker goes, the page's own text comes back, a sheet is loaded anew.
#[tokio::test]
async fn style_sheets_are_released_in_the_open_page() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("style sheets");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let walk = Walk { world: &world, visitor: &visitor, page: &page };
    let address = "https://www.facebook.com/tr?id=1000000000000099&ev=Style";
    let own = |before: &str| Doc::file("text/css", &format!("h1 {{ background: url({before}{address}) }}"));
    world.origin.put("/own.css", own("gate-0123456789abcdef.meta.marketing:"));
    world
        .origin
        .put("/sheets", Doc::shop("<link rel=\"stylesheet\" href=\"/own.css\">", &format!("<img alt=\"\" src=\"{address}\">")));
    let place = "sheets";
    if walk.undecided("/sheets", place, &mut report).await {
        // As the gate marks them; only here is the page's nonce known.
        let made = format!(
            "(mark => {{ const style = document.createElement('style'); style.id = 'held'; \
             style.textContent = `p {{ background: url(gate-${{mark}}.meta.marketing:{address}) }} \
             q {{ background: url(gate-0000000000000000.meta.marketing:x:y) url(gate-${{mark}}.:x:y) }}`; \
             document.head.append(style); document.body.setAttribute('style', `background: url(gate-${{mark}}.meta.marketing:{address})`) \
             }})([...document.querySelector('img').attributes].map(one => one.name).find(name => /^data-gate-\\w+$/.test(name)).slice(10))"
        );
        page.eval(&made).await;
        report.silent(place, &world, &visitor).await;
        world.origin.put("/own.css", own(""));
        decide(&page, ACCEPT, &mut report, place).await;
        report.step(place, world.settle(&page).await);
        let style = page.eval("document.getElementById('held').textContent").await;
        let style = style.as_str().unwrap_or_default();
        report.expect(place, style.contains(&format!("p {{ background: url({address})")), "a style element keeps its marker");
        report.expect(
            place,
            style.contains("gate-0000000000000000.meta") && style.contains(".:x:y"),
            "somebody else's text was changed",
        );
        let inline = page.eval("document.body.getAttribute('style')").await;
        report.expect(place, inline == format!("background: url({address})"), "a style attribute keeps its marker");
        let sheet =
            page.eval("[...document.styleSheets].map(sheet => sheet.cssRules[0].cssText).join().includes('gate-0123')").await;
        report.expect(place, sheet == false, "a sheet of the site's own was not loaded anew");
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
        // A held address in a style sheet has a scheme that loads nothing, which this browser says.
        let unknown = |complaint: &String| complaint.contains("ERR_UNKNOWN_URL_SCHEME") && complaint.contains("\"gate-");
        for complaint in self.page.complaints().into_iter().filter(|complaint| !unknown(complaint)) {
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
