//! Reading the log: pages by index, checked row by row. Never one long read transaction.

use std::{ops::ControlFlow, path::Path, path::PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    error::{Damage, LogError},
    leaf::{LeafKind, commitment},
    record::Record,
    store::{Bounds, Payload, Row, View},
};
use crate::vocab::{Hash, SubjectId};

/// How many leaves one read transaction covers at most.
const PAGE_ROWS_MAX: u64 = 500;

/// The log, open for reading. Works while the gate writes, and without it.
pub struct Reader {
    pub(super) view: View,
    pub(super) dir: PathBuf,
}

/// What is asked for. Empty: every leaf. With a site, a subject or a purpose: decisions only.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Decided at or after.
    pub from: Option<Timestamp>,
    /// Decided before.
    pub to: Option<Timestamp>,
    /// On that site.
    pub site: Option<String>,
    /// By that visitor.
    pub subject: Option<SubjectId>,
    /// Where that purpose was asked for.
    pub purpose: Option<String>,
    /// Restricted records as well: they are kept, and used only where that is what they are kept for (GDPR
    /// article 18(2)).
    pub restricted: bool,
}

/// One leaf, its bytes checked against its commitment.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its place in the log.
    pub index: u64,
    /// What it commits to.
    pub kind: LeafKind,
    /// The id of the record, or of the event that a notice or a policy came with.
    pub id: Uuid,
    /// `SHA-256(salt || bytes)`.
    pub commitment: Hash,
    /// The salt; zeros where it is erased or kept back.
    pub salt: [u8; 32],
    /// The canonical bytes; none where they are erased or kept back.
    pub bytes: String,
    /// The record, for a decision that is neither.
    pub record: Option<Record>,
    /// The act that erased record and salt, by its index.
    pub erased: Option<u64>,
    /// The act that restricted the record, by its index.
    pub restricted: Option<u64>,
}

/// What [`Reader::find`] found.
#[derive(Debug)]
pub struct Found {
    /// Decisions in the order of the log.
    pub leaves: Vec<Leaf>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// One leaf in full.
#[derive(Debug)]
pub struct Shown {
    /// The leaf.
    pub leaf: Leaf,
    /// The commitment computed anew; it differs from the leaf's only in a damaged log.
    pub recomputed: Hash,
    /// The notice that the record cites, or that the leaf is.
    pub notice: Option<ShownNotice>,
}

/// A notice as it was shown.
#[derive(Debug)]
pub struct ShownNotice {
    /// Its address.
    pub sha256: Hash,
    /// Where it stands in the log.
    pub index: u64,
    /// What was shown as data.
    pub snapshot: Value,
    /// What was shown as markup.
    pub html: String,
}

// === impl Reader ===

impl Reader {
    /// Opens the log in a data folder.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Ok(Self { view: View::open(dir)?, dir: dir.to_owned() })
    }

    /// How many leaves the log has now.
    pub fn leaves(&self) -> Result<u64, LogError> {
        self.view.len()
    }

    /// Checks the newest leaves: what a crash would have torn.
    pub(super) fn check_newest(&self) -> Result<(), LogError> {
        let end = self.view.len()?;
        let (rows, _) = self.page(&Filter::default(), end.saturating_sub(PAGE_ROWS_MAX), end)?;
        rows.into_iter().try_for_each(|row| self.checked(row).map(|_| ()))
    }

    /// Decisions that fit, in the order of the log, at most `rows_max`.
    pub fn find(&self, filter: &Filter, rows_max: usize) -> Result<Found, LogError> {
        let mut found = Found { leaves: Vec::new(), more: false };
        self.scan(filter, &mut |_, _| {}, &mut |leaf| {
            if leaf.record.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            if found.leaves.len() == rows_max {
                found.more = true;
                return Ok(ControlFlow::Break(()));
            }
            found.leaves.push(leaf);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// One leaf by its record's id or by its index. A commitment that does not match is shown, not an error.
    pub fn show(&self, id_or_index: &str) -> Result<Shown, LogError> {
        let missing = || LogError::NotFound { wanted: format!("record `{id_or_index}`"), dir: self.dir.clone() };
        let index = match id_or_index.parse::<u64>() {
            Ok(index) => index,
            Err(_) => {
                let id = Uuid::parse_str(id_or_index).map_err(|_| missing())?;
                self.view.index_of(id)?.ok_or_else(missing)?
            }
        };
        let row = self.view.page(index..index.saturating_add(1), &Bounds::default())?.pop().ok_or_else(missing)?;
        let (leaf, recomputed) = self.read(row)?;
        let notice = self.notice_of(&leaf)?;
        Ok(Shown { leaf, recomputed, notice })
    }

    /// The markup of a notice.
    pub(super) fn notice_html(&self, notice: &Leaf) -> Result<String, LogError> {
        let address = self.member(notice, "notice")?;
        let html = self.view.notice_html(address)?.ok_or_else(|| self.damaged(notice.index, Damage::NoPayload))?;
        // The leaf commits to the markup by its digest.
        if self.member(notice, "html_sha256")? == Hash::of(html.as_bytes()) {
            Ok(html)
        } else {
            Err(self.damaged(notice.index, Damage::Commitment))
        }
    }

    /// Calls `each` with every leaf that fits, in order. The end is fixed at the start, so that it
    /// comes to one while decisions are recorded.
    pub(super) fn scan(
        &self,
        filter: &Filter,
        progress: &mut dyn FnMut(u64, u64),
        each: &mut dyn FnMut(Leaf) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<(), LogError> {
        let end = self.view.len()?;
        let mut start = 0;
        while start < end {
            let (rows, next) = self.page(filter, start, end)?;
            for row in rows {
                let leaf = self.checked(row)?;
                if filter.wants(&leaf) && each(filter.withheld(leaf))?.is_break() {
                    return Ok(());
                }
            }
            start = next;
            progress(start, end);
        }
        Ok(())
    }

    /// The rows of one page and where the next one starts.
    fn page(&self, filter: &Filter, start: u64, end: u64) -> Result<(Vec<Row>, u64), LogError> {
        let bounds = filter.bounds();
        if let Some(subject) = filter.subject {
            // By the index over subjects: a visitor's few records do not cost a walk over all.
            let indices = self.view.of_subject(subject, start..end, PAGE_ROWS_MAX as usize)?;
            let next = if indices.len() < PAGE_ROWS_MAX as usize { end } else { indices.last().map_or(end, |last| last + 1) };
            let mut rows = Vec::new();
            for index in indices {
                rows.append(&mut self.view.page(index..index + 1, &bounds)?);
            }
            return Ok((rows, next));
        }
        let next = (start + PAGE_ROWS_MAX).min(end);
        let rows = self.view.page(start..next, &bounds)?;
        if filter.is_empty() {
            // Leaves are never deleted: a missing index is damage, not erasure.
            let gap = (start..next).zip(rows.iter().map(|row| Some(row.index)).chain(std::iter::repeat(None)));
            if let Some((index, _)) = gap.into_iter().find(|(want, found)| Some(*want) != *found) {
                return Err(self.damaged(index, Damage::Gap));
            }
        }
        Ok((rows, next))
    }

    pub(super) fn checked(&self, row: Row) -> Result<Leaf, LogError> {
        let (leaf, recomputed) = self.read(row)?;
        if leaf.commitment == recomputed { Ok(leaf) } else { Err(self.damaged(leaf.index, Damage::Commitment)) }
    }

    /// The leaf and the commitment computed from its bytes.
    pub(super) fn read(&self, row: Row) -> Result<(Leaf, Hash), LogError> {
        let index = row.index;
        let damaged = |what| self.damaged(index, what);
        let kind = LeafKind::parse(&row.kind).ok_or_else(|| damaged(Damage::Kind))?;
        let (erased, restricted) = (row.erased, row.restricted);
        let Some(payload) = row.payload else {
            // Only decisions are ever erased. Whether the act is there that says so is what `verify` checks.
            if kind != LeafKind::Decision || erased.is_none() {
                return Err(damaged(Damage::NoPayload));
            }
            let (salt, bytes, record) = ([0; 32], String::new(), None);
            let leaf = Leaf { index, kind, id: row.id, commitment: row.commitment, salt, bytes, record, erased, restricted };
            return Ok((leaf, row.commitment));
        };
        let recomputed = commitment(&payload.salt, payload.record.as_bytes());
        let record = match kind {
            LeafKind::Decision => {
                let record = Record::parse(payload.record.as_bytes()).map_err(|fault| damaged(fault.into()))?;
                if !fits(&record, row.id, row.time_ms, &payload) {
                    return Err(damaged(Damage::Columns));
                }
                Some(record)
            }
            LeafKind::Notice | LeafKind::Policy | LeafKind::Act => {
                if payload.site.is_some() || payload.subject.is_some() || payload.expires_ms.is_some() {
                    return Err(damaged(Damage::Columns));
                }
                None
            }
        };
        let Payload { salt, record: bytes, .. } = payload;
        let leaf = Leaf { index, kind, id: row.id, commitment: row.commitment, salt, bytes, record, erased, restricted };
        Ok((leaf, recomputed))
    }

    fn notice_of(&self, leaf: &Leaf) -> Result<Option<ShownNotice>, LogError> {
        let index = match &leaf.record {
            None if leaf.kind != LeafKind::Notice => return Ok(None),
            None => leaf.index,
            Some(record) => match self.view.index_of_notice(record.notice)? {
                Some(index) => index,
                None => return Ok(None),
            },
        };
        let row = self.view.page(index..index + 1, &Bounds::default())?.pop();
        let notice = self.checked(row.ok_or_else(|| self.damaged(index, Damage::Gap))?)?;
        let html = self.notice_html(&notice)?;
        let sha256 = self.member(&notice, "notice")?;
        let mut value = self.value(&notice)?;
        Ok(Some(ShownNotice { sha256, index, snapshot: value["snapshot"].take(), html }))
    }

    pub(super) fn value(&self, leaf: &Leaf) -> Result<Value, LogError> {
        serde_json::from_str(&leaf.bytes).map_err(|e| self.damaged(leaf.index, Damage::Record(e.into())))
    }

    pub(super) fn member(&self, leaf: &Leaf, name: &'static str) -> Result<Hash, LogError> {
        let value = self.value(leaf)?;
        let field = || self.damaged(leaf.index, Damage::Record(super::RecordFault::Field(name)));
        value[name].as_str().and_then(Hash::parse).ok_or_else(field)
    }

    pub(super) fn damaged(&self, index: u64, what: Damage) -> LogError {
        LogError::Damaged { file: self.view.file().to_owned(), index, what }
    }
}

/// Whether the columns that filters use say what the record says.
fn fits(record: &Record, id: Uuid, time_ms: i64, payload: &Payload) -> bool {
    record.id == id
        && record.time.as_millisecond() == time_ms
        && payload.site.as_deref() == Some(record.site.as_str())
        && payload.subject == record.subject
        && payload.expires_ms == Some(record.expires.as_millisecond())
}

// === impl Filter ===

impl Filter {
    fn is_empty(&self) -> bool {
        self.from.is_none() && self.to.is_none() && !self.decisions_only()
    }

    fn decisions_only(&self) -> bool {
        self.site.is_some() || self.subject.is_some() || self.purpose.is_some()
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            from_ms: self.from.map(Timestamp::as_millisecond),
            to_ms: self.to.map(Timestamp::as_millisecond),
            site: self.site.clone(),
        }
    }

    /// A restricted record stands in the order of the log; what it says is kept back unless asked for.
    fn withheld(&self, leaf: Leaf) -> Leaf {
        match leaf.restricted {
            Some(_) if !self.restricted => Leaf { salt: [0; 32], bytes: String::new(), record: None, ..leaf },
            _ => leaf,
        }
    }

    /// What the bounds of the store leave open.
    fn wants(&self, leaf: &Leaf) -> bool {
        match (&leaf.record, &self.purpose) {
            (None, _) => !self.decisions_only(),
            (Some(_), _) if leaf.restricted.is_some() && !self.restricted => !self.decisions_only(),
            (Some(record), Some(purpose)) => record.purposes.contains_key(purpose),
            (Some(_), None) => true,
        }
    }
}
