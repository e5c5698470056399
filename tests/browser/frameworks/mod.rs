//! Pages whose framework takes over the whole document or a part of it: React 18 and 19 hydrate it, Vue
//! hydrates an element, htmx swaps in partials. They come from npm (`tests/run` fetches them); `build.cjs`
//! renders the documents on the server's side while the test runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    cdp::{Page, Script},
    hand::{ACCEPT, BANNER, decide, shows},
    origin::{Manner, Origin, Raw},
    report::Report,
    world::World,
};

/// A development build of React hydrates in a second on a loaded machine.
const HYDRATE_TIMEOUT: Duration = Duration::from_secs(10);
/// A frame after which a framework has had its say.
const AFTER: Duration = Duration::from_millis(300);

/// How development builds of React 18, React 19 and Vue say that attributes differ.
const ATTRIBUTES: [&str; 4] = [
    "Warning: Extra attributes from the server",
    "Warning: Prop `%s` did not match",
    "but some attributes of the server rendered HTML didn't match the client properties",
    "Hydration completed but contains mismatches",
];

/// Every page, and the vendors' requests that it makes once they are granted.
const PAGES: [(&str, &[&str]); 7] = [
    ("react18-production", &["script", "pixel", "inline"]),
    ("react18-development", &["script", "pixel", "inline"]),
    ("react19-production", &["script", "pixel", "inline"]),
    ("react19-development", &["script", "pixel", "inline"]),
    ("vue-production", &["script", "pixel", "inline"]),
    ("vue-development", &["script", "pixel", "inline"]),
    ("htmx-production", &["script", "pixel", "inline"]),
];

/// Renders the pages into a folder.
fn build() -> tempfile::TempDir {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target folder").join("frameworks");
    assert!(
        packages.join("others/node_modules").is_dir(),
        "{} is not there: tests/run fetches the frameworks with npm",
        packages.display()
    );
    let out = tempfile::tempdir().expect("the temporary folder is writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/frameworks/build.cjs");
    let done = Command::new("node").arg(script).arg(packages).arg(out.path()).output().expect("tests/run installs node");
    assert!(done.status.success(), "build.cjs: {}", String::from_utf8_lossy(&done.stderr));
    out
}

fn stock(origin: &Origin, out: &Path) {
    let files: Vec<PathBuf> = std::fs::read_dir(out)
        .expect("just made")
        .map(|entry| entry.expect("just made").path())
        .filter(|path| path.is_file())
        .collect();
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).expect("build.cjs writes ASCII names").to_owned();
        let kind = if name.ends_with(".js") { "text/javascript" } else { "text/html; charset=utf-8" };
        let body = std::fs::read(&file).expect("just made");
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        origin.put_raw(&format!("/frameworks/{name}"), Raw { status: 200, headers, body });
    }
}

#[tokio::test]
async fn frameworks_hydrate_behind_the_gate() {
    let built = build();
    let world = World::gated(Manner::default()).await;
    stock(&world.origin, built.path());
    let mut report = Report::new("frameworks");
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    for (name, tags) in PAGES {
        let place = format!("{name} without the gate");
        world.forget();
        open(&world, &page, &world.direct(&format!("/frameworks/{name}.html")), &place, &mut report).await;
        count(&page, 1, &place, &mut report).await;
        sent(&world, name, tags, 1, &place, &mut report).await;
        hear(&page, &mut report, &place);

        visitor.start_over(&page).await;
        world.forget();
        let address = world.through(&format!("/frameworks/{name}.html"));
        let place = format!("{name} undecided");
        open(&world, &page, &address, &place, &mut report).await;
        report.expect(&place, shows(&page, BANNER).await, "the banner is lost");
        report.unheard(&place, &world);
        count(&page, 1, &place, &mut report).await;
        hear(&page, &mut report, &place);

        let place = format!("{name} accepted");
        if decide(&page, ACCEPT, &mut report, &place).await {
            sent(&world, name, tags, 2, &place, &mut report).await;
            count(&page, 2, &place, &mut report).await;
            hear(&page, &mut report, &place);
        }

        let place = format!("{name} granted");
        open(&world, &page, &address, &place, &mut report).await;
        sent(&world, name, tags, 3, &place, &mut report).await;
        count(&page, 1, &place, &mut report).await;
        hear(&page, &mut report, &place);
    }
    boost(&world, &mut report).await;
    report.finish();
}

/// Goes there and waits until the framework took over.
async fn open(world: &World, page: &Page, address: &str, place: &str, report: &mut Report) {
    report.step(place, page.go(address).await);
    let start = Instant::now();
    while page.eval("window.hydrated === true").await != true {
        if start.elapsed() > HYDRATE_TIMEOUT {
            report.broken(place, "it does not hydrate");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report.step(place, world.settle(page).await);
}

/// Clicks the page's own button; it shows how often, or with htmx that it was.
async fn count(page: &Page, clicks: usize, place: &str, report: &mut Report) {
    if !report.step(place, page.click("#count").await) {
        return;
    }
    tokio::time::sleep(AFTER).await;
    let text = page.eval("document.getElementById('count').textContent").await;
    let htmx = place.starts_with("htmx");
    let wanted = format!("Clicked {}", if htmx { 1 } else { clicks });
    report.expect(place, text == wanted.as_str(), &format!("its button says {text} and not `{wanted}`"));
}

/// Every tag of the page reached its vendor, since the last time as well.
async fn sent(world: &World, name: &str, tags: &[&str], times: usize, place: &str, report: &mut Report) {
    let start = Instant::now();
    let missing = || tags.iter().find(|tag| world.recorder.tagged(&format!("{name}.{tag}")) < times);
    while missing().is_some() && start.elapsed() < HYDRATE_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report.looked_at(1);
    if let Some(tag) = missing() {
        report.unfired(place, format_args!("its {tag}"));
    }
}

/// htmx puts the next document's body into this one: the banner has to be there again.
async fn boost(world: &World, report: &mut Report) {
    let place = "htmx boosted";
    let visitor = world.browser.visitor().await;
    let page = visitor.page(Script::On).await;
    open(world, &page, &world.through("/frameworks/htmx-production.html"), place, report).await;
    report.step(place, page.click("#boosted").await);
    let start = Instant::now();
    while page.eval("document.querySelector('h1').textContent").await != "Next" && start.elapsed() < HYDRATE_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(AFTER).await;
    report.expect(place, page.eval("document.querySelector('h1').textContent").await == "Next", "it does not go on");
    report.expect(place, shows(&page, BANNER).await, "the banner is lost");
    if shows(&page, BANNER).await {
        decide(&page, ACCEPT, report, place).await;
    }
    hear(&page, report, place);
}

/// What the page complained about is a fault. A held tag has other attributes than the framework rendered: its
/// development build says so and leaves it; that cannot be avoided and breaks nothing.
fn hear(page: &Page, report: &mut Report, place: &str) {
    let held = place.contains("-development") && !place.contains("granted") && !place.contains("without");
    for complaint in page.complaints() {
        let first = complaint.lines().next().unwrap_or_default();
        if !(held && ATTRIBUTES.iter().any(|text| first.contains(text))) {
            report.broken(place, first);
        }
    }
}
