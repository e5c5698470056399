//! Hostile hints: they open a connection and send nothing. Chromium does so only in its own profile, for one
//! page after the other.

use std::time::{Duration, Instant};

use super::{
    data::{Expect, SWITCHED, Vendor},
    pages::Unit,
    runs::{Corpus, policies, settings},
};
use crate::{
    cdp::{Page, Script},
    hand::{ACCEPT, decide},
    origin::{Doc, Manner},
    report::Report,
    world::World,
};

/// A connection is opened beside the page, which does not wait for it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// In the control it takes far less.
const SILENCE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn hostile_hints_open_no_connection() {
    let corpus = Corpus::read();
    let hints: Vec<Unit> = corpus.units.iter().filter(|unit| unit.cases[0].expect == Expect::Greeted).cloned().collect();
    let mut report = Report::new("hostile hints");
    let bare = World::bare(Manner::default()).await;
    let page = bare.browser.owner().page(Script::On).await;
    for unit in &hints {
        unit.stock(&bare.origin, "control", &corpus.vendors);
        opens(&bare, &page, unit, &bare.direct(&unit.base("control")), &corpus, &mut report).await;
    }

    let world = World::gated_with(&settings("off", &SWITCHED), &policies()).await;
    let page = world.browser.owner().page(Script::On).await;
    for unit in &hints {
        unit.stock(&world.origin, "none", &corpus.vendors);
        report.step(&unit.name, world.visit(&page, &world.through(&unit.base("none"))).await);
        tokio::time::sleep(SILENCE).await;
        report.looked_at(1);
        if is_known(&world, unit, &corpus) {
            report.leak(&unit.name, "a connection");
        }
    }
    world.origin.put("/plain", Doc::shop("", ""));
    if report.step("/plain", world.visit(&page, &world.through("/plain")).await) {
        decide(&page, ACCEPT, &mut report, "/plain").await;
    }
    for unit in &hints {
        unit.stock(&world.origin, "granted", &corpus.vendors);
        opens(&world, &page, unit, &world.through(&unit.base("granted")), &corpus, &mut report).await;
    }
    report.finish();
}

async fn opens(world: &World, page: &Page, unit: &Unit, address: &str, corpus: &Corpus, report: &mut Report) {
    report.step(&unit.name, world.visit(page, address).await);
    let start = Instant::now();
    while !is_known(world, unit, corpus) && start.elapsed() < OPEN_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report.looked_at(1);
    if !is_known(world, unit, corpus) {
        report.unfired(&unit.name, "no connection");
    }
}

/// Each vendor is in one hint only, so that a connection that is there already was this one's.
fn is_known(world: &World, unit: &Unit, corpus: &Corpus) -> bool {
    let Vendor { script, .. } = &corpus.vendors[&unit.instances[0].vendor];
    let host = script.split('/').next().unwrap_or_default();
    world.recorder.greeted().iter().any(|name| name == host)
}

#[test]
fn no_two_hints_name_a_vendor() {
    let corpus = Corpus::read();
    let mut vendors: Vec<&str> = corpus
        .units
        .iter()
        .filter(|unit| unit.cases[0].expect == Expect::Greeted)
        .map(|unit| unit.instances[0].vendor.as_str())
        .collect();
    let count = vendors.len();
    vendors.sort_unstable();
    vendors.dedup();
    assert_eq!(vendors.len(), count);
}
