//! Pages through the gate: what is held, what is asked, what heads say.

use std::io::Write as _;

use crate::harness::{Gate, Upstream, paths, respond};

const PAGE: &str = "<!doctype html><html><head><title>Shop</title>\
<script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>\
<script>fbq('init','1234567890123456');fbq('track','PageView')</script>\
<noscript><img src=\"https://www.facebook.com/tr?id=1234567890123456&ev=PageView&noscript=1\"></noscript>\
</head><body><h1>Shop</h1></body></html>";

const DOCUMENT: [(&str, &str); 3] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "none")];

#[tokio::test]
async fn before_a_decision_tags_are_inert_and_the_banner_asks() {
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::start(&upstream).await;
    let page = gate.get("/", &DOCUMENT).await;
    let text = page.text();
    assert_eq!(page.status, 200);
    assert!(!text.contains(" src=\"https://connect.facebook.net"), "{text}");
    assert!(!text.contains("facebook.com/tr"), "the noscript pixel is gone: {text}");
    assert!(text.contains("type=\"text/plain\""));
    let banner = text.find("name=\"choice\" value=\"accept_all\"").expect("a banner");
    assert!(
        text.find("<body>").expect("a body") < banner && banner < text.find("<h1>").expect("the page"),
        "right after the body tag"
    );
    assert!(text.contains(&format!("action=\"{}/_consent/decision\"", gate.origin())), "the form's address is absolute");
    assert!(text.contains("Meta"), "the notice names the vendors");
}

#[tokio::test]
async fn after_accept_all_the_page_is_as_the_site_wrote_it_but_for_our_own_insertions() {
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::start(&upstream).await;
    let cookie = gate.accepted().await;
    let text = gate.get("/", &[("cookie", &cookie)]).await.text();
    for part in [
        "<script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>",
        "noscript=1\"></noscript>",
        "<h1>Shop</h1></body></html>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("accept_all"), "nobody is asked twice");
    assert!(text.contains("/_consent/"), "the way back to the choices is on every page");
}

#[tokio::test]
async fn notices_belong_into_top_level_documents_only() {
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::start(&upstream).await;
    for headers in
        [&[("sec-fetch-dest", "iframe")][..], &[("hx-request", "true")], &[("sec-fetch-dest", "empty"), ("accept", "text/html")]]
    {
        let resp = gate.get("/", headers).await;
        let text = resp.text();
        // A frame is a document, where code runs that wants guarding; a part is none.
        let framed = headers.iter().any(|&(_, value)| value == "iframe");
        assert!(!text.contains("accept_all") && text.contains("data-consentry") == framed, "{headers:?}: {text}");
        assert_eq!(text.contains("/guard.js\""), framed, "{headers:?}: {text}");
        let nonce = resp.header("consentry-gate");
        assert_eq!(nonce.is_none(), framed, "{headers:?}");
        assert!(nonce.is_none_or(|nonce| text.contains(&format!(" data-gate-{nonce}=\"meta:marketing\""))), "{text}");
        assert!(!text.contains("facebook.com/tr") && text.contains("type=\"text/plain\""), "still gated: {text}");
    }
}

#[tokio::test]
async fn the_language_of_the_notice_is_the_visitors() {
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::start(&upstream).await;
    let german = gate.get("/", &[("accept-language", "fr;q=0.3, de-AT, en;q=0.5")]).await;
    assert!(german.text().contains("Alle ablehnen"));
    assert!(gate.get("/", &[("accept-language", "ja")]).await.text().contains("Reject all"));
}

#[tokio::test]
async fn exempt_paths_pass_byte_for_byte() {
    let upstream = Upstream::page(PAGE).await;
    let gate = Gate::with(&upstream, |config| config.sites[0].exempt = paths(&["/wp-admin/*"])).await;
    assert_eq!(gate.get("/wp-admin/x", &[]).await.text(), PAGE);
    assert_ne!(gate.get("/wp-admin/../x", &[]).await.text(), PAGE);
}

#[tokio::test]
async fn observing_changes_nothing_not_even_what_could_not_be_gated() {
    let utf16: &[u8] = b"<\0p\0>\0x\0";
    let upstream = Upstream::start(move |got| match got.path() {
        "/utf16" => respond("200 OK", &[("content-type", "text/html; charset=utf-16le"), ("etag", "\"a\"")], utf16),
        _ => respond(
            "200 OK",
            &[("content-type", "text/html"), ("etag", "\"a\""), ("set-cookie", "_ga=GA1.1.1.1")],
            PAGE.as_bytes(),
        ),
    })
    .await;
    let gate = Gate::with(&upstream, |config| config.sites[0].observe = true).await;
    let page = gate.get("/", &[DOCUMENT[0], ("cookie", "_fbp=fb.1.1700000000000.123456789; a=b")]).await;
    assert_eq!(page.text(), PAGE);
    for (name, want) in [("content-type", "text/html"), ("etag", "\"a\""), ("set-cookie", "_ga=GA1.1.1.1")] {
        assert_eq!(page.header(name), Some(want));
    }
    assert_eq!(page.header("content-length"), Some(PAGE.len().to_string().as_str()));
    assert_eq!(upstream.last().header("cookie"), Some("_fbp=fb.1.1700000000000.123456789; a=b"));
    assert_eq!(gate.get("/utf16", &DOCUMENT).await.body, utf16);
}

#[tokio::test]
async fn every_coding_is_read_and_sent_on_compressed() {
    let html = PAGE.as_bytes();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(html).expect("memory");
        encoder.finish().expect("memory")
    };
    let brotli = {
        let mut out = Vec::new();
        brotli::BrotliCompress(&mut &html[..], &mut out, &brotli::enc::BrotliEncoderParams::default()).expect("memory");
        out
    };
    let zstd = zstd::encode_all(html, 3).expect("memory");
    let upstream = Upstream::start(move |got| {
        let (coding, body) = match got.path() {
            "/gzip" => ("gzip", &gzip),
            "/br" => ("br", &brotli),
            "/zstd" => ("zstd", &zstd),
            _ => return respond("200 OK", &[("content-type", "text/html"), ("content-encoding", "compress")], b"??"),
        };
        respond("200 OK", &[("content-type", "text/html"), ("content-encoding", coding)], body)
    })
    .await;
    let gate = Gate::start(&upstream).await;
    for coding in ["gzip", "br", "zstd"] {
        let answer = gate.get(&format!("/{coding}"), &[("accept-encoding", coding)]).await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        let text = match coding {
            "gzip" => {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&answer.body[..]), &mut text).expect("gzip");
                text
            }
            "br" => {
                let mut text = Vec::new();
                brotli::BrotliDecompress(&mut &answer.body[..], &mut text).expect("brotli");
                String::from_utf8(text).expect("UTF-8")
            }
            _ => String::from_utf8(zstd::decode_all(&answer.body[..]).expect("zstd")).expect("UTF-8"),
        };
        assert!(text.contains("accept_all") && text.contains("<h1>Shop</h1></body></html>"), "{coding}: {text}");
    }
    assert_eq!(gate.get("/compress", &[]).await.status, 502, "a coding that nobody reads is not passed on");
    assert_eq!(upstream.got()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_bomb_is_defused() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..512 {
            encoder.write_all(&[b' '; 1 << 20]).expect("memory");
        }
        encoder.finish().expect("memory")
    };
    let upstream =
        Upstream::start(move |_| respond("200 OK", &[("content-type", "text/html"), ("content-encoding", "gzip")], &bomb)).await;
    let gate = Gate::start(&upstream).await;
    let answer = gate.get("/bomb", &DOCUMENT).await;
    assert!(answer.status == 502 || !answer.whole, "cut visibly");
    assert!(answer.body.len() < 400 << 20);
}

#[tokio::test]
async fn vendors_cookies_are_cut_both_ways_until_granted() {
    let upstream = Upstream::start(|_| {
        let cookies = [
            ("content-type", "text/html"),
            ("set-cookie", "_ga=GA1.1.1.1; Path=/"),
            ("set-cookie", "session=s; Path=/; HttpOnly"),
        ];
        respond("200 OK", &cookies, b"<p>x")
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let sent = [("cookie", "session=s; _fbp=fb.1.1700000000000.123456789; consentry=forged; lang=de")];
    let before = gate.get("/shop/x", &[sent[0], DOCUMENT[0]]).await;
    assert_eq!(upstream.last().header("cookie"), Some("session=s; lang=de"));
    let set = before.all("set-cookie");
    assert!(set.contains(&"session=s; Path=/; HttpOnly") && !set.iter().any(|line| line.starts_with("_ga=GA1")), "{set:?}");
    assert!(
        set.iter().any(|line| line.starts_with("_fbp=;") && line.ends_with("Path=/")),
        "left over from before the gate: {set:?}"
    );

    let cookie = format!("session=s; _fbp=fb.1.1700000000000.123456789; {}", gate.accepted().await);
    let after = gate.get("/shop/x", &[("cookie", &cookie)]).await;
    assert_eq!(upstream.last().header("cookie"), Some("session=s; _fbp=fb.1.1700000000000.123456789"));
    assert!(after.all("set-cookie").contains(&"_ga=GA1.1.1.1; Path=/"));
}

#[tokio::test]
async fn a_gated_page_is_private_and_its_validator_names_its_variant() {
    let upstream = Upstream::start(|got| {
        if got.header("if-none-match") == Some("\"v1\"") {
            return respond("304 Not Modified", &[("etag", "\"v1\"")], b"");
        }
        let headers = [
            ("content-type", "text/html"),
            ("etag", "\"v1\""),
            ("last-modified", "Tue, 24 Nov 2026 06:00:00 GMT"),
            ("cache-control", "public, max-age=3600"),
            ("expires", "Tue, 24 Nov 2027 06:00:00 GMT"),
            ("surrogate-control", "max-age=60"),
        ];
        respond("200 OK", &headers, PAGE.as_bytes())
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let page = gate.get("/", &DOCUMENT).await;
    let cache = page.header("cache-control").expect("a cache-control");
    assert!(cache.contains("private") && !cache.contains("public") && !cache.contains("max-age=3600"), "{cache}");
    for name in ["last-modified", "expires", "surrogate-control"] {
        assert_eq!(page.header(name), None, "{name}");
    }
    let tag = page.header("etag").expect("an entity tag").to_owned();
    assert!(tag.starts_with("W/") && tag != "W/\"v1\"");

    let again = gate.get("/", &[DOCUMENT[0], ("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())), "the same variant still stands");
    let cookie = gate.accepted().await;
    let other = gate.get("/", &[DOCUMENT[0], ("if-none-match", &tag), ("cookie", &cookie)]).await;
    assert_eq!(other.status, 200, "another variant is another page");
    let from_before =
        gate.get("/", &[DOCUMENT[0], ("if-none-match", "\"v1\""), ("if-modified-since", "Tue, 24 Nov 2026 06:00:00 GMT")]).await;
    assert_eq!(from_before.status, 200, "a copy from before the gate is never confirmed");
}

#[tokio::test]
async fn the_sites_policy_stays_and_lets_the_notice_work() {
    let strict = "default-src 'none'; style-src 'sha256-x'; form-action 'none'; img-src 'self'";
    let upstream = Upstream::start(move |_| {
        let headers = [
            ("content-type", "text/html"),
            ("content-security-policy", strict),
            ("link", "<https://connect.facebook.net>; rel=preconnect, </own.css>; rel=preload; as=style"),
            ("refresh", "5; url=https://www.facebook.com/tr?id=1"),
        ];
        respond("200 OK", &headers, PAGE.as_bytes())
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let page = gate.get("/", &DOCUMENT).await;
    let policy = page.header("content-security-policy").expect("a policy");
    let own = format!("{}/_consent/", gate.origin());
    for directive in ["style-src 'sha256-x'", "form-action", "script-src", "connect-src"] {
        let part = policy
            .split(';')
            .map(str::trim)
            .find(|part| part.starts_with(directive))
            .unwrap_or_else(|| panic!("{directive} in {policy}"));
        assert!(part.contains(&own), "{part}");
    }
    assert!(policy.contains("img-src 'self'") && policy.contains("default-src 'none'"), "{policy}");
    let link = page.header("link").expect("the site's own link");
    assert!(link.contains("/own.css") && !link.contains("facebook"), "{link}");
    assert_eq!(page.header("refresh"), None);
}

#[tokio::test]
async fn an_upstream_that_dies_amid_a_page_ends_it_visibly() {
    let upstream = Upstream::start(|got| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n".to_vec();
        match got.path() {
            "/length" => bytes.extend_from_slice(b"content-length: 5000\r\n\r\n<!doctype html><p>begun"),
            _ => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n17\r\n<!doctype html><p>begun\r\n"),
        }
        bytes
    })
    .await;
    let gate = Gate::start(&upstream).await;
    for path in ["/length", "/chunked"] {
        let answer = gate.get(path, &DOCUMENT).await;
        assert!(!answer.whole || answer.status == 502, "{path}: a truncated page must not look whole");
    }
}

#[tokio::test]
async fn head_says_what_get_says() {
    let upstream = Upstream::start(|got| {
        let body: &[u8] = if got.line.starts_with("HEAD") { b"" } else { PAGE.as_bytes() };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\netag: \"v1\"\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            PAGE.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    })
    .await;
    let gate = Gate::start(&upstream).await;
    let (get, head) = (gate.get("/", &DOCUMENT).await, gate.send("HEAD", "/", &DOCUMENT, b"").await);
    assert_eq!(head.status, 200);
    for name in ["etag", "cache-control", "vary"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), None);
}

#[tokio::test]
async fn no_spelling_of_the_type_lets_a_page_pass_ungated() {
    let body = b"<section><img src=\"https://www.facebook.com/tr?id=1\"></section>";
    let upstream = Upstream::start(move |got| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n", body.len()).into_bytes();
        answer.extend_from_slice(match got.path() {
            "/latin" => b"content-type: text/html; x=\"\xe9\"\r\n\r\n",
            "/twice" => b"content-type: text/html\r\ncontent-type: text/html\r\n\r\n",
            "/comma" => b"content-type: text/html, text/html; charset=utf-8\r\n\r\n",
            _ => b"content-type: Text/HTML ; charset=utf-8\r\n\r\n",
        });
        answer.extend_from_slice(body);
        answer
    })
    .await;
    let gate = Gate::start(&upstream).await;
    for path in ["/latin", "/twice", "/comma", "/plain", "//www.youtube.com/x"] {
        let text = gate.get(path, &DOCUMENT).await.text();
        assert!(text.contains("data-gate-") && text.contains("accept_all"), "{path}: {text}");
    }
}

#[tokio::test]
async fn what_has_no_type_is_looked_at_and_a_download_passes_as_it_is() {
    let zip: &[u8] = b"PK\x03\x04 not a page at all";
    let upstream = Upstream::start(move |got| match got.path() {
        "/page" => respond("200 OK", &[], PAGE.as_bytes()),
        _ => respond("200 OK", &[("content-type", "application/unknown"), ("etag", "\"z\"")], zip),
    })
    .await;
    let gate = Gate::start(&upstream).await;
    assert!(gate.get("/page", &DOCUMENT).await.text().contains("accept_all"));
    let saved = gate.get("/zip", &DOCUMENT).await;
    assert_eq!(saved.body, zip);
    let want = [
        ("content-length", zip.len().to_string()),
        ("etag", "\"z\"".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    for (name, value) in want {
        assert_eq!(saved.header(name), Some(value.as_str()));
    }
}

#[tokio::test]
async fn leftover_cookies_of_a_visit_before_the_gate_fit_into_a_small_head() {
    let upstream = Upstream::page("<p>x").await;
    let gate = Gate::start(&upstream).await;
    let cookies = "_ga=GA1.2.1.1; _gid=GA1.2.1.2; _fbp=fb.1.1700000000000.1; _gcl_au=1.1.1.1; _hjSessionUser_123=x; _clck=a; _ttp=b; _uetsid=c; _uetvid=d";
    let page = gate.get("/en/shop/shoes/red-shoe-42", &[DOCUMENT[0], ("host", "www.shop.example"), ("cookie", cookies)]).await;
    let head: usize = page.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    assert!(head < 3_000, "{head} bytes; proxies in front often hold 4 KiB");
    let expired = page.all("set-cookie").iter().filter(|line| line.contains("Max-Age=0")).count();
    assert!(expired >= 9, "{:?}", page.headers);
}
