//! Hints to the browser: a connection opened ahead of a request tells a vendor about the visit as well.

use std::time::{Duration, Instant};

use crate::{
    cdp::{Page, Script},
    hand::{ACCEPT, decide},
    origin::{Doc, Manner},
    report::Report,
    world::World,
};

/// One in the page, one in its head fields.
const HINTED: [&str; 2] = ["connect.facebook.net", "analytics.tiktok.com"];
const LINK: &str =
    "<https://analytics.tiktok.com>; rel=preconnect, <https://analytics.tiktok.com/i18n/pixel/events.js>; rel=preload; as=script";
/// A connection is opened beside the page, which does not wait for it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn hints_open_no_connection_before_consent() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("hints");
    let head = "<link rel=\"preconnect\" href=\"https://connect.facebook.net\">\n\
                <link rel=\"dns-prefetch preconnect\" href=\"//connect.facebook.net\">\n\
                <link rel=\"preload\" as=\"script\" href=\"https://connect.facebook.net/en_US/fbevents.js\">";
    let mut doc = Doc::shop(head, "");
    doc.headers.push(("Link", LINK));
    world.origin.put("/hints", doc);
    let page = world.browser.owner().page(Script::On).await;

    report.step("undecided", world.visit(&page, &world.through("/hints")).await);
    // The control below takes far less.
    tokio::time::sleep(OPEN_TIMEOUT / 5).await;
    report.unheard("undecided", &world);

    world.forget();
    decide(&page, ACCEPT, &mut report, "accepted").await;
    opens(&world, &page, "next page", &world.through("/hints"), &mut report).await;
    opens(&world, &page, "control", &world.direct("/hints"), &mut report).await;
    report.finish();
}

async fn opens(world: &World, page: &Page, place: &str, address: &str, report: &mut Report) {
    world.forget();
    report.step(place, world.visit(page, address).await);
    let start = Instant::now();
    let missing = || HINTED.iter().find(|host| !is_known(world, host));
    while missing().is_some() && start.elapsed() < OPEN_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report.expect(place, missing().is_none(), &format!("a hint opened no connection to {}", missing().unwrap_or(&"")));
}

/// A connection that is still open from a page before serves again.
fn is_known(world: &World, host: &str) -> bool {
    world.recorder.greeted().iter().any(|name| name == host) || world.recorder.heard().iter().any(|heard| heard.host == host)
}
