//! What pages were seen to carry and that somebody decided: told as it happens, kept by nobody,
//! without a visitor.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::{policy::Policy, vocab::Verdict};

/// Something that went through the gate.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A page.
    Page {
        /// Its path, without query.
        page: String,
        /// Its tags in document order.
        tags: Vec<SeenTag>,
    },
    /// A decision that is on record.
    Decision {
        /// The act, such as `accept_all`.
        choice: &'static str,
        /// Ids of the purposes it grants.
        purposes: Vec<String>,
    },
}

/// One tag of such a page.
#[derive(Clone, Debug)]
pub struct SeenTag {
    /// Ids of the vendors whose rules hit it.
    pub vendors: Vec<String>,
    /// Ids of the rules that hit it.
    pub rules: Vec<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// The element, such as `script`.
    pub element: String,
    /// Its address without query; `None` for an inline script.
    pub address: Option<String>,
}

/// Tells listeners, if there are any; a listener that is slow misses some.
pub(super) type Sender = broadcast::Sender<Arc<Seen>>;

/// How many pages a slow listener may lag behind.
const LAG: usize = 256;

pub(super) fn channel() -> Sender {
    broadcast::Sender::new(LAG)
}

impl Seen {
    /// Names vendors and rules of an engine's report.
    pub fn page(policy: &Policy, page: &str, report: &crate::html::PageReport) -> Self {
        let tags = report.tags.iter().map(|tag| {
            let rules: Vec<_> = tag.rules.iter().map(|&id| policy.rule(id)).collect();
            let mut vendors: Vec<String> = rules.iter().map(|rule| policy.vendor_def(rule.vendor).id.clone()).collect();
            vendors.dedup();
            SeenTag {
                vendors,
                rules: rules.iter().map(|rule| rule.id.clone()).collect(),
                verdict: tag.verdict,
                element: tag.element.clone(),
                address: tag.address.clone(),
            }
        });
        Self::Page { page: page.to_owned(), tags: tags.collect() }
    }
}
