//! The template files as text: the operator's files lie over the embedded ones, file by file.
//!
//! Which files there are is fixed, but for the languages: `strings/<tag>.toml` may be added. No I/O
//! and no rendering here.

use std::collections::BTreeMap;

use crate::config::{Fault, nearest};

/// The embedded files of this room by their path under `templates/`. `include_str!` and not a whole
/// folder: cargo then sees a changed file, and what other rooms keep in `templates/` stays theirs.
const EMBEDDED: &[(&str, &str)] = &[
    (ACCESS, include_str!("../../templates/access.html")),
    (BANNER, include_str!("../../templates/banner.html")),
    (CHOICES, include_str!("../../templates/choices.html")),
    (STYLE, include_str!("../../templates/consentry.css")),
    (ERROR, include_str!("../../templates/error.html")),
    (SCRIPT, include_str!("../../templates/guard/gate.js")),
    ("guard/guard.js", include_str!("../../templates/guard/guard.js")),
    ("guard/shared.js", include_str!("../../templates/guard/shared.js")),
    ("guard/stand-ins.js", include_str!("../../templates/guard/stand-ins.js")),
    ("guard/worker.js", include_str!("../../templates/guard/worker.js")),
    (PAGE, include_str!("../../templates/page.html")),
    (PREFERENCES, include_str!("../../templates/preferences.html")),
    (RECEIPT, include_str!("../../templates/receipt.html")),
    ("strings/de.toml", include_str!("../../templates/strings/de.toml")),
    ("strings/en.toml", include_str!("../../templates/strings/en.toml")),
];

pub(super) const ACCESS: &str = "access.html";
pub(super) const BANNER: &str = "banner.html";
pub(super) const CHOICES: &str = "choices.html";
pub(super) const ERROR: &str = "error.html";
pub(super) const PAGE: &str = "page.html";
pub(super) const PREFERENCES: &str = "preferences.html";
pub(super) const RECEIPT: &str = "receipt.html";
pub(super) const SCRIPT: &str = "guard/gate.js";
pub(super) const STYLE: &str = "consentry.css";

/// Every template that minijinja renders.
pub(super) const HTML: [&str; 6] = [BANNER, CHOICES, ERROR, PAGE, PREFERENCES, RECEIPT];

/// Template files by their path under `templates/`, such as `banner.html` or `strings/de.toml`.
#[derive(Clone, Debug)]
pub struct TemplateSources(BTreeMap<String, String>);

impl TemplateSources {
    /// The files inside the binary.
    pub fn embedded() -> Self {
        Self(EMBEDDED.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect())
    }

    /// Sets a file's text; a file of the same path is replaced.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }

    /// Whether this room reads a file of that path: what lies beside in the operator's folder is
    /// another room's, or a misspelt name.
    pub fn knows(path: &str) -> bool {
        language(path).is_some() || EMBEDDED.iter().any(|&(known, _)| known == path)
    }

    /// A file's text.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Every file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file that the embedded set has.
    pub fn fixed(&self, path: &'static str) -> &str {
        self.get(path).expect("files are only added or replaced, and the embedded set has this one")
    }

    /// The string files as (language tag, path, text), sorted by tag.
    pub(super) fn strings(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.iter().filter_map(|(path, text)| language(path).map(|tag| (tag, path, text)))
    }

    /// Faults of names, and of characters that this room needs for itself.
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        for (path, text) in self.iter() {
            if !Self::knows(path) {
                let mend = match nearest(path, EMBEDDED.iter().map(|&(known, _)| known)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`consentry init` writes out every template".to_owned(),
                };
                faults.push(Fault::whole(path, "there is no such template", mend));
            }
            if let Some(offset) = text.find(super::fill::is_reserved) {
                faults.push(Fault::at(path, text, offset, "a noncharacter (U+FDD0 to U+FDEF) stands here", "delete it"));
            }
        }
    }
}

/// `de` of `strings/de.toml`: a language tag as RFC 5646 writes it, in lower case.
fn language(path: &str) -> Option<&str> {
    let tag = path.strip_prefix("strings/")?.strip_suffix(".toml")?;
    let subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (tag.len() <= 35 && tag.starts_with(|c: char| c.is_ascii_lowercase()) && tag.split('-').all(subtag)).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_file_of_the_repository_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/strings");
        for entry in std::fs::read_dir(folder).expect("the repository has string files") {
            let name = entry.expect("an entry").file_name();
            let path = format!("strings/{}", name.to_string_lossy());
            assert!(TemplateSources::embedded().get(&path).is_some(), "{path} is not in EMBEDDED");
        }
    }

    #[test]
    fn a_file_name_is_known_or_a_fault() {
        for (path, known) in
            [("strings/pt-br.toml", true), ("strings/DE.toml", false), ("strings/../x.toml", false), ("bannner.html", false)]
        {
            assert_eq!(TemplateSources::knows(path), known, "{path}");
        }
        let mut sources = TemplateSources::embedded();
        sources.insert("bannner.html", "\u{FDD0}");
        let mut faults = Vec::new();
        sources.check(&mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[0].mend, "did you mean `banner.html`?");
    }
}
