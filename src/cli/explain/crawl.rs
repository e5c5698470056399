//! Walks the pages of one site, one after another, and gathers what they name.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use super::fetch::{Fetched, Fetcher};
use crate::{
    headers::csp,
    html::{self, Inventory},
    policy::{HostClass, Policy, Preset, RuleId},
    vocab::{Grants, VendorId},
};

/// How long a walk may take in all.
const WALK_TIME_MAX: Duration = Duration::from_secs(600);
/// The most bytes that a walk reads.
const WALK_BYTES_MAX: usize = 512 << 20;
/// Addresses that wait to be read.
const WAITING_MAX: usize = 10_000;
/// Of one path, how many queries are tried: calendars and filters have no end.
const QUERIES_MAX: usize = 3;
/// Third parties that are told.
const HOSTS_MAX: usize = 1_024;

/// What a walk found.
#[derive(Default)]
pub(super) struct Found {
    /// Where it began, redirects followed.
    pub(super) start: Option<Url>,
    /// Pages read.
    pub(super) pages: usize,
    /// Style sheets read.
    pub(super) sheets: usize,
    /// Known pages that were not read because a bound was met.
    pub(super) left: usize,
    /// Pages that could not be read, and why.
    pub(super) unread: Vec<(Url, String)>,
    /// Known vendors.
    pub(super) vendors: BTreeMap<VendorId, VendorFound>,
    /// Third parties that no rule hit, by host.
    pub(super) others: BTreeMap<String, OtherFound>,
}

/// A known vendor on the site.
#[derive(Default)]
pub(super) struct VendorFound {
    /// On how many pages.
    pub(super) pages: usize,
    /// The first of them.
    pub(super) example: String,
    /// The rules that spoke.
    pub(super) rules: BTreeSet<RuleId>,
}

/// Another third party on the site.
#[derive(Default)]
pub(super) struct OtherFound {
    /// On how many pages or sheets.
    pub(super) pages: usize,
    /// The first of them.
    pub(super) example: String,
    /// How often it is named.
    pub(super) times: u64,
}

/// What to do about a third party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposal<'p> {
    /// `hosts.toml` says so already.
    Settled,
    /// It is a host of this vendor, at a path that no rule names.
    NearVendor(VendorId),
    /// Name this preset.
    Preset(&'p Preset),
    /// It looks like another name of the site.
    Own,
    /// Look at it: gated, unless somebody knows better.
    Gate,
}

/// What to do about a host that pages of `site` name.
pub(super) fn propose<'p>(policy: &'p Policy, site: &str, host: &str) -> Proposal<'p> {
    match policy.host_class(host) {
        HostClass::Allowed | HostClass::Preset(_) => Proposal::Settled,
        HostClass::Vendor(vendors) => vendors.first().map_or(Proposal::Gate, |&vendor| Proposal::NearVendor(vendor)),
        HostClass::Offered(preset) => Proposal::Preset(preset),
        HostClass::Unknown if csp::domain(host) == csp::domain(site) => Proposal::Own,
        HostClass::Unknown => Proposal::Gate,
    }
}

/// Walks from `start`, at most `pages_max` pages of its origin. `told` hears of each page.
pub(super) async fn walk(
    policy: &Arc<Policy>,
    grants: Grants,
    start: Url,
    pages_max: usize,
    told: impl FnMut(usize, &Url),
) -> anyhow::Result<Found> {
    let mut fetcher = Fetcher::default();
    let first = fetcher.get(start, "text/html,application/xhtml+xml").await?;
    let mut walk = Walk {
        policy,
        grants,
        origin: first.url.origin(),
        known: BTreeSet::from([first.url.clone()]),
        sheets_known: BTreeSet::new(),
        queries: BTreeMap::new(),
        waiting: VecDeque::new(),
        bytes: 0,
        found: Found { start: Some(first.url.clone()), ..Found::default() },
    };
    walk.run(fetcher, first, pages_max, told).await;
    Ok(walk.found)
}

struct Walk<'p> {
    policy: &'p Arc<Policy>,
    grants: Grants,
    origin: url::Origin,
    known: BTreeSet<Url>,
    sheets_known: BTreeSet<Url>,
    queries: BTreeMap<String, usize>,
    waiting: VecDeque<Url>,
    bytes: usize,
    found: Found,
}

impl Walk<'_> {
    async fn run(&mut self, mut fetcher: Fetcher, first: Fetched, pages_max: usize, mut told: impl FnMut(usize, &Url)) {
        let began = Instant::now();
        let mut next = Some(Ok(first));
        // Images and downloads behind links are not pages, and must not make the walk endless either.
        let mut asked = 1;
        while let Some(fetched) = next.take() {
            match fetched {
                Ok(page) => {
                    told(self.found.pages + 1, &page.url);
                    let sheets = self.page(page);
                    for sheet in sheets {
                        self.sheet(&mut fetcher, sheet).await;
                    }
                }
                Err((url, error)) => self.found.unread.push((url, error)),
            }
            let over = self.found.pages >= pages_max
                || asked >= pages_max.saturating_mul(4)
                || self.bytes > WALK_BYTES_MAX
                || began.elapsed() > WALK_TIME_MAX;
            if over {
                break;
            }
            if let Some(url) = self.waiting.pop_front() {
                asked += 1;
                let got = fetcher.get(url.clone(), "text/html,application/xhtml+xml").await;
                next = Some(got.map_err(|error| (url, format!("{error:#}"))));
            }
        }
        self.found.left = self.waiting.len();
    }

    /// Reads a page; returns the style sheets of the site that were not read yet.
    fn page(&mut self, page: Fetched) -> Vec<Url> {
        self.bytes += page.body.len();
        // A redirect that left the site leads to somebody else's page.
        let is_page = matches!(page.kind.as_str(), "text/html" | "application/xhtml+xml" | "");
        if page.url.origin() != self.origin || !is_page {
            return Vec::new();
        }
        if !page.status.is_success() && page.body.is_empty() {
            self.found.unread.push((page.url, format!("the answer is {}", page.status)));
            return Vec::new();
        }
        self.found.pages += 1;
        let inventory = match html::inventory(self.policy, self.grants, &page.url, &page.body) {
            Ok(inventory) => inventory,
            Err(error) => {
                self.found.unread.push((page.url, format!("it would not be passed on: {error}")));
                return Vec::new();
            }
        };
        self.note(&page.url, &inventory);
        for link in inventory.links {
            self.queue(link);
        }
        let mut sheets = inventory.sheets;
        sheets.retain(|sheet| sheet.origin() == self.origin && self.sheets_known.insert(sheet.clone()));
        sheets
    }

    fn note(&mut self, page: &Url, inventory: &Inventory) {
        let mut vendors: BTreeMap<VendorId, BTreeSet<RuleId>> = BTreeMap::new();
        for &rule in inventory.tags.iter().flat_map(|tag| &tag.rules) {
            vendors.entry(self.policy.rule(rule).vendor).or_default().insert(rule);
        }
        for (vendor, rules) in vendors {
            let found =
                self.found.vendors.entry(vendor).or_insert_with(|| VendorFound { example: place(page), ..Default::default() });
            found.pages += 1;
            found.rules.extend(rules);
        }
        self.others(page, &inventory.others);
    }

    fn others(&mut self, page: &Url, others: &BTreeMap<String, u32>) {
        for (host, times) in others {
            if self.found.others.len() >= HOSTS_MAX && !self.found.others.contains_key(host) {
                continue;
            }
            let found = self
                .found
                .others
                .entry(host.clone())
                .or_insert_with(|| OtherFound { example: place(page), ..Default::default() });
            found.pages += 1;
            found.times += u64::from(*times);
        }
    }

    async fn sheet(&mut self, fetcher: &mut Fetcher, url: Url) {
        match fetcher.get(url.clone(), "text/css").await {
            Ok(sheet) if sheet.url.origin() == self.origin && sheet.status.is_success() => {
                self.found.sheets += 1;
                self.bytes += sheet.body.len();
                let others = html::sheet_hosts(self.policy, &sheet.url, &String::from_utf8_lossy(&sheet.body));
                self.others(&sheet.url, &others);
            }
            Ok(_) => {}
            Err(error) => self.found.unread.push((url, format!("{error:#}"))),
        }
    }

    fn queue(&mut self, url: Url) {
        if url.origin() != self.origin || self.waiting.len() >= WAITING_MAX || looks_like_a_file(url.path()) {
            return;
        }
        if self.known.contains(&url) {
            return;
        }
        if url.query().is_some() {
            let tried = self.queries.entry(url.path().to_owned()).or_default();
            *tried += 1;
            if *tried > QUERIES_MAX {
                return;
            }
        }
        self.known.insert(url.clone());
        self.waiting.push_back(url);
    }
}

/// The page's path: what a list of pages of one site needs.
fn place(page: &Url) -> String {
    page.path().to_owned()
}

/// Whether a link leads to something that is certainly no page, to be spared.
fn looks_like_a_file(path: &str) -> bool {
    const FILES: [&str; 20] = [
        "jpg", "jpeg", "png", "gif", "webp", "avif", "svg", "ico", "pdf", "zip", "gz", "mp3", "mp4", "webm", "css", "js", "json",
        "woff2", "doc", "docx",
    ];
    let file = path.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.').is_some_and(|(_, ending)| FILES.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Sources;

    #[test]
    fn a_third_party_gets_the_most_harmless_class_that_fits() {
        let mut sources = Sources::embedded();
        sources.insert("hosts.toml", "allowed = [\"static.kiln.example\"]\npresets = [\"stripe\"]\n");
        let (policy, _) = Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let word = |host| match propose(&policy, "www.kiln.example", host) {
            Proposal::Settled => "settled",
            Proposal::NearVendor(_) => "near",
            Proposal::Preset(preset) => preset.id.as_str(),
            Proposal::Own => "own",
            Proposal::Gate => "gate",
        };
        for (host, want) in [
            ("static.kiln.example", "settled"),
            ("js.stripe.com", "settled"),
            ("img.kiln.example", "own"),
            ("kiln.example", "own"),
            ("notkiln.example", "gate"),
            ("hcaptcha.com", "hcaptcha"),
            ("unpkg.com", "unpkg"),
            ("www.facebook.com", "near"),
            ("203.0.113.9", "gate"),
        ] {
            assert_eq!(word(host), want, "{host}");
        }
    }

    #[test]
    fn links_to_files_are_spared() {
        for (path, want) in [("/a.PDF", true), ("/a.html", false), ("/a", false), ("/a.b/c", false), ("/", false)] {
            assert_eq!(looks_like_a_file(path), want, "{path}");
        }
    }
}
