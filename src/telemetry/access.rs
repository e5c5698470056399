//! The access log: one JSON line a request, written by a thread of its own. A request never waits for it:
//! what the queue does not hold is dropped and counted.
//!
//! A file is opened anew on [`AccessLog::reopen`] (SIGHUP), and by itself once it was moved or removed, so
//! that any tool that rotates files will do.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tracing::error;

use super::{AccessLine, metrics::Metrics};

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The end of a file; it is made where it is missing, for its owner and group.
    File(PathBuf),
}

/// The access log, open. Clones write to the same place.
#[derive(Clone)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    metrics: Arc<Metrics>,
}

enum Message {
    Line(Box<AccessLine>),
    Reopen,
    Flush(SyncSender<()>),
}

/// Lines that may wait for the disk.
const QUEUE_MAX: usize = 8_192;
/// How often the name of the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a stop waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(5);

impl AccessLog {
    /// Opens the log. An error says that the file cannot be written to.
    pub fn open(target: &Target, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let out = Out::open(target)?;
        let (queue, received) = sync_channel(QUEUE_MAX);
        let counted = Arc::clone(metrics);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || run(out, &received, &counted))?;
        Ok(Self { queue, metrics: Arc::clone(metrics) })
    }

    /// Hands a line over. Never waits.
    pub fn write(&self, line: AccessLine) {
        if self.queue.try_send(Message::Line(Box::new(line))).is_err() {
            self.metrics.access_line_dropped();
        }
    }

    /// Opens the file anew. A full queue does so by itself: the writer looks after the name in any case.
    pub fn reopen(&self) {
        let _ = self.queue.try_send(Message::Reopen);
    }

    /// Waits until what was handed over is written, for a few seconds at most. It blocks its thread.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_MAX);
        }
    }
}

/// The thread: it writes what has come, flushes when nothing is left, and ends with the last sender.
fn run(mut out: Out, received: &Receiver<Message>, metrics: &Metrics) {
    let mut lines = Vec::new();
    let mut buffer = Vec::new();
    let mut failing = false;
    loop {
        let Ok(first) = received.recv() else { return };
        let (mut anew, mut waiting) = (false, Vec::new());
        // Bounded: whoever waits for a flush gets it although lines go on coming.
        for message in std::iter::once(first).chain(received.try_iter().take(QUEUE_MAX)) {
            match message {
                Message::Line(line) => lines.push(line),
                Message::Reopen => anew = true,
                Message::Flush(done) => waiting.push(done),
            }
        }
        buffer.clear();
        lines.iter().for_each(|line| push(line, &mut buffer));
        let written = out.follow(anew).and_then(|()| out.write(&buffer));
        if let Err(error) = &written {
            (0..lines.len()).for_each(|_| metrics.access_line_dropped());
            if !failing {
                // Told once: a full disk would fill the traces as well.
                error!(%error, "the access log cannot be written; lines are dropped and counted until it can");
            }
        }
        failing = written.is_err();
        lines.clear();
        for done in waiting {
            // Who asked may have given up.
            let _ = done.try_send(());
        }
    }
}

/// One line of JSON.
fn push(line: &AccessLine, buffer: &mut Vec<u8>) {
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let mut told = json!({
        "time": format!("{:.3}", line.time),
        "site": &*line.site,
        "method": line.method,
        "status": line.status,
        "bytes": line.bytes,
        "ms": ms(line.duration),
        "protocol": line.protocol,
        "kind": line.kind.name(),
        "ending": line.ending.name(),
        "held": line.held,
        "stripped": line.stripped,
    });
    if let Some(route) = &line.route {
        told["route"] = route.as_str().into();
    }
    if let Some(first_byte) = line.first_byte {
        told["upstream_ms"] = ms(first_byte).into();
    }
    if let Some(trace_id) = &line.trace_id {
        told["trace_id"] = trace_id.as_str().into();
    }
    serde_json::to_writer(&mut *buffer, &told).expect("JSON of plain values goes into memory");
    buffer.push(b'\n');
}

/// The open end of the target.
enum Out {
    Stdout,
    File { path: PathBuf, file: Option<File>, looked: Instant },
}

impl Out {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout),
            Target::File(path) => Ok(Self::File { path: path.clone(), file: Some(append_to(path)?), looked: Instant::now() }),
        }
    }

    /// Opens the file anew where that was asked for, or where its name leads elsewhere by now.
    fn follow(&mut self, anew: bool) -> io::Result<()> {
        let Self::File { path, file, looked } = self else { return Ok(()) };
        let due = looked.elapsed() >= LOOK_EVERY;
        if due {
            *looked = Instant::now();
        }
        if file.is_none() || anew || due && !is_at(file.as_ref(), path) {
            // Dropped first: what cannot be opened anew is no longer written to.
            *file = None;
            *file = Some(append_to(path)?);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::File { file: Some(file), .. } => file.write_all(bytes),
            Self::File { file: None, .. } => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Whether a file still lies under its name.
fn is_at(file: Option<&File>, path: &Path) -> bool {
    let open = file.and_then(|file| file.metadata().ok()).map(|meta| (meta.dev(), meta.ino()));
    let named = std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    open.is_some() && open == named
}
