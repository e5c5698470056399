//! An answer's body with the connection that it comes by, which goes back to the pool when the body is over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::{
    connect::{Connection, Counted},
    pool::Pool,
};
use crate::proxy::silence::Clock;

/// The body of an upstream's answer.
pub struct Answer {
    body: Incoming,
    lease: Option<Lease>,
    /// Of an answer whose connection never goes back.
    clock: Clock,
}

/// A connection that is under way for a request.
pub(super) struct Lease {
    pub(super) connection: Connection,
    pub(super) pool: Arc<Pool>,
    pub(super) busy: Counted,
}

impl Answer {
    /// The connection goes back to its pool with the end of `body`.
    pub(super) fn leased(body: Incoming, lease: Lease) -> Self {
        Self { body, lease: Some(lease), clock: Clock::default() }
    }

    /// The connection serves nobody else.
    pub(super) fn own(body: Incoming) -> Self {
        Self { body, lease: None, clock: Clock::default() }
    }

    /// A clock for what the body is waited for.
    pub(in crate::proxy) fn clock(&mut self) -> &mut Clock {
        self.lease.as_mut().map_or(&mut self.clock, |lease| &mut lease.connection.clock)
    }
}

impl Lease {
    /// Ready again only when both directions have ended; a body dropped halfway closes the connection, and
    /// one that answered early with the request unread never becomes ready. Mostly all is over by now, and
    /// nothing has to be waited for.
    fn end(self) {
        let Self { mut connection, pool, busy } = self;
        // At once: whoever has read the answer may ask again, and the server has nothing to do by then.
        drop(busy);
        if connection.sender.is_ready() {
            return pool.put(connection);
        }
        // Without a runtime the process is about to end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if connection.sender.ready().await.is_ok() {
                pool.put(connection);
            }
        });
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
