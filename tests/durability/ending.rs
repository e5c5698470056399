//! The gate whose log fails in the middle of its work: from then on no grant, refusals and withdrawals act, health is
//! bad, and the process drains and ends; the next one recovers.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    client::{Answer, get},
    gate::{Start, assert_whole, command, data_folder, site},
    killed::{decide_until, wait_for},
    shim::{self, Fault},
};

const CLIENTS: usize = 8;

#[test]
fn a_gate_whose_flush_fails_refuses_grants_and_ends() {
    a_gate_fails(Fault { call: "flush", kind: "EIO", nth: 5 });
}

#[test]
fn a_gate_whose_disk_turns_read_only_refuses_grants_and_ends() {
    a_gate_fails(Fault { call: "write", kind: "EROFS", nth: 9 });
}

fn a_gate_fails(fault: Fault) {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, armed, upstream) = (data_folder(&folder), folder.path().join("armed"), site());
    let start = |under| Start { under, data: &data, beside: folder.path(), upstream, limits: "log_failed_s = 6\ndrain_s = 5" };
    let mut gate = start(shim::failing(fault, &data, Some(&armed))).ready();
    let granted = gate.choose("accept_all", "");
    let cookie = cookie(&granted);

    let address = gate.address;
    let (ended, acks) = (AtomicBool::new(false), Mutex::new(vec![id(&granted)]));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| decide_until(&ended, address, &acks));
        }
        wait_for(&acks, 20);
        fs::write(&armed, "").expect("the next calls count");
        let bad = until(|| gate.told("/healthz").0 == 503);
        // Whatever is asked from here on is asked after the failure.
        let before = acks.lock().expect("no client panicked").len();
        if bad {
            let grant = gate.choose("accept_all", "");
            assert_eq!(grant.status, 503, "{}", grant.body);
            assert_eq!(grant.cookies().count(), 0, "a grant has no effect: {}", grant.head);
            assert_not_recorded_and_acting(&gate.choose("reject_all", ""));
            assert_not_recorded_and_acting(&gate.choose("withdraw", &cookie));
            let (status, ready) = gate.told("/readyz");
            assert!(status == 503 && ready.contains("a write failed"), "{status} {ready}");
            assert_eq!(get(gate.address, "/").expect("the site is still served").status, 200);
        }
        let code = gate.ended();
        ended.store(true, Ordering::Relaxed);
        assert!(bad, "health stays good: {}", gate.said());
        assert_eq!(code, Some(1), "{}", gate.said());
        // Those under way when the write failed may have been answered a moment before.
        let after = acks.lock().expect("no client panicked").len() - before;
        assert!(after <= CLIENTS, "{after} acknowledgements after the failure");
    });
    assert!(gate.said().contains("stopped after a failed write"), "{}", gate.said());

    let gate = start(std::process::Command::new("env")).ready();
    let mut acks = acks.into_inner().expect("no client panicked");
    let again = gate.choose("accept_all", "");
    acks.push(id(&again));
    assert_whole(&data, &acks);
    let shown = command(&["log", "show", &acks[0]], &data);
    assert_eq!(shown.0, Some(0), "{}", shown.2);
}

/// The record's id in an answer that acknowledges.
pub(crate) fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json().and_then(|state| state["record"].as_str().map(str::to_owned)).expect("a record's id")
}

/// The visitor's cookie after a grant, `name=value`.
pub(crate) fn cookie(answer: &Answer) -> String {
    let granted = answer.cookies().find(|cookie| cookie.contains("consent") && !cookie.contains("Max-Age=0"));
    granted.and_then(|cookie| cookie.split(';').next()).expect("a cookie with the grant").to_owned()
}

/// A refusal that could not be recorded: it says so, and the visitor's cookie ends.
#[track_caller]
pub(crate) fn assert_not_recorded_and_acting(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.json().map(|state| state["recorded"].clone()), Some(Value::from(false)), "{}", answer.body);
    assert!(answer.cookies().any(|cookie| cookie.contains("consent") && cookie.contains("Max-Age=0")), "{}", answer.head);
}

/// Whether it comes true within a generous while.
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}
