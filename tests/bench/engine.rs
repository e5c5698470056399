//! How fast pages are gated: `cargo bench --bench engine`.
//!
//! Prints MB/s (10^6 bytes of page per second of processor time): the median over interleaved rounds. Wall time would
//! say how busy the machine is. Times are of whole pages in chunks of 16 KiB, the set-up of each page included. `ratio`
//! is the gate's time over that of the parser without handlers; `again` is the page through what is remembered of it,
//! its hash included.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

mod pages;

use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use consentry::{
    html::{Gate, Limits, Outcome, Page},
    policy::{Policy, Sources},
    vocab::Grants,
};
use pages::Kind;

const CHUNK_BYTES: usize = 16 << 10;
const ROUNDS: usize = 15;

/// How long one sample takes at least: the system counts processor time in ticks of some milliseconds.
const SAMPLE: Duration = Duration::from_millis(40);

fn main() {
    let policy = Arc::new(policy());
    eprintln!("{} vendors, median of {ROUNDS} rounds", policy.vendors().len());
    println!(
        "{:<8}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>8}",
        "page", "kB", "memcpy", "parser", "granted", "held", "again", "ratio"
    );
    for (kind, kilobytes) in [(Kind::Shop, 100), (Kind::Shop, 1000), (Kind::News, 100), (Kind::News, 300), (Kind::News, 1000)] {
        let page = pages::page(kind, kilobytes * 1000, kilobytes as u64);
        let granted = |page: &[u8]| gate(&policy, true, page);
        let held = |page: &[u8]| gate(&policy, false, page);
        let known = outcome(&policy, page.as_bytes());
        let again = |page: &[u8]| again(&known, page);
        let seconds = medians(page.as_bytes(), &[&copy, &parse, &granted, &held, &again]);
        let speeds: Vec<String> = seconds.iter().map(|s| format!("{:>12.0}", page.len() as f64 / s / 1e6)).collect();
        let ratio = seconds[3] / seconds[1];
        println!("{:<8}{:>8}{}{ratio:>8.2}", format!("{kind:?}"), page.len() / 1000, speeds.concat());
    }
}

type Work<'w> = &'w dyn Fn(&[u8]);

fn medians(page: &[u8], work: &[Work<'_>]) -> Vec<f64> {
    let counts: Vec<u32> = work.iter().map(|work| repetitions(page, work)).collect();
    let mut times = vec![Vec::new(); work.len()];
    for _ in 0..ROUNDS {
        for ((times, work), count) in times.iter_mut().zip(work).zip(&counts) {
            let start = processor_s();
            (0..*count).for_each(|_| work(black_box(page)));
            times.push((processor_s() - start) / f64::from(*count));
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

/// How often the work is to be done for one sample.
fn repetitions(page: &[u8], work: Work<'_>) -> u32 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SAMPLE {
        work(black_box(page));
        count += 1;
    }
    count
}

/// Processor time of this thread, in seconds (proc(5), `schedstat`: nanoseconds on a processor).
fn processor_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux that counts");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e9
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

fn gate(policy: &Arc<Policy>, granted: bool, bytes: &[u8]) {
    let grants = if granted { policy.everything() } else { policy.undecided() };
    run(&mut Gate::new(page(policy, grants), Limits::default()), bytes);
}

fn run(gate: &mut Gate, page: &[u8]) {
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

fn page(policy: &Arc<Policy>, grants: Grants) -> Arc<Page> {
    Arc::new(Page {
        policy: Arc::clone(policy),
        grants,
        base: url::Url::parse("https://shop.example/list").expect("a constant"),
        nonce: "0123456789abcdef".to_owned(),
        head: "<script data-consentry src=\"/_consent/assets/0/gate.js\" defer></script>".to_owned(),
        body: "<div data-consentry>Notice</div>".to_owned(),
        amend_csp: None,
        observe: false,
        hold: true,
        frame: String::new(),
    })
}

/// What is remembered of a page for a visitor without grants, and that visitor.
fn outcome(policy: &Arc<Policy>, bytes: &[u8]) -> (Outcome, Arc<Page>) {
    let page = page(policy, policy.undecided());
    let mut gate = Gate::new(Arc::clone(&page), Limits::default());
    gate.keep_outcome();
    run(&mut gate, bytes);
    (gate.take_outcome().expect("it was kept"), page)
}

fn again((outcome, page): &(Outcome, Arc<Page>), bytes: &[u8]) {
    black_box(blake3::keyed_hash(&[7; 32], bytes));
    assert!(outcome.is_for(page));
    black_box(outcome.apply(bytes, page).expect("the same page"));
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
