//! Edited files: picked up while the gate runs, or refused while the old ones stay. No connection notices.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::harness::{Gate, Upstream, respond, write_files};

const PAGE: &str =
    "<!doctype html><html><head><script src=\"https://cdn.newcomer.example/tag.js\"></script></head><body><p>x</body></html>";
const HELD: &str = "data-gate-";

const SITE: &str = "vendors = [\"matomo\"]\n[controller]\nname = \"Museum\"\ncontact = \"privacy@museum.example\"\n";

fn vendor(purposes: &str) -> String {
    format!(
        "id = \"newcomer\"\nname = \"Newcomer\"\npurposes = {purposes}\n[[rule]]\nid = \"host\"\nhosts = [\"newcomer.example\"]\n"
    )
}

async fn gate() -> (Upstream, Gate, tempfile::TempDir) {
    let policies = tempfile::tempdir().expect("a folder");
    write_files(policies.path(), &BTreeMap::from([("site.toml", SITE.to_owned())]));
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::with(&upstream, |config| config.sites[0].policies = Some(policies.path().to_owned())).await;
    (upstream, gate, policies)
}

async fn revision(gate: &Gate) -> String {
    gate.get("/_consent/state", &[]).await.json()["policy"].as_str().expect("a revision").to_owned()
}

/// Waits until the page is as wanted; the contract says within a second, the clock of a busy machine gets more.
async fn until(gate: &Gate, held: bool) -> bool {
    for _ in 0..40 {
        if gate.get("/", &[]).await.text().contains(HELD) == held {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_vendor_file_dropped_into_a_running_gate_holds_a_tag_that_nobody_compiled_in() {
    let (_upstream, gate, policies) = gate().await;
    assert!(gate.get("/", &[]).await.text().contains("<script src=\"https://cdn.newcomer.example/tag.js\">"));
    let before = revision(&gate).await;
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"marketing\"]"))]));
    assert!(until(&gate, true).await, "held within the time given");
    assert_eq!(revision(&gate).await, before, "an undeclared vendor changes nothing that was asked");
    let cookie = gate.accepted().await;
    assert!(gate.get("/", &[("cookie", &cookie)]).await.text().contains(HELD), "undeclared: held whatever was granted");

    write_files(policies.path(), &BTreeMap::from([("site.toml", SITE.replace("\"matomo\"", "\"matomo\", \"newcomer\""))]));
    for _ in 0..40 {
        if revision(&gate).await != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_ne!(revision(&gate).await, before, "a vendor added is a material change");
    let asked_again = gate.get("/_consent/state", &[("cookie", &cookie)]).await.json();
    assert_eq!(asked_again["decided"], false, "older decisions do not cover it");
    let cookie = gate.accepted().await;
    assert!(!gate.get("/", &[("cookie", &cookie)]).await.text().contains(HELD));
}

#[tokio::test]
async fn a_faulty_file_leaves_the_old_policy_in_force() {
    let (_upstream, gate, policies) = gate().await;
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"marketing\"]"))]));
    assert!(until(&gate, true).await);
    write_files(policies.path(), &BTreeMap::from([("vendors/newcomer.toml", vendor("[\"no-such-purpose\"]"))]));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(gate.get("/", &[]).await.text().contains(HELD), "the old policy still holds the tag");
    std::fs::remove_file(policies.path().join("vendors/newcomer.toml")).expect("the file");
    assert!(until(&gate, false).await, "and a mended folder is taken up");
}

// === consentry.toml ===

fn write(dir: &Path, path: &str, text: &str) {
    write_files(dir, &BTreeMap::from([(path, text.to_owned())]));
}

fn site(host: &str, upstream: &Upstream, more: &str) -> String {
    format!("[[site]]\nhosts = [{host}]\nupstream = \"{}\"\n{more}", upstream.url())
}

/// Asks until the answer is as wanted.
async fn eventually(gate: &Gate, host: &str, want: &str) -> bool {
    for _ in 0..100 {
        if gate.get("/x.txt", &[("host", host)]).await.text().contains(want) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

async fn named(name: &'static str) -> Upstream {
    Upstream::start(move |_| respond("200 OK", &[("content-type", "text/plain")], name.as_bytes())).await
}

#[tokio::test]
async fn a_host_moves_to_another_site_and_a_broken_file_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("consentry.toml");
    let (one, two) = (named("one").await, named("two").await);
    write(dir.path(), "consentry.toml", &(site("\"a.example\", \"m.example\"", &one, "") + &site("\"b.example\"", &two, "")));
    let gate = Gate::of_file(&file).await;
    assert!(eventually(&gate, "m.example", "one").await && eventually(&gate, "b.example", "two").await);

    let moved = site("\"a.example\"", &one, "") + &site("\"b.example\", \"m.example\"", &two, "");
    write(dir.path(), "consentry.toml", &moved);
    assert!(eventually(&gate, "m.example", "two").await, "it moves without a signal");
    assert!(eventually(&gate, "a.example", "one").await);

    for broken in ["[[site]\n", "[[site]]\nhosts = [\"a.example\"]\n", "[gate]\ncontainment = \"x\"\n", ""] {
        write(dir.path(), "consentry.toml", broken);
        gate.reload();
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(gate.get("/x.txt", &[("host", "m.example")]).await.text(), "two", "{broken}");
    }
    // A policy at fault in a folder that nothing named before: all stays, and its mend is seen.
    write(dir.path(), "p/site.toml", "vendors = [\"metta\"]\n");
    write(dir.path(), "consentry.toml", &site("\"m.example\"", &one, "policies = \"p\"\n"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(gate.get("/x.txt", &[("host", "m.example")]).await.text(), "two");
    write(dir.path(), "p/site.toml", "vendors = []\n");
    assert!(eventually(&gate, "m.example", "one").await, "mended");
    assert_eq!(gate.get("/x.txt", &[("host", "b.example")]).await.status, 421, "a site that is gone");
}

#[tokio::test]
async fn a_request_under_way_keeps_what_it_began_with() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("consentry.toml");
    let (told, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, ask) = (Arc::clone(&told), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tell, ask) = (Arc::clone(&tell), Arc::clone(&ask));
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                if String::from_utf8_lossy(&head[..read]).starts_with("GET /slow") {
                    ask.notify_one();
                    tell.notified().await;
                }
                let _ =
                    stream.write_all(&respond("200 OK", &[("content-type", "text/html; charset=utf-8")], PAGE.as_bytes())).await;
            });
        }
    });
    let text =
        |more: &str| format!("[[site]]\nhosts = [\"a.example\"]\nupstream = \"http://{address}\"\npolicies = \"p\"\n{more}");
    write(dir.path(), "p/site.toml", SITE);
    write(dir.path(), "consentry.toml", &text(""));
    let gate = Arc::new(Gate::of_file(&file).await);
    let host = [("host", "a.example")];
    let slow = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.get("/slow", &host).await })
    };
    asked.notified().await;
    write(dir.path(), "p/vendors/newcomer.toml", &vendor("[\"marketing\"]"));
    write(dir.path(), "consentry.toml", &text("containment = \"enforce\"\n"));
    let mut held = false;
    for _ in 0..100 {
        let answer = gate.get("/", &host).await;
        held = answer.text().contains(HELD) && answer.header("content-security-policy").is_some();
        if held {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(held, "policy and containment are in force");
    told.notify_one();
    let slow = slow.await.expect("an answer");
    assert_eq!(slow.status, 200);
    assert!(!slow.text().contains(HELD) && slow.header("content-security-policy").is_none(), "{:?}", slow.headers);
}

/// An upstream that keeps its connections and changes protocol where it is asked to, then echoes.
async fn keeping() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(read) = stream.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..read]).to_ascii_lowercase();
                    let answer: &[u8] = match () {
                        () if read == 0 => return,
                        () if text.contains("upgrade: echo") => {
                            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n"
                        }
                        () if text.starts_with("get ") => {
                            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
                        }
                        () => &bytes[..read],
                    };
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, opened)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_cost_no_request_no_connection_and_no_tunnel() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("consentry.toml");
    let (address, opened) = keeping().await;
    let text = |n: usize| {
        let other = format!("[[site]]\nhosts = [\"n{n}.example\"]\nupstream = \"http://127.0.0.1:9\"\n");
        format!(
            "policies = \"p\"\n[gate]\nexempt = [\"/{n}/*\"]\n[[site]]\nhosts = [\"a.example\"]\nupstream = \"http://{address}\"\n{other}"
        )
    };
    write(dir.path(), "p/site.toml", SITE);
    write(dir.path(), "consentry.toml", &text(0));
    let gate = Arc::new(Gate::of_file(&file).await);

    let mut tunnel = TcpStream::connect(gate.address).await.expect("the gate listens");
    let ask = "GET /ws HTTP/1.1\r\nhost: a.example\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
    tunnel.write_all(ask.as_bytes()).await.expect("sent");
    let mut head = [0; 1024];
    let read = tunnel.read(&mut head).await.expect("an answer");
    assert!(head[..read].starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head[..read]));

    let (done, wrong, right) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (gate, done, wrong, right) = (Arc::clone(&gate), Arc::clone(&done), Arc::clone(&wrong), Arc::clone(&right));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            let mut asked = tokio::task::JoinSet::new();
            while !done.load(Ordering::SeqCst) {
                tick.tick().await;
                let (gate, wrong, right) = (Arc::clone(&gate), Arc::clone(&wrong), Arc::clone(&right));
                asked.spawn(async move {
                    let answer = gate.get("/x.txt", &[("host", "a.example")]).await;
                    let good = answer.status == 200 && answer.text() == "ok" && answer.whole;
                    (if good { right } else { wrong }).fetch_add(1, Ordering::SeqCst);
                });
            }
            asked.join_all().await;
        })
    };
    let began = Instant::now();
    for n in 1..=20 {
        if n % 5 == 0 {
            write(dir.path(), "p/site.toml", &SITE.replace("Museum", &format!("Museum {n}")));
        }
        write(dir.path(), "consentry.toml", &text(n));
        if n % 10 == 0 {
            gate.reload();
        }
        let host = format!("n{n}.example");
        let mut in_force = false;
        for _ in 0..200 {
            in_force = gate.get("/_consent/state", &[("host", &host)]).await.status == 200;
            if in_force {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(in_force, "reload {n}");
    }
    let seconds = began.elapsed().as_secs_f32();
    done.store(true, Ordering::SeqCst);
    load.await.expect("the load ends");
    let (right, wrong) = (right.load(Ordering::SeqCst), wrong.load(Ordering::SeqCst));
    assert_eq!(wrong, 0, "{right} right in {seconds} s");
    assert!(right >= 100, "{right} in {seconds} s");
    // One for the tunnel, and those of the busiest moment: the site was built anew twenty times, its
    // upstream was taken over each time.
    let state = gate.upstreams();
    assert_eq!(
        state.iter().find(|state| state.address.contains(&address.to_string())).map(|state| state.failures_total),
        Some(0)
    );
    assert!(
        opened.load(Ordering::SeqCst) < right / 2,
        "connections are used again: {} for {right}",
        opened.load(Ordering::SeqCst)
    );

    tunnel.write_all(b"still there").await.expect("sent");
    let mut echo = [0; 11];
    tokio::time::timeout(Duration::from_secs(10), tunnel.read_exact(&mut echo)).await.expect("in time").expect("an echo");
    assert_eq!(&echo, b"still there");
}
