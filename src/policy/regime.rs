//! `policies/regimes/<id>.toml`: the rule set for a visitor's jurisdiction, as data.

use super::{Sources, purposes};
use crate::config::{Fault, File};

/// The rule set in force for a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regime {
    /// The id in cookies and records, such as `eu`.
    pub id: String,
    /// The jurisdiction in records, such as `EU`.
    pub jurisdiction: String,
    /// How long a decision is valid, in calendar months (CNIL good practice: 6).
    pub decision_months: u64,
    /// How long the proof is kept after the decision ran out, in calendar months.
    pub proof_months: u64,
    /// What `Sec-GPC: 1` does to a visitor who has not decided.
    pub gpc: Signal,
}

/// The effect of a browser's privacy signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It changes nothing that is not already refused; its value goes into the record of a later act.
    Noted,
}

pub(super) fn read(sources: &Sources, defaults: &purposes::Defaults, faults: &mut Vec<Fault>) -> Option<Regime> {
    let mut chosen = None;
    for (path, text) in sources.below("regimes/") {
        let (regime, mut found) = File::read(path, text, |root| read_one(root, defaults));
        faults.append(&mut found);
        if let Some(regime) = regime {
            let stem = path.trim_start_matches("regimes/").trim_end_matches(".toml");
            if regime.id != stem {
                let message = format!("the id `{}` is not the file's name", regime.id);
                faults.push(Fault::whole(path, message, format!("write `id = \"{stem}\"` or rename the file")));
            }
            if regime.id == defaults.regime {
                chosen = Some(regime);
            }
        }
    }
    if chosen.is_none() && !defaults.regime.is_empty() && faults.is_empty() {
        let text = sources.get(purposes::FILE).unwrap_or_default();
        let known: Vec<&str> = sources.below("regimes/").map(|(path, _)| path).collect();
        let message = format!("there is no regime `{}`", defaults.regime);
        faults.push(Fault::at(purposes::FILE, text, defaults.regime_offset, message, format!("known: {}", known.join(", "))));
    }
    chosen
}

fn read_one(root: &mut crate::config::Section<'_>, defaults: &purposes::Defaults) -> Option<Regime> {
    let id = root.required_string("id");
    let jurisdiction = root.required_string("jurisdiction");
    let model = root.required_string("model");
    if let Some(model) = &model {
        match model.value.as_str() {
            "opt-in" => {}
            "opt-out" | "notice-only" => root.fault(
                model.offset,
                format!("the model `{}` is not enforced by this version", model.value),
                "write `model = \"opt-in\"`: it is the stricter one",
            ),
            other => root.fault(model.offset, format!("`{other}` is no model"), "write `model = \"opt-in\"`"),
        }
    }
    let gpc = root.string("gpc");
    if let Some(gpc) = gpc.filter(|at| at.value != "noted") {
        root.fault(
            gpc.offset,
            format!("the effect `{}` of GPC is not enforced by this version", gpc.value),
            "write `gpc = \"noted\"`: under opt-in nothing is granted before a decision anyway",
        );
    }
    let mut decision_months = defaults.decision_months;
    let mut proof_months = defaults.proof_months;
    if let Some(mut durations) = root.section("durations") {
        decision_months = durations.integer("decision_months", purposes::DECISION_MONTHS).map(|at| at.value).or(decision_months);
        proof_months = durations.integer("proof_months", purposes::PROOF_MONTHS).map(|at| at.value).or(proof_months);
        durations.finish();
    }
    Some(Regime {
        id: id?.value,
        jurisdiction: jurisdiction?.value,
        decision_months: decision_months.unwrap_or(6),
        proof_months: proof_months.unwrap_or(24),
        gpc: Signal::Noted,
    })
}
