//! When orders are made, with times and chance given; and what a challenge is answered with.

use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;
use tokio_rustls::rustls::crypto::ring;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    super::tests::certificate,
    Challenges,
    schedule::Plan,
    store::{Attempts, Store},
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).expect("a time")
}

#[test]
fn failures_double_the_pause_up_to_a_day() {
    let mut now = 1_800_000_000_000;
    let mut plan = Plan::begin(5 * MINUTE, Attempts::default(), None, at(now), 0.0);
    assert!(plan.is_due(at(now)), "without a certificate at once");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        plan.order_begins(at(now));
        plan.failed(at(now), None, 0.0);
        pauses.push((plan.wake_ms() - now) / MINUTE);
        now = plan.wake_ms();
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
    plan.failed(at(now), None, 1.0);
    assert_eq!(plan.wake_ms() - now, DAY + DAY / 4, "a quarter longer at most");
}

#[test]
fn four_orders_an_hour_are_the_most() {
    let start = 1_800_000_000_000;
    let mut plan = Plan::begin(5 * MINUTE, Attempts::default(), None, at(start), 0.0);
    let mut orders = Vec::new();
    while plan.wake_ms() < start + DAY {
        orders.push(plan.wake_ms());
        plan.failed(at(plan.wake_ms()), None, 0.0);
    }
    let in_an_hour = |from: i64| orders.iter().filter(|&&order| (from..from + 60 * MINUTE).contains(&order)).count();
    assert_eq!(orders.iter().map(|&order| in_an_hour(order)).max(), Some(4));
}

#[test]
fn the_authoritys_own_word_makes_a_pause_longer() {
    let now = 1_800_000_000_000;
    let mut plan = Plan::begin(5 * MINUTE, Attempts::default(), None, at(now), 0.0);
    plan.failed(at(now), Some(at(now + 90 * MINUTE)), 0.0);
    assert_eq!(plan.wake_ms(), now + 90 * MINUTE);
    plan.failed(at(now), Some(at(now + 30 * DAY)), 0.0);
    assert_eq!(plan.wake_ms(), now + DAY, "not for ever");
}

#[test]
fn a_restart_waits_a_quarter_of_an_hour_at_most() {
    let now = 1_800_000_000_000;
    let begin = |failures, last_ms| Plan::begin(5 * MINUTE, Attempts { failures, last_ms }, None, at(now), 0.0).wake_ms() - now;
    assert_eq!(begin(1, now - MINUTE), 4 * MINUTE);
    assert_eq!(begin(8, now - MINUTE), 14 * MINUTE);
    assert_eq!(begin(8, now - 20 * MINUTE), 0);
    assert_eq!(begin(8, now + 9 * DAY), 15 * MINUTE, "a clock that was set back");
    assert_eq!(begin(0, now - MINUTE), 0);
}

#[test]
fn renewal_is_at_two_thirds_or_when_the_authority_says() {
    let certificate = certificate(&["a.example"], 2050);
    let (begin, end) = (certificate.not_before.as_millisecond(), certificate.not_after.as_millisecond());
    let now = begin + DAY;
    let mut plan = Plan::begin(5 * MINUTE, Attempts::default(), Some(&certificate), at(now), 0.0);
    assert_eq!(plan.due().as_millisecond(), begin + (end - begin) * 2 / 3);
    assert!(!plan.is_due(at(now)));
    plan.suggested((now + 10 * DAY, now + 20 * DAY), 3 * DAY, &certificate, at(now), 0.5);
    assert_eq!((plan.due().as_millisecond(), plan.wake_ms()), (now + 15 * DAY, now + DAY), "and asked again after a day at most");
    plan.suggested((now + 10 * DAY, now + 20 * DAY), 0, &certificate, at(now), 0.9);
    assert_eq!((plan.due().as_millisecond(), plan.wake_ms()), (now + 15 * DAY, now + MINUTE), "one window, one moment");
    plan.suggested((now - 2 * DAY, now - DAY), DAY, &certificate, at(now), 0.9);
    assert!(plan.is_due(at(now)), "a revoked certificate is renewed at once");
    plan.suggested((end + DAY, end + 2 * DAY), DAY, &certificate, at(now), 0.0);
    assert!(plan.due() < certificate.not_after, "never after its end");

    plan.order_begins(at(now));
    plan.succeeded(&certificate, at(now), 0.0);
    plan.suggested((now - 2 * DAY, now - DAY), DAY, &certificate, at(now), 0.0);
    assert_eq!(plan.due().as_millisecond(), now + 60 * MINUTE, "an authority that always says now is not hammered");
}

#[test]
fn a_challenge_is_answered_while_its_proof_lives() {
    let challenges = Challenges::default();
    let path = "/.well-known/acme-challenge/token";
    let proof = challenges.answer_with("a.example", "token", "token.key");
    assert_eq!(challenges.answer("a.example", path).as_deref(), Some("token.key"));
    assert_eq!(challenges.answer("b.example", path), None);
    assert_eq!(challenges.answer("a.example", "/.well-known/acme-challenge/other"), None);
    drop(proof);
    assert_eq!(challenges.answer("a.example", path), None);

    let proof = challenges.show("a.example", &[7; 32], &ring::default_provider()).expect("a certificate");
    let shown = challenges.certificate("a.example").expect("it is shown");
    let (_, parsed) = X509Certificate::from_der(&shown.cert[0]).expect("a certificate");
    // id-pe-acmeIdentifier (RFC 8737, 6.1): critical, an octet string in an octet string.
    let extension = parsed.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let extension = extension.expect("the extension is there");
    assert!(extension.critical && extension.value == [&[4, 32][..], &[7; 32]].concat());
    drop(proof);
    assert!(challenges.certificate("a.example").is_none());
}

#[test]
fn what_is_stored_is_for_the_owner_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let directory = "https://ca.example:14000/a/dir?x".parse().expect("a URL");
    let store = Store::open(dir.path(), &directory).expect("a folder");
    store.put_account(b"{}").expect("it is written");
    store.put_certificate("a.example", b"one").expect("it is written");
    store.put_certificate("a.example", b"two").expect("it is written over");
    assert_eq!(store.certificate("a.example").expect("it is read").as_deref(), Some(&b"two"[..]));
    let attempts = Attempts { failures: 3, last_ms: 5 };
    store.put_attempts("a.example", &attempts).expect("it is written");
    assert_eq!((store.attempts("a.example"), store.attempts("b.example")), (attempts, Attempts::default()));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let folder = dir.path().join("acme/ca.example-14000-a-dir-x");
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}
