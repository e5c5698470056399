//! Certificates made while a test runs, and clients that look at what a server shows.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use consentry::config::{Config, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        version::{TLS12, TLS13},
    },
};

use crate::harness::Answer;

/// An authority of a test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A chain and its key, both PEM.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "An authority of a test");
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a root") }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 2030)
    }

    /// Good from 2020 to the beginning of `year`.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        self.issue_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        })
    }

    /// As an authority for browsers would issue it: for some days, for servers, with where to ask about it.
    pub(crate) fn issue_for_days(&self, names: &[&str], days: u64) -> Issued {
        self.issue_with(names, |params| {
            let now = std::time::SystemTime::now();
            let day = std::time::Duration::from_secs(86_400);
            params.not_before = (now - day).into();
            params.not_after = (now + day * u32::try_from(days).expect("a few days")).into();
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            params.distinguished_name.push(DnType::CommonName, names[0]);
            params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec!["http://127.0.0.1:9/crl".to_owned()] }];
        })
    }

    fn issue_with(&self, names: &[&str], say: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        say(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { cert: format!("{}{}", cert.pem(), self.pem()), key: key.serialize_pem() }
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) {
        fs::write(dir.join(format!("{name}.pem")), &self.cert).expect("a file");
        let key = dir.join(format!("{name}.key"));
        fs::write(&key, &self.key).expect("a file");
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        use tokio_rustls::rustls::pki_types::pem::PemObject as _;
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate")
    }
}

/// `[tls]` as `consentry.toml` in `dir` would say it, on a port of its own.
pub(crate) fn settings(dir: &Path, text: &str) -> TlsConfig {
    let text = format!("[tls]\nlisten = \"127.0.0.1:0\"\n{text}");
    let (config, faults, _) = Config::read("consentry.toml", &text);
    assert!(faults.is_empty(), "{faults:?}");
    let mut tls = config.tls.expect("[tls] is there");
    tls.lie_beside(dir);
    tls
}

/// A client that takes every certificate and lets the test look at it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) config: ClientConfig,
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

impl Client {
    pub(crate) fn new(versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.expect("good versions").dangerous();
        let mut config = builder.with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { config }
    }

    /// Shakes hands; `name` may be an address: then no host is named.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, tcp).await
    }

    /// The certificate that is shown for a name.
    pub(crate) async fn shown(&self, address: SocketAddr, name: &str) -> Option<CertificateDer<'static>> {
        let stream = self.connect(address, name).await.ok()?;
        let certificates = stream.get_ref().1.peer_certificates().expect("a server shows a certificate");
        Some(certificates[0].clone().into_owned())
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, address: SocketAddr, host: &str, request: &str) -> Answer {
        let mut stream = self.connect(address, host).await.expect("a handshake");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = Vec::new();
        // A server that ends without close_notify is found by the length of the body.
        let _ = stream.read_to_end(&mut answer).await;
        Answer::parse(&answer)
    }

    pub(crate) async fn get(&self, address: SocketAddr, host: &str, path: &str, lines: &str) -> Answer {
        self.send(address, host, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}connection: close\r\n\r\n")).await
    }
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
