//! A real upstream and a real gate on ports of their own, and raw bytes between them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use consentry::{
    app::{App, ConfigSource, Flags},
    config::{Config, PathPatterns},
    proxy::hosts::Hosts,
    site::UpstreamState,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
};

/// A request as the upstream got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// An upstream that answers raw bytes and closes. What it got is kept.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Upstream {
    /// `answer` turns a request into the raw bytes of an answer.
    pub(crate) async fn start(answer: impl Fn(&Got) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                tokio::spawn(async move {
                    if let Some(request) = read_request(&mut stream).await {
                        let bytes = answer(&request);
                        kept.lock().expect("no panic holds it").push(request);
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        Self { address, got }
    }

    /// An upstream with one page for every path.
    pub(crate) async fn page(html: &'static str) -> Self {
        Self::start(move |_| respond("200 OK", &[("content-type", "text/html; charset=utf-8")], html.as_bytes())).await
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().expect("an address is a URL")
    }

    /// One that a test answers for by itself.
    pub(crate) fn elsewhere(address: SocketAddr) -> Self {
        Self { address, got: Arc::default() }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic holds it").clone()
    }

    pub(crate) fn last(&self) -> Got {
        self.got().pop().expect("the upstream got a request")
    }
}

/// The raw bytes of an answer with a length.
pub(crate) fn respond(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

async fn read_request(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = stream.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let read = stream.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
        body.extend_from_slice(&chunk[..read]);
    }
    Some(Got { line, headers, body })
}

/// A gate in this process.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    /// Where it speaks TLS, with `[tls]`.
    pub(crate) tls: Option<SocketAddr>,
    admin: SocketAddr,
    pub(crate) data: tempfile::TempDir,
    hosts: Arc<Hosts>,
    reload: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Gate {
    pub(crate) async fn start(upstream: &Upstream) -> Self {
        Self::with(upstream, |_| {}).await
    }

    /// `edit` changes the configuration; policies are the embedded ones unless it names a folder.
    pub(crate) async fn with(upstream: &Upstream, edit: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config { listen: any, admin: any, data: data.path().to_owned(), ..Config::default() };
        config.sites[0].upstreams = vec![upstream.url()];
        config.limits.drain_s = 5;
        edit(&mut config);
        let app = App::open(config).await.unwrap_or_else(|error| panic!("the gate opens: {error}"));
        Self::run(app, data)
    }

    /// A gate that reads its configuration from a file and looks whether it changes.
    pub(crate) async fn of_file(file: &Path) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let flags = Flags { listen: any, admin: any, data: Some(data.path().to_owned()), ..Flags::default() };
        let source = ConfigSource::new(Some(file), flags);
        let (config, _) = source.load().unwrap_or_else(|faults| panic!("{faults:#?}"));
        let app = App::open_from(source, config).await.unwrap_or_else(|error| panic!("the gate opens: {error}"));
        Self::run(app, data)
    }

    fn run(app: App, data: tempfile::TempDir) -> Self {
        let (hosts, reload) = (Arc::clone(app.hosts()), app.reload());
        let address = app.address().expect("an open port");
        let tls = app.tls_address().map(|address| address.expect("an open port"));
        let admin = app.admin_address().expect("an open port");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            app.run(until).await.expect("the gate runs");
        });
        Self { address, tls, admin, data, hosts, reload, stop: Some(stop), running: Some(running) }
    }

    /// Asks it to stop; it may still answer.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.begin_stop();
        if let Some(running) = self.running.take() {
            running.await.expect("the gate ends");
        }
    }

    /// How the upstreams are doing, those of all sites in a row.
    pub(crate) fn upstreams(&self) -> Vec<UpstreamState> {
        self.hosts.upstreams().into_iter().flat_map(|(_, states)| states).collect()
    }

    /// Has everything read again, as SIGHUP does.
    pub(crate) fn reload(&self) {
        self.reload.notify_one();
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the admin listener.
    pub(crate) async fn admin(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = headers.iter().find(|(name, _)| *name == "host").map_or("localhost", |(_, host)| host);
        let more = headers.iter().filter(|(name, _)| *name != "host").map(|(name, value)| format!("{name}: {value}\r\n"));
        let more: String = more.collect();
        exchange(self.admin, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n").as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, b"").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("connection: close\r\n\r\n");
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// Sends bytes and reads to the end of the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        exchange(self.address, bytes).await
    }

    pub(crate) async fn token(&self) -> String {
        let answer = self.get("/_consent/notice-token", &[]).await;
        answer.json()["notice"].as_str().expect("a token").to_owned()
    }

    /// Posts a decision as JSON, as a program of the operator's would.
    pub(crate) async fn decide(&self, fields: serde_json::Value, headers: &[(&str, &str)]) -> Answer {
        let origin = self.origin();
        let mut all = vec![("content-type", "application/json"), ("origin", origin.as_str())];
        all.extend_from_slice(headers);
        self.send("POST", "/_consent/decision", &all, fields.to_string().as_bytes()).await
    }

    /// The cookie of a visitor who accepted everything.
    pub(crate) async fn accepted(&self) -> String {
        let answer = self.decide(serde_json::json!({ "choice": "accept_all", "notice": self.token().await }), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.consent_cookie().expect("a consent cookie")
    }
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("the gate listens");
    // The gate may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the gate answers in time").ok();
    Answer::parse(&answer)
}

/// An answer as the visitor got it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Decoded from chunks.
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end: by its length, or by its last chunk.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let rest = &bytes[end + 4..];
        let (body, whole) = if find("transfer-encoding").is_some() {
            dechunk(rest)
        } else {
            let length = find("content-length").and_then(|value| value.parse::<usize>().ok());
            (rest.to_vec(), length.is_none_or(|length| length == rest.len()))
        };
        Self { status, headers, body, whole }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `name=value` of the consent cookie that the answer sets.
    pub(crate) fn consent_cookie(&self) -> Option<String> {
        let set = self
            .all("set-cookie")
            .into_iter()
            .find(|line| line.starts_with("consentry=") || line.starts_with("__Host-consentry="))?;
        set.split(';').next().map(str::to_owned)
    }
}

pub(crate) fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else { return (body, false) };
        let Ok(size) = usize::from_str_radix(String::from_utf8_lossy(&rest[..line]).trim(), 16) else { return (body, false) };
        rest = &rest[line + 2..];
        if size == 0 {
            // The empty line behind the last chunk, or behind trailers.
            return (body, rest.starts_with(b"\r\n") || rest.windows(4).any(|window| window == b"\r\n\r\n"));
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// Path patterns of a test.
pub(crate) fn paths(patterns: &[&str]) -> PathPatterns {
    let mut paths = PathPatterns::default();
    patterns.iter().for_each(|pattern| paths.add(pattern).expect("a test pattern"));
    paths
}

/// The binary, run to its end.
pub(crate) fn run(args: &[&str], dir: &Path) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_consentry"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Files of a folder, written.
pub(crate) fn write_files(dir: &Path, files: &BTreeMap<&str, String>) {
    for (path, text) in files {
        let file = dir.join(path);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
}
