//! Flushes and writes that fail, one at a time, at every step from the first open to the last close.
//!
//! Invariant: whatever was acknowledged is there, whole, after a new start, whether the failed write reached the
//! disk or not; nothing is acknowledged after the first failure; the log verifies.

use std::{collections::HashSet, path::Path, process::Command};

use consentry::consent_log::{ConsentLog, FILE, Options, Reader};

use crate::{
    child::{ARMED, DECISIONS, Role, Said, said},
    gate::data_folder,
    shim::{self, Fault},
};

/// Each of the first so many calls fails once: from the start on, and again from the first acknowledgement on.
const CALLS: usize = 60;

/// Small decisions that make more calls than that: one flush each, and a dozen writes.
fn decisions(call: &str) -> usize {
    if call == "flush" { CALLS + 6 } else { 12 }
}

#[test]
fn each_of_the_first_flushes_fails() {
    sweep("flush", "EIO");
}

#[test]
fn each_of_the_first_writes_fails() {
    sweep("write", "EIO");
}

#[test]
fn each_of_the_first_writes_finds_no_room() {
    sweep("write", "ENOSPC");
}

#[test]
fn each_of_the_first_writes_is_short_and_the_next_finds_no_room() {
    sweep("write", "short-ENOSPC");
}

/// A short write is no failure by itself: the rest is written and nothing is lost.
#[test]
fn each_of_the_first_writes_is_short() {
    for armed in [false, true] {
        for nth in 1..=CALLS {
            let run = Run::of(Fault { call: "write", kind: "short", nth }, armed, Role::AppendSmall(decisions("write")));
            assert_eq!(run.acked(), decisions("write"), "{}: {:?}", run.fault, run.said);
        }
    }
}

/// Large decisions, so that the write-ahead log is brought into the database on the way: what fails there fails
/// behind an answer.
#[test]
fn a_call_fails_while_much_is_written() {
    let mut midway = 0;
    for (call, kind) in [("flush", "EIO"), ("write", "EIO"), ("write", "short-ENOSPC")] {
        for nth in [1, 2, 4, 8, 11, 16, 23, 28, 32, 40, 100, 300, 1000, 2000, 2500, 3000] {
            if call == "flush" && nth > 40 {
                continue;
            }
            let run = Run::of(Fault { call, kind, nth }, true, Role::Append);
            // The decision that was under way may have been on the disk already.
            let after: Vec<&Said> = run.after_fault().skip_while(|said| **said != Said::Asked).collect();
            assert!(!after.iter().any(|said| matches!(said, Said::Acked(_))), "{}: {:?}", run.fault, run.said);
            midway += usize::from(run.acked() > 0 && run.acked() < DECISIONS);
        }
    }
    assert!(midway >= 12, "only {midway} runs were stopped midway");
}

/// A write that fails for want of room would succeed again once there is room. It is not tried.
#[test]
fn a_full_disk_stops_the_log_even_when_room_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = data_folder(&folder);
    let mut shell = Command::new("bash");
    // In KiB. Without its signal, a file that grows past the limit gives EFBIG, in the middle of a write.
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 2000; exec \"$@\"", "limited"]);
    let said = said(shell, Role::AppendAndLift, &dir);
    let run = Run { fault: "a limit of 2000 KiB a file".to_owned(), said };
    run.audit(&dir);
    assert!(run.acked() > 0 && run.acked() < DECISIONS, "{:?}", run.said);
    let stopped = |said: &Said| matches!(said, Said::Refused(why) if why.contains("stopped after a failed write"));
    assert!(run.said.last().is_some_and(stopped), "{:?}", run.said);
}

/// Without any fault every decision is acknowledged: the other tests mean something.
#[test]
fn without_a_fault_all_is_acknowledged() {
    for (role, decisions) in [(Role::Append, DECISIONS), (Role::AppendSmall(12), 12)] {
        let run = Run::of(Fault { call: "flush", kind: "EIO", nth: usize::MAX >> 1 }, false, role);
        assert_eq!(run.acked(), decisions, "{:?}", run.said);
    }
}

fn sweep(call: &'static str, kind: &'static str) {
    let (mut at_the_start, mut midway) = (0, 0);
    for armed in [false, true] {
        for nth in 1..=CALLS {
            let run = Run::of(Fault { call, kind, nth }, armed, Role::AppendSmall(decisions(call)));
            assert!(run.after_fault().next().is_some(), "{}: nothing failed: {:?}", run.fault, run.said);
            let acked = run.after_fault().any(|said| matches!(said, Said::Acked(_)));
            // The number in the lock file only tells others who holds it: without room it stays unsaid.
            // SQLite does not heed a flush of the folder that fails. It need not: before the first decision the log
            // flushes the folder itself, and heeds it.
            assert!(!acked || run.failed_beside_the_log(), "{}: an acknowledgement after it: {:?}", run.fault, run.said);
            at_the_start += usize::from(run.acked() == 0);
            midway += usize::from(run.acked() > 0);
        }
    }
    // Else the calls that were made to fail are not the calls that are made.
    assert!(at_the_start >= 5 && midway >= CALLS, "{at_the_start} stopped at the start and {midway} midway");
}

/// What a child said under a fault, audited.
struct Run {
    fault: String,
    said: Vec<Said>,
}

impl Run {
    #[track_caller]
    fn of(fault: Fault, after_the_first: bool, role: Role) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = data_folder(&folder);
        let armed = folder.path().join(ARMED);
        let under = shim::failing(fault, &dir, after_the_first.then_some(&armed));
        let from = if after_the_first { " from the first acknowledgement on" } else { "" };
        let run = Self { fault: format!("{fault:?}{from}"), said: said(under, role, &dir) };
        run.audit(&dir);
        run
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.said.iter().filter_map(|said| if let Said::Acked(id) = said { Some(id.as_str()) } else { None })
    }

    fn acked(&self) -> usize {
        self.ids().count()
    }

    fn after_fault(&self) -> impl Iterator<Item = &Said> {
        self.said.iter().skip_while(|said| !matches!(said, Said::Fault(_)))
    }

    fn failed_beside_the_log(&self) -> bool {
        self.after_fault().next().is_some_and(
            |said| matches!(said, Said::Fault(file) if file.ends_with("/data") || file.ends_with("/consent-log.lock")),
        )
    }

    /// Whatever was acknowledged is there after a new start.
    #[track_caller]
    fn audit(&self, dir: &Path) {
        let fault = &self.fault;
        let first_refused = self.said.iter().position(|said| matches!(said, Said::Refused(_))).unwrap_or(self.said.len());
        let acked_later = self.said[first_refused..].iter().any(|said| matches!(said, Said::Acked(_)));
        assert!(!acked_later, "{fault}: an acknowledgement after a failure: {:?}", self.said);

        // A new start, as after a crash, and a clean end.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let log = ConsentLog::open(dir, Options::default()).unwrap_or_else(|e| panic!("{fault}: {e}"));
        runtime.block_on(log.close());

        let reader = Reader::open(dir).unwrap_or_else(|e| panic!("{fault}: {e}"));
        let mut seen = HashSet::new();
        for id in self.ids() {
            let shown = reader.show(id).unwrap_or_else(|e| panic!("{fault}: {id} was acknowledged: {e}"));
            assert!(seen.insert(shown.leaf.index), "{fault}: two records at index {}", shown.leaf.index);
        }
        if reader.leaves().expect("a count") > 0 {
            let verified = reader.verify(None, &mut |_, _| {}).unwrap_or_else(|e| panic!("{fault}: {e}"));
            assert!(verified.findings.is_empty(), "{fault}: {:?}", verified.findings);
        }
        let database = rusqlite::Connection::open(dir.join(FILE)).expect("the database");
        let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(whole, "ok", "{fault}");
    }
}
