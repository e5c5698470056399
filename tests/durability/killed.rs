//! `kill -9` while many clients decide: every decision that a client saw acknowledged is there.
//! 200 times: after each the next start recovers the log.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::gate::{Gate, assert_whole, data_folder, signal, site};

/// Gates that are killed over and over, each on a data folder of its own, at the same time.
const GATES: u64 = 4;
/// How often each.
const ROUNDS: u64 = 50;
/// Clients of each.
const CLIENTS: usize = 12;

#[test]
fn acknowledged_decisions_survive_kill_9() {
    let upstream = site();
    thread::scope(|scope| {
        for lane in 0..GATES {
            scope.spawn(move || killed_over_and_over(lane, upstream));
        }
    });
}

fn killed_over_and_over(lane: u64, upstream: SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_folder(&folder);
    let mut acked = Vec::new();
    for round in 0..ROUNDS {
        let mut gate = Gate::start(Command::new("env"), &data, upstream);
        let (killed, acks) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| decide_until(&killed, gate.address, &acks));
            }
            wait_for(&acks, 1 + round as usize % 8);
            // At another moment of the work in every round.
            thread::sleep(Duration::from_millis((lane * 50 + round * 17) % 90));
            signal(gate.process.id());
            killed.store(true, Ordering::Relaxed);
        });
        gate.kill();
        acked.append(&mut acks.into_inner().expect("no client panicked"));
        // What is lost stays lost: in between it is enough to look now and then.
        if round % 10 == 9 {
            assert_whole(&data, &acked);
        }
    }
    assert!(acked.len() >= 4 * ROUNDS as usize, "too few decisions ({}) to mean anything", acked.len());
}

pub(crate) fn decide_until(killed: &AtomicBool, gate: SocketAddr, acks: &Mutex<Vec<String>>) {
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

pub(crate) fn wait_for(acks: &Mutex<Vec<String>>, decisions: usize) {
    for _ in 0..3000 {
        if acks.lock().expect("no client panicked").len() >= decisions {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no decision is acknowledged");
}
