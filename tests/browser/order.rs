//! Held scripts run in the order of the document, over inline and external ones, although an early one
//! loads slowly.

use std::time::Duration;

use serde_json::json;

use crate::{
    cdp::Script,
    hand::{ACCEPT, decide},
    origin::{Doc, Manner},
    report::Report,
    world::World,
};

const HOST: &str = "connect.facebook.net";
/// Far longer than the scripts behind it take.
const SLOW: Duration = Duration::from_millis(400);

#[tokio::test]
async fn released_scripts_run_in_document_order() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("order");
    for (step, delay) in [(2, SLOW), (4, Duration::ZERO), (7, SLOW / 2)] {
        world.recorder.serve(HOST, &target(step), &push(step), delay);
    }
    world.origin.put("/order", Doc::shop(&head(), &body()));
    let all = json!([1, 2, 3, 4, 5, 6, 7, 8]);
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;

    report.step("control", world.visit(&page, &world.direct("/order")).await);
    let order = page.eval("window.order").await;
    report.expect("control", order == all, &format!("straight at the site the order is {order}"));

    report.step("undecided", world.visit(&page, &world.through("/order")).await);
    let order = page.eval("window.order").await;
    report.expect("undecided", order == json!([6]), &format!("before a decision {order} ran"));

    // The site's own script has run long ago.
    let released = json!([6, 1, 2, 3, 4, 5, 7, 8]);
    decide(&page, ACCEPT, &mut report, "accepted").await;
    report.step("accepted", world.settle(&page).await);
    let order = page.eval("window.order").await;
    report.expect("accepted", order == released, &format!("after Accept all the order is {order}"));
    let own = page.eval("window.ownScript").await;
    report.expect("accepted", own == json!([true, true, true]), &format!("document.currentScript was {own}"));

    report.step("next page", world.visit(&page, &world.through("/order")).await);
    let order = page.eval("window.order").await;
    report.expect("next page", order == all, &format!("on the next page the order is {order}"));
    report.finish();
}

fn target(step: u32) -> String {
    format!("/en_US/fbevents.js?step={step}")
}

fn push(step: u32) -> String {
    format!("window.order.push({step});")
}

/// A vendor's inline snippet.
fn inline(step: u32) -> String {
    format!(
        "<script>\nfunction fbq{step}() {{}}\nif (0) fbq('init', '123456789012345');\n{}\n\
         window.ownScript.push(!!document.currentScript);\n</script>",
        push(step)
    )
}

/// A vendor's external script, found as such by its address.
fn external(step: u32) -> String {
    format!("<script src=\"https://{HOST}{}\"></script>", target(step))
}

fn head() -> String {
    ["<script>window.order = []; window.ownScript = [];</script>".to_owned(), inline(1), external(2)].join("\n")
}

fn body() -> String {
    let own = format!("<script>{}</script>", push(6));
    [inline(3), external(4), format!("<p>Cups</p>\n{}", inline(5)), own, external(7), external_last()].join("\n")
}

/// Quotes, case and spaces as old pages have them.
fn external_last() -> String {
    format!("<SCRIPT TYPE='text/javascript'>if (0) fbq( \"init\", '1' );\n{}</SCRIPT >", push(8))
}
