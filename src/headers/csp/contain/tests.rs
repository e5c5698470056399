use super::*;
use crate::{
    headers::{
        csp::{Needs, amend_headers, policy::parse, source},
        sample::{headers, lines},
    },
    policy::Sources,
};

use url::Url;

const VENDOR: &str = r#"
id = "acme"
name = "Acme"
purposes = ["marketing"]
sockets = ["live.acme.example"]
[[rule]]
id = "widget"
purposes = ["functional"]
hosts = ["acme.example"]
paths = ["/widget/*", "/w.js"]
[[rule]]
id = "host"
hosts = ["acme.example", "acme-cdn.example"]
[[rule]]
id = "self-hosted"
paths = ["*/acme.js"]
"#;

fn compile(hosts: &str) -> Policy {
    let mut sources = Sources::embedded();
    sources.insert("site.toml", "vendors = [\"acme\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    sources.insert("vendors/acme.toml", VENDOR);
    sources.insert("hosts.toml", hosts);
    Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:#?}")).0
}

const SETTING: Setting<'_> = Setting { own_host: "", played: false, bytes_max: 3_072, enforced: true };

fn granted(policy: &Policy, purposes: &[&str]) -> Grants {
    let mut grants = policy.undecided();
    purposes.iter().for_each(|id| grants.purposes.insert(policy.purpose(id).expect("a purpose")));
    grants
}

/// Whether the wall's one directive lets an address through, as browsers match it.
fn lets(wall: &Wall, url: &str) -> bool {
    let text = wall.policy();
    let directives = parse(&text);
    assert_eq!(directives.len(), 1, "{text}");
    let url = Url::parse(url).expect("a test address");
    directives[0].words().filter(|word| !word.starts_with('\'')).any(|word| match word.strip_prefix("wss://") {
        Some(rest) => url.scheme() == "wss" && source::covers(rest, &url),
        None => url.scheme() != "wss" && covers(word, &url),
    })
}

/// A source with a path that ends in no slash is one address (section 6.7.2.12).
fn covers(source: &str, url: &Url) -> bool {
    match source.split_once('/') {
        Some((host, path)) if !path.ends_with('/') => url.path()[1..] == *path && source::covers(host, url),
        _ => source::covers(source, url),
    }
}

#[test]
fn the_wall_lets_through_the_allowed_and_the_granted_and_nobody_else() {
    let policy = compile("allowed = [\"static.shop.example\", \"wss://chat.example\"]\npresets = [\"recaptcha\"]\n");
    let undecided = Wall::build(&policy, &policy.undecided(), &SETTING);
    let functional = Wall::build(&policy, &granted(&policy, &["functional"]), &SETTING);
    let everything = Wall::build(&policy, &policy.everything(), &SETTING);
    for (url, want) in [
        ("https://static.shop.example/a.png", [true; 3]),
        ("https://x.static.shop.example/a.png", [true; 3]),
        ("https://www.google.com/recaptcha/api.js", [true; 3]),
        ("https://www.google.com/pagead/1", [false; 3]),
        ("wss://chat.example/", [true; 3]),
        ("https://chat.example/", [true; 3]),
        ("wss://static.shop.example/", [false; 3]),
        ("https://acme.example/w.js", [false, true, true]),
        ("https://acme.example/widget/1", [false, true, true]),
        ("https://acme.example/pixel", [false, false, true]),
        ("https://t.acme-cdn.example/", [false, false, true]),
        ("wss://live.acme.example/", [false, true, true]),
        ("https://unknown.example/", [false; 3]),
        ("https://js.stripe.com/v3/", [false; 3]),
        ("https://notacme.example/", [false; 3]),
    ] {
        assert_eq!([&undecided, &functional, &everything].map(|wall| lets(wall, url)), want, "{url}");
    }
    assert_eq!(undecided.fit, Fit::Exact);
}

#[test]
fn a_denied_or_undeclared_vendor_is_outside() {
    let policy = compile("");
    let mut grants = policy.everything();
    grants.denied.insert(policy.vendor("acme").expect("a vendor"));
    assert_eq!(Wall::build(&policy, &grants, &SETTING).sources(), "");
    let mut sources = Sources::embedded();
    sources.insert("site.toml", "vendors = [\"matomo\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    let policy = Policy::compile(&sources).expect("good files").0;
    let mut grants = policy.everything();
    grants.purposes = policy.asked().union(granted(&policy, &["functional", "analytics", "marketing"]).purposes);
    assert!(!Wall::build(&policy, &grants, &SETTING).sources().contains("facebook"));
}

#[test]
fn it_stands_beside_the_sites_policies_and_leaves_their_bytes_alone() {
    let policy = compile("");
    let wall = Wall::build(&policy, &policy.undecided(), &SETTING);
    let own = ["script-src 'strict-dynamic' 'nonce-a'", "default-src 'none'; img-src https:"];
    for (mode, name) in
        [(Containment::Report, "content-security-policy-report-only"), (Containment::Enforce, "content-security-policy")]
    {
        let mut map = headers("content-security-policy", &own);
        wall.raise(&mut map, mode, "/_consent/report", false);
        let all = lines(&map, "content-security-policy");
        assert_eq!(&all[..2], own);
        let ours = lines(&map, name).last().copied().expect("a line of its own");
        assert_eq!(ours, "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; report-uri /_consent/report");
        assert!(!map.contains_key("reporting-endpoints"), "plain HTTP reports by address");
    }
    let mut map = headers("content-security-policy", &own);
    wall.raise(&mut map, Containment::Off, "/_consent/report", true);
    assert_eq!(map.len(), 2);
}

#[test]
fn over_tls_reports_go_by_name_beside_the_sites_own_endpoints() {
    let policy = compile("");
    let wall = Wall::build(&policy, &policy.undecided(), &SETTING);
    let mut map = headers("reporting-endpoints", &["main=\"/r\""]);
    wall.raise(&mut map, Containment::Report, "/_consent/report", true);
    assert_eq!(lines(&map, "reporting-endpoints"), ["main=\"/r\"", "consentry-containment=\"/_consent/report\""]);
    let line = lines(&map, "content-security-policy-report-only")[0];
    assert!(line.ends_with("; report-uri /_consent/report; report-to consentry-containment"), "{line}");
}

#[test]
fn nothing_in_it_says_more_than_where_to_load_from() {
    let policy = compile("");
    let text = Wall::build(&policy, &policy.everything(), &SETTING).policy();
    for absent in
        ["form-action", "frame-ancestors", "base-uri", "sandbox", "strict-dynamic", "nonce-", " *", "https:", "navigate-to"]
    {
        let found = text.split([';', ' ']).any(|word| word == absent.trim()) || text.contains("'nonce-");
        assert!(!found, "{absent} in {text}");
    }
}

#[test]
fn the_gates_own_prefix_passes() {
    let policy = compile("");
    let needs = Needs::new(&Url::parse("https://a.site/_consent/").expect("a test address"), "consentry");
    let mut map = HeaderMap::new();
    Wall::build(&policy, &policy.undecided(), &SETTING).raise(&mut map, Containment::Enforce, "/_consent/report", true);
    let before = map.clone();
    amend_headers(&mut map, &needs);
    assert_eq!(map, before, "nothing is missing for the notice");
}

#[test]
fn vendors_that_are_played_on_this_machine_pass_at_any_port() {
    let policy = compile("allowed = [\"127.0.0.1:9\"]\n");
    let wall = Wall::build(&policy, &policy.everything(), &Setting { played: true, own_host: "shop.example", ..SETTING });
    for source in ["acme.example.localhost:*", "*.acme.example.localhost:*", "127.0.0.1:9", "shop.example"] {
        assert!(wall.sources().split(' ').any(|word| word == source), "{source} in {}", wall.sources());
    }
}

#[test]
fn a_list_that_is_too_long_is_lowered_and_never_crooked() {
    let mut sources = Sources::embedded();
    let hosts: Vec<String> = (0..60).map(|n| format!("host-number-{n}.acme.example")).collect();
    sources.insert(
        "vendors/acme.toml",
        format!("id = \"acme\"\nname = \"A\"\npurposes = [\"marketing\"]\n[[rule]]\nid = \"host\"\nhosts = {hosts:?}\n"),
    );
    sources.insert("site.toml", "vendors = [\"acme\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    let policy = Policy::compile(&sources).expect("good files").0;
    let wall = |bytes_max| Wall::build(&policy, &policy.everything(), &Setting { bytes_max, ..SETTING });
    assert_eq!(wall(8_000).fit, Fit::Exact);
    let domains = wall(3_072);
    assert_eq!((domains.fit, domains.sources()), (Fit::Domains, "acme.example *.acme.example"));
    let open = wall(10);
    assert_eq!(open.fit, Fit::Open);
    for wall in [domains, open] {
        assert!(lets(&wall, "https://host-number-7.acme.example/x"), "{wall:?}");
    }
    let undecided = Wall::build(&policy, &policy.undecided(), &Setting { bytes_max: 10, ..SETTING });
    assert_eq!((undecided.fit, undecided.sources()), (Fit::Exact, ""), "without consent it never has to be lowered");
}

#[test]
fn a_list_for_reports_may_name_the_usual_forms_only() {
    let mut sources = Sources::embedded();
    let hosts: Vec<String> = (0..60).map(|n| format!("vendor-number-{n}.example")).collect();
    sources.insert(
        "vendors/acme.toml",
        format!(
            "id = \"acme\"\nname = \"A\"\npurposes = [\"marketing\"]\n[[rule]]\nid = \"host\"\nhosts = {hosts:?}\n\
             [[example]]\nverdict = \"hold\"\nrule = \"host\"\nhtml = '<script src=\"https://vendor-number-3.example/t.js\"></script>'\n"
        ),
    );
    sources.insert("hosts.toml", "allowed = [\"cdn.shop.example\"]\n");
    sources.insert("site.toml", "vendors = [\"acme\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    let policy = Policy::compile(&sources).expect("good files").0;
    let wall = |enforced| Wall::build(&policy, &policy.everything(), &Setting { bytes_max: 2_000, enforced, ..SETTING });
    assert_eq!(wall(true).fit, Fit::Open, "what is enforced never gets narrower");
    let told = wall(false);
    assert_eq!(told.fit, Fit::Usual);
    for (url, want) in [
        ("https://vendor-number-3.example/t.js", true),
        ("https://vendor-number-4.example/t.js", false),
        ("https://t.vendor-number-4.example/t.js", true),
        ("https://cdn.shop.example/", true),
        ("https://x.cdn.shop.example/", true),
        ("https://unknown.example/", false),
    ] {
        assert_eq!(lets(&told, url), want, "{url}");
    }
}

#[test]
fn a_domain_is_what_its_owner_registered_as_far_as_a_name_tells() {
    for (host, want) in [
        ("a.b.example.com", "example.com"),
        ("example.com", "example.com"),
        ("www.shop.co.uk", "shop.co.uk"),
        ("shop.co.uk", "shop.co.uk"),
        ("t.co", "t.co"),
        ("static.t.co", "static.t.co"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(domain(host), want, "{host}");
    }
}

#[test]
fn shipped_vendors_granted_stay_below_the_buffer_of_a_proxy_in_front() {
    let usual = "[\"meta\", \"tiktok\", \"linkedin\", \"x\", \"pinterest\", \"snap\", \"reddit\", \"google-tag-manager\", \"google-analytics\", \
                 \"google-ads\", \"microsoft-uet\", \"clarity\", \"hotjar\", \"hubspot\", \"matomo\", \"youtube\"]";
    for (vendors, all) in [(usual, false), ("\"all\"", true)] {
        let mut sources = Sources::embedded();
        sources.insert("site.toml", format!("vendors = {vendors}\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n"));
        let policy = Policy::compile(&sources).expect("good files").0;
        for enforced in [true, false] {
            let wall = Wall::build(&policy, &policy.everything(), &Setting { enforced, ..SETTING });
            let mut map = HeaderMap::new();
            wall.raise(&mut map, Containment::Enforce, "/_consent/report", true);
            let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
            assert!(bytes < 3_500, "{bytes} bytes: {:?}", wall.fit);
            // Nobody uses all of them; who grants all of them has no wall left.
            assert!(all || wall.fit != Fit::Open, "sixteen vendors fit");
        }
    }
}
