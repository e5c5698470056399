//! What becomes of one element: its addresses by the same rules as in HTML, its names by those of XML.

use super::super::{
    GateError,
    address::{decode, shown},
    classify::{self, Found},
    element::Element,
    finding,
    insert::Insert,
    locate::{Attribute, Inside, Start},
    script::Script,
    sheet as css,
    tag::{Role, Tag},
    value::{self, Named as Value},
    walk::Setting,
};
use super::{
    XmlError,
    reader::{Reader, not_well_formed},
    scope::{self, Space},
    sheet,
    splice::View,
    tag::{Named, StartTag},
    text::OpenScript,
};
use crate::{policy::Hits, vocab::Verdict};

/// What an attribute of the XLink namespace is called once it is held, behind the marker prefix: with a
/// colon the prefix would be one that nothing binds, whatever the document calls its own.
const HELD_XLINK_HREF: &str = "xlink.href";

impl Reader {
    /// The element opened last.
    pub(super) fn element(&mut self, view: View<'_>, tag: &StartTag<'_>) -> Result<(), GateError> {
        let (prefix, local) = scope::split(tag.name);
        let space = self.scope.space(prefix);
        self.places.see(&self.scope, space, local, tag, self.walker.ctx.page.observe, &mut self.findings.patches);
        if self.scope.saw_xslt {
            let in_script = self.scripts.last().is_some_and(|script| script.depth + 1 == self.scope.depth());
            sheet::check(&self.scope, space, local, tag, in_script)?;
        }
        let Some(kind) = kind_of(space, local, self.scope.saw_xslt) else { return Ok(()) };

        let plain: Vec<Attribute> =
            tag.attributes.iter().filter(|named| !named.name.contains(':')).map(|named| named.place.clone()).collect();
        let start = Start {
            id: 0,
            span: tag.span.clone(),
            attributes: 0..plain.len(),
            foreign: space == Space::Svg,
            has_content: !tag.is_empty,
            inside: Inside::default(),
            expendable: false,
        };
        let element = Element { view, tag: kind, start: &start, name_end: tag.name_end, attributes: &plain };
        match kind {
            Tag::Base => {
                self.walker.base(&element);
                return Ok(());
            }
            Tag::Meta if self.walker.amend_policy(&element, &mut self.findings) => return Ok(()),
            // Its content is elements like any other, which browsers load.
            Tag::Noscript | Tag::RawText | Tag::Plaintext => return Ok(()),
            _ => {}
        }
        let gone = self.addresses(&element, tag)?;
        if kind == Tag::Script && !gone && !tag.is_empty {
            // Only HTML knows `language`.
            let language = element.value(b"language").filter(|_| space != Space::Svg);
            if let Some(kind) = Script::of(element.value(b"type"), language, encoding_rs::UTF_8) {
                let types = element.named(b"type").map(|attribute| attribute.name.start).collect();
                let open = OpenScript::new(self.scope.depth(), tag.span.start, tag.name_end, tag.span.end, types, Some(kind));
                self.scripts.push(open);
            }
        }
        if kind == Tag::Style && !tag.is_empty {
            let of = element.value(b"type").map(|kind| decode(kind, encoding_rs::UTF_8)).unwrap_or_default();
            if of.trim().is_empty() || of.trim().eq_ignore_ascii_case("text/css") {
                let types = element.named(b"type").map(|attribute| attribute.name.start).collect();
                let open = OpenScript::new(self.scope.depth(), tag.span.start, tag.name_end, tag.span.end, types, None);
                self.scripts.push(open);
            }
        }
        Ok(())
    }

    /// Looks at every address. Returns whether the element was taken out of action.
    fn addresses(&mut self, element: &Element<'_>, tag: &StartTag<'_>) -> Result<bool, GateError> {
        let otherwise = classify::verdict_of(element, Setting::Page, encoding_rs::UTF_8);
        let mut found = Found::default();
        let mut links = 0;
        for (index, named) in tag.attributes.iter().enumerate() {
            links += usize::from(self.is_xlink_href(named));
            if links > 1 {
                return Err(not_well_formed(tag.span.start, "an attribute of one name twice"));
            }
            let Some(role) = self.role(element.tag, named) else { continue };
            // Braces are computed when the sheet is applied, from a document that is not this one.
            let computed = self.scope.saw_xslt && named.value.contains('{');
            let (named, verdict) = if role == Role::Styles && !computed {
                let unplaced = css::attribute(&self.walker.ctx, Setting::Page, element, &named.place, &mut self.findings);
                let Some(unplaced) = unplaced else { continue };
                (unplaced, Verdict::Hold)
            } else {
                let Some(otherwise) = otherwise else { continue };
                let mut value = self.look_up(element, role, named.value.as_bytes())?;
                value.closed |= computed;
                if value.is_nothing() {
                    continue;
                }
                let verdict = if value.closed { otherwise } else { self.walker.ctx.verdict(&value.hits, otherwise) };
                let report = classify::report(&self.walker.ctx, element, &named.place, role, &value.hits, verdict);
                self.findings.note(&self.walker.ctx.limits, report);
                (value, verdict)
            };
            if verdict != Verdict::Allow {
                found.styles_only &= role == Role::Styles;
                found.held.merge(named.hits);
                found.attributes.push(index);
                found.closed |= named.closed;
            }
        }
        if found.attributes.is_empty() {
            return Ok(false);
        }
        self.findings.held.merge(found.held.clone());
        if !self.is_idle() {
            self.patch(element, tag, &found);
        }
        Ok(!found.styles_only)
    }

    /// Marks the element and renames what is held. Nothing is cut: a start tag without its end tag, or the
    /// other way round, would end the document.
    fn patch(&mut self, element: &Element<'_>, tag: &StartTag<'_>, found: &Found) {
        let page = &self.walker.ctx.page;
        let patches = &mut self.findings.patches;
        // What cannot be read can never be granted: the marker stays empty.
        let needs = if found.closed { Hits::none() } else { found.held.clone() };
        patches.insert(element.name_end, Insert::marker(page, &needs));
        let inert = element.tag == Tag::Script && !found.styles_only;
        if inert {
            patches.insert(element.name_end, Insert::INERT_TYPE);
        }
        for (index, named) in tag.attributes.iter().enumerate() {
            let names = named.place.name.clone();
            if inert && named.name == "type" {
                patches.insert(names.start, Insert::RENAME);
            } else if found.attributes.contains(&index) {
                if named.name.contains(':') {
                    patches.replace(names, Insert::Renamed(HELD_XLINK_HREF));
                } else {
                    patches.insert(names.start, Insert::RENAME);
                }
            }
        }
    }

    /// The rules an attribute hits, and whether it must be closed for another reason. Engines differ on
    /// `xml:base`: an address counts as relative to either.
    fn look_up(&mut self, element: &Element<'_>, role: Role, value: &[u8]) -> Result<Value, GateError> {
        let mut named = value::look_up(&self.walker, element, role, value, &mut self.findings)?;
        if let Some((_, base)) = self.bases.last() {
            let own = std::mem::replace(&mut self.walker.ctx.base, base.clone());
            let also = value::look_up(&self.walker, element, role, value, &mut self.findings);
            self.walker.ctx.base = own;
            named.merge(also?);
        }
        Ok(named)
    }

    fn role(&self, tag: Tag, named: &Named<'_>) -> Option<Role> {
        if self.is_xlink_href(named) {
            return tag.role(b"xlink:href", named.value.as_bytes());
        }
        let known = !named.name.contains(':') && (self.scope.saw_xslt || is_lower(named.name));
        known.then(|| tag.role(named.name.as_bytes(), named.value.as_bytes())).flatten()
    }

    fn is_xlink_href(&self, named: &Named<'_>) -> bool {
        matches!(scope::split(named.name), (prefix, "href") if !prefix.is_empty() && self.scope.space(prefix) == Space::Xlink)
    }

    /// The address of a `<?xml-stylesheet?>`. It is held by another target, which no browser knows.
    pub(super) fn instruction(&mut self, view: View<'_>, span: std::ops::Range<usize>) -> Result<(), GateError> {
        let text = str::from_utf8(view.get(span.start + 2..span.end - 2));
        let text = text.map_err(|_| XmlError::NotWellFormed { at: span.start, why: "an instruction in another encoding" })?;
        let Some(address) = sheet::address(text) else { return Ok(()) };
        // Seam: the text of `<style>`, style attributes and imports go to the CSS engine; this is the one
        // place where XML itself names a style sheet.
        let mut hits = css::linked(&self.walker.ctx, address.as_bytes(), &mut self.findings);
        if let Some((_, base)) = self.bases.last() {
            let own = std::mem::replace(&mut self.walker.ctx.base, base.clone());
            hits.merge(css::linked(&self.walker.ctx, address.as_bytes(), &mut self.findings));
            self.walker.ctx.base = own;
        }
        if hits.is_nothing() {
            return Ok(());
        }
        let (hits, closed) = (hits.hits, hits.closed);
        let verdict = if closed { Verdict::Strip } else { self.walker.ctx.verdict(&hits, Verdict::Strip) };
        let report = super::super::TagReport {
            offset: span.start,
            element: sheet::TARGET.to_owned(),
            attribute: Some("href".to_owned()),
            address: shown(&self.walker.ctx.base, &decode(address.as_bytes(), encoding_rs::UTF_8)),
            rules: finding::rules(&hits),
            verdict,
            late: false,
        };
        self.findings.note(&self.walker.ctx.limits, report);
        if verdict != Verdict::Allow {
            self.findings.held.merge(hits);
            if !self.is_idle() {
                self.findings.patches.insert(span.start + 2, Insert::RENAME);
            }
        }
        Ok(())
    }
}

/// The kind of an element. Names of XML are exact; a style sheet's literal elements may become HTML, which
/// does not care, and needs no namespace.
fn kind_of(space: Space, local: &str, in_sheet: bool) -> Option<Tag> {
    let kind = Tag::of(local.as_bytes());
    match space {
        _ if in_sheet && matches!(space, Space::None | Space::Xhtml) => Some(kind),
        Space::Xhtml => is_lower(local).then_some(kind),
        Space::Svg if matches!(kind, Tag::Base | Tag::Meta | Tag::Link) => None,
        // Those of SVG have capitals inside.
        Space::Svg => (is_lower(local) || matches!(kind, Tag::Reference | Tag::Animation | Tag::Other)).then_some(kind),
        _ => None,
    }
}

fn is_lower(name: &str) -> bool {
    !name.bytes().any(|byte| byte.is_ascii_uppercase())
}
