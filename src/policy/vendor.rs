//! `policies/vendors/<id>.toml`: what a vendor's tags look like, as data.

use super::{
    Sources, address,
    glob::Glob,
    purposes::{ID_MEND, PurposeDef, is_id},
    stand_in::{self, AntiFlicker, StandIn},
};
use crate::{
    config::{At, Fault, File, Section},
    vocab::{Purpose, PurposeSet, VENDORS_MAX, VendorId, Verdict},
};

/// A company whose tags are known.
#[derive(Clone, Debug, Default)]
pub struct VendorDef {
    /// The id in files, forms, cookies and records, such as `meta`.
    pub id: String,
    /// The name in notices.
    pub name: String,
    /// The legal person that receives the data (GDPR recital 42, article 13(1)(e)).
    pub company: String,
    /// The vendor's privacy policy, an absolute https URL.
    pub privacy_policy: String,
    /// The purposes its tags need where a rule says nothing else.
    pub purposes: PurposeSet,
    /// Parameters that the vendor's own links bring to the site , in any case of letters.
    pub click_ids: Vec<String>,
    /// How the vendor itself is told of consent, where it can be.
    pub consent: Option<ConsentCalls>,
    /// Hosts that its scripts open WebSockets to: a policy header has to name them apart.
    pub sockets: Vec<String>,
    /// What runs on as if the vendor's script were there while it is held.
    pub stand_ins: Vec<StandIn>,
    /// What the vendor's snippets use to hide a page until its script has come.
    pub anti_flicker: AntiFlicker,
    /// Statements of the file that no first-hand source confirms.
    pub unsure: Vec<String>,
    /// Tags as found in the wild, with the verdict that holds without consent. A test runs them.
    pub examples: Vec<Example>,
}

/// JavaScript with which a vendor's own script is told of consent; for reference, no part of the gate runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsentCalls {
    /// Before its script is loaded.
    pub hold: String,
    /// On a grant.
    pub grant: String,
    /// On a withdrawal.
    pub revoke: String,
}

/// A tag as found in the wild and what becomes of it without consent.
#[derive(Clone, Debug)]
pub struct Example {
    /// The markup.
    pub html: String,
    /// What happens to it under no grants.
    pub verdict: Verdict,
    /// The rule that speaks, such as `meta/pixel`; `None` where none does.
    pub rule: Option<String>,
}

/// One matcher of a vendor.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `vendor/rule`, as reports and `explain` print it.
    pub id: String,
    /// Whose rule it is.
    pub vendor: VendorId,
    /// All the purposes a tag that it hits needs.
    pub purposes: PurposeSet,
    /// What it looks at.
    pub what: What,
}

/// What a rule looks at.
#[derive(Clone, Debug)]
pub enum What {
    /// An address: one of the hosts (any, if empty), one of the paths (any, if empty), one of the
    /// query parameters (any, if empty), each of `query_all`, and none of `unless_query`.
    Address {
        /// Host names; names below them match as well. One that ends in `.*` stands for every ending
        /// of a country or a kind: `acme.*` for `acme.com`, `acme.de` and `acme.co.uk`.
        hosts: Vec<String>,
        /// Patterns of the path.
        paths: Vec<Glob>,
        /// Query parameters by name and pattern.
        query: Vec<(String, Glob)>,
        /// Query parameters that must all be there.
        query_all: Vec<(String, Glob)>,
        /// Query parameters that speak against it.
        unless_query: Vec<(String, Glob)>,
    },
    /// Text of an inline script: every literal of one group, and none of `unless`.
    Inline {
        /// Groups of literals.
        any: Vec<Vec<String>>,
        /// Literals that speak against it.
        unless: Vec<String>,
    },
    /// A script that comes back from one of the site's own paths: every literal of one group.
    Answer {
        /// Groups of literals.
        any: Vec<Vec<String>>,
    },
    /// AMP: names of its elements (`amp-…`), and the `type` by which its tags name a vendor.
    Amp(Vec<Glob>),
    /// First-party cookies.
    Cookies(Vec<CookieRule>),
    /// Keys of localStorage and sessionStorage.
    Storage(Vec<Glob>),
}

/// A first-party cookie by name and, where the name alone is not distinctive, by its value's shape.
#[derive(Clone, Debug)]
pub struct CookieRule {
    /// Pattern of its name.
    pub name: Glob,
    /// Pattern of its value.
    pub value: Option<Glob>,
}

const MATCHER_MEND: &str = "a rule has either hosts/paths/query/query_all (with unless_query), or inline (with unless), or answers, or amp, or cookies, or storage";

/// Reads every vendor file, sorted by id. On a fault the lists may be incomplete.
pub(super) fn read_all(sources: &Sources, purposes: &[PurposeDef], faults: &mut Vec<Fault>) -> (Vec<VendorDef>, Vec<Rule>) {
    let mut vendors: Vec<VendorDef> = Vec::new();
    let mut rules = Vec::new();
    for (path, text) in sources.below("vendors/") {
        let Some(stem) = path.strip_prefix("vendors/").and_then(|name| name.strip_suffix(".toml")) else { continue };
        if vendors.len() == VENDORS_MAX {
            faults.push(Fault::whole(
                path,
                format!("more than {VENDORS_MAX} vendors"),
                "remove the files of vendors you never meet",
            ));
            break;
        }
        // Files come sorted by path and `.` sorts before `-`… by id, not by path, is the order that
        // binary search and the canonical text rely on; so it is made sure of below.
        let vendor = VendorId(vendors.len() as u16);
        let ((def, mut own), mut found) = File::read(path, text, |root| read_one(root, stem, vendor, purposes));
        faults.append(&mut found);
        if let Some(def) = def {
            vendors.push(def);
            rules.append(&mut own);
        }
    }
    sort_by_id(&mut vendors, &mut rules);
    (vendors, rules)
}

/// `vendors/a-b.toml` comes before `vendors/a.toml` by path, after it by id.
pub(super) fn sort_by_id(vendors: &mut [VendorDef], rules: &mut [Rule]) {
    let mut order: Vec<usize> = (0..vendors.len()).collect();
    order.sort_by(|&a, &b| vendors[a].id.cmp(&vendors[b].id));
    let mut place = vec![VendorId(0); vendors.len()];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = VendorId(new as u16));
    rules.iter_mut().for_each(|rule| rule.vendor = place[usize::from(rule.vendor.0)]);
    rules.sort_by_key(|rule| rule.vendor); // Stable: a file's own order is its precedence.
    vendors.sort_by(|a, b| a.id.cmp(&b.id));
}

fn read_one(root: &mut Section<'_>, stem: &str, vendor: VendorId, known: &[PurposeDef]) -> (Option<VendorDef>, Vec<Rule>) {
    let id = root.required_string("id");
    if let Some(at) = &id {
        if !is_id(&at.value) {
            root.fault(at.offset, format!("`{}` is no vendor id", at.value), ID_MEND);
        } else if at.value != stem {
            root.fault(
                at.offset,
                format!("the id `{}` is not the file's name", at.value),
                format!("write `id = \"{stem}\"` or rename the file"),
            );
        }
    }
    let name = root.required_string("name");
    let company = root.string("company").map(|at| at.value).unwrap_or_default();
    let privacy_policy = root.string("privacy_policy");
    if let Some(at) = privacy_policy.as_ref().filter(|at| !at.value.starts_with("https://")) {
        root.fault(at.offset, "`privacy_policy` is no https address", "write \"https://…\"");
    }
    let purposes = read_purposes(root, known);
    if purposes.is_none() && !root.names().iter().any(|at| at.value == "purposes") {
        root.fault(root.offset(), "`purposes` is missing", "add `purposes = [\"marketing\"]`");
    }
    let vendor_purposes = purposes.unwrap_or_default();

    let mut rules: Vec<Rule> = Vec::new();
    for mut section in root.sections("rule") {
        if let Some(rule) = read_rule(&mut section, stem, vendor, vendor_purposes, known) {
            if rules.iter().any(|other| other.id == rule.id) {
                section.fault(section.offset(), format!("the rule `{}` is defined twice", rule.id), "give it another id");
            }
            rules.push(rule);
        }
        section.finish();
    }
    let words = |root: &mut Section<'_>, key| -> Vec<String> {
        root.strings(key).unwrap_or_default().into_iter().map(|at| at.value).collect()
    };
    let click_ids = words(root, "click_ids");
    let unsure = words(root, "unsure");
    let sockets = root.strings("sockets").unwrap_or_default();
    for host in &sockets {
        address::check_host(root, host);
    }
    let sockets = sockets.into_iter().map(|at| at.value).collect();
    let consent = root.section("consent").map(|mut section| {
        let mut text = |key| section.string(key).map(|at| at.value).unwrap_or_default();
        let calls = ConsentCalls { hold: text("hold"), grant: text("grant"), revoke: text("revoke") };
        section.finish();
        calls
    });
    let anti_flicker = root
        .section("anti_flicker")
        .map_or_else(AntiFlicker::default, |section| stand_in::read_anti_flicker(section, vendor_purposes, known));
    let stand_in = |section| stand_in::read(section, vendor_purposes, known);
    let stand_ins = root.sections("stand_in").into_iter().filter_map(stand_in).collect();
    let examples = root.sections("example").into_iter().filter_map(|section| read_example(section, stem)).collect();
    let purposes = rules.iter().fold(vendor_purposes, |all, rule| all.union(rule.purposes));
    let def = id.zip(name).map(|(id, name)| VendorDef {
        id: id.value,
        name: name.value,
        company,
        privacy_policy: privacy_policy.map(|at| at.value).unwrap_or_default(),
        purposes,
        click_ids,
        consent,
        sockets,
        stand_ins,
        anti_flicker,
        unsure,
        examples,
    });
    (def, rules)
}

pub(super) fn read_purposes(section: &mut Section<'_>, known: &[PurposeDef]) -> Option<PurposeSet> {
    let list = section.strings("purposes")?;
    if list.is_empty() {
        section.fault(section.offset(), "`purposes` is empty", "name at least one purpose of default.toml");
    }
    let mut set = PurposeSet::EMPTY;
    for At { value, offset } in list {
        match known.iter().position(|def| def.id == value) {
            Some(index) => set.insert(Purpose(index as u8)),
            None => {
                let ids: Vec<&str> = known.iter().map(|def| def.id.as_str()).collect();
                section.fault(offset, format!("there is no purpose `{value}`"), format!("known: {}", ids.join(", ")));
            }
        }
    }
    Some(set)
}

fn read_rule(
    section: &mut Section<'_>,
    stem: &str,
    vendor: VendorId,
    inherited: PurposeSet,
    known: &[PurposeDef],
) -> Option<Rule> {
    let id = section.required_string("id");
    let purposes = read_purposes(section, known).unwrap_or(inherited);
    let offset = section.offset();

    let hosts = section.strings("hosts");
    let paths = section.strings("paths");
    let query = section.strings("query");
    let query_all = section.strings("query_all");
    let unless_query = section.strings("unless_query");
    let inline = section.string_groups("inline");
    let unless = section.strings("unless");
    let answers = section.string_groups("answers");
    let amp = section.strings("amp");
    let cookies = section.strings("cookies");
    let storage = section.strings("storage");

    let address = hosts.is_some() || paths.is_some() || query.is_some() || query_all.is_some();
    let kinds = [address, inline.is_some(), answers.is_some(), amp.is_some(), cookies.is_some(), storage.is_some()]
        .iter()
        .filter(|&&given| given)
        .count();
    if kinds != 1 || unless.is_some() && inline.is_none() || unless_query.is_some() && !address {
        section.fault(offset, "the rule matches nothing, or more than one kind of thing", MATCHER_MEND);
        return None;
    }
    let what = if let Some(groups) = inline {
        for group in groups.iter().filter(|group| group.value.iter().any(|literal| literal.trim().len() < 4)) {
            section.fault(
                group.offset,
                "an inline literal of fewer than 4 characters would hit the site's own code",
                "write a longer one",
            );
        }
        What::Inline {
            any: groups.into_iter().map(|group| group.value).collect(),
            unless: unless.unwrap_or_default().into_iter().map(|at| at.value).collect(),
        }
    } else if let Some(groups) = answers {
        What::Answer { any: groups.into_iter().map(|group| group.value).collect() }
    } else if let Some(names) = amp {
        for name in names.iter().filter(|name| name.value.chars().filter(|&c| c != '*').count() < 4) {
            section.fault(name.offset, format!("the AMP name `{}` is not distinctive", name.value), "write more of it");
        }
        What::Amp(names.into_iter().map(|at| Glob::new(&at.value)).collect())
    } else if let Some(keys) = storage {
        for key in keys.iter().filter(|key| key.value.chars().filter(|&c| c != '*').count() < 4) {
            section.fault(key.offset, format!("the storage key `{}` is not distinctive", key.value), "write more of it");
        }
        What::Storage(keys.into_iter().map(|at| Glob::new(&at.value)).collect())
    } else if let Some(cookies) = cookies {
        What::Cookies(cookies.into_iter().filter_map(|at| read_cookie(section, at)).collect())
    } else {
        address::read(section, hosts, paths, [query, query_all, unless_query])?
    };
    Some(Rule { id: format!("{stem}/{}", id?.value), vendor, purposes, what })
}

fn read_cookie(section: &Section<'_>, at: At<String>) -> Option<CookieRule> {
    let (name, value) = match at.value.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (at.value.as_str(), None),
    };
    // A name such as `uid` on the site's own domain is as likely its login (traps 15).
    let literal = name.chars().filter(|&c| c != '*').count();
    if literal < 4 && value.is_none_or(|shape| shape.chars().filter(|&c| c != '*').count() < 3) {
        section.fault(
            at.offset,
            format!("the cookie name `{name}` is not distinctive"),
            "add the shape of its value: \"name=shape.*\"",
        );
        return None;
    }
    Some(CookieRule { name: Glob::new(name), value: value.map(Glob::new) })
}

fn read_example(mut section: Section<'_>, stem: &str) -> Option<Example> {
    let html = section.required_string("html");
    let verdict = section.required_string("verdict");
    let rule = section.string("rule").map(|at| format!("{stem}/{}", at.value));
    let verdict = verdict.and_then(|at| match at.value.as_str() {
        "allow" => Some(Verdict::Allow),
        "hold" => Some(Verdict::Hold),
        "strip" => Some(Verdict::Strip),
        other => {
            section.fault(at.offset, format!("`{other}` is no verdict"), "write allow, hold or strip");
            None
        }
    });
    if let Some(verdict) = verdict
        && (verdict == Verdict::Allow) != rule.is_none()
    {
        section.fault(section.offset(), "an example names its rule unless its verdict is allow", "add or remove `rule`");
    }
    section.finish();
    Some(Example { html: html?.value, verdict: verdict?, rule })
}
