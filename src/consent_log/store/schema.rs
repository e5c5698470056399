//! The tables, and how a file is known to be a consent log of a format this version reads.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::failed;
use crate::consent_log::LogError;

/// `PRAGMA application_id`: "CNSN". Tells a consent log from any other SQLite file.
const APPLICATION_ID: i64 = 0x434e_534e;

/// The format of the tables below.
const FORMAT: i64 = 3;

/// `leaf` has no personal data and is never changed. What erasure and retention delete is `payload`.
const TABLES: &str = "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE leaf (
        idx        INTEGER PRIMARY KEY CHECK (idx >= 0),
        kind       TEXT NOT NULL,
        event_id   BLOB NOT NULL UNIQUE CHECK (length(event_id) = 16),
        commitment BLOB NOT NULL CHECK (length(commitment) = 32),
        time       INTEGER NOT NULL -- milliseconds since 1970, as in the record
    ) STRICT;
    CREATE TABLE payload (
        event_id BLOB PRIMARY KEY CHECK (length(event_id) = 16),
        site     TEXT, -- null for notices and policies
        subject  BLOB CHECK (length(subject) = 16), -- null for a refusal without identifier
        salt     BLOB NOT NULL CHECK (length(salt) = 32),
        record   TEXT NOT NULL, -- the bytes that leaf.commitment is over
        expires  INTEGER -- milliseconds since 1970
    ) STRICT;
    CREATE INDEX payload_subject ON payload (subject) WHERE subject IS NOT NULL;
    CREATE TABLE notice (
        sha256    BLOB PRIMARY KEY CHECK (length(sha256) = 32),
        html      TEXT NOT NULL,
        first_idx INTEGER NOT NULL REFERENCES leaf
    ) STRICT;
    CREATE TABLE policy_revision (
        sha256    BLOB PRIMARY KEY CHECK (length(sha256) = 32), -- over revision and source files
        revision  BLOB NOT NULL CHECK (length(revision) = 32),
        first_idx INTEGER NOT NULL REFERENCES leaf
    ) STRICT;
    CREATE INDEX policy_revision_revision ON policy_revision (revision);
";

/// What format 2 added: what the log said its tree was, as signed notes, one for each batch.
const CHECKPOINTS: &str = "
    CREATE TABLE checkpoint (
        size INTEGER PRIMARY KEY CHECK (size > 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        note TEXT NOT NULL
    ) STRICT;
";

/// What format 3 added. `erased` and `restricted` follow from the acts in the log and name the act by its index;
/// `impression` counts how often notices were shown, and nobody whom. Retention finds records by when they ran out.
const ACTS: &str = "
    CREATE TABLE erased (
        event_id BLOB PRIMARY KEY CHECK (length(event_id) = 16),
        act      INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE restricted (
        event_id BLOB PRIMARY KEY CHECK (length(event_id) = 16),
        act      INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE impression (
        day    TEXT NOT NULL, -- 2026-05-31, in UTC
        site   TEXT NOT NULL,
        regime TEXT NOT NULL,
        notice BLOB NOT NULL CHECK (length(notice) = 32), -- its layer and language stand in the notice
        count  INTEGER NOT NULL CHECK (count > 0),
        PRIMARY KEY (day, site, regime, notice)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX payload_expires ON payload (expires) WHERE expires IS NOT NULL;
";

/// What each format added to the one before, from format 2 on.
const STEPS: [(i64, &str); 2] = [(2, CHECKPOINTS), (3, ACTS)];

/// Makes the tables in an empty file; brings an older consent log up to date; refuses everything else.
pub(super) fn prepare(conn: &mut Connection, file: &Path) -> Result<(), LogError> {
    if tables(conn).map_err(|e| foreign_or_failed(file, e))? == 0 {
        return create(conn).map_err(failed(file));
    }
    check(conn, file)?;
    upgrade(conn).map_err(failed(file))
}

/// Whether the file is a consent log of a format that this version reads.
pub(super) fn check(conn: &Connection, file: &Path) -> Result<(), LogError> {
    let id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(|e| foreign_or_failed(file, e))?;
    if id != APPLICATION_ID {
        return Err(LogError::Foreign { file: file.to_owned() });
    }
    match format(conn).map_err(failed(file))? {
        1..=FORMAT => Ok(()),
        found => Err(LogError::Newer { file: file.to_owned(), found, known: FORMAT }),
    }
}

/// The format of a consent log's tables.
pub(super) fn format(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
}

fn tables(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// In one transaction: a crash leaves an empty file, which the next start fills.
fn create(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(TABLES)?;
    STEPS.iter().try_for_each(|(_, step)| tx.execute_batch(step))?;
    tx.execute("INSERT INTO meta (key, value) VALUES ('format', ?1)", [FORMAT])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()
}

fn upgrade(conn: &mut Connection) -> rusqlite::Result<()> {
    let found = format(conn)?;
    if found == FORMAT {
        return Ok(());
    }
    let tx = conn.transaction()?;
    STEPS.iter().filter(|(format, _)| *format > found).try_for_each(|(_, step)| tx.execute_batch(step))?;
    tx.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [FORMAT])?;
    tx.commit()
}

fn foreign_or_failed(file: &Path, error: rusqlite::Error) -> LogError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LogError::Foreign { file: file.to_owned() },
        _ => failed(file)(error),
    }
}
