//! What a visitor's hand does: finding the banner's buttons and the preference page.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{cdp::Page, report::Report, world::World};

/// A decision takes a flush to disk; past this it was lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The banner's form.
pub(crate) const BANNER: &str = r#"[data-consentry] form[action$="/_consent/decision"]"#;
/// The banner's first button.
pub(crate) const ACCEPT: &str = r#"[data-consentry] button[value="accept_all"]"#;
/// The banner's second button.
pub(crate) const REJECT: &str = r#"[data-consentry] button[value="reject_all"]"#;
/// The banner's third button.
pub(crate) const CHOOSE: &str = r#"[data-consentry] button[formaction]"#;
/// The link that stays after a decision.
pub(crate) const CHOICES: &str = r#"[data-consentry] a[href*="/_consent/"]"#;
/// The preference page's button that takes consent back.
pub(crate) const WITHDRAW: &str = r#"button[name="choice"][value="withdraw"]"#;
/// The preference page's button that takes the ticks as they are.
pub(crate) const SAVE: &str = r#"button[name="choice"][value="save"]"#;

/// Whether an element is there and shows.
pub(crate) async fn shows(page: &Page, selector: &str) -> bool {
    let selector = Value::from(selector);
    let probe =
        format!("(e => !!e && e.checkVisibility() && e.getBoundingClientRect().height > 0)(document.querySelector({selector}))");
    page.eval(&probe).await == true
}

/// What the gate says about this visitor. Not with scripts off.
pub(crate) async fn state(page: &Page) -> Value {
    page.eval("fetch(location.origin + '/_consent/state').then(answer => answer.json())").await
}

/// Clicks a button of the banner and waits until the choice was taken: the banner goes then. Says whether it did.
pub(crate) async fn decide(page: &Page, button: &str, report: &mut Report, place: &str) -> bool {
    if !report.step(place, page.click(button).await) {
        return false;
    }
    let start = Instant::now();
    while shows(page, BANNER).await {
        if start.elapsed() > ANSWER_TIMEOUT {
            report.broken(place, "the banner stays");
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Clicks what leads to another document, and waits until that is done. Says whether it worked.
pub(crate) async fn follow(world: &World, page: &Page, selector: &str, report: &mut Report, place: &str) -> bool {
    let before = page.loads();
    report.step(place, page.click(selector).await)
        && report.step(place, page.loaded_after(before).await)
        && report.step(place, world.settle(page).await)
}

/// Takes consent back on the preference page. Says whether it worked.
pub(crate) async fn withdraw(world: &World, page: &Page, report: &mut Report, place: &str) -> bool {
    report.step(place, world.visit(page, &world.through("/_consent/")).await)
        && follow(world, page, WITHDRAW, report, place).await
}
