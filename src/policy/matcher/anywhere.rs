//! Rules for any host, looked up on every address of every page and on every request of the site: by
//! the file's name where a pattern ends in one, else by the longest literal of a pattern, all of them
//! found in one pass.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use percent_encoding::percent_decode_str;

use super::{RuleId, names::Names};
use crate::policy::{Rule, What};

pub(super) struct Anywhere {
    /// Last path segment to the rules.
    by_file: Names<Vec<RuleId>>,
    /// Literals that some path pattern needs.
    in_path: Literals,
    /// Literals of parameters that rules without paths need.
    in_query: Literals,
}

impl Anywhere {
    pub(super) fn compile(rules: &[Rule]) -> Self {
        let mut by_file: Names<Vec<RuleId>> = Names::default();
        let (mut in_path, mut in_query) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let id = RuleId(index as u16);
            let What::Address { hosts, paths, query_all, .. } = &rule.what else { continue };
            if !hosts.is_empty() {
                continue;
            }
            for glob in paths {
                match glob.last_segment() {
                    Some(file) => by_file.entry(file.into()).or_default().push(id),
                    None => in_path.push((glob.longest_piece().to_owned(), id)),
                }
            }
            if paths.is_empty() {
                // The most telling of its parameters; the others are looked at when this one is there.
                let literal = |(name, value): &(String, _)| format!("{name}={}", first_piece(value));
                in_query.extend(query_all.iter().map(literal).max_by_key(String::len).map(|literal| (literal, id)));
            }
        }
        Self { by_file, in_path: Literals::compile(in_path), in_query: Literals::compile(in_query) }
    }

    /// Adds the rules that may match; `path` is plain, `query` as it came.
    pub(super) fn candidates(&self, path: &str, query: Option<&str>, candidates: &mut Vec<RuleId>) {
        let file = path.rsplit('/').next().unwrap_or_default();
        if let Some(named) = self.by_file.get(file) {
            candidates.extend_from_slice(named);
        }
        self.in_path.find(path, candidates);
        if let Some(query) = query {
            self.in_query.find(&plain_query(query), candidates);
        }
    }
}

/// What a value must begin with.
fn first_piece(value: &crate::policy::Glob) -> String {
    value.pattern().split('*').next().unwrap_or_default().to_owned()
}

/// Decoded as a whole: good enough to find a literal that stands in one of its pairs.
fn plain_query(query: &str) -> Cow<'_, str> {
    if query.contains('%') { percent_decode_str(query).decode_utf8_lossy() } else { Cow::Borrowed(query) }
}

/// Literals, each with the rules that need it.
struct Literals {
    automaton: Option<AhoCorasick>,
    rules: Vec<Vec<RuleId>>,
}

impl Literals {
    fn compile(pairs: Vec<(String, RuleId)>) -> Self {
        let mut literals: Vec<String> = Vec::new();
        let mut rules: Vec<Vec<RuleId>> = Vec::new();
        for (literal, rule) in pairs {
            match literals.iter().position(|known| *known == literal) {
                Some(place) => rules[place].push(rule),
                None => {
                    literals.push(literal);
                    rules.push(vec![rule]);
                }
            }
        }
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).kind(Some(AhoCorasickKind::DFA));
        let automaton = (!literals.is_empty()).then(|| {
            builder.build(&literals).expect("as many literals as there are vendor rules are far from the automaton's bounds")
        });
        Self { automaton, rules }
    }

    fn find(&self, text: &str, candidates: &mut Vec<RuleId>) {
        let Some(automaton) = &self.automaton else { return };
        for found in automaton.find_overlapping_iter(text) {
            candidates.extend_from_slice(&self.rules[found.pattern().as_usize()]);
        }
    }
}
