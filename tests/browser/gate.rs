//! The gate under test: the real binary, started as an operator starts it, and ended by its pid.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A debug build with an embedded database that is new takes well under a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running gate.
pub(crate) struct Gate {
    /// Where visitors reach it.
    pub(crate) port: u16,
    child: Child,
    // Dropped last: the gate writes to it until it ends.
    data: tempfile::TempDir,
}

impl Gate {
    /// Starts the gate in front of what listens on a port of this machine.
    pub(crate) async fn start(upstream: u16) -> Self {
        Self::start_with(upstream, "", &[]).await
    }

    /// The same with more in its `consentry.toml`, and these files (path, text) laid over the
    /// policies inside the binary.
    pub(crate) async fn start_with(upstream: u16, settings: &str, policies: &[(&str, String)]) -> Self {
        let (port, admin) = (free_port(), free_port());
        let data = tempfile::tempdir().expect("the temporary folder is writable");
        let config = data.path().join("consentry.toml");
        // All visitors of a test come from one address.
        let folder = data.path().join("policies");
        std::fs::create_dir(&folder).expect("just made");
        for (name, text) in policies {
            std::fs::write(folder.join(name), text).expect("just made");
        }
        let text = format!("policies = \"policies\"\n[limits]\ndecisions_per_minute = 0\n{settings}");
        std::fs::write(&config, text).expect("just made");
        let said = std::fs::File::create(data.path().join("stderr")).expect("just made");
        let child = Command::new(env!("CARGO_BIN_EXE_consentry"))
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .args(["--upstream", &format!("http://127.0.0.1:{upstream}")])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .arg("--data")
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("an open file"))
            .stderr(said)
            .spawn()
            .expect("cargo built it");
        let mut gate = Self { port, child, data };
        gate.wait().await;
        gate
    }

    async fn wait(&mut self) {
        let start = Instant::now();
        while !answers(self.port).await {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gate ended while starting ({status}):\n{}", self.said());
            }
            assert!(start.elapsed() < START_TIMEOUT, "the gate does not answer after {START_TIMEOUT:?}:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// What it wrote to the terminal.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.data.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("it is bound").port()
}

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return false };
    let req = format!("GET /_consent/state HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut resp = String::new();
    stream.write_all(req.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut resp).await.is_ok()
        && resp.starts_with("HTTP/1.1 200")
}
