//! `policies/default.toml`: the purposes, and the durations that hold unless a regime says otherwise.

use super::Sources;
use crate::{
    config::{Fault, File},
    vocab::PURPOSES_MAX,
};

/// What data is used for, as an operator defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurposeDef {
    /// The id in files, forms, cookies and records: `necessary`, `functional`, `analytics`, `marketing`, …
    pub id: String,
    /// Needs no consent (GDPR and ePrivacy 5(3): strictly necessary).
    pub always: bool,
    /// The term of the Data Privacy Vocabulary (<https://w3id.org/dpv>) that records are exported with.
    pub dpv: String,
}

/// What becomes of calls to a held vendor that a page made before the visitor agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuedCalls {
    /// They are handed over once the visitor has agreed.
    #[default]
    Deliver,
    /// Settings are handed over, events are not.
    Drop,
}

/// What `default.toml` says besides the purposes.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// The id of the regime in force.
    pub(super) regime: String,
    /// Where `regime` stands in the file.
    pub(super) regime_offset: usize,
    /// How long a decision is valid, in calendar months.
    pub(super) decision_months: Option<u64>,
    /// How long a record is kept after its decision has run out, in calendar months.
    pub(super) proof_months: Option<u64>,
    /// What becomes of calls made before the visitor agreed.
    pub(super) queued_calls: QueuedCalls,
}

/// The most a decision may last: CNIL's thirteen months for a tracker (facts of guideline 2020-091).
pub(super) const DECISION_MONTHS: std::ops::RangeInclusive<u64> = 1..=13;
/// The most a proof may be kept after a decision ran out: ten years, the longest civil limitation period met.
pub(super) const PROOF_MONTHS: std::ops::RangeInclusive<u64> = 0..=120;

pub(super) const FILE: &str = "default.toml";

/// Reads the purposes; on a fault the list may be incomplete.
pub(super) fn read(sources: &Sources, faults: &mut Vec<Fault>) -> (Vec<PurposeDef>, Defaults) {
    let Some(text) = sources.get(FILE) else {
        faults.push(Fault::whole(FILE, "the file is missing", "run `consentry init` for a commented copy"));
        return Default::default();
    };
    let ((purposes, defaults), mut found) = File::read(FILE, text, |root| {
        let mut purposes: Vec<PurposeDef> = Vec::new();
        let regime = root.required_string("regime");
        for mut section in root.sections("purpose") {
            let id = section.required_string("id");
            let always = section.boolean("always").is_some_and(|at| at.value);
            let dpv = section.string("dpv").map(|at| at.value).unwrap_or_default();
            if let Some(id) = id {
                if !is_id(&id.value) {
                    section.fault(id.offset, format!("`{}` is no purpose id", id.value), ID_MEND);
                } else if purposes.iter().any(|def| def.id == id.value) {
                    section.fault(id.offset, format!("the purpose `{}` is defined twice", id.value), "delete one");
                } else {
                    purposes.push(PurposeDef { id: id.value, always, dpv });
                }
            }
            section.finish();
        }
        if purposes.len() > PURPOSES_MAX {
            root.fault(root.offset(), format!("more than {PURPOSES_MAX} purposes"), "merge some");
            purposes.truncate(PURPOSES_MAX);
        }
        if !purposes.iter().any(|def| def.always) {
            root.fault(root.offset(), "no purpose is strictly necessary", "add one with `always = true`");
        }
        if purposes.iter().all(|def| def.always) {
            root.fault(root.offset(), "no purpose asks for consent", "add one without `always = true`");
        }
        let mut defaults = Defaults::default();
        if let Some(at) = regime {
            defaults.regime_offset = at.offset;
            defaults.regime = at.value;
        }
        if let Some(mut section) = root.section("durations") {
            defaults.decision_months = section.integer("decision_months", DECISION_MONTHS).map(|at| at.value);
            defaults.proof_months = section.integer("proof_months", PROOF_MONTHS).map(|at| at.value);
            section.finish();
        }
        if let Some(mut section) = root.section("stand_ins") {
            if let Some(at) = section.string("queued_calls") {
                match at.value.as_str() {
                    "deliver" => defaults.queued_calls = QueuedCalls::Deliver,
                    "drop" => defaults.queued_calls = QueuedCalls::Drop,
                    other => section.fault(
                        at.offset,
                        format!("`queued_calls = \"{other}\"` is not known"),
                        "write \"deliver\" or \"drop\"",
                    ),
                }
            }
            section.finish();
        }
        (purposes, defaults)
    });
    faults.append(&mut found);
    (purposes, defaults)
}

pub(super) const ID_MEND: &str = "ids are lower-case letters, digits and hyphens, beginning with a letter, 40 at most";

/// Ids go into form field names, cookies, CSS classes and file names.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
