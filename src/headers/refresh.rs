//! Where the URL stands in a `Refresh` header: the HTML standard's "shared declarative refresh
//! steps", which browsers run on the header as on `<meta http-equiv=refresh>`, and what a browser is
//! known to make of it that does not keep to them.

use std::ops::Range;

/// What may be the URL in the value; nothing where the page only reloads itself or nothing happens.
///
/// The standard wants digits for the time; one browser reads any number (`1e0`, `+1`), so here the time
/// may be anything. A quoted URL ends at the first quote by the standard and at the last one elsewhere.
pub(super) fn refresh_urls(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = refresh_url(value);
    let longer = first.clone().and_then(|first| {
        let quote = value[..first.start].last().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let last = first.start + value[first.start..].iter().rposition(|byte| byte == quote)?;
        (last > first.end).then_some(first.start..last)
    });
    first.into_iter().chain(longer).map(|place| &value[place])
}

/// The place of the URL by the standard's reading.
pub(super) fn refresh_url(value: &[u8]) -> Option<Range<usize>> {
    let at = after_time(value)?;
    let mut at = after_url_equals(value, at).unwrap_or(at);
    let end = match value.get(at) {
        Some(&quote @ (b'"' | b'\'')) => {
            at += 1;
            skip(value, at, |b| b != quote)
        }
        _ => value.len(),
    };
    (at < end).then_some(at..end)
}

/// Past the time and what separates it from the URL.
fn after_time(value: &[u8]) -> Option<usize> {
    let mut at = skip(value, 0, |b| b.is_ascii_whitespace());
    let time = at;
    at = skip(value, at, |b| !matches!(b, b';' | b',') && !b.is_ascii_whitespace());
    if at == time || at == value.len() {
        return None;
    }
    at = skip(value, at, |b| b.is_ascii_whitespace());
    if matches!(value.get(at), Some(b';' | b',')) {
        at = skip(value, at + 1, |b| b.is_ascii_whitespace());
    }
    Some(at)
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
    use super::refresh_urls;

    #[test]
    fn the_url_is_found_where_browsers_find_it() {
        for (value, want) in [
            ("5", &[][..]),
            ("5;", &[]),
            ("5; url=/a", &["/a"]),
            ("5;URL = \"/a b\"; x", &["/a b"]),
            ("0,url='/a", &["/a"]),
            (" .5 /a", &["/a"]),
            ("5; url", &["url"]),
            ("5; urn:a", &["urn:a"]),
            ("5; \"/a\"", &["/a"]),
            ("5 ; /a?u=url=1", &["/a?u=url=1"]),
            ("5; url=\"\"", &[]),
            ("1e0; url=/a", &["/a"]),
            ("+0, /a", &["/a"]),
            ("0;url=\"/a\"b\"", &["/a", "/a\"b"]),
            ("; url=/a", &[]),
            ("0, 0; url=/a", &["0; url=/a"]),
        ] {
            let urls: Vec<&str> =
                refresh_urls(value.as_bytes()).map(|url| std::str::from_utf8(url).expect("tests use ASCII")).collect();
            assert_eq!(urls, want, "{value}");
        }
    }
}
