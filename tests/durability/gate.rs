//! The real gate as a child process, in front of a site of one page.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::client::{Answer, get, post_json, post_json_with};

/// A running gate; killed when it goes out of scope.
pub(crate) struct Gate {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The file with what it says.
    said: PathBuf,
}

/// The program under test.
pub(crate) const CONSENTRY: &str = env!("CARGO_BIN_EXE_consentry");

/// What a gate is started with.
pub(crate) struct Start<'s> {
    /// What it runs behind: a tracer, or `env`.
    pub(crate) under: Command,
    /// Its data folder.
    pub(crate) data: &'s Path,
    /// Where its configuration and what it says go.
    pub(crate) beside: &'s Path,
    /// The site behind.
    pub(crate) upstream: SocketAddr,
    /// Lines of `[limits]`.
    pub(crate) limits: &'s str,
}

impl Start<'_> {
    /// Starts `consentry serve` and returns at once.
    pub(crate) fn spawn(mut self) -> Gate {
        let (listen, admin) = (free_port(), free_port());
        let config = self.beside.join("consentry.toml");
        fs::write(&config, format!("[limits]\ndecisions_per_minute = 0\n{}\n", self.limits)).expect("a configuration");
        let said = self.beside.join("said");
        let output = File::create(&said).expect("a file for what it says");
        self.under.arg(CONSENTRY).arg("serve").args(["--upstream", &format!("http://{}", self.upstream)]);
        self.under.args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]);
        self.under.arg("--data").arg(self.data).arg("--config").arg(&config);
        let process = self.under.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().expect("the gate starts");
        Gate { process, address: listen, admin, said }
    }

    /// Likewise, and waits until it answers.
    pub(crate) fn ready(self) -> Gate {
        let mut gate = self.spawn();
        gate.wait_until_ready();
        gate
    }
}

impl Gate {
    /// Starts `consentry serve` over a data folder, behind `under` (a tracer; or `env`), and waits until it answers.
    pub(crate) fn start(under: Command, data: &Path, upstream: SocketAddr) -> Self {
        let beside = data.parent().expect("a folder around it");
        Start { under, data, beside, upstream, limits: "" }.ready()
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait().expect("a child") {
                panic!("the gate ended before it answered: {status}: {}", self.said());
            }
            assert!(Instant::now() < deadline, "the gate does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The notice token that decisions need.
    pub(crate) fn token(address: SocketAddr) -> Option<String> {
        let answer = get(address, "/_consent/notice-token").ok()?;
        Some(answer.json()?["notice"].as_str()?.to_owned())
    }

    /// One decision.
    pub(crate) fn decide(address: SocketAddr, token: &str) -> std::io::Result<Answer> {
        post_json(address, "/_consent/decision", &json!({ "choice": "accept_all", "notice": token }))
    }

    /// Any choice, by a visitor with that cookie.
    pub(crate) fn choose(&self, choice: &str, cookie: &str) -> Answer {
        let token = Self::token(self.address).expect("a notice token");
        let body = json!({ "choice": choice, "notice": token });
        post_json_with(self.address, "/_consent/decision", &body, cookie).expect("an answer")
    }

    /// The status of `/healthz` or `/readyz`, and what it says.
    pub(crate) fn told(&self, path: &str) -> (u16, String) {
        get(self.admin, path).map_or((0, String::new()), |answer| (answer.status, answer.body))
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// The exit code of a gate that ends by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the gate goes on: {}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and gone when this returns.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        for pid in children(self.process.id()).into_iter().chain([self.process.id()]) {
            Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status().expect("kill is installed");
        }
        self.ended()
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        kill(&mut self.process);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.kill();
    }
}

/// SIGKILL to a process and to what it started: what a killed tracer traced would go on by itself.
pub(crate) fn kill(process: &mut Child) {
    if process.try_wait().is_ok_and(|ended| ended.is_some()) {
        // Its number may be another process's by now.
        return;
    }
    for child in children(process.id()) {
        signal(child);
    }
    signal(process.id());
    process.wait().expect("it was started here");
}

/// SIGKILL to one process. It may have ended by itself, which the audits show.
pub(crate) fn signal(pid: u32) {
    Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status().expect("kill is installed");
}

fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A command on a data folder: its exit code, what it printed and what it said.
pub(crate) fn command(words: &[&str], data: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(CONSENTRY).args(words).arg("--data").arg(data).stdin(Stdio::null()).output();
    let output = output.expect("the program under test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `consentry log export --format jsonl`, into a string.
pub(crate) fn exported(data: &Path) -> String {
    let (code, printed, said) = command(&["log", "export", "--format", "jsonl"], data);
    assert_eq!(code, Some(0), "{said}");
    printed
}

/// `consentry log verify` finds nothing, and every record is there by its id.
#[track_caller]
pub(crate) fn assert_whole<'i>(data: &Path, acked: impl IntoIterator<Item = &'i String>) {
    let (code, printed, said) = command(&["log", "verify"], data);
    assert_eq!(code, Some(0), "{printed}{said}");
    let present = ids(&exported(data));
    let lost: Vec<_> = acked.into_iter().filter(|id| !present.contains(*id)).collect();
    assert!(lost.is_empty(), "{} acknowledged decisions are gone: {lost:?}", lost.len());
}

/// The ids of decisions in an export without a gap.
pub(crate) fn ids(lines: &str) -> HashSet<String> {
    let mut ids = HashSet::new();
    for (index, line) in lines.lines().enumerate() {
        let leaf: Value = serde_json::from_str(line).expect("a line");
        assert_eq!(leaf["_idx"], index, "a gap");
        // What was erased has none.
        if let Some(id) = leaf["id"].as_str().filter(|_| leaf["_kind"] == "decision") {
            assert!(ids.insert(id.to_owned()), "an id twice");
        }
    }
    ids
}

/// A site of one page, for as long as the test runs.
pub(crate) fn site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let page = "<!doctype html><title>Shop</title><p>Hello";
            // Whoever hangs up early is no concern of the site.
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\ncontent-length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{page}", page.len());
        }
    });
    address
}

/// A data folder inside a temporary one, so that files beside it go away with it.
pub(crate) fn data_folder(inside: &tempfile::TempDir) -> PathBuf {
    inside.path().join("data")
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
