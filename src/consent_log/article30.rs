//! The record of processing activities of the log itself (GDPR article 30(1)): the log is a processing too.
//!
//! What differs from operator to operator is read from the newest notices in the log, which say what visitors were
//! told; what the program does is said by the program.

use std::{collections::BTreeSet, ops::ControlFlow};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Filter, LogError, Reader, leaf::LeafKind, record::stamp};

/// What is kept of each decision. There is no field for anything else.
const DATA: [&str; 6] = [
    "a random pseudonym (128 bits, in the visitor's cookie); none after a refusal by somebody who never granted anything",
    "the decision: time, purposes and vendors with yes or no, how and in which notice it was expressed, language, validity",
    "the notice and the policy that were in force, by their SHA-256",
    "the jurisdiction applied, and whether a Global Privacy Control signal was received",
    "the kind of browser in two words, such as firefox/desktop",
    "not kept: IP address, user agent, page address, name or account",
];

const MEASURES: [&str; 8] = [
    "pseudonymisation: the pseudonym is random and derived from nothing",
    "integrity: an append-only Merkle tree (RFC 6962) over salted commitments, with signed checkpoints; `consentry log verify` names every change",
    "availability: a decision counts only once it is flushed to the disk; `consentry log backup` and `restore`",
    "confidentiality: database, keys and socket are readable by the operator's user alone; scripts of pages get no identifier",
    "erasure: record and salt are deleted and overwritten, the rest of the log still verifies (article 17)",
    "restriction: restricted records are kept out of finds, exports and counts (article 18)",
    "accountability: every reading of records and every erasure is an entry of the log itself",
    "minimisation: notices shown are counted in aggregates only; automatic programs leave no record",
];

impl Reader {
    /// The entry for the register, as of now. Members with `_lines` are for reading.
    pub fn article30(&self, now: Timestamp) -> Result<Value, LogError> {
        let (mut sites, mut records, mut first) = (BTreeSet::new(), 0u64, None::<Timestamp>);
        let mut notice = Value::Null;
        let everything = Filter { restricted: true, ..Filter::default() };
        self.scan(&everything, &mut |_, _| {}, &mut |leaf| {
            if let Some(record) = &leaf.record {
                sites.insert(record.site.clone());
                records += 1;
                first = first.min(Some(record.time)).or(Some(record.time));
            } else if leaf.kind == LeafKind::Notice {
                notice = self.value(&leaf)?["snapshot"].take();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let controller = &notice["controller"];
        let text = |name: &str| controller[name].as_str().unwrap_or_default();
        let mut lines: Vec<String> = ["name", "address", "contact"].iter().map(|name| text(name).to_owned()).collect();
        if !text("dpo").is_empty() {
            lines.push(format!("data protection officer: {}", text("dpo")));
        }
        lines.retain(|line| !line.is_empty());
        if lines.is_empty() {
            lines.push("not named: fill in [controller] in policies/site.toml".to_owned());
        }
        let months = |name: &str| notice[name].as_u64();
        let kept = match (months("decision_months"), months("proof_months")) {
            (Some(decision), Some(proof)) => format!(
                "a decision holds for {decision} months; its record is kept for {proof} months after that and then erased by `consentry log retain`"
            ),
            _ => "not known: there is no notice in the log".to_owned(),
        };
        Ok(json!({
            "v": "consent-article30/1",
            "as_of": stamp(now),
            "as_of_lines": [format!("{}, {records} records{}", stamp(now), first.map(|first| format!(" since {}", stamp(first))).unwrap_or_default())],
            "controller": controller,
            "controller_lines": lines,
            "sites": if sites.is_empty() { json!(["none with a decision on record"]) } else { json!(sites) },
            "purposes": ["demonstrating consent, refusal and withdrawal (GDPR articles 7(1), 7(3) and 5(2))"],
            "legal_basis": ["legal obligation (GDPR article 6(1)(c) with article 7(1)); for defence against claims, legitimate interests (article 6(1)(f))"],
            "data_subjects": ["visitors of the sites who decided about cookies and tracking"],
            "data_categories": DATA,
            "recipients": ["none by itself: the log stays on the operator's own server; on request the supervisory authority and the visitor. Add your hosting provider, and whoever gets checkpoints (hashes only) or backups"],
            "transfers": ["none by the log itself; add where your hosting provider or your backups are"],
            "retention": [kept, "notices, policies, acts, commitments and checkpoints have no personal data and stay".to_owned()],
            "decision_months": months("decision_months"),
            "proof_months": months("proof_months"),
            "measures": MEASURES,
            "records": records,
        }))
    }
}
