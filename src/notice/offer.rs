//! What the notices of one language offer: the purposes, the declared vendors under them, and who
//! asks. Texts and policy come together here; markup and requests do not.

use serde_json::{Value, json};

use super::{fill::is_reserved, strings::Strings};
use crate::{
    policy::{Controller, Policy, PurposeDef},
    vocab::{Purpose, VendorId},
};

/// Between names in a line. No comma: some names have their own.
pub(super) const SEPARATOR: &str = " · ";

/// A purpose as a notice shows it.
#[derive(Clone, Debug)]
pub(super) struct OfferedPurpose {
    pub(super) id: String,
    pub(super) always: bool,
    pub(super) title: String,
    pub(super) short: String,
    pub(super) description: String,
    /// The label of the box that allows all its vendors.
    pub(super) all: String,
    /// The name of the list of its vendors.
    pub(super) vendors_of: String,
    /// The vendors whose box stands here.
    pub(super) vendors: Vec<Listed>,
    /// A sentence that names its vendors whose box stands under a later purpose, or empty.
    pub(super) elsewhere: String,
    members: Vec<String>,
    dpv: String,
}

/// A vendor under the purpose that has its box. A vendor with several purposes has one box, under the
/// last of them: its tick counts for the vendor as a whole, and two boxes could contradict each other.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its place in [`Offer::vendors`].
    pub(super) vendor: usize,
    /// The purposes its tick is for, where they are several; else empty.
    pub(super) note: String,
}

/// A vendor as a notice shows it.
#[derive(Clone, Debug)]
pub(super) struct OfferedVendor {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) company: String,
    pub(super) privacy_policy: String,
    pub(super) description: String,
    /// What its link is called where a list of links is read out.
    pub(super) policy_of: String,
    purposes: Vec<String>,
}

/// Who asks, for what, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) site: String,
    /// With a name in any case: the site's, or words that say "the operator".
    pub(super) controller: Controller,
    pub(super) purposes: Vec<OfferedPurpose>,
    /// Sorted by name.
    pub(super) vendors: Vec<OfferedVendor>,
    pub(super) decision_months: u64,
    pub(super) proof_months: u64,
    regime: String,
    jurisdiction: String,
}

impl Offer {
    pub(super) fn new(policy: &Policy, strings: &Strings, site_name: &str) -> Self {
        let vendors = vendors(policy, strings);
        let purposes = (0u8..).zip(policy.purposes()).filter(|(index, def)| shown(policy, Purpose(*index), def));
        Self {
            site: plain(site_name),
            controller: controller(policy.controller(), strings, site_name),
            purposes: purposes.map(|(index, def)| purpose(policy, strings, &vendors, Purpose(index), def)).collect(),
            vendors: vendors.into_iter().map(|(_, vendor)| vendor).collect(),
            decision_months: policy.regime().decision_months,
            proof_months: policy.regime().proof_months,
            regime: policy.regime().id.clone(),
            jurisdiction: policy.regime().jurisdiction.clone(),
        }
    }

    /// The names of all vendors as one line of text.
    pub(super) fn vendor_names(&self) -> String {
        self.vendors.iter().map(|vendor| vendor.name.as_str()).collect::<Vec<_>>().join(SEPARATOR)
    }

    /// Whether the vendor needs consent for anything, and so has a box of its own.
    pub(super) fn asks(&self, vendor: &OfferedVendor) -> bool {
        self.purposes.iter().any(|purpose| !purpose.always && vendor.purposes.contains(&purpose.id))
    }

    /// The part of a notice's snapshot that does not depend on its layer.
    pub(super) fn snapshot(&self) -> Value {
        let purpose = |purpose: &OfferedPurpose| {
            json!({
                "basis": if purpose.always { "necessary" } else { "consent" },
                "default": purpose.always,
                "description": purpose.description,
                "dpv": purpose.dpv,
                "id": purpose.id,
                "short": purpose.short,
                "title": purpose.title,
                "vendors": purpose.members,
            })
        };
        let vendor = |vendor: &OfferedVendor| {
            json!({
                "company": vendor.company,
                "description": vendor.description,
                "id": vendor.id,
                "name": vendor.name,
                "policy_url": vendor.privacy_policy,
                "purposes": vendor.purposes,
            })
        };
        json!({
            "controller": {
                "address": self.controller.address,
                "contact": self.controller.contact,
                "dpo": self.controller.dpo,
                "name": self.controller.name,
                "privacy_policy": self.controller.privacy_policy,
            },
            "decision_months": self.decision_months,
            "jurisdiction": self.jurisdiction,
            "proof_months": self.proof_months,
            "purposes": self.purposes.iter().map(purpose).collect::<Vec<_>>(),
            "regime": self.regime,
            "site": self.site,
            "vendors": self.vendors.iter().map(vendor).collect::<Vec<_>>(),
        })
    }
}

/// A purpose that known vendors have but no declared one is not asked for: a consent to what the
/// site does not do is not specific. One that no vendor file knows is the site's own, and is asked for.
fn shown(policy: &Policy, purpose: Purpose, def: &PurposeDef) -> bool {
    let has = |vendor: VendorId| policy.vendor_purposes(vendor).contains(purpose);
    def.always || policy.declared().iter().any(has) || !(0..policy.vendors().len() as u16).map(VendorId).any(has)
}

fn vendors(policy: &Policy, strings: &Strings) -> Vec<(VendorId, OfferedVendor)> {
    let mut vendors: Vec<(VendorId, OfferedVendor)> = policy
        .declared()
        .iter()
        .map(|id| {
            let def = policy.vendor_def(id);
            let name = plain(&def.name);
            let vendor = OfferedVendor {
                id: def.id.clone(),
                company: plain(&def.company),
                privacy_policy: plain(&def.privacy_policy),
                description: strings.vendor(&def.id).to_owned(),
                policy_of: strings.filled("preferences", "vendor_policy_of", &[("vendor", &name)]),
                purposes: def.purposes.iter().map(|p| policy.purposes()[usize::from(p.0)].id.clone()).collect(),
                name,
            };
            (id, vendor)
        })
        .collect();
    vendors.sort_by_key(|(_, vendor)| vendor.name.to_lowercase());
    vendors
}

fn purpose(
    policy: &Policy,
    strings: &Strings,
    vendors: &[(VendorId, OfferedVendor)],
    purpose: Purpose,
    def: &PurposeDef,
) -> OfferedPurpose {
    let text = strings.purpose(&def.id);
    let title = [("purpose", text.title.as_str())];
    let members = || vendors.iter().enumerate().filter(|(_, (id, _))| policy.vendor_purposes(*id).contains(purpose));
    let (here, later): (Vec<_>, Vec<_>) = members().partition(|(_, (id, _))| asked(policy, *id).last() == Some(&purpose));
    let count = members().count().to_string();
    let names = later.iter().map(|(_, (_, vendor))| vendor.name.as_str()).collect::<Vec<_>>().join(SEPARATOR);
    OfferedPurpose {
        id: def.id.clone(),
        always: def.always,
        all: match count.as_str() {
            "0" => strings.filled("preferences", "allow_purpose", &title),
            count => strings.filled("preferences", "all_vendors", &[title[0], ("n", count)]),
        },
        vendors_of: strings.filled("preferences", "vendors_of", &title),
        vendors: here.iter().map(|&(vendor, (id, _))| Listed { vendor, note: note(policy, strings, *id) }).collect(),
        elsewhere: match names.as_str() {
            "" => String::new(),
            names => strings.filled("preferences", "listed_below", &[("vendors", names)]),
        },
        members: members().map(|(_, (_, vendor))| vendor.id.clone()).collect(),
        dpv: def.dpv.clone(),
        title: text.title,
        short: text.short,
        description: text.description,
    }
}

/// The vendor's purposes that need consent.
fn asked(policy: &Policy, id: VendorId) -> Vec<Purpose> {
    policy.vendor_purposes(id).iter().filter(|purpose| !policy.purposes()[usize::from(purpose.0)].always).collect()
}

fn note(policy: &Policy, strings: &Strings, id: VendorId) -> String {
    let asked = asked(policy, id);
    if asked.len() < 2 {
        return String::new();
    }
    let titles: Vec<String> =
        asked.iter().map(|purpose| strings.purpose(&policy.purposes()[usize::from(purpose.0)].id).title).collect();
    strings.filled("preferences", "other_purposes", &[("purposes", &titles.join(SEPARATOR))])
}

fn controller(named: &Controller, strings: &Strings, site_name: &str) -> Controller {
    let name = [&named.name, site_name].into_iter().find(|name| !name.trim().is_empty());
    Controller {
        name: plain(name.map_or(strings.text("banner", "operator"), |name| name)),
        address: plain(&named.address),
        contact: plain(&named.contact),
        privacy_policy: plain(&named.privacy_policy),
        dpo: plain(&named.dpo),
    }
}

/// Without the characters that mark holes in markup.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|&c| !is_reserved(c)).collect()
}
