//! A visitor's upload on its way: bounded silence between its pieces, and a clock for the answer
//! that starts anew with every piece, so that a long upload is no timeout.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::wire::{Body, BodyError};

/// How far a request's body has come.
#[derive(Clone, Debug)]
pub struct Progress {
    started: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Progress {
    /// Wraps a request's body; silence of `idle_max` breaks it off.
    pub fn watch(body: Incoming, idle_max: Duration) -> (Body, Self) {
        let progress = Self::none();
        if body.is_end_stream() {
            return (body.map_err(BodyError::from).boxed_unsync(), progress);
        }
        let watched =
            Watched { inner: body, idle_max, silence: Box::pin(tokio::time::sleep(idle_max)), progress: progress.clone() };
        (watched.boxed_unsync(), progress)
    }

    /// For a request without a body.
    pub fn none() -> Self {
        Self { started: Instant::now(), last_ms: Arc::default() }
    }

    /// Awaits `answer` for at most `time_max` after the body's last piece; `None` when it is late.
    pub async fn within<T>(&self, time_max: Duration, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let deadline = self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + time_max;
            match tokio::time::timeout_at(deadline, answer.as_mut()).await {
                Ok(answer) => return Some(answer),
                Err(_)
                    if self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + time_max > Instant::now() => {
                }
                Err(_) => return None,
            }
        }
    }

    fn mark(&self) {
        self.last_ms.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

struct Watched {
    inner: Incoming,
    idle_max: Duration,
    silence: Pin<Box<Sleep>>,
    progress: Progress,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_ready() {
            self.progress.mark();
            let deadline = Instant::now() + self.idle_max;
            self.silence.as_mut().reset(deadline);
            return polled.map(|frame| frame.map(|result| result.map_err(BodyError::from)));
        }
        match self.silence.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the request's body came too slowly ([limits] body_idle_s)".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
