//! Ring 4, way by way: what page code does later, in a page with the guard and in one without. Without it
//! each way has to reach the vendor, or silence with it would show nothing.

use serde::Deserialize;

use crate::{
    cdp::{Page, Script, Visitor},
    hand::{ACCEPT, decide},
    origin::{Doc, Raw},
    report::Report,
    world::World,
};

/// A gate that does everything but guard, and nothing that would hide a leak.
const WITHOUT: &str = "[gate]\ncontainment = \"off\"\nrings = [\"markup\", \"headers\", \"paths\"]\n";
/// The same with the guard.
const WITH: &str = "[gate]\ncontainment = \"off\"\n";

/// A vendor with storage keys.
const POLICIES: [(&str, &str); 1] = [(
    "vendors/keeper.toml",
    "id = \"keeper\"\nname = \"Keeper\"\ncompany = \"Keeper Ltd\"\nprivacy_policy = \"https://keeper.example/\"\n\
         purposes = [\"marketing\"]\n[[rule]]\nid = \"keys\"\nstorage = [\"keeper_*\"]\n\
         [[rule]]\nid = \"host\"\nhosts = [\"keeper.example\"]\n",
)];

/// One way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What the page runs.
    code: String,
    /// It reaches nobody, with or without the guard.
    #[serde(default)]
    quiet: bool,
    /// It reaches the vendor once everything is granted in the open page.
    #[serde(default)]
    granted: bool,
    /// What is asked of the page at the end, and what has to come out.
    look: Option<String>,
    want: Option<String>,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn cases() -> Vec<Case> {
    toml::from_str::<Cases>(include_str!("guard/cases.toml")).expect("the cases are TOML").case
}

fn file(kind: &str, body: impl Into<Vec<u8>>) -> Raw {
    Raw { status: 200, headers: vec![("content-type".to_owned(), kind.to_owned())], body: body.into() }
}

/// A site with a page a case, the site's own files, and workers that call a vendor and the site.
async fn site(settings: &str) -> World {
    let world = World::gated_with(settings, &POLICIES).await;
    for (at, case) in cases().iter().enumerate() {
        let script = format!("<script>window.log = [];</script><script src=\"/guard/case/{at}.js\"></script>");
        world.origin.put(&format!("/guard/case/{at}"), Doc::shop("", &script));
        world.origin.put_raw(&format!("/guard/case/{at}.js"), file("text/javascript", case.code.clone()));
    }
    world.origin.put("/guard/frame", Doc::shop("", ""));
    let call = "fetch('https://www.facebook.com/tr?w=1', { mode: 'no-cors' }).catch(() => {});";
    let own = "fetch('/guard/own').then(answer => answer.text())";
    for (path, kind, body) in [
        ("/guard/own", "text/plain", "own answer".to_owned()),
        ("/guard/own.js", "text/javascript", "window.ownRan = (window.ownRan || 0) + 1;".to_owned()),
        ("/guard/w/fetch.js", "text/javascript", format!("'use strict';\n{call} {own}.then(postMessage);")),
        (
            "/guard/w/import.js",
            "text/javascript",
            "importScripts('https://www.facebook.com/tr/w.js'); postMessage('alive');".to_owned(),
        ),
        (
            "/guard/w/module.js",
            "text/javascript",
            format!("import {{ own }} from './part.js';\n{call} own().then(text => postMessage(text));"),
        ),
        ("/guard/w/part.js", "text/javascript", format!("{call} export const own = () => {own};")),
        (
            "/guard/w/shared.js",
            "text/javascript",
            format!("onconnect = event => {{ {call} {own}.then(text => event.ports[0].postMessage(text)); }};"),
        ),
        (
            "/guard/w/sw.js",
            "text/javascript",
            format!(
                "oninstall = () => skipWaiting(); {call} onmessage = event => {own}.then(text => event.source.postMessage(text));"
            ),
        ),
    ] {
        world.origin.put_raw(path, file(kind, body));
    }
    let pixel = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    world.origin.put_raw("/guard/own.gif", file("image/gif", pixel.to_vec()));
    world
}

/// Goes to a case's page as somebody who never decided.
async fn open(world: &World, visitor: &Visitor<'_>, page: &Page, at: usize, name: &str, report: &mut Report) -> bool {
    visitor.start_over(page).await;
    world.forget();
    report.step(name, world.visit(page, &world.through(&format!("/guard/case/{at}"))).await)
}

/// What the console says, but for an address in CSS that was given a scheme nobody knows.
fn complaints(page: &Page, place: &str, report: &mut Report) {
    for complaint in page.complaints().into_iter().filter(|complaint| !complaint.contains("gate-")) {
        // The same, told without the address.
        if !complaint.contains("net::ERR_FAILED") && !complaint.contains("ERR_UNKNOWN_URL_SCHEME") {
            report.broken(place, complaint);
        }
    }
}

#[tokio::test]
async fn without_the_guard_each_way_reaches_the_vendor() {
    let world = site(WITHOUT).await;
    let mut report = Report::new("guard, control");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (at, case) in cases().iter().enumerate().filter(|(_, case)| !case.quiet) {
        if open(&world, &visitor, &page, at, &case.name, &mut report).await {
            let reached = || !world.recorder.heard().is_empty() || !world.recorder.greeted().is_empty();
            // A socket that is still opening keeps no page from being quiet.
            for _ in 0..50 {
                if reached() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            let reached = reached();
            report.expect(&case.name, reached, "it does not reach anybody, so that it shows nothing");
        }
    }
    report.finish();
}

#[tokio::test]
async fn with_the_guard_nothing_leaves_and_nothing_breaks() {
    let world = site(WITH).await;
    let mut report = Report::new("guard");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (at, case) in cases().iter().enumerate() {
        let name = case.name.as_str();
        if !open(&world, &visitor, &page, at, name, &mut report).await {
            continue;
        }
        report.unheard(name, &world);
        if let (Some(look), Some(want)) = (&case.look, &case.want) {
            let mut got = String::new();
            // Workers start when they start.
            for _ in 0..30 {
                got = page.eval(&format!("String({look})")).await.as_str().unwrap_or_default().to_owned();
                if got == *want {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            report.expect(name, got == *want, &format!("the page says `{got}` and not `{want}`"));
            report.unheard(name, &world);
        }
        complaints(&page, name, &mut report);
        let held = page.eval("!!document.querySelector('script[src*=\"guard.js\"]')").await;
        report.expect(name, held == false, "the guard's element is still in the page");
        if case.granted && decide(&page, ACCEPT, &mut report, name).await {
            report.step(name, world.settle(&page).await);
            if world.recorder.heard().is_empty() {
                report.unfired(name, "nothing was sent after everything was granted");
            }
        }
    }
    report.finish();
}

#[tokio::test]
async fn a_page_that_requires_trusted_types_works_guarded() {
    let world = site(WITH).await;
    let mut report = Report::new("guard, trusted types");
    let code = "<script>const own = trustedTypes.createPolicy('own', { createHTML: x => x, createScriptURL: x => x });\
        document.body.insertAdjacentHTML('beforeend', own.createHTML('<b id=b>x</b><img src=\"https://www.facebook.com/tr?a=1\">'));\
        const script = document.createElement('script'); script.src = own.createScriptURL('https://connect.facebook.net/signals/config/1');\
        document.head.append(script); document.write(own.createHTML('<img src=https://www.facebook.com/tr?b=2>'));\
        const frame = document.createElement('iframe'); frame.srcdoc = own.createHTML('<p>x</p>'); document.body.append(frame);</script>";
    let mut doc = Doc::shop("", code);
    doc.headers.push(("content-security-policy", "require-trusted-types-for 'script'; trusted-types own"));
    world.origin.put("/guard/typed", doc);
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    report.step("typed", world.visit(&page, &world.through("/guard/typed")).await);
    report.unheard("typed", &world);
    complaints(&page, "typed", &mut report);
    report.expect(
        "typed",
        page.eval("!!document.getElementById('b') && frames.length === 1").await == true,
        "the page's own markup is not there",
    );
    if decide(&page, ACCEPT, &mut report, "typed").await {
        report.step("typed", world.settle(&page).await);
        let heard = world.recorder.heard();
        report.expect("typed", heard.len() >= 3, "not everything was sent after everything was granted");
    }
    complaints(&page, "typed", &mut report);
    report.finish();
}

#[tokio::test]
async fn what_the_page_patches_itself_and_what_is_nobodys_goes_on() {
    let world = site(WITH).await;
    let mut report = Report::new("guard, neighbours");
    // The page wraps what the guard wrapped, and puts back what was there before it.
    let code = "<script>window.log = [];\
        const { set, get } = Object.getOwnPropertyDescriptor(Element.prototype, 'innerHTML');\
        Object.defineProperty(Element.prototype, 'innerHTML', { get, set(text) { log.push('set'); set.call(this, text); }, configurable: true });\
        const before = window.fetch; window.fetch = function (...args) { log.push('fetch'); return before.apply(this, args); };\
        document.body.insertAdjacentHTML('beforeend', '<div id=d></div>');\
        document.getElementById('d').innerHTML = '<i>x</i><img src=\"https://www.facebook.com/tr?a=1\"><img src=\"https://cdn.elsewhere.example/a.gif\">';\
        fetch('https://www.facebook.com/tr'); fetch('https://api.elsewhere.example/', { mode: 'no-cors' });\
        new Image().src = 'https://keeper.example/a.gif';</script>";
    world.origin.put("/guard/neighbours", Doc::shop("", code));
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    report.step("page", world.visit(&page, &world.through("/guard/neighbours")).await);
    let hosts = |world: &World| {
        let mut hosts: Vec<String> = world.recorder.heard().into_iter().map(|heard| heard.host).collect();
        hosts.sort();
        hosts
    };
    let nobodys = ["api.elsewhere.example", "cdn.elsewhere.example"];
    report.expect("page", hosts(&world) == nobodys, &format!("{:?} was asked", hosts(&world)));
    report.expect("page", page.eval("log.join()").await == "set,fetch,fetch", "the page's own wrappers are not called");
    complaints(&page, "page", &mut report);
    report.finish();
}
