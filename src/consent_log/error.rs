//! What can go wrong with the consent log, each with what the operator should do. The cause, where
//! there is one, is the error's source and not in its text.

use std::{io, path::PathBuf, sync::Arc};

use uuid::Uuid;

use super::{canonical::NotCanonical, leaf::LeafKind, record::RecordFault, store::StoreError};
use crate::vocab::{Hash, PolicyRevision};

/// Why something was not recorded, or could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    // Opening.
    /// The data folder cannot be made or entered.
    #[error("the data folder {} cannot be used; make it writable for this user, or name another with --data", .dir.display())]
    Folder {
        /// The data folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes into this folder.
    #[error(
        "the data folder {} is in use by another consentry{}. Stop that one, or name another folder with --data",
        .dir.display(), .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The other process, where it left its number.
        pid: Option<u32>,
    },
    /// There is nothing to read.
    #[error("there is no consent log in {}. Name the folder that `consentry serve` writes to with --data", .dir.display())]
    Missing {
        /// The data folder.
        dir: PathBuf,
    },
    /// The file is not a consent log.
    #[error("{} is not a consent log. Move it away, or name another folder with --data", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A newer version of the product wrote it.
    #[error(
        "{} has format {found}; this version knows {known} and older. Use the version of consentry that wrote it, or a newer one",
        .file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known.
        known: i64,
    },
    /// What stands in the log is not what was written.
    #[error("{} is damaged at index {index}: {what}. Keep the file as it is and restore a backup beside it", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The index of the first bad leaf.
        index: u64,
        /// What is wrong with it.
        what: Damage,
    },
    /// The database could not be opened or read.
    #[error("the consent log {} cannot be opened or read", .file.display())]
    Store {
        /// The file.
        file: PathBuf,
        /// Why.
        source: StoreError,
    },

    /// The key that signs checkpoints cannot be used.
    #[error("the key file {} cannot be used; restore it from a backup: a new one would break off the proofs", .file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Why.
        source: super::KeyFault,
    },
    /// The newest checkpoint is not one of this log with this key.
    #[error(
        "the newest checkpoint in {} (of {size} leaves) does not fit: {what}. Nothing is added to a log that was changed; restore a backup beside it",
        .file.display()
    )]
    Fork {
        /// The file.
        file: PathBuf,
        /// Leaves that the checkpoint is over.
        size: u64,
        /// What is wrong.
        what: &'static str,
    },

    // Writing.
    /// Too little room is left on the disk; nothing was written.
    #[error(
        "only {} MiB are free in {}; nothing is recorded below {} MiB. Free some room",
        .free_bytes >> 20, .dir.display(), .reserve_bytes >> 20
    )]
    DiskReserve {
        /// The data folder.
        dir: PathBuf,
        /// What is free, in bytes.
        free_bytes: u64,
        /// What must stay free, in bytes.
        reserve_bytes: u64,
    },
    /// More decisions wait than the queue holds; nothing was written.
    #[error("{0} decisions already wait to be recorded. The disk is too slow for this load")]
    QueueFull(usize),
    /// Another process holds the database; nothing was written.
    #[error("another process holds {} locked. Close what has it open for writing", .file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The write of this record failed: whether it is in the log is unknown until the next start.
    #[error("the consent log {} could not be written; nothing more is recorded until consentry is started again", .file.display())]
    WriteFailed {
        /// The file.
        file: PathBuf,
        /// The first failure.
        source: Arc<StoreError>,
    },
    /// An earlier write failed; this record was not written.
    #[error("the consent log {} stopped after a failed write ({first}). Mend the disk, then start consentry again", .file.display())]
    Poisoned {
        /// The file.
        file: PathBuf,
        /// The first failure.
        first: Arc<StoreError>,
    },
    /// The log was closed, or its writer is gone.
    #[error("the consent log is closed")]
    Closed,
    /// The record cites a notice that is not in the log; nothing was written.
    #[error("the notice {0} is not in the consent log: record the notices of a policy before its decisions")]
    UnknownNotice(Hash),
    /// The record cites a policy revision that is not in the log; nothing was written.
    #[error("the policy revision {0} is not in the consent log: record a policy before its decisions")]
    UnknownPolicy(PolicyRevision),
    /// Another record has that id; nothing was written.
    #[error("the id {0} belongs to another record")]
    IdTaken(Uuid),
    /// A leaf's address is not the digest of its content.
    #[error("the {kind} {address} is not addressed by the SHA-256 of its content")]
    WrongAddress {
        /// What kind of leaf.
        kind: LeafKind,
        /// The address it came with.
        address: Hash,
    },
    /// A notice's data is not JSON.
    #[error("a notice's data is not JSON")]
    NoticeJson(#[source] serde_json::Error),
    /// A notice's data has a number without a canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A record that could not be read back as it is.
    #[error("a record that does not read back is refused")]
    BadRecord(#[from] RecordFault),
    /// A record is larger than any true one.
    #[error("a record of {bytes} bytes is refused (at most {bytes_max})")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most.
        bytes_max: usize,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),

    // Acts.
    /// A line of the erasure journal cannot be read: going on without it could bring erased records back.
    #[error("line {line} of {} cannot be read. Restore that file from the disk it was on; without it erased records may come back", .file.display())]
    Journal {
        /// The journal.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The erasure could not be put into the journal; nothing was erased.
    #[error("{} cannot be written; nothing was erased. Free some room, then try again", .file.display())]
    NotJournalled {
        /// The journal.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The visitor's earlier record was erased meanwhile; nothing was written.
    #[error("the record {0} that it cites was erased")]
    Erased(Uuid),
    /// Records to be erased are under a restriction; nothing was erased.
    #[error(
        "{count} of these records are restricted (act {act}): whoever asked for that may need them. Lift it with `log restrict --lift`, or erase them all the same with --restricted"
    )]
    Restricted {
        /// How many.
        count: u64,
        /// The index of one of the acts.
        act: u64,
    },
    /// An order that makes no sense.
    #[error("{0}")]
    BadOrder(String),
    /// The gate that holds the folder did not do it.
    #[error("the running gate answers: {0}")]
    Gate(String),
    /// The gate that holds the folder cannot be asked.
    #[error("{} cannot be used. Is this the user that the gate runs as?", .socket.display())]
    Control {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds a copy: what is added to it would be part of no log.
    #[error("{} holds no key: it is a copy, and nothing is put on record in a copy", .dir.display())]
    Copy {
        /// The data folder.
        dir: PathBuf,
    },

    // Reading.
    /// Nothing has that id or index.
    #[error("there is no {wanted} in the consent log in {}", .dir.display())]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// The data folder.
        dir: PathBuf,
    },
    /// A backup could not be written or read.
    #[error("the backup {} cannot be written or read", .path.display())]
    Backup {
        /// The folder, or the file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder is no backup, or not as it was written.
    #[error("{} is no backup that can be restored: {what}. Use another one", .path.display())]
    NotBackup {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A log is there already.
    #[error("there is a consent log in {} already. Stop the gate, move consent-log.db away and keep it, then restore", .dir.display())]
    Occupied {
        /// The data folder.
        dir: PathBuf,
    },
    /// The backup is older than what the log has promised.
    #[error(
        "the backup has {leaves} entries and the log is known to have had {before}: the last {} are lost with it. Look for a newer backup, or go on with --accept-loss; the log then gets a new key",
        .before - .leaves
    )]
    Loss {
        /// Leaves in the backup.
        leaves: u64,
        /// Leaves that a signed checkpoint says there were.
        before: u64,
    },
    /// A bundle could not be written or read.
    #[error("the bundle {} cannot be written or read", .path.display())]
    Bundle {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

/// What is wrong with a leaf.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// An index is missing.
    #[error("the leaf is missing")]
    Gap,
    /// Salt and record are missing.
    #[error("its record is missing")]
    NoPayload,
    /// Salt and record are not what the leaf commits to.
    #[error("its record is not the one that was written (the commitment does not match)")]
    Commitment,
    /// The leaf is not where the signed tree has it.
    #[error("the signed tree has another leaf in its place")]
    Tree,
    /// The leaf's kind is not known.
    #[error("its kind is unknown")]
    Kind,
    /// A column has an impossible value.
    #[error("its columns do not fit its record")]
    Columns,
    /// The record's bytes cannot be read.
    #[error("its record cannot be read: {0}")]
    Record(#[from] RecordFault),
}
