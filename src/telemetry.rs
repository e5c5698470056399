//! Traces: to standard error, one line each, without anything that tells one visitor from another.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts tracing. `RUST_LOG` chooses what is told; by default the gate's own lines from `info` up.
/// Returns whether this call started it: a second one in the same process changes nothing.
pub fn start() -> bool {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("consentry=info"));
    let on_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(on_terminal).compact();
    tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok()
}
