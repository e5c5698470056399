//! What operators see of the gate: traces, metrics, the access log. None of it tells one visitor from
//! another, and none of it is the consent log.
//!
//! - Traces go to standard error, one line each ([`start`]).
//! - [`metrics`] are numbers, read by whoever asks the admin listener.
//! - [`access`] writes one line a request, if the operator wants it.
//! - [`Trail`] gathers what one request came to; [`AccessLine`] is all of that, at its end.

pub mod access;
mod line;
pub mod metrics;
mod route;
mod trace_context;

use std::sync::Arc;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use line::{AccessLine, Ending, Outcome, Trail};
pub use route::Route;
pub use trace_context::TraceId;

/// Starts tracing. `RUST_LOG` chooses what is told; by default the gate's own lines from `info` up.
/// Returns whether this call started it: a second one in the same process changes nothing.
pub fn start() -> bool {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("consentry=info"));
    let on_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(on_terminal).compact();
    tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok()
}

/// Where the parts of one process tell what they see. Made once, cloned freely.
#[derive(Clone)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Arc<metrics::Metrics>,
    /// Whether lines of the access log have routes.
    pub routes: bool,
    /// The access log; `None` where it is off.
    pub access: Option<access::AccessLog>,
}
