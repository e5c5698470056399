//! How fast the consent log is: `cargo bench --bench log`, or `tests/bench/run log`.
//!
//! 64 writers at a time, each waiting for its acknowledgement before it goes on, on a fresh log in the folder for
//! temporary files (TMPDIR chooses the disk). Three ways in interleaved rounds: one flush for whatever queued (group
//! commit, as the gate does), one transaction for each record, and group commit without signature,
//! checkpoint and tiles (the tree's own hashes, which all ways compute, are timed apart).
//! Ratios are of one round, their median counts: how busy the machine is changes from round to round. Then `verify`
//! over one log, in records a second.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use consentry::{
    consent_log::{
        ConsentLog, Kind, Layer, Method, NoticeLeaf, Options, PolicyLeaf, Reader, Record, record_id,
        tree::{self, Frontier},
    },
    vocab::{Hash, PolicyRevision, SubjectId},
};
use jiff::Timestamp;

const WRITERS: usize = 64;
const ROUNDS: usize = 7;
const SPAN: Duration = Duration::from_secs(2);

/// Records in the log that is verified, and how often it is.
const VERIFIED: usize = 20_000;
const VERIFICATIONS: usize = 5;

const HTML: &str = "<p>Do you agree?</p>";

/// One way to write.
struct Way {
    name: &'static str,
    options: Options,
}

/// What one round of one way came to.
#[derive(Clone, Copy)]
struct Sample {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let ways = [
        Way { name: "group commit", options: Options::default() },
        Way { name: "a transaction per record", options: Options { batch_max: 1, ..Options::default() } },
        Way { name: "group commit, unsigned", options: Options { tree: false, ..Options::default() } },
    ];
    let mut samples: Vec<Vec<Sample>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        // Each is first now and then: what one leaves to the disk, the next has to wait for.
        for at in (0..ways.len()).map(|at| (at + round) % ways.len()) {
            samples[at].push(runtime.block_on(written(&ways[at].options, None)).1);
        }
        eprintln!("round {} of {ROUNDS}", round + 1);
    }
    println!("{WRITERS} writers, {ROUNDS} rounds of {} s, medians", SPAN.as_secs());
    println!("{:<26}{:>14}{:>10}{:>10}", "", "decisions/s", "p50 ms", "p99 ms");
    for (way, samples) in ways.iter().zip(&samples) {
        let of = |get: fn(&Sample) -> f64| median(samples.iter().map(get));
        println!("{:<26}{:>14.0}{:>10.2}{:>10.2}", way.name, of(|s| s.per_s), of(|s| s.p50_ms), of(|s| s.p99_ms));
    }
    let ratio = |over: usize, under: usize| {
        let ratios: Vec<f64> = samples[over].iter().zip(&samples[under]).map(|(over, under)| over.per_s / under.per_s).collect();
        let (least, most) = ratios.iter().fold((f64::MAX, 0.0_f64), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
        format!("{:.2} ({least:.2} to {most:.2})", median(ratios.into_iter()))
    };
    println!("group commit over a transaction per record: {}", ratio(0, 1));
    println!("the tree by itself: {:.0} ns a record, computed in every way", tree_ns());
    println!("without signature over with signature, checkpoint and tiles: {}", ratio(2, 0));

    let (folder, _) = runtime.block_on(written(&Options::default(), Some(VERIFIED)));
    let reader = Reader::open(folder.path()).expect("a log");
    let times = (0..VERIFICATIONS).map(|_| {
        let began = Instant::now();
        let verified = reader.verify(None, &mut |_, _| {}).expect("a log");
        assert!(verified.findings.is_empty(), "{:?}", verified.findings);
        verified.records as f64 / began.elapsed().as_secs_f64()
    });
    println!("verify: {:.0} records/s, median of {VERIFICATIONS} over {VERIFIED} and more", median(times));
}

/// A log that was written to for a while, or until it has so many records.
async fn written(options: &Options, records: Option<usize>) -> (tempfile::TempDir, Sample) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Arc::new(ConsentLog::open(folder.path(), Options { reserve_bytes: 0, ..options.clone() }).expect("a log"));
    log.ensure_policy(&policy()).await.expect("a policy");
    let notice = NoticeLeaf { sha256: Hash::of(HTML.as_bytes()), json: "{}".to_owned(), html: HTML.to_owned() };
    log.ensure_notice(notice).await.expect("a notice");
    let began = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|nth| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut waited_ms = Vec::new();
                while records.map_or(began.elapsed() < SPAN, |records| waited_ms.len() * WRITERS < records) {
                    let asked = Instant::now();
                    log.append(record(nth as u8)).await.expect("a decision");
                    waited_ms.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                waited_ms
            })
        })
        .collect();
    let mut waited_ms = Vec::new();
    for writer in writers {
        waited_ms.append(&mut writer.await.expect("a writer"));
    }
    let elapsed = began.elapsed().as_secs_f64();
    log.close().await;
    waited_ms.sort_by(f64::total_cmp);
    let at = |share: f64| waited_ms[((waited_ms.len() - 1) as f64 * share) as usize];
    (folder, Sample { per_s: waited_ms.len() as f64 / elapsed, p50_ms: at(0.5), p99_ms: at(0.99) })
}

/// A leaf's hash and its place in the tree, with the root for each batch of 48.
fn tree_ns() -> f64 {
    const LEAVES: u32 = 200_000;
    let mut tree = Frontier::default();
    let began = Instant::now();
    for nth in 0..LEAVES {
        tree.push(tree::leaf(&Hash::of(&nth.to_be_bytes())));
        if nth % 48 == 0 {
            std::hint::black_box(tree.root());
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(LEAVES)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn policy() -> PolicyLeaf {
    let canonical = "{}".to_owned();
    PolicyLeaf { revision: PolicyRevision(Hash::of(canonical.as_bytes())), canonical, source_hashes: BTreeMap::new() }
}

/// Of the usual size: some 800 bytes.
fn record(subject: u8) -> Record {
    let time = Timestamp::now();
    let purposes = ["analytics", "functional", "marketing", "necessary"].map(|id| (id.to_owned(), id != "marketing"));
    Record {
        id: record_id(time),
        prev: None,
        kind: Kind::Partial,
        time,
        expires: time + jiff::SignedDuration::from_hours(24 * 180),
        site: "shop.example".to_owned(),
        controller: "Theatre e.V.".to_owned(),
        subject: Some(SubjectId([subject; 16])),
        notice: Hash::of(HTML.as_bytes()),
        policy: policy().revision,
        language: "en".to_owned(),
        layer: Layer::Banner,
        method: Method::Save,
        gpc: false,
        purposes: purposes.into(),
        vendors: BTreeMap::new(),
        jurisdiction: "EU".to_owned(),
        regime: "eu".to_owned(),
        browser: None,
        enforced: policy().address(),
        product: "0.1.0".to_owned(),
    }
}
