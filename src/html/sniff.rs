//! Is it a document, and of which kind? By its type, and for bodies without one by their first bytes
//! (MIME Sniffing standard, 7.1, with the sniff-scriptable flag set).

/// How many bytes decide.
pub const SNIFF_BYTES: usize = 1445;

/// The kinds of documents in which tags are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text/html`.
    Html,
    /// XHTML, SVG, and every other XML: elements of the two may stand in any of them.
    Xml,
    /// A style sheet of its own.
    Css,
}

impl Kind {
    /// The kind of a MIME type without parameters, lower case; `None` for what browsers show without
    /// loading anything (`text/plain`, images) or do not show.
    pub fn of(essence: &str) -> Option<Self> {
        match essence {
            "text/html" => Some(Self::Html),
            "text/css" => Some(Self::Css),
            // `text/xsl` is what sites call XSLT, and engines take it for XML.
            "text/xml" | "application/xml" | "text/xsl" => Some(Self::Xml),
            other => other.ends_with("+xml").then_some(Self::Xml),
        }
    }

    /// The type a browser gives a body that it recognised itself.
    pub fn essence(self) -> &'static str {
        match self {
            Self::Html => "text/html",
            Self::Xml => "text/xml",
            Self::Css => "text/css",
        }
    }
}

const TAGS: [&str; 16] = [
    "<!doctype html",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
];

/// What a browser that sniffs takes these first bytes for; `None` if for no document. Bytes behind a
/// byte order mark are plain text by the standard, and must be sent as something that no browser
/// sniffs at all.
pub fn sniff(first: &[u8]) -> Option<Kind> {
    let space = |byte: &&u8| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
    let first = &first[first.iter().take_while(space).count()..];
    if first.starts_with(b"<!--") {
        return Some(Kind::Html);
    }
    if first.starts_with(b"<?xml") {
        return Some(Kind::Xml);
    }
    let is_html = TAGS.iter().any(|tag| {
        let (name, rest) = first.split_at(tag.len().min(first.len()));
        name.eq_ignore_ascii_case(tag.as_bytes()) && matches!(rest.first(), Some(b' ' | b'>'))
    });
    is_html.then_some(Kind::Html)
}

#[cfg(test)]
mod tests {
    use super::{Kind, sniff};

    #[test]
    fn a_document_is_known_by_its_first_tag() {
        for (first, want) in [
            ("<!DOCTYPE HTML>", Some(Kind::Html)),
            ("\n\t\u{c} <HtMl lang=de>", Some(Kind::Html)),
            ("<!-- x -->", Some(Kind::Html)),
            ("<br>", Some(Kind::Html)),
            ("<?xml version=\"1.0\"?><svg/>", Some(Kind::Xml)),
            (" <?xml-stylesheet?>", Some(Kind::Xml)),
            ("<?XML ?>", None),
            ("\u{feff}<p>", None),
            ("\u{feff}<?xml ?>", None),
            ("<svg>", None),
            ("<pre>", None),
            ("<p\n>", None),
            ("<!doctype htmlx>", None),
            ("{\"a\":\"<p>\"}", None),
            ("", None),
        ] {
            assert_eq!(sniff(first.as_bytes()), want, "{first}");
        }
    }

    #[test]
    fn a_type_says_which_kind_it_is() {
        for (essence, want) in [
            ("text/html", Some(Kind::Html)),
            ("application/xhtml+xml", Some(Kind::Xml)),
            ("image/svg+xml", Some(Kind::Xml)),
            ("application/rss+xml", Some(Kind::Xml)),
            ("text/xsl", Some(Kind::Xml)),
            ("text/plain", None),
            ("application/json", None),
            ("image/png", None),
        ] {
            assert_eq!(Kind::of(essence), want, "{essence}");
        }
    }
}
