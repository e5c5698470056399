//! The visitor's receipt and the public checkpoint: what a visitor takes away holds the log to its word.

use consentry::{
    consent_log::tree::{Checkpoint, Note, Receipt, Verifier},
    vocab::Hash,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{Gate, Upstream, run};

const CHECKPOINT: &str = "/.well-known/consent-log/checkpoint";
const OPENED: [(&str, &str); 3] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

#[tokio::test]
async fn a_visitor_takes_a_receipt_away_that_proves_the_record() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate
        .decide(json!({ "choice": "accept_all", "notice": gate.token().await }), &[])
        .await
        .consent_cookie()
        .expect("a cookie");
    let with = |more: &[(&'static str, &'static str)]| {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend_from_slice(more);
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let get = async |more: &[(&'static str, &'static str)]| {
        let headers = with(more);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        gate.get("/_consent/receipt", &headers).await
    };
    // Neither a script nor a frame nor a client that does not say: the receipt names the visitor.
    for refused in [
        &[][..],
        &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(get(refused).await.status, 403, "{refused:?}");
    }
    assert_eq!(gate.get("/_consent/receipt", &OPENED).await.status, 404, "who did not decide has none");

    let answer = get(&OPENED).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-disposition").expect("a download").starts_with("attachment; filename=\"consent-receipt-"));
    let receipt = answer.json();
    assert_eq!((receipt["decision"].as_str(), receipt["choices"]["marketing"].as_bool()), (Some("given"), Some(true)));

    // Checked as its own words say, without the log.
    let text = |name: &str| receipt[name].as_str().unwrap_or_else(|| panic!("{name}: {receipt}")).to_owned();
    let salt = Hash::parse(&text("salt")).expect("64 hex digits");
    let commitment = Hash(Sha256::new().chain_update(salt.0).chain_update(text("record")).finalize().into());
    assert_eq!(commitment.to_string(), text("commitment"));
    let key = Verifier::parse(&text("key")).expect("a key");
    let checkpoint = Receipt::parse(&text("proof")).expect("a proof").check(&commitment, &key).expect("it is proved");

    // The public checkpoint is of the same log, and the operator's command knows the kept one as its past.
    let public = gate.get(CHECKPOINT, &[]).await;
    assert_eq!((public.status, public.header("access-control-allow-origin")), (200, Some("*")));
    let note = Note::parse(&public.text()).expect("a note");
    key.check(&note).expect("the same key");
    assert_eq!(Checkpoint::parse(&note.text), Ok(checkpoint));
    let kept = gate.data.path().join("kept");
    std::fs::write(&kept, public.text()).expect("writable");
    gate.decide(json!({ "choice": "reject_all" }), &[]).await;
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let line = ["log", "verify", "--json", "--from-checkpoint", kept.to_str().expect("a path"), "--data", &data];
    let (code, out, err) = run(&line, gate.data.path());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("\"intact\": true"), "{out}");
}
