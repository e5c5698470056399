//! The real gate as a child process, in front of a site of one page.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::client::{Answer, get, post_json};

/// A running gate; killed when it goes out of scope.
pub(crate) struct Gate {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

/// The program under test.
pub(crate) const CONSENTRY: &str = env!("CARGO_BIN_EXE_consentry");

impl Gate {
    /// Starts `consentry serve` over a data folder, behind `under` (a tracer; or `env`), and waits until it answers.
    pub(crate) fn start(mut under: Command, data: &Path, upstream: SocketAddr) -> Self {
        let (listen, admin) = (free_port(), free_port());
        let config = data.with_extension("toml");
        fs::write(&config, "[limits]\ndecisions_per_minute = 0\n").expect("a configuration");
        under.arg(CONSENTRY).arg("serve").args(["--upstream", &format!("http://{upstream}")]);
        under.args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]);
        under.arg("--data").arg(data).arg("--config").arg(&config);
        let process = under.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the gate starts");
        let mut gate = Self { process, address: listen };
        gate.wait_until_ready();
        gate
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait().expect("a child") {
                panic!("the gate ended before it answered: {status}");
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

/// `consentry log export --format jsonl`, into a string.
pub(crate) fn exported(data: &Path) -> String {
    let output = Command::new(CONSENTRY)
        .args(["log", "export", "--format", "jsonl", "--data"])
        .arg(data)
        .output()
        .expect("the program under test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("exports are UTF-8")
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
