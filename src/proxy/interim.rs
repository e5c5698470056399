//! Interim answers of the upstream (1xx; RFC 9110, 15.2): they end here, and there is a bound to them.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::Request;
use tokio::sync::Notify;

/// How many interim answers one request may still get.
#[derive(Debug)]
pub(super) struct Interim(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    left: AtomicU64,
    too_many: Notify,
}

/// There were too many.
#[derive(Debug, thiserror::Error)]
#[error("the upstream sends one interim answer after another and none that counts ([limits] upstream_interim_answers)")]
pub(super) struct TooMany;

impl Interim {
    /// Lets `req` get at most `most` interim answers. A 101 is none of them: it is the last answer.
    pub(super) fn bound<B>(req: &mut Request<B>, most: u64) -> Self {
        let shared = Arc::new(Shared { left: AtomicU64::new(most), too_many: Notify::new() });
        let counter = Arc::clone(&shared);
        hyper::ext::on_informational(req, move |_| {
            if counter.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
                counter.too_many.notify_one();
            }
        });
        Self(shared)
    }

    /// Awaits the answer, as long as there are not too many before it.
    pub(super) async fn until<T>(self, answer: impl Future<Output = T>) -> Result<T, TooMany> {
        let answer = pin!(answer);
        tokio::select! {
            // What came first counts first.
            biased;
            () = self.0.too_many.notified() => Err(TooMany),
            answer = answer => Ok(answer),
        }
    }
}
