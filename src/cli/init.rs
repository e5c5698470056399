//! `consentry init`: the embedded files, written out to edit.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;

use super::{Failed, count};
use crate::{notice::TemplateSources, policy::Sources};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// The commented configuration.
const CONFIG: &str = include_str!("../../templates/ops/consentry.toml");

/// What runs it: units for systemd, an image.
const OPS: [(&str, &str); 3] = [
    ("consentry.service", include_str!("../../templates/ops/consentry.service")),
    ("consentry.socket", include_str!("../../templates/ops/consentry.socket")),
    ("Containerfile", include_str!("../../templates/ops/Containerfile")),
];

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let mut files: Vec<(PathBuf, String)> = vec![(args.dir.join("consentry.toml"), CONFIG.to_owned())];
    files.extend(OPS.map(|(name, text)| (args.dir.join("ops").join(name), text.to_owned())));
    let policies = args.dir.join("policies");
    files.extend(Sources::embedded().iter().map(|(path, text)| (policies.join(path), text.to_owned())));
    let templates = args.dir.join("templates");
    files.extend(TemplateSources::embedded().iter().map(|(path, text)| (templates.join(path), text.to_owned())));

    let there: Vec<String> = files.iter().filter(|(file, _)| file.exists()).map(|(file, _)| file.display().to_string()).collect();
    if !there.is_empty() {
        return Err(Failed::Usage(format!(
            "nothing was written: {} already there\n{}\nname an empty folder, or move them away",
            count(there.len(), "file"),
            there.join("\n")
        )));
    }
    for (file, text) in &files {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    told(args, files.len()).map_err(|error| Failed::Working(error.into()))
}

fn told(args: &Args, written: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let config = args.dir.join("consentry.toml");
    writeln!(out, "{} written below {}", count(written, "file"), args.dir.display())?;
    writeln!(out, "next:  name your vendors and yourself in {}", args.dir.join("policies/site.toml").display())?;
    writeln!(out, "       consentry check --config {}", config.display())?;
    writeln!(out, "       consentry serve --config {} --upstream https://your.site", config.display())
}

#[cfg(test)]
mod tests {
    use super::CONFIG;
    use crate::config::{Config, Limits};

    #[test]
    fn the_commented_configuration_says_the_defaults() {
        // Every line that is a comment of the form `# key = value` is the default of that key.
        let uncommented: String = CONFIG
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            // What has no default, since it is off.
            .filter(|line| !["admin_token_file", "log = "].iter().any(|off| line.starts_with(off)))
            .collect::<Vec<_>>()
            .join("\n");
        let (config, faults, _) = Config::read("consentry.toml", &uncommented);
        assert!(faults.is_empty(), "{faults:#?}");
        let defaults = Config::default();
        assert_eq!(
            (config.listen, config.admin, &config.sites[0].prefix),
            (defaults.listen, defaults.admin, &defaults.sites[0].prefix)
        );
        assert_eq!((config.limits, config.access), (Limits::default(), defaults.access));
        for (name, ..) in Limits::TABLE {
            assert!(uncommented.contains(&format!("\n{name} = ")), "{name} is missing in the commented file");
        }
    }

    #[test]
    fn the_examples_in_the_commented_configuration_are_good() {
        let example = |line: &'static str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty());
        let text: String = CONFIG.lines().map(|line| example(line).unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let (config, faults, _) = Config::read("consentry.toml", &text);
        assert!(faults.is_empty(), "{faults:#?}");
        let tls = config.tls.expect("[tls]");
        assert!(tls.certificates.len() == 2 && tls.acme.is_some() && config.sites[0].hosts.len() == 2);
    }
}
