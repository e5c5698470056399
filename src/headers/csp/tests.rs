use proptest::prelude::*;

use super::*;
use crate::headers::sample::{dump, head, headers, lines, policy};

const OWN: &str = "https://a.site/_consent/";

fn needs() -> Needs {
    Needs::new(&Url::parse("https://a.site/_consent").expect("a test address parses"), "consentry")
}

fn amended(policy: &str) -> String {
    let mut map = headers("content-security-policy", &[policy]);
    amend_headers(&mut map, &needs());
    lines(&map, "content-security-policy")[0].to_owned()
}

#[test]
fn a_policy_gets_what_is_missing_and_nothing_else() {
    for (policy, want) in [
        // Strict with a list for each kind, as code hosts write it.
        (
            "default-src 'none'; base-uri 'self'; connect-src 'self' api.a.site; form-action 'self' gist.a.site; img-src 'self' data:; script-src assets.a.site; style-src 'unsafe-inline' assets.a.site; upgrade-insecure-requests",
            "default-src 'none'; base-uri 'self'; connect-src 'self' api.a.site; form-action 'self' gist.a.site; img-src 'self' data:; script-src assets.a.site https://a.site/_consent/; style-src 'unsafe-inline' assets.a.site https://a.site/_consent/; upgrade-insecure-requests",
        ),
        (
            "default-src 'none'",
            "default-src 'none'; style-src-elem https://a.site/_consent/; script-src-elem https://a.site/_consent/; connect-src https://a.site/_consent/",
        ),
        (
            "default-src;script-src 'self' ;",
            "default-src;script-src 'self' ; style-src-elem https://a.site/_consent/; connect-src https://a.site/_consent/",
        ),
        // Only the copy is widened: frames and images stay as they were.
        (
            "DEFAULT-SRC  https://cdn.example   'unsafe-inline' ; Connect-Src https:",
            "DEFAULT-SRC  https://cdn.example   'unsafe-inline' ; Connect-Src https:; style-src-elem https://cdn.example   'unsafe-inline' https://a.site/_consent/; script-src-elem https://cdn.example   'unsafe-inline' https://a.site/_consent/",
        ),
        // The most specific directive decides.
        (
            "script-src 'self'; script-src-elem cdn.example",
            "script-src 'self'; script-src-elem cdn.example https://a.site/_consent/",
        ),
        ("style-src-elem 'self'; style-src 'none'", "style-src-elem 'self'; style-src 'none'"),
        ("Script-Src 'NONE'", "Script-Src https://a.site/_consent/"),
        ("form-action 'none'", "form-action https://a.site/_consent/"),
        ("form-action", "form-action https://a.site/_consent/"),
        // A nonce list takes an address beside it; an inline list stays an inline list.
        ("script-src 'nonce-r4nd0m'", "script-src 'nonce-r4nd0m' https://a.site/_consent/"),
        ("script-src 'unsafe-inline' 'unsafe-eval'", "script-src 'unsafe-inline' 'unsafe-eval' https://a.site/_consent/"),
        // The recommended strict policy: addresses do not count for scripts.
        (
            "object-src 'none'; script-src 'nonce-r4nd0m' 'unsafe-inline' 'strict-dynamic' https: http:; base-uri 'none'",
            "object-src 'none'; script-src 'nonce-r4nd0m' 'unsafe-inline' 'strict-dynamic' https: http:; base-uri 'none'",
        ),
        (
            "default-src 'strict-dynamic' 'nonce-x'; connect-src *",
            "default-src 'strict-dynamic' 'nonce-x'; connect-src *; style-src-elem 'strict-dynamic' 'nonce-x' https://a.site/_consent/",
        ),
        // Already covered.
        ("default-src 'self'", "default-src 'self'"),
        ("default-src https: 'unsafe-inline'", "default-src https: 'unsafe-inline'"),
        ("default-src *.site; form-action a.site/_consent/", "default-src *.site; form-action a.site/_consent/"),
        ("frame-ancestors 'none'; upgrade-insecure-requests", "frame-ancestors 'none'; upgrade-insecure-requests"),
        ("sandbox", "sandbox"),
        ("", ""),
        // The first of a name counts; the second is not touched.
        ("form-action 'none'; form-action 'self'", "form-action https://a.site/_consent/; form-action 'self'"),
        // Trusted Types.
        ("require-trusted-types-for 'script'", "require-trusted-types-for 'script'"),
        (
            "trusted-types default dompurify; require-trusted-types-for 'script'",
            "trusted-types default dompurify consentry; require-trusted-types-for 'script'",
        ),
        ("trusted-types 'none'", "trusted-types consentry"),
        ("trusted-types", "trusted-types consentry"),
        ("trusted-types * 'allow-duplicates'", "trusted-types * 'allow-duplicates'"),
        ("trusted-types consentry", "trusted-types consentry"),
        ("trusted-types Consentry", "trusted-types Consentry consentry"),
        // Several policies in one line: each on its own.
        (
            "default-src 'self',form-action 'none' , script-src 'self'",
            "default-src 'self',form-action https://a.site/_consent/ , script-src 'self'",
        ),
        ("form-action 'none', form-action 'none'", "form-action https://a.site/_consent/, form-action https://a.site/_consent/"),
        // A directive that browsers ignore is ignored.
        ("form-action 'none' é; form-action 'self'", "form-action 'none' é; form-action 'self'"),
        ("report-uri /é; form-action x.example", "report-uri /é; form-action x.example https://a.site/_consent/"),
    ] {
        assert_eq!(amended(policy), want);
        assert_eq!(amended(want), want, "amending twice adds nothing");
    }
}

#[test]
fn every_enforced_header_is_amended_and_report_only_is_not() {
    let mut map = head(&[
        "content-security-policy: script-src x.example",
        "content-security-policy: script-src 'self'",
        "content-security-policy: form-action 'none'",
        "content-security-policy-report-only: default-src 'none'",
    ]);
    amend_headers(&mut map, &needs());
    let want = [
        "content-security-policy-report-only: default-src 'none'",
        "content-security-policy: form-action https://a.site/_consent/",
        "content-security-policy: script-src 'self'",
        "content-security-policy: script-src x.example https://a.site/_consent/",
    ];
    assert_eq!(dump(&map), want);
}

#[test]
fn a_meta_policy_is_one_policy() {
    assert_eq!(amend_meta("script-src x.example", &needs()).as_deref(), Some("script-src x.example https://a.site/_consent/"));
    assert_eq!(amend_meta("script-src 'self'", &needs()), None);
    assert_eq!(amend_meta("form-action 'none', x", &needs()).as_deref(), Some("form-action 'none', x https://a.site/_consent/"));
}

#[test]
fn a_prefix_cannot_end_the_directive_it_is_written_into() {
    let own = Url::parse("https://a.site/x;script-src *,y?q#f").expect("a test address parses");
    let amended = amend_meta("form-action 'none'", &Needs::new(&own, "consentry"));
    assert_eq!(amended.as_deref(), Some("form-action https://a.site/x%3Bscript-src%20*%2Cy/"));
}

#[test]
fn the_page_nonce_passes_every_policy_where_addresses_do_not_count() {
    for (policies, want) in [
        (&["script-src 'nonce-a'"][..], Some("a")),
        (&["script-src 'nonce-a' 'nonce-b' 'strict-dynamic'", "script-src 'nonce-b' 'strict-dynamic'"], Some("b")),
        (&["script-src 'nonce-a' 'strict-dynamic', script-src 'nonce-b' 'strict-dynamic'"], None),
        (&["script-src 'nonce-x'", "default-src 'NONCE-a+/-_=' 'Strict-Dynamic'"], Some("a+/-_=")),
        (&["script-src 'nonce-a' 'strict-dynamic'", "script-src 'self' 'unsafe-inline'", "img-src 'none'"], Some("a")),
        (&["script-src 'sha256-abc' 'strict-dynamic'", "script-src 'nonce-a'"], None),
        (&["script-src 'nonce-a'; script-src-elem 'self'"], None),
        (&["style-src 'nonce-a'"], None),
        (&["script-src 'nonce-\"><b>' 'nonce-' 'nonce-c'"], Some("c")),
        (&[], None),
    ] {
        assert_eq!(page_nonce(&headers("content-security-policy", policies)).as_deref(), want, "{policies:?}");
    }
    assert_eq!(page_nonce(&headers("content-security-policy-report-only", &["script-src 'nonce-a'"])), None);
}

// === the guarantee, checked against a browser in miniature ===

/// What a page may try, by the directives that decide about it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Try {
    Fetch(&'static [&'static str], &'static str),
    Inline(&'static [&'static str], Option<&'static str>),
    Eval,
    TrustedPolicy(&'static str),
}

const NEEDED: &[&[&str]] = &[STYLE, SCRIPT, CONNECT, FORM];
const KINDS: &[&[&str]] = &[
    STYLE,
    SCRIPT,
    CONNECT,
    FORM,
    &["img-src", "default-src"],
    &["frame-src", "child-src", "default-src"],
    &["object-src", "default-src"],
    &["worker-src", "child-src", "script-src", "default-src"],
];
const URLS: &[&str] = &[
    "https://a.site/_consent/assets/1/gate.js",
    "https://a.site/_consent/",
    "https://a.site/_consentx/",
    "https://a.site/_consent",
    "https://a.site/app.js",
    "http://a.site/_consent/x",
    "https://a.site:8443/_consent/x",
    "https://b.a.site/_consent/x",
    "https://cdn.example/_consent/x",
    "https://cdn.example/lib.js",
    "data:text/javascript,1",
];
const INLINE: &[&[&str]] =
    &[STYLE, SCRIPT, &["style-src-attr", "style-src", "default-src"], &["script-src-attr", "script-src", "default-src"]];

fn tries() -> Vec<Try> {
    let fetches = KINDS.iter().flat_map(|kind| URLS.iter().map(|url| Try::Fetch(kind, url)));
    let inline = INLINE.iter().flat_map(|kind| [None, Some("n1"), Some("n2")].map(|nonce| Try::Inline(kind, nonce)));
    let names = ["consentry", "default", "other"].map(Try::TrustedPolicy);
    fetches.chain(inline).chain([Try::Eval]).chain(names).collect()
}

/// The words of the deciding directive; none if nothing restricts.
fn deciding(policy: &str, chain: &[&str]) -> Option<Vec<String>> {
    chain.iter().find_map(|name| {
        let of_name = |directive: &str| directive.split_ascii_whitespace().next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        let directive = policy.split(';').find(|d| d.is_ascii() && of_name(d))?;
        Some(directive.split_ascii_whitespace().skip(1).map(str::to_owned).collect())
    })
}

fn allows(policies: &str, what: Try) -> bool {
    policies.split(',').all(|policy| match what {
        Try::Fetch(chain, url) => deciding(policy, chain).is_none_or(|words| {
            let script = chain.contains(&"script-src");
            let strict = script && words.iter().any(|w| w == "'strict-dynamic'");
            !strict && words.iter().any(|word| matches_url(word, url))
        }),
        Try::Inline(chain, nonce) => deciding(policy, chain).is_none_or(|words| {
            let has = |w: &str| words.iter().any(|word| word == w);
            let script = chain.contains(&"script-src");
            let by_nonce = nonce.is_some_and(|n| has(&format!("'nonce-{n}'")));
            let switched_off =
                words.iter().any(|w| w.starts_with("'nonce-") || w.starts_with("'sha256-")) || script && has("'strict-dynamic'");
            by_nonce || has("'unsafe-inline'") && !switched_off
        }),
        Try::Eval => {
            deciding(policy, &["script-src", "default-src"]).is_none_or(|words| words.iter().any(|w| w == "'unsafe-eval'"))
        }
        Try::TrustedPolicy(name) => {
            deciding(policy, &["trusted-types"]).is_none_or(|words| words.iter().any(|w| w == "*" || w == name))
        }
    })
}

/// Section 6.7.2.6, for the expressions that the generator below knows.
fn matches_url(word: &str, url: &str) -> bool {
    let url = Url::parse(url).expect("a test address parses");
    let (scheme, host, port) = (url.scheme(), url.host_str().unwrap_or_default(), url.port_or_known_default());
    match word {
        "*" => matches!(scheme, "http" | "https"),
        "https:" => scheme == "https",
        "data:" => scheme == "data",
        "'self'" | "https://a.site" | "a.site" => scheme == "https" && host == "a.site" && port == Some(443),
        "*.a.site" => scheme == "https" && host.ends_with(".a.site") && port == Some(443),
        "cdn.example" => scheme == "https" && host == "cdn.example",
        "a.site/_consent" => scheme == "https" && host == "a.site" && port == Some(443) && url.path() == "/_consent",
        OWN | "a.site/_consent/" => {
            scheme == "https" && host == "a.site" && port == Some(443) && url.path().starts_with("/_consent/")
        }
        quoted if quoted.starts_with('\'') => false,
        other => panic!("the generator has a word that the matcher does not know: {other}"),
    }
}

fn some_policy() -> impl Strategy<Value = String> {
    let source = prop::sample::select(vec![
        "'self'",
        "'none'",
        "*",
        "https:",
        "data:",
        "https://a.site",
        "a.site",
        "*.a.site",
        "cdn.example",
        "a.site/_consent",
        "a.site/_consent/",
        "'unsafe-inline'",
        "'unsafe-eval'",
        "'nonce-n1'",
        "'nonce-n2'",
        "'sha256-abc='",
        "'strict-dynamic'",
    ]);
    let name = prop::sample::select(vec![
        "default-src",
        "script-src",
        "script-src-elem",
        "script-src-attr",
        "style-src",
        "style-src-elem",
        "style-src-attr",
        "connect-src",
        "form-action",
        "img-src",
        "frame-src",
        "child-src",
        "worker-src",
        "object-src",
        "Default-Src",
    ]);
    let types = prop::sample::select(vec!["*", "default", "consentry", "'none'", "'allow-duplicates'"]);
    let space = prop::sample::select(vec![" ", "  ", "\t"]);
    let fetch = (name, prop::collection::vec(source, 0..4), space)
        .prop_map(|(name, sources, space)| std::iter::once(name).chain(sources).collect::<Vec<_>>().join(space));
    let trusted = prop::collection::vec(types, 0..3).prop_map(|names| format!("trusted-types {}", names.join(" ")));
    let other = prop::sample::select(vec!["", "sandbox allow-forms", "upgrade-insecure-requests", "report-uri /r"])
        .prop_map(str::to_owned);
    let directive = prop_oneof![6 => fetch, 1 => trusted, 1 => other];
    let policy = prop::collection::vec(directive, 0..6).prop_map(|directives| directives.join(";"));
    prop::collection::vec(policy, 1..3).prop_map(|policies| policies.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The amended policies allow what the original ones allow, plus addresses under the prefix and
    /// the guard's Trusted Types policy; and these they do allow, except scripts under 'strict-dynamic'.
    #[test]
    fn only_own_addresses_are_let_in_besides(policies in some_policy()) {
        let after = amended(&policies);
        for what in tries() {
            let (was, is) = (allows(&policies, what), allows(&after, what));
            prop_assert!(is || !was, "{:?} was lost from `{}` in `{}`", what, policies, after);
            prop_assert!(is_own(what) || is == was, "{:?} was let in by `{}` from `{}`", what, after, policies);
            let strict = matches!(what, Try::Fetch(SCRIPT, _)) && policies.contains("'strict-dynamic'");
            prop_assert!(is || !is_needed(what) || strict, "{:?} is still kept out by `{}`", what, after);
        }
        if tries().into_iter().all(|what| allows(&policies, what) || !is_needed(what)) {
            prop_assert_eq!(&after, &policies, "nothing was missing");
        }
    }
}

fn is_own(what: Try) -> bool {
    match what {
        Try::Fetch(_, url) => url.starts_with(OWN),
        Try::TrustedPolicy(name) => name == "consentry",
        Try::Inline(..) | Try::Eval => false,
    }
}

fn is_needed(what: Try) -> bool {
    is_own(what) && !matches!(what, Try::Fetch(kind, _) if !NEEDED.contains(&kind))
}

#[test]
fn report_addresses_of_ungranted_vendors_go_from_both_kinds_of_policy() {
    let policy = policy();
    let base = Url::parse("https://a.site/en/").expect("a test address parses");
    for (sent, want, cut) in [
        (
            "img-src *; report-uri /r https://acme.example/r?k=1 ; form-action 'self'",
            "img-src *; report-uri /r ; form-action 'self'",
            1,
        ),
        ("Report-URI //acme.example/a https://b.acme.example/b", "Report-URI", 2),
        (
            "report-uri https://acme.example/1; report-uri https://acme.example/2",
            "report-uri; report-uri https://acme.example/2",
            1,
        ),
        ("a, report-uri https://acme.example/,report-uri /r", "a, report-uri,report-uri /r", 1),
        ("report-uri  /r  https://other.example/;;", "report-uri  /r  https://other.example/;;", 0),
        ("report-to acme; img-src https://acme.example", "report-to acme; img-src https://acme.example", 0),
    ] {
        for name in ["content-security-policy", "content-security-policy-report-only"] {
            let mut map = headers(name, &[sent]);
            let found = filter_reports(&mut map, policy, &policy.undecided(), &base);
            assert_eq!(lines(&map, name), [want], "{name}");
            assert_eq!(found.len(), cut, "{name}: {sent}");
            assert!(
                found.iter().all(|cut| cut.header == name && cut.address.contains("acme.example/") && !cut.address.contains('?'))
            );
            let mut map = headers(name, &[sent]);
            assert!(filter_reports(&mut map, policy, &policy.everything(), &base).is_empty());
            assert_eq!(lines(&map, name), [sent], "granted");
        }
    }
}
