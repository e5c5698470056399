//! Script text as it is sent: without comments and spaces, and with short names for what is declared in
//! it, since every page pays for every byte.
//!
//! It reads tokens and not a syntax tree, so it only does what tokens can show to be safe: a name becomes
//! short when it is declared in the text and stands nowhere as a property, a key or a label. What it
//! cannot read is kept as it is. Templates keep to what it reads: no template literal over several lines,
//! no `eval`, no `with`, no `/` of a division after `)` or a keyword.

use std::collections::{BTreeMap, HashMap, HashSet};

/// One function around the texts, run at once: nothing of it is a global.
pub(super) fn function(texts: &[&str]) -> String {
    format!("(()=>{{'use strict';{}}})();\n", pack(&texts.join("\n")))
}

/// The text, packed.
pub(super) fn pack(text: &str) -> String {
    let tokens = tokens(text);
    let names = names(&tokens);
    let mut out = String::with_capacity(text.len() / 2);
    let mut last = "";
    let mut line = false;
    for token in &tokens {
        match token.kind {
            Kind::Line => line = true,
            Kind::Word | Kind::Other => {
                let text = names.get(token.text).map_or(token.text, String::as_str);
                if line && !glued(last, token.text) {
                    out.push('\n');
                } else if token.spaced && would_join(last, token.text) {
                    out.push(' ');
                }
                out.push_str(text);
                last = token.text;
                line = false;
            }
        }
    }
    out.push('\n');
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A name, keyword or number.
    Word,
    /// A string, a regular expression, or one character.
    Other,
    /// The end of a line.
    Line,
}

#[derive(Clone, Copy, Debug)]
struct Token<'t> {
    kind: Kind,
    text: &'t str,
    /// Whether spaces stood before it.
    spaced: bool,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// Where a `/` begins a regular expression: no value ends before it.
fn takes_regex(last: Option<&Token<'_>>) -> bool {
    last.is_none_or(|last| match last.kind {
        Kind::Line => true,
        Kind::Word => matches!(last.text, "return" | "typeof" | "case" | "in" | "of"),
        Kind::Other => matches!(last.text, "(" | "," | "=" | ":" | "[" | "!" | "&" | "|" | "?" | "{" | "}" | ";" | ">" | "+"),
    })
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut spaced) = (0, false);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c == '\n' {
            tokens.push(Token { kind: Kind::Line, text: "\n", spaced });
            (at, spaced) = (at + 1, false);
            continue;
        }
        let comment = if rest.starts_with("//") {
            Some(rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            Some(rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else {
            c.is_whitespace().then_some(c.len_utf8())
        };
        if let Some(length) = comment {
            (at, spaced) = (at + length, true);
            continue;
        }
        let (kind, length) = match c {
            c if is_word(c) => (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            '\'' | '"' | '`' => (Kind::Other, quoted(rest, c)),
            '/' if takes_regex(tokens.last()) => (Kind::Other, regex(rest)),
            c => (Kind::Other, c.len_utf8()),
        };
        tokens.push(Token { kind, text: &rest[..length], spaced });
        (at, spaced) = (at + length, false);
    }
    tokens
}

/// The length of a string with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a regular expression with its slashes; its flags are a word of their own.
fn regex(text: &str) -> usize {
    let (mut escaped, mut class) = (false, false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '/' if !class => return at + 1,
            '\n' => return 1,
            _ => {}
        }
    }
    1
}

/// Whether the end of a line between the two means nothing.
fn glued(before: &str, after: &str) -> bool {
    let open = |text: &str| matches!(text, "" | ";" | "{" | "," | "(" | "[" | "&" | "|" | "?" | ":" | "=" | ">" | "+");
    let close = |text: &str| matches!(text, ")" | "]" | "}" | "," | "." | "?" | ":" | "&" | "|" | ";");
    open(before) || close(after)
}

/// Whether the two would be another token without a space.
fn would_join(before: &str, after: &str) -> bool {
    let (Some(last), Some(first)) = (before.chars().last(), after.chars().next()) else { return false };
    is_word(last) && is_word(first) || last == first && matches!(last, '+' | '-' | '/')
}

/// What browsers provide under names that scripts also give to their own.
const GLOBALS: [&str; 16] = [
    "caches",
    "close",
    "event",
    "fetch",
    "history",
    "length",
    "location",
    "name",
    "navigator",
    "open",
    "origin",
    "parent",
    "self",
    "status",
    "top",
    "window",
];

/// Short names by what they stand for.
fn names<'t>(tokens: &[Token<'t>]) -> HashMap<&'t str, String> {
    let tokens: Vec<&Token<'t>> = tokens.iter().filter(|token| token.kind != Kind::Line).collect();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let (mut declared, mut kept, mut counts) = (HashSet::new(), HashSet::new(), BTreeMap::<&str, usize>::new());
    let mut open: Vec<(&str, usize)> = Vec::new();
    // Of an arrow's parameters it is known only at their end that they are that.
    let mut parameters: HashMap<usize, Vec<&str>> = HashMap::new();
    for (at, token) in tokens.iter().enumerate() {
        let (before, own, after) = (at.checked_sub(1).map_or("", text), token.text, text(at + 1));
        match own {
            "(" | "[" => open.push((own, at)),
            // A block, or an object or a pattern for one.
            "{" => {
                open.push((if matches!(before, ")" | ">" | "else" | "try" | "finally" | ";" | "}" | "") { "" } else { own }, at))
            }
            ")" | "]" | "}" => {
                let began = open.pop().map_or(0, |(_, began)| began);
                if own == ")" && after == "=" && text(at + 2) == ">" {
                    declared.extend(parameters.remove(&began).unwrap_or_default());
                }
            }
            _ => {}
        }
        if own.starts_with('`') {
            kept.extend(own.split(|c| !is_word(c)));
        }
        if token.kind != Kind::Word {
            continue;
        }
        *counts.entry(own).or_default() += 1;
        let inside = open.last().map_or("", |(bracket, _)| bracket);
        let spread = before == "." && at >= 3 && text(at - 2) == "." && text(at - 3) == ".";
        let property = before == "." && !spread;
        let key = after == ":" || inside == "{" && matches!(before, "{" | ",") && matches!(after, "," | "}" | "=" | "(");
        // Flags of a regular expression, and digits.
        let no_name = before.len() > 1 && before.starts_with('/') || own.starts_with(|c: char| c.is_ascii_digit());
        if property || key || no_name {
            kept.insert(own);
        }
        let arrow = after == "=" && text(at + 2) == ">";
        let listed = matches!(before, "(" | "," | "[") || spread;
        if matches!(before, "const" | "let") || arrow || inside.is_empty() && before == "," && after == "=" {
            declared.insert(own);
        }
        if listed && matches!(after, "," | ")" | "]") {
            for (_, began) in open.iter().filter(|(bracket, _)| *bracket == "(") {
                parameters.entry(*began).or_default().push(own);
            }
            // `const [a, b] = …`, `for (const [a, b] of …)`.
            if let Some((_, began)) = open.last()
                && began.checked_sub(1).is_some_and(|at| matches!(text(at), "const" | "let"))
            {
                declared.insert(own);
            }
        }
    }
    // A local of that name elsewhere in the text must not take the browser's own away.
    kept.extend(GLOBALS);
    let mut wanted: Vec<&str> = declared.into_iter().filter(|name| !kept.contains(name) && name.len() > 2).collect();
    wanted.sort_by_key(|name| (std::cmp::Reverse(counts.get(name)), *name));
    let mut short = short_names().filter(|name| !counts.contains_key(name.as_str()));
    wanted.into_iter().zip(&mut short).collect()
}

/// `a` … `Z`, then two letters.
fn short_names() -> impl Iterator<Item = String> {
    let letters = || ('a'..='z').chain('A'..='Z');
    let two = letters().flat_map(move |one| letters().map(move |two| format!("{one}{two}")));
    letters().map(String::from).chain(two).filter(|name| !matches!(name.as_str(), "as" | "do" | "if" | "in" | "of"))
}

#[cfg(test)]
mod tests {
    use super::pack;

    #[test]
    fn what_tokens_show_to_be_safe_is_made_short() {
        for (text, want) in [
            ("// gone\n  const wide = 1; // gone\n\nuse(wide)\n", "const a=1;use(a)\n"),
            ("const one = x => ({ x, y: x.x });\none(2)", "const a=x=>({x,y:x.x});a(2)\n"),
            ("const first = (left, [right, ...more]) => left + right + more.length;", "const d=(a,[c,...b])=>a+c+b.length;\n"),
            (
                "let al1 = 'al1 // b', be1 = /[/] \\/ al1/g.test(al1)\nreturn be1",
                "let a='al1 // b',b=/[/] \\/ al1/g.test(a)\nreturn b\n",
            ),
            ("const { deep } = far, [near] = deep;\nnear.near()", "const{deep}=far,[near]=deep;near.near()\n"),
            ("if (x) y()\nelse z()", "if(x)y()\nelse z()\n"),
            ("a - -b; c + +d; typeof e", "a- -b;c+ +d;typeof e\n"),
            ("const name = 1; const f = (self) => self; self.f(name)", "const name=1;const f=(self)=>self;self.f(name)\n"),
            ("const text = `${text}`", "const text=`${text}`\n"),
        ] {
            assert_eq!(pack(text), want, "{text}");
        }
    }
}
