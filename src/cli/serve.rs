//! `consentry serve`: the gate in front of a site.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tracing::{info, warn};

use super::Failed;
use crate::{
    app::{App, AppError, ConfigSource, Flags},
    config::{Config, parse_upstream},
    telemetry,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The site behind: http or https, host and port
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The configuration file [default: consentry.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where visitors come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where health is told [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// The folder of the consent log and the signing keys [default: consentry-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A folder of policy files, over the embedded ones
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A folder of templates, over the embedded ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Change nothing in the pages; report what would have been held
    #[arg(long)]
    observe: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failed> {
    telemetry::start();
    let source = source(args)?;
    let (config, warnings) = source.load().map_err(Failed::Faults)?;
    check(&config)?;
    super::block_on(async move {
        // Before the long part of the start: a process that does not listen yet is ended by this signal.
        let hang_up = signal(SignalKind::hangup()).expect("the runtime that listens for signals runs");
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let (stopped, stopped_twice) = (stopped(), signalled(2));
        let data = config.data.display().to_string();
        let app = App::open_from(source, config).await.map_err(failed)?;
        let address = app.address().map_err(|error| Failed::Working(error.into()))?;
        let admin = app.admin_address().map_err(|error| Failed::Working(error.into()))?;
        for site in app.sites().all().iter() {
            let upstream: Vec<&str> = site.config.upstreams.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
            let policy = site.snapshot().policy.revision().0.short();
            info!(site = site.config.name(), upstream = upstream.join(" "), policy, "in force");
            if site.config.observe {
                warn!(
                    site = site.config.name(),
                    "observing: pages pass unchanged, tags included; nothing is held and nobody is asked"
                );
            }
        }
        info!(data, %admin, "consentry stands at http://{address}/");
        if let Some(Ok(address)) = app.tls_address() {
            info!("and at https://{address}/");
        }
        tokio::spawn(hang_ups(hang_up, app.reload()));
        tokio::select! {
            ended = app.run(stopped) => ended.map_err(failed),
            () = stopped_twice => Err(Failed::Working(anyhow::anyhow!("told to stop twice: requests under way were cut off"))),
        }
    })
}

/// The file, and the command line over it.
fn source(args: Args) -> Result<ConfigSource, Failed> {
    let upstream =
        args.upstream.map(|url| parse_upstream(&url).map_err(|message| Failed::Usage(format!("--upstream {url}: {message}"))));
    let flags = Flags {
        upstream: upstream.transpose()?,
        listen: args.listen,
        admin: args.admin,
        data: args.data,
        policies: args.policies,
        templates: args.templates,
        observe: args.observe,
    };
    Ok(ConfigSource::new(args.config.as_deref(), flags))
}

/// What the command line may have made wrong.
fn check(config: &Config) -> Result<(), Failed> {
    if config.sites.iter().any(|site| site.upstreams.is_empty()) {
        return Err(Failed::Usage(AppError::NoUpstream.to_string()));
    }
    if !config.admin.ip().is_loopback() && config.admin_token.is_none() {
        return Err(Failed::Usage(format!(
            "--admin {}: the admin listener is for this machine only; use a loopback address, or set [server] admin_token",
            config.admin
        )));
    }
    Ok(())
}

/// Has everything read again at each SIGHUP.
async fn hang_ups(mut hang_up: Signal, reload: Arc<Notify>) {
    while hang_up.recv().await.is_some() {
        reload.notify_one();
    }
}

pub(super) fn failed(error: AppError) -> Failed {
    match error {
        AppError::Faults(faults) => Failed::Faults(faults),
        error if error.is_usage() => Failed::Usage(error.to_string()),
        error => Failed::Working(error.into()),
    }
}

/// Resolves at SIGTERM or SIGINT: requests under way may end.
pub(super) fn stopped() -> impl Future<Output = ()> {
    signalled(1)
}

/// Resolves at so many of them. They are listened for from the call on: one that comes while the gate still
/// opens ends it as any other does.
fn signalled(times: u32) -> impl Future<Output = ()> {
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime that listens for signals runs");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime that listens for signals runs");
    async move {
        for _ in 0..times {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }
}
