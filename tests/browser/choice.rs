//! A choice in between: on the preference page one purpose is granted, and only its vendors run.

use crate::{
    cdp::{Page, Script},
    forms::{self, Beacon, Form},
    hand::{CHOOSE, SAVE, follow, state},
    origin::{Doc, Manner},
    report::Report,
    world::World,
};

const GRANTED: &str = "matomo";
const NOT_GRANTED: &str = "meta";

#[tokio::test]
async fn a_granted_purpose_releases_its_vendors_alone() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("one purpose");
    let (analytics, marketing) = (first(GRANTED), first(NOT_GRANTED));
    world.origin.put("/both", Doc::shop("", &format!("{}\n{}", analytics.html, marketing.html)));
    for (name, script) in [("scripts on", Script::On), ("scripts off", Script::Off)] {
        let visitor = world.browser.visitor().await;
        let page = visitor.page(script).await;
        choose(&world, &page, name, &mut report).await;
        // With scripts off only silence can be seen: the granted vendor needs them.
        let beacons: &[Beacon] = if script == Script::On { &analytics.beacon } else { &[] };
        world.forget();
        report.step(name, page.go(&world.through("/both")).await);
        report.step(name, world.fire(&page, beacons).await);
        let heard: Vec<_> = world.recorder.heard();
        if script == Script::On {
            report.fired(name, beacons, &heard);
        }
        for other in heard.iter().filter(|one| marketing.beacon.iter().any(|beacon| one.host == beacon.host)) {
            report.leak(name, other);
        }
        visitor.leave().await;
    }
    report.finish();
}

fn first(vendor: &str) -> Form {
    forms::all().into_iter().find(|form| form.vendor == vendor && !form.nojs).expect("this vendor has forms")
}

async fn choose(world: &World, page: &Page, place: &str, report: &mut Report) -> Option<()> {
    report.step(place, world.visit(page, &world.through("/both")).await).then_some(())?;
    follow(world, page, CHOOSE, report, place).await.then_some(())?;
    report.step(place, page.click(r#"input[name="purpose.analytics"]"#).await).then_some(())?;
    follow(world, page, SAVE, report, place).await.then_some(())?;
    report.expect(place, page.eval("location.pathname").await == "/both", "the visitor is not back where the choice began");
    if place == "scripts on" {
        let state = state(page).await;
        let right = state["grants"]["analytics"] == true && state["grants"]["marketing"] == false;
        report.expect(place, right, &format!("another choice arrived: {state}"));
    }
    Some(())
}
