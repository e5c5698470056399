//! `consentry check`: every fault of every file in one run. Nothing is started.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::{Failed, count};
use crate::{
    app::{Folders, compile, load_config, read_policies, read_templates},
    config::{Config, Containment, Fault},
    headers::csp::{Fit, Setting, Wall},
    policy::Policy,
    site::Snapshot,
    tls,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The configuration file [default: consentry.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of policy files, over the embedded ones
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A folder of templates, over the embedded ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let mut faults = Vec::new();
    let (config, mut warnings) = load_config(args.config.as_deref()).unwrap_or_else(|mut found| {
        faults.append(&mut found);
        Default::default()
    });
    if let Some(tls) = &config.tls {
        let (mut found, mut doubts) = tls::check(tls, &[]);
        faults.append(&mut found);
        warnings.append(&mut doubts);
    }
    let folders = Folders {
        policies: args.policies.clone().or_else(|| config.policies.clone()),
        templates: args.templates.clone().or_else(|| config.templates.clone()),
    };
    let policies = read_policies(folders.policies.as_deref());
    let templates = read_templates(folders.templates.as_deref());
    match (policies, templates) {
        (Ok(policies), Ok(templates)) => match compile(&policies, &templates, &folders, &config.prefix) {
            Ok((snapshot, mut more)) => {
                warnings.append(&mut more);
                if faults.is_empty() {
                    return good(&config, &snapshot, &warnings).map_err(|error| Failed::Working(error.into()));
                }
            }
            Err(mut found) => faults.append(&mut found),
        },
        (policies, templates) => {
            faults.extend(policies.err().into_iter().flatten());
            faults.extend(templates.err().into_iter().flatten());
        }
    }
    Err(Failed::Faults(faults))
}

fn good(config: &Config, snapshot: &Snapshot, warnings: &[Fault]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let policy = &snapshot.policy;
    let declared = policy.declared().iter().count();
    writeln!(out, "policy revision  {}", policy.revision())?;
    writeln!(out, "regime           {}", policy.regime().id)?;
    writeln!(out, "purposes         {}", policy.purposes().iter().map(|def| def.id.as_str()).collect::<Vec<_>>().join(", "))?;
    writeln!(out, "vendors          {declared} declared of {} known", policy.vendors().len())?;
    writeln!(out, "notices          {}", snapshot.notices.notices().count())?;
    contained(&mut out, config, policy)?;
    writeln!(out, "no faults, {}", count(warnings.len(), "warning"))
}

/// What the browser's wall lets through, and how large it gets.
fn contained(out: &mut impl io::Write, config: &Config, policy: &Policy) -> io::Result<()> {
    let hosts = policy.hosts();
    let presets: Vec<&str> = hosts.presets().iter().filter(|preset| preset.chosen).map(|preset| preset.id.as_str()).collect();
    let mode = match config.containment {
        Containment::Off => return writeln!(out, "containment      off: third parties that nobody classified are not looked at"),
        Containment::Report => "report: browsers tell of third parties that nobody classified",
        Containment::Enforce => "enforce: browsers stop third parties that nobody classified",
    };
    writeln!(out, "containment      {mode}")?;
    writeln!(
        out,
        "                 {} allowed, {}{}{}",
        count(hosts.allowed().len(), "host"),
        count(presets.len(), "preset"),
        if presets.is_empty() { "" } else { ": " },
        presets.join(", ")
    )?;
    for preset in hosts.presets().iter().filter(|preset| preset.chosen && !preset.told.is_empty()) {
        writeln!(out, "                 {}: {}", preset.id, preset.told)?;
        for doubt in &preset.unsure {
            writeln!(out, "                 {}, unsure: {doubt}", preset.id)?;
        }
    }
    let wall = Wall::build(policy, &policy.everything(), &Setting::of(config, ""));
    let told = match wall.fit {
        Fit::Exact => "every host by name",
        Fit::Domains => "hosts of one vendor by their domain, to stay within containment_bytes",
        Fit::Usual => "domains in their usual form, to stay within containment_bytes: some reports may name granted vendors",
        Fit::Open => {
            "every https address is let through: more vendors are granted than containment_bytes can name. Declare those \
             that the site uses, or raise the limit and the buffer of the proxy in front"
        }
    };
    writeln!(out, "                 with everything granted {} bytes: {told}", wall.policy().len())
}
