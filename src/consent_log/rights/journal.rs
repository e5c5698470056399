//! The erasure journal: which records were erased, kept beside the log and never in a backup of it.
//!
//! A line is flushed before the records it names are deleted, and every opening of the log deletes again what
//! still stands in it: neither a crash in the middle nor an older copy of the log brings an erased record back.
//! It holds ids and no visitor.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::consent_log::LogError;

/// The journal, in the data folder: a line of JSON for each erasure.
pub const ERASURES: &str = "consent-log.erasures";

/// One erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::consent_log) struct Line {
    /// The id of the act.
    pub(in crate::consent_log) act: Uuid,
    #[serde(rename = "t")]
    pub(in crate::consent_log) time: Timestamp,
    pub(in crate::consent_log) operator: String,
    /// The word of a [`crate::consent_log::Reason`].
    pub(in crate::consent_log) reason: String,
    /// 64 hex digits.
    pub(in crate::consent_log) reference: Option<String>,
    /// The records.
    pub(in crate::consent_log) ids: Vec<Uuid>,
}

/// The journal, open for appending.
pub(in crate::consent_log) struct Journal {
    dir: PathBuf,
    /// Opened once, so that a failed flush is met by who wrote; none before the first erasure.
    file: Option<File>,
    bytes: u64,
}

/// Why an erasure was not journalled.
#[derive(Debug)]
pub(in crate::consent_log) enum NotJournalled {
    /// Nothing of it is in the journal.
    Refused(io::Error),
    /// Whether it is, is unknown.
    Failed(io::Error),
}

impl Journal {
    /// Opens the journal of a data folder and reads what is in it.
    pub(in crate::consent_log) fn open(dir: &Path) -> Result<(Self, Vec<Line>), LogError> {
        let failed = |source| LogError::Folder { dir: dir.to_owned(), source };
        let mut journal = Self { dir: dir.to_owned(), file: None, bytes: 0 };
        let bytes = match fs::read(dir.join(ERASURES)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((journal, Vec::new())),
            Err(error) => return Err(failed(error)),
        };
        // A line that a crash cut off was never acted on.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let read = |(at, line): (usize, &[u8])| {
            serde_json::from_slice(line).map_err(|source| LogError::Journal { file: dir.join(ERASURES), line: at + 1, source })
        };
        let lines = bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let lines = lines.map(read).collect::<Result<Vec<Line>, _>>()?;
        let file = journal.create().map_err(failed)?;
        file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        (journal.file, journal.bytes) = (Some(file), whole as u64);
        Ok((journal, lines))
    }

    /// Appends a line and flushes it.
    pub(in crate::consent_log) fn append(&mut self, line: &Line) -> Result<(), NotJournalled> {
        let mut text = serde_json::to_vec(line).map_err(|error| NotJournalled::Refused(error.into()))?;
        text.push(b'\n');
        if self.file.is_none() {
            let file = self.create().map_err(NotJournalled::Refused)?;
            File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(NotJournalled::Failed)?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(error) = file.write_all(&text) {
            // A full disk: what was begun is taken back.
            return Err(match file.set_len(self.bytes) {
                Ok(()) => NotJournalled::Refused(error),
                Err(_) => NotJournalled::Failed(error),
            });
        }
        file.sync_all().map_err(NotJournalled::Failed)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.dir.join(ERASURES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent_log::{record_id, tests::folder};

    fn line() -> Line {
        let time: Timestamp = "2026-05-31T10:00:00.123Z".parse().expect("a time");
        let ids = vec![record_id(time), record_id(time)];
        Line { act: record_id(time), time, operator: "anna".to_owned(), reason: "request".to_owned(), reference: None, ids }
    }

    #[test]
    fn what_was_journalled_comes_back_and_a_torn_line_does_not() {
        let dir = folder();
        let (mut journal, lines) = Journal::open(dir.path()).expect("an empty folder");
        assert!(lines.is_empty() && !dir.path().join(ERASURES).exists(), "made by the first erasure");
        let (first, second, third) = (line(), line(), line());
        journal.append(&first).expect("journalled");
        journal.append(&second).expect("journalled");
        drop(journal);
        let file = dir.path().join(ERASURES);
        let whole = fs::read(&file).expect("readable");
        fs::write(&file, &whole[..whole.len() - 5]).expect("torn");
        let (mut journal, lines) = Journal::open(dir.path()).expect("a torn journal");
        assert_eq!(lines, std::slice::from_ref(&first));
        journal.append(&third).expect("journalled");
        assert_eq!(Journal::open(dir.path()).expect("readable").1, [first, third]);
    }

    #[test]
    fn a_journal_that_cannot_be_read_stops_the_start() {
        let dir = folder();
        fs::write(dir.path().join(ERASURES), "{\"act\":1}\n").expect("writable");
        let error = Journal::open(dir.path()).err().expect("no line of ours").to_string();
        assert!(error.contains("line 1") && error.contains(ERASURES), "{error}");
        // Kept from everybody else.
        use std::os::unix::fs::PermissionsExt as _;
        let other = folder();
        Journal::open(other.path()).expect("a folder").0.append(&line()).expect("journalled");
        let mode = fs::metadata(other.path().join(ERASURES)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
