//! Which encoding a browser would read the page in, settled before the parser sees a byte.
//!
//! Order: byte order mark, Content-Type, `<meta>` in the first 1024 bytes, windows-1252 (Encoding and
//! HTML standards); in XML the declaration takes the place of the `<meta>`, and UTF-8 is what is left.
//! A page in UTF-16 or ISO-2022-JP read as ASCII shows no tag at all, so such pages are gated and sent
//! in UTF-8. The result is sent along explicitly: what a browser would guess otherwise is not ours to
//! know, and what it is told outranks a `<meta>` or a declaration that is no longer true.

use std::borrow::Cow;

use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use super::sniff::Kind;

/// How many bytes are looked at for a `<meta>`.
pub(super) const PRESCAN_BYTES: usize = 1024;

/// The encoding of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charset(&'static Encoding);

impl Charset {
    /// The name for a Content-Type, lower case: that of the bytes that are sent.
    pub(super) fn name(self, kind: Kind) -> String {
        if self.is_transcoded(kind) { "utf-8".to_owned() } else { self.0.name().to_ascii_lowercase() }
    }

    /// The encoding of the bytes that come.
    pub(super) fn encoding(self) -> &'static Encoding {
        self.0
    }

    /// Whether the page is gated, and sent, in UTF-8 instead. Pages where a byte of ASCII may be part of
    /// something else: there a tag could hide. In XML that is any encoding with double bytes (a
    /// character may end in `]` and so begin the end of a CDATA section); the rest goes with it, since
    /// XML is UTF-8 by nature.
    ///
    /// `replacement` as well: browsers show one U+FFFD for the whole page, and so does its decoder.
    pub(super) fn is_transcoded(self, kind: Kind) -> bool {
        match kind {
            Kind::Html | Kind::Css => [UTF_16LE, UTF_16BE, ISO_2022_JP, REPLACEMENT].contains(&self.0),
            Kind::Xml => self.0 != UTF_8,
        }
    }
}

/// Settles the encoding from the Content-Type's label and the first bytes; `None` while `first` is
/// too short, unless it is `complete`.
pub(super) fn settle(kind: Kind, label: Option<&str>, first: &[u8], complete: bool) -> Option<Charset> {
    if !complete && first.len() < 3 {
        return None;
    }
    if let Some((encoding, _)) = Encoding::for_bom(first) {
        return Some(Charset(encoding));
    }
    if let Some(encoding) = label.and_then(|label| Encoding::for_label(label.as_bytes())) {
        return Some(Charset(encoding));
    }
    let start = &first[..first.len().min(PRESCAN_BYTES)];
    let all = complete || first.len() >= PRESCAN_BYTES;
    let found = match kind {
        Kind::Html => utf16_declaration(start).or_else(|| meta(start)),
        Kind::Xml if first.starts_with(b"<?xml") => utf16_declaration(start).or_else(|| xml_declaration(start)),
        Kind::Xml => utf16_declaration(start),
        Kind::Css => charset_rule(start),
    };
    // A declaration stands at the very beginning and is over with its first `>`.
    let decided = match kind {
        Kind::Html => all,
        Kind::Xml => all || first.len() > 5 && (!first.starts_with(b"<?xml") || memchr::memchr(b'>', start).is_some()),
        Kind::Css => {
            all || !CHARSET_RULE.starts_with(&start[..start.len().min(CHARSET_RULE.len())]) && !start.starts_with(CHARSET_RULE)
        }
    };
    match (found, kind) {
        (Some(encoding), _) => Some(Charset(encoding)),
        (None, _) if !decided => None,
        (None, Kind::Html) => Some(Charset(xml_declaration(start).unwrap_or(WINDOWS_1252))),
        (None, Kind::Xml | Kind::Css) => Some(Charset(UTF_8)),
    }
}

/// The `charset` of a Content-Type, unquoted (RFC 9110, 8.3.1).
pub(super) fn label_of(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').map_or(value, |value| value.split('"').next().unwrap_or_default());
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })
}

/// The only spelling that counts (CSS Syntax 3, "determine the fallback encoding").
const CHARSET_RULE: &[u8] = b"@charset \"";

fn charset_rule(start: &[u8]) -> Option<&'static Encoding> {
    let rest = start.strip_prefix(CHARSET_RULE)?;
    let end = memchr::memchr(b'"', rest)?;
    if rest.get(end + 1) == Some(&b';') { declared(&rest[..end]) } else { None }
}

/// `<?x` in UTF-16 without a byte order mark.
fn utf16_declaration(start: &[u8]) -> Option<&'static Encoding> {
    match start {
        [b'<', 0, b'?', 0, b'x', 0, ..] => Some(UTF_16LE),
        [0, b'<', 0, b'?', 0, b'x', ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// A document that shows its label in ASCII cannot be in UTF-16.
fn declared(label: &[u8]) -> Option<&'static Encoding> {
    match Encoding::for_label(label)? {
        encoding if encoding == UTF_16LE || encoding == UTF_16BE => Some(UTF_8),
        encoding if encoding == X_USER_DEFINED => Some(WINDOWS_1252),
        encoding => Some(encoding),
    }
}

/// `<?xml … encoding="…"?>` (HTML standard, "get an XML encoding").
fn xml_declaration(start: &[u8]) -> Option<&'static Encoding> {
    let declaration = start.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..memchr::memchr(b'>', declaration)?];
    let at = memchr::memmem::find(declaration, b"encoding")? + b"encoding".len();
    let skip = |bytes: &'_ [u8]| bytes.iter().take_while(|&&byte| byte <= b' ').count();
    let rest = &declaration[at..];
    let rest = rest[skip(rest)..].strip_prefix(b"=")?;
    let rest = &rest[skip(rest)..];
    let (quote, rest) = rest.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    let label = &rest[..memchr::memchr(*quote, rest)?];
    if label.iter().any(|&byte| byte <= b' ') { None } else { declared(label) }
}

/// `<meta charset>` or `<meta http-equiv=content-type>` (HTML standard, "prescan a byte stream").
/// `None` also where the bytes end before it is certain.
fn meta(start: &[u8]) -> Option<&'static Encoding> {
    let mut scan = Scan { bytes: start, at: 0 };
    while scan.at < start.len() {
        let rest = &start[scan.at..];
        if rest.starts_with(b"<!--") {
            // The dashes may be those of the opening.
            scan.at += 2 + memchr::memmem::find(&rest[2..], b"-->")? + 2;
        } else if is_meta(rest) {
            scan.at += b"<meta".len();
            if let Some(encoding) = scan.meta()? {
                return Some(encoding);
            }
        } else if is_tag(rest) {
            scan.at += rest.iter().position(|byte| is_space(*byte) || *byte == b'>')?;
            while scan.attribute()?.is_some() {}
        } else if matches!(rest, [b'<', b'!' | b'/' | b'?', ..]) {
            scan.at += memchr::memchr(b'>', rest)?;
        }
        scan.at += 1;
    }
    None
}

fn is_meta(rest: &[u8]) -> bool {
    rest.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case(b"<meta"))
        && rest.get(5).is_some_and(|&byte| is_space(byte) || byte == b'/')
}

fn is_tag(rest: &[u8]) -> bool {
    match rest {
        [b'<', b'/', letter, ..] | [b'<', letter, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// A place in the first bytes. Every step answers `None` where the bytes end first.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Scan<'a> {
    /// The encoding this `<meta>` names, if it does.
    fn meta(&mut self) -> Option<Option<&'static Encoding>> {
        let (mut pragma, mut charset, mut content) = (false, None, None);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        while let Some((name, value)) = self.attribute()? {
            if seen.contains(&name.to_vec()) {
                continue;
            }
            match &*name {
                b"http-equiv" => pragma = value.eq_ignore_ascii_case(b"content-type"),
                b"content" => content = label_in_content(&value).map(|label| declared(&label)),
                b"charset" => charset = Some(declared(&value)),
                _ => {}
            }
            seen.push(name.into_owned());
        }
        Some(charset.unwrap_or_else(|| content.filter(|_| pragma).flatten()))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, skips: impl Fn(u8) -> bool) -> Option<u8> {
        while skips(self.peek()?) {
            self.at += 1;
        }
        self.peek()
    }

    fn take(&mut self, takes: impl Fn(u8) -> bool) -> Option<Cow<'a, [u8]>> {
        let from = self.at;
        self.skip(takes)?;
        Some(lower(&self.bytes[from..self.at]))
    }

    /// The next attribute, lower case; `Some(None)` at the tag's `>`.
    fn attribute(&mut self) -> Option<Option<Pair<'a>>> {
        if self.skip(|byte| is_space(byte) || byte == b'/')? == b'>' {
            return Some(None);
        }
        let from = self.at;
        self.at += 1; // A name may begin with `=`.
        self.skip(|byte| !is_space(byte) && !matches!(byte, b'=' | b'/' | b'>'))?;
        let name = lower(&self.bytes[from..self.at]);
        if self.skip(is_space)? != b'=' {
            return Some(Some((name, Cow::Borrowed(b""))));
        }
        self.at += 1;
        let value = match self.skip(is_space)? {
            quote @ (b'"' | b'\'') => {
                self.at += 1;
                let value = self.take(|byte| byte != quote)?;
                self.at += 1;
                value
            }
            b'>' => Cow::Borrowed(&b""[..]),
            _ => self.take(|byte| !is_space(byte) && byte != b'>')?,
        };
        Some(Some((name, value)))
    }
}

fn lower(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.iter().any(u8::is_ascii_uppercase) { Cow::Owned(bytes.to_ascii_lowercase()) } else { Cow::Borrowed(bytes) }
}

/// The label in `text/html; charset=…`, lower case already.
fn label_in_content(content: &[u8]) -> Option<Vec<u8>> {
    let mut rest = content;
    loop {
        rest = &rest[memchr::memmem::find(rest, b"charset")? + b"charset".len()..];
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        return match value.first()? {
            quote @ (b'"' | b'\'') => value[1..].split(|byte| byte == quote).next().filter(|v| v.len() + 1 < value.len()),
            _ => value.split(|&byte| is_space(byte) || byte == b';').next(),
        }
        .map(<[u8]>::to_vec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(label: Option<&str>, first: &[u8]) -> String {
        settle(Kind::Html, label, first, true).expect("complete bytes settle it").name(Kind::Html)
    }

    #[test]
    fn the_order_is_mark_then_header_then_meta_then_windows_1252() {
        for (label, first, want) in [
            (None, &b""[..], "windows-1252"),
            (None, b"\xef\xbb\xbf<p>", "utf-8"),
            (Some("koi8-r"), b"\xef\xbb\xbf<p>", "utf-8"),
            (Some("latin1"), b"<meta charset=utf-8>", "windows-1252"),
            (Some("no-such-label"), b"<meta charset=utf-8>", "utf-8"),
            (None, b"<meta charset=Shift_JIS>", "shift_jis"),
            (None, b"<meta charset='utf-16'>", "utf-8"),
            (None, b"<meta charset=x-user-defined>", "windows-1252"),
            (None, b"<meta charset=bogus><meta charset=gbk>", "gbk"),
            (None, b"<!-- <meta charset=gbk> --><META/CHARSET = \"big5\" >", "big5"),
            (None, b"<!--><meta charset=gbk>", "gbk"),
            (None, b"<a title='<meta charset=gbk>'><meta charset=euc-kr>", "euc-kr"),
            (None, b"<meta content='text/html; charset=gbk'>", "windows-1252"),
            (None, b"<meta content='text/html; charset=gbk' http-equiv=Content-Type>", "gbk"),
            (None, b"<meta http-equiv=content-type content='charset charset = \"gbk\"'>", "gbk"),
            (None, b"<metax charset=gbk>", "windows-1252"),
            (None, b"<?xml version='1.0' encoding='koi8-r'?><html>", "koi8-r"),
            (None, b"<?xml version='1.0' encoding='utf-16'?><html>", "utf-8"),
            (None, b"<meta charset=gb", "windows-1252"),
        ] {
            assert_eq!(name(label, first), want, "{label:?} {}", String::from_utf8_lossy(first));
        }
    }

    #[test]
    fn what_cannot_be_read_as_ascii_is_transcoded() {
        for (label, first, want) in [
            (Some("utf-16"), &b"<p>"[..], UTF_16LE),
            (None, b"\xff\xfe<\0p\0", UTF_16LE),
            (Some("utf-8"), b"\xfe\xff\0<\0p", UTF_16BE),
            (None, b"<\0?\0x\0m\0l\0", UTF_16LE),
            (None, b"<meta charset=iso-2022-jp>", ISO_2022_JP),
            (Some("hz-gb-2312"), b"<p>", REPLACEMENT),
        ] {
            let charset = settle(Kind::Html, label, first, true).expect("complete bytes settle it");
            assert_eq!(charset.encoding(), want, "{label:?} {first:?}");
            assert!(charset.is_transcoded(Kind::Html));
            assert_eq!(charset.name(Kind::Html), "utf-8");
        }
        let charset = settle(Kind::Html, Some("gbk"), b"<p>", true).expect("the header settles it");
        assert!(!charset.is_transcoded(Kind::Html) && charset.is_transcoded(Kind::Xml));
    }

    #[test]
    fn xml_declares_its_encoding_and_is_utf_8_otherwise() {
        for (label, first, want) in [
            (None, &b"<r/>"[..], UTF_8),
            (None, b"<meta charset=gbk>", UTF_8),
            (None, b"<?xml version='1.0' encoding='koi8-r'?><r/>", encoding_rs::KOI8_R),
            (Some("gbk"), b"<?xml version='1.0' encoding='koi8-r'?><r/>", encoding_rs::GBK),
            (Some("gbk"), b"\xef\xbb\xbf<?xml version='1.0' encoding='koi8-r'?><r/>", UTF_8),
            (None, b"<?xml version='1.0' encoding='utf-16'?><r/>", UTF_8),
            (None, b"<\0?\0x\0m\0l\0", UTF_16LE),
            (None, b" <?xml encoding='koi8-r'?>", UTF_8),
        ] {
            let charset = settle(Kind::Xml, label, first, true).expect("complete bytes settle it");
            assert_eq!(charset.encoding(), want, "{label:?} {}", String::from_utf8_lossy(first));
        }
        let text = b"<?xml version='1.0' encoding='koi8-r'?>";
        for end in 0..text.len() {
            assert_eq!(settle(Kind::Xml, None, &text[..end], false), None, "{end} bytes");
        }
        assert!(settle(Kind::Xml, None, text, false).is_some());
        assert!(settle(Kind::Xml, None, b"<rss v", false).is_some(), "nothing to wait for");
    }

    #[test]
    fn a_meta_is_waited_for_and_then_believed() {
        let page = b"<title>x</title><meta charset=gbk>";
        for end in 0..page.len() {
            assert_eq!(settle(Kind::Html, None, &page[..end], false), None, "{end} bytes");
        }
        assert!(settle(Kind::Html, None, page, false).is_some());
        assert!(settle(Kind::Html, None, &[b' '; 1024], false).is_some());
    }

    #[test]
    fn a_label_is_read_out_of_a_content_type() {
        for (header, want) in [
            ("text/html", None),
            ("text/html; charset=UTF-8", Some("UTF-8")),
            ("text/html;x=y; Charset=\"gbk\"", Some("gbk")),
            ("text/html; charset", None),
        ] {
            assert_eq!(label_of(header), want);
        }
    }
}
