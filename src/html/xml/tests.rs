//! The XML gate at its door: markup in, markup out.

use super::*;
use crate::{
    html::{
        TagReport,
        tests::{NONCE, page, undo},
    },
    vocab::Verdict,
};

const XHTML: &str = "xmlns=\"http://www.w3.org/1999/xhtml\"";
const SVG: &str = "xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"";
const XSL: &str = "xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"";

/// Gates at several chunk sizes, which must agree to the byte even where it ends in an error.
fn gate_with(page: &Arc<Page>, limits: &Limits, xml: &str) -> (String, PageReport, Result<(), GateError>) {
    let mut results = [1, 2, 7, 1024, usize::MAX].map(|size| {
        let mut gate = XmlGate::new(Arc::clone(page), limits.clone());
        gate.window.applied = Some(Vec::new());
        let mut out = Vec::new();
        let result = xml.as_bytes().chunks(size).try_for_each(|chunk| gate.write(chunk, &mut out));
        let result = result.and_then(|()| gate.end(&mut out));
        if result.is_ok() {
            let applied = gate.window.applied.take().unwrap_or_default();
            assert_eq!(undo(xml.as_bytes(), &applied, page, &out), xml.as_bytes(), "the inverse in chunks of {size}");
            assert!(parses(&out), "still XML: {}", String::from_utf8_lossy(&out));
        }
        (String::from_utf8(out).expect("text in, text out"), gate.report().clone(), result)
    });
    for (out, _, result) in &results {
        assert_eq!(*out, results[0].0, "the output depends on the chunks: {xml}");
        assert_eq!(result.as_ref().err().map(ToString::to_string), results[0].2.as_ref().err().map(ToString::to_string));
    }
    std::mem::replace(&mut results[4], (String::new(), PageReport::default(), Ok(())))
}

/// Whether names pair up and every prefix of an attribute is bound.
pub(super) fn parses(xml: &[u8]) -> bool {
    use quick_xml::{NsReader, events::Event, name::ResolveResult};
    let Ok(text) = str::from_utf8(xml) else { return false };
    let mut reader = NsReader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return true,
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                let good = tag.attributes().all(|attribute| {
                    attribute.is_ok_and(|attribute| {
                        let space = reader.resolver().resolve_attribute(attribute.key).0;
                        !matches!(space, ResolveResult::Unknown(_)) || attribute.key.into_inner().starts_with("xmlns")
                    })
                });
                if !good {
                    return false;
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn gate(xml: &str) -> (String, Vec<TagReport>) {
    let (out, report, result) = gate_with(&page(|_| {}), &Limits::default(), xml);
    result.unwrap_or_else(|fault| panic!("{xml}: {fault}"));
    (out, report.tags)
}

/// `want` uses `~` for what stands before a renamed attribute and `~~=V` for a marker with value V.
fn check(xml: &str, want: &str) {
    let want = want.replace("~~=", &format!("data-gate-{NONCE}=")).replace('~', &format!("data-gate-{NONCE}-"));
    assert_eq!(gate(xml).0, want);
}

fn untouched(xml: &str) {
    assert_eq!(gate(xml).0, xml);
}

fn fault(xml: &str) -> (String, String) {
    let (out, _, result) = gate_with(&page(|_| {}), &Limits::default(), xml);
    (out, result.expect_err(xml).to_string())
}

#[test]
fn elements_are_known_by_their_namespace_whatever_their_prefix() {
    check(
        &format!("<html {XHTML}><img src='https://acme.example/p'/></html>"),
        &format!("<html {XHTML}><img ~~=\"acme:marketing\" ~src='https://acme.example/p'/></html>"),
    );
    check(
        "<feed><h:script xmlns:h='http://www.w3.org/1999/xhtml' type='module' src='//acme.example/a.js'></h:script></feed>",
        "<feed><h:script ~~=\"acme:marketing\" type=\"text/plain\" xmlns:h='http://www.w3.org/1999/xhtml' ~type='module' \
         ~src='//acme.example/a.js'></h:script></feed>",
    );
    check(
        "<r><a xmlns='http://www.w3.org/1999/xht&#109;l'><iframe src='//acme.example'></iframe></a><iframe src='//acme.example'/></r>",
        "<r><a xmlns='http://www.w3.org/1999/xht&#109;l'><iframe ~~=\"acme:marketing\" ~src='//acme.example'></iframe></a>\
         <iframe src='//acme.example'/></r>",
    );
    // Bound again, and bound no more.
    let page = "<p:r xmlns:p='http://www.w3.org/1999/xhtml'><p:b xmlns:p='urn:x'><p:img src='//acme.example'/></p:b></p:r>";
    untouched(page);
    untouched("<rss><image><url>//acme.example</url></image><img src='//acme.example'/></rss>");
    untouched(&format!("<html {XHTML}><IMG src='//acme.example'/><img SRC='//acme.example'/></html>"));
    untouched(&format!("<html {XHTML} xmlns:h='http://www.w3.org/1999/xhtml'><img h:src='//acme.example'/></html>"));
    untouched(&format!("<html {XHTML}><a href='//acme.example'>a link</a></html>"));
}

#[test]
fn svg_holds_its_addresses_and_stays_well_formed() {
    check(
        &format!("<svg {SVG}><image xlink:href='https://acme.example/p'/><feImage href='//acme.example'/></svg>"),
        &format!(
            "<svg {SVG}><image ~~=\"acme:marketing\" ~xlink.href='https://acme.example/p'/>\
             <feImage ~~=\"acme:marketing\" ~href='//acme.example'/></svg>"
        ),
    );
    check(
        "<s:svg xmlns:s='http://www.w3.org/2000/svg' xmlns:x='http://www.w3.org/1999/xlink'>\
         <s:script x:href='//acme.example'/><s:script>acme&#40;'init'</s:script></s:svg>",
        "<s:svg xmlns:s='http://www.w3.org/2000/svg' xmlns:x='http://www.w3.org/1999/xlink'>\
         <s:script ~~=\"acme:marketing\" type=\"text/plain\" ~xlink.href='//acme.example'/>\
         <s:script ~~=\"acme:marketing\" type=\"text/plain\">acme&#40;'init'</s:script></s:svg>",
    );
    // Two of one name, and nobody can tell which counts.
    let twice = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:x='http://www.w3.org/1999/xlink' \
                 xmlns:y='http://www.w3.org/1999/xlink'><image x:href='/own' y:href='//acme.example'/></svg>";
    assert!(fault(twice).1.contains("twice"));
}

#[test]
fn an_inline_script_is_its_own_text_without_comments() {
    for text in [
        "acme('init')",
        "<![CDATA[acme('init')]]>",
        "acme<!-- x -->('in<![CDATA[it')]]>",
        "ac<?pi x?>me&#x28;'init')",
        "ac<b>x</b>me('init')",
        "if (1 &lt; 2) acme(&quot;init&quot;)",
    ] {
        check(
            &format!("<html {XHTML}><script type='module' id='x'>{text}</script></html>"),
            &format!(
                "<html {XHTML}><script ~~=\"acme:marketing\" type=\"text/plain\" ~type='module' id='x'>{text}</script></html>"
            ),
        );
    }
    untouched(&format!("<html {XHTML}><script type='application/json'>acme('init')</script></html>"));
    untouched(&format!("<html {XHTML}><script>/* acme */ init()<p>acme('init')</p></script><p>acme('init')</p></html>"));
    // `language` is HTML's: in SVG the script runs.
    untouched(&format!("<html {XHTML}><script language='vbscript'>acme('init')</script></html>"));
    let (out, _) = gate(&format!("<svg {SVG}><script language='vbscript'>acme('init')</script></svg>"));
    assert!(out.contains("text/plain"), "{out}");
}

#[test]
fn a_script_too_long_to_hold_is_decided_by_its_beginning_or_ends_with_a_syntax_error() {
    let limits = Limits { hold_bytes_max: 64, ..Limits::default() };
    for (text, held, poisoned) in [
        (format!("acme('init'){}", " ".repeat(100)), true, false),
        (format!("{}acme('init')", "x();".repeat(40)), false, true),
        (format!("<![CDATA[{}acme('init')]]>", "x();".repeat(40)), false, true),
        (format!("<!--{}-->acme('init')", "x();".repeat(40)), false, true),
        (format!("{}acme<!-- -->('init')", "x();".repeat(13)), false, true),
        ("x();".repeat(40), false, false),
    ] {
        let xml = format!("<html {XHTML}><script>{text}</script></html>");
        let (out, report, result) = gate_with(&page(|_| {}), &limits, &xml);
        result.unwrap_or_else(|fault| panic!("{xml}: {fault}"));
        assert_eq!(out.contains("type=\"text/plain\""), held, "{out}");
        assert_eq!(out.contains("\n}])@#\n</script>"), poisoned, "{out}");
        assert_eq!(report.poisoned, usize::from(poisoned));
    }
}

#[test]
fn addresses_are_decoded_and_relative_to_either_base() {
    for address in ["&#x68;ttps://acme.example/", "//acme&#46;example", "https&colon;//acme.example", " \n//ACME.example./x "] {
        let (out, tags) = gate(&format!("<html {XHTML}><img src=\"{address}\"/></html>"));
        assert!(tags.len() == 1 && out.contains(&format!("data-gate-{NONCE}-src")), "{address}: {out}");
    }
    for xml in [
        format!("<html {XHTML}><base href='https://acme.example/'/><img src='p.gif'/></html>"),
        format!("<html {XHTML} xml:base='https://acme.example/x/'><p xml:base='y/'/><img src='p.gif'/></html>"),
        format!("<svg {SVG}><g xml:base='//acme.example'><image href='p'/></g></svg>"),
    ] {
        assert_eq!(gate(&xml).1.len(), 1, "{xml}");
    }
    untouched(&format!(
        "<svg {SVG}><g xml:base='//acme.example'/><image href='p'/><base href='//acme.example'/><image href='p'/></svg>"
    ));
    // A document in an attribute, read as HTML.
    let (out, _) = gate(&format!("<html {XHTML}><iframe srcdoc='&lt;img src=//acme.example>'/></html>"));
    assert!(out.contains(&format!("data-gate-{NONCE}-srcdoc")), "{out}");
}

#[test]
fn noscript_is_markup_and_hints_lose_their_address_only() {
    check(
        &format!(
            "<html {XHTML}><noscript><img src='//acme.example'/></noscript><link rel='preconnect' href='//acme.example'></link></html>"
        ),
        &format!(
            "<html {XHTML}><noscript><img ~~=\"acme:marketing\" ~src='//acme.example'/></noscript>\
             <link ~~=\"acme:marketing\" rel='preconnect' ~href='//acme.example'></link></html>"
        ),
    );
}

#[test]
fn what_stands_before_the_root_is_read() {
    check(
        "\u{feff}<?xml version='1.0'?><?xml-stylesheet type='text/css' href='https://acme.example/a.css'?><r/>",
        "\u{feff}<?xml version='1.0'?><?~xml-stylesheet type='text/css' href='https://acme.example/a.css'?><r/>",
    );
    untouched("<?xml-stylesheet href='/own.css'?><?xml-model href='//acme.example'?><r/>");
    untouched("<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"//acme.example/x.dtd\"><r>&nbsp;</r>");
    let (out, why) = fault("<!DOCTYPE r [<!ENTITY x \"<img src='//acme.example'/>\">]><r>&x;</r>");
    assert!(out.is_empty() && why.contains("declares entities"), "{why}");
}

#[test]
fn where_a_browser_stops_the_gate_stops() {
    for (xml, want) in [
        ("<r><a></b></r>", "<r><a>"),
        ("<r>text", "<r>text"),
        ("<r/><s/>", "<r/>"),
        ("<r/>text", "<r/>"),
        ("x<r/>", ""),
        ("<r a=1/>", ""),
        ("<r a='1'b='2'/>", ""),
        ("<r><x a='<'/></r>", "<r>"),
        ("<r a='1' a='2'/>", ""),
        ("<r><!-- never over", "<r><!-- never ov"),
        ("<r><a href='", "<r>"),
        ("<r><![CDATA[x]]</r>", "<r><![CDATA[x]]</"),
        ("<![CDATA[x]]><r/>", "<![CDATA["),
        ("<r><", "<r>"),
        ("<r>< p></r>", "<r>"),
        ("<r><!x></r>", "<r>"),
        ("<r><a'></r>", "<r>"),
        ("<r/><!DOCTYPE r>", "<r/>"),
        ("<!-- alone -->", "<!-- alone -->"),
    ] {
        let (out, why) = fault(xml);
        assert!(why.contains("not well-formed"), "{xml}: {why}");
        assert_eq!(out, want, "{xml}");
    }
    // What is held is not shown.
    let (out, _) = fault(&format!("<html {XHTML}><p/><script>acme('init'</html>"));
    assert_eq!(out, format!("<html {XHTML}><p/>"));
    untouched("");
    untouched("<r>a ]]\u{3e} b</r>");
}

#[test]
fn a_style_sheet_in_xslt_is_gated_by_its_literal_elements() {
    let sheet = |inner: &str| {
        format!(
            "<xsl:stylesheet version='1.0' {XSL}><xsl:output method='html'/><xsl:template match='/'>{inner}</xsl:template></xsl:stylesheet>"
        )
    };
    let harmless = "<html><head><title><xsl:value-of select='x'/></title></head><body><xsl:for-each select='url'>\
                    <a href='{loc}'><xsl:attribute name='href'><xsl:value-of select='loc'/></xsl:attribute>\
                    <xsl:value-of select='loc'/></a></xsl:for-each></body></html>";
    untouched(&sheet(harmless));
    let (out, _) = gate(&sheet("<SCRIPT SRC='//acme.example/a.js'/><img src='/own.png'/><script>acme('init')</script>"));
    assert_eq!(out.matches("text/plain").count(), 2, "{out}");
    let (out, _) = gate(&sheet("<img src='{pixel}'/>"));
    assert!(out.contains(&format!("data-gate-{NONCE}=\"\"")), "computed, so never: {out}");
    for inner in [
        "<xsl:element name='script'/>",
        "<xsl:element name='{x}'/>",
        "<img><xsl:attribute name='src'>//acme.example</xsl:attribute></img>",
        "<img><xsl:attribute name='{x}'>//acme.example</xsl:attribute></img>",
        "<xsl:copy-of select='.'/>",
        "<xsl:value-of select='x' disable-output-escaping='yes'/>",
        "<script><xsl:value-of select='x'/></script>",
        "<xsl:namespace-alias stylesheet-prefix='a' result-prefix='b'/>",
    ] {
        let (_, why) = fault(&sheet(inner));
        assert!(why.contains("style sheet uses"), "{inner}: {why}");
    }
    let literal = format!("<html xsl:version='1.0' {XSL}><img src='//acme.example'/></html>");
    assert_eq!(gate(&literal).1.len(), 1, "a sheet that is its own template");
}

#[test]
fn markup_of_the_gate_goes_into_xhtml_and_nowhere_else() {
    let page = page(|page| {
        page.head = "<link data-x rel=stylesheet href='/s'>".to_owned();
        page.body = "<p>Ask &nbsp;<br></p>".to_owned();
    });
    let (head, body) = ("<link data-x=\"\" rel=\"stylesheet\" href=\"/s\"/>", "<p>Ask &#160;<br/></p>");
    let ns = " xmlns=\"http://www.w3.org/1999/xhtml\"";
    let named = |markup: &str| markup.replacen("<link", &format!("<link{ns}"), 1).replacen("<p>", &format!("<p{ns}>"), 1);
    for (xml, want) in [
        (
            format!("<html {XHTML}><head><title/></head><body class='a'>x</body></html>"),
            format!("<html {XHTML}><head>{head}<title/></head><body class='a'>{body}x</body></html>"),
        ),
        (format!("<html {XHTML}><head/><body/></html>"), format!("<html {XHTML}><head/>{}<body/></html>", named(head))),
        (format!("<html {XHTML}><body>x</body></html>"), format!("<html {XHTML}>{}<body>{body}x</body></html>", named(head))),
        (
            "<h:html xmlns:h='http://www.w3.org/1999/xhtml'><h:head></h:head><h:body></h:body></h:html>".to_owned(),
            format!(
                "<h:html xmlns:h='http://www.w3.org/1999/xhtml'><h:head>{}</h:head><h:body>{}</h:body></h:html>",
                named(head),
                named(body)
            ),
        ),
    ] {
        let (out, _, result) = gate_with(&page, &Limits::default(), &xml);
        result.unwrap_or_else(|fault| panic!("{xml}: {fault}"));
        assert_eq!(out, want);
    }
    let (out, _, _) = gate_with(&page, &Limits::default(), &format!("<svg {SVG}><g/></svg>"));
    assert_eq!(out, format!("<svg {SVG}>{}<g/></svg>", named(head)));
    for xml in [format!("<svg {SVG}/>"), "<html><head/><body/></html>".to_owned()] {
        let (out, _, _) = gate_with(&page, &Limits::default(), &xml);
        assert_eq!(out, xml);
    }
}

#[test]
fn limits_close() {
    let deep = "<a>".repeat(5_001);
    let mut gate = XmlGate::new(page(|_| {}), Limits::default());
    assert!(matches!(gate.write(deep.as_bytes(), &mut Vec::new()), Err(GateError::Xml(XmlError::Deep { .. }))));
    assert!(matches!(gate.write(b"x", &mut Vec::new()), Err(GateError::Closed)));
    let limits = Limits { memory_bytes_max: 100, ..Limits::default() };
    let (_, _, result) = gate_with(&page(|_| {}), &limits, &format!("<r><x a='{}'/></r>", "a".repeat(200)));
    assert!(matches!(result, Err(GateError::Xml(XmlError::Piece { at: 3, max: 100 }))), "{result:?}");
    let limits = Limits { patches_max: 2, ..Limits::default() };
    let (_, _, result) =
        gate_with(&page(|_| {}), &limits, &format!("<html {XHTML}>{}</html>", "<img src='//acme.example'/>".repeat(3)));
    assert!(matches!(result, Err(GateError::Patches { .. })));
}

#[test]
fn observing_changes_nothing_and_reports_all() {
    let observing = page(|page| page.observe = true);
    let xml = format!("<html {XHTML}><img src='//acme.example'/><script>acme('init')</script></wrong>");
    let (out, report, result) = gate_with(&observing, &Limits::default(), &xml.replace("</wrong>", "</html>"));
    assert!(result.is_ok() && !out.contains("data-gate"), "{out}");
    assert_eq!(report.tags.iter().filter(|tag| tag.verdict == Verdict::Hold).count(), 2);
    let mut gate = XmlGate::new(observing, Limits::default());
    let mut out = Vec::new();
    assert!(gate.write(xml.as_bytes(), &mut out).is_ok() && gate.end(&mut out).is_ok());
    assert_eq!(out, xml.as_bytes());
    assert!(gate.report().unread.as_ref().is_some_and(|why| why.contains("not well-formed")));
}
