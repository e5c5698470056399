//! Visitors without scripts: the pixels in `noscript` wait for them too, and the banner is a plain form.

use crate::{
    cdp::{Page, Script, Visitor},
    forms::{self, Form},
    hand::{ACCEPT, BANNER, CHOICES, CHOOSE, REJECT, WITHDRAW, follow, shows},
    origin::Manner,
    report::Report,
    world::World,
};

#[tokio::test]
async fn pixels_wait_and_the_banner_works_with_scripts_off() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("scripts off");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::Off).await;
    for (vendor, forms) in forms::by_vendor() {
        let path = world.stock_all(&format!("/all/{vendor}"), &forms);
        reject(&world, &visitor, &page, &path, &mut report).await;
        for form in forms.iter().filter(|form| form.nojs) {
            accept(&world, &visitor, &page, form, &mut report).await;
        }
    }
    report.finish();
}

async fn reject(world: &World, visitor: &Visitor<'_>, page: &Page, path: &str, report: &mut Report) -> Option<()> {
    visitor.start_over(page).await;
    world.forget();
    report.step(path, world.visit(page, &world.through(path)).await).then_some(())?;
    report.expect(path, shows(page, BANNER).await, "no banner");
    report.silent(&format!("{path} undecided"), world, visitor).await;
    follow(world, page, REJECT, report, path).await.then_some(())?;
    report.silent(&format!("{path} rejected"), world, visitor).await;
    report.expect(path, page.eval("location.pathname").await == path, "the form leads somewhere else");
    report.expect(path, shows(page, CHOICES).await, "no link to the privacy choices");
    Some(())
}

async fn accept(world: &World, visitor: &Visitor<'_>, page: &Page, form: &Form, report: &mut Report) -> Option<()> {
    world.stock(form);
    let place = form.id();
    visitor.start_over(page).await;
    world.forget();
    report.step(&place, world.visit(page, &world.through(&form.path())).await).then_some(())?;
    report.silent(&format!("{place} undecided"), world, visitor).await;

    world.forget();
    let accepted = format!("{place} accepted");
    follow(world, page, ACCEPT, report, &accepted).await.then_some(())?;
    report.fired(&accepted, &form.beacon, &world.recorder.heard());
    report.expect(&accepted, page.eval("location.pathname").await == form.path(), "the form leads somewhere else");
    report.expect(&accepted, !shows(page, BANNER).await, "the banner stays");

    world.forget();
    let next = format!("{place} next page");
    report.step(&next, world.visit(page, &world.through(&format!("{}/next", form.path()))).await).then_some(())?;
    report.fired(&next, &form.beacon, &world.recorder.heard());

    // The link leads to the preference page, which takes consent back.
    world.forget();
    let withdrawn = format!("{place} withdrawn");
    follow(world, page, CHOICES, report, &withdrawn).await.then_some(())?;
    follow(world, page, WITHDRAW, report, &withdrawn).await.then_some(())?;
    report.unheard(&withdrawn, world);
    report.step(&withdrawn, world.visit(page, &world.through(&form.path())).await).then_some(())?;
    report.unheard(&withdrawn, world);
    Some(())
}

#[tokio::test]
async fn choose_leads_to_the_preference_page_with_scripts_off() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("choose, scripts off");
    let (_, forms) = &forms::by_vendor()[0];
    let path = world.stock_all("/all/first", forms);
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::Off).await;
    if report.step(&path, world.visit(&page, &world.through(&path)).await)
        && follow(&world, &page, CHOOSE, &mut report, &path).await
    {
        report.expect(&path, page.eval("location.pathname").await == "/_consent/", "Choose leads somewhere else");
        report.expect(&path, page.status() == Some(200), "the preference page is not answered with 200");
    }
    report.silent(&path, &world, &visitor).await;
    report.finish();
}
