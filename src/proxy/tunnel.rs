//! Another protocol through the gate, such as WebSocket: only after the upstream's own 101, and on a
//! connection that nobody else will use.

use http::{Response, StatusCode};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

/// Joins both sides once both have changed protocol. Returns whether the answer was a 101; with
/// any other answer nothing is joined.
pub(super) fn join(visitor: OnUpgrade, resp: &mut Response<Incoming>) -> bool {
    if resp.status() != StatusCode::SWITCHING_PROTOCOLS {
        return false;
    }
    let upstream = hyper::upgrade::on(resp);
    tokio::spawn(async move {
        let (visitor, upstream) = match tokio::try_join!(visitor, upstream) {
            Ok(sides) => sides,
            Err(error) => return debug!(%error, "protocol change broke off"),
        };
        if let Err(error) = copy_bidirectional(&mut TokioIo::new(visitor), &mut TokioIo::new(upstream)).await {
            debug!(%error, "tunnel broke off");
        }
    });
    true
}
