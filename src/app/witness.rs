//! Pushes the newest checkpoint of the consent log to second parties: to a file, to a program, to a time-stamping
//! authority. What is to be pushed, and what never is, [`consent_log`](crate::consent_log) says.

use std::{
    fs::OpenOptions,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use http::{Request, header};
use http_body_util::BodyExt as _;
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{error, info};
use url::Url;

use crate::{
    config::{Limits, WitnessConfig},
    consent_log::{
        NotPushed, Pushes, Way, Witness, last_note,
        timestamp::{self, QUERY_TYPE, REPLY_TYPE},
    },
    proxy::{
        progress::Progress,
        upstream::{Setting, Upstreams},
    },
    vocab::Hash,
    wire,
};

/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(60);
/// How long the last one may take, when the gate stops.
const LAST_MAX: Duration = Duration::from_secs(5);
/// How often a program that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A time stamp with its certificates has a few thousand bytes.
const REPLY_BYTES_MAX: usize = 1 << 18;
/// More than any note has: the end of the file is enough to know what it has.
const TAIL_BYTES: u64 = 4096;

/// Who pushes what where.
pub(super) struct Push {
    config: WitnessConfig,
    witness: Arc<Witness>,
    pushes: Arc<Pushes>,
    /// The gate stops: nothing is waited for that takes long.
    ending: Arc<AtomicBool>,
}

/// Pushes where somebody is named.
pub(super) async fn run(push: Option<Push>, stopping: watch::Receiver<bool>) {
    if let Some(push) = push {
        push.run(stopping).await;
    }
}

impl Push {
    /// For the log in `data`.
    pub(super) fn new(config: &WitnessConfig, data: &Path) -> Self {
        let ways = [
            config.file.as_ref().map(|_| Way::File),
            config.command.as_ref().map(|_| Way::Command),
            config.timestamp.as_ref().map(|_| Way::Timestamp),
        ];
        let ways: Vec<Way> = ways.into_iter().flatten().collect();
        let witness = Arc::new(Witness::new(data));
        let pushes = Arc::new(Pushes::new(&witness, &ways, config.alarm_after));
        Self { config: config.clone(), witness, pushes, ending: Arc::default() }
    }

    /// How it goes.
    pub(super) fn pushes(&self) -> Arc<Pushes> {
        Arc::clone(&self.pushes)
    }

    /// Looks for a newer checkpoint again and again until `stopping`, and once more then.
    async fn run(self, mut stopping: watch::Receiver<bool>) {
        let round = async || tokio::join!(self.go(Way::File), self.go(Way::Command), self.go(Way::Timestamp));
        let again = async {
            loop {
                round().await;
                tokio::time::sleep(self.config.every).await;
            }
        };
        tokio::select! {
            () = again => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        self.ending.store(true, Ordering::Relaxed);
        // Who does not take it in time gets it when the gate runs again.
        let _ = tokio::time::timeout(LAST_MAX, round()).await;
    }

    /// One try by one way, if it is one that is used.
    async fn go(&self, way: Way) {
        let tried = match way {
            Way::File => match &self.config.file {
                Some(file) => self.to_file(file.clone()).await,
                None => return,
            },
            Way::Command => match &self.config.command {
                Some(words) => self.to_command(words.clone()).await,
                None => return,
            },
            Way::Timestamp => match &self.config.timestamp {
                Some(url) => self.to_authority(url).await,
                None => return,
            },
        };
        match tried {
            Ok(size) => {
                self.pushes.good(way);
                if let Some(bytes) = size {
                    info!(way = way.as_str(), bytes, "a checkpoint of the consent log was pushed");
                }
            }
            Err(fault) => {
                let fork = matches!(fault.downcast_ref(), Some(NotPushed::Fork { .. }));
                let why = format!("{fault:#}");
                if self.pushes.failed(way, &why, fork) {
                    error!(
                        way = way.as_str(),
                        "a checkpoint of the consent log was not pushed; it is tried again, and [log.witness] says where it should go: {why}"
                    );
                }
            }
        }
    }

    async fn due(&self, way: Way, there: Option<String>) -> anyhow::Result<Option<String>> {
        let witness = Arc::clone(&self.witness);
        Ok(spawn_blocking(move || witness.due(way, there.as_deref())).await??)
    }

    async fn done(&self, way: Way, note: String) -> anyhow::Result<Option<usize>> {
        let witness = Arc::clone(&self.witness);
        let bytes = note.len();
        spawn_blocking(move || witness.pushed(way, &note)).await??;
        Ok(Some(bytes))
    }

    async fn to_file(&self, file: std::path::PathBuf) -> anyhow::Result<Option<usize>> {
        let shown = file.display().to_string();
        let beside = file.clone();
        let there = spawn_blocking(move || tail(&beside)).await?.with_context(|| format!("{shown} cannot be read"))?;
        let Some(note) = self.due(Way::File, Some(last_note(&there).unwrap_or_default().to_owned())).await? else {
            return Ok(None);
        };
        // What a crash cut off in the middle of a line stays as it is, on a line of its own.
        let torn = !there.is_empty() && !there.ends_with('\n');
        let text = if torn { format!("\n{note}") } else { note.clone() };
        spawn_blocking(move || append(&file, text.as_bytes())).await?.with_context(|| format!("{shown} cannot be written"))?;
        self.done(Way::File, note).await
    }

    async fn to_command(&self, words: Vec<String>) -> anyhow::Result<Option<usize>> {
        let Some(note) = self.due(Way::Command, None).await? else { return Ok(None) };
        let (given, ending) = (note.clone(), Arc::clone(&self.ending));
        spawn_blocking(move || hand_to(&words, &given, &ending)).await??;
        self.done(Way::Command, note).await
    }

    async fn to_authority(&self, url: &Url) -> anyhow::Result<Option<usize>> {
        let Some(note) = self.due(Way::Timestamp, None).await? else { return Ok(None) };
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)?;
        let (nonce, digest) = (u64::from_be_bytes(nonce), Hash::of(note.as_bytes()));
        let asked = tokio::time::timeout(TRY_MAX, ask(url, timestamp::request(&digest, nonce))).await;
        let host = url.host_str().unwrap_or_default();
        let reply = asked.map_err(|_| anyhow!("{host} did not answer within {} s", TRY_MAX.as_secs()))??;
        timestamp::check(&reply, &digest, nonce).with_context(|| format!("{host} gave no time stamp"))?;
        let (witness, of) = (Arc::clone(&self.witness), note.clone());
        spawn_blocking(move || witness.keep_timestamp(&of, &reply)).await??;
        self.done(Way::Timestamp, note).await
    }
}

/// The end of a file; nothing where there is none.
fn tail(file: &Path) -> std::io::Result<String> {
    let mut open = match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        open => open?,
    };
    let length = open.metadata()?.len();
    open.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    open.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Never shortened and never written over: what a second party has is not ours to change.
fn append(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut open = OpenOptions::new().append(true).create(true).open(file)?;
    open.write_all(bytes)?;
    open.sync_all()
}

/// Gives a program the note on its standard input and waits for it to end well, for so long. What it says goes to
/// standard error.
fn hand_to(words: &[String], note: &str, ending: &AtomicBool) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("no program is named")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
    let mut until = Instant::now() + TRY_MAX;
    let mut ends = false;
    // A note fits into the pipe: nobody waits for a program that does not read. One that ends without reading is
    // judged by how it ends.
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(note.as_bytes());
    }
    loop {
        if !ends && ending.load(Ordering::Relaxed) {
            (ends, until) = (true, until.min(Instant::now() + LAST_MAX));
        }
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{program} ended with {status}"),
            None if Instant::now() < until => std::thread::sleep(LOOK),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("{program} did not end in time ({} s) and was stopped", TRY_MAX.as_secs());
            }
        }
    }
}

/// RFC 3161, section 3.4: the request by HTTP.
async fn ask(url: &Url, request: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let host = url.host_str().context("no host is named")?;
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let head = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, QUERY_TYPE)
        .header(header::CONTENT_LENGTH, request.len())
        .header(header::ACCEPT, REPLY_TYPE)
        .header(header::USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")))
        .body(())?
        .into_parts()
        .0;
    let server = Url::parse(&url[..url::Position::BeforePath])?;
    let upstream = Upstreams::new(&[server], Setting::of(&Limits::default(), None)?, None)?;
    let sent = upstream.send(wire::full(request), &Progress::none(), |_| head.clone()).await;
    let (resp, _) = sent.map_err(|failure| anyhow!("{}", wire::Causes(&failure)))?;
    if !resp.status().is_success() {
        bail!("{host} answered with {}", resp.status());
    }
    let body = http_body_util::Limited::new(resp.into_body(), REPLY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow!("{host}'s answer broke off or is larger than {REPLY_BYTES_MAX} bytes: {error}"))?;
    Ok(body.to_bytes().to_vec())
}
