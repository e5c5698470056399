//! Tags inside addresses, scripts and documents in attributes; AMP; switches.

use super::*;

fn held(html: &str, names: &[&str]) {
    let mut want = html.to_owned();
    for name in names {
        want = want.replacen(&format!(" {name}="), &format!(" ~{name}="), 1);
    }
    let end = html[1..].find([' ', '>']).expect("a tag ends") + 1;
    want.insert_str(end, " ~~=\"acme:marketing\"");
    check(html, &want);
}

#[test]
fn every_attribute_that_loads_is_held() {
    let url = "https://acme.example/x";
    for html in [
        format!("<bgsound src={url}>"),
        format!("<model src={url}></model>"),
        format!("<portal src={url}></portal>"),
        format!("<fencedframe src={url}></fencedframe>"),
        format!("<table background={url}></table>"),
        format!("<embed src={url} type=image/png>"),
        format!("<img attributionsrc='/own {url}' src=/x>"),
        format!("<a attributionsrc={url} href=/>x</a>"),
        format!("<html manifest={url}>"),
        format!("<link rel='apple-touch-startup-image' href={url}>"),
        format!("<meta http-equiv=Link content='<{url}>; rel=preload'>"),
        format!("<applet codebase={url} code=x></applet>"),
        format!("<applet archive='a.jar,{url}' code=x></applet>"),
        format!("<object classid={url}></object>"),
    ] {
        let name = html.find(url.get(..5).unwrap_or_default()).map(|at| &html[..at]).unwrap_or_default();
        let name = name.rsplit('=').nth(1).unwrap_or_default();
        let name = name.rsplit(' ').next().unwrap_or_default();
        held(&html, &[name]);
    }
    for element in ["use", "feImage", "image", "mpath", "textPath", "pattern", "linearGradient", "radialGradient", "filter"] {
        for name in ["href", "xlink:href"] {
            check(
                &format!("<svg><{element} {name}={url} /></svg>"),
                &format!("<svg><{element} ~~=\"acme:marketing\" ~{name}={url} /></svg>"),
            );
        }
    }
    check(
        &format!(
            "<svg><image><set attributeName=href to={url} /><animate attributeName=xlink:href values='/x;{url}'/></image></svg>"
        ),
        &format!(
            "<svg><image><set ~~=\"acme:marketing\" attributeName=href ~to={url} /><animate ~~=\"acme:marketing\" \
             attributeName=xlink:href ~values='/x;{url}'/></image></svg>"
        ),
    );
    check(
        &format!("<object><param name=Movie value={url}><param name=quality value={url}></object>"),
        &format!("<object><param ~~=\"acme:marketing\" name=Movie ~value={url}><param name=quality value={url}></object>"),
    );
    check(&format!("<td background={url}>"), &format!("<td ~~=\"acme:marketing\" ~background={url}>"));
    for html in [
        "<blockquote cite=https://acme.example/></blockquote>",
        "<img longdesc=https://acme.example/>",
        "<link rel=expect href=https://acme.example/>",
        "<svg><a href=https://acme.example/></a><use href='#x'/></svg>",
        "<svg><animate attributeName=x values='https://acme.example/'/></svg>",
        "<button formaction=https://acme.example/>x</button>",
    ] {
        untouched(html);
    }
}

#[test]
fn what_stands_in_an_address_is_read() {
    check(
        "<script src='data:text/javascript,acme(%27init%27)'></script>",
        "<script ~~=\"acme:marketing\" type=\"text/plain\" ~src='data:text/javascript,acme(%27init%27)'></script>",
    );
    // acme('init')
    held2("<script src=data:;base64,YWNtZSgnaW5pdCcp></script>");
    held2("<script type=module src=\"data:text/javascript,import '//acme.example/x'\"></script>");
    for html in [
        "<iframe src='data:text/html,<script>acme(%22init%22)</script>'></iframe>",
        "<iframe src='data:text/html,<img src=//acme.example>'></iframe>",
        "<iframe src='data:image/svg+xml,<s:svg xmlns:s=\"http://www.w3.org/2000/svg\"><s:image href=\"//acme.example/x\"/></s:svg>'></iframe>",
        "<embed src='data:image/svg+xml,<svg><image href=\"//acme.example/x\"/></svg>'>",
        "<iframe src=\"javascript:acme('init')\"></iframe>",
        "<iframe src=\"JavaScript:'<img src=//acme.example>'\"></iframe>",
    ] {
        held(html, &["src"]);
    }
    held("<object data='data:text/html,<img src=//acme.example>'></object>", &["data"]);
    held("<link rel=stylesheet href='data:text/css,@import%20url(//acme.example/x)'>", &["href"]);
    for html in [
        "<a href=\"javascript:acme('init')\">x</a>",
        "<img src='data:image/svg+xml,<svg><image href=\"//acme.example/x\"/></svg>'>",
        "<script src='data:text/javascript,own()'></script>",
        "<iframe src='data:text/html,<p>own'></iframe>",
        "<iframe src='data:text/plain,<img src=//acme.example>'></iframe>",
    ] {
        untouched(html);
    }
}

fn held2(html: &str) {
    let (out, report) = gate_with(&page(|_| {}), &Limits::default(), html.as_bytes()).expect("it can be gated");
    assert!(out.contains("type=\"text/plain\""), "{out}");
    assert!(out.contains(&format!("data-gate-{NONCE}-src=")), "{out}");
    assert_eq!(report.tags.len(), 1);
}

#[test]
fn what_a_script_imports_is_read() {
    for html in [
        "<script type=module>import x from 'https://acme.example/m.js'; x()</script>",
        "<script type=module>export * from\"//acme.example/m.js\"</script>",
        "<script>import ( `https:\\x2f/acme.example/m.js` )</script>",
        "<script type=importmap>{\"imports\":{\"x\":\"https:\\u002f\\/acme.example/m.js\"}}</script>",
    ] {
        let kind = html.find(" type=").map(|_| " ~").unwrap_or_default();
        let want = html.replacen("<script", "<script ~~=\"acme:marketing\" type=\"text/plain\"", 1).replacen(
            " type=m",
            &format!("{kind}type=m"),
            1,
        );
        check(html, &want.replacen(" type=i", &format!("{kind}type=i"), 1));
    }
    check("<p><script type=speculationrules>{\"prefetch\":[{\"urls\":[\"//acme.example/\"]}]}</script><b>", "<p><b>");
    for html in [
        "<script>Array.from('https://acme.example/'); a = 'import \"https://acme.example/\"'; new Image().src</script>",
        "<script type=module>import 'acme.example'; import './own.js'</script>",
        "<script type=speculationrules>{\"prefetch\":[{\"urls\":[\"/own\"]}]}</script>",
        "<script type=importmap>{\"imports\":{\"x\":\"/own.js\"},</script>",
    ] {
        untouched(html);
    }
    let html = "<p><script type=module>import '/own.js';import 'https://acme.example/m.js?q=1'</script>";
    let (_, report) = gate_with(&page(|_| {}), &Limits::default(), html.as_bytes()).expect("it can be gated");
    let [tag] = report.tags.as_slice() else { panic!("{report:?}") };
    assert_eq!((tag.offset, tag.address.as_deref()), (html.find("https").unwrap_or(0), Some("https://acme.example/m.js")));
}

#[test]
fn a_long_script_that_imports_is_ended() {
    let limits = Limits { hold_bytes_max: 64, ..Limits::default() };
    let html = format!("<script type=module>{}import '//acme.example/m.js'</script><p>", "own(); ".repeat(20));
    let (out, report) = gate_with(&page(|_| {}), &limits, html.as_bytes()).expect("it can be gated");
    assert_eq!((out, report.poisoned), (html.replace("</script>", "\n}])@#\n</script>"), 1));
}

#[test]
fn nested_documents_are_read_at_any_place() {
    check(
        "<head><noscript><link rel=stylesheet href=//acme.example><style>a{}</style></noscript></head>",
        "<head><noscript><style>a{}</style></noscript></head>",
    );
    check("<template><noscript><img src=//acme.example></noscript></template>", "<template><noscript></noscript></template>");
    check(
        "<svg><noscript><image href=//acme.example /></noscript></svg>",
        "<svg><noscript><image ~~=\"acme:marketing\" ~href=//acme.example /></noscript></svg>",
    );
    // Without scripts the style and the textarea swallow the rest of the noscript, and nothing after it.
    for open in ["<style>", "<textarea>", "<title>", "<xmp>"] {
        check(
            &format!("<noscript>{open}<img src=//acme.example></noscript><img src=//stat.example>"),
            &format!("<noscript>{open}<img src=//acme.example></noscript><img ~~=\"stat:analytics\" ~src=//stat.example>"),
        );
    }
    check(
        "<noscript><style>a{b:url(//acme.example</noscript><p>",
        &format!("<noscript><style>a{{b:url(gate-{NONCE}.acme.marketing://acme.example</noscript><p>"),
    );
    check(
        "<div><template shadowrootmode=closed><script src=//acme.example></script><template><img src=//acme.example></template></template></div>",
        "<div><template shadowrootmode=closed><script ~~=\"acme:marketing\" type=\"text/plain\" ~src=//acme.example></script><template><img \
         ~~=\"acme:marketing\" ~src=//acme.example></template></template></div>",
    );
}

#[test]
fn a_base_in_a_template_is_none() {
    untouched("<template><base href=//acme.example/></template><img src=x>");
    untouched("<noscript><template><base href=//acme.example/></template><img src=x></noscript>");
    check(
        "<template><base href=/></template><base href=//acme.example/><img src=x>",
        "<template><base href=/></template><base href=//acme.example/><img ~~=\"acme:marketing\" ~src=x>",
    );
}

#[test]
fn documents_in_srcdoc_get_the_frames_markup() {
    let page = page(|page| page.frame = "<script src=\"/g.js\" a='b=c'></script>".to_owned());
    let run = |html: &str| gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated").0;
    let quoted = "&lt;script src=&quot;/g.js&quot; a=&#39;b=c&#39;&gt;&lt;/script&gt;";
    for (html, want) in [
        ("<iframe srcdoc='<p>x'></iframe>", format!("<iframe srcdoc='{quoted}<p>x'></iframe>")),
        ("<iframe srcdoc=\"\"></iframe>", format!("<iframe srcdoc=\"{quoted}\"></iframe>")),
        (
            "<iframe srcdoc='&lt;!doctype html&gt;<p>x'></iframe>",
            format!("<iframe srcdoc='&lt;!doctype html&gt;{quoted}<p>x'></iframe>"),
        ),
        (
            "<iframe srcdoc=<p>x></iframe>",
            "<iframe srcdoc=&lt;script&#32;src&#61;&quot;/g.js&quot;&#32;a&#61;&#39;b&#61;c&#39;&gt;&lt;/script&gt;<p>x></iframe>".to_owned(),
        ),
    ] {
        assert_eq!(run(html), want);
    }
    let hit = "<iframe srcdoc='<img src=//acme.example>'></iframe>";
    assert!(!run(hit).contains("g.js") && run(hit).contains("-srcdoc="), "a hit is closed as a whole");
    assert_eq!(run("<iframe srcdoc></iframe><noscript><iframe srcdoc='x'></iframe></noscript>").matches("g.js").count(), 0);
}

#[test]
fn amp_pages_lose_vendors_and_get_nothing() {
    let page = page(|page| {
        page.head = "<H>".to_owned();
        page.body = "<B>".to_owned();
    });
    let run = |html: &str| gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated").0;
    for mark in ["amp", "\u{26a1}", "AMP=''"] {
        let html = |inside: &str| format!("<!doctype html><html {mark} lang=en><head></head><body>{inside}<p>x</body></html>");
        for gone in [
            "<amp-pixel src=https://acme.example/p></amp-pixel>",
            "<amp-analytics type=acmelytics><script type=application/json>{}</script></amp-analytics>",
            "<amp-analytics><script type=application/json>{\"requests\":{\"a\":\"https:\\/\\/acme.example/p?${x}\"}}</script></amp-analytics>",
            "<amp-analytics config=https://acme.example/c.json></amp-analytics>",
            "<amp-acme-page data-x=1><b>x</b></amp-acme-page>",
            "<amp-ad type=acmelytics width=1><div fallback></div></amp-ad>",
        ] {
            assert_eq!(run(&html(gone)), html(""), "{gone}");
        }
        let own = "<amp-img src=/x.png></amp-img><amp-analytics type=own></amp-analytics><amp-social-share type=acmelytics></amp-social-share>";
        assert_eq!(run(&html(own)), html(own));
    }
    assert!(run("<html lang=amp><head></head><body>").contains("<H>"));
}

#[test]
fn a_ring_that_is_off_holds_nothing_and_still_reports() {
    let page = page(|page| {
        page.hold = false;
        page.head = "<H>".to_owned();
    });
    let html = "<head><script src=//acme.example></script><style>a{b:url(//acme.example)}</style><noscript><img src=//acme.example></noscript><p \
                style='a:url(//acme.example)'><iframe srcdoc='<img src=//acme.example>'></iframe><link rel=preload href=//acme.example>";
    let (out, report) = gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated");
    assert_eq!(out, html.replace("<head>", "<head><H>"));
    assert_eq!(report.tags.iter().filter(|tag| tag.verdict != Verdict::Allow).count(), 6);
}

#[test]
fn other_hosts_are_counted() {
    let html = "<img src=https://cdn.example/a><img src=//cdn.example/b><script src=/own.js></script><a href=https://link.example>x</a>\
                <style>a{b:url(https://fonts.example/x)}</style><iframe srcdoc='<img src=//deep.example/>'></iframe>\
                <img src=https://shop.example/x><img src=//acme.example/><script type=module>import 'https://mod.example/x'</script>";
    let (_, report) = gate_with(&page(|_| {}), &Limits::default(), html.as_bytes()).expect("it can be gated");
    let others: Vec<(&str, u32)> = report.others.iter().map(|(host, count)| (host.as_str(), *count)).collect();
    assert_eq!(others, [("cdn.example", 2), ("deep.example", 1), ("fonts.example", 1), ("mod.example", 1)]);
    let many: String = (0..300).map(|n| format!("<img src=//h{n}.example>")).collect();
    let (_, report) = gate_with(&page(|_| {}), &Limits::default(), many.as_bytes()).expect("it can be gated");
    assert_eq!(report.others.len(), OTHERS_MAX);
}

#[test]
fn fragments_are_gated_like_pages() {
    check(
        "<tr><td style='background:url(/x)'><img src=//acme.example></td></tr><script>acme('init')</script>",
        "<tr><td style='background:url(/x)'><img ~~=\"acme:marketing\" ~src=//acme.example></td></tr><script \
         ~~=\"acme:marketing\" type=\"text/plain\">acme('init')</script>",
    );
}
