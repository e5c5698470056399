//! `consentry check`: every fault of every file in one run. Nothing is started.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::{Failed, count};
use crate::app::{Folders, compile, load_config, read_policies, read_templates};

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
                    return good(&snapshot, &warnings).map_err(|error| Failed::Working(error.into()));
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

fn good(snapshot: &crate::site::Snapshot, warnings: &[crate::config::Fault]) -> io::Result<()> {
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
    writeln!(out, "no faults, {}", count(warnings.len(), "warning"))
}
