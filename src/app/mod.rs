//! The composition root: reads the files, builds the site, opens the listeners, reloads what is
//! edited, drains. Rooms below get text and values; I/O on files is here.

mod compile;
mod files;
mod keys;
mod live;
mod reload;
mod retention;
mod service;
mod source;
mod told;
mod witness;

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc};

use http::Request;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};
use tracing::{error, info, warn};

use self::{live::Live, reload::Reloader, witness::Push};
use crate::{
    admin,
    config::{Config, Fault, Limits},
    consent_log::{ConsentLog, LogError, NoticeLeaf, Options, PolicyLeaf},
    policy::Sources,
    proxy::{
        hosts::Hosts,
        listen::{self, Socket},
        secure::{self, Secure},
        upstream::{UpstreamFault, Upstreams},
    },
    site::{Shared, Sites, Snapshot},
    tls::{Tls, TlsError},
    wire::Causes,
};

pub use compile::{Compiled, Compiler};
pub use files::{load_config, read_policies};
pub use source::{ConfigSource, Flags};

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
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
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
    /// Sockets that a service manager opened cannot be used.
    #[error("the sockets that were handed over (LISTEN_FDS) cannot be used")]
    Sockets(#[source] std::io::Error),
    /// The consent log cannot be opened or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// TLS towards visitors cannot be set up; files at fault are [`Faults`](Self::Faults).
    #[error(transparent)]
    Tls(TlsError),
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
        matches!(self, Self::Faults(_) | Self::NoUpstream | Self::Upstream(UpstreamFault::Name(_) | UpstreamFault::Address(_)))
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
    live: Live,
    /// One at least of each.
    front: Opened,
    tls: Option<(Tls, Opened)>,
    admin: Vec<TcpListener>,
    reloader: Reloader,
}

impl App {
    /// Reads and checks everything, then opens the log and the ports. Policies, templates and
    /// certificates are watched; the configuration stays as it is.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        Self::open_over(Sources::embedded(), config).await
    }

    /// Likewise, with other policies than the embedded ones under the operator's.
    pub async fn open_over(base: Sources, config: Config) -> Result<Self, AppError> {
        Self::open_all(base, config, None).await
    }

    /// Likewise, with a configuration that is watched as well. `config` is what `source` gave.
    pub async fn open_from(source: ConfigSource, config: Config) -> Result<Self, AppError> {
        Self::open_all(Sources::embedded(), config, Some(source)).await
    }

    async fn open_all(base: Sources, config: Config, source: Option<ConfigSource>) -> Result<Self, AppError> {
        // Before anything is read: an edit in between is a change at the first look.
        let mut reloader = Reloader::new(Compiler::new(base), source, &config);
        let (snapshots, warnings) = reloader.compile(&config).await.map_err(AppError::Faults)?;
        warnings.iter().for_each(|warning| warn!("{warning}"));
        if config.sites.iter().any(|site| site.upstreams.is_empty()) {
            return Err(AppError::NoUpstream);
        }
        check_upstreams(&config)?;

        let tls = open_tls(&config)?;

        let given = service::Given::take(tls.is_some()).map_err(AppError::Sockets)?;
        if !given.https.is_empty() && tls.is_none() {
            let without_tls = std::io::Error::new(std::io::ErrorKind::InvalidInput, "one is for https, and there is no [tls]");
            return Err(AppError::Sockets(without_tls));
        }
        let front = bind(given.http, config.listen, "listen").await?;
        let tls = match tls {
            Some((tls, listen)) => Some((tls, bind(given.https, listen, "listen").await?)),
            None => None,
        };
        let admin = bind(given.admin, config.admin, "admin").await?.listeners;
        let options = Options {
            queue_max: config.limits.log_queue as usize,
            reserve_bytes: config.limits.log_reserve_bytes,
            ..Options::default()
        };
        let log = ConsentLog::open(&config.data, options)?;
        let keys = keys::open(&config.data)?;
        for snapshot in distinct(&snapshots) {
            if let Err(error) = put_on_record(&log, snapshot).await {
                // Tags are held all the same and visitors can refuse; only grants need the record.
                error!("no grant can be recorded until consentry is started again: {}", Causes(&error));
                break;
            }
        }
        let live = Live::open(Shared::new(&config, keys, log, told::telemetry(&config)?), config, snapshots)?;
        Ok(Self { live, front, tls, admin, reloader })
    }

    /// The sites, for who wants to see what their pages carry.
    pub fn sites(&self) -> &Arc<Sites> {
        &self.live.sites
    }

    /// Which site a request is for, and how their upstreams are doing.
    pub fn hosts(&self) -> &Arc<Hosts> {
        &self.live.hosts
    }

    /// Reloads everything at the next moment, as `SIGHUP` does.
    pub fn reload(&self) -> Arc<Notify> {
        self.reloader.asked()
    }

    /// Where visitors come in: the port is known once it is open.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.front.listeners[0].local_addr()
    }

    /// Where visitors come in by TLS, with `[tls]`.
    pub fn tls_address(&self) -> Option<std::io::Result<SocketAddr>> {
        self.tls.as_ref().map(|(_, opened)| opened.listeners[0].local_addr())
    }

    /// Where health and reports are told.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin[0].local_addr()
    }

    /// Runs until `stopped` resolves, then drains and closes the log. Ends by itself, with an error, once the
    /// log failed: a flush that failed is not tried again, and only the start of a new process finds out what
    /// reached the disk. Until then tags are held and visitors can refuse.
    pub async fn run(self, stopped: impl Future<Output = ()>) -> Result<(), AppError> {
        let hangups = signal(SignalKind::hangup());
        let (stop, stopping) = watch::channel(false);
        let limits = self.live.config.limits.clone();
        let (log, hosts) = (Arc::clone(&self.live.shared.log), Arc::clone(&self.live.hosts));
        let telemetry = self.live.shared.telemetry.clone();
        let secure = self
            .tls
            .as_ref()
            .map(|(tls, opened)| Secure::new(tls.clone(), &opened.listeners[0], &self.live.config.trusted_proxies));
        let mut sockets = self.front.sockets(None);
        let certificates = self.tls.map(|(tls, opened)| {
            sockets.extend(opened.sockets(Some(&tls)));
            tls
        });
        let probe = told::probe(&hosts);
        // The admin listener goes last: while the gate drains it tells so.
        let (drained, draining) = watch::channel(false);
        let setting = listen::Setting::of(&self.live.config, &telemetry.metrics);
        let front = async {
            let answer = move |req, peer| {
                let (hosts, secure) = (Arc::clone(&hosts), secure.clone());
                async move { secure::around(secure.as_ref(), req, peer, |req| hosts.handle(req, peer)).await }
            };
            listen::serve(sockets, setting, stopping.clone(), answer).await;
            let _ = drained.send(true);
        };
        let renewal = async {
            if let Some(tls) = certificates {
                tls.run(stopping.clone()).await;
            }
        };
        let push = self.live.config.witness.as_ref().map(|config| Push::new(config, &self.live.config.data));
        let told = admin::Told {
            sites: Arc::clone(&self.live.sites),
            log: Arc::clone(&log),
            metrics: Arc::clone(&telemetry.metrics),
            pushes: push.as_ref().map(Push::pushes),
        };
        let push = witness::run(push, stopping.clone());
        let told = Arc::new(admin::Admin::new(told, self.live.config.admin_token.clone(), probe, stopping.clone()));
        let admin = self.admin.into_iter().map(Socket::plain).collect();
        let admin = listen::serve(admin, listen::Setting::direct(&limits), draining, move |req: Request<_>, _| {
            let told = Arc::clone(&told);
            async move { told.answer(req).await }
        });
        let retention = retention::run(Arc::clone(&log), Arc::clone(&self.live.sites), stopping.clone());
        let reload = self.reloader.run(self.live, stopping.clone());
        let reopen = told::reopen_on_hangup(hangups, telemetry.access.clone(), stopping.clone());
        let stop = async {
            let failed = async {
                let failed = log.failed().await;
                // Visitors are served meanwhile, and whoever watches health sends new ones elsewhere.
                tokio::time::sleep(Limits::seconds(limits.log_failed_s)).await;
                failed
            };
            let failed = tokio::select! {
                () = stopped => None,
                failed = failed => Some(failed),
            };
            info!("stopping: requests under way may end");
            service::stopping();
            let _ = stop.send(true);
            failed
        };
        service::ready();
        let running = async { tokio::join!(front, renewal, admin, retention, reload, reopen, push, stop) };
        let failed = tokio::select! {
            (.., failed) = running => failed,
            () = service::watchdog() => None,
        };
        log.close().await;
        if let Some(access) = telemetry.access {
            // A thread that ends early has nothing left to write.
            let _ = tokio::task::spawn_blocking(move || access.flush()).await;
        }
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }
}

/// The certificates of `[tls]`, and where to listen. Its warnings are told.
fn open_tls(config: &Config) -> Result<Option<(Tls, SocketAddr)>, AppError> {
    let Some(setting) = config.tls.clone() else { return Ok(None) };
    let listen = setting.listen;
    let (tls, warnings) = Tls::open(setting, &config.names(), &config.data, &config.limits).map_err(|error| match error {
        TlsError::Faults(faults) => AppError::Faults(faults),
        error => AppError::Tls(error),
    })?;
    warnings.iter().for_each(|warning| warn!("{warning}"));
    Ok(Some((tls, listen)))
}

/// Whether the upstreams of every site can be used, as far as files tell. Opens nothing.
pub fn check_upstreams(config: &Config) -> Result<(), AppError> {
    for site in &config.sites {
        let setting = live::upstream_setting(site, &config.limits)?;
        if !site.upstreams.is_empty() {
            Upstreams::new(&site.upstreams, setting, None)?;
        }
    }
    Ok(())
}

/// Each snapshot once, although sites share it.
fn distinct(snapshots: &[Arc<Snapshot>]) -> Vec<&Arc<Snapshot>> {
    let mut each: Vec<&Arc<Snapshot>> = snapshots.iter().collect();
    each.sort_by_key(|snapshot| Arc::as_ptr(snapshot));
    each.dedup_by(|a, b| Arc::ptr_eq(a, b));
    each
}

/// Listening sockets of one kind.
struct Opened {
    listeners: Vec<TcpListener>,
    /// Whether a service manager opened them.
    given: bool,
}

impl Opened {
    fn sockets(self, tls: Option<&Tls>) -> Vec<Socket> {
        let given = self.given;
        let socket = |listener| Socket { listener, tls: tls.map(Tls::server_config), given };
        self.listeners.into_iter().map(socket).collect()
    }
}

/// The sockets that were handed over, else one of our own.
async fn bind(given: Vec<TcpListener>, address: SocketAddr, flag: &'static str) -> Result<Opened, AppError> {
    if !given.is_empty() {
        return Ok(Opened { listeners: given, given: true });
    }
    let own = TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, flag, source })?;
    Ok(Opened { listeners: vec![own], given: false })
}
