//! What belongs to every notice beside its markup: the style sheet, which this room serves, and the
//! text of the script that makes the buttons work, which the record of a notice keeps.

use super::templates::{SCRIPT, STYLE, TemplateSources};
use crate::{asset::Asset, vocab::Hash};

/// Style and script.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: String,
    pub(super) script_hash: Hash,
}

impl Assets {
    pub(super) fn new(sources: &TemplateSources) -> Self {
        let script = sources.fixed(SCRIPT);
        Self {
            style: Asset::style("consentry.css", sources.fixed(STYLE)),
            script: script.to_owned(),
            script_hash: Hash::of(script.as_bytes()),
        }
    }
}
