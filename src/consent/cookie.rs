//! The consent cookie: the visitor's state, signed. Stateless: any node with the key can read it.
//!
//! `1.<key id>.<payload>.<mac>`, payload and mac in base64url, the payload JSON with short names.
//! Anything that is unsigned, altered, expired, from another site or regime, or of a revision that
//! is not honoured is no consent.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{Keys, Use};
use crate::vocab::SubjectId;

/// What a visitor decided, as the cookie carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorState {
    /// The site's host name.
    pub site: String,
    /// The regime under which it was asked.
    pub regime: String,
    /// The consent record. `None` after a refusal by somebody who never granted: a refusal needs no identifier.
    pub record: Option<Uuid>,
    /// The visitor's pseudonym; `None` likewise.
    pub subject: Option<SubjectId>,
    /// The policy revision that was answered (short form).
    pub revision: String,
    /// Ids of the purposes granted, those that need no consent not included.
    pub purposes: BTreeSet<String>,
    /// Vendors that differ from their purposes.
    pub vendors: BTreeMap<String, bool>,
    /// When the visitor decided.
    pub decided_at: Timestamp,
    /// Until when the decision holds.
    pub expires_at: Timestamp,
}

impl VisitorState {
    /// Whether anything was granted.
    pub fn grants_anything(&self) -> bool {
        !self.purposes.is_empty() || self.vendors.values().any(|&granted| granted)
    }

    /// What both say: two valid cookies count as their intersection (traps: cookie tossing).
    fn intersection(self, other: Self) -> Self {
        // A vendor exception survives only where both make it; a refusal survives from either.
        let mut vendors: BTreeMap<String, bool> = self
            .vendors
            .iter()
            .chain(&other.vendors)
            .filter(|(_, granted)| !**granted)
            .map(|(id, _)| (id.clone(), false))
            .collect();
        for (id, _) in self.vendors.iter().filter(|(id, granted)| **granted && other.vendors.get(*id) == Some(&true)) {
            vendors.insert(id.clone(), true);
        }
        let newer = if self.decided_at >= other.decided_at { &self } else { &other };
        Self {
            record: newer.record,
            subject: newer.subject,
            purposes: self.purposes.intersection(&other.purposes).cloned().collect(),
            vendors,
            decided_at: self.decided_at.max(other.decided_at),
            expires_at: self.expires_at.min(other.expires_at),
            ..self
        }
    }
}

/// What a cookie must say to be honoured.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The site's host name.
    pub site: &'a str,
    /// The regime in force.
    pub regime: &'a str,
    /// The policy revision in force (short form).
    pub revision: &'a str,
    /// The time of the request.
    pub now: Timestamp,
}

/// The longest cookie value that is looked at: ours is far shorter.
const VALUE_BYTES_MAX: usize = 3800;
/// How far a decision may lie ahead of this node's clock: other nodes' clocks differ.
const SKEW_SECONDS: i64 = 300;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    #[serde(rename = "s")]
    site: String,
    #[serde(rename = "j")]
    regime: String,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    record: Option<Uuid>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(rename = "p")]
    revision: String,
    #[serde(rename = "g", default, skip_serializing_if = "BTreeSet::is_empty")]
    purposes: BTreeSet<String>,
    #[serde(rename = "x", default, skip_serializing_if = "BTreeMap::is_empty")]
    vendors: BTreeMap<String, bool>,
    #[serde(rename = "t")]
    decided_at_s: i64,
    #[serde(rename = "e")]
    expires_at_s: i64,
}

/// The cookie's value. Only [`crate::site`] calls this, with a proof that the record is durable.
pub fn encode(keys: &Keys, state: &VisitorState) -> String {
    let payload = Payload {
        site: state.site.clone(),
        regime: state.regime.clone(),
        record: state.record,
        subject: state.subject.as_ref().map(SubjectId::encode),
        revision: state.revision.clone(),
        purposes: state.purposes.clone(),
        vendors: state.vendors.clone(),
        decided_at_s: state.decided_at.as_second(),
        expires_at_s: state.expires_at.as_second(),
    };
    let json = serde_json::to_vec(&payload).expect("a payload of strings and numbers serialises");
    let signed = format!("1.{}.{}", keys.current(), URL_SAFE_NO_PAD.encode(json));
    let mac = keys.sign(Use::Cookie, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// The state that all valid values together stand for; `None` where no value is valid. One whose record was
/// erased is as if it were absent.
pub fn decode<'v>(
    keys: &Keys,
    values: impl Iterator<Item = &'v str>,
    expected: &Expected<'_>,
    is_erased: impl Fn(Uuid) -> bool,
) -> Option<VisitorState> {
    let valid = values.filter_map(|value| decode_one(keys, value, expected));
    valid.filter(|state| !state.record.is_some_and(&is_erased)).reduce(VisitorState::intersection)
}

fn decode_one(keys: &Keys, value: &str, expected: &Expected<'_>) -> Option<VisitorState> {
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let (signed, mac) = value.rsplit_once('.')?;
    let (key, payload) = signed.strip_prefix("1.")?.split_once('.')?;
    if !keys.verify(key, Use::Cookie, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(mac).ok()?) {
        return None;
    }
    let payload: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let honoured = payload.site == expected.site && payload.regime == expected.regime && payload.revision == expected.revision;
    let now = expected.now.as_second();
    let timely = payload.decided_at_s <= now + SKEW_SECONDS && now < payload.expires_at_s;
    if !honoured || !timely {
        return None;
    }
    Some(VisitorState {
        site: payload.site,
        regime: payload.regime,
        record: payload.record,
        subject: match payload.subject {
            Some(text) => Some(SubjectId::parse(&text)?),
            None => None,
        },
        revision: payload.revision,
        purposes: payload.purposes,
        vendors: payload.vendors,
        decided_at: Timestamp::from_second(payload.decided_at_s).ok()?,
        expires_at: Timestamp::from_second(payload.expires_at_s).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a test time")
    }

    fn state() -> VisitorState {
        VisitorState {
            site: "a.site".to_owned(),
            regime: "eu".to_owned(),
            record: Some(Uuid::from_u128(7)),
            subject: Some(SubjectId([9; 16])),
            revision: "00ff".to_owned(),
            purposes: BTreeSet::from(["analytics".to_owned(), "marketing".to_owned()]),
            vendors: BTreeMap::from([("acme".to_owned(), false)]),
            decided_at: at(1_000),
            expires_at: at(9_000),
        }
    }

    const EXPECTED: Expected<'static> = Expected { site: "a.site", regime: "eu", revision: "00ff", now: Timestamp::UNIX_EPOCH };

    fn read(keys: &Keys, values: &[&str], now: i64) -> Option<VisitorState> {
        decode(keys, values.iter().copied(), &Expected { now: at(now), ..EXPECTED }, |_| false)
    }

    #[test]
    fn what_was_decided_comes_back() {
        let keys = Keys::new([1; 32]);
        assert_eq!(read(&keys, &[&encode(&keys, &state())], 5_000), Some(state()));
    }

    #[test]
    fn every_changed_character_makes_it_no_consent() {
        let keys = Keys::new([1; 32]);
        let value = encode(&keys, &state());
        for index in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII stays ASCII");
            assert_eq!(read(&keys, &[&changed], 5_000), None, "at {index}");
            assert_eq!(read(&keys, &[&value[..index]], 5_000), None, "cut at {index}");
        }
    }

    #[test]
    fn expired_foreign_or_outdated_is_no_consent() {
        let keys = Keys::new([1; 32]);
        let value = encode(&keys, &state());
        assert_eq!(read(&keys, &[&value], 9_000), None, "expired");
        assert_eq!(read(&keys, &[&value], 600), None, "decided in the future");
        assert_eq!(read(&Keys::new([2; 32]), &[&value], 5_000), None, "another key");
        for expected in [
            Expected { site: "b.site", ..EXPECTED },
            Expected { regime: "uk", ..EXPECTED },
            Expected { revision: "11ff", ..EXPECTED },
        ] {
            assert_eq!(decode(&keys, [value.as_str()].into_iter(), &Expected { now: at(5_000), ..expected }, |_| false), None);
        }
    }

    #[test]
    fn one_whose_record_was_erased_is_as_if_absent() {
        let keys = Keys::new([1; 32]);
        let other = VisitorState { record: Some(Uuid::from_u128(8)), purposes: BTreeSet::new(), ..state() };
        let values = [encode(&keys, &state()), encode(&keys, &other)];
        let read = |erased: u128| {
            let expected = Expected { now: at(5_000), ..EXPECTED };
            decode(&keys, values.iter().map(String::as_str), &expected, |record| record == Uuid::from_u128(erased))
        };
        assert_eq!((read(7), read(8)), (Some(other), Some(state())));
    }

    #[test]
    fn two_valid_cookies_are_their_intersection() {
        let keys = Keys::new([1; 32]);
        let fewer = VisitorState {
            purposes: BTreeSet::from(["analytics".to_owned()]),
            vendors: BTreeMap::from([("other".to_owned(), true)]),
            decided_at: at(500),
            ..state()
        };
        let values = [encode(&keys, &state()), encode(&keys, &fewer)];
        for order in [[&values[0], &values[1]], [&values[1], &values[0]]] {
            let both = read(&keys, &order.map(String::as_str), 5_000).expect("both are valid");
            assert_eq!(both.purposes, fewer.purposes);
            assert_eq!(both.vendors, BTreeMap::from([("acme".to_owned(), false)]));
        }
        assert_eq!(read(&keys, &[&values[0], "1.k1.garbage.AAAA"], 5_000), Some(state()), "an invalid one is as if absent");
    }
}
