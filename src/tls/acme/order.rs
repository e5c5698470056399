//! One order, from the name to the certificate (RFC 8555, 7.4), to be read downward.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio_rustls::rustls::crypto::CryptoProvider;

use super::{
    super::certificate::{Certificate, Unfit},
    challenges::{Challenges, Proof, ShowError},
};
use crate::config::ChallengeKind;

/// How the authority is asked whether it has made up its mind. It names its own pace by `Retry-After`.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));

/// Why an order brought no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Authority(#[from] Error),
    #[error("the authority could not prove the name by {kind}: {detail}")]
    Unproven { kind: &'static str, detail: String },
    #[error("the authority offers no {0} for this name")]
    NotOffered(&'static str),
    #[error("the authority did not bring the order to an end in time")]
    Late,
    #[error(transparent)]
    Challenge(#[from] ShowError),
    #[error("the request for a certificate cannot be made")]
    Request(#[from] rcgen::Error),
    #[error("what the authority issued cannot be used")]
    Unfit(#[from] Unfit),
    #[error("what the authority issued is for other names: {0}")]
    OtherNames(String),
    #[error("it cannot be stored")]
    Store(#[from] std::io::Error),
}

impl OrderError {
    /// Whether the authority does not know the account.
    pub(super) fn is_unknown_account(&self) -> bool {
        let Self::Authority(Error::Api(problem)) = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

/// What is ordered, and how the name is proven.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ChallengeKind,
    /// The certificate that it takes the place of (RFC 9773, 5).
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// Key and chain as PEM, and the same read.
pub(super) async fn obtain(
    account: &Account,
    wanted: &Wanted<'_>,
    challenges: &Challenges,
    provider: &CryptoProvider,
) -> Result<(Vec<u8>, Certificate), OrderError> {
    let identifiers = [Identifier::Dns(wanted.name.to_owned())];
    let mut new = NewOrder::new(&identifiers);
    if let Some(replaces) = &wanted.replaces {
        new = new.replaces(replaces.clone());
    }
    let mut order = account.new_order(&new).await?;
    let proofs = prove(&mut order, wanted.name, wanted.kind, challenges, provider).await?;
    match order.poll_ready(&POLL).await {
        Ok(OrderStatus::Ready) => {}
        ended => return Err(unproven(&mut order, wanted.kind, ended.err()).await),
    }
    drop(proofs);

    // A new key for each certificate; it never leaves this machine.
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([wanted.name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&POLL).await?;

    let pem = format!("{}{chain}", key.serialize_pem()).into_bytes();
    let certificate = Certificate::parse(&pem, &pem, provider)?;
    if !certificate.covers(wanted.name) {
        return Err(OrderError::OtherNames(certificate.names.join(", ")));
    }
    Ok((pem, certificate))
}

/// Has an answer ready for each open authorization, then tells the authority so.
async fn prove<'c>(
    order: &mut Order,
    name: &str,
    kind: ChallengeKind,
    challenges: &'c Challenges,
    provider: &CryptoProvider,
) -> Result<Vec<Proof<'c>>, OrderError> {
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let wanted = match kind {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut challenge = authorization.challenge(wanted).ok_or(OrderError::NotOffered(told(kind)))?;
        let key = challenge.key_authorization();
        proofs.push(match kind {
            ChallengeKind::Http01 => challenges.answer_with(name, &challenge.token, key.as_str()),
            ChallengeKind::TlsAlpn01 => challenges.show(name, key.digest().as_ref(), provider)?,
        });
        challenge.set_ready().await?;
    }
    Ok(proofs)
}

/// What the authority saw when it came: the operator has to mend that, and the order itself does not tell.
async fn unproven(order: &mut Order, kind: ChallengeKind, error: Option<Error>) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return OrderError::Unproven { kind: told(kind), detail: problem.to_string() };
        }
    }
    match error {
        None | Some(Error::Timeout(_)) => OrderError::Late,
        Some(error) => OrderError::Authority(error),
    }
}

/// A challenge's name in the protocol.
pub(super) fn told(kind: ChallengeKind) -> &'static str {
    match kind {
        ChallengeKind::Http01 => "http-01",
        ChallengeKind::TlsAlpn01 => "tls-alpn-01",
    }
}
