//! `/healthz` and `/readyz`: each state of the gate, in status and in words; and who is told.

use std::time::{Duration, Instant};

use consentry::config::{AdminToken, Config};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::harness::{Gate, Upstream, run};

async fn upstream() -> Upstream {
    Upstream::page("<!doctype html><title>x</title><p>x").await
}

fn reasons(told: &Value) -> String {
    let reasons = told["reasons"].as_array().expect("a list");
    reasons.iter().map(|reason| reason.as_str().expect("text")).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_gate_in_order_is_healthy_and_ready() {
    let gate = Gate::start(&upstream().await).await;
    let (health, ready) = (gate.admin("/healthz", &[]).await, gate.admin("/readyz", &[]).await);
    assert_eq!((health.status, ready.status), (200, 200));
    let (health, ready) = (health.json(), ready.json());
    assert_eq!((&health["healthy"], &health["consent_log"]), (&json!(true), &json!("ready")));
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    assert_eq!((&ready["upstreams"][0]["site"], &ready["upstreams"][0]["reachable"]), (&json!("default"), &json!(true)));
    assert!(ready["policy"].as_str().is_some_and(|revision| revision.len() == 64));
}

#[tokio::test]
async fn an_upstream_that_is_gone_takes_readiness_and_not_health() {
    let there = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = there.local_addr().expect("an address");
    drop(there);
    let url = format!("http://{address}");
    let gate = Gate::with(&upstream().await, |config| config.sites[0].upstreams = vec![url.parse().expect("a URL")]).await;
    let ready = gate.admin("/readyz", &[]).await;
    assert_eq!(ready.status, 503);
    let told = ready.json();
    assert!(reasons(&told).contains(&format!("site default: the upstream {url} cannot be reached")), "{told}");
    assert_eq!(told["upstreams"][0]["reachable"], false);
    assert_eq!(gate.admin("/healthz", &[]).await.status, 200, "starting the gate again would not help");

    let mut probes = 0;
    let back = TcpListener::bind(address).await.expect("the port is free");
    let began = Instant::now();
    while gate.admin("/readyz", &[]).await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(15), "it is ready once the upstream is");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // However often readiness is asked for, the upstream is asked once in a few seconds.
    for _ in 0..20 {
        assert_eq!(gate.admin("/readyz", &[]).await.status, 200);
    }
    while let Ok(Ok((mut probe, _))) = tokio::time::timeout(Duration::from_millis(100), back.accept()).await {
        probes += 1;
        let read = tokio::time::timeout(Duration::from_secs(1), probe.read(&mut [0; 8])).await;
        assert!(matches!(read, Ok(Ok(0))), "nothing is sent and the connection is let go: {read:?}");
    }
    assert!((1..=3).contains(&probes), "{probes}");
}

#[tokio::test]
async fn a_log_that_cannot_record_is_told_by_what_mends_it() {
    let upstream = upstream().await;
    let full = Gate::with(&upstream, |config| config.limits.log_reserve_bytes = 1 << 60).await;
    let ready = full.admin("/readyz", &[]).await;
    assert_eq!(ready.status, 503);
    assert!(reasons(&ready.json()).contains("short of disk"), "{}", ready.text());
    assert_eq!(full.admin("/healthz", &[]).await.status, 200, "a new process would find the disk as full");

    let broken = Gate::start(&upstream).await;
    let token = broken.token().await;
    let log = rusqlite::Connection::open(broken.data.path().join("consent-log.db")).expect("the log is a database");
    log.execute_batch("DROP TABLE payload").expect("dropped");
    assert_eq!(broken.decide(json!({ "choice": "accept_all", "notice": token }), &[]).await.status, 503);
    for path in ["/healthz", "/readyz"] {
        let told = broken.admin(path, &[]).await;
        assert_eq!(told.status, 503, "{path}");
        let why = reasons(&told.json());
        assert!(why.contains("a write failed") && why.contains("start consentry again"), "{path}: {why}");
    }
    let metrics = broken.admin("/metrics", &[]).await.text();
    assert!(metrics.contains("consentry_consent_log_state{state=\"poisoned\"} 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gate_that_drains_is_not_ready_and_says_so_until_the_end() {
    // The request stays under way until the test has seen what it came for: no clock decides.
    let (seen, end) = std::sync::mpsc::channel::<()>();
    let (arrived, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let end = std::sync::Mutex::new(end);
    let slow = Upstream::start(move |_| {
        let _ = arrived.send(());
        let _ = end.lock().expect("no panic holds it").recv_timeout(Duration::from_secs(30));
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlast".to_vec()
    })
    .await;
    let mut gate = Gate::with(&slow, |config| config.limits.drain_s = 60).await;
    let asking = tokio::net::TcpStream::connect(gate.address).await.expect("the gate listens");
    let (mut read, mut write) = asking.into_split();
    tokio::io::AsyncWriteExt::write_all(&mut write, b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("sent");
    asked.recv().await.expect("the request is with the upstream");
    gate.begin_stop();
    let began = Instant::now();
    let told = loop {
        let ready = gate.admin("/readyz", &[]).await;
        if ready.status == 503 {
            break ready.json();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it says so at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(reasons(&told).contains("stopping"), "{told}");
    assert_eq!(gate.admin("/healthz", &[]).await.status, 200);
    seen.send(()).expect("the upstream waits for it");
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.expect("the request under way ends");
    assert!(String::from_utf8_lossy(&answer).ends_with("last"));
    gate.stop().await;
}

#[tokio::test]
async fn with_a_token_only_its_holder_is_told_more_than_a_status() {
    let token = AdminToken::new("0123456789abcdef0123").expect("long enough");
    let gate = Gate::with(&upstream().await, |config| config.admin_token = Some(token)).await;
    let right = ("authorization", "Bearer 0123456789abcdef0123");
    for path in ["/metrics", "/reports", "/readyz", "/healthz"] {
        let told = gate.admin(path, &[right, ("host", "gate.internal:8081")]).await;
        assert!(told.status == 200 && told.body.len() > 10, "{path}: {}", told.text());
        let wrong = gate.admin(path, &[("authorization", "Bearer 0123456789abcdef0124")]).await;
        let (status, body) = if path.ends_with('z') { (200, "{}") } else { (401, "") };
        assert_eq!(wrong.status, status, "{path}");
        assert!(!body.is_empty() && wrong.text() == body || wrong.header("www-authenticate") == Some("Bearer"), "{path}");
        assert_eq!(gate.admin(path, &[("host", "rebound.example")]).await.status, 403, "{path}");
    }
    assert_eq!(gate.admin("/elsewhere", &[]).await.status, 401);
}

#[test]
fn the_admin_listener_opens_to_the_network_with_a_token_only() {
    let read = |server: &str| Config::read("c.toml", &format!("[server]\nadmin = \"0.0.0.0:8081\"\n{server}"));
    assert_eq!(read("").1.len(), 1);
    assert_eq!(read("admin_token = \"short\"").1.len(), 2, "both are told");
    assert!(read("admin_token = \"0123456789abcdef\"").1.is_empty());
    assert!(read("admin_token_file = \"token\"").1.is_empty());
    assert_eq!(read("admin_token = \"0123456789abcdef\"\nadmin_token_file = \"token\"").1.len(), 1);

    let dir = tempfile::tempdir().expect("a folder");
    let config = "[server]\nadmin = \"0.0.0.0:8081\"\nadmin_token_file = \"token\"\n";
    std::fs::write(dir.path().join("consentry.toml"), config).expect("a file");
    let (code, _, err) = run(&["check"], dir.path());
    assert!(code == 64 && err.contains("token") && err.contains("cannot be read"), "{err}");
    std::fs::write(dir.path().join("token"), "short\n").expect("a file");
    let (code, _, err) = run(&["check"], dir.path());
    assert!(code == 64 && err.contains("shorter than 16"), "{err}");
    std::fs::write(dir.path().join("token"), "0123456789abcdef\n").expect("a file");
    let (code, out, err) = run(&["check"], dir.path());
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) =
        run(&["serve", "--upstream", "http://127.0.0.1:1", "--config", "/dev/null", "--admin", "0.0.0.0:0"], dir.path());
    assert!(code == 64 && err.contains("admin_token"), "{err}");
}
