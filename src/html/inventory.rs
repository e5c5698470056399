//! What a page names: tags of vendors with their verdicts, other third parties by host, and the pages
//! and style sheets of its own site. For `explain`, not for the way of a page.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use lol_html::{HtmlRewriter, Settings, element, text};
use url::Url;

use super::{GateError, TagReport, explain};
use crate::{policy::Policy, vocab::Grants};

/// What one page names.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The tags of known vendors, in the order in which they stand.
    pub tags: Vec<TagReport>,
    /// Hosts that something is loaded from, that are not the page's own and that no rule hit, with
    /// how often they are named. At most [`HOSTS_MAX`].
    pub others: BTreeMap<String, u32>,
    /// Where links lead, without fragments, in the order in which they stand.
    pub links: Vec<Url>,
    /// Linked style sheets.
    pub sheets: Vec<Url>,
}

/// The most hosts that are told of one page.
pub const HOSTS_MAX: usize = 256;
/// The most links that are told of one page.
const LINKS_MAX: usize = 2_048;

/// Attributes that load, whatever element they stand on; `href` loads on some elements only.
const LOADING: [&str; 8] = ["src", "srcset", "imagesrcset", "data", "poster", "background", "style", "xlink:href"];

/// Reads one page.
pub fn inventory(policy: &Arc<Policy>, grants: Grants, base: &Url, html: &[u8]) -> Result<Inventory, GateError> {
    let tags = explain(policy, grants, base, html)?;
    let reader = RefCell::new(Reader { policy, page: base.clone(), base: base.clone(), found: Inventory::default() });
    let css = RefCell::new(String::new());
    let read = || -> Result<(), lol_html::errors::RewritingError> {
        let settings = Settings::new()
            .with_strict(false)
            .append_element_content_handler(element!("*", |el| {
                reader.borrow_mut().element(el);
                Ok(())
            }))
            .append_element_content_handler(text!("style", |chunk| {
                css.borrow_mut().push_str(chunk.as_str());
                if chunk.last_in_text_node() {
                    reader.borrow_mut().css(&std::mem::take(&mut *css.borrow_mut()));
                }
                Ok(())
            }));
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        rewriter.write(html)?;
        rewriter.end()
    };
    // What the engine could read and this reader cannot is one host less in a list, and no leak.
    let _ = read();
    Ok(Inventory { tags, ..reader.into_inner().found })
}

/// Hosts that a style sheet loads from and that no rule hits. `base` is the sheet's address.
pub fn sheet_hosts(policy: &Arc<Policy>, base: &Url, css: &str) -> BTreeMap<String, u32> {
    let mut reader = Reader { policy, page: base.clone(), base: base.clone(), found: Inventory::default() };
    reader.css(css);
    reader.found.others
}

struct Reader<'p> {
    policy: &'p Policy,
    page: Url,
    base: Url,
    found: Inventory,
}

impl Reader<'_> {
    fn element(&mut self, el: &lol_html::html_content::Element<'_, '_>) {
        let name = el.tag_name();
        let value =
            |attribute: &str| el.get_attribute(attribute).map(|text| htmlize::unescape_attribute(text.as_str()).into_owned());
        match name.as_str() {
            "base" => {
                if let Some(base) = value("href").and_then(|href| self.page.join(href.trim()).ok()) {
                    self.base = base;
                }
                return;
            }
            "a" | "area" => {
                if let Some(mut url) = value("href").and_then(|href| self.base.join(href.trim()).ok()) {
                    url.set_fragment(None);
                    if self.found.links.len() < LINKS_MAX {
                        self.found.links.push(url);
                    }
                }
            }
            "link" => {
                let rel = value("rel").unwrap_or_default().to_ascii_lowercase();
                // Where a page is also to be found is no load.
                let loads = rel.split_ascii_whitespace().any(|word| {
                    !matches!(
                        word,
                        "canonical"
                            | "alternate"
                            | "author"
                            | "me"
                            | "license"
                            | "next"
                            | "prev"
                            | "search"
                            | "shortlink"
                            | "pingback"
                    )
                });
                if let Some(href) = value("href").filter(|_| loads) {
                    self.address(&href);
                    if rel.split_ascii_whitespace().any(|word| word == "stylesheet")
                        && let Ok(sheet) = self.base.join(href.trim())
                    {
                        self.found.sheets.push(sheet);
                    }
                }
            }
            "image" | "use" | "feimage" => value("href").into_iter().for_each(|href| self.address(&href)),
            _ => {}
        }
        for attribute in LOADING {
            let Some(text) = value(attribute) else { continue };
            match attribute {
                "style" => self.css(&text),
                "srcset" | "imagesrcset" => {
                    // A comma inside an address leaves pieces that are relative: no host is made up.
                    text.split(',').filter_map(|one| one.split_ascii_whitespace().next()).for_each(|url| self.address(url));
                }
                "data" if name != "object" => {}
                _ => self.address(&text),
            }
        }
    }

    fn address(&mut self, text: &str) {
        let Ok(url) = self.base.join(text.trim()) else { return };
        let Some(host) = url.host_str().map(|host| host.trim_end_matches('.')) else { return };
        let third = matches!(url.scheme(), "http" | "https" | "ws" | "wss") && self.page.host_str() != Some(host);
        if !third || !self.policy.match_url(&url).is_empty() {
            return;
        }
        if self.found.others.len() < HOSTS_MAX || self.found.others.contains_key(host) {
            *self.found.others.entry(host.to_owned()).or_default() += 1;
        }
    }

    /// `url(…)` and `@import "…"`, read plainly: escapes and comments inside an address are rare enough
    /// for a list of hosts.
    fn css(&mut self, css: &str) {
        for (at, word) in css.match_indices("url(").chain(css.match_indices("@import")) {
            let rest = css[at + word.len()..].trim_start();
            let address = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next(),
                _ if word == "url(" => rest.split(')').next(),
                _ => None,
            };
            if let Some(address) = address {
                self.address(address.trim());
            }
        }
    }
}
