use super::*;

pub(super) fn sources(edit: impl FnOnce(&mut Sources)) -> Sources {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../policies/default.toml"));
    sources.insert("site.toml", "vendors = \"all\"\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    sources.insert("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml"));
    sources.insert(
        "vendors/acme.toml",
        r#"
id = "acme"
name = "Acme"
purposes = ["marketing"]
[[rule]]
id = "widget"
purposes = ["functional"]
hosts = ["acme.example"]
paths = ["/*/sdk.js"]
[[rule]]
id = "host"
hosts = ["acme.example"]
[[rule]]
id = "by-id"
hosts = ["tags.example"]
query = ["id=AC-*"]
[[rule]]
id = "without-id"
hosts = ["tags.example"]
paths = ["/t"]
unless_query = ["id=ZZ-*"]
[[rule]]
id = "self-hosted"
paths = ["*/acme.js"]
[[rule]]
id = "snippet"
inline = ["acme('init'", ["acme.q", "loadAcme"]]
unless = ["isPreview"]
[[rule]]
id = "cookies"
cookies = ["_acme_id", "_acme_*", "uid=ac.*"]
"#,
    );
    edit(&mut sources);
    sources
}

pub(super) fn compile(sources: &Sources) -> Policy {
    match Policy::compile(sources) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{}", faults.iter().map(|f| f.to_string()).collect::<Vec<_>>().join("\n")),
    }
}

fn rules(policy: &Policy, hits: Hits) -> Vec<&str> {
    hits.iter().map(|id| policy.rule(id).id.as_str()).collect()
}

#[test]
fn an_address_is_matched_by_host_suffix_path_query_and_file() {
    let policy = compile(&sources(|_| {}));
    for (url, want) in [
        ("https://acme.example/x", Some("acme/host")),
        ("https://a.b.acme.example/x", Some("acme/host")),
        ("https://acme.example./x", Some("acme/host")),
        ("https://acme.example/en/sdk.js?x=1", Some("acme/widget")),
        ("https://acme.example//en//%73dk.js", Some("acme/widget")),
        ("https://notacme.example/x", None),
        ("https://acme.example.evil.example/x", None),
        ("https://tags.example/t?x=1&id=AC-7", Some("acme/by-id")),
        ("https://tags.example/t?id=ZZ-7", None),
        ("https://tags.example/t?l=x", Some("acme/without-id")),
        ("https://tags.example/t", Some("acme/without-id")),
        ("https://own.site/stats/acme.js", Some("acme/self-hosted")),
        ("https://own.site/stats/xacme.js", None),
        ("http://acme.example.localhost:8082/x", Some("acme/host")),
        ("data:text/html,acme.example", None),
    ] {
        let url = url::Url::parse(url).expect("a test address parses");
        assert_eq!(rules(&policy, policy.match_url(&url)), want.into_iter().collect::<Vec<_>>(), "{url}");
    }
}

#[test]
fn an_inline_script_is_hit_by_one_whole_group_and_excused_by_unless() {
    let policy = compile(&sources(|_| {}));
    for (text, hit) in [
        ("acme('init', '1')", true),
        ("acme ( \"init\"", true),
        ("acme('track', 'x')", false),
        ("acme.q=[]", false),
        ("acme.q=[];loadAcme()", true),
        ("acme('init');var isPreview", false),
    ] {
        for size in [1, 3, text.len()] {
            let mut scanner = policy.inline_scanner();
            text.as_bytes().chunks(size).for_each(|piece| scanner.feed(piece));
            assert_eq!(!scanner.finish().is_empty(), hit, "{text} in pieces of {size}");
        }
    }
}

#[test]
fn a_cookie_is_matched_by_name_or_by_the_shape_of_its_value() {
    let policy = compile(&sources(|_| {}));
    for (name, value, hit) in [
        ("_acme_id", "1", true),
        ("_acme_x9", "", true),
        ("uid", "ac.1.2", true),
        ("uid", "user7", false),
        ("acme_id", "1", false),
    ] {
        assert_eq!(!policy.match_cookie(name, value).is_empty(), hit, "{name}={value}");
    }
}

#[test]
fn an_undeclared_vendor_is_never_allowed() {
    let declared = compile(&sources(|_| {}));
    let undeclared = compile(&sources(|s| s.insert("site.toml", "vendors = []\n")));
    let hits = |policy: &Policy| policy.match_cookie("_acme_id", "1");
    assert!(declared.allows(&declared.everything(), &hits(&declared)));
    assert!(!declared.allows(&declared.undecided(), &hits(&declared)));
    assert!(!undeclared.allows(&undeclared.everything(), &hits(&undeclared)));
}

#[test]
fn the_revision_moves_with_what_matters_to_consent_and_with_nothing_else() {
    let base = compile(&sources(|_| {}));
    let with = |edit: fn(&mut Sources)| compile(&sources(edit)).revision();
    let vendor = |s: &Sources| s.get("vendors/acme.toml").expect("the test vendor").to_owned();
    assert_eq!(base.revision(), with(|_| {}));
    let host_added = compile(&sources(|s| {
        let text = vendor(s).replace("\"tags.example\"", "\"tags.example\", \"more.example\"");
        s.insert("vendors/acme.toml", text);
    }));
    assert_eq!(base.revision(), host_added.revision());
    let purpose_changed = compile(&sources(|s| {
        let text = vendor(s).replace("[\"functional\"]", "[\"analytics\"]");
        s.insert("vendors/acme.toml", text);
    }));
    assert_ne!(base.revision(), purpose_changed.revision());
    assert_ne!(
        base.revision(),
        with(|s| s.insert("site.toml", "vendors = []\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n"))
    );
    assert_ne!(
        base.revision(),
        with(|s| s.insert("site.toml", "vendors = \"all\"\n[controller]\nname = \"B\"\ncontact = \"a@b.example\"\n"))
    );
    assert!(base.canonical().starts_with(r#"{"controller":{"address":"","contact":"#), "keys are sorted: {}", base.canonical());
}

#[test]
fn every_fault_of_every_file_is_reported_in_one_run() {
    let broken = sources(|s| {
        s.insert("site.toml", "vendors = [\"acmee\"]\n[controler]\nname = \"A\"\n");
        s.insert("regimes/eu.toml", "id = \"eu\"\njurisdiction = \"EU\"\nmodel = \"opt-out\"\n");
        s.insert(
            "vendors/bad.toml",
            "id = \"bad\"\nname = \"Bad\"\npurposes = [\"ads\"]\n[[rule]]\nid = \"r\"\ncookies = [\"uid\"]\n",
        );
    });
    let faults = Policy::compile(&broken).err().expect("the files are at fault");
    let lines: Vec<String> = faults.iter().map(|f| format!("{}:{} {}", f.file, f.line, f.message)).collect();
    assert_eq!(
        lines,
        [
            "regimes/eu.toml:3 the model `opt-out` is not enforced by this version",
            "site.toml:1 there is no vendor `acmee`",
            "site.toml:2 unknown key `controler`",
            "vendors/bad.toml:3 there is no purpose `ads`",
            "vendors/bad.toml:6 the cookie name `uid` is not distinctive",
        ]
    );
    assert!(faults.iter().all(|fault| !fault.mend.is_empty()));
    assert_eq!(faults[1].mend, "did you mean `acme`?");
}

#[test]
fn the_broad_default_is_named_in_a_warning() {
    let (_, warnings) =
        Policy::compile(&sources(|s| s.insert("site.toml", "vendors = \"all\"\n"))).unwrap_or_else(|_| panic!("it compiles"));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}
