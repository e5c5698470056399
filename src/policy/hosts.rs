//! `policies/hosts.toml` and `policies/presets.toml`: third parties that are no vendors with a file.
//!
//! What is allowed there is let through by containment; what is gated there becomes a vendor like any
//! other, so that markup, headers, guard and notices treat it so. None of it is part of the policy
//! revision but for gated vendors that the site declares: an allowed host asks nobody for anything.

use std::fmt;

use super::{
    Policy, Sources,
    glob::Glob,
    purposes::{ID_MEND, PurposeDef, is_id},
    vendor::{self, Rule, VendorDef, What},
};
use crate::{
    config::{At, Fault, File, Section, nearest},
    vocab::{VENDORS_MAX, VendorId},
};

/// A place on the web that containment can let through: `[wss://]host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Host name, lower case; names below it count as well. Or an IPv4 address.
    pub host: String,
    /// A port that is not the scheme's own.
    pub port: Option<u16>,
    /// Empty, one path, or everything below a path that ends in `/`.
    pub path: String,
    /// Whether WebSockets are opened there.
    pub sockets: bool,
}

/// What a preset's provider does for the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresetKind {
    /// Takes money.
    Payment,
    /// Tells people from programs.
    Captcha,
    /// Signs visitors in.
    Login,
    /// Serves public copies of libraries.
    Cdn,
}

/// A provider by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The id in `hosts.toml`, such as `stripe`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// What it does.
    pub kind: PresetKind,
    /// Where it is.
    pub places: Vec<Place>,
    /// What the operator should know before choosing it.
    pub told: String,
    /// Statements that no first-hand source confirms.
    pub unsure: Vec<String>,
    /// Whether `hosts.toml` names it.
    pub chosen: bool,
}

/// Third parties that are no vendors.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    allowed: Vec<Place>,
    presets: Vec<Preset>,
}

/// How a third party's host is classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostClass<'p> {
    /// A rule of these vendors names it.
    Vendor(Vec<VendorId>),
    /// The operator allowed it.
    Allowed,
    /// A chosen preset names it.
    Preset(&'p Preset),
    /// A preset knows it that the operator did not choose.
    Offered(&'p Preset),
    /// Nobody said anything.
    Unknown,
}

const HOSTS: &str = "hosts.toml";
const PRESETS: &str = "presets.toml";

impl Hosts {
    /// What the operator allowed by host.
    pub fn allowed(&self) -> &[Place] {
        &self.allowed
    }

    /// Every known preset, chosen or not, in the order of its file.
    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }

    /// Everything that containment lets through whatever a visitor grants.
    pub fn open(&self) -> impl Iterator<Item = &Place> {
        let chosen = self.presets.iter().filter(|preset| preset.chosen);
        self.allowed.iter().chain(chosen.flat_map(|preset| &preset.places))
    }
}

impl Policy {
    /// Third parties that are no vendors.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// How the operator classified a host (lower case). A vendor speaks first.
    pub fn host_class(&self, host: &str) -> HostClass<'_> {
        let host = host.strip_suffix(".localhost").unwrap_or(host);
        let mut vendors: Vec<VendorId> = Vec::new();
        for rule in &self.rules {
            if let What::Address { hosts, paths, query, .. } = &rule.what
                && hosts.iter().any(|named| if is_whole(paths, query) { is_below(host, named) } else { is_named(host, named) })
                && vendors.last() != Some(&rule.vendor)
            {
                vendors.push(rule.vendor);
            }
        }
        let knows = |places: &[Place]| places.iter().any(|place| is_below(host, &place.host));
        // A host that a vendor shares with others may be allowed by path: then both are true, and the
        // operator's word is the one that tells something new.
        if knows(&self.hosts.allowed) {
            return HostClass::Allowed;
        }
        if let Some(preset) = self.hosts.presets.iter().find(|preset| preset.chosen && knows(&preset.places)) {
            return HostClass::Preset(preset);
        }
        if !vendors.is_empty() {
            return HostClass::Vendor(vendors);
        }
        match self.hosts.presets.iter().find(|preset| knows(&preset.places)) {
            Some(preset) => HostClass::Offered(preset),
            None => HostClass::Unknown,
        }
    }
}

/// Whether `host` is `named` or a name below it.
fn is_below(host: &str, named: &str) -> bool {
    host.strip_suffix(named).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether `host` is `named` or its usual other name: what a rule that speaks about some paths is about.
fn is_named(host: &str, named: &str) -> bool {
    host.strip_prefix("www.").unwrap_or(host) == named.strip_prefix("www.").unwrap_or(named)
}

/// Whether a rule speaks about everything on its hosts.
fn is_whole(paths: &[Glob], query: &[(String, Glob)]) -> bool {
    paths.is_empty() && query.is_empty()
}

/// Reads both files; gated hosts are added to the vendors and rules, which stay sorted.
pub(super) fn read(
    sources: &Sources,
    purposes: &[PurposeDef],
    vendors: &mut Vec<VendorDef>,
    rules: &mut Vec<Rule>,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Hosts {
    let mut hosts = Hosts { allowed: Vec::new(), presets: read_presets(sources, faults) };
    let Some(text) = sources.get(HOSTS) else { return hosts };
    let ((), mut found) = File::read(HOSTS, text, |root| {
        for at in root.strings("presets").unwrap_or_default() {
            choose(root, &mut hosts.presets, &at);
        }
        let allowed: Vec<At<Place>> =
            root.strings("allowed").unwrap_or_default().into_iter().filter_map(|at| read_place(root, at)).collect();
        for at in &allowed {
            let warn = |message: String, mend: &str| warnings.push(Fault::at(HOSTS, text, at.offset, message, mend));
            check_against_vendors(root, at, vendors, rules, warn);
        }
        for section in root.sections("gated") {
            read_gated(section, purposes, &allowed, vendors, rules);
        }
        hosts.allowed = allowed.into_iter().map(|at| at.value).collect();
    });
    faults.append(&mut found);
    vendor::sort_by_id(vendors, rules);
    hosts
}

fn read_presets(sources: &Sources, faults: &mut Vec<Fault>) -> Vec<Preset> {
    let Some(text) = sources.get(PRESETS) else { return Vec::new() };
    let (presets, mut found) = File::read(PRESETS, text, |root| {
        let mut presets: Vec<Preset> = Vec::new();
        for section in root.sections("preset") {
            let offset = section.offset();
            if let Some(preset) = read_preset(section) {
                if presets.iter().any(|other| other.id == preset.id) {
                    root.fault(offset, format!("the preset `{}` is defined twice", preset.id), "give it another id");
                }
                presets.push(preset);
            }
        }
        presets
    });
    faults.append(&mut found);
    presets
}

fn read_preset(mut section: Section<'_>) -> Option<Preset> {
    let id = section.required_string("id");
    if let Some(at) = id.as_ref().filter(|at| !is_id(&at.value)) {
        section.fault(at.offset, format!("`{}` is no preset id", at.value), ID_MEND);
    }
    let name = section.required_string("name");
    let kind = section.required_string("kind").and_then(|at| match at.value.as_str() {
        "payment" => Some(PresetKind::Payment),
        "captcha" => Some(PresetKind::Captcha),
        "login" => Some(PresetKind::Login),
        "cdn" => Some(PresetKind::Cdn),
        other => {
            section.fault(at.offset, format!("`{other}` is no kind of preset"), "write payment, captcha, login or cdn");
            None
        }
    });
    let listed = section.strings("hosts").unwrap_or_default();
    let places: Vec<Place> = listed.into_iter().filter_map(|at| read_place(&section, at)).map(|at| at.value).collect();
    if places.is_empty() {
        section.fault(section.offset(), "a preset names at least one host", "add `hosts = [\"…\"]`");
    }
    let told = section.string("told").map(|at| at.value).unwrap_or_default();
    let unsure = section.strings("unsure").unwrap_or_default().into_iter().map(|at| at.value).collect();
    section.finish();
    Some(Preset { id: id?.value, name: name?.value, kind: kind?, places, told, unsure, chosen: false })
}

fn choose(root: &Section<'_>, presets: &mut [Preset], at: &At<String>) {
    if let Some(preset) = presets.iter_mut().find(|preset| preset.id == at.value) {
        preset.chosen = true;
        return;
    }
    let mend = match nearest(&at.value, presets.iter().map(|preset| preset.id.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", presets.iter().map(|preset| preset.id.as_str()).collect::<Vec<_>>().join(", ")),
    };
    root.fault(at.offset, format!("there is no preset `{}`", at.value), mend);
}

/// A known vendor cannot be allowed: visitors would be asked in vain.
fn check_against_vendors(
    root: &Section<'_>,
    at: &At<Place>,
    vendors: &[VendorDef],
    rules: &[Rule],
    mut warn: impl FnMut(String, &str),
) {
    let place = &at.value;
    let mut shared: Option<&str> = None;
    for rule in rules {
        let What::Address { hosts, paths, query, .. } = &rule.what else { continue };
        let id = vendors[usize::from(rule.vendor.0)].id.as_str();
        let Some(host) = hosts.iter().find(|host| is_below(&place.host, host) || is_below(host, &place.host)) else { continue };
        if is_whole(paths, query) && (is_below(&place.host, host) || place.path.is_empty()) {
            let (message, mend) = if is_below(&place.host, host) {
                (
                    format!("`{place}` is the vendor `{id}`"),
                    format!("take it out; declare \"{id}\" in site.toml, so that visitors are asked"),
                )
            } else {
                (
                    format!("`{place}` covers `{host}` of the vendor `{id}`"),
                    "name the hosts below it that the site needs".to_owned(),
                )
            };
            return root.fault(at.offset, message, mend);
        }
        let open = place.path.is_empty() && (is_below(host, &place.host) || is_named(&place.host, host));
        shared = shared.or(open.then_some(id));
    }
    if let Some(id) = shared {
        warn(
            format!(
                "`{place}` is also a host of the vendor `{id}`: its tags stay held in pages, but the browser's wall lets them through"
            ),
            "add the path that the site needs: \"host/path/\"",
        );
    }
}

fn read_gated(
    mut section: Section<'_>,
    purposes: &[PurposeDef],
    allowed: &[At<Place>],
    vendors: &mut Vec<VendorDef>,
    rules: &mut Vec<Rule>,
) {
    let offset = section.offset();
    let listed = section.strings("hosts").unwrap_or_default();
    let mut places: Vec<Place> = Vec::new();
    for At { value: place, offset } in listed.into_iter().filter_map(|at| read_place(&section, at)) {
        if place.port.is_some() || !place.path.is_empty() {
            section.fault(offset, format!("`{place}` is more than a host"), "write the host alone; a path goes into `paths`");
        }
        if allowed.iter().any(|at| is_below(&place.host, &at.value.host) && at.value.path.is_empty()) {
            section.fault(offset, format!("`{}` is both allowed and gated", place.host), "take it out of one of the two");
        }
        places.push(place);
    }
    let paths = section.strings("paths").unwrap_or_default();
    for at in paths.iter().filter(|at| !at.value.starts_with(['/', '*'])) {
        section.fault(at.offset, "a path pattern begins with `/` or `*`", "write \"/…\"");
    }
    let needs = vendor::read_purposes(&mut section, purposes);
    let name = section.required_string("name");
    let company = section.string("company").map(|at| at.value).unwrap_or_default();
    let privacy_policy = section.string("privacy_policy");
    if let Some(at) = privacy_policy.as_ref().filter(|at| !at.value.starts_with("https://")) {
        section.fault(at.offset, "`privacy_policy` is no https address", "write \"https://…\"");
    }
    let id = section.string("id");
    let id_offset = id.as_ref().map_or(offset, |at| at.offset);
    let id = id.map(|at| at.value).or_else(|| places.first().map(|place| place.host.replace('.', "-")));
    if places.is_empty() {
        section.fault(offset, "a gated third party names at least one host", "add `hosts = [\"…\"]`");
    }
    if needs.is_none() {
        section.fault(offset, "`gated.purposes` is missing", "add `purposes = [\"marketing\"]`");
    }
    if let Some(id) = &id {
        if !is_id(id) {
            section.fault(id_offset, format!("`{id}` is no vendor id"), ID_MEND);
        } else if vendors.iter().any(|def| def.id == *id) {
            section.fault(
                id_offset,
                format!("there is a vendor `{id}` already"),
                "give it another `id`, or add the hosts to that vendor's file",
            );
        } else if vendors.len() == VENDORS_MAX {
            section.fault(offset, format!("more than {VENDORS_MAX} vendors"), "remove the files of vendors you never meet");
            return section.finish();
        }
    }
    section.finish();
    let (Some(id), Some(name), Some(needs)) = (id, name, needs) else { return };
    rules.push(Rule {
        id: format!("{id}/host"),
        vendor: VendorId(vendors.len() as u16),
        purposes: needs,
        what: What::Address {
            hosts: places.iter().map(|place| place.host.clone()).collect(),
            paths: paths.into_iter().map(|at| Glob::new(&at.value)).collect(),
            query: Vec::new(),
            query_all: Vec::new(),
            unless_query: Vec::new(),
        },
    });
    vendors.push(VendorDef {
        id,
        name: name.value,
        company,
        privacy_policy: privacy_policy.map(|at| at.value).unwrap_or_default(),
        purposes: needs,
        sockets: places.into_iter().filter(|place| place.sockets).map(|place| place.host).collect(),
        ..VendorDef::default()
    });
}

fn read_place(section: &Section<'_>, at: At<String>) -> Option<At<Place>> {
    let place = Place::parse(&at.value);
    if place.is_none() {
        section.fault(
            at.offset,
            format!("`{}` is no host", at.value),
            "write \"cdn.example\", \"cdn.example/folder/\", \"cdn.example:8443\" or \"wss://chat.example\": lower case, no star, no http",
        );
    }
    Some(At { value: place?, offset: at.offset })
}

// === impl Place ===

impl Place {
    /// Reads the form of the files; nothing that a policy header could not carry.
    pub fn parse(text: &str) -> Option<Self> {
        let (sockets, rest) = match text.strip_prefix("wss://") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (authority, None),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        };
        let plain_host = host.len() <= 253 && host.contains('.') && host.split('.').all(label);
        // These would end a source, a directive or a policy (CSP Level 3, section 2.3.1).
        let plain_path =
            path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'*' | b'?' | b'#' | b'\'' | b'"'));
        (plain_host && plain_path).then(|| Self {
            host: host.to_owned(),
            port,
            path: if path == "/" { String::new() } else { path.to_owned() },
            sockets,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sockets {
            f.write_str("wss://")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

// === impl PresetKind ===

impl fmt::Display for PresetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Payment => "payment",
            Self::Captcha => "captcha",
            Self::Login => "login",
            Self::Cdn => "public CDN",
        })
    }
}

#[cfg(test)]
mod tests;
