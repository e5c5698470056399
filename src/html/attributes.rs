//! One start tag -> patches: which of its attributes are taken away, which are written anew.

use std::ops::Range;

use super::{
    GateError, TagReport,
    address::decode,
    classify::{self, Found},
    element::Element,
    finding::{self, Findings},
    insert::Insert,
    locate::Attribute,
    open::Awaits,
    references::Referenced,
    sheet,
    tag::{Role, Tag},
    value,
    walk::{Setting, Walker},
};
use crate::{policy::Hits, vocab::Verdict};

impl Walker {
    /// Any element by its address attributes. Returns whether it was taken out of action.
    pub(super) fn element(&mut self, element: &Element<'_>, findings: &mut Findings) -> Result<bool, GateError> {
        let otherwise = classify::verdict_of(element, self.setting, self.ctx.encoding);
        let mut found = Found::default();
        if element.tag == Tag::Amp {
            self.amp_name(element, &mut found, findings);
        }
        for (index, attribute) in element.attributes.iter().enumerate() {
            let Some(value) = attribute.value.clone() else { continue };
            let value = element.view.get(value);
            let Some(role) = element.tag.role(element.view.get(attribute.name.clone()), value) else { continue };
            let named = if role == Role::Styles {
                let unplaced = sheet::attribute(&self.ctx, self.setting, element, attribute, findings);
                let Some(named) = unplaced else { continue };
                named
            } else {
                let Some(otherwise) = otherwise else { continue };
                let named = value::look_up(self, element, role, value, findings)?;
                if named.is_nothing() {
                    self.frame(element, role, attribute, findings);
                    continue;
                }
                let verdict = if named.closed { otherwise } else { self.ctx.verdict(&named.hits, otherwise) };
                findings.note(&self.ctx.limits, classify::report(&self.ctx, element, attribute, role, &named.hits, verdict));
                if verdict == Verdict::Allow {
                    continue;
                }
                named
            };
            found.styles_only &= role == Role::Styles;
            found.held.merge(named.hits);
            found.attributes.push(index);
            found.closed |= named.closed;
        }
        if found.attributes.is_empty() && !found.whole {
            return Ok(false);
        }
        findings.held.merge(found.held.clone());
        findings.closed |= found.closed;
        self.apply(element, otherwise.unwrap_or(Verdict::Hold), &found, findings);
        Ok(!found.styles_only)
    }

    /// An AMP element whose name is a vendor's.
    fn amp_name(&self, element: &Element<'_>, found: &mut Found, findings: &mut Findings) {
        let name = String::from_utf8_lossy(element.name()).to_ascii_lowercase();
        let hits = self.ctx.page.policy.match_amp(&name);
        if hits.is_empty() {
            return;
        }
        let verdict = self.ctx.verdict(&hits, Verdict::Strip);
        let tag = TagReport {
            offset: element.start.span.start,
            element: name,
            attribute: None,
            address: None,
            rules: finding::rules(&hits),
            verdict,
            late: false,
        };
        findings.note(&self.ctx.limits, tag);
        if verdict != Verdict::Allow {
            found.held.merge(hits);
            found.whole = true;
            found.styles_only = false;
        }
    }

    /// A document in a `srcdoc` with nothing to hold: the frame's markup goes to its start, after a doctype.
    fn frame(&self, element: &Element<'_>, role: Role, attribute: &Attribute, findings: &mut Findings) {
        let page = &self.ctx.page;
        if role != Role::Document || page.frame.is_empty() || page.observe || self.setting != Setting::Page {
            return;
        }
        let Some(value) = attribute.value.clone() else { return };
        // Of two attributes of a name the first counts.
        let first = element.named(b"srcdoc").next().is_some_and(|first| first.name == attribute.name);
        let raw = element.view.get(value.clone());
        let at = match Referenced::read(raw, self.ctx.encoding) {
            Some(read) => read.raw(after_doctype(&read.text)),
            None => doctype_in_ascii(raw),
        };
        if let Some(at) = at.filter(|_| first) {
            let quoted = value.start > 0 && matches!(element.view.get(value.start - 1..value.start), b"\"" | b"'");
            findings.patches.insert(value.start + at, Insert::Frame { quoted });
        }
    }

    fn apply(&mut self, element: &Element<'_>, verdict: Verdict, found: &Found, findings: &mut Findings) {
        if !self.ctx.page.changes() || self.setting == Setting::Srcdoc {
            return;
        }
        let own = element.tag.is_the_pages_own() || found.styles_only;
        // A framework that takes over the head counts its elements: the hint stays, and names nothing.
        if verdict == Verdict::Strip && element.tag == Tag::Link && self.setting == Setting::Page {
            for attribute in element.attributes.iter().filter(|attribute| Self::is_found(element, found, attribute)) {
                findings.patches.cut(with_its_space(element, attribute));
            }
            return;
        }
        if verdict == Verdict::Strip && element.start.expendable && !own {
            if element.tag.content_goes_too() && element.start.has_content {
                self.push(element, Awaits::Cut);
            } else {
                findings.patches.cut(element.start.span.clone());
            }
            return;
        }
        // A vendor that is not known can never be granted: the marker stays empty.
        let needs = if found.closed { Hits::none() } else { found.held.clone() };
        findings.patches.insert(element.name_end, Insert::marker(&self.ctx.page, &needs));
        if element.tag == Tag::Script && !found.styles_only {
            findings.patches.insert(element.name_end, Insert::INERT_TYPE);
        }
        for attribute in element.attributes {
            let name = element.view.get(attribute.name.clone());
            let a_type = element.tag == Tag::Script && !found.styles_only && name.eq_ignore_ascii_case(b"type");
            if a_type || Self::is_found(element, found, attribute) {
                findings.patches.insert(attribute.name.start, Insert::RENAME);
            }
        }
    }

    /// Whether an attribute has the name of one that hit: of two the first counts, until it is gone.
    fn is_found(element: &Element<'_>, found: &Found, attribute: &Attribute) -> bool {
        let name = |attribute: &Attribute| element.view.get(attribute.name.clone());
        found.attributes.iter().any(|&held| name(&element.attributes[held]).eq_ignore_ascii_case(name(attribute)))
    }

    /// Rewrites a policy in a `meta`. Returns whether the element is one.
    pub(super) fn amend_policy(&self, element: &Element<'_>, findings: &mut Findings) -> bool {
        let is_policy = element
            .value(b"http-equiv")
            .is_some_and(|kind| decode(kind, self.ctx.encoding).trim().eq_ignore_ascii_case("content-security-policy"));
        if !is_policy {
            return false;
        }
        let page = &self.ctx.page;
        if let Some(amend) = page.amend_csp.as_ref().filter(|_| self.setting == Setting::Page && !page.observe)
            && let Some(attribute) = element.named(b"content").next()
            && let Some(value) = attribute.value.clone()
            && let Some(amended) = amend(&decode(element.view.get(value.clone()), self.ctx.encoding))
        {
            let quoted = value.start > 0 && matches!(element.view.get(value.start - 1..value.start), b"\"" | b"'");
            findings.patches.replace(value, classify::attribute_text(&amended, quoted));
        }
        true
    }
}

/// An attribute with the space before it, which stays where the next one would otherwise join what stands before.
fn with_its_space(element: &Element<'_>, attribute: &Attribute) -> Range<usize> {
    let tag = element.start.span.clone();
    let byte = |at: usize| element.view.get(at..at + 1)[0];
    let is_quote = |byte: u8| matches!(byte, b'"' | b'\'');
    let end = match attribute.value.clone() {
        Some(value) if is_quote(byte(value.start - 1)) && byte(value.end) == byte(value.start - 1) => value.end + 1,
        Some(value) => value.end,
        None => attribute.name.end,
    };
    let mut start = attribute.name.start;
    if byte(end).is_ascii_whitespace() || end + 1 == tag.end {
        while byte(start - 1).is_ascii_whitespace() {
            start -= 1;
        }
    }
    start..end
}

/// Where a document's doctype ends, if it begins with one: the start of the document otherwise. Before it, anything
/// would make the document one of another mode.
fn after_doctype(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}');
        match rest.strip_prefix("<!--") {
            Some(comment) => match comment.split_once("-->") {
                Some((_, after)) => rest = after,
                None => return 0,
            },
            None => break,
        }
    }
    let is_doctype = rest.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    let end = rest.find('>').filter(|_| is_doctype);
    end.map_or(0, |end| text.len() - rest.len() + end + 1)
}

/// The same in a value whose characters cannot be followed: the doctype is ASCII all the same.
fn doctype_in_ascii(raw: &[u8]) -> Option<usize> {
    let ascii = raw.iter().position(|byte| !byte.is_ascii()).unwrap_or(raw.len());
    let read = Referenced::read(&raw[..ascii], encoding_rs::UTF_8)?;
    read.raw(after_doctype(&read.text))
}

#[cfg(test)]
mod tests {
    use super::after_doctype;

    #[test]
    fn a_doctype_stands_first() {
        for (text, want) in [
            ("<!DOCTYPE html><p>", "<p>"),
            ("\n<!-- > --> <!doctype html\n>x", "x"),
            ("<p><!doctype html>", "<p><!doctype html>"),
            ("<!-- x", "<!-- x"),
            ("<!doctype", "<!doctype"),
            ("", ""),
        ] {
            assert_eq!(&text[after_doctype(text)..], want, "{text}");
        }
    }
}
