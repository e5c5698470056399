//! Backups of the log and its keys, putting one in place, and changing the key.
//!
//! A backup is a folder of its own with a manifest. It never has the journal of erasures in it: what was erased
//! after the backup was made must not come back with it, so the journal stays with the data folder (or is given)
//! and the first start on the restored log carries it out.
//!
//! A log that signed a checkpoint of some size must never sign another one of that size. A restored log is the same
//! log only where the newest checkpoint that is known shows that nothing is missing; else it goes on under a new
//! key, and so under another name.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::consent_log::{
    FILE, KEY_FILE, LogError, Order, Reader, What,
    control::order,
    folder,
    journal::ERASURES,
    key::{self, is_signed},
    tiles::{TILES, TIMESTAMPS, published_note},
    tree::{Checkpoint, Note, Verifier},
};
use crate::vocab::Hash;

const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "consent-backup/1";
/// The keys of the visitors' cookies, beside the log's: without them every visitor would be asked again.
const COOKIE_KEYS: &str = "cookie-keys";

/// What a backup is made of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    v: String,
    /// When it was begun.
    t: Timestamp,
    /// The version that wrote it.
    version: String,
    leaves: u64,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    bytes: u64,
    sha256: String,
}

/// What was backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Leaves of the log.
    pub leaves: u64,
    /// Files, the manifest not counted.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// How a backup is to be put in place.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    /// Who does it.
    pub operator: String,
    /// A journal of erasures beside the one of the data folder.
    pub erasures: Option<PathBuf>,
    /// The newest checkpoint that is known from elsewhere, as a signed note.
    pub checkpoint: Option<String>,
    /// Go on although entries are lost.
    pub accept_loss: bool,
}

/// What was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Leaves of the backup.
    pub leaves: u64,
    /// Leaves that are lost, as far as is known.
    pub lost: u64,
    /// The new public key, where the log goes on under another one.
    pub key: Option<String>,
    /// Where the published files of the log before were moved to.
    pub aside: Option<PathBuf>,
}

/// Writes a backup of the log and its keys into a folder, which is made and must be empty or not there. The gate may
/// run meanwhile.
pub fn back_up(dir: &Path, to: &Path) -> Result<BackedUp, LogError> {
    let failed = |source| LogError::Backup { path: to.to_owned(), source };
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "something is in it; name an empty folder")));
    }
    let now = Timestamp::now();
    let reader = Reader::open(dir)?;
    private_folder(&to.join(TIMESTAMPS)).map_err(failed)?;
    fs::set_permissions(to, Permissions::from_mode(0o700)).map_err(failed)?;
    // SQLite takes an empty file as a new one; made here, it is nobody else's at any moment.
    write(&to.join(FILE), b"").map_err(failed)?;
    reader.view.copy_into(&to.join(FILE))?;
    File::open(to.join(FILE)).and_then(|file| file.sync_all()).map_err(failed)?;
    let mut names = vec![FILE.to_owned(), KEY_FILE.to_owned()];
    names.extend(dir.join(COOKIE_KEYS).exists().then(|| COOKIE_KEYS.to_owned()));
    names.extend(stamps(dir));
    for name in &names[1..] {
        let bytes = fs::read(dir.join(name)).map_err(|source| LogError::Backup { path: dir.join(name), source })?;
        write(&to.join(name), &bytes).map_err(failed)?;
    }
    let files = names.iter().map(|name| Ok((name.clone(), entry(&to.join(name))?)));
    let files = files.collect::<io::Result<BTreeMap<_, _>>>().map_err(failed)?;
    let leaves = Reader::open(to)?.leaves()?;
    let told = BackedUp { leaves, files: files.len() as u64, bytes: files.values().map(|file| file.bytes).sum() };
    let manifest = Manifest { v: FORMAT.to_owned(), t: now, version: env!("CARGO_PKG_VERSION").to_owned(), leaves, files };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
    // Last: a folder without it is no backup.
    write(&to.join(MANIFEST), &text).map_err(failed)?;
    folder::flush(to)?;
    Ok(told)
}

/// Checks a backup and puts it into a data folder that has no log. What is erased by a journal that lies there, or is
/// given, is erased again before anything else happens.
pub fn restore(from: &Path, data: &Path, how: &Restore) -> Result<Restored, LogError> {
    let manifest = checked(from)?;
    let reader = Reader::open(from)?;
    let lock = folder::acquire(data)?;
    if data.join(FILE).exists() {
        return Err(LogError::Occupied { dir: data.to_owned() });
    }
    let not = |what: String| LogError::NotBackup { path: from.to_owned(), what };
    let (backed_up, own) = (key::verifiers(from)?, key::verifiers(data)?);
    let has_all = |all: &[Verifier], some: &[Verifier]| some.iter().all(|verifier| all.contains(verifier));
    // The key was changed since: the folder's file knows the backup's keys and those after them.
    let rotated = has_all(&own, &backed_up);
    if !rotated && !has_all(&backed_up, &own) {
        return Err(not(format!("{} has the keys of another log", data.join(KEY_FILE).display())));
    }
    let known = known(data, how, if rotated { &own } else { &backed_up }).map_err(not)?;
    let leaves = manifest.leaves;
    for checkpoint in known.iter().filter(|checkpoint| checkpoint.size <= leaves) {
        if reader.root(checkpoint.size)? != checkpoint.root {
            return Err(not(format!("the known checkpoint of {} entries is not one of its past", checkpoint.size)));
        }
    }
    let before = known.iter().map(|checkpoint| checkpoint.size).max();
    let lost = before.unwrap_or(0).saturating_sub(leaves);
    if lost > 0 && !how.accept_loss {
        return Err(LogError::Loss { leaves, before: leaves + lost });
    }
    let failed = |source| LogError::Folder { dir: data.to_owned(), source };
    journal(data, how).map_err(failed)?;
    let aside = put_aside(data).map_err(failed)?;
    for name in manifest.files.keys().filter(|name| *name != FILE) {
        // Visitors' cookies that were signed since stay valid.
        let stays = name == COOKIE_KEYS && data.join(name).exists() || name == KEY_FILE && rotated;
        if stays {
            continue;
        }
        let bytes = fs::read(from.join(name)).map_err(|source| LogError::Backup { path: from.join(name), source })?;
        private_folder(&data.join(TIMESTAMPS)).and_then(|()| write(&data.join(name), &bytes)).map_err(failed)?;
    }
    let key = if before == Some(leaves) { None } else { Some(key::renew(data)?.to_string()) };
    // What SQLite wrote ahead for a database that is gone must not be read into this one.
    for part in ["-wal", "-shm"] {
        match fs::remove_file(data.join(format!("{FILE}{part}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    // Last, and whole or not at all: until then there is no log here.
    let beside = data.join("consent-log.db.new");
    write(&beside, b"").and_then(|()| fs::copy(from.join(FILE), &beside)).map_err(failed)?;
    File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, data.join(FILE)).map_err(failed)?;
    folder::flush(data)?;
    drop(lock);
    // Opening it carries the journal out.
    let put_on_record = |what| order(data, &Order { operator: how.operator.clone(), what, dry_run: false });
    put_on_record(What::Restore { leaves, before: leaves + lost })?;
    if let Some(key) = &key {
        put_on_record(What::RotateKey { key: key.clone() })?;
    }
    Ok(Restored { leaves, lost, key, aside })
}

/// Gives the log of a data folder a new key and with it a new name; older checkpoints stay valid with the old one.
/// Not while a gate runs on the folder: it signs with the key that it started with. The log says so itself, in the
/// first leaf under the new key. Returns the new public key.
pub fn rotate_key(dir: &Path, operator: &str) -> Result<String, LogError> {
    // Only where there is a log: a key alone is made at the first start.
    Reader::open(dir)?;
    let lock = folder::acquire(dir)?;
    let key = key::renew(dir)?.to_string();
    drop(lock);
    let what = What::RotateKey { key: key.clone() };
    order(dir, &Order { operator: operator.to_owned(), what, dry_run: false })?;
    Ok(key)
}

/// The manifest of a backup that is as it was written, and whose log verifies.
fn checked(from: &Path) -> Result<Manifest, LogError> {
    let failed = |source| LogError::Backup { path: from.join(MANIFEST), source };
    let not = |what: String| LogError::NotBackup { path: from.to_owned(), what };
    let text = fs::read(from.join(MANIFEST)).map_err(failed)?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| not(format!("its manifest: {error}")))?;
    if manifest.v != FORMAT {
        return Err(not(format!("its format `{}` is not known to this version", manifest.v)));
    }
    for (name, wanted) in &manifest.files {
        let stamp = name.strip_prefix(TIMESTAMPS).and_then(|name| name.strip_prefix('/')?.strip_suffix(".tsr"));
        let named =
            [FILE, KEY_FILE, COOKIE_KEYS].contains(&name.as_str()) || stamp.is_some_and(|size| size.parse::<u64>().is_ok());
        if !named {
            return Err(not(format!("its manifest names `{name}`")));
        }
        let found = entry(&from.join(name)).map_err(|source| LogError::Backup { path: from.join(name), source })?;
        if found != *wanted {
            return Err(not(format!("{name} is not as it was written")));
        }
    }
    if !manifest.files.contains_key(FILE) || !manifest.files.contains_key(KEY_FILE) {
        return Err(not("log or key are missing".to_owned()));
    }
    let verified = Reader::open(from)?.verify(None, &mut |_, _| {})?;
    if let Some(first) = verified.findings.first() {
        return Err(not(format!("index {}: {}", first.index, first.what)));
    }
    if verified.leaves != manifest.leaves {
        return Err(not(format!("it has {} entries and its manifest says {}", verified.leaves, manifest.leaves)));
    }
    Ok(manifest)
}

/// What is known of the log: what it published here, what was pushed to others, what is given.
fn known(data: &Path, how: &Restore, verifiers: &[Verifier]) -> Result<Vec<Checkpoint>, String> {
    let mut known = Vec::new();
    let mut notes: Vec<(String, String)> = Vec::new();
    notes.extend(how.checkpoint.clone().map(|note| ("the given checkpoint".to_owned(), note)));
    notes.extend(published_note(data).map(|note| (data.join(TILES).join("checkpoint").display().to_string(), note)));
    let pushed = fs::read_dir(data.join(crate::consent_log::witness::PUSHED)).into_iter().flatten().flatten();
    notes.extend(pushed.filter_map(|file| Some((file.path().display().to_string(), fs::read_to_string(file.path()).ok()?))));
    for (what, text) in notes {
        let note = Note::parse(&text).ok().filter(|note| is_signed(verifiers, note));
        match note.and_then(|note| Checkpoint::parse(&note.text).ok()) {
            Some(checkpoint) => known.push(checkpoint),
            None => return Err(format!("{what} is not signed with a key of this log: it is another log's")),
        }
    }
    Ok(known)
}

/// The journal of the data folder, with the lines of the given one that are not in it.
fn journal(data: &Path, how: &Restore) -> io::Result<()> {
    let Some(given) = &how.erasures else { return Ok(()) };
    let own = match fs::read_to_string(data.join(ERASURES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        own => own?,
    };
    let given = fs::read_to_string(given)?;
    let more: String =
        given.lines().filter(|line| !own.lines().any(|own| own == *line)).map(|line| format!("{line}\n")).collect();
    let beside = data.join(ERASURES).with_extension("erasures.new");
    write(&beside, (own + &more).as_bytes())?;
    fs::rename(beside, data.join(ERASURES))
}

/// The tree that was published here is another one's past from now on. It is kept: it is what was promised.
fn put_aside(data: &Path) -> io::Result<Option<PathBuf>> {
    if !data.join(TILES).exists() {
        return Ok(None);
    }
    let free = (1..).map(|nth| data.join(format!("{TILES}.before-restore-{nth}"))).find(|path| !path.exists());
    let Some(aside) = free else { return Ok(None) };
    fs::rename(data.join(TILES), &aside)?;
    Ok(Some(aside))
}

fn stamps(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join(TIMESTAMPS)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".tsr")).map(|name| format!("{TIMESTAMPS}/{name}")).collect()
}

fn entry(file: &Path) -> io::Result<Entry> {
    let (mut input, mut hash, mut bytes) = (File::open(file)?, Sha256::new(), 0);
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            return Ok(Entry { bytes, sha256: Hash(hash.finalize().into()).to_string() });
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file of its own that only the owner reads, flushed.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(bytes)?;
    out.sync_all()
}

#[cfg(test)]
mod tests;
