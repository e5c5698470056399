//! Containment over the wire: which answers carry the generated policy, what it lists in each state of
//! the visitor, and that the site's own policy keeps its bytes.

use std::collections::BTreeMap;

use consentry::config::Containment;

use crate::harness::{Gate, Upstream, respond, write_files};

const SITE: &str = "vendors = [\"meta\", \"matomo\"]\n[controller]\nname = \"Kiln\"\ncontact = \"privacy@kiln.example\"\n";
const HOSTS: &str = "allowed = [\"static.kiln.example\"]\npresets = [\"turnstile\"]\n\
    [[gated]]\nid = \"reviews\"\nhosts = [\"widgets.reviews.example\"]\npurposes = [\"marketing\"]\nname = \"Reviews Ltd\"\n";
const OWN: &str = "script-src 'self' 'nonce-abc'; frame-ancestors 'none'";
const PAGE: &[u8] =
    b"<!doctype html><html><head><script src=\"https://widgets.reviews.example/w.js\"></script></head><body><p>x</body></html>";

async fn upstream() -> Upstream {
    Upstream::start(|got| match got.path() {
        "/missing" => respond("404 Not Found", &[("content-type", "text/html")], PAGE),
        "/a.svg" => respond("200 OK", &[("content-type", "image/svg+xml")], b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        "/a.png" => respond("200 OK", &[("content-type", "image/png")], b"png"),
        "/worker.js" => respond("200 OK", &[("content-type", "text/javascript")], b"self.x = 1"),
        "/exempt" => respond("200 OK", &[("content-type", "text/html")], PAGE),
        _ => respond("200 OK", &[("content-type", "text/html"), ("content-security-policy", OWN)], PAGE),
    })
    .await
}

async fn gate(upstream: &Upstream, site: &str, containment: Containment) -> (Gate, tempfile::TempDir) {
    let policies = tempfile::tempdir().expect("a folder");
    write_files(policies.path(), &BTreeMap::from([("site.toml", site.to_owned()), ("hosts.toml", HOSTS.to_owned())]));
    let gate = Gate::with(upstream, |config| {
        config.sites[0].policies = Some(policies.path().to_owned());
        config.sites[0].containment = containment;
        config.sites[0].exempt = crate::harness::paths(&["/exempt"]);
    })
    .await;
    (gate, policies)
}

const REPORT_ONLY: &str = "content-security-policy-report-only";
const ENFORCED: &str = "content-security-policy";
/// A public name: played vendors of this machine are not in its policies.
const HOST: (&str, &str) = ("host", "kiln.example");

#[tokio::test]
async fn pages_documents_and_worker_scripts_carry_it_and_nothing_else_does() {
    let upstream = upstream().await;
    let (gate, _policies) = gate(&upstream, SITE, Containment::Report).await;
    for (path, headers, want) in [
        ("/", vec![], 1),
        ("/", vec![("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")], 1),
        ("/missing", vec![], 1),
        ("/a.svg", vec![], 1),
        ("/a.png", vec![("sec-fetch-dest", "image")], 0),
        ("/worker.js", vec![("sec-fetch-dest", "script")], 0),
        ("/worker.js", vec![("sec-fetch-dest", "worker")], 1),
        ("/worker.js", vec![("sec-fetch-dest", "sharedworker")], 1),
        ("/worker.js", vec![("sec-fetch-dest", "serviceworker"), ("service-worker", "script")], 1),
        ("/exempt", vec![], 0),
    ] {
        let answer = gate.get(path, &[vec![HOST], headers.clone()].concat()).await;
        assert_eq!(answer.all(REPORT_ONLY).len(), want, "{path} {headers:?}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn it_lists_the_allowed_always_and_vendors_once_granted() {
    let upstream = upstream().await;
    let site = SITE.replace("\"matomo\"", "\"matomo\", \"reviews\"");
    let (gate, _policies) = gate(&upstream, &site, Containment::Enforce).await;
    let answer = gate.get("/", &[HOST]).await;
    let policies = answer.all(ENFORCED);
    assert_eq!(policies.len(), 2, "{policies:?}");
    assert!(policies[0].starts_with(OWN.split(';').next().expect("a directive")), "the site's own stays: {policies:?}");
    let ours = policies[1];
    for (host, want) in [
        ("static.kiln.example", true),
        ("*.static.kiln.example", true),
        ("challenges.cloudflare.com", true),
        ("connect.facebook.net", false),
        ("widgets.reviews.example", false),
        ("js.stripe.com", false),
    ] {
        assert_eq!(ours.split([' ', ';']).any(|word| word == host), want, "{host} in {ours}");
    }
    assert!(ours.ends_with("report-uri /_consent/report"), "{ours}");
    assert!(answer.text().contains("data-gate-"), "a gated third party is held in the markup too");

    let host = ("host", "kiln.example");
    let token = gate.get("/_consent/notice-token", &[host]).await.json()["notice"].as_str().expect("a token").to_owned();
    let body = serde_json::json!({ "choice": "accept_all", "notice": token }).to_string();
    let headers = [host, ("content-type", "application/json"), ("origin", "http://kiln.example")];
    let decided = gate.send("POST", "/_consent/decision", &headers, body.as_bytes()).await;
    let cookie = decided.consent_cookie().expect("a cookie");
    let granted = gate.get("/", &[host, ("cookie", &cookie)]).await;
    let ours = granted.all(ENFORCED)[1].to_owned();
    for vendor in ["connect.facebook.net", "widgets.reviews.example"] {
        assert!(ours.split(' ').any(|word| word == vendor), "{vendor} in {ours}");
    }
    assert!(!granted.text().contains("data-gate-0"), "{}", granted.text());
}

#[tokio::test]
async fn off_is_off_and_observe_changes_nothing() {
    let upstream = upstream().await;
    let (off, _policies) = gate(&upstream, SITE, Containment::Off).await;
    let answer = off.get("/", &[HOST]).await;
    assert_eq!((answer.all(ENFORCED).len(), answer.all(REPORT_ONLY).len()), (1, 0));
    let observing = Gate::with(&upstream, |config| config.sites[0].observe = true).await;
    let answer = observing.get("/", &[HOST]).await;
    assert_eq!((answer.all(ENFORCED), answer.all(REPORT_ONLY).len()), (vec![OWN], 0));
}

#[tokio::test]
async fn over_tls_reports_go_by_name() {
    let upstream = upstream().await;
    let gate = Gate::with(&upstream, |config| config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")]).await;
    let answer = gate.get("/", &[HOST, ("x-forwarded-proto", "https")]).await;
    assert_eq!(answer.header("reporting-endpoints"), Some("consentry-containment=\"/_consent/report\""));
    assert!(
        answer.header(REPORT_ONLY).is_some_and(|line| line.ends_with("; report-to consentry-containment")),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn a_confirmed_copy_gets_the_policy_anew() {
    let upstream = Upstream::start(|got| match got.header("if-none-match") {
        Some(_) => respond("304 Not Modified", &[("etag", "\"v1\"")], b""),
        None => respond("200 OK", &[("content-type", "text/html"), ("etag", "\"v1\"")], PAGE),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let page = [HOST, ("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];
    let first = gate.get("/", &page).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let again = gate.get("/", &[&page[..], &[("if-none-match", tag.as_str())]].concat()).await;
    assert_eq!((again.status, again.header(REPORT_ONLY)), (304, first.header(REPORT_ONLY)));
    assert!(first.header(REPORT_ONLY).is_some());
}
