//! The control: straight at the site, every form sends exactly its beacons. Without it, silence behind
//! the gate would prove nothing.

use crate::{
    cdp::{Page, Script},
    forms::{self, Form},
    origin::Manner,
    report::Report,
    world::World,
};

/// The fewest ways in which each vendor's tag has to be tried.
const FORMS_MIN: usize = 3;

#[tokio::test]
async fn every_form_fires_without_the_gate() {
    let world = World::bare(Manner::default()).await;
    let mut report = Report::new("control");
    let played = forms::played();
    let visitor = world.browser.visitor().await;
    let (with, without) = (visitor.page(Script::On).await, visitor.page(Script::Off).await);
    for (vendor, forms) in forms::by_vendor() {
        report.expect(&vendor, forms.len() >= FORMS_MIN, "fewer than three forms");
        for form in &forms {
            report.expect(&form.id(), !form.beacon.is_empty(), "a form without a beacon shows nothing");
            for beacon in &form.beacon {
                report.expect(&form.id(), played.hosts.contains(&beacon.host), "its beacon goes to a host nobody plays");
            }
            world.stock(form);
            fires(&world, form, if form.nojs { &without } else { &with }, &mut report).await;
        }
    }
    report.finish();
}

async fn fires(world: &World, form: &Form, page: &Page, report: &mut Report) {
    let place = form.id();
    world.forget();
    if report.step(&place, page.go(&world.direct(&form.path())).await) {
        report.step(&place, world.fire(page, &form.beacon).await);
    }
    report.fired(&place, &form.beacon, &world.recorder.heard());
    for complaint in page.complaints() {
        report.broken(&place, complaint);
    }
}
