//! Certificates from an authority by ACME (RFC 8555): one for each name, so that a name whose
//! address is not right yet keeps no other waiting. Orders are made one after another.

mod challenges;
mod client;
mod order;
mod schedule;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use instant_acme::{Account, AccountCredentials, CertificateIdentifier, Error, NewAccount};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tracing::{debug, info, warn};

pub(super) use self::challenges::{ALPN, Challenges, PATH};
use self::{
    client::Client,
    order::{OrderError, Wanted},
    schedule::Plan,
    store::Store,
};
use super::{Tls, TlsError, certificate::Certificate};
use crate::{
    config::{AcmeConfig, Fault, Limits},
    wire::Causes,
};

/// A whole order may take this long; the authority's polls have bounds of their own.
const ORDER_MAX: Duration = Duration::from_secs(300);
/// The longest sleep: the clock may be set meanwhile, or the machine be suspended.
const SLEEP_MAX: Duration = Duration::from_secs(600);

/// An authority, and the names it issues for.
pub(super) struct Acme {
    config: AcmeConfig,
    names: Vec<String>,
    store: Store,
    client: Client,
    challenges: Arc<Challenges>,
    provider: Arc<CryptoProvider>,
    retry_ms: i64,
}

/// What is wrong with `[tls.acme]` beyond its syntax.
pub(super) fn faults(config: &AcmeConfig, hosts: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if names(config, hosts).is_empty() {
        let mend = "add `names = [\"www.example.org\"]` under [tls.acme]";
        faults.push(config.place.fault("no name to get a certificate for", mend));
    }
    if let Some(file) = &config.ca
        && let Err(message) = client::roots(file)
    {
        let mend = "name the PEM file of the root that the authority's own server is trusted by";
        faults.push(config.place.fault(format!("ca = \"{}\": {message}", file.display()), mend));
    }
    faults
}

/// The names of the configuration, else those of the sites that an authority can prove by coming here.
fn names(config: &AcmeConfig, hosts: &[String]) -> Vec<String> {
    if !config.names.is_empty() {
        return config.names.clone();
    }
    let provable = |host: &&String| !host.contains('*') && host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    hosts.iter().filter(provable).cloned().collect()
}

impl Acme {
    /// Opens what is stored; asks nobody yet. The configuration has no [`faults`].
    pub(super) fn open(config: AcmeConfig, hosts: &[String], data: &Path, limits: &Limits) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = config.ca.as_deref().map(client::roots).and_then(Result::ok).unwrap_or_default();
        let client = Client::new(roots, Arc::clone(&provider))?;
        let store = Store::open(data, &config.directory)?;
        let names = names(&config, hosts);
        let retry_ms = i64::try_from(limits.acme_retry_s).unwrap_or(86_400) * 1000;
        Ok(Self { config, names, store, client, challenges: Arc::default(), provider, retry_ms })
    }

    /// The names that certificates are ordered for, in their order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What handshakes and plain requests look into.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// The certificates that were issued before. One that cannot be used is told, and ordered anew.
    pub(super) fn stored(&self, provider: &CryptoProvider) -> BTreeMap<String, Arc<Certificate>> {
        let mut stored = BTreeMap::new();
        for name in &self.names {
            let file = self.store.file(&format!("{name}.pem"));
            match self.store.certificate(name) {
                Ok(None) => {}
                Ok(Some(pem)) => match Certificate::parse(&pem, &pem, provider) {
                    Ok(certificate) if certificate.covers(name) => drop(stored.insert(name.clone(), Arc::new(certificate))),
                    Ok(_) => warn!("{}: the certificate is for another name; a new one is ordered", file.display()),
                    Err(error) => warn!("{}: {error}; a new one is ordered", file.display()),
                },
                Err(error) => warn!("{}: the certificate cannot be read: {error}; a new one is ordered", file.display()),
            }
        }
        stored
    }

    /// Orders and renews until `stop` turns true.
    pub(super) async fn run(&self, tls: &Tls, mut stop: watch::Receiver<bool>) {
        let now = Timestamp::now();
        let plan =
            |name: &String| Plan::begin(self.retry_ms, self.store.attempts(name), tls.issued(name).as_deref(), now, random());
        let mut plans: Vec<Plan> = self.names.iter().map(plan).collect();
        let mut account = None;
        while let Some((name, plan)) = self.names.iter().zip(&mut plans).min_by_key(|(_, plan)| plan.wake_ms()) {
            let turn = async {
                sleep_until(plan.wake_ms()).await;
                match tls.issued(name) {
                    Some(held) if !plan.is_due(Timestamp::now()) => self.ask(&mut account, &held, name, plan).await,
                    held => self.renew(tls, &mut account, held.as_deref(), name, plan).await,
                }
            };
            tokio::select! {
                () = turn => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Orders a certificate and puts it in force, or plans the next try.
    async fn renew(&self, tls: &Tls, account: &mut Option<Account>, held: Option<&Certificate>, name: &str, plan: &mut Plan) {
        plan.order_begins(Timestamp::now());
        let kind = self.config.challenges[plan.attempts.failures as usize % self.config.challenges.len()];
        debug!(name, challenge = order::told(kind), "ordering a certificate");
        // After a failure without the word on what it replaces: the authority may have refused just that.
        let replaces = held.filter(|_| plan.attempts.failures == 0).and_then(identifier);
        let ordered = tokio::time::timeout(ORDER_MAX, self.order(account, Wanted { name, kind, replaces })).await;
        match ordered.unwrap_or(Err(OrderError::Late)) {
            Ok(certificate) => {
                plan.succeeded(&certificate, Timestamp::now(), random());
                info!(name, until = %certificate.not_after, renewal = %plan.due(), "a certificate was issued");
                tls.put_issued(name, certificate);
            }
            Err(error) => {
                *account = None;
                if error.is_unknown_account() {
                    warn!("the authority does not know this account any more; the next order makes a new one");
                    let _ = self.store.forget_account();
                }
                plan.failed(Timestamp::now(), self.client.take_not_before(), random());
                warn!(name, failures = plan.attempts.failures, again = %plan.due(), "no certificate was issued: {}", Causes(&error));
            }
        }
        if let Err(error) = self.store.put_attempts(name, &plan.attempts) {
            warn!("{}: {error}", self.store.file(name).display());
        }
    }

    async fn order(&self, account: &mut Option<Account>, wanted: Wanted<'_>) -> Result<Certificate, OrderError> {
        let name = wanted.name.to_owned();
        let account = self.account(account).await?;
        let mut ordered = order::obtain(account, &wanted, &self.challenges, &self.provider).await;
        if wanted.replaces.is_some() && matches!(ordered, Err(OrderError::Authority(Error::Unsupported(_)))) {
            let plain = Wanted { replaces: None, ..wanted };
            ordered = order::obtain(account, &plain, &self.challenges, &self.provider).await;
        }
        let (pem, certificate) = ordered?;
        let store = self.store.clone();
        let stored = tokio::task::spawn_blocking(move || store.put_certificate(&name, &pem)).await;
        stored.map_err(std::io::Error::other)??;
        Ok(certificate)
    }

    /// Asks the authority when it would like a certificate renewed (RFC 9773, 4.2).
    async fn ask(&self, account: &mut Option<Account>, held: &Certificate, name: &str, plan: &mut Plan) {
        let told = async {
            let identifier = identifier(held).ok_or(Error::Str("no key identifier of the authority"))?;
            let account = self.account(account).await.map_err(|error| Error::Other(error.into()))?;
            account.renewal_info(&identifier).await
        };
        let told = told.await;
        let now = Timestamp::now();
        match told {
            Ok((told, again)) => {
                let window = told.suggested_window;
                let window = (window.start.unix_timestamp() * 1000, window.end.unix_timestamp() * 1000);
                plan.suggested(window, i64::try_from(again.as_millis()).unwrap_or(i64::MAX), held, now, random());
                debug!(name, renewal = %plan.due(), "the authority suggests when to renew");
            }
            Err(Error::Unsupported(_)) => plan.not_told(now, false),
            Err(error) => {
                debug!(name, "no renewal information: {}", Causes(&error));
                plan.not_told(now, true);
            }
        }
    }

    /// The account: as it was, as it is stored, or a new one.
    async fn account<'a>(&self, account: &'a mut Option<Account>) -> Result<&'a Account, OrderError> {
        if account.is_none() {
            *account = Some(self.open_account().await?);
        }
        Ok(account.as_ref().expect("it was put there"))
    }

    async fn open_account(&self) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(json) = self.store.account()? {
            match serde_json::from_slice::<AccountCredentials>(&json) {
                Ok(credentials) => return Ok(builder.from_credentials(credentials).await?),
                Err(error) => warn!("{}: {error}; a new account is made", self.store.file("account.json").display()),
            }
        }
        let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
        // `agree = true` stands in the configuration, or it would have been a fault.
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.config.directory.to_string(), None).await?;
        self.store.put_account(&serde_json::to_vec(&credentials).map_err(Error::Json)?)?;
        info!(directory = %self.config.directory, "an account was made with the certificate authority");
        Ok(account)
    }
}

/// What the authority knows a certificate by (RFC 9773, 4.1).
fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let (authority, serial) = certificate.id.as_ref()?;
    Some(CertificateIdentifier::new(authority.as_slice().into(), serial.as_slice().into()).into_owned())
}

/// Sleeps until a moment of the wall clock, in milliseconds since 1970.
async fn sleep_until(moment_ms: i64) {
    loop {
        let left = u64::try_from(moment_ms.saturating_sub(Timestamp::now().as_millisecond())).unwrap_or(0);
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left).min(SLEEP_MAX)).await;
    }
}

/// From 0 to 1. Without random bytes the clock's will do: nothing secret hangs on it.
fn random() -> f64 {
    let mut bytes = [0; 4];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_nanos() << 2).to_be_bytes();
    }
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
