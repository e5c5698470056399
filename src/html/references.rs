//! An attribute's value with its character references read, and where in the raw value each part stands.

use encoding_rs::Encoding;

use super::address::decode;

/// A value's text, which can be led back to the raw bytes.
pub(super) struct Referenced {
    pub(super) text: String,
    /// Beginnings of stretches: in the text, in the raw value, and whether the stretch is the same in both.
    stretches: Vec<(usize, usize, bool)>,
}

impl Referenced {
    /// `None` where the raw value cannot be followed: its encoding may use other lengths, or a zero byte
    /// stands for another character.
    pub(super) fn read(raw: &[u8], encoding: &'static Encoding) -> Option<Self> {
        let source = str::from_utf8(raw).ok().filter(|_| raw.is_ascii() || encoding == encoding_rs::UTF_8)?;
        if raw.contains(&0) {
            return None;
        }
        let (mut text, mut stretches) = (String::with_capacity(raw.len()), Vec::new());
        let mut at = 0;
        while at < source.len() {
            let plain = memchr::memchr(b'&', &raw[at..]).unwrap_or(raw.len() - at);
            stretches.push((text.len(), at, true));
            text.push_str(&source[at..at + plain]);
            at += plain;
            if at == source.len() {
                break;
            }
            // A reference is letters and digits up to a semicolon; what follows decides whether it is one.
            let after = &source[at + 1..];
            let length = match after.strip_prefix('#') {
                Some(hex) if hex.starts_with(['x', 'X']) => 2 + length_of(&hex[1..], |c| c.is_ascii_hexdigit()),
                Some(decimal) => 1 + length_of(decimal, |c| c.is_ascii_digit()),
                None => length_of(after, |c| c.is_ascii_alphanumeric()),
            };
            let run = at + 1 + length;
            let next = source[run..].chars().next();
            let end = if next == Some(';') { run + 1 } else { run };
            let peek = next.filter(|&c| c != ';' && c != '&').map_or(0, char::len_utf8);
            let decoded = htmlize::unescape_attribute(&source[at..end + peek]);
            let decoded = &decoded[..decoded.len() - peek];
            stretches.push((text.len(), at, decoded == &source[at..end]));
            text.push_str(decoded);
            at = end;
        }
        debug_assert_eq!(text, decode(raw, encoding));
        stretches.push((text.len(), source.len(), true));
        Some(Self { text, stretches })
    }

    /// The place in the raw value; `None` inside of a reference.
    pub(super) fn raw(&self, at: usize) -> Option<usize> {
        let index = self.stretches.partition_point(|&(text, ..)| text <= at).checked_sub(1)?;
        let (text, raw, same) = self.stretches[index];
        if at == text { Some(raw) } else { same.then_some(raw + at - text) }
    }
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_led_back() {
        let raw = "a&quot;b&amp;c&#x2f;&#47d&ampe&nope;&ZeroWidthSpace;f&acE;&";
        let read = Referenced::read(raw.as_bytes(), encoding_rs::UTF_8).expect("it is ASCII");
        assert_eq!(read.text, decode(raw.as_bytes(), encoding_rs::UTF_8));
        for (text, want) in [("a", 0), ("\"", 1), ("b", 7), ("c", 13), ("//", 14), ("d", 24), ("f&", raw.find('f').unwrap_or(0))]
        {
            let at = match text {
                "f&" => read.text.rfind('f'),
                text => read.text.find(text),
            };
            let got = at.and_then(|at| read.raw(at));
            assert_eq!(got, Some(if text == "f&" { raw.rfind("f&acE").unwrap_or(0) } else { want }), "{text}: {}", read.text);
        }
        assert_eq!(read.raw(read.text.len()), Some(raw.len()));
        assert!(Referenced::read(b"\xe9", encoding_rs::WINDOWS_1252).is_none());
    }
}
