//! The accept loop: a permit before every accept, a back-off after a failed one, HTTP/1.1 on each
//! connection, and a drain with a deadline.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tracing::{debug, warn};

use crate::{config::Limits, site::Peer, telemetry::metrics::Metrics, wire::Body};

/// After an accept that failed (out of file descriptors, say) the loop waits this long, doubling.
const BACK_OFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Answers every request on `listener` with `handle` until `stop` turns true; then lets requests
/// under way end, for at most `limits.drain_s`.
/// Connections count as open in `metrics`, where there are any.
pub async fn serve<H, F>(
    listener: TcpListener,
    limits: &Limits,
    metrics: Option<Arc<Metrics>>,
    mut stop: watch::Receiver<bool>,
    handle: H,
) where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let most = limits.connections as usize;
    let permits = Arc::new(Semaphore::new(most));
    let mut back_off = *BACK_OFF.start();
    let server = server(limits);
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping(&mut stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(*BACK_OFF.end());
                continue;
            }
        };
        back_off = *BACK_OFF.start();
        let connection = connection(server.clone(), stream, Peer { address, tls: false }, stop.clone(), handle.clone());
        let open = metrics.as_ref().map(|metrics| metrics.connection());
        tokio::spawn(async move {
            connection.await;
            drop((permit, open));
        });
    }
    drop(listener);
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    // One permit was in the hand of this loop when it broke off, and has been dropped.
    if tokio::time::timeout(Limits::seconds(limits.drain_s), permits.acquire_many(all)).await.is_err() {
        warn!(seconds = limits.drain_s, "connections were still open at the end of the drain ([limits] drain_s)");
    }
}

fn server(limits: &Limits) -> http1::Builder {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(Limits::seconds(limits.head_s))
        .max_buf_size(limits.head_bytes as usize)
        .max_headers(limits.head_lines as usize);
    server
}

/// Resolves once the gate is to stop; a sender that is gone means the same.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection<H, F>(server: http1::Builder, stream: TcpStream, peer: Peer, mut stop: watch::Receiver<bool>, handle: H)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // Best effort: a socket without it works, only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |req| {
        let answer = handle(req, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopping(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}
