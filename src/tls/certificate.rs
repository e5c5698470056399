//! A certificate with its key, read from PEM and looked at: what it is good for, and until when.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use jiff::Timestamp;
use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    time::ASN1Time,
};

use crate::config::{CertificateFiles, Fault};

/// A certificate chain that fits its key.
#[derive(Debug)]
pub(super) struct Certificate {
    /// For the handshake.
    pub(super) certified: Arc<CertifiedKey>,
    /// Host names and addresses of the subject alternative name, in lower case; a wildcard as `*.example.org`.
    /// The common name does not count (RFC 9525, 2).
    pub(super) names: Vec<String>,
    /// When it begins to hold.
    pub(super) not_before: Timestamp,
    /// When it ends.
    pub(super) not_after: Timestamp,
    /// Key identifier of the authority and serial number as they stand in it, for renewal information (RFC 9773, 4.1).
    pub(super) id: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why a chain and a key are no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// The chain's file.
    #[error("{0}")]
    Chain(String),
    /// The key's file.
    #[error("{0}")]
    Key(String),
    /// The two do not belong together.
    #[error("the key does not fit the certificate")]
    Pair,
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and a key, both PEM.
    pub(super) fn parse(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Self, Unfit> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|error| Unfit::Chain(no_pem(&error)))?;
        let own = chain.first().ok_or_else(|| Unfit::Chain("there is no certificate in it".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => Unfit::Key("there is no private key in it that can be read".to_owned()),
            error => Unfit::Key(no_pem(&error)),
        })?;
        let (_, parsed) = X509Certificate::from_der(own)
            .map_err(|error| Unfit::Chain(format!("its first certificate cannot be read: {error}")))?;
        let (names, authority) = said(&parsed);
        let (not_before, not_after) = (time(parsed.validity.not_before), time(parsed.validity.not_after));
        let id = authority.map(|authority| (authority, parsed.tbs_certificate.raw_serial().to_vec()));
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Unfit::Pair,
            Error::InvalidCertificate(error) => Unfit::Chain(format!("its first certificate cannot be used: {error:?}")),
            error => Unfit::Key(format!("the key cannot be used: {error}")),
        })?;
        Ok(Self { certified: Arc::new(certified), names, not_before, not_after, id })
    }

    /// Reads the files that `consentry.toml` names. Every fault stands where the file is named there.
    pub(super) fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, Vec<Fault>> {
        let of_cert = |message: &str, mend: &str| files.cert_place.fault(format!("{}: {message}", files.cert.display()), mend);
        let of_key = |message: &str, mend: &str| files.key_place.fault(format!("{}: {message}", files.key.display()), mend);
        let (chain, key) = match (fs::read(&files.cert), fs::read(&files.key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let chain = chain.err().map(|error| of_cert(&unreadable(&error), READABLE));
                let key = key.err().map(|error| of_key(&unreadable(&error), READABLE));
                return Err(chain.into_iter().chain(key).collect());
            }
        };
        Self::parse(&chain, &key, provider).map_err(|unfit| {
            vec![match unfit {
                Unfit::Chain(message) => of_cert(&message, "name a PEM file that holds the chain, the server's own certificate first"),
                Unfit::Key(message) => of_key(
                    &message,
                    "name a PEM file with an unencrypted RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519 key; `openssl pkey` takes a passphrase off",
                ),
                Unfit::Pair => of_key(
                    &format!("this key does not belong to the first certificate of {}", files.cert.display()),
                    "name the key the certificate was made for, and put the server's own certificate first in its file",
                ),
            }]
        })
    }

    /// What works and is wrong all the same: a time out of range, a name missing, a key that others can read.
    pub(super) fn doubts(&self, files: &CertificateFiles, now: Timestamp) -> Vec<Fault> {
        let mut doubts = Vec::new();
        let cert = files.cert.display();
        if self.expired(now) {
            let message = format!("{cert}: the certificate expired on {}: browsers refuse it", self.not_after);
            doubts.push(files.cert_place.fault(message, "put a new one in its place; it is picked up within seconds"));
        } else if now < self.not_before {
            let message =
                format!("{cert}: the certificate holds from {} on only: browsers refuse it until then", self.not_before);
            doubts.push(files.cert_place.fault(message, "look at this machine's clock, or put a valid one in its place"));
        }
        if self.names.is_empty() {
            let message = format!("{cert}: the certificate carries no host name: browsers refuse it");
            doubts
                .push(files.cert_place.fault(message, "get one with a subject alternative name; the common name does not count"));
        }
        if fs::metadata(&files.key).is_ok_and(|meta| meta.mode() & 0o007 != 0) {
            let message = format!("{}: every user of this machine may read the key", files.key.display());
            doubts.push(files.key_place.fault(message, format!("chmod o-rwx {}", files.key.display())));
        }
        doubts
    }

    /// Whether its time is over.
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.not_after < now
    }

    /// Whether it is the same certificate as another.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.certified.cert.first() == other.certified.cert.first()
    }

    /// Whether it holds for a host name, by an exact name or a wildcard.
    pub(super) fn covers(&self, host: &str) -> bool {
        let wildcard = wildcard_of(host);
        self.names.iter().any(|name| name == host || wildcard.as_deref() == Some(name))
    }
}

/// The wildcard that covers a host: its first label, and only that, may be any (RFC 9525, 6.3).
pub(super) fn wildcard_of(host: &str) -> Option<String> {
    let (_, parent) = host.split_once('.')?;
    parent.contains('.').then(|| format!("*.{parent}"))
}

const READABLE: &str = "check the path, which is taken from where consentry.toml stands, and who may read it";

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "the file is not there".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

fn no_pem(error: &pem::Error) -> String {
    format!("it is no PEM file: {error}")
}

/// Names and the authority's key identifier.
fn said(certificate: &X509Certificate<'_>) -> (Vec<String>, Option<Vec<u8>>) {
    let (mut names, mut authority) = (Vec::new(), None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternative) => {
                names.extend(alternative.general_names.iter().filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
                    GeneralName::IPAddress(bytes) => address(bytes),
                    _ => None,
                }));
            }
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                authority = identifier.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
            _ => {}
        }
    }
    (names, authority)
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from)).ok().map(|address| address.to_string())
}

/// A time out of range is the nearest in range: such certificates never hold or never end.
fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(if time.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
