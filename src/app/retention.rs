//! Records whose time has passed are deleted once a day, as the policies in force say.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    consent_log::{ConsentLog, Keep, Order, What},
    site::Sites,
    wire::Causes,
};

/// Between two runs.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two acts of one run: decisions wait for none of them long.
const PAUSE: Duration = Duration::from_millis(500);
/// Who is named for it in the log of acts.
const OPERATOR: &str = "retention of the gate";

/// At the start and then once a day, until `stop` turns true.
pub(super) async fn run(log: Arc<ConsentLog>, sites: Arc<Sites>, mut stop: watch::Receiver<bool>) {
    loop {
        let deleted = tokio::select! {
            deleted = once(&log, &sites) => deleted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if deleted > 0 {
            info!(records = deleted, "records whose time had passed were deleted");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Deletes what has passed, as many acts as it takes. Returns how many records that were.
async fn once(log: &ConsentLog, sites: &Sites) -> u64 {
    let snapshots: Vec<_> = sites.all().iter().map(|site| site.snapshot()).collect();
    let keep = Keep::under(snapshots.iter().map(|snapshot| snapshot.policy.regime()));
    let order = Order { operator: OPERATOR.to_owned(), what: What::Retain(keep), dry_run: false };
    let mut deleted = 0;
    loop {
        match log.carry_out(order.clone()).await {
            Ok(done) => {
                deleted += done.count;
                if !done.more {
                    return deleted;
                }
            }
            Err(error) => {
                warn!("records whose time has passed are kept until tomorrow: {}", Causes(&error));
                return deleted;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
