//! A clock that jumps, back and forth: the order of the log is that of its indices, and nobody's record is lost,
//! taken for another's or called damaged.

use std::fs;

use serde_json::Value;

use crate::{
    ending::id,
    gate::{Gate, assert_whole, data_folder, exported, site},
    shim,
};

/// Seconds to the true time.
const JUMPS: [i64; 6] = [0, -3_600, -400 * 86_400, 90 * 86_400, -1, -7 * 86_400];

#[test]
fn a_clock_that_jumps_back_reorders_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, clock, upstream) = (data_folder(&folder), folder.path().join("clock"), site());
    let mut acks = Vec::new();
    for restart in 0..2 {
        let mut gate = Gate::start(shim::turned(&clock, &data), &data, upstream);
        for seconds in JUMPS {
            fs::write(&clock, seconds.to_string()).expect("the clock is turned");
            for choice in ["accept_all", "reject_all", "accept_all"] {
                acks.push(id(&gate.choose(choice, "")));
            }
        }
        // Once by a crash, with the clock a week back.
        if restart == 0 {
            gate.kill();
        } else {
            assert_eq!(gate.stop(), Some(0), "{}", gate.said());
        }
    }
    assert_whole(&data, &acks);
    let lines = exported(&data);
    let leaves: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let decisions: Vec<&Value> = leaves.iter().filter(|leaf| leaf["_kind"] == "decision").collect();
    let logged: Vec<&str> = decisions.iter().filter_map(|leaf| leaf["id"].as_str()).collect();
    assert_eq!(logged, acks, "in the order in which they were acknowledged");
    let times: Vec<&str> = decisions.iter().filter_map(|leaf| leaf["t"].as_str()).collect();
    assert!(!times.is_sorted(), "the clock did jump: {times:?}");
}
