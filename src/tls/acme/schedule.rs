//! When a name's certificate is ordered. Pure: times in, times out.
//!
//! - No certificate: at once.
//! - A certificate: when the authority says so (renewal information, RFC 9773), else when two thirds of its
//!   time are over, a little earlier at random so that many names do not come together.
//! - After a failed order: `acme_retry_s` later (5 minutes), doubled with each further failure in a row, up to a
//!   day, and up to a quarter longer at random: never more than four orders an hour for a name. Where the
//!   authority asked for a longer pause, that. A restart shortens the pause to a quarter of an hour at most
//!   since the last order, since the operator may have mended something.

use jiff::Timestamp;

use super::{super::certificate::Certificate, store::Attempts};

const DAY_MS: i64 = 86_400_000;
/// How long after the last order a restarted gate tries again at the latest.
const RESTART_MS: i64 = 15 * 60_000;
/// Bounds for the authority's word on when to ask for renewal information again (RFC 9773, 4.3.2).
const ASK_MS: std::ops::RangeInclusive<i64> = 60_000..=DAY_MS;

/// One name's plan.
#[derive(Debug)]
pub(super) struct Plan {
    /// The first pause after a failure, in milliseconds.
    retry_ms: i64,
    pub(super) attempts: Attempts,
    /// When the next order begins.
    due_ms: i64,
    /// When the authority is asked for renewal information; `i64::MAX`: never.
    ask_ms: i64,
    /// The authority's window, and the moment in it that was drawn.
    window: Option<(i64, i64)>,
}

impl Plan {
    /// For a gate that starts, with the certificate it has stored. `random` is in 0 to 1.
    pub(super) fn begin(
        retry_ms: i64,
        attempts: Attempts,
        certificate: Option<&Certificate>,
        now: Timestamp,
        random: f64,
    ) -> Self {
        let mut plan = Self { retry_ms, attempts, due_ms: now.as_millisecond(), ask_ms: i64::MAX, window: None };
        if let Some(certificate) = certificate {
            plan.hold(certificate, now, random);
        }
        if attempts.failures > 0 {
            let pause = pause_ms(retry_ms, attempts.failures, 0.0).min(RESTART_MS);
            plan.due_ms = plan.due_ms.max(attempts.last_ms.saturating_add(pause).min(now.as_millisecond() + RESTART_MS));
        }
        plan
    }

    /// When something is to be done.
    pub(super) fn wake_ms(&self) -> i64 {
        self.due_ms.min(self.ask_ms)
    }

    /// Whether that is an order, and not only a question.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due_ms <= now.as_millisecond()
    }

    /// When the next order begins.
    pub(super) fn due(&self) -> Timestamp {
        Timestamp::from_millisecond(self.due_ms).unwrap_or(Timestamp::MAX)
    }

    /// An order begins.
    pub(super) fn order_begins(&mut self, now: Timestamp) {
        self.attempts.last_ms = now.as_millisecond();
    }

    /// It brought a certificate.
    pub(super) fn succeeded(&mut self, certificate: &Certificate, now: Timestamp, random: f64) {
        self.attempts.failures = 0;
        self.window = None;
        self.hold(certificate, now, random);
    }

    /// It failed; the authority may have said when to come back.
    pub(super) fn failed(&mut self, now: Timestamp, not_before: Option<Timestamp>, random: f64) {
        self.attempts.failures = self.attempts.failures.saturating_add(1);
        let asked = not_before.map_or(0, |time| time.as_millisecond() - now.as_millisecond());
        let pause = pause_ms(self.retry_ms, self.attempts.failures, random).max(asked.min(DAY_MS));
        self.due_ms = now.as_millisecond() + pause;
        self.ask_ms = self.ask_ms.max(self.due_ms);
    }

    /// The authority suggests a window, and when to ask again. A moment in it is drawn once a window.
    pub(super) fn suggested(
        &mut self,
        window: (i64, i64),
        again_ms: i64,
        certificate: &Certificate,
        now: Timestamp,
        random: f64,
    ) {
        self.ask_ms = now.as_millisecond() + again_ms.clamp(*ASK_MS.start(), *ASK_MS.end());
        if self.window == Some(window) {
            return;
        }
        self.window = Some(window);
        let drawn = window.0 + ((window.1 - window.0).max(0) as f64 * random) as i64;
        // An authority that always says "now" is not asked for a certificate again and again.
        let soonest = self.attempts.last_ms.saturating_add(self.retry_ms.saturating_mul(12));
        let (begin, end) = (certificate.not_before.as_millisecond(), certificate.not_after.as_millisecond());
        self.due_ms = drawn.min(end - (end - begin) / 10).max(soonest);
    }

    /// The authority gave none: ask again in a while, or never if it has no such thing.
    pub(super) fn not_told(&mut self, now: Timestamp, supported: bool) {
        self.ask_ms = if supported { now.as_millisecond() + 6 * 3_600_000 } else { i64::MAX };
    }

    fn hold(&mut self, certificate: &Certificate, now: Timestamp, random: f64) {
        let (begin, end) = (certificate.not_before.as_millisecond(), certificate.not_after.as_millisecond());
        let life = (end - begin).max(0);
        self.due_ms = begin + life * 2 / 3 - (life as f64 / 60.0 * random) as i64;
        self.ask_ms = if certificate.id.is_some() { now.as_millisecond() } else { i64::MAX };
    }
}

/// The pause after a number of failures in a row, in milliseconds.
fn pause_ms(retry_ms: i64, failures: u32, random: f64) -> i64 {
    let doubled = retry_ms.saturating_mul(1_i64 << failures.saturating_sub(1).min(20));
    let pause = doubled.min(DAY_MS);
    pause + (pause as f64 / 4.0 * random) as i64
}
