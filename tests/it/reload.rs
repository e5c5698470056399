//! Edited files: picked up while the gate runs, or refused while the old policy stays.

use std::{collections::BTreeMap, time::Duration};

use crate::harness::{Gate, Upstream, write_files};

const PAGE: &str =
    "<!doctype html><html><head><script src=\"https://cdn.newcomer.example/tag.js\"></script></head><body><p>x</body></html>";
const HELD: &str = "data-gate-";

const SITE: &str = "vendors = [\"matomo\"]\n[controller]\nname = \"Museum\"\ncontact = \"privacy@museum.example\"\n";

fn vendor(purposes: &str) -> String {
    format!(
        "id = \"newcomer\"\nname = \"Newcomer\"\npurposes = {purposes}\n[[rule]]\nid = \"host\"\nhosts = [\"newcomer.example\"]\n"
    )
}

async fn gate() -> (Upstream, Gate, tempfile::TempDir) {
    let policies = tempfile::tempdir().expect("a folder");
    write_files(policies.path(), &BTreeMap::from([("site.toml", SITE.to_owned())]));
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::with(&upstream, |config| config.sites[0].policies = Some(policies.path().to_owned())).await;
    (upstream, gate, policies)
}

async fn revision(gate: &Gate) -> String {
    gate.get("/_consent/state", &[]).await.json()["policy"].as_str().expect("a revision").to_owned()
}

/// Waits until the page is as wanted; the contract says within a second, the clock of a busy machine gets more.
async fn until(gate: &Gate, held: bool) -> bool {
    for _ in 0..40 {
        if gate.get("/", &[]).await.text().contains(HELD) == held {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_vendor_file_dropped_into_a_running_gate_holds_a_tag_that_nobody_compiled_in() {
    let (_upstream, gate, policies) = gate().await;
    assert!(gate.get("/", &[]).await.text().contains("<script src=\"https://cdn.newcomer.example/tag.js\">"));
    let before = revision(&gate).await;
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"marketing\"]"))]));
    assert!(until(&gate, true).await, "held within the time given");
    assert_eq!(revision(&gate).await, before, "an undeclared vendor changes nothing that was asked");
    let cookie = gate.accepted().await;
    assert!(gate.get("/", &[("cookie", &cookie)]).await.text().contains(HELD), "undeclared: held whatever was granted");

    write_files(policies.path(), &BTreeMap::from([("site.toml", SITE.replace("\"matomo\"", "\"matomo\", \"newcomer\""))]));
    for _ in 0..40 {
        if revision(&gate).await != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_ne!(revision(&gate).await, before, "a vendor added is a material change");
    let asked_again = gate.get("/_consent/state", &[("cookie", &cookie)]).await.json();
    assert_eq!(asked_again["decided"], false, "older decisions do not cover it");
    let cookie = gate.accepted().await;
    assert!(!gate.get("/", &[("cookie", &cookie)]).await.text().contains(HELD));
}

#[tokio::test]
async fn a_faulty_file_leaves_the_old_policy_in_force() {
    let (_upstream, gate, policies) = gate().await;
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"marketing\"]"))]));
    assert!(until(&gate, true).await);
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"no-such-purpose\"]"))]));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(gate.get("/", &[]).await.text().contains(HELD), "the old policy still holds the tag");
    std::fs::remove_file(policies.path().join("vendors/newcomer.toml")).expect("the file");
    assert!(until(&gate, false).await, "and a mended folder is taken up");
}
