//! Where leaves are kept. Nothing outside this folder knows SQL.
//!
//! The contract of a store, whatever keeps it:
//! - `commit` returns only after every entry is on the disk, flushed, and would survive a power cut.
//! - Indices are given inside the commit, from 0, without a gap.
//! - A batch and the signed checkpoint over the tree with it are one commit.
//! - After the first failed `commit` or `checkpoint` the caller never calls either again: a flush
//!   that failed must not be tried again, since the next one may report success for pages that the
//!   kernel has already dropped. SQLite itself would go on happily.
//! - Reading never holds a read transaction longer than one page, so the write-ahead log can be
//!   checkpointed while an export runs.

mod acts;
mod impressions;
mod read;
mod schema;
mod write;

pub(super) use acts::{Candidate, Change, RunOut};
pub(super) use read::{Bounds, CheckpointRow, Marks, Named, Payload, Row, View};
pub(super) use write::{CommitError, Outcome, Refusal, Store};

use super::LogError;

/// The one file of the log, under the data folder.
pub const FILE: &str = "consent-log.db";

/// Why the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// The erasure journal beside it could not be written.
    #[error("the erasure journal beside it cannot be written: {0}")]
    Journal(std::io::Error),
}

impl StoreError {
    /// Whether there was no room on the disk.
    pub(super) fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Journal(error) => error.kind() == std::io::ErrorKind::StorageFull,
        }
    }
}

/// How commits are flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Every commit is flushed before it returns.
    #[default]
    Full,
    /// Nothing is flushed. Only for the control of the durability tests: it must make them fail.
    Off,
}

/// A database failure with the file that failed.
fn failed(file: &std::path::Path) -> impl Fn(rusqlite::Error) -> LogError + '_ {
    |source| LogError::Store { file: file.to_owned(), source: source.into() }
}
