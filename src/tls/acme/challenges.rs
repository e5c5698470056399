//! Answers to an authority's challenges, while an order is under way: a text on plain HTTP
//! (RFC 8555, 8.3), or a certificate shown to one protocol only (RFC 8737).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::{
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

/// The protocol of a challenge over TLS (RFC 8737, 6.2).
pub(in crate::tls) const ALPN: &[u8] = b"acme-tls/1";

/// Below it an authority looks for its answer (RFC 8555, 8.3).
pub(in crate::tls) const PATH: &str = "/.well-known/acme-challenge/";

/// Answers by host name.
#[derive(Debug, Default)]
pub(in crate::tls) struct Challenges {
    /// Host and token -> key authorization.
    texts: RwLock<HashMap<(String, String), String>>,
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The text for a request over plain HTTP, if it asks for one of ours.
    pub(in crate::tls) fn answer(&self, host: &str, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        let texts = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.get(&(host.to_owned(), token.to_owned())).cloned()
    }

    /// The certificate for a handshake with [`ALPN`].
    pub(in crate::tls) fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// Answers over plain HTTP until the returned proof is dropped.
    pub(super) fn answer_with(&self, host: &str, token: &str, text: &str) -> Proof<'_> {
        let key = (host.to_owned(), token.to_owned());
        self.texts.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), text.to_owned());
        Proof { challenges: self, host: key.0, token: Some(key.1) }
    }

    /// Shows a certificate that carries `digest`, the SHA-256 of the key authorization, until the returned proof is dropped.
    pub(super) fn show(&self, host: &str, digest: &[u8], provider: &CryptoProvider) -> Result<Proof<'_>, ShowError> {
        let certified = self_signed(host, digest, provider)?;
        self.certificates.write().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), Arc::new(certified));
        Ok(Proof { challenges: self, host: host.to_owned(), token: None })
    }
}

/// Why no certificate could be made for a challenge.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShowError {
    #[error("the challenge's certificate cannot be made")]
    Made(#[from] rcgen::Error),
    #[error("the challenge's certificate cannot be used")]
    Used(#[from] tokio_rustls::rustls::Error),
}

/// Self-signed, with the host as its only name and the digest in a critical extension (RFC 8737, 3).
fn self_signed(host: &str, digest: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, ShowError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not checked against its key: the check knows no certificate with this critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], provider.key_provider.load_private_key(key)?))
}

/// An answer that is there as long as this is.
pub(super) struct Proof<'c> {
    challenges: &'c Challenges,
    host: String,
    token: Option<String>,
}

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        let host = std::mem::take(&mut self.host);
        match self.token.take() {
            Some(token) => drop(self.challenges.texts.write().unwrap_or_else(PoisonError::into_inner).remove(&(host, token))),
            None => drop(self.challenges.certificates.write().unwrap_or_else(PoisonError::into_inner).remove(&host)),
        }
    }
}
