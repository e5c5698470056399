//! What the tests of this room share: a small policy, and header maps as text.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::policy::{Policy, RuleId, Sources};

/// One vendor, `acme` (marketing; its widget is functional), under the real purposes and regime.
pub(super) fn policy() -> &'static Policy {
    static POLICY: LazyLock<Policy> = LazyLock::new(compile);
    &POLICY
}

fn compile() -> Policy {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml"));
    sources.insert("site.toml", "vendors = \"all\"\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
    sources.insert(
        "vendors/acme.toml",
        r#"
id = "acme"
name = "Acme"
purposes = ["marketing"]
[[rule]]
id = "host"
hosts = ["acme.example"]
[[rule]]
id = "self-hosted"
paths = ["*/acme.js"]
[[rule]]
id = "cookies"
cookies = ["_acme_id", "_acme_*", "uid=ac.*"]
"#,
    );
    Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:?}")).0
}

/// The ids of rules.
pub(super) fn rules<'p>(policy: &'p Policy, rules: &[RuleId]) -> Vec<&'p str> {
    rules.iter().map(|&id| policy.rule(id).id.as_str()).collect()
}

/// A map with one header of several lines.
pub(super) fn headers(name: &str, lines: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    lines.iter().for_each(|line| add(&mut map, name, line));
    map
}

/// A map of `name: value` lines.
pub(super) fn head(lines: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a test line is `name: value`");
        add(&mut map, name, value);
    }
    map
}

fn add(map: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a test name is a header name");
    map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a test value is a header value"));
}

/// The lines of one header, in order.
pub(super) fn lines<'m>(map: &'m HeaderMap, name: &str) -> Vec<&'m str> {
    map.get_all(name).iter().map(|value| std::str::from_utf8(value.as_bytes()).expect("tests use UTF-8")).collect()
}

/// Every line as `name: value`, sorted.
pub(super) fn dump(map: &HeaderMap) -> Vec<String> {
    let mut all: Vec<String> =
        map.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    all.sort();
    all
}
