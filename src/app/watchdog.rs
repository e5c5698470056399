//! Word to a service manager that watches (`WatchdogSec=` of systemd): sent from the runtime that serves
//! visitors, so that one that hangs is noticed.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tracing::warn;

/// Sends its word twice as often as it is waited for, until `stop` turns true. Without a manager that
/// waits it does nothing.
pub(super) async fn feed(mut stop: watch::Receiver<bool>) {
    let mut within_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut within_us) {
        return;
    }
    let every = Duration::from_micros(within_us / 2).max(Duration::from_millis(10));
    loop {
        if let Err(error) = sd_notify::notify(false, &[NotifyState::Watchdog]) {
            warn!(%error, "the service manager's watchdog cannot be told that the gate runs");
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
