//! Documents in every encoding, type and coding that a browser reads, over raw sockets: no live address
//! of a vendor leaves, and the head says what was decided.

use std::io::Write as _;

use crate::harness::{Answer, Gate, Upstream, respond};

const PIXEL: &str = "https://www.facebook.com/tr?id=1234567890123456&amp;ev=PageView";
const DOCUMENT: [(&str, &str); 2] = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")];

fn html() -> String {
    format!("<!doctype html><title>\u{65e5}\u{672c}</title><body><img src=\"{PIXEL}\"><p>text</p></body>")
}

fn xhtml() -> String {
    format!(
        "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>\u{fc}</title></head>\
         <body><img src=\"{PIXEL}\" /><script><![CDATA[fbq('init','1234567890123456')]]></script></body></html>"
    )
}

fn svg() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">\
         <image xlink:href=\"{PIXEL}\"/></svg>"
    )
}

/// Serves a body under a head of whole lines for every path.
async fn serving(pages: Vec<(&'static str, &'static str, Vec<u8>)>) -> (Upstream, Gate) {
    let upstream = Upstream::start(move |got| {
        let (_, lines, body) = pages.iter().find(|(path, _, _)| *path == got.path()).expect("a path of the test");
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n", body.len()).into_bytes();
        answer.extend_from_slice(lines.as_bytes());
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(body);
        answer
    })
    .await;
    let gate = Gate::start(&upstream).await;
    (upstream, gate)
}

/// The pixel is there and held: its attribute has another name.
fn is_held(answer: &Answer) -> bool {
    let text = answer.text();
    answer.status == 200 && text.contains("data-gate-") && !text.contains(" src=\"https://www.facebook.com") && answer.whole
}

fn parses(xml: &str) -> bool {
    let mut reader = quick_xml::NsReader::from_str(xml);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag)) => {
                if !tag.attributes().all(|attribute| attribute.is_ok()) {
                    return false;
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn every_encoding_is_gated_and_its_name_is_sent() {
    let utf16le: Vec<u8> = html().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16be: Vec<u8> = html().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let encoded = |encoding: &'static encoding_rs::Encoding| encoding.encode(&html()).0.into_owned();
    let meta = |label: &str| html().replace("<title>", &format!("<meta charset={label}><title>"));
    let (_upstream, gate) = serving(vec![
        ("/utf-16", "content-type: text/html; charset=utf-16\r\n", utf16le.clone()),
        ("/mark-le", "content-type: text/html; charset=gbk\r\n", [b"\xff\xfe", &utf16le[..]].concat()),
        ("/mark-be", "content-type: text/html\r\n", [b"\xfe\xff", &utf16be[..]].concat()),
        ("/jis", "content-type: text/html; charset=ISO-2022-JP\r\n", encoded(encoding_rs::ISO_2022_JP)),
        ("/jis-meta", "content-type: text/html\r\n", encoding_rs::ISO_2022_JP.encode(&meta("iso-2022-jp")).0.into_owned()),
        ("/sjis", "content-type: text/html; charset=\"shift_jis\"\r\n", encoded(encoding_rs::SHIFT_JIS)),
        ("/mark-8", "content-type: text/html; charset=gbk\r\n", [b"\xef\xbb\xbf", html().as_bytes()].concat()),
        ("/meta-16", "content-type: text/html\r\n", meta("utf-16").into_bytes()),
        ("/meta-user", "content-type: text/html\r\n", meta("x-user-defined").into_bytes()),
        ("/replaced", "content-type: text/html; charset=iso-2022-kr\r\n", html().into_bytes()),
    ])
    .await;
    for (path, charset) in [
        ("/utf-16", "utf-8"),
        ("/mark-le", "utf-8"),
        ("/mark-be", "utf-8"),
        ("/jis", "utf-8"),
        ("/jis-meta", "utf-8"),
        ("/sjis", "shift_jis"),
        ("/mark-8", "utf-8"),
        ("/meta-16", "utf-8"),
        ("/meta-user", "windows-1252"),
    ] {
        let answer = gate.get(path, &DOCUMENT).await;
        assert!(is_held(&answer), "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(format!("text/html; charset={charset}").as_str()), "{path}");
        assert!(answer.text().contains("accept_all"), "{path}: the notice is in it");
        let marked = answer.body.starts_with(b"\xef\xbb\xbf");
        assert_eq!(marked, path == "/mark-8", "{path}: a mark stays only where bytes do");
        if charset == "utf-8" {
            assert!(answer.text().contains("\u{65e5}\u{672c}"), "{path}");
        }
    }
    let replaced = gate.get("/replaced", &DOCUMENT).await;
    assert_eq!((replaced.status, replaced.text().as_str()), (200, "\u{fffd}"), "what browsers show for it");
}

#[tokio::test]
async fn several_types_become_the_one_that_browsers_take() {
    let body = || html().into_bytes();
    let (_upstream, gate) = serving(vec![
        ("/last", "content-type: text/plain, text/html; charset=utf-8\r\n", body()),
        ("/lines", "content-type: image/png\r\ncontent-type: text/html\r\n", body()),
        ("/carried", "content-type: text/html; charset=gbk\r\ncontent-type: text/html\r\n", body()),
        ("/junk", "content-type: text/html; charset=utf-8, junk\r\n", body()),
        ("/odd", "content-type: text/html foo\r\n", body()),
        ("/other", "content-type: text/html, text/plain;charset=utf-8\r\n", body()),
    ])
    .await;
    for (path, want) in [
        ("/last", "text/html; charset=utf-8"),
        ("/lines", "text/html; charset=windows-1252"),
        ("/carried", "text/html; charset=gbk"),
        ("/junk", "text/html; charset=utf-8"),
        ("/odd", "text/html; charset=windows-1252"),
    ] {
        let answer = gate.get(path, &DOCUMENT).await;
        assert!(is_held(&answer), "{path}: {}", answer.text());
        assert_eq!(answer.all("content-type"), [want], "{path}");
    }
    let text = gate.get("/other", &DOCUMENT).await;
    assert_eq!(text.body, body(), "text is shown, not run");
    assert_eq!(text.all("content-type"), ["text/plain; charset=utf-8"], "and nobody may take it for a page");
}

#[tokio::test]
async fn what_has_no_type_is_taken_for_what_browsers_take_it_for() {
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let (_upstream, gate) = serving(vec![
        ("/html", "", html().into_bytes()),
        ("/xml", "content-type: unknown/unknown\r\n", format!("<?xml version='1.0'?>{}", svg()).into_bytes()),
        ("/coded", "content-encoding: gzip\r\n", gzip(&html())),
        ("/coded-text", "content-encoding: gzip\r\n", gzip("just text <img>")),
        ("/marked", "", [b"\xef\xbb\xbf", html().as_bytes()].concat()),
        ("/plain", "content-type: text/plain\r\n", html().into_bytes()),
        ("/told", "x-content-type-options: nosniff\r\n", html().into_bytes()),
    ])
    .await;
    for (path, want) in [
        ("/html", "text/html; charset=windows-1252"),
        ("/xml", "text/xml; charset=utf-8"),
        ("/coded", "text/html; charset=windows-1252"),
    ] {
        let answer = gate.get(path, &[DOCUMENT[0], DOCUMENT[1], ("accept-encoding", "identity")]).await;
        assert!(is_held(&answer), "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(want), "{path}");
    }
    for path in ["/coded-text", "/marked"] {
        let answer = gate.get(path, &DOCUMENT).await;
        assert_eq!((answer.header("content-type"), answer.header("x-content-type-options")), (None, Some("nosniff")), "{path}");
    }
    assert_eq!(gate.get("/plain", &DOCUMENT).await.body, html().into_bytes());
    assert_eq!(gate.get("/told", &DOCUMENT).await.body, html().into_bytes(), "a browser shows it as text");
}

#[tokio::test]
async fn stacked_codings_come_off_and_unknown_ones_are_refused() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(html().as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let both = zstd::encode_all(&gzip[..], 3).expect("memory");
    let (_upstream, gate) = serving(vec![
        ("/both", "content-type: text/html\r\ncontent-encoding: x-gzip, identity\r\ncontent-encoding: zstd\r\n", both.clone()),
        ("/swapped", "content-type: text/html\r\ncontent-encoding: zstd, gzip\r\n", both),
        ("/unknown", "content-type: text/html\r\ncontent-encoding: gzip, compress\r\n", gzip),
    ])
    .await;
    let answer = gate.get("/both", &[DOCUMENT[0], ("accept-encoding", "identity")]).await;
    assert!(is_held(&answer), "{}", answer.text());
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(gate.get("/swapped", &DOCUMENT).await.status, 502);
    assert_eq!(gate.get("/unknown", &DOCUMENT).await.status, 502);
}

#[tokio::test]
async fn xhtml_is_gated_as_xml_and_asks_in_xml() {
    let utf16: Vec<u8> = xhtml().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (_upstream, gate) = serving(vec![
        ("/page", "content-type: application/xhtml+xml\r\n", xhtml().into_bytes()),
        ("/utf-16", "content-type: application/xhtml+xml\r\n", [b"\xfe\xff", &utf16[..]].concat()),
        ("/entity", "content-type: application/xhtml+xml\r\n", b"<!DOCTYPE r [<!ENTITY x 'y'>]><r>&x;</r>".to_vec()),
        ("/broken", "content-type: application/xhtml+xml\r\n", xhtml().replace("</body>", "").into_bytes()),
    ])
    .await;
    for path in ["/page", "/utf-16"] {
        let answer = gate.get(path, &DOCUMENT).await;
        let text = answer.text();
        assert!(is_held(&answer), "{text}");
        assert_eq!(answer.header("content-type"), Some("application/xhtml+xml; charset=utf-8"));
        assert!(parses(&text), "{text}");
        assert!(text.contains(" type=\"text/plain\"><![CDATA[fbq("), "{text}");
        let (head, body) = (text.find("<link data-consentry").expect("scripts"), text.find("accept_all").expect("a banner"));
        assert!(text.find("<head>") < Some(head) && head < body && Some(body) > text.find("<body>"), "{text}");
    }
    let cookie = gate.accepted().await;
    let after = gate.get("/page", &[DOCUMENT[0], ("cookie", &cookie)]).await.text();
    assert!(parses(&after) && after.contains(&format!("<img src=\"{PIXEL}\" />")) && after.contains("/_consent/"), "{after}");

    let framed = gate.get("/page", &[("sec-fetch-dest", "iframe"), DOCUMENT[1]]).await.text();
    assert!(parses(&framed) && !framed.contains("accept_all") && framed.contains("guard.js"), "no banner in a frame: {framed}");
    assert!(framed.contains("data-gate-"), "{framed}");
    let entity = gate.get("/entity", &DOCUMENT).await;
    assert_eq!(entity.status, 502, "{}", entity.text());
    let broken = gate.get("/broken", &DOCUMENT).await;
    assert!(!broken.whole && broken.text().contains("accept_all"), "shown up to where it breaks: {}", broken.text());
    assert!(!broken.text().contains(" src=\"https://www.facebook"));
}

#[tokio::test]
async fn svg_and_other_xml_are_gated_where_they_are_shown() {
    let style = "<?xml-stylesheet href=\"https://connect.facebook.net/x.xsl\" type=\"text/xsl\"?><r/>";
    let (_upstream, gate) = serving(vec![
        ("/svg", "content-type: image/svg+xml\r\netag: \"a\"\r\n", svg().into_bytes()),
        ("/feed", "content-type: application/rss+xml; charset=utf-8\r\n", style.into()),
    ])
    .await;
    for dest in ["document", "iframe", "object", "embed"] {
        let answer = gate.get("/svg", &[("sec-fetch-dest", dest)]).await;
        assert!(is_held(&answer) && parses(&answer.text()), "{dest}: {}", answer.text());
        assert!(answer.text().contains("-xlink.href=") && !answer.text().contains("accept_all"), "{}", answer.text());
        assert!(answer.text().contains("guard.js"), "a drawing may run scripts: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("image/svg+xml; charset=utf-8"));
    }
    let unsaid = gate.get("/svg", &[]).await;
    assert!(is_held(&unsaid), "{}", unsaid.text());
    let image = gate.get("/svg", &[("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")]).await;
    assert_eq!(
        (image.body, image.headers.iter().any(|(name, value)| name == "etag" && value == "\"a\"")),
        (svg().into_bytes(), true)
    );
    assert!(
        image.headers.iter().any(|(name, value)| name == "vary" && value.contains("Sec-Fetch-Dest")),
        "a cache must not give it away"
    );
    let feed = gate.get("/feed", &DOCUMENT).await.text();
    assert!(feed.starts_with("<?data-gate-") && feed.contains("-xml-stylesheet"), "{feed}");
}

#[tokio::test]
async fn what_cannot_be_gated_at_all_is_refused() {
    let parts = b"--x\r\ncontent-type: text/html\r\n\r\n<img src=\"https://www.facebook.com/tr?id=1\">\r\n--x--".to_vec();
    let (_upstream, gate) = serving(vec![
        ("/parts", "content-type: multipart/x-mixed-replace; boundary=x\r\n", parts.clone()),
        ("/signed", "content-type: application/signed-exchange;v=b3\r\n", b"sxg1-b3\0".to_vec()),
    ])
    .await;
    assert_eq!(gate.get("/parts", &DOCUMENT).await.status, 502);
    assert_eq!(gate.get("/signed", &DOCUMENT).await.status, 502);
    let image = gate.get("/parts", &[("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")]).await;
    assert_eq!(image.body, parts, "a camera in an <img> goes on");
}

#[tokio::test]
async fn a_page_without_vendors_keeps_every_byte_in_xml() {
    let text = "<?xml version='1.0' encoding=\"UTF-8\"?>\r\n<!-- a -->\n<feed xmlns='http://www.w3.org/2005/Atom' >\u{fc} &amp; \
                <![CDATA[ <b> ]]><link rel='icon' href='https://www.facebook.com/tr?id=1'/></feed >\n";
    let upstream =
        Upstream::start(move |_| respond("200 OK", &[("content-type", "application/atom+xml")], text.as_bytes())).await;
    let gate = Gate::start(&upstream).await;
    assert_eq!(gate.get("/", &DOCUMENT).await.text(), text);
}
