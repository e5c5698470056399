//! Filter lists in the syntax of EasyPrivacy, as a second opinion on third parties that nobody
//! classified. Only with the cargo feature `filter-lists`: the engine's licence (MPL-2.0) and weight
//! stay apart from the gate itself, and no list is shipped.

use std::path::PathBuf;

use crate::cli::Failed;

/// The lists the operator named.
#[derive(Default)]
pub(super) struct Lists {
    #[cfg(feature = "filter-lists")]
    engine: Option<adblock::Engine>,
}

impl Lists {
    /// Reads list files; none is no opinion.
    #[cfg(feature = "filter-lists")]
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Failed> {
        use anyhow::Context as _;

        if files.is_empty() {
            return Ok(Self::default());
        }
        let mut set = adblock::lists::FilterSet::new(false);
        for file in files {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            set.add_filter_list(text, adblock::lists::ParseOptions::default());
        }
        Ok(Self { engine: Some(adblock::Engine::new_with_filter_set(set)) })
    }

    /// Without the feature a list cannot be read, and that is said.
    #[cfg(not(feature = "filter-lists"))]
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Failed> {
        match files.first() {
            None => Ok(Self::default()),
            Some(_) => Err(Failed::Usage(
                "--filter-list: this consentry was built without filter lists; build it with `cargo build --release --features filter-lists`"
                    .to_owned(),
            )),
        }
    }

    /// Whether the lists block scripts from a host on other sites; `None` without a list.
    #[cfg(feature = "filter-lists")]
    pub(super) fn blocks(&self, host: &str) -> Option<bool> {
        let engine = self.engine.as_ref()?;
        // A path that no list names: only rules about the host itself speak.
        let request =
            adblock::request::Request::new(&format!("https://{host}/"), "https://site.invalid/", "script", "get").ok()?;
        Some(engine.check_network_request(&request).should_block())
    }

    /// Whether the lists block scripts from a host on other sites; `None` without a list.
    #[cfg(not(feature = "filter-lists"))]
    pub(super) fn blocks(&self, _host: &str) -> Option<bool> {
        None
    }
}
