//! The access log: one true line a request, and nothing in it that tells one visitor from another.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use consentry::telemetry::access::Target;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Gate, Upstream, respond};

const PAGE: &str = "<!doctype html><title>x</title>\
    <script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>\
    <noscript><img src=\"https://www.facebook.com/tr?id=1&ev=PageView&noscript=1\"></noscript><p>x";

async fn upstream() -> Upstream {
    Upstream::start(|got| match got.path() {
        "/logo.png" => respond("200 OK", &[("content-type", "image/png")], &[0; 1_000]),
        _ => respond("200 OK", &[("content-type", "text/html; charset=utf-8")], PAGE.as_bytes()),
    })
    .await
}

/// A gate that writes to a file of that folder.
async fn gate(upstream: &Upstream, dir: &Path) -> Gate {
    let file = dir.join("access.log");
    Gate::with(upstream, |config| config.access.log = Some(Target::File(file))).await
}

/// The lines of a file, once there are so many.
async fn lines(file: &Path, want: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= want {
            assert_eq!(text.lines().count(), want, "{text}");
            return text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{want} lines: {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_line_says_what_happened_and_to_nobody_in_particular() {
    let (upstream, dir) = (upstream().await, tempfile::tempdir().expect("a folder"));
    let gate = gate(&upstream, dir.path()).await;
    let private = [
        ("accept", "text/html"),
        ("sec-fetch-dest", "document"),
        ("user-agent", "SecretBrowser/7"),
        ("referer", "https://referrer.example/from"),
        ("cookie", "session=cookie-value; _fbp=fb.1.1.1"),
        ("authorization", "Bearer auth-value"),
        ("x-forwarded-for", "192.0.2.77"),
        ("x-request-id", "request-id-value"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=state-value"),
    ];
    gate.get("/reset/8f14e45fceea167a/jane@example.org?token=query-value", &private).await;
    gate.get("/logo.png", &private[2..]).await;
    gate.send("BREW", "/pots", &[("traceparent", "00-no-trace-jane")], b"").await;
    gate.get("/_consent/state", &[]).await;
    gate.send("HEAD", "/logo.png", &[], b"").await;
    let text = {
        lines(&dir.path().join("access.log"), 5).await;
        std::fs::read_to_string(dir.path().join("access.log")).expect("the file")
    };
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let page = &told[0];
    let mut fields: Vec<&str> = page.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "bytes",
            "ending",
            "held",
            "kind",
            "method",
            "ms",
            "protocol",
            "route",
            "site",
            "status",
            "stripped",
            "time",
            "trace_id",
            "upstream_ms"
        ]
    );
    assert_eq!(page["route"], "/reset/:id/:id");
    assert_eq!((&page["method"], &page["status"], &page["kind"]), (&"GET".into(), &200.into(), &"gated".into()));
    assert_eq!((&page["held"], &page["stripped"], &page["site"]), (&1.into(), &1.into(), &"default".into()));
    assert_eq!(page["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&page["protocol"], &page["ending"]), (&"HTTP/1.1".into(), &"whole".into()));
    let time: jiff::Timestamp = page["time"].as_str().expect("text").parse().expect("RFC 3339");
    assert!(jiff::Timestamp::now().duration_since(time).as_secs().abs() < 60);
    assert!(page["ms"].as_f64() >= page["upstream_ms"].as_f64() && page["upstream_ms"].as_f64() > Some(0.0), "{page}");

    assert_eq!((&told[1]["kind"], &told[1]["bytes"]), (&"passed".into(), &1_000.into()));
    assert_eq!((&told[1]["route"], &told[1]["held"]), (&"/logo.png".into(), &0.into()));
    assert_eq!((&told[2]["method"], &told[2]["trace_id"]), (&"other".into(), &Value::Null));
    assert_eq!((&told[3]["kind"], &told[3]["upstream_ms"]), (&"own".into(), &Value::Null));
    assert_eq!((&told[4]["method"], &told[4]["bytes"], &told[4]["ending"]), (&"HEAD".into(), &0.into(), &"whole".into()));
    for secret in [
        "SecretBrowser",
        "referrer",
        "cookie-value",
        "fb.1",
        "auth-value",
        "192.0.2.77",
        "127.0.0.1",
        "request-id-value",
        "state-value",
        "00f067aa0ba902b7",
        "query-value",
        "8f14e45f",
        "jane",
        "example.org",
        "no-trace",
        "BREW",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // The trace goes on to the site behind as it came, well formed or not.
    let got = upstream.got();
    assert_eq!(got[0].header("traceparent"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!(got[0].header("tracestate"), Some("vendor=state-value"));
    assert_eq!(got[2].header("traceparent"), Some("00-no-trace-jane"));
    assert_eq!(got[3].header("traceparent"), None, "none is made");
}

#[tokio::test]
async fn it_is_off_by_default_and_can_leave_paths_out() {
    let (upstream, dir) = (upstream().await, tempfile::tempdir().expect("a folder"));
    let file = dir.path().join("access.log");
    let target = Target::File(file.clone());
    let mut quiet = Gate::with(&upstream, |config| {
        config.access.log = Some(target);
        config.access.routes = false;
    })
    .await;
    quiet.get("/shop", &[]).await;
    // A stop writes what waits.
    quiet.stop().await;
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.lines().count() == 1 && !text.contains("shop") && !text.contains("route"), "{text}");
    assert!(consentry::config::Config::default().access.log.is_none());
}

/// An upstream whose file comes in so many pieces of 500 bytes with a pause between them.
async fn slow_upstream(pieces: usize, pause: Duration) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n";
                let _ = stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
                for piece in 0..pieces {
                    if piece > 0 {
                        tokio::time::sleep(pause).await;
                    }
                    let _ = stream.write_all(format!("1f4\r\n{}\r\n", "x".repeat(500)).as_bytes()).await;
                }
                let _ = stream.write_all(b"0\r\n\r\n").await;
            });
        }
    });
    Upstream::elsewhere(address)
}

#[tokio::test]
async fn a_streamed_body_is_told_of_when_it_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let upstream = slow_upstream(2, Duration::from_millis(600)).await;
    let gate = gate(&upstream, dir.path()).await;
    assert_eq!(gate.get("/image", &[]).await.body.len(), 1_000);
    let told = lines(&dir.path().join("access.log"), 1).await;
    assert_eq!((&told[0]["bytes"], &told[0]["ending"]), (&1_000.into(), &"whole".into()));
    let (ms, first) = (told[0]["ms"].as_f64().expect("a time"), told[0]["upstream_ms"].as_f64().expect("a time"));
    assert!(ms >= 600.0 && first < 600.0, "{ms} {first}");
}

#[tokio::test]
async fn a_visitor_who_leaves_is_told_of_as_well() {
    let dir = tempfile::tempdir().expect("a folder");
    let upstream = slow_upstream(100, Duration::from_millis(20)).await;
    let gate = gate(&upstream, dir.path()).await;
    let mut visitor = TcpStream::connect(gate.address).await.expect("the gate listens");
    visitor.write_all(b"GET /image HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("sent");
    visitor.read_exact(&mut [0; 16]).await.expect("a beginning");
    drop(visitor);
    let told = lines(&dir.path().join("access.log"), 1).await;
    assert_eq!(told[0]["ending"], "left", "{told:#?}");
    assert!(told[0]["bytes"].as_u64() < Some(50_000), "{told:#?}");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_a_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let upstream =
        Upstream::start(|_| b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 100\r\n\r\n12345".to_vec()).await;
    let gate = gate(&upstream, dir.path()).await;
    assert!(!gate.get("/logo.png", &[]).await.whole);
    let told = lines(&dir.path().join("access.log"), 1).await;
    assert_eq!((&told[0]["ending"], &told[0]["status"]), (&"cut".into(), &200.into()));
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_made_anew() {
    let (upstream, dir) = (upstream().await, tempfile::tempdir().expect("a folder"));
    let gate = gate(&upstream, dir.path()).await;
    let (file, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    gate.get("/one", &[]).await;
    lines(&file, 1).await;
    std::fs::rename(&file, &moved).expect("moved");
    // The name is looked at once a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    gate.get("/two", &[]).await;
    assert_eq!(lines(&file, 1).await[0]["route"], "/two");
    assert_eq!(lines(&moved, 1).await[0]["route"], "/one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_opens_the_file_anew_at_once() {
    let (upstream, dir) = (upstream().await, tempfile::tempdir().expect("a folder"));
    let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let (listen, admin) = (free(), free());
    let config = format!(
        "data = \"data\"\n[server]\nlisten = \"{listen}\"\nadmin = \"{admin}\"\n[upstream]\nurl = \"http://{}\"\n[access]\nlog = \"access.log\"\n",
        upstream.address
    );
    std::fs::write(dir.path().join("consentry.toml"), config).expect("a file");
    let mut gate = Command::new(env!("CARGO_BIN_EXE_consentry"))
        .arg("serve")
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let ask = async |path: &str| {
        let began = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(listen).await {
                Ok(stream) => break stream,
                Err(_) if began.elapsed() < Duration::from_secs(20) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("it listens: {error}"),
            }
        };
        let head = format!("GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.read_to_end(&mut Vec::new()).await.expect("an answer");
    };
    let (file, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    ask("/one").await;
    lines(&file, 1).await;
    std::fs::rename(&file, &moved).expect("moved");
    let pid = gate.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "the file is there again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ask("/two").await;
    assert_eq!(lines(&file, 1).await[0]["route"], "/two");
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert!(gate.wait().expect("it ends").success());
}
