//! A disk that is full, and one that cannot be written: a clear message, nothing lost, and the gate goes on.

use std::{fs, path::Path, process::Command};

use crate::{
    ending::{assert_not_recorded_and_acting, cookie, id, until},
    gate::{Gate, Start, assert_whole, command, site},
    mount::{self, Mount},
};

const DISK_BYTES: u64 = 12 << 20;

/// Takes all room but so much.
fn fill(disk: &Path, leave_bytes: u64) {
    let free = rustix::fs::statvfs(disk).map(|disk| disk.f_bavail * disk.f_frsize).expect("a disk");
    fs::write(disk.join("ballast"), vec![0; free.saturating_sub(leave_bytes) as usize]).expect("room for it");
}

fn empty(disk: &Path) {
    fs::remove_file(disk.join("ballast")).expect("it is there");
}

/// Below the reserve nothing is written, so that nothing fails: no grant, refusals act, and it ends with the shortage.
#[test]
fn a_disk_that_fills_up_is_met_by_the_reserve() {
    if !mount::possible("that a full disk loses nothing and ends nothing") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let _mounted = Mount::memory(&disk, DISK_BYTES).expect("it was possible a moment ago");
    let data = disk.join("data");
    let limits = "log_reserve_bytes = 2097152\nlog_failed_s = 0";
    let start = || Start { under: Command::new("env"), data: &data, beside: folder.path(), upstream: site(), limits };
    let mut gate = start().ready();
    let granted = gate.choose("accept_all", "");
    let mut acks = vec![id(&granted)];

    // To the last byte, and then only below the reserve.
    for leave in [0, 1 << 20] {
        fill(&disk, leave);
        let grant = gate.choose("accept_all", "");
        assert!(grant.status == 503 && grant.cookies().count() == 0, "{} {}", grant.status, grant.head);
        assert_full_and_refusing(&gate, &cookie(&granted));
        assert!(gate.said().contains("nothing is recorded below 2 MiB. Free some room"), "{}", gate.said());
        assert_whole(&data, &acks);
        if leave == 0 {
            // What is in the write-ahead log finds no room in the database at the next start.
            gate.kill();
        } else {
            assert_eq!(gate.stop(), Some(0), "{}", gate.said());
        }
        gate = start().ready();
        assert_eq!(gate.choose("accept_all", "").status, 503);
        assert_full_and_refusing(&gate, &cookie(&granted));
        empty(&disk);
        if leave == 0 {
            assert_eq!(gate.ended(), Some(1), "there is room to begin anew: {}", gate.said());
            gate = start().ready();
        }
        acks.push(id(&gate.choose("accept_all", "")));
    }
    assert_whole(&data, &acks);
}

/// Nobody is to start it again: a new process would find the disk as full. Refusals act.
#[track_caller]
fn assert_full_and_refusing(gate: &Gate, cookie: &str) {
    assert_not_recorded_and_acting(&gate.choose("reject_all", ""));
    assert_not_recorded_and_acting(&gate.choose("withdraw", cookie));
    assert_eq!(gate.told("/healthz").0, 200);
    let (status, ready) = gate.told("/readyz");
    assert!(status == 503 && ready.contains("short of disk"), "{status} {ready}");
}

/// Without a reserve a write does fail. That is no reason to end: not before there is room again.
#[test]
fn a_write_that_finds_no_room_ends_nothing_until_there_is_room() {
    if !mount::possible("that a write without room ends nothing") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let _mounted = Mount::memory(&disk, DISK_BYTES).expect("it was possible a moment ago");
    let data = disk.join("data");
    let start = || {
        let limits = "log_reserve_bytes = 0\nlog_failed_s = 0\ndrain_s = 1";
        Start { under: Command::new("env"), data: &data, beside: folder.path(), upstream: site(), limits }
    };
    let mut gate = start().ready();
    let granted = gate.choose("accept_all", "");
    let mut acks = vec![id(&granted)];
    fill(&disk, 64 << 10);
    let failed = until(|| {
        let answer = gate.choose("accept_all", "");
        if answer.status == 200 {
            acks.push(id(&answer));
        }
        answer.status == 503
    });
    assert!(failed, "the disk never fills up");
    for _ in 0..20 {
        assert_eq!(gate.choose("accept_all", "").status, 503, "no grant after the first that failed");
        assert_full_and_refusing(&gate, &cookie(&granted));
    }
    assert!(gate.process.try_wait().expect("a child").is_none(), "a full disk ends nothing: {}", gate.said());
    empty(&disk);
    assert_eq!(gate.ended(), Some(1), "there is room: a new process mends it: {}", gate.said());
    let gate = start().ready();
    acks.push(id(&gate.choose("accept_all", "")));
    assert_whole(&data, &acks);
}

#[test]
fn a_read_only_disk_is_named_and_can_be_read() {
    if !mount::possible("that a log on a read-only disk can be read") {
        return;
    }
    for crashed in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = folder.path().join("disk");
        let mounted = Mount::memory(&disk, DISK_BYTES).expect("it was possible a moment ago");
        // Characters that mean something in an address.
        let data = disk.join("data of 100%? #1");
        let start = || {
            let limits = "log_reserve_bytes = 0";
            Start { under: Command::new("env"), data: &data, beside: folder.path(), upstream: site(), limits }
        };
        let mut gate = start().ready();
        let acked = id(&gate.choose("accept_all", ""));
        if crashed {
            gate.kill();
        } else {
            assert_eq!(gate.stop(), Some(0), "{}", gate.said());
        }
        mounted.read_only().expect("it is not in use");
        let mut refused: Gate = start().spawn();
        assert_eq!(refused.ended(), Some(1));
        let said = refused.said();
        assert!(said.contains("cannot be used; make it writable for this user") && said.contains("Read-only"), "{said}");
        assert_whole(&data, [&acked]);
        for words in [&["log", "find"][..], &["log", "stats"], &["log", "show", &acked], &["notice", "list"]] {
            let (code, printed, said) = command(words, &data);
            assert!(code == Some(0) && !printed.is_empty(), "{words:?}: {said}");
        }
    }
}
