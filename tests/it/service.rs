//! The gate under a service manager: sockets that it opened, and what it is told.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    harness::Upstream,
    process::{Process, free, get},
};

/// The service manager's end of the word.
struct Manager(UnixDatagram);

impl Manager {
    fn new(dir: &Path) -> Self {
        let socket = UnixDatagram::bind(dir.join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        Self(socket)
    }

    /// Waits until a message with this line has come.
    async fn hears(&self, line: &str) {
        let (began, mut all) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(20) {
            let mut bytes = [0; 512];
            match self.0.recv(&mut bytes) {
                Ok(read) => {
                    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    if text.lines().any(|told| told == line) {
                        return;
                    }
                    all.push(text);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("{line} did not come: {all:?}");
    }
}

fn spawn(command: &mut Command, dir: &Path) -> Process {
    let log = std::fs::File::create(dir.join("log")).expect("a file");
    Process(command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts"))
}

fn terminate(process: &Process) {
    let ended = Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().expect("kill runs");
    assert!(ended.success());
}

async fn exit_code(process: &mut Process) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Some(status) = process.0.try_wait().expect("a child of ours") {
            return status.code();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_were_opened_before_are_served_and_the_manager_is_told() {
    let upstream = Upstream::page("<p>behind").await;
    let dir = tempfile::tempdir().expect("a folder");
    let manager = Manager::new(dir.path());
    let (http, other, admin) = (free(), free(), free());
    let mut command = Command::new("systemd-socket-activate");
    for address in [admin, http, other] {
        command.arg("-l").arg(address.to_string());
    }
    command.arg("--fdname=admin:http:http").arg("-E").arg(format!("NOTIFY_SOCKET={}", dir.path().join("notify").display()));
    command.args([env!("CARGO_BIN_EXE_consentry"), "serve", "--upstream", &format!("http://{}", upstream.address)]);
    let mut gate = spawn(&mut command, dir.path());
    let began = Instant::now();
    let mut first = loop {
        match TcpStream::connect(http).await {
            Ok(stream) => break stream,
            Err(_) => assert!(began.elapsed() < Duration::from_secs(10), "the sockets are opened"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // The gate is only started by it, and it is answered all the same.
    first.write_all(b"GET /x HTTP/1.1\r\nhost: a.site\r\nconnection: close\r\n\r\n").await.expect("sent");
    manager.hears("READY=1").await;
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.expect("text");
    assert!(answer.contains("<p>behind"), "{answer}");
    assert!(get(other, "a.site", "/").await.contains("<p>behind"), "several sockets of a kind");
    assert!(get(admin, "localhost", "/readyz").await.starts_with("HTTP/1.1 200 "));
    terminate(&gate);
    manager.hears("STOPPING=1").await;
    assert_eq!(exit_code(&mut gate).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_and_every_sign_of_life_are_told() {
    let upstream = Upstream::page("<p>behind").await;
    let dir = tempfile::tempdir().expect("a folder");
    let manager = Manager::new(dir.path());
    std::fs::create_dir(dir.path().join("policies")).expect("a folder");
    let (http, admin) = (free(), free());
    let shell = format!(
        "WATCHDOG_PID=$$ exec {} serve --upstream http://{} --listen {http} --admin {admin} --policies policies",
        env!("CARGO_BIN_EXE_consentry"),
        upstream.address
    );
    let mut command = Command::new("sh");
    command.args(["-c", &shell]).env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "400000");
    let _gate = spawn(&mut command, dir.path());
    manager.hears("READY=1").await;
    let began = Instant::now();
    for _ in 0..5 {
        manager.hears("WATCHDOG=1").await;
    }
    assert!(began.elapsed() < Duration::from_secs(3), "twice in the time given");
    let broken = "[[nonsense";
    std::fs::write(dir.path().join("policies/site.toml"), broken).expect("a file");
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;
}

#[test]
fn sockets_that_cannot_be_used_are_told_and_nothing_is_started() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
        command.args(["serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.envs(variables.iter().copied()).current_dir(dir.path()).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (variables, want) in [
        (&[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:web")][..], "FileDescriptorName"),
        // Standard input is there, and is no socket.
        (&[("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0")], "not a socket"),
    ] {
        let (code, told) = output(variables);
        assert!(code == Some(1) && told.contains("LISTEN_FDS") && told.contains(want), "{code:?}: {told}");
    }
}
