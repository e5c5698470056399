//! A file of the gate's own that browsers load: its bytes as they are and compressed, and an address
//! that carries their hash, so that caches may keep them for ever.

use std::io::Write as _;

use bytes::Bytes;

use crate::vocab::Hash;

/// What browsers may do with an asset: its address changes whenever its bytes do.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Brotli's window: assets are far smaller.
const BROTLI_WINDOW_LOG: u32 = 18;
/// Brotli's best. An asset is compressed once, when the policy is loaded.
const BROTLI_QUALITY: u32 = 11;

/// One file that browsers load from the gate.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The path behind `/_consent/assets/`: `<16 hex digits>/<name>`.
    pub path: String,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Bytes,
    /// The bytes as gzip.
    pub gzip: Bytes,
    /// The bytes as brotli.
    pub brotli: Bytes,
    /// SHA-256 of the bytes.
    pub hash: Hash,
}

impl Asset {
    /// A style sheet, UTF-8.
    pub fn style(name: &str, text: &str) -> Self {
        Self::new(name, "text/css; charset=utf-8", text, Hash::of(text.as_bytes()))
    }

    /// A script, UTF-8.
    pub fn script(name: &str, text: &str) -> Self {
        Self::new(name, SCRIPT, text, Hash::of(text.as_bytes()))
    }

    /// A script whose text names its own address: that carries the hash of something which the text
    /// is made from.
    pub fn script_under(address: Hash, name: &str, text: &str) -> Self {
        Self::new(name, SCRIPT, text, address)
    }

    fn new(name: &str, content_type: &'static str, text: &str, address: Hash) -> Self {
        let bytes = text.as_bytes();
        Self {
            path: format!("{}/{name}", address.short()),
            content_type,
            bytes: Bytes::copy_from_slice(bytes),
            gzip: gzip(bytes),
            brotli: brotli(bytes),
            hash: Hash::of(bytes),
        }
    }

    /// The bytes as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("an asset is made from text")
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes what is written").into()
}

fn brotli(bytes: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, BROTLI_QUALITY, BROTLI_WINDOW_LOG);
    encoder.write_all(bytes).and_then(|()| encoder.flush()).expect("memory takes what is written");
    drop(encoder);
    out.into()
}
