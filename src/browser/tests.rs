//! The scripts as they are built from the embedded files: what they answer, and what they weigh.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use url::Url;

use super::*;
use crate::policy::{Sources, What};

fn text(path: &str) -> String {
    std::fs::read_to_string(format!("{}/templates/guard/{path}", env!("CARGO_MANIFEST_DIR"))).expect("the template is there")
}

/// Every vendor file of the repository.
fn policy(site: &str) -> Policy {
    let mut sources = Sources::default();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    for folder in ["", "regimes/", "vendors/"] {
        for entry in std::fs::read_dir(format!("{root}/{folder}")).expect("the policies are there").flatten() {
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            if name.ends_with(".toml") {
                sources.insert(name.clone(), std::fs::read_to_string(entry.path()).expect("a policy file is text"));
            }
        }
    }
    sources.insert("site.toml", format!("vendors = {site}\n"));
    Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:?}")).0
}

fn scripts(policy: &Policy) -> Scripts {
    let [shared, guard, stand_ins, worker, gate] = ["shared.js", "guard.js", "stand-ins.js", "worker.js", "gate.js"].map(text);
    let texts = Texts { shared: &shared, guard: &guard, stand_ins: &stand_ins, worker: &worker, gate: &gate };
    Scripts::build(policy, "/_consent", &texts)
}

/// Runs a script in Node and returns what it writes.
fn node(script: &str, input: &str) -> String {
    let mut child = Command::new("node")
        .args(["-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed where the tests run");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("node reads");
    let out = child.wait_with_output().expect("node ends");
    assert!(out.status.success(), "node failed on {} bytes", script.len());
    String::from_utf8(out.stdout).expect("node writes UTF-8")
}

// === the same answers ===

/// Addresses that the vendors' examples name, and variants around every host, path and parameter of a rule.
fn addresses(policy: &Policy) -> Vec<String> {
    let mut all = Vec::new();
    for vendor in policy.vendors() {
        for example in &vendor.examples {
            let html = example.html.replace("&amp;", "&");
            all.extend(html.split(['"', '\'', ' ', '\n', '<', '>', ')']).filter(|word| word.contains('/')).map(str::to_owned));
        }
    }
    for rule in policy.rules() {
        let What::Address { hosts, paths, query, query_all, unless_query } = &rule.what else { continue };
        let filled = |glob: &crate::policy::Glob| [glob.pattern().replace('*', ""), glob.pattern().replace('*', "a/b.c")];
        let mut targets: Vec<String> = vec!["/".into(), "/other".into()];
        targets.extend(paths.iter().flat_map(filled).map(|path| format!("/{}", path.trim_start_matches('/'))));
        let plain = targets.clone();
        for (name, value) in query.iter().chain(query_all).chain(unless_query) {
            for value in filled(value) {
                targets.extend(plain.iter().map(|path| format!("{path}?x=1&{name}={value}")));
                targets.extend(plain.iter().map(|path| format!("{path}?{name}x={value}")));
            }
        }
        let own = ["shop.example".to_owned()];
        for host in if hosts.is_empty() { &own[..] } else { hosts } {
            let host = host.replace(".*", ".co.uk");
            for target in &targets {
                for host in
                    [host.clone(), format!("a.b.{host}"), format!("x{host}"), format!("{host}.localhost"), format!("{host}.")]
                {
                    all.push(format!("https://{host}{target}"));
                }
                all.push(format!("wss://{}:8443{}", host.to_uppercase(), target));
                all.push(format!("//{host}/{target}#f"));
                all.push(format!("https://{host}{}", target.replacen("js", "%6a%73", 1)));
                all.push(format!("https://{host}{}", target.replacen('/', "/x/%2e%2e//", 1)));
            }
        }
    }
    all.extend(
        ["", "x", "data:text/plain,https://facebook.com/tr", "blob:https://a.b/c", "https://", "mailto:a@b.c"].map(str::to_owned),
    );
    all.sort();
    all.dedup();
    all
}

/// Reads addresses and writes what each needs, and whether a visitor with some grants may load it.
const ANSWERS: &str = "state = { grants: { necessary: true, functional: true }, vendors: { 'google-analytics': true } };
const lines = require('fs').readFileSync(0, 'utf8').split('\\n');
process.stdout.write(lines.map(line => JSON.stringify([needs(line) || [], !shut(line)])).join('\\n'));";

#[test]
fn the_script_answers_as_the_policy_does() {
    // One vendor is not offered: it is never allowed.
    let policy = policy("[\"meta\", \"google-analytics\", \"youtube\"]");
    let base = Url::parse("https://shop.example/tea/").expect("an address");
    let addresses = addresses(&policy);
    assert!(addresses.len() > 2_000, "{}", addresses.len());
    let script = format!(
        "globalThis.self=globalThis;self.document={{baseURI:'{base}'}};const data={};\n{}",
        data::page(&policy, "w"),
        // As browsers get it: the names below are short by then.
        pack::pack(&(text("shared.js") + "\n" + ANSWERS)),
    );
    let answers = node(&script, &addresses.join("\n"));
    let mut grants = policy.undecided();
    grants.purposes.insert(policy.purpose("functional").expect("it is a purpose"));
    grants.allowed.insert(policy.vendor("google-analytics").expect("it is a vendor"));
    let mut hit = 0;
    for (address, answer) in addresses.iter().zip(answers.split('\n')) {
        let hits = base.join(address).map(|url| policy.match_url(&url)).unwrap_or_default();
        let wanted: Vec<(&str, Vec<&str>)> = hits
            .iter()
            .map(|id| policy.rule(id))
            .map(|rule| {
                let purposes = rule.purposes.iter().map(|purpose| policy.purposes()[usize::from(purpose.0)].id.as_str());
                (policy.vendor_def(rule.vendor).id.as_str(), purposes.collect())
            })
            .collect();
        hit += usize::from(!wanted.is_empty());
        assert_eq!(answer, serde_json::json!([wanted, policy.allows(&grants, &hits)]).to_string(), "{address}");
    }
    assert!(hit > 500, "only {hit} addresses hit a rule");
}

/// Reads `@name=value` and writes whose each is.
const KEPT: &str = "const lines = require('fs').readFileSync(0, 'utf8').split('\\n');
process.stdout.write(lines.map(line => JSON.stringify(find(keeps(line), line).map(([vendor]) => vendor))).join('\\n'));";

#[test]
fn the_script_knows_cookies_as_the_policy_does() {
    let policy = policy("\"all\"");
    let mut cookies = vec![("session".to_owned(), "abc".to_owned()), ("x".to_owned(), String::new())];
    for rule in policy.rules() {
        let What::Cookies(rules) = &rule.what else { continue };
        for rule in rules {
            let filled = |glob: &crate::policy::Glob| [glob.pattern().replace('*', ""), glob.pattern().replace('*', "a.b")];
            let values = rule.value.as_ref().map_or_else(Vec::new, |value| filled(value).to_vec());
            for name in filled(&rule.name) {
                for value in values.iter().map(String::as_str).chain(["", "1", "a=b"]) {
                    for name in [name.clone(), format!("x{name}"), format!("{name}x"), name.to_uppercase()] {
                        cookies.extend([(name.clone(), value.to_owned()), (name, format!("{value}x"))]);
                    }
                }
            }
        }
    }
    let lines: Vec<String> = cookies.iter().map(|(name, value)| format!("@{name}={value}")).collect();
    let script = format!(
        "globalThis.self=globalThis;const data={};\n{}",
        data::page(&policy, "w"),
        pack::pack(&(text("shared.js") + "\n" + KEPT))
    );
    let mut hit = 0;
    for ((name, value), answer) in cookies.iter().zip(node(&script, &lines.join("\n")).split('\n')) {
        let mut wanted: Vec<&str> = Vec::new();
        for id in policy.match_cookie(name, value).iter() {
            let vendor = policy.vendor_def(policy.rule(id).vendor).id.as_str();
            if !wanted.contains(&vendor) {
                wanted.push(vendor);
            }
        }
        hit += usize::from(!wanted.is_empty());
        assert_eq!(answer, serde_json::json!(wanted).to_string(), "{name}={value}");
    }
    assert!(hit > 500, "only {hit} cookies hit a rule");
}

// === what it weighs ===

/// The code of the guard, without data and stand-ins.
const GUARD_GZIP_BYTES_MAX: usize = 6_820;
/// A vendor's data: about 2,000 bytes for the first sixteen.
const VENDOR_GZIP_BYTES_MAX: usize = 130;

#[test]
fn the_head_script_stays_small() {
    let policy = policy("\"all\"");
    let scripts = scripts(&policy);
    let gzip = |text: &str| Asset::script("x.js", text).gzip.len();
    let code = pack::function(&[&text("shared.js"), &text("guard.js")]);
    let data = data::page(&policy, "0123456789abcdef/worker.js");
    let sizes = format!(
        "head {} bytes, gzip {}, brotli {}; code alone {} gzip {}; data alone {} gzip {} for {} vendors; worker {} gzip {}",
        scripts.head.bytes.len(),
        scripts.head.gzip.len(),
        scripts.head.brotli.len(),
        code.len(),
        gzip(&code),
        data.len(),
        gzip(&data),
        policy.vendors().len(),
        scripts.worker.bytes.len(),
        scripts.worker.gzip.len(),
    );
    assert!(gzip(&code) <= GUARD_GZIP_BYTES_MAX, "{sizes}");
    assert!(gzip(&data) <= VENDOR_GZIP_BYTES_MAX * policy.vendors().len(), "{sizes}");
    if let Ok(file) = std::env::var("CONSENTRY_SIZES") {
        std::fs::write(file, sizes).expect("the file can be written");
    }
}

// === markup ===

const FILL: Fill<'_> = Fill {
    prefix_url: "https://shop.example/_consent",
    gate_nonce: "0123456789abcdef",
    csp_nonce: None,
    decided_at: None,
    state: "{\"grants\":[],\"vendors\":{}}",
    reports: true,
    contained: true,
};

#[test]
fn the_markup_carries_state_and_nonces() {
    let scripts = scripts(&policy("\"all\""));
    let fill = Fill { csp_nonce: Some("a\"b"), decided_at: Some("2026-01-02T03:04:05Z"), ..FILL };
    for (markup, asset) in [(scripts.guard(&fill), &scripts.head), (scripts.gate(&fill), &scripts.gate)] {
        assert!(markup.is_ascii() && markup.contains(" nonce=\"a&#34;b\"") && markup.contains(" data-gate=\"0123456789abcdef\""));
        assert!(markup.contains(&format!(" src=\"https://shop.example/_consent/assets/{}\"", asset.path)), "{markup}");
        assert_eq!(scripts.asset(&asset.path).expect("it is served").hash, asset.hash);
    }
    assert!(scripts.guard(&FILL).contains(" data-state=\"{&#34;grants&#34;:[],&#34;vendors&#34;:{}}\""));
    assert!(scripts.gate(&fill).contains(" data-state=\"decided\" data-decided-at=\"2026-01-02T03:04:05Z\""));
    assert!(scripts.gate(&FILL).contains(" data-state=\"undecided\"") && !scripts.gate(&FILL).contains("nonce="));
    assert!(scripts.asset("0000000000000000/gate.js").is_none());
}

#[test]
fn the_scripts_are_scripts_and_nothing_of_them_is_a_comment() {
    let scripts = scripts(&policy("\"all\""));
    for asset in scripts.assets() {
        assert!(asset.bytes.is_ascii() && !asset.text().lines().any(|line| line.starts_with("//") || line.starts_with(' ')));
        node("new (require('vm').Script)(require('fs').readFileSync(0, 'utf8'))", asset.text());
    }
}

#[test]
fn a_workers_script_is_the_same_for_everybody_and_names_itself() {
    let policy = policy("\"all\"");
    let (one, other) = (scripts(&policy), scripts(&policy));
    let worker = one.worker().expect("there is something to hold");
    assert_eq!(worker.bytes, other.worker.bytes);
    assert!(worker.text().contains(&worker.path) && one.head.text().contains(&worker.path));
}
