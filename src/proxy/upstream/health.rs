//! Whether one of several servers gets requests: passive ejection. Nothing is asked beside the
//! visitors' own requests.
//!
//! A failure is a request without an answer: no connection (TLS included), a connection that broke off
//! before the answer's head was whole, or no answer in time. An answer is an answer whatever its
//! status: a 500 may be one broken page, and must not take a server out. An idle connection that turns
//! out to be closed is no failure, and neither is an upload that the visitor broke off.
//!
//! After so many failures in a row a server is out for a time that doubles, up to a bound, each time it
//! fails again. When the time is over one request is let through; only its answer brings the others.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{info, warn};

/// When a server is out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ejection {
    /// Failures in a row.
    pub(super) after: u32,
    /// The first time out.
    pub(super) first: Duration,
    /// The longest time out.
    pub(super) longest: Duration,
}

/// What was seen of one server.
#[derive(Default)]
pub(super) struct Health {
    /// In a row.
    failures: AtomicU32,
    failures_total: AtomicU64,
    /// Whether `out` has anything to say: the way of most requests takes no lock.
    is_out: AtomicBool,
    out: Mutex<Out>,
}

#[derive(Default)]
struct Out {
    until: Option<Instant>,
    time: Duration,
    /// When it was last asked, or put out.
    last: Option<Instant>,
    /// Whether the request that tries it is under way.
    tried: bool,
}

/// Whether a server may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Like any other.
    In,
    /// Its time out is over: by this one request.
    Trial,
    /// Not now; when it was last asked.
    Out(Instant),
}

impl Health {
    /// Whether a request may be sent there. [`Turn::Trial`] is told once for each time out.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        if !self.is_out.load(Ordering::Relaxed) {
            return Turn::In;
        }
        let mut out = self.lock();
        match out.until {
            None => Turn::In,
            Some(until) if until > now => Turn::Out(out.last.unwrap_or(until)),
            Some(_) => {
                // Others wait for as long as it was out: a trial may hang.
                out.until = Some(now + out.time);
                out.last = Some(now);
                out.tried = true;
                Turn::Trial
            }
        }
    }

    /// It is asked although it is out, since all are.
    pub(super) fn ask_all_the_same(&self, now: Instant) {
        self.lock().last = Some(now);
    }

    /// A request got no answer. Without `ejection` it is only counted: a server alone is never out.
    pub(super) fn failed(&self, address: &str, ejection: Option<Ejection>) {
        self.failures_total.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some(ejection) = ejection.filter(|ejection| failures >= ejection.after) else { return };
        let mut out = self.lock();
        // Requests that were under way when it was put out fail one after the other: they say nothing new.
        if out.until.is_some() && !out.tried {
            return;
        }
        let now = Instant::now();
        out.time = if out.until.is_some() { (out.time * 2).min(ejection.longest) } else { ejection.first };
        out.until = Some(now + out.time);
        out.last = Some(now);
        out.tried = false;
        self.is_out.store(true, Ordering::Relaxed);
        warn!(upstream = address, failures, seconds = out.time.as_secs_f32(), "an upstream gives no answer and is left out");
    }

    /// A request got an answer.
    pub(super) fn answered(&self, address: &str) {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut out = self.lock();
        self.failures.store(0, Ordering::Relaxed);
        self.is_out.store(false, Ordering::Relaxed);
        if out.until.is_some() {
            info!(upstream = address, "an upstream answers again");
        }
        *out = Out::default();
    }

    /// Failures in a row, and since the process began.
    pub(super) fn failures(&self) -> (u32, u64) {
        (self.failures.load(Ordering::Relaxed), self.failures_total.load(Ordering::Relaxed))
    }

    /// For how long it is still out.
    pub(super) fn out_for(&self, now: Instant) -> Option<Duration> {
        self.lock().until.map(|until| until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection = Ejection { after: 2, first: Duration::from_secs(5), longest: Duration::from_secs(15) };

    #[test]
    fn time_out_doubles_with_each_failed_trial_and_ends_with_an_answer() {
        let health = Health::default();
        let failed = || health.failed("a", Some(EJECTION));
        let far = |seconds| Instant::now() + Duration::from_secs(seconds);
        let seconds = || health.out_for(Instant::now()).map(|left| left.as_secs_f32().ceil());
        failed();
        assert_eq!(health.turn(Instant::now()), Turn::In, "one failure may be chance");
        failed();
        assert!(matches!(health.turn(Instant::now()), Turn::Out(_)));
        assert_eq!(seconds(), Some(5.0));
        failed();
        assert_eq!(seconds(), Some(5.0), "what was under way when it was put out says nothing new");
        for longer in [10.0, 15.0, 15.0] {
            assert_eq!(health.turn(far(60)), Turn::Trial);
            assert!(matches!(health.turn(far(60)), Turn::Out(_)), "one request tries it, the others wait");
            failed();
            assert_eq!(seconds(), Some(longer));
        }
        assert_eq!(health.turn(far(60)), Turn::Trial);
        health.answered("a");
        assert_eq!((health.turn(Instant::now()), health.failures()), (Turn::In, (0, 6)));
    }

    #[test]
    fn an_answer_between_failures_and_a_server_alone_never_lead_out() {
        let health = Health::default();
        for _ in 0..9 {
            health.failed("a", Some(EJECTION));
            health.answered("a");
        }
        assert_eq!(health.turn(Instant::now()), Turn::In);
        (0..9).for_each(|_| health.failed("a", None));
        assert_eq!((health.turn(Instant::now()), health.failures()), (Turn::In, (9, 18)));
    }
}
