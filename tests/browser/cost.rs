//! What the gate costs a visitor: time in scripts and time to the first paint, with and without it, on a page
//! of usual size. Views are interleaved, so that a machine that gets slower does so for all of them.

use std::fmt::Write as _;

use crate::{
    cdp::{Page, Script, Visitor},
    origin::Raw,
    report::Report,
    world::World,
};

/// Views of each kind.
const VIEWS: usize = 15;
/// On two cores that run another browser beside: about four times what an idle machine needs. It keeps
/// the cost from growing unseen; the figures worth telling are printed.
const SCRIPT_MS_MAX: f64 = 250.0;
/// The same for the first paint.
const PAINT_MS_MAX: f64 = 400.0;

/// A page without tags, and tags as a shop has them.
const TAGS: &str = r"<script>!function(f,b,e,v,n,t,s){if(f.fbq)return;n=f.fbq=function(){n.queue.push(arguments)};n.queue=[];t=b.createElement(e);t.async=!0;t.src=v;s=b.getElementsByTagName(e)[0];s.parentNode.insertBefore(t,s)}(window,document,'script','https://connect.facebook.net/en_US/fbevents.js');fbq('init','1234567890');</script>
<script async src='https://www.googletagmanager.com/gtag/js?id=G-ABC1234567'></script>
<script async src='https://static.hotjar.com/c/hotjar-1234567.js?sv=6'></script>
<noscript><img src='https://www.facebook.com/tr?id=1234567890&ev=PageView&noscript=1'></noscript>";

/// One kind of view.
struct Kind {
    name: &'static str,
    address: String,
    script_ms: Vec<f64>,
    paint_ms: Vec<f64>,
}

#[tokio::test]
async fn the_gate_costs_little() {
    let world = World::gated_with("[gate]\ncontainment = \"off\"\n", &[]).await;
    stock(&world);
    let mut kinds = [
        Kind::new("without the gate, no tags", world.direct("/cost/plain")),
        Kind::new("with the gate, no tags", world.through("/cost/plain")),
        Kind::new("with the gate, tags held", world.through("/cost/tags")),
    ];
    let mut report = Report::new("cost");
    for view in 0..=VIEWS {
        for kind in &mut kinds {
            // Each a visitor of its own: nothing is cached, as on a first visit.
            let visitor = world.browser.visitor().await;
            let measured = measure(&world, &visitor, &kind.address).await;
            visitor.leave().await;
            match measured {
                // The first round warms the browser up.
                Ok(_) if view == 0 => {}
                Ok((script, paint)) => {
                    kind.script_ms.push(script);
                    kind.paint_ms.push(paint);
                }
                Err(fault) => report.broken(kind.name, fault),
            }
        }
    }
    let mut lines = String::new();
    for kind in &mut kinds {
        let (script, paint) = (median(&mut kind.script_ms), median(&mut kind.paint_ms));
        writeln!(lines, "  {:<28} scripts {script:6.1} ms, first paint {paint:6.1} ms", kind.name).expect("memory takes it");
    }
    let (bare, gated) = (&kinds[0], &kinds[2]);
    let script = middle(&gated.script_ms) - middle(&bare.script_ms);
    let paint = middle(&gated.paint_ms) - middle(&bare.paint_ms);
    println!("cost of the gate: scripts {script:+.1} ms, first paint {paint:+.1} ms (medians of {VIEWS} views)\n{lines}");
    report.expect("scripts", script < SCRIPT_MS_MAX, &format!("{script:.1} ms more in scripts, {SCRIPT_MS_MAX} are allowed"));
    report.expect("paint", paint < PAINT_MS_MAX, &format!("the first paint is {paint:.1} ms later, {PAINT_MS_MAX} are allowed"));
    report.finish();
}

/// A page of 70 kB with a style sheet, a script and twelve images of its own.
fn stock(world: &World) {
    let mut items = String::new();
    for item in 0..240 {
        let image = if item % 20 == 0 {
            format!("<img src=\"/cost/cup.gif?{item}\" width=\"40\" height=\"40\" alt=\"Cup\">")
        } else {
            String::new()
        };
        writeln!(
            items,
            "<article class=\"item\" data-id=\"{item}\"><h2>Cup number {item}</h2>{image}<p>Thrown and glazed by hand, 0.3 litres, \
             for the dishwasher as well. Delivered within a week, packed in straw.</p><a href=\"/cups/{item}\">Look at it</a></article>"
        )
        .expect("memory takes it");
    }
    let page = |tags: &str| {
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Cups</title><link rel=\"icon\" href=\"data:,\">\
             {tags}<link rel=\"stylesheet\" href=\"/cost/own.css\"><script src=\"/cost/own.js\" defer></script></head><body>\
             <h1>Cups</h1>{items}</body></html>"
        )
    };
    let css = ".item { border: 1px solid #ccc; margin: 4px; padding: 4px } h2 { font-size: 16px }";
    // What a site's own bundle does: elements, attributes, markup and requests by the hundred.
    let js = "for (let i = 0; i < 400; i++) { const a = document.createElement('div'); a.innerHTML = '<b>' + i + '</b>'; \
              a.setAttribute('data-i', i); a.style.color = 'red'; const m = new Image(); m.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; \
              a.append(m); if (i % 8 === 0) document.body.append(a); } for (let i = 0; i < 5; i++) fetch('/cost/api?' + i);";
    let put = |path: &str, kind: &str, body: &str| {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        world.origin.put_raw(path, Raw { status: 200, headers, body: body.as_bytes().to_vec() });
    };
    put("/cost/plain", "text/html; charset=utf-8", &page(""));
    put("/cost/tags", "text/html; charset=utf-8", &page(TAGS));
    put("/cost/own.css", "text/css", css);
    put("/cost/own.js", "text/javascript", js);
    put("/cost/cup.gif", "image/gif", "GIF89a");
    put("/cost/api", "application/json", "{}");
}

async fn measure(world: &World, visitor: &Visitor<'_>, address: &str) -> Result<(f64, f64), String> {
    let page: Page = visitor.page(Script::On).await;
    let before = page.metric("ScriptDuration").await;
    world.visit(&page, address).await?;
    let script = (page.metric("ScriptDuration").await - before) * 1000.0;
    let paint = page.eval("performance.getEntriesByName('first-paint')[0]?.startTime ?? null").await;
    Ok((script, paint.as_f64().ok_or("nothing was painted")?))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    middle(values)
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

// === impl Kind ===

impl Kind {
    fn new(name: &'static str, address: String) -> Self {
        Self { name, address, script_ms: Vec::new(), paint_ms: Vec::new() }
    }
}
