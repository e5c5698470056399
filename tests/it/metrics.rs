//! `GET /metrics`: real requests through the gate move the numbers, the text is OpenMetrics to the letter,
//! and nothing that a visitor sends becomes a label.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::{Gate, Upstream, respond};

const PAGE: &str = "<!doctype html><title>x</title>\
    <script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>\
    <script src=\"https://connect.facebook.net/en_US/sdk.js\"></script>\
    <noscript><img src=\"https://www.facebook.com/tr?id=1&ev=PageView&noscript=1\"></noscript><p>x";

async fn upstream() -> Upstream {
    Upstream::start(|got| match got.path() {
        "/logo.png" => respond("200 OK", &[("content-type", "image/png")], &[0; 1_000]),
        "/gone" => respond("404 Not Found", &[("content-type", "text/plain")], b"no"),
        "/unreadable" => respond("200 OK", &[("content-type", "text/html"), ("content-encoding", "unheard-of")], b"x"),
        _ => respond("200 OK", &[("content-type", "text/html; charset=utf-8")], PAGE.as_bytes()),
    })
    .await
}

/// Every sample by its name with labels, as they stand there.
type Samples = BTreeMap<String, f64>;

async fn scrape(gate: &Gate) -> Samples {
    let answer = gate.admin("/metrics", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    parse(&answer.text())
}

/// The sum over every series of a name whose labels hold all of these.
fn sum(samples: &Samples, name: &str, labels: &[&str]) -> f64 {
    let fits = |key: &str| {
        let (found, rest) = key.split_once('{').unwrap_or((key, ""));
        found == name && labels.iter().all(|label| rest.trim_end_matches('}').split(',').any(|one| one == *label))
    };
    // Not `-0`, which an empty sum of floats is.
    samples.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).fold(0.0, |sum, value| sum + value)
}

/// Counters are moved when a body has ended, which the visitor may see first.
async fn until(gate: &Gate, name: &str, labels: &[&str], want: f64) -> Samples {
    let began = Instant::now();
    loop {
        let samples = scrape(gate).await;
        let found = sum(&samples, name, labels);
        if found == want {
            return samples;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{name}{labels:?} is {found}, not {want}: {samples:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A strict reader of OpenMetrics 1.0 text, as far as counters, gauges and histograms go.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("it ends with an EOF: {text}"));
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    let mut described = String::new();
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(!text.is_empty() && families.insert(name.to_owned()), "told once, with a text: {line}");
            described = name.to_owned();
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, of) = of.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(matches!(of, "counter" | "gauge" | "histogram") && name == described, "{line}");
            (family, kind) = (name.to_owned(), of.to_owned());
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(name == family && name.ends_with(&format!("_{unit}")), "the name ends with its unit: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (name, labels) = series.split_once('{').map_or((series, None), |(name, labels)| (name, Some(labels)));
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} stands below {family}"));
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                _ => &["_bucket", "_sum", "_count"],
            };
            assert!(suffixes.contains(&suffix), "{line} is no {kind}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()), "{line}");
            for label in labels.iter().flat_map(|labels| labels.strip_suffix('}').expect("a brace").split(',')) {
                let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                assert!(value.ends_with('"') && !value[..value.len() - 1].contains(['"', '\\', '\n']), "{line}");
            }
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "told twice: {line}");
        }
    }
    for (bucket, value) in samples.iter().filter(|(series, _)| series.contains("le=\"+Inf\"")) {
        let count = bucket.replace("_bucket", "_count").replace("le=\"+Inf\",", "").replace(",le=\"+Inf\"", "");
        assert_eq!(samples.get(&count), Some(value), "{bucket} counts all");
    }
    samples
}

#[tokio::test]
async fn every_kind_of_request_moves_its_numbers() {
    let upstream = upstream().await;
    let gate = Gate::start(&upstream).await;
    let before = scrape(&gate).await;
    assert_eq!(sum(&before, "consentry_requests_total", &[]), 0.0);
    assert!(before["process_start_time_seconds"] > 1.7e9);
    assert_eq!(sum(&before, "consentry_build_info", &[&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(sum(&before, "consentry_policy_info", &["site=\"default\""]), 1.0);

    let page = gate.get("/", &[("accept", "text/html"), ("sec-fetch-dest", "document")]).await;
    gate.get("/logo.png", &[]).await;
    gate.get("/gone", &[]).await;
    gate.get("/_consent/state", &[]).await;
    gate.get("/gtm.js?id=GTM-ABC123", &[("sec-fetch-dest", "script")]).await;
    assert_eq!(gate.get("/unreadable", &[("accept", "text/html")]).await.status, 502);
    let after = until(&gate, "consentry_requests_total", &[], 6.0).await;
    for (kind, status) in
        [("gated", "2xx"), ("passed", "2xx"), ("passed", "4xx"), ("own", "2xx"), ("held", "2xx"), ("refused", "5xx")]
    {
        let labels = [format!("kind=\"{kind}\""), format!("status=\"{status}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).chain(["site=\"default\""]).collect();
        assert_eq!(sum(&after, "consentry_requests_total", &labels), 1.0, "{kind} {status}: {after:#?}");
    }
    assert_eq!(sum(&after, "consentry_request_duration_seconds_count", &[]), 6.0);
    assert_eq!(sum(&after, "consentry_upstream_first_byte_seconds_count", &[]), 4.0, "what was not forwarded has none");
    assert!(sum(&after, "consentry_sent_bytes_total", &[]) >= 1_002.0 + page.body.len() as f64);
    assert_eq!(sum(&after, "consentry_pages_total", &["outcome=\"gated\""]), 1.0);
    assert_eq!(sum(&after, "consentry_pages_total", &["outcome=\"refused\""]), 1.0);
    assert_eq!(sum(&after, "consentry_verdicts_total", &["vendor=\"meta\"", "verdict=\"hold\""]), 2.0);
    assert_eq!(sum(&after, "consentry_verdicts_total", &["vendor=\"meta\"", "verdict=\"strip\""]), 1.0);

    let cookie = gate.accepted().await;
    gate.get("/", &[("accept", "text/html"), ("cookie", &cookie)]).await;
    let granted = until(&gate, "consentry_pages_total", &["outcome=\"gated\""], 2.0).await;
    assert!(sum(&granted, "consentry_verdicts_total", &["vendor=\"meta\"", "verdict=\"allow\""]) >= 2.0);
    assert!(sum(&granted, "consentry_consent_log_leaves", &[]) > sum(&before, "consentry_consent_log_leaves", &[]));
}

#[tokio::test]
async fn decisions_are_counted_by_choice_and_outcome() {
    let upstream = upstream().await;
    let gate = Gate::with(&upstream, |config| config.limits.decisions_per_minute = 4).await;
    let token = gate.token().await;
    for (choice, want) in [("accept_all", 200), ("reject_all", 200), ("reject_all", 200), ("nonsense", 422), ("accept_all", 429)]
    {
        assert_eq!(gate.decide(json!({ "choice": choice, "notice": token }), &[]).await.status, want, "{choice}");
    }
    let told = scrape(&gate).await;
    let of = |choice: &str, outcome: &str| {
        sum(&told, "consentry_decisions_total", &[&format!("choice=\"{choice}\""), &format!("outcome=\"{outcome}\"")])
    };
    assert_eq!((of("accept_all", "recorded"), of("reject_all", "recorded")), (1.0, 2.0));
    assert_eq!((of("unread", "invalid"), of("unread", "limited")), (1.0, 1.0));
    assert_eq!(sum(&told, "consentry_limits_hit_total", &["limit=\"decisions_per_minute\""]), 1.0);
    assert_eq!(told["consentry_consent_log_waiting"], 0.0);
    assert!(told["consentry_consent_log_free_bytes"] > 0.0);
    assert_eq!(sum(&told, "consentry_consent_log_state", &["state=\"ready\""]), 1.0);
    assert_eq!(sum(&told, "consentry_consent_log_state", &[]), 1.0, "it is in one state");

    let full = Gate::with(&upstream, |config| config.limits.log_reserve_bytes = u64::MAX >> 2).await;
    assert_eq!(full.decide(json!({ "choice": "accept_all", "notice": full.token().await }), &[]).await.status, 503);
    let told = scrape(&full).await;
    assert_eq!(sum(&told, "consentry_decisions_total", &["choice=\"accept_all\"", "outcome=\"not_recorded\""]), 1.0);
    assert_eq!(sum(&told, "consentry_consent_log_state", &["state=\"low_disk\""]), 1.0);
}

#[tokio::test]
async fn failures_of_the_upstream_are_told_by_their_reason() {
    let upstream = upstream().await;
    let gone =
        Gate::with(&upstream, |config| config.sites[0].upstreams = vec!["http://127.0.0.1:1".parse().expect("a URL")]).await;
    assert_eq!(gone.get("/", &[]).await.status, 502);
    until(&gone, "consentry_upstream_failures_total", &["reason=\"unreachable\""], 1.0).await;

    let broken = Upstream::start(|_| b"HTTP/1.1 200".to_vec()).await;
    let gate = Gate::start(&broken).await;
    assert_eq!(gate.get("/", &[]).await.status, 502);
    until(&gate, "consentry_upstream_failures_total", &["reason=\"broke\""], 1.0).await;

    // A listener that nobody accepts from: the connection stands, the answer never comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let slow = Gate::with(&upstream, |config| {
        config.sites[0].upstreams = vec![format!("http://{address}").parse().expect("a URL")];
        config.limits.upstream_first_byte_s = 1;
    })
    .await;
    assert_eq!(slow.get("/", &[]).await.status, 504);
    let told = until(&slow, "consentry_upstream_failures_total", &["reason=\"timeout\""], 1.0).await;
    assert_eq!(sum(&told, "consentry_limits_hit_total", &["limit=\"upstream_first_byte_s\""]), 1.0);
}

#[tokio::test]
async fn open_connections_go_up_and_down() {
    let upstream = upstream().await;
    let gate = Gate::start(&upstream).await;
    until(&gate, "consentry_open_connections", &[], 0.0).await;
    let visitors = [TcpStream::connect(gate.address).await, TcpStream::connect(gate.address).await];
    assert!(visitors.iter().all(Result::is_ok));
    until(&gate, "consentry_open_connections", &[], 2.0).await;
    drop(visitors);
    until(&gate, "consentry_open_connections", &[], 0.0).await;
}

#[tokio::test]
async fn nothing_that_a_visitor_sends_becomes_a_label() {
    let upstream = upstream().await;
    let gate = Gate::start(&upstream).await;
    gate.get("/", &[("accept", "text/html")]).await;
    gate.send("POST", "/_consent/decision", &[("content-type", "application/json"), ("origin", "https://o.example")], b"{}")
        .await;
    gate.get("/_consent/elsewhere", &[]).await;
    let usual: BTreeSet<String> = until(&gate, "consentry_requests_total", &[], 3.0).await.into_keys().collect();
    for n in 0..50 {
        let (host, path) = (format!("h{n}.invented.example"), format!("/jane{n}@example.org?secret={n}"));
        let agent = format!("Agent/{n}");
        let headers =
            [("host", host.as_str()), ("user-agent", agent.as_str()), ("referer", "https://r.example/"), ("accept", "text/html")];
        gate.send(if n % 2 == 0 { "GET" } else { "BREW" }, &path, &headers, b"").await;
        gate.decide(json!({ "choice": format!("c{n}"), "notice": "x" }), &[("host", &host)]).await;
    }
    let told = until(&gate, "consentry_requests_total", &[], 103.0).await;
    let new: Vec<&String> = told.keys().filter(|key| !usual.contains(*key)).collect();
    // The only new series are of statuses and outcomes that had not been met before.
    let bounded = |key: &str| key.contains("kind=\"own\"") || key.contains("kind=\"refused\"") || key.contains("outcome=");
    assert!(new.iter().all(|key| bounded(key)) && new.len() < 40, "{new:#?}");
    let text = gate.admin("/metrics", &[]).await.text();
    for private in ["invented", "jane", "secret", "Agent", "r.example", "BREW", "127.0.0.1", "choice=\"c"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    assert_eq!(gate.get("/metrics", &[("accept", "text/html")]).await.header("content-type"), Some("text/html; charset=utf-8"));
}
