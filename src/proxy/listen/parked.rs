//! A connection that stands still has no parser: hyper keeps two buffers of 8 kB, which are dropped after a moment
//! without a request and made anew when the visitor sends something. The transport with what was checked and counted
//! on it stays: hyper gets a handle of it, we keep the other.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{strict::Strict, transport::Transport};

/// A transport that hyper reads from and we look at. All within one task: nobody waits for the lock.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Strict<Transport>>>);

impl Shared {
    pub(super) fn new(strict: Strict<Transport>) -> Self {
        Self(Arc::new(Mutex::new(strict)))
    }

    fn strict(&self) -> MutexGuard<'_, Strict<Transport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when nothing was asked for a while and nothing is under way.
    pub(super) async fn stands_still(&self) {
        poll_fn(|cx| self.strict().poll_still(cx)).await;
    }

    /// Resolves when there is something for hyper: a request, or its beginning, or the end.
    pub(super) async fn moves(&self) {
        poll_fn(|cx| self.strict().poll_moves(cx)).await;
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.strict()).poll_read(cx, out)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.strict()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.strict()).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.strict().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.strict()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.strict()).poll_shutdown(cx)
    }
}
