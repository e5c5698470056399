//! What a page's tags led to: patches, and the report of who was met.

use std::borrow::Cow;

use super::{GateError, Limits, Page, PageReport, TagReport, splice::Patches};
use crate::{
    policy::{Hits, Policy, RuleId},
    vocab::{PurposeSet, VendorId, Verdict},
};

/// Collects over one page, nested pieces included.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) patches: Patches,
    pub(super) report: PageReport,
    /// Everything that was hit and is not granted.
    pub(super) held: Hits,
    /// Something inside a `srcdoc` could not be read.
    pub(super) closed: bool,
}

impl Findings {
    /// Notes a tag. The list is bounded, the count is not.
    pub(super) fn note(&mut self, limits: &Limits, tag: TagReport) {
        if self.report.tags.len() < limits.report_tags_max {
            self.report.tags.push(tag);
        } else {
            self.report.more += 1;
        }
    }

    /// An error once there are more patches than a page may have.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), GateError> {
        if self.patches.added() > limits.patches_max {
            return Err(GateError::Patches { max: limits.patches_max });
        }
        Ok(())
    }
}

/// The verdict of hits that are not granted is `otherwise`.
pub(super) fn verdict(page: &Page, hits: &Hits, otherwise: Verdict) -> Verdict {
    if page.policy.allows(&page.grants, hits) { Verdict::Allow } else { otherwise }
}

/// The numbers of rules, for a report.
pub(super) fn rules(hits: &Hits) -> Vec<RuleId> {
    hits.iter().collect()
}

/// ` data-gate-N="vendor:purpose+purpose vendor2:purpose"`: what must be granted before the tag may
/// come back. Empty, which is never, when a vendor is not declared.
pub(super) fn marker(page: &Page, hits: &Hits) -> String {
    format!(" data-gate-{}=\"{}\"", page.nonce, needs(&page.policy, hits))
}

/// What, before an address in CSS, makes it one that nothing loads: a scheme of its own, which says like
/// a marker what must be granted.
pub(super) fn scheme(page: &Page, hits: &Hits) -> String {
    format!("gate-{}.{}:", page.nonce, needs(&page.policy, hits).replace([':', ' '], "."))
}

/// ` type="text/plain"`: of two attributes of a name the first counts.
pub(super) const INERT_TYPE: &str = " type=\"text/plain\"";

/// What, before an attribute's name, makes it another attribute.
pub(super) fn rename(page: &Page) -> Cow<'static, str> {
    Cow::Owned(format!("data-gate-{}-", page.nonce))
}

fn needs(policy: &Policy, hits: &Hits) -> String {
    let mut vendors: Vec<(VendorId, PurposeSet)> = Vec::new();
    for rule in hits.iter().map(|id| policy.rule(id)) {
        if !policy.declared().contains(rule.vendor) {
            return String::new();
        }
        match vendors.iter_mut().find(|(vendor, _)| *vendor == rule.vendor) {
            Some((_, purposes)) => *purposes = purposes.union(rule.purposes),
            None => vendors.push((rule.vendor, rule.purposes)),
        }
    }
    let items = vendors.into_iter().map(|(vendor, purposes)| {
        let purposes: Vec<&str> = purposes
            .iter()
            .filter_map(|purpose| policy.purposes().get(usize::from(purpose.0)))
            .map(|def| def.id.as_str())
            .collect();
        format!("{}:{}", policy.vendor_def(vendor).id, purposes.join("+"))
    });
    items.collect::<Vec<_>>().join(" ")
}
