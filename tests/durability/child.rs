//! The process under test where no gate is needed: this very test program, started again with a
//! variable set. It opens a log and appends, one decision at a time, and says how each went.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use consentry::{
    consent_log::{
        ConsentLog, Kind, Layer, LogError, Method, NoticeLeaf, Options, PolicyLeaf, Record, Recorded, Synchronous, record_id,
    },
    vocab::{Hash, PolicyRevision, SubjectId},
};
use jiff::Timestamp;

/// What the child does.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Appends until the first failure and then tries five times more.
    Append,
    /// Likewise, so many small decisions on one notice.
    AppendSmall(usize),
    /// Appends small decisions until it is killed.
    AppendForEver,
    /// Likewise, flushing nothing.
    AppendForEverUnflushed,
    /// Many writers at a time append small decisions until it is killed.
    AppendTogether,
    /// Like `Append`, but lifts its limit on file sizes after the first failure.
    AppendAndLift,
    /// Answers HTTP: each request is one decision.
    Serve(Synchronous),
}

const ROLE: &str = "DURABILITY_ROLE";
const DIR: &str = "DURABILITY_DIR";
const COUNT: &str = "DURABILITY_COUNT";

/// How many large decisions an appending child makes when nothing fails.
pub(crate) const DECISIONS: usize = 24;

/// How many append together.
const WRITERS: usize = 64;

/// Made in the folder around the data folder after the first acknowledgement.
pub(crate) const ARMED: &str = "armed";

/// What a child said, a line each, in the order in which things happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A decision is on its way.
    Asked,
    /// It was acknowledged, with this id.
    Acked(String),
    /// It was refused, or the log could not be opened: why.
    Refused(String),
    /// The shim made a call fail, on this file.
    Fault(String),
}

/// The command that starts a child, to be put behind a tracer or a shell.
pub(crate) fn command(role: Role, dir: &Path) -> (PathBuf, Vec<String>, Vec<(&'static str, String)>) {
    let count = match role {
        Role::AppendSmall(count) => count,
        Role::AppendForEver | Role::AppendForEverUnflushed => usize::MAX,
        _ => DECISIONS,
    };
    let role = match role {
        Role::Append => "append",
        Role::AppendSmall(_) | Role::AppendForEver => "append-small",
        Role::AppendForEverUnflushed => "append-unflushed",
        Role::AppendTogether => "append-together",
        Role::AppendAndLift => "lift",
        Role::Serve(Synchronous::Full) => "serve",
        Role::Serve(Synchronous::Off) => "serve-unflushed",
    };
    let arguments = ["--exact", "child::as_a_child", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec();
    let exe = env::current_exe().expect("this program");
    (exe, arguments, vec![(ROLE, role.to_owned()), (DIR, dir.display().to_string()), (COUNT, count.to_string())])
}

/// Runs an appending child to its end.
pub(crate) fn said(mut under: Command, role: Role, dir: &Path) -> Vec<Said> {
    let (exe, arguments, variables) = command(role, dir);
    under.arg(exe).args(arguments).envs(variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = under.output().expect("a shell is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(Said::parse).collect()
}

impl Said {
    /// Whatever else stands there is the test harness's.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "ask" => Some(Self::Asked),
            "ack" => Some(Self::Acked(rest.to_owned())),
            "err" => Some(Self::Refused(rest.to_owned())),
            "fault" => Some(Self::Fault(rest.to_owned())),
            _ => None,
        }
    }
}

/// Not a test: the entry of the child. Without the variable there is nothing to do.
#[test]
fn as_a_child() {
    let Ok(role) = env::var(ROLE) else { return };
    let dir = PathBuf::from(env::var_os(DIR).expect("a child is told its folder"));
    let count = env::var(COUNT).ok().and_then(|count| count.parse().ok()).expect("a child is told how many");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        match role.as_str() {
            "append" => append(&dir, Synchronous::Full, count, Size::Large, || {}).await,
            "append-small" => append(&dir, Synchronous::Full, count, Size::Small, || {}).await,
            "append-unflushed" => append(&dir, Synchronous::Off, count, Size::Small, || {}).await,
            "lift" => append(&dir, Synchronous::Full, count, Size::Large, lift).await,
            "append-together" => append_together(&dir).await,
            "serve" => serve(&dir, Synchronous::Full).await,
            "serve-unflushed" => serve(&dir, Synchronous::Off).await,
            other => panic!("no such role: {other}"),
        }
    });
}

/// Appends until six were refused.
async fn append(dir: &Path, synchronous: Synchronous, decisions: usize, size: Size, after_failure: impl Fn()) {
    let say = |line: String| writeln!(std::io::stdout(), "{line}").expect("standard output");
    let mut failures = 0;
    // On a line of its own: the test harness writes without an end of line.
    say(String::new());
    let log = match ConsentLog::open(dir, options(synchronous)) {
        Ok(log) => log,
        Err(error) => return say(format!("err {error}")),
    };
    for nth in 0..decisions {
        say("ask for it".to_owned());
        match one(&log, nth, size).await {
            Ok(recorded) => {
                say(format!("ack {}", recorded.id()));
                if nth == 0 {
                    fs::write(dir.with_file_name(ARMED), "").expect("a file in the folder around");
                }
            }
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    after_failure();
                }
                say(format!("err {error}"));
            }
        }
        if failures == 6 {
            break;
        }
    }
    log.close().await;
}

/// Appends for ever, as many at a time as a busy gate does.
async fn append_together(dir: &Path) {
    let say = |line: String| writeln!(std::io::stdout(), "{line}").expect("standard output");
    say(String::new());
    let log = ConsentLog::open(dir, options(Synchronous::Full)).unwrap_or_else(|error| panic!("{error}"));
    let writer = async |nth| loop {
        match one(&log, nth, Size::Small).await {
            Ok(recorded) => say(format!("ack {}", recorded.id())),
            Err(error) => return say(format!("err {error}")),
        }
    };
    futures_util::future::join_all((0..WRITERS).map(writer)).await;
}

/// What a decision brings along.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    /// A notice of its own, large enough that the write-ahead log is checkpointed on the way.
    Large,
    /// The same notice every time.
    Small,
}

async fn one(log: &ConsentLog, nth: usize, size: Size) -> Result<Recorded, LogError> {
    let (sha256, html) = notice(nth, size);
    log.ensure_policy(&policy()).await?;
    log.ensure_notice(NoticeLeaf { sha256, json: "{}".to_owned(), html }).await?;
    log.append(record(sha256)).await
}

pub(crate) fn notice(nth: usize, size: Size) -> (Hash, String) {
    let html = match size {
        Size::Large => format!("<p>{nth}</p>").repeat(30_000),
        Size::Small => "<p>Do you agree?</p>".to_owned(),
    };
    (Hash::of(html.as_bytes()), html)
}

fn lift() {
    let pid = std::process::id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().expect("prlimit is installed");
    assert!(lifted.success());
}

/// Serves the simplest HTTP there is; says its port first. Ends when it is killed.
async fn serve(dir: &Path, synchronous: Synchronous) {
    let log = ConsentLog::open(dir, options(synchronous)).expect("a log");
    one(&log, 0, Size::Large).await.expect("a decision");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    writeln!(std::io::stdout(), "\nport {}", listener.local_addr().expect("an address").port()).expect("standard output");
    for stream in listener.incoming() {
        answer(&log, stream.expect("a connection")).await;
    }
}

async fn answer(log: &ConsentLog, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).expect("a head") > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).expect("a body");
    let recorded = one(log, 0, Size::Small).await.expect("a decision");
    let body = format!("{{\"record\":\"{}\"}}", recorded.id());
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).expect("an answer");
}

fn options(synchronous: Synchronous) -> Options {
    Options { reserve_bytes: 0, synchronous, ..Options::default() }
}

pub(crate) fn policy() -> PolicyLeaf {
    let canonical = "{}".to_owned();
    PolicyLeaf { revision: PolicyRevision(Hash::of(canonical.as_bytes())), canonical, source_hashes: BTreeMap::new() }
}

pub(crate) fn record(notice: Hash) -> Record {
    let time = Timestamp::now();
    Record {
        id: record_id(time),
        prev: None,
        kind: Kind::Given,
        time,
        expires: time + jiff::SignedDuration::from_hours(24 * 180),
        site: "127.0.0.1".to_owned(),
        controller: "Theatre e.V.".to_owned(),
        subject: Some(SubjectId([1; 16])),
        notice,
        policy: policy().revision,
        language: "en".to_owned(),
        layer: Layer::Banner,
        method: Method::AcceptAll,
        gpc: false,
        purposes: BTreeMap::from([("marketing".to_owned(), true)]),
        vendors: BTreeMap::new(),
        jurisdiction: "EU".to_owned(),
        regime: "eu".to_owned(),
        browser: None,
        enforced: policy().address(),
        product: "0.1.0".to_owned(),
    }
}
