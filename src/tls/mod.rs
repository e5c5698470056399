//! TLS towards visitors: which certificate a name gets, certificates that are renewed in files or
//! by ACME (RFC 8555), and what plain HTTP is for beside it.
//!
//! The rules of choice, as users of other servers know them: an exact name goes before a wildcard;
//! a client that names no host, or one that no certificate covers, gets the first certificate of
//! `consentry.toml` (the second kind is refused with `strict_sni`); a name whose certificate is
//! still to be issued is refused. Files go before ACME.
//!
//! Protocols and suites are rustls's own choice: TLS 1.2 and 1.3, forward secrecy and AEAD only.
//! There is no OCSP stapling: the large authorities have stopped answering OCSP.

mod acme;
mod certificate;
mod front;
mod resolver;
#[cfg(test)]
mod tests;
mod watch;

pub use front::REDIRECT;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use jiff::Timestamp;
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection,
    crypto::{CryptoProvider, ring},
};
use tracing::{error, info, warn};

use self::{certificate::Certificate, resolver::Resolver, watch::Watched};
use crate::config::{Fault, Limits, TlsConfig};

/// Why TLS cannot be set up although every file is in order.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Files are at fault: each fault says where it stands and how to mend it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up")]
    Library(#[from] tokio_rustls::rustls::Error),
    /// What ACME keeps cannot be read or written.
    #[error("{file} cannot be used: check who may read and write it")]
    Store {
        /// The file or folder.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The certificates in force and everything that renews them. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    server: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    held: Mutex<Held>,
    acme: Option<acme::Acme>,
}

/// The certificates by where they come from.
struct Held {
    files: Vec<Arc<Certificate>>,
    issued: BTreeMap<String, Arc<Certificate>>,
    watched: Watched,
}

/// How often certificate files are looked at; a change is taken up once it has stood still for one look.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Reads and judges what `[tls]` names, and starts nothing. `hosts` are the names that the sites answer to.
/// Returns the faults and the warnings.
pub fn check(config: &TlsConfig, hosts: &[String]) -> (Vec<Fault>, Vec<Fault>) {
    let (files, mut faults, mut warnings) = read(config, &ring::default_provider());
    if let Some(acme) = &config.acme {
        faults.extend(acme::faults(acme, hosts));
    }
    warnings.extend(uncovered(config, &files, hosts));
    (faults, warnings)
}

impl Tls {
    /// Reads the certificates and what ACME has stored below `data`. Returns warnings beside it.
    pub fn open(config: TlsConfig, hosts: &[String], data: &Path, limits: &Limits) -> Result<(Self, Vec<Fault>), TlsError> {
        let provider = Arc::new(ring::default_provider());
        // Before the reading: an edit in between is seen as a change.
        let watched = Watched::new(&config.certificates);
        let (files, mut faults, mut warnings) = read(&config, &provider);
        if let Some(acme) = &config.acme {
            faults.extend(acme::faults(acme, hosts));
        }
        if !faults.is_empty() {
            return Err(TlsError::Faults(faults));
        }
        warnings.extend(uncovered(&config, &files, hosts));
        let acme = config.acme.clone().map(|acme| acme::Acme::open(acme, hosts, data, limits)).transpose()?;
        let issued = acme.as_ref().map(|acme| acme.stored(&provider)).unwrap_or_default();
        let challenges = acme.as_ref().map(acme::Acme::challenges).unwrap_or_default();
        let resolver = Arc::new(Resolver { table: ArcSwap::default(), challenges });
        let server = server_config(&provider, Arc::clone(&resolver), acme.is_some())?;
        let held = Mutex::new(Held { files, issued, watched });
        let tls = Self { shared: Arc::new(Shared { config, provider, server: Arc::new(server), resolver, held, acme }) };
        tls.publish(&tls.held());
        Ok((tls, warnings))
    }

    /// For the TLS listener: ALPN `h2` and `http/1.1`, session tickets, a certificate by name. It stays the
    /// same for good; reloaded and renewed certificates show through it.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.server)
    }

    /// Whether a handshake was an authority's proof of a name: nothing follows it, close (RFC 8737, 3).
    pub fn is_alpn_challenge(connection: &ServerConnection) -> bool {
        connection.alpn_protocol() == Some(acme::ALPN)
    }

    /// The answer to an authority's challenge over plain HTTP, if it is one of ours. `host` is the request's
    /// host name without port. Others belong to the site behind.
    pub fn challenge(&self, host: &str, path: &str) -> Option<String> {
        self.shared.resolver.challenges.answer(host, path)
    }

    /// The value of `Strict-Transport-Security`, for answers over TLS.
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.shared.config.hsts.as_ref()
    }

    /// Looks at the certificate files once. `Ok(true)`: changed ones are in force. A change is read only when
    /// it has stood still between two looks; with faults the certificates in force stay, and each faulty
    /// state is told once.
    pub fn reload(&self) -> Result<bool, Vec<Fault>> {
        let shared = &self.shared;
        if !self.held().watched.changed(&shared.config.certificates) {
            return Ok(false);
        }
        let (files, mut faults, warnings) = read(&shared.config, &shared.provider);
        let mut held = self.held();
        if faults.is_empty() {
            faults = outlived(&shared.config, &files, &held.files);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let same = files.len() == held.files.len() && files.iter().zip(&held.files).all(|(new, old)| new.is(old));
        held.files = files;
        self.publish(&held);
        Ok(!same)
    }

    /// Reloads files and renews by ACME until `stop` turns true.
    pub async fn run(self, stop: tokio::sync::watch::Receiver<bool>) {
        let renewing = async {
            if let Some(acme) = &self.shared.acme {
                acme.run(&self, stop.clone()).await;
            }
        };
        tokio::join!(self.watch_files(stop.clone()), renewing);
    }

    async fn watch_files(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        if self.shared.config.certificates.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match self.reload() {
                Ok(true) => info!("changed certificates are in force"),
                Ok(false) => {}
                Err(faults) => {
                    faults.iter().for_each(|fault| error!("{fault}"));
                    error!(faults = faults.len(), "the changed certificates are at fault: those in force stay");
                }
            }
        }
    }

    /// What was issued for a name, if anything.
    fn issued(&self, name: &str) -> Option<Arc<Certificate>> {
        self.held().issued.get(name).cloned()
    }

    /// Puts a certificate that was issued in force.
    fn put_issued(&self, name: &str, certificate: Certificate) {
        let mut held = self.held();
        held.issued.insert(name.to_owned(), Arc::new(certificate));
        self.publish(&held);
    }

    fn publish(&self, held: &Held) {
        let shared = &self.shared;
        // In the order of their names in the file: the first is the one for clients that name no host.
        let names = shared.acme.iter().flat_map(|acme| acme.names().iter());
        let issued = names.clone().filter_map(|name| held.issued.get(name));
        let table = resolver::Table::new(held.files.iter().chain(issued), names.cloned(), shared.config.strict_sni);
        shared.resolver.table.store(Arc::new(table));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    acme: bool,
) -> Result<ServerConfig, tokio_rustls::rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let mut server = builder.with_no_client_auth().with_cert_resolver(resolver);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if acme {
        server.alpn_protocols.push(acme::ALPN.to_vec());
    }
    // Of the suites that both know, the first of rustls's own order: every one is good, and scanners ask for an order.
    server.ignore_client_order = true;
    // Keys live in memory only and change every six hours: a ticket is good for twelve at most.
    server.ticketer = ring::Ticketer::new()?;
    Ok(server)
}

/// Every certificate file, with faults and doubts.
fn read(config: &TlsConfig, provider: &CryptoProvider) -> (Vec<Arc<Certificate>>, Vec<Fault>, Vec<Fault>) {
    let (mut read, mut faults, mut doubts) = (Vec::new(), Vec::new(), Vec::new());
    for files in &config.certificates {
        match Certificate::read(files, provider) {
            Ok(certificate) => {
                doubts.extend(certificate.doubts(files, Timestamp::now()));
                read.push(Arc::new(certificate));
            }
            Err(mut found) => faults.append(&mut found),
        }
    }
    (read, faults, doubts)
}

/// New certificates that are over already where the one in force still holds: a swap would only do harm.
fn outlived(config: &TlsConfig, new: &[Arc<Certificate>], old: &[Arc<Certificate>]) -> Vec<Fault> {
    let now = Timestamp::now();
    let pairs = new.iter().zip(old).zip(&config.certificates);
    pairs
        .filter(|((new, old), _)| new.expired(now) && !old.expired(now))
        .map(|((new, _), files)| {
            let message =
                format!("{}: the certificate expired on {}, the one in force still holds", files.cert.display(), new.not_after);
            files.cert_place.fault(message, "put a valid one in its place")
        })
        .collect()
}

/// Warnings of host names that no certificate covers and none is ordered for.
fn uncovered(config: &TlsConfig, files: &[Arc<Certificate>], hosts: &[String]) -> Vec<Fault> {
    let ordered = |host: &String| config.acme.as_ref().is_some_and(|acme| acme.names.is_empty() || acme.names.contains(host));
    let bare = hosts.iter().filter(|host| !ordered(host) && !files.iter().any(|certificate| certificate.covers(host)));
    bare.map(|host| {
        let message = format!("no certificate covers `{host}`: browsers refuse it over https");
        config.place.fault(message, "add [[tls.certificate]] with its files, or the name to [tls.acme] names")
    })
    .collect()
}
