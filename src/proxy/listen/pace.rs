//! The clocks of an HTTP/2 connection, which hyper does not have: answers that are not taken although the
//! connection lives, connections without a stream, and streams that are only opened to be reset.

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::Notify, time::Instant};

use crate::{
    config::Limits,
    wire::{Body, BodyError},
};

/// A stream that is reset before it is this old was not meant to be answered.
const EARLY: Duration = Duration::from_secs(1);

/// No clock is running.
const OFF: u64 = u64::MAX;

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has had no stream for `http2_idle_s`.
    Idle,
    /// None of the bytes that wait for it was taken for `write_idle_s`.
    Stuck,
    /// More than half of its streams, and `http2_resets` at least, were reset right away.
    Resets,
}

/// What is known of a connection.
pub(super) struct Pace {
    began: Instant,
    idle_max: Duration,
    write_idle_max: Duration,
    resets_max: u64,
    /// Streams under way.
    streams: AtomicUsize,
    /// Streams so far.
    opened: AtomicU64,
    /// Those that were reset early.
    reset: AtomicU64,
    /// Pieces of bodies that wait to be written.
    waiting: AtomicUsize,
    /// When the last byte was written, or the last stream ended, in milliseconds since it began.
    last_ms: AtomicU64,
    abused: Notify,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            idle_max: Limits::seconds(limits.http2_idle_s),
            write_idle_max: Limits::seconds(limits.write_idle_s),
            resets_max: limits.http2_resets,
            streams: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
            abused: Notify::new(),
        })
    }

    /// Resolves when the connection has to go.
    pub(super) async fn over(&self) -> Over {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let quiet = last.elapsed();
            if self.is_empty() && quiet >= self.idle_max {
                return Over::Idle;
            }
            if self.waiting.load(Ordering::Relaxed) > 0 && quiet >= self.write_idle_max {
                return Over::Stuck;
            }
            // Both clocks start anew by what happens on the connection: it is looked at when one could be up.
            let look = [self.idle_max, self.write_idle_max].into_iter().filter_map(|max| max.checked_sub(quiet)).min();
            let look = look.unwrap_or(self.write_idle_max).max(Duration::from_millis(100));
            tokio::select! {
                () = tokio::time::sleep(look) => {}
                () = self.abused.notified() => return Over::Resets,
            }
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0 && self.waiting.load(Ordering::Relaxed) == 0
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(OFF - 1)
    }

    fn mark(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }
}

/// One stream of a connection.
pub(super) struct Stream {
    pace: Arc<Pace>,
    began: Instant,
    /// Since when the visitor takes nothing of what is there for it; [`OFF`] while nothing is.
    since_ms: AtomicU64,
    /// Whether its answer came to an end, or could not.
    answered: AtomicBool,
}

impl Stream {
    pub(super) fn open(pace: &Arc<Pace>) -> Arc<Self> {
        pace.streams.fetch_add(1, Ordering::Relaxed);
        pace.opened.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            pace: Arc::clone(pace),
            began: Instant::now(),
            since_ms: AtomicU64::new(OFF),
            answered: AtomicBool::new(false),
        })
    }

    /// Resolves when the visitor has taken nothing of an answer for too long.
    pub(super) async fn stuck(&self) {
        let max = self.pace.write_idle_max;
        if max.is_zero() {
            return pending().await;
        }
        loop {
            let waited = match self.since_ms.load(Ordering::Relaxed) {
                OFF => Duration::ZERO,
                since => Duration::from_millis(self.pace.now_ms().saturating_sub(since)),
            };
            match max.checked_sub(waited) {
                None | Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
            }
        }
    }

    /// The answer's body with the clocks at both of its ends.
    pub(super) fn watch(self: &Arc<Self>, body: Body) -> Paced {
        if body.is_end_stream() {
            self.answered.store(true, Ordering::Relaxed);
        }
        Paced { body, stream: Arc::clone(self) }
    }

    fn mark(&self) {
        self.pace.mark();
        if self.since_ms.load(Ordering::Relaxed) != OFF {
            self.since_ms.store(self.pace.now_ms(), Ordering::Relaxed);
        }
    }

    /// Called once, when hyper has no more to do with the stream.
    pub(super) fn close(&self) {
        let pace = &self.pace;
        pace.streams.fetch_sub(1, Ordering::Relaxed);
        pace.mark();
        if self.answered.load(Ordering::Relaxed) || self.began.elapsed() >= EARLY {
            return;
        }
        let reset = pace.reset.fetch_add(1, Ordering::Relaxed) + 1;
        // CVE-2023-44487: below the bound on streams at a time, and each costs a request to the site behind.
        // Whoever leaves a page early resets many streams as well, but not most of hundreds.
        if reset >= pace.resets_max && reset * 2 > pace.opened.load(Ordering::Relaxed) {
            pace.abused.notify_one();
        }
    }
}

/// An answer's body on its way into a stream. hyper asks for a piece, and for the next one only when the
/// visitor's window has room again: what is between is the visitor's time.
pub(super) struct Paced {
    body: Body,
    stream: Arc<Stream>,
}

impl HttpBody for Paced {
    type Data = Piece;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let stream = &self.stream;
        match polled {
            Poll::Pending => {
                stream.since_ms.store(OFF, Ordering::Relaxed);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                stream.since_ms.store(stream.pace.now_ms(), Ordering::Relaxed);
                if self.body.is_end_stream() || frame.is_trailers() {
                    stream.answered.store(true, Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(frame.map_data(|bytes| Piece::new(bytes, stream)))))
            }
            Poll::Ready(Some(Err(error))) => {
                stream.answered.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                stream.answered.store(true, Ordering::Relaxed);
                stream.since_ms.store(OFF, Ordering::Relaxed);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of a body, which tells when it is written. It may wait long after hyper is done with the stream.
pub(super) struct Piece {
    bytes: Bytes,
    stream: Arc<Stream>,
}

impl Piece {
    fn new(bytes: Bytes, stream: &Arc<Stream>) -> Self {
        let pace = &stream.pace;
        // The clock of the connection begins when something waits, not when something was last written.
        if pace.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            pace.mark();
        }
        Self { bytes, stream: Arc::clone(stream) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count > 0 {
            self.stream.mark();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.stream.pace.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
