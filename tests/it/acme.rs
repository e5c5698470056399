//! Certificates by ACME from a real authority: Pebble, in its strict mode, which also refuses one good
//! nonce in twenty.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    certificates::{BOTH, Client, settings},
    harness::{Gate, Upstream, respond},
    pebble::{Informed, Pebble, free_port},
};

const YEAR_S: u64 = 31_536_000;

/// Ports for plain HTTP and TLS.
struct Ports {
    http: u16,
    tls: u16,
}

impl Ports {
    fn free() -> Self {
        Self { http: free_port(), tls: free_port() }
    }
}

/// A gate that orders certificates from `directory`; what it keeps lies in `data`.
async fn gate(data: &Path, ports: &Ports, directory: &str, root: &Path, retry_s: u64, more: &str) -> Gate {
    let upstream = Upstream::start(|got| respond("200 OK", &[("content-type", "text/plain")], got.path().as_bytes())).await;
    let text = format!(
        "[tls.acme]\nagree = true\ndirectory = \"{directory}\"\nca = \"{}\"\ncontact = [\"ops@a.example\"]\n{more}",
        root.display()
    );
    Gate::with(&upstream, |config| {
        let mut tls = settings(data, &text);
        config.listen = SocketAddr::from(([127, 0, 0, 1], ports.http));
        tls.listen = SocketAddr::from(([127, 0, 0, 1], ports.tls));
        config.tls = Some(tls);
        config.data = data.to_owned();
        config.limits.acme_retry_s = retry_s;
    })
    .await
}

/// The certificate that is shown for a name, waited for.
async fn shown(gate: &Gate, name: &str, but: Option<&CertificateDer<'static>>) -> Option<CertificateDer<'static>> {
    let client = Client::new(BOTH, &["http/1.1"]);
    let address = gate.tls.expect("it speaks TLS");
    for _ in 0..400 {
        match client.shown(address, name).await {
            Some(certificate) if Some(&certificate) != but => return Some(certificate),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    None
}

/// Subject alternative names and issuer.
fn told(certificate: &CertificateDer<'_>) -> (Vec<String>, String) {
    use x509_parser::prelude::*;
    let (_, parsed) = X509Certificate::from_der(certificate).expect("a certificate");
    let names = parsed.subject_alternative_name().expect("readable").expect("names").value.general_names.iter();
    let names = names.map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    });
    (names.collect(), parsed.issuer().to_string())
}

#[tokio::test]
async fn the_first_certificate_comes_by_http_01_and_a_restart_uses_it() {
    let ports = Ports::free();
    let pebble = Pebble::start(ports.http, ports.tls, YEAR_S).await;
    let data = tempfile::tempdir().expect("a folder");
    let more = "names = [\"a.example\"]\nchallenges = [\"http-01\"]\n";
    let mut first = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 5, more).await;
    let certificate = shown(&first, "a.example", None).await.unwrap_or_else(|| panic!("{}", pebble.log()));
    let (names, issuer) = told(&certificate);
    assert_eq!(names, ["a.example"]);
    assert!(issuer.contains("Pebble"), "{issuer}");
    assert!(pebble.log().contains("/.well-known/acme-challenge/"), "by http-01: {}", pebble.log());
    let answer = first.get("/x", &[("host", "a.example")]).await;
    assert_eq!(answer.header("location"), Some(format!("https://a.example:{}/x", ports.tls).as_str()));
    let through = first.get("/.well-known/acme-challenge/of-the-site", &[("host", "a.example")]).await;
    assert_eq!(through.text(), "/.well-known/acme-challenge/of-the-site", "challenges of the site behind pass");

    let mut kept = Vec::new();
    let mut folders = vec![data.path().join("acme")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
            if entry.path().is_dir() {
                assert_eq!(mode, 0o700, "{entry:?}");
                folders.push(entry.path());
            } else {
                assert_eq!(mode, 0o600, "{entry:?}");
                kept.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    kept.sort();
    assert_eq!(kept, ["a.example.attempts.json", "a.example.pem", "account.json"]);

    first.stop().await;
    let (orders, accounts) = (pebble.orders(), pebble.accounts());
    let again = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 5, more).await;
    assert!(shown(&again, "a.example", None).await == Some(certificate), "the same certificate");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((pebble.orders(), pebble.accounts()), (orders, accounts), "nothing is ordered anew");
}

#[tokio::test]
async fn names_are_proven_by_tls_alpn_01_one_certificate_each() {
    let ports = Ports::free();
    // Nobody listens for plain HTTP where the authority comes.
    let pebble = Pebble::start(free_port(), ports.tls, YEAR_S).await;
    let data = tempfile::tempdir().expect("a folder");
    let more = "names = [\"a.example\", \"www.a.example\"]\nchallenges = [\"tls-alpn-01\"]\n";
    let gate = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 5, more).await;
    for name in ["a.example", "www.a.example"] {
        let certificate = shown(&gate, name, None).await.unwrap_or_else(|| panic!("{name}: {}", pebble.log()));
        assert_eq!(told(&certificate).0, [name]);
    }
    assert_eq!(pebble.accounts(), 1, "one account for all");
    // The challenge's certificate is gone with the challenge.
    let proving = Client::new(BOTH, &["acme-tls/1"]);
    assert!(proving.shown(gate.tls.expect("it speaks TLS"), "a.example").await.is_none());
    let unnamed = Client::new(BOTH, &["http/1.1"]).shown(gate.tls.expect("it speaks TLS"), "127.0.0.1").await;
    assert_eq!(told(&unnamed.expect("the first one")).0, ["a.example"]);
}

#[tokio::test]
async fn a_certificate_is_renewed_before_its_end() {
    let ports = Ports::free();
    let pebble = Pebble::start(ports.http, ports.tls, 15).await;
    let data = tempfile::tempdir().expect("a folder");
    let gate = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 1, "names = [\"a.example\"]\n").await;
    let first = shown(&gate, "a.example", None).await.unwrap_or_else(|| panic!("{}", pebble.log()));
    let began = std::time::Instant::now();
    let second = shown(&gate, "a.example", Some(&first)).await.unwrap_or_else(|| panic!("{}", pebble.log()));
    assert!(second != first);
    let after = began.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(15)).contains(&after), "at two thirds of its time: {after:?}");
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_authority_says_so() {
    let ports = Ports::free();
    let pebble = Pebble::start(ports.http, ports.tls, YEAR_S).await;
    let informed = Informed::before(&pebble).await;
    let data = tempfile::tempdir().expect("a folder");
    let directory = format!("https://{}/dir", informed.address);
    let gate = gate(data.path(), &ports, &directory, &pebble.root(), 1, "names = [\"a.example\"]\n").await;
    let first = shown(&gate, "a.example", None).await.unwrap_or_else(|| panic!("{}", pebble.log()));
    assert!(shown(&gate, "a.example", Some(&first)).await.is_some(), "{:?} {}", informed.told(), pebble.log());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (asked, replaced) = informed.told();
    assert_eq!(asked.len(), 2, "once for each certificate: {asked:?}");
    assert_eq!(replaced, asked[..1], "the new one replaces the first");
    assert_eq!(pebble.orders(), 2, "{}", pebble.log());
}

#[tokio::test]
async fn failures_wait_longer_each_time_and_over_restarts() {
    let ports = Ports::free();
    // The authority comes to where nobody listens.
    let pebble = Pebble::start(free_port(), free_port(), YEAR_S).await;
    let data = tempfile::tempdir().expect("a folder");
    let more = "names = [\"a.example\"]\n";
    let quick = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 1, more).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    // At 0, 1, 3 and 7 seconds at the earliest.
    let orders = pebble.orders();
    assert!((2..=4).contains(&orders), "{orders} orders: {}", pebble.log());
    // No certificate: the handshake ends with an alert, plain HTTP goes on and is not sent to a handshake that fails.
    let client = Client::new(BOTH, &["http/1.1"]);
    let refused = client.connect(quick.tls.expect("it speaks TLS"), "a.example").await.expect_err("there is no certificate");
    assert!(refused.to_string().contains("alert"), "{refused}");
    assert_eq!(quick.get("/x", &[("host", "a.example")]).await.status, 200);
    drop(quick);

    let data = tempfile::tempdir().expect("a folder");
    let ports = Ports::free();
    let before = pebble.orders();
    let mut slow = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 600, more).await;
    for _ in 0..100 {
        let kept = walk(data.path());
        if kept.iter().any(|file| file.ends_with("a.example.attempts.json")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    slow.stop().await;
    assert_eq!(pebble.orders(), before + 1);
    for _ in 0..3 {
        let mut again = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 600, more).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        again.stop().await;
    }
    assert_eq!(pebble.orders(), before + 1, "a process that is started again and again does not order each time");
}

#[tokio::test]
async fn the_other_challenge_is_tried_after_a_failure() {
    let ports = Ports::free();
    let pebble = Pebble::start(free_port(), ports.tls, YEAR_S).await;
    let data = tempfile::tempdir().expect("a folder");
    let gate = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 1, "names = [\"a.example\"]\n").await;
    assert!(shown(&gate, "a.example", None).await.is_some(), "{}", pebble.log());
    assert_eq!(pebble.orders(), 2, "{}", pebble.log());
}

#[tokio::test]
async fn an_authority_that_forgot_the_account_gets_a_new_one() {
    let ports = Ports::free();
    let pebble = Pebble::start(ports.http, ports.tls, YEAR_S).await;
    let data = tempfile::tempdir().expect("a folder");
    let mut first = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 1, "names = [\"a.example\"]\n").await;
    assert!(shown(&first, "a.example", None).await.is_some(), "{}", pebble.log());
    first.stop().await;
    let account = walk(data.path()).into_iter().find(|file| file.ends_with("account.json")).expect("an account");
    let text = std::fs::read_to_string(&account).expect("it is read");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["id"] = format!("https://{}/my-account/unknown", pebble.address).into();
    std::fs::write(&account, json.to_string()).expect("it is written");
    let more = "names = [\"a.example\", \"b.example\"]\n";
    let again = gate(data.path(), &ports, &pebble.directory(), &pebble.root(), 1, more).await;
    assert!(shown(&again, "b.example", None).await.is_some(), "{}", pebble.log());
    assert_eq!(pebble.accounts(), 2);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}
