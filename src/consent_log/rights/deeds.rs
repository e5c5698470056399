//! How orders are carried out: in the writer's thread, between two batches of decisions.
//!
//! An erasure is journalled first, then the act's leaf, the deletion and the signed checkpoint are one
//! transaction, then the write-ahead log is cut off. A crash at any point leaves a journal line that the next
//! start carries out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::consent_log::{
    LogError, Reader,
    act::{self, Act, Deed, Indices, On, Reason},
    certificate::Certificate,
    journal::{ERASURES, Line, NotJournalled},
    leaf::Entry,
    order::{Done, Keep, Order, Placed, What, Whose, Why},
    record::record_id,
    store::{Candidate, Change, CommitError, RunOut, Store, StoreError},
    writer::{Writer, sign},
};
use crate::vocab::{Hash, SubjectId};

/// Records that one act of retention covers: decisions wait no longer than for so many deletions.
const RETAIN_MAX: usize = 2000;

/// How long a reader is waited for before the write-ahead log is cut off, while decisions wait too. Ours read for
/// some milliseconds at a time.
const READER_MAX: Duration = Duration::from_millis(500);

/// What an order comes to, before anything is written.
struct Plan {
    deed: Deed,
    change: Change,
    /// The records, in the order of the indices.
    ids: Vec<Uuid>,
    /// Beside the certificate's `reference`: what it was hashed with.
    salt: Option<[u8; 32]>,
    more: bool,
}

impl Writer {
    /// Carries an order out, or says why not. What it answers is on the disk.
    pub(in crate::consent_log) fn carry_out(&mut self, order: &Order) -> Result<Done, LogError> {
        let now = Timestamp::now();
        let Some(plan) = self.plan(order, now)? else { return Ok(Done::default()) };
        let indices = match plan_on(&plan.deed) {
            Some(on) => on.indices.to_string(),
            None => String::new(),
        };
        let done = Done { count: plan.ids.len() as u64, indices, more: plan.more, ..Done::default() };
        if order.dry_run {
            return Ok(done);
        }
        let act = Act { id: record_id(now), time: now, operator: act::name(&order.operator), deed: plan.deed };
        let entry = Entry::act(&act)?;
        if plan.change == Change::Erase && matches!(act.deed, Deed::Erase(_)) {
            self.journal(&act, &plan.ids)?;
            // From here on it is promised: a cookie that names one of them says nothing any more.
            self.shared.add_erased(&plan.ids);
        }
        let index = self.commit_act(&entry, plan.change, &plan.ids)?;
        let wiped = plan.change == Change::Erase && self.wipe()?;
        let certificate = plan_on(&act.deed).and_then(|_| self.certificate(&act, index, plan.salt));
        self.publisher.wake();
        let act = Placed { id: act.id, index, time: act.time };
        Ok(Done { act: Some(act), wiped, certificate, ..done })
    }

    fn plan(&self, order: &Order, now: Timestamp) -> Result<Option<Plan>, LogError> {
        let none = |deed| Some(Plan { deed, change: Change::None, ids: Vec::new(), salt: None, more: false });
        Ok(match &order.what {
            What::Read { command, rows } => none(Deed::Read { command: act::name(command), rows: *rows }),
            What::Restore { leaves, before } => none(Deed::Restore { leaves: *leaves, before: *before }),
            What::RotateKey { key } => none(Deed::RotateKey { key: key.clone() }),
            What::Erase { whose, why, restricted } => {
                let records = self.records(whose)?;
                let held: Vec<u64> = records.iter().filter_map(|record| record.restricted).collect();
                if let Some(act) = held.first().filter(|_| !restricted) {
                    return Err(LogError::Restricted { count: held.len() as u64, act: *act });
                }
                plan(records, why, Change::Erase, Deed::Erase)?
            }
            What::Restrict { whose, why } => {
                let free = self.records(whose)?.into_iter().filter(|record| record.restricted.is_none());
                plan(free.collect(), why, Change::Restrict, Deed::Restrict)?
            }
            What::Unrestrict { whose, why } => {
                let held = self.records(whose)?.into_iter().filter(|record| record.restricted.is_some());
                plan(held.collect(), why, Change::Unrestrict, Deed::Unrestrict)?
            }
            What::Retain(keep) => {
                let (records, more) = self.past(keep, now)?;
                let why = Why { reason: Reason::Expired.as_str().to_owned(), reference: None };
                plan(records, &why, Change::Erase, Deed::Retain)?.map(|plan| Plan { more, ..plan })
            }
        })
    }

    fn records(&self, whose: &Whose) -> Result<Vec<Candidate>, LogError> {
        let failed = |source| self.unreadable(source);
        let by_subject = |subject| self.store.of_subject(subject).map_err(failed);
        match whose {
            Whose::Subject(text) => {
                let subject = SubjectId::parse(text);
                by_subject(subject.ok_or_else(|| LogError::BadOrder("that is no visitor's pseudonym".to_owned()))?)
            }
            Whose::Record(id) => match self.store.subject_of(*id).map_err(failed)? {
                Some(subject) => by_subject(subject),
                None => self.store.of_record(*id).map_err(failed),
            },
        }
    }

    /// Records whose proof has been kept long enough, at most as many as one act covers, and whether there are more.
    fn past(&self, keep: &Keep, now: Timestamp) -> Result<(Vec<Candidate>, bool), LogError> {
        let failed = |source| self.unreadable(source);
        let policies = promised(self.store.policies().map_err(failed)?);
        let (mut past, mut after) = (Vec::new(), (i64::MIN, 0));
        loop {
            let page = self.store.run_out(now, after, RETAIN_MAX).map_err(failed)?;
            let Some(last) = page.last() else { return Ok((past, false)) };
            after = (last.expires_ms, last.index);
            for record in &page {
                if is_past(record, months(record, keep, &policies), now) {
                    if past.len() == RETAIN_MAX {
                        return Ok((past, true));
                    }
                    past.push(Candidate { index: record.index, id: record.id, restricted: None });
                }
            }
        }
    }

    fn journal(&mut self, act: &Act, ids: &[Uuid]) -> Result<(), LogError> {
        let Some(on) = act.on() else { return Ok(()) };
        let line = Line {
            act: act.id,
            time: act.time,
            operator: act.operator.clone(),
            reason: on.reason.as_str().to_owned(),
            reference: on.reference.map(|hash| hash.to_string()),
            ids: ids.to_vec(),
        };
        self.journal.append(&line).map_err(|error| match error {
            NotJournalled::Refused(source) => LogError::NotJournalled { file: self.shared.dir.join(ERASURES), source },
            NotJournalled::Failed(source) => self.failed(StoreError::Journal(source)),
        })
    }

    fn commit_act(&mut self, entry: &Entry, change: Change, ids: &[Uuid]) -> Result<u64, LogError> {
        match self.store.carry_out(entry, change, ids, |tree| sign(&self.signer, tree)) {
            Ok((index, signed)) => {
                self.committed(signed);
                Ok(index)
            }
            Err(CommitError::Busy) => Err(LogError::Busy { file: self.shared.file.clone() }),
            Err(CommitError::Failed(error)) => Err(self.failed(error)),
        }
    }

    /// Cuts the write-ahead log off. What a reader keeps from it is tried again after a while.
    pub(in crate::consent_log) fn wipe(&mut self) -> Result<bool, LogError> {
        match self.store.wipe(READER_MAX) {
            Ok(wiped) => {
                self.wipe_later(!wiped);
                Ok(wiped)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The act stands whether its certificate can be written or not.
    fn certificate(&self, act: &Act, index: u64, salt: Option<[u8; 32]>) -> Option<String> {
        let made = Reader::open(&self.shared.dir)
            .and_then(|reader| reader.prove(&index.to_string()))
            .map(|proof| Certificate::of(act, &proof, salt).map(|certificate| certificate.sign(&self.signer)));
        match made {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::error!(index, "no certificate of this act: {}", crate::wire::Causes(&error));
                None
            }
        }
    }

    fn unreadable(&self, source: StoreError) -> LogError {
        LogError::Store { file: self.shared.file.clone(), source }
    }

    fn failed(&self, error: StoreError) -> LogError {
        let source = self.shared.poison(error);
        LogError::WriteFailed { file: self.shared.file.clone(), source: Arc::clone(&source) }
    }
}

/// Carries out what the journal says and the log does not: a crash came between, or an older copy of the log was
/// put in its place. Returns whether anything was.
pub(in crate::consent_log) fn replay(
    store: &mut Store,
    lines: &[Line],
    sign: impl Fn(&crate::consent_log::tree::Frontier) -> String,
) -> Result<bool, ReplayError> {
    let mut any = false;
    for line in lines {
        let mut records = Vec::new();
        for id in &line.ids {
            records.extend(store.of_record(*id)?);
        }
        if records.is_empty() {
            continue;
        }
        let now = Timestamp::now();
        let known = store.is_known(line.act)?;
        let on = On {
            indices: records.iter().map(|record| record.index).collect(),
            reason: Reason::parse(&line.reason).unwrap_or(Reason::Request),
            reference: line.reference.as_deref().and_then(Hash::parse),
        };
        let id = if known { record_id(now) } else { line.act };
        let act = Act { id, time: now, operator: line.operator.clone(), deed: Deed::Erase(on) };
        let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
        store.carry_out(&Entry::act(&act)?, Change::Erase, &ids, &sign)?;
        tracing::warn!(act = %id, records = ids.len(), "erased again: the journal of erasures says so");
        any = true;
    }
    if any {
        store.wipe(READER_MAX)?;
    }
    Ok(any)
}

/// Why a replay failed.
pub(in crate::consent_log) enum ReplayError {
    /// The act could not be made.
    Log(LogError),
    /// The database failed.
    Store(StoreError),
    /// The act could not be written.
    Commit(CommitError),
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<StoreError> for ReplayError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CommitError> for ReplayError {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

fn plan_on(deed: &Deed) -> Option<&On> {
    match deed {
        Deed::Erase(on) | Deed::Restrict(on) | Deed::Unrestrict(on) | Deed::Retain(on) => Some(on),
        Deed::Read { .. } | Deed::Restore { .. } | Deed::RotateKey { .. } => None,
    }
}

fn plan(mut records: Vec<Candidate>, why: &Why, change: Change, deed: fn(On) -> Deed) -> Result<Option<Plan>, LogError> {
    let reason = Reason::parse(&why.reason);
    let reason = reason.ok_or_else(|| LogError::BadOrder(format!("`{}` is no reason that is known", why.reason)))?;
    if records.is_empty() {
        return Ok(None);
    }
    records.sort_by_key(|record| record.index);
    let indices: Indices = records.iter().map(|record| record.index).collect();
    let (reference, salt) = match &why.reference {
        None => (None, None),
        Some(ticket) => {
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(LogError::Random)?;
            (Some(reference(&salt, ticket)), Some(salt))
        }
    };
    let ids = records.into_iter().map(|record| record.id).collect();
    Ok(Some(Plan { deed: deed(On { indices, reason, reference }), change, ids, salt, more: false }))
}

/// What an act keeps of the operator's own reference.
pub(in crate::consent_log) fn reference(salt: &[u8; 32], ticket: &str) -> Hash {
    Hash(Sha256::new().chain_update(salt).chain_update(ticket).finalize().into())
}

// === retention ===

/// Months that each policy in the log promised, by its revision.
fn promised(policies: Vec<(String, String)>) -> HashMap<String, u64> {
    let months = |canonical: &str| {
        let policy: Value = serde_json::from_str(canonical).ok()?;
        policy["regime"]["proof_months"].as_u64()
    };
    policies.into_iter().filter_map(|(revision, canonical)| Some((revision, months(&canonical)?))).collect()
}

/// The shortest that holds; `None` where nothing says how long.
fn months(record: &RunOut, keep: &Keep, promised: &HashMap<String, u64>) -> Option<u64> {
    let by_policy = record.policy.as_ref().and_then(|policy| promised.get(policy));
    let by_regime = record.regime.as_ref().and_then(|regime| keep.months.get(regime));
    [by_policy, by_regime, keep.months_max.as_ref()].into_iter().flatten().copied().min()
}

/// Whether so many calendar months have passed since the record ran out.
fn is_past(record: &RunOut, months: Option<u64>, now: Timestamp) -> bool {
    let kept_until = || {
        let ran_out = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(record.expires_ms).ok()?);
        let later = ran_out.checked_add(i64::try_from(months?).ok()?.months()).ok()?;
        TimeZone::UTC.to_timestamp(later).ok()
    };
    kept_until().is_some_and(|until| until < now)
}

#[cfg(test)]
mod tests;
