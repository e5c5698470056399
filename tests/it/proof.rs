//! What an operator does with the log beside a running gate: bundle, backup, restore, another key.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::harness::{Gate, Upstream, run};

const CHECKPOINT: &str = "/.well-known/consent-log/checkpoint";

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_gets_a_bundle_and_the_operator_a_backup_while_the_gate_runs() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let mut gate = Gate::start(&upstream).await;
    gate.accepted().await;
    let around = tempfile::tempdir().expect("a folder");
    let path = |name: &str| around.path().join(name).to_str().expect("a path").to_owned();
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let consentry = |line: &[&str]| run(line, around.path());

    let (code, out, err) = consentry(&["log", "bundle", "-o", &path("bundle"), "--data", &data, "--operator", "anna"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let records = fs::read_to_string(around.path().join("bundle/records.jsonl")).expect("records");
    assert!(records.contains(r#""act":"read","command":"bundle""#) && records.contains("\"operator\":\"anna\""), "{records}");
    // Elsewhere, without this program; with what was published meanwhile.
    fs::write(path("kept"), gate.get(CHECKPOINT, &[]).await.text()).expect("writable");
    let script = Command::new("sh").arg(path("bundle") + "/verify.sh").args(["--checkpoint", &path("kept")]).output();
    let script = script.expect("a shell");
    assert!(script.status.success(), "{}{}", String::from_utf8_lossy(&script.stdout), String::from_utf8_lossy(&script.stderr));
    let (code, out, err) =
        consentry(&["log", "verify", "--bundle", &path("bundle"), "--from-checkpoint", &path("kept"), "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &told["intact"]), (0, &json!(true)), "{out}{err}");
    fs::write(path("bundle/records.jsonl"), records.replacen("\"lang\":\"", "\"lang\":\"x", 1)).expect("writable");
    let (code, _, err) = consentry(&["log", "verify", "--bundle", &path("bundle")]);
    assert!(code == 1 && err.contains("the first at index"), "{err}");

    let (code, out, err) = consentry(&["log", "backup", &path("backup"), "--data", &data]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let newest = gate.get(CHECKPOINT, &[]).await.text();
    fs::write(path("kept"), &newest).expect("writable");
    let restore = |new: &str, more: &[&str]| {
        let (backup, new) = (path("backup"), path(new));
        let mut line = vec!["log", "restore", &backup, "--data", &new];
        line.extend_from_slice(more);
        consentry(&line)
    };
    let (code, out, err) = restore("same", &["--from-checkpoint", &path("kept")]);
    assert!(code == 0 && !out.contains("new key"), "{out}{err}");
    gate.accepted().await;
    fs::write(path("later"), gate.get(CHECKPOINT, &[]).await.text()).expect("writable");
    let (code, _, err) = restore("lost", &["--from-checkpoint", &path("later")]);
    assert!(code == 1 && err.contains("the last 1 are lost") && err.contains("--accept-loss"), "{err}");
    let (code, out, err) = restore("lost", &["--from-checkpoint", &path("later"), "--accept-loss"]);
    assert!(code == 0 && out.contains("a new key"), "{out}{err}");
    for new in ["same", "lost"] {
        let (code, out, err) = consentry(&["log", "verify", "--data", &path(new), "--from-checkpoint", &path("kept")]);
        assert_eq!(code, 0, "{out}{err}");
        let (code, _, err) = restore(new, &[]);
        assert!(code == 1 && err.contains("there is a consent log in"), "{err}");
    }

    let (code, _, err) = consentry(&["log", "rotate-key", "--data", &data]);
    assert!(code == 1 && err.contains("in use"), "{err}");
    gate.stop().await;
    let (code, out, err) = consentry(&["log", "rotate-key", "--data", &data]);
    assert!(code == 0 && out.starts_with("consent-log/"), "{out}{err}");
    let (code, out, err) = consentry(&["log", "verify", "--data", &data, "--from-checkpoint", &path("later")]);
    assert_eq!(code, 0, "{out}{err}");
}
