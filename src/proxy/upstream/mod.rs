//! The servers of the site behind: verified TLS, a pool of idle connections each, the choice among
//! several, and one retry where it is safe.

mod answer;
mod balance;
mod connect;
mod health;
mod pool;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, request};
use hyper::body::{Body as _, Incoming};
use tracing::debug;
use url::Url;

pub use self::answer::Answer;
use self::{
    answer::Lease,
    balance::Balance,
    connect::{Connection, Connector, Counted},
    health::{Ejection, Health},
    pool::Pool,
};
use super::{interim::Interim, progress::Progress};
use crate::{
    config::Limits,
    headers::Origin,
    site::UpstreamState,
    wire::{self, Body, BodyError, Failure},
};

/// How long a look at a server may take.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// The servers of one site.
pub struct Upstreams {
    all: Vec<Arc<Upstream>>,
    balance: Balance,
    setting: Setting,
}

/// One server.
pub struct Upstream {
    url: Url,
    /// As configured, for messages.
    shown: String,
    /// Its own name as a `Host` header.
    authority: HeaderValue,
    origin: Origin,
    connector: Connector,
    idle: Arc<Pool>,
    health: Health,
    /// Open connections.
    open: Arc<AtomicUsize>,
    /// Requests under way and open tunnels.
    busy: Arc<AtomicUsize>,
    retries: AtomicU64,
    connect_max: Duration,
    first_byte_max: Duration,
    interim_max: u64,
}

/// What servers are asked with, beside their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    idle_max: usize,
    idle_age_max: Duration,
    connect_max: Duration,
    first_byte_max: Duration,
    interim_max: u64,
    head_bytes_max: usize,
    head_lines_max: usize,
    ejection: Ejection,
    ca_pem: Option<Vec<u8>>,
}

/// Why an upstream cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// Not a name that a certificate can carry.
    #[error("`{0}` is no host name a certificate can be checked for")]
    Name(String),
    /// Not the address of a server.
    #[error("`{0}` is no address of scheme, host and port")]
    Address(String),
    /// The file of its certificate authority has none.
    #[error("there is no certificate of an authority in it")]
    Authority,
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// A request that got no answer.
struct Lost {
    failure: Failure,
    again: Again,
    /// Whether the connection had been idle: its end says nothing about the server.
    was_idle: bool,
}

/// Whether a request without an answer may be sent once more.
enum Again {
    /// Nothing of it was sent: here is its body, untouched.
    Unsent(Body),
    /// Where it changes nothing to do it twice: no byte of an answer came.
    IfRepeatable,
    /// The server may still be at work on it, or has begun to answer, or the visitor has gone.
    Never,
}

impl Setting {
    /// From the bounds and the PEM file of a certificate authority, if there is one.
    pub fn of(limits: &Limits, ca_pem: Option<Vec<u8>>) -> Result<Self, UpstreamFault> {
        ca_pem.as_deref().map(connect::authorities).transpose()?;
        let first = Limits::seconds(limits.upstream_out_s);
        Ok(Self {
            idle_max: limits.upstream_idle as usize,
            idle_age_max: Limits::seconds(limits.upstream_idle_s),
            connect_max: Limits::seconds(limits.upstream_connect_s),
            first_byte_max: Limits::seconds(limits.upstream_first_byte_s),
            interim_max: limits.upstream_interim_answers,
            head_bytes_max: limits.head_bytes as usize,
            head_lines_max: limits.head_lines as usize,
            ejection: Ejection {
                after: u32::try_from(limits.upstream_failures).unwrap_or(u32::MAX),
                first,
                longest: Limits::seconds(limits.upstream_out_max_s).max(first),
            },
            ca_pem,
        })
    }
}

// === impl Upstreams ===

impl Upstreams {
    /// Prepares for servers at these addresses, at least one; opens nothing. A server that `before` has
    /// under the same setting is taken over with its connections and what was seen of it.
    pub fn new(urls: &[Url], setting: Setting, before: Option<&Self>) -> Result<Self, UpstreamFault> {
        let before = before.filter(|before| before.setting == setting);
        let known = |url: &Url| before.and_then(|before| before.all.iter().find(|upstream| upstream.url == *url)).map(Arc::clone);
        let all: Result<Vec<_>, _> = urls
            .iter()
            .map(|url| match known(url) {
                Some(known) => Ok(known),
                None => Upstream::new(url, &setting).map(Arc::new),
            })
            .collect();
        let all = all?;
        if all.is_empty() {
            return Err(UpstreamFault::Address(String::new()));
        }
        Ok(Self { all, balance: Balance::default(), setting })
    }

    /// What they are asked with.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// How each of them is doing, in the order of the configuration.
    pub fn state(&self) -> Vec<UpstreamState> {
        self.all.iter().map(|upstream| upstream.state()).collect()
    }

    /// Whether some server takes a connection now, TLS included, within a short time each.
    pub async fn probe(&self) -> Result<(), Failure> {
        let mut first = None;
        for upstream in &self.all {
            match upstream.probe().await {
                Ok(()) => return Ok(()),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.expect("there is at least one upstream"))
    }

    /// Sends a request and returns the answer's head with its streaming body, and who answered. `head`
    /// makes the request's head for a server. A request that got no answer is sent once more
    ///
    /// - to another server, if there is one, where nothing of it was sent (whatever it asks for), or
    ///   where its method is safe, it has no body, and no byte of an answer came (RFC 9110, 9.2.2);
    /// - likewise to the same server, on a new connection, where an idle one turned out to be closed
    ///   (RFC 9112, 9.3.1).
    pub async fn send(
        &self,
        body: Body,
        progress: &Progress,
        head: impl Fn(&Upstream) -> request::Parts,
    ) -> Result<(Response<Answer>, &Upstream), Failure> {
        self.send_by(Way::Pooled(progress), body, head).await
    }

    /// Sends a request that asks for another protocol, on a connection that never enters the pool.
    pub async fn send_upgrade(
        &self,
        head: impl Fn(&Upstream) -> request::Parts,
    ) -> Result<(Response<Answer>, &Upstream), Failure> {
        self.send_by(Way::Own, wire::empty(), head).await
    }

    async fn send_by(
        &self,
        way: Way<'_>,
        body: Body,
        head: impl Fn(&Upstream) -> request::Parts,
    ) -> Result<(Response<Answer>, &Upstream), Failure> {
        let without_body = body.is_end_stream();
        let ejection = (self.all.len() > 1).then_some(self.setting.ejection);
        let first = self.balance.pick(&self.all, None).expect("there is at least one upstream");
        let parts = head(first);
        let repeatable = without_body && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        let lost = match first.attempt(way, Request::from_parts(parts, body), true, ejection).await {
            Ok(resp) => return Ok((resp, first)),
            Err(lost) => lost,
        };
        let body = match lost.again {
            Again::Unsent(body) => body,
            Again::IfRepeatable if repeatable => wire::empty(),
            Again::IfRepeatable | Again::Never => return Err(lost.failure),
        };
        let other = self.balance.pick(&self.all, Some(first));
        let Some(second) = other.or(lost.was_idle.then_some(first)) else { return Err(lost.failure) };
        first.retries.fetch_add(1, Ordering::Relaxed);
        debug!(from = first.shown, to = second.shown, "sent once more");
        let again = Box::pin(second.attempt(way, Request::from_parts(head(second), body), false, ejection)).await;
        again.map(|resp| (resp, &**second)).map_err(|lost| lost.failure)
    }
}

/// On which connection a request goes.
#[derive(Clone, Copy)]
enum Way<'p> {
    /// One of the pool, with how far the request's body has come.
    Pooled(&'p Progress),
    /// One of its own.
    Own,
}

// === impl Upstream ===

impl Upstream {
    fn new(url: &Url, setting: &Setting) -> Result<Self, UpstreamFault> {
        let shown = url.as_str().trim_end_matches('/').to_owned();
        let fault = || UpstreamFault::Address(shown.clone());
        let authority = shown.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            authority: HeaderValue::from_str(authority).map_err(|_| fault())?,
            origin: Origin::of(url).ok_or_else(fault)?,
            connector: Connector::new(url, setting.head_bytes_max, setting.head_lines_max, setting.ca_pem.as_deref())?,
            idle: Arc::new(Pool::new(setting.idle_max, setting.idle_age_max)),
            health: Health::default(),
            open: Arc::default(),
            busy: Arc::default(),
            retries: AtomicU64::new(0),
            connect_max: setting.connect_max,
            first_byte_max: setting.first_byte_max,
            interim_max: setting.interim_max,
            url: url.clone(),
            shown,
        })
    }

    /// The connection is let go again: a site behind that serves one at a time must not wait for a request
    /// that does not come.
    async fn probe(&self) -> Result<(), Failure> {
        let time_max = self.connect_max.min(PROBE_MAX);
        match tokio::time::timeout(time_max, self.connector.open(Vec::new())).await {
            Ok(connected) => connected.map(drop).map_err(|source| Failure::Unreachable { upstream: self.shown.clone(), source }),
            Err(_) => Err(self.late(time_max, "upstream_connect_s")),
        }
    }

    /// Its own name as a `Host` header.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Its origin as the site behind may write it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn state(&self) -> UpstreamState {
        let (failures, failures_total) = self.health.failures();
        UpstreamState {
            address: self.shown.clone(),
            out_for: self.health.out_for(Instant::now()),
            failures,
            failures_total,
            open: self.open.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            retries_total: self.retries.load(Ordering::Relaxed),
        }
    }

    /// Sends a request once. An idle connection is used where `idle_too`.
    async fn attempt(
        &self,
        way: Way<'_>,
        req: Request<Body>,
        idle_too: bool,
        ejection: Option<Ejection>,
    ) -> Result<Response<Answer>, Lost> {
        let attempted = match way {
            Way::Pooled(progress) => self.attempt_pooled(req, progress, idle_too).await,
            Way::Own => self.attempt_own(req).await,
        };
        match &attempted {
            Ok(_) => self.health.answered(&self.shown),
            Err(Lost { failure: Failure::BrokenRequest(_), .. } | Lost { was_idle: true, .. }) => {}
            Err(_) => self.health.failed(&self.shown, ejection),
        }
        attempted
    }

    async fn attempt_pooled(&self, req: Request<Body>, progress: &Progress, idle_too: bool) -> Result<Response<Answer>, Lost> {
        let busy = Counted::new(&self.busy);
        let idle = idle_too.then(|| self.idle.take()).flatten();
        let was_idle = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => match self.connect(Vec::new()).await {
                Ok(connection) => connection,
                Err(failure) => return Err(Lost { failure, again: Again::Unsent(req.into_body()), was_idle }),
            },
        };
        let resp = self.exchange(&mut connection, req, progress).await;
        let resp = resp.map_err(|(failure, again)| {
            // A server that is late on an idle connection is late.
            let was_idle = was_idle && !matches!(failure, Failure::UpstreamTimeout { .. });
            Lost { failure, again, was_idle }
        })?;
        let lease = Lease { connection, pool: Arc::clone(&self.idle), busy };
        Ok(resp.map(|body| Answer::leased(body, lease)))
    }

    async fn attempt_own(&self, req: Request<Body>) -> Result<Response<Answer>, Lost> {
        let connected = self.connect(vec![Counted::new(&self.busy)]).await;
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(failure) => return Err(Lost { failure, again: Again::Unsent(req.into_body()), was_idle: false }),
        };
        let resp = self.exchange(&mut connection, req, &Progress::none()).await;
        let resp = resp.map_err(|(failure, _)| Lost { failure, again: Again::Never, was_idle: false })?;
        Ok(resp.map(Answer::own))
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        mut req: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, (Failure, Again)> {
        let read_before = connection.read_bytes();
        let broke = |source: BodyError| Failure::UpstreamBroke { upstream: self.shown.clone(), source };
        let interim = Interim::bound(&mut req, self.interim_max);
        let sent = connection.sender.try_send_request(req);
        let answer = interim.until(progress.within(self.first_byte_max, &mut connection.clock, sent)).await;
        let mut error = match answer.map_err(|too_many| (broke(too_many.into()), Again::Never))? {
            None => return Err((self.late(self.first_byte_max, "upstream_first_byte_s"), Again::Never)),
            Some(Ok(resp)) => return Ok(resp),
            Some(Err(error)) => error,
        };
        let unsent = error.take_message();
        let error = error.into_error();
        if error.is_user() {
            return Err((Failure::BrokenRequest(error.into()), Again::Never));
        }
        let again = match unsent {
            Some(req) => Again::Unsent(req.into_body()),
            None if connection.read_bytes() == read_before => Again::IfRepeatable,
            None => Again::Never,
        };
        Err((broke(error.into()), again))
    }

    async fn connect(&self, mut counted: Vec<Counted>) -> Result<Connection, Failure> {
        counted.push(Counted::new(&self.open));
        // Boxed: the future of every request would have room for a TLS handshake.
        let connecting = tokio::time::timeout(self.connect_max, Box::pin(self.connector.open(counted))).await;
        match connecting {
            Ok(connected) => connected.map_err(|source: BodyError| Failure::Unreachable { upstream: self.shown.clone(), source }),
            Err(_) => Err(self.late(self.connect_max, "upstream_connect_s")),
        }
    }

    fn late(&self, given: Duration, limit: &'static str) -> Failure {
        Failure::UpstreamTimeout { upstream: self.shown.clone(), seconds: given.as_secs(), limit }
    }
}
