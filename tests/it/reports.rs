//! `POST /_consent/report`: each form, what is dropped, every bound, and what the admin listener tells.

use serde_json::{Value, json};

use crate::harness::{Answer, Gate, Upstream};

async fn gate(edit: impl FnOnce(&mut consentry::config::Config)) -> (Upstream, Gate) {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::with(&upstream, edit).await;
    (upstream, gate)
}

async fn post(gate: &Gate, kind: &str, body: &str) -> Answer {
    gate.send("POST", "/_consent/report", &[("content-type", kind), ("sec-fetch-site", "same-origin")], body.as_bytes()).await
}

fn csp(blocked: &str, directive: &str) -> String {
    json!({ "csp-report": {
        "document-uri": "https://kiln.example/reset/secret-token?mail=a@b.example", "blocked-uri": blocked,
        "effective-directive": directive, "violated-directive": directive, "disposition": "report",
    } })
    .to_string()
}

async fn reports(gate: &Gate) -> Value {
    gate.admin("/reports", &[]).await.json()
}

fn hosts(told: &Value) -> Vec<(String, u64)> {
    let hosts = told["hosts"].as_array().expect("a list");
    hosts
        .iter()
        .map(|host| (host["host"].as_str().expect("a name").to_owned(), host["count"].as_u64().expect("a count")))
        .collect()
}

#[tokio::test]
async fn each_form_is_counted_by_host_alone() {
    let (_upstream, gate) = gate(|_| {}).await;
    let report = csp("https://cdn.unknown.example/pixel/private?uid=42", "img-src");
    assert_eq!(post(&gate, "application/csp-report", &report).await.status, 204);
    let list = json!([
        { "type": "csp-violation", "url": "https://kiln.example/", "body": {
            "blockedURL": "wss://cdn.unknown.example/socket", "effectiveDirective": "connect-src", "disposition": "enforce" } },
        { "type": "csp-violation", "body": { "blockedURL": "https://js.stripe.com/v3/", "effectiveDirective": "script-src-elem" } },
        { "type": "csp-violation", "body": { "blockedURL": "https://www.facebook.com/tr", "effectiveDirective": "img-src" } },
        { "type": "deprecation", "body": { "id": "x" } },
    ]);
    assert_eq!(post(&gate, "application/reports+json", &list.to_string()).await.status, 204);
    let held = json!({ "held": { "meta": 3, "nobody": 9, "<script>": 1, "tiktok": "x" } });
    assert_eq!(post(&gate, "application/json", &held.to_string()).await.status, 204);
    assert_eq!(post(&gate, "text/plain;charset=UTF-8", &held.to_string()).await.status, 204);

    let told = reports(&gate).await;
    assert_eq!(hosts(&told)[0], ("cdn.unknown.example".to_owned(), 2));
    assert_eq!(told["hosts"][0]["stopped"], 1);
    assert_eq!(told["hosts"][0]["directives"], json!({ "img-src": 1, "connect-src": 1 }));
    let class = |host: &str| {
        let all = told["hosts"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["host"] == host).map(|one| (one["class"].clone(), one["who"].clone()))
    };
    assert_eq!(class("cdn.unknown.example"), Some((json!("unclassified"), json!([]))));
    assert_eq!(class("js.stripe.com"), Some((json!("unclassified"), json!(["stripe"]))));
    assert_eq!(class("www.facebook.com"), Some((json!("vendor"), json!(["meta"]))));
    assert_eq!(told["held"], json!({ "meta": 6 }), "only vendors that exist");
    assert_eq!(told["containment"], "report");
    let text = told.to_string();
    for private in ["secret-token", "uid=42", "a@b.example", "private", "<script>"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
}

#[tokio::test]
async fn what_names_no_third_party_is_dropped() {
    let (_upstream, gate) = gate(|_| {}).await;
    let own = gate.origin();
    let junk = [
        csp("inline", "script-src-elem"),
        csp("eval", "script-src"),
        csp("data", "img-src"),
        csp("blob", "worker-src"),
        csp("", "img-src"),
        csp("chrome-extension://abcdef/x.js", "script-src-elem"),
        csp("moz-extension://abcdef/x.js", "script-src-elem"),
        csp("about:blank", "frame-src"),
        csp(&format!("{own}/x.js"), "script-src-elem"),
        csp("https://a.example/", "form-action"),
        csp("https://a.example/", "<b>"),
        csp("https://<script>/", "img-src"),
        json!({ "csp-report": { "blocked-uri": 7, "effective-directive": "img-src" } }).to_string(),
        json!({ "csp-report": [] }).to_string(),
        "[]".to_owned(),
        "not json".to_owned(),
        "\u{0}".to_owned(),
    ];
    for body in &junk {
        assert_eq!(post(&gate, "application/csp-report", body).await.status, 204, "{body}");
    }
    let told = reports(&gate).await;
    assert_eq!((hosts(&told), told["dropped"].as_u64()), (vec![], Some(junk.len() as u64)), "{told}");
}

#[tokio::test]
async fn other_origins_methods_forms_and_sizes_are_refused() {
    let (_upstream, gate) = gate(|config| config.limits.report_bytes = 1_024).await;
    let body = csp("https://cdn.unknown.example/", "img-src");
    let ours = gate.origin();
    for (headers, want) in [
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], 403),
        (vec![("origin", ours.as_str())], 204),
        (vec![("origin", "null")], 204),
        (vec![], 204),
    ] {
        let all = [vec![("content-type", "application/csp-report")], headers.clone()].concat();
        assert_eq!(gate.send("POST", "/_consent/report", &all, body.as_bytes()).await.status, want, "{headers:?}");
    }
    assert_eq!(gate.get("/_consent/report", &[]).await.status, 405);
    assert_eq!(post(&gate, "application/x-www-form-urlencoded", "a=b").await.status, 415);
    assert_eq!(post(&gate, "text/html", "a=b").await.status, 415);
    let large = json!({ "csp-report": { "blocked-uri": "https://large.example/", "effective-directive": "img-src", "x": "y".repeat(2_000) } });
    assert_eq!(post(&gate, "application/csp-report", &large.to_string()).await.status, 413);
    assert_eq!(hosts(&reports(&gate).await), [("cdn.unknown.example".to_owned(), 3)]);
}

#[tokio::test]
async fn a_flood_is_bounded_in_rate_and_in_memory() {
    let (_upstream, gate) = gate(|config| {
        config.limits.report_hosts = 16;
        config.limits.own_requests_per_minute = 20;
    })
    .await;
    let flood = |round: usize| {
        let one = |n: usize| {
            json!({ "type": "csp-violation", "body": {
                "blockedURL": format!("https://h{round}-{n}.invented.example/"), "effectiveDirective": "img-src" } })
        };
        Value::Array((0..200).map(one).collect()).to_string()
    };
    let mut statuses = Vec::new();
    for round in 0..25 {
        statuses.push(post(&gate, "application/reports+json", &flood(round)).await.status);
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 204).count(), 20, "{statuses:?}");
    assert!(statuses.ends_with(&[429; 5]), "{statuses:?}");
    let told = reports(&gate).await;
    assert_eq!(hosts(&told).len(), 16);
    assert_eq!(told["beyond"].as_u64(), Some(20 * 200 - 16), "what made room is still counted");
}

#[tokio::test]
async fn the_admin_listener_tells_this_machine_only() {
    let (_upstream, gate) = gate(|_| {}).await;
    assert_eq!(gate.admin("/reports", &[("host", "evil.example")]).await.status, 403);
    assert_eq!(gate.admin("/reports", &[]).await.status, 200);
    assert_eq!(gate.admin("/healthz", &[]).await.status, 200);
    assert_eq!(gate.get("/reports", &[]).await.status, 200, "on the public side it is a path of the site");
    assert!(gate.get("/reports", &[]).await.text().contains("<p>x"));
}
