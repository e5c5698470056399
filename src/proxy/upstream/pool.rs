//! Idle connections to one server, the most recently used first: under little load few connections
//! do the work, and the others reach the age at which they are closed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connect::Connection;

/// Idle connections, the most recently used last.
pub(super) struct Pool {
    connections: Mutex<Vec<(Connection, Instant)>>,
    most: usize,
    age_max: Duration,
}

impl Pool {
    /// Keeps at most `most` connections, none longer than `age_max`.
    pub(super) fn new(most: usize, age_max: Duration) -> Self {
        Self { connections: Mutex::default(), most, age_max }
    }

    /// One that can take a request now.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = connections.pop() {
            if since.elapsed() < self.age_max && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps one that can take another request.
    pub(super) fn put(&self, connection: Connection) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(connection, since)| since.elapsed() < self.age_max && !connection.sender.is_closed());
        if connections.len() < self.most {
            connections.push((connection, Instant::now()));
        }
    }
}
