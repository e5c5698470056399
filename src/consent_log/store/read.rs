//! The reading half: a read-only connection; every call is one short read transaction.

use std::{ops::Range, path::Path, path::PathBuf, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use uuid::Uuid;

use super::{FILE, failed, schema};
use crate::{
    consent_log::{Damage, LogError},
    vocab::{Hash, SubjectId},
};

/// How long a lock is waited for: recovery after a crash takes one for a moment.
const BUSY_MS_MAX: u64 = 5000;

/// The log, open for reading, beside a running writer or without one.
pub(in crate::consent_log) struct View {
    conn: Connection,
    file: PathBuf,
    /// Of the tables, when it was opened.
    format: i64,
}

/// A leaf as its columns stand, unchecked.
pub(in crate::consent_log) struct Row {
    pub(in crate::consent_log) index: u64,
    pub(in crate::consent_log) kind: String,
    pub(in crate::consent_log) id: Uuid,
    pub(in crate::consent_log) commitment: Hash,
    pub(in crate::consent_log) time_ms: i64,
    pub(in crate::consent_log) payload: Option<Payload>,
    /// The act that deleted the payload, as the tables say.
    pub(in crate::consent_log) erased: Option<u64>,
    /// The act that restricted it, likewise.
    pub(in crate::consent_log) restricted: Option<u64>,
}

/// A row beside the leaf of a notice or a policy, unchecked.
pub(in crate::consent_log) struct Named {
    pub(in crate::consent_log) kind: String,
    pub(in crate::consent_log) address: Hash,
    pub(in crate::consent_log) revision: Option<Hash>,
    pub(in crate::consent_log) html: Option<String>,
}

/// A checkpoint as its columns stand, unchecked.
pub(in crate::consent_log) struct CheckpointRow {
    pub(in crate::consent_log) size: u64,
    pub(in crate::consent_log) root: Hash,
    pub(in crate::consent_log) note: String,
}

/// What the tables say that follows from acts.
#[derive(Default)]
pub(in crate::consent_log) struct Marks {
    /// Leaves at that moment.
    pub(in crate::consent_log) len: u64,
    /// Restricted records, if they are in the log, and the act.
    pub(in crate::consent_log) restricted: Vec<(Option<u64>, u64)>,
    /// Acts that are said to have erased what is not in the log.
    pub(in crate::consent_log) stray: Vec<u64>,
}

/// What a leaf commits to.
pub(in crate::consent_log) struct Payload {
    pub(in crate::consent_log) site: Option<String>,
    pub(in crate::consent_log) subject: Option<SubjectId>,
    pub(in crate::consent_log) salt: [u8; 32],
    pub(in crate::consent_log) record: String,
    pub(in crate::consent_log) expires_ms: Option<i64>,
}

/// What a page of rows is narrowed to.
#[derive(Default)]
pub(in crate::consent_log) struct Bounds {
    /// Milliseconds since 1970, included.
    pub(in crate::consent_log) from_ms: Option<i64>,
    /// Milliseconds since 1970, not included.
    pub(in crate::consent_log) to_ms: Option<i64>,
    pub(in crate::consent_log) site: Option<String>,
}

impl View {
    pub(in crate::consent_log) fn open(dir: &Path) -> Result<Self, LogError> {
        let file = dir.join(FILE);
        if !file.exists() {
            return Err(LogError::Missing { dir: dir.to_owned() });
        }
        let conn = connect(&file).map_err(failed(&file))?;
        schema::check(&conn, &file)?;
        let format = schema::format(&conn).map_err(failed(&file))?;
        Ok(Self { conn, file, format })
    }

    /// Writes a copy of the whole log as of now into a new file, without what was deleted from it. The log may be
    /// written to meanwhile.
    pub(in crate::consent_log) fn copy_into(&self, file: &Path) -> Result<(), LogError> {
        let name = file.to_string_lossy();
        self.conn.execute("VACUUM INTO ?1", [&*name]).map(|_| ()).map_err(failed(&self.file))
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Whether the tables had an older format when they were opened.
    pub(super) fn is_older_than(&self, format: i64) -> bool {
        self.format < format
    }

    pub(in crate::consent_log) fn file(&self) -> &Path {
        &self.file
    }

    /// A leaf that should be there is not.
    pub(in crate::consent_log) fn gap(&self, index: u64) -> LogError {
        LogError::Damaged { file: self.file.clone(), index, what: Damage::Gap }
    }

    /// How many leaves there are now.
    pub(in crate::consent_log) fn len(&self) -> Result<u64, LogError> {
        let newest: Option<i64> =
            self.conn.query_row("SELECT max(idx) FROM leaf", [], |row| row.get(0)).map_err(failed(&self.file))?;
        Ok(newest.map_or(0, |index| index as u64 + 1))
    }

    /// The leaves of a range of indices, in order.
    pub(in crate::consent_log) fn page(&self, range: Range<u64>, bounds: &Bounds) -> Result<Vec<Row>, LogError> {
        // Older tables know of no acts.
        let (acts, marks) = match self.format {
            ..3 => ("NULL, NULL", ""),
            _ => ("e.act, r.act", "LEFT JOIN erased e USING (event_id) LEFT JOIN restricted r USING (event_id)"),
        };
        let sql = format!(
            "SELECT l.idx, l.kind, l.event_id, l.commitment, l.time, p.site, p.subject, p.salt, p.record, p.expires, {acts}
            FROM leaf l LEFT JOIN payload p USING (event_id) {marks}
            WHERE l.idx >= ?1 AND l.idx < ?2
                AND (?3 IS NULL OR l.time >= ?3) AND (?4 IS NULL OR l.time < ?4) AND (?5 IS NULL OR p.site = ?5)
            ORDER BY l.idx"
        );
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.conn.prepare_cached(&sql)?;
            let narrowed = params![range.start as i64, range.end as i64, bounds.from_ms, bounds.to_ms, bounds.site];
            statement.query_map(narrowed, row)?.collect()
        };
        read().map_err(failed(&self.file))
    }

    /// The indices of a visitor's records within a range, in order, at most `rows_max`.
    pub(in crate::consent_log) fn of_subject(
        &self,
        subject: SubjectId,
        range: Range<u64>,
        rows_max: usize,
    ) -> Result<Vec<u64>, LogError> {
        let sql = "
            SELECT l.idx FROM payload p JOIN leaf l USING (event_id)
            WHERE p.subject = ?1 AND l.idx >= ?2 AND l.idx < ?3 ORDER BY l.idx LIMIT ?4";
        let read = || -> rusqlite::Result<Vec<u64>> {
            let mut statement = self.conn.prepare_cached(sql)?;
            let narrowed = params![subject.0, range.start as i64, range.end as i64, rows_max as i64];
            statement.query_map(narrowed, |row| row.get::<_, i64>(0).map(|index| index as u64))?.collect()
        };
        read().map_err(failed(&self.file))
    }

    /// The commitments of a range of leaves, in order.
    pub(in crate::consent_log) fn commitments(&self, range: Range<u64>) -> Result<Vec<Hash>, LogError> {
        let sql = "SELECT commitment FROM leaf WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        let read = || -> rusqlite::Result<Vec<Hash>> {
            let mut statement = self.conn.prepare_cached(sql)?;
            statement.query_map(params![range.start as i64, range.end as i64], |row| row.get(0).map(Hash))?.collect()
        };
        read().map_err(failed(&self.file))
    }

    /// Checkpoints over more than `after` leaves, the smallest first.
    pub(in crate::consent_log) fn checkpoints(&self, after: u64, rows_max: usize) -> Result<Vec<CheckpointRow>, LogError> {
        self.some_checkpoints("WHERE size > ?1 ORDER BY size LIMIT ?2", after, rows_max)
    }

    /// The newest checkpoint, if there is one.
    pub(in crate::consent_log) fn newest_checkpoint(&self) -> Result<Option<CheckpointRow>, LogError> {
        Ok(self.some_checkpoints("WHERE size > ?1 ORDER BY size DESC LIMIT ?2", 0, 1)?.pop())
    }

    fn some_checkpoints(&self, which: &str, after: u64, rows_max: usize) -> Result<Vec<CheckpointRow>, LogError> {
        let read = || -> rusqlite::Result<Vec<CheckpointRow>> {
            if self.format < 2 && schema::format(&self.conn)? < 2 {
                // Written by an older version; the next start of the gate signs what is there.
                return Ok(Vec::new());
            }
            let mut statement = self.conn.prepare_cached(&format!("SELECT size, root, note FROM checkpoint {which}"))?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(CheckpointRow { size: row.get::<_, i64>(0)? as u64, root: Hash(row.get(1)?), note: row.get(2)? })
            };
            statement.query_map(params![after as i64, rows_max as i64], row)?.collect()
        };
        read().map_err(failed(&self.file))
    }

    /// The index of the leaf with that id.
    pub(in crate::consent_log) fn index_of(&self, id: Uuid) -> Result<Option<u64>, LogError> {
        self.index("SELECT idx FROM leaf WHERE event_id = ?1", id.as_bytes())
    }

    /// Addresses, revisions (policies) and markup (notices) of the rows that name a leaf as their first.
    pub(in crate::consent_log) fn named_by(&self, index: u64) -> Result<Vec<Named>, LogError> {
        let sql = "
            SELECT 'notice', sha256, NULL, html FROM notice WHERE first_idx = ?1
            UNION ALL SELECT 'policy', sha256, revision, NULL FROM policy_revision WHERE first_idx = ?1";
        let read = || -> rusqlite::Result<Vec<Named>> {
            let mut statement = self.conn.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                let revision = row.get::<_, Option<[u8; 32]>>(2)?.map(Hash);
                Ok(Named { kind: row.get(0)?, address: Hash(row.get(1)?), revision, html: row.get(3)? })
            };
            statement.query_map([index as i64], row)?.collect()
        };
        read().map_err(failed(&self.file))
    }

    /// What the tables say that follows from acts, all of it at one moment.
    pub(in crate::consent_log) fn marks(&self) -> Result<Marks, LogError> {
        if self.format < 3 {
            return Ok(Marks::default());
        }
        let sql = "
            SELECT 0, max(idx) + 1, 0 FROM leaf
            UNION ALL SELECT 1, l.idx, r.act FROM restricted r LEFT JOIN leaf l USING (event_id)
            UNION ALL SELECT 2, NULL, e.act FROM erased e WHERE NOT EXISTS (SELECT 1 FROM leaf l WHERE l.event_id = e.event_id)";
        let read = || -> rusqlite::Result<Marks> {
            let mut marks = Marks::default();
            let mut statement = self.conn.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (index, act) = (row.get::<_, Option<i64>>(1)?.map(|index| index as u64), row.get::<_, i64>(2)? as u64);
                match row.get::<_, i64>(0)? {
                    0 => marks.len = index.unwrap_or(0),
                    1 => marks.restricted.push((index, act)),
                    _ => marks.stray.push(act),
                }
            }
            Ok(marks)
        };
        read().map_err(failed(&self.file))
    }

    /// How many notices and policies have rows of their own.
    pub(in crate::consent_log) fn named(&self) -> Result<u64, LogError> {
        let sql = "SELECT (SELECT count(*) FROM notice) + (SELECT count(*) FROM policy_revision)";
        self.conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|count| count as u64).map_err(failed(&self.file))
    }

    /// The index of a notice.
    pub(in crate::consent_log) fn index_of_notice(&self, address: Hash) -> Result<Option<u64>, LogError> {
        self.index("SELECT first_idx FROM notice WHERE sha256 = ?1", &address.0)
    }

    /// The index of a policy by what it is addressed by: revision and source files.
    pub(in crate::consent_log) fn index_of_policy(&self, address: Hash) -> Result<Option<u64>, LogError> {
        self.index("SELECT first_idx FROM policy_revision WHERE sha256 = ?1", &address.0)
    }

    /// The markup of a notice.
    pub(in crate::consent_log) fn notice_html(&self, address: Hash) -> Result<Option<String>, LogError> {
        let sql = "SELECT html FROM notice WHERE sha256 = ?1";
        self.conn.query_row(sql, [address.0], |row| row.get(0)).optional().map_err(failed(&self.file))
    }

    fn index(&self, sql: &str, key: &[u8]) -> Result<Option<u64>, LogError> {
        let found: Option<i64> = self.conn.query_row(sql, [key], |row| row.get(0)).optional().map_err(failed(&self.file))?;
        Ok(found.map(|index| index as u64))
    }
}

/// On a read-only disk SQLite cannot make the files that it keeps beside a database in use. A log that was
/// closed has none, and nobody writes it there: it is read as what does not change (sqlite.org/wal.html,
/// "Read-Only Databases").
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(Duration::from_millis(BUSY_MS_MAX))?;
    // The first read opens the files beside it.
    match conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !wal(file).exists() => {
            let path = percent_encoding::percent_encode(file.as_os_str().as_encoded_bytes(), percent_encoding::NON_ALPHANUMERIC);
            Connection::open_with_flags(format!("file:{path}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)
        }
        // Whatever else is wrong shows where something is read.
        _ => Ok(conn),
    }
}

fn wal(file: &Path) -> PathBuf {
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let payload = match row.get::<_, Option<[u8; 32]>>(7)? {
        None => None,
        Some(salt) => Some(Payload {
            site: row.get(5)?,
            subject: row.get::<_, Option<[u8; 16]>>(6)?.map(SubjectId),
            salt,
            record: row.get(8)?,
            expires_ms: row.get(9)?,
        }),
    };
    Ok(Row {
        index: row.get::<_, i64>(0)? as u64,
        kind: row.get(1)?,
        id: Uuid::from_bytes(row.get(2)?),
        commitment: Hash(row.get(3)?),
        time_ms: row.get(4)?,
        payload,
        erased: row.get::<_, Option<i64>>(10)?.map(|act| act as u64),
        restricted: row.get::<_, Option<i64>>(11)?.map(|act| act as u64),
    })
}
