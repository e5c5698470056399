//! Acts: what an operator did to the log, or read from it, is a leaf of it too. Pure.
//!
//! An act names records by their index and never a visitor: once a record is erased, nothing that stays in the
//! log says whose it was. Acts themselves are never erased.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::consent_log::{
    canonical::canonical,
    record::{RecordFault, stamp, words},
};
use crate::vocab::Hash;

/// The format that [`Act::canonical`] writes.
const FORMAT: &str = "consent-act/1";

/// The most characters of an operator's or a command's name.
const NAME_MAX: usize = 64;

/// One act of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The act's id, a version 7 UUID.
    pub id: Uuid,
    /// When, by the server's clock. Kept to the millisecond.
    pub time: Timestamp,
    /// Who: the name of the operating system's user, or what was given for it. At most 64 characters.
    pub operator: String,
    /// What.
    pub deed: Deed,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Records and salts were deleted for good (GDPR article 17).
    Erase(On),
    /// Records are kept and no longer used (GDPR article 18).
    Restrict(On),
    /// A restriction was lifted.
    Unrestrict(On),
    /// Records and salts were deleted because the time for which proof is kept had passed (GDPR article 5(1)(e)).
    Retain(On),
    /// Records were read by a command.
    Read {
        /// The command, such as `find`.
        command: String,
        /// How many records it gave; `None` where that was not known before the first was given.
        rows: Option<u64>,
    },
    /// A backup was put in place of the log.
    Restore {
        /// Leaves in the backup.
        leaves: u64,
        /// Leaves that the log was known to have before, from its published checkpoint.
        before: u64,
    },
    /// The log goes on under a new key.
    RotateKey {
        /// Its public half (`name+id+base64`), as `log.pub` has it.
        key: String,
    },
}

/// The records that an act is about, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct On {
    /// Their indices in the log.
    pub indices: Indices,
    /// Why.
    pub reason: Reason,
    /// `SHA-256(salt || ticket)` over the operator's own reference; the salt is only in the certificate.
    pub reference: Option<Hash>,
}

words! {
    /// What kind of act.
    ActKind {
        /// [`Deed::Erase`].
        Erase = "erase",
        /// [`Deed::Restrict`].
        Restrict = "restrict",
        /// [`Deed::Unrestrict`].
        Unrestrict = "unrestrict",
        /// [`Deed::Retain`].
        Retain = "retain",
        /// [`Deed::Read`].
        Read = "read",
        /// [`Deed::Restore`].
        Restore = "restore",
        /// [`Deed::RotateKey`].
        RotateKey = "rotate_key",
    }
}

words! {
    /// Why an act was done. A code and no text: text is where names end up.
    Reason {
        /// The visitor asked for it.
        Request = "request",
        /// The visitor took the consent back, and there is no other ground (GDPR article 17(1)(b)).
        Withdrawal = "withdrawal",
        /// The visitor objected (GDPR articles 17(1)(c), 18(1)(d)).
        Objection = "objection",
        /// The processing was unlawful (GDPR articles 17(1)(d), 18(1)(b)).
        Unlawful = "unlawful",
        /// The law demands it (GDPR article 17(1)(e)).
        Obligation = "obligation",
        /// The visitor contests that the record is right (GDPR article 18(1)(a)).
        Accuracy = "accuracy",
        /// The visitor needs the record for legal claims (GDPR article 18(1)(c)).
        Claims = "claims",
        /// The time for which it is kept has passed (GDPR article 5(1)(e)).
        Expired = "expired",
    }
}

/// A set of indices, written as ranges: `3,7-9`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indices {
    /// First and last of each range; ascending, with a gap between two.
    ranges: Vec<(u64, u64)>,
}

// === impl Act ===

impl Act {
    /// The stored and hashed bytes: canonical JSON (RFC 8785).
    pub fn canonical(&self) -> String {
        let mut value = json!({
            "v": FORMAT,
            "id": self.id.to_string(),
            "t": stamp(self.time),
            "act": self.kind().as_str(),
            "operator": self.operator,
        });
        match &self.deed {
            Deed::Erase(on) | Deed::Restrict(on) | Deed::Unrestrict(on) | Deed::Retain(on) => {
                value["indices"] = json!(on.indices.to_string());
                value["count"] = json!(on.indices.len());
                value["reason"] = json!(on.reason.as_str());
                if let Some(reference) = on.reference {
                    value["reference"] = json!(reference.to_string());
                }
            }
            Deed::Read { command, rows } => {
                value["command"] = json!(command);
                value["rows"] = json!(rows);
            }
            Deed::Restore { leaves, before } => {
                value["leaves"] = json!(leaves);
                value["before"] = json!(before);
            }
            Deed::RotateKey { key } => value["key"] = json!(key),
        }
        canonical(&value).expect("an act's numbers are counts of leaves")
    }

    /// Reads stored bytes. Only the exact canonical form is an act.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordFault> {
        let value: Value = serde_json::from_slice(bytes)?;
        let act = Self {
            id: parsed(&value, "id")?,
            time: parsed(&value, "t")?,
            operator: text(&value, "operator")?.to_owned(),
            deed: deed(&value)?,
        };
        let named = act.operator.chars().count() <= NAME_MAX;
        if named && act.canonical().as_bytes() == bytes { Ok(act) } else { Err(RecordFault::Form) }
    }

    /// What kind of act.
    pub fn kind(&self) -> ActKind {
        match &self.deed {
            Deed::Erase(_) => ActKind::Erase,
            Deed::Restrict(_) => ActKind::Restrict,
            Deed::Unrestrict(_) => ActKind::Unrestrict,
            Deed::Retain(_) => ActKind::Retain,
            Deed::Read { .. } => ActKind::Read,
            Deed::Restore { .. } => ActKind::Restore,
            Deed::RotateKey { .. } => ActKind::RotateKey,
        }
    }

    /// The records it is about; `None` for an act that names none.
    pub fn on(&self) -> Option<&On> {
        match &self.deed {
            Deed::Erase(on) | Deed::Restrict(on) | Deed::Unrestrict(on) | Deed::Retain(on) => Some(on),
            Deed::Read { .. } | Deed::Restore { .. } | Deed::RotateKey { .. } => None,
        }
    }

    /// The records that it deleted; `None` for an act that deletes none.
    pub fn erased(&self) -> Option<&Indices> {
        match &self.deed {
            Deed::Erase(on) | Deed::Retain(on) => Some(&on.indices),
            _ => None,
        }
    }
}

/// A name as it may stand in an act: without control characters, and not longer than 64 characters.
pub(in crate::consent_log) fn name(given: &str) -> String {
    let kept: String = given.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    kept.trim().to_owned()
}

fn deed(value: &Value) -> Result<Deed, RecordFault> {
    let number = |name| value[name].as_u64().ok_or(RecordFault::Field(name));
    Ok(match word(value, "act", ActKind::parse)? {
        ActKind::Erase => Deed::Erase(on(value)?),
        ActKind::Restrict => Deed::Restrict(on(value)?),
        ActKind::Unrestrict => Deed::Unrestrict(on(value)?),
        ActKind::Retain => Deed::Retain(on(value)?),
        ActKind::Read => {
            let rows = if value["rows"].is_null() { None } else { Some(number("rows")?) };
            Deed::Read { command: text(value, "command")?.to_owned(), rows }
        }
        ActKind::Restore => Deed::Restore { leaves: number("leaves")?, before: number("before")? },
        ActKind::RotateKey => Deed::RotateKey { key: text(value, "key")?.to_owned() },
    })
}

fn on(value: &Value) -> Result<On, RecordFault> {
    let reference = match &value["reference"] {
        Value::Null => None,
        _ => Some(word(value, "reference", Hash::parse)?),
    };
    Ok(On { indices: parsed(value, "indices")?, reason: word(value, "reason", Reason::parse)?, reference })
}

fn text<'v>(value: &'v Value, name: &'static str) -> Result<&'v str, RecordFault> {
    value[name].as_str().ok_or(RecordFault::Field(name))
}

fn parsed<T: FromStr>(value: &Value, name: &'static str) -> Result<T, RecordFault> {
    text(value, name)?.parse().map_err(|_| RecordFault::Field(name))
}

fn word<T>(value: &Value, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RecordFault> {
    parse(text(value, name)?).ok_or(RecordFault::Field(name))
}

// === impl Indices ===

/// A text that is no set of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no list of indices such as 3,7-9: ascending, neighbours in one range")]
pub struct NoIndices;

impl Indices {
    /// How many.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The least.
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// The greatest.
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// First and last of each range, ascending.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Every index, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Whether the index is in it.
    pub fn contains(&self, index: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= index);
        after > 0 && index <= self.ranges[after - 1].1
    }
}

impl FromIterator<u64> for Indices {
    fn from_iter<I: IntoIterator<Item = u64>>(indices: I) -> Self {
        let mut all: Vec<u64> = indices.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for index in all {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => ranges.push((index, index)),
            }
        }
        Self { ranges }
    }
}

impl fmt::Display for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for Indices {
    type Err = NoIndices;

    fn from_str(text: &str) -> Result<Self, NoIndices> {
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text).ok_or(NoIndices);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            // One way to write a set: neither overlapping nor neighbouring ranges, none backwards.
            let behind = ranges.last().is_none_or(|(_, before)| before.checked_add(1).is_some_and(|next| next < first));
            if !behind || first > last || part.contains('-') && first == last || last == u64::MAX {
                return Err(NoIndices);
            }
            ranges.push((first, last));
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consent_log::record_id;

    fn act(deed: Deed) -> Act {
        let time: Timestamp = "2026-05-31T10:00:00.123Z".parse().expect("a time");
        Act { id: record_id(time), time, operator: "anna".to_owned(), deed }
    }

    fn on() -> On {
        On { indices: [9, 3, 7, 8].into_iter().collect(), reason: Reason::Request, reference: Some(Hash([1; 32])) }
    }

    #[test]
    fn an_act_has_one_form() {
        let erase = act(Deed::Erase(on()));
        let text = erase.canonical();
        let want = format!(
            r#"{{"act":"erase","count":4,"id":"{}","indices":"3,7-9","operator":"anna","reason":"request","reference":"{}","t":"2026-05-31T10:00:00.123Z","v":"consent-act/1"}}"#,
            erase.id,
            "01".repeat(32)
        );
        assert_eq!(text, want);
        for other in [
            text.replace("3,7-9", "3,7-8,9"),
            text.replace("\"count\":4", "\"count\":5"),
            text.replace("erase", "retain "),
            text.replace("{\"act\"", "{\"a\":1,\"act\""),
            text.replace("anna", &"a".repeat(65)),
        ] {
            assert!(Act::parse(other.as_bytes()).is_err(), "{other}");
        }
        for deed in [
            Deed::Erase(on()),
            Deed::Restrict(On { reference: None, ..on() }),
            Deed::Unrestrict(on()),
            Deed::Retain(On { reason: Reason::Expired, ..on() }),
            Deed::Read { command: "find".to_owned(), rows: Some(3) },
            Deed::Read { command: "export".to_owned(), rows: None },
            Deed::Restore { leaves: 3, before: 9 },
            Deed::RotateKey { key: "consent-log/0+00000000+AA==".to_owned() },
        ] {
            let act = act(deed);
            assert_eq!(Act::parse(act.canonical().as_bytes()).expect("its own form"), act);
        }
    }

    #[test]
    fn a_list_of_indices_has_one_form() {
        for text in ["1,1", "2,1", "1-1", "3-1", "1,2", "1-3,4", "01", "+1", "", ",1", "1,", "1-", "-1", "1 - 2", "x"] {
            let read = text.parse::<Indices>();
            assert!(read.is_err() || read == Ok(Indices::default()) && text.is_empty(), "{text}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn indices_are_the_set_they_were_made_from(of in prop::collection::btree_set(0..200_u64, 0..60)) {
            let indices: Indices = of.iter().copied().collect();
            prop_assert_eq!(indices.iter().collect::<Vec<_>>(), of.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(indices.len(), of.len() as u64);
            prop_assert_eq!(indices.to_string().parse::<Indices>(), Ok(indices.clone()));
            for index in 0..201 {
                prop_assert_eq!(indices.contains(index), of.contains(&index));
            }
        }
    }
}
