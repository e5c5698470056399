//! What the log has about one visitor, in one document: for the visitor's right of access (GDPR articles 15 and
//! 20), and what was in force for them at a time.
//!
//! Only leaves of the one visitor are in it, and what those cite: notices and policies name nobody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::consent_log::{
    Filter, LogError, Reader,
    leaf::{LeafKind, commitment},
    reader::Leaf,
    record::Record,
};
use crate::vocab::{Hash, SubjectId};

/// More records than one visitor makes; the rest is said to be there.
const RECORDS_MAX: usize = 10_000;

/// The format of [`Reader::access`].
const FORMAT: &str = "consent-access/1";

/// Whose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visitor {
    /// The one with this pseudonym.
    Subject(SubjectId),
    /// The one record of a receipt, by its id: its visitor named no pseudonym, or it is erased.
    Record(Uuid),
}

/// What a receipt says, checked by itself.
#[derive(Debug, thiserror::Error)]
pub enum NoVisitor {
    /// No receipt at all.
    #[error("it is no receipt of a consent log: save the file that /_consent/receipt gives")]
    Form,
    /// A receipt of which something was changed.
    #[error("the receipt was changed: its record does not match its commitment")]
    Altered,
}

/// A visitor's receipt as a program reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldReceipt {
    id: Uuid,
    subject: Option<SubjectId>,
    commitment: Hash,
}

/// What was in force for a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// A purpose's id, or `vendor.<id>` for a vendor that differs from its purposes.
    pub name: String,
    /// What it came to.
    pub status: Status,
    /// Since when it has come to that, without a gap.
    pub since: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    /// The record that says so.
    pub record: Uuid,
    /// Where that stands.
    pub index: u64,
    /// Whether the record is restricted: kept, and not to be relied on for anything else (GDPR article 18(2)).
    pub restricted: bool,
}

crate::consent_log::record::words! {
    /// What was in force (the words of `dpv:ConsentStatus`).
    Status {
        /// Allowed.
        Given = "given",
        /// Not allowed.
        Refused = "refused",
        /// Allowed before, and taken back.
        Withdrawn = "withdrawn",
        /// Allowed or refused, and no longer valid: nothing is allowed.
        Expired = "expired",
    }
}

impl HeldReceipt {
    /// Reads the JSON of a receipt. Record, salt and commitment must belong together.
    pub fn parse(text: &str) -> Result<Self, NoVisitor> {
        let value: Value = serde_json::from_str(text).map_err(|_| NoVisitor::Form)?;
        let field = |name: &str| value[name].as_str().ok_or(NoVisitor::Form);
        let hash = |name: &str| field(name).and_then(|text| Hash::parse(text).ok_or(NoVisitor::Form));
        let (bytes, salt, wanted) = (field("record")?, hash("salt")?, hash("commitment")?);
        if commitment(&salt.0, bytes.as_bytes()) != wanted {
            return Err(NoVisitor::Altered);
        }
        let record = Record::parse(bytes.as_bytes()).map_err(|_| NoVisitor::Form)?;
        Ok(Self { id: record.id, subject: record.subject, commitment: wanted })
    }
}

impl Reader {
    /// Whose receipt it is. Anybody can write a file: it counts only where the log has the very commitment, which
    /// nobody knows who does not hold record and salt.
    pub fn visitor_of(&self, receipt: &HeldReceipt) -> Result<Visitor, LogError> {
        let found = self.view.index_of(receipt.id)?;
        let leaf = found.map(|index| self.leaf_at(index)).transpose()?;
        match leaf.filter(|leaf| leaf.commitment == receipt.commitment) {
            None => Err(LogError::NotFound { wanted: "record of that receipt".to_owned(), dir: self.dir.clone() }),
            Some(leaf) if leaf.erased.is_some() => Ok(Visitor::Record(receipt.id)),
            Some(_) => Ok(receipt.subject.map_or(Visitor::Record(receipt.id), Visitor::Subject)),
        }
    }

    /// The records of a visitor in the order of the log, restricted ones included, at most `RECORDS_MAX`.
    fn records_of(&self, visitor: &Visitor) -> Result<(Vec<Leaf>, bool), LogError> {
        match visitor {
            Visitor::Subject(subject) => {
                let filter = Filter { subject: Some(*subject), restricted: true, ..Filter::default() };
                let found = self.find(&filter, RECORDS_MAX)?;
                Ok((found.leaves, found.more))
            }
            Visitor::Record(id) => {
                let leaf = self.view.index_of(*id)?.map(|index| self.leaf_at(index)).transpose()?;
                Ok((leaf.into_iter().filter(|leaf| leaf.kind == LeafKind::Decision).collect(), false))
            }
        }
    }

    /// Everything about one visitor as one document: each record in words and as it is stored, its proof, the
    /// notices as they were shown and the policies that were in force. `now` is when it is made.
    pub fn access(&self, visitor: &Visitor, now: Timestamp) -> Result<Value, LogError> {
        let (leaves, more) = self.records_of(visitor)?;
        let (mut notices, mut policies) = (BTreeMap::new(), BTreeMap::new());
        let mut records = Vec::with_capacity(leaves.len());
        let mut controller = Value::Null;
        for leaf in &leaves {
            let Some(record) = &leaf.record else {
                records.push(json!({ "index": leaf.index, "id": leaf.id.to_string(), "erased": true }));
                continue;
            };
            let shown = self.show(&leaf.index.to_string())?.notice;
            let snapshot = shown.as_ref().map_or(Value::Null, |notice| notice.snapshot.clone());
            records.push(self.told(leaf, record, &snapshot)?);
            controller = snapshot["controller"].clone();
            if let Some(notice) = shown {
                notices.entry(notice.sha256.to_string()).or_insert_with(|| {
                    json!({ "sha256": notice.sha256.to_string(), "index": notice.index, "snapshot": notice.snapshot, "html": notice.html })
                });
            }
            if let Some(policy) = self.policy_of(record)? {
                policies.entry(record.enforced.to_string()).or_insert(policy);
            }
        }
        Ok(json!({
            "v": FORMAT,
            "made_at": crate::consent_log::record::stamp(now),
            "subject": match visitor { Visitor::Subject(subject) => json!(subject.encode()), Visitor::Record(_) => Value::Null },
            "controller": controller,
            "records": records,
            "more": more,
            "notices": notices.into_values().collect::<Vec<_>>(),
            "policies": policies.into_values().collect::<Vec<_>>(),
        }))
    }

    /// One record in words, with the titles of the notice that was shown, and its proof.
    fn told(&self, leaf: &Leaf, record: &Record, snapshot: &Value) -> Result<Value, LogError> {
        let proof = self.prove(&leaf.index.to_string())?;
        let named = |list: &str, id: &str, what: &str| {
            let all = snapshot[list].as_array().map(Vec::as_slice).unwrap_or_default();
            let one = all.iter().find(|one| one["id"] == id).and_then(|one| one[what].as_str());
            one.unwrap_or(if what == "description" { "" } else { id }).to_owned()
        };
        let purposes = record.purposes.iter().map(|(id, allowed)| {
            json!({
                "id": id,
                "title": named("purposes", id, "title"),
                "description": named("purposes", id, "description"),
                "allowed": allowed,
            })
        });
        let vendors = record
            .vendors
            .iter()
            .map(|(id, allowed)| json!({ "id": id, "title": named("vendors", id, "name"), "allowed": allowed }));
        Ok(json!({
            "index": leaf.index,
            "id": record.id.to_string(),
            "previous": record.prev.map(|prev| prev.to_string()),
            "decision": record.kind.as_str(),
            "method": record.method.as_str(),
            "layer": record.layer.as_str(),
            "decided_at": crate::consent_log::record::stamp(record.time),
            "valid_until": crate::consent_log::record::stamp(record.expires),
            "site": record.site,
            "controller": record.controller,
            "language": record.language,
            "jurisdiction": record.jurisdiction,
            "regime": record.regime,
            "gpc": record.gpc,
            "browser": record.browser.as_ref().map(crate::consent_log::BrowserClass::as_str),
            "purposes": purposes.collect::<Vec<_>>(),
            "vendors": vendors.collect::<Vec<_>>(),
            "notice": record.notice.to_string(),
            "policy": record.policy.to_string(),
            "enforced": record.enforced.to_string(),
            "restricted": leaf.restricted.is_some(),
            "erased": false,
            "record": leaf.bytes,
            "salt": Hash(leaf.salt).to_string(),
            "commitment": leaf.commitment.to_string(),
            "proof": proof.receipt.to_string(),
            "key": proof.key,
        }))
    }

    /// The policy that a record names, as its leaf has it.
    fn policy_of(&self, record: &Record) -> Result<Option<Value>, LogError> {
        let Some(index) = self.view.index_of_policy(record.enforced)? else { return Ok(None) };
        let leaf = self.leaf_at(index)?;
        let value = self.value(&leaf)?;
        let canonical = value["canonical"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        Ok(Some(json!({
            "revision": record.policy.to_string(),
            "enforced": record.enforced.to_string(),
            "index": index,
            "in_force_since": value["t"],
            "policy": canonical.unwrap_or_else(|| value["canonical"].clone()),
        })))
    }

    fn leaf_at(&self, index: u64) -> Result<Leaf, LogError> {
        Ok(self.show(&index.to_string())?.leaf)
    }

    /// What was in force for a visitor at a time, purpose by purpose; nothing for who had not decided by then.
    pub fn state(&self, visitor: &Visitor, at: Timestamp) -> Result<Vec<InForce>, LogError> {
        let (leaves, _) = self.records_of(visitor)?;
        let mut past: Vec<(&Leaf, &Record)> = leaves
            .iter()
            .filter_map(|leaf| Some((leaf, leaf.record.as_ref()?)))
            .filter(|(_, record)| record.time <= at)
            .collect();
        // The clock may have gone back: what stands later in the log is what holds.
        past.sort_by_key(|(leaf, _)| leaf.index);
        let Some(&(leaf, newest)) = past.last() else { return Ok(Vec::new()) };
        let now = |(name, granted): (std::borrow::Cow<'_, str>, bool)| InForce {
            status: status(newest, granted, before(&past, &name), at),
            since: since(&past, &name, granted),
            name: name.into_owned(),
            valid_until: newest.expires,
            record: newest.id,
            index: leaf.index,
            restricted: leaf.restricted.is_some(),
        };
        Ok(newest.choices().map(now).collect())
    }
}

fn choice(record: &Record, name: &str) -> Option<bool> {
    record.choices().find(|(other, _)| other == name).map(|(_, granted)| granted)
}

/// What was said to it by the record before the newest.
fn before(past: &[(&Leaf, &Record)], name: &str) -> bool {
    past.iter().rev().nth(1).and_then(|(_, record)| choice(record, name)).unwrap_or(false)
}

fn status(newest: &Record, granted: bool, before: bool, at: Timestamp) -> Status {
    match granted {
        _ if newest.expires <= at => Status::Expired,
        true => Status::Given,
        // A save that leaves out what was allowed takes that back, whatever the decision as a whole is called.
        false if before => Status::Withdrawn,
        false => Status::Refused,
    }
}

/// The oldest of the records at the end that all say the same, each made while the one before was valid.
fn since(past: &[(&Leaf, &Record)], name: &str, granted: bool) -> Timestamp {
    let mut since: Option<&Record> = None;
    for (_, record) in past.iter().rev() {
        let same = choice(record, name) == Some(granted);
        if !same || since.is_some_and(|later| record.expires < later.time) {
            break;
        }
        since = Some(record);
    }
    since.map_or(Timestamp::UNIX_EPOCH, |record| record.time)
}
