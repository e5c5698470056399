//! Heads through the gate: what leaves a request, what leaves an answer, what pages are denied.

use crate::harness::{Gate, Got, Upstream, respond};

const DOCUMENT: [(&str, &str); 2] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const PAGE: &[u8] = b"<!doctype html><title>x</title><body>x</body>";

/// Heads that a vendor would get in by, beside one that has nothing to do with it.
const VENDORS: [(&str, &str); 11] = [
    ("link", "<https://connect.facebook.net/en_US/fbevents.js>; rel=preload; as=script"),
    ("refresh", "1e1, \"https://www.facebook.com/tr?id=1\""),
    ("speculation-rules", "\"https://connect.facebook.net/rules.json\""),
    ("reporting-endpoints", "m=\"https://www.google-analytics.com/r\""),
    ("sourcemap", "https://connect.facebook.net/x.map"),
    ("set-cookie", "_fbp=fb.1.2.3; Path=/"),
    ("set-cookie", "__Secure-_fbp=fb.1.2.3; Path=/; Secure"),
    ("attribution-reporting-register-trigger", "{}"),
    ("observe-browsing-topics", "?1"),
    ("ad-auction-signals", "[]"),
    ("x-own", "stays"),
];

async fn with(headers: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::start(move |_| respond("200 OK", &[&[HTML], headers].concat(), PAGE)).await
}

fn named<'a>(answer: &'a crate::harness::Answer, names: &[&str]) -> Vec<&'a str> {
    let all = answer.headers.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.contains("Max-Age=0"));
    let mut found: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn heads_that_let_a_vendor_in_are_cut_until_it_is_granted() {
    let upstream = with(&VENDORS).await;
    let gate = Gate::start(&upstream).await;
    let names: Vec<&str> = VENDORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named(&gate.get("/", &DOCUMENT).await, &names), ["x-own"]);
    let cookie = gate.accepted().await;
    let mut all = names.clone();
    all.sort_unstable();
    assert_eq!(named(&gate.get("/", &[DOCUMENT[0], ("cookie", &cookie)]).await, &names), all);
    let off = Gate::with(&upstream, |config| config.sites[0].rings.headers = false).await;
    assert_eq!(named(&off.get("/", &DOCUMENT).await, &names), all, "the ring is off");
}

#[tokio::test]
async fn the_ring_of_heads_lets_nobody_see_or_set_our_own_cookie_even_when_it_is_off() {
    let upstream = with(&[("set-cookie", "consentry=forged"), ("set-cookie", "sid=1")]).await;
    let gate = Gate::with(&upstream, |config| config.sites[0].rings.headers = false).await;
    let answer = gate.get("/", &[("cookie", "consentry=x; _fbp=fb.1.2.3; sid=1")]).await;
    assert_eq!(upstream.last().header("cookie"), Some("_fbp=fb.1.2.3; sid=1"));
    assert_eq!(answer.all("set-cookie"), ["sid=1"]);
}

#[tokio::test]
async fn what_the_browser_tells_advertisers_does_not_reach_the_site_before_a_grant() {
    let upstream = with(&[]).await;
    let gate = Gate::start(&upstream).await;
    let asked = [
        ("attribution-reporting-eligible", "trigger"),
        ("attribution-reporting-support", "web"),
        ("sec-browsing-topics", "();p=P0000"),
        ("sec-shared-storage-writable", "?1"),
        ("sec-gpc", "1"),
    ];
    gate.get("/", &asked).await;
    let got = upstream.last();
    assert!(asked[..4].iter().all(|(name, _)| got.header(name).is_none()), "{got:?}");
    assert_eq!(got.header("sec-gpc"), Some("1"), "an objection always passes");
    let cookie = gate.accepted().await;
    gate.get("/", &[&asked[..], &[("cookie", &cookie)]].concat()).await;
    assert!(asked.iter().all(|(name, value)| upstream.last().header(name) == Some(value)));
}

#[tokio::test]
async fn pages_are_denied_what_advertisers_use_and_nothing_the_site_says_is_loosened() {
    let upstream = with(&[("permissions-policy", "camera=(), browsing-topics=*")]).await;
    let gate = Gate::start(&upstream).await;
    for headers in [&DOCUMENT[..], &[("sec-fetch-dest", "iframe")]] {
        let page = gate.get("/", headers).await;
        let lines = page.all("permissions-policy");
        assert_eq!(lines[0], "camera=(), browsing-topics=*");
        assert!(lines[1].contains("browsing-topics=()") && lines[1].contains("attribution-reporting=()"), "{lines:?}");
        assert!(!lines[1].contains("identity-credentials-get"), "a login is no advertising");
    }
    let cookie = gate.accepted().await;
    let granted = gate.get("/", &[DOCUMENT[0], ("cookie", &cookie)]).await;
    assert_eq!(granted.all("permissions-policy"), ["camera=(), browsing-topics=*"]);
    let off = Gate::with(&upstream, |config| config.sites[0].rings.headers = false).await;
    assert_eq!(off.get("/", &DOCUMENT).await.all("permissions-policy").len(), 1);
    let image = Upstream::start(|_| respond("200 OK", &[("content-type", "image/png")], b"x")).await;
    assert!(Gate::start(&image).await.get("/", &[]).await.header("permissions-policy").is_none(), "pages only");
}

#[tokio::test]
async fn names_are_not_looked_up_ahead_on_plain_http() {
    let silent = with(&[]).await;
    let gate = Gate::with(&silent, |config| config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")]).await;
    let control = "x-dns-prefetch-control";
    assert_eq!(gate.get("/", &DOCUMENT).await.header(control), Some("off"));
    assert_eq!(gate.get("/", &[DOCUMENT[0], ("x-forwarded-proto", "https")]).await.header(control), None);
    let cookie = gate.accepted().await;
    assert_eq!(gate.get("/", &[DOCUMENT[0], ("cookie", &cookie)]).await.header(control), None);
    let wishing = with(&[("x-dns-prefetch-control", "on")]).await;
    assert_eq!(Gate::start(&wishing).await.get("/", &DOCUMENT).await.all(control), ["on"]);
}

#[tokio::test]
async fn early_hints_of_the_site_behind_do_not_come_through() {
    let upstream = Upstream::start(|_| {
        let hints =
            b"HTTP/1.1 103 Early Hints\r\nlink: <https://connect.facebook.net/en_US/fbevents.js>; rel=preload; as=script\r\n\r\n";
        [&hints[..], hints, &respond("200 OK", &[HTML], PAGE)].concat()
    })
    .await;
    let gate = Gate::start(&upstream).await;
    for headers in [&DOCUMENT[..], &[("sec-fetch-dest", "script")]] {
        let answer = gate.get("/", headers).await;
        assert_eq!(answer.status, 200, "the first head that comes is the last one");
        assert!(answer.header("link").is_none() && !answer.text().contains("103 Early") && !answer.text().contains("fbevents"));
    }
}

#[tokio::test]
async fn another_service_of_the_site_behind_is_not_named() {
    let upstream = with(&[("alt-svc", "h3=\"origin.example:443\"")]).await;
    let gate = Gate::start(&upstream).await;
    assert!(gate.get("/", &DOCUMENT).await.header("alt-svc").is_none());
}

#[tokio::test]
async fn pages_stay_storable_for_going_back_but_not_what_was_fetched_ahead() {
    let upstream = with(&[("cache-control", "public, max-age=600")]).await;
    let gate = Gate::start(&upstream).await;
    for (headers, want) in [
        (&DOCUMENT[..], "private, no-cache"),
        (&[DOCUMENT[0], DOCUMENT[1], ("sec-purpose", "prefetch;prerender")], "private, no-cache"),
        (&[DOCUMENT[0], DOCUMENT[1], ("sec-purpose", "prefetch")], "private, no-store"),
        (&[("sec-fetch-dest", "empty"), ("sec-purpose", "prefetch")], "private, no-store"),
        (&[("purpose", "prefetch")], "private, no-store"),
        (&[("x-moz", "prefetch")], "private, no-store"),
    ] {
        let page = gate.get("/", headers).await;
        assert_eq!(page.header("cache-control"), Some(want), "{headers:?}");
        assert!(!page.text().contains("unload"));
    }
}

#[tokio::test]
async fn a_decision_empties_what_was_fetched_ahead_where_browsers_heed_it() {
    let upstream = with(&[]).await;
    let gate = Gate::with(&upstream, |config| config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")]).await;
    let refuse = serde_json::json!({ "choice": "reject_all" });
    let clear = |answer: &crate::harness::Answer| answer.header("clear-site-data").map(str::to_owned);
    let want = Some("\"prefetchCache\", \"prerenderCache\"".to_owned());
    assert_eq!(clear(&gate.decide(refuse.clone(), &[]).await), want, "127.0.0.1");
    let origin = "https://shop.example";
    let https =
        [("host", "shop.example"), ("x-forwarded-proto", "https"), ("origin", origin), ("content-type", "application/json")];
    let answer = gate.send("POST", "/_consent/decision", &https, refuse.to_string().as_bytes()).await;
    assert_eq!((answer.status, clear(&answer)), (200, want));
    let plain = [("host", "shop.example"), ("origin", "http://shop.example"), ("content-type", "application/json")];
    let answer = gate.send("POST", "/_consent/decision", &plain, refuse.to_string().as_bytes()).await;
    assert_eq!((answer.status, clear(&answer)), (200, None));
    let faulty = gate.decide(serde_json::json!({ "choice": "none" }), &[]).await;
    assert_eq!((faulty.status, clear(&faulty)), (422, None), "nothing changed");
}

#[tokio::test]
async fn parts_are_for_media_and_not_for_pages() {
    let upstream = Upstream::start(|got: &Got| match got.path() {
        "/film.mp4" => respond(
            "206 Partial Content",
            &[("content-type", "video/mp4"), ("content-range", "bytes 0-3/9"), ("accept-ranges", "bytes")],
            b"film",
        ),
        "/part" => respond("206 Partial Content", &[HTML, ("content-range", "bytes 0-3/9")], b"<htm"),
        _ => respond("200 OK", &[HTML, ("accept-ranges", "bytes")], PAGE),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let range = [("range", "bytes=0-3"), ("if-range", "\"1\"")];
    let page = gate.get("/", &[&DOCUMENT[..], &range].concat()).await;
    assert!(upstream.last().header("range").is_none() && upstream.last().header("if-range").is_none());
    assert_eq!((page.status, page.header("accept-ranges")), (200, None));
    let film = gate.get("/film.mp4", &[&[("sec-fetch-dest", "video")], &range[..]].concat()).await;
    assert_eq!(upstream.last().header("range"), Some("bytes=0-3"));
    assert_eq!(upstream.last().header("if-range"), Some("\"1\""));
    assert_eq!((film.status, film.header("content-range"), film.text().as_str()), (206, Some("bytes 0-3/9"), "film"));
    assert_eq!(gate.get("/part", &DOCUMENT).await.status, 502);
}
