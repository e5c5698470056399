//! The vendor files under `policies/`, compiled as they are on disk, against `vendors.toml` beside
//! this file: what each vendor's rules hit, and what none may hit.
//!
//! What becomes of a whole page is tested where pages are gated.

use std::{collections::BTreeMap, fs, path::Path};

use consentry::policy::{Hits, Policy, Sources};
use consentry::vocab::Verdict;
use serde::Deserialize;
use url::Url;

/// The base of the addresses in examples.
const PAGE: &str = "https://kiln.example/bowls/";

#[derive(Deserialize)]
struct Table {
    nothing: Nothing,
    #[serde(flatten)]
    vendors: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Nothing {
    addresses: Vec<String>,
    inline: Vec<String>,
    cookies: Vec<String>,
}

#[derive(Deserialize)]
struct Expected {
    addresses: Vec<(String, String)>,
    inline: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
}

fn policy() -> Policy {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut sources = Sources::default();
    for folder in ["", "regimes/", "vendors/"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folder is part of the project") {
            let path = entry.expect("the folder can be listed").path();
            if path.extension().is_some_and(|ext| ext == "toml") {
                let name = path.file_name().expect("a listed file has a name").to_string_lossy();
                let text = fs::read_to_string(&path).expect("policy files are UTF-8");
                sources.insert(format!("{folder}{name}"), text);
            }
        }
    }
    match Policy::compile(&sources) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn table() -> Table {
    toml::from_str(include_str!("vendors.toml")).expect("the table is valid TOML")
}

fn names(policy: &Policy, hits: &Hits) -> String {
    hits.iter().map(|id| policy.rule(id).id.as_str()).collect::<Vec<_>>().join(" ")
}

fn address(policy: &Policy, address: &str) -> String {
    let url = Url::parse(PAGE).and_then(|base| base.join(address)).expect("a test address parses");
    names(policy, &policy.match_url(&url))
}

fn inline(policy: &Policy, text: &str) -> String {
    names(policy, &policy.match_inline(text.as_bytes()))
}

fn cookie(policy: &Policy, pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    names(policy, &policy.match_cookie(name, value))
}

/// Runs every entry before it fails, so that one run shows all that is wrong.
fn check<'t>(entries: impl IntoIterator<Item = (&'t str, String)>, got: impl Fn(&str) -> String) {
    let wrong: Vec<String> = entries
        .into_iter()
        .filter_map(|(text, want)| {
            let got = got(text);
            (got != want).then(|| format!("{text}\n  wanted `{want}`, got `{got}`"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn wanted(table: &Table, column: fn(&Expected) -> &Vec<(String, String)>) -> Vec<(&str, String)> {
    let rule = |vendor: &str, rule: &str| if rule.contains('/') { rule.to_owned() } else { format!("{vendor}/{rule}") };
    let all = table.vendors.iter();
    all.flat_map(|(vendor, expected)| column(expected).iter().map(move |(text, name)| (text.as_str(), rule(vendor, name))))
        .collect()
}

fn unwanted(texts: &[String]) -> impl Iterator<Item = (&str, String)> {
    texts.iter().map(|text| (text.as_str(), String::new()))
}

#[test]
fn addresses_hit_their_rule_and_no_other() {
    let (policy, table) = (policy(), table());
    check(wanted(&table, |expected| &expected.addresses), |text| address(&policy, text));
    check(unwanted(&table.nothing.addresses), |text| address(&policy, text));
}

#[test]
fn base_code_hits_its_rule_and_the_sites_own_calls_hit_none() {
    let (policy, table) = (policy(), table());
    check(wanted(&table, |expected| &expected.inline), |text| inline(&policy, text));
    check(unwanted(&table.nothing.inline), |text| inline(&policy, text));
}

#[test]
fn cookies_hit_their_rule_and_those_that_record_a_choice_or_a_login_hit_none() {
    let (policy, table) = (policy(), table());
    check(wanted(&table, |expected| &expected.cookies), |text| cookie(&policy, text));
    check(unwanted(&table.nothing.cookies), |text| cookie(&policy, text));
}

#[test]
fn every_vendor_is_in_the_table_and_names_who_receives_the_data() {
    let (policy, table) = (policy(), table());
    let known: Vec<&str> = policy.vendors().iter().map(|def| def.id.as_str()).collect();
    assert_eq!(known, table.vendors.keys().map(String::as_str).collect::<Vec<_>>());
    for def in policy.vendors() {
        assert!(!def.company.is_empty() && Url::parse(&def.privacy_policy).is_ok(), "{}", def.id);
        let expected = &table.vendors[&def.id];
        assert!(expected.addresses.len() >= 6 && expected.inline.len() >= 2, "{} has too few entries", def.id);
    }
}

/// What a tag sends must be known as well as the tag: it is the same for a beacon of a form in
/// `tests/browser/tags` and for a script or frame of `templates/demo/played.toml`.
#[test]
fn what_the_played_vendors_answer_and_receive_is_known_as_theirs() {
    let policy = policy();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let known = |vendor: &str, host: &str, path: &str| {
        // A Google tag belongs to the product that its id names.
        let id = match vendor {
            "google-analytics" => "G-1",
            "google-ads" => "AW-1",
            _ => "GT-1",
        };
        let found = address(&policy, &format!("https://{host}/{}?id={id}", path.replace('*', "x/").trim_start_matches('/')));
        let exact = address(&policy, &format!("https://{host}/{}", path.replace('*', "").trim_start_matches('/')));
        let own = |hits: &str| hits.split(' ').any(|rule| rule.starts_with(&format!("{vendor}/")));
        assert!(own(&found) || own(&exact), "{vendor} does not know {host}{path}");
    };

    let played: Played = toml::from_str(&read("templates/demo/played.toml")).expect("played.toml is valid");
    for entry in played.script.iter().chain(&played.frame) {
        assert!(played.hosts.contains(&entry.host), "{} is not listed", entry.host);
        assert!(!read(&format!("templates/demo/played/{}", entry.file)).is_empty());
        if entry.path != BY_TEXT_ONLY {
            known(&entry.vendor, &entry.host, &entry.path);
        }
    }
    for def in policy.vendors() {
        let forms: Forms = toml::from_str(&read(&format!("tests/browser/tags/{}.toml", def.id))).expect("the forms are valid");
        assert!(forms.form.len() >= 3, "{} has too few forms", def.id);
        for form in &forms.form {
            assert!(!form.html.is_empty() && !form.beacon.is_empty(), "{}: {} sends nothing", def.id, form.name);
            for beacon in &form.beacon {
                assert!(played.hosts.contains(&beacon.host), "{} is not listed", beacon.host);
                known(&def.id, &beacon.host, &beacon.path);
            }
        }
    }
}

/// A container on a host of one's own has no fixed name: its base code is known, its address is not.
const BY_TEXT_ONLY: &str = "/js/container_*.js";

#[derive(Deserialize)]
struct Played {
    hosts: Vec<String>,
    script: Vec<PlayedEntry>,
    frame: Vec<PlayedEntry>,
}

#[derive(Deserialize)]
struct PlayedEntry {
    vendor: String,
    host: String,
    path: String,
    file: String,
}

#[derive(Deserialize)]
struct Forms {
    form: Vec<Form>,
}

#[derive(Deserialize)]
struct Form {
    name: String,
    html: String,
    beacon: Vec<Beacon>,
}

#[derive(Deserialize)]
struct Beacon {
    host: String,
    path: String,
}

/// Without the page engine: an example has one tag, which is hit through its address or its text.
#[test]
fn every_example_is_hit_by_the_rule_it_names() {
    let policy = policy();
    for def in policy.vendors() {
        assert!(def.examples.len() >= 8, "{} has too few examples", def.id);
        for example in &def.examples {
            let html = example.html.as_str();
            let got = match (tag_address(html), script_text(html)) {
                (Some(found), _) => address(&policy, &found.replace("&amp;", "&")),
                (None, Some(text)) => inline(&policy, text),
                (None, None) => String::new(),
            };
            let want = example.rule.clone().unwrap_or_default();
            assert_eq!(got, want, "{html}");
            assert_eq!(
                example.verdict == Verdict::Strip,
                html.starts_with("<noscript") || !want.is_empty() && html.starts_with("<link"),
                "{html}"
            );
        }
    }
}

/// The address that the first tag of an example loads, `None` for an anchor or an inline script.
fn tag_address(html: &str) -> Option<&str> {
    let tag = html.trim_start_matches("<noscript>").trim_start_matches("<div style=\"display:inline;\">");
    let tag = tag.trim_start_matches("<p>");
    if tag.starts_with("<a ") {
        return None;
    }
    let tag = &tag[..tag.find('>')?];
    let start = [" src=\"", " href=\""].iter().find_map(|name| tag.find(name).map(|at| at + name.len()))?;
    tag[start..].split('"').next()
}

fn script_text(html: &str) -> Option<&str> {
    let rest = html.strip_prefix("<script")?;
    let (attributes, text) = rest.split_once('>')?;
    let data = attributes.contains("application/");
    (!data).then(|| text.trim_end_matches("</script>"))
}
