//! Is it HTML? For bodies without a Content-Type, by the MIME Sniffing standard, 7.1.

/// How many bytes decide.
pub const SNIFF_BYTES: usize = 1445;

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

/// Whether a browser that sniffs takes these first bytes for HTML. A byte order mark is overlooked:
/// to gate what is no page costs nothing.
pub fn is_html(first: &[u8]) -> bool {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let first = first.trim_ascii_start();
    if first.starts_with(b"<!--") {
        return true;
    }
    TAGS.iter().any(|tag| {
        let (name, rest) = first.split_at(tag.len().min(first.len()));
        name.eq_ignore_ascii_case(tag.as_bytes()) && matches!(rest.first(), Some(b' ' | b'>'))
    })
}

#[cfg(test)]
mod tests {
    use super::is_html;

    #[test]
    fn html_is_known_by_its_first_tag() {
        for (first, want) in [
            ("<!DOCTYPE HTML>", true),
            ("\n\t <HtMl lang=de>", true),
            ("<!-- x -->", true),
            ("\u{feff}<p>", true),
            ("<br>", true),
            ("<pre>", false),
            ("<!doctype htmlx>", false),
            ("{\"a\":\"<p>\"}", false),
            ("", false),
        ] {
            assert_eq!(is_html(first.as_bytes()), want, "{first}");
        }
    }
}
