//! What is put into a page. It is kept apart from the response it goes into, and written out where that leaves:
//! markers carry the response's own nonce, the notice is the visitor's.

use std::borrow::Cow;

use super::{Page, classify};
use crate::{
    policy::{Hits, Policy},
    vocab::{PurposeSet, VendorId},
};

/// Something that is put into a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Insert {
    /// The same text in every response.
    Text(Cow<'static, str>),
    /// ` data-gate-N="vendor:purpose+purpose vendor2:purpose"`: what must be granted before the tag may
    /// come back. Empty, which is never, when a vendor is not declared.
    Marker(Box<str>),
    /// What, before an attribute's name, makes it another attribute; or all of that name.
    Renamed(&'static str),
    /// What, before an address in CSS, makes it one that nothing loads: a scheme of its own, which says like
    /// a marker what must be granted.
    Scheme(Box<str>),
    /// The response's markup for the head.
    Head,
    /// The response's markup for the body.
    Body,
    /// The response's markup for documents in attributes.
    Frame {
        /// Whether the attribute's value stands in quotes.
        quoted: bool,
    },
}

impl Insert {
    /// ` type="text/plain"`: of two attributes of a name the first counts.
    pub(super) const INERT_TYPE: Self = Self::Text(Cow::Borrowed(" type=\"text/plain\""));

    /// What stands before the name of an attribute that is held.
    pub(super) const RENAME: Self = Self::Renamed("");

    /// The marker of a tag that needs `hits` granted.
    pub(super) fn marker(page: &Page, hits: &Hits) -> Self {
        Self::Marker(needs(&page.policy, hits).into())
    }

    /// The scheme of an address that needs `hits` granted.
    pub(super) fn scheme(page: &Page, hits: &Hits) -> Self {
        Self::Scheme(needs(&page.policy, hits).replace([':', ' '], ".").into())
    }

    /// Appends it as it reads in the response to which `page` belongs.
    pub(super) fn write(&self, page: &Page, out: &mut Vec<u8>) {
        let mut push = |texts: &[&str]| texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
        match self {
            Self::Text(text) => push(&[text]),
            Self::Marker(needs) => push(&[" data-gate-", &page.nonce, "=\"", needs, "\""]),
            Self::Renamed(name) => push(&["data-gate-", &page.nonce, "-", name]),
            Self::Scheme(needs) => push(&["gate-", &page.nonce, ".", needs, ":"]),
            Self::Head => push(&[&page.head]),
            Self::Body => push(&[&page.body]),
            Self::Frame { quoted } => push(&[&classify::document_text(&page.frame, *quoted)]),
        }
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let text = match self {
            Self::Text(Cow::Owned(text)) => text.len(),
            Self::Marker(text) | Self::Scheme(text) => text.len(),
            _ => 0,
        };
        size_of::<Self>() + text
    }
}

impl<T: Into<Cow<'static, str>>> From<T> for Insert {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
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
