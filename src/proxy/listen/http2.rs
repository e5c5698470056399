//! HTTP/2 (RFC 9113) on one connection: every bound of it named, its streams on clocks of ours.
//!
//! Memory for one connection, at the defaults: bodies on their way in 1 MiB (the connection's window),
//! answers on their way out 128 streams of 64 KiB and one piece of a body each, heads 128 times 64 KiB. That
//! is some 25 MiB for a client that does its worst with all of them, and a few kB for one that is idle.

use std::{future::Future, sync::Arc};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::TokioTimer;
use tokio::task_local;
use tracing::debug;

use super::pace::{Pace, Stream};
use crate::config::Limits;

/// The smallest that the protocol allows (RFC 9113, 6.5.2): more would only let one stream hold up others.
const FRAME_BYTES_MAX: u32 = 16_384;
/// What encoders assume unasked (RFC 7541). Its memory is held for as long as the connection.
const HEADER_TABLE_BYTES: u32 = 4_096;
/// Streams that were reset before anybody looked at them, at a time (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;

task_local! {
    /// The stream that the running task answers.
    static STREAM: Arc<Stream>;
}

/// hyper's HTTP/2 with every bound set.
pub(super) fn builder(limits: &Limits, pace: &Arc<Pace>) -> http2::Builder<Streams> {
    let bytes = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut server = http2::Builder::new(Streams { pace: Arc::clone(pace) });
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(bytes(limits.http2_streams))
        .max_header_list_size(bytes(limits.head_bytes))
        .header_table_size(HEADER_TABLE_BYTES)
        .initial_stream_window_size(bytes(limits.http2_stream_window_bytes))
        .initial_connection_window_size(bytes(limits.http2_connection_window_bytes))
        .adaptive_window(false)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(limits.http2_send_bytes as usize)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        // Faults of the client that are answered with a reset, over the whole connection (CVE-2025-8671). Unset it
        // once was none at all (hyper #3782).
        .max_local_error_reset_streams(limits.http2_faults as usize)
        .keep_alive_interval(Limits::seconds(limits.http2_ping_s))
        .keep_alive_timeout(Limits::seconds(limits.http2_ping_s));
    server
}

/// Runs the streams of one connection, each a task of its own.
#[derive(Clone)]
pub(super) struct Streams {
    pace: Arc<Pace>,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, answering: F) {
        let stream = Stream::open(&self.pace);
        let closed = CloseAtLast(Arc::clone(&stream));
        tokio::spawn(STREAM.scope(Arc::clone(&stream), async move {
            let _closed = closed;
            tokio::select! {
                () = answering => {}
                // hyper resets a stream whose task is gone.
                () = stream.stuck() => debug!("a stream's answer is not taken ([limits] write_idle_s)"),
            }
        }));
    }
}

/// The stream that the running task answers.
///
/// # Panics
///
/// Outside of a task that [`Streams`] runs.
pub(super) fn stream() -> Arc<Stream> {
    STREAM.with(Arc::clone)
}

/// However the task ends, also where the runtime drops it.
struct CloseAtLast(Arc<Stream>);

impl Drop for CloseAtLast {
    fn drop(&mut self) {
        self.0.close();
    }
}
