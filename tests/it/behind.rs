//! Vendors behind the site's own name: requests that are not forwarded, scripts that are not passed on,
//! redirects that end at the gate.

use std::{collections::BTreeMap, io::Write as _};

use crate::harness::{Gate, Got, Upstream, paths, respond, write_files};

const SCRIPT: [(&str, &str); 1] = [("sec-fetch-dest", "script")];
const IMAGE: [(&str, &str); 1] = [("sec-fetch-dest", "image")];
const FRAME: [(&str, &str); 2] = [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")];
const BEACON: [(&str, &str); 1] = [("sec-fetch-dest", "empty")];
const DOCUMENT: [(&str, &str); 2] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];

/// A vendor behind every path.
async fn vendor() -> Upstream {
    Upstream::start(|_| respond("200 OK", &[("content-type", "application/octet-stream"), ("set-cookie", "v=1")], b"vendor"))
        .await
}

#[tokio::test]
async fn a_vendors_own_path_is_not_asked_before_a_grant_and_is_after_one() {
    let upstream = vendor().await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    for (method, path, headers, status, kind, rule) in [
        ("GET", "/js/fbevents.js", &SCRIPT[..], 200, Some("text/javascript; charset=utf-8"), "meta/self-hosted"),
        ("GET", "/js//%66bevents.js", &SCRIPT, 200, Some("text/javascript; charset=utf-8"), "meta/self-hosted"),
        ("GET", "/a/../js/fbevents.js", &SCRIPT, 200, Some("text/javascript; charset=utf-8"), "meta/self-hosted"),
        (
            "GET",
            "/metrics/gtag/js?id=G-ABC1234567",
            &SCRIPT,
            200,
            Some("text/javascript; charset=utf-8"),
            "google-analytics/self-hosted",
        ),
        ("GET", "/gtm.js?id=GTM-ABC1234", &SCRIPT, 200, Some("text/javascript; charset=utf-8"), "google-tag-manager/self-hosted"),
        ("GET", "/ns.html?id=GTM-ABC1234", &FRAME, 200, Some("text/html; charset=utf-8"), "google-tag-manager/self-hosted"),
        ("GET", "/js/container_AbCd1234.js", &SCRIPT, 200, Some("text/javascript; charset=utf-8"), "matomo/container"),
        ("GET", "/hs/scriptloader/123.js", &SCRIPT, 200, Some("text/javascript; charset=utf-8"), "hubspot/self-hosted-loader"),
        ("GET", "/matomo.php?idsite=1&rec=1", &IMAGE, 200, Some("image/gif"), "matomo/pixel"),
        ("GET", "/gw/tr/?id=1&ev=PageView", &IMAGE, 200, Some("image/gif"), "meta/self-hosted-pixel"),
        ("GET", "/matomo.php?idsite=1", &[("accept", "image/avif,*/*")], 200, Some("image/gif"), "matomo/pixel"),
        ("GET", "/matomo.js", &[("accept", "*/*")], 200, Some("text/javascript; charset=utf-8"), "matomo/script"),
        ("POST", "/piwik.php", &BEACON, 204, None, "matomo/pixel"),
        ("POST", "/xk3f/c?v=2&tid=G-ABC1234567&en=page_view", &BEACON, 204, None, "google-analytics/collect-anywhere"),
        ("GET", "/matomo.php?a=1", &DOCUMENT, 204, None, "matomo/pixel"),
    ] {
        let before = upstream.got().len();
        let body: &[u8] = if method == "POST" { b"en=page_view" } else { b"" };
        let answer = gate.send(method, path, headers, body).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), kind, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("vary"), Some("Cookie"), "{path}");
        assert_eq!(answer.header("consentry-held"), Some(rule), "{path}");
        assert!(answer.header("set-cookie").is_none() && !answer.text().contains("vendor"), "{path}");
        assert_eq!(upstream.got().len(), before, "the site behind is not asked for {path}");

        let granted = gate.send(method, path, &[headers, &[("cookie", &cookie)]].concat(), body).await;
        assert_eq!((granted.status, granted.text().as_str()), (200, "vendor"), "{path}");
        let got = upstream.last();
        assert_eq!(got.path(), path, "forwarded as it came");
        assert_eq!(got.body, body);
    }
    assert!(gate.get("/matomo.php", &IMAGE).await.body.starts_with(b"GIF89a"));
}

#[tokio::test]
async fn after_a_grant_the_vendors_cookies_go_along() {
    let upstream = vendor().await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    gate.get("/matomo.php", &[("sec-fetch-dest", "image"), ("cookie", &format!("{cookie}; _pk_id.1=x"))]).await;
    assert_eq!(upstream.last().header("cookie"), Some("_pk_id.1=x"));
}

#[tokio::test]
async fn what_the_site_has_of_its_own_is_not_held() {
    let upstream = vendor().await;
    let gate = Gate::start(&upstream).await;
    for path in
        ["/", "/tr/?id=5", "/collect?tid=7", "/gtm.js", "/matomo/index.php", "/metrics", "/search?v=2&q=tid%3DG-1", "/x?tid=G-1"]
    {
        assert_eq!(gate.get(path, &SCRIPT).await.text(), "vendor", "{path}");
    }
}

#[tokio::test]
async fn dry_runs_exempt_paths_and_a_ring_that_is_off_forward() {
    let upstream = vendor().await;
    for gate in [
        Gate::with(&upstream, |config| config.sites[0].observe = true).await,
        Gate::with(&upstream, |config| config.sites[0].exempt = paths(&["/matomo.php"])).await,
        Gate::with(&upstream, |config| config.sites[0].rings.paths = false).await,
    ] {
        assert_eq!(gate.get("/matomo.php", &IMAGE).await.text(), "vendor");
    }
}

#[tokio::test]
async fn the_connection_outlives_a_beacon_that_nobody_gets() {
    let upstream = vendor().await;
    let gate = Gate::start(&upstream).await;
    let host = gate.address;
    let two = format!(
        "POST /matomo.php HTTP/1.1\r\nhost: {host}\r\nsec-fetch-dest: empty\r\ncontent-length: 5\r\n\r\nGET /GET /own HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    );
    let answer = gate.raw(two.as_bytes()).await;
    assert_eq!(answer.status, 204);
    // The body was taken for a body: what follows it is the next request.
    assert!(String::from_utf8_lossy(&answer.body).contains("HTTP/1.1 200 OK"), "{}", answer.text());
    assert_eq!(upstream.last().path(), "/own");

    let large = vec![b'x'; 300_000];
    let answer = gate.send("POST", "/matomo.php", &BEACON, &large).await;
    assert_eq!((answer.status, answer.header("connection")), (204, Some("close")));
}

#[tokio::test]
async fn another_protocol_to_a_vendors_path_is_not_opened() {
    let upstream = vendor().await;
    let gate = Gate::start(&upstream).await;
    let ask = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade, close\r\nupgrade: websocket\r\nsec-fetch-dest: websocket\r\n\r\n",
            gate.address
        )
    };
    let before = upstream.got().len();
    assert_eq!(gate.raw(ask("/matomo.php").as_bytes()).await.status, 204);
    assert_eq!(upstream.got().len(), before);
    gate.raw(ask("/own").as_bytes()).await;
    assert_eq!(upstream.got().len(), before + 1);
}

// === what comes back ===

const MATOMO: &str = "/*!!\n * Matomo - free/libre analytics platform\n *\n * JavaScript tracking client\n */\nvar tracker;";
const OWN: &str = "/* our own */ export const price = 38;";

fn packed(coding: &str, text: &str) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text.as_bytes()).expect("memory takes it");
            gzip.finish().expect("memory takes it")
        }
        "deflate" => {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(text.as_bytes()).expect("memory takes it");
            zlib.finish().expect("memory takes it")
        }
        "br" => {
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut text.as_bytes(), &mut out, &brotli::enc::BrotliEncoderParams::default())
                .expect("memory takes it");
            out
        }
        "zstd" => zstd::encode_all(text.as_bytes(), 3).expect("memory takes it"),
        _ => text.as_bytes().to_vec(),
    }
}

/// `/<coding>/<vendor or own>`, typed by the query.
async fn scripts() -> Upstream {
    Upstream::start(|got: &Got| {
        let (path, kind) = got.path().split_once('?').unwrap_or((got.path(), "text/javascript"));
        let mut parts = path.split('/').skip(1);
        let coding = parts.next().unwrap_or_default().to_owned();
        let text = match parts.next() {
            Some("vendor") => format!("{MATOMO}{}", "a();".repeat(50_000)),
            Some("late") => format!("{}{MATOMO}", " a();".repeat(50_000)),
            _ => format!("{OWN}{}", "b();".repeat(50_000)),
        };
        let mut headers = vec![("content-type", kind), ("etag", "\"1\"")];
        if coding != "plain" {
            headers.push(("content-encoding", coding.as_str()));
        }
        respond("200 OK", &headers, &packed(&coding, &text))
    })
    .await
}

#[tokio::test]
async fn a_vendors_script_from_an_unknown_path_comes_back_empty_in_every_coding() {
    let upstream = scripts().await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    let accept = ("accept-encoding", "gzip, deflate, br, zstd");
    for coding in ["plain", "gzip", "deflate", "br", "zstd"] {
        let path = format!("/{coding}/vendor");
        let held = gate.get(&path, &[SCRIPT[0], accept]).await;
        assert_eq!((held.status, held.text().as_str()), (200, ""), "{coding}");
        assert_eq!(held.header("consentry-held"), Some("matomo/answer"), "{coding}");
        assert_eq!((held.header("cache-control"), held.header("content-encoding")), (Some("no-store"), None));

        let granted = gate.get(&path, &[SCRIPT[0], accept, ("cookie", &cookie)]).await;
        assert_eq!(granted.body, packed(coding, &format!("{MATOMO}{}", "a();".repeat(50_000))), "{coding}");

        assert_eq!(granted.header("cache-control"), Some("private, no-cache"), "kept by nobody past the grant");

        let own = gate.get(&format!("/{coding}/own"), &[SCRIPT[0], accept]).await;
        assert!(own.body == packed(coding, &format!("{OWN}{}", "b();".repeat(50_000))), "{coding}: not a byte is another");
        assert_eq!(own.header("etag"), Some("\"1\""));
    }
}

/// A browser may hold a vendor's script from a time when it had leave to, or from before the gate.
#[tokio::test]
async fn a_copy_that_the_browser_holds_is_not_confirmed_without_a_grant() {
    let upstream = Upstream::start(|got: &Got| match got.header("if-none-match") {
        Some("\"1\"") => respond("304 Not Modified", &[("etag", "\"1\"")], b""),
        _ => respond("200 OK", &[("content-type", "text/javascript"), ("etag", "\"1\"")], MATOMO.as_bytes()),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    let granted = gate.get("/k3f", &[SCRIPT[0], ("cookie", &cookie)]).await;
    let tag = granted.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, "\"1\"");
    let again = gate.get("/k3f", &[SCRIPT[0], ("cookie", &cookie), ("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())), "it still holds for who granted it");
    for tag in [tag.as_str(), "\"1\""] {
        let without = gate.get("/k3f", &[SCRIPT[0], ("if-none-match", tag)]).await;
        assert_eq!((without.status, without.text().as_str()), (200, ""), "{tag}");
    }
    let known = gate.get("/js/fbevents.js", &[SCRIPT[0], ("cookie", &cookie)]).await;
    assert_eq!(known.header("cache-control"), Some("private, no-cache"));
    assert_eq!(
        gate.get("/own.css", &[("sec-fetch-dest", "style"), ("if-none-match", "\"1\"")]).await.status,
        304,
        "what is no vendor's is confirmed"
    );
}

#[tokio::test]
async fn what_counts_as_a_script_is_what_browsers_run() {
    let upstream = scripts().await;
    let gate = Gate::start(&upstream).await;
    for (kind, headers, held) in [
        ("application/javascript", &[][..], true),
        ("text/plain", &SCRIPT, true),
        ("application/octet-stream", &[("sec-fetch-dest", "serviceworker")], true),
        ("text/javascript", &BEACON, true),
        ("application/x-javascript;charset=utf-8", &BEACON, true),
        ("text/plain", &[("accept", "*/*")], true),
        ("text/event-stream", &[("accept", "text/event-stream")], false),
        ("application/json", &[("accept", "*/*")], false),
        ("text/html", &SCRIPT, true),
        ("text/plain", &BEACON, false),
        ("image/png", &SCRIPT, false),
        ("text/css", &[("sec-fetch-dest", "style")], false),
    ] {
        let answer = gate.get(&format!("/plain/vendor?{kind}"), headers).await;
        assert_eq!(answer.header("consentry-held").is_some(), held, "{kind} {headers:?}");
        assert_eq!(answer.text().is_empty(), held, "{kind} {headers:?}");
    }
    for gate in [
        Gate::with(&upstream, |config| config.sites[0].observe = true).await,
        Gate::with(&upstream, |config| config.sites[0].rings.paths = false).await,
        Gate::with(&upstream, |config| config.sites[0].exempt = paths(&["/plain/*"])).await,
    ] {
        assert!(gate.get("/plain/vendor", &SCRIPT).await.text().starts_with(MATOMO));
    }
}

#[tokio::test]
async fn as_much_is_looked_at_as_the_limit_says_and_what_cannot_be_read_is_not_passed_on() {
    let upstream = scripts().await;
    let gate = Gate::start(&upstream).await;
    assert!(gate.get("/plain/late", &SCRIPT).await.text().ends_with(MATOMO), "behind the limit");
    let wide = Gate::with(&upstream, |config| config.limits.answer_scan_bytes = 1 << 20).await;
    assert_eq!(wide.get("/plain/late", &SCRIPT).await.text(), "");
    assert_eq!(gate.get("/compress/vendor", &SCRIPT).await.status, 502, "an unknown coding");
}

// === redirects ===

#[tokio::test]
async fn a_redirect_to_a_vendor_ends_here_unless_the_visitor_goes_there() {
    let upstream = Upstream::start(|got: &Got| {
        let to = if got.path().contains("own") { "/elsewhere" } else { "//www.facebook.com/tr?id=1&ev=PageView" };
        respond("302 Found", &[("location", to), ("set-cookie", "sid=1")], b"")
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    for (headers, status, kind) in [
        (&IMAGE[..], 200, Some("image/gif")),
        (&SCRIPT, 200, Some("text/javascript; charset=utf-8")),
        (&FRAME, 200, Some("text/html; charset=utf-8")),
        (&BEACON, 204, None),
        (&[("accept", "*/*")], 200, Some("text/javascript; charset=utf-8")),
        (&[("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch")], 503, None),
    ] {
        let answer = gate.get("/go", headers).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, kind), "{headers:?}");
        assert_eq!((answer.header("location"), answer.header("cache-control")), (None, Some("no-store")), "{headers:?}");
        assert_eq!(answer.header("consentry-held"), Some("meta/pixel"));
        let granted = gate.get("/go", &[headers, &[("cookie", &cookie)]].concat()).await;
        assert_eq!(granted.status, 302, "{headers:?}");
        assert_eq!(gate.get("/own", headers).await.status, 302, "{headers:?}");
    }
    for headers in [&DOCUMENT[..], &[("accept", "text/html,*/*")]] {
        let click = gate.get("/go", headers).await;
        assert_eq!(
            (click.status, click.header("location")),
            (302, Some("//www.facebook.com/tr?id=1&ev=PageView")),
            "{headers:?}"
        );
    }
    let off = Gate::with(&upstream, |config| config.sites[0].rings.headers = false).await;
    assert_eq!(off.get("/go", &IMAGE).await.status, 302);
}

// === speculation rules ===

#[tokio::test]
async fn speculation_rules_that_name_a_vendor_are_emptied() {
    let upstream = Upstream::start(|got: &Got| {
        let body: &[u8] = match got.path() {
            "/own.json" => br#"{"prefetch":[{"urls":["/next"]}]}"#,
            "/broken.json" => b"{\"prefetch\":[",
            _ => br#"{"prefetch":[{"urls":["/next","https:\/\/www.facebook.com\/tr?id=1&ev=PageView"]}]}"#,
        };
        respond("200 OK", &[("content-type", "application/speculationrules+json"), ("etag", "\"1\"")], body)
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    let emptied = gate.get("/rules.json", &[]).await;
    assert_eq!(emptied.json(), serde_json::json!({ "prefetch": [], "prerender": [] }));
    assert_eq!((emptied.header("etag"), emptied.header("cache-control")), (None, Some("private, no-store")));
    assert_eq!(gate.get("/broken.json", &[]).await.json()["prefetch"], serde_json::json!([]));
    let own = gate.get("/own.json", &[]).await;
    assert_eq!((own.text().as_str(), own.header("etag")), (r#"{"prefetch":[{"urls":["/next"]}]}"#, Some("\"1\"")));
    assert!(gate.get("/rules.json", &[("cookie", &cookie)]).await.text().contains("facebook"));
}

// === the operator's own names ===

const OWN_VENDOR: &str = r#"
id = "own-metrics"
name = "Our measurements"
company = "Kiln GmbH"
purposes = ["analytics"]
[[rule]]
id = "host"
hosts = ["metrics.shop.example"]
[[rule]]
id = "path"
paths = ["/insights/beat"]
"#;

#[tokio::test]
async fn an_operator_names_subdomains_and_paths_in_a_file_of_their_own() {
    let upstream = Upstream::start(|got: &Got| match got.path() {
        "/insights/beat" => respond("200 OK", &[("content-type", "text/plain")], b"vendor"),
        _ => respond(
            "200 OK",
            &[("content-type", "text/html")],
            b"<!doctype html><title>x</title><body><script src=\"https://metrics.shop.example/s.js\"></script>\
              <img src=\"//eu.metrics.shop.example/p.gif\"><script src=\"https://static.shop.example/own.js\"></script></body>",
        ),
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = "vendors = [\"own-metrics\"]\n[controller]\nname = \"Kiln\"\ncontact = \"a@shop.example\"\n".to_owned();
    write_files(folder.path(), &BTreeMap::from([("vendors/own-metrics.toml", OWN_VENDOR.to_owned()), ("site.toml", site)]));
    let gate = Gate::with(&upstream, |config| config.sites[0].policies = Some(folder.path().to_owned())).await;
    let page = gate.get("/", &DOCUMENT).await.text();
    assert!(!page.contains(" src=\"https://metrics.shop.example") && !page.contains(" src=\"//eu.metrics"), "{page}");
    assert!(page.contains("<script src=\"https://static.shop.example/own.js\">"), "{page}");
    assert_eq!(gate.send("POST", "/insights/beat", &BEACON, b"x").await.header("consentry-held"), Some("own-metrics/path"));
    let cookie = gate.accepted().await;
    assert_eq!(gate.get("/insights/beat", &[("cookie", &cookie)]).await.text(), "vendor");
    assert!(gate.get("/", &[("cookie", &cookie)]).await.text().contains(" src=\"https://metrics.shop.example/s.js\""));
}
