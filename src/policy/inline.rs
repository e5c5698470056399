//! Strong signatures in inline scripts: one automaton over every vendor's literals, fed piece by piece.
//!
//! Text and literals are normalised alike: white space goes, every kind of quote is `'`, and the
//! escapes of JavaScript strings (`\x66`, `\u0066`, `\/`) are read. What hides better than that is
//! for the browser's own wall, not for a text matcher.

use std::sync::Arc;

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    dfa::DFA,
};

use super::{Hits, Rule, RuleId, vendor::What};

/// The compiled signatures of every vendor.
#[derive(Debug)]
pub(super) struct Signatures {
    /// `None` where no vendor has a signature.
    automaton: Option<Arc<DFA>>,
    start: StateID,
    /// Bytes that begin no literal.
    idle: [bool; 256],
    literals: usize,
    clauses: Vec<Clause>,
}

/// One group of literals that together are a hit.
#[derive(Debug)]
struct Clause {
    rule: RuleId,
    all: Vec<usize>,
    unless: Vec<usize>,
}

impl Signatures {
    /// Compiles the groups, and what speaks against them, of the rules that `groups` has some for.
    pub(super) fn compile<'r>(rules: &'r [Rule], groups: impl Fn(&'r What) -> Option<(&'r [Vec<String>], &'r [String])>) -> Self {
        let mut literals: Vec<Vec<u8>> = Vec::new();
        let mut number = |literal: &str| {
            let normal = normalise(literal.as_bytes());
            literals.iter().position(|known| *known == normal).unwrap_or_else(|| {
                literals.push(normal);
                literals.len() - 1
            })
        };
        let mut clauses = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let Some((any, unless)) = groups(&rule.what) else { continue };
            let unless: Vec<usize> = unless.iter().map(|literal| number(literal)).collect();
            for group in any {
                let all = group.iter().map(|literal| number(literal)).collect();
                clauses.push(Clause { rule: RuleId(index as u16), all, unless: unless.clone() });
            }
        }
        let automaton = DFA::builder().match_kind(MatchKind::Standard).build(&literals).ok().filter(|_| !literals.is_empty());
        let start = automaton.as_ref().and_then(|dfa| dfa.start_state(Anchored::No).ok()).unwrap_or_default();
        let mut idle = [false; 256];
        if let Some(dfa) = automaton.as_ref().filter(|dfa| !dfa.is_match(start)) {
            let begins = |byte| dfa.next_state(Anchored::No, start, byte) != start;
            (0..=u8::MAX)
                .for_each(|byte| idle[usize::from(byte)] = SPACES.contains(&byte) || PLAIN[usize::from(byte)] && !begins(byte));
        }
        Self { automaton: automaton.map(Arc::new), start, idle, literals: literals.len(), clauses }
    }

    /// Whether no rule has a signature.
    pub(super) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    pub(super) fn scanner(&self) -> InlineScanner<'_> {
        InlineScanner {
            signatures: self,
            state: self.start,
            found: vec![false; self.literals],
            normaliser: Normaliser::default(),
            any: false,
        }
    }
}

/// Matches one inline script's text, in as many pieces as it comes.
pub struct InlineScanner<'p> {
    signatures: &'p Signatures,
    state: StateID,
    found: Vec<bool>,
    normaliser: Normaliser,
    any: bool,
}

impl InlineScanner<'_> {
    /// Reads the next piece.
    pub fn feed(&mut self, text: &[u8]) {
        let Some(automaton) = &self.signatures.automaton else { return };
        let (mut state, found, any) = (self.state, &mut self.found, &mut self.any);
        let mut step = |state: &mut StateID, byte| {
            *state = automaton.next_state(Anchored::No, *state, byte);
            if automaton.is_special(*state) && automaton.is_match(*state) {
                for index in 0..automaton.match_len(*state) {
                    found[automaton.match_pattern(*state, index).as_usize()] = true;
                    *any = true;
                }
            }
        };
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            if matches!(self.normaliser, Normaliser::Text) {
                // Most bytes begin no literal, and need neither the automaton nor the normaliser.
                if state == self.signatures.start {
                    let idle = rest.iter().position(|&byte| !self.signatures.idle[usize::from(byte)]).unwrap_or(rest.len());
                    if idle > 0 {
                        rest = &rest[idle..];
                        continue;
                    }
                }
                if PLAIN[usize::from(byte)] {
                    step(&mut state, byte);
                    rest = after;
                    continue;
                }
            }
            self.normaliser.feed(&[byte], |byte| step(&mut state, byte));
            rest = after;
        }
        self.state = state;
    }

    /// The rules hit by what was read so far, whatever may follow: `unless` is not yet an excuse.
    pub fn hits_so_far(&self) -> Hits {
        self.hits(|_| true)
    }

    /// The rules hit by the whole text.
    pub fn finish(&self) -> Hits {
        self.hits(|clause| !clause.unless.iter().any(|&literal| self.found[literal]))
    }

    fn hits(&self, counts: impl Fn(&Clause) -> bool) -> Hits {
        let mut hits = Hits::none();
        if self.any {
            let complete = |clause: &&Clause| clause.all.iter().all(|&literal| self.found[literal]) && counts(clause);
            self.signatures.clauses.iter().filter(complete).for_each(|clause| hits.push(clause.rule));
        }
        hits
    }
}

fn normalise(text: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(text.len());
    Normaliser::default().feed(text, |byte| normal.push(byte));
    normal
}

/// Bytes that stand for nothing in text.
const SPACES: &[u8] = b" \t\n\r\x0b\x0c";

/// Bytes that stand for themselves in text: neither space nor quote nor the start of an escape.
static PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let odd = b" \t\n\r\x0b\x0c\"`\\";
    let mut at = 0;
    while at < odd.len() {
        plain[odd[at] as usize] = false;
        at += 1;
    }
    plain
};

/// Where the normaliser stands between two bytes.
#[derive(Clone, Copy, Debug, Default)]
enum Normaliser {
    #[default]
    Text,
    /// After a backslash.
    Escape,
    /// Inside `\x..`, `\u....` or `\u{...}`: the digits' value, how many are still to come
    /// (`None` inside braces).
    Digits { value: u32, left: Option<u8> },
}

impl Normaliser {
    fn feed(&mut self, text: &[u8], mut emit: impl FnMut(u8)) {
        for &byte in text {
            *self = match (*self, byte) {
                (Self::Text, b'\\') => Self::Escape,
                (Self::Text, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => Self::Text,
                (Self::Text, b'"' | b'`') => {
                    emit(b'\'');
                    Self::Text
                }
                (Self::Text, _) => {
                    emit(byte);
                    Self::Text
                }
                (Self::Escape, b'x') => Self::Digits { value: 0, left: Some(2) },
                (Self::Escape, b'u') => Self::Digits { value: 0, left: Some(4) },
                (Self::Escape, b'\n' | b'\r') => Self::Text, // A line continuation.
                (Self::Escape, b'"' | b'`') => {
                    emit(b'\'');
                    Self::Text
                }
                (Self::Escape, _) => {
                    emit(byte);
                    Self::Text
                }
                (Self::Digits { value: 0, left: Some(4) }, b'{') => Self::Digits { value: 0, left: None },
                (Self::Digits { value, left: None }, b'}') => {
                    emit_char(value, &mut emit);
                    Self::Text
                }
                (Self::Digits { value, left }, _) => match (byte as char).to_digit(16) {
                    Some(digit) => {
                        let value = value.saturating_mul(16).saturating_add(digit);
                        match left {
                            Some(1) => {
                                emit_char(value, &mut emit);
                                Self::Text
                            }
                            left => Self::Digits { value, left: left.map(|n| n - 1) },
                        }
                    }
                    // Not an escape after all; no literal of ours contains one.
                    None => {
                        emit(byte);
                        Self::Text
                    }
                },
            };
        }
    }
}

/// Literals are ASCII; anything else only has to break a match.
fn emit_char(value: u32, emit: &mut impl FnMut(u8)) {
    match value {
        0x20 | 0x09..=0x0d => {}
        0x22 | 0x60 => emit(b'\''),
        0x21..=0x7e => emit(value as u8),
        _ => emit(0),
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn spacing_quotes_and_escapes_do_not_hide_a_call() {
        for text in
            [r#"fbq('init'"#, "fbq( \"init\"", "fbq (\n`init`", r#"f\x62q("\u0069nit""#, r"fbq('\u{69}nit'", "fbq('in\\\nit'"]
        {
            assert_eq!(normalise(text.as_bytes()), b"fbq('init'", "{text}");
        }
        assert_eq!(normalise(br"https:\/\/a.b\/c"), b"https://a.b/c");
    }
}
