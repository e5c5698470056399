//! What the tests know about the world, as data: the forms in which vendors' tags are found in the wild
//! (`tags/<vendor>.toml`, with the beacons each sends when nothing holds it), and how the demo plays the
//! vendors (`templates/demo/played.toml`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

/// One way in which a vendor's tag stands in pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Form {
    /// The vendor, from the file's name.
    #[serde(skip)]
    pub(crate) vendor: String,
    /// Which form, unique for the vendor.
    pub(crate) name: String,
    /// The markup, as a site's owner pasted it.
    pub(crate) html: String,
    /// Whether it is for visitors without scripts only (a `noscript` pixel): its beacons are sent with
    /// scripts off, and none with scripts on.
    #[serde(default)]
    pub(crate) nojs: bool,
    /// Whether a script of it writes into the page while it is parsed: released late it cannot work, it does
    /// from the next page on.
    #[serde(default)]
    pub(crate) parse_time: bool,
    /// The requests by which it tells the vendor about the visit.
    #[serde(default)]
    pub(crate) beacon: Vec<Beacon>,
}

/// A request that a form sends each time it runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beacon {
    /// The exact host.
    pub(crate) host: String,
    /// The path, `*` for any run of characters.
    pub(crate) path: String,
    /// One query parameter as `name=pattern`, the id usually; empty for any query.
    #[serde(default)]
    pub(crate) query: String,
    /// How often a page view sends it.
    #[serde(default = "once")]
    pub(crate) count: usize,
}

/// How vendors are played.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Played {
    /// Every host that is a vendor's.
    pub(crate) hosts: Vec<String>,
    /// Scripts they serve.
    #[serde(default)]
    pub(crate) script: Vec<PlayedFile>,
    /// Documents for frames that they serve.
    #[serde(default)]
    pub(crate) frame: Vec<PlayedFile>,
}

/// A file that a vendor serves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlayedFile {
    /// Whose it is.
    pub(crate) vendor: String,
    /// The exact host.
    pub(crate) host: String,
    /// The path, `*` for any run of characters.
    pub(crate) path: String,
    /// The file below `played/`; its text once read.
    pub(crate) file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormFile {
    form: Vec<Form>,
}

fn once() -> usize {
    1
}

fn home(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Every form of every vendor, by vendor and in the file's order.
pub(crate) fn all() -> Vec<Form> {
    let folder = home("tests/browser/tags");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()))
        .map(|entry| entry.expect("a folder just opened can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut forms = Vec::new();
    for path in files {
        let vendor = path.file_stem().and_then(|stem| stem.to_str()).expect("file names here are ASCII").to_owned();
        for mut form in read::<FormFile>(&path).form {
            form.vendor.clone_from(&vendor);
            forms.push(form);
        }
    }
    forms
}

/// The vendors with their forms.
pub(crate) fn by_vendor() -> Vec<(String, Vec<Form>)> {
    let mut vendors: Vec<(String, Vec<Form>)> = Vec::new();
    for form in all() {
        match vendors.last_mut() {
            Some((vendor, forms)) if *vendor == form.vendor => forms.push(form),
            _ => vendors.push((form.vendor.clone(), vec![form])),
        }
    }
    vendors
}

/// How the demo plays the vendors, with every file's text in place of its name.
pub(crate) fn played() -> Played {
    let mut played: Played = read(&home("templates/demo/played.toml"));
    let vendors = home("policies/vendors");
    for one in played.script.iter_mut().chain(&mut played.frame) {
        assert!(vendors.join(format!("{}.toml", one.vendor)).exists(), "{} is played but no vendor", one.vendor);
        let path = home("templates/demo/played").join(&one.file);
        one.file = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    }
    played
}

/// Whether a text is matched by a pattern in which `*` is any run of characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| glob(rest, &text[at..]))),
    }
}

// === impl Form ===

impl Form {
    /// `vendor/name`, for messages.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.vendor, self.name)
    }

    /// The page it stands on.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.vendor, self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
    }

    /// Whether it tells one thing once: no call of the site's own stands beside the tag.
    pub(crate) fn is_plain(&self) -> bool {
        !self.nojs && !self.parse_time && matches!(self.beacon.as_slice(), [beacon] if beacon.count == 1)
    }

    /// Whether it is pasted into the head, as base code is: an inline script first, nothing that ends the head.
    pub(crate) fn in_head(&self) -> bool {
        let html = self.html.trim_start();
        let inline =
            html.strip_prefix("<script").and_then(|rest| rest.split_once('>')).is_some_and(|(tag, _)| !tag.contains("src"));
        inline && !html.contains("<iframe") && !html.contains("<img")
    }
}
