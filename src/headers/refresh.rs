//! Where the URL stands in a `Refresh` header: the HTML standard's "shared declarative refresh
//! steps", which browsers run on the header as on `<meta http-equiv=refresh>`.

use std::ops::Range;

/// The place of the URL in the value; none where the page only reloads itself or nothing happens.
pub(super) fn refresh_url(value: &[u8]) -> Option<Range<usize>> {
    let mut at = skip(value, 0, |b| b.is_ascii_whitespace());
    let time = at;
    at = skip(value, at, |b| b.is_ascii_digit());
    if at == time && value.get(at) != Some(&b'.') {
        return None;
    }
    at = skip(value, at, |b| b.is_ascii_digit() || b == b'.');
    let separated = value.get(at).is_some_and(|&b| matches!(b, b';' | b',') || b.is_ascii_whitespace());
    if !separated {
        return None;
    }
    at = skip(value, at, |b| b.is_ascii_whitespace());
    if matches!(value.get(at), Some(b';' | b',')) {
        at = skip(value, at + 1, |b| b.is_ascii_whitespace());
    }
    at = after_url_equals(value, at).unwrap_or(at);
    let end = match value.get(at) {
        Some(&quote @ (b'"' | b'\'')) => {
            at += 1;
            skip(value, at, |b| b != quote)
        }
        _ => value.len(),
    };
    (at < end).then_some(at..end)
}

/// Past `url=` with white space around the `=`; none where the value goes on with the URL itself.
fn after_url_equals(value: &[u8], at: usize) -> Option<usize> {
    let word = value.get(at..at + 3)?;
    if !word.eq_ignore_ascii_case(b"url") {
        return None;
    }
    let at = skip(value, at + 3, |b| b.is_ascii_whitespace());
    (value.get(at) == Some(&b'=')).then(|| skip(value, at + 1, |b| b.is_ascii_whitespace()))
}

fn skip(value: &[u8], from: usize, over: impl Fn(u8) -> bool) -> usize {
    from + value[from..].iter().take_while(|&&byte| over(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::refresh_url;

    #[test]
    fn the_url_is_found_where_browsers_find_it() {
        for (value, want) in [
            ("5", None),
            ("5;", None),
            ("x; url=/a", None),
            ("5x; url=/a", None),
            ("5; url=/a", Some("/a")),
            ("5;URL = \"/a b\"; x", Some("/a b")),
            ("0,url='/a", Some("/a")),
            (" .5 /a", Some("/a")),
            ("5; url", Some("url")),
            ("5; urn:a", Some("urn:a")),
            ("5; \"/a\"", Some("/a")),
            ("5 ; /a?u=url=1", Some("/a?u=url=1")),
            ("5; url=\"\"", None),
        ] {
            assert_eq!(refresh_url(value.as_bytes()).map(|range| &value[range]), want, "{value}");
        }
    }
}
