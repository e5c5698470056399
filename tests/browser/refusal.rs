//! No means no: after **Reject all**, and after a withdrawal, nothing of any vendor is sent, and a
//! withdrawal takes the cookies along.

use crate::{
    cdp::{Page, Script, Visitor},
    forms,
    hand::{ACCEPT, BANNER, CHOICES, REJECT, decide, shows, withdraw},
    origin::Manner,
    report::Report,
    world::World,
};

#[tokio::test]
async fn nothing_is_sent_after_reject_all() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("rejected");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (vendor, forms) in forms::by_vendor() {
        let path = world.stock_all(&format!("/all/{vendor}"), &forms);
        reject(&world, &visitor, &page, &path, &mut report).await;
    }
    report.finish();
}

#[tokio::test]
async fn nothing_is_sent_or_kept_after_withdrawal() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("withdrawn");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (vendor, forms) in forms::by_vendor() {
        let path = world.stock_all(&format!("/all/{vendor}"), &forms);
        take_back(&world, &visitor, &page, &path, &mut report).await;
    }
    report.finish();
}

async fn reject(world: &World, visitor: &Visitor<'_>, page: &Page, path: &str, report: &mut Report) -> Option<()> {
    visitor.start_over(page).await;
    world.forget();
    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    decide(page, REJECT, report, path).await.then_some(())?;
    report.step(path, world.settle(page).await);
    report.silent(&format!("{path} rejected"), world, visitor).await;
    report.expect(path, shows(page, CHOICES).await, "no link to the privacy choices after a refusal");

    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    report.silent(&format!("{path} rejected, next page"), world, visitor).await;
    report.expect(path, !shows(page, BANNER).await, "the banner is back after a refusal");
    Some(())
}

async fn take_back(world: &World, visitor: &Visitor<'_>, page: &Page, path: &str, report: &mut Report) -> Option<()> {
    visitor.start_over(page).await;
    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    decide(page, ACCEPT, report, path).await.then_some(())?;
    report.step(path, world.settle(page).await);
    // The site's own server sets its trackers' cookies once the visitor granted them.
    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    plant_variants(world, visitor, path, report).await;

    world.forget();
    withdraw(world, page, report, path).await.then_some(())?;
    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    let place = format!("{path} withdrawn");
    report.unheard(&place, world);
    for cookie in world.trackers(visitor).await {
        report.leak(
            &place,
            format_args!("cookie {}={} of {}{} is still there", cookie.name, cookie.value, cookie.domain, cookie.path),
        );
    }
    report.expect(&place, shows(page, CHOICES).await || shows(page, BANNER).await, "neither banner nor link");
    Some(())
}

/// Vendors' scripts set their cookies for every domain and path that a page can set them for.
async fn plant_variants(world: &World, visitor: &Visitor<'_>, path: &str, report: &mut Report) {
    let trackers = world.trackers(visitor).await;
    report.expect(path, !trackers.is_empty(), "no tracker's cookie was set although everything was granted");
    for cookie in trackers {
        for (domain, path) in [(".shop.localhost", "/"), (".www.shop.localhost", "/"), ("www.shop.localhost", "/all")] {
            visitor.set_cookie(&cookie.name, &cookie.value, domain, path).await;
        }
    }
}
