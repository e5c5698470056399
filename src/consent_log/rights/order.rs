//! What an operator orders, and what came of it: the same words whether the order is carried out in this
//! process or by the gate that holds the folder.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::policy::Regime;

/// An order over the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Who gives it: at most 64 characters, the rest is cut.
    pub operator: String,
    /// What is to be done.
    pub what: What,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Delete a visitor's records and salts for good (GDPR article 17).
    Erase {
        /// Whose.
        whose: Whose,
        /// Why.
        why: Why,
        /// Records under a restriction as well.
        restricted: bool,
    },
    /// Keep a visitor's records and use them no longer (GDPR article 18).
    Restrict {
        /// Whose.
        whose: Whose,
        /// Why.
        why: Why,
    },
    /// Lift such a restriction.
    Unrestrict {
        /// Whose.
        whose: Whose,
        /// Why.
        why: Why,
    },
    /// Delete records and salts whose time has passed (GDPR article 5(1)(e)).
    Retain(Keep),
    /// Put on record that records were read.
    Read {
        /// The command, such as `find`.
        command: String,
        /// How many records it gives; `None` where that is not known before the first is given.
        rows: Option<u64>,
    },
    /// Put on record that a backup was put in place of the log.
    Restore {
        /// Leaves in the backup.
        leaves: u64,
        /// Leaves that the log was known to have before.
        before: u64,
    },
    /// Put on record that the log goes on under a new key.
    RotateKey {
        /// Its public half.
        key: String,
    },
}

/// Whose records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Whose {
    /// All of the visitor with this pseudonym: 22 characters of base64url.
    Subject(String),
    /// The one record with this id, and all others of its visitor where it names one.
    Record(Uuid),
}

/// Why an order is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The word of a [`crate::consent_log::Reason`].
    pub reason: String,
    /// The operator's own reference, such as a ticket's number. Only a salted hash of it is kept.
    pub reference: Option<String>,
}

/// How long proof is kept after its decision ran out. The shorter of what holds now and of what the record's own
/// policy said is what counts: a visitor was told the one, and the operator has decided on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Calendar months that hold now, by the id of the regime. A regime that is not named has no bound of its own.
    pub months: BTreeMap<String, u64>,
    /// Calendar months that no record is kept longer than, whatever its regime.
    pub months_max: Option<u64>,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The act in the log; none where nothing was to be done, and for a dry run.
    pub act: Option<Placed>,
    /// How many records it is about, or would be.
    pub count: u64,
    /// Their indices in the log, as [`crate::consent_log::Indices`] writes them.
    pub indices: String,
    /// Whether there are more than one act covers: the same order again goes on.
    #[serde(default)]
    pub more: bool,
    /// Whether nothing of what was deleted is left in the database's files. Where another process reads them at
    /// that moment it is overwritten once that one ends.
    #[serde(default)]
    pub wiped: bool,
    /// The signed certificate of the act.
    #[serde(default)]
    pub certificate: Option<String>,
}

/// Where an act stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The act's id.
    pub id: Uuid,
    /// Its index in the log.
    pub index: u64,
    /// When it was done.
    pub time: Timestamp,
}

impl Keep {
    /// What holds now: for each regime the longest time that one of its sites says, since a record does not tell
    /// which of several policies it would fall under today.
    pub fn under<'r>(regimes: impl Iterator<Item = &'r Regime>) -> Self {
        let mut months: BTreeMap<String, u64> = BTreeMap::new();
        for regime in regimes {
            let longest = months.entry(regime.id.clone()).or_default();
            *longest = (*longest).max(regime.proof_months);
        }
        Self { months, months_max: None }
    }
}
