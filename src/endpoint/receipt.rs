//! `GET /_consent/receipt`: this visitor's copy of the newest record, with the proof that it stands in the log.
//!
//! It names the visitor's pseudonym, which no script may learn from us: only a navigation is answered, and
//! the answer is a download, which no page can read.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    consent_log::{LogError, Proof, Record},
    site::Ctx,
    wire::{self, Body, Failure},
};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

pub(super) async fn answer(ctx: &Ctx, headers: &HeaderMap) -> Result<Response<Body>, Failure> {
    // A browser that does not say what it asks for may be asking for a script.
    let is = |name: HeaderName, value: &str| wire::single(headers, &name) == Some(value);
    if !is(SEC_FETCH_MODE, "navigate") || !is(SEC_FETCH_DEST, "document") {
        return Err(Failure::CrossSite("a receipt is for a visitor who opens this address, not for a script"));
    }
    let id = ctx.state.as_ref().and_then(|state| state.record).ok_or(Failure::NotFound)?;
    let proof = match ctx.site.shared.log.prove(id).await {
        Ok(proof) => proof,
        Err(LogError::NotFound { .. }) => return Err(Failure::NotFound),
        Err(error) => return Err(Failure::Internal(wire::Causes(&error).to_string())),
    };
    let receipt = receipt(&proof).ok_or(Failure::NotFound)?;
    let mut resp = wire::answer(StatusCode::OK, wire::JSON, format!("{receipt:#}\n"));
    let name = format!("attachment; filename=\"consent-receipt-{id}.json\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        resp.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(resp)
}

/// What is in words is for people; `record`, `salt` and `proof` are what is proved.
fn receipt(proof: &Proof) -> Option<Value> {
    let leaf = &proof.leaf;
    let record: &Record = leaf.record.as_ref()?;
    Some(json!({
        "v": "consent-receipt/1",
        "decided_at": record.time.to_string(),
        "valid_until": record.expires.to_string(),
        "site": record.site,
        "controller": record.controller,
        "decision": record.kind.as_str(),
        "choices": record.choices().map(|(name, granted)| (name.into_owned(), granted.into())).collect::<serde_json::Map<_, _>>(),
        "notice": record.notice.to_string(),
        "policy": record.policy.to_string(),
        "record": leaf.bytes,
        "salt": crate::vocab::Hash(leaf.salt).to_string(),
        "commitment": leaf.commitment.to_string(),
        "proof": proof.receipt.to_string(),
        "key": proof.key,
        "how_to_check": "SHA-256 over the 32 bytes of salt, then record, is the commitment; \"consent/v1\", a line feed and the commitment are the entry of the log that proof (c2sp.org/tlog-proof) is about; key signed its checkpoint.",
    }))
}
