//! The bytes of one connection, TLS or not; what was read ahead to tell the protocol is read again.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::write_idle::WriteIdle;

/// What a client that knows we speak HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that were read ahead come first.
pub(super) struct Rewound<I> {
    ahead: Vec<u8>,
    inner: I,
}

impl<I> Rewound<I> {
    pub(super) fn new(inner: I) -> Self {
        Self { ahead: Vec::new(), inner }
    }

    /// Puts back what was read too far, before anything else.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.ahead.splice(0..0, bytes.iter().copied());
    }
}

impl<I: AsyncRead + Unpin> Rewound<I> {
    /// Whether the peer begins with the preface of HTTP/2. Nothing is lost: the bytes are read again.
    pub(super) async fn begins_http2(&mut self) -> io::Result<bool> {
        let mut first = [0; PREFACE.len()];
        let mut length = 0;
        let same = loop {
            let read = self.read(&mut first[length..]).await?;
            length += read;
            if first[..length] != PREFACE[..length] || read == 0 {
                break false;
            }
            if length == PREFACE.len() {
                break true;
            }
        };
        self.put_back(&first[..length]);
        Ok(same)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..length]);
        self.ahead.drain(..length);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A connection's bytes before anything was made of them.
pub(super) type Raw = Rewound<WriteIdle<TcpStream>>;

/// A connection's bytes as HTTP sees them.
pub(super) enum Transport {
    /// As they come.
    Plain(Raw),
    /// Inside TLS.
    Tls(Box<TlsStream<Raw>>),
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(raw) => Pin::new(raw).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(raw) => Pin::new(raw).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(raw) => Pin::new(raw).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(raw) => raw.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(raw) => Pin::new(raw).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(raw) => Pin::new(raw).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_preface_is_told_from_everything_else_and_nothing_is_lost() {
        let preface = std::str::from_utf8(PREFACE).expect("ascii");
        for (sent, want) in [
            (format!("{preface}rest"), true),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), false),
            ("PRI * HTTP/1.1\r\n\r\n".to_owned(), false),
            (preface[..20].to_owned(), false),
            ("P".to_owned(), false),
            (String::new(), false),
        ] {
            // At every piece size the same.
            for piece in [1, 7, 100] {
                let (mut client, server) = tokio::io::duplex(1024);
                for bytes in sent.as_bytes().chunks(piece) {
                    client.write_all(bytes).await.expect("room");
                }
                drop(client);
                let mut server = Rewound::new(server);
                assert_eq!(server.begins_http2().await.expect("bytes"), want, "{sent:?}");
                let mut all = String::new();
                server.read_to_string(&mut all).await.expect("text");
                assert_eq!(all, sent);
            }
        }
    }
}
