//! What the preference page shows of one visitor: the recorded choice as ticks, a message about the
//! last act, and what was wrong with it.

use std::collections::BTreeSet;

use crate::{
    consent::Problem,
    policy::Policy,
    vocab::{Grants, Purpose, VendorId},
};

/// One visitor's view of the preference page. The default is that of somebody who never decided.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The recorded decision, if there is a valid one.
    pub decided: Option<Decided>,
    /// The boxes that are ticked.
    pub ticked: Ticked,
    /// Fields at fault and what is wrong with them; the field's name is shown to the visitor.
    pub problems: Vec<(String, Problem)>,
    /// What became of the act that led here.
    pub message: Option<Message>,
}

/// When a decision was made and until when it holds.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The time of the act.
    pub at: jiff::Timestamp,
    /// When the visitor is asked again.
    pub expires: jiff::Timestamp,
    /// Whether there is a receipt to open: a refusal without a pseudonym has none.
    pub receipt: bool,
}

/// The boxes of the preference page that are ticked, by id. Unknown ids tick nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Ids of purposes: all their vendors.
    pub purposes: BTreeSet<String>,
    /// Ids of vendors ticked on their own.
    pub vendors: BTreeSet<String>,
}

impl Ticked {
    /// Grants as ticks that would grant the same, and never more, when they are saved again.
    pub fn of(policy: &Policy, grants: &Grants) -> Self {
        let mut ticked = Self::default();
        for (index, def) in (0u8..).zip(policy.purposes()) {
            let purpose = Purpose(index);
            if !grants.purposes.contains(purpose) {
                continue;
            }
            // A vendor refused by name cannot be said beside a ticked purpose: without the tick, its
            // other vendors are ticked one by one. That is narrower where they have more purposes.
            let members = || policy.declared().iter().filter(|&vendor| policy.vendor_purposes(vendor).contains(purpose));
            if !members().any(|vendor| grants.denied.contains(vendor)) {
                ticked.purposes.insert(def.id.clone());
            } else {
                ticked.vendors.extend(members().filter(|&v| covered(policy, grants, v)).map(|v| id(policy, v)));
            }
        }
        let named = |&v: &VendorId| grants.allowed.contains(v) && !grants.denied.contains(v);
        ticked.vendors.extend(policy.declared().iter().filter(named).map(|v| id(policy, v)));
        ticked
    }
}

fn covered(policy: &Policy, grants: &Grants, vendor: VendorId) -> bool {
    grants.covers(vendor, policy.vendor_purposes(vendor))
}

fn id(policy: &Policy, vendor: VendorId) -> String {
    policy.vendor_def(vendor).id.clone()
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Recorded and in effect.
    Saved,
    /// A withdrawal, recorded and in effect.
    Withdrawn,
    /// A refusal or withdrawal in effect that could not be recorded.
    RefusedUnrecorded,
    /// A grant that could not be recorded and has no effect.
    NotRecorded,
}

impl Message {
    /// The key in the table `messages` of the string files.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Withdrawn => "withdrawn",
            Self::RefusedUnrecorded => "refused_unrecorded",
            Self::NotRecorded => "not_recorded",
        }
    }
}
