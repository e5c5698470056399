//! What the two ends of a connection's parser tell each other: the bytes below it ([`super::Strict`])
//! and the requests above it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::fault::Fault;
use crate::wire::{Body, BodyError};

/// The requests' end. One a connection; its requests come one after the other.
#[derive(Clone, Debug)]
pub(in crate::proxy::listen) struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    /// Requests that the parser has handed on.
    asked: u64,
    /// Requests whose answer has begun.
    answered: u64,
    /// Whether the last answer that began was a 101.
    switched: bool,
    /// Whether an answer is due or under way.
    busy: bool,
    /// When the last answer ended.
    idle_since: Instant,
    /// The request that is none, by its number, and what is wrong with it.
    fault: Option<(u64, Fault)>,
    /// Waits for the answer to a request that asked for another protocol.
    waiting: Option<Waker>,
}

/// What became of a request that asked for another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// What follows is none of HTTP.
    Switched,
    /// The next request follows.
    Stayed,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Seen {
            asked: 0,
            answered: 0,
            switched: false,
            busy: false,
            idle_since: Instant::now(),
            fault: None,
            waiting: None,
        })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === from below ===

    /// Says that the request of this number is none.
    pub(super) fn refuse(&self, number: u64, fault: Fault) {
        self.seen().fault = Some((number, fault));
    }

    /// When the connection fell idle; `None` while an answer is due or under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let seen = self.seen();
        (!seen.busy).then_some(seen.idle_since)
    }

    /// Likewise where all of so many requests are answered.
    pub(super) fn all_answered_since(&self, requests: u64) -> Option<Instant> {
        let seen = self.seen();
        (!seen.busy && !seen.switched && seen.answered == requests).then_some(seen.idle_since)
    }

    /// Waits until the answer to the request of this number has begun.
    pub(super) fn poll_decision(&self, number: u64, cx: &mut Context<'_>) -> Poll<Decision> {
        let mut seen = self.seen();
        if seen.answered <= number {
            seen.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(if seen.switched { Decision::Switched } else { Decision::Stayed })
    }

    // === from above ===

    /// Answers the connection's next request: as `handle` does, unless its bytes were no request.
    pub(in crate::proxy::listen) fn answer<F>(self, handle: impl FnOnce() -> F) -> impl Future<Output = Response<Watched>>
    where
        F: Future<Output = Response<Body>>,
    {
        let fault = {
            let mut seen = self.seen();
            seen.busy = true;
            seen.asked += 1;
            seen.fault.filter(|(number, _)| number + 1 == seen.asked).map(|(_, fault)| fault)
        };
        // In a box of its own, made once: what is moved about on the way into the connection is small, and an
        // idle connection keeps no room for it.
        let handled = match fault {
            None => Ok(Box::pin(handle())),
            Some(fault) => Err(fault),
        };
        let watch = self;
        async move {
            let resp = match handled {
                Ok(answer) => answer.await,
                Err(fault) => fault.answer(),
            };
            watch.begin(resp.status());
            resp.map(|body| Watched { body, watch })
        }
    }

    fn begin(&self, status: StatusCode) {
        let mut seen = self.seen();
        seen.answered += 1;
        seen.switched = status == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(waker) = seen.waiting.take() {
            waker.wake();
        }
    }
}

/// An answer's body; the connection is idle once it is gone.
#[derive(Debug)]
pub(in crate::proxy::listen) struct Watched {
    body: Body,
    watch: Watch,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut seen = self.watch.seen();
        seen.busy = false;
        seen.idle_since = Instant::now();
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
