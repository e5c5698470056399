//! Connections to the site behind: one fixed address, verified TLS, a pool of idle connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{Method, Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use url::Url;

use super::progress::Progress;
use crate::{
    config::Limits,
    wire::{self, Body, BodyError, Failure},
};

/// The site behind.
pub struct Upstream {
    address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Arc<Pool>,
    connect_max: Duration,
    first_byte_max: Duration,
    head_bytes_max: usize,
    head_lines_max: usize,
}

struct Address {
    host: String,
    port: u16,
    /// As configured, for messages.
    shown: String,
}

/// How long a look at the upstream may take.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Why an upstream cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// Not a name that a certificate can carry.
    #[error("`{0}` is no host name a certificate can be checked for")]
    Name(String),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Idle connections, the most recently used last.
struct Pool {
    connections: Mutex<Vec<(SendRequest<Body>, Instant)>>,
    most: usize,
    age_max: Duration,
}

impl Upstream {
    /// Prepares for an address of scheme, host and port; opens nothing.
    pub fn new(url: &Url, limits: &Limits) -> Result<Self, UpstreamFault> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|_| UpstreamFault::Name(host.clone()))?;
                Some((TlsConnector::from(Arc::new(client_config()?)), name))
            }
            _ => None,
        };
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self {
            address: Address { host, port, shown: url.as_str().trim_end_matches('/').to_owned() },
            tls,
            idle: Arc::new(Pool {
                connections: Mutex::default(),
                most: limits.upstream_idle as usize,
                age_max: Limits::seconds(limits.upstream_idle_s),
            }),
            connect_max: Limits::seconds(limits.upstream_connect_s),
            first_byte_max: Limits::seconds(limits.upstream_first_byte_s),
            head_bytes_max: limits.head_bytes as usize,
            head_lines_max: limits.head_lines as usize,
        })
    }

    /// Sends a request and returns the answer's head with its streaming body. A request without a
    /// body that may be repeated is sent once more where an idle connection turned out to be dead
    /// (RFC 9112, 9.3.1).
    pub async fn send(&self, req: Request<Body>, progress: &Progress) -> Result<Response<Incoming>, Failure> {
        let again = repeatable(&req);
        let mut req = req;
        if let Some(sender) = self.idle.take() {
            match (self.exchange(sender, req, progress).await, again) {
                (Err(Failure::UpstreamBroke { .. }), Some(copy)) => req = copy,
                (answer, _) => return answer,
            }
        }
        let sender = self.connect().await?;
        self.exchange(sender, req, progress).await
    }

    /// Whether it takes a connection now, TLS included, within a short time. The connection is let go again:
    /// a site behind that serves one at a time must not wait for a request that does not come.
    pub async fn probe(&self) -> Result<(), Failure> {
        let time_max = self.connect_max.min(PROBE_MAX);
        let connecting = tokio::time::timeout(time_max, self.open()).await;
        connecting.map_err(|_| self.timeout(time_max, "upstream_connect_s"))?.map(drop)
    }

    /// Its address as configured.
    pub fn shown(&self) -> &str {
        &self.address.shown
    }

    /// Sends a request that asks for another protocol, on a connection that never enters the pool.
    pub async fn send_upgrade(&self, req: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.connect().await?;
        let answer = tokio::time::timeout(self.first_byte_max, sender.send_request(req)).await;
        answer.map_err(|_| self.late())?.map_err(|error| self.broke(error.into()))
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<Body>,
        req: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failure> {
        let answer = progress.within(self.first_byte_max, sender.send_request(req)).await;
        let resp = answer.ok_or_else(|| self.late())?.map_err(|error| self.broke(error.into()))?;
        // Ready again only when both directions have ended; a body dropped halfway closes the
        // connection, and one that answered early with the request unread never becomes ready.
        let pool = Arc::clone(&self.idle);
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.put(sender);
            }
        });
        Ok(resp)
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Failure> {
        let connecting = tokio::time::timeout(self.connect_max, self.open());
        connecting.await.map_err(|_| self.timeout(self.connect_max, "upstream_connect_s"))?
    }

    async fn open(&self) -> Result<SendRequest<Body>, Failure> {
        let tcp = TcpStream::connect((self.address.host.as_str(), self.address.port))
            .await
            .map_err(|error| self.unreachable(error.into()))?;
        // Best effort: a socket without it works, only slower.
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => self.handshake(TokioIo::new(tcp)).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), tcp).await.map_err(|error| self.unreachable(error.into()))?;
                self.handshake(TokioIo::new(stream)).await
            }
        }
    }

    async fn handshake<I>(&self, io: I) -> Result<SendRequest<Body>, Failure>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.head_bytes_max).max_headers(self.head_lines_max);
        let (sender, connection) = builder.handshake(io).await.map_err(|error| self.unreachable(error.into()))?;
        tokio::spawn(async move {
            // How a connection ends is told by the exchange that was on it.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    fn unreachable(&self, source: BodyError) -> Failure {
        Failure::Unreachable { upstream: self.address.shown.clone(), source }
    }

    fn broke(&self, source: BodyError) -> Failure {
        Failure::UpstreamBroke { upstream: self.address.shown.clone(), source }
    }

    fn late(&self) -> Failure {
        self.timeout(self.first_byte_max, "upstream_first_byte_s")
    }

    fn timeout(&self, given: Duration, limit: &'static str) -> Failure {
        Failure::UpstreamTimeout { upstream: self.address.shown.clone(), seconds: given.as_secs(), limit }
    }
}

// === impl Pool ===

impl Pool {
    fn take(&self) -> Option<SendRequest<Body>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = connections.pop() {
            if since.elapsed() < self.age_max && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, sender: SendRequest<Body>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(sender, since)| since.elapsed() < self.age_max && !sender.is_closed());
        if connections.len() < self.most {
            connections.push((sender, Instant::now()));
        }
    }
}

/// A copy of a request that may be sent twice: an idempotent method (RFC 9110, 9.2.2) without a body.
fn repeatable(req: &Request<Body>) -> Option<Request<Body>> {
    let idempotent = matches!(*req.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    (idempotent && req.body().is_end_stream()).then(|| {
        let mut copy = Request::new(wire::empty());
        copy.method_mut().clone_from(req.method());
        copy.uri_mut().clone_from(req.uri());
        copy.headers_mut().clone_from(req.headers());
        copy
    })
}

/// The system's certificate authorities (`SSL_CERT_FILE` is honoured); Mozilla's where the system has none.
fn client_config() -> Result<ClientConfig, tokio_rustls::rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that this library cannot read is one authority less.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
