//! The whole way for each form on its own: silent at first, each beacon once after **Accept all** in the
//! open page, and again on the next page.

use crate::{
    cdp::{Page, Script, Visitor},
    forms::{self, Beacon, Form},
    hand::{ACCEPT, BANNER, CHOICES, decide, shows},
    origin::Manner,
    report::Report,
    world::World,
};

#[tokio::test]
async fn forms_wait_for_consent_and_then_fire_odd() {
    journeys("journeys, odd forms", 1).await;
}

#[tokio::test]
async fn forms_wait_for_consent_and_then_fire_even() {
    journeys("journeys, even forms", 0).await;
}

/// Every second form: two tests for two cores.
async fn journeys(test: &'static str, rest: usize) {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new(test);
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    // With scripts on, a browser does not look into `noscript`; a frame for those without is one for all.
    let fit = |form: &Form| !form.nojs || form.html.contains("<noscript");
    for (_, form) in forms::all().into_iter().filter(fit).enumerate().filter(|(index, _)| index % 2 == rest) {
        journey(&world, &visitor, &page, &form, &mut report).await;
    }
    report.finish();
}

async fn journey(world: &World, visitor: &Visitor<'_>, page: &Page, form: &Form, report: &mut Report) -> Option<()> {
    world.stock(form);
    let place = form.id();
    let beacons: &[Beacon] = if form.nojs { &[] } else { &form.beacon };
    visitor.start_over(page).await;

    world.forget();
    let undecided = format!("{place} undecided");
    report.step(&undecided, world.visit(page, &world.through(&form.path())).await).then_some(())?;
    report.silent(&undecided, world, visitor).await;
    report.expect(&undecided, shows(page, BANNER).await, "no banner");
    quiet_console(page, &undecided, report);

    world.forget();
    let accepted = format!("{place} accepted");
    page.eval("window.sameDocument = true").await;
    decide(page, ACCEPT, report, &accepted).await.then_some(())?;
    if form.parse_time {
        // It may have come too late, but it must not have written over the page.
        report.step(&accepted, world.settle(page).await);
        report.expect(&accepted, page.eval("document.title").await == "A small shop", "the page is gone");
    } else {
        report.step(&accepted, world.fire(page, beacons).await);
        report.fired(&accepted, beacons, &world.recorder.heard());
    }
    report.expect(&accepted, page.eval("window.sameDocument").await == true, "the page was loaded again");
    report.expect(&accepted, shows(page, CHOICES).await, "no link to the privacy choices");
    quiet_console(page, &accepted, report);

    world.forget();
    let next = format!("{place} next page");
    report.step(&next, page.go(&world.through(&format!("{}/next", form.path()))).await).then_some(())?;
    report.step(&next, world.fire(page, beacons).await);
    report.fired(&next, beacons, &world.recorder.heard());
    report.expect(&next, !shows(page, BANNER).await, "the banner is back");
    quiet_console(page, &next, report);
    Some(())
}

/// The control run has no complaints, so each is the gate's doing.
fn quiet_console(page: &Page, place: &str, report: &mut Report) {
    for complaint in page.complaints() {
        report.broken(place, complaint);
    }
}
