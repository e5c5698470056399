//! CSS in pages and on its own.

use super::*;

/// `~V:` in `want` is the scheme that holds an address, with the needs V.
fn check_css(html: &str, want: &str) {
    let want = want.replace("~~=", &format!("data-gate-{NONCE}=")).replace("§", &format!("data-gate-{NONCE}-"));
    assert_eq!(gate(html), want.replace('~', &format!("gate-{NONCE}.")));
}

#[test]
fn addresses_in_styles_are_held_in_place() {
    for css in [
        "a{background:url(HERE//acme.example/x)}",
        "a{background:url( HERE//acme.example/x )}",
        "a{background:url(\"HERE//acme.example/x\")}",
        "@import 'HEREhttps://acme.example/x.css' screen;",
        "@import url(HEREhttps://acme.example/x.css);",
        "a{background:image-set('HERE//acme.example/x' 1x)}",
        r"a{background:\75 rl(HERE\2f/acme\.example/x)}",
        "@font-face{src:url(x.woff),url(HERE//acme.example/x.woff)}",
        "a{--x:'HERE//acme.example/x'}",
        "@import 'HEREdata:text/css,@import%20%22//acme.example%22';",
        "a{background:url(HERE//acme.example/x",
    ] {
        let html = format!("<style>{css}</style><p>");
        check_css(&html.replace("HERE", ""), &html.replace("HERE", "~acme.marketing:"));
    }
    check_css("<style>a{b:url(//other.example/)}</style>", "<style>a{b:url(~://other.example/)}</style>");
    for css in [
        "a[href^='https://acme.example']{content:'https://acme.example'}",
        "/* url(//acme.example) */",
        "a{b:url(data:image/gif;base64,AAAA)} @namespace url(//shop.example);",
        "a{--x:'acme.example'}",
        "a{b:url(/x) url(x) url(//notacme.example)}",
        "a{b:url(//acme.example'x)}",
    ] {
        untouched(&format!("<style>{css}</style><style type=text/less>@import '//acme.example'</style>"));
    }
}

#[test]
fn an_address_too_long_to_be_read_is_closed() {
    let long = "x".repeat(20_000);
    check_css(&format!("<style>a{{b:url({long})}}</style>"), &format!("<style>a{{b:url(~:{long})}}</style>"));
    untouched(&format!("<style>a{{b:url(data:{long})}}</style>"));
}

#[test]
fn a_style_streams() {
    let mut gate = Gate::new(page(|_| {}), Limits::default());
    let mut out = Vec::new();
    let begun = format!("<style>{}a{{b:url(//ac", "p{color:red}".repeat(1000));
    gate.write(begun.as_bytes(), &mut out).expect("it can be read");
    assert_eq!(out.len(), begun.len() - "//ac".len(), "only the address is held back");
    gate.write(b"me.example/x)", &mut out).and_then(|()| gate.end(&mut out)).expect("it can be read");
    assert!(out.ends_with(format!("url(gate-{NONCE}.acme.marketing://acme.example/x)").as_bytes()));
    assert_eq!(gate.report().tags[0].offset, begun.find("//ac").expect("it is there"));
    assert_eq!(gate.report().tags[0].address.as_deref(), Some("https://acme.example/x"));
}

#[test]
fn styles_in_foreign_content_noscript_and_shadow_trees_are_read() {
    check_css(
        "<svg><style>a{b:url(//acme.example)}</style></svg>",
        "<svg><style>a{b:url(~acme.marketing://acme.example)}</style></svg>",
    );
    for text in [
        "a{b:url&#40;//acme.example)}",
        "<![CDATA[a{b:url(//acme.example)}]]>",
        "a{b:ur<!-- -->l(//acme.example)}",
        "a{b:url(//acme&period;example)}",
        "a{b:url(</bgsound>//acme.example)}",
        "a{b:url(<?x?><g></g>//acme.example)}",
    ] {
        check_css(
            &format!("<svg><style type=text/css>{text}</style></svg><p>"),
            &format!("<svg><style ~~=\"acme:marketing\" type=\"text/plain\" §type=text/css>{text}</style></svg><p>"),
        );
    }
    check_css("<svg><style>a<g>b</g></style></svg>", "<svg><style ~~=\"\" type=\"text/plain\">a<g>b</g></style></svg>");
    untouched("<svg><style>a<g></g></style></svg>");
    untouched("<svg><style>/* a > b &amp; c */</style></svg>");
    check_css(
        "<noscript><style>a{b:url(//acme.example)}</style></noscript>",
        "<noscript><style>a{b:url(~acme.marketing://acme.example)}</style></noscript>",
    );
    check_css(
        "<x-y><template shadowrootmode=open><style>@import '//acme.example'</style><img src=//stat.example></template></x-y>",
        "<x-y><template shadowrootmode=open><style>@import '~acme.marketing://acme.example'</style><img \
         ~~=\"stat:analytics\" §src=//stat.example></template></x-y>",
    );
}

#[test]
fn attributes_of_css_are_held_in_place() {
    for (before, after) in [
        ("<p class=x style='background: url(", ")'>"),
        ("<p style=background:url(", ")>"),
        ("<p STYLE=\"background:url(&quot;", "&quot;)\">"),
        ("<p style=\"background:url&lpar;'", "')\">"),
        ("<p style='background:image-set(\"", "\" 1x)'>"),
        ("<noscript style='background:url(", ")'>x</noscript>"),
        ("<meta style='background:url(", ")' http-equiv=content-security-policy>"),
        ("<base style='background:url(", ")'>"),
        ("<svg><g fill='url(", "#a)'/></svg>"),
        ("<svg filter='url(", "#a)'></svg>"),
        ("<svg><path marker-end=\"url(&#39;", "#a&#39;)\"/></svg>"),
    ] {
        let address = "//acme.example/x?a=1&amp;b=2";
        check_css(&format!("{before}{address}{after}x"), &format!("{before}~acme.marketing:{address}{after}x"));
    }
    untouched("<p style='color:red' title='url(//acme.example)'><p style='background:url(/x)'>");
    // The place of the address in the raw value cannot be told.
    let html = b"<p style='--\xe9:url(&#47;/acme.example)'>";
    let mut gate = Gate::with_encoding(page(|_| {}), Limits::default(), encoding_rs::WINDOWS_1252);
    let mut out = Vec::new();
    gate.write(html, &mut out).and_then(|()| gate.end(&mut out)).expect("it can be gated");
    let want = format!("<p data-gate-{NONCE}=\"acme:marketing\" data-gate-{NONCE}-style=");
    assert!(out.starts_with(want.as_bytes()), "{}", String::from_utf8_lossy(&out));
    let inside = "<iframe srcdoc='<p style=background:url(//acme.example)>'></iframe>";
    check_css(inside, &inside.replace("<iframe srcdoc", "<iframe ~~=\"acme:marketing\" §srcdoc"));
}

#[test]
fn a_sheet_of_its_own_is_gated() {
    let css = "@charset \"utf-8\";@import '//stat.example/a';a{b:url(x.png)}b{c:url('//acme.example/b')}";
    let want = format!(
        "@charset \"utf-8\";@import 'gate-{NONCE}.stat.analytics://stat.example/a';a{{b:url(x.png)}}b{{c:url('gate-{NONCE}.\
         acme.marketing://acme.example/b')}}"
    );
    for size in [1, 7, 1024] {
        let mut gate = SheetGate::new(page(|_| {}), Limits::default(), encoding_rs::UTF_8);
        let mut out = Vec::new();
        css.as_bytes().chunks(size).try_for_each(|chunk| gate.write(chunk, &mut out)).expect("it can be read");
        gate.end(&mut out).expect("it can be read");
        assert_eq!(String::from_utf8_lossy(&out), want);
        assert_eq!(gate.report().tags.len(), 2);
        assert!(matches!(gate.write(b"x", &mut out), Err(GateError::Closed)));
    }
    let limits = Limits { patches_max: 3, ..Limits::default() };
    let mut gate = SheetGate::new(page(|_| {}), limits, encoding_rs::UTF_8);
    let many = "a{b:url(//acme.example)}".repeat(4);
    assert!(matches!(gate.write(many.as_bytes(), &mut Vec::new()), Err(GateError::Patches { max: 3 })));
    assert!(matches!(gate.end(&mut Vec::new()), Err(GateError::Closed)));
}
