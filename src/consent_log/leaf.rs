//! Leaves: what stands in the consent log, in one contiguous order from 0. Pure.
//!
//! Each leaf commits to its bytes with `SHA-256(salt || bytes)`. The salt is random, so equal
//! records have different commitments, and once salt and record are erased nobody can link the
//! commitment to a person. The order and the commitments are what a Merkle tree is computed over;
//! there is no chain of hashes here, since erasing a record would break it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    act::Act,
    canonical::canonical,
    error::LogError,
    record::{Record, record_id, stamp, words},
};
use crate::{
    policy::Policy,
    vocab::{Hash, PolicyRevision, SubjectId},
};

/// The most bytes one record may have. 512 vendors that all differ from their purposes fit.
const RECORD_BYTES_MAX: usize = 16 * 1024;

words! {
    /// What a leaf commits to.
    LeafKind {
        /// A consent record.
        Decision = "decision",
        /// A notice as shown.
        Notice = "notice",
        /// A policy revision with the files it came from.
        Policy = "policy",
        /// What an operator did to the log.
        Act = "act",
    }
}

/// A notice as shown, written once for each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeLeaf {
    /// The notice's address: the SHA-256 of `json` or of `html`, whichever the notice is addressed by.
    pub sha256: Hash,
    /// What was shown as data: texts, buttons, purposes, vendors, controller. A JSON object.
    pub json: String,
    /// What was shown as markup, tokens and return address blanked.
    pub html: String,
}

/// A policy as compiled, written once for each set of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLeaf {
    /// The policy revision: the SHA-256 of `canonical`.
    pub revision: PolicyRevision,
    /// The canonical text of what matters to consent.
    pub canonical: String,
    /// SHA-256 of every source file, by its path under `policies/`.
    pub source_hashes: BTreeMap<String, Hash>,
}

impl PolicyLeaf {
    /// The leaf of a compiled policy.
    pub fn of(policy: &Policy) -> Self {
        Self {
            revision: policy.revision(),
            canonical: policy.canonical().to_owned(),
            source_hashes: policy.source_hashes().clone(),
        }
    }

    /// The address of the whole rule set: revision and files. A new host for a known vendor changes
    /// it and leaves the revision as it is. Records cite it as what was enforced.
    pub fn address(&self) -> Hash {
        let named = json!({ "files": self.files(), "policy": self.revision.to_string() });
        Hash::of(canonical(&named).expect("there is no number in it").as_bytes())
    }

    fn files(&self) -> Value {
        Value::Object(self.source_hashes.iter().map(|(path, hash)| (path.clone(), json!(hash.to_string()))).collect())
    }
}

/// The commitment to a leaf's bytes.
pub fn commitment(salt: &[u8; 32], bytes: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(salt).chain_update(bytes).finalize().into())
}

/// A leaf on its way to the store: everything but the index, which only the commit knows.
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) time: Timestamp,
    pub(super) site: Option<String>,
    pub(super) subject: Option<SubjectId>,
    pub(super) expires: Option<Timestamp>,
    pub(super) salt: [u8; 32],
    pub(super) bytes: String,
    pub(super) commitment: Hash,
    pub(super) content: Content,
}

/// What an entry adds beside leaf and payload, and what it relies on.
pub(super) enum Content {
    /// Relies on the notice and the policy that it cites.
    Decision { notice: Hash, policy: PolicyRevision, prev: Option<Uuid> },
    /// Present once for each address.
    Notice { address: Hash, html: String },
    /// Present once for each address.
    Policy { address: Hash, revision: PolicyRevision },
    /// Relies on the records that it names.
    Act,
}

impl Content {
    pub(super) fn kind(&self) -> LeafKind {
        match self {
            Self::Decision { .. } => LeafKind::Decision,
            Self::Notice { .. } => LeafKind::Notice,
            Self::Policy { .. } => LeafKind::Policy,
            Self::Act => LeafKind::Act,
        }
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn decision(record: &Record) -> Result<Self, LogError> {
        let bytes = record.canonical();
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(LogError::TooLarge { bytes: bytes.len(), bytes_max: RECORD_BYTES_MAX });
        }
        let content = Content::Decision { notice: record.notice, policy: record.policy, prev: record.prev };
        let mut entry = Self::salted(record.id, record.time, bytes, content)?;
        entry.site = Some(record.site.clone());
        entry.subject = record.subject;
        entry.expires = Some(record.expires);
        Ok(entry)
    }

    pub(super) fn notice(leaf: NoticeLeaf, time: Timestamp) -> Result<Self, LogError> {
        let html_sha256 = Hash::of(leaf.html.as_bytes());
        if leaf.sha256 != html_sha256 && leaf.sha256 != Hash::of(leaf.json.as_bytes()) {
            return Err(LogError::WrongAddress { kind: LeafKind::Notice, address: leaf.sha256 });
        }
        let snapshot: Value = serde_json::from_str(&leaf.json).map_err(LogError::NoticeJson)?;
        let id = record_id(time);
        let value = json!({
            "v": "consent-notice-leaf/1",
            "id": id.to_string(),
            "t": stamp(time),
            "notice": leaf.sha256.to_string(),
            "html_sha256": html_sha256.to_string(),
            "snapshot": snapshot,
        });
        let content = Content::Notice { address: leaf.sha256, html: leaf.html };
        Self::salted(id, time, canonical(&value)?, content)
    }

    pub(super) fn policy(leaf: &PolicyLeaf, time: Timestamp) -> Result<Self, LogError> {
        if leaf.revision.0 != Hash::of(leaf.canonical.as_bytes()) {
            return Err(LogError::WrongAddress { kind: LeafKind::Policy, address: leaf.revision.0 });
        }
        let id = record_id(time);
        let address = leaf.address();
        let value = json!({
            "v": "consent-policy-leaf/1",
            "id": id.to_string(),
            "t": stamp(time),
            "policy": leaf.revision.to_string(),
            "enf": address.to_string(),
            // As text: its SHA-256 is the revision, so it must stay the bytes it is.
            "canonical": leaf.canonical,
            "files": leaf.files(),
        });
        Self::salted(id, time, canonical(&value)?, Content::Policy { address, revision: leaf.revision })
    }

    pub(super) fn act(act: &Act) -> Result<Self, LogError> {
        Self::salted(act.id, act.time, act.canonical(), Content::Act)
    }

    fn salted(id: Uuid, time: Timestamp, bytes: String, content: Content) -> Result<Self, LogError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(LogError::Random)?;
        let commitment = commitment(&salt, bytes.as_bytes());
        Ok(Self { id, time, site: None, subject: None, expires: None, salt, bytes, commitment, content })
    }
}
