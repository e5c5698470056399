//! The site's own Content-Security-Policy, widened by the gate's own addresses and by nothing else.
//!
//! A strict policy would stop the notice's style sheet, script, form and decision request. Each
//! policy of the page is amended on its own, since every one of them must agree: where the directive
//! that decides does not let the gate's prefix through, that prefix is added to it, or to a copy of
//! `default-src` under the specific name. No nonce and no hash is ever added: either would switch off
//! the `'unsafe-inline'` that the site's own scripts may live by. `Content-Security-Policy-Report-Only`
//! and `sandbox` are left alone.
//!
//! Under `'strict-dynamic'` addresses count for nothing; there the script tag carries the page's own
//! nonce ([`page_nonce`]). A page with `'strict-dynamic'` and hashes only keeps the notice that works
//! without a script. So does a page opened under a numeric address that CSP cannot name (any but
//! 127.0.0.1) if its policy lacks `'self'`.
//!
//! `form-action` is also applied to redirects by some browsers: under a policy that lets only the
//! prefix through, the answer to a decision must not redirect outside of it.

mod contain;
mod policy;
mod reports;
mod source;

pub use contain::{Fit, Setting, Wall, domain};
pub use reports::filter_reports;

use http::{HeaderMap, HeaderValue, header::CONTENT_SECURITY_POLICY};
use url::Url;

use self::policy::{Directive, effective, parse};
use super::lines::{Line, edit_lines};

/// What the gate needs a page's policies to let through.
#[derive(Clone, Debug)]
pub struct Needs {
    own: Url,
    trusted_types_policy: String,
}

impl Needs {
    /// `own` is the prefix of the gate's paths at the page's origin, such as
    /// `https://a.site/_consent/`; `trusted_types_policy` the name of the guard's policy, of the
    /// characters that Trusted Types allow.
    pub fn new(own: &Url, trusted_types_policy: &str) -> Self {
        let mut own = own.clone();
        own.set_query(None);
        own.set_fragment(None);
        // These two would end the source, the directive or the policy (CSP Level 3, section 2.3.1).
        let path = own.path().replace(';', "%3B").replace(',', "%2C");
        own.set_path(&format!("{}/", path.trim_end_matches('/')));
        Self { own, trusted_types_policy: trusted_types_policy.to_owned() }
    }
}

/// The directives that decide about one thing, the most specific first (CSP Level 3, section 6.8.3).
const STYLE: &[&str] = &["style-src-elem", "style-src", DEFAULT];
const SCRIPT: &[&str] = &["script-src-elem", "script-src", DEFAULT];
const CONNECT: &[&str] = &["connect-src", DEFAULT];
const FORM: &[&str] = &["form-action"];
const DEFAULT: &str = "default-src";

/// Amends every policy of every `Content-Security-Policy` header (CSP Level 3, section 3.1: a line may
/// hold several, separated by commas). A policy that lets everything needed through keeps its bytes.
pub fn amend_headers(headers: &mut HeaderMap, needs: &Needs) {
    edit_lines(headers, &CONTENT_SECURITY_POLICY, |line| edit_policies(line, |policy| amend_policy(policy, needs)));
}

/// Runs `edit` over every policy of a line; what it has no new text for keeps its bytes.
fn edit_policies(line: &HeaderValue, edit: impl FnMut(&str) -> Option<String>) -> Line {
    let text = isomorphic_decode(line);
    let edited: Vec<Option<String>> = text.split(',').map(edit).collect();
    if edited.iter().all(Option::is_none) {
        return Line::Keep;
    }
    let policies = text.split(',').zip(edited).map(|(before, after)| after.unwrap_or_else(|| before.to_owned()));
    // Back to one byte a character, as decoded above; what was added is ASCII.
    Line::Replace(policies.collect::<Vec<_>>().join(",").chars().map(|c| c as u8).collect())
}

/// Amends the policy in a `<meta http-equiv="Content-Security-Policy">`: the `content` with its
/// character references resolved, one policy (commas do not separate there). None if nothing is missing.
pub fn amend_meta(content: &str, needs: &Needs) -> Option<String> {
    amend_policy(content, needs)
}

/// The nonce with which a script tag passes the headers' policies, if they know one: it is in the
/// deciding directive of every policy with `'strict-dynamic'`, where nothing else would help; where no
/// policy has that, the first one that any of them names. Only characters that are safe in an attribute.
pub fn page_nonce(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<String> = headers.get_all(CONTENT_SECURITY_POLICY).iter().map(isomorphic_decode).collect();
    let policies: Vec<Vec<Directive<'_>>> = lines.iter().flat_map(|line| line.split(',')).map(parse).collect();
    let deciding: Vec<&Directive<'_>> = policies.iter().filter_map(|directives| effective(directives, SCRIPT)).collect();
    let strict: Vec<&Directive<'_>> = deciding.iter().copied().filter(|d| d.has_keyword("'strict-dynamic'")).collect();
    let mut candidates = strict.first().map_or(deciding.as_slice(), std::slice::from_ref).iter().flat_map(|d| d.nonces());
    candidates.find(|&nonce| strict.iter().all(|d| d.nonces().any(|other| other == nonce))).map(str::to_owned)
}

/// Header bytes as characters, one for one (CSP Level 3, section 2.2.2; Infra, "isomorphic decode").
fn isomorphic_decode(line: &HeaderValue) -> String {
    line.as_bytes().iter().map(|&byte| char::from(byte)).collect()
}

fn amend_policy(policy: &str, needs: &Needs) -> Option<String> {
    let directives = parse(policy);
    let mut edits: Vec<(&Directive<'_>, String)> = Vec::new();
    let mut added: Vec<String> = Vec::new();
    for chain in [STYLE, SCRIPT, CONNECT, FORM] {
        let Some(directive) = effective(&directives, chain) else { continue };
        // Then no address counts (section 6.7.1.1): nothing that may be added would help.
        let ignored = chain == SCRIPT && directive.has_keyword("'strict-dynamic'");
        if ignored || directive.words().any(|word| source::covers(word, &needs.own)) {
            continue;
        }
        if directive.name == DEFAULT {
            added.push(extended(chain[0], directive, needs.own.as_str()));
        } else {
            let name = &policy[directive.place.clone()][..directive.name.len()];
            edits.push((directive, extended(name, directive, needs.own.as_str())));
        }
    }
    if let Some(directive) = effective(&directives, &["trusted-types"])
        && !directive.words().any(|word| word == "*" || word == needs.trusted_types_policy)
    {
        let name = &policy[directive.place.clone()][..directive.name.len()];
        edits.push((directive, extended(name, directive, &needs.trusted_types_policy)));
    }
    (!edits.is_empty() || !added.is_empty()).then(|| written(policy, edits, &added))
}

/// The directive under `name` with one word more; `'none'` does not stand beside others.
fn extended(name: &str, directive: &Directive<'_>, word: &str) -> String {
    if directive.is_none() { format!("{name} {word}") } else { format!("{name} {} {word}", directive.value) }
}

fn written(policy: &str, mut edits: Vec<(&Directive<'_>, String)>, added: &[String]) -> String {
    edits.sort_by_key(|(directive, _)| directive.place.start);
    let mut text = String::new();
    let mut from = 0;
    for (directive, new) in edits {
        text.push_str(&policy[from..directive.place.start]);
        text.push_str(&new);
        from = directive.place.end;
    }
    text.push_str(&policy[from..]);
    for directive in added {
        let end = text.trim_ascii_end().len();
        text.truncate(end);
        text.push_str(if text.ends_with(';') { " " } else { "; " });
        text.push_str(directive);
    }
    text
}

#[cfg(test)]
mod tests;
