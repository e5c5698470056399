//! `consentry notice`: what visitors were shown, read back from the log.

use serde_json::{Value, json};

use crate::harness::{Gate, Upstream, run};

#[tokio::test]
async fn what_was_shown_is_listed_shown_and_compared() {
    let upstream = Upstream::page("<!doctype html><title>x</title><p>x").await;
    let gate = Gate::start(&upstream).await;
    let token = gate.get("/_consent/notice-token", &[]).await.json();
    let answered = token["sha256"].as_str().expect("an address").to_owned();
    gate.decide(json!({ "choice": "accept_all", "notice": token["notice"] }), &[]).await;
    let data = gate.data.path().to_str().expect("a path").to_owned();
    let notice = |line: &[&str]| {
        let mut words = vec!["notice"];
        words.extend_from_slice(line);
        words.extend_from_slice(&["--data", &data]);
        run(&words, gate.data.path())
    };

    let (code, out, err) = notice(&["list", "--json"]);
    assert_eq!(code, 0, "{err}");
    let all: Vec<Value> = serde_json::from_str(&out).expect("JSON");
    let one = all.iter().find(|one| one["sha256"] == answered.as_str()).expect("the notice that was answered");
    assert_eq!(
        (one["lang"].as_str(), one["layer"].as_str(), one["decisions"].as_u64()),
        (Some("en"), Some("preferences"), Some(1))
    );
    assert!(all.iter().filter(|other| other["sha256"] != answered.as_str()).all(|other| other["decisions"] == 0), "{out}");
    let (_, table, _) = notice(&["list"]);
    assert!(table.starts_with("idx  notice") && table.lines().count() == all.len() + 1, "{table}");

    let (code, html, err) = notice(&["show", &answered[..12]]);
    assert_eq!(code, 0, "{err}");
    assert!(html.contains("Reject all"), "{html}");
    let (_, whole, _) = notice(&["show", &answered, "--json"]);
    let whole: Value = serde_json::from_str(&whole).expect("JSON");
    assert_eq!(whole["html"].as_str().map(|html| format!("{html}\n")), Some(html));

    let other = |lang: &str| {
        let found = all.iter().find(|one| one["lang"] == lang && one["layer"] == "preferences").expect("a translation");
        found["sha256"].as_str().expect("an address").to_owned()
    };
    let (code, out, err) = notice(&["diff", &answered, &other("de"), "--json"]);
    assert_eq!(code, 0, "{err}");
    let different: Value = serde_json::from_str(&out).expect("JSON");
    let changes = different["changes"].as_array().expect("a list");
    assert!(changes.iter().any(|change| change["place"] == "/lang" && change["old"] == "en" && change["new"] == "de"), "{out}");
    assert_eq!(notice(&["diff", &answered, &answered]).1, "Both are the same, word for word.\n");

    // No digits are any notice, too few are none alone, and a wrong address is nobody's.
    for wrong in ["", "g", "00000000000000000000"] {
        let (code, _, err) = notice(&["show", wrong]);
        assert_eq!(code, 1, "{wrong}");
        assert!(err.contains("single notice"), "{err}");
    }
}
