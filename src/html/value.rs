//! What the value of an attribute names: rules, or something that could not be read.

use super::{
    GateError,
    address::{Resolver, decode},
    classify,
    code::{self, Data},
    css,
    element::Element,
    finding::Findings,
    noscript,
    script::Script,
    sheet,
    tag::{Role, Tag},
    walk::{Context, Walker},
};
use crate::policy::Hits;

/// What was found in a value.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) hits: Hits,
    /// Something could not be read: it never comes back.
    pub(super) closed: bool,
}

impl Named {
    pub(super) fn hits(hits: Hits) -> Self {
        Self { hits, closed: false }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.hits.is_empty() && !self.closed
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.hits.merge(other.hits);
        self.closed |= other.closed;
    }
}

/// The rules that a value hits. Not for CSS, which is patched inside.
pub(super) fn look_up(
    walker: &Walker,
    element: &Element<'_>,
    role: Role,
    value: &[u8],
    findings: &mut Findings,
) -> Result<Named, GateError> {
    let ctx = &walker.ctx;
    let others = &mut findings.report.others;
    Ok(Named::hits(match role {
        Role::Address => ctx.resolver(others).raw(value),
        Role::Candidates => ctx.resolver(others).candidates(value),
        Role::List => ctx.resolver(others).list(value, |c| c.is_ascii_whitespace()),
        Role::Archives => ctx.resolver(others).list(value, |c| c.is_ascii_whitespace() || c == ','),
        Role::Header if is_link_header(element, ctx) => ctx.resolver(others).links(value),
        Role::Header => ctx.resolver(others).refresh(value),
        Role::Animated => return Ok(animated(ctx, element, value, findings)),
        // A button to share with somebody loads nothing from there.
        Role::AmpType if element.name().eq_ignore_ascii_case(b"amp-social-share") => Hits::none(),
        Role::AmpType => ctx.page.policy.match_amp(decode(value, ctx.encoding).trim()),
        Role::Document => return noscript::document(walker, &decode(value, ctx.encoding), findings),
        Role::Frame | Role::Code | Role::Linked if may_be_inside(value) => {
            return inside(walker, element, role, value, findings);
        }
        Role::Frame | Role::Code | Role::Linked => ctx.resolver(others).raw(value),
        Role::Styles => Hits::none(),
    }))
}

/// Whether the value is a scheme that holds what it names, or is not plain.
fn may_be_inside(value: &[u8]) -> bool {
    !value.first().is_some_and(|byte| matches!(byte, b'h' | b'/' | b'#' | b'.'))
}

/// What stands in the address itself, or else the address.
fn inside(walker: &Walker, element: &Element<'_>, role: Role, value: &[u8], findings: &mut Findings) -> Result<Named, GateError> {
    let ctx = &walker.ctx;
    let address = decode(value, ctx.encoding);
    match (role, code::data(&address)) {
        (Role::Code, Some(data)) => {
            let kind = Script::of(element.value(b"type"), element.value(b"language"), ctx.encoding).unwrap_or(Script::Classic);
            Ok(Named::hits(script(ctx, kind, &data.text, findings)))
        }
        (Role::Linked, Some(data)) => Ok(sheet::look_through(ctx, &data.text, 0, findings)),
        (Role::Frame, Some(data)) => document(walker, &data, findings),
        (Role::Frame, None) => match code::javascript(&address) {
            // Its value, if it is text, becomes the document.
            Some(code) => {
                let mut named = noscript::document(walker, &code, findings)?;
                named.merge(noscript::document(walker, &code::literals(&code), findings)?);
                named.hits.merge(script(ctx, Script::Classic, &code, findings));
                Ok(named)
            }
            None => Ok(Named::hits(ctx.resolver(&mut findings.report.others).raw(value))),
        },
        _ => Ok(Named::hits(ctx.resolver(&mut findings.report.others).raw(value))),
    }
}

fn script(ctx: &Context, kind: Script, text: &str, findings: &mut Findings) -> Hits {
    let mut hits = ctx.page.policy.match_inline(text.as_bytes());
    let mut resolver = Resolver { encoding: encoding_rs::UTF_8, ..ctx.resolver(&mut findings.report.others) };
    code::named(kind, text.as_bytes(), &mut resolver).into_iter().for_each(|named| hits.merge(named.hits));
    hits
}

/// A document in a `data:` address. XML is read as HTML, and then once more without regard to elements, whose names
/// may have any prefix there.
fn document(walker: &Walker, data: &Data, findings: &mut Findings) -> Result<Named, GateError> {
    let xml = data.kind.ends_with("xml");
    if !xml && data.kind != "text/html" {
        return Ok(Named::default());
    }
    let mut named = noscript::document(walker, &data.text, findings)?;
    if xml {
        named.closed |= data.text.contains("<!ENTITY");
        named.hits.merge(walker.ctx.page.policy.match_inline(data.text.as_bytes()));
        let mut resolver = walker.ctx.resolver(&mut findings.report.others);
        for quoted in data.text.split(['"', '\'']) {
            named.hits.merge(resolver.absolute(&htmlize::unescape(quoted)));
        }
    }
    Ok(named)
}

/// What an animation writes: addresses into `href`, CSS elsewhere.
fn animated(ctx: &Context, element: &Element<'_>, value: &[u8], findings: &mut Findings) -> Named {
    let target = element.value(b"attributename").map(|name| decode(name, ctx.encoding).trim().to_ascii_lowercase());
    if target.is_some_and(|target| matches!(target.as_str(), "href" | "xlink:href" | "src")) {
        return Named::hits(ctx.resolver(&mut findings.report.others).list(value, |c| c == ';'));
    }
    sheet::look_through(ctx, &decode(value, ctx.encoding), css::DEPTH_MAX, findings)
}

fn is_link_header(element: &Element<'_>, ctx: &Context) -> bool {
    element.tag == Tag::Meta && classify::header(element, ctx.encoding).is_some_and(|name| name == "link")
}
