//! Framing: the whole probe as raw bytes, a test for each class of attack that concerns HTTP/1, and two
//! well-known proxies for comparison.

mod clocks;
mod oracle;
mod peers;
mod property;
mod recorder;
mod table;

use std::time::Duration;

use consentry::config::{Config, UpstreamHost};

use self::{
    recorder::{Back, Recorder, send},
    table::{Want, cases},
};
use crate::harness::{Gate, Upstream};

const WAIT: Duration = Duration::from_secs(10);

/// A gate in front of a recorder that gets the visitor's host.
async fn gate(recorder: &Recorder, edit: impl FnOnce(&mut Config)) -> Gate {
    let any = Upstream::page("x").await;
    Gate::with(&any, |config| {
        config.sites[0].upstreams = vec![format!("http://{}", recorder.address).parse().expect("a URL")];
        config.sites[0].upstream_host = UpstreamHost::Visitor;
        // What is left open by a request is closed soon.
        config.limits.idle_s = 1;
        config.limits.head_s = 2;
        edit(config);
    })
    .await
}

/// What is wrong with how one case went; `None` where nothing is.
fn wrong(want: &Want, back: &Back, seen: &[recorder::Seen]) -> Option<String> {
    let meanings: Vec<_> = seen.iter().map(recorder::Seen::meaning).collect();
    let told = format!("answers {:?}, closed {}, the upstream saw {meanings:?}\n{}", back.statuses, back.closed, back.text);
    let right = match want {
        Want::Refused(status) => back.statuses == [*status] && seen.is_empty(),
        Want::SecondRefused(status) => back.statuses == [200, *status] && seen.len() == 1,
        Want::Answered(statuses) => back.statuses == *statuses && seen.is_empty(),
        Want::Forwarded(canons) => {
            let same = canons.iter().zip(seen).all(|(canon, seen)| {
                (canon.0, canon.1, canon.2, canon.3.len()) == seen.meaning() && canon.3 == seen.body && is_canonical(seen)
            });
            same && seen.len() == canons.len() && back.statuses == vec![200; canons.len()]
        }
    };
    (!right || !back.closed).then_some(told)
}

/// One way to say each thing: one length or one coding, one host, no hop-by-hop leftovers.
fn is_canonical(seen: &recorder::Seen) -> bool {
    let (lengths, codings) = (seen.line("content-length").len(), seen.line("transfer-encoding"));
    let framed = lengths + codings.len() <= 1 && codings.iter().all(|coding| *coding == "chunked");
    let lookalikes = seen.line("transfer_encoding").len() + seen.line("x_forwarded_for").len();
    let hops =
        ["expect", "upgrade", "keep-alive", "te", "proxy-connection"].iter().map(|name| seen.line(name).len()).sum::<usize>();
    framed && seen.line("host").len() == 1 && lookalikes + hops == 0 && seen.head[0].ends_with(" HTTP/1.1")
}

#[tokio::test]
async fn each_payload_is_refused_or_has_one_canonical_form() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let all = cases();
    assert!(all.len() > 90, "the table is there");
    let mut faults = Vec::new();
    for case in all {
        let back = send(gate.address, &[&case.bytes], WAIT).await;
        if let Some(told) = wrong(&case.want, &back, &recorder.take()) {
            faults.push(format!("== {}\n{told}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn it_does_not_matter_how_the_bytes_arrive() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let mut faults = Vec::new();
    // Those of moderate length, cut in the middle of everything.
    for case in cases().into_iter().filter(|case| case.bytes.len() < 600) {
        let pieces: Vec<&[u8]> = case.bytes.chunks(case.bytes.len() / 4 + 1).collect();
        let back = send(gate.address, &pieces, WAIT).await;
        if let Some(told) = wrong(&case.want, &back, &recorder.take()) {
            faults.push(format!("== {}\n{told}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// === classes of attack ===

/// Premature upgrade (the class of CVE-2026-2833): what follows a request for another protocol is none
/// of that protocol's until the site behind has agreed.
#[tokio::test]
async fn an_upgrade_that_the_upstream_does_not_agree_to_opens_no_tunnel() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let second = "GET /_consent/state HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    for protocol in ["websocket", "x", "h2c"] {
        let first = format!("GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        let back = send(gate.address, &[format!("{first}{second}").as_bytes()], WAIT).await;
        assert_eq!(back.statuses, [200, 200], "{protocol}: {}", back.text);
        assert!(back.text.contains("\"decided\""), "the second request is the gate's own: {}", back.text);
        assert_eq!(recorder.take().len(), 1);
        let broken = send(gate.address, &[format!("{first}\u{0}\u{1} no HTTP\r\n\r\n").as_bytes()], WAIT).await;
        assert_eq!(broken.statuses, [200, 400], "{protocol}: {}", broken.text);
        assert_eq!(recorder.take().len(), 1);
    }
}

/// Likewise where the site behind answers 101 to what was no such request.
#[tokio::test]
async fn a_protocol_changed_by_the_upstream_alone_is_no_answer() {
    let upstream =
        Upstream::start(|_| b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()).await;
    let gate = Gate::start(&upstream).await;
    assert_eq!(gate.get("/", &[]).await.status, 502);
    let body = gate.send("POST", "/", &[("connection", "upgrade"), ("upgrade", "websocket")], b"abc").await;
    assert_eq!(body.status, 502, "with a body it is an ordinary request");
    assert_eq!(upstream.last().body, b"abc");
    assert_eq!(upstream.last().header("upgrade"), None);
}

/// Hop-by-hop abuse: `Connection` takes nothing away that the gate or the site relies on.
#[tokio::test]
async fn what_the_gate_relies_on_cannot_be_nominated_away() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close, Cookie, Host, X-Forwarded-For, Sec-Fetch-Site, \
        Authorization, Content-Length, CDN-Loop, X-Mine\r\nCookie: a=1\r\nSec-Fetch-Site: same-origin\r\nAuthorization: b\r\n\
        X-Mine: 1\r\nX_Forwarded_For: 6.6.6.6\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n";
    let back = send(gate.address, &[request.as_bytes()], WAIT).await;
    assert_eq!(back.statuses, [200]);
    let seen = recorder.take().pop().expect("it was forwarded");
    for (name, want) in [
        ("cookie", &["a=1"][..]),
        ("host", &["a.example"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("sec-fetch-site", &["same-origin"]),
        ("authorization", &["b"]),
        ("x-mine", &[]),
        ("x_forwarded_for", &[]),
        ("te", &[]),
        ("keep-alive", &[]),
    ] {
        assert_eq!(seen.line(name), want, "{name}");
    }
    assert_eq!(seen.line("cdn-loop").len(), 1);
}

/// SSRF by an absolute address, or by a path that looks like one: the site behind is always the one configured.
#[tokio::test]
async fn an_address_in_the_target_leads_nowhere_else() {
    let (recorder, elsewhere) = (Recorder::start().await, Recorder::start().await);
    let gate = gate(&recorder, |_| {}).await;
    for target in [
        format!("http://{}/x", elsewhere.address),
        format!("HTTP://{}/x", elsewhere.address),
        format!("//{}/x", elsewhere.address),
        format!("/\\{}/x", elsewhere.address).replace('\\', "%5C"),
        format!("/http://{}/x", elsewhere.address),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", elsewhere.address);
        let back = send(gate.address, &[request.as_bytes()], WAIT).await;
        assert_eq!(back.statuses, [200], "{target}");
        assert_eq!(recorder.take().len(), 1, "{target}");
        assert!(elsewhere.take().is_empty(), "{target}");
    }
}

/// `Expect: 100-continue` is answered by the gate, once, and only where the body is wanted.
#[tokio::test]
async fn an_expectation_is_met_once() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
    };
    let back = send(gate.address, &[head("/").as_bytes(), b"abc"], WAIT).await;
    assert_eq!(back.text.matches("100 Continue").count(), 1, "{}", back.text);
    assert_eq!(back.statuses, [200]);
    let seen = recorder.take().pop().expect("it was forwarded");
    assert!(seen.line("expect").is_empty() && seen.body == b"abc");
    let refused = send(gate.address, &[head("/_consent/nothing").as_bytes()], WAIT).await;
    assert_eq!(refused.statuses, [404]);
    assert!(!refused.text.contains("100 Continue"), "{}", refused.text);
}

/// A visitor who is refused reads the answer, however much more is on its way.
#[tokio::test]
async fn a_refusal_is_not_lost_over_unread_bytes() {
    let recorder = Recorder::start().await;
    let gate = gate(&recorder, |_| {}).await;
    let request = [b"GET / HTTP/1.1\r\nX : y\r\n\r\n".to_vec(), vec![b'x'; 4 << 20]].concat();
    for _ in 0..5 {
        let back = send(gate.address, &[&request], WAIT).await;
        assert_eq!(back.statuses, [400]);
    }
    let head = send(gate.address, &[b"HEAD / HTTP/1.1\r\nX : y\r\n\r\n"], WAIT).await;
    assert!(head.text.ends_with("\r\n\r\n"), "no body in an answer to HEAD: {}", head.text);
}
