//! Programs that declare themselves, and what a site says about privacy signals.

use serde_json::json;

use crate::harness::{Gate, Upstream, run};

const BOT: (&str, &str) = ("user-agent", "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/)");

#[tokio::test]
async fn a_program_that_declares_itself_decides_nothing_and_leaves_no_record() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token().await;
    let answer = gate.decide(json!({ "choice": "accept_all", "notice": token }), &[BOT]).await;
    assert_eq!((answer.status, answer.consent_cookie()), (403, None));
    assert!(answer.json()["error"].as_str().expect("a reason").contains("automatic program"), "{}", answer.text());
    let (origin, form) = (gate.origin(), "application/x-www-form-urlencoded");
    let headers = [("content-type", form), ("origin", origin.as_str()), ("accept-language", "de"), BOT];
    let page = gate.send("POST", "/_consent/decision", &headers, format!("choice=reject_all&notice={token}").as_bytes()).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("automatisches Programm"), "{}", page.text());

    let data = gate.data.path().to_str().expect("a path").to_owned();
    let (code, out, err) = run(&["log", "find", "--data", &data], gate.data.path());
    assert_eq!((code, out.as_str()), (0, "No decision fits.\n"), "{err}");
    let counted = gate.admin("/metrics", &[]).await.text();
    assert!(counted.contains("outcome=\"bot\"} 2"), "{counted}");
    // The same from a browser is recorded, and what the browser said of itself is not.
    let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    assert_eq!(gate.decide(json!({ "choice": "accept_all", "notice": token }), &[browser]).await.status, 200);
    let (code, out, err) = run(&["log", "export", "--format", "jsonl", "--data", &data], gate.data.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("firefox/desktop") && !out.contains("Gecko/20100101"), "{out}");
}

#[tokio::test]
async fn a_site_says_whether_it_heeds_global_privacy_control() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    for observe in [false, true] {
        let gate = Gate::with(&upstream, |config| config.sites[0].observe = observe).await;
        let answer = gate.get("/.well-known/gpc.json", &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.json()["gpc"], !observe);
        let since = answer.json()["lastUpdate"].as_str().expect("a time").parse::<jiff::Timestamp>();
        assert!(since.is_ok(), "{}", answer.text());
        assert_eq!(gate.send("POST", "/.well-known/gpc.json", &[], b"").await.status, 405);
    }
    assert!(upstream.got().is_empty(), "it is the gate's own word");
}
