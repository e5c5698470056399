//! What operators are told: the numbers and the access log are opened here, and the sites behind asked.

use std::sync::Arc;

use tokio::{signal::unix::Signal, sync::watch};
use tracing::warn;

use super::AppError;
use crate::{
    admin,
    config::Config,
    proxy::hosts::Hosts,
    telemetry::{Telemetry, access::AccessLog, metrics::Metrics},
    wire::Causes,
};

/// The numbers from zero, and the access log where it is wanted.
pub(super) fn telemetry(config: &Config) -> Result<Telemetry, AppError> {
    let metrics = Metrics::new();
    let access = config.access.log.as_ref().map(|target| AccessLog::open(target, &metrics)).transpose();
    Ok(Telemetry { access: access.map_err(AppError::Access)?, routes: config.access.routes, metrics })
}

/// Asks every site behind whether it takes connections.
pub(super) fn probe(hosts: &Arc<Hosts>) -> admin::Probe {
    let hosts = Arc::clone(hosts);
    Arc::new(move || {
        let hosts = Arc::clone(&hosts);
        Box::pin(async move {
            let mut reached = Vec::new();
            for pipeline in hosts.pipelines() {
                let fault = pipeline.upstreams().probe().await.err().map(|failure| Causes(&failure).to_string());
                let site = Arc::clone(pipeline.site().metrics.site());
                let upstream: Vec<String> = pipeline.upstreams().state().into_iter().map(|state| state.address).collect();
                reached.push(admin::Reached { site, upstream: upstream.join(" "), fault });
            }
            reached
        })
    })
}

/// SIGHUP: whoever rotates files has moved the access log away. It must never end the gate, which is what it
/// does to a process that does not listen.
pub(super) async fn reopen_on_hangup(
    hangups: std::io::Result<Signal>,
    access: Option<AccessLog>,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(mut hangups) = hangups else {
        return warn!("SIGHUP cannot be listened for; the access log follows a moved file by itself, a little later");
    };
    loop {
        tokio::select! {
            Some(()) = hangups.recv() => {
                if let Some(access) = &access {
                    access.reopen();
                }
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
