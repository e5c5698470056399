//! The gate's own style and script as answers: bytes, type and an address that carries their hash,
//! so that caches may keep them for ever.

use super::templates::{SCRIPT, STYLE, TemplateSources};
use crate::vocab::Hash;

/// What browsers may do with an asset: its address changes whenever its bytes do.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// One file that browsers load from the gate.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The path behind `/_consent/assets/`: `<16 hex digits>/<name>`.
    pub path: String,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: bytes::Bytes,
    /// SHA-256 of the bytes.
    pub hash: Hash,
}

impl Asset {
    fn new(name: &str, content_type: &'static str, text: &str) -> Self {
        let hash = Hash::of(text.as_bytes());
        let path = format!("{}/{name}", hash.short());
        Self { path, content_type, bytes: bytes::Bytes::copy_from_slice(text.as_bytes()), hash }
    }

    /// The bytes as text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("an asset is made from text")
    }
}

/// The style and the release script.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
}

impl Assets {
    pub(super) fn new(sources: &TemplateSources) -> Self {
        Self {
            style: Asset::new("consentry.css", "text/css; charset=utf-8", sources.fixed(STYLE)),
            script: Asset::new("gate.js", "text/javascript; charset=utf-8", sources.fixed(SCRIPT)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Asset> {
        [&self.style, &self.script].into_iter()
    }
}
