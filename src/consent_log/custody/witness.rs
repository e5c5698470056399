//! What goes to a second party: the newest checkpoint, and never one that does not grow from the one before.
//!
//! Whoever holds key and disk can write another log. Who else holds a checkpoint can tell. Here is what is to be
//! pushed, what was pushed last, and how long ago that went well; how it gets there is [`crate::app`]'s.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::consent_log::{
    LogError, Reader,
    key::{self, is_signed},
    record::words,
    tiles::{Stored, TIMESTAMPS},
    tree::{self, Checkpoint, Note},
};

/// What was pushed last: a signed note for each way, in the data folder.
pub(in crate::consent_log) const PUSHED: &str = "consent-log/pushed";

words! {
    /// A way to a second party.
    Way {
        /// Appended to a file elsewhere.
        File = "file",
        /// Given to a program.
        Command = "command",
        /// Stamped by a time-stamping authority (RFC 3161).
        Timestamp = "timestamp",
    }
}

/// Why a checkpoint is not pushed.
#[derive(Debug, thiserror::Error)]
pub enum NotPushed {
    /// The log could not be read, or what is remembered could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It does not grow from what was pushed before.
    #[error(
        "the newest checkpoint (of {new} entries) does not grow from the one pushed before (of {old}). It is not pushed: entries were changed or cut off, or an older copy was put in place. Run `consentry log verify`, and keep everything as it is"
    )]
    Fork {
        /// Leaves of the one pushed before.
        old: u64,
        /// Leaves of the newest one.
        new: u64,
    },
}

/// The checkpoints of one data folder on their way to second parties.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
}

/// How pushing goes, for whoever asks: a row for each way.
#[derive(Debug)]
pub struct Pushes {
    alarm_after: Duration,
    rows: Mutex<Vec<Row>>,
}

#[derive(Debug)]
struct Row {
    way: Way,
    /// When the second party last had the newest checkpoint.
    good: SystemTime,
    /// Why the last try failed.
    fault: Option<String>,
    /// A fork is told at once.
    fork: bool,
    failures: u64,
}

/// How one way goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Which.
    pub way: Way,
    /// Since the second party last had the newest checkpoint.
    pub age: Duration,
    /// Tries that failed since the start.
    pub failures: u64,
    /// What to tell the operator, where it has failed for too long.
    pub alarm: Option<String>,
}

// === impl Witness ===

impl Witness {
    /// Of the log in a data folder.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The newest checkpoint, where it is to be pushed: `None` where the second party has it, or nothing was ever
    /// recorded. `there` is what the second party is found to have, if it can be asked.
    pub fn due(&self, way: Way, there: Option<&str>) -> Result<Option<String>, NotPushed> {
        let reader = Reader::open(&self.dir)?;
        let Some(newest) = reader.newest_checkpoint()? else { return Ok(None) };
        let last = self.last(way);
        if last.as_deref() == Some(newest.note.as_str()) && there.is_none_or(|there| there == newest.note) {
            return Ok(None);
        }
        let verifiers = key::verifiers(&self.dir)?;
        let checkpoint = |note: &str| {
            let note = Note::parse(note).ok().filter(|note| is_signed(&verifiers, note))?;
            Checkpoint::parse(&note.text).ok()
        };
        let broken = || NotPushed::Fork { old: 0, new: newest.size };
        let new = checkpoint(&newest.note).ok_or_else(broken)?;
        // Under another name it is another log: one that was restored with a loss, and says so in an act.
        let before = last.as_deref().into_iter().chain(there).filter_map(checkpoint).filter(|old| old.origin == new.origin);
        for old in before {
            if !reader.grows(&old, &new)? {
                return Err(NotPushed::Fork { old: old.size, new: new.size });
            }
        }
        Ok(Some(newest.note))
    }

    /// Remembers what was pushed.
    pub fn pushed(&self, way: Way, note: &str) -> Result<(), LogError> {
        self.write(&Path::new(PUSHED).join(way.as_str()), note.as_bytes())
    }

    /// Keeps the time stamp of a checkpoint, a whole answer of RFC 3161.
    pub fn keep_timestamp(&self, note: &str, reply: &[u8]) -> Result<(), LogError> {
        let size = Note::parse(note).ok().and_then(|note| Checkpoint::parse(&note.text).ok()).map_or(0, |of| of.size);
        self.write(&Path::new(TIMESTAMPS).join(format!("{size}.tsr")), reply)
    }

    /// When something was last pushed this way, by the file that remembers it.
    fn when(&self, way: Way) -> Option<SystemTime> {
        fs::metadata(self.dir.join(PUSHED).join(way.as_str())).and_then(|file| file.modified()).ok()
    }

    fn last(&self, way: Way) -> Option<String> {
        fs::read_to_string(self.dir.join(PUSHED).join(way.as_str())).ok()
    }

    /// Whole or not at all.
    fn write(&self, name: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let file = self.dir.join(name);
        let write = || -> io::Result<()> {
            let folder = file.parent().unwrap_or(&self.dir);
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let beside = file.with_extension("new");
            let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            out.write_all(bytes)?;
            out.sync_all()?;
            fs::rename(&beside, &file)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| LogError::Folder { dir: self.dir.clone(), source })
    }
}

impl Reader {
    /// Whether the tree of `old` is the beginning of the one of `new`.
    fn grows(&self, old: &Checkpoint, new: &Checkpoint) -> Result<bool, LogError> {
        if old.size == 0 || old.size > new.size {
            return Ok(false);
        }
        let path = tree::consistency(&Stored::without_files(&self.view, new.size), old.size, new.size)?;
        Ok(tree::proves_consistency(old.size, &old.root, new.size, &new.root, &path))
    }
}

/// The last whole note in what was appended note by note.
pub fn last_note(text: &str) -> Option<&str> {
    let end = text.rfind("\n\u{2014} ")?;
    let end = end + 1 + text[end + 1..].find('\n')? + 1;
    let start = text[..end].rmatch_indices('\n').nth(5).map_or(0, |(at, _)| at + 1);
    Some(&text[start..end])
}

// === impl Pushes ===

impl Pushes {
    /// None of them tried yet in this process; what was pushed before it counts.
    pub fn new(witness: &Witness, ways: &[Way], alarm_after: Duration) -> Self {
        let row = |way: &Way| {
            let good = witness.when(*way).unwrap_or_else(SystemTime::now);
            Row { way: *way, good, fault: None, fork: false, failures: 0 }
        };
        Self { alarm_after, rows: Mutex::new(ways.iter().map(row).collect()) }
    }

    /// The second party has the newest checkpoint.
    pub fn good(&self, way: Way) {
        self.row(way, |row| (row.good, row.fault, row.fork) = (SystemTime::now(), None, false));
    }

    /// It was not pushed. Returns whether the operator was not told of that yet.
    pub fn failed(&self, way: Way, fault: &str, fork: bool) -> bool {
        let mut new = false;
        self.row(way, |row| {
            new = row.fault.as_deref() != Some(fault);
            row.failures += 1;
            (row.fault, row.fork) = (Some(fault.to_owned()), fork);
        });
        new
    }

    /// How each way goes.
    pub fn told(&self) -> Vec<Pushed> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |row: &Row| {
            let age = row.good.elapsed().unwrap_or_default();
            let late = age > self.alarm_after || row.fork;
            let alarm = row.fault.as_ref().filter(|_| late).map(|fault| {
                let hours = age.as_secs() / 3600;
                format!("no checkpoint of the consent log has reached a second party by {} for {hours} h: {fault}", row.way)
            });
            Pushed { way: row.way, age, failures: row.failures, alarm }
        };
        rows.iter().map(told).collect()
    }

    fn row(&self, way: Way, change: impl FnOnce(&mut Row)) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.iter_mut().find(|row| row.way == way) {
            change(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent_log::{
        ConsentLog, FILE, record_id,
        tests::{folder, ready, record, small},
    };

    #[tokio::test]
    async fn each_checkpoint_is_pushed_once_and_only_what_grows() {
        let dir = folder();
        let log = ready(dir.path(), small()).await;
        log.close().await;
        let witness = Witness::new(dir.path());
        let first = witness.due(Way::File, None).expect("readable").expect("a checkpoint");
        witness.pushed(Way::File, &first).expect("remembered");
        assert_eq!(witness.due(Way::File, None).expect("readable"), None, "it has it");
        assert_eq!(witness.due(Way::File, Some("")).expect("readable"), Some(first.clone()), "the file was emptied");
        assert_eq!(witness.due(Way::Command, None).expect("readable"), Some(first.clone()), "another has its own");
        // A copy of the log from here goes another way than the log itself.
        let old = fs::read(dir.path().join(FILE)).expect("a log");
        let decided = async || {
            let log = ConsentLog::open(dir.path(), small()).expect("the log");
            let own = crate::consent_log::Record { id: record_id(record().time), ..record() };
            log.append(own).await.expect("a decision");
            log.close().await;
        };
        decided().await;
        let second = witness.due(Way::File, Some(&first)).expect("it grew").expect("a checkpoint");
        assert_ne!(second, first);
        witness.pushed(Way::File, &second).expect("remembered");
        fs::write(dir.path().join(FILE), old).expect("an older copy");
        for name in ["checkpoint", "tile"] {
            let path = dir.path().join(crate::consent_log::TILES).join(name);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        assert!(matches!(witness.due(Way::File, None), Err(NotPushed::Fork { old: 3, new: 2 })), "the end is cut off");
        assert!(matches!(witness.due(Way::Command, Some(&second)), Err(NotPushed::Fork { old: 3, new: 2 })));
        decided().await;
        assert!(matches!(witness.due(Way::File, None), Err(NotPushed::Fork { old: 3, new: 3 })), "another history");
        assert_eq!(last_note(&format!("{first}{second}")), Some(second.as_str()));
        assert_eq!(last_note(&first), Some(first.as_str()));
        assert_eq!(last_note(&format!("{first}{}", &second[..20])), Some(first.as_str()), "a torn end");
        assert_eq!(last_note(""), None);
    }

    #[test]
    fn an_alarm_needs_a_fault_that_lasts_and_a_fork_does_not() {
        let dir = folder();
        let pushes = |after| Pushes::new(&Witness::new(dir.path()), &[Way::File], after);
        let alarm = |pushes: &Pushes| pushes.told().remove(0).alarm;
        let patient = pushes(Duration::from_secs(3600));
        assert!(patient.failed(Way::File, "the disk is away", false), "told once");
        assert!(!patient.failed(Way::File, "the disk is away", false), "and not again");
        assert_eq!((alarm(&patient), patient.told()[0].failures), (None, 2));
        patient.failed(Way::File, "fork", true);
        assert!(alarm(&patient).is_some_and(|alarm| alarm.contains("fork")));
        let strict = pushes(Duration::ZERO);
        assert_eq!(alarm(&strict), None, "nothing failed");
        strict.failed(Way::File, "the disk is away", false);
        assert!(alarm(&strict).is_some());
        strict.good(Way::File);
        assert_eq!(alarm(&strict), None);
    }
}
