//! A walk's findings: as a table, as JSON, and as policy files to review.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    super::{Failed, count},
    crawl::{Found, OtherFound, Proposal, propose},
    lists::Lists,
};
use crate::{policy::Policy, vocab::VendorId};

/// What to say about one third party.
struct Line<'f> {
    host: &'f str,
    found: &'f OtherFound,
    /// One word for programs.
    class: &'static str,
    /// What to write, for people.
    advice: String,
    listed: Option<bool>,
}

fn site(found: &Found) -> &str {
    found.start.as_ref().and_then(|url| url.host_str()).unwrap_or_default()
}

/// Third parties, the most frequent first.
fn lines<'f>(policy: &Policy, found: &'f Found, lists: &Lists) -> Vec<Line<'f>> {
    let mut lines: Vec<Line<'f>> = found
        .others
        .iter()
        .map(|(host, other)| {
            let (class, advice) = match propose(policy, site(found), host) {
                Proposal::Settled => ("settled", "hosts.toml names it".to_owned()),
                Proposal::NearVendor(vendor) => {
                    ("near-vendor", format!("a host of {}: allow the path that is needed, if any", policy.vendor_def(vendor).id))
                }
                Proposal::Preset(preset) => ("preset", format!("preset \"{}\" ({})", preset.id, preset.kind)),
                Proposal::Own => ("allowed", "allowed: looks like another name of the site".to_owned()),
                Proposal::Gate => ("gated", "look at it: [[gated]], marketing until somebody knows better".to_owned()),
            };
            let listed = lists.blocks(host);
            let advice = match listed {
                Some(true) => format!("{advice}; the filter list blocks it"),
                Some(false) => format!("{advice}; not in the filter list"),
                None => advice,
            };
            Line { host, found: other, class, advice, listed }
        })
        .collect();
    lines.sort_by(|a, b| b.found.pages.cmp(&a.found.pages).then(a.host.cmp(b.host)));
    lines
}

fn purposes(policy: &Policy, vendor: VendorId) -> String {
    let ids: Vec<&str> = policy.vendor_purposes(vendor).iter().map(|p| policy.purposes()[usize::from(p.0)].id.as_str()).collect();
    ids.join(", ")
}

/// The table.
pub(super) fn table(policy: &Policy, found: &Found, lists: &Lists) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let start = found.start.as_ref().map_or("", |url| url.as_str());
    let left = if found.left > 0 { format!(", {} more known and not read (--pages N)", found.left) } else { String::new() };
    writeln!(out, "{start}   {}, {}{left}", count(found.pages, "page"), count(found.sheets, "style sheet"))?;

    writeln!(out, "\nknown vendors: {}", found.vendors.len())?;
    let width = found.vendors.keys().map(|&id| policy.vendor_def(id).id.len()).max().unwrap_or(0).max(6);
    for (&vendor, on) in &found.vendors {
        let rules: Vec<&str> = on.rules.iter().map(|&rule| policy.rule(rule).id.as_str()).collect();
        let declared = if policy.declared().contains(vendor) { "" } else { "  (not declared: held, never offered)" };
        writeln!(
            out,
            "  {:<width$}  {:>9}  {:<22}  {}{declared}",
            policy.vendor_def(vendor).id,
            count(on.pages, "page"),
            purposes(policy, vendor),
            rules.join(", ")
        )?;
    }

    let lines = lines(policy, found, lists);
    writeln!(out, "\nother third parties: {}", lines.len())?;
    let width = lines.iter().map(|line| line.host.len()).max().unwrap_or(0).clamp(4, 48);
    for line in &lines {
        let (host, pages, times) = (line.host, count(line.found.pages, "page"), line.found.times);
        writeln!(out, "  {host:<width$}  {pages:>9}  {times:>5} ×  {}", line.advice)?;
    }
    if !found.unread.is_empty() {
        writeln!(out, "\nnot read: {}", found.unread.len())?;
        for (url, why) in &found.unread {
            writeln!(out, "  {url}  {why}")?;
        }
    }
    writeln!(out, "\nWhat scripts load later is not in the markup: run with containment = \"report\" and read /reports as well.")
}

/// One JSON object.
pub(super) fn json(policy: &Policy, found: &Found, lists: &Lists) -> io::Result<()> {
    let vendors: Vec<_> = found
        .vendors
        .iter()
        .map(|(&vendor, on)| {
            json!({
                "id": policy.vendor_def(vendor).id, "pages": on.pages, "example": on.example,
                "declared": policy.declared().contains(vendor),
                "purposes": policy.vendor_purposes(vendor).iter().map(|p| &policy.purposes()[usize::from(p.0)].id).collect::<Vec<_>>(),
                "rules": on.rules.iter().map(|&rule| &policy.rule(rule).id).collect::<Vec<_>>(),
            })
        })
        .collect();
    let others: Vec<_> = lines(policy, found, lists)
        .into_iter()
        .map(|line| {
            let preset = match propose(policy, site(found), line.host) {
                Proposal::Preset(preset) => Some(preset.id.as_str()),
                _ => None,
            };
            json!({
                "host": line.host, "pages": line.found.pages, "times": line.found.times, "example": line.found.example,
                "class": line.class, "preset": preset, "listed": line.listed,
            })
        })
        .collect();
    let unread: Vec<_> = found.unread.iter().map(|(url, why)| json!({ "url": url.as_str(), "why": why })).collect();
    let told = json!({
        "start": found.start.as_ref().map(|url| url.as_str()), "policy": policy.revision().to_string(),
        "pages": found.pages, "sheets": found.sheets, "left": found.left,
        "vendors": vendors, "others": others, "unread": unread,
    });
    writeln!(io::stdout().lock(), "{told}")
}

/// Writes `site.toml` and `hosts.toml` to review. Nothing is overwritten.
pub(super) fn write(policy: &Policy, found: &Found, lists: &Lists, dir: &Path) -> Result<(), Failed> {
    let files = [("site.toml", site_file(policy, found)), ("hosts.toml", hosts_file(policy, found, lists))];
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).exists()) {
        return Err(Failed::Usage(format!(
            "nothing was written: {} is already there\nname an empty folder, or move it away",
            dir.join(name).display()
        )));
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    for (name, text) in &files {
        fs::write(dir.join(name), text).with_context(|| format!("{} cannot be written", dir.join(name).display()))?;
    }
    Ok(())
}

fn site_file(policy: &Policy, found: &Found) -> String {
    let mut text =
        format!("# What `consentry explain --crawl` found on {} of {}: review it.\n\n", count(found.pages, "page"), site(found));
    text.push_str(
        "# The vendors whose tags stand in the pages. What a tag manager loads later is not among them: add it.\nvendors = [\n",
    );
    for (&vendor, on) in &found.vendors {
        let def = policy.vendor_def(vendor);
        let _ = writeln!(text, "    {}, # {}, first on {}", quoted(&def.id), count(on.pages, "page"), commented(&on.example));
    }
    text.push_str("]\n\n# Named in every notice and every record (GDPR article 4(7), recital 42).\n[controller]\n");
    let controller = policy.controller();
    for (key, value) in [
        ("name", &controller.name),
        ("address", &controller.address),
        ("contact", &controller.contact),
        ("privacy_policy", &controller.privacy_policy),
        ("dpo", &controller.dpo),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    text
}

fn hosts_file(policy: &Policy, found: &Found, lists: &Lists) -> String {
    let lines = lines(policy, found, lists);
    let why = |line: &Line<'_>| {
        let (pages, times, first) = (count(line.found.pages, "page"), line.found.times, commented(&line.found.example));
        format!("{times} × on {pages}, first on {first}")
    };
    let mut text = format!("# Third parties that are no known vendors, as found on {}: a proposal to review.\n\n", site(found));
    text.push_str("# Looks like the site's own; what the files say already is kept.\nallowed = [\n");
    for place in policy.hosts().allowed() {
        let _ = writeln!(text, "    {},", quoted(&place.to_string()));
    }
    for line in lines.iter().filter(|line| line.class == "allowed") {
        let _ = writeln!(text, "    {}, # {}", quoted(line.host), why(line));
    }
    text.push_str("]\n\npresets = [\n");
    for preset in policy.hosts().presets() {
        let met: Vec<&Line<'_>> = lines
            .iter()
            .filter(|line| matches!(propose(policy, site(found), line.host), Proposal::Preset(one) if one.id == preset.id))
            .collect();
        if preset.chosen || !met.is_empty() {
            let hosts: Vec<&str> = met.iter().map(|line| line.host).collect();
            let _ = writeln!(
                text,
                "    {}, # {}: {}. {}",
                quoted(&preset.id),
                preset.kind,
                hosts.join(", "),
                commented(&preset.told)
            );
        }
    }
    text.push_str("]\n");
    for line in lines.iter().filter(|line| matches!(line.class, "gated" | "near-vendor")) {
        let host = line.host;
        let _ = writeln!(text, "\n# {host}: {}. {}.", why(line), line.advice);
        let _ =
            writeln!(text, "# [[gated]]\n# hosts = [{}]\n# purposes = [\"marketing\"]\n# name = {}", quoted(host), quoted(host));
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Text from pages inside a comment: one line, nothing that a terminal or TOML takes for more.
fn commented(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
