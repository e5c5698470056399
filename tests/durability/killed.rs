//! `kill -9` while many clients decide: every decision that a client saw acknowledged is there.
//! 200 times: after each the next start recovers the log.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use uuid::Uuid;

use crate::{
    child::{self, Role, Said},
    gate::{Gate, assert_whole, data_folder, kill, signal, site},
    power::present,
};

/// How often the log's process is killed, on so many data folders at a time.
const KILLS: usize = 200;
const FOLDERS: usize = 4;

/// How often a whole gate.
const GATES: u64 = 20;
const CLIENTS: usize = 64;

#[test]
fn acknowledged_records_survive_200_kills() {
    thread::scope(|scope| {
        for lane in 0..FOLDERS {
            scope.spawn(move || killed_over_and_over(lane));
        }
    });
}

fn killed_over_and_over(lane: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_folder(&folder);
    let mut acked: Vec<Uuid> = Vec::new();
    for round in 0..KILLS / FOLDERS {
        let (exe, arguments, variables) = child::command(Role::AppendTogether, &data);
        let mut child = Command::new(exe);
        child.args(arguments).envs(variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().expect("this program");
        let pid = child.id();
        // At another moment of the work in every round; now and then while the log still opens.
        let after = (round * 37 + lane * 11) % 150;
        let opening = round % 10 == 9;
        if opening {
            thread::sleep(Duration::from_millis(after as u64 / 4));
            signal(pid);
        }
        let mut acks = 0;
        for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
            match Said::parse(&line) {
                Some(Said::Acked(id)) => acked.push(id.parse().expect("an id")),
                Some(Said::Refused(why)) => panic!("round {round}: {why}"),
                _ => continue,
            }
            acks += 1;
            if acks == 1 + after {
                signal(pid);
            }
        }
        kill(&mut child);
        assert!(opening || acks > after, "round {round}: it ended by itself after {acks} decisions");
        // What is lost stays lost: in between it is enough to look now and then.
        if round % 10 == 0 || round + 1 == KILLS / FOLDERS {
            let present: HashSet<Uuid> =
                present(&data).unwrap_or_else(|why| panic!("round {round}: {why}")).into_iter().collect();
            let lost: Vec<_> = acked.iter().filter(|id| !present.contains(id)).collect();
            assert!(lost.is_empty(), "round {round}: {} of {} acknowledged records are gone: {lost:?}", lost.len(), acked.len());
        }
    }
}

#[test]
fn acknowledged_decisions_survive_kills_of_the_gate() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, upstream) = (data_folder(&folder), site());
    let mut acked = Vec::new();
    for round in 0..GATES {
        let mut gate = Gate::start(Command::new("env"), &data, upstream);
        let (killed, acks) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| decide_until(&killed, gate.address, &acks));
            }
            wait_for(&acks, 32);
            thread::sleep(Duration::from_millis(round * 17 % 90));
            signal(gate.process.id());
            killed.store(true, Ordering::Relaxed);
        });
        gate.kill();
        acked.append(&mut acks.into_inner().expect("no client panicked"));
    }
    assert_whole(&data, &acked);
    assert!(acked.len() >= 32 * GATES as usize, "too few decisions ({}) to mean anything", acked.len());
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
