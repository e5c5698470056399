//! `consentry check`: every fault of every file in one run. Nothing is started.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use super::{Failed, count};
use crate::{
    app::{AppError, Compiler, ConfigSource, Flags, check_upstreams},
    config::{Config, Containment, Fault, Limits},
    headers::csp::{Fit, Setting, Wall},
    policy::{Policy, Sources},
    site::Snapshot,
    tls,
    wire::Causes,
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
    let flags = Flags { policies: args.policies.clone(), templates: args.templates.clone(), ..Flags::default() };
    let source = ConfigSource::new(args.config.as_deref(), flags.clone());
    let mut faults = Vec::new();
    let (config, mut warnings) = source.load().unwrap_or_else(|mut found| {
        faults.append(&mut found);
        // The folders that the command line names are read all the same.
        ConfigSource::of(flags).load().unwrap_or_default()
    });
    if let Some(tls) = &config.tls {
        let (mut found, mut doubts) = tls::check(tls, &config.names());
        faults.append(&mut found);
        warnings.append(&mut doubts);
    }
    if let Err(error) = check_upstreams(&config) {
        match error {
            AppError::Faults(mut found) => faults.append(&mut found),
            error => {
                faults.push(Fault::whole("upstream", Causes(&error).to_string(), "see [upstream] url, or [[site]] upstream"))
            }
        }
    }
    match Compiler::new(Sources::embedded()).compile(&config.sites) {
        Ok((snapshots, mut more)) if faults.is_empty() => {
            warnings.append(&mut more);
            good(&config, &snapshots, &warnings).map_err(|error| Failed::Working(error.into()))
        }
        Ok(_) => Err(Failed::Faults(faults)),
        Err(mut found) => {
            faults.append(&mut found);
            Err(Failed::Faults(faults))
        }
    }
}

fn good(config: &Config, snapshots: &[Arc<Snapshot>], warnings: &[Fault]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for (site, snapshot) in config.sites.iter().zip(snapshots) {
        if !site.hosts.is_empty() {
            writeln!(out, "site             {}", site.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))?;
        }
        let policy = &snapshot.policy;
        let declared = policy.declared().iter().count();
        writeln!(out, "policy revision  {}", policy.revision())?;
        writeln!(out, "regime           {}", policy.regime().id)?;
        let purposes: Vec<&str> = policy.purposes().iter().map(|def| def.id.as_str()).collect();
        writeln!(out, "purposes         {}", purposes.join(", "))?;
        writeln!(out, "vendors          {declared} declared of {} known", policy.vendors().len())?;
        writeln!(out, "notices          {}", snapshot.notices.notices().count())?;
        contained(&mut out, site.containment, &config.limits, policy)?;
    }
    writeln!(out, "no faults, {}", count(warnings.len(), "warning"))
}

/// What the browser's wall lets through, and how large it gets.
fn contained(out: &mut impl io::Write, containment: Containment, limits: &Limits, policy: &Policy) -> io::Result<()> {
    let hosts = policy.hosts();
    let presets: Vec<&str> = hosts.presets().iter().filter(|preset| preset.chosen).map(|preset| preset.id.as_str()).collect();
    let mode = match containment {
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
    let wall = Wall::build(policy, &policy.everything(), &Setting::of(containment, limits, ""));
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
