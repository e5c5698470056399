//! The writing half: one connection, one transaction a batch.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, config::DbConfig, params};

use super::{FILE, StoreError, Synchronous, failed, schema};
use crate::{
    consent_log::{
        LogError,
        leaf::{Content, Entry, commitment},
        tree::{self, Frontier},
    },
    vocab::{Hash, PolicyRevision},
};

/// Past so many pages the write-ahead log is brought into the database (4 KiB a page).
const WAL_PAGES_MAX: i64 = 1000;

/// How long another writer (somebody's SQL shell) is waited for.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(5);

/// The log, open for writing.
pub(in crate::consent_log) struct Store {
    conn: Connection,
    /// The tree over the leaves that are in: its size is the index of the next.
    tree: Frontier,
    /// Whether it is signed.
    signed: bool,
}

/// What became of one entry of a batch.
#[derive(Debug)]
pub(in crate::consent_log) enum Outcome {
    /// It stands at this index, now or already before.
    At(u64),
    /// It was left out; the others were not.
    Refused(Refusal),
}

/// Why an entry was left out.
#[derive(Debug)]
pub(in crate::consent_log) enum Refusal {
    Notice(Hash),
    Policy(PolicyRevision),
    IdTaken,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(in crate::consent_log) enum CommitError {
    /// Another process writes; nothing was tried.
    Busy,
    /// What is on the disk is unknown.
    Failed(StoreError),
}

impl CommitError {
    /// As the error of who opens the log.
    pub(in crate::consent_log) fn opening(self, file: &Path) -> LogError {
        match self {
            Self::Busy => LogError::Busy { file: file.to_owned() },
            Self::Failed(source) => LogError::Store { file: file.to_owned(), source },
        }
    }
}

impl Store {
    /// Opens or makes the log in a folder. What a crash left in the write-ahead log is written anew
    /// into the database and flushed: reads of its tail may come from pages that never reached the disk.
    pub(in crate::consent_log) fn open(dir: &Path, synchronous: Synchronous) -> Result<Self, LogError> {
        let file = dir.join(FILE);
        create_private(&file).map_err(|source| LogError::Folder { dir: dir.to_owned(), source })?;
        let mut conn = Connection::open(&file).map_err(failed(&file))?;
        conn.busy_timeout(BUSY_MAX).map_err(failed(&file))?;
        schema::prepare(&mut conn, &file)?;
        configure(&conn, synchronous).map_err(failed(&file))?;
        checkpoint(&conn, "TRUNCATE").map_err(failed(&file))?;
        let tree = tree(&conn).map_err(failed(&file))?;
        Ok(Self { conn, tree, signed: true })
    }

    /// Whether checkpoints over the tree are signed and kept.
    pub(in crate::consent_log) fn with_tree(self, signed: bool) -> Self {
        Self { signed, ..self }
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The tree over the leaves that are in.
    pub(in crate::consent_log) fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Writes a batch and the checkpoint over the tree with it in one transaction and returns when it is
    /// flushed. Order of entries = order of indices. `sign` makes the note; it is given a tree that has more
    /// leaves than the one before.
    pub(in crate::consent_log) fn commit(
        &mut self,
        entries: &[&Entry],
        sign: impl FnOnce(&Frontier) -> String,
    ) -> Result<(Vec<Outcome>, Option<String>), CommitError> {
        self.commit_with(sign, |tx, tree| entries.iter().map(|entry| place(tx, entry, tree)).collect())
    }

    /// What `write` puts in, and the checkpoint over the tree with it, in one transaction, flushed.
    pub(super) fn commit_with<T>(
        &mut self,
        sign: impl FnOnce(&Frontier) -> String,
        write: impl FnOnce(&Connection, &mut Frontier) -> rusqlite::Result<T>,
    ) -> Result<(T, Option<String>), CommitError> {
        let begun = self.conn.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = begun.map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => CommitError::Busy,
            _ => CommitError::Failed(e.into()),
        })?;
        let mut tree = self.tree.clone();
        let written = write(&tx, &mut tree).map_err(failure)?;
        let unsigned = self.signed && newest_size(&tx).map_err(failure)? < tree.size();
        let signed = unsigned.then(|| sign(&tree));
        if let Some(note) = &signed {
            insert_checkpoint(&tx, &tree, note).map_err(failure)?;
        }
        // A crash before the commit leaves nothing of the batch.
        tx.commit().map_err(failure)?;
        // A crash from here on leaves the batch, not acknowledged: more is in the log than was promised.
        self.tree = tree;
        Ok((written, signed))
    }

    /// Brings the write-ahead log into the database once it is long. Never waits for readers.
    pub(in crate::consent_log) fn checkpoint_if_long(&mut self) -> Result<(), StoreError> {
        if checkpoint(&self.conn, "NOOP")? > WAL_PAGES_MAX {
            // A crash in here leaves the write-ahead log whole: it is only reused after the flush.
            checkpoint(&self.conn, "PASSIVE")?;
        }
        Ok(())
    }

    /// Brings everything into the one file and removes the files beside it.
    pub(in crate::consent_log) fn close(self) -> Result<(), StoreError> {
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        self.conn.close().map_err(|(_, e)| e.into())
    }
}

/// The tree over every leaf that is in, computed anew at the start: some 300 ns a leaf.
fn tree(conn: &Connection) -> rusqlite::Result<Frontier> {
    let mut statement = conn.prepare("SELECT commitment FROM leaf ORDER BY idx")?;
    let mut all = Frontier::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        all.push(tree::leaf(&Hash(row.get(0)?)));
    }
    Ok(all)
}

fn newest_size(tx: &Connection) -> rusqlite::Result<u64> {
    let newest: Option<i64> = tx.prepare_cached("SELECT max(size) FROM checkpoint")?.query_row([], |row| row.get(0))?;
    Ok(newest.unwrap_or(0) as u64)
}

fn insert_checkpoint(tx: &Connection, tree: &Frontier, note: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO checkpoint (size, root, note) VALUES (?1, ?2, ?3)")?.execute(params![
        tree.size() as i64,
        tree.root().0,
        note
    ])?;
    Ok(())
}

fn failure(error: rusqlite::Error) -> CommitError {
    CommitError::Failed(error.into())
}

/// The file holds pseudonyms: nobody else on the machine reads it unless the operator says so.
/// SQLite gives the files beside it the same mode.
fn create_private(file: &PathBuf) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Flushed so that the folder's entry for it, flushed by the caller, leads somewhere.
    options.open(file)?.sync_all()
}

fn configure(conn: &Connection, synchronous: Synchronous) -> rusqlite::Result<()> {
    let mode = write_ahead(conn)?;
    if mode != "wal" {
        // Network file systems without shared memory end up here.
        return Err(rusqlite::Error::InvalidParameterName(format!("journal_mode=WAL (the file system gives `{mode}`)")));
    }
    conn.pragma_update(None, "synchronous", if synchronous == Synchronous::Full { "FULL" } else { "OFF" })?;
    // Where a plain fsync does not reach the medium (macOS).
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    // Erased records are overwritten, not only unlinked.
    conn.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // SQLite ignores a failed automatic checkpoint; ours are explicit and count as failed writes.
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // After a failed write nothing more may be written, the checkpoint on close included.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// Asks for a write-ahead log and returns what there is. The answer comes before the change is written, so that
/// the statement has to be run to its end to learn of a failure.
fn write_ahead(conn: &Connection) -> rusqlite::Result<String> {
    let mut statement = conn.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.map_or_else(|| Ok(String::new()), |row| row.get(0))?;
    while rows.next()?.is_some() {}
    Ok(mode)
}

/// How many pages the write-ahead log has. A reader or another checkpoint in the way is no failure:
/// the next one does the rest.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<i64> {
    // Busy is the first column; every other trouble is an error.
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
}

/// Likewise; whether somebody was in the way.
pub(super) fn checkpoint_busy(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
}

pub(super) fn place(tx: &Connection, entry: &Entry, grown: &mut Frontier) -> rusqlite::Result<Outcome> {
    if let Some(outcome) = already(tx, entry)? {
        return Ok(outcome);
    }
    // The other half of this check is made whenever the row is read.
    assert_eq!(commitment(&entry.salt, entry.bytes.as_bytes()), entry.commitment, "an entry is made with its commitment");
    let index = grown.size();
    insert(tx, entry, index as i64)?;
    grown.push(tree::leaf(&entry.commitment));
    Ok(Outcome::At(index))
}

/// What is there already, or cannot be there for want of what it cites.
fn already(tx: &Connection, entry: &Entry) -> rusqlite::Result<Option<Outcome>> {
    match &entry.content {
        Content::Notice { address, .. } => at(tx, "SELECT first_idx FROM notice WHERE sha256 = ?1", address),
        Content::Policy { address, .. } => at(tx, "SELECT first_idx FROM policy_revision WHERE sha256 = ?1", address),
        Content::Act => same_id(tx, entry),
        Content::Decision { notice, policy, .. } => {
            if at(tx, "SELECT first_idx FROM notice WHERE sha256 = ?1", notice)?.is_none() {
                return Ok(Some(Outcome::Refused(Refusal::Notice(*notice))));
            }
            if at(tx, "SELECT first_idx FROM policy_revision WHERE revision = ?1 LIMIT 1", &policy.0)?.is_none() {
                return Ok(Some(Outcome::Refused(Refusal::Policy(*policy))));
            }
            same_id(tx, entry)
        }
    }
}

fn at(tx: &Connection, sql: &str, hash: &Hash) -> rusqlite::Result<Option<Outcome>> {
    let index: Option<i64> = tx.prepare_cached(sql)?.query_row([hash.0], |row| row.get(0)).optional()?;
    Ok(index.map(|index| Outcome::At(index as u64)))
}

/// A record that comes twice is written once; another record under its id is refused.
fn same_id(tx: &Connection, entry: &Entry) -> rusqlite::Result<Option<Outcome>> {
    let sql = "SELECT l.idx, p.record FROM leaf l LEFT JOIN payload p USING (event_id) WHERE l.event_id = ?1";
    let found: Option<(i64, Option<String>)> =
        tx.prepare_cached(sql)?.query_row([entry.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(index, record)| match record {
        Some(record) if record == entry.bytes => Outcome::At(index as u64),
        _ => Outcome::Refused(Refusal::IdTaken),
    }))
}

fn insert(tx: &Connection, entry: &Entry, index: i64) -> rusqlite::Result<()> {
    let id = entry.id.as_bytes();
    tx.prepare_cached("INSERT INTO leaf (idx, kind, event_id, commitment, time) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![index, entry.content.kind().as_str(), id, entry.commitment.0, entry.time.as_millisecond()])?;
    tx.prepare_cached("INSERT INTO payload (event_id, site, subject, salt, record, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            id,
            entry.site,
            entry.subject.map(|subject| subject.0),
            entry.salt,
            entry.bytes,
            entry.expires.map(jiff::Timestamp::as_millisecond)
        ])?;
    match &entry.content {
        Content::Decision { .. } | Content::Act => {}
        Content::Notice { address, html } => {
            tx.execute("INSERT INTO notice (sha256, html, first_idx) VALUES (?1, ?2, ?3)", params![address.0, html, index])?;
        }
        Content::Policy { address, revision } => {
            let sql = "INSERT INTO policy_revision (sha256, revision, first_idx) VALUES (?1, ?2, ?3)";
            tx.execute(sql, params![address.0, revision.0.0, index])?;
        }
    }
    Ok(())
}
