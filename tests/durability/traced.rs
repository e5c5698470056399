//! The flush comes after the write to the log and before the answer, seen from outside: in the
//! system calls of the process. With flushing off the same check fails.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use consentry::consent_log::Synchronous;
use serde_json::json;

use crate::{
    child::{self, Role},
    client::post_json,
    gate::{Gate, data_folder, kill, site},
};

#[test]
fn the_gate_flushes_before_it_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let mut gate = Gate::start(strace(&trace), &data_folder(&folder), site());
    let token = Gate::token(gate.address).expect("a notice token");
    let answer = Gate::decide(gate.address, &token).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = settled(&trace, answer.client);
    gate.kill();
    assert_eq!(flushed_before_answer(&text, answer.client), Ok(()), "{text}");
}

#[test]
fn the_log_flushes_before_it_answers() {
    let (text, client) = decision_of_a_child(Synchronous::Full);
    assert_eq!(flushed_before_answer(&text, client), Ok(()), "{text}");
}

/// The control: the check above can fail.
#[test]
fn without_flushing_the_check_fails() {
    let (text, client) = decision_of_a_child(Synchronous::Off);
    assert_eq!(flushed_before_answer(&text, client), Err(Unproven::Unflushed), "{text}");
}

#[test]
fn the_check_reads_interleaved_traces() {
    let client: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    let (wal, flush) = ("7 pwrite64(5</d/consent-log.db-wal>, \"\"..., 24, 0) = 24\n", "fdatasync(5</d/consent-log.db-wal>");
    let answer = "8 sendto(9<TCP:[127.0.0.1:80->127.0.0.1:9]>, \"HTTP/1.1 200 OK\"..., 90, 0, NULL, 0) = 90\n";
    let check = |parts: &[&str], want: Result<(), Unproven>| assert_eq!(flushed_before_answer(&parts.concat(), client), want);
    check(&[wal, "7 ", flush, ") = 0\n", answer], Ok(()));
    check(&[wal, "7 ", flush, " <unfinished ...>\n", "7 <... fdatasync resumed>) = 0\n", answer], Ok(()));
    check(&[wal, "7 ", flush, " <unfinished ...>\n", answer, "7 <... fdatasync resumed>) = 0\n"], Err(Unproven::Unflushed));
    check(&[wal, "7 ", flush, ") = -1 EIO (Input/output error)\n", answer], Err(Unproven::Unflushed));
    check(&["7 ", flush, ") = 0\n", wal, answer], Err(Unproven::Unflushed));
    check(&[wal, "7 ", flush, ") = 0\n", wal, answer], Err(Unproven::Unflushed));
    check(&["7 ", flush, ") = 0\n", answer], Err(Unproven::Unwritten));
    check(&[wal, "7 ", flush, ") = 0\n"], Err(Unproven::Unanswered));
    // What was written and flushed for an earlier answer proves nothing for this one.
    check(&[wal, "7 ", flush, ") = 0\n", &answer.replace(":9]", ":8]"), answer], Err(Unproven::Unwritten));
}

/// Why a trace does not show what it should.
#[derive(Debug, PartialEq, Eq)]
enum Unproven {
    /// Nothing was sent to the client.
    Unanswered,
    /// Nothing was written to the log between the answer before and this one.
    Unwritten,
    /// What was written to the log was not flushed before the answer.
    Unflushed,
}

/// Whether a trace shows, for the first bytes sent to `client`: after the answer before it, a write
/// to the write-ahead log, and after the last such write a flush that succeeded.
fn flushed_before_answer(trace: &str, client: SocketAddr) -> Result<(), Unproven> {
    let (mut written, mut flushed) = (false, false);
    let mut pending: HashMap<&str, bool> = HashMap::new();
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let on_log = call.contains("consent-log.db-wal>");
        let flush = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if call.starts_with("<... fdatasync resumed>") || call.starts_with("<... fsync resumed>") {
            // It counts from when it returned, not from when it was called.
            flushed |= pending.remove(process).unwrap_or(false) && call.ends_with("= 0");
        } else if flush && call.contains("<unfinished") {
            pending.insert(process, on_log);
        } else if flush {
            flushed |= on_log && call.ends_with("= 0");
        } else if on_log {
            (written, flushed) = (true, false);
            // A flush under way may have begun before this write.
            pending.clear();
        } else if call.contains("<TCP:[") && !call.starts_with("<...") {
            if call.contains(&format!("->{client}]")) {
                return match (written, flushed) {
                    (false, _) => Err(Unproven::Unwritten),
                    (true, false) => Err(Unproven::Unflushed),
                    (true, true) => Ok(()),
                };
            }
            (written, flushed) = (false, false);
        }
    }
    Err(Unproven::Unanswered)
}

/// A decision of a child that serves with or without flushing, traced.
fn decision_of_a_child(synchronous: Synchronous) -> (String, SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let (exe, arguments, variables) = child::command(Role::Serve(synchronous), &data_folder(&folder));
    let mut traced = strace(&trace);
    traced.arg(exe).args(arguments).envs(variables).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = traced.spawn().expect("strace is installed: see tests/run");
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let port = lines.find_map(|line| line.ok()?.strip_prefix("port ")?.parse::<u16>().ok()).expect("the child says its port");
    let answer = post_json(SocketAddr::from(([127, 0, 0, 1], port)), "/", &json!({})).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = settled(&trace, answer.client);
    kill(&mut process);
    (text, answer.client)
}

fn strace(trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-yy", "-s", "16", "-o"]).arg(trace);
    strace.args(["-e", "trace=pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,fdatasync,fsync"]);
    strace
}

/// The trace once the answer is in it: the tracer writes behind the traced.
fn settled(trace: &Path, client: SocketAddr) -> String {
    for _ in 0..250 {
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        if text.contains(&format!("->{client}]")) {
            return text;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the answer is not in the trace {}", trace.display());
}
