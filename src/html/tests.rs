//! The gate at its door: markup in, markup out.

mod css;
mod foreign;
mod inside;

use super::*;
use crate::policy::Sources;

pub(super) const NONCE: &str = "0123456789abcdef";

fn policy() -> Arc<Policy> {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml"));
    sources.insert("site.toml", "vendors = [\"acme\", \"stat\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    let vendor =
        |id: &str, purpose: &str, rules: &str| format!("id = \"{id}\"\nname = \"{id}\"\npurposes = [\"{purpose}\"]\n{rules}");
    let acme = "[[rule]]\nid = \"host\"\nhosts = [\"acme.example\"]\n\
        [[rule]]\nid = \"by-id\"\nhosts = [\"tags.example\"]\nquery = [\"id=AC-*\"]\n\
        [[rule]]\nid = \"snippet\"\ninline = [\"acme('init'\"]\nunless = [\"isPreview\"]\n\
        [[rule]]\nid = \"amp\"\namp = [\"acmelytics\", \"amp-acme*\"]\n";
    let stat = "[[rule]]\nid = \"host\"\nhosts = [\"stat.example\"]\n[[rule]]\nid = \"file\"\npaths = [\"*/stat.js\"]\n";
    sources.insert("vendors/acme.toml", vendor("acme", "marketing", acme));
    sources.insert("vendors/stat.toml", vendor("stat", "analytics", stat));
    sources.insert("vendors/other.toml", vendor("other", "marketing", "[[rule]]\nid = \"host\"\nhosts = [\"other.example\"]\n"));
    match Policy::compile(&sources) {
        Ok((policy, _)) => Arc::new(policy),
        Err(faults) => panic!("{}", faults.iter().map(|f| f.to_string()).collect::<Vec<_>>().join("\n")),
    }
}

pub(super) fn page(edit: impl FnOnce(&mut Page)) -> Arc<Page> {
    let policy = policy();
    let mut page = Page {
        grants: policy.undecided(),
        policy,
        base: Url::parse("https://shop.example/a/b").expect("a constant"),
        nonce: NONCE.to_owned(),
        head: String::new(),
        body: String::new(),
        amend_csp: None,
        observe: false,
        hold: true,
        frame: String::new(),
    };
    edit(&mut page);
    Arc::new(page)
}

/// Gates at several chunk sizes, which must agree, and undoes the patches, which must give the input.
fn gate_with(page: &Arc<Page>, limits: &Limits, html: &[u8]) -> Result<(String, PageReport), GateError> {
    let mut results = [1, 7, 1024, usize::MAX].map(|size| {
        let mut gate = Gate::new(Arc::clone(page), limits.clone());
        gate.keep_outcome();
        gate.window.applied.get_or_insert_default();
        let mut out = Vec::new();
        let result = html.chunks(size).try_for_each(|chunk| gate.write(chunk, &mut out)).and_then(|()| gate.end(&mut out));
        result.map(|()| {
            let applied = gate.window.applied.clone().unwrap_or_default();
            assert_eq!(undo(html, &applied, page, &out), html, "the inverse, in chunks of {size}");
            if let Some(outcome) = gate.take_outcome() {
                assert!(outcome.is_for(page), "an outcome is the visitor's with whom it was found");
                assert_eq!(outcome.apply(html, page).as_ref(), Some(&out), "an outcome is what the engine sent");
            }
            (String::from_utf8_lossy(&out).into_owned(), gate.report().clone())
        })
    });
    for result in &results {
        match (result, &results[0]) {
            (Ok((out, _)), Ok((first, _))) => assert_eq!(out, first, "the output depends on the chunks"),
            (Err(_), Err(_)) => {}
            (one, other) => panic!("the outcome depends on the chunks: {one:?} {other:?}"),
        }
    }
    std::mem::replace(&mut results[3], Err(GateError::Closed))
}

/// Takes the insertions out of the output and puts the cuts back.
pub(super) fn undo(input: &[u8], applied: &[splice::Patch], page: &Page, output: &[u8]) -> Vec<u8> {
    let (mut restored, mut rest, mut at) = (Vec::new(), output, 0);
    for patch in applied {
        let (kept, after) = rest.split_at(patch.at - at);
        restored.extend_from_slice(kept);
        restored.extend_from_slice(&input[patch.at..patch.at + patch.cut]);
        let mut insertion = Vec::new();
        patch.insert.write(page, &mut insertion);
        rest = after.strip_prefix(insertion.as_slice()).expect("the insertion is in the output");
        at = patch.at + patch.cut;
    }
    restored.extend_from_slice(rest);
    restored
}

fn gate(html: &str) -> String {
    gate_with(&page(|_| {}), &Limits::default(), html.as_bytes()).unwrap_or_else(|fault| panic!("{html}: {fault}")).0
}

/// `want` uses `~` for what stands before a renamed attribute and `~~=V` for a marker with value V.
fn check(html: &str, want: &str) {
    let want = want.replace("~~=", &format!("data-gate-{NONCE}=")).replace('~', &format!("data-gate-{NONCE}-"));
    assert_eq!(gate(html), want);
}

fn untouched(html: &str) {
    assert_eq!(gate(html), html);
}

#[test]
fn a_script_by_address_is_held() {
    check(
        "<script async src='https://acme.example/a.js'></script>",
        "<script ~~=\"acme:marketing\" type=\"text/plain\" async ~src='https://acme.example/a.js'></script>",
    );
    check(
        "<SCRIPT TYPE=module SRC=//ACME.example./a.js src=/own.js type=x></SCRIPT>",
        "<SCRIPT ~~=\"acme:marketing\" type=\"text/plain\" ~TYPE=module ~SRC=//ACME.example./a.js ~src=/own.js ~type=x></SCRIPT>",
    );
    check(
        "<svg><script xlink:href=https://acme.example/a.js /></svg>",
        "<svg><script ~~=\"acme:marketing\" type=\"text/plain\" ~xlink:href=https://acme.example/a.js /></svg>",
    );
    untouched("<script src=https://shop.example/a.js></script><script src=/b.js></script>");
}

#[test]
fn an_undeclared_vendor_gets_an_empty_marker() {
    check("<img src=https://other.example/p>", "<img ~~=\"\" ~src=https://other.example/p>");
}

#[test]
fn an_inline_script_is_held_by_its_text() {
    check(
        "<script>acme ( \"init\", 1)</script><p>",
        "<script ~~=\"acme:marketing\" type=\"text/plain\">acme ( \"init\", 1)</script><p>",
    );
    untouched("<script>acme('init', 1); var isPreview</script>");
    untouched("<script type=application/json>acme('init')</script>");
    untouched("<script> self.__next_f.push([1,\"acme('init')\"])</script>");
    check(
        "<svg><script>acme&#40;'init'<g></g></svg><p>",
        "<svg><script ~~=\"acme:marketing\" type=\"text/plain\">acme&#40;'init'<g></g></svg><p>",
    );
    check(
        "<svg><script><![CDATA[acme('init']]></script></svg>",
        "<svg><script ~~=\"acme:marketing\" type=\"text/plain\"><![CDATA[acme('init']]></script></svg>",
    );
    for text in ["import '</bgsound>//acme.example/m.js'", "im<!-- '> -->port '<g>x</g>//acme&period;example/m.js'"] {
        check(
            &format!("<svg><script type=module>{text}</script></svg>"),
            &format!("<svg><script ~~=\"acme:marketing\" type=\"text/plain\" ~type=module>{text}</script></svg>"),
        );
    }
    check("<script>acme('init'", "<script ~~=\"acme:marketing\" type=\"text/plain\">acme('init'");
    check(
        "<script><!--<script></script>acme('init'</script>",
        "<script ~~=\"acme:marketing\" type=\"text/plain\"><!--<script></script>acme('init'</script>",
    );
}

#[test]
fn every_element_that_loads_is_held() {
    let url = "https://acme.example/x";
    for (before, name, after) in [
        ("<img alt=x ", "src", ">"),
        ("<image ", "src", ">"),
        ("<svg><image ", "href", "/></svg>"),
        ("<svg><feImage ", "xlink:href", "/></svg>"),
        ("<input type=IMAGE ", "src", ">"),
        ("<video><source ", "src", "></video>"),
        ("<video ", "poster", "></video>"),
        ("<audio ", "src", "></audio>"),
        ("<video><track ", "src", "></video>"),
        ("<embed ", "src", ">"),
        ("<object ", "data", "></object>"),
        ("<iframe ", "src", "></iframe>"),
        ("<frameset><frame ", "src", "></frameset>"),
        ("<link rel='alternate stylesheet' ", "href", ">"),
        ("<link rel=icon ", "href", ">"),
        ("<a href=/ ", "ping", ">x</a>"),
        ("<area ", "ping", ">"),
        ("<body ", "background", ">"),
        ("<template><img ", "src", "></template>"),
    ] {
        let html = format!("{before}{name}={url}{after}");
        let start = before.rfind('<').expect("it has a tag");
        let end = before[start..].find(' ').expect("it has a space") + start;
        let (prefix, rest) = before.split_at(end);
        check(&html, &format!("{prefix} ~~=\"acme:marketing\"{rest}~{name}={url}{after}"));
    }
}

#[test]
fn what_loads_nothing_is_left_alone() {
    for html in [
        "<a href=https://acme.example/>x</a>",
        "<form action=https://acme.example/></form>",
        "<link rel=canonical href=https://acme.example/>",
        "<link href=https://acme.example/>",
        "<input type=text src=https://acme.example/>",
        "<meta name=og:image content=https://acme.example/>",
        "<meta http-equiv=refresh content='5'>",
        "<textarea><img src=https://acme.example/></textarea>",
        "<style><img src=https://acme.example/></style>",
        "<!-- <img src=https://acme.example/> -->",
        "<img src=data:image/png,https://acme.example/>",
        "<img src>",
        "<img src=https://acme.example/",
        "<plaintext><img src=https://acme.example/>",
    ] {
        untouched(html);
    }
}

#[test]
fn an_address_is_read_as_browsers_read_it() {
    for address in [
        "https://acme.example/x",
        "HTTPS://ACME.EXAMPLE/x",
        "//acme.example/x",
        "\\\\acme.example\\x",
        "https:\\\\acme.example/x",
        "https&colon;//acme&period;example/x",
        "&#104;ttps://acme.example/x",
        "ht\ntps://ac\tme.example/x",
        " https://acme.example/x ",
        "https://user:pw@acme.example:8443/x",
        "https://acme.example./x",
        "https://sub.acme.example",
        "https://acme.example?x#y",
        "https://ac%6de.example/x",
        "https://ａｃｍｅ.example/x",
        "https:////acme.example/x",
        "https://tags.example/?x=1&amp;id=AC-7",
        "https://tags.example/?x=1&id=AC-7#f",
        "https://tags.example/?id&#61;AC-7",
        "https://tags.example/?i%64=AC-7",
    ] {
        let html = format!("<img src='{address}'>");
        check(&html, &format!("<img ~~=\"acme:marketing\" ~src='{address}'>"));
    }
    for address in
        ["https://tags.example/?id=ZZ-7", "https://tags.example/#?id=AC-7", "https:/acme.example/x", "https://notacme.example/"]
    {
        untouched(&format!("<img src='{address}'>"));
    }
    check("<img src='c/../stat.js'>", "<img ~~=\"stat:analytics\" ~src='c/../stat.js'>");
}

#[test]
fn the_first_base_counts() {
    check(
        "<base target=_top><base href=//acme.example/d/><base href=/><img src=x>",
        "<base target=_top><base href=//acme.example/d/><base href=/><img ~~=\"acme:marketing\" ~src=x>",
    );
}

#[test]
fn lists_of_addresses_are_searched() {
    check(
        "<img srcset='/a.png 1x, https://acme.example/b.png 2x' src=/a.png>",
        "<img ~~=\"acme:marketing\" ~srcset='/a.png 1x, https://acme.example/b.png 2x' src=/a.png>",
    );
    check("<a ping='/own https://stat.example/'>", "<a ~~=\"stat:analytics\" ~ping='/own https://stat.example/'>");
    check(
        "<meta http-equiv=Refresh content='0;URL=https://acme.example/'>",
        "<meta ~~=\"acme:marketing\" http-equiv=Refresh ~content='0;URL=https://acme.example/'>",
    );
    check(
        "<video poster=https://stat.example/ src=https://acme.example/>",
        "<video ~~=\"acme:marketing stat:analytics\" ~poster=https://stat.example/ ~src=https://acme.example/>",
    );
}

#[test]
fn hints_are_stripped() {
    for rel in ["preload", "modulepreload", "preconnect", "dns-prefetch", "prefetch", "prerender"] {
        check(&format!("<p><link rel={rel} href=//acme.example><b>"), &format!("<p><link rel={rel}><b>"));
    }
    for (html, want) in [
        ("<link rel=preload imagesrcset='//acme.example/x 1x' as=image>", "<link rel=preload as=image>"),
        ("<link  rel=preload\n href = '//acme.example/x'  />", "<link  rel=preload  />"),
        ("<link rel=preload href='//acme.example/x'as=script>", "<link rel=preload as=script>"),
        ("<link rel=preload href='//acme.example/x'/>", "<link rel=preload />"),
        ("<link rel='preload'href=//acme.example/x>", "<link rel='preload'>"),
        ("<link HREF=/own href=//acme.example rel=preload>", "<link rel=preload>"),
        ("<link/href=//acme.example/rel=preload rel=preload>", "<link/ rel=preload>"),
    ] {
        check(html, want);
    }
    check("<noscript><link rel=preload href=//acme.example></noscript>", "<noscript></noscript>");
}

#[test]
fn granted_vendors_stay() {
    let html = "<script src=https://acme.example/></script><img src=https://stat.example/><img src=https://other.example/>";
    let all = page(|page| page.grants = page.policy.everything());
    let (out, report) = gate_with(&all, &Limits::default(), html.as_bytes()).expect("it can be gated");
    let want =
        html.replace("<img src=https://other", &format!("<img data-gate-{NONCE}=\"\" data-gate-{NONCE}-src=https://other"));
    assert_eq!(out, want);
    let verdicts: Vec<Verdict> = report.tags.iter().map(|tag| tag.verdict).collect();
    assert_eq!(verdicts, [Verdict::Allow, Verdict::Allow, Verdict::Hold]);
}

#[test]
fn noscript_is_read_and_hits_are_cut() {
    check("<noscript><p>x<img src=//acme.example/p>y</noscript>z", "<noscript><p>xy</noscript>z");
    check("<noscript><iframe src='//acme.example'>a<b></iframe><i>k</i></noscript>", "<noscript><i>k</i></noscript>");
    check("<noscript>a<iframe src='//acme.example'>b</noscript>c", "<noscript>a</noscript>c");
    check(
        "<noscript><div><object data=//acme.example><img src=//acme.example></div>k</noscript>",
        "<noscript><div></div>k</noscript>",
    );
    check("<noscript>a<img src=//acme.example>", "<noscript>a");
    check("<noscript><noscript><img src=//acme.example></noscript>", "<noscript><noscript></noscript>");
    untouched("<noscript><img src=/own.png></noscript>");
    check(
        "<noscript><a ping=//acme.example href=/>x</a></noscript>",
        "<noscript><a ~~=\"acme:marketing\" ~ping=//acme.example href=/>x</a></noscript>",
    );
    let nested = "<noscript>&lt;".to_owned() + "<noscript>".repeat(3).as_str();
    assert!(matches!(gate_with(&page(|_| {}), &Limits::default(), nested.as_bytes()), Err(GateError::Nesting)));
}

#[test]
fn limits_close_the_page() {
    let limits = Limits { noscript_bytes_max: 20, patches_max: 5, memory_bytes_max: 4096, ..Limits::default() };
    let cause = |html: &str| gate_with(&page(|_| {}), &limits, html.as_bytes()).expect_err("it is too much");
    assert!(matches!(cause("<noscript>012345678901234567890"), GateError::Noscript { max: 20 }));
    assert!(matches!(cause(&"<img src=//acme.example>".repeat(9)), GateError::Patches { max: 5 }));
    assert!(matches!(cause(&"<div>".repeat(9000)), GateError::Memory { max: 4096 }));
    let mut gate = Gate::new(page(|_| {}), limits);
    let mut out = Vec::new();
    assert!(gate.write("<img src=//acme.example>".repeat(9).as_bytes(), &mut out).is_err());
    out.clear();
    assert!(matches!(gate.write(b"<p>", &mut out), Err(GateError::Closed)));
    assert!(matches!(gate.end(&mut out), Err(GateError::Closed)));
    assert!(out.is_empty(), "nothing is sent after an error");
}

#[test]
fn srcdoc_is_read_and_renamed() {
    check(
        "<iframe srcdoc='&lt;script>acme(\"init\")&lt;/script>'></iframe>",
        "<iframe ~~=\"acme:marketing\" ~srcdoc='&lt;script>acme(\"init\")&lt;/script>'></iframe>",
    );
    check(
        "<iframe srcdoc='<noscript><img src=//acme.example></noscript>'></iframe>",
        "<iframe ~~=\"acme:marketing\" ~srcdoc='<noscript><img src=//acme.example></noscript>'></iframe>",
    );
    untouched("<iframe srcdoc='<p>hello<img src=x>'></iframe>");
    let deep = "<iframe srcdoc=\"<iframe srcdoc='<iframe srcdoc=x>'>\"></iframe>";
    check(deep, &deep.replacen("<iframe srcdoc", "<iframe ~~=\"\" ~srcdoc", 1));
}

#[test]
fn a_long_script_passes_and_is_poisoned_on_a_hit() {
    let limits = Limits { hold_bytes_max: 64, ..Limits::default() };
    let run = |html: &str| gate_with(&page(|_| {}), &limits, html.as_bytes()).expect("it can be gated");
    let long = "var padding; ".repeat(10);

    let late = format!("<script>{long}acme('init')</script><p>");
    let (out, report) = run(&late);
    assert_eq!(out, late.replace("</script>", "\n}])@#\n</script>"));
    assert_eq!((report.poisoned, report.tags.len()), (1, 1));

    let early = format!("<script>acme('init');{long}</script><p>");
    let want = format!("<script data-gate-{NONCE}=\"acme:marketing\" type=\"text/plain\">");
    assert_eq!(run(&early).0, early.replace("<script>", &want));

    let innocent = format!("<script>{long}</script><p>");
    assert_eq!(run(&innocent).0, innocent);
    let excused = format!("<script>{long}acme('init');isPreview</script>");
    assert_eq!(run(&excused).0, excused);
    let hydration = format!("<script>window.__NUXT__={long}acme('init')</script>");
    assert_eq!(run(&hydration).0, hydration);
}

#[test]
fn older_browsers_read_markup_inside_a_select() {
    check(
        "<select><xmp><script src=//acme.example></script></xmp></select><style><img src=//acme.example></style>",
        "<select><xmp><script ~~=\"acme:marketing\" type=\"text/plain\" ~src=//acme.example></script></xmp></select><style><img \
         src=//acme.example></style>",
    );
    check("<frameset><script><frame src=//acme.example>", "<frameset><script><frame ~~=\"acme:marketing\" ~src=//acme.example>");
    check(
        "<frameset><script><textarea><frame src=//acme.example>",
        "<frameset><script><textarea><frame ~~=\"acme:marketing\" ~src=//acme.example>",
    );
    let plaintext = "<frameset><plaintext><img src=//acme.example>";
    assert!(matches!(gate_with(&page(|_| {}), &Limits::default(), plaintext.as_bytes()), Err(GateError::Ambiguous { .. })));
}

#[test]
fn policies_in_the_page_are_amended() {
    let page = page(|page| {
        page.amend_csp = Some(Arc::new(|value| value.contains("self").then(|| format!("{value} \"x\" & 'y'"))));
    });
    for (html, want) in [
        (
            "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\">",
            "<meta http-equiv=Content-Security-Policy content=\"script-src &#39;self&#39; &quot;x&quot; &amp; &#39;y&#39;\">",
        ),
        (
            "<meta content=self http-equiv=' content-security-policy'>",
            "<meta content=\"self &quot;x&quot; &amp; &#39;y&#39;\" http-equiv=' content-security-policy'>",
        ),
        ("<meta http-equiv=content-security-policy content=none>", "<meta http-equiv=content-security-policy content=none>"),
    ] {
        assert_eq!(gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated").0, want);
    }
}

#[test]
fn insertions_stand_behind_head_and_body_or_where_they_are_implied() {
    let page = page(|page| {
        page.head = "<H>".to_owned();
        page.body = "<B>".to_owned();
    });
    for (html, want) in [
        (
            "<!doctype html><html><head><title>x</title></head><body class=a><p>",
            "<!doctype html><html><head><H><title>x</title></head><body class=a><B><p>",
        ),
        ("<!doctype html><!-- <head> --><title>x</title><p>y", "<!doctype html><!-- <head> --><H><title>x</title><B><p>y"),
        ("<!doctype html>\n<p>x", "<!doctype html>\n<H><B><p>x"),
        ("<html><body>x", "<html><H><body><B>x"),
        (
            "<head><script>'<body>'</script><noscript><body></noscript></head><div><body>",
            "<head><H><script>'<body>'</script><noscript><body></noscript></head><B><div><body>",
        ),
        ("<head><template><p></template><main>", "<head><H><template><p></template><B><main>"),
        ("<frameset><frame src=/></frameset>", "<H><frameset><frame src=/></frameset>"),
        ("<link rel=preload href=//acme.example><p>", "<H><link rel=preload><B><p>"),
        ("<head><link rel=preload href=//acme.example><body>", "<head><H><link rel=preload><body><B>"),
        ("no tag at all", "no tag at all"),
        ("<head", "<head"),
        ("", ""),
    ] {
        assert_eq!(gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated").0, want, "{html}");
    }
}

#[test]
fn a_report_names_rules_and_no_query() {
    let html = "<p><img src='https://acme.example/p?uid=7'><script>document.write('x');acme('init')</script>";
    let policy = policy();
    let base = Url::parse("https://shop.example/").expect("a constant");
    let tags = explain(&policy, policy.undecided(), &base, html.as_bytes()).expect("it can be read");
    let [img, script] = tags.as_slice() else { panic!("{tags:?}") };
    assert_eq!((img.offset, img.element.as_str(), img.attribute.as_deref()), (3, "img", Some("src")));
    assert_eq!(img.address.as_deref(), Some("https://acme.example/p"));
    assert_eq!(policy.rule(img.rules[0]).id, "acme/host");
    assert_eq!((script.attribute.as_deref(), script.late, script.verdict), (None, true, Verdict::Hold));
    assert!(!img.late);
}

#[test]
fn observing_changes_nothing() {
    let html =
        "<head><body><img src=//acme.example><noscript><img src=//acme.example></noscript><link rel=preload href=//acme.example>";
    let page = page(|page| {
        page.observe = true;
        page.head = "<H>".to_owned();
    });
    let (out, report) = gate_with(&page, &Limits::default(), html.as_bytes()).expect("it can be gated");
    assert_eq!(out, html);
    let verdicts: Vec<Verdict> = report.tags.iter().map(|tag| tag.verdict).collect();
    assert_eq!(verdicts, [Verdict::Hold, Verdict::Strip, Verdict::Strip]);
}

#[test]
fn a_page_that_is_only_observed_passes_even_if_it_cannot_be_read() {
    let page = page(|page| page.observe = true);
    let html = "<img src=//acme.example><noscript>0123456789</noscript><img src=//acme.example><p>";
    let limits = Limits { noscript_bytes_max: 5, ..Limits::default() };
    let (out, report) = gate_with(&page, &limits, html.as_bytes()).expect("it passes");
    assert_eq!(out, html);
    assert_eq!(report.tags.len(), 1);
    assert!(report.unread.is_some_and(|why| why.contains("noscript_hold_bytes")));
    let base = Url::parse("https://shop.example/").expect("a constant");
    let nested = "<noscript>".repeat(5);
    assert!(explain(&page.policy, page.grants, &base, nested.as_bytes()).is_err());
}

#[test]
fn any_bytes_pass_unchanged() {
    for html in [&b"<p>\xff\xfe caf\xe9 \0 </p>"[..], b"<img src='\xff\xfe'><\xe9 x=\xc3>", b"<script>\xe9</script \xe9>"] {
        let mut gate = Gate::new(page(|_| {}), Limits::default());
        let mut out = Vec::new();
        gate.write(html, &mut out).and_then(|()| gate.end(&mut out)).expect("it can be gated");
        assert_eq!(out, html);
    }
    let html = encoding_rs::SHIFT_JIS.encode("<img src='https://ａｃｍｅ.example/'>").0.into_owned();
    let mut gate = Gate::with_encoding(page(|_| {}), Limits::default(), encoding_rs::SHIFT_JIS);
    let mut out = Vec::new();
    gate.write(&html, &mut out).and_then(|()| gate.end(&mut out)).expect("it can be gated");
    assert_eq!(gate.report().tags.len(), 1, "full-width letters name the same host");
}
