//! Policy: (path, text) in, one compiled, immutable [`Policy`] out.
//!
//! Vendors, purposes and regimes are data in `policies/`; this room turns them into one matcher
//! (address, inline text, cookie -> rule), into what the notices offer, and into the revision.
//! It does no I/O and reads no clock. A policy is built whole and swapped whole.

mod address;
mod glob;
mod headers;
mod hosts;
mod inline;
mod matcher;
mod purposes;
mod regime;
mod revision;
mod site;
mod source;
mod stand_in;
mod vendor;

use std::collections::BTreeMap;

pub use glob::Glob;
pub use headers::HeaderGroup;
pub use hosts::{HostClass, Hosts, Place, Preset, PresetKind};
pub use inline::InlineScanner;
pub use matcher::{Hits, RuleId};
pub use purposes::{PurposeDef, QueuedCalls};
pub use regime::{Regime, Signal};
pub use site::Controller;
pub use source::Sources;
pub use stand_in::{AntiFlicker, StandIn, StandInKind};
pub use vendor::{ConsentCalls, CookieRule, Example, Rule, VendorDef, What};

use crate::{
    config::Fault,
    vocab::{Grants, Hash, PolicyRevision, Purpose, PurposeSet, VendorId, VendorSet},
};

/// Everything the gate decides by: compiled from `policies/`, immutable.
pub struct Policy {
    purposes: Vec<PurposeDef>,
    vendors: Vec<VendorDef>,
    rules: Vec<Rule>,
    declared: VendorSet,
    controller: Controller,
    hosts: Hosts,
    regime: Regime,
    header_groups: Vec<HeaderGroup>,
    queued_calls: QueuedCalls,
    matcher: matcher::Matcher,
    canonical: String,
    revision: PolicyRevision,
    source_hashes: BTreeMap<String, Hash>,
}

impl Policy {
    /// Compiles the files. Returns the policy with warnings, or every fault of every file.
    pub fn compile(sources: &Sources) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut warnings = Vec::new();

        let (purposes, defaults) = purposes::read(sources, &mut faults);
        let regime = regime::read(sources, &defaults, &mut faults);
        let (mut vendors, mut rules) = vendor::read_all(sources, &purposes, &mut faults);
        let hosts = hosts::read(sources, &purposes, &mut vendors, &mut rules, &mut faults, &mut warnings);
        let site = site::read(sources, &vendors, &mut faults, &mut warnings);
        let header_groups = headers::read(sources, &purposes, &mut faults);
        let matcher = matcher::Matcher::compile(&rules);

        faults.sort();
        let (Some(regime), Some(site), true) = (regime, site, faults.is_empty()) else { return Err(faults) };
        let canonical = revision::canonical(&purposes, &vendors, &rules, &site, &regime);
        let revision = PolicyRevision(Hash::of(canonical.as_bytes()));
        let policy = Self {
            purposes,
            vendors,
            rules,
            declared: site.declared,
            controller: site.controller,
            hosts,
            regime,
            header_groups,
            queued_calls: defaults.queued_calls,
            matcher,
            canonical,
            revision,
            source_hashes: sources.iter().map(|(name, text)| (name.to_owned(), Hash::of(text.as_bytes()))).collect(),
        };
        Ok((policy, warnings))
    }

    /// The purposes, in the order in which notices show them.
    pub fn purposes(&self) -> &[PurposeDef] {
        &self.purposes
    }

    /// The purpose of that id.
    pub fn purpose(&self, id: &str) -> Option<Purpose> {
        self.purposes.iter().position(|def| def.id == id).map(|index| Purpose(index as u8))
    }

    /// Every known vendor, sorted by id.
    pub fn vendors(&self) -> &[VendorDef] {
        &self.vendors
    }

    /// The vendor of that id.
    pub fn vendor(&self, id: &str) -> Option<VendorId> {
        self.vendors.binary_search_by(|def| def.id.as_str().cmp(id)).ok().map(|index| VendorId(index as u16))
    }

    /// What a vendor's file says.
    pub fn vendor_def(&self, vendor: VendorId) -> &VendorDef {
        &self.vendors[usize::from(vendor.0)]
    }

    /// The vendors that the site's notices offer.
    pub fn declared(&self) -> &VendorSet {
        &self.declared
    }

    /// Who answers for the site.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The rule set for visitors.
    pub fn regime(&self) -> &Regime {
        &self.regime
    }

    /// What browsers offer to advertisers and others by header, and what has to be granted for it.
    pub fn header_groups(&self) -> &[HeaderGroup] {
        &self.header_groups
    }

    /// What becomes of calls to held vendors that a page made before the visitor agreed.
    pub fn queued_calls(&self) -> QueuedCalls {
        self.queued_calls
    }

    /// The hash over what matters to consent.
    pub fn revision(&self) -> PolicyRevision {
        self.revision
    }

    /// The text the revision is the hash of: canonical JSON.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of every source file, by its path under `policies/`.
    pub fn source_hashes(&self) -> &BTreeMap<String, Hash> {
        &self.source_hashes
    }

    /// A rule by its number in [`Hits`].
    pub fn rule(&self, rule: RuleId) -> &Rule {
        &self.rules[usize::from(rule.0)]
    }

    /// Every rule in the order of its number: a vendor's own in the order of its file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is granted without any decision of the visitor: under opt-in, what needs no consent.
    pub fn undecided(&self) -> Grants {
        let purposes = (0u8..).zip(&self.purposes).filter(|(_, def)| def.always).map(|(index, _)| Purpose(index));
        Grants { purposes: purposes.collect(), ..Grants::default() }
    }

    /// What notices ask for: the purposes of the declared vendors that need consent.
    pub fn asked(&self) -> PurposeSet {
        let needed = self.declared.iter().fold(PurposeSet::EMPTY, |all, vendor| all.union(self.vendor_purposes(vendor)));
        needed.iter().filter(|purpose| !self.purposes[usize::from(purpose.0)].always).collect()
    }

    /// What **Accept all** grants: everything that is asked for, beside what needs no consent.
    pub fn everything(&self) -> Grants {
        let mut grants = self.undecided();
        grants.purposes = grants.purposes.union(self.asked());
        grants
    }

    /// Whether `grants` cover everything that `hits` need. A known but undeclared vendor never is.
    pub fn allows(&self, grants: &Grants, hits: &Hits) -> bool {
        hits.iter().all(|id| {
            let rule = self.rule(id);
            self.declared.contains(rule.vendor) && grants.covers(rule.vendor, rule.purposes)
        })
    }

    /// The rules for an address. `host` is lower case without a trailing dot, `path` and `query`
    /// as the URL standard serialises them (`query` without its `?`).
    pub fn match_address(&self, host: &str, path: &str, query: Option<&str>) -> Hits {
        self.matcher.address(&self.rules, host, path, query)
    }

    /// The rules for a parsed URL; none for one without a host.
    pub fn match_url(&self, url: &url::Url) -> Hits {
        match url.host_str() {
            Some(host) => self.match_address(host.trim_end_matches('.'), url.path(), url.query()),
            None => Hits::none(),
        }
    }

    /// The rules whose strong signature stands in an inline script's text (raw bytes of the page).
    pub fn match_inline(&self, text: &[u8]) -> Hits {
        let mut scanner = self.inline_scanner();
        scanner.feed(text);
        scanner.finish()
    }

    /// Matches an inline script that arrives in pieces.
    pub fn inline_scanner(&self) -> InlineScanner<'_> {
        self.matcher.inline_scanner()
    }

    /// Matches a script that comes back from one of the site's own paths, in pieces.
    pub fn answer_scanner(&self) -> InlineScanner<'_> {
        self.matcher.answer_scanner()
    }

    /// Whether some rule looks at scripts that come back.
    pub fn looks_at_answers(&self) -> bool {
        self.matcher.looks_at_answers()
    }

    /// The rules for an AMP element's name, or for the `type` of an AMP tag.
    pub fn match_amp(&self, name: &str) -> Hits {
        matcher::Matcher::amp(&self.rules, &name.to_ascii_lowercase())
    }

    /// The rules for a first-party cookie.
    pub fn match_cookie(&self, name: &str, value: &str) -> Hits {
        self.matcher.cookie(&self.rules, name, value)
    }

    /// Every purpose that some rule of the vendor needs: what notices list the vendor under.
    pub fn vendor_purposes(&self, vendor: VendorId) -> PurposeSet {
        self.vendor_def(vendor).purposes
    }
}

#[cfg(test)]
mod tests;
