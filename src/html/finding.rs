//! What a page's tags led to: patches, and the report of who was met.

use super::{GateError, Limits, PageReport, TagReport, splice::Patches};
use crate::policy::{Hits, RuleId};

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

/// The numbers of rules, for a report.
pub(super) fn rules(hits: &Hits) -> Vec<RuleId> {
    hits.iter().collect()
}
