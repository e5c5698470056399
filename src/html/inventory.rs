//! What a page names: what the gate reports of it, and the pages and style sheets of its own site. For `explain`, not
//! for the way of a page.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use lol_html::{HtmlRewriter, Settings, element, errors::RewritingError, html_content::Element};
use url::Url;

use super::{GateError, Limits, SheetGate, TagReport, inspect, observed};
use crate::{policy::Policy, vocab::Grants};

/// What one page names.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The tags of known vendors, in the order in which they stand.
    pub tags: Vec<TagReport>,
    /// Hosts that something is loaded from, that are not the page's own and that no rule hit, with
    /// how often they are named. At most [`super::OTHERS_MAX`].
    pub others: BTreeMap<String, u32>,
    /// Where links lead, without fragments, in the order in which they stand.
    pub links: Vec<Url>,
    /// Linked style sheets.
    pub sheets: Vec<Url>,
}

/// The most links that are told of one page.
const LINKS_MAX: usize = 2_048;

/// Reads one page.
pub fn inventory(policy: &Arc<Policy>, grants: Grants, base: &Url, html: &[u8]) -> Result<Inventory, GateError> {
    let report = inspect(policy, grants, base, html)?;
    let reader = RefCell::new(Reader { page: base, base: base.clone(), links: Vec::new(), sheets: Vec::new() });
    let read = || -> Result<(), RewritingError> {
        let settings = Settings::new().with_strict(false).append_element_content_handler(element!("base,a,area,link", |el| {
            reader.borrow_mut().element(el);
            Ok(())
        }));
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        rewriter.write(html)?;
        rewriter.end()
    };
    // What the gate could read and this reader cannot is a link less to follow, and no leak.
    let _ = read();
    let Reader { links, sheets, .. } = reader.into_inner();
    Ok(Inventory { tags: report.tags, others: report.others, links, sheets })
}

/// Hosts that a style sheet loads from and that no rule hits. `base` is the sheet's address.
pub fn sheet_hosts(policy: &Arc<Policy>, base: &Url, css: &str) -> BTreeMap<String, u32> {
    let page = Arc::new(observed(policy, policy.undecided(), base));
    let mut gate = SheetGate::new(page, Limits::default(), encoding_rs::UTF_8);
    let mut unchanged = Vec::new();
    // Past a limit the hosts up to there are told.
    let _ = gate.write(css.as_bytes(), &mut unchanged).and_then(|()| gate.end(&mut unchanged));
    gate.report().others.clone()
}

struct Reader<'p> {
    page: &'p Url,
    base: Url,
    links: Vec<Url>,
    sheets: Vec<Url>,
}

impl Reader<'_> {
    fn element(&mut self, el: &Element<'_, '_>) {
        let value = |name: &str| el.get_attribute(name).map(|text| htmlize::unescape_attribute(text.as_str()).into_owned());
        let Some(href) = value("href") else { return };
        let name = el.tag_name();
        let from = if name == "base" { self.page } else { &self.base };
        let Ok(mut url) = from.join(href.trim()) else { return };
        let rel = value("rel").unwrap_or_default();
        match name.as_str() {
            "base" => self.base = url,
            "link" if rel.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("stylesheet")) => self.sheets.push(url),
            "a" | "area" if self.links.len() < LINKS_MAX => {
                url.set_fragment(None);
                self.links.push(url);
            }
            _ => {}
        }
    }
}
