//! What a stop waits for: connections, and the tunnels that began on them.

use std::sync::Arc;

use super::clients::Admission;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Requests are taken.
    Open,
    /// What is under way may end; nothing new begins.
    Draining,
    /// The deadline has passed: whatever is still open ends now.
    Cut,
}

/// A place among the connections that are open. A stop waits until every copy is dropped. Requests of
/// HTTP/1.1 carry one in their extensions: a tunnel outlives the connection's own task.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    _permit: Arc<OwnedSemaphorePermit>,
    /// Its place among those of its client.
    _admission: Option<Arc<Admission>>,
    phase: watch::Receiver<Phase>,
}

impl Held {
    pub(super) fn new(permit: OwnedSemaphorePermit, phase: watch::Receiver<Phase>) -> Self {
        Self { _permit: Arc::new(permit), _admission: None, phase }
    }

    /// Likewise among the connections of its client.
    pub(super) fn admitted(self, admission: Admission) -> Self {
        Self { _admission: Some(Arc::new(admission)), ..self }
    }

    /// Resolves once nothing new is to begin.
    pub(super) async fn draining(&self) {
        self.reaches(Phase::Draining).await;
    }

    /// Resolves once everything is to end.
    pub(crate) async fn cut(&self) {
        self.reaches(Phase::Cut).await;
    }

    /// A sender that is gone means that everything is over.
    async fn reaches(&self, phase: Phase) {
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }
}
