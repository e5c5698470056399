//! `consentry explain`: the verdict for each tag of a page, and the rule that spoke.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use serde_json::json;
use url::Url;

use super::{Failed, count};
use crate::{
    app::read_policies,
    config::{Limits, nearest},
    html::{TagReport, explain},
    policy::Policy,
    proxy::{progress::Progress, upstream::Upstream},
    vocab::{Grants, Verdict},
    wire,
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
    /// Where a saved page stood: relative addresses are resolved against it
    #[arg(long, value_name = "URL", default_value = "http://localhost/")]
    base: String,
    /// What is granted: purposes and vendors by id, with commas between, or `all` [default: nothing]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    grant: Vec<String>,
    /// A folder of policy files, over the embedded ones
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The largest page that is fetched.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// How often a redirect is followed.
const REDIRECTS_MAX: usize = 5;

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let sources = read_policies(args.policies.as_deref()).map_err(Failed::Faults)?;
    let (policy, _) = Policy::compile(&sources).map_err(Failed::Faults)?;
    let policy = Arc::new(policy);
    let grants = grants(&policy, &args.grant)?;
    let (base, page) = match (&args.html, &args.url) {
        (Some(file), _) => {
            let page = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            (parse(&args.base)?, page)
        }
        (None, url) => {
            let url = parse(url.as_deref().unwrap_or_default())?;
            super::block_on(async { fetch(url).await.map_err(Failed::Working) })?
        }
    };
    let tags = explain(&policy, grants, &base, &page).context("the page cannot be gated")?;
    let told = if args.json { tell_json(&policy, &base, &tags) } else { tell(&policy, &base, &tags) };
    told.map_err(|error| Failed::Working(error.into()))
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

/// Fetches a page as a browser would ask for it, following redirects.
async fn fetch(mut url: Url) -> anyhow::Result<(Url, Vec<u8>)> {
    for _ in 0..=REDIRECTS_MAX {
        let upstream = Upstream::new(&url, &Limits::default())?;
        let authority = url.host_str().map(|host| url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let req = Request::get(target)
            .header(header::HOST, authority.unwrap_or_default())
            .header(header::ACCEPT, "text/html")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")))
            .body(wire::empty())?;
        let resp = upstream.send(req, &Progress::none()).await.map_err(|failure| anyhow!("{}", wire::Causes(&failure)))?;
        if resp.status().is_redirection()
            && let Some(place) = resp.headers().get(header::LOCATION).and_then(|value| value.to_str().ok())
        {
            url = url.join(place).context("the page redirects to no address")?;
            continue;
        }
        if resp.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != HeaderValue::from_static("identity")) {
            bail!("the server sent a compressed page although none was asked for; save the page and use --html");
        }
        let body = http_body_util::Limited::new(resp.into_body(), PAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the page broke off or is larger than {PAGE_BYTES_MAX} bytes: {error}"))?;
        return Ok((url, body.to_bytes().to_vec()));
    }
    bail!("the page redirects more than {REDIRECTS_MAX} times")
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
        let place = tag
            .address
            .clone()
            .unwrap_or_else(|| tag.attribute.as_deref().map_or("inline", |_| "a list of addresses").to_owned());
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

fn tell_json(policy: &Policy, base: &Url, tags: &[TagReport]) -> io::Result<()> {
    let tags: Vec<_> = tags
        .iter()
        .map(|tag| {
            json!({
                "offset": tag.offset, "element": tag.element, "attribute": tag.attribute, "address": tag.address,
                "verdict": tag.verdict.to_string(), "rules": rules(policy, tag), "late": tag.late,
            })
        })
        .collect();
    writeln!(io::stdout().lock(), "{}", json!({ "page": base.as_str(), "policy": policy.revision().to_string(), "tags": tags }))
}
