//! The scripts that run in visitors' browsers: policy and template texts in, assets and markup out.
//!
//! The head's asset is one function around the policy's data, the guard and the stand-ins; `gate.js`
//! releases what is held and needs no policy; the prelude is the guard's half for workers. No I/O, no
//! clock: what changes from page to page stands in attributes of the script's element.

mod data;
mod pack;

use crate::{
    asset::Asset,
    policy::Policy,
    vocab::{Grants, Hash},
    wire::push_escaped,
};

/// The texts that the scripts are put together from, as `templates/guard/` has them.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'t> {
    /// `shared.js`: what pages and workers have in common.
    pub shared: &'t str,
    /// `guard.js`: the guard in pages.
    pub guard: &'t str,
    /// `stand-ins.js`: what answers to site code while a vendor is held.
    pub stand_ins: &'t str,
    /// `worker.js`: the guard in workers.
    pub worker: &'t str,
    /// `gate.js`: buttons and release.
    pub gate: &'t str,
}

/// The scripts under one policy.
#[derive(Clone, Debug)]
pub struct Scripts {
    head: Asset,
    gate: Asset,
    worker: Asset,
    /// Whether there is anything that some visitor may not have granted.
    holds: bool,
}

/// What the scripts' markup of one page is filled with. Plain text: escaping is done here.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The absolute address of the gate's own paths without a slash at its end.
    pub prefix_url: &'a str,
    /// The nonce of this response's markers (16 lower-case hex digits).
    pub gate_nonce: &'a str,
    /// The nonce that the page's own Content-Security-Policy allows, if it has one.
    pub csp_nonce: Option<&'a str>,
    /// When the visitor decided, written exactly as `GET /_consent/state` writes it; `None` while
    /// undecided.
    pub decided_at: Option<&'a str>,
    /// What the visitor has granted, as [`Scripts::state`] writes it.
    pub state: &'a str,
    /// Whether the gate takes reports of what the guard held.
    pub reports: bool,
    /// Whether an enforced policy of the gate's stands in this answer: what is granted later needs the
    /// page anew, since the policy of an open page cannot be widened.
    pub contained: bool,
}

impl Scripts {
    /// Puts the scripts together. `prefix` is the path that the gate's own paths stand below.
    pub fn build(policy: &Policy, prefix: &str, texts: &Texts<'_>) -> Self {
        let worker = worker(policy, prefix, texts);
        let data = format!("const data={};", data::page(policy, &worker.path));
        let head = pack::function(&[&data, texts.shared, texts.guard, texts.stand_ins]);
        Self {
            head: Asset::script("guard.js", &head),
            gate: Asset::script("gate.js", &pack::pack(texts.gate)),
            worker,
            holds: policy.rules().iter().any(|rule| !policy.undecided().covers(rule.vendor, rule.purposes)),
        }
    }

    /// The asset of a path behind `/_consent/assets/`.
    pub fn asset(&self, path: &str) -> Option<&Asset> {
        self.assets().find(|asset| asset.path == path)
    }

    /// Every asset.
    pub fn assets(&self) -> impl Iterator<Item = &Asset> {
        [&self.head, &self.gate, &self.worker].into_iter()
    }

    /// What goes before a worker's script: the same bytes for everybody under one policy, since
    /// browsers compare those of service workers. `None` where nothing is ever held.
    pub fn worker(&self) -> Option<&Asset> {
        self.holds.then_some(&self.worker)
    }

    /// The guard: the first script of a page. ASCII markup.
    pub fn guard(&self, fill: &Fill<'_>) -> String {
        let mut out = String::from("<script data-consentry");
        attribute(" src", &address(&self.head, fill), &mut out);
        attribute(" data-gate", fill.gate_nonce, &mut out);
        attribute(" data-state", fill.state, &mut out);
        fill.csp_nonce.into_iter().for_each(|nonce| attribute(" nonce", nonce, &mut out));
        out.push_str("></script>");
        out
    }

    /// Buttons and release: it waits for the page. ASCII markup.
    pub fn gate(&self, fill: &Fill<'_>) -> String {
        let mut out = String::from("<script data-consentry defer");
        attribute(" src", &address(&self.gate, fill), &mut out);
        attribute(" data-gate", fill.gate_nonce, &mut out);
        attribute(" data-state", if fill.decided_at.is_some() { "decided" } else { "undecided" }, &mut out);
        fill.decided_at.into_iter().for_each(|at| attribute(" data-decided-at", at, &mut out));
        if fill.reports {
            out.push_str(" data-report");
        }
        if fill.contained {
            attribute(" data-contained", fill.state, &mut out);
        }
        fill.csp_nonce.into_iter().for_each(|nonce| attribute(" nonce", nonce, &mut out));
        out.push_str("></script>");
        out
    }

    /// Grants as the guard reads them: `{"grants":["necessary"],"vendors":{"some-vendor":false}}`.
    pub fn state(policy: &Policy, grants: &Grants) -> String {
        let purposes = policy.purposes().iter().zip(0u8..).filter(|(_, at)| grants.purposes.contains(crate::vocab::Purpose(*at)));
        let granted: Vec<&str> = purposes.map(|(def, _)| def.id.as_str()).collect();
        let vendors = [(&grants.allowed, true), (&grants.denied, false)];
        let vendors: serde_json::Map<String, serde_json::Value> = vendors
            .into_iter()
            .flat_map(|(set, granted)| set.iter().map(move |vendor| (policy.vendor_def(vendor).id.clone(), granted.into())))
            .collect();
        serde_json::json!({ "grants": granted, "vendors": vendors }).to_string()
    }
}

/// The worker's half names its own address, for the workers that a worker starts.
fn worker(policy: &Policy, prefix: &str, texts: &Texts<'_>) -> Asset {
    let text = |own: &str| {
        let head =
            format!("const data={},prefix={},own={};", data::worker(policy), serde_json::json!(prefix), serde_json::json!(own));
        pack::function(&[&head, texts.shared, texts.worker])
    };
    let hash = Hash::of(text("").as_bytes());
    Asset::script_under(hash, "worker.js", &text(&format!("{}/worker.js", hash.short())))
}

fn address(asset: &Asset, fill: &Fill<'_>) -> String {
    format!("{}/assets/{}", fill.prefix_url, asset.path)
}

fn attribute(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(value, out);
    out.push('"');
}

#[cfg(test)]
mod tests;
