//! What one request came to: gathered on its way in a [`Trail`], told once at its end as an [`AccessLine`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use super::{Route, TraceId};

/// What the gate did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It passed on what the site behind answered.
    Passed,
    /// It gated a page, a style sheet or a document.
    Gated,
    /// It answered one of its own paths.
    Own,
    /// It answered with nothing in the place of a vendor behind the site's own name.
    Held,
    /// It refused, or could not answer: the visitor got an error page of the gate.
    Refused,
    /// It joined visitor and site in another protocol, such as WebSocket.
    Tunnel,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Passed, Self::Gated, Self::Own, Self::Held, Self::Refused, Self::Tunnel];

    /// Its name in metrics and in the access log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Gated => "gated",
            Self::Own => "own",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Tunnel => "tunnel",
        }
    }
}

/// How an answer's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was handed over.
    Whole,
    /// It broke off, or the gate cut it.
    Cut,
    /// The visitor left before its end.
    Left,
}

impl Ending {
    /// Its name in the access log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cut => "cut",
            Self::Left => "left",
        }
    }
}

/// What is found out about a request on its way, by those who know. Shared by everything that works on it.
#[derive(Debug, Default)]
pub struct Trail {
    kind: AtomicU8,
    /// Microseconds plus one; 0 where the upstream has not answered.
    first_byte_us: AtomicU64,
    held: AtomicU32,
    stripped: AtomicU32,
}

impl Trail {
    /// Says what the gate did; the last word counts.
    pub fn came_to(&self, kind: Outcome) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// What the gate did, as far as it is known.
    pub fn outcome(&self) -> Outcome {
        Outcome::ALL.get(usize::from(self.kind.load(Ordering::Relaxed))).copied().unwrap_or(Outcome::Passed)
    }

    /// Says how long the upstream's answer took to begin.
    pub fn first_byte(&self, after: Duration) {
        let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        self.first_byte_us.store(us, Ordering::Relaxed);
    }

    /// Counts tags that were held, and those that were stripped.
    pub fn tags(&self, held: u32, stripped: u32) {
        self.held.fetch_add(held, Ordering::Relaxed);
        self.stripped.fetch_add(stripped, Ordering::Relaxed);
    }

    pub(super) fn first_byte_after(&self) -> Option<Duration> {
        self.first_byte_us.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_micros)
    }
}

/// One request, whole: all that is ever told of it. There is no field for an address, a user agent, a
/// query, a cookie or a referrer.
#[derive(Clone, Debug)]
pub struct AccessLine {
    /// When it came.
    pub time: Timestamp,
    /// The site's name by the configuration, never by the request.
    pub site: Arc<str>,
    /// Its method; `other` for one that no RFC knows, since that can be any text.
    pub method: &'static str,
    /// Its path as a route; `None` where the operator wants none.
    pub route: Option<Route>,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes: u64,
    /// From the request's head to the end of the answer's body.
    pub duration: Duration,
    /// From the request's head sent to the upstream to the head of its answer.
    pub first_byte: Option<Duration>,
    /// Such as `HTTP/1.1`.
    pub protocol: &'static str,
    /// What the gate did.
    pub kind: Outcome,
    /// How the answer's body ended.
    pub ending: Ending,
    /// Tags held in the page.
    pub held: u32,
    /// Tags stripped from the page.
    pub stripped: u32,
    /// The trace that the request says it belongs to.
    pub trace_id: Option<TraceId>,
}

impl AccessLine {
    /// Takes over what a trail gathered.
    pub fn follow(&mut self, trail: &Trail) {
        self.kind = trail.outcome();
        self.first_byte = trail.first_byte_after();
        self.held = trail.held.load(Ordering::Relaxed);
        self.stripped = trail.stripped.load(Ordering::Relaxed);
    }
}
