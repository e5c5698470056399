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

#[tokio::test]
async fn the_receipt_is_also_a_page_that_no_page_can_read() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    let choice = json!({ "choice": "save", "purpose.marketing": "on", "vendor.youtube": "on", "notice": gate.token().await });
    let cookie = gate.decide(choice, &[("sec-gpc", "1")]).await.consent_cookie().expect("a cookie");
    let opened = async |path: &str, language: &str| {
        let mut headers = OPENED.to_vec();
        headers.extend([("cookie", cookie.as_str()), ("accept-language", language)]);
        gate.get(path, &headers).await
    };
    let page = opened("/_consent/receipt?view=print", "en").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!((page.header("cache-control"), page.header("content-disposition")), (Some("no-store"), None));
    // An origin of its own, no script, nothing loaded: what a page of the site opens in a window stays closed to it.
    let csp = page.header("content-security-policy").expect("a policy");
    let sandbox = csp.split("; ").find(|part| part.starts_with("sandbox ")).expect("a sandbox");
    assert!(!sandbox.contains("allow-same-origin") && !sandbox.contains("allow-scripts"), "{csp}");
    assert!(csp.starts_with("default-src 'none'; style-src 'sha256-") && csp.contains("frame-ancestors 'none'"), "{csp}");
    let html = page.text();
    assert!(!html.contains("<script") && !html.contains("<link"), "{html}");

    // The file says the same, in the same words.
    let file = opened("/_consent/receipt", "en").await.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_else(|| panic!("{file}")).to_owned();
    let facts = file["in_words"]["facts"].as_array().expect("facts");
    for fact in facts {
        let text = text(&fact["text"]).replace('"', "&quot;").replace('\n', "<br>");
        assert!(
            html.contains(&format!("<dt>{}</dt> <dd>{text}</dd>", fact["label"].as_str().expect("a label"))),
            "{fact}: {html}"
        );
    }
    assert!(html.contains("Some of it was allowed") && html.contains("Global Privacy Control was on"), "{html}");
    let said = |list: &str| {
        let all = file["in_words"][list].as_array().expect("a list").iter();
        all.map(|one| (text(&one["title"]), text(&one["answer"]))).collect::<Vec<_>>()
    };
    let pair = |title: &str, answer: &str| (title.to_owned(), answer.to_owned());
    assert_eq!(
        said("purposes"),
        [pair("Functional", "Not allowed"), pair("Analytics", "Not allowed"), pair("Marketing", "Allowed")]
    );
    assert_eq!(said("vendors"), [pair("YouTube", "Allowed")]);
    for (title, answer) in said("purposes").into_iter().chain(said("vendors")) {
        assert!(html.contains(&format!("<dt>{title}</dt>")) && html.contains(&answer), "{title}: {html}");
    }
    let escaped = text(&file["record"]).replace('"', "&quot;");
    for proved in [&escaped, &text(&file["salt"]), &text(&file["commitment"]), &text(&file["key"]), &text(&file["notice"])] {
        assert!(html.contains(proved.as_str()), "{proved}: {html}");
    }
    assert!(opened("/_consent/receipt?view=print", "de").await.text().contains("Ein Teil davon ist erlaubt"));

    // The way there stands on the preference page of who has one, and of nobody else.
    let link = "/_consent/receipt?view=print\"";
    let preferences = gate.get("/_consent/", &[("cookie", cookie.as_str())]).await.text();
    assert!(preferences.contains(link), "{preferences}");
    assert!(!gate.get("/_consent/", &[]).await.text().contains(link));
    let refused = gate.decide(json!({ "choice": "reject_all" }), &[]).await.consent_cookie().expect("a cookie");
    let page = gate.get("/_consent/", &[("cookie", refused.as_str())]).await.text();
    assert!(!page.contains(link), "a refusal has no identifier, and so no receipt");
}
