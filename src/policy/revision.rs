//! The canonical text of what matters to consent, and so the policy revision.
//!
//! In it: purposes, declared vendors with the purposes of their rules, controller, regime and
//! durations. Not in it: how tags are recognised, layout and wording, vendors nobody is offered.
//! A new host for a known vendor must not ask every visitor again.

use serde_json::{Value, json};

use super::{PurposeDef, Regime, Rule, VendorDef, site::Site};
use crate::vocab::VendorId;

/// Canonical JSON (RFC 8785 for the values that occur here: objects with sorted keys, strings, whole numbers).
pub(super) fn canonical(purposes: &[PurposeDef], vendors: &[VendorDef], rules: &[Rule], site: &Site, regime: &Regime) -> String {
    let declared: Vec<Value> = (0u16..)
        .zip(vendors)
        .filter(|(index, _)| site.declared.contains(VendorId(*index)))
        .map(|(index, def)| {
            let own = rules.iter().filter(|rule| rule.vendor == VendorId(index));
            let mut needs: Vec<Vec<&str>> =
                own.map(|rule| rule.purposes.iter().map(|p| purposes[usize::from(p.0)].id.as_str()).collect()).collect();
            needs.sort();
            needs.dedup();
            json!({ "company": def.company, "id": def.id, "name": def.name, "purposes": needs })
        })
        .collect();
    let text = json!({
        "v": "consent-policy/1",
        "controller": {
            "address": site.controller.address,
            "contact": site.controller.contact,
            "dpo": site.controller.dpo,
            "name": site.controller.name,
            "privacy_policy": site.controller.privacy_policy,
        },
        "purposes": purposes.iter().map(|def| json!({ "always": def.always, "id": def.id })).collect::<Vec<_>>(),
        "regime": {
            "decision_months": regime.decision_months,
            "id": regime.id,
            "jurisdiction": regime.jurisdiction,
            "proof_months": regime.proof_months,
        },
        "vendors": declared,
    });
    // serde_json keeps object keys sorted unless its `preserve_order` feature is on; a test holds it.
    text.to_string()
}
