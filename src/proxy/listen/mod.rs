//! The way in: accept loops that share one count of connections, and the drain when the gate stops.
//! `connection` has what happens on one connection.

pub mod clients;
mod connection;
mod downgrade;
mod drain;
mod http2;
mod pace;
mod parked;
mod proxy_protocol;
pub mod strict;
mod transport;
mod workers;
mod write_idle;

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::rustls::ServerConfig;
use tracing::{error, warn};

pub(crate) use drain::Held;
pub(in crate::proxy) use workers::number as worker_number;

use crate::{
    config::{Config, Limits},
    site::Peer,
    telemetry::metrics::Metrics,
    wire::Body,
};
use clients::Clients;
use connection::Server;
use drain::Phase;
use workers::Workers;

/// After an accept that failed (out of file descriptors, say) the loop waits this long, doubling.
const BACK_OFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// What was cut at the end of a drain gets this long to go.
const GOING: Duration = Duration::from_secs(1);

/// A listening socket.
pub struct Socket {
    /// Bound already.
    pub listener: TcpListener,
    /// With it, every connection begins with a TLS handshake; ALPN chooses the protocol.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether somebody else opened it and handed it over: then it stays as it is.
    pub given: bool,
}

impl Socket {
    /// One without TLS.
    pub fn plain(listener: TcpListener) -> Self {
        Self { listener, tls: None, given: false }
    }
}

/// What listening is bounded by.
#[derive(Clone)]
pub struct Setting {
    /// Every bound by name.
    pub limits: Limits,
    /// Proxies whose connections begin with a PROXY header; empty where nobody's do.
    pub proxies: Vec<IpNet>,
    /// Who has how many connections open.
    pub clients: Clients,
    /// Where open connections count; `None`: nowhere.
    pub metrics: Option<Arc<Metrics>>,
    /// Threads of their own that serve; 0: the runtime that this is called in does.
    pub workers: usize,
}

impl Setting {
    /// For visitors: `[server] proxy_protocol` says whether trusted proxies send the header.
    pub fn of(config: &Config, metrics: &Arc<Metrics>) -> Self {
        let proxies = if config.proxy_protocol { config.trusted_proxies.clone() } else { Vec::new() };
        let clients = Clients::of_visitors(config.limits.connections_per_client, &config.trusted_proxies);
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count as usize,
        };
        Self { limits: config.limits.clone(), proxies, clients, metrics: Some(Arc::clone(metrics)), workers }
    }

    /// For a listener of this machine, such as that of health: nobody stands in front.
    pub fn direct(limits: &Limits) -> Self {
        Self { limits: limits.clone(), proxies: Vec::new(), clients: Clients::of_visitors(0, &[]), metrics: None, workers: 0 }
    }
}

/// Answers every request on `sockets` with `handle` until `stop` turns true; then lets requests and
/// tunnels under way end, for at most `[limits] drain_s`, and cuts what is left.
pub async fn serve<H, F>(sockets: Vec<Socket>, setting: Setting, mut stop: watch::Receiver<bool>, handle: H)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (most, drain_s) = (setting.limits.connections as usize, setting.limits.drain_s);
    let permits = Arc::new(Semaphore::new(most));
    let (phase, phases) = watch::channel(Phase::Open);
    let workers = Workers::start(setting.workers).unwrap_or_else(|error| {
        error!(%error, "no threads for workers can be had: all visitors are served by one runtime");
        Workers::default()
    });
    let server = Arc::new(Server::new(setting, handle));
    let mut loops = JoinSet::new();
    for (runtime, socket) in sockets.into_iter().flat_map(|socket| spread(socket, &workers)) {
        loops.spawn_on(accept(socket, Arc::clone(&server), Arc::clone(&permits), phases.clone()), &runtime);
    }
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
    let _ = phase.send(Phase::Draining);
    // Each loop ends at once and closes its socket.
    while loops.join_next().await.is_some() {}
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    if tokio::time::timeout(Limits::seconds(drain_s), permits.acquire_many(all)).await.is_err() {
        warn!(seconds = drain_s, "connections that were still open at the end of the drain are cut ([limits] drain_s)");
        let _ = phase.send(Phase::Cut);
        let _ = tokio::time::timeout(GOING, permits.acquire_many(all)).await;
    }
    workers.end().await;
}

/// A socket for each worker, with the runtime that serves it; without workers, this one.
fn spread(socket: Socket, workers: &Workers) -> Vec<(Handle, Socket)> {
    let Socket { listener, tls, given } = socket;
    let count = workers.handles().len();
    if count == 0 {
        return vec![(Handle::current(), Socket { listener, tls, given })];
    }
    let shares = listener.into_std().and_then(|listener| workers::shares(listener, count, given));
    let shares = shares.unwrap_or_else(|error| {
        error!(%error, "a listening socket cannot be shared by the workers");
        Vec::new()
    });
    let registered = workers.handles().zip(shares).filter_map(|(runtime, share)| {
        let _within = runtime.enter();
        match TcpListener::from_std(share) {
            Ok(listener) => Some((runtime.clone(), Socket { listener, tls: tls.clone(), given })),
            Err(error) => {
                error!(%error, "a worker cannot listen");
                None
            }
        }
    });
    registered.collect()
}

async fn accept<H, F>(socket: Socket, server: Arc<Server<H>>, permits: Arc<Semaphore>, mut phases: watch::Receiver<Phase>)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut back_off = *BACK_OFF.start();
    loop {
        let accepted = async {
            // Before the accept: beyond the bound, visitors wait in the system's queue.
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            (permit, socket.listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = phases.wait_for(|phase| *phase > Phase::Open) => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(*BACK_OFF.end());
                continue;
            }
        };
        back_off = *BACK_OFF.start();
        let (server, tls) = (Arc::clone(&server), socket.tls.clone());
        let held = Held::new(permit, phases.clone());
        tokio::spawn(async move { server.connection(stream, address, tls, held).await });
    }
}
