//! How fast pages are gated: `cargo bench --bench engine`.
//!
//! Prints MB/s (10^6 bytes of page per second of wall time): the median over interleaved rounds, so
//! that a busy machine slows every column alike. Times are of whole pages in chunks of 16 KiB, the
//! set-up of each page included. `ratio` is the gate's time over that of the parser without handlers.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

mod pages;

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use consentry::{
    html::{Gate, Limits, Page},
    policy::{Policy, Sources},
};
use pages::Kind;

const CHUNK_BYTES: usize = 16 << 10;
const ROUNDS: usize = 41;

fn main() {
    let policy = Arc::new(policy());
    eprintln!("{} vendors, median of {ROUNDS} rounds", policy.vendors().len());
    println!("{:<8}{:>8}{:>12}{:>12}{:>12}{:>12}{:>8}", "page", "kB", "memcpy", "parser", "granted", "held", "ratio");
    for (kind, kilobytes) in [(Kind::Shop, 100), (Kind::Shop, 1000), (Kind::News, 100), (Kind::News, 300), (Kind::News, 1000)] {
        let page = pages::page(kind, kilobytes * 1000, kilobytes as u64);
        let granted = |page: &[u8]| gate(&policy, true, page);
        let held = |page: &[u8]| gate(&policy, false, page);
        let seconds = medians(page.as_bytes(), &[&copy, &parse, &granted, &held]);
        let speeds: Vec<String> = seconds.iter().map(|s| format!("{:>12.0}", page.len() as f64 / s / 1e6)).collect();
        let ratio = seconds[3] / seconds[1];
        println!("{:<8}{:>8}{}{ratio:>8.2}", format!("{kind:?}"), page.len() / 1000, speeds.concat());
    }
}

type Work<'w> = &'w dyn Fn(&[u8]);

fn medians(page: &[u8], work: &[Work<'_>]) -> Vec<f64> {
    let mut times = vec![Vec::new(); work.len()];
    for round in 0..ROUNDS + 2 {
        for (times, work) in times.iter_mut().zip(work) {
            let start = Instant::now();
            work(black_box(page));
            if round >= 2 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn copy(page: &[u8]) {
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    for chunk in page.chunks(CHUNK_BYTES) {
        out.clear();
        out.extend_from_slice(chunk);
        black_box(&out);
    }
}

fn parse(page: &[u8]) {
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    let settings = lol_html::Settings::new().with_strict(false);
    let mut rewriter = lol_html::HtmlRewriter::new(settings, |chunk: &[u8]| {
        out.clear();
        out.extend_from_slice(chunk);
    });
    for chunk in page.chunks(CHUNK_BYTES) {
        rewriter.write(chunk).expect("the pages are plain");
    }
    rewriter.end().expect("the pages are plain");
}

fn gate(policy: &Arc<Policy>, granted: bool, page: &[u8]) {
    let mut gate = Gate::new(
        Arc::new(Page {
            policy: Arc::clone(policy),
            grants: if granted { policy.everything() } else { policy.undecided() },
            base: url::Url::parse("https://shop.example/list").expect("a constant"),
            nonce: "0123456789abcdef".to_owned(),
            head: "<script data-consentry src=\"/_consent/assets/0/gate.js\" defer></script>".to_owned(),
            body: "<div data-consentry>Notice</div>".to_owned(),
            amend_csp: None,
            observe: false,
            hold: true,
            frame: String::new(),
        }),
        Limits::default(),
    );
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    for chunk in page.chunks(CHUNK_BYTES) {
        out.clear();
        gate.write(chunk, &mut out).expect("the pages are plain");
        black_box(&out);
    }
    out.clear();
    gate.end(&mut out).expect("the pages are plain");
    black_box(&out);
}

/// The policy of the repository; without vendor files, some of the usual size.
fn policy() -> Policy {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut sources = Sources::default();
    read(&root, &root, &mut sources);
    if sources.below("vendors/").next().is_none() {
        for n in 0..40 {
            let text = format!(
                "id = \"v{n}\"\nname = \"V\"\npurposes = [\"marketing\"]\n[[rule]]\nid = \"a\"\nhosts = [\"v{n}.example\"]\n\
                 [[rule]]\nid = \"b\"\ninline = [\"v{n}track('init'\", \"v{n}.example/sdk\"]\n"
            );
            sources.insert(format!("vendors/v{n}.toml"), text);
        }
    }
    sources.insert("site.toml", "vendors = \"all\"\n");
    match Policy::compile(&sources) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("the policy of the repository does not compile: {} faults", faults.len()),
    }
}

fn read(root: &Path, folder: &Path, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).expect("the repository has policies").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
            sources.insert(name, std::fs::read_to_string(&path).expect("it can be read"));
        }
    }
}
