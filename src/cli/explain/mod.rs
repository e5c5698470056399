//! `consentry explain`: the verdict for each tag of a page, the rule that spoke, and what containment
//! lets through; or, with `--crawl`, the vendors and third parties of a whole site.

mod crawl;
mod fetch;
mod lists;
mod told;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use serde_json::json;
use url::Url;

use self::{crawl::Proposal, fetch::Fetcher, lists::Lists};
use super::{Failed, count};
use crate::{
    app::{load_config, read_policies},
    config::{Limits, SiteConfig, nearest},
    headers::csp::{Fit, Setting, Wall},
    html::{self, Inventory, TagReport},
    policy::Policy,
    vocab::{Grants, Verdict},
};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("page").required(true))]
pub(super) struct Args {
    /// The page's address
    #[arg(group = "page", value_name = "URL")]
    url: Option<String>,
    /// A saved page instead
    #[arg(long, group = "page", value_name = "FILE")]
    html: Option<PathBuf>,
    /// A whole site instead: walk its pages from here and list vendors and third parties
    #[arg(long, group = "page", value_name = "URL")]
    crawl: Option<String>,
    /// How many pages to walk
    #[arg(long, value_name = "N", default_value_t = 50, requires = "crawl", value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pages: u16,
    /// Write what was found as policy files to review: site.toml and hosts.toml
    #[arg(long, value_name = "DIR", requires = "crawl")]
    write: Option<PathBuf>,
    /// A filter list in the syntax of EasyPrivacy, as a second opinion on third parties
    #[arg(long, value_name = "FILE", requires = "crawl")]
    filter_list: Vec<PathBuf>,
    /// Where a saved page stood: relative addresses are resolved against it
    #[arg(long, value_name = "URL", default_value = "http://localhost/")]
    base: String,
    /// What is granted: purposes and vendors by id, with commas between, or `all` [default: nothing]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    grant: Vec<String>,
    /// A folder of policy files, over the embedded ones
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A configuration file instead: the policies and the containment of the site that has the page's host
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    config: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let (site, limits) = site(args)?;
    let sources = read_policies(site.policies.as_deref()).map_err(Failed::Faults)?;
    let (policy, _) = Policy::compile(&sources).map_err(Failed::Faults)?;
    let policy = Arc::new(policy);
    let grants = grants(&policy, &args.grant)?;
    if let Some(start) = &args.crawl {
        return walk(args, &policy, grants, parse(start)?);
    }
    let (base, page) = match (&args.html, &args.url) {
        (Some(file), _) => {
            let page = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            (parse(&args.base)?, page)
        }
        (None, url) => {
            let url = parse(url.as_deref().unwrap_or_default())?;
            let got = super::block_on(async { Fetcher::default().get(url, "text/html").await.map_err(Failed::Working) })?;
            (got.url, got.body)
        }
    };
    let inventory = html::inventory(&policy, grants, &base, &page).context("the page cannot be gated")?;
    let wall = Wall::build(&policy, &grants, &Setting::of(site.containment, &limits, ""));
    let told = if args.json {
        tell_json(&policy, &base, &inventory, &wall)
    } else {
        tell(&policy, &base, &inventory.tags).and_then(|()| tell_contained(&policy, &base, &inventory, &wall))
    };
    told.map_err(|error| Failed::Working(error.into()))
}

/// The site whose page it is: of the configuration file, else one of defaults and `--policies`.
fn site(args: &Args) -> Result<(SiteConfig, Limits), Failed> {
    let Some(file) = &args.config else {
        return Ok((SiteConfig { policies: args.policies.clone(), ..SiteConfig::default() }, Limits::default()));
    };
    let (config, _) = load_config(Some(file)).map_err(Failed::Faults)?;
    let page = parse(args.crawl.as_ref().or(args.url.as_ref()).unwrap_or(&args.base))?;
    let host = page.host_str().unwrap_or_default().trim_end_matches('.');
    let fits = config.sites.into_iter().filter_map(|site| site.fit(host).map(|fit| (fit, site)));
    match fits.max_by_key(|(fit, _)| *fit) {
        Some((_, site)) => Ok((site, config.limits)),
        None => Err(Failed::Usage(format!("{}: no [[site]] has the host {host}; name the page's with --base", file.display()))),
    }
}

fn walk(args: &Args, policy: &Arc<Policy>, grants: Grants, start: Url) -> Result<(), Failed> {
    let lists = Lists::read(&args.filter_list)?;
    let shown = io::stderr().is_terminal();
    let progress = |number: usize, url: &Url| {
        if shown {
            // Nobody reads it where it cannot be written.
            let _ = writeln!(io::stderr(), "page {number}: {}", url.path());
        }
    };
    let walked = crawl::walk(policy, grants, start, usize::from(args.pages), progress);
    let found = super::block_on(async { walked.await.map_err(Failed::Working) })?;
    if let Some(dir) = &args.write {
        told::write(policy, &found, &lists, dir)?;
    }
    let told = if args.json { told::json(policy, &found, &lists) } else { told::table(policy, &found, &lists) };
    told.and_then(|()| match &args.write {
        Some(dir) if !args.json => {
            let dir = dir.display();
            writeln!(
                io::stdout(),
                "written: {dir}/site.toml and {dir}/hosts.toml; review them, then `consentry check --policies {dir}`"
            )
        }
        _ => Ok(()),
    })
    .map_err(|error| Failed::Working(error.into()))
}

fn parse(url: &str) -> Result<Url, Failed> {
    let url = Url::parse(url)
        .map_err(|error| Failed::Usage(format!("{url}: {error}; write https://…, or name a saved page with --html")))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(Failed::Usage(format!("{url}: write http:// or https://")))
    }
}

fn grants(policy: &Policy, list: &[String]) -> Result<Grants, Failed> {
    let mut grants = policy.undecided();
    for id in list {
        if id == "all" {
            grants = policy.everything();
        } else if let Some(purpose) = policy.purpose(id) {
            grants.purposes.insert(purpose);
        } else if let Some(vendor) = policy.vendor(id) {
            grants.allowed.insert(vendor);
        } else {
            let known =
                policy.purposes().iter().map(|def| def.id.as_str()).chain(policy.vendors().iter().map(|def| def.id.as_str()));
            let mend = nearest(id, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(Failed::Usage(format!("--grant {id}: neither a purpose nor a vendor of this policy{mend}")));
        }
    }
    Ok(grants)
}

fn rules<'p>(policy: &'p Policy, tag: &TagReport) -> Vec<&'p str> {
    tag.rules.iter().map(|&id| policy.rule(id).id.as_str()).collect()
}

fn tell(policy: &Policy, base: &Url, tags: &[TagReport]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    writeln!(out, "{base}   policy {}", policy.revision().0.short())?;
    if tags.is_empty() {
        return writeln!(out, "no tag of a known vendor");
    }
    let what = |tag: &TagReport| {
        let place = tag.address.clone().unwrap_or_else(|| whereabouts(tag.attribute.as_deref()).to_owned());
        match &tag.attribute {
            Some(attribute) => format!("<{} {attribute}> {place}", tag.element),
            None => format!("<{}> {place}", tag.element),
        }
    };
    let spoke = |tag: &TagReport| rules(policy, tag).join(" + ");
    let width = tags.iter().map(|tag| spoke(tag).chars().count()).max().unwrap_or(4).clamp(4, 48);
    writeln!(out, "{:>8}  {:<7}  {:<width$}  tag", "byte", "verdict", "rule")?;
    for tag in tags {
        let (on, off) = match (colour, tag.verdict) {
            (false, _) => ("", ""),
            (true, Verdict::Allow) => ("\x1b[32m", "\x1b[0m"),
            (true, Verdict::Hold) => ("\x1b[33m", "\x1b[0m"),
            (true, Verdict::Strip) => ("\x1b[31m", "\x1b[0m"),
        };
        let late = if tag.late { "  (needs parse time: works from the page after a grant on)" } else { "" };
        writeln!(out, "{:>8}  {on}{:<7}{off}  {:<width$}  {}{late}", tag.offset, tag.verdict.to_string(), spoke(tag), what(tag))?;
    }
    let kept = |verdict| tags.iter().filter(|tag| tag.verdict == verdict).count();
    writeln!(
        out,
        "{}: {} held, {} stripped, {} allowed",
        count(tags.len(), "tag"),
        kept(Verdict::Hold),
        kept(Verdict::Strip),
        kept(Verdict::Allow)
    )
}

/// The browser's wall for a visitor with these grants, and who on the page stands outside of it.
fn tell_contained(policy: &Policy, base: &Url, inventory: &Inventory, wall: &Wall) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let through = match (wall.fit, wall.sources()) {
        (Fit::Open, _) => "every https address: more is granted than a header can name ([limits] containment_bytes)".to_owned(),
        (_, "") => "the site itself".to_owned(),
        (_, sources) => {
            format!("the site itself, {}", sources.split(' ').filter(|s| !s.contains('*')).collect::<Vec<_>>().join(", "))
        }
    };
    writeln!(out, "\ncontainment lets through: {through}")?;
    let site = base.host_str().unwrap_or_default();
    let outside: Vec<(&String, &u32, Proposal<'_>)> = inventory
        .others
        .iter()
        .map(|(host, times)| (host, times, crawl::propose(policy, site, host)))
        .filter(|(.., proposal)| *proposal != Proposal::Settled)
        .collect();
    writeln!(out, "third parties outside of it: {}", outside.len())?;
    for (host, times, proposal) in outside {
        let advice = match proposal {
            Proposal::Preset(preset) => format!("hosts.toml: presets = [\"{}\"]", preset.id),
            Proposal::Own => "hosts.toml: allowed, if it is the site's".to_owned(),
            Proposal::NearVendor(vendor) => format!("a host of {}", policy.vendor_def(vendor).id),
            Proposal::Gate | Proposal::Settled => "hosts.toml: allowed or [[gated]]".to_owned(),
        };
        writeln!(out, "  {host}  {times} ×  {advice}")?;
    }
    Ok(())
}

fn tell_json(policy: &Policy, base: &Url, inventory: &Inventory, wall: &Wall) -> io::Result<()> {
    let tags: Vec<_> = inventory
        .tags
        .iter()
        .map(|tag| {
            json!({
                "offset": tag.offset, "element": tag.element, "attribute": tag.attribute, "address": tag.address,
                "verdict": tag.verdict.to_string(), "rules": rules(policy, tag), "late": tag.late,
            })
        })
        .collect();
    let told = json!({
        "page": base.as_str(), "policy": policy.revision().to_string(), "tags": tags, "others": inventory.others,
        "containment": wall.policy(),
    });
    writeln!(io::stdout().lock(), "{told}")
}

/// Where the address stands that is not shown by itself.
fn whereabouts(attribute: Option<&str>) -> &'static str {
    match attribute {
        None => "inline",
        Some("srcdoc") => "in its document",
        Some("srcset" | "imagesrcset" | "ping" | "attributionsrc") => "in its list",
        Some("style") => "in its style",
        Some("content") => "in its refresh",
        Some(_) => "in what it spells out",
    }
}
