//! System calls that fail, one at a time, at every step from the first open to the last close.
//!
//! Invariant: nothing is acknowledged after the first failure, and whatever was acknowledged before
//! it is there, whole, after a new start, whether the failed write reached the disk or not.

use std::{collections::HashSet, path::Path, process::Command};

use consentry::consent_log::{ConsentLog, FILE, Filter, Format, Options, Reader};
use serde_json::Value;

use crate::child::{DECISIONS, Role, said};

#[test]
fn no_acknowledgement_after_a_failed_call() {
    let mut stopped_midway = 0;
    for (calls, errno) in [("fdatasync,fsync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("ftruncate", "EIO")] {
        for nth in [1, 2, 3, 4, 5, 6, 8, 11, 16, 23, 40, 100, 300, 1000, 2000, 2500, 3000] {
            if calls != "pwrite64" && nth > 100 {
                continue;
            }
            let dir = tempfile::tempdir().expect("a folder");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
            strace.args(["-e", &format!("inject={calls}:error={errno}:when={nth}")]);
            let said = said(strace, Role::Append, dir.path());
            let acked = audit(dir.path(), &said, &format!("{calls} {errno} at {nth}"));
            stopped_midway += usize::from(acked > 0 && acked < DECISIONS);
        }
    }
    // Else the calls that were made to fail are not the calls that are made.
    assert!(stopped_midway >= 8, "only {stopped_midway} runs were stopped midway");
}

/// A write that fails for want of room would succeed again once there is room. It is not tried.
#[test]
fn a_full_disk_stops_the_log_even_when_room_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut shell = Command::new("bash");
    // In KiB. Without its signal, a file that grows past the limit gives EFBIG, in the middle of a write.
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 2000; exec \"$@\"", "limited"]);
    let said = said(shell, Role::AppendAndLift, dir.path());
    let acked = audit(dir.path(), &said, "a limit of 2000 KiB a file");
    assert!(acked > 0 && acked < DECISIONS, "{said:?}");
    assert!(said.last().is_some_and(|(_, why)| why.contains("stopped after a failed write")), "{said:?}");
}

/// Without any fault every decision is acknowledged: the other tests mean something.
#[test]
fn without_a_fault_all_is_acknowledged() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = said(Command::new("env"), Role::Append, dir.path());
    assert_eq!(audit(dir.path(), &said, "no fault"), DECISIONS, "{said:?}");
}

/// How many decisions were acknowledged, once it is sure that they are there.
#[track_caller]
fn audit(dir: &Path, said: &[(bool, String)], fault: &str) -> usize {
    let acked: Vec<&str> = said.iter().filter(|(ack, _)| *ack).map(|(_, id)| id.as_str()).collect();
    let first_failure = said.iter().position(|(ack, _)| !ack).unwrap_or(said.len());
    assert_eq!(acked.len(), first_failure, "{fault}: an acknowledgement after a failure: {said:?}");

    // A new start, as after a crash, and a clean end.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let log = ConsentLog::open(dir, Options::default()).unwrap_or_else(|e| panic!("{fault}: {e}"));
    runtime.block_on(log.close());

    let present = ids(dir, fault);
    for id in &acked {
        assert!(present.contains(*id), "{fault}: {id} was acknowledged and is gone");
    }
    let database = rusqlite::Connection::open(dir.join(FILE)).expect("the database");
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(whole, "ok", "{fault}");
    acked.len()
}

/// The ids of an export, which itself checks order and commitments.
fn ids(dir: &Path, fault: &str) -> HashSet<String> {
    let mut out = Vec::new();
    let reader = Reader::open(dir).unwrap_or_else(|e| panic!("{fault}: {e}"));
    reader.export(&Filter::default(), Format::Jsonl, &mut out, &mut |_, _| {}).unwrap_or_else(|e| panic!("{fault}: {e}"));
    let lines = String::from_utf8(out).expect("exports are UTF-8");
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line")["id"].as_str().expect("an id").to_owned())
        .collect()
}
