//! `policies/headers.toml`: what browsers themselves do for advertisers, asked for and answered by
//! headers and switched off by a page's Permissions-Policy.

use super::{Sources, glob::Glob, purposes::PurposeDef, vendor::read_purposes};
use crate::{
    config::{At, Fault, File, Section},
    vocab::{Grants, PurposeSet},
};

/// Headers and features of browsers that need consent.
#[derive(Clone, Debug)]
pub struct HeaderGroup {
    /// What messages call it, such as `advertising`.
    pub id: String,
    /// Everything that has to be granted.
    pub purposes: PurposeSet,
    /// Names of request headers that do not reach the site without it, in lower case.
    pub request: Vec<Glob>,
    /// Names of answer headers that do not reach the browser without it, in lower case.
    pub response: Vec<Glob>,
    /// Features of the Permissions-Policy that pages are denied without it.
    pub features: Vec<String>,
}

impl HeaderGroup {
    /// Whether `grants` cover it.
    pub fn is_granted(&self, grants: &Grants) -> bool {
        self.purposes.is_subset(grants.purposes)
    }

    /// Whether a request header, in lower case, is one of the group's.
    pub fn withholds(&self, name: &str) -> bool {
        self.request.iter().any(|glob| glob.matches(name))
    }

    /// Whether an answer header, in lower case, is one of the group's.
    pub fn cuts(&self, name: &str) -> bool {
        self.response.iter().any(|glob| glob.matches(name))
    }
}

const FILE: &str = "headers.toml";

/// What no site works without: to cut one of these would be a slip of the pen.
const NEEDED: [&str; 12] = [
    "host",
    "cookie",
    "set-cookie",
    "authorization",
    "location",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "cache-control",
    "content-security-policy",
];

/// Reads the groups; none where the file is missing.
pub(super) fn read(sources: &Sources, known: &[PurposeDef], faults: &mut Vec<Fault>) -> Vec<HeaderGroup> {
    let Some(text) = sources.get(FILE) else { return Vec::new() };
    let (groups, mut found) =
        File::read(FILE, text, |root| root.sections("group").into_iter().filter_map(|group| read_group(group, known)).collect());
    faults.append(&mut found);
    groups
}

fn read_group(mut section: Section<'_>, known: &[PurposeDef]) -> Option<HeaderGroup> {
    let id = section.required_string("id");
    let purposes = read_purposes(&mut section, known);
    if purposes.is_none() && !section.names().iter().any(|at| at.value == "purposes") {
        section.fault(section.offset(), "`purposes` is missing", "add `purposes = [\"marketing\"]`");
    }
    let request = read_names(&mut section, "request");
    let response = read_names(&mut section, "response");
    let features = section.strings("features").unwrap_or_default();
    for at in features.iter().filter(|at| !is_name(&at.value, "-")) {
        section.fault(at.offset, format!("`{}` is no feature", at.value), "write one such as \"browsing-topics\"");
    }
    section.finish();
    Some(HeaderGroup {
        id: id?.value,
        purposes: purposes?,
        request,
        response,
        features: features.into_iter().map(|at| at.value).collect(),
    })
}

fn read_names(section: &mut Section<'_>, key: &'static str) -> Vec<Glob> {
    let names: Vec<At<String>> = section.strings(key).unwrap_or_default();
    for at in &names {
        let glob = Glob::new(&at.value);
        if !is_name(&at.value, "-*") || at.value.chars().filter(char::is_ascii_lowercase).count() < 4 {
            section.fault(
                at.offset,
                format!("`{}` is no name of a header", at.value),
                "write it in lower case, with `*` for any run of characters: \"attribution-reporting-*\"",
            );
        } else if let Some(needed) = NEEDED.iter().find(|needed| glob.matches(needed)) {
            section.fault(at.offset, format!("without `{needed}` no site works"), "name other headers");
        }
    }
    names.into_iter().map(|at| Glob::new(&at.value)).collect()
}

fn is_name(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c))
}
