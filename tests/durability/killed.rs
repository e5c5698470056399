//! `kill -9` while many clients decide: every decision that a client saw acknowledged is in the export.

use std::{
    collections::HashSet,
    net::SocketAddr,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::gate::{Gate, data_folder, exported, signal, site};

const ROUNDS: u64 = 20;
const CLIENTS: usize = 64;

#[test]
fn acknowledged_decisions_survive_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_folder(&folder);
    let upstream = site();
    let mut acked = HashSet::new();
    for round in 0..ROUNDS {
        let mut gate = Gate::start(Command::new("env"), &data, upstream);
        let (killed, acks) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| decide_until(&killed, gate.address, &acks));
            }
            wait_for(&acks, 32);
            // At another moment of the work in every round.
            thread::sleep(Duration::from_millis(40 + round * 17 % 230));
            if round == 0 {
                // An export beside the running gate.
                assert!(!exported(&data).is_empty());
            }
            signal(gate.process.id());
            killed.store(true, Ordering::Relaxed);
        });
        gate.kill();
        acked.extend(acks.into_inner().expect("no client panicked"));
        let present = ids(&exported(&data));
        let lost: Vec<_> = acked.difference(&present).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} acknowledged decisions are gone: {lost:?}", lost.len(), acked.len());
    }
    assert!(acked.len() >= CLIENTS * 4, "too few decisions ({}) to mean anything", acked.len());
}

fn decide_until(killed: &AtomicBool, gate: SocketAddr, acks: &Mutex<Vec<String>>) {
    let mut token = None;
    while !killed.load(Ordering::Relaxed) {
        if token.is_none() {
            token = Gate::token(gate);
        }
        let Some(token) = &token else { continue };
        let Ok(answer) = Gate::decide(gate, token) else { continue };
        if answer.status == 200
            && let Some(record) = answer.json().and_then(|state| state["record"].as_str().map(str::to_owned))
        {
            acks.lock().expect("no client panicked").push(record);
        }
    }
}

fn wait_for(acks: &Mutex<Vec<String>>, decisions: usize) {
    for _ in 0..3000 {
        if acks.lock().expect("no client panicked").len() >= decisions {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no decision is acknowledged");
}

/// The ids of decisions in an export without a gap.
fn ids(lines: &str) -> HashSet<String> {
    let mut ids = HashSet::new();
    for (index, line) in lines.lines().enumerate() {
        let leaf: Value = serde_json::from_str(line).expect("a line");
        assert_eq!(leaf["_idx"], index, "a gap");
        if leaf["_kind"] == "decision" {
            ids.insert(leaf["id"].as_str().expect("an id").to_owned());
        }
    }
    ids
}
