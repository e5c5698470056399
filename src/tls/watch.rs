//! Whether certificate files have changed: by size, time of change and inode, so that a swapped
//! symlink counts, and only once they stand still, so that a half-written pair is not read.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::config::CertificateFiles;

/// Size, time of change in nanoseconds, device and inode; `None` for a file that is not there.
type Print = Option<(u64, i64, i64, u64, u64)>;

/// What was seen of the files.
pub(super) struct Watched {
    /// When they were last read.
    applied: Vec<Print>,
    /// At the last look.
    last: Vec<Print>,
}

impl Watched {
    /// As they are now.
    pub(super) fn new(files: &[CertificateFiles]) -> Self {
        let now = look(files);
        Self { applied: now.clone(), last: now }
    }

    /// Looks once; true if they differ from what was last read and stand still. They then count as read.
    pub(super) fn changed(&mut self, files: &[CertificateFiles]) -> bool {
        let now = look(files);
        let settled = now == self.last && now != self.applied;
        if settled {
            self.applied.clone_from(&now);
        }
        self.last = now;
        settled
    }
}

fn look(files: &[CertificateFiles]) -> Vec<Print> {
    files.iter().flat_map(|files| [print(&files.cert), print(&files.key)]).collect()
}

fn print(file: &Path) -> Print {
    let meta = fs::metadata(file).ok()?;
    Some((meta.size(), meta.mtime(), meta.mtime_nsec(), meta.dev(), meta.ino()))
}
