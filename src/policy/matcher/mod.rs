//! One matcher for all vendors: host names and their endings, file names and other marks of rules for
//! any host, one automaton for inline text, a list of cookie names.

mod anywhere;
mod names;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use self::{anywhere::Anywhere, names::Names};
use super::{InlineScanner, Rule, glob::Glob, inline::Signatures, vendor::What};

/// A rule, by its place in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// The rules that one address, text or cookie hit: sorted, each once, one per vendor for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits(Vec<RuleId>);

impl Hits {
    /// No rule.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether no rule was hit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules.
    pub fn iter(&self) -> impl Iterator<Item = RuleId> + '_ {
        self.0.iter().copied()
    }

    /// Adds the other's rules: a tag with several addresses needs what each of them needs.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|rule| self.push(rule));
    }

    pub(super) fn push(&mut self, rule: RuleId) {
        if let Err(place) = self.0.binary_search(&rule) {
            self.0.insert(place, rule);
        }
    }
}

/// Names below `.localhost` stay on the machine (RFC 6761, 6.3). A vendor that is played there, for
/// a demo or a developer, is matched like the vendor itself.
const LOOPBACK_SUFFIX: &str = ".localhost";

/// What cookie names may begin with so that browsers hold the setter to more (RFC 6265bis, section
/// 4.1.3, and its successors): a vendor's name behind it is the vendor's name.
const COOKIE_PREFIXES: [&str; 4] = ["__Host-Http-", "__Http-", "__Host-", "__Secure-"];

pub(super) struct Matcher {
    /// Host name to the address rules that name it, in the order of precedence.
    by_host: Names<Vec<RuleId>>,
    /// What stands before `.*` in a host name, to the rules that name it.
    by_stem: Names<Vec<RuleId>>,
    /// Rules of any host.
    anywhere: Anywhere,
    /// Of inline scripts.
    signatures: Signatures,
    /// Of scripts that come back from the site's own paths.
    answers: Signatures,
    cookies: Vec<RuleId>,
}

impl Matcher {
    pub(super) fn compile(rules: &[Rule]) -> Self {
        let mut matcher = Self {
            by_host: Names::default(),
            by_stem: Names::default(),
            anywhere: Anywhere::compile(rules),
            signatures: Signatures::compile(rules, |what| match what {
                What::Inline { any, unless } => Some((any, unless)),
                _ => None,
            }),
            answers: Signatures::compile(rules, |what| match what {
                What::Answer { any } => Some((any, &[])),
                _ => None,
            }),
            cookies: Vec::new(),
        };
        for (index, rule) in rules.iter().enumerate() {
            let id = RuleId(index as u16);
            match &rule.what {
                What::Address { hosts, .. } => {
                    for host in hosts {
                        let (map, name) = match host.strip_suffix(".*") {
                            Some(stem) => (&mut matcher.by_stem, stem),
                            None => (&mut matcher.by_host, host.as_str()),
                        };
                        map.entry(name.into()).or_default().push(id);
                    }
                }
                What::Inline { .. } | What::Answer { .. } | What::Storage(_) | What::Amp(_) => {}
                What::Cookies(_) => matcher.cookies.push(id),
            }
        }
        matcher
    }

    /// Precedence: within a vendor the first rule of its file that matches speaks, so that an
    /// exception (a social SDK on a pixel's host) stands above the general rule. Every vendor that
    /// has a matching rule speaks.
    pub(super) fn address(&self, rules: &[Rule], host: &str, path: &str, query: Option<&str>) -> Hits {
        let host = host.strip_suffix(LOOPBACK_SUFFIX).unwrap_or(host);
        let mut candidates: Vec<RuleId> = Vec::new();
        add_named(&self.by_host, host, &mut candidates);
        if !self.by_stem.is_empty() {
            stems(host).for_each(|stem| add_named(&self.by_stem, stem, &mut candidates));
        }
        let path = plain_path(path);
        self.anywhere.candidates(&path, query, &mut candidates);
        if candidates.is_empty() {
            return Hits::none();
        }
        candidates.sort_unstable();
        let mut hits = Hits::none();
        let mut spoken = None;
        for id in candidates {
            let rule = &rules[usize::from(id.0)];
            if spoken != Some(rule.vendor) && address_matches(&rule.what, &path, query) {
                spoken = Some(rule.vendor);
                hits.push(id);
            }
        }
        hits
    }

    pub(super) fn inline_scanner(&self) -> InlineScanner<'_> {
        self.signatures.scanner()
    }

    pub(super) fn looks_at_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(super) fn answer_scanner(&self) -> InlineScanner<'_> {
        self.answers.scanner()
    }

    /// The rules for a name in AMP, lower case.
    pub(super) fn amp(rules: &[Rule], name: &str) -> Hits {
        let mut hits = Hits::none();
        for (index, rule) in rules.iter().enumerate() {
            if matches!(&rule.what, What::Amp(names) if names.iter().any(|glob| glob.matches(name))) {
                hits.push(RuleId(index as u16));
            }
        }
        hits
    }

    pub(super) fn cookie(&self, rules: &[Rule], name: &str, value: &str) -> Hits {
        let bare = COOKIE_PREFIXES.iter().find_map(|prefix| {
            let start = name.get(..prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
        });
        let named = |glob: &Glob| glob.matches(name) || bare.is_some_and(|bare| glob.matches(bare));
        let mut hits = Hits::none();
        for &id in &self.cookies {
            let What::Cookies(cookies) = &rules[usize::from(id.0)].what else { continue };
            if cookies.iter().any(|c| named(&c.name) && c.value.as_ref().is_none_or(|shape| shape.matches(value))) {
                hits.push(id);
            }
        }
        hits
    }
}

/// The rules under a name or under one of the names it is below.
fn add_named(map: &Names<Vec<RuleId>>, name: &str, candidates: &mut Vec<RuleId>) {
    let mut name = Some(name);
    while let Some(suffix) = name {
        if let Some(named) = map.get(suffix) {
            candidates.extend_from_slice(named);
        }
        name = suffix.split_once('.').map(|(_, parent)| parent);
    }
}

/// Under a country's two letters these are endings as well.
const SECOND_LEVEL: [&str; 6] = ["co", "com", "ne", "net", "or", "org"];

/// The name without its ending: without `de`, and without `co.uk`. `acme.somebody.de` is no name of `acme.*`.
fn stems(host: &str) -> impl Iterator<Item = &str> {
    let one = host.rsplit_once('.');
    let two = one.and_then(|(stem, top)| {
        let (stem, second) = stem.rsplit_once('.')?;
        (top.len() == 2 && SECOND_LEVEL.contains(&second)).then_some(stem)
    });
    one.map(|(stem, _)| stem).into_iter().chain(two)
}

fn address_matches(what: &What, path: &str, query: Option<&str>) -> bool {
    let What::Address { paths, query: wanted, query_all, unless_query, .. } = what else { return false };
    (paths.is_empty() || paths.iter().any(|glob| glob.matches(path)))
        && (wanted.is_empty() || query_matches(wanted, query))
        && query_all.iter().all(|pair| query_matches(std::slice::from_ref(pair), query))
        && (unless_query.is_empty() || !query_matches(unless_query, query))
}

fn query_matches(wanted: &[(String, Glob)], query: Option<&str>) -> bool {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| wanted.iter().any(|(want, glob)| *want == name && glob.matches(&value)))
}

/// Servers read `%66` as `f` and most read `//` as `/`: so does the matcher.
fn plain_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut plain = percent_decode_str(path).decode_utf8_lossy().into_owned();
    while plain.contains("//") {
        plain = plain.replace("//", "/");
    }
    Cow::Owned(plain)
}
