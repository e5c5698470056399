//! The way to the authority: HTTPS with a time limit and a bound for every answer, and the
//! authority's own word on when to come back.

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::CryptoProvider,
        pki_types::{CertificateDer, ServerName, pem, pem::PemObject as _},
    },
};

use crate::wire::BodyError;

/// For one request to the authority, from the connection to the answer's end.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Certificate chains are a few thousand bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client that trusts the system's roots and those of a file.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    /// When the authority wants to be asked again, from its last refusal.
    not_before: Arc<Mutex<Option<Timestamp>>>,
}

impl Client {
    /// `roots` are trusted beside the system's.
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, tokio_rustls::rustls::Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        store.add_parsable_certificates(roots);
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(store).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), not_before: Arc::default() })
    }

    /// When the authority wants to be asked again, if it said so since the last call.
    pub(super) fn take_not_before(&self) -> Option<Timestamp> {
        self.not_before.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(self, mut req: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, BodyError> {
        let uri = req.uri().clone();
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or("the authority names an address that is not https")?;
        let host = authority.host().trim_matches(['[', ']']);
        let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
        let tls = self.connector.connect(ServerName::try_from(host.to_owned())?, tcp).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        let running = tokio::spawn(connection);
        req.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
        *req.uri_mut() = uri.path_and_query().map_or("/", |target| target.as_str()).parse::<Uri>()?;
        let (head, body) = sender.send_request(req).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        running.abort();
        if matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) =
                head.headers.get(header::RETRY_AFTER).and_then(retry_after);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

impl HttpClient for Client {
    fn request(&self, req: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        let shown = req.uri().to_string();
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_MAX, client.exchange(req)).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs()).into()));
            answer.map(BytesResponse::from).map_err(|error| Error::Other(format!("{shown}: {error}").into()))
        })
    }
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.to_str().ok()?.trim();
    let time = match text.parse::<u32>() {
        Ok(seconds) => std::time::SystemTime::now() + Duration::from_secs(seconds.into()),
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    Timestamp::try_from(time).ok()
}

/// The certificates of a file of roots; else what is wrong with it.
pub(super) fn roots(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("the file cannot be read: {error}"))?;
    let roots: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match roots {
        Ok(roots) if roots.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(roots) => Ok(roots),
        Err(error) => Err(format!("it is no PEM file: {error}")),
    }
}
