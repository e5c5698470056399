//! Idle connections to one server. Each worker has those that it opened, the most recently used first: under
//! little load few connections do the work, and the others reach the age at which they are closed. A worker
//! that has none takes one of another's, so that workers cost the server no connections.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::connect::Connection;
use crate::proxy::{listen::worker_number, silence::Clock};

/// Workers beyond this share.
const LANES: usize = 16;

/// Idle connections by worker.
pub(super) struct Pool {
    lanes: [Lane; LANES],
    /// Of all workers.
    kept: AtomicUsize,
    most: usize,
    age_max: Duration,
}

/// The most recently used last.
type Lane = Mutex<Vec<(Connection, Instant)>>;

impl Pool {
    /// Keeps at most `most` connections, none longer than `age_max`.
    pub(super) fn new(most: usize, age_max: Duration) -> Self {
        Self { lanes: Default::default(), kept: AtomicUsize::new(0), most, age_max }
    }

    /// One that can take a request now.
    pub(super) fn take(&self) -> Option<Connection> {
        if self.kept.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let own = worker_number() % LANES;
        self.take_from(own).or_else(|| {
            let others = (1..LANES).map(|n| (own + n) % LANES);
            let mut connection = others.into_iter().find_map(|lane| self.take_from(lane))?;
            // Its timer is another runtime's.
            connection.clock = Clock::default();
            Some(connection)
        })
    }

    fn take_from(&self, lane: usize) -> Option<Connection> {
        let mut connections = self.lane(lane);
        while let Some((connection, since)) = connections.pop() {
            self.kept.fetch_sub(1, Ordering::Relaxed);
            if since.elapsed() < self.age_max && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps one that can take another request.
    pub(super) fn put(&self, connection: Connection) {
        let own = worker_number() % LANES;
        self.clear(own);
        if self.kept.load(Ordering::Relaxed) >= self.most {
            (0..LANES).for_each(|lane| self.clear(lane));
        }
        if self.kept.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.kept.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.lane(own).push((connection, Instant::now()));
    }

    /// Drops those that are too old or were closed.
    fn clear(&self, lane: usize) {
        let mut connections = self.lane(lane);
        let before = connections.len();
        connections.retain(|(connection, since)| since.elapsed() < self.age_max && !connection.sender.is_closed());
        self.kept.fetch_sub(before - connections.len(), Ordering::Relaxed);
    }

    fn lane(&self, lane: usize) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
