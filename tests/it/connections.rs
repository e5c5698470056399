//! Connections before their first request: TLS and the choice of protocol, the PROXY header, and those
//! that never ask anything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use consentry::{
    config::{Config, Limits},
    proxy::listen::{self, Setting, Socket},
    wire,
};
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    },
};

use crate::harness::{Gate, Upstream};

/// Two listeners, plain and TLS, that answer with what is known of the connection.
struct Listeners {
    plain: SocketAddr,
    tls: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

async fn listeners(edit: impl FnOnce(&mut Limits)) -> Listeners {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("defaults")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key fits");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"acme-tls/1".to_vec()];
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let tls = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addresses = (plain.local_addr().expect("an address"), tls.local_addr().expect("an address"));
    let sockets = vec![Socket::plain(plain), Socket { listener: tls, tls: Some(Arc::new(config)), given: false }];
    let mut limits = Limits { drain_s: 2, ..Limits::default() };
    edit(&mut limits);
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(listen::serve(sockets, Setting::direct(&limits), stopping, |req, peer| async move {
        let text = format!("{:?} tls={} {}", req.version(), peer.tls, req.headers()["host"].to_str().unwrap_or_default());
        wire::answer(StatusCode::OK, "text/plain", text)
    }));
    Listeners { plain: addresses.0, tls: addresses.1, certificate: made.cert.der().clone(), stop, running }
}

async fn connect_tls(listeners: &Listeners, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(listeners.certificate.clone()).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("defaults")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let tcp = TcpStream::connect(listeners.tls).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake")
}

/// The negotiated protocol, and what a request in that protocol gets.
async fn ask_tls(listeners: &Listeners, alpn: &[&[u8]]) -> (Option<String>, String) {
    let mut stream = connect_tls(listeners, alpn).await;
    let agreed = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    if agreed.as_deref() == Some("h2") {
        return (agreed, crate::http2::body_over(stream, "https://a.site/").await);
    }
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.site\r\nconnection: close\r\n\r\n").await.ok();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    (agreed, String::from_utf8_lossy(&all).into_owned())
}

#[tokio::test]
async fn tls_agrees_on_a_protocol_and_every_socket_is_served() {
    let listeners = listeners(|_| {}).await;
    let (agreed, body) = ask_tls(&listeners, &[b"h2", b"http/1.1"]).await;
    assert_eq!((agreed.as_deref(), body.as_str()), (Some("h2"), "HTTP/2.0 tls=true a.site"));
    let (agreed, answer) = ask_tls(&listeners, &[b"http/1.1"]).await;
    assert!(agreed.as_deref() == Some("http/1.1") && answer.ends_with("HTTP/1.1 tls=true a.site"), "{answer}");
    let (agreed, answer) = ask_tls(&listeners, &[]).await;
    assert!(agreed.is_none() && answer.ends_with("HTTP/1.1 tls=true a.site"), "{answer}");
    let (agreed, answer) = ask_tls(&listeners, &[b"acme-tls/1"]).await;
    assert_eq!((agreed.as_deref(), answer.as_str()), (Some("acme-tls/1"), ""), "nothing follows that handshake");
    let plain = TcpStream::connect(listeners.plain).await.expect("it listens");
    assert_eq!(crate::http2::body_over(plain, "http://a.site/").await, "HTTP/2.0 tls=false a.site");
    let _ = listeners.stop.send(true);
    listeners.running.await.expect("it ends");
    assert!(TcpStream::connect(listeners.plain).await.is_err() && TcpStream::connect(listeners.tls).await.is_err());
}

#[tokio::test]
async fn who_asks_nothing_is_let_go_in_time() {
    let listeners = listeners(|limits| (limits.handshake_s, limits.head_s) = (1, 1)).await;
    for (address, opening) in [
        (listeners.tls, &b""[..]),
        (listeners.tls, b"\x16\x03\x01\x02"),
        (listeners.tls, b"GET / HTTP/1.1\r\n\r\n"),
        (listeners.plain, b""),
        (listeners.plain, b"PRI * HT"),
        (listeners.plain, b"GET / HTTP/1.1\r\nhost: a"),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(opening).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(4), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{opening:?} still holds its connection");
    }
}

/// Sends pieces with a pause before each, and reads answers until as many have come as `requests`.
async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), pieces: &[&str], requests: usize) {
    for piece in pieces {
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(piece.as_bytes()).await.expect("it is open");
    }
    let (mut answers, mut buffer) = (String::new(), [0; 4096]);
    while answers.matches("a.site").count() < requests {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect("in time");
        let read = read.expect("it is open");
        assert!(read > 0, "{answers}");
        answers.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), requests, "{answers}");
}

#[tokio::test]
async fn who_rests_between_requests_is_served_on_and_let_go_at_a_stop() {
    let listeners = listeners(|limits| limits.drain_s = 30).await;
    let request = "GET / HTTP/1.1\r\nhost: a.site\r\n\r\n";
    let posted = "POST / HTTP/1.1\r\nhost: a.site\r\ncontent-length: 5\r\n\r\n";
    let mut plain = TcpStream::connect(listeners.plain).await.expect("it listens");
    let mut tls = connect_tls(&listeners, &[b"http/1.1"]).await;
    for (pieces, requests) in [
        (vec![request], 1),
        (vec![&request[..9], &request[9..30], &request[30..]], 1),
        (vec![request, &[request, request, &request[..20]].concat(), &request[20..]], 4),
        (vec![&["\r\n", request].concat()], 1),
        (vec![&[posted, "12345"].concat(), request], 2),
    ] {
        converse(&mut plain, &pieces, requests).await;
        converse(&mut tls, &pieces, requests).await;
    }
    // What is no request is refused, however long nothing came before it.
    let mut other = TcpStream::connect(listeners.plain).await.expect("it listens");
    converse(&mut other, &[request], 1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: a.site\r\nhost: b.site\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    other.read_to_end(&mut answer).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));

    tokio::time::sleep(Duration::from_millis(400)).await;
    let _ = listeners.stop.send(true);
    tokio::time::timeout(Duration::from_secs(5), listeners.running).await.expect("at once").expect("it ends");
    for stream in [&mut plain as &mut (dyn AsyncRead + Unpin), &mut tls] {
        // Over TLS an end that is not announced would be an error.
        assert_eq!(stream.read(&mut [0; 16]).await.expect("an end in order"), 0);
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_has_asked_nothing() {
    let listeners = listeners(|limits| limits.drain_s = 30).await;
    let mut idle = Vec::new();
    for opening in [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut stream = TcpStream::connect(listeners.plain).await.expect("it listens");
        stream.write_all(opening).await.expect("sent");
        idle.push(stream);
    }
    idle.push(TcpStream::connect(listeners.tls).await.expect("it listens"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = listeners.stop.send(true);
    // The one that speaks HTTP/2 is told to go and answers no ping.
    drop(idle.remove(2));
    tokio::time::timeout(Duration::from_secs(5), listeners.running).await.expect("at once").expect("it ends");
}

#[tokio::test]
async fn the_proxy_header_counts_from_trusted_proxies_and_nowhere_else() {
    let upstream = Upstream::page("<p>x").await;
    let trusting = |config: &mut Config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        config.proxy_protocol = true;
    };
    let gate = Gate::with(&upstream, trusting).await;
    let ask = format!("GET / HTTP/1.1\r\nhost: {}\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n", gate.address);
    let answer = gate.raw(format!("PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n{ask}").as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("203.0.113.9"), "the visitor's own claims are not believed");

    // The proxy's own health check.
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], ask.as_bytes()].concat();
    assert_eq!(gate.raw(&local).await.status, 200);
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"), "it is the proxy that speaks");

    let before = upstream.got().len();
    for opening in ["", "PROXY TCP4 203.0.113.9\r\n", "PROXY NONSENSE\r\n"] {
        let mut stream = TcpStream::connect(gate.address).await.expect("the gate listens");
        stream.write_all(format!("{opening}{ask}").as_bytes()).await.expect("sent");
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        assert!(all.is_empty(), "{opening}: the connection ends without an answer");
    }
    assert_eq!(upstream.got().len(), before);

    let other = Gate::with(&upstream, |config| {
        trusting(config);
        config.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")];
    })
    .await;
    assert_eq!(other.get("/", &[]).await.status, 200, "who is no proxy needs no header");
    let answer = other.raw(format!("PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n{ask}").as_bytes()).await;
    assert_eq!(answer.status, 400, "and may not send one");
}
