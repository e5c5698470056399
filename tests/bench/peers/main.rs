//! The gate beside other proxies: `tests/bench/run [--quick] [--only WORD]`, or `cargo bench --bench peers -- …` where
//! everything is installed.
//!
//! What is measured is the processor time that a proxy spends on a request: user and system time of its process tree
//! over the requests that were answered, the median of rounds in which the proxies take turns. Throughput on a shared
//! machine says less. Every proxy has one worker on one core, load and origin share another; the bodies are compared
//! before anything is measured. Ratios are the figures to look at; differences below a fifth are noise.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

mod load;
#[path = "../pages.rs"]
mod pages;
mod peer;
mod rows;
mod site;

use std::time::Duration;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How many times a row's requests are in a round.
    factor: u64,
    /// How long a round is where it is measured by time.
    span: Duration,
    rounds: usize,
    /// How many connections stand still.
    idle: usize,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1)).cloned();
    let effort = if quick {
        Effort { factor: 1, span: Duration::from_secs(1), rounds: 3, idle: 1_000 }
    } else {
        Effort { factor: 4, span: Duration::from_secs(2), rounds: 7, idle: 1_000 }
    };
    let missing: Vec<_> = ["nginx", "haproxy", "caddy", "wrk", "h2load", "taskset"]
        .into_iter()
        .filter(|program| !peer::is_installed(program))
        .collect();
    if !missing.is_empty() {
        eprintln!("peers: missing {}; tests/bench/run installs what it can", missing.join(", "));
        std::process::exit(1);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("peers: there is one core only: load and proxies share it, and the figures say little");
    }
    println!("medians of {} interleaved rounds", effort.rounds);
    let site = site::Site::build();
    let wanted = |name: &str| only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    rows::run(&site, effort, &wanted);
}
