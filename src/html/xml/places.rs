//! Where the gate's own markup goes in XHTML and SVG, and what it must look like there.
//!
//! The templates are HTML. In XML every element must be closed, every attribute quoted, and nothing
//! but five entities is known, so the markup is written out anew; what cannot be is left out.

use std::borrow::Cow;

use quick_xml::{Reader, events::Event};

use super::super::{Page, splice::Patches};
use super::{
    scope::{Scope, Space},
    tag::StartTag,
};

/// Looks for the two places: behind the start tags of `head` and `body`, children of an `html` root. A drawing that is a
/// document has a place for scripts alone, behind its root's start tag.
#[derive(Debug)]
pub(super) struct Places {
    head: Option<String>,
    body: Option<String>,
    is_page: bool,
}

const XHTML: &str = "http://www.w3.org/1999/xhtml";

impl Places {
    pub(super) fn new(page: &Page) -> Self {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self { head: text(&page.head), body: text(&page.body), is_page: false }
    }

    /// The element opened last.
    pub(super) fn see(
        &mut self,
        scope: &Scope,
        space: Space,
        local: &str,
        tag: &StartTag<'_>,
        observe: bool,
        patches: &mut Patches,
    ) {
        match scope.depth() {
            1 if !observe && space == Space::Svg && local == "svg" && !tag.is_empty => {
                if let Some(markup) = self.head.take().and_then(|markup| well_formed(&markup, true)) {
                    patches.insert(tag.span.end, markup);
                }
            }
            1 => self.is_page = !observe && space == Space::Xhtml && local == "html",
            2 if self.is_page && space == Space::Xhtml => {
                // Outside of the element its own namespaces do not hold.
                let mut insert = |markup: Option<String>, inside: bool, at| {
                    let named = !inside || scope.space("") != Space::Xhtml;
                    if let Some(markup) = markup.and_then(|markup| well_formed(&markup, named)) {
                        patches.insert(at, markup);
                    }
                };
                match local {
                    "head" => insert(self.head.take(), !tag.is_empty, tag.span.end),
                    // Nothing is implied in XML: without a head the scripts stand before what there is.
                    _ => insert(self.head.take(), false, tag.span.start),
                }
                match local {
                    "body" if !tag.is_empty => insert(self.body.take(), true, tag.span.end),
                    // A frameset takes the body's place.
                    "frameset" => self.body = None,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// Elements of HTML that have no end tag.
const VOID: [&str; 13] = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Markup in HTML as well-formed XML; `named` if its elements must say their namespace. `None` where it
/// cannot be written so.
pub(super) fn well_formed(markup: &str, named: bool) -> Option<String> {
    let mut out = String::with_capacity(markup.len() + 64);
    let mut rest = markup;
    let mut open: Vec<String> = Vec::new();
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = &comment[comment.find("-->")? + 3..];
        } else if let Some(end) = rest.strip_prefix("</") {
            let (name, after) = end.split_once('>')?;
            let name = name.trim().to_ascii_lowercase();
            if open.pop()? != name {
                return None;
            }
            out.push_str(&format!("</{name}>"));
            rest = after;
        } else if let Some(tag) = rest.strip_prefix('<') {
            rest = element(tag, named, &mut open, &mut out)?;
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            push(&htmlize::unescape(&rest[..end]), &mut out);
            rest = &rest[end..];
        }
    }
    (open.is_empty() && parses(&out)).then_some(out)
}

/// One start tag, and for a script or a style its text and its end tag, too. Returns what follows.
fn element<'m>(tag: &'m str, named: bool, open: &mut Vec<String>, out: &mut String) -> Option<&'m str> {
    let space = |c: char| c.is_ascii_whitespace();
    let end = tag.find(|c: char| space(c) || matches!(c, '/' | '>'))?;
    let name = tag[..end].to_ascii_lowercase();
    let mut rest = &tag[end..];
    out.push_str(&format!("<{name}"));
    if named && open.is_empty() {
        out.push_str(&format!(" xmlns=\"{XHTML}\""));
    }
    loop {
        rest = rest.trim_start_matches(|c: char| space(c) || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            rest = after;
            break;
        }
        let end = rest.find(|c: char| space(c) || matches!(c, '=' | '/' | '>'))?;
        let (attribute, after) = rest.split_at(end);
        let after = after.trim_start_matches(space);
        let (value, after) = match after.strip_prefix('=').map(|value| value.trim_start_matches(space)) {
            None => ("", after),
            Some(value) => match value.chars().next()? {
                quote @ ('"' | '\'') => value[1..].split_once(quote)?,
                _ => value.split_at(value.find(|c: char| space(c) || c == '>')?),
            },
        };
        out.push_str(&format!(" {attribute}=\""));
        push(&htmlize::unescape_attribute(value), out);
        out.push('"');
        rest = after;
    }
    if VOID.contains(&name.as_str()) {
        out.push_str("/>");
        return Some(rest);
    }
    out.push('>');
    if name == "script" || name == "style" {
        let (text, after) = rest.split_once(&format!("</{name}>"))?;
        if text.contains(['<', '&']) {
            out.push_str(&format!("<![CDATA[{text}]]>"));
        } else {
            out.push_str(text);
        }
        out.push_str(&format!("</{name}>"));
        return Some(after);
    }
    open.push(name);
    Some(rest)
}

/// Text in ASCII, with references that XML knows.
fn push(text: &str, out: &mut String) {
    for c in text.chars() {
        let written: Cow<'static, str> = match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            c if c.is_ascii() => {
                out.push(c);
                continue;
            }
            c => format!("&#{};", u32::from(c)).into(),
        };
        out.push_str(&written);
    }
}

/// The last word on whether it is well-formed is a parser's.
fn parses(markup: &str) -> bool {
    let mut reader = Reader::from_str(markup);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return true,
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.attributes().all(|attribute| attribute.is_ok()) => {}
            Ok(Event::Start(_) | Event::Empty(_)) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::well_formed;

    #[test]
    fn html_becomes_xml() {
        for (html, want) in [
            (
                "<link data-x rel=stylesheet href='a?b&amp;c&d'>",
                Some("<link data-x=\"\" rel=\"stylesheet\" href=\"a?b&amp;c&amp;d\"/>"),
            ),
            ("<P Class=a>x&nbsp;&auml; &lt;<br></P>", Some("<p Class=\"a\">x&#160;&#228; &lt;<br/></p>")),
            ("<!-- a -- b --><input disabled>", Some("<input disabled=\"\"/>")),
            ("<script>if (a < b && c) x()</script>", Some("<script><![CDATA[if (a < b && c) x()]]></script>")),
            ("<p>never closed", None),
            ("<p><b></p></b>", None),
            ("<p a=1 a=2></p>", None),
        ] {
            assert_eq!(well_formed(html, false).as_deref(), want, "{html}");
        }
        assert_eq!(
            well_formed("<p><b>x</b></p>", true).as_deref(),
            Some("<p xmlns=\"http://www.w3.org/1999/xhtml\"><b>x</b></p>")
        );
    }
}
