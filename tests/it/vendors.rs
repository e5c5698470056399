//! The vendor files under `policies/`, compiled as they are on disk, against `vendors.toml` beside
//! this file: what each vendor's rules hit, and what none may hit.
//!
//! What becomes of a whole page is tested where pages are gated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use consentry::policy::{Hits, Policy, Sources, What};
use consentry::vocab::{Grants, Verdict};
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
    storage: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    addresses: Vec<(String, String)>,
    #[serde(default)]
    inline: Vec<(String, String)>,
    #[serde(default)]
    amp: Vec<(String, String)>,
    #[serde(default)]
    answers: Vec<(String, String)>,
    #[serde(default)]
    cookies: Vec<(String, String)>,
    #[serde(default)]
    storage: Vec<(String, String)>,
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

/// A script that comes back from one of the site's own paths.
fn answer(policy: &Policy, text: &str) -> String {
    let mut scanner = policy.answer_scanner();
    scanner.feed(text.as_bytes());
    names(policy, &scanner.finish())
}

/// As the browser does it: a key of localStorage or sessionStorage.
fn storage(policy: &Policy, key: &str) -> String {
    let hit = |what: &What| matches!(what, What::Storage(globs) if globs.iter().any(|glob| star(&glob.pattern(), key)));
    policy.rules().iter().filter(|rule| hit(&rule.what)).map(|rule| rule.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// Whether the whole text matches a pattern in which `*` is any run of characters.
fn star(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| star(tail, &rest[at..]))),
    }
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

type Column = fn(&Expected) -> &Vec<(String, String)>;

fn wanted(table: &Table, column: Column) -> Vec<(&str, String)> {
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
fn files_of_the_sites_own_paths_are_known_by_what_comes_back() {
    let (policy, table) = (policy(), table());
    check(wanted(&table, |expected| &expected.answers), |text| answer(&policy, text));
    check(unwanted(&table.nothing.inline), |text| answer(&policy, text));
}

#[test]
fn amp_names_hit_their_rule() {
    let (policy, table) = (policy(), table());
    let amp = |text: &str| {
        let hits = policy.match_amp(text);
        hits.iter().map(|id| policy.rule(id).id.clone()).collect::<Vec<_>>().join(" ")
    };
    check(wanted(&table, |expected| &expected.amp), amp);
}

#[test]
fn storage_keys_hit_their_rule_and_the_sites_own_hit_none() {
    let (policy, table) = (policy(), table());
    check(wanted(&table, |expected| &expected.storage), |text| storage(&policy, text));
    check(unwanted(&table.nothing.storage), |text| storage(&policy, text));
}

/// Whatever a file claims is shown by an entry: each rule is hit at least once.
#[test]
fn every_vendor_is_in_the_table_with_every_rule_and_names_who_receives_the_data() {
    let (policy, table) = (policy(), table());
    let readme = include_str!("../../README.md");
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: Vec<&str> = policy.vendors().iter().map(|def| def.id.as_str()).collect();
    assert_eq!(known, table.vendors.keys().map(String::as_str).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for def in policy.vendors() {
        let expected = &table.vendors[&def.id];
        if def.company.is_empty() || !def.privacy_policy.starts_with("https://") || Url::parse(&def.privacy_policy).is_err() {
            wrong.push(format!("{} does not say who receives the data", def.id));
        }
        if def.name.len() > 40 || def.purposes.is_empty() || def.unsure.iter().any(|text| text.trim().is_empty()) {
            wrong.push(format!("{}: name, purposes or unsure", def.id));
        }
        if !readme.contains(&def.name) {
            wrong.push(format!("the README does not list {}", def.name));
        }
        if expected.addresses.len() < 3 {
            wrong.push(format!("{} has too few addresses", def.id));
        }
    }
    let columns: [Column; 5] = [|e| &e.addresses, |e| &e.inline, |e| &e.amp, |e| &e.cookies, |e| &e.storage];
    let names = columns.into_iter().flat_map(|column| wanted(&table, column)).map(|(_, names)| names);
    let shown: BTreeSet<String> = names.flat_map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let silent = policy.rules().iter().filter(|rule| !matches!(rule.what, What::Answer { .. }) && !shown.contains(&rule.id));
    wrong.extend(silent.map(|rule| format!("no entry hits {}", rule.id)));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Hosts on which rules of several vendors with different purposes stand on purpose: the path, or the
/// query, tells whose a request is.
const SHARED: [&str; 6] = [
    "googletagmanager.com",
    "google.com",
    "maps.google.com",
    "analytics.google.com",
    "adservice.google.com",
    "stats.g.doubleclick.net",
];

#[test]
fn no_two_vendors_claim_a_host_for_different_purposes() {
    let policy = policy();
    let mut claims = Vec::new();
    for rule in policy.rules() {
        if let What::Address { hosts, .. } = &rule.what {
            claims.extend(hosts.iter().map(|host| (host.as_str(), rule)));
        }
    }
    let below = |name: &str, other: &str| name.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    for (host, rule) in &claims {
        for (other, theirs) in &claims {
            let overlap = rule.vendor != theirs.vendor && rule.purposes != theirs.purposes && below(host, other);
            assert!(!overlap || SHARED.contains(host), "{host}: {} and {}", rule.id, theirs.id);
        }
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
    // The vendors that are played and met in a browser; the others are known by their examples.
    let mut met = 0;
    for entry in fs::read_dir(root.join("tests/browser/tags")).expect("the folder is part of the project") {
        let path = entry.expect("the folder can be listed").path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
        assert!(policy.vendor(id).is_some(), "{id} is no vendor");
        let forms: Forms = toml::from_str(&read(&format!("tests/browser/tags/{id}.toml"))).expect("the forms are valid");
        assert!(forms.form.len() >= 3, "{id} has too few forms");
        for form in &forms.form {
            assert!(!form.html.is_empty() && !form.beacon.is_empty(), "{id}: {} sends nothing", form.name);
            for beacon in &form.beacon {
                assert!(played.hosts.contains(&beacon.host), "{} is not listed", beacon.host);
                known(id, &beacon.host, &beacon.path);
            }
        }
        met += 1;
    }
    assert!(met >= 16, "only {met} vendors are met in a browser");
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

/// What the page engine makes of an example: the verdicts that are not `allow`, and the rules that spoke.
fn explained(policy: &Arc<Policy>, grants: Grants, html: &str) -> (Verdict, String) {
    let base = Url::parse(PAGE).expect("a constant");
    let tags = consentry::html::explain(policy, grants, &base, html.as_bytes()).expect("an example can be read");
    let verdict = tags.iter().map(|tag| tag.verdict).find(|&verdict| verdict != Verdict::Allow).unwrap_or(Verdict::Allow);
    let rules: BTreeSet<&str> = tags.iter().flat_map(|tag| &tag.rules).map(|&id| policy.rule(id).id.as_str()).collect();
    (verdict, rules.into_iter().collect::<Vec<_>>().join(" "))
}

#[test]
fn every_example_has_its_verdict_and_rule_without_grants_and_is_allowed_with_all() {
    let policy = Arc::new(policy());
    let mut wrong = Vec::new();
    for def in policy.vendors() {
        let held = def.examples.iter().filter(|example| example.verdict != Verdict::Allow).count();
        if def.examples.len() < 4 || held < 2 || held == def.examples.len() {
            wrong.push(format!("{} has too few examples, of tags or of false friends", def.id));
        }
        for example in &def.examples {
            let want = (example.verdict, example.rule.clone().unwrap_or_default());
            let got = explained(&policy, policy.undecided(), &example.html);
            if got != want {
                wrong.push(format!("{}\n  wanted {want:?}, got {got:?}", example.html));
            }
            let (with_all, _) = explained(&policy, policy.everything(), &example.html);
            if with_all != Verdict::Allow {
                wrong.push(format!("{}\n  with all grants: {with_all:?}", example.html));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
