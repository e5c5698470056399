//! Checkpoints on their way to second parties: a file, a program, a time-stamping authority made of openssl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use consentry::{
    config::WitnessConfig,
    consent_log::{last_note, timestamp},
    vocab::Hash,
};
use serde_json::json;

use crate::harness::{Gate, Upstream, respond, run};

const CHECKPOINT: &str = "/.well-known/consent-log/checkpoint";

fn witness() -> WitnessConfig {
    WitnessConfig {
        file: None,
        command: None,
        timestamp: None,
        every: Duration::from_millis(100),
        alarm_after: Duration::from_secs(3600),
    }
}

fn openssl(dir: &Path, line: &str) {
    let done = Command::new("openssl").args(line.split(' ')).current_dir(dir).output().expect("openssl runs");
    assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A time-stamping authority with keys of its own: its folder.
fn authority() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    put("ext", "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n");
    put("serial", "01\n");
    put(
        "tsa.cnf",
        "[tsa]\ndefault_tsa = own\n[own]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256\nordering = yes\ness_cert_id_alg = sha256\n",
    );
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir.path(), &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"));
    openssl(dir.path(), &format!("req {key} -keyout tsa.key -out tsa.csr -subj /CN=tsa"));
    openssl(dir.path(), "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -days 2 -out tsa.pem");
    dir
}

/// What the authority answers to a request.
fn stamp(dir: &Path, request: &[u8]) -> Vec<u8> {
    static NTH: AtomicU64 = AtomicU64::new(0);
    let nth = NTH.fetch_add(1, Ordering::Relaxed);
    fs::write(dir.join(format!("{nth}.tsq")), request).expect("a file");
    openssl(dir, &format!("ts -reply -config tsa.cnf -queryfile {nth}.tsq -out {nth}.tsr"));
    fs::read(dir.join(format!("{nth}.tsr"))).expect("an answer")
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_checkpoint_reaches_every_second_party() {
    let ca = authority();
    let dir: PathBuf = ca.path().to_owned();
    let tsa = Upstream::start(move |got| {
        let kind = [("content-type", "application/timestamp-reply")];
        respond("200 OK", &kind, &stamp(&dir, &got.body))
    })
    .await;
    let kept = ca.path().join("kept");
    let heard = ca.path().join("heard");
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let config = WitnessConfig {
        file: Some(kept.clone()),
        command: Some(["sh", "-c", "cat >> \"$0\"", heard.to_str().expect("a path")].map(str::to_owned).to_vec()),
        timestamp: Some(tsa.url().join("stamp?x=1").expect("an address")),
        ..witness()
    };
    let mut gate = Gate::with(&upstream, |all| all.witness = Some(config)).await;
    let text = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    for _ in 0..2 {
        gate.accepted().await;
        let newest = gate.get(CHECKPOINT, &[]).await.text();
        until("both have the newest one", async || {
            [&kept, &heard].iter().all(|file| last_note(&text(file)) == Some(newest.as_str()))
        })
        .await;
    }
    let newest = gate.get(CHECKPOINT, &[]).await.text();
    let size: u64 = newest.lines().nth(1).and_then(|size| size.parse().ok()).expect("a size");
    let token = gate.data.path().join(format!("consent-log/timestamps/{size}.tsr"));
    until("it is stamped", async || token.exists()).await;
    let request = tsa.last();
    assert_eq!(
        (request.line.as_str(), request.header("content-type")),
        ("POST /stamp?x=1 HTTP/1.1", Some("application/timestamp-query"))
    );
    assert_eq!(text(&kept).matches(&newest).count(), 1, "once");
    let ready = gate.admin("/readyz", &[]).await;
    assert_eq!((ready.status, &ready.json()["warnings"]), (200, &json!([])));
    let metrics = gate.admin("/metrics", &[]).await.text();
    assert!(metrics.contains("consentry_consent_log_push_alarm{way=\"timestamp\"} 0"), "{metrics}");
    gate.stop().await;

    let note = ca.path().join("note");
    fs::write(&note, &newest).expect("a file");
    openssl(ca.path(), &format!("ts -verify -data note -in {} -CAfile ca.pem", token.display()));
    // An auditor gets it with the log, and checks it against the authority that he trusts.
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let bundle = ca.path().join("bundle");
    let to = bundle.to_str().expect("a path");
    let (code, out, err) = run(&["log", "bundle", "-o", to, "--data", &data], ca.path());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let script = |trust: &str| {
        let ran = Command::new("sh").arg(bundle.join("verify.sh")).args(["--tsa-ca", trust]).current_dir(ca.path()).output();
        let ran = ran.expect("a shell");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (code, said) = script("ca.pem");
    assert!(code == Some(0) && said.contains("signed by the authority that you trust"), "{said}");
    let stranger = authority();
    let other = stranger.path().join("ca.pem");
    assert_eq!(script(other.to_str().expect("a path")).0, Some(1), "another authority");
    let own = bundle.join(format!("timestamps/{size}.tsr"));
    let bytes = fs::read(&own).expect("a stamp");
    // What was stamped and when. (openssl itself overlooks some bytes of the certificates beside the signature.)
    let digest = Hash::of(newest.as_bytes());
    let place = |part: &[u8]| bytes.windows(part.len()).position(|window| window == part).expect("it is in the stamp");
    let (imprint, time) = (place(&digest.0), place(timestamp::read(&bytes).expect("a stamp").time.as_bytes()));
    for at in [0, 1, imprint, imprint + 31, time, time + 10] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&own, changed).expect("writable");
        assert_eq!(script("ca.pem").0, Some(1), "byte {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_is_an_alarm_and_takes_nothing_from_visitors() {
    let ca = authority();
    let dir: PathBuf = ca.path().to_owned();
    // The answer to another request: right in form, signed, and over something else.
    let first = std::sync::OnceLock::new();
    let tsa = Upstream::start(move |got| {
        let query = dir.join("other.tsq");
        let other = first.get_or_init(|| {
            fs::write(dir.join("other"), "x").expect("a file");
            openssl(&dir, "ts -query -data other -sha256 -cert -out other.tsq");
            stamp(&dir, &fs::read(&query).expect("a request"))
        });
        assert!(!got.body.is_empty());
        respond("200 OK", &[("content-type", "application/timestamp-reply")], other)
    })
    .await;
    let config = WitnessConfig {
        file: Some(ca.path().join("away/kept")),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()]),
        timestamp: Some(tsa.url()),
        alarm_after: Duration::ZERO,
        ..witness()
    };
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::with(&upstream, |all| all.witness = Some(config)).await;
    gate.accepted().await;
    let told = async || gate.admin("/readyz", &[]).await;
    until("three alarms", async || told().await.json()["warnings"].as_array().is_some_and(|all| all.len() == 3)).await;
    let ready = told().await;
    assert_eq!(ready.status, 200, "a gate that works stays ready");
    let text = ready.text();
    for why in ["kept cannot be", "sh ended with exit status: 3", "it is over something else than what was sent"] {
        assert!(text.contains(why), "{why}: {text}");
    }
    assert_eq!(gate.admin("/healthz", &[]).await.json()["warnings"].as_array().map(Vec::len), Some(3));
    let metrics = gate.admin("/metrics", &[]).await.text();
    for way in ["file", "command", "timestamp"] {
        assert!(metrics.contains(&format!("consentry_consent_log_push_alarm{{way=\"{way}\"}} 1")), "{metrics}");
        assert!(!metrics.contains(&format!("consentry_consent_log_push_failures{{way=\"{way}\"}} 0")), "{metrics}");
    }
    let stamps = fs::read_dir(gate.data.path().join("consent-log/timestamps"));
    assert!(stamps.map_or(true, |mut stamps| stamps.next().is_none()), "what proves nothing is not kept");
}
