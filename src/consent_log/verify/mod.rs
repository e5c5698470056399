//! Checks everything that stands in the log against everything else, and proves single records.
//!
//! One walk over the leaves, in order: every record against its leaf, every column against its record, what
//! it cites against what is there, and the tree grown from the commitments against each signed checkpoint
//! and each published tile. That all checkpoints are roots of beginnings of one tree is what consistency
//! proofs would show.

mod acts;
mod tiles;

use std::collections::BTreeMap;

use serde_json::Value;

use self::{
    acts::{Acts, Unlike},
    tiles::TileCheck,
};
use super::{
    Act, Damage, LogError, Reader,
    key::{self, is_signed},
    leaf::LeafKind,
    reader::Leaf,
    record::{Kind, stamp},
    store::{Bounds, CheckpointRow, Named, Row},
    tiles::{Stored, TILES, published, published_note},
    tree::{self, Checkpoint, Frontier, Note, Receipt, Verifier},
};
use crate::vocab::Hash;

/// Leaves read at a time.
const PAGE: u64 = 500;
/// More findings than these help nobody.
pub(super) const FINDINGS_MAX: usize = 50;

/// What [`Reader::verify`] found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Leaves in the log.
    pub leaves: u64,
    /// Consent records among them, those not counted that are erased.
    pub records: u64,
    /// Consent records that were erased, each named by an act.
    pub erased: u64,
    /// Acts of an operator among them.
    pub acts: u64,
    /// Signed checkpoints.
    pub checkpoints: u64,
    /// Published tiles and bundles of entries.
    pub tiles: u64,
    /// The root over all leaves.
    pub root: Option<Hash>,
    /// The public key of the newest checkpoint, as other tools take it.
    pub key: Option<String>,
    /// What is wrong, in the order of the log; empty in a log that is as it was written.
    pub findings: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The first leaf that it concerns.
    pub index: u64,
    /// What is wrong.
    pub what: String,
}

/// One record and the proof that it stands in the log.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The leaf with its record and salt.
    pub leaf: Leaf,
    /// The proof.
    pub receipt: Receipt,
    /// The public key that signed its checkpoint, as other tools take it.
    pub key: String,
}

/// The walk.
struct Walk<'r> {
    reader: &'r Reader,
    verifiers: Vec<Verifier>,
    tree: Frontier,
    /// Checkpoints not reached yet, and one that the caller holds.
    due: std::iter::Peekable<std::vec::IntoIter<CheckpointRow>>,
    held: Option<Checkpoint>,
    published: Option<Checkpoint>,
    tiles: TileCheck,
    acts: Acts,
    notices: BTreeMap<Hash, u64>,
    policies: BTreeMap<Hash, u64>,
    /// Notices and policies beside the log, and those that a leaf stands for.
    names: u64,
    named: u64,
    result: Verified,
}

impl Reader {
    /// Checks the whole log. `held` is a checkpoint from outside that must be one of this log's past;
    /// `progress` is told how many leaves of how many are done. What is wrong is in the result; an error is
    /// what kept the check from being made.
    pub fn verify(&self, held: Option<&str>, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, LogError> {
        let verifiers = key::verifiers(&self.dir)?;
        // In this order, and each once: what is written meanwhile is behind the end.
        let published = published_note(&self.dir);
        let names = self.view.named()?;
        let checkpoints = self.view.checkpoints(0, usize::MAX >> 1)?;
        let end = self.view.len()?.max(checkpoints.last().map_or(0, |last| last.size));
        let mut walk = Walk {
            reader: self,
            verifiers,
            tree: Frontier::default(),
            due: checkpoints.into_iter().peekable(),
            held: None,
            published: None,
            tiles: TileCheck::default(),
            acts: Acts::default(),
            notices: BTreeMap::new(),
            policies: BTreeMap::new(),
            names,
            named: 0,
            result: Verified::default(),
        };
        walk.take_held(held);
        if let Some(note) = published {
            walk.take_published(&note);
        }
        let len = self.view.len()?.min(end);
        let mut start = 0;
        while start < len && walk.result.findings.len() < FINDINGS_MAX {
            let next = (start + PAGE).min(len);
            walk.page(start, next);
            start = next;
            progress(start, len);
        }
        if start == len {
            walk.acts_behind(len)?;
        }
        walk.finish(start == len)
    }

    /// The newest checkpoint as it stands.
    pub(super) fn newest_checkpoint(&self) -> Result<Option<CheckpointRow>, LogError> {
        self.view.newest_checkpoint()
    }

    /// Whether the tree over what is in the log grows from the newest checkpoint, stored or published: a
    /// second history must not be signed.
    pub(super) fn check_newest_checkpoint(&self, tree: &Frontier) -> Result<(), LogError> {
        let fork = |size, what| LogError::Fork { file: self.view.file().to_owned(), size, what };
        let behind = "it is over more leaves than there are: leaves were cut off, or an older copy was put in place";
        let published = published(&self.dir).map(|published| (published.size, published.root));
        let mut known: Vec<(u64, Hash)> = published.into_iter().collect();
        if let Some(newest) = self.newest_checkpoint()? {
            let verifiers = key::verifiers(&self.dir)?;
            let note = Note::parse(&newest.note).ok().filter(|note| is_signed(&verifiers, note));
            let checkpoint = note.and_then(|note| Checkpoint::parse(&note.text).ok());
            if checkpoint.is_none_or(|checkpoint| checkpoint.size != newest.size || checkpoint.root != newest.root) {
                return Err(fork(newest.size, "it is not signed with the key of this folder"));
            }
            known.push((newest.size, newest.root));
        }
        for (size, root) in known {
            if size > tree.size() {
                return Err(fork(size, behind));
            }
            let same = if size == tree.size() { tree.root() } else { self.root(size)? };
            if same != root {
                return Err(fork(size, "its root is not the one over the leaves: something in them was changed"));
            }
        }
        Ok(())
    }

    pub(super) fn root(&self, size: u64) -> Result<Hash, LogError> {
        let mut tree = Frontier::default();
        while tree.size() < size {
            let next = (tree.size() + PAGE).min(size);
            let commitments = self.view.commitments(tree.size()..next)?;
            if commitments.is_empty() {
                return Err(self.view.gap(tree.size()));
            }
            commitments.iter().for_each(|commitment| tree.push(tree::leaf(commitment)));
        }
        Ok(tree.root())
    }

    /// The key of this folder that signed a checkpoint.
    fn key_of(&self, row: &CheckpointRow) -> Result<Option<String>, LogError> {
        let Ok(note) = Note::parse(&row.note) else { return Ok(None) };
        Ok(key::verifiers(&self.dir)?.iter().find(|verifier| verifier.check(&note).is_ok()).map(ToString::to_string))
    }

    /// One record, by its id or its index, and the proof that it stands in the log.
    pub fn prove(&self, id_or_index: &str) -> Result<Proof, LogError> {
        let shown = self.show(id_or_index)?;
        let leaf = shown.leaf;
        if leaf.commitment != shown.recomputed {
            return Err(self.damaged(leaf.index, Damage::Commitment));
        }
        let unproved = || LogError::NotFound { wanted: format!("checkpoint over record `{id_or_index}`"), dir: self.dir.clone() };
        let newest = self.newest_checkpoint()?.filter(|newest| newest.size > leaf.index).ok_or_else(unproved)?;
        let hash = tree::leaf(&leaf.commitment);
        let mut path = tree::inclusion(&Stored::new(&self.view, &self.dir, newest.size), leaf.index, newest.size)?;
        if !tree::proves_inclusion(hash, leaf.index, newest.size, &path, &newest.root) {
            // A tile was changed; the leaves themselves are what counts.
            path = tree::inclusion(&Stored::without_files(&self.view, newest.size), leaf.index, newest.size)?;
        }
        if !tree::proves_inclusion(hash, leaf.index, newest.size, &path, &newest.root) {
            return Err(self.damaged(leaf.index, Damage::Tree));
        }
        let key = self.key_of(&newest)?.ok_or_else(|| self.damaged(leaf.index, Damage::Tree))?;
        let receipt = Receipt { index: leaf.index, path, checkpoint: newest.note };
        Ok(Proof { leaf, receipt, key })
    }
}

// === impl Walk ===

impl Walk<'_> {
    fn found(&mut self, index: u64, what: impl Into<String>) {
        let finding = Finding { index, what: what.into() };
        if self.result.findings.len() < FINDINGS_MAX && !self.result.findings.contains(&finding) {
            self.result.findings.push(finding);
        }
    }

    fn take_held(&mut self, note: Option<&str>) {
        let Some(note) = note else { return };
        let signed = Note::parse(note).ok().filter(|note| is_signed(&self.verifiers, note));
        match signed.and_then(|note| Checkpoint::parse(&note.text).ok()) {
            Some(checkpoint) => self.held = Some(checkpoint),
            None => self.found(0, "the given checkpoint is not signed with a key of this log"),
        }
    }

    fn take_published(&mut self, note: &str) {
        let note = Note::parse(note).ok();
        let signed = note.as_ref().is_some_and(|note| is_signed(&self.verifiers, note));
        self.published = note.and_then(|note| Checkpoint::parse(&note.text).ok());
        if !signed || self.published.is_none() {
            let file = self.reader.dir.join(TILES).join("checkpoint");
            self.found(0, format!("{} is not signed with a key of this log", file.display()));
        }
        self.tiles = TileCheck::new(&self.reader.dir, self.published.as_ref().map_or(0, |published| published.size));
    }

    fn page(&mut self, start: u64, end: u64) {
        let rows = match self.reader.view.page(start..end, &Bounds::default()) {
            Ok(rows) => rows,
            // One that cannot be read must not hide the others.
            Err(_) if end - start > 1 => return (start..end).for_each(|index| self.page(index, index + 1)),
            Err(error) => {
                self.found(start, format!("it cannot be read: {}", crate::wire::Causes(&error)));
                return self.grow(None);
            }
        };
        let mut rows = rows.into_iter().peekable();
        for index in start..end {
            match rows.next_if(|row| row.index == index) {
                Some(row) => self.row(row),
                None => {
                    self.found(index, Damage::Gap.to_string());
                    self.grow(None);
                }
            }
        }
    }

    fn row(&mut self, row: Row) {
        let (index, commitment) = (row.index, row.commitment);
        let (id, time_ms) = (row.id, row.time_ms);
        if row.payload.is_some() && row.erased.is_some() {
            self.found(index, "it is marked as erased, and its record is there");
        }
        match self.reader.read(row) {
            Err(LogError::Damaged { what, .. }) => self.found(index, what.to_string()),
            Err(error) => self.found(index, crate::wire::Causes(&error).to_string()),
            Ok((leaf, recomputed)) => {
                if leaf.commitment != recomputed {
                    self.found(index, Damage::Commitment.to_string());
                }
                match (leaf.kind, leaf.erased.filter(|_| leaf.record.is_none())) {
                    (LeafKind::Decision, Some(act)) => {
                        self.result.erased += 1;
                        // All that is left to hold the column to: a record's id carries its time (RFC 9562).
                        if time_of(id).is_some_and(|time| time != time_ms) {
                            self.found(index, Damage::Columns.to_string());
                        }
                        self.acts.missing(index, act);
                    }
                    (LeafKind::Decision, None) => self.decision(&leaf),
                    (LeafKind::Notice | LeafKind::Policy | LeafKind::Act, _) => {
                        self.acts.other(index);
                        let value = self.reader.value(&leaf).unwrap_or_default();
                        let time = jiff::Timestamp::from_millisecond(time_ms).map(stamp).unwrap_or_default();
                        if value["id"] != id.to_string() || value["t"] != time {
                            self.found(index, Damage::Columns.to_string());
                        }
                        match leaf.kind {
                            LeafKind::Act => self.act(&leaf),
                            _ => self.named(&leaf, &value),
                        }
                    }
                }
            }
        }
        self.grow(Some(commitment));
    }

    fn decision(&mut self, leaf: &Leaf) {
        self.result.records += 1;
        let Some(record) = &leaf.record else { return };
        if !self.notices.contains_key(&record.notice) {
            self.found(leaf.index, format!("the notice {} that it cites does not stand before it", record.notice));
        }
        if !self.policies.contains_key(&record.policy.0) {
            self.found(leaf.index, format!("the policy {} that it cites does not stand before it", record.policy));
        }
        match record.prev {
            // Two cookies that say different things are nobody's: their withdrawal cites no record.
            None if record.kind == Kind::Withdrawn && record.subject.is_some() => {
                self.found(leaf.index, "it withdraws and does not say what")
            }
            None => {}
            Some(prev) => match self.reader.view.index_of(prev) {
                Ok(Some(before)) if before < leaf.index => {}
                Ok(_) => self.found(leaf.index, format!("the record {prev} that it cites does not stand before it")),
                Err(error) => self.found(leaf.index, crate::wire::Causes(&error).to_string()),
            },
        }
    }

    fn act(&mut self, leaf: &Leaf) {
        self.result.acts += 1;
        self.behind(leaf);
    }

    /// What an act says of the records before it.
    fn behind(&mut self, leaf: &Leaf) {
        let act = match Act::parse(leaf.bytes.as_bytes()) {
            Ok(act) => act,
            Err(fault) => return self.found(leaf.index, Damage::from(fault).to_string()),
        };
        for unlike in self.acts.act(leaf.index, &act) {
            match unlike {
                Unlike::Finding(index, what) => self.found(index, what),
                Unlike::Recheck(index) => self.recheck(index, leaf.index),
            }
        }
    }

    /// An act says that a record was erased which the walk has passed and not met as such: it may be so by now.
    fn recheck(&mut self, index: u64, act: u64) {
        let row = self.reader.view.page(index..index + 1, &Bounds::default()).ok().and_then(|mut rows| rows.pop());
        match row {
            Some(row) if row.payload.is_some() => {
                self.found(index, format!("the act at index {act} says that it was erased, and its record is there"));
            }
            Some(row) if row.erased != Some(act) => {
                self.found(index, format!("the act at index {act} erased it, and the tables do not say so"));
            }
            _ => {}
        }
    }

    /// Acts that came while the walk was under way may have changed what it has passed; then what the tables say.
    fn acts_behind(&mut self, end: u64) -> Result<(), LogError> {
        let marks = self.reader.view.marks()?;
        let mut start = end;
        while start < marks.len {
            let next = (start + PAGE).min(marks.len);
            for row in self.reader.view.page(start..next, &Bounds::default())? {
                match self.reader.read(row) {
                    Ok((leaf, _)) if leaf.kind == LeafKind::Act => self.behind(&leaf),
                    // The next check is about these.
                    _ => {}
                }
            }
            start = next;
        }
        for (index, what) in std::mem::take(&mut self.acts).finish(&marks) {
            self.found(index, what);
        }
        Ok(())
    }

    fn named(&mut self, leaf: &Leaf, value: &Value) {
        let hash = |name: &str| value[name].as_str().and_then(Hash::parse);
        let rows = self.reader.view.named_by(leaf.index).unwrap_or_default();
        let is_row = |row: &Named| {
            row.kind == leaf.kind.as_str()
                && match leaf.kind {
                    LeafKind::Notice => {
                        let html = row.html.as_ref().map(|html| Hash::of(html.as_bytes()));
                        Some(row.address) == hash("notice") && html.is_some() && html == hash("html_sha256")
                    }
                    _ => {
                        let canonical = value["canonical"].as_str().map(|text| Hash::of(text.as_bytes()));
                        Some(row.address) == hash("enf")
                            && row.revision.is_some()
                            && row.revision == hash("policy")
                            && canonical == row.revision
                    }
                }
        };
        match &rows[..] {
            [row] if is_row(row) => {
                self.named += 1;
                let (seen, address) = match leaf.kind {
                    LeafKind::Notice => (&mut self.notices, row.address),
                    _ => (&mut self.policies, row.revision.unwrap_or(row.address)),
                };
                seen.entry(address).or_insert(leaf.index);
            }
            _ => self.found(leaf.index, format!("what is kept beside this {} is not what was shown or in force", leaf.kind)),
        }
    }

    /// One leaf more; `None` where there is none, which no checkpoint behind it can be right about.
    fn grow(&mut self, commitment: Option<Hash>) {
        let index = self.tree.size();
        let commitment = commitment.unwrap_or(Hash([0; 32]));
        let hash = tree::leaf(&commitment);
        self.tree.push(hash);
        for what in self.tiles.push(commitment, hash) {
            self.found(index, what);
        }
        let (size, root) = (self.tree.size(), self.tree.root());
        while let Some(row) = self.due.next_if(|row| row.size <= size) {
            self.result.checkpoints += 1;
            self.checkpoint(&row, size, root);
        }
        for (which, checkpoint) in [("given", self.held.clone()), ("published", self.published.clone())] {
            if checkpoint.is_some_and(|checkpoint| checkpoint.size == size && checkpoint.root != root) {
                let what = format!("the {which} checkpoint of {size} leaves has another root: something before it was changed");
                self.found(index, what);
            }
        }
    }

    fn checkpoint(&mut self, row: &CheckpointRow, size: u64, root: Hash) {
        let index = row.size.saturating_sub(1);
        let note = Note::parse(&row.note).ok();
        let verifier = note.as_ref().and_then(|note| self.verifiers.iter().find(|verifier| verifier.check(note).is_ok()));
        let checkpoint = note.as_ref().and_then(|note| Checkpoint::parse(&note.text).ok());
        let own = verifier.zip(checkpoint).filter(|(verifier, checkpoint)| {
            checkpoint.origin == verifier.name() && checkpoint.size == row.size && checkpoint.root == row.root
        });
        match own {
            None => self.found(index, format!("the checkpoint of {} leaves is not what was signed", row.size)),
            Some(_) if row.size != size || row.root != root => {
                self.found(
                    index,
                    format!("the checkpoint of {} leaves has another root: something before it was changed", row.size),
                );
            }
            Some((verifier, _)) => self.result.key = Some(verifier.to_string()),
        }
    }

    fn finish(mut self, whole: bool) -> Result<Verified, LogError> {
        let leaves = self.tree.size();
        self.result.leaves = leaves;
        self.result.root = (leaves > 0).then(|| self.tree.root());
        if !whole {
            return Ok(self.result);
        }
        let cut = |which: &str, size: u64| {
            format!("the {which} checkpoint is over {size} leaves and {leaves} are there: the end was cut off")
        };
        let last = std::iter::from_fn(|| self.due.next()).last();
        if let Some(last) = last {
            self.found(leaves, cut("newest", last.size));
        }
        for (which, checkpoint) in [("given", self.held.clone()), ("published", self.published.clone())] {
            if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size > leaves) {
                self.found(leaves, cut(which, checkpoint.size));
            }
        }
        let newest = self.reader.newest_checkpoint()?.map_or(0, |newest| newest.size);
        if newest < leaves {
            self.found(newest, "there is no checkpoint over this leaf and those behind it");
        }
        if self.names > self.named {
            self.found(0, "there are notices or policies beside the log that no leaf stands for");
        }
        for (index, what) in self.tiles.finish() {
            self.found(index, what);
        }
        self.result.tiles = self.tiles.read;
        self.result.findings.sort_by_key(|finding| finding.index);
        Ok(self.result)
    }
}

/// The milliseconds since 1970 in a version 7 UUID.
fn time_of(id: uuid::Uuid) -> Option<i64> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Some(i64::try_from(seconds).ok()? * 1000 + i64::from(nanos / 1_000_000))
}

#[cfg(test)]
mod tests;
