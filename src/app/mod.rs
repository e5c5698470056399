//! The composition root: reads the files, builds the site, opens the listeners, reloads what is
//! edited, drains. Rooms below get text and values; I/O on files is here.

mod files;
mod keys;
mod reload;
mod watchdog;

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc};

use http::Request;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::{error, info, warn};

pub use files::{Folders, load_config, read_policies, read_templates};

use crate::{
    admin,
    browser::{Scripts, Texts},
    config::{Config, Containment, Fault},
    consent_log::{ConsentLog, LogError, NoticeLeaf, Options, PolicyLeaf},
    headers::csp,
    notice::{Notices, TemplateSources},
    policy::{Policy, Sources},
    proxy::{
        listen,
        pipeline::Pipeline,
        upstream::{Upstream, UpstreamFault},
    },
    site::{Site, Snapshot},
    telemetry::{Telemetry, access::AccessLog, metrics::Metrics},
    wire::Causes,
};

/// Why the gate does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Files that people edit are at fault; nothing was started.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    /// There is no site to stand in front of.
    #[error("there is no upstream: add --upstream URL, or [upstream] url in consentry.toml")]
    NoUpstream,
    /// The upstream cannot be used.
    #[error("the upstream cannot be used")]
    Upstream(#[from] UpstreamFault),
    /// A listener cannot be opened.
    #[error(
        "{address} cannot be opened. Is another process listening there, or is the port below 1024? Choose another with --{flag}"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The consent log cannot be opened or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The access log cannot be written.
    #[error("the access log cannot be written: check [access] log, and who may write there")]
    Access(#[source] std::io::Error),
    /// The signing keys cannot be read or made.
    #[error("the signing keys in {} cannot be used", .file.display())]
    Keys {
        /// The key file.
        file: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AppError {
    /// Whether the command line or a file is wrong, as against something that failed while working.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Faults(_) | Self::NoUpstream | Self::Upstream(UpstreamFault::Name(_)))
    }
}

/// Compiles policy, notices and scripts that belong together; warnings beside them. Faults and warnings
/// name the files as they lie in `folders`. `prefix` is where the gate's own paths are.
pub fn compile(
    policies: &Sources,
    templates: &TemplateSources,
    folders: &Folders,
    prefix: &str,
) -> Result<(Snapshot, Vec<Fault>), Vec<Fault>> {
    let compiled = Policy::compile(policies).and_then(|(policy, mut warnings)| {
        let (notices, mut more) = Notices::build(&policy, templates, &policy.controller().name)?;
        warnings.append(&mut more);
        let texts = Texts {
            shared: templates.fixed("guard/shared.js"),
            guard: templates.fixed("guard/guard.js"),
            stand_ins: templates.fixed("guard/stand-ins.js"),
            worker: templates.fixed("guard/worker.js"),
            gate: templates.fixed("guard/gate.js"),
        };
        let scripts = Scripts::build(&policy, prefix, &texts);
        Ok((Snapshot::new(policy, notices, scripts), warnings))
    });
    match compiled {
        Ok((snapshot, warnings)) => Ok((snapshot, folders.name(warnings))),
        Err(faults) => Err(folders.name(faults)),
    }
}

/// Writes policy and notices of a snapshot to the consent log, if they are not there yet: records cite them.
async fn put_on_record(log: &ConsentLog, snapshot: &Snapshot) -> Result<(), LogError> {
    log.ensure_policy(&PolicyLeaf::of(&snapshot.policy)).await?;
    for notice in snapshot.notices.notices() {
        log.ensure_notice(NoticeLeaf { sha256: notice.hash, json: notice.snapshot.clone(), html: notice.html.clone() }).await?;
    }
    Ok(())
}

/// A gate that is ready to run: everything was checked, every port is open.
pub struct App {
    site: Arc<Site>,
    pipeline: Arc<Pipeline>,
    listener: TcpListener,
    admin: TcpListener,
    reloader: reload::Reloader,
}

impl App {
    /// Reads and checks everything, then opens the log and the ports.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        let policies = read_policies(config.policies.as_deref()).map_err(AppError::Faults)?;
        let templates = read_templates(config.templates.as_deref()).map_err(AppError::Faults)?;
        Self::open_with(config, &policies, &templates).await
    }

    /// Likewise, with policy files that were read elsewhere.
    pub async fn open_with(config: Config, policies: &Sources, templates: &TemplateSources) -> Result<Self, AppError> {
        let folders = Folders { policies: config.policies.clone(), templates: config.templates.clone() };
        let (snapshot, warnings) = compile(policies, templates, &folders, &config.prefix).map_err(AppError::Faults)?;
        let reloader = reload::Reloader::new(folders);
        warnings.iter().for_each(|warning| warn!("{warning}"));
        tell_of_wall(&config, &snapshot);
        let url = config.upstream.clone().ok_or(AppError::NoUpstream)?;
        let upstream = Upstream::new(&url, &config.limits)?;

        let listener = bind(config.listen, "listen").await?;
        let admin = bind(config.admin, "admin").await?;
        let options = Options {
            queue_max: config.limits.log_queue as usize,
            reserve_bytes: config.limits.log_reserve_bytes,
            ..Options::default()
        };
        let log = ConsentLog::open(&config.data, options)?;
        let keys = keys::open(&config.data)?;
        if let Err(error) = put_on_record(&log, &snapshot).await {
            // Tags are held all the same and visitors can refuse; only grants need the record.
            error!("no grant can be recorded until consentry is started again: {}", Causes(&error));
        }
        let telemetry = telemetry(&config)?;
        let site = Arc::new(Site::new(config, keys, log, snapshot, telemetry));
        let pipeline = Pipeline::new(Arc::clone(&site), upstream, &url).map_err(|_| AppError::NoUpstream)?;
        let pipeline = Arc::new(pipeline);
        Ok(Self { site, pipeline, listener, admin, reloader })
    }

    /// The site, for who wants to see what its pages carry.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Where visitors come in: the port is known once it is open.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where health and reports are told.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Runs until `stopped` resolves, then drains and closes the log.
    pub async fn run(self, stopped: impl Future<Output = ()>) -> Result<(), AppError> {
        let hangups = signal(SignalKind::hangup());
        let (stop, stopping) = watch::channel(false);
        let limits = self.site.config.limits.clone();
        let pipeline = Arc::clone(&self.pipeline);
        let metrics = Arc::clone(&self.site.telemetry.metrics);
        // The admin listener goes last: while the gate drains it tells so.
        let (drained, draining) = watch::channel(false);
        let front = async {
            let answer = move |req, peer| {
                let pipeline = Arc::clone(&pipeline);
                async move { pipeline.handle(req, peer).await }
            };
            listen::serve(self.listener, &limits, Some(metrics), stopping.clone(), answer).await;
            let _ = drained.send(true);
        };
        // Its word is due as long as the gate drains.
        let watched = watchdog::feed(draining.clone());
        let told = Arc::new(admin::Admin::new(Arc::clone(&self.site), probe(&self.pipeline), stopping.clone()));
        let admin = listen::serve(self.admin, &limits, None, draining, move |req: Request<_>, _| {
            let told = Arc::clone(&told);
            async move { told.answer(req).await }
        });
        let reload = self.reloader.run(Arc::clone(&self.site), stopping.clone());
        let stop = async {
            stopped.await;
            info!("stopping: requests under way may end");
            let _ = stop.send(true);
        };
        let reopen = reopen_on_hangup(hangups, self.site.telemetry.access.clone(), stopping.clone());
        tokio::join!(front, admin, reload, reopen, watched, stop);
        self.site.log.close().await;
        if let Some(access) = self.site.telemetry.access.clone() {
            // A thread that ends early has nothing left to write.
            let _ = tokio::task::spawn_blocking(move || access.flush()).await;
        }
        Ok(())
    }
}

/// Asks every site behind whether it takes connections.
fn probe(pipeline: &Arc<Pipeline>) -> admin::Probe {
    let pipeline = Arc::clone(pipeline);
    Arc::new(move || {
        let pipeline = Arc::clone(&pipeline);
        Box::pin(async move {
            let fault = pipeline.upstream().probe().await.err().map(|failure| Causes(&failure).to_string());
            let site = Arc::clone(pipeline.site().metrics.site());
            vec![admin::Reached { site, upstream: pipeline.upstream().shown().to_owned(), fault }]
        })
    })
}

/// SIGHUP: whoever rotates files has moved the access log away. It must never end the gate, which is what it
/// does to a process that does not listen.
async fn reopen_on_hangup(hangups: std::io::Result<Signal>, access: Option<AccessLog>, mut stop: watch::Receiver<bool>) {
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

/// A wall that lets everything through for those who grant everything is not what `enforce` promises.
fn tell_of_wall(config: &Config, snapshot: &Snapshot) {
    let setting = csp::Setting::of(config, "");
    let wall = csp::Wall::build(&snapshot.policy, &snapshot.policy.everything(), &setting);
    if config.containment == Containment::Enforce && wall.fit == csp::Fit::Open {
        warn!(
            "a visitor who grants every vendor gets a containment policy that lets all https through: declare only the vendors that the site uses, or raise [limits] containment_bytes"
        );
    }
}

/// The numbers from zero, and the access log where it is wanted.
fn telemetry(config: &Config) -> Result<Telemetry, AppError> {
    let metrics = Metrics::new();
    let access = config.access.log.as_ref().map(|target| AccessLog::open(target, &metrics)).transpose();
    Ok(Telemetry { access: access.map_err(AppError::Access)?, metrics })
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, flag, source })
}
