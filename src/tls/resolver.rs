//! Which certificate a handshake gets. The table is built whole and swapped whole: a handshake sees
//! one table, an open connection keeps what it has.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    acme::{ALPN, Challenges},
    certificate::{Certificate, wildcard_of},
};

/// Certificates by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Host name or wildcard -> its certificates, the preferred first: one name may have an ECDSA and an RSA key.
    names: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that name no host, and, unless that is refused, for names without a fit.
    first: Vec<Arc<CertifiedKey>>,
    /// Names whose certificate is still to be issued: no other is shown for them.
    awaited: HashSet<String>,
    strict: bool,
}

impl Table {
    /// `certificates` in their order of preference; `strict` refuses names that none of them covers.
    pub(super) fn new<'c>(
        certificates: impl Iterator<Item = &'c Arc<Certificate>>,
        awaited: impl Iterator<Item = String>,
        strict: bool,
    ) -> Self {
        let mut table = Self { awaited: awaited.collect(), strict, ..Self::default() };
        let mut of_first: Option<&[String]> = None;
        for certificate in certificates {
            for name in &certificate.names {
                table.names.entry(name.clone()).or_default().push(Arc::clone(&certificate.certified));
            }
            if *of_first.get_or_insert(&certificate.names) == certificate.names {
                table.first.push(Arc::clone(&certificate.certified));
            }
        }
        table.awaited.retain(|name| !table.names.contains_key(name));
        table
    }

    /// Whether a certificate covers a host name.
    pub(super) fn covers(&self, host: &str) -> bool {
        !self.of(host).is_empty()
    }

    /// Exact name, then wildcard.
    fn of(&self, host: &str) -> &[Arc<CertifiedKey>] {
        let exact = self.names.get(host);
        exact.or_else(|| self.names.get(&wildcard_of(host)?)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn choose(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(host) = host else { return &self.first };
        match self.of(host) {
            [] if self.strict || self.awaited.contains(host) => &[],
            [] => &self.first,
            found => found,
        }
    }
}

/// Shows the certificate of the table in force, or the one that proves a name to an authority.
#[derive(Debug)]
pub(super) struct Resolver {
    /// The table in force.
    pub(super) table: ArcSwap<Table>,
    /// Names being proven.
    pub(super) challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        // The authority's client offers this protocol and no other (RFC 8737, 3); nobody else gets that certificate.
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ALPN) && protocols.next().is_none() {
            return self.challenges.certificate(&host?);
        }
        let table = self.table.load();
        let fitting = table.choose(host.as_deref());
        // rustls ends the handshake with an alert where there is none.
        fitting.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some()).or(fitting.first()).cloned()
    }
}
