//! HTTP/2 by hand: frames as no client of good faith would send them, and what comes back.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An answer with this status, whole.
    Answered(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, or the end of the connection.
    Gone(Option<u32>),
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK literals that no table keeps (RFC 7541, 6.2.2): names go out as they are written.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let string = |block: &mut Vec<u8>, text: &str| {
        let mut length = text.len();
        if length < 127 {
            block.push(length as u8);
        } else {
            block.push(127);
            length -= 127;
            while length >= 128 {
                block.push((length % 128) as u8 | 128);
                length /= 128;
            }
            block.push(length as u8);
        }
        block.extend_from_slice(text.as_bytes());
    };
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// The fields of a request, before others.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "a.site"), (":path", path)]
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, 1 << 20).await
    }

    /// `window` is how much of each answer may be sent unasked.
    pub(crate) async fn open_with(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gate listens");
        let mut connection = Self { stream, read: Vec::new() };
        // No table: every status comes as it is.
        let settings = [&[0, 1, 0, 0, 0, 0][..], &INITIAL_WINDOW_SIZE.to_be_bytes(), &window.to_be_bytes()].concat();
        let opening = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &settings)].concat();
        assert!(connection.write(&opening).await);
        connection
    }

    /// Whether the gate still took it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Likewise, and gives up where the gate has stopped reading.
    pub(crate) async fn write_within(&mut self, bytes: &[u8], time: Duration) -> bool {
        tokio::time::timeout(time, self.write(bytes)).await.unwrap_or(false)
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    pub(crate) async fn ask(&mut self, stream: u32, asked: &[(&str, &str)], more: bool) -> bool {
        let flags = if more { END_HEADERS } else { END_HEADERS | END_STREAM };
        self.send(HEADERS, flags, stream, &fields(asked)).await
    }

    /// The next frame; settings and pings are acknowledged on the way. `None` at the end of the connection, or
    /// when nothing comes for ten seconds.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = tokio::time::timeout(Duration::from_secs(10), self.read_frame()).await.ok().flatten()?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => drop(self.send(SETTINGS, ACK, 0, &[]).await),
            PING if frame.flags & ACK == 0 => drop(self.send(PING, ACK, 0, &frame.payload).await),
            _ => {}
        }
        Some(frame)
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.read.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.read.len() >= 9 + length {
                    let (kind, flags) = (head[3], head[4]);
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let payload = self.read[9..9 + length].to_vec();
                    self.read.drain(..9 + length);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// How `stream` ends.
    pub(crate) async fn ended(&mut self, stream: u32) -> Ended {
        let mut answered = None;
        while let Some(frame) = self.next().await {
            match frame.kind {
                GOAWAY => return Ended::Gone(Some(code(&frame.payload[4..]))),
                RST_STREAM if frame.stream == stream => return Ended::Reset(code(&frame.payload)),
                HEADERS if frame.stream == stream && answered.is_none() => answered = Some(status(&frame.payload)),
                _ => {}
            }
            if frame.stream == stream && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Ended::Answered(answered.expect("a head comes first"));
            }
        }
        Ended::Gone(None)
    }

    /// The code of the GOAWAY, once the gate has had enough; `None` where it only closed.
    pub(crate) async fn gone(&mut self) -> Option<u32> {
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                return Some(code(&frame.payload[4..]));
            }
        }
        None
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// `:status`, first in every answer: indexed, or three digits in the Huffman code (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> u16 {
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("more than table sizes");
    let block = &block[start..];
    if let 0x88..=0x8e = block[0] {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] - 0x88)];
    }
    assert_eq!(block[0] & 0x0f, 8, "the name is :status, literally: {block:?}");
    let length = usize::from(block[1] & 0x7f);
    let text = &block[2..2 + length];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(text).expect("digits").parse().expect("a status");
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).expect("bits");
        let digit = if five <= 2 {
            at += 5;
            five
        } else {
            at += 6;
            u16::from_str_radix(&bits[at - 6..at], 2).expect("bits") - 0b01_1001 + 3
        };
        status = status * 10 + digit;
    }
    status
}
