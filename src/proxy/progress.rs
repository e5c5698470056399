//! Bodies on their way, in both directions, and who is to blame where one does not come: a visitor's
//! upload has to bring something now and then, and enough of it over time; the clock for the answer
//! starts anew with every piece, so that a long upload is no timeout. The upstream's answer has to go on.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Instant;
use tracing::warn;

use super::{
    hop,
    silence::{Clock, Silence},
    upstream::Answer,
};
use crate::{
    config::Limits,
    wire::{Body, BodyError, Failure},
};

/// How far a request's body has come.
#[derive(Clone, Debug)]
pub struct Progress {
    started: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    last_ms: AtomicU64,
    /// One of the constants below.
    fault: AtomicU8,
}

const BROKE: u8 = 1;
const SLOW: u8 = 2;

/// The pace that a request's body has to keep.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest silence; also the time over which the rate is taken.
    pub idle_max: Duration,
    /// The least rate while the body is waited for; 0: none.
    pub bytes_per_s_min: u64,
}

impl Pace {
    /// As `[limits]` says.
    pub fn of(limits: &Limits) -> Self {
        Self { idle_max: Limits::seconds(limits.body_idle_s), bytes_per_s_min: limits.body_bytes_per_s }
    }
}

impl Progress {
    /// Wraps a request's body; it breaks off where it falls behind its pace.
    pub fn watch(body: Incoming, pace: Pace) -> (Body, Self) {
        let progress = Self::none();
        if body.is_end_stream() {
            return (body.map_err(BodyError::from).boxed_unsync(), progress);
        }
        let watched = Upload {
            inner: body,
            pace,
            silence: Silence::new(pace.idle_max),
            clock: Clock::default(),
            waiting_since: None,
            waited: Duration::ZERO,
            brought: 0,
            progress: progress.clone(),
        };
        (watched.boxed_unsync(), progress)
    }

    /// For a request without a body.
    pub fn none() -> Self {
        Self { started: Instant::now(), shared: Arc::default() }
    }

    /// Awaits `answer` for at most `time_max` after the body's last piece; `None` when it is late.
    pub(super) async fn within<T>(&self, time_max: Duration, clock: &mut Clock, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => loop {
                let deadline = self.last() + time_max;
                ready!(clock.poll_at(deadline, cx));
                if self.last() + time_max <= deadline {
                    return Poll::Ready(None);
                }
            },
        })
        .await
    }

    /// An exchange that failed because the request's own body did is no fault of the upstream.
    pub fn blame(&self, failure: Failure) -> Failure {
        match (self.shared.fault.load(Ordering::Relaxed), failure) {
            (SLOW, _) => Failure::SlowRequest,
            (BROKE, Failure::UpstreamBroke { source, .. }) => Failure::BrokenRequest(source),
            (_, failure) => failure,
        }
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.shared.last_ms.load(Ordering::Relaxed))
    }

    fn mark(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.last_ms.store(ms, Ordering::Relaxed);
    }
}

struct Upload {
    inner: Incoming,
    pace: Pace,
    silence: Silence,
    clock: Clock,
    waiting_since: Option<Instant>,
    /// Only the time that the visitor was waited for: an upstream that takes slowly is not the visitor's doing.
    waited: Duration,
    /// Bytes in that time.
    brought: u64,
    progress: Progress,
}

impl Upload {
    /// Whether too little came over a time that is long enough to tell.
    fn is_behind(&mut self, bytes: usize) -> bool {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.brought += bytes as u64;
        if self.waited < self.pace.idle_max {
            return false;
        }
        let due = self.pace.bytes_per_s_min.saturating_mul(self.waited.as_secs());
        let behind = self.brought < due;
        (self.waited, self.brought) = (Duration::ZERO, 0);
        behind
    }

    fn fail(&self, fault: u8, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.progress.shared.fault.store(fault, Ordering::Relaxed);
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                frame.trailers_mut().map(hop::strip_trailers);
                self.progress.mark();
                self.silence.end();
                if self.is_behind(frame.data_ref().map_or(0, Bytes::len)) {
                    return self.fail(SLOW, "the request's body comes too slowly ([limits] body_bytes_per_s)".into());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(BROKE, error.into()),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.waiting_since.get_or_insert_with(Instant::now);
                let this = &mut *self;
                match this.silence.poll_too_long(&mut this.clock, cx) {
                    Poll::Ready(()) => self.fail(SLOW, "the request's body came too slowly ([limits] body_idle_s)".into()),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The upstream's answer, which breaks off where the upstream falls silent within it. A stream of events
/// may be silent for as long as nothing happens.
pub fn answer(body: Answer, headers: &HeaderMap, limits: &Limits) -> Body {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let events = kind.get(.."text/event-stream".len()).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"));
    if body.is_end_stream() {
        return body.map_err(BodyError::from).boxed_unsync();
    }
    let silence = (!events).then(|| Silence::new(Limits::seconds(limits.upstream_body_idle_s)));
    Download { inner: body, silence }.boxed_unsync()
}

struct Download {
    inner: Answer,
    silence: Option<Silence>,
}

impl Download {
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let Self { inner, silence } = self;
        silence.as_mut().map(|silence| silence.poll_too_long(inner.clock(), cx))
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let error: BodyError = match polled {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(mut frame))) => {
                frame.trailers_mut().map(hop::strip_trailers);
                self.silence.iter_mut().for_each(Silence::end);
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => error.into(),
            Poll::Pending => match self.poll_silence(cx) {
                Some(Poll::Ready(())) => "it fell silent ([limits] upstream_body_idle_s)".into(),
                _ => return Poll::Pending,
            },
        };
        warn!("the upstream left an answer unfinished, and so is what the visitor got: {error}");
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
