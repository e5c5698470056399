//! The same way behind sites that make it hard: validators and 304, strict policies, compression; and the
//! day on which the gate is put before a site whose pages are in the visitors' caches.

use hyper::StatusCode;

use crate::{
    cdp::{Page, Script},
    forms::{self, Beacon, Form},
    hand::{ACCEPT, BANNER, CHOICES, decide, follow, shows, withdraw},
    origin::{Coding, Manner, Strict},
    report::Report,
    switch::Switch,
    world::World,
};

/// Few pages with many vendors each: the whole set form by form is what `journey.rs` goes through.
const PAGES: usize = 4;

#[tokio::test]
async fn behind_validators() {
    condensed("validators", PAGES, Manner { validators: true, ..Manner::default() }).await;
}

#[tokio::test]
async fn behind_a_nonce_policy() {
    condensed("nonce policy", PAGES, Manner { policy: Some(Strict::Nonce), ..Manner::default() }).await;
}

#[tokio::test]
async fn behind_a_policy_of_nonces_and_hosts() {
    let manner = Manner { policy: Some(Strict::NonceAndHosts), coding: Some(Coding::Gzip), ..Manner::default() };
    condensed("policy of nonces and hosts, gzip", 1, manner).await;
}

#[tokio::test]
async fn behind_a_policy_in_a_meta_element() {
    condensed("policy in a meta element", 1, Manner { policy: Some(Strict::NonceInMeta), ..Manner::default() }).await;
}

#[tokio::test]
async fn behind_validators_and_brotli() {
    let manner = Manner { validators: true, coding: Some(Coding::Brotli), ..Manner::default() };
    condensed("validators, brotli", 1, manner).await;
}

async fn condensed(test: &'static str, count: usize, manner: Manner) {
    let world = World::gated(manner).await;
    let mut report = Report::new(test);
    for (index, forms) in pages().iter().take(count).enumerate() {
        let path = world.stock_all(&format!("/page/{index}"), forms);
        let beacons: Vec<Beacon> = forms.iter().flat_map(|form| form.beacon.clone()).collect();
        let usual = control(&world, manner, &path, &beacons, &mut report).await;
        journey(&world, &path, &beacons, &usual, &mut report).await;
        if manner.policy.is_some() {
            plain_form(&world, &path, &mut report).await;
        }
    }
    report.finish();
}

/// The first plain form of each vendor, spread so that neighbours by name (which share globals) are apart.
fn pages() -> Vec<Vec<Form>> {
    let mut pages = vec![Vec::new(); PAGES];
    for (index, (_, forms)) in forms::by_vendor().into_iter().enumerate() {
        pages[index % PAGES].extend(forms.into_iter().find(Form::is_plain));
    }
    pages.retain(|page| !page.is_empty());
    pages
}

/// Straight at the site: the beacons are sent, under its policy, and the browser asks with a condition. What the
/// console says here it may say behind the gate.
async fn control(world: &World, manner: Manner, path: &str, beacons: &[Beacon], report: &mut Report) -> Vec<String> {
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let place = format!("control {path}");
    for _ in 0..=u8::from(manner.validators) {
        world.forget();
        report.step(&place, page.go(&world.direct(path)).await);
        report.step(&place, world.fire(&page, beacons).await);
        report.fired(&place, beacons, &world.recorder.heard());
    }
    if manner.validators {
        let fresh = world.origin.asked().iter().any(|asked| asked.conditional && asked.status == StatusCode::NOT_MODIFIED);
        report.expect(&place, fresh, "the browser sent no condition that the site answers with 304");
    }
    let usual = page.complaints().iter().map(|complaint| kind(complaint)).collect();
    visitor.leave().await;
    usual
}

async fn journey(world: &World, path: &str, beacons: &[Beacon], usual: &[String], report: &mut Report) -> Option<()> {
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let address = world.through(path);
    for place in [format!("{path} undecided"), format!("{path} undecided, again")] {
        world.forget();
        report.step(&place, world.visit(&page, &address).await).then_some(())?;
        report.silent(&place, world, &visitor).await;
        report.expect(&place, shows(&page, BANNER).await, "no banner");
    }

    world.forget();
    let accepted = format!("{path} accepted");
    page.eval("window.sameDocument = true").await;
    decide(&page, ACCEPT, report, &accepted).await.then_some(())?;
    report.step(&accepted, world.fire(&page, beacons).await);
    report.fired(&accepted, beacons, &world.recorder.heard());
    report.expect(&accepted, page.eval("window.sameDocument").await == true, "the page was loaded again");

    // The second time, the page is in the cache under the new choice.
    for place in [format!("{path} next view"), format!("{path} next view, again")] {
        world.forget();
        report.step(&place, page.go(&address).await).then_some(())?;
        report.step(&place, world.fire(&page, beacons).await);
        report.fired(&place, beacons, &world.recorder.heard());
        complaints(&page, &place, usual, report);
    }

    let withdrawn = format!("{path} withdrawn");
    world.forget();
    withdraw(world, &page, report, &withdrawn).await.then_some(())?;
    report.step(&withdrawn, world.visit(&page, &address).await).then_some(())?;
    report.unheard(&withdrawn, world);
    visitor.leave().await;
    Some(())
}

/// With scripts off, the site's policy has to let the banner's style and form through, and no more.
async fn plain_form(world: &World, path: &str, report: &mut Report) -> Option<()> {
    let place = format!("{path} scripts off");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::Off).await;
    world.forget();
    report.step(&place, world.visit(&page, &world.through(path)).await).then_some(())?;
    let position = page.eval("getComputedStyle(document.querySelector('section[data-consentry]')).position").await;
    report.expect(&place, position == "fixed", &format!("the banner has no style: position is {position}"));
    follow(world, &page, ACCEPT, report, &place).await.then_some(())?;
    report.expect(&place, page.eval("location.pathname").await == path, "the form leads somewhere else");
    report.expect(&place, shows(&page, CHOICES).await, "no link to the privacy choices");
    visitor.leave().await;
    Some(())
}

fn complaints(page: &Page, place: &str, usual: &[String], report: &mut Report) {
    for complaint in page.complaints() {
        // Complaints from before a decision are about functions that do not exist yet.
        if !complaint.ends_with(" is not defined") && !usual.contains(&kind(&complaint)) {
            report.broken(place, complaint);
        }
    }
}

/// A complaint without its nonces and addresses.
fn kind(complaint: &str) -> String {
    complaint.chars().take(60).collect()
}

#[tokio::test]
async fn pages_in_the_cache_from_before_the_gate_are_not_shown() {
    let world = World::gated(Manner { validators: true, ..Manner::default() }).await;
    let mut report = Report::new("deployment day");
    let switch = Switch::start(world.origin.port).await;
    let forms = pages().concat();
    let form = &forms[0];
    world.stock(form);
    let address = format!("http://www.shop.localhost:{}{}", switch.port, form.path());
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    report.step("before", page.go(&address).await);
    report.step("before", world.fire(&page, &form.beacon).await);
    report.fired("before", &form.beacon, &world.recorder.heard());

    switch.turn(world.gate_port());
    for place in ["first view", "second view"] {
        world.forget();
        report.step(place, world.visit(&page, &address).await);
        report.unheard(place, &world);
        report.expect(place, shows(&page, BANNER).await, "no banner");
    }
    world.forget();
    report.step("reloaded", page.reload().await);
    report.step("reloaded", world.settle(&page).await);
    report.unheard("reloaded", &world);
    report.expect("reloaded", shows(&page, BANNER).await, "no banner");
    report.finish();
}
