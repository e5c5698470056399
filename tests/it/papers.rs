//! What is handed out from the log: everything about one visitor, what was in force, the register's entry.

use serde_json::{Value, json};

use crate::harness::{Gate, Upstream, run};

const OPENED: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// Two visitors; the first decided twice.
struct Scene {
    gate: Gate,
    receipt: Value,
    other: Value,
}

async fn scene() -> Scene {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token().await;
    let receipt_of = async |cookie: &str| {
        let mut headers = OPENED.to_vec();
        headers.push(("cookie", cookie));
        gate.get("/_consent/receipt", &headers).await.json()
    };
    let first = gate.accepted().await;
    let choice = json!({ "choice": "save", "purpose.analytics": "on", "notice": token });
    let second = gate.decide(choice, &[("cookie", first.as_str())]).await.consent_cookie().expect("a cookie");
    let other = gate.accepted().await;
    let (receipt, other) = (receipt_of(&second).await, receipt_of(&other).await);
    Scene { gate, receipt, other }
}

impl Scene {
    fn log(&self, line: &[&str]) -> (i32, String, String) {
        let data = self.gate.data.path().to_str().expect("a path");
        let mut words = vec!["log"];
        words.extend_from_slice(line);
        words.extend_from_slice(&["--data", data]);
        run(&words, self.gate.data.path())
    }
}

fn record(receipt: &Value) -> Value {
    serde_json::from_str(receipt["record"].as_str().expect("a record")).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

#[tokio::test]
async fn a_visitor_gets_everything_about_them_and_nothing_about_anybody_else() {
    let scene = scene().await;
    let (own, other) = (record(&scene.receipt), record(&scene.other));
    let (subject, id) = (text(&own["sub"]).to_owned(), text(&own["id"]).to_owned());
    let folder = scene.gate.data.path();
    let (code, out, err) = scene.log(&["access", "--subject", &subject, "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    let data: Value = serde_json::from_str(&out).expect("JSON");
    let records = data["records"].as_array().expect("records");
    assert_eq!(records.iter().map(|one| text(&one["id"])).collect::<Vec<_>>(), [text(&own["prev"]), id.as_str()]);
    // Word for word what the visitor's own receipt proves.
    let newest = &records[1];
    for name in ["record", "salt", "commitment", "key"] {
        assert_eq!(newest[name], scene.receipt[name], "{name}");
    }
    let notices = data["notices"].as_array().expect("notices");
    assert!(notices.iter().any(|notice| notice["sha256"] == own["notice"] && text(&notice["html"]).contains("Reject all")));
    assert_eq!(data["policies"][0]["revision"], own["policy"]);
    for theirs in [&other["sub"], &other["id"]] {
        assert!(!out.contains(text(theirs)), "somebody else's {theirs}");
    }

    // The page says the same, loads nothing, and is the operator's alone to read.
    let page = folder.join("answer.html");
    let (code, out, err) = scene.log(&["access", "--subject", &subject, "-o", page.to_str().expect("a path")]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let html = std::fs::read_to_string(&page).expect("a page");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&page).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(html.contains("default-src 'none'") && !html.contains("<script") && !html.contains("<link"), "{html}");
    let escaped = text(&newest["record"]).replace('"', "&quot;");
    for said in [escaped.as_str(), &subject, text(&newest["proof"]).lines().nth(2).expect("a path"), "Some of it was allowed"] {
        assert!(html.contains(said) || html.contains(&said.replace('/', "&#x2f;")), "{said}");
    }
    assert!(!html.contains(text(&other["sub"])) && !html.contains(text(&other["id"])));
    let (_, german, _) = scene.log(&["access", "--subject", &subject, "--lang", "de"]);
    assert!(german.contains("lang=\"de\"") && german.contains("Ein Teil davon ist erlaubt"));

    // A receipt stands for its visitor only if this log has the very record.
    let file = folder.join("receipt.json");
    let by_receipt = |receipt: &Value| {
        std::fs::write(&file, receipt.to_string()).expect("writable");
        scene.log(&["access", "--receipt", file.to_str().expect("a path"), "--format", "json"])
    };
    let (code, out, err) = by_receipt(&scene.receipt);
    assert_eq!(code, 0, "{err}");
    let same: Value = serde_json::from_str(&out).expect("JSON");
    // Proofs are newer than the ones before: the log has grown by the reading of it.
    let stored =
        |data: &Value| data["records"].as_array().expect("records").iter().map(|one| one["record"].clone()).collect::<Vec<_>>();
    assert_eq!(stored(&same), stored(&data));
    let mut altered = scene.receipt.clone();
    altered["record"] = json!(text(&altered["record"]).replace(&subject, text(&other["sub"])));
    assert!(by_receipt(&altered).2.contains("was changed"), "another's pseudonym put into it");
    // Made up as a whole: it fits itself, and nothing in the log.
    let salt = consentry::vocab::Hash::parse(text(&altered["salt"])).expect("a salt");
    altered["commitment"] = json!(consentry::consent_log::commitment(&salt.0, text(&altered["record"]).as_bytes()).to_string());
    let (code, out, err) = by_receipt(&altered);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("record of that receipt"), "{err}");
    // Who asked is on record, and not whom they asked about.
    let (_, all, _) = scene.log(&["export", "--format", "jsonl"]);
    let acts: Vec<&str> = all.lines().filter(|line| line.contains("\"command\":\"access\"")).collect();
    assert!(acts.len() >= 4 && acts.iter().all(|act| !act.contains(&subject)), "{acts:?}");
}

#[tokio::test]
async fn what_was_in_force_is_told_for_any_time() {
    let scene = scene().await;
    let own = record(&scene.receipt);
    let (subject, since) = (text(&own["sub"]).to_owned(), text(&own["t"]).to_owned());
    let state = |at: &str| {
        let (code, out, err) = scene.log(&["state", "--subject", &subject, "--at", at, "--json"]);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let status = |state: &Value, purpose: &str| {
        let found = state["purposes"].as_array().expect("a list").iter().find(|one| one["purpose"] == purpose).cloned();
        found.unwrap_or_else(|| panic!("{purpose}: {state}"))
    };
    let now = state("2099-01-01T00:00:00Z");
    assert_eq!(status(&now, "analytics")["status"], "expired");
    let now = state(&since);
    assert_eq!((now["decided"].as_bool(), &now["purposes"][0]["record"]), (Some(true), &own["id"]));
    let (analytics, marketing) = (status(&now, "analytics"), status(&now, "marketing"));
    assert_eq!((text(&analytics["status"]), text(&marketing["status"])), ("given", "withdrawn"));
    // Analytics has been allowed since the first decision, marketing refused since the second.
    assert!(text(&analytics["since"]) < text(&marketing["since"]), "{now}");
    assert_eq!(
        text(&marketing["since"]).parse::<jiff::Timestamp>().expect("a time"),
        since.parse::<jiff::Timestamp>().expect("a time")
    );
    let (_, none, _) = scene.log(&["state", "--subject", &subject, "--at", "2020-01-01"]);
    assert_eq!(none, "No decision of this visitor is on record up to then.\n");
    let (_, table, _) = scene.log(&["state", "--subject", &subject]);
    assert!(table.starts_with("purpose ") && table.contains("withdrawn"), "{table}");
}

#[tokio::test]
async fn the_register_has_an_entry_for_the_log_itself() {
    let scene = scene().await;
    let (code, out, err) = scene.log(&["article30", "--json"]);
    assert_eq!(code, 0, "{err}");
    let entry: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (entry["records"].as_u64(), entry["decision_months"].as_u64(), entry["proof_months"].as_u64()),
        (Some(3), Some(6), Some(24))
    );
    let (_, told, _) = scene.log(&["article30"]);
    for heading in ["Controller (a)", "Purposes (b)", "Recipients (d)", "Time limits for erasure (f)", "measures (g)"] {
        assert!(told.contains(heading), "{told}");
    }
    assert!(told.contains("kept for 24 months after that") && told.contains("127.0.0.1"), "{told}");
    assert!(!out.contains(text(&record(&scene.receipt)["sub"])), "nobody is named");
}

#[tokio::test]
async fn records_go_out_in_the_forms_of_standards() {
    let scene = scene().await;
    scene.gate.decide(json!({ "choice": "reject_all" }), &[]).await;
    let exported = |format: &str| {
        let (code, out, err) = scene.log(&["export", "--format", format]);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    };
    let own = record(&scene.receipt);
    let linked = exported("jsonld");
    let graph = linked["@graph"].as_array().expect("a graph");
    assert_eq!((linked["@context"]["dpv"].as_str(), graph.len()), (Some("https://w3id.org/dpv#"), 4));
    let second = &graph[1];
    assert_eq!(second["dct:identifier"], own["id"]);
    // What TS 27560 makes mandatory, as the guide maps it.
    for name in [
        "dct:conformsTo",
        "dpv:hasDataSubject",
        "dpv:hasNotice",
        "dct:language",
        "dpv:hasDataController",
        "dpv:hasStorageCondition",
        "dpv:hasJurisdiction",
        "dpv:hasConsentControl",
    ] {
        assert!(!second[name].is_null(), "{name}: {second}");
    }
    let event = &second["@included"][0];
    for name in ["dpv:isIndicatedAtTime", "dpv:hasDuration", "dpv:isIndicatedBy", "dpv:hasConsentStatus"] {
        assert!(!event[name].is_null(), "{name}: {event}");
    }
    let statuses = |record: &Value| {
        let all = record["dpv:hasProcess"].as_array().expect("processes").iter();
        all.map(|one| {
            (text(&one["dpv:hasPurpose"]["dct:identifier"]).to_owned(), text(&one["dpv:hasConsentStatus"]["@id"]).to_owned())
        })
        .collect::<Vec<_>>()
    };
    let want = [("analytics", "dpv:ConsentGiven"), ("functional", "dpv:ConsentRefused"), ("marketing", "dpv:ConsentRefused")];
    assert_eq!(statuses(second), want.map(|(id, status)| (id.to_owned(), status.to_owned())));
    assert!(graph[3]["dpv:hasDataSubject"]["@id"].is_null(), "a refusal names nobody: {}", graph[3]);

    // Kantara has words for consent only.
    let receipts = exported("kantara");
    let receipts = receipts.as_array().expect("a list");
    assert_eq!(receipts.len(), 3);
    let second = &receipts[1];
    assert_eq!((second["version"].as_str(), &second["consentReceiptID"]), (Some("KI-CR-v1.1.0"), &own["id"]));
    let seconds = text(&own["t"]).parse::<jiff::Timestamp>().expect("a time").as_second();
    assert_eq!(second["consentTimestamp"].as_i64(), Some(seconds));
    let purposes = second["services"][0]["purposes"].as_array().expect("purposes");
    assert!(purposes.len() == 1 && text(&purposes[0]["purpose"]).starts_with("Analytics: "), "{second}");
    assert!(text(&purposes[0]["thirdPartyName"]).contains(", ") && purposes[0]["thirdPartyDisclosure"] == true);
}

#[tokio::test]
async fn notices_shown_are_counted_and_nobody_whom() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let mut gate = Gate::start(&upstream).await;
    let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    for _ in 0..12 {
        gate.get("/", &[browser, ("accept-language", "en")]).await;
    }
    gate.get("/", &[browser, ("accept-language", "de")]).await;
    gate.get("/_consent/", &[browser]).await;
    // A program, a page fetched ahead, a part of a page, somebody who has decided: not shown to anybody who is asked.
    gate.get("/", &[("user-agent", "Googlebot/2.1")]).await;
    gate.get("/", &[browser, ("sec-purpose", "prefetch")]).await;
    gate.get("/", &[browser, ("sec-fetch-dest", "iframe")]).await;
    let cookie = gate.accepted().await;
    gate.get("/", &[browser, ("cookie", cookie.as_str())]).await;
    gate.stop().await;
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let stats = |more: &[&str]| {
        let mut line = vec!["log", "stats", "--data", &data];
        line.extend_from_slice(more);
        let (code, out, err) = run(&line, gate.data.path());
        assert_eq!(code, 0, "{err}");
        out
    };
    let shown: Value = serde_json::from_str(&stats(&["--by", "language,layer", "--exact", "--json"])).expect("JSON");
    let rows = shown["rows"].as_array().expect("rows").iter();
    let counted: Vec<(&str, &str, u64)> =
        rows.map(|row| (text(&row["language"]), text(&row["layer"]), row["shown"].as_u64().expect("a count"))).collect();
    assert_eq!(counted, [("de", "banner", 1), ("en", "api", 0), ("en", "banner", 12), ("en", "preferences", 1)]);
    // Published: the small ones are gone, and no other table gives them back.
    let published = stats(&["--by", "language,layer"]);
    assert!(published.lines().any(|line| line.split_whitespace().take(4).eq(["de", "banner", "..", "0"])), "{published}");
    assert!(stats(&["--by", "method"]).contains(" 14 "), "{published}");
    let (code, out, err) = run(&["log", "verify", "--json", "--data", &data], gate.data.path());
    assert_eq!(code, 0, "{out}{err}");
}
