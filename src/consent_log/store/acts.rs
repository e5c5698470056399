//! What acts do to the tables: the act's leaf, what it deletes or marks and the signed checkpoint are one
//! transaction.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    StoreError,
    write::{BUSY_MAX, CommitError, Outcome, Store, checkpoint_busy, place},
};
use crate::{
    consent_log::{leaf::Entry, tree::Frontier},
    vocab::SubjectId,
};

/// A record that an act may be about.
#[derive(Clone, Debug)]
pub(in crate::consent_log) struct Candidate {
    pub(in crate::consent_log) index: u64,
    pub(in crate::consent_log) id: Uuid,
    /// The act that restricted it.
    pub(in crate::consent_log) restricted: Option<u64>,
}

/// A record that has run out, and what says for how long its proof is kept.
#[derive(Clone, Debug)]
pub(in crate::consent_log) struct RunOut {
    pub(in crate::consent_log) index: u64,
    pub(in crate::consent_log) id: Uuid,
    pub(in crate::consent_log) expires_ms: i64,
    pub(in crate::consent_log) regime: Option<String>,
    pub(in crate::consent_log) policy: Option<String>,
}

/// What an act does to the records it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consent_log) enum Change {
    /// Nothing: it only stands in the log.
    None,
    /// Records and salts are deleted.
    Erase,
    /// They are marked.
    Restrict,
    /// The mark is taken away.
    Unrestrict,
}

impl Store {
    /// A visitor's records that are not erased, in order.
    pub(in crate::consent_log) fn of_subject(&self, subject: SubjectId) -> Result<Vec<Candidate>, StoreError> {
        self.candidates("p.subject = ?1", &subject.0)
    }

    /// The record with that id, unless it is erased.
    pub(in crate::consent_log) fn of_record(&self, id: Uuid) -> Result<Vec<Candidate>, StoreError> {
        self.candidates("l.kind = 'decision' AND l.event_id = ?1", id.as_bytes())
    }

    fn candidates(&self, which: &str, key: &[u8]) -> Result<Vec<Candidate>, StoreError> {
        let sql = format!(
            "SELECT l.idx, l.event_id, r.act FROM payload p JOIN leaf l USING (event_id)
             LEFT JOIN restricted r USING (event_id) WHERE {which} ORDER BY l.idx"
        );
        let mut statement = self.conn().prepare_cached(&sql)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Candidate {
                index: row.get::<_, i64>(0)? as u64,
                id: Uuid::from_bytes(row.get(1)?),
                restricted: row.get::<_, Option<i64>>(2)?.map(|act| act as u64),
            })
        };
        Ok(statement.query_map([key], row)?.collect::<Result<_, _>>()?)
    }

    /// The visitor that a record names; `None` also where it is erased.
    pub(in crate::consent_log) fn subject_of(&self, id: Uuid) -> Result<Option<SubjectId>, StoreError> {
        let sql = "SELECT subject FROM payload WHERE event_id = ?1";
        let subject: Option<Option<[u8; 16]>> = self.conn().query_row(sql, [id.as_bytes()], |row| row.get(0)).optional()?;
        Ok(subject.flatten().map(SubjectId))
    }

    /// Every id that an act of erasure deleted: cookies may still name it. What retention deleted has run out.
    pub(in crate::consent_log) fn erased(&self) -> Result<HashSet<Uuid>, StoreError> {
        let sql = "
            SELECT e.event_id FROM erased e JOIN leaf l ON l.idx = e.act JOIN payload p ON p.event_id = l.event_id
            WHERE json_extract(p.record, '$.act') = 'erase'";
        let mut statement = self.conn().prepare(sql)?;
        let ids = statement.query_map([], |row| row.get(0).map(Uuid::from_bytes))?.collect::<Result<_, _>>()?;
        Ok(ids)
    }

    /// Whether a leaf has that id.
    pub(in crate::consent_log) fn is_known(&self, id: Uuid) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM leaf WHERE event_id = ?1";
        Ok(self.conn().prepare_cached(sql)?.query_row([id.as_bytes()], |_| Ok(())).optional()?.is_some())
    }

    /// Records that ran out before `now`, the earliest first, at most `rows_max` behind `after` (time and index).
    /// Restricted ones are left out.
    pub(in crate::consent_log) fn run_out(
        &self,
        now: Timestamp,
        after: (i64, u64),
        rows_max: usize,
    ) -> Result<Vec<RunOut>, StoreError> {
        let sql = "
            SELECT l.idx, l.event_id, p.expires, json_extract(p.record, '$.jur.regime'), json_extract(p.record, '$.policy')
            FROM payload p JOIN leaf l USING (event_id)
            WHERE p.expires IS NOT NULL AND p.expires < ?1 AND (p.expires > ?2 OR p.expires = ?2 AND l.idx > ?3)
                AND l.kind = 'decision' AND NOT EXISTS (SELECT 1 FROM restricted r WHERE r.event_id = p.event_id)
            ORDER BY p.expires, l.idx LIMIT ?4";
        let mut statement = self.conn().prepare_cached(sql)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(RunOut {
                index: row.get::<_, i64>(0)? as u64,
                id: Uuid::from_bytes(row.get(1)?),
                expires_ms: row.get(2)?,
                regime: row.get(3)?,
                policy: row.get(4)?,
            })
        };
        let narrowed = params![now.as_millisecond(), after.0, after.1 as i64, rows_max as i64];
        Ok(statement.query_map(narrowed, row)?.collect::<Result<_, _>>()?)
    }

    /// The canonical text of every policy in the log, by its revision in hex.
    pub(in crate::consent_log) fn policies(&self) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "
            SELECT json_extract(p.record, '$.policy'), json_extract(p.record, '$.canonical')
            FROM policy_revision r JOIN leaf l ON l.idx = r.first_idx JOIN payload p USING (event_id)";
        let mut statement = self.conn().prepare(sql)?;
        Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    }

    /// Writes an act, does what it says to the records and signs: one transaction, flushed. Returns the act's
    /// index and the signed checkpoint.
    pub(in crate::consent_log) fn carry_out(
        &mut self,
        entry: &Entry,
        change: Change,
        on: &[Uuid],
        sign: impl FnOnce(&Frontier) -> String,
    ) -> Result<(u64, Option<String>), CommitError> {
        self.commit_with(sign, |tx, tree| {
            // An act's id is new: only a broken source of random numbers leads to the error.
            let Outcome::At(index) = place(tx, entry, tree)? else { return Err(rusqlite::Error::InvalidQuery) };
            let act = index as i64;
            on.iter().try_for_each(|id| apply(tx, change, id.as_bytes(), act))?;
            Ok(index)
        })
    }

    /// Brings the write-ahead log into the database and cuts it off: what was deleted is in no file of the
    /// database any more. `false` where a reader is in the way for longer than `wait`.
    pub(in crate::consent_log) fn wipe(&mut self, wait: Duration) -> Result<bool, StoreError> {
        self.conn().busy_timeout(wait)?;
        let busy = checkpoint_busy(self.conn(), "TRUNCATE")?;
        self.conn().busy_timeout(BUSY_MAX)?;
        Ok(!busy)
    }
}

fn apply(tx: &Connection, change: Change, id: &[u8; 16], act: i64) -> rusqlite::Result<()> {
    match change {
        Change::None => {}
        Change::Erase => {
            tx.prepare_cached("DELETE FROM payload WHERE event_id = ?1")?.execute([id])?;
            tx.prepare_cached("DELETE FROM restricted WHERE event_id = ?1")?.execute([id])?;
            tx.prepare_cached("INSERT INTO erased (event_id, act) VALUES (?1, ?2)")?.execute(params![id, act])?;
        }
        Change::Restrict => {
            tx.prepare_cached("INSERT INTO restricted (event_id, act) VALUES (?1, ?2)")?.execute(params![id, act])?;
        }
        Change::Unrestrict => {
            tx.prepare_cached("DELETE FROM restricted WHERE event_id = ?1")?.execute([id])?;
        }
    }
    Ok(())
}
