//! The writer: one thread that commits what queued during the last flush as one batch.
//!
//! There is no timer: an idle log commits a single decision at once, a busy one commits many with
//! one flush. What goes wrong while writing stops the log for good (see the contract in `store`);
//! the way back is a new process, whose start re-reads and re-flushes what is on the disk.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    control::Listener,
    deeds::{self, ReplayError},
    error::LogError,
    folder::{self, FolderLock},
    impressions::{Impressions, Shown},
    journal::{Journal, Line},
    key::{self, Keys},
    leaf::{Content, Entry, NoticeLeaf, PolicyLeaf},
    order::{Done, Order},
    reader::Reader,
    record::Record,
    store::{self, CommitError, Outcome, Refusal, Store, StoreError, Synchronous},
    tiles::Publisher,
    tree::{Checkpoint, Frontier, Signer},
    verify::Proof,
};
use crate::vocab::Hash;

/// The consent log, open for writing. Dropping it lets the writer finish what is queued.
pub struct ConsentLog {
    pub(super) queue: mpsc::Sender<Message>,
    pub(super) stopped: watch::Receiver<()>,
    pub(super) shared: Arc<Shared>,
}

/// Bounds of the log.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many decisions may wait for the disk; one more is refused at once.
    pub queue_max: usize,
    /// How many leaves one flush covers at most.
    pub batch_max: usize,
    /// What must stay free in the file system, in bytes; below it nothing is recorded.
    pub reserve_bytes: u64,
    /// How commits are flushed.
    #[doc(hidden)]
    pub synchronous: Synchronous,
    /// Whether a tree is signed and published. Only the bench does without, to see what it costs.
    #[doc(hidden)]
    pub tree: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue_max: 4096, batch_max: 1024, reserve_bytes: 64 << 20, synchronous: Synchronous::Full, tree: true }
    }
}

/// Between two attempts to wipe what a reader kept in the write-ahead log: decisions wait for each.
const WIPE_EVERY: Duration = Duration::from_secs(5);

/// A decision that is on the disk. Only the log makes one, after the flush.
#[derive(Clone, Debug)]
pub struct Recorded {
    record: Record,
    index: u64,
}

/// Whether decisions can be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They can.
    Ready,
    /// Not until there is room on the disk.
    LowDisk {
        /// What is free, in bytes.
        free_bytes: u64,
        /// What must stay free, in bytes.
        reserve_bytes: u64,
    },
    /// Not until the process is started again: a write failed.
    Poisoned {
        /// The first failure.
        first: String,
    },
    /// The log was closed, or its writer is gone.
    Closed,
}

pub(super) enum Message {
    Write(Box<Work>),
    Order(Box<Order>, oneshot::Sender<Result<Done, LogError>>),
    /// What a reader kept in the write-ahead log is to be wiped.
    Wipe,
    /// Counts of notices shown are to be added up.
    Impressions,
    Close,
}

pub(super) struct Work {
    entry: Entry,
    reply: oneshot::Sender<Result<u64, LogError>>,
}

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) file: PathBuf,
    pub(super) options: Options,
    /// As of the newest commit.
    leaves: AtomicU64,
    /// Set once, by the first write that fails.
    pub(super) poisoned: OnceLock<Arc<StoreError>>,
    /// Turns true with `poisoned`.
    pub(super) failed: watch::Sender<bool>,
    /// The newest signed note.
    checkpoint: Mutex<Option<Arc<str>>>,
    /// Records that were erased: a cookie that names one says nothing.
    erased: ArcSwap<HashSet<Uuid>>,
    /// Notices shown that are not added up yet.
    impressions: Impressions,
}

// === impl ConsentLog ===

impl ConsentLog {
    /// [`ConsentLog::open`], on a disk with room.
    pub(super) fn begin(dir: &Path, options: Options) -> Result<Self, LogError> {
        let lock = folder::acquire(dir)?;
        let mut store = Store::open(dir, options.synchronous)?.with_tree(options.tree);
        let keys = key::open(dir)?;
        let (journal, lines) = Journal::open(dir)?;
        folder::flush(dir)?;
        // Nothing is added behind leaves that are not what was written.
        let reader = Reader::open(dir)?;
        reader.check_newest()?;
        reader.check_newest_checkpoint(store.tree())?;
        let (queue, received) = mpsc::channel(options.queue_max);
        let (running, stopped) = watch::channel(());
        let file = dir.join(store::FILE);
        if reader.newest_checkpoint()?.is_none_or(|newest| newest.size < store.tree().size()) && store.tree().size() > 0 {
            // An older version wrote these leaves, without a tree.
            let signed = store.commit(&[], |tree| sign(&keys.signer, tree));
            signed.map_err(|error| error.opening(&dir.join(store::FILE)))?;
        }
        replay(&mut store, &keys, &lines, &file)?;
        let erased = store.erased().map_err(|source| LogError::Store { file: file.clone(), source })?;
        let erased = ArcSwap::from_pointee(erased.into_iter().chain(lines.into_iter().flat_map(|line| line.ids)).collect());
        let checkpoint = Mutex::new(reader.newest_checkpoint()?.map(|newest| newest.note.into()));
        let leaves = AtomicU64::new(store.tree().size());
        let shared = Arc::new(Shared { leaves, checkpoint, erased, ..Shared::new(dir, options) });
        let publisher = Publisher::start(dir)?;
        let control = listener(dir, queue.downgrade());
        let writer = Writer {
            control,
            store,
            signer: keys.signer,
            publisher,
            journal,
            queue: queue.downgrade(),
            wiping: false,
            shared: Arc::clone(&shared),
            _lock: lock,
            _running: running,
        };
        let spawned = thread::Builder::new().name("consent-log".to_owned()).spawn(move || writer.run(received));
        spawned.map_err(|source| LogError::Folder { dir: dir.to_owned(), source })?;
        Ok(Self { queue, stopped, shared })
    }

    /// Records a decision. Returns once it is on the disk; dropping the future before that does not
    /// take the write back.
    ///
    /// Its notice and its policy must be in the log. The same record twice is written once.
    pub async fn append(&self, record: Record) -> Result<Recorded, LogError> {
        let entry = Entry::decision(&record)?;
        // What the cookie is made from is what stands in the log, times cut to the millisecond included.
        let record = Record::parse(entry.bytes.as_bytes())?;
        let index = self.write(entry).await?;
        Ok(Recorded { record, index })
    }

    /// Puts a notice into the log unless it is there. Returns its index once it is on the disk.
    pub async fn ensure_notice(&self, notice: NoticeLeaf) -> Result<u64, LogError> {
        self.write(Entry::notice(notice, Timestamp::now())?).await
    }

    /// Puts a policy into the log unless it is there with the same files. Returns its index once it
    /// is on the disk.
    pub async fn ensure_policy(&self, policy: &PolicyLeaf) -> Result<u64, LogError> {
        self.write(Entry::policy(policy, Timestamp::now())?).await
    }

    /// Carries an order out. Returns once what it did is on the disk.
    pub async fn carry_out(&self, order: Order) -> Result<Done, LogError> {
        if let Some(first) = self.shared.poisoned.get() {
            return Err(self.shared.stopped(first));
        }
        let (reply, answer) = oneshot::channel();
        self.send(Message::Order(Box::new(order), reply))?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// Whether an act of erasure deleted this record: a cookie that names it is as if there were none.
    pub fn is_erased(&self, record: Uuid) -> bool {
        self.shared.is_erased(record)
    }

    /// Counts that a notice was shown to somebody who had not decided. `site` is the site's host, `*` where its
    /// configuration names none: what a visitor sends makes no new count. Never waits; a crash loses a minute of it.
    pub fn count_impression(&self, now: Timestamp, site: &str, regime: &str, notice: Hash) {
        if self.shared.impressions.add(Shown::at(now, site, regime, notice)) {
            // Full or closed: they are taken along the next time.
            let _ = self.queue.try_send(Message::Impressions);
        }
    }

    /// The newest signed checkpoint: what the log says its tree is. `None` while nothing was ever recorded.
    pub fn checkpoint(&self) -> Option<Arc<str>> {
        self.shared.checkpoint()
    }

    /// One record and the proof that it stands in the log. Reads beside the writer.
    pub async fn prove(&self, id: Uuid) -> Result<Proof, LogError> {
        let dir = self.shared.dir.clone();
        let read = tokio::task::spawn_blocking(move || Reader::open(&dir)?.prove(&id.to_string()));
        read.await.unwrap_or(Err(LogError::Closed))
    }

    /// Whether decisions can be recorded now.
    pub fn health(&self) -> Health {
        if let Some(first) = self.shared.poisoned.get() {
            return self.shared.no_room().unwrap_or_else(|| Health::Poisoned { first: first.to_string() });
        }
        if self.queue.is_closed() {
            return Health::Closed;
        }
        match self.shared.room() {
            Err(LogError::DiskReserve { free_bytes, reserve_bytes, .. }) => Health::LowDisk { free_bytes, reserve_bytes },
            Err(_) => Health::LowDisk { free_bytes: 0, reserve_bytes: self.shared.options.reserve_bytes },
            Ok(()) => Health::Ready,
        }
    }

    /// How many decisions, notices and policies wait for the disk.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How many leaves stand in the log: decisions, notices and policies.
    pub fn leaves(&self) -> u64 {
        self.shared.leaves.load(Ordering::Relaxed)
    }

    /// The bytes that can still be written to the disk of the data folder.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        folder::free_bytes(&self.shared.dir)
    }

    /// Takes no more, writes what is queued, brings everything into the one file and lets the folder go.
    pub async fn close(&self) {
        // An error means that the writer is gone already.
        let _ = self.queue.send(Message::Close).await;
        // The writer never sends; the error says that it has dropped its end, after the lock.
        let _ = self.stopped.clone().changed().await;
    }

    async fn write(&self, entry: Entry) -> Result<u64, LogError> {
        if let Some(first) = self.shared.poisoned.get() {
            return Err(self.shared.stopped(first));
        }
        let (reply, answer) = oneshot::channel();
        self.send(Message::Write(Box::new(Work { entry, reply })))?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    fn send(&self, message: Message) -> Result<(), LogError> {
        self.queue.try_send(message).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => LogError::QueueFull(self.shared.options.queue_max),
            mpsc::error::TrySendError::Closed(_) => LogError::Closed,
        })
    }
}

// === impl Recorded ===

impl Recorded {
    /// The record's id.
    pub fn id(&self) -> Uuid {
        self.record.id
    }

    /// Its index in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When the decision was made.
    pub fn time(&self) -> Timestamp {
        self.record.time
    }

    /// The record as it stands in the log.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(dir: &Path, options: Options) -> Self {
        Self {
            dir: dir.to_owned(),
            file: dir.join(store::FILE),
            options,
            leaves: AtomicU64::default(),
            poisoned: OnceLock::new(),
            failed: watch::Sender::new(false),
            checkpoint: Mutex::default(),
            erased: ArcSwap::default(),
            impressions: Impressions::default(),
        }
    }

    fn checkpoint(&self) -> Option<Arc<str>> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_checkpoint(&self, note: String) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(note.into());
    }

    fn room(&self) -> Result<(), LogError> {
        let free = folder::free_bytes(&self.dir);
        let free_bytes = free.map_err(|source| LogError::Folder { dir: self.dir.clone(), source })?;
        let reserve_bytes = self.options.reserve_bytes;
        if free_bytes < reserve_bytes {
            return Err(LogError::DiskReserve { dir: self.dir.clone(), free_bytes, reserve_bytes });
        }
        Ok(())
    }

    fn is_erased(&self, record: Uuid) -> bool {
        let erased = self.erased.load();
        !erased.is_empty() && erased.contains(&record)
    }

    pub(super) fn add_erased(&self, ids: &[Uuid]) {
        let mut erased = HashSet::clone(&self.erased.load());
        erased.extend(ids);
        self.erased.store(Arc::new(erased));
    }

    pub(super) fn stopped(&self, first: &Arc<StoreError>) -> LogError {
        LogError::Poisoned { file: self.file.clone(), first: Arc::clone(first) }
    }

    pub(super) fn poison(&self, error: StoreError) -> Arc<StoreError> {
        tracing::error!(file = %self.file.display(), %error, "the consent log stopped: a write failed");
        let first = Arc::clone(self.poisoned.get_or_init(|| Arc::new(error)));
        self.failed.send_replace(true);
        first
    }
}

// === the thread ===

/// Fields are dropped in this order: the folder is let go after the database is closed, and
/// `close` returns after both.
pub(super) struct Writer {
    control: Option<Listener>,
    pub(super) store: Store,
    pub(super) signer: Signer,
    pub(super) publisher: Publisher,
    pub(super) journal: Journal,
    queue: mpsc::WeakSender<Message>,
    /// Whether the write-ahead log will be wiped once more.
    wiping: bool,
    pub(super) shared: Arc<Shared>,
    _lock: FolderLock,
    _running: watch::Sender<()>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::new();
        while queue.blocking_recv_many(&mut messages, self.shared.options.batch_max) > 0 {
            let mut batch = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(work) => batch.push(*work),
                    // In the order they came: what was decided before it is in the log when it is carried out.
                    Message::Order(order, reply) => {
                        self.write(std::mem::take(&mut batch));
                        let _ = reply.send(self.obey(&order));
                    }
                    Message::Wipe => self.wipe_again(),
                    Message::Impressions => self.add_impressions(),
                    // What was sent before this is still received.
                    Message::Close => queue.close(),
                }
            }
            self.write(batch);
        }
        self.finish();
    }

    fn write(&mut self, mut batch: Vec<Work>) {
        if let Some(first) = self.shared.poisoned.get() {
            return refuse(batch, || self.shared.stopped(first));
        }
        if self.shared.room().is_err() {
            // Decisions only: notices and policies are few and small, and a gate that starts on a full
            // disk must still hold tags and let visitors refuse.
            let (decisions, rest) = batch.into_iter().partition(|work| matches!(work.entry.content, Content::Decision { .. }));
            // Asked again for each: an error is not copied, and this is not the fast path.
            refuse(decisions, || self.shared.room().err().unwrap_or(LogError::Closed));
            batch = rest;
        }
        batch = self.without_erased(batch);
        if batch.is_empty() {
            return;
        }
        let entries: Vec<&Entry> = batch.iter().map(|work| &work.entry).collect();
        match self.store.commit(&entries, |tree| sign(&self.signer, tree)) {
            Ok((outcomes, signed)) => {
                self.committed(signed);
                answer(batch, outcomes);
                self.publisher.wake();
            }
            Err(CommitError::Busy) => refuse(batch, || LogError::Busy { file: self.shared.file.clone() }),
            Err(CommitError::Failed(error)) => {
                let source = self.shared.poison(error);
                refuse(batch, || LogError::WriteFailed { file: self.shared.file.clone(), source: Arc::clone(&source) });
            }
        }
        self.checkpoint();
    }

    /// A decision that was under way while its visitor was erased must not name that visitor again.
    fn without_erased(&self, batch: Vec<Work>) -> Vec<Work> {
        let cites = |work: &Work| match work.entry.content {
            Content::Decision { prev, .. } => prev.filter(|prev| self.shared.is_erased(*prev)),
            _ => None,
        };
        let mut rest = Vec::with_capacity(batch.len());
        for work in batch {
            match cites(&work) {
                Some(prev) => drop(work.reply.send(Err(LogError::Erased(prev)))),
                None => rest.push(work),
            }
        }
        rest
    }

    /// An order below the disk's reserve is carried out all the same: it is small, and erasing gives room back.
    fn obey(&mut self, order: &Order) -> Result<Done, LogError> {
        match self.shared.poisoned.get() {
            Some(first) => Err(self.shared.stopped(first)),
            None => self.carry_out(order),
        }
    }

    /// Sums of counts are written like everything else: what fails stops the log. Below the disk's reserve they are
    /// dropped.
    fn add_impressions(&mut self) {
        let counted = self.shared.impressions.take();
        if counted.is_empty() || self.shared.poisoned.get().is_some() || self.shared.room().is_err() {
            return;
        }
        if let Err(CommitError::Failed(error)) = self.store.add_impressions(&counted) {
            self.shared.poison(error);
        }
    }

    /// What stands in the log now.
    pub(super) fn committed(&self, signed: Option<String>) {
        if let Some(note) = signed {
            self.shared.set_checkpoint(note);
        }
        self.shared.leaves.store(self.store.tree().size(), Ordering::Relaxed);
    }

    fn wipe_again(&mut self) {
        self.wiping = false;
        if self.shared.poisoned.get().is_none() {
            // A failure is told of where the log stops.
            let _ = self.wipe();
        }
    }

    /// Where a reader was in the way: again in a while.
    pub(super) fn wipe_later(&mut self, later: bool) {
        if !later || self.wiping {
            return;
        }
        let queue = self.queue.clone();
        let again = move || {
            thread::sleep(WIPE_EVERY);
            // Full: the decisions that wait are asked to wait for it as well.
            if let Some(queue) = queue.upgrade() {
                let _ = queue.blocking_send(Message::Wipe);
            }
        };
        self.wiping = thread::Builder::new().name("consent-log-wipe".to_owned()).spawn(again).is_ok();
    }

    /// After the answers: nobody waits for it. It fails like a write, since it is one.
    fn checkpoint(&mut self) {
        if self.shared.poisoned.get().is_none()
            && let Err(error) = self.store.checkpoint_if_long()
        {
            self.shared.poison(error);
        }
    }

    fn finish(mut self) {
        // Who comes now waits until the folder is free.
        self.add_impressions();
        drop(self.control);
        // It reads what the store writes: the last to close the database leaves the one file.
        drop(self.publisher);
        if self.shared.poisoned.get().is_some() {
            // Dropped without a checkpoint: the next start recovers from the files as they are.
            return;
        }
        if let Err(error) = self.store.close() {
            self.shared.poison(error);
        }
    }
}

/// Decisions are recorded whether commands can be taken or not: some file systems have no sockets.
fn listener(dir: &Path, queue: mpsc::WeakSender<Message>) -> Option<Listener> {
    let told = |error: LogError| {
        let causes = crate::wire::Causes(&error).to_string();
        tracing::warn!("commands that write to the consent log only work while the gate is stopped: {causes}");
    };
    Listener::start(dir, queue).map_err(told).ok()
}

/// What the journal of erasures says and the log does not, done again.
fn replay(store: &mut Store, keys: &Keys, lines: &[Line], file: &Path) -> Result<(), LogError> {
    deeds::replay(store, lines, |tree| sign(&keys.signer, tree)).map(drop).map_err(|error| match error {
        ReplayError::Log(error) => error,
        ReplayError::Store(source) => LogError::Store { file: file.to_owned(), source },
        ReplayError::Commit(error) => error.opening(file),
    })
}

/// What the log says its tree is, with its name under it.
pub(super) fn sign(signer: &Signer, tree: &Frontier) -> String {
    let checkpoint = Checkpoint { origin: signer.name().to_owned(), size: tree.size(), root: tree.root() };
    signer.sign(&checkpoint.text())
}

fn answer(batch: Vec<Work>, outcomes: Vec<Outcome>) {
    for (work, outcome) in batch.into_iter().zip(outcomes) {
        let result = match outcome {
            Outcome::At(index) => Ok(index),
            Outcome::Refused(Refusal::Notice(notice)) => Err(LogError::UnknownNotice(notice)),
            Outcome::Refused(Refusal::Policy(policy)) => Err(LogError::UnknownPolicy(policy)),
            Outcome::Refused(Refusal::IdTaken) => Err(LogError::IdTaken(work.entry.id)),
        };
        // Nobody may be waiting any more: the record stands all the same.
        let _ = work.reply.send(result);
    }
}

fn refuse(batch: Vec<Work>, error: impl Fn() -> LogError) {
    for work in batch {
        let _ = work.reply.send(Err(error()));
    }
}
