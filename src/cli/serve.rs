//! `consentry serve`: the gate in front of a site.

use std::{net::SocketAddr, path::PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::Failed;
use crate::{
    app::{App, AppError, load_config},
    config::{Config, Fault, parse_upstream},
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
    let (config, warnings) = configure(args)?;
    super::block_on(async move {
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let stopped = stopped();
        let observe = config.observe;
        let upstream = config.upstream.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()).unwrap_or_default();
        let app = App::open(config).await.map_err(failed)?;
        let address = app.address().map_err(|error| Failed::Working(error.into()))?;
        let policy = app.site().snapshot().policy.revision().0.short();
        let (data, admin) = (app.site().config.data.display().to_string(), app.site().config.admin);
        info!(upstream, policy, data, %admin, "consentry stands at http://{address}/");
        if observe {
            warn!("observing: pages pass unchanged, tags included; nothing is held and nobody is asked");
        }
        app.run(stopped).await.map_err(failed)
    })
}

/// The file's settings with the command line's over them.
fn configure(args: Args) -> Result<(Config, Vec<Fault>), Failed> {
    let (mut config, warnings) = load_config(args.config.as_deref()).map_err(Failed::Faults)?;
    if let Some(url) = args.upstream {
        config.upstream = Some(parse_upstream(&url).map_err(|message| Failed::Usage(format!("--upstream {url}: {message}")))?);
    }
    if config.upstream.is_none() {
        return Err(Failed::Usage(AppError::NoUpstream.to_string()));
    }
    config.listen = args.listen.unwrap_or(config.listen);
    config.admin = args.admin.unwrap_or(config.admin);
    if !config.admin.ip().is_loopback() && config.admin_token.is_none() {
        return Err(Failed::Usage(format!(
            "--admin {}: the admin listener is for this machine only; use a loopback address, or set [server] admin_token",
            config.admin
        )));
    }
    config.data = args.data.unwrap_or(config.data);
    config.policies = args.policies.or(config.policies);
    config.templates = args.templates.or(config.templates);
    config.observe |= args.observe;
    Ok((config, warnings))
}

pub(super) fn failed(error: AppError) -> Failed {
    match error {
        AppError::Faults(faults) => Failed::Faults(faults),
        error if error.is_usage() => Failed::Usage(error.to_string()),
        error => Failed::Working(error.into()),
    }
}

/// Resolves at SIGTERM or SIGINT. Both are listened for from the call on: one that comes while the gate still
/// opens ends it as any other does.
pub(super) fn stopped() -> impl Future<Output = ()> {
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime that listens for signals runs");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime that listens for signals runs");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
