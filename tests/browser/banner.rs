//! The banner in pages that make it hard, with scripts and without: unclosed elements, a base address
//! elsewhere, dialogs, frames, a referrer policy that blanks the origin.

use std::time::{Duration, Instant};

use crate::{
    cdp::{Page, Script},
    hand::{ACCEPT, BANNER, CHOICES, CHOOSE, REJECT, decide, follow, shows, state},
    origin::{Doc, Manner},
    report::Report,
    world::World,
};

/// The page has loaded and is idle: the banner is where it stays.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(5);

/// A page that makes it hard.
struct Trap {
    path: &'static str,
    head: &'static str,
    body: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

/// A field of the site's own: were it posted with a choice, the site would get a newsletter order.
const TRAPS: [Trap; 7] = [
    Trap {
        path: "/unclosed-form",
        head: "",
        body: r#"<form action="/newsletter" method="post"><input name="email" value="a@example.test"><p>Order"#,
        headers: &[],
    },
    Trap { path: "/unclosed-textarea", head: "", body: r#"<textarea name="words">Never closed"#, headers: &[] },
    Trap {
        path: "/unclosed-select",
        head: "",
        body: r#"<form action="/newsletter" method="post"><select name="size"><option>small"#,
        headers: &[],
    },
    Trap { path: "/base", head: r#"<base href="https://elsewhere.test/shop/" target="_blank">"#, body: "", headers: &[] },
    Trap {
        path: "/dialog",
        head: "",
        body: r#"<dialog open style="position:fixed;top:0;width:50vw;height:30vh;z-index:2147483000">Hello</dialog>"#,
        headers: &[],
    },
    Trap { path: "/no-referrer", head: "", body: "", headers: &[("Referrer-Policy", "no-referrer")] },
    Trap { path: "/meta-no-referrer", head: r#"<meta name="referrer" content="no-referrer">"#, body: "", headers: &[] },
];

#[tokio::test]
async fn the_banner_works_in_pages_that_make_it_hard() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("banner in hard pages");
    for trap in &TRAPS {
        let mut doc = Doc::shop(trap.head, trap.body);
        doc.headers.extend(trap.headers);
        world.origin.put(trap.path, doc);
        for (name, script) in [("scripts on", Script::On), ("scripts off", Script::Off)] {
            for button in [ACCEPT, REJECT] {
                try_button(&world, trap, &format!("{} {name} {button}", trap.path), script, button, &mut report).await;
            }
        }
    }
    report.finish();
}

async fn try_button(world: &World, trap: &Trap, place: &str, script: Script, button: &str, report: &mut Report) -> Option<()> {
    let visitor = world.browser.visitor().await;
    let page = visitor.page(script).await;
    world.forget();
    report.step(place, world.visit(&page, &world.through(trap.path)).await).then_some(())?;
    report.expect(place, shows(&page, BANNER).await, "no banner");
    match script {
        Script::On => {
            let before = page.loads();
            decide(&page, button, report, place).await.then_some(())?;
            report.step(place, world.settle(&page).await);
            report.expect(place, page.loads() == before, "the page was loaded again");
            let state = state(&page).await;
            report.expect(place, state["decided"] == true, &format!("the choice did not arrive: {state}"));
            report.expect(place, state["grants"]["marketing"] == (button == ACCEPT), &format!("another choice arrived: {state}"));
        }
        Script::Off => {
            follow(world, &page, button, report, place).await.then_some(())?;
            report.expect(place, page.eval("location.pathname").await == trap.path, "the form leads somewhere else");
        }
    }
    report.expect(place, !shows(&page, BANNER).await, "the banner stays");
    report.expect(place, shows(&page, CHOICES).await, "no link to the privacy choices");
    let posted = world.origin.asked().iter().any(|asked| asked.method != "GET");
    report.expect(place, !posted, "the site's own form was sent");
    report.unheard(place, world);
    let jar = visitor.cookies().await;
    let own = jar.iter().find(|cookie| cookie.name == "consentry");
    report.expect(place, own.is_some_and(|cookie| cookie.http_only && cookie.path == "/"), "no consent cookie of the right kind");
    visitor.leave().await;
    Some(())
}

#[tokio::test]
async fn the_banner_waits_behind_a_modal_dialog() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("modal dialog");
    let body = "<dialog id=\"age\">Are you of age?</dialog>\n<script>document.getElementById('age').showModal();</script>";
    world.origin.put("/modal", Doc::shop("", body));
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    if report.step("modal", world.visit(&page, &world.through("/modal")).await) {
        page.press("Escape", 27).await;
        decide(&page, ACCEPT, &mut report, "modal").await;
        report.step("modal", world.settle(&page).await);
        report.expect("modal", state(&page).await["decided"] == true, "the choice did not arrive");
    }
    report.finish();
}

#[tokio::test]
async fn the_keyboard_comes_to_the_banner_first_and_what_swaps_the_body_does_not_lose_it() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("order and swaps");
    world.origin.put("/plain", Doc::shop("", "<a href=\"/\">Home</a>"));
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    let first = "(own => !!own && own.dataset.consentry !== undefined && own === document.body.firstElementChild \
                 && document.querySelectorAll('[data-consentry]').length === 1)(document.body.firstElementChild)";
    let styled = "getComputedStyle(document.querySelector('section[data-consentry]')).position";
    if report.step("order", world.visit(&page, &world.through("/plain")).await) {
        let start = Instant::now();
        while page.eval(first).await != true && start.elapsed() < SETTLED_TIMEOUT {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        report.expect("order", page.eval(first).await == true, "the banner is not first, or the gate left something beside it");
        page.press("Tab", 9).await;
        let focused = page.eval("!!document.activeElement.closest('[data-consentry]')").await;
        report.expect("order", focused == true, "the first tab stop is not in the banner");
        for (place, swap) in [
            ("markup", "document.body.innerHTML = '<p>Swapped</p>'"),
            ("body", "document.body.replaceWith(document.createElement('body'))"),
            (
                "document",
                "const next = document.createElement('html'); next.append(document.createElement('body')); document.documentElement.replaceWith(next)",
            ),
            ("snapshot", "document.body.innerHTML += ''"),
            ("morph", "document.querySelector('[data-consentry]').removeAttribute('data-consentry'); document.body.append('x')"),
            ("styles", "document.adoptedStyleSheets = []; document.body.innerHTML = ''"),
        ] {
            page.eval(swap).await;
            report.expect(
                place,
                shows(&page, BANNER).await && page.eval(first).await == true,
                "the banner is lost, or there twice",
            );
            report.expect(place, page.eval(styled).await == "fixed", "its style is lost");
        }
        decide(&page, ACCEPT, &mut report, "accepted").await;
        page.eval("document.body.innerHTML = '<p>Swapped</p>'").await;
        report.expect("accepted", shows(&page, CHOICES).await, "the way back is lost");
        report.expect("accepted", !shows(&page, BANNER).await, "the banner is back");
    }
    report.finish();
}

#[tokio::test]
async fn frames_have_no_banner_of_their_own() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("frames");
    world.origin.put("/inner", Doc::shop("", "<p>Inside</p>"));
    world.origin.put("/outer", Doc::shop("", r#"<iframe src="/inner" width="600" height="400"></iframe>"#));
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    if report.step("outer", world.visit(&page, &world.through("/outer")).await) {
        report.expect("outer", shows(&page, BANNER).await, "no banner");
        let inner = "[...document.querySelector('iframe').contentDocument.querySelectorAll('p')].map(p => p.textContent).join()";
        let text = page.eval(inner).await;
        report.expect("inner", text.as_str().is_some_and(|text| text.contains("Inside")), "the frame is empty");
        let own = "document.querySelector('iframe').contentDocument.querySelectorAll('form[action*=\"/_consent/\"], section[data-consentry]').length";
        report.expect("inner", page.eval(own).await == 0, "the frame has a banner of its own");
    }
    report.finish();
}

#[tokio::test]
async fn a_page_without_tags_is_as_quiet_as_before() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("console");
    let script = "<script>window.ready = [document.scripts.length > 0, document.title];</script>";
    world.origin.put("/plain", Doc::shop("", script));
    for (place, address) in [("control", world.direct("/plain")), ("gated", world.through("/plain"))] {
        let visitor = world.browser.visitor().await;
        let page = visitor.page(Script::On).await;
        report.step(place, world.visit(&page, &address).await);
        if place == "gated" {
            decide(&page, ACCEPT, &mut report, place).await;
            report.step(place, world.settle(&page).await);
        }
        let ready = page.eval("window.ready").await;
        report.expect(place, ready == serde_json::json!([true, "A small shop"]), &format!("the site's own script: {ready}"));
        let complaints = page.complaints();
        report.expect(place, complaints.is_empty(), &complaints.join("; "));
        let visible = page.eval("document.cookie").await;
        report.expect(place, !visible.as_str().unwrap_or_default().contains("consentry"), "scripts can read the consent cookie");
    }
    report.finish();
}

#[tokio::test]
async fn the_three_buttons_are_equal_on_every_screen() {
    let world = World::gated(Manner::default()).await;
    let mut report = Report::new("three buttons");
    world.origin.put("/plain", Doc::shop("", "<p>Much to read.</p>"));
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (name, width, height) in [("phone", 360, 740), ("desktop", 1280, 800)] {
        for scheme in ["light", "dark"] {
            let place = format!("{name} {scheme}");
            page.screen(width, height, scheme).await;
            if report.step(&place, world.visit(&page, &world.through("/plain")).await) {
                equal(&page, &place, &mut report).await;
                keep_picture(&page, &format!("banner-{name}-{scheme}")).await;
            }
            if report.step(&place, world.visit(&page, &world.through("/_consent/")).await) {
                keep_picture(&page, &format!("preferences-{name}-{scheme}")).await;
            }
        }
    }
    report.finish();
}

/// Same size, same look, all three on the screen without scrolling.
async fn equal(page: &Page, place: &str, report: &mut Report) {
    let selectors = serde_json::json!([ACCEPT, REJECT, CHOOSE]);
    let looks = page
        .eval(&format!(
            "{selectors}.map(selector => {{ const e = document.querySelector(selector); if (!e) return null;
             const box = e.getBoundingClientRect(), style = getComputedStyle(e);
             return {{ text: e.textContent.trim(),
                       seen: box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth,
                       look: [Math.round(box.width), Math.round(box.height), style.color, style.backgroundColor,
                              style.fontSize, style.fontWeight, style.borderTopColor, style.borderTopWidth].join(' ') }}; }})"
        ))
        .await;
    let texts = ["Accept all", "Reject all", "Choose"];
    for (index, text) in texts.iter().enumerate() {
        let button = &looks[index];
        report.expect(place, button["text"] == *text, &format!("button {index} is not `{text}`: {button}"));
        report.expect(place, button["seen"] == true, &format!("`{text}` is not on the screen"));
        report.expect(place, button["look"] == looks[0]["look"], &format!("`{text}` looks different: {looks}"));
    }
}

/// Kept beside cargo's other test files, to be looked at.
async fn keep_picture(page: &Page, name: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests is writable");
    std::fs::write(folder.join(format!("{name}.png")), page.picture().await).expect("the folder was just made");
}
