//! A serialized policy as text: its directives and where they stand.

use std::ops::Range;

/// One directive (CSP Level 3, section 2.2.1).
pub(super) struct Directive<'p> {
    /// In lower case.
    pub(super) name: String,
    /// What follows the name, without the white space around it.
    pub(super) value: &'p str,
    /// Name and value in the policy's text.
    pub(super) place: Range<usize>,
}

impl<'p> Directive<'p> {
    /// The source expressions or other words of the value.
    pub(super) fn words(&self) -> impl Iterator<Item = &'p str> {
        self.value.split_ascii_whitespace()
    }

    /// Whether the list allows nothing: it is empty or `'none'` alone (section 6.7.2.1).
    pub(super) fn is_none(&self) -> bool {
        self.value.is_empty() || self.value.eq_ignore_ascii_case("'none'")
    }

    /// Whether one of the words is this keyword, in any case.
    pub(super) fn has_keyword(&self, keyword: &str) -> bool {
        self.words().any(|word| word.eq_ignore_ascii_case(keyword))
    }

    /// The nonces (section 2.3.1) that are plain enough for an HTML attribute: base64 in either alphabet.
    pub(super) fn nonces(&self) -> impl Iterator<Item = &'p str> {
        self.words().filter_map(|word| {
            let start = word.get(..7)?;
            let nonce = word.get(7..)?.strip_suffix('\'')?;
            let plain = nonce.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'='));
            (start.eq_ignore_ascii_case("'nonce-") && plain && !nonce.is_empty()).then_some(nonce)
        })
    }
}

/// Parses a serialized policy (section 2.2.1): directives that are empty or not ASCII are ignored, as
/// browsers ignore them.
pub(super) fn parse(policy: &str) -> Vec<Directive<'_>> {
    let mut directives: Vec<Directive<'_>> = Vec::new();
    let mut start = 0;
    for token in policy.split(';') {
        let lead = token.len() - token.trim_ascii_start().len();
        let text = token.trim_ascii();
        let place = start + lead..start + lead + text.len();
        start += token.len() + 1;
        if text.is_empty() || !text.is_ascii() {
            continue;
        }
        let (name, value) = text.split_at(text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len()));
        let name = name.to_ascii_lowercase();
        directives.push(Directive { name, value: value.trim_ascii_start(), place });
    }
    directives
}

/// The directive that decides: the first of `chain` that the policy has (section 6.8.3), and of
/// several of that name the first (section 2.2.1).
pub(super) fn effective<'d, 'p>(directives: &'d [Directive<'p>], chain: &[&str]) -> Option<&'d Directive<'p>> {
    chain.iter().find_map(|name| directives.iter().find(|directive| directive.name == *name))
}
