//! Rights and retention by the real binary: beside a running gate, without one, and two commands at a time.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use consentry::{
    consent_log::{self, ConsentLog, Kind, Layer, Method, NoticeLeaf, Options, PolicyLeaf, Reader, Record, record_id},
    vocab::{Hash, PolicyRevision, SubjectId},
};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};

use crate::harness::{Gate, Upstream, run};

const PAGE: &str = "<!doctype html><html><head><script async src=\"https://www.googletagmanager.com/gtag/js?id=G-ABC1234567\"></script></head><body><p>x</body></html>";
const OPENED: [(&str, &str); 3] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

fn log(data: &Path, words: &[&str]) -> (i32, String, String) {
    let data = data.to_str().expect("a path");
    let line: Vec<&str> = ["log"].iter().chain(words).copied().chain(["--data", data]).collect();
    // Where no consentry.toml lies about.
    run(&line, Path::new(data))
}

#[track_caller]
fn done(data: &Path, words: &[&str]) -> String {
    let (code, out, err) = log(data, words);
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

#[track_caller]
fn json(data: &Path, words: &[&str]) -> Value {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    let out = done(data, &words);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

async fn receipt(gate: &Gate, cookie: &str) -> Value {
    let headers: Vec<(&str, &str)> = OPENED.into_iter().chain([("cookie", cookie)]).collect();
    let answer = gate.get("/_consent/receipt", &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn subject_of(receipt: &Value) -> String {
    let record: Value = serde_json::from_str(receipt["record"].as_str().expect("a record")).expect("JSON");
    record["sub"].as_str().expect("a visitor").to_owned()
}

/// Whether any file of the folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(&path).is_ok_and(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_visitor_is_nobody_to_the_running_gate() {
    let upstream = Upstream::page(PAGE).await;
    let mut gate = Gate::start(&upstream).await;
    let data = gate.data.path().to_owned();
    let socket = fs::symlink_metadata(data.join(consent_log::SOCKET)).expect("a socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600, "the owner's alone");

    let cookie = gate.accepted().await;
    let page = gate.get("/", &[("cookie", &cookie)]).await.text();
    assert!(page.contains(" src=\"https://www.googletagmanager.com"), "the tag is live: {page}");
    let kept = receipt(&gate, &cookie).await;
    let subject = subject_of(&kept);
    let salt = kept["salt"].as_str().expect("a salt").to_owned();
    let file = data.join("receipt.json");
    fs::write(&file, kept.to_string()).expect("writable");
    let (other, by_receipt) = (gate.accepted().await, file.to_str().expect("a path"));

    // Shown first; nothing is done.
    let dry = done(&data, &["erase", "--receipt", by_receipt, "--dry-run"]);
    assert!(dry.contains(&subject) && dry.contains("1 record would be erased"), "{dry}");
    assert!(gate.get("/", &[("cookie", &cookie)]).await.text().contains(" src=\"https://www.googletagmanager.com"));

    let certificate = data.join("certificate");
    let line = ["erase", "--receipt", by_receipt, "--reference", "case 17", "--operator", "dpo", "-o"];
    let told = done(&data, &[&line[..], &[certificate.to_str().expect("a path")]].concat());
    assert!(told.contains("erased       1 record\n") && told.contains("no longer valid"), "{told}");
    fs::remove_file(&file).expect("it held the record");

    // The next page is one for somebody who has not decided.
    let state = gate.get("/_consent/state", &[("cookie", &cookie)]).await.json();
    assert_eq!((state["decided"].as_bool(), state["grants"]["analytics"].as_bool()), (Some(false), Some(false)), "{state}");
    let page = gate.get("/", &[("cookie", &cookie)]).await.text();
    assert!(!page.contains(" src=\"https://www.googletagmanager.com") && page.contains("Accept all"), "{page}");
    let headers: Vec<(&str, &str)> = OPENED.into_iter().chain([("cookie", cookie.as_str())]).collect();
    assert_eq!(gate.get("/_consent/receipt", &headers).await.status, 404);
    // Who decides again is somebody else, and nothing leads back.
    let again = gate.decide(json!({ "choice": "accept_all", "notice": gate.token().await }), &[("cookie", &cookie)]).await;
    let fresh = receipt(&gate, &again.consent_cookie().expect("a cookie")).await;
    assert_ne!(subject_of(&fresh), subject);
    let record: Value = serde_json::from_str(fresh["record"].as_str().expect("a record")).expect("JSON");
    assert_eq!((record["prev"].as_str(), record["kind"].as_str()), (None, Some("given")), "{record}");
    // Nobody else notices.
    assert!(gate.get("/", &[("cookie", &other)]).await.text().contains(" src=\"https://www.googletagmanager.com"));

    let note = fs::read_to_string(&certificate).expect("a certificate");
    assert!(note.starts_with("consentry.act-certificate/1\n") && note.contains("\"operator\":\"dpo\""), "{note}");
    assert!(!note.contains(&subject) && !note.contains("case 17"), "{note}");
    signed_by_openssl(&data, &note);
    for _ in 0..2 {
        for gone in [subject.as_str(), kept["record"].as_str().expect("a record"), &salt] {
            assert!(!holds(&data, gone), "{gone}");
        }
        let verified = json(&data, &["verify"]);
        assert_eq!((verified["intact"].as_bool(), verified["erased"].as_u64()), (Some(true), Some(1)), "{verified}");
        gate.stop().await;
    }
    assert!(!data.join(consent_log::SOCKET).exists(), "nobody listens any more");
    // The receipt is still the visitor's proof: the leaf stands where it was.
    assert!(Reader::open(&data).expect("a log").prove(&index_of(&kept)).is_ok());
}

fn index_of(receipt: &Value) -> String {
    let proof = receipt["proof"].as_str().expect("a proof");
    proof.lines().find_map(|line| line.strip_prefix("index ")).expect("an index").to_owned()
}

/// Checks the note's signature as somebody without this program would.
fn signed_by_openssl(folder: &Path, note: &str) {
    let (text, signature) = note.rsplit_once("\n\n").expect("a note");
    let key = Reader::open(folder).expect("a log").prove("0").expect("a proof").key;
    let key = STANDARD.decode(key.splitn(3, '+').last().expect("a key")).expect("base64");
    let signed = signature.trim_end().rsplit(' ').next().expect("a signature");
    let signed = STANDARD.decode(signed).expect("base64");
    // The ASN.1 head of an Ed25519 public key (RFC 8410, section 4), then the key behind its type.
    let der = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &key[1..]].concat();
    let beside = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = beside.path().join(name);
        fs::write(&path, bytes).expect("writable");
        path
    };
    let (key, text, signature) =
        (file("key", &der), file("text", format!("{text}\n").as_bytes()), file("signature", &signed[4..]));
    let mut openssl = Command::new("openssl");
    openssl
        .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey"])
        .arg(key)
        .arg("-in")
        .arg(text)
        .arg("-sigfile")
        .arg(signature);
    let ran = openssl.output().expect("openssl is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn restricting_and_reading_are_done_through_the_gate_and_stand_in_its_log() {
    let upstream = Upstream::page(PAGE).await;
    let mut gate = Gate::start(&upstream).await;
    let data = gate.data.path().to_owned();
    let cookie = gate.accepted().await;
    gate.accepted().await;
    let subject = subject_of(&receipt(&gate, &cookie).await);
    let found = |words: &[&str]| json(&data, &[&["find"], words].concat())["records"].as_array().expect("records").len();
    assert_eq!(found(&[]), 2);
    let restricted = json(&data, &["restrict", "--subject", &subject, "--reason", "accuracy"]);
    assert_eq!(restricted["count"], 1);
    let act = restricted["act"]["idx"].as_u64().expect("an act");
    assert_eq!((found(&[]), found(&["--restricted"]), found(&["--subject", &subject])), (1, 2, 0));
    let index = restricted["indices"].as_str().expect("an index");
    let (code, _, err) = log(&data, &["show", index]);
    assert!(code == 1 && err.contains(&format!("restricted (act {act})")), "{err}");
    assert!(done(&data, &["show", index, "--restricted"]).contains(&subject));
    let (code, _, err) = log(&data, &["erase", "--subject", &subject]);
    assert!(code == 1 && err.contains("--lift"), "{err}");
    assert!(done(&data, &["restrict", "--subject", &subject, "--lift"]).contains("released"));
    assert_eq!(found(&[]), 2);
    // The restricted visitor's own choice held all the while.
    assert!(gate.get("/", &[("cookie", &cookie)]).await.text().contains(" src=\"https://www.googletagmanager.com"));
    gate.stop().await;

    // What was read and by whom stands in the log, and not about whom.
    let lines = done(&data, &["export", "--format", "jsonl", "--operator", "auditor"]);
    let acts: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|leaf: &Value| leaf["_kind"] == "act")
        .collect();
    let told: Vec<String> = acts
        .iter()
        .map(|act| {
            format!("{} {} {}", act["act"].as_str().unwrap_or_default(), act["command"].as_str().unwrap_or_default(), act["rows"])
        })
        .collect();
    assert_eq!(
        told,
        [
            "read find 2",
            "restrict  null",
            "read find 1",
            "read find 2",
            "read find 0",
            "read show 1",
            "unrestrict  null",
            "read find 2",
            "read export null"
        ]
    );
    assert_eq!(acts.last().expect("acts")["operator"], "auditor");
    assert!(acts.iter().all(|act| !act.to_string().contains(&subject)));
    assert_eq!(json(&data, &["verify"])["intact"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_gate_take_turns_and_a_gate_that_starts_meanwhile_does_not_harm() {
    let upstream = Upstream::page(PAGE).await;
    let mut gate = Gate::start(&upstream).await;
    let data = gate.data.path().to_owned();
    let mut subjects = Vec::new();
    for _ in 0..4 {
        subjects.push(subject_of(&receipt(&gate, &gate.accepted().await).await));
    }
    // While it stops, too: each finds the folder held, the socket there or gone, or nobody.
    gate.begin_stop();
    let commands: Vec<_> = subjects
        .into_iter()
        .map(|subject| {
            let data = data.clone();
            std::thread::spawn(move || {
                let erased = json(&data, &["erase", "--subject", &subject]);
                let (_, read, _) = log(&data, &["find", "--limit", "1"]);
                (erased["count"].as_u64(), erased["certificate"].is_string(), read)
            })
        })
        .collect();
    gate.stop().await;
    for command in commands {
        let (count, certified, _) =
            tokio::task::spawn_blocking(move || command.join()).await.expect("joined").expect("a command");
        assert_eq!((count, certified), (Some(1), true));
    }
    let verified = json(&data, &["verify"]);
    assert_eq!(
        (verified["intact"].as_bool(), verified["erased"].as_u64(), verified["acts"].as_u64()),
        (Some(true), Some(4), Some(8)),
        "{verified}"
    );
}

/// A log with decisions that ran out so many months ago, under a policy that keeps proof for 24 months.
async fn aged(dir: &Path, ran_out: &[i64]) {
    let canonical = r#"{"regime":{"id":"eu","proof_months":24},"v":"consent-policy/1"}"#.to_owned();
    let revision = PolicyRevision(Hash::of(canonical.as_bytes()));
    let policy = PolicyLeaf { revision, canonical, source_hashes: BTreeMap::new() };
    let notice = NoticeLeaf { sha256: Hash::of(b"<p>Well?"), json: "{}".to_owned(), html: "<p>Well?".to_owned() };
    let log = ConsentLog::open(dir, Options::default()).expect("an empty folder");
    log.ensure_policy(&policy).await.expect("a policy");
    log.ensure_notice(notice.clone()).await.expect("a notice");
    let months_ago = |months: i64| {
        let then = TimeZone::UTC.to_datetime(Timestamp::now()).checked_sub(months.months()).expect("a date");
        TimeZone::UTC.to_timestamp(then).expect("a time")
    };
    for (number, ran_out) in (1..).zip(ran_out) {
        let time = months_ago(ran_out + 6);
        let record = Record {
            id: record_id(time),
            prev: None,
            kind: Kind::Given,
            time,
            expires: months_ago(*ran_out),
            site: "shop.example".to_owned(),
            controller: "Theatre".to_owned(),
            subject: Some(SubjectId([number; 16])),
            notice: notice.sha256,
            policy: revision,
            language: "en".to_owned(),
            layer: Layer::Banner,
            method: Method::AcceptAll,
            gpc: false,
            purposes: BTreeMap::from([("marketing".to_owned(), true)]),
            vendors: BTreeMap::new(),
            jurisdiction: "EU".to_owned(),
            regime: "eu".to_owned(),
            browser: None,
            enforced: policy.address(),
            product: "0.1.0".to_owned(),
        };
        log.append(record).await.expect("a decision");
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_what_has_run_out_by_hand_and_by_the_gate() {
    let (by_hand, by_gate) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for folder in [&by_hand, &by_gate] {
        aged(folder.path(), &[30, 25, 23, 1]).await;
    }
    let data = by_hand.path();
    let dry = json(data, &["retain", "--dry-run"]);
    assert_eq!((dry["count"].as_u64(), dry["acts"][0]["indices"].as_str()), (Some(2), Some("2-3")), "{dry}");
    assert_eq!(
        done(data, &["retain", "--keep", "240", "--dry-run"]),
        "act  records  indices\n-          2  2-3\n\n2 records would be deleted; restricted ones are kept.\n"
    );
    let restrict = json(data, &["restrict", "--subject", &SubjectId([1; 16]).encode(), "--reason", "claims"]);
    assert_eq!(restrict["indices"], "2");
    let deleted = done(data, &["retain"]);
    assert!(deleted.contains("1 record deleted") && deleted.contains("  3\n"), "{deleted}");
    assert_eq!(done(data, &["retain"]), "No record's time has passed.\n");
    assert_eq!(json(data, &["retain", "--keep", "2"])["count"], 1);
    let verified = json(data, &["verify"]);
    assert_eq!(
        (verified["intact"].as_bool(), verified["records"].as_u64(), verified["erased"].as_u64()),
        (Some(true), Some(2), Some(2))
    );
    let (code, _, err) = log(data, &["retain", "--keep", "never"]);
    assert_eq!(code, 64, "{err}");

    // The gate does it by itself, at its start and then once a day.
    let upstream = Upstream::page(PAGE).await;
    let data = by_gate.path();
    let mut gate = Gate::with(&upstream, |config| data.clone_into(&mut config.data)).await;
    let began = std::time::Instant::now();
    while json(data, &["verify"])["erased"] != 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "what has run out is deleted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gate.stop().await;
    assert_eq!(json(data, &["verify"])["intact"], true);
    assert!(!holds(data, &SubjectId([1; 16]).encode()) && holds(data, &SubjectId([3; 16]).encode()));
    let tombstone = done(data, &["export", "--format", "jsonl"]);
    let tombstone = tombstone.lines().find(|line| line.contains("\"act\":\"retain\"")).expect("an act");
    assert!(tombstone.contains("\"indices\":\"2-3\"") && tombstone.contains("\"reason\":\"expired\""), "{tombstone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let upstream = Upstream::page(PAGE).await;
    let mut gate = Gate::start(&upstream).await;
    let data = gate.data.path().to_owned();
    let kept = receipt(&gate, &gate.accepted().await).await;
    let subject = subject_of(&kept);
    for (words, code, part) in [
        (&["erase"][..], 64, "--subject"),
        (&["erase", "--subject", "short"], 64, "22 characters"),
        (&["erase", "--subject", &subject, "--reason", "because"], 64, "known: request"),
        (&["erase", "--receipt", "nowhere"], 1, "cannot be read"),
        (&["erase", "--subject", &subject, "-o", "/nowhere/certificate"], 1, "cannot be written"),
    ] {
        let (found, _, err) = log(&data, words);
        assert!(found == code && err.contains(part), "{words:?}: {found} {err}");
    }
    // A receipt is believed where the log has committed to it, and nowhere else.
    let file = data.join("forged.json");
    for (from, to) in [("\\\"kind\\\":\\\"given\\\"", "\\\"kind\\\":\\\"partial\\\""), (&subject, "AAAAAAAAAAAAAAAAAAAAAA")] {
        fs::write(&file, kept.to_string().replace(from, to)).expect("writable");
        let (code, _, err) = log(&data, &["erase", "--receipt", file.to_str().expect("a path")]);
        assert!(code == 1 && err.contains("is no receipt of a record in this log"), "{from}: {err}");
    }
    assert_eq!(json(&data, &["verify"])["erased"], 0);
    assert_eq!(done(&data, &["erase", "--subject", "AAAAAAAAAAAAAAAAAAAAAA"]), "Nothing fits: nothing was erased.\n");
    gate.stop().await;

    // A copy is read, and the remark says that nobody will know.
    let copy = tempfile::tempdir().expect("a folder");
    fs::copy(data.join(consent_log::FILE), copy.path().join(consent_log::FILE)).expect("a copy");
    let (code, out, err) = log(copy.path(), &["find"]);
    assert!(code == 0 && out.contains(&subject) && err.contains("not put on record"), "{out}{err}");
    let names: Vec<PathBuf> = fs::read_dir(copy.path()).expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert!(!names.iter().any(|name| name.ends_with(consent_log::KEY_FILE)), "no key was made: {names:?}");
    let (code, _, err) = log(copy.path(), &["erase", "--subject", &subject]);
    assert!(code == 1 && err.contains("it is a copy"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_a_long_name_has_a_way_in_as_well() {
    let upstream = Upstream::page(PAGE).await;
    let beside = tempfile::tempdir().expect("a folder");
    let long = beside.path().join("data".repeat(40)).join("consent".repeat(20));
    let mut gate = Gate::with(&upstream, |config| {
        config.data.clone_from(&long);
    })
    .await;
    let subject = subject_of(&receipt(&gate, &gate.accepted().await).await);
    assert_eq!(json(&long, &["erase", "--subject", &subject])["count"], 1);
    gate.stop().await;
    // A socket of a process that was killed keeps nobody from listening.
    drop(std::os::unix::net::UnixListener::bind(beside.path().join("s")).expect("a socket"));
    fs::rename(beside.path().join("s"), long.join(consent_log::SOCKET)).expect("left behind");
    let told: BTreeMap<String, Value> = serde_json::from_value(json(&long, &["verify"])).expect("an object");
    assert_eq!((&told["intact"], &told["acts"]), (&json!(true), &json!(1)));
    assert_eq!(json(&long, &["find"])["records"], json!([]));
    assert_eq!(json(&long, &["verify"])["acts"], 2, "the order was carried out in this process");
}
