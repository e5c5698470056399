//! Where the configuration comes from: `consentry.toml` with the command line over it. It is read
//! again whenever the file changes, and the command line goes before it every time.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use url::Url;

use super::files;
use crate::{
    config::{AdminToken, Config, Fault},
    telemetry::access::Target,
};

/// The configuration file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "consentry.toml";

/// What the command line says, over what the file says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The site behind; not where the file has several.
    pub upstream: Option<Url>,
    /// Where visitors come in.
    pub listen: Option<SocketAddr>,
    /// Where health is told.
    pub admin: Option<SocketAddr>,
    /// The folder of the consent log and the signing keys.
    pub data: Option<PathBuf>,
    /// Policy files, for every site.
    pub policies: Option<PathBuf>,
    /// Templates, for every site.
    pub templates: Option<PathBuf>,
    /// Every site is only observed.
    pub observe: bool,
}

/// A configuration that can be read again.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    file: Option<PathBuf>,
    flags: Flags,
}

impl ConfigSource {
    /// The named file, else `consentry.toml` in this folder if it is there, else none.
    pub fn new(named: Option<&Path>, flags: Flags) -> Self {
        let found = || Path::new(DEFAULT_FILE).is_file().then(|| PathBuf::from(DEFAULT_FILE));
        Self { file: named.map(Path::to_owned).or_else(found), flags }
    }

    /// No file: the defaults, with the command line over them.
    pub fn of(flags: Flags) -> Self {
        Self { file: None, flags }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads it. Files and folders named in the file are taken from where it stands. Returns warnings beside it.
    pub fn load(&self) -> Result<(Config, Vec<Fault>), Vec<Fault>> {
        let (mut config, warnings) = match &self.file {
            Some(file) => read(file)?,
            None => (Config::default(), Vec::new()),
        };
        self.flags.lie_over(&mut config)?;
        Ok((config, warnings))
    }
}

impl Flags {
    fn lie_over(&self, config: &mut Config) -> Result<(), Vec<Fault>> {
        if let Some(url) = &self.upstream {
            match config.sites.as_mut_slice() {
                [site] if site.hosts.is_empty() => site.upstreams = vec![url.clone()],
                _ => {
                    return Err(vec![Fault::whole(
                        "--upstream",
                        "the configuration file has [[site]], and each names its own",
                        "write the address there, or leave the flag out",
                    )]);
                }
            }
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.admin = self.admin.unwrap_or(config.admin);
        config.data = self.data.clone().unwrap_or(std::mem::take(&mut config.data));
        for site in &mut config.sites {
            site.policies = self.policies.clone().or(site.policies.take());
            site.templates = self.templates.clone().or(site.templates.take());
            site.observe |= self.observe;
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<(Config, Vec<Fault>), Vec<Fault>> {
    let text = files::read(file).map_err(|fault| vec![fault])?;
    let (mut config, faults, warnings) = Config::read(&file.to_string_lossy(), &text);
    if !faults.is_empty() {
        return Err(faults);
    }
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    for path in config.sites.iter_mut().flat_map(|site| site.paths_mut()) {
        *path = beside.join(&*path);
    }
    config.data = beside.join(&config.data);
    if let Some(file) = config.witness.as_mut().and_then(|witness| witness.file.as_mut()) {
        *file = beside.join(&*file);
    }
    if let Some(tls) = &mut config.tls {
        tls.lie_beside(&beside);
    }
    if let Some(Target::File(file)) = &mut config.access.log {
        *file = beside.join(&*file);
    }
    if let Some(named) = &config.admin_token_file {
        let file = beside.join(named);
        let text = files::read(&file).map_err(|fault| vec![fault])?;
        let token = AdminToken::new(text.trim()).map_err(|message| {
            let mend = "put one long random text into it, such as `openssl rand -hex 32` prints";
            vec![Fault::whole(&file.to_string_lossy(), message, mend)]
        })?;
        config.admin_token = Some(token);
    }
    Ok((config, warnings))
}
