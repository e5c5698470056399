//! The data folder: made, locked against a second process, and watched for free room.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
};

use super::LogError;

/// Locked while the log is open for writing. The number of the process stands in it.
const LOCK_FILE: &str = "consent-log.lock";

/// The folder is ours to write to, until this is dropped or the process ends in any way.
pub(super) struct FolderLock(#[expect(dead_code, reason = "holding it open holds the lock")] File);

/// Makes the folder where it is missing and takes it for this process.
pub(super) fn acquire(dir: &Path) -> Result<FolderLock, LogError> {
    let folder = |source| LogError::Folder { dir: dir.to_owned(), source };
    make(dir).map_err(folder)?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK_FILE)).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LogError::InUse { dir: dir.to_owned(), pid: holder(&mut file) }),
        Err(TryLockError::Error(source)) => return Err(folder(source)),
    }
    match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        // The lock is what counts; who holds it then stays unsaid.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
        written => written.map_err(folder)?,
    }
    Ok(FolderLock(file))
}

/// A name in a folder is durable only once the folder is flushed.
pub(super) fn flush(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| LogError::Folder { dir: dir.to_owned(), source })
}

/// The bytes that this user can still write in the folder's file system.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
