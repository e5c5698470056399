//! The tree's tiles as files, for whoever serves, copies or checks the log without its database:
//! `consent-log/checkpoint`, `consent-log/tile/…` and `consent-log/tile/entries/…` under the data folder.
//!
//! They hold commitments and hashes only, nothing about a person, and all of it follows from the database:
//! what a crash leaves half is written again. A thread of its own writes them, about once a second while
//! something changes, so that no decision waits for them. The checkpoint is written last: it never names a
//! tree whose tiles are not there.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::{
    LogError,
    store::View,
    tree::{
        Checkpoint, Nodes, Note, leaf, parent,
        tile::{self, Tile, WIDTH},
    },
};
use crate::vocab::Hash;

/// The folder of the published log, in the data folder.
pub const TILES: &str = "consent-log";
/// Time stamps of checkpoints, `N.tsr` for the one of N leaves, in the data folder.
pub(super) const TIMESTAMPS: &str = "consent-log/timestamps";
/// The newest checkpoint, in that folder.
const CHECKPOINT: &str = "checkpoint";
/// At most one round of writing in so long.
const EVERY: Duration = Duration::from_secs(1);

/// Writes tiles while it lives; dropping it writes what is left and ends.
pub(super) struct Publisher {
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The tree's nodes from the database, by way of full tiles where they are there. Blocks of leaves are kept.
pub(super) struct Stored<'v> {
    view: &'v View,
    folder: PathBuf,
    /// Leaves of the tree that is asked about: nothing is read behind them.
    size: u64,
    blocks: std::cell::RefCell<HashMap<(u8, u64), Vec<Hash>>>,
}

/// The checkpoint that was published last; `None` where there is none or nothing that can be read.
pub(super) fn published(dir: &Path) -> Option<Checkpoint> {
    Checkpoint::parse(&Note::parse(&published_note(dir)?).ok()?.text).ok()
}

/// Likewise as it stands in its file, whatever that is.
pub(super) fn published_note(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(TILES).join(CHECKPOINT)).ok()
}

/// Brings the files up to the newest checkpoint of the database.
fn publish(dir: &Path) -> Result<(), LogError> {
    let view = View::open(dir)?;
    let Some(newest) = view.newest_checkpoint()? else { return Ok(()) };
    let before = published(dir).map_or(0, |checkpoint| checkpoint.size);
    if before >= newest.size {
        return Ok(());
    }
    let folder = dir.join(TILES);
    let failed = |source| LogError::Folder { dir: folder.clone(), source };
    let nodes = Stored::new(&view, dir, newest.size);
    for tile in tile::grown(before, newest.size) {
        if tile.level == 0 {
            let start = tile.index * WIDTH;
            let bundle = tile::bundle(&view.commitments(start..start + u64::from(tile.width))?);
            write(&folder, &tile::entries_path(tile.index, tile.width), &bundle).map_err(failed)?;
        }
        write(&folder, &tile.path(), &tile.write(&nodes)?).map_err(failed)?;
    }
    write(&folder, CHECKPOINT, newest.note.as_bytes()).map_err(failed)
}

/// Whole or not at all. Partial tiles make way for the full one.
fn write(folder: &Path, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = folder.join(path);
    let parent = file.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let mut beside = file.clone().into_os_string();
    beside.push(".new");
    let mut out = File::create(&beside)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&beside, &file)?;
    File::open(parent)?.sync_all()?;
    let mut partial = file.into_os_string();
    partial.push(".p");
    match fs::remove_dir_all(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn start(dir: &Path) -> Result<Self, LogError> {
        let (wake, woken) = mpsc::sync_channel(1);
        let folder = dir.to_owned();
        let run = move || {
            let mut told = false;
            let mut round = || match publish(&folder) {
                Ok(()) => told = false,
                Err(error) if !told => {
                    told = true;
                    let causes = crate::wire::Causes(&error).to_string();
                    tracing::error!(
                        "the tiles of the consent log cannot be written; decisions are recorded all the same: {causes}"
                    );
                }
                Err(_) => {}
            };
            // What the last process left undone.
            round();
            while woken.recv().is_ok() {
                round();
                let until = Instant::now() + EVERY;
                let mut more = false;
                loop {
                    match woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
                        Ok(()) => more = true,
                        Err(RecvTimeoutError::Timeout) => break,
                        Err(RecvTimeoutError::Disconnected) => return round(),
                    }
                }
                if more {
                    round();
                }
            }
            round();
        };
        let spawned = thread::Builder::new().name("consent-log-tiles".to_owned()).spawn(run);
        let thread = spawned.map_err(|source| LogError::Folder { dir: dir.to_owned(), source })?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// There is a new checkpoint. Never waits.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full: it is awake already.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Stored ===

impl<'v> Stored<'v> {
    pub(super) fn new(view: &'v View, dir: &Path, size: u64) -> Self {
        Self { view, folder: dir.join(TILES), size, blocks: std::cell::RefCell::default() }
    }

    /// From leaves alone, whatever the files say.
    pub(super) fn without_files(view: &'v View, size: u64) -> Self {
        Self { view, folder: PathBuf::new(), size, blocks: std::cell::RefCell::default() }
    }

    /// The 256 hashes, or fewer at the right edge, of one tile.
    fn block(&self, level: u8, index: u64) -> Result<Vec<Hash>, LogError> {
        if level == 0 {
            let start = index * WIDTH;
            return Ok(self.view.commitments(start..(start + WIDTH).min(self.size))?.iter().map(leaf).collect());
        }
        let full = Tile { level, index, width: WIDTH as u16 };
        let file = (!self.folder.as_os_str().is_empty()).then(|| fs::read(self.folder.join(full.path())).ok()).flatten();
        if let Some(hashes) = file.and_then(|bytes| full.read(&bytes).ok()) {
            return Ok(hashes);
        }
        let width = ((self.size >> (8 * level)).saturating_sub(index * WIDTH)).min(WIDTH);
        (0..width).map(|at| self.whole(level - 1, index * WIDTH + at)).collect()
    }

    /// The root of a full tile.
    fn whole(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let mut row = self.block(level, index)?;
        while row.len() > 1 {
            row = row.chunks(2).map(|pair| if let [left, right] = pair { parent(left, right) } else { pair[0] }).collect();
        }
        row.pop().ok_or_else(|| self.view.gap(index << (8 * (level + 1))))
    }
}

impl Nodes for Stored<'_> {
    type Error = LogError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let (own, below) = (level / 8, level % 8);
        let first = index << below;
        let (tile, at) = (first / WIDTH, (first % WIDTH) as usize);
        let kept = self.blocks.borrow().get(&(own, tile)).cloned();
        let hashes = match kept {
            Some(hashes) => hashes,
            None => {
                let hashes = self.block(own, tile)?;
                self.blocks.borrow_mut().insert((own, tile), hashes.clone());
                hashes
            }
        };
        let mut row = hashes.get(at..at + (1 << below)).ok_or_else(|| self.view.gap(index << level))?.to_vec();
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        }
        Ok(row[0])
    }
}
