//! One connection to one server of the site behind: TCP, verified TLS under its own name, HTTP/1.1.
//! What is open, and what was read, is counted where the bytes go through.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use url::Url;

use super::UpstreamFault;
use crate::{
    proxy::silence::Clock,
    wire::{Body, BodyError},
};

/// What a connection needs to know of its server.
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    head_bytes_max: usize,
    head_lines_max: usize,
}

/// An open connection that takes one request at a time.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    /// For what is waited for on it, one request after the other.
    pub(super) clock: Clock,
    read: Arc<AtomicU64>,
}

impl Connection {
    /// How many bytes came from the server so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// One more of something, until it is dropped.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connector {
    /// Prepares for an address of scheme, host and port; opens nothing. `ca_pem` has authorities beside the system's.
    pub(super) fn new(
        url: &Url,
        head_bytes_max: usize,
        head_lines_max: usize,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, UpstreamFault> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|_| UpstreamFault::Name(host.clone()))?;
                Some((TlsConnector::from(Arc::new(client_config(ca_pem)?)), name))
            }
            _ => None,
        };
        Ok(Self { host, port: url.port_or_known_default().unwrap_or(80), tls, head_bytes_max, head_lines_max })
    }

    /// Opens a connection. `counted` lives as long as its socket, tunnels included.
    pub(super) async fn open(&self, counted: Vec<Counted>) -> Result<Connection, BodyError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Best effort: a socket without it works, only slower.
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => self.handshake(tcp, counted).await,
            Some((connector, name)) => self.handshake(connector.connect(name.clone(), tcp).await?, counted).await,
        }
    }

    async fn handshake<S>(&self, stream: S, counted: Vec<Counted>) -> Result<Connection, BodyError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let read = Arc::new(AtomicU64::new(0));
        let socket = Socket { stream, read: Arc::clone(&read), _counted: counted };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.head_bytes_max).max_headers(self.head_lines_max);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        tokio::spawn(async move {
            // How a connection ends is told by the exchange that was on it.
            let _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, clock: Clock::default(), read })
    }
}

/// A stream that counts what is read.
struct Socket<S> {
    stream: S,
    read: Arc<AtomicU64>,
    _counted: Vec<Counted>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let more = buf.filled().len() - before;
        if more > 0 {
            self.read.fetch_add(more as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamFault> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    list.ok().filter(|list| !list.is_empty()).ok_or(UpstreamFault::Authority)
}

fn client_config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, UpstreamFault> {
    let mut roots = system_roots().clone();
    for certificate in ca_pem.map(authorities).transpose()?.into_iter().flatten() {
        roots.add(certificate).map_err(|_| UpstreamFault::Authority)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The system's certificate authorities (`SSL_CERT_FILE` is honoured); Mozilla's where the system has
/// none. Read once: a reload of many sites must not read hundreds of files for each.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that this library cannot read is one authority less.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots
    })
}
