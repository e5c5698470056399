//! What a browser makes of `Content-Type`, however many there are (Fetch standard, "extract a MIME
//! type"; MIME Sniffing standard, "parse a MIME type").

use http::{HeaderMap, HeaderValue, header};

/// A MIME type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MimeType {
    /// `type/subtype`, lower case.
    pub(super) essence: String,
    /// Names in lower case; of a name only the first.
    parameters: Vec<(String, String)>,
}

impl MimeType {
    /// Reads one; `None` where a browser reads none.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(is_space);
        let (kind, mut rest) = text.split_once('/')?;
        let end = rest.find(';').unwrap_or(rest.len());
        let subtype = rest[..end].trim_end_matches(is_space);
        rest = &rest[end..];
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        while let Some(parameter) = rest.strip_prefix(';') {
            let parameter = parameter.trim_start_matches(is_space);
            let end = parameter.find([';', '=']).unwrap_or(parameter.len());
            let name = parameter[..end].to_ascii_lowercase();
            rest = &parameter[end..];
            let Some(value) = rest.strip_prefix('=') else { continue };
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => {
                    let (value, after) = unquote(quoted);
                    // What follows the quotes is nothing.
                    (value, &after[after.find(';').unwrap_or(after.len())..])
                }
                None => {
                    let (value, after) = value.split_at(value.find(';').unwrap_or(value.len()));
                    (value.trim_end_matches(is_space).to_owned(), after)
                }
            };
            rest = after;
            let quotable = |c: char| c == '\t' || matches!(c, ' '..='~' | '\u{80}'..='\u{ff}');
            let empty = value.is_empty() && !parameter[end + 1..].starts_with('"');
            let taken = parameters.iter().any(|(known, _)| *known == name);
            if is_token(&name) && !empty && !taken && value.chars().all(quotable) {
                parameters.push((name, value));
            }
        }
        Some(Self { essence: format!("{kind}/{subtype}").to_ascii_lowercase(), parameters })
    }

    /// What engines make of a type that the standard does not read: its beginning.
    fn guess(text: &str) -> Option<Self> {
        let text = text.trim_matches(is_space);
        let end = text.find(|c: char| is_space(c) || matches!(c, ';' | '(' | ',')).unwrap_or(text.len());
        Self::parse(&text[..end]).filter(|kind| kind.essence != "*/*")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether browsers take it for no type at all (MIME Sniffing standard, 7).
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.essence.as_str(), "unknown/unknown" | "application/unknown" | "*/*")
    }
}

impl std::fmt::Display for MimeType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.essence)?;
        for (name, value) in self.parameters.iter().filter(|(_, value)| value.is_ascii()) {
            if is_token(value) {
                write!(f, "; {name}={value}")?;
            } else {
                write!(f, "; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))?;
            }
        }
        Ok(())
    }
}

/// The type a browser takes: the last one that it can read. A charset carries over to later types of the
/// same essence. Where nothing is a type by the standard, what engines guess at.
pub(super) fn extract(headers: &HeaderMap) -> Option<MimeType> {
    let values = values(headers);
    let mut chosen: Option<MimeType> = None;
    let mut charset: Option<String> = None;
    for kind in values.iter().filter_map(|value| MimeType::parse(value)).filter(|kind| kind.essence != "*/*") {
        let same = chosen.as_ref().is_some_and(|chosen| chosen.essence == kind.essence);
        let mut kind = kind;
        match (kind.parameter("charset").map(str::to_owned), &charset) {
            (Some(own), _) if !same => charset = Some(own),
            (None, _) if !same => charset = None,
            (None, Some(carried)) => kind.parameters.push(("charset".to_owned(), carried.clone())),
            _ => {}
        }
        chosen = Some(kind);
    }
    chosen.or_else(|| values.iter().rev().find_map(|value| MimeType::guess(value)))
}

/// Makes several types, or one that not everybody reads alike, the one that counts: what stands between
/// here and the browser must not read another.
pub(super) fn settle(headers: &mut HeaderMap) {
    let values = values(headers);
    let is_plain = matches!(values.as_slice(), [one] if MimeType::parse(one).is_some());
    let lines = headers.get_all(header::CONTENT_TYPE).iter().count();
    if is_plain && lines == 1 {
        return;
    }
    let decided = extract(headers).and_then(|kind| HeaderValue::from_str(&kind.to_string()).ok());
    if let Some(decided) = decided {
        headers.insert(header::CONTENT_TYPE, decided);
    }
}

/// The values of all lines, cut at commas outside of quotes (Fetch standard, "get, decode, and split").
fn values(headers: &HeaderMap) -> Vec<String> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    // Nearly always there is one line, and nothing in it that cuts or quotes.
    if let (Some(line), None) = (lines.next(), lines.next())
        && let Ok(text) = line.to_str()
        && !text.contains(['"', ','])
    {
        return vec![text.to_owned()];
    }
    let lines = headers.get_all(header::CONTENT_TYPE).iter();
    let text: Vec<String> = lines.map(|line| line.as_bytes().iter().map(|&byte| char::from(byte)).collect()).collect();
    if text.is_empty() {
        return Vec::new();
    }
    let mut values = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.join(", ").chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                values.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(value) = values.last_mut() {
            value.push(c);
        }
    }
    values
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(chars.next().map_or('\\', |(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || special.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::CONTENT_TYPE, HeaderValue::from_bytes(line.as_bytes()).expect("a test"))).collect()
    }

    #[test]
    fn of_several_types_the_last_that_is_one_counts() {
        // The examples of the Fetch standard are among these.
        for (lines, want) in [
            (&["text/plain;charset=gbk, text/html"][..], Some("text/html")),
            (&["text/html;charset=gbk;a=b, text/html;x=y"], Some("text/html; x=y; charset=gbk")),
            (&["text/html;charset=gbk;a=b", "text/html;x=y"], Some("text/html; x=y; charset=gbk")),
            (&["text/html;charset=gbk", "x/x", "text/html;x=y"], Some("text/html; x=y")),
            (&["text/html", "cannot-parse"], Some("text/html")),
            (&["text/html", "*/*"], Some("text/html")),
            (&["text/html", ""], Some("text/html")),
            (&["image/png, text/html"], Some("text/html")),
            (&["text/html, image/png"], Some("image/png")),
            (&["text/html;x=\", image/png"], Some("text/html; x=\", image/png\"")),
            (&["TEXT/HTML ; charset=\"utf\\-8\" junk;charset=x"], Some("text/html; charset=utf-8")),
            (&["text/html; charset"], Some("text/html")),
            (&["text/html;charset=;charset=gbk"], Some("text/html; charset=gbk")),
            (&["text/html; x=\"\u{e9}\""], Some("text/html")),
            // No types by the standard.
            (&["text/html foo"], Some("text/html")),
            (&["text/html(comment)"], Some("text/html")),
            (&["nonsense"], None),
            (&["/html"], None),
            (&[], None),
        ] {
            assert_eq!(extract(&headers(lines)).map(|kind| kind.to_string()).as_deref(), want, "{lines:?}");
        }
    }

    #[test]
    fn what_is_clear_stays_as_it_came_and_the_rest_is_made_clear() {
        for (lines, want) in [
            (&["Text/HTML ;charset=x"][..], &["Text/HTML ;charset=x"][..]),
            (&["nonsense"], &["nonsense"]),
            (&["text/html", "text/plain"], &["text/plain"]),
            (&["text/plain, image/png;q=\"a b\""], &["image/png; q=\"a b\""]),
            (&["text/html foo"], &["text/html"]),
        ] {
            let mut all = headers(lines);
            settle(&mut all);
            let left: Vec<_> = all.get_all(header::CONTENT_TYPE).iter().map(|line| line.to_str().expect("ASCII")).collect();
            assert_eq!(left, want, "{lines:?}");
        }
    }
}
