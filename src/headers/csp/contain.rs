//! The browser's own wall: a generated policy that lets a page load from the site itself, from what
//! the operator allowed, and from the vendors that this visitor granted.
//!
//! It stands beside the site's own policies as a header line of its own; browsers enforce each, so it
//! can only narrow. It contains third parties and nothing else: inline code, `eval`, `data:` and
//! `blob:` are let through, since the site's own policies decide about them. One directive says it
//! all, because everything that loads falls back to `default-src` (CSP Level 3, section 6.8.3), workers,
//! frames and connections included.
//!
//! Not in it, on purpose: `form-action`, since a visitor who sends a form to a newsletter service or
//! is led through 3-D Secure navigates by an act of the own, and some browsers apply the directive to
//! every redirect that follows; `frame-ancestors` and `base-uri`, which are no loads; and a wildcard for
//! other names of the site's domain: without a list of public suffixes the gate cannot tell
//! `static.shop.example` from somebody else's `shop.co.example`, so the operator names them.
//!
//! Navigations (`meta refresh`, `Refresh`) and speculation rules pass by any such policy: markup and
//! headers hold those. For a frame Chromium opens the connection before it asks the policy; no request
//! goes over it.

use std::collections::{BTreeMap, BTreeSet};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY},
};

use crate::{
    config::{Containment, Limits},
    policy::{Place, Policy, What},
    vocab::{Grants, PurposeSet, VendorId},
};

const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");

/// The name of the gate's own reporting endpoint: nobody else has a reason to choose it.
const ENDPOINT: &str = "consentry-containment";

/// What belongs to the site's own code and is not the wall's business. `'unsafe-eval'` lets
/// WebAssembly through as well.
const OWN_CODE: &str = "'self' 'unsafe-inline' 'unsafe-eval' data: blob:";

/// What the wall lets through for one visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wall {
    sources: String,
    /// How far it had to be lowered to fit its bound.
    pub fit: Fit,
}

/// Whether a wall names exactly what it lets through. One that is enforced is never narrower: what is
/// granted must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Every host by its name.
    Exact,
    /// Hosts of one vendor that share a domain are named by the domain.
    Domains,
    /// Of each domain the form of name that vendors use: a list of reports may name some host of a
    /// granted vendor. Never where it is enforced.
    Usual,
    /// Too many are granted to be named: every secure address is let through.
    Open,
}

/// What a wall is built for, beside policy and grants.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'s> {
    /// Another host that is the site itself: the name of the site behind. Empty for none.
    pub own_host: &'s str,
    /// The site is under a name of this machine, where vendors may be played (`…localhost`, any port).
    pub played: bool,
    /// The most bytes of the source list.
    pub bytes_max: usize,
    /// Whether browsers stop what is not listed: then a list that is too long is widened only.
    pub enforced: bool,
}

impl<'s> Setting<'s> {
    /// The setting of a site for visitors under a public name.
    pub fn of(containment: Containment, limits: &Limits, own_host: &'s str) -> Self {
        let enforced = containment == Containment::Enforce;
        Self { own_host, played: false, bytes_max: limits.containment_bytes as usize, enforced }
    }
}

impl Wall {
    /// Lists what a visitor with these grants may load.
    pub fn build(policy: &Policy, grants: &Grants, setting: &Setting<'_>) -> Self {
        let mut open: BTreeSet<Place> = policy.hosts().open().cloned().collect();
        open.extend(Place::parse(setting.own_host));
        let granted = granted(policy, grants);
        let exact = granted.values().flatten().chain(&open).cloned().collect();
        let exact = join(both(&without_covered(&exact), setting.played));
        // On this machine there is no proxy whose buffer a head could overflow.
        if exact.len() <= setting.bytes_max || setting.played {
            return Self { sources: exact, fit: Fit::Exact };
        }
        let domains = granted.values().flat_map(by_domain).chain(open.iter().cloned()).collect();
        let domains = without_covered(&domains);
        let sources = join(both(&domains, false));
        if sources.len() <= setting.bytes_max {
            return Self { sources, fit: Fit::Domains };
        }
        let sources = join(usual(policy, &domains, &open));
        if sources.len() <= setting.bytes_max && !setting.enforced {
            return Self { sources, fit: Fit::Usual };
        }
        Self { sources: "https: wss:".to_owned(), fit: Fit::Open }
    }

    /// The source list beside the site's own code, as a browser reads it.
    pub fn sources(&self) -> &str {
        &self.sources
    }

    /// The policy, without where its reports go.
    pub fn policy(&self) -> String {
        let space = if self.sources.is_empty() { "" } else { " " };
        format!("default-src {OWN_CODE}{space}{}", self.sources)
    }

    /// Adds the policy to an answer. `report_path` is the path of the gate's report endpoint at the
    /// page's origin; `secure` whether that origin is one to which browsers report by name.
    pub fn raise(&self, headers: &mut HeaderMap, mode: Containment, report_path: &str, secure: bool) {
        let name = match mode {
            Containment::Off => return,
            Containment::Report => CONTENT_SECURITY_POLICY_REPORT_ONLY,
            Containment::Enforce => CONTENT_SECURITY_POLICY,
        };
        let mut text = format!("{}; report-uri {report_path}", self.policy());
        if secure {
            // Browsers that know `report-to` ignore `report-uri`, and take endpoints over TLS only.
            text.push_str("; report-to ");
            text.push_str(ENDPOINT);
            append(headers, REPORTING_ENDPOINTS, &format!("{ENDPOINT}=\"{report_path}\""));
        }
        append(headers, name, &text);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let value = HeaderValue::from_str(text).expect("hosts, paths and keywords are visible ASCII");
    headers.append(name, value);
}

/// The places of every vendor for which these grants cover a rule, by vendor. A vendor of which only
/// some rules are covered is let through at their paths alone, where a policy can spell them.
fn granted(policy: &Policy, grants: &Grants) -> BTreeMap<VendorId, BTreeSet<Place>> {
    let mut places: BTreeMap<VendorId, BTreeSet<Place>> = BTreeMap::new();
    let covers = |vendor: VendorId, purposes: PurposeSet| policy.declared().contains(vendor) && grants.covers(vendor, purposes);
    for rule in policy.rules().iter().filter(|rule| covers(rule.vendor, rule.purposes)) {
        let What::Address { hosts, paths, .. } = &rule.what else { continue };
        let whole = covers(rule.vendor, policy.vendor_purposes(rule.vendor));
        let patterns: Vec<String> = paths.iter().map(|path| path.pattern()).collect();
        let spelt: Option<Vec<String>> = patterns.iter().map(|pattern| source_path(pattern)).collect();
        let spelt = spelt.filter(|paths| !whole && !paths.is_empty()).unwrap_or_else(|| vec![String::new()]);
        // A policy has no way to say every country's spelling of a name: vendor files name those that matter.
        for host in hosts.iter().filter(|host| !host.ends_with(".*")) {
            let at = |path: &String| Place { host: host.clone(), port: None, path: path.clone(), sockets: false };
            places.entry(rule.vendor).or_default().extend(spelt.iter().map(at));
        }
    }
    for (vendor, places) in &mut places {
        for host in &policy.vendor_def(*vendor).sockets {
            places.insert(Place { host: host.clone(), port: None, path: String::new(), sockets: true });
        }
    }
    places
}

/// A rule's path as a policy can say it (section 6.7.2.12): one path, or everything below a folder.
fn source_path(pattern: &str) -> Option<String> {
    let path = pattern.strip_suffix("/*").map_or_else(|| pattern.to_owned(), |folder| format!("{folder}/"));
    Place::parse(&format!("a.example{path}")).filter(|place| place.path == path && path != "/").map(|place| place.path)
}

/// Hosts that share a domain become the domain; one that shares it with nobody stays as it is.
fn by_domain(places: &BTreeSet<Place>) -> BTreeSet<Place> {
    let mut sharing: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    places.iter().for_each(|place| *sharing.entry((domain(&place.host), place.sockets)).or_default() += 1);
    let widened = places.iter().map(|place| match sharing[&(domain(&place.host), place.sockets)] {
        1 => place.clone(),
        _ => Place { host: domain(&place.host).to_owned(), port: None, path: String::new(), sockets: place.sockets },
    });
    widened.collect()
}

/// The last two labels of a name, or three where the last but one looks like part of a public suffix
/// (`co.uk`). Too long is harmless: then less is shared.
pub fn domain(host: &str) -> &str {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return host;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let Some(last) = dots.next() else { return host };
    let Some(second) = dots.next() else { return host };
    let suffix = host.len() - last == 3 && last - second <= 4;
    match (suffix, dots.next()) {
        (false, _) => &host[second + 1..],
        (true, Some(third)) => &host[third + 1..],
        (true, None) => host,
    }
}

/// The places that no other one covers: the same host or a domain above it, at every path. With
/// sockets is the wider of two that are equal otherwise.
fn without_covered(places: &BTreeSet<Place>) -> BTreeSet<Place> {
    let covers = |other: &Place, place: &Place| {
        let above = place.host.strip_suffix(other.host.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let wide = other.path.is_empty() && other.port == place.port && other.sockets >= place.sockets;
        other != place && above && wide
    };
    places.iter().filter(|place| !places.iter().any(|other| covers(other, place))).cloned().collect()
}

/// The sources of each place and of the names below it.
fn both(places: &BTreeSet<Place>, played: bool) -> Vec<String> {
    let mut all = Vec::new();
    for place in places {
        let named = place.host.parse::<std::net::Ipv4Addr>().is_err();
        let port = place.port.map(|port| format!(":{port}")).unwrap_or_default();
        sources(&mut all, place, &place.host, &port, true, named);
        if played {
            sources(&mut all, place, &format!("{}.localhost", place.host), ":*", true, named);
        }
    }
    all
}

/// One source a place: names below a domain, or the host where it is longer. The domain itself too
/// where the vendor's own snippets name it.
fn usual(policy: &Policy, places: &BTreeSet<Place>, open: &BTreeSet<Place>) -> Vec<String> {
    let quoted = |host: &str| {
        let address = format!("//{host}");
        let mut pages = policy.vendors().iter().flat_map(|def| &def.examples).map(|example| example.html.as_str());
        pages.any(|html| html.match_indices(&address).any(|(at, _)| html[at + address.len()..].starts_with(['/', '"', '\''])))
    };
    let mut all = Vec::new();
    for place in places {
        let port = place.port.map(|port| format!(":{port}")).unwrap_or_default();
        let is_domain = domain(&place.host) == place.host;
        let (host, below) = if open.contains(place) { (true, true) } else { (!is_domain || quoted(&place.host), is_domain) };
        sources(&mut all, place, &place.host, &port, host, below);
    }
    all
}

fn sources(all: &mut Vec<String>, place: &Place, name: &str, port: &str, host: bool, below: bool) {
    for scheme in ["", "wss://"].iter().take(1 + usize::from(place.sockets)) {
        if host {
            all.push(format!("{scheme}{name}{port}{}", place.path));
        }
        if below {
            all.push(format!("{scheme}*.{name}{port}{}", place.path));
        }
    }
}

fn join(sources: Vec<String>) -> String {
    sources.join(" ")
}

#[cfg(test)]
mod tests;
