//! `GET /_consent/receipt`: this visitor's copy of the newest record, with the proof that it stands in
//! the log: a file, or with `?view=print` a page to read and print.
//!
//! It names the visitor's pseudonym, which no script may learn from us: only a navigation is answered.
//! The file is a download, which no page can read; the page is sandboxed into an origin of its own,
//! which a page of the site that opens it in a window cannot look into.

use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    consent_log::{LogError, Proof, Record},
    notice::{Fill, ReceiptOf, ReceiptWords, Said},
    site::Ctx,
    vocab::Hash,
    wire::{self, Body, Failure, SEC_FETCH_DEST, SEC_FETCH_MODE},
};

pub(super) async fn answer(ctx: &Ctx, headers: &HeaderMap, uri: &Uri) -> Result<Response<Body>, Failure> {
    // A browser that does not say what it asks for may be asking for a script.
    let is = |name, value: &str| wire::single(headers, &name) == Some(value);
    if !is(SEC_FETCH_MODE, "navigate") || !is(SEC_FETCH_DEST, "document") {
        return Err(Failure::CrossSite("a receipt is for a visitor who opens this address, not for a script"));
    }
    let id = ctx.state.as_ref().and_then(|state| state.record).ok_or(Failure::NotFound)?;
    let proof = match ctx.site.shared.log.prove(id).await {
        Ok(proof) => proof,
        Err(LogError::NotFound { .. }) => return Err(Failure::NotFound),
        Err(error) => return Err(Failure::Internal(wire::Causes(&error).to_string())),
    };
    let record = proof.leaf.record.as_ref().ok_or(Failure::NotFound)?;
    let texts = Texts::of(&proof, record);
    let query = uri.query().unwrap_or_default();
    match url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "view" && value == "print") {
        true => page(ctx, headers, &texts.receipt(&proof, record)),
        false => Ok(file(ctx, headers, id, &proof, record, &texts)),
    }
}

fn page(ctx: &Ctx, headers: &HeaderMap, receipt: &ReceiptOf<'_>) -> Result<Response<Body>, Failure> {
    let prefix_url = ctx.prefix_url();
    let fill = Fill { prefix_url: &prefix_url, token: "", return_to: "/", csp_nonce: None };
    let page = ctx.notices().receipt(ctx.language(headers), &fill, receipt);
    let page = page.ok_or_else(|| Failure::Internal("the template receipt.html fails on a record".to_owned()))?;
    let mut resp = wire::answer(StatusCode::OK, wire::HTML, page);
    let headers = resp.headers_mut();
    if let Ok(csp) = HeaderValue::from_str(&ctx.notices().receipt_csp()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, csp);
    }
    // The address says nothing, but what links here from a paper copy need not be told either.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Windows that open it are cut off where browsers heed it; the sandbox holds where they do not.
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    Ok(resp)
}

/// What is in words is for people; `record`, `salt` and `proof` are what is proved.
fn file(ctx: &Ctx, headers: &HeaderMap, id: Uuid, proof: &Proof, record: &Record, texts: &Texts) -> Response<Body> {
    let words = ctx.language(headers).receipt(&texts.receipt(proof, record));
    let receipt = json!({
        "v": "consent-receipt/1",
        "decided_at": record.time.to_string(),
        "valid_until": record.expires.to_string(),
        "site": record.site,
        "controller": record.controller,
        "decision": record.kind.as_str(),
        "choices": record.choices().map(|(name, granted)| (name.into_owned(), granted.into())).collect::<Map<_, _>>(),
        "in_words": in_words(&words),
        "notice": texts.notice,
        "policy": texts.policy,
        "record": proof.leaf.bytes,
        "salt": texts.salt,
        "commitment": texts.commitment,
        "proof": texts.path,
        "key": proof.key,
        "how_to_check": "SHA-256 over the 32 bytes of salt, then record, is the commitment; \"consent/v1\", a line feed and the commitment are the entry of the log that proof (c2sp.org/tlog-proof) is about; key signed its checkpoint.",
    });
    let mut resp = wire::answer(StatusCode::OK, wire::JSON, format!("{receipt:#}\n"));
    let name = format!("attachment; filename=\"consent-receipt-{id}.json\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        resp.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    resp
}

fn in_words(words: &ReceiptWords) -> Value {
    let facts = words.facts.iter().map(|(label, text)| json!({ "label": label, "text": text }));
    let said = |all: &[Said]| all.iter().map(|one| json!({ "title": one.title, "answer": one.answer })).collect::<Vec<_>>();
    json!({
        "facts": facts.collect::<Vec<_>>(),
        "purposes": said(&words.purposes),
        "vendors": said(&words.vendors),
        "withdrawal": words.withdrawal,
    })
}

/// Ids and hashes as text.
struct Texts {
    id: String,
    subject: String,
    notice: String,
    policy: String,
    salt: String,
    commitment: String,
    path: String,
}

impl Texts {
    fn of(proof: &Proof, record: &Record) -> Self {
        Self {
            id: record.id.to_string(),
            subject: record.subject.map(|subject| subject.encode()).unwrap_or_default(),
            notice: record.notice.to_string(),
            policy: record.policy.to_string(),
            salt: Hash(proof.leaf.salt).to_string(),
            commitment: proof.leaf.commitment.to_string(),
            path: proof.receipt.to_string(),
        }
    }

    fn receipt<'a>(&'a self, proof: &'a Proof, record: &'a Record) -> ReceiptOf<'a> {
        ReceiptOf {
            id: &self.id,
            subject: &self.subject,
            kind: record.kind.as_str(),
            method: record.method.as_str(),
            decided_at: record.time,
            valid_until: record.expires,
            site: &record.site,
            controller: &record.controller,
            gpc: record.gpc,
            purposes: record.purposes.iter().map(|(id, granted)| (id.as_str(), *granted)).collect(),
            vendors: record.vendors.iter().map(|(id, granted)| (id.as_str(), *granted)).collect(),
            notice: &self.notice,
            policy: &self.policy,
            index: proof.leaf.index,
            record: &proof.leaf.bytes,
            salt: &self.salt,
            commitment: &self.commitment,
            proof: &self.path,
            key: &proof.key,
        }
    }
}
