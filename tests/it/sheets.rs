//! Style sheets, fragments and error pages through the gate.

use std::io::{Read as _, Write as _};

use crate::harness::{Gate, Upstream, respond};

const PLAIN: &str = "a{background:url(/own.png)} @import 'more.css'; b::after{content:'https://www.facebook.com/tr'}";
const TRACKED: &str = "body{background:url(https://www.facebook.com/tr?id=1)} p{color:red}";

const STYLE: (&str, &str) = ("sec-fetch-dest", "style");

async fn upstream() -> Upstream {
    Upstream::start(|got| {
        let head = [("content-type", "text/css"), ("etag", "\"v1\""), ("cache-control", "public, max-age=31536000, immutable")];
        match got.path() {
            _ if got.header("if-none-match").is_some_and(|tags| tags.contains("v1")) => {
                respond("304 Not Modified", &[("etag", "\"v1\"")], b"")
            }
            "/plain.css" => respond("200 OK", &head, PLAIN.as_bytes()),
            "/tracked.css" => respond("200 OK", &head, TRACKED.as_bytes()),
            "/coded.css" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(TRACKED.as_bytes()).expect("memory");
                let coded = encoder.finish().expect("memory");
                respond("200 OK", &[head[0], head[1], ("content-encoding", "gzip")], &coded)
            }
            "/long.css" => respond("200 OK", &head, format!("{}{TRACKED}", "p{color:red}\n".repeat(100_000)).as_bytes()),
            "/404" => respond("404 Not Found", &[("content-type", "text/html")], b"<p>gone<img src=//www.facebook.com/tr?id=1>"),
            _ => respond("200 OK", &[("content-type", "text/html")], b"<li><img src=//www.facebook.com/tr?id=1></li>"),
        }
    })
    .await
}

#[tokio::test]
async fn a_sheet_that_no_rule_speaks_about_stays_what_it_is() {
    let gate = Gate::start(&upstream().await).await;
    let sheet = gate.get("/plain.css", &[STYLE]).await;
    assert_eq!(sheet.text(), PLAIN);
    for (name, want) in [
        ("etag", "\"v1\""),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("content-type", "text/css"),
        ("content-length", &PLAIN.len().to_string()),
    ] {
        assert_eq!(sheet.header(name), Some(want));
    }
    assert_eq!(sheet.header("vary"), None);
    let again = gate.get("/plain.css", &[STYLE, ("if-none-match", "\"v1\"")]).await;
    assert_eq!((again.status, again.header("etag")), (304, Some("\"v1\"")));
}

#[tokio::test]
async fn a_sheet_with_an_address_of_a_vendor_is_a_variant() {
    let gate = Gate::start(&upstream().await).await;
    let sheet = gate.get("/tracked.css", &[STYLE]).await;
    let text = sheet.text();
    let (before, rest) = text.split_once("gate-").expect("the address is held");
    let (scheme, after) = rest.split_once(':').expect("by a scheme");
    assert_eq!(format!("{before}{after}"), TRACKED);
    let (nonce, needs) = scheme.split_once('.').expect("nonce and needs");
    assert!(nonce.len() == 16 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
    assert_eq!(needs, "meta.marketing");
    let tag = sheet.header("etag").expect("it has a tag").to_owned();
    assert!(tag.starts_with("W/\"v1;s-"), "{tag}");
    assert!(sheet.header("cache-control").is_some_and(|value| value.starts_with("private, no-cache")));
    assert!(sheet.all("set-cookie").is_empty());

    let again = gate.get("/tracked.css", &[STYLE, ("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())));

    // Granted it is as it came, and still one visitor's: it must be asked about after a withdrawal.
    let cookie = gate.accepted().await;
    let granted = gate.get("/tracked.css", &[STYLE, ("cookie", &cookie), ("if-none-match", &tag)]).await;
    assert_eq!((granted.status, granted.text().as_str()), (200, TRACKED));
    assert!(granted.header("cache-control").is_some_and(|value| value.starts_with("private, no-cache")));
}

#[tokio::test]
async fn coded_and_long_sheets_are_gated() {
    let gate = Gate::start(&upstream().await).await;
    let coded = gate.get("/coded.css", &[STYLE, ("accept-encoding", "gzip")]).await;
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&coded.body[..]).read_to_string(&mut text).expect("gzip");
    assert!(text.contains(".meta.marketing:https://www.facebook.com/tr"), "{text}");
    let long = gate.get("/long.css", &[STYLE]).await;
    assert!(long.text().contains(".meta.marketing:https://www.facebook.com/tr"));
    assert!(long.header("cache-control").is_some_and(|value| value.starts_with("private")));
}

#[tokio::test]
async fn without_the_ring_sheets_pass() {
    let gate = Gate::with(&upstream().await, |config| config.sites[0].rings.markup = false).await;
    let sheet = gate.get("/tracked.css", &[STYLE]).await;
    assert_eq!((sheet.text().as_str(), sheet.header("etag")), (TRACKED, Some("\"v1\"")));
    assert!(gate.get("/fragment", &[("hx-request", "true")]).await.text().contains(" src=//www.facebook.com"));
}

#[tokio::test]
async fn fragments_and_error_pages_are_gated() {
    let gate = Gate::start(&upstream().await).await;
    for headers in [[("hx-request", "true")], [("turbo-frame", "x")], [("x-pjax", "true")]] {
        let text = gate.get("/fragment", &headers).await.text();
        assert!(text.starts_with("<li><img data-gate-") && text.ends_with("></li>"), "nothing is added: {text}");
        assert!(text.contains("-src=//www.facebook.com") && !text.contains(" src="), "{text}");
    }
    let gone = gate.get("/404", &[("sec-fetch-dest", "document")]).await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("-src=//www.facebook.com") && gone.text().contains("accept_all"), "{}", gone.text());
}
