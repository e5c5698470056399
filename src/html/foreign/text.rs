//! The text of scripts and styles in foreign content, where it is markup: references are read, sections opened, comments
//! and tags leave nothing behind (HTML standard, 13.2.5 and 13.2.6.5).

use super::reader::{SECTION, ends_name, tag_end};

/// What may be the text of an element with this markup in it: its own, which is what runs, and that with the elements
/// in it. The same in both where there are none.
pub(in crate::html) fn texts(markup: &[u8]) -> [String; 2] {
    let [mut own, mut all] = [String::new(), String::new()];
    let mut open: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while at < markup.len() {
        let rest = &markup[at..];
        let (length, piece) = match rest {
            [b'<', b'!', b'-', b'-', comment @ ..] => (4 + comment_end(comment), String::new()),
            _ if rest.starts_with(SECTION) => {
                let text = &rest[SECTION.len()..];
                let end = memchr::memmem::find(text, b"]]>");
                let inner = &text[..end.unwrap_or(text.len())];
                (SECTION.len() + inner.len() + end.map_or(0, |_| 3), String::from_utf8_lossy(inner).into_owned())
            }
            [b'<', b'/', letter, ..] | [b'<', letter, ..] if letter.is_ascii_alphabetic() => {
                let name_at = if rest[1] == b'/' { 2 } else { 1 };
                let name_end = rest.iter().skip(name_at).position(|byte| ends_name(*byte)).map(|length| name_at + length);
                let end = name_end.and_then(|end| tag_end(rest, end, |_, _| {}));
                let name = rest[name_at..name_end.unwrap_or(rest.len())].to_ascii_lowercase();
                if name_at == 1 {
                    open.extend(end.filter(|(_, self_closing)| !self_closing).map(|_| name));
                } else if let Some(nth) = open.iter().rposition(|one| *one == name) {
                    open.truncate(nth);
                }
                (end.map_or(rest.len(), |(end, _)| end), String::new())
            }
            [b'<', b'!' | b'?' | b'/', ..] => (memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1), String::new()),
            _ => {
                let length = rest.iter().skip(1).position(|byte| *byte == b'<').map_or(rest.len(), |length| length + 1);
                (length, htmlize::unescape(String::from_utf8_lossy(&rest[..length])).into_owned())
            }
        };
        at += length;
        all.push_str(&piece);
        if open.is_empty() {
            own.push_str(&piece);
        }
    }
    [own, all]
}

/// Where what follows `<!--` ends.
fn comment_end(text: &[u8]) -> usize {
    if text.starts_with(b">") {
        return 1;
    }
    if text.starts_with(b"->") {
        return 2;
    }
    let ends = |&at: &usize| text[..at].ends_with(b"--") || text[..at].ends_with(b"--!");
    memchr::memchr_iter(b'>', text).find(ends).map_or(text.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_what_is_left_of_it() {
        for (markup, own, all) in [
            ("a &lt; b && c", "a < b && c", "a < b && c"),
            ("import '</bgsound>//x'", "import '//x'", "import '//x'"),
            ("im<!-- '>' -->port<?y?><!z><!><//><!---> 'x'</>", "import 'x'", "import 'x'"),
            ("a<![CDATA[&lt;<b>]]>b<![CDATA[c", "a&lt;<b>bc", "a&lt;<b>bc"),
            ("'<g x='>'>y<a/>z<i></G>//x'", "'//x'", "'yz//x'"),
            ("a < b &ap<!---->os; <g", "a < b &apos; ", "a < b &apos; "),
        ] {
            assert_eq!(texts(markup.as_bytes()), [own, all], "{markup}");
        }
    }
}
