//! Containment: third parties that nobody classified, by every way in which a page can load. Reported
//! and let through, or stopped and reported, while the site's own helpers and granted vendors work.

use std::time::{Duration, Instant};

use crate::{
    cdp::Script,
    hand::{ACCEPT, decide},
    origin::Doc,
    report::Report,
    world::World,
};

/// Each loads from a host of its own that nobody classified.
const WAYS: [(&str, &str); 13] = [
    ("image.test", "new Image().src = 'https://image.test/a.gif'"),
    ("fetch.test", "fetch('https://fetch.test/a', { mode: 'no-cors' }).catch(() => {})"),
    ("keepalive.test", "fetch('https://keepalive.test/a', { mode: 'no-cors', keepalive: true }).catch(() => {})"),
    ("beacon.test", "navigator.sendBeacon('https://beacon.test/a', 'x')"),
    ("socket.test", "new WebSocket('wss://socket.test/a')"),
    ("events.test", "new EventSource('https://events.test/a')"),
    ("script.test", "document.head.append(Object.assign(document.createElement('script'), { src: 'https://script.test/a.js' }))"),
    ("frame.test", "document.body.append(Object.assign(document.createElement('iframe'), { src: 'https://frame.test/' }))"),
    (
        "object.test",
        "document.body.append(Object.assign(document.createElement('object'), { data: 'https://object.test/a.html' }))",
    ),
    (
        "sheet.test",
        "document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href: 'https://sheet.test/a.css' }))",
    ),
    (
        "media.test",
        "document.body.append(Object.assign(document.createElement('video'), { src: 'https://media.test/a.mp4', preload: 'auto' }))",
    ),
    ("font.test", "new FontFace('x', 'url(https://font.test/a.woff2)').load().catch(() => {})"),
    ("worker.test", "new Worker(URL.createObjectURL(new Blob(['importScripts(\"https://worker.test/a.js\")'])))"),
];

/// Chromium opens a connection for a frame before it asks the policy, and sends nothing over it.
const FRAME: &str = "frame.test";

/// Markup, so that nothing depends on scripts alone, and what must keep working.
const KIND: &str = "<img src=\"https://cdn.kind.test/a.gif\"><img src=\"https://sub.cdn.kind.test/b.gif\">";
const HOSTS: &str = "allowed = [\"cdn.kind.test\"]\n";
/// What a vendor's script loads late, found by nothing but the wall or the guard.
const PIXEL: &str = "new Image().src = 'https://www.facebook.com/tr?id=1&ev=PageView'";
/// Reports are sent beside the page, which does not wait for them.
const TOLD_TIMEOUT: Duration = Duration::from_secs(5);

fn page() -> Doc {
    let ways: String = WAYS.iter().map(|(_, code)| format!("try {{ {code} }} catch (e) {{}}\n")).collect();
    Doc::shop("", &format!("{KIND}<script>addEventListener('load', () => {{\n{ways}{PIXEL}\n}})</script>"))
}

fn heard(world: &World, host: &str) -> bool {
    world.recorder.heard().iter().any(|heard| heard.host == host)
}

async fn told(world: &World) -> String {
    let start = Instant::now();
    loop {
        let told = world.told();
        if WAYS.iter().all(|(host, _)| told.contains(host)) || start.elapsed() > TOLD_TIMEOUT {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn with_enforce_an_unclassified_third_party_is_stopped_and_named() {
    let world = World::gated_with("[gate]\ncontainment = \"enforce\"\n", &[("hosts.toml", HOSTS)]).await;
    let mut report = Report::new("containment, enforced");
    world.origin.put("/late", page());
    let browser_page = world.browser.owner().page(Script::On).await;
    report.step("undecided", world.visit(&browser_page, &world.through("/late")).await);
    let said = told(&world).await;
    for (host, _) in WAYS {
        if heard(&world, host) {
            report.leak("undecided", host);
        }
        if host != FRAME && world.recorder.greeted().iter().any(|name| name == host) {
            report.leak("undecided", format_args!("a connection to {host}"));
        }
        report.expect("undecided", said.contains(host), &format!("nobody was told of {host}"));
    }
    for host in ["cdn.kind.test", "sub.cdn.kind.test"] {
        report.expect("undecided", heard(&world, host), &format!("{host} is allowed and was stopped"));
    }
    if heard(&world, "www.facebook.com") {
        report.leak("undecided", "www.facebook.com, from page code");
    }
    report.expect("undecided", said.contains("was stopped"), "the operator is not told that it was stopped");
    report.expect("undecided", !said.contains("www.facebook.com"), "a known vendor is no news");

    world.forget();
    decide(&browser_page, ACCEPT, &mut report, "accepted").await;
    report.step("accepted", world.visit(&browser_page, &world.through("/late")).await);
    report.expect("accepted", heard(&world, "www.facebook.com"), "a granted vendor was stopped");
    for (host, _) in WAYS {
        if heard(&world, host) {
            report.leak("accepted", host);
        }
    }
    report.finish();
}

#[tokio::test]
async fn with_report_it_is_let_through_and_named() {
    let world = World::gated_with("", &[("hosts.toml", HOSTS)]).await;
    let mut report = Report::new("containment, reported");
    world.origin.put("/late", page());
    let browser_page = world.browser.owner().page(Script::On).await;
    report.step("undecided", world.visit(&browser_page, &world.through("/late")).await);
    let said = told(&world).await;
    for (host, _) in WAYS {
        if !heard(&world, host) && !world.recorder.greeted().iter().any(|name| name == host) {
            report.unfired("undecided", host);
        }
        report.expect("undecided", said.contains(host), &format!("nobody was told of {host}"));
    }
    report.expect("undecided", !said.contains("kind.test"), "what is allowed is no news");
    report.expect("undecided", said.contains("would be stopped"), "the operator is not told what enforce would do");
    report.finish();
}
