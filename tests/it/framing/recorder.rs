//! An upstream that keeps what it got byte for byte, and a client that sends bytes and counts answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A request as it came to the upstream, read by the plainest rules there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// Without a port.
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
    /// The head's lines as they came.
    pub(crate) head: Vec<String>,
}

impl Seen {
    pub(crate) fn line(&self, name: &str) -> Vec<&str> {
        let lines = self.head.iter().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// What two proxies have to agree on.
    pub(crate) fn meaning(&self) -> (&str, &str, &str, usize) {
        (&self.method, &self.target, &self.host, self.body.len())
    }
}

/// Keeps every request, and answers each with 200.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, Arc::clone(&kept)));
            }
        });
        Self { address, seen }
    }

    /// What came since it was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no panic holds it"))
    }
}

async fn record(mut stream: TcpStream, kept: Arc<Mutex<Vec<Seen>>>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let (seen, rest) = loop {
            if let Some(whole) = parse(&bytes) {
                break whole;
            }
            let mut piece = [0; 8192];
            let read = stream.read(&mut piece).await.ok().filter(|&read| read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
        };
        bytes = rest;
        kept.lock().expect("no panic holds it").push(seen);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
    }
}

/// One whole request and what is behind it.
fn parse(bytes: &[u8]) -> Option<(Seen, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let head: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    let mut seen = Seen { method: String::new(), target: String::new(), host: String::new(), body: Vec::new(), head };
    let mut parts = seen.head[0].split(' ');
    (seen.method, seen.target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    seen.host = seen.line("host").first().map(|host| (*host).to_owned()).unwrap_or_default();
    if let Some((_, rest)) = seen.target.split_once("://") {
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (seen.host, seen.target) = (host.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() });
    }
    seen.host = seen.host.split(':').next().unwrap_or_default().to_owned();
    let rest = &bytes[end + 4..];
    if seen.line("transfer-encoding").first().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let (body, rest) = dechunk(rest)?;
        return Some((Seen { body, ..seen }, rest));
    }
    let length = seen.line("content-length").first().map_or(Some(0), |length| length.parse().ok())?;
    (rest.len() >= length).then(|| (Seen { body: rest[..length].to_vec(), ..seen }, rest[length..].to_vec()))
}

/// A chunked body and what is behind it.
fn dechunk(mut rest: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = String::from_utf8_lossy(&rest[..line]).split(';').next().map(str::to_owned)?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
    // Trailers, up to the empty line.
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        rest = &rest[line + 2..];
        if line == 0 {
            return Some((body, rest.to_vec()));
        }
    }
}

/// What came back on one connection.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) statuses: Vec<u16>,
    /// Whether the other side ended the connection in time.
    pub(crate) closed: bool,
    pub(crate) text: String,
}

/// Sends `pieces` one after the other, then reads until the other side closes, or for `wait`.
pub(crate) async fn send(address: SocketAddr, pieces: &[&[u8]], wait: Duration) -> Back {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    for piece in pieces {
        // It may answer and close before it has read everything.
        let _ = stream.write_all(piece).await;
        let _ = stream.flush().await;
        if pieces.len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    let reading = async {
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..read]);
        }
    };
    let closed = timeout(wait, reading).await.is_ok();
    Back { statuses: statuses(&bytes), closed, text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// The statuses of all answers in a row, interim ones left out.
fn statuses(mut rest: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let Some(status) = head.split(' ').nth(1).and_then(|code| code.parse().ok()) else { break };
        rest = &rest[end + 4..];
        if status < 200 {
            continue;
        }
        statuses.push(status);
        let line = |name: &str| {
            let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned()).next()
        };
        let behind = match line("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => rest.get(length..).map(<[u8]>::to_vec),
            None if line("transfer-encoding").is_some() => dechunk(rest).map(|(_, rest)| rest),
            None => None,
        };
        let Some(behind) = behind else { break };
        rest = &rest[rest.len() - behind.len()..];
    }
    statuses
}
