//! The policy files as text: the operator's files lie over the embedded ones, file by file.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};

/// `policies/` as shipped.
static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// Policy files by their path under `policies/`, such as `vendors/meta.toml`.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<String, String>);

impl Sources {
    /// The files that are built in.
    pub fn embedded() -> Self {
        let mut sources = Self::default();
        sources.add_dir(&EMBEDDED);
        sources
    }

    fn add_dir(&mut self, dir: &Dir<'_>) {
        for file in dir.files() {
            let text = file.contents_utf8().expect("the embedded policies are UTF-8: a test compiles them");
            self.insert(file.path().to_string_lossy(), text);
        }
        dir.dirs().for_each(|dir| self.add_dir(dir));
    }

    /// Sets a file's text; a file of the same path is replaced.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }

    /// A file's text.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Every file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files below a folder, sorted by path.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(move |(path, _)| path.starts_with(folder))
    }
}
