//! A bundle as it was written verifies, by the script and here; one in which anything was changed does not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

use super::*;
use crate::consent_log::{
    Verified, order,
    order::{Order, What, Whose, Why},
    tests::{filled, folder, ready, record, small},
};

/// What the script said, and how it ended.
fn script(bundle: &Path, args: &[&str]) -> (i32, String) {
    let ran = Command::new("sh").arg(bundle.join("verify.sh")).args(args).output().expect("there is a shell");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap_or(-1), said)
}

fn checked(bundle: &Path, held: Option<&str>) -> Verified {
    verify(bundle, held, &mut |_, _| {}).expect("it can be read")
}

fn bundled(data: &Path, filter: &Filter) -> (TempDir, PathBuf, Bundled) {
    let around = folder();
    let to = around.path().join("bundle");
    let told = Reader::open(data).expect("a log").bundle(&to, filter, &mut |_, _| {}).expect("a bundle");
    (around, to, told)
}

/// A log of a policy, a notice and two decisions in two batches: small enough to try every byte.
async fn written() -> TempDir {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    log.append(record()).await.expect("a decision");
    log.close().await;
    dir
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() { all.append(&mut files(&entry.path())) } else { all.push(entry.path()) }
    }
    all.sort();
    all
}

/// The files of which every byte counts.
fn proofs(bundle: &Path) -> Vec<PathBuf> {
    files(bundle).into_iter().filter(|file| !file.ends_with("README.txt") && !file.ends_with("verify.sh")).collect()
}

#[tokio::test]
async fn a_bundle_as_it_was_written_verifies_with_the_script_and_here() {
    let dir = folder();
    let all = filled(dir.path()).await;
    let (_around, bundle, told) = bundled(dir.path(), &Filter::default());
    let verified = checked(&bundle, None);
    assert_eq!(verified.findings, []);
    assert_eq!((told.leaves, told.here, told.erased), (verified.leaves, verified.records, 0));
    assert!(told.leaves > all.len() as u64 && told.checkpoints == verified.checkpoints, "{told:?}");
    let (code, said) = script(&bundle, &["--key", &verified.key.expect("a key")]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&verified.root.expect("a root").to_string()), "{said}");
    assert!(said.contains("Everything here is as it was written"), "{said}");
    // Another shell and another awk, where they are there.
    for (shell, present) in [("bash", "bash"), ("busybox sh", "busybox")] {
        if Command::new(present).arg("--help").output().is_ok() {
            let line = format!("{shell} {}", bundle.join("verify.sh").display());
            assert!(Command::new("sh").args(["-c", &line]).output().expect("a shell").status.success(), "{shell}");
        }
    }
    use std::os::unix::fs::PermissionsExt as _;
    for file in files(&bundle) {
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o077, 0, "{}", file.display());
    }
    let again = Reader::open(dir.path()).expect("a log").bundle(&bundle, &Filter::default(), &mut |_, _| {});
    assert!(matches!(again, Err(LogError::Bundle { .. })), "nothing is written over");
}

#[tokio::test]
async fn a_part_of_the_log_is_verified_in_the_whole_tree() {
    let dir = folder();
    filled(dir.path()).await;
    let (_around, bundle, told) = bundled(dir.path(), &Filter { site: Some("b.example".to_owned()), ..Filter::default() });
    assert!(told.here < told.leaves, "{told:?}");
    let text = fs::read_to_string(bundle.join("records.jsonl")).expect("records");
    assert!(text.contains("b.example") && !text.contains("a.example"), "{text}");
    assert_eq!(checked(&bundle, None).findings, []);
    let (code, said) = script(&bundle, &[]);
    assert_eq!(code, 0, "{said}");
    // What says that it has all must have all.
    fs::write(bundle.join("scope"), "all\n").expect("writable");
    assert!(!checked(&bundle, None).findings.is_empty());
    assert_eq!(script(&bundle, &[]).0, 1);
}

#[tokio::test]
async fn what_an_act_erased_or_restricted_is_missing_and_named() {
    let dir = folder();
    let all = filled(dir.path()).await;
    let why = || Why { reason: "request".to_owned(), reference: None };
    let whose = |at: usize| Whose::Record(all[at].id());
    for what in [
        What::Erase { whose: whose(0), why: why(), restricted: false },
        What::Restrict { whose: whose(1), why: Why { reason: "accuracy".to_owned(), reference: None } },
        What::Restrict { whose: whose(2), why: Why { reason: "accuracy".to_owned(), reference: None } },
        What::Unrestrict { whose: whose(2), why: why() },
    ] {
        order(dir.path(), &Order { operator: "anna".to_owned(), what, dry_run: false }).expect("an act");
    }
    let (_around, bundle, told) = bundled(dir.path(), &Filter::default());
    assert_eq!((told.erased, told.restricted, told.here), (2, 1, told.leaves - 3), "{told:?}");
    assert_eq!(checked(&bundle, None).findings, []);
    let (code, said) = script(&bundle, &[]);
    assert_eq!(code, 0, "{said}");
    // Missing without an act, and erased although it is here.
    let leaves = fs::read_to_string(bundle.join("leaves")).expect("leaves");
    let state =
        |index: u64| leaves.lines().nth(index as usize).and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned();
    let put = |index: u64, state: &str| {
        let line = |(at, line): (u64, &str)| match line.rsplit_once(' ') {
            Some((head, _)) if at == index => format!("{head} {state}\n"),
            _ => format!("{line}\n"),
        };
        fs::write(bundle.join("leaves"), (0..).zip(leaves.lines()).map(line).collect::<String>()).expect("writable");
    };
    assert_eq!((state(2), state(3), state(4)), ("erased".to_owned(), "restricted".to_owned(), "here".to_owned()));
    for (index, wrong) in [(2, "restricted"), (2, "here"), (3, "erased"), (3, "here"), (4, "erased"), (4, "restricted")] {
        put(index, wrong);
        named(&bundle, None, index, wrong);
    }
}

/// The script runs in copies, several at a time.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "how many bytes were tried, in the output of a run that tries all")]
async fn every_byte_counts_for_the_script_and_here() {
    let dir = written().await;
    let (around, bundle, _) = bundled(dir.path(), &Filter::default());
    let mut changes = Vec::new();
    for file in proofs(&bundle) {
        let bytes = fs::read(&file).expect("a file");
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            fs::write(&file, &other).expect("writable");
            let found = verify(&bundle, None, &mut |_, _| {});
            assert!(found.map_or(true, |verified| !verified.findings.is_empty()), "{} byte {at}", file.display());
            changes.push((file.strip_prefix(&bundle).expect("below it").to_owned(), at, other));
        }
        fs::write(&file, &bytes).expect("writable");
    }
    assert_eq!(checked(&bundle, None).findings, [], "as it was");
    assert!(changes.len() > 2_000, "{}", changes.len());
    // A run of the script takes some 100 ms: not every byte, and not the same of each line. TAMPER_STRIDE=1 is all.
    let stride = std::env::var("TAMPER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(37);
    let tried: Vec<&(PathBuf, usize, Vec<u8>)> = changes.iter().step_by(stride).collect();
    let (next, threads) = (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for nth in 0..threads {
            let (copy, tried, next) = (around.path().join(format!("copy-{nth}")), &tried, &next);
            copied(&bundle, &copy);
            scope.spawn(move || {
                while let Some((file, at, other)) = tried.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let whole = fs::read(copy.join(file)).expect("a file");
                    fs::write(copy.join(file), other).expect("writable");
                    let (code, said) = script(&copy, &[]);
                    assert_eq!(code, 1, "{} byte {at}: {said}", file.display());
                    assert!(said.contains("The first bad index is "), "{} byte {at}: {said}", file.display());
                    fs::write(copy.join(file), whole).expect("writable");
                }
                assert_eq!(script(&copy, &[]).0, 0, "as it was");
            });
        }
    });
    println!("{} bytes for both, {} of them for the script as well", changes.len(), tried.len());
}

fn copied(from: &Path, to: &Path) {
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).expect("below it"));
        fs::create_dir_all(place.parent().expect("it is in a folder")).expect("writable");
        fs::copy(&file, place).expect("a copy");
    }
}

/// Both name the same first bad index.
#[track_caller]
fn named(bundle: &Path, held: Option<&Path>, index: u64, what: &str) {
    let note = held.map(|file| fs::read_to_string(file).expect("a checkpoint"));
    let verified = checked(bundle, note.as_deref());
    assert_eq!(verified.findings.first().map(|finding| finding.index), Some(index), "{what}: {:#?}", verified.findings);
    let held = held.map(|file| file.display().to_string());
    let args: Vec<&str> = held.iter().flat_map(|file| ["--checkpoint", file]).collect();
    let (code, said) = script(bundle, &args);
    assert_eq!(code, 1, "{what}: {said}");
    assert!(said.contains(&format!("The first bad index is {index}.")), "{what}: {said}");
}

#[tokio::test]
async fn dropped_reordered_backdated_and_cut_records_are_named() {
    let dir = folder();
    filled(dir.path()).await;
    let (around, bundle, told) = bundled(dir.path(), &Filter::default());
    let text = |name: &str| fs::read_to_string(bundle.join(name)).expect("a file");
    let (records, leaves, checkpoints) = (text("records.jsonl"), text("leaves"), text("checkpoints"));
    let lines: Vec<&str> = records.split_inclusive('\n').collect();
    let put = |name: &str, text: &str| fs::write(bundle.join(name), text).expect("writable");

    put("records.jsonl", &lines.iter().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| *line).collect::<String>());
    named(&bundle, None, 3, "dropped");
    let mut moved = lines.clone();
    moved.swap(3, 4);
    put("records.jsonl", &moved.concat());
    named(&bundle, None, 3, "reordered");
    put("records.jsonl", &records.replacen("\"t\":\"2026-05-31", "\"t\":\"2026-05-21", 1));
    let backdated = lines.iter().position(|line| line.contains("\"t\":\"2026-05-31")).expect("a decision of that day");
    named(&bundle, None, backdated as u64, "backdated");
    put("records.jsonl", &lines[..lines.len() - 1].concat());
    named(&bundle, None, told.leaves - 1, "the last one is gone");
    put("records.jsonl", &records);

    // With its leaf, and an index left in place of it: only the checkpoints tell.
    let short = |text: &str| text.split_inclusive('\n').take(told.leaves as usize - 1).collect::<String>();
    put("records.jsonl", &lines[..lines.len() - 1].concat());
    put("leaves", &short(&leaves));
    named(&bundle, None, told.leaves - 1, "the end was cut off");

    // With its checkpoint too: only who holds that one can tell.
    let kept = around.path().join("kept");
    let notes: Vec<&str> = checkpoints.split_inclusive('\n').collect();
    let (before, last) = notes.split_at(notes.len() - 5);
    fs::write(&kept, last.concat()).expect("writable");
    put("checkpoints", &before.concat());
    if before.len() >= 10 {
        assert_eq!(checked(&bundle, None).findings, [], "a shorter log is a log");
        assert_eq!(script(&bundle, &[]).0, 0, "a shorter log is a log");
    }
    named(&bundle, Some(&kept), told.leaves - 1, "cut off behind a kept checkpoint");

    // Rewritten with commitments and all by somebody with another key.
    let other = folder();
    filled(other.path()).await;
    let (_around, forged, _) = bundled(other.path(), &Filter::default());
    named(&forged, Some(&kept), 0, "another log");
}

#[tokio::test]
async fn what_is_missing_or_too_much_is_named() {
    let dir = written().await;
    let (_around, bundle, _) = bundled(dir.path(), &Filter::default());
    for file in proofs(&bundle) {
        let bytes = fs::read(&file).expect("a file");
        fs::remove_file(&file).expect("removable");
        assert!(
            verify(&bundle, None, &mut |_, _| {}).map_or(true, |verified| !verified.findings.is_empty()),
            "{}",
            file.display()
        );
        assert_ne!(script(&bundle, &[]).0, 0, "{}", file.display());
        fs::write(&file, &bytes).expect("writable");
    }
    for extra in ["notices/x.html", "policies/x.json", "keys/00000000.pem", "timestamps/3.tsr", "timestamps/9.tsr"] {
        fs::write(bundle.join(extra), "x").expect("writable");
        assert!(!checked(&bundle, None).findings.is_empty(), "{extra}");
        assert_eq!(script(&bundle, &[]).0, 1, "{extra}");
        fs::remove_file(bundle.join(extra)).expect("removable");
    }
    assert_eq!(script(&bundle, &["--key", "other/key+00000000+AAAA"]).0, 1);
    assert_eq!(script(&bundle, &["--checkpoint", "/nowhere"]).0, 2);
    assert_eq!(script(&bundle, &[]).0, 0, "as it was");
}
