//! One connection: the PROXY header, the TLS handshake, which HTTP it speaks, and that until its end.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tracing::debug;

use super::{
    Setting,
    clients::Admission,
    downgrade,
    drain::Held,
    http2,
    pace::{Over, Pace},
    parked::Shared,
    proxy_protocol,
    strict::Strict,
    transport::{Raw, Rewound, Transport},
    write_idle::WriteIdle,
};
use crate::{
    config::Limits,
    site::Peer,
    wire::{self, Body},
};

/// The protocol of a certificate authority's own handshake (RFC 8737, 3): nothing follows it.
const ALPN_CHALLENGE: &[u8] = b"acme-tls/1";

/// A connection that was told to go gets this long to do so.
const GOODBYE: Duration = Duration::from_secs(5);

/// The HTTP that a connection speaks.
enum Spoken {
    Http1,
    Http2,
}

/// A connection that is ready for its first request.
struct Opened {
    transport: Transport,
    spoken: Spoken,
    peer: Peer,
    admission: Admission,
}

/// What all connections of some listeners share.
pub(super) struct Server<H> {
    setting: Setting,
    http1: http1::Builder,
    handle: H,
}

impl<H, F> Server<H>
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    pub(super) fn new(setting: Setting, handle: H) -> Self {
        let limits = &setting.limits;
        let mut http1 = http1::Builder::new();
        // The bounds of a head, and its time, are `Strict`'s; hyper has room for what that lets through.
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes as usize + 8_192)
            .max_headers(limits.head_lines as usize);
        Self { setting, http1, handle }
    }

    /// Serves one connection to its end.
    pub(super) async fn connection(&self, tcp: TcpStream, address: SocketAddr, tls: Option<Arc<ServerConfig>>, held: Held) {
        // Best effort: a socket without it works, only slower.
        let _ = tcp.set_nodelay(true);
        let _open = self.setting.metrics.as_ref().map(|metrics| metrics.connection());
        let raw = Rewound::new(WriteIdle::new(tcp, Limits::seconds(self.setting.limits.write_idle_s)));
        let opened = tokio::select! {
            // Boxed, as HTTP/2 is: the task of a plain connection that stands still has no room for a handshake.
            opened = Box::pin(self.open(raw, address, tls)) => opened,
            // Nothing was asked yet.
            () = held.draining() => return,
        };
        match opened {
            Ok(Some(Opened { transport, spoken, peer, admission })) => {
                let held = held.admitted(admission);
                match spoken {
                    Spoken::Http1 => self.http1(transport, peer, held).await,
                    Spoken::Http2 => Box::pin(self.http2(transport, peer, held)).await,
                }
            }
            Ok(None) => {}
            Err(error) => debug!(%error, "a connection ended before its first request"),
        }
    }

    /// Everything before the first request; `None` where none will come.
    async fn open(&self, mut raw: Raw, address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Option<Opened>> {
        let limits = &self.setting.limits;
        let mut peer = Peer { address, tls: tls.is_some() };
        if self.setting.proxies.iter().any(|network| network.contains(&peer.ip())) {
            let proxied = within(limits.handshake_s, proxy_protocol::read(&mut raw)).await?;
            peer.address = proxied.address.unwrap_or(address);
            peer.tls |= proxied.tls;
        }
        let Some(admission) = self.setting.clients.admit(peer.ip()) else {
            debug!("a client has too many connections ([limits] connections_per_client)");
            self.setting.metrics.iter().for_each(|metrics| metrics.limit_hit("connections_per_client"));
            return Ok(None);
        };
        let Some(config) = tls else {
            let http2 = within(limits.head_s, raw.begins_http2()).await?;
            let spoken = if http2 { Spoken::Http2 } else { Spoken::Http1 };
            return Ok(Some(Opened { transport: Transport::Plain(raw), spoken, peer, admission }));
        };
        let mut tls = within(limits.handshake_s, TlsAcceptor::from(config).accept(raw)).await?;
        let spoken = match tls.get_ref().1.alpn_protocol() {
            Some(b"h2") => Spoken::Http2,
            Some(ALPN_CHALLENGE) => {
                let _ = tls.shutdown().await;
                return Ok(None);
            }
            _ => Spoken::Http1,
        };
        Ok(Some(Opened { transport: Transport::Tls(Box::new(tls)), spoken, peer, admission }))
    }

    async fn http1(&self, transport: Transport, peer: Peer, held: Held) {
        let (handle, place) = (self.handle.clone(), held.clone());
        let (transport, strict) = Strict::new(transport, &self.setting.limits);
        let service = service_fn(move |mut req: Request<Incoming>| {
            // Only a request that asks for another protocol can outlive the connection.
            if req.headers().contains_key(header::UPGRADE) {
                req.extensions_mut().insert(place.clone());
            }
            let handle = handle.clone();
            let answer = strict.clone().answer(move || handle(req, peer));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut transport = Shared::new(transport);
        loop {
            // Parked: nothing is under way.
            let goes_on = tokio::select! {
                () = transport.moves() => true,
                () = held.draining() => false,
            };
            if !goes_on {
                tokio::select! {
                    _ = transport.shutdown() => {}
                    () = held.cut() => {}
                }
                return;
            }
            // In a box: a parked connection keeps no room for it.
            let mut parser = Box::pin(self.http1.serve_connection(TokioIo::new(transport.clone()), &service).with_upgrades());
            let mut closing = false;
            loop {
                tokio::select! {
                    // In this order: whether it stands still is known once the parser has read.
                    biased;
                    ended = parser.as_mut() => {
                        if let Err(error) = ended {
                            debug!(%error, "a connection broke off");
                        }
                        return;
                    }
                    () = transport.stands_still(), if !closing => break,
                    () = held.draining(), if !closing => {
                        parser.as_mut().graceful_shutdown();
                        closing = true;
                    }
                    () = held.cut() => return,
                }
            }
        }
    }

    async fn http2(&self, transport: Transport, peer: Peer, held: Held) {
        let limits = &self.setting.limits;
        let pace = Pace::new(limits);
        let (handle, lines_max) = (self.handle.clone(), limits.head_lines as usize);
        let service = service_fn(move |mut req: Request<Incoming>| {
            let handle = handle.clone();
            async move {
                let (stream, method) = (http2::stream(), req.method().clone());
                let resp = match downgrade::request(&mut req, lines_max) {
                    Ok(()) => Box::pin(handle(req, peer)).await,
                    Err(status) => refusal(status),
                };
                Ok::<_, Infallible>(downgrade::response(&method, resp).map(|body| stream.watch(body)))
            }
        });
        let connection = http2::builder(limits, &pace).serve_connection(TokioIo::new(transport), service);
        tokio::pin!(connection);
        let (mut closing, mut leaving) = (false, false);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = held.draining(), if !closing => {
                    connection.as_mut().graceful_shutdown();
                    closing = true;
                }
                () = held.cut() => return,
                over = pace.over(), if !leaving => {
                    debug!(?over, "a connection is given up");
                    if over != Over::Idle {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    (closing, leaving) = (true, true);
                }
                // A request that was under way when the client was told to go is still answered.
                () = tokio::time::sleep(GOODBYE), if leaving => if pace.is_empty() {
                    return;
                },
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke off");
        }
    }
}

/// An answer without a page, for a request that no browser sends.
fn refusal(status: StatusCode) -> Response<Body> {
    let mut resp = Response::new(wire::empty());
    *resp.status_mut() = status;
    resp
}

async fn within<T>(seconds: u64, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(Limits::seconds(seconds), step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
