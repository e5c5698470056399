//! The same bytes through nginx and HAProxy: whatever the gate accepts, they take for the same requests,
//! or the difference is explained here. `tests/run` installs both.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    recorder::{Recorder, send},
    table::cases,
};

/// A peer in front of a recorder of its own; it ends with this.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    recorder: Recorder,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the gate accepts and a peer refuses, and why that is right. Nowhere do both accept and differ.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "an absolute address",
        "haproxy",
        "it refuses a Host beside it that differs; the address counts (RFC 9112, 3.2.2), and only it",
    ),
    ("an absolute address without a path", "haproxy", "likewise"),
    (
        "percent-encoded bytes",
        "nginx",
        "it decodes paths, and then refuses %00; here they pass as they came, and the site decides",
    ),
    ("a hundred and one lines", "haproxy", "its bound is 101 by default, that of the gate 200"),
];

impl Peer {
    async fn start(name: &'static str, config: impl FnOnce(&Path, SocketAddr, SocketAddr) -> (PathBuf, Command)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let recorder = Recorder::start().await;
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let (file, mut command) = config(folder.path(), address, recorder.address);
        let shown = file.display().to_string();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("{name} is not there ({error}): run tests/run, which installs it"));
        let peer = Self { name, address, recorder, process, _folder: folder };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return peer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} does not listen; its configuration was {shown}");
    }

    async fn nginx() -> Self {
        Self::start("nginx", |folder, address, upstream| {
            let at = folder.display();
            let text = format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
                events {{}}
                http {{
                    access_log off;
                    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                    large_client_header_buffers 8 64k;
                    server {{
                        listen {address};
                        keepalive_timeout 1s; client_header_timeout 1s; client_body_timeout 1s; lingering_timeout 1s;
                        location / {{
                            proxy_pass http://{upstream};
                            proxy_http_version 1.1;
                            proxy_set_header Host $host;
                            proxy_set_header Connection \"\";
                        }}
                    }}
                }}"
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, text).expect("a file");
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&file);
            (file, command)
        })
        .await
    }

    async fn haproxy() -> Self {
        Self::start("haproxy", |folder, address, upstream| {
            let text = format!(
                "global
    maxconn 100
defaults
    mode http
    timeout connect 2s
    timeout client 2s
    timeout server 2s
    timeout http-request 1s
    timeout http-keep-alive 1s
frontend front
    bind {address}
    default_backend back
backend back
    server one {upstream}
"
            );
            let file = folder.join("haproxy.cfg");
            std::fs::write(&file, text).expect("a file");
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(&file);
            (file, command)
        })
        .await
    }

    /// What the peer takes the bytes for; empty where it refuses them.
    async fn reads(&self, bytes: &[u8]) -> Vec<(String, String, String, usize)> {
        send(self.address, &[bytes], Duration::from_millis(2_500)).await;
        meanings(&self.recorder)
    }
}

fn meanings(recorder: &Recorder) -> Vec<(String, String, String, usize)> {
    let seen = recorder.take();
    let meanings = seen.iter().map(|seen| seen.meaning());
    meanings.map(|(method, target, host, length)| (method.to_owned(), target.to_owned(), host.to_owned(), length)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_accepts_means_the_same_to_nginx_and_haproxy() {
    let recorder = Recorder::start().await;
    let gate = super::gate(&recorder, |_| {}).await;
    let peers = [Peer::nginx().await, Peer::haproxy().await];
    let mut differences = Vec::new();
    let mut compared = 0;
    for case in cases() {
        send(gate.address, &[&case.bytes], super::WAIT).await;
        let ours = meanings(&recorder);
        if ours.is_empty() {
            continue;
        }
        compared += 1;
        let (nginx, haproxy) = tokio::join!(peers[0].reads(&case.bytes), peers[1].reads(&case.bytes));
        for (peer, theirs) in peers.iter().zip([nginx, haproxy]) {
            let explained = EXPLAINED.iter().any(|(name, at, _)| *name == case.name && *at == peer.name);
            let right = if explained { theirs.is_empty() } else { theirs == ours };
            if !right {
                differences.push(format!("{} at {}: {theirs:?}, here {ours:?}, explained: {explained}", case.name, peer.name));
            }
        }
    }
    assert!(compared > 25, "{compared} cases were compared");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
