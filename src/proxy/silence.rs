//! A clock that runs only while something is waited for.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// Tells when the other side has been waited for too long at a stretch.
#[derive(Debug)]
pub(super) struct Silence {
    max: Duration,
    /// Made for the first wait: mostly there is none.
    clock: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Silence {
    /// Silence of `max` is too long.
    pub(super) fn new(max: Duration) -> Self {
        Self { max, clock: None, waits: false }
    }

    /// The other side has moved.
    pub(super) fn end(&mut self) {
        self.waits = false;
    }

    /// The other side is waited for: ready once that has lasted too long.
    pub(super) fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let max = self.max;
        let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(max)));
        if !self.waits {
            self.waits = true;
            clock.as_mut().reset(Instant::now() + max);
        }
        clock.as_mut().poll(cx)
    }
}
