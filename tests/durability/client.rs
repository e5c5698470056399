//! The least of an HTTP client: one request, one connection, raw bytes.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// An answer that arrived whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The client's end of the connection: how a trace of the server names it.
    pub(crate) client: SocketAddr,
}

impl Answer {
    /// The values of `Set-Cookie`.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")))
            .map(|(_, value)| value)
    }

    /// The JSON object in the body; none when the answer was cut short.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(self.body.get(self.body.find('{')?..=self.body.rfind('}')?)?).ok()
    }
}

pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"))
}

pub(crate) fn post_json(server: SocketAddr, path: &str, body: &Value) -> io::Result<Answer> {
    post_json_with(server, path, body, "")
}

/// Likewise with a cookie, `name=value`; empty: none.
pub(crate) fn post_json_with(server: SocketAddr, path: &str, body: &Value, cookie: &str) -> io::Result<Answer> {
    let body = body.to_string();
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nOrigin: http://{server}\r\nContent-Type: application/json\r\nAccept: application/json\r\n{cookie}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    exchange(server, &(head + &body))
}

fn exchange(server: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let client = stream.local_addr()?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned(), client })
}
