//! `GET /reports`: third parties that browsers reported, the most frequent first, with their class.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    config::Containment,
    policy::{HostClass, Policy},
    site::Site,
};

/// Everything counted since the process began; of several sites each by its first host.
pub(super) fn told(sites: &[Arc<Site>]) -> Value {
    match sites {
        [one] => told_of(one),
        several => several.iter().map(|site| (site.config.name(), told_of(site))).collect(),
    }
}

/// Hosts are claims of browsers; JSON escapes them.
fn told_of(site: &Site) -> Value {
    let counted = site.reports.all();
    let snapshot = site.snapshot();
    let mut hosts: Vec<_> = counted.hosts.iter().collect();
    hosts.sort_by(|(a, left), (b, right)| right.total().cmp(&left.total()).then(a.cmp(b)));
    let hosts: Vec<Value> = hosts
        .into_iter()
        .map(|(host, count)| {
            let (class, who) = class(&snapshot.policy, host);
            json!({
                "host": host, "class": class, "who": who, "count": count.total(), "stopped": count.stopped,
                "directives": count.directives, "first": count.first.to_string(), "last": count.last.to_string(),
            })
        })
        .collect();
    json!({
        "containment": match site.config.containment {
            Containment::Off => "off",
            Containment::Report => "report",
            Containment::Enforce => "enforce",
        },
        "hosts": hosts, "beyond": counted.beyond, "dropped": counted.dropped, "held": counted.held,
    })
}

/// The class of a host by the policy in force now, and whose it is.
fn class(policy: &Policy, host: &str) -> (&'static str, Vec<String>) {
    match policy.host_class(host) {
        HostClass::Vendor(vendors) => ("vendor", vendors.into_iter().map(|id| policy.vendor_def(id).id.clone()).collect()),
        HostClass::Allowed => ("allowed", Vec::new()),
        HostClass::Preset(preset) => ("preset", vec![preset.id.clone()]),
        HostClass::Offered(preset) => ("unclassified", vec![preset.id.clone()]),
        HostClass::Unknown => ("unclassified", Vec::new()),
    }
}
