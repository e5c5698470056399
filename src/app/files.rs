//! Reads the files that people edit. Every file that cannot be read is a fault with its name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::{AdminToken, Config, Fault},
    notice::TemplateSources,
    policy::Sources,
    telemetry::access::Target,
};

/// The operator's folders of edited files, each of which lies over the embedded files.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// Policy files.
    pub policies: Option<PathBuf>,
    /// Templates and strings.
    pub templates: Option<PathBuf>,
}

impl Folders {
    /// Faults with each file named as it lies on the disk, or as built in.
    pub(super) fn name(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        for fault in &mut faults {
            let policy = ["vendors/", "regimes/"].iter().any(|folder| fault.file.starts_with(folder));
            let policy = policy
                || matches!(fault.file.as_str(), "site.toml" | "default.toml" | "hosts.toml" | "presets.toml" | "headers.toml");
            let (folder, shown) = if policy { (&self.policies, "policies") } else { (&self.templates, "templates") };
            let edited = folder.as_ref().map(|folder| folder.join(&fault.file)).filter(|file| file.is_file());
            fault.file = edited.map_or_else(|| format!("{shown}/{} (built in)", fault.file), |file| file.display().to_string());
        }
        faults
    }
}

/// The configuration file that is read when none is named, if it is there.
const DEFAULT_CONFIG: &str = "consentry.toml";

/// Reads the configuration: the named file, else `consentry.toml` in this folder, else the defaults.
/// Folders named in it are taken from where the file stands. Returns warnings beside it.
pub fn load_config(named: Option<&Path>) -> Result<(Config, Vec<Fault>), Vec<Fault>> {
    let file = match named {
        Some(file) => file.to_owned(),
        None if Path::new(DEFAULT_CONFIG).is_file() => PathBuf::from(DEFAULT_CONFIG),
        None => return Ok((Config::default(), Vec::new())),
    };
    let text = read(&file).map_err(|fault| vec![fault])?;
    let (mut config, faults, warnings) = Config::read(&file.to_string_lossy(), &text);
    if !faults.is_empty() {
        return Err(faults);
    }
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    for folder in [&mut config.policies, &mut config.templates].into_iter().flatten() {
        *folder = beside.join(&*folder);
    }
    config.data = beside.join(&config.data);
    if let Some(Target::File(file)) = &mut config.access.log {
        *file = beside.join(&*file);
    }
    if let Some(named) = &config.admin_token_file {
        let file = beside.join(named);
        let text = read(&file).map_err(|fault| vec![fault])?;
        let token = AdminToken::new(text.trim()).map_err(|message| {
            vec![Fault::whole(
                &file.to_string_lossy(),
                message,
                "put one long random text into it, such as `openssl rand -hex 32` prints",
            )]
        })?;
        config.admin_token = Some(token);
    }
    Ok((config, warnings))
}

/// The embedded policies with the operator's folder over them, file by file.
pub fn read_policies(folder: Option<&Path>) -> Result<Sources, Vec<Fault>> {
    let mut sources = Sources::embedded();
    read_over(folder, |path| path.ends_with(".toml"), |path, text| sources.insert(path, text))?;
    Ok(sources)
}

/// The embedded templates with the operator's folder over them, file by file.
pub fn read_templates(folder: Option<&Path>) -> Result<TemplateSources, Vec<Fault>> {
    let mut sources = TemplateSources::embedded();
    let known = |path: &str| [".html", ".css", ".js", ".toml"].iter().any(|ending| path.ends_with(ending));
    read_over(folder, known, |path, text| sources.insert(path, text))?;
    Ok(sources)
}

fn read_over(
    folder: Option<&Path>,
    wanted: impl Fn(&str) -> bool,
    mut insert: impl FnMut(String, String),
) -> Result<(), Vec<Fault>> {
    let Some(folder) = folder else { return Ok(()) };
    let mut faults = Vec::new();
    let mut files = Vec::new();
    if let Err(error) = list(folder, &mut files) {
        return Err(vec![Fault::whole(
            &folder.to_string_lossy(),
            format!("the folder cannot be read: {error}"),
            "name an existing folder",
        )]);
    }
    files.sort();
    for file in files {
        let Ok(below) = file.strip_prefix(folder) else { continue };
        let path = below.to_string_lossy().replace('\\', "/");
        // Editors keep their swap and backup files beside the real one.
        if !wanted(&path) || path.rsplit('/').next().is_some_and(|name| name.starts_with(['.', '#'])) {
            continue;
        }
        match read(&file) {
            Ok(text) => insert(path, text),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn read(file: &Path) -> Result<String, Fault> {
    fs::read_to_string(file).map_err(|error| {
        Fault::whole(
            &file.to_string_lossy(),
            format!("the file cannot be read: {error}"),
            "check its name and who may read it; text is UTF-8",
        )
    })
}

/// Every file below a folder.
pub(super) fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
