//! Another protocol through the gate, such as WebSocket: only after the upstream's own 101, and on a
//! connection that nobody else will use. A stop of the gate waits for tunnels as for requests.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::Instant,
};
use tracing::debug;

use super::{listen::Held, upstream::Answer};

/// The visitor's half of a tunnel to be.
pub(super) struct Tunnel {
    /// The connection, once it has changed protocol.
    pub(super) visitor: OnUpgrade,
    /// Its place among the connections that a stop waits for.
    pub(super) place: Held,
}

impl Tunnel {
    /// Joins both sides once both have changed protocol: `resp` is the upstream's 101. An end of one
    /// direction is passed on and the other goes on; silence in both for `idle_max` ends the tunnel.
    pub(super) fn join(self, resp: &mut Response<Answer>, idle_max: Duration) {
        let upstream = hyper::upgrade::on(resp);
        let Self { visitor, place } = self;
        tokio::spawn(async move {
            let joined = async {
                let (visitor, upstream) = tokio::try_join!(visitor, upstream).map_err(io::Error::other)?;
                carry(visitor, upstream, idle_max).await
            };
            tokio::select! {
                ended = joined => if let Err(error) = ended {
                    debug!(%error, "a tunnel broke off");
                },
                () = place.cut() => debug!("a tunnel was cut at the end of the drain"),
            }
        });
    }
}

async fn carry(visitor: Upgraded, upstream: Upgraded, idle_max: Duration) -> io::Result<()> {
    let clock = Clock::default();
    let mut visitor = Heard { side: TokioIo::new(visitor), clock: clock.clone() };
    let mut upstream = Heard { side: TokioIo::new(upstream), clock: clock.clone() };
    tokio::select! {
        ended = copy_bidirectional(&mut visitor, &mut upstream) => ended.map(|_| ()),
        () = clock.silent_for(idle_max) => Err(io::Error::new(io::ErrorKind::TimedOut, "silence ([limits] tunnel_idle_s)")),
    }
}

/// When something was last read, from either side.
#[derive(Clone)]
struct Clock {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default() }
    }
}

impl Clock {
    fn mark(&self) {
        self.last_ms.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    async fn silent_for(&self, idle_max: Duration) {
        loop {
            let deadline = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + idle_max;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// A side whose bytes reset the clock.
struct Heard {
    side: TokioIo<Upgraded>,
    clock: Clock,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.side).poll_read(cx, buf);
        if polled.is_ready() {
            self.clock.mark();
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.side).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}
