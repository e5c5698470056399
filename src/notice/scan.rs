//! Reads rendered markup as tags and text, for the lint. It reads what templates of this room and
//! their overrides produce; pages of the site are another room's work.

/// A piece of markup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Open(Tag),
    Close(String),
    /// With character references resolved.
    Text(String),
}

/// A start tag with lower-case names and values whose character references are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Elements whose content is text up to their own end tag.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Every piece in order.
pub(super) fn scan(html: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        push_text(&rest[..at], &mut pieces);
        rest = &rest[at..];
        rest = if let Some(comment) = rest.strip_prefix("<!--") {
            comment.find("-->").map_or("", |end| &comment[end + 3..])
        } else if rest.starts_with("<!") {
            rest.find('>').map_or("", |end| &rest[end + 1..])
        } else if let Some(close) = rest.strip_prefix("</") {
            let (name, after) = close.split_once('>').unwrap_or((close, ""));
            pieces.push(Piece::Close(name.trim().to_ascii_lowercase()));
            after
        } else if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (tag, after) = tag(&rest[1..]);
            let after = skip_raw(&tag.name, after);
            pieces.push(Piece::Open(tag));
            after
        } else {
            push_text("<", &mut pieces);
            &rest[1..]
        };
    }
    push_text(rest, &mut pieces);
    pieces
}

fn push_text(text: &str, pieces: &mut Vec<Piece>) {
    if !text.trim().is_empty() {
        pieces.push(Piece::Text(htmlize::unescape(text).into_owned()));
    }
}

fn skip_raw<'a>(name: &str, after: &'a str) -> &'a str {
    if !RAW.contains(&name) {
        return after;
    }
    after.to_ascii_lowercase().find(&format!("</{name}")).map_or("", |end| &after[end..])
}

/// A start tag from its name on, and what follows its `>`.
fn tag(text: &str) -> (Tag, &str) {
    let name_end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/')).unwrap_or(text.len());
    let mut tag = Tag { name: text[..name_end].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &text[name_end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let Some(first) = rest.chars().next() else { return (tag, "") };
        if first == '>' {
            return (tag, &rest[1..]);
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len()).max(1);
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = attribute_value(after.trim_start());
        }
        tag.attributes.push((name, htmlize::unescape_attribute(value).into_owned()));
    }
}

fn attribute_value(text: &str) -> (&str, &str) {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split_once(quote).unwrap_or((&text[1..], "")),
        _ => text.split_at(text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_attributes_and_text_are_read() {
        let pieces = scan("<!doctype html><!-- <b> --><A HREF='x&amp;y' c=d/e disabled>T&uuml;r &lt;</A><script><b></script>");
        let open = |name: &str, attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            Piece::Open(Tag { name: name.to_owned(), attributes })
        };
        assert_eq!(
            pieces,
            [
                open("a", &[("href", "x&y"), ("c", "d/e"), ("disabled", "")]),
                Piece::Text("Tür <".to_owned()),
                Piece::Close("a".to_owned()),
                open("script", &[]),
                Piece::Close("script".to_owned()),
            ]
        );
    }

    #[test]
    fn broken_markup_ends_the_scan_and_nothing_else() {
        for html in ["<", "<a", "<a b", "<a b=", "<a b='", "<!--", "<!", "</", "</a", "<a/", "< a", "<script>", "<a ü=\"ü\">"] {
            scan(html);
        }
    }
}
