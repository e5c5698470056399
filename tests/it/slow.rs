//! Clients that take their time on purpose, as slowhttptest plays them: heads and bodies that trickle in, answers
//! that nobody reads, ranges without end. Each is cut off at its limit, and everybody else is served meanwhile.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use consentry::config::Config;

use crate::{
    harness::{Gate, Upstream, respond},
    process::Process,
};

/// At a time. Loopback has no limit of connections for a client.
const CONNECTIONS: i64 = 200;
/// What a phase may take, in seconds; the attack goes on for longer than that.
const LIMIT_S: u64 = 3;
const ATTACK_S: u64 = 30;
/// So many may be others: whoever asks whether the gate still answers.
const FEW: i64 = 5;

/// What became of an attack.
struct Attacked {
    /// The most connections that were open at a time.
    most: i64,
    /// How long after that the gate was rid of them, while the attack still went on.
    rid_after: Option<Duration>,
}

/// Attacks a gate that serves `body_bytes` and returns how its open connections went up and down.
async fn attack(mode: &[&str], body_bytes: usize, edit: impl FnOnce(&mut Config)) -> Attacked {
    let body = vec![b'x'; body_bytes];
    let upstream = Upstream::start(move |_| respond("200 OK", &[("content-type", "application/octet-stream")], &body)).await;
    let gate = Gate::with(&upstream, edit).await;
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}/", gate.address);
    let (connections, seconds) = (CONNECTIONS.to_string(), ATTACK_S.to_string());
    let mut command = Command::new("slowhttptest");
    command.args(mode).args(["-c", &connections, "-r", "100", "-l", &seconds, "-p", "10", "-g", "-o", "seen", "-u", &url]);
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tool = Process(command.spawn().expect("slowhttptest (Debian package) runs"));
    let (began, mut most, mut peak, mut rid_after) = (Instant::now(), 0, Instant::now(), None);
    while tool.0.try_wait().expect("it is ours").is_none() {
        let open = open_connections(&gate).await;
        if open > most {
            (most, peak) = (open, Instant::now());
        } else if most > CONNECTIONS / 2 && open <= FEW && rid_after.is_none() {
            rid_after = Some(peak.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It goes when nothing is left of its connections.
    if began.elapsed() + Duration::from_secs(3) < Duration::from_secs(ATTACK_S) {
        rid_after = rid_after.or_else(|| Some(peak.elapsed()));
    }
    // The tool asks like anybody else now and then, and says for each second whether it was served.
    let seen = std::fs::read_to_string(dir.path().join("seen.csv")).expect("what it saw");
    let served = |line: &str| line.rsplit(',').next().is_some_and(|last| last.trim().parse::<u64>().is_ok_and(|one| one > 0));
    assert!(seen.lines().count() > 3 && seen.lines().skip(1).all(served), "everybody else is served: {seen}");
    let of_them = |line: &str| line.split(',').skip(1).take(3).filter_map(|one| one.parse::<i64>().ok()).sum::<i64>();
    assert!(seen.lines().skip(1).map(of_them).max() > Some(CONNECTIONS / 2), "it did attack: {seen}");
    assert_eq!(gate.get("/", &[]).await.status, 200);
    Attacked { most, rid_after }
}

async fn open_connections(gate: &Gate) -> i64 {
    let metrics = gate.admin("/metrics", &[]).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("consentry_open_connections "));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

fn all_are_cut_off(attacked: &Attacked) {
    let Attacked { most, rid_after } = attacked;
    assert!(rid_after.is_some(), "of {most} connections, more than {FEW} stay open as long as the attack goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_trickle_in_are_cut_off() {
    all_are_cut_off(&attack(&["-H", "-i", "1", "-x", "24"], 10, |config| config.limits.head_s = LIMIT_S).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_trickle_in_are_cut_off() {
    let edit = |config: &mut Config| {
        config.limits.body_idle_s = LIMIT_S;
        config.limits.body_bytes_per_s = 1_000;
    };
    all_are_cut_off(&attack(&["-B", "-i", "1", "-s", "8192", "-x", "10"], 10, edit).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_are_cut_off() {
    let read_nothing = ["-X", "-n", "20", "-z", "1", "-w", "16", "-y", "32"];
    all_are_cut_off(&attack(&read_nothing, 8_000_000, |config| config.limits.write_idle_s = LIMIT_S).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_without_end_keep_nobody_else_out() {
    attack(&["-R", "-t", "HEAD", "-a", "10", "-b", "3000"], 4_000, |_| ()).await;
}
