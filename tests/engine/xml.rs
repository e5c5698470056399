//! Properties of the gate for XML, on generated documents, with roxmltree as the browser: identity,
//! chunks, inverse, closure and completeness as for HTML, and that what was XML still is.

use proptest::{collection::vec, prelude::*, sample::select};
use roxmltree::{Document, Node, ParsingOptions};
use url::Url;

use crate::world::{CHUNKS, Grant, HOSTS, SIGNATURE, gate_xml, unmark};

const XHTML: &str = "http://www.w3.org/1999/xhtml";
const SVG: &str = "http://www.w3.org/2000/svg";
const XLINK: &str = "http://www.w3.org/1999/xlink";

/// What a browser would load, written apart from the engine.
fn live(text: &str) -> Option<Vec<String>> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let page = Url::parse("https://shop.example/a/b").expect("a constant");
    let (mut base, mut settled) = (page.clone(), false);
    let mut found = Vec::new();
    // In the order in which a parser builds it.
    for node in document.descendants() {
        if node.has_tag_name((XHTML, "base"))
            && !settled
            && let Some(href) = plain(node, "href")
        {
            (base, settled) = (page.join(href).unwrap_or(base), true);
        }
        found.extend(live_at(node, &base));
    }
    Some(found)
}

fn live_at(node: Node<'_, '_>, base: &Url) -> Option<String> {
    let (space, name) = (node.tag_name().namespace()?, node.tag_name().name());
    let address = match (space, name) {
        (XHTML, "script" | "img" | "iframe" | "video" | "embed" | "audio" | "source") => plain(node, "src"),
        (XHTML, "object") => plain(node, "data"),
        (XHTML, "link") if plain(node, "rel") == Some("stylesheet") => plain(node, "href"),
        (SVG, "image" | "feImage" | "script") => plain(node, "href").or_else(|| node.attribute((XLINK, "href"))),
        _ => None,
    };
    let is_script = name == "script" && matches!(space, XHTML | SVG);
    let inert = is_script && !matches!(plain(node, "type"), None | Some("" | "module" | "text/javascript"));
    if inert {
        return None;
    }
    if let Some(address) = address {
        let url = base.join(address).ok()?;
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        return HOSTS.iter().any(|gated| host == *gated || host.ends_with(&format!(".{gated}"))).then(|| format!("{name} {url}"));
    }
    let text: String = node.children().filter(Node::is_text).filter_map(|text| text.text()).collect();
    (is_script && text.contains(SIGNATURE) && !text.ends_with("\n}])@#\n")).then(|| format!("{name} {text}"))
}

/// An attribute without a namespace; roxmltree's own look-up by name takes any.
fn plain<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.namespace().is_none() && attribute.name() == name).map(|found| found.value())
}

const ADDRESSES: [&str; 10] = [
    "https://acme.example/a.js",
    "//stat.example/p",
    "HTTPS://sub.ACME.example:443/x",
    "https&#58;//acme.example/?a=1&amp;b=2",
    "&#x68;ttps://acme.example",
    " //user@acme.example./ ",
    "/own.js",
    "x.png",
    "https://notacme.example/",
    "",
];

const TAGS: [&str; 26] = [
    "img",
    "script",
    "iframe",
    "object",
    "link",
    "h:img",
    "h:script",
    "h:base",
    "s:image",
    "s:feImage",
    "s:script",
    "s:feimage",
    "o:img",
    "o:script",
    "p",
    "s:g",
    "base",
    "IMG",
    "video",
    "noscript",
    "title",
    "style",
    "a",
    "s:a",
    "x:image",
    "nobody:img",
];

const NAMES: [&str; 13] =
    ["src", "href", "x:href", "l:href", "data", "rel", "type", "h:src", "o:href", "poster", "SRC", "xml:space", "class"];

const PIECES: [&str; 12] = [
    "text &amp; more",
    "<!-- <img src='//acme.example'/> -->",
    "<![CDATA[<img src='//acme.example'/>]]>",
    "<?pi <img src='//acme.example'/>?>",
    "<script>acme('init')</script>",
    "<s:script><![CDATA[acme('init')]]></s:script>",
    "<script type='text/javascript'>ac<!-- x -->me&#40;'init')</script>",
    "<script type='application/json'>acme('init')</script>",
    "<h:script>ac<b/>me('in<![CDATA[it']]>)</h:script>",
    "<p xmlns='urn:other'><script src='//acme.example'/><h:script src='//acme.example'/></p>",
    "<o:x xmlns:o='http://www.w3.org/1999/xhtml'><o:img src='//acme.example'/></o:x>",
    "<x:y xmlns:x='http://www.w3.org/2000/svg'><x:image x:href='//acme.example' href='//acme.example'/></x:y>",
];

fn element(tag: &str, attributes: &[(&str, &str)], inner: &str, empty: bool) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut text = format!("<{tag}");
    for (name, value) in attributes {
        // Two prefixes of one namespace.
        let same = seen.contains(name) || name.ends_with(":href") && seen.iter().any(|seen| seen.ends_with(":href"));
        if !same {
            seen.push(name);
            text.push_str(&format!(" {name} = \"{value}\""));
        }
    }
    if empty { text + "/>" } else { format!("{text} >{inner}</{tag} >") }
}

/// Well-formed documents with tags of vendors under every prefix.
fn documents() -> impl Strategy<Value = String> {
    let value = prop_oneof![4 => select(&ADDRESSES[..]), 1 => select(&["stylesheet", "module", "text/plain", "a>b"][..])];
    let attributes = vec((select(&NAMES[..]), value), 0..4);
    let leaf = prop_oneof![
        1 => select(&PIECES[..]).prop_map(str::to_owned),
        2 => (select(&TAGS[..]), attributes.clone(), any::<bool>()).prop_map(|(tag, named, empty)| element(tag, &named, "", empty)),
    ];
    let node = leaf.prop_recursive(4, 30, 4, move |inner| {
        (select(&TAGS[..]), attributes.clone(), vec(inner, 0..4))
            .prop_map(|(tag, named, nodes)| element(tag, &named, &nodes.concat(), false))
    });
    let prolog = select(&["", "\u{feff}", "<?xml version='1.0'?>\n", "<!DOCTYPE html [ <!ELEMENT r ANY> ]>", "<!-- x -->"][..]);
    (prolog, vec(node, 0..6)).prop_map(|(prolog, nodes)| {
        format!(
            "{prolog}<html xmlns='{XHTML}' xmlns:h='{XHTML}' xmlns:s='{SVG}' xmlns:x='{XLINK}' xmlns:l=\"{XLINK}\" xmlns:o='urn:o'>{}</html>",
            nodes.concat()
        )
    })
}

/// Anything after anything, most of it no XML.
fn wild() -> impl Strategy<Value = String> {
    let bits = [
        "<",
        ">",
        "/>",
        "</",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?x",
        "?>",
        "<!DOCTYPE r [",
        "]>",
        "'",
        "\"",
        "=",
        " ",
        "<script>",
        "</script>",
        "<p>",
        "</p>",
        "<s:image x:href='//acme.example'/>",
        "<img src='//acme.example'/>",
        "acme('init')",
        "&#",
        ";",
        "src",
        "\u{fc}",
        "<!ENTITY x 'y'>",
    ];
    let piece = prop_oneof![3 => select(bits.to_vec()).prop_map(str::to_owned), 1 => select(&PIECES[..]).prop_map(str::to_owned)];
    vec(piece, 0..16).prop_map(|pieces| {
        format!(
            "<html xmlns='{XHTML}' xmlns:h='{XHTML}' xmlns:s='{SVG}' xmlns:x='{XLINK}' xmlns:o='urn:o'>{}</html>",
            pieces.concat()
        )
    })
}

fn check(text: &str) {
    let (out, result) = gate_xml(text.as_bytes(), Grant::Nothing, usize::MAX);
    for size in CHUNKS {
        let (pieces, other) = gate_xml(text.as_bytes(), Grant::Nothing, size);
        assert!(out == pieces, "chunks of {size}\n{text}\n{}", String::from_utf8_lossy(&pieces));
        assert_eq!(result.as_ref().err().map(ToString::to_string), other.as_ref().err().map(ToString::to_string));
    }
    let out = String::from_utf8(out).expect("text in, text out");
    let before = live(text);
    match &result {
        Ok(report) => {
            let undone = String::from_utf8(unmark(out.as_bytes())).expect("text in, text out");
            // The one name that is written anew.
            let plain = |text: &str| text.replace("x:href", "xlink.href").replace("l:href", "xlink.href");
            assert_eq!(plain(&undone), plain(text), "inverse");
            if let Some(before) = &before {
                let after = live(&out).unwrap_or_else(|| panic!("no longer XML:\n{text}\n{out}"));
                assert!(after.is_empty(), "live: {after:?}\n{text}\n{out}");
                assert!(before.len() <= report.tags.len() + report.more, "{before:?} not all reported\n{text}");
            }
        }
        // What a strict parser reads is never cut for its form.
        Err(fault) => assert!(before.is_none(), "{fault}\n{text}"),
    }
    if let (unknown, Ok(_)) = gate_xml(text.as_bytes(), Grant::NothingKnown, 7) {
        assert!(unknown == text.as_bytes(), "identity\n{text}\n{}", String::from_utf8_lossy(&unknown));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_xml_keeps_every_property(text in documents()) {
        check(&text);
    }

    #[test]
    fn wild_xml_keeps_every_property(text in wild()) {
        check(&text);
    }
}

#[test]
fn the_browser_of_these_tests_sees_live_tags() {
    let page = |inner: &str| format!("<html xmlns='{XHTML}' xmlns:s='{SVG}' xmlns:x='{XLINK}'>{inner}</html>");
    for inner in [
        "<img src='//acme.example'/>",
        "<s:image x:href='//acme.example'/>",
        "<script>ac<!-- -->me('init')</script>",
        "<base href='//acme.example'/><img src='x'/>",
    ] {
        assert_eq!(live(&page(inner)).map(|live| live.len()), Some(1), "{inner}");
    }
    assert_eq!(live(&page("<img xmlns='' src='//acme.example'/>")), Some(vec![]));
    assert_eq!(live("<r>"), None);
}
