//! Room on the disk, and a log that waits for it.
//!
//! A failed write stops the log until a new process begins. On a full disk a new process would be no better off:
//! so a full disk ends nothing. The log then records nothing, whoever runs it goes on with what needs no record,
//! and is told to begin anew once there is room.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{
    error::LogError,
    folder,
    journal::Journal,
    store::StoreError,
    writer::{ConsentLog, Health, Options, Shared},
};

/// With less free room than this, in bytes, a log cannot even be opened.
const START_BYTES: u64 = 1 << 20;

/// How often a full disk is asked whether there is room again.
const ASKED_EVERY: Duration = Duration::from_secs(1);

impl ConsentLog {
    /// Opens or makes the log in a data folder and takes the folder for this process. One that is there and cannot
    /// be opened for want of room is given as one that has failed: see [`failed`](Self::failed).
    pub fn open(dir: &Path, options: Options) -> Result<Self, LogError> {
        match Self::begin(dir, options.clone()) {
            Err(LogError::Store { source, .. }) if source.is_for_want_of_room() => Self::without_room(dir, options, source),
            opened => opened,
        }
    }

    /// Resolves once nothing is recorded any more and a new process would mend it: a write failed, or the
    /// writer is gone. While the disk is full it would not: then this waits until there is room again.
    pub async fn failed(&self) -> LogError {
        let (mut failed, mut stopped) = (self.shared.failed.subscribe(), self.stopped.clone());
        tokio::select! {
            // Its sender lives as long as this log.
            _ = failed.wait_for(|failed| *failed) => {}
            _ = stopped.changed() => {}
        }
        while self.shared.no_room().is_some() {
            tokio::time::sleep(ASKED_EVERY).await;
        }
        self.shared.poisoned.get().map_or(LogError::Closed, |first| self.shared.stopped(first))
    }

    /// Nothing is opened. What was erased is known all the same: it stands in the journal.
    fn without_room(dir: &Path, options: Options, why: StoreError) -> Result<Self, LogError> {
        let (_, lines) = Journal::open(dir)?;
        // The other ends are gone: there is no writer.
        let (queue, _) = mpsc::channel(1);
        let (_, stopped) = watch::channel(());
        let shared = Arc::new(Shared::new(dir, options));
        shared.add_erased(&lines.into_iter().flat_map(|line| line.ids).collect::<Vec<_>>());
        shared.poison(why);
        Ok(Self { queue, stopped, shared })
    }
}

impl Shared {
    /// The health of a log that a new process could not open either. A disk that does not tell is not full.
    pub(super) fn no_room(&self) -> Option<Health> {
        let reserve_bytes = self.options.reserve_bytes;
        let free = folder::free_bytes(&self.dir).ok().filter(|free| *free < reserve_bytes.max(START_BYTES));
        free.map(|free_bytes| Health::LowDisk { free_bytes, reserve_bytes })
    }
}
