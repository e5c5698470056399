//! Addresses in scripts: module specifiers, import maps, speculation rules; and what a `data:` address holds.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use encoding_rs::Encoding;
use url::{Position, Url};

use super::{address::Resolver, script::Script};
use crate::policy::Hits;

/// An address in a script's text that a rule hits.
pub(super) struct Named {
    /// Where it stands in the text.
    pub(super) at: usize,
    pub(super) address: String,
    pub(super) hits: Hits,
}

/// The addresses that a script of this kind loads by itself and that rules hit.
pub(super) fn named(script: Script, text: &[u8], resolver: &mut Resolver<'_>) -> Vec<Named> {
    let hit = |at, address: String, hits: Hits| (!hits.is_empty()).then_some(Named { at, address, hits });
    match script {
        Script::Classic | Script::Module => imports(text, script == Script::Module)
            .into_iter()
            .filter_map(|(at, address)| {
                let hits = resolver.specifier(&address);
                hit(at, address, hits)
            })
            .collect(),
        Script::ImportMap | Script::SpeculationRules => strings(text)
            .into_iter()
            .filter_map(|address| {
                let hits = match script {
                    Script::ImportMap => resolver.specifier(&address),
                    _ => resolver.decoded(&address),
                };
                hit(0, address, hits)
            })
            .collect(),
    }
}

/// Every string in a JSON text, keys included. What is no JSON, browsers do not use.
pub(super) fn strings(text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest: Vec<serde_json::Value> = serde_json::from_slice(text).into_iter().collect();
    while let Some(value) = rest.pop() {
        match value {
            serde_json::Value::String(text) => found.push(text),
            serde_json::Value::Array(values) => rest.extend(values),
            serde_json::Value::Object(entries) => {
                for (key, value) in entries {
                    found.push(key);
                    rest.push(value);
                }
            }
            _ => {}
        }
    }
    found
}

/// String literals after `import`, `from`, `import(` and `import.defer(`, with their offsets. Only modules have the
/// first two. Which bytes are white space depends on an encoding that is not known here: each reading counts.
fn imports(text: &[u8], module: bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for word in [&b"import"[..], b"from"] {
        if word == b"from" && !module {
            continue;
        }
        for at in memchr::memmem::find_iter(text, word) {
            if is_part_of_a_name(&text[..at]) {
                continue;
            }
            for separators in [true, false] {
                let mut place = skip(text, at + word.len(), separators);
                if word == b"import" && text.get(place) == Some(&b'.') {
                    place = skip(text, place + 1, separators);
                    place += text[place..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
                    place = skip(text, place, separators);
                    if text.get(place) != Some(&b'(') {
                        continue;
                    }
                }
                if word == b"import" && text.get(place) == Some(&b'(') {
                    place = skip(text, place + 1, separators);
                } else if !module {
                    continue;
                }
                let known = found.iter().any(|(at, _)| *at == place + 1);
                if !known && let Some(literal) = literal(&text[place..]) {
                    found.push((place + 1, literal));
                }
            }
        }
    }
    found.sort_unstable_by_key(|(at, _)| *at);
    found
}

/// Whether a word goes on what stands before it. What is not ASCII may be white space (a no-break space, a byte order
/// mark), and three dots are no member's.
fn is_part_of_a_name(before: &[u8]) -> bool {
    match before {
        [.., b'.', b'.', b'.'] => false,
        [.., last] => last.is_ascii_alphanumeric() || matches!(last, b'_' | b'$' | b'.' | b'#'),
        [] => false,
    }
}

/// Past white space and comments, those of old with `<!--` and `-->` too. Whatever is not ASCII counts as white space;
/// `separators` tells whether U+2028 and U+2029 end a line.
fn skip(text: &[u8], mut at: usize, separators: bool) -> usize {
    let line = |comment: &[u8]| {
        let separator = |at: &usize| separators && matches!(comment[*at..], [0xe2, 0x80, 0xa8 | 0xa9, ..]);
        let end = memchr::memchr2(b'\n', b'\r', comment).unwrap_or(comment.len());
        memchr::memchr_iter(0xe2, &comment[..end]).find(separator).unwrap_or(end)
    };
    loop {
        let rest = &text[at.min(text.len())..];
        let length = match rest {
            [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b || !byte.is_ascii() => 1,
            [b'/', b'*', comment @ ..] => memchr::memmem::find(comment, b"*/").map_or(rest.len(), |end| end + 4),
            [b'/', b'/', comment @ ..] => 2 + line(comment),
            [b'-', b'-', b'>', comment @ ..] => 3 + line(comment),
            [b'<', b'!', b'-', b'-', comment @ ..] => 4 + line(comment),
            _ => return at,
        };
        at += length;
    }
}

/// The string literals of a script, one a line, with their escapes read.
pub(super) fn literals(text: &str) -> String {
    let mut found = String::new();
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'`')) {
        let Some((read, length)) = literal_of(&rest[at..]) else {
            rest = &rest[at + 1..];
            continue;
        };
        found.push_str(&read);
        found.push('\n');
        rest = rest.get(at + length..).unwrap_or_default();
    }
    found
}

/// A string literal, or a template without holes, with its escapes read.
fn literal(text: &[u8]) -> Option<String> {
    literal_of(text).map(|(read, _)| read)
}

/// The same with its length in bytes, quotes included.
fn literal_of(text: &[u8]) -> Option<(String, usize)> {
    let (&quote, rest) = text.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\'' | b'`'))?;
    let text = String::from_utf8_lossy(rest);
    let mut read = String::new();
    let mut chars = text.chars().peekable();
    loop {
        match chars.next()? {
            c if c == char::from(quote) => {
                let left: usize = chars.map(char::len_utf8).sum();
                return Some((read, 1 + text.len() - left));
            }
            '\n' | '\r' if quote != b'`' => return None,
            '$' if quote == b'`' && chars.peek() == Some(&'{') => return None,
            '\\' => match chars.next()? {
                'x' => read.push(digits(&mut chars, 2)?),
                'u' if chars.peek() == Some(&'{') => {
                    chars.next();
                    let hex: String = chars.by_ref().take_while(|&c| c != '}').collect();
                    read.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                }
                'u' => read.push(digits(&mut chars, 4)?),
                '\r' if chars.peek() == Some(&'\n') => drop(chars.next()),
                '\n' | '\r' | '\u{2028}' | '\u{2029}' => {}
                't' => read.push('\t'),
                'n' => read.push('\n'),
                'r' => read.push('\r'),
                // Octal digits exist in sloppy mode only.
                octal @ '0'..='7' => {
                    let mut value = octal.to_digit(8)?;
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)).filter(|digit| value * 8 + digit < 256) {
                        value = value * 8 + digit;
                        chars.next();
                    }
                    read.push(char::from_u32(value)?);
                }
                c => read.push(c),
            },
            c => read.push(c),
        }
    }
}

fn digits(chars: &mut impl Iterator<Item = char>, count: usize) -> Option<char> {
    let hex: String = chars.by_ref().take(count).collect();
    Some(char::from_u32(u32::from_str_radix(&hex, 16).ok()?).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// What a `data:` address holds.
pub(super) struct Data {
    /// Lower case, without parameters.
    pub(super) kind: String,
    pub(super) text: String,
}

/// Reads a `data:` address (Fetch standard, "data: URL processor"). `None` for any other, and for one that browsers do
/// not read.
pub(super) fn data(address: &str) -> Option<Data> {
    const FORGIVING: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let start = address.trim_start_matches(|c: char| c <= ' ');
    if !start.as_bytes().first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'd')) {
        return None;
    }
    let url = Url::parse(start).ok().filter(|url| url.scheme() == "data")?;
    let (head, body) = url[Position::BeforePath..Position::AfterQuery].split_once(',')?;
    let body: Vec<u8> = percent_encoding::percent_decode_str(body).collect();
    let head = head.trim();
    let (head, base64) = match head.rsplit_once(';') {
        Some((head, last)) if last.trim().eq_ignore_ascii_case("base64") => (head, true),
        _ => (head, false),
    };
    let body = if base64 {
        let packed: Vec<u8> = body.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        FORGIVING.decode(packed).ok()?
    } else {
        body
    };
    let mut parts = head.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let label = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")));
    let encoding = label.and_then(|(_, label)| Encoding::for_label(label.trim().trim_matches('"').as_bytes()));
    let text = encoding.unwrap_or(encoding_rs::UTF_8).decode(&body).0.into_owned();
    Some(Data { kind, text })
}

/// The code in a `javascript:` address.
pub(super) fn javascript(address: &str) -> Option<String> {
    let start = address.trim_start_matches(|c: char| c <= ' ');
    if !start.as_bytes().first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'j')) {
        return None;
    }
    let url = Url::parse(start).ok().filter(|url| url.scheme() == "javascript")?;
    Some(percent_encoding::percent_decode_str(&url[Position::BeforePath..]).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_found_where_they_load() {
        for (text, module, want) in [
            ("import a, { b } from 'x'; import \"y\";export * from/**/`z`", true, vec!["x", "y", "z"]),
            ("import/* ( */(/*c*/'x', 1) // import('y')", false, vec!["x", "y"]),
            ("import 'x'; Array.from('y'); a = 'from'; reimport('z'); $import('v')", false, vec![]),
            ("Array.from('y'); from ('z')", true, vec![]),
            (
                r"import('https:\x2f\u002f\u{61}\/b\
c')",
                false,
                vec!["https://a/bc"],
            ),
            ("import(`x${y}`); import('\n'); import(a + 'b'); import('", false, vec![]),
            ("import.meta.resolve('x'); import {a} from // c\n 'y'", true, vec!["y"]),
            ("\u{feff}import 'x';\u{a0}import\u{2003}'y'", true, vec!["x", "y"]),
            ("[...import('x')]; a.import('y'); import . defer ('z')", false, vec!["x", "z"]),
            ("import // c\u{2028}'x'\n'y'", true, vec!["x", "y"]),
            ("import<!-- c\n--> d\n('x')", false, vec!["x"]),
        ] {
            let got: Vec<String> = imports(text.as_bytes(), module).into_iter().map(|(_, address)| address).collect();
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(imports(b"import('x')", false)[0].0, 8);
        // A no-break space, as windows-1252 has it.
        assert_eq!(imports(b"\xa0import\xa0'x'", true)[0].1, "x");
    }

    #[test]
    fn data_addresses_are_opened() {
        for (address, want) in [
            ("data:text/javascript,a%28%29", Some(("text/javascript", "a()"))),
            ("DATA:text/HTML;charset=utf-8;base64,PGI+", Some(("text/html", "<b>"))),
            ("da\nta:;BASE64 ,PG I%2B#x", Some(("", "<b>"))),
            (" data:,a?b#c", Some(("", "a?b"))),
            ("data:;base64,P", None),
            ("data:x", None),
            ("https://a/,b", None),
            ("data:text/html;charset=utf-16le,%3c%00b%00", Some(("text/html", "<b"))),
        ] {
            let got = data(address).map(|data| (data.kind, data.text));
            assert_eq!(got.as_ref().map(|(kind, text)| (kind.as_str(), text.as_str())), want, "{address}");
        }
        assert_eq!(javascript("java\tscript:a%28%27x%27)//#y").as_deref(), Some("a('x')//#y"));
        assert_eq!(javascript("/javascript:"), None);
    }
}
