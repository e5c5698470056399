//! Decisions: who may make one, what is recorded, what comes back.

use serde_json::{Value, json};

use crate::harness::{Answer, Gate, Upstream, run};

async fn gate() -> (Upstream, Gate) {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    (upstream, gate)
}

fn fields(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 422, "{}", answer.text());
    answer.json()["fields"].as_object().expect("fields").keys().cloned().collect()
}

async fn state(gate: &Gate, cookie: &str) -> Value {
    gate.get("/_consent/state", &[("cookie", cookie)]).await.json()
}

#[tokio::test]
async fn a_grant_is_on_record_before_its_cookie_and_comes_back_as_state() {
    let (_upstream, gate) = gate().await;
    assert_eq!(state(&gate, "a=b").await["decided"], false);
    let answer = gate.decide(json!({ "choice": "accept_all", "notice": gate.token().await }), &[]).await;
    let record = answer.json()["record"].as_str().expect("a record's id for a program").to_owned();
    let line = answer.all("set-cookie").into_iter().find(|line| line.starts_with("consentry=")).expect("a cookie").to_owned();
    for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age="] {
        assert!(line.contains(attribute), "{line}");
    }
    let cookie = answer.consent_cookie().expect("a cookie");
    let state = state(&gate, &cookie).await;
    assert_eq!(state["decided"], true);
    assert_eq!(state["grants"], json!({ "necessary": true, "functional": true, "analytics": true, "marketing": true }));
    assert_eq!(state["regime"], "eu");
    assert!(state["expires_at"].as_str() > state["decided_at"].as_str());
    for identifier in ["record", "subject"] {
        assert_eq!(state.get(identifier), None, "no identifier for scripts");
    }
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let (code, out, err) = run(&["log", "export", "--format", "jsonl", "--data", &data], gate.data.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().any(|line| line.contains(&record)), "{out}");
}

#[tokio::test]
async fn a_page_gets_no_identifier_and_a_form_gets_303() {
    let (_upstream, gate) = gate().await;
    let token = gate.token().await;
    let page = gate
        .decide(
            json!({ "choice": "accept_all", "notice": token }),
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")],
        )
        .await;
    assert_eq!((page.status, page.json().get("record")), (200, None));

    let form = format!("choice=reject_all&notice={token}&return=/shop%3Fa%3D1");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin"), ("origin", "null")];
    let answer = gate.send("POST", "/_consent/decision", &headers, form.as_bytes()).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/shop?a=1")));
}

#[tokio::test]
async fn only_the_sites_own_pages_decide() {
    let (_upstream, gate) = gate().await;
    let ours = gate.origin();
    let body = json!({ "choice": "accept_all", "notice": gate.token().await }).to_string();
    for (headers, want) in [
        (vec![("origin", ours.as_str())], 200),
        (vec![("sec-fetch-site", "same-origin")], 200),
        (vec![("sec-fetch-site", "same-origin"), ("origin", "null")], 200),
        (vec![("sec-fetch-site", "cross-site"), ("origin", ours.as_str())], 403),
        (vec![("sec-fetch-site", "same-site"), ("origin", ours.as_str())], 403),
        (vec![("sec-fetch-site", "none"), ("origin", ours.as_str())], 403),
        (vec![("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], 403),
        (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "http://evil.example")], 403),
        (vec![], 403),
    ] {
        let mut all = headers.clone();
        all.push(("content-type", "application/json"));
        let answer = gate.send("POST", "/_consent/decision", &all, body.as_bytes()).await;
        assert_eq!(answer.status, want, "{headers:?}");
        assert_eq!(answer.consent_cookie().is_some(), want == 200, "{headers:?}");
    }
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let (_upstream, gate) = gate().await;
    let token = gate.token().await;
    assert_eq!(fields(&gate.decide(json!({ "choice": "accept_all" }), &[]).await), ["notice"]);
    assert_eq!(fields(&gate.decide(json!({ "choice": "accept_all", "notice": format!("{token}x") }), &[]).await), ["notice"]);
    assert_eq!(
        fields(
            &gate
                .decide(
                    json!({ "choice": "save", "notice": token, "purpose.ads": "on", "colour": "red", "return": "//evil" }),
                    &[]
                )
                .await
        ),
        ["colour", "purpose.ads", "return"]
    );
    for evil in ["//evil", "/\\evil", "https://evil.example/", "/%2fevil", "/_consent/decision", "javascript:1"] {
        let answer = gate.decide(json!({ "choice": "reject_all", "return": evil }), &[]).await;
        assert_eq!(fields(&answer), ["return"], "{evil}");
    }
    let all = json!({ "choice": 7, "purpose.ads": "on", "zork": [], "return": "//evil", "notice": "old" });
    assert_eq!(fields(&gate.decide(all, &[]).await), ["choice", "notice", "purpose.ads", "return", "zork"]);
    let big = json!({ "choice": "accept_all", "notice": "x".repeat(100_000) });
    assert_eq!(gate.decide(big, &[]).await.status, 413);
    assert_eq!(gate.decide(json!([1]), &[]).await.status, 422);
    let text = gate
        .send("POST", "/_consent/decision", &[("content-type", "text/plain"), ("origin", &gate.origin())], b"choice=accept_all")
        .await;
    assert_eq!(text.status, 415);
    assert_eq!(gate.get("/_consent/decision", &[]).await.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_faulty_form_comes_back_with_its_choices() {
    let (_upstream, gate) = gate().await;
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let answer = gate
        .send("POST", "/_consent/decision", &headers, b"choice=save&purpose.analytics=on&vendor.gone=on&notice=old&return=/shop")
        .await;
    assert_eq!(answer.status, 422);
    let text = answer.text();
    assert!(text.contains("value=\"/shop\""), "the place to go back to is kept");
    let checked = text.split('<').find(|tag| tag.contains("name=\"purpose.analytics\"")).expect("the box");
    assert!(checked.contains("checked"), "{checked}");
    let other = text.split('<').find(|tag| tag.contains("name=\"purpose.marketing\"")).expect("the box");
    assert!(!other.contains("checked"), "{other}");
}

#[tokio::test]
async fn a_refusal_needs_no_identifier_and_no_token() {
    let (_upstream, gate) = gate().await;
    let answer = gate.decide(json!({ "choice": "reject_all" }), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = answer.json()["record"].as_str().expect("a record").to_owned();
    let cookie = answer.consent_cookie().expect("a cookie that says refused");
    let payload = cookie.split('.').nth(2).expect("a payload");
    let payload =
        String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).expect("base64url"))
            .expect("UTF-8");
    assert!(!payload.contains(&record) && !payload.contains("\"u\""), "{payload}");
    assert_eq!(state(&gate, &cookie).await["grants"]["marketing"], false);
}

#[tokio::test]
async fn withdrawal_cites_the_grant_and_ends_it() {
    let (_upstream, gate) = gate().await;
    let granted = gate.decide(json!({ "choice": "accept_all", "notice": gate.token().await }), &[]).await;
    let grant = granted.json()["record"].as_str().expect("a record").to_owned();
    let cookie = granted.consent_cookie().expect("a cookie");
    let both = format!("{cookie}; _fbp=fb.1.1700000000000.123456789");
    let withdrawn =
        gate.decide(json!({ "choice": "withdraw" }), &[("cookie", &both), ("referer", &format!("{}/a/b", gate.origin()))]).await;
    assert_eq!(withdrawn.status, 200);
    let expired: Vec<&str> = withdrawn.all("set-cookie").into_iter().filter(|line| line.starts_with("_fbp=;")).collect();
    assert!(
        expired.iter().any(|line| line.ends_with("Path=/")) && expired.iter().any(|line| line.contains("Path=/a")),
        "{expired:?}"
    );
    assert_eq!(state(&gate, &withdrawn.consent_cookie().expect("a cookie")).await["grants"]["analytics"], false);
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let (_, out, _) = run(&["log", "export", "--format", "jsonl", "--data", &data], gate.data.path());
    let line = out.lines().find(|line| line.contains("\"kind\":\"withdrawn\"")).expect("the withdrawal");
    assert!(line.contains(&format!("\"prev\":\"{grant}\"")), "{line}");
}

#[tokio::test]
async fn a_broken_foreign_or_expired_cookie_is_no_consent() {
    let (_upstream, gate) = gate().await;
    let cookie = gate.accepted().await;
    let other = Gate::start(&Upstream::page("x").await).await.accepted().await;
    assert_eq!(state(&gate, &cookie).await["decided"], true);
    assert_eq!(
        state(&gate, &format!("name=M\u{fc}ller; {cookie}")).await["decided"],
        true,
        "the site's own cookies hide nothing"
    );
    let cut = &cookie[..cookie.len() - 1];
    for bad in [cut, "consentry=1.k1.e30.AAAA", other.as_str(), "consentry=", &format!("__Host-{cookie}")] {
        let state = state(&gate, bad).await;
        assert_eq!((&state["decided"], &state["grants"]["marketing"]), (&json!(false), &json!(false)), "{bad}");
    }
    let elsewhere = gate.get("/_consent/state", &[("host", "other.example"), ("cookie", &cookie)]).await.json();
    assert_eq!(elsewhere["decided"], false, "a cookie of another site");
}

#[tokio::test]
async fn over_https_the_cookie_has_the_host_prefix_and_the_plain_one_does_not_count() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::with(&upstream, |config| config.trusted_proxies.push("127.0.0.0/8".parse().expect("a network"))).await;
    let https = [("host", "shop.example"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.5")];
    let token = gate.get("/_consent/notice-token", &https).await.json()["notice"].as_str().expect("a token").to_owned();
    let body = json!({ "choice": "accept_all", "notice": token }).to_string();
    let mut headers = https.to_vec();
    headers.extend([("content-type", "application/json"), ("origin", "https://shop.example")]);
    let answer = gate.send("POST", "/_consent/decision", &headers, body.as_bytes()).await;
    let line =
        answer.all("set-cookie").into_iter().find(|line| line.starts_with("__Host-consentry=")).expect("a cookie").to_owned();
    assert!(line.contains("SameSite=None; Secure") && line.contains("Path=/;") && !line.contains("Domain"), "{line}");
    let cookie = answer.consent_cookie().expect("a cookie");
    let state = |cookie: String| {
        let mut headers = https.to_vec();
        headers.push(("cookie", cookie.leak()));
        headers
    };
    assert_eq!(gate.get("/_consent/state", &state(cookie.clone())).await.json()["decided"], true);
    assert_eq!(gate.get("/_consent/state", &state(cookie.replace("__Host-", ""))).await.json()["decided"], false);
}

#[tokio::test]
async fn one_network_cannot_flood_the_log() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::with(&upstream, |config| config.limits.decisions_per_minute = 3).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gate.decide(json!({ "choice": "reject_all" }), &[]).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    let refused = gate.decide(json!({ "choice": "reject_all" }), &[]).await;
    assert!(refused.header("retry-after").is_some());

    let other = Gate::with(&upstream, |config| config.limits.decisions_per_minute = 3).await;
    for _ in 0..5 {
        assert_eq!(other.get("/_consent/decision", &[]).await.status, 405);
        assert_eq!(other.decide(json!({ "choice": "reject_all" }), &[("sec-fetch-site", "cross-site")]).await.status, 403);
    }
    assert_eq!(other.decide(json!({ "choice": "reject_all" }), &[]).await.status, 200, "pages elsewhere use nothing up");
}

#[tokio::test]
async fn gpc_is_noted_in_state_and_record() {
    let (_upstream, gate) = gate().await;
    assert_eq!(gate.get("/_consent/state", &[("sec-gpc", "1")]).await.json()["gpc"], true);
    assert_eq!(gate.get("/_consent/state", &[("sec-gpc", "true")]).await.json()["gpc"], false);
    gate.decide(json!({ "choice": "reject_all" }), &[("sec-gpc", "1")]).await;
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let (_, out, _) = run(&["log", "export", "--format", "jsonl", "--data", &data], gate.data.path());
    assert!(out.contains("\"sig\":{\"gpc\":true}"), "{out}");
}

#[tokio::test]
async fn without_a_log_a_grant_has_no_effect_and_a_refusal_has() {
    let upstream = Upstream::page("<p>x").await;
    // More free disk is asked for than any disk has: nothing can be recorded.
    let gate = Gate::with(&upstream, |config| config.limits.log_reserve_bytes = 1 << 60).await;
    let token = gate.token().await;
    let grant = gate.decide(json!({ "choice": "accept_all", "notice": token }), &[]).await;
    assert_eq!((grant.status, grant.consent_cookie()), (503, None));
    let refusal = gate.decide(json!({ "choice": "withdraw" }), &[("cookie", "_fbp=fb.1.1700000000000.123456789")]).await;
    assert_eq!((refusal.status, refusal.json()["recorded"].clone()), (503, json!(false)));
    let set = refusal.all("set-cookie");
    assert!(set.iter().any(|line| line.starts_with("consentry=;") && line.contains("Max-Age=0")), "{set:?}");
    assert!(set.iter().any(|line| line.starts_with("_fbp=;")), "{set:?}");
    let form = gate
        .send(
            "POST",
            "/_consent/decision",
            &[("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")],
            b"choice=reject_all",
        )
        .await;
    assert_eq!(form.status, 503);
    assert!(form.text().contains("record"), "the page says so: {}", form.text());
}

#[tokio::test]
async fn own_paths_are_never_forwarded() {
    let (upstream, gate) = gate().await;
    for (path, status) in [
        ("/_consent", 200),
        ("/_consent/nothing", 404),
        ("/_consent/assets/0/x.js", 404),
        // Not for a client that does not say what it opens.
        ("/_consent/receipt", 403),
        ("/.well-known/gpc.json", 200),
        ("/.well-known/consent-log/checkpoint", 200),
    ] {
        assert_eq!(gate.get(path, &[]).await.status, status, "{path}");
    }
    assert!(upstream.got().is_empty());
    gate.get("/_consenting", &[]).await;
    assert_eq!(upstream.got().len(), 1);
}
