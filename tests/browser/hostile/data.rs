//! The cases as they stand in the files, and what each comes to: one instance per vendor and moment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// What stops a case.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ring {
    /// Tags in markup and style sheets.
    Markup,
    /// Header fields and cookies.
    Headers,
    /// Vendors behind the site's own paths.
    Paths,
    /// Code that runs later.
    Guard,
    /// The generated Content-Security-Policy.
    Containment,
}

/// The rings with a switch of their own.
pub(super) const SWITCHED: [Ring; 4] = [Ring::Markup, Ring::Headers, Ring::Paths, Ring::Guard];

/// When a case reaches out.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Time {
    /// While the page is parsed.
    #[default]
    Parse,
    /// When it is loaded.
    Load,
    /// A while later.
    Later,
    /// After a click on `#go`.
    Click,
    /// When the visitor leaves.
    Leave,
}

/// Whether a case is for browsers without scripts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum NoJs {
    /// It needs scripts.
    #[default]
    No,
    /// It works with and without.
    Too,
    /// It works without scripts only.
    Only,
}

/// How it shows that a case fired.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    /// Somebody else got a request with the case's id.
    #[default]
    Heard,
    /// The site got one.
    Origin,
    /// A connection was opened to the host of the case's script.
    Greeted,
    /// There is a cookie below the case's own path.
    Cookie,
    /// The page's `stored` says so: an expression that is true when it fired.
    Stored,
}

/// One case of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Unique over all files.
    pub(super) name: String,
    /// What it is about; the file's name.
    #[serde(skip)]
    pub(super) theme: String,
    /// Each ring that stops it by itself. None: it has to work in every state.
    pub(super) rings: Vec<Ring>,
    /// Whose addresses it takes. None named: two vendors, the next in turn.
    #[serde(default)]
    pub(super) vendors: Vec<String>,
    /// In the body, once per vendor.
    #[serde(default)]
    pub(super) html: String,
    /// In the head, once per vendor.
    #[serde(default)]
    pub(super) head: String,
    /// A script's text with `script`, `pixel`, `frame`, `base` and `id` in scope, once per vendor and moment.
    #[serde(default)]
    pub(super) js: String,
    /// When the script runs; for markup, when what it does happens.
    #[serde(default = "parse")]
    pub(super) times: Vec<Time>,
    /// A document of its own in place of the shop's page.
    pub(super) doc: Option<String>,
    /// The document's header fields.
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// The document's status.
    pub(super) status: Option<u16>,
    /// How the document is written: `utf-16le`, `utf-16be`, `utf-16le-bom`, `utf-16be-bom`, `latin-1`, and
    /// content codings applied in order: `gzip`, `br`, `deflate`.
    #[serde(default)]
    pub(super) encoding: Vec<String>,
    /// Other files of the site.
    #[serde(default)]
    pub(super) file: Vec<File>,
    /// Whether it is for browsers without scripts.
    #[serde(default)]
    pub(super) nojs: NoJs,
    /// How it shows that it fired.
    #[serde(default)]
    pub(super) expect: Expect,
    /// With `expect = "stored"`: an expression.
    #[serde(default)]
    pub(super) stored: String,
    /// Whether it fires in the open page once everything is accepted. Otherwise: from the next page on.
    #[serde(default = "yes")]
    pub(super) released: bool,
    /// How often it fires on a page view; 0 where the browser decides.
    #[serde(default = "once")]
    pub(super) count: usize,
    /// Whether its document has a banner: one that is no page, or an AMP page, has none.
    #[serde(default = "yes")]
    pub(super) banner: bool,
    /// Whether the gate may refuse the document altogether: unsure means closed.
    #[serde(default)]
    pub(super) refused: bool,
    /// Whether an enforced wall keeps it out although it is granted: a policy names hosts, and neither a dot
    /// at a name's end nor sockets that the vendor's file does not claim.
    #[serde(default)]
    pub(super) walled: bool,
    /// Whether it disturbs other cases on its page.
    #[serde(default)]
    pub(super) alone: bool,
}

/// A file of the site.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Below the case's folder, or with a slash: below the root.
    pub(super) path: String,
    /// Its media type; empty for none.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    /// Its text.
    #[serde(default)]
    pub(super) body: String,
    /// Its header fields.
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// Its status.
    pub(super) status: Option<u16>,
    /// As for a document.
    #[serde(default)]
    pub(super) encoding: Vec<String>,
}

/// A vendor's addresses, without scheme.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vendor {
    pub(super) script: String,
    pub(super) pixel: String,
    pub(super) frame: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    case: Vec<Case>,
}

fn yes() -> bool {
    true
}

fn once() -> usize {
    1
}

fn parse() -> Vec<Time> {
    vec![Time::Parse]
}

/// A third party that the operator allows.
pub(super) const FRIEND: &str = "friend";
/// One that nobody knows.
pub(super) const STRANGER: &str = "stranger";
/// So many vendors a case is tried with that names none, when they fit on one page.
const VENDORS_EACH: usize = 2;

/// Everybody's addresses.
pub(super) fn vendors() -> BTreeMap<String, Vendor> {
    let path = home().join("vendors.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Every case. In the environment, `HOSTILE=text` leaves those with it in the name or theme, `HOSTILE_RING=guard`
/// those that the ring stops.
pub(super) fn cases() -> Vec<Case> {
    let known: Vec<String> = vendors().into_keys().filter(|id| id != FRIEND && id != STRANGER).collect();
    let mut turn = 0;
    let mut cases = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        let file: CaseFile = toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        for mut case in file.case {
            case.theme = path.file_stem().and_then(|stem| stem.to_str()).expect("file names here are ASCII").to_owned();
            if case.vendors.is_empty() {
                let each = if case.is_alone() { 1 } else { VENDORS_EACH };
                case.vendors = known.iter().cycle().skip(turn).take(each).cloned().collect();
                turn = (turn + each) % known.len();
            }
            let plain = case.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(plain, "{}: a name is lower case, digits and hyphens", case.name);
            assert!(!cases.iter().any(|other: &Case| other.name == case.name), "{}: twice", case.name);
            cases.push(case);
        }
    }
    let only = std::env::var("HOSTILE").unwrap_or_default();
    cases.retain(|case| case.name.contains(&only) || case.theme.contains(&only));
    if let Ok(ring) = std::env::var("HOSTILE_RING") {
        cases.retain(|case| case.rings.iter().any(|one| format!("{one:?}").eq_ignore_ascii_case(&ring)));
    }
    cases
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/hostile")
}

fn files() -> Vec<PathBuf> {
    let folder = home().join("cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()))
        .map(|entry| entry.expect("a folder just opened can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

// === impl Case ===

impl Case {
    /// Whether it has to work whatever the visitor chose: nothing stops it, and nothing should.
    pub(super) fn is_benign(&self) -> bool {
        self.rings.is_empty()
    }

    /// Whether it reaches somebody whom no choice of the visitor's lets through.
    pub(super) fn is_unknown(&self) -> bool {
        self.vendors.iter().any(|vendor| vendor == STRANGER)
    }

    /// Whether one of these rings stops it.
    pub(super) fn is_stopped_by(&self, on: &[Ring]) -> bool {
        self.rings.iter().any(|ring| on.contains(ring))
    }

    /// Whether nothing but this ring stops it while containment is off.
    pub(super) fn is_of(&self, ring: Ring) -> bool {
        self.rings.contains(&ring) && self.rings.iter().all(|other| *other == ring || *other == Ring::Containment)
    }

    /// Whether it needs a page for itself, and for each vendor.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
            || self.doc.is_some()
            || !self.headers.is_empty()
            || !self.file.is_empty()
            || self.status.is_some()
            || !self.encoding.is_empty()
    }
}
