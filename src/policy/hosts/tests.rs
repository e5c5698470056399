use super::*;

const VENDOR: &str = r#"
id = "acme"
name = "Acme"
purposes = ["marketing"]
[[rule]]
id = "host"
hosts = ["acme.example", "t.cloud.example"]
[[rule]]
id = "shared"
hosts = ["search.example"]
paths = ["/ads/*"]
"#;

fn sources(hosts: &str) -> Sources {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../../policies/regimes/eu.toml"));
    sources.insert("presets.toml", include_str!("../../../policies/presets.toml"));
    sources.insert("site.toml", "vendors = [\"acme\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    sources.insert("vendors/acme.toml", VENDOR);
    sources.insert("hosts.toml", hosts);
    sources
}

fn compile(hosts: &str) -> (Policy, Vec<Fault>) {
    Policy::compile(&sources(hosts)).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(hosts: &str) -> Vec<String> {
    let faults = Policy::compile(&sources(hosts)).err().unwrap_or_default();
    faults.iter().map(|fault| format!("{}:{} {} | {}", fault.file, fault.line, fault.message, fault.mend)).collect()
}

#[test]
fn a_place_is_a_host_with_what_a_policy_header_can_carry() {
    for (text, want) in [
        ("cdn.example", true),
        ("wss://chat.example:8443/socket", true),
        ("127.0.0.1:9", true),
        ("a_b.example/x/", true),
        ("CDN.example", false),
        ("*.example", false),
        ("localhost", false),
        ("https://cdn.example", false),
        ("cdn.example/a;b", false),
        ("cdn.example/a,b", false),
        ("cdn.example/a b", false),
        ("cdn.example:x", false),
        (".example", false),
        ("", false),
        ("'unsafe-inline'", false),
    ] {
        assert_eq!(Place::parse(text).is_some(), want, "{text}");
    }
    assert_eq!(Place::parse("wss://a.example:1/b/").expect("a place").to_string(), "wss://a.example:1/b/");
}

#[test]
fn a_host_has_one_class() {
    let (policy, _) = compile(
        "allowed = [\"static.shop.example\", \"search.example/maps/\"]\npresets = [\"stripe\"]\n\
         [[gated]]\nhosts = [\"wss://reviews.example\"]\npurposes = [\"marketing\"]\nname = \"Reviews\"\n",
    );
    let acme = policy.vendor("acme").expect("a vendor");
    let reviews = policy.vendor("reviews-example").expect("gated hosts are vendors");
    for (host, want) in [
        ("static.shop.example", HostClass::Allowed),
        ("img.static.shop.example", HostClass::Allowed),
        ("xstatic.shop.example", HostClass::Unknown),
        ("t.acme.example", HostClass::Vendor(vec![acme])),
        ("acme.example.localhost", HostClass::Vendor(vec![acme])),
        ("w.reviews.example", HostClass::Vendor(vec![reviews])),
        ("search.example", HostClass::Allowed),
    ] {
        assert_eq!(policy.host_class(host), want, "{host}");
    }
    assert!(matches!(policy.host_class("js.stripe.com"), HostClass::Preset(preset) if preset.id == "stripe"));
    assert!(matches!(policy.host_class("www.paypal.com"), HostClass::Offered(preset) if preset.kind == PresetKind::Payment));
    assert_eq!(policy.vendor_def(reviews).sockets, ["reviews.example"]);
    assert!(!policy.declared().contains(reviews), "offered only when declared");
    assert!(!policy.match_address("reviews.example", "/x.js", None).is_empty(), "and held like any vendor");
    assert_eq!(
        policy.rule(policy.match_address("reviews.example", "/", None).iter().next().expect("a rule")).id,
        "reviews-example/host"
    );
}

#[test]
fn what_is_allowed_is_no_part_of_the_revision_and_a_declared_gated_vendor_is() {
    let (plain, _) = compile("");
    let (allowed, _) = compile("allowed = [\"a.example\"]\npresets = [\"stripe\"]\n");
    assert_eq!(plain.revision(), allowed.revision());
    let mut declared = sources("[[gated]]\nid = \"rev\"\nhosts = [\"r.example\"]\npurposes = [\"marketing\"]\nname = \"R\"\n");
    let undeclared = Policy::compile(&declared).expect("good files").0;
    assert_eq!(plain.revision(), undeclared.revision());
    declared.insert("site.toml", "vendors = [\"acme\", \"rev\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    assert_ne!(plain.revision(), Policy::compile(&declared).expect("good files").0.revision());
}

#[test]
fn every_fault_is_named_with_its_mend() {
    for (hosts, want) in [
        ("alowed = []\n", "hosts.toml:1 unknown key `alowed` | did you mean `allowed`?"),
        ("presets = [\"strip\"]\n", "hosts.toml:1 there is no preset `strip` | did you mean `stripe`?"),
        ("allowed = [\"https://a.example\"]\n", "hosts.toml:1 `https://a.example` is no host | write"),
        (
            "allowed = [\"t.acme.example\"]\n",
            "hosts.toml:1 `t.acme.example` is the vendor `acme` | take it out; declare \"acme\"",
        ),
        (
            "allowed = [\"cloud.example\"]\n",
            "hosts.toml:1 `cloud.example` covers `t.cloud.example` of the vendor `acme` | name the hosts",
        ),
        (
            "allowed = [\"a.example\"]\n[[gated]]\nhosts = [\"x.a.example\"]\npurposes = [\"marketing\"]\nname = \"X\"\n",
            "hosts.toml:3 `x.a.example` is both allowed and gated | take it out of one of the two",
        ),
        (
            "[[gated]]\nid = \"acme\"\nhosts = [\"x.example\"]\npurposes = [\"marketing\"]\nname = \"X\"\n",
            "hosts.toml:2 there is a vendor `acme` already | give it another `id`",
        ),
        ("[[gated]]\nhosts = [\"x.example\"]\nname = \"X\"\n", "hosts.toml:1 `gated.purposes` is missing | add"),
        (
            "[[gated]]\nhosts = [\"x.example/a\"]\npurposes = [\"marketing\"]\nname = \"X\"\n",
            "hosts.toml:2 `x.example/a` is more than a host",
        ),
    ] {
        let found = faults(hosts);
        assert_eq!(found.len(), 1, "{hosts}: {found:#?}");
        assert!(found[0].starts_with(want), "{hosts}: {found:#?}");
    }
}

#[test]
fn a_shared_host_is_warned_of_unless_a_path_is_named() {
    let told = |hosts| compile(hosts).1.iter().filter(|warning| warning.message.contains("the browser's wall lets them")).count();
    assert_eq!(told("allowed = [\"search.example\"]\n"), 1);
    assert_eq!(told("allowed = [\"search.example/maps/\"]\n"), 0);
}

#[test]
fn no_shipped_preset_opens_the_wall_for_a_shipped_vendor() {
    let mut sources = Sources::embedded();
    let ids: Vec<String> =
        Policy::compile(&sources).expect("good files").0.hosts().presets().iter().map(|p| p.id.clone()).collect();
    assert!(ids.len() >= 20, "{ids:?}");
    let hosts: Vec<String> = {
        let (policy, _) = Policy::compile(&sources).expect("good files");
        policy.hosts().presets().iter().flat_map(|preset| preset.places.iter().map(Place::to_string)).collect()
    };
    sources.insert("hosts.toml", format!("allowed = {hosts:?}\n"));
    let (_, warnings) = Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let shared: Vec<_> = warnings.iter().filter(|warning| warning.file == HOSTS).collect();
    assert!(shared.is_empty(), "{shared:#?}");
}
