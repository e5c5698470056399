//! Pages that come again: what was found in them is used again, for whom it holds, and for those bytes alone.
//!
//! A known page is sent with its length; one that goes through the engine is not, because it streams.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Answer, Gate, Upstream, respond};

const DOCUMENT: [(&str, &str); 3] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "none")];

/// A page with tags of two vendors, for two purposes.
fn page(text: &str) -> String {
    format!(
        "<!doctype html><html><head><title>{text}</title><script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>\
         <script src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script></head><body><p>{text}</p>\
         <iframe srcdoc=\"&lt;!doctype html&gt;&lt;p&gt;x\"></iframe></body></html>"
    )
}

fn is_known(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.whole);
    answer.header("content-length").is_some()
}

/// The body without what differs in every response.
fn blanked(answer: &Answer) -> String {
    let text = answer.text();
    let nonce = text.split("data-gate=\"").nth(1).map(|rest| rest[..16].to_owned());
    nonce.map_or(text.clone(), |nonce| text.replace(&nonce, "nonce"))
}

#[tokio::test]
async fn a_page_is_known_from_the_third_time_on_and_reads_the_same() {
    let upstream = Upstream::start(|_| respond("200 OK", &[("content-type", "text/html")], page("again").as_bytes())).await;
    let gate = Gate::start(&upstream).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(gate.get("/a", &DOCUMENT).await);
    }
    assert_eq!(answers.iter().map(is_known).collect::<Vec<_>>(), [false, false, true, true, true]);
    assert!(answers[0].text().contains("text/plain") && answers[0].text().contains("accept_all"));
    for answer in &answers {
        assert_eq!(blanked(answer), blanked(&answers[0]));
        assert_eq!(answer.header("content-type"), answers[0].header("content-type"));
    }
    let nonces: std::collections::BTreeSet<_> =
        answers.iter().map(|answer| answer.text().split("data-gate=\"").nth(1).expect("a marker")[..16].to_owned()).collect();
    assert_eq!(nonces.len(), 5, "every response has its own");
    assert!(!is_known(&gate.get("/b", &DOCUMENT).await), "another address is another page");
}

#[tokio::test]
async fn a_known_page_is_gated_by_each_visitors_own_grants() {
    let upstream = Upstream::start(|_| respond("200 OK", &[("content-type", "text/html")], page("again").as_bytes())).await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    let decided = [DOCUMENT[0], DOCUMENT[1], DOCUMENT[2], ("cookie", cookie.as_str())];
    for _ in 0..3 {
        gate.get("/a", &DOCUMENT).await;
    }
    let first = gate.get("/a", &decided).await;
    assert!(!is_known(&first), "what was found for somebody without grants is not theirs");
    let second = gate.get("/a", &decided).await;
    assert!(is_known(&second) && is_known(&gate.get("/a", &DOCUMENT).await), "both are remembered");
    assert_eq!(blanked(&first), blanked(&second));
    assert!(second.text().contains("<script src=\"https://connect.facebook.net"), "granted: {}", second.text());
    assert!(!gate.get("/a", &DOCUMENT).await.text().contains("<script src=\"https://connect.facebook.net"));
}

#[tokio::test]
async fn other_bytes_under_the_same_tag_are_found_out() {
    // The same length, the same validators; the vendor's tag stands elsewhere.
    let pages = [
        "<!doctype html><p>one two three</p><script src=\"https://connect.facebook.net/a.js\"></script><p>four</p>",
        "<!doctype html><script src=\"https://connect.facebook.net/a.js\"></script><p>one two three</p><p>four</p>",
    ];
    assert_eq!(pages[0].len(), pages[1].len());
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let head = [("content-type", "text/html"), ("etag", "\"same\""), ("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT")];
        respond("200 OK", &head, pages[usize::from(n >= 4)].as_bytes())
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let mut known = Vec::new();
    for n in 0..8 {
        let answer = gate.get("/a", &DOCUMENT).await;
        let text = answer.text();
        assert!(text.contains(" type=\"text/plain\" data-gate-"), "held in answer {n}: {text}");
        assert!(!text.contains("<script src=\"https://connect"), "held in answer {n}: {text}");
        known.push(is_known(&answer));
    }
    assert_eq!(known, [false, false, true, true, false, false, true, true]);
}

#[tokio::test]
async fn a_compressed_page_is_known_by_its_compressed_bytes() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page("packed").as_bytes()).expect("memory takes it");
    let packed = encoder.finish().expect("memory takes it");
    let upstream =
        Upstream::start(move |_| respond("200 OK", &[("content-type", "text/html"), ("content-encoding", "gzip")], &packed))
            .await;
    let gate = Gate::start(&upstream).await;
    let plain: Vec<_> =
        [gate.get("/a", &DOCUMENT).await, gate.get("/a", &DOCUMENT).await, gate.get("/a", &DOCUMENT).await].into();
    assert_eq!(plain.iter().map(is_known).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(blanked(&plain[2]), blanked(&plain[0]));
    let zipped = [DOCUMENT[0], DOCUMENT[1], DOCUMENT[2], ("accept-encoding", "gzip")];
    let answer = gate.get("/a", &zipped).await;
    assert!(is_known(&answer), "how it is sent on is nothing that the outcome rests on");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(answer.body.as_slice());
    std::io::Read::read_to_string(&mut decoder, &mut text).expect("it is gzip");
    assert!(text.contains("packed") && text.contains("accept_all"), "{text}");
}

#[tokio::test]
async fn nothing_is_remembered_where_the_operator_says_so() {
    let upstream = Upstream::start(|got| {
        let text = if got.path() == "/long" { "word ".repeat(500) } else { "word".to_owned() };
        respond("200 OK", &[("content-type", "text/html")], page(&text).as_bytes())
    })
    .await;
    let off = Gate::with(&upstream, |config| config.limits.page_cache_bytes = 0).await;
    let short = Gate::with(&upstream, |config| config.limits.cached_page_bytes = 1_000).await;
    for _ in 0..4 {
        assert!(!is_known(&off.get("/a", &DOCUMENT).await));
        assert!(!is_known(&short.get("/long", &DOCUMENT).await));
        short.get("/a", &DOCUMENT).await;
    }
    assert!(is_known(&short.get("/a", &DOCUMENT).await));
}
