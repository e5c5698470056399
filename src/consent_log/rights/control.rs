//! The way to the log of a running gate: whoever holds the folder listens on a Unix socket in it, and carries
//! orders out for commands that are run beside it.
//!
//! Who may open the socket may order: it is the owner's alone, like the log. One line of JSON each way, bounded in
//! size and time.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{DirBuilderExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::consent_log::{
    LogError,
    key::KEY_FILE,
    order::{Done, Order},
    store,
    writer::{ConsentLog, Message, Options},
};
use crate::wire::Causes;

/// The socket, in the data folder.
pub const SOCKET: &str = "consent-log.sock";
/// Where it is made before it takes its place: nobody else can open it in between.
const BESIDE: &str = "consent-log.sock.new";
/// Bytes of an order.
const ORDER_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of an answer: the indices of a long erasure.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// For an order to come in, and for an answer to go out.
const LINE_MAX: Duration = Duration::from_secs(5);
/// For an order to be carried out: a slow disk under load, and somebody else's lock waited for.
const DONE_MAX: Duration = Duration::from_secs(120);
/// For a gate that starts or stops to let the folder go.
const FOLDER_MAX: Duration = Duration::from_secs(20);
/// The longest path that is a socket's address as it is.
const PATH_BYTES_MAX: usize = 100;
/// Orders at a time.
const ORDERS_MAX: usize = 8;

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Done),
    Failed(String),
    /// Nothing was done: the log is being closed, or too many ask at a time.
    Closed,
}

/// Carries an order out, wherever the folder's log is open: in the gate that runs on it, else here.
pub fn order(dir: &Path, order: &Order) -> Result<Done, LogError> {
    if !dir.join(store::FILE).exists() {
        return Err(LogError::Missing { dir: dir.to_owned() });
    }
    if !dir.join(KEY_FILE).exists() {
        return Err(LogError::Copy { dir: dir.to_owned() });
    }
    let until = Instant::now() + FOLDER_MAX;
    loop {
        if let Some(answered) = Control::connect(dir)?.map(|control| control.carry_out(order)).transpose()?.flatten() {
            return Ok(answered);
        }
        match alone(dir, order) {
            // Somebody holds the folder and does not listen yet, or no longer.
            Err(LogError::InUse { .. }) if Instant::now() < until => thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
}

/// Opens the log for one order. In a thread of its own: callers may be within a runtime or not.
fn alone(dir: &Path, order: &Order) -> Result<Done, LogError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|source| LogError::Folder { dir: dir.to_owned(), source })?;
        runtime.block_on(async {
            let log = ConsentLog::open(dir, Options::default())?;
            let done = log.carry_out(order.clone()).await;
            log.close().await;
            done
        })
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap_or(Err(LogError::Closed)))
}

// === the asking side ===

/// A way to the process that holds the folder.
pub struct Control {
    stream: UnixStream,
    socket: PathBuf,
}

impl Control {
    /// `None` where nobody listens.
    pub fn connect(dir: &Path) -> Result<Option<Self>, LogError> {
        let socket = dir.join(SOCKET);
        match at(dir, SOCKET, |path| UnixStream::connect(path)) {
            Ok(stream) => Ok(Some(Self { stream, socket })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(source) => Err(LogError::Control { socket, source }),
        }
    }

    /// Has an order carried out. `None` where the other side closed without doing it.
    pub fn carry_out(self, order: &Order) -> Result<Option<Done>, LogError> {
        match self.exchange(order) {
            Ok(Answer::Done(done)) => Ok(Some(done)),
            Ok(Answer::Closed) => Ok(None),
            Ok(Answer::Failed(why)) => Err(LogError::Gate(why)),
            // It ended before it read: an order given twice does no harm.
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(LogError::Control { socket: self.socket, source }),
        }
    }

    fn exchange(&self, order: &Order) -> io::Result<Answer> {
        self.stream.set_write_timeout(Some(LINE_MAX))?;
        self.stream.set_read_timeout(Some(DONE_MAX))?;
        write_line(&self.stream, order)?;
        let line = read_line(&self.stream, ANSWER_BYTES_MAX)?;
        serde_json::from_slice(&line).map_err(io::Error::from)
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

// === the listening side ===

/// Listens while it lives.
pub(in crate::consent_log) struct Listener {
    dir: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listener {
    /// Listens in a folder that this process holds. A socket that an ended process left is taken away.
    pub(in crate::consent_log) fn start(dir: &Path, queue: mpsc::WeakSender<Message>) -> Result<Self, LogError> {
        let failed = |source| LogError::Control { socket: dir.join(SOCKET), source };
        let listener = listen(dir).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spawned = thread::Builder::new().name("consent-log-control".to_owned()).spawn(move || {
            let busy = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                match stream {
                    Ok(stream) => serve(stream, &busy, queue.clone()),
                    // Too many files are open: the others go on meanwhile.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        });
        let thread = spawned.map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes it up. Where that fails it is not waited for.
        let woken = at(&self.dir, SOCKET, |path| UnixStream::connect(path)).is_ok();
        let _ = fs::remove_file(self.dir.join(SOCKET));
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn listen(dir: &Path) -> io::Result<UnixListener> {
    let beside = dir.join(BESIDE);
    let _ = fs::remove_dir_all(&beside);
    DirBuilder::new().mode(0o700).create(&beside)?;
    let listener = at(&beside, SOCKET, |path| UnixListener::bind(path))?;
    fs::set_permissions(beside.join(SOCKET), Permissions::from_mode(0o600))?;
    fs::rename(beside.join(SOCKET), dir.join(SOCKET))?;
    fs::remove_dir(&beside)?;
    Ok(listener)
}

/// A thread for each order, so that a caller who is slow keeps nobody waiting.
fn serve(stream: UnixStream, busy: &Arc<AtomicUsize>, queue: mpsc::WeakSender<Message>) {
    if busy.load(Ordering::Relaxed) >= ORDERS_MAX {
        // Whoever asks comes again in a moment.
        let _ = stream.set_write_timeout(Some(LINE_MAX));
        let _ = write_line(&stream, &Answer::Closed);
        return;
    }
    busy.fetch_add(1, Ordering::Relaxed);
    let done = Arc::clone(busy);
    let spawned = thread::Builder::new().name("consent-log-order".to_owned()).spawn(move || {
        // Whoever asked and left is told nothing; the act stands in the log.
        let _ = answer(&stream, &queue);
        done.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(stream: &UnixStream, queue: &mpsc::WeakSender<Message>) -> io::Result<()> {
    stream.set_read_timeout(Some(LINE_MAX))?;
    stream.set_write_timeout(Some(LINE_MAX))?;
    let line = read_line(stream, ORDER_BYTES_MAX)?;
    let answer = match serde_json::from_slice(&line) {
        Err(error) => Answer::Failed(format!("that is no order that this version knows ({error})")),
        Ok(order) => hand_over(order, queue),
    };
    write_line(stream, &answer)
}

fn hand_over(order: Order, queue: &mpsc::WeakSender<Message>) -> Answer {
    let Some(queue) = queue.upgrade() else { return Answer::Closed };
    let (reply, answer) = oneshot::channel();
    match queue.try_send(Message::Order(Box::new(order), reply)) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Closed(_)) => return Answer::Closed,
        Err(mpsc::error::TrySendError::Full(_)) => return Answer::Failed(LogError::QueueFull(queue.max_capacity()).to_string()),
    }
    // It must not keep the log open that it waits for.
    drop(queue);
    match answer.blocking_recv() {
        Ok(Ok(done)) => Answer::Done(done),
        Ok(Err(error)) => Answer::Failed(Causes(&error).to_string()),
        Err(_) => Answer::Closed,
    }
}

// === both sides ===

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// A line of at most so many bytes.
fn read_line(stream: &UnixStream, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream).take(bytes_max).read_until(b'\n', &mut line)?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A socket's address has room for 107 bytes of path (unix(7)). A folder with a longer one is named by its
/// descriptor, which takes a mounted /proc.
fn at<T>(dir: &Path, name: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(name);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return with(&path);
    }
    let folder = File::open(dir)?;
    with(&PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent_log::{
        order::What,
        tests::{folder, ready, small},
    };

    fn read() -> Order {
        Order { operator: "anna".to_owned(), what: What::Read { command: "find".to_owned(), rows: Some(1) }, dry_run: false }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_says_nothing_or_nonsense_keeps_nobody_waiting() {
        let dir = folder();
        let log = ready(dir.path(), small()).await;
        let connect = || at(dir.path(), SOCKET, |path| UnixStream::connect(path)).expect("it listens");
        let silent: Vec<UnixStream> = (0..ORDERS_MAX / 2).map(|_| connect()).collect();
        for (line, part) in [
            ("{\"what\":\"nonsense\"}\n", "that is no order"),
            ("[]\n", "that is no order"),
            ("{\"operator\":\"\",\"what\":{\"read\":{\"command\":\"x\",\"rows\":1,\"more\":1}}}\n", "that is no order"),
        ] {
            let mut stream = connect();
            stream.write_all(line.as_bytes()).expect("sent");
            let answer = read_line(&stream, ANSWER_BYTES_MAX).expect("an answer");
            assert!(String::from_utf8_lossy(&answer).contains(part), "{line}");
        }
        let mut long = connect();
        // It may be cut off while it still talks.
        let _ = long.write_all(&vec![b'x'; ORDER_BYTES_MAX as usize + 1]);
        assert!(read_line(&long, ANSWER_BYTES_MAX).is_err(), "cut off");
        assert_eq!(log.leaves(), 2, "nothing of it was done");
        assert_eq!(order(dir.path(), &read()).expect("carried out").act.expect("an act").index, 2);
        drop(silent);
        log.close().await;
        assert!(!dir.path().join(SOCKET).exists());
        assert_eq!(order(dir.path(), &read()).expect("carried out here").act.expect("an act").index, 3);
    }

    #[test]
    fn a_folder_without_a_log_stays_as_it_is() {
        let dir = folder();
        assert!(matches!(order(dir.path(), &read()), Err(LogError::Missing { .. })));
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
