//! The control: straight at the site, every form sends exactly its beacons. Without it, silence behind
//! the gate would prove nothing.

use crate::{
    cdp::{Script, Visitor},
    forms::{self, Form},
    origin::Manner,
    world::{Report, World},
};

/// The fewest ways in which each vendor's tag has to be tried.
const FORMS_MIN: usize = 3;

#[tokio::test]
async fn every_form_fires_without_the_gate() {
    let world = World::bare(Manner::default()).await;
    let mut report = Report::new("control");
    let played = forms::played();
    for (vendor, forms) in forms::by_vendor() {
        report.expect(&vendor, forms.len() >= FORMS_MIN, "fewer than three forms");
        for form in &forms {
            report.expect(&form.id(), !form.beacon.is_empty(), "a form without a beacon shows nothing");
            for beacon in &form.beacon {
                report.expect(&form.id(), played.hosts.contains(&beacon.host), "its beacon goes to a host nobody plays");
            }
            fires(&world, form, &mut report).await;
        }
    }
    report.finish();
}

/// Both of a form's pages, straight at the site.
async fn fires(world: &World, form: &Form, report: &mut Report) {
    world.stock(form);
    let visitor = world.browser.visitor().await;
    let script = if form.nojs { Script::Off } else { Script::On };
    for path in [form.path(), format!("{}/next", form.path())] {
        view(world, &visitor, form, &path, script, report).await;
    }
    visitor.leave().await;
}

async fn view(world: &World, visitor: &Visitor<'_>, form: &Form, path: &str, script: Script, report: &mut Report) {
    let page = visitor.page(script).await;
    world.forget();
    if report.step(path, page.go(&world.direct(path)).await) {
        report.step(path, world.fire(&page, &form.beacon).await);
    }
    report.fired(path, &form.beacon, &world.recorder.heard());
    for complaint in page.complaints() {
        report.broken(path, complaint);
    }
    page.close().await;
}
