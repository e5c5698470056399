//! Clocks that cost nothing while all is well: a timer is set once and looked at when it rings, and not set
//! anew for each thing that is waited for.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// A timer for deadlines that come one after the other and mostly are met. It is made for the first one, and
/// moved only where it rings too late or has rung too early.
#[derive(Debug, Default)]
pub(super) struct Clock(Option<Pin<Box<Sleep>>>);

impl Clock {
    /// Ready once `deadline` has passed.
    pub(super) fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Tells when the other side has been waited for too long at a stretch.
#[derive(Debug)]
pub(super) struct Silence {
    max: Duration,
    since: Option<Instant>,
}

impl Silence {
    /// Silence of `max` is too long.
    pub(super) fn new(max: Duration) -> Self {
        Self { max, since: None }
    }

    /// The other side has moved.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// The other side is waited for: ready once that has lasted too long.
    pub(super) fn poll_too_long(&mut self, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        clock.poll_at(since + self.max, cx)
    }
}
