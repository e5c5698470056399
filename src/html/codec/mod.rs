//! Content codings: which one a body has, which one the visitor can read, and both ways in pieces.
//!
//! Everything is push-style and bounded: a small body that decodes to an endless one is refused.

mod decode;
mod encode;

pub use decode::DecodeError;
pub(super) use decode::{Decoder, DecoderLimits};
pub(super) use encode::Encoder;

/// A content coding (RFC 9110, 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// `gzip`, or `x-gzip`.
    Gzip,
    /// `deflate`: zlib by the letter, raw in practice; both are read, neither is written.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

/// How many codings may lie over each other. Nobody means more than one; each costs a decoder.
const STACKED_MAX: usize = 3;

impl Coding {
    /// The codings a `Content-Encoding` header names, in the order in which they were applied (RFC 9110,
    /// 8.4); `None` where one is unknown, or where there are too many.
    pub fn all_of(header: Option<&str>) -> Option<Vec<Self>> {
        let mut codings = Vec::new();
        let words = header.unwrap_or_default().split(',').map(|word| word.trim().to_ascii_lowercase());
        for word in words.filter(|word| !word.is_empty() && word != "identity") {
            codings.push(match word.as_str() {
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                _ => return None,
            });
        }
        (codings.len() <= STACKED_MAX).then_some(codings)
    }

    /// The one coding a header names; `None` for one that is unknown, or for several.
    pub fn of(header: Option<&str>) -> Option<Self> {
        match Self::all_of(header)?.as_slice() {
            [] => Some(Self::Identity),
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The name for a `Content-Encoding` header; `None` where there is to be none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_read_in_their_order_and_unknown_ones_are_not_guessed_at() {
        for (header, want) in [
            (None, Some(vec![])),
            (Some(""), Some(vec![])),
            (Some("identity"), Some(vec![])),
            (Some(" X-GZip "), Some(vec![Coding::Gzip])),
            (Some("identity, br,"), Some(vec![Coding::Brotli])),
            (Some("gzip, br, identity, zstd"), Some(vec![Coding::Gzip, Coding::Brotli, Coding::Zstd])),
            (Some("gzip, gzip, gzip, gzip"), None),
            (Some("gzip, compress"), None),
        ] {
            assert_eq!(Coding::all_of(header), want, "{header:?}");
        }
        assert_eq!(Coding::of(Some("gzip, br")), None);
    }

    fn round_trip(coding: Coding, text: &[u8], size: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).expect("an encoder can be made");
        let mut packed = Vec::new();
        for chunk in text.chunks(1000) {
            encoder.write(chunk, &mut packed).expect("memory takes it");
            encoder.flush(&mut packed).expect("memory takes it");
        }
        encoder.finish(&mut packed).expect("memory takes it");
        unpack(coding, &packed, size).expect("what was packed unpacks")
    }

    fn unpack(coding: Coding, packed: &[u8], size: usize) -> Result<Vec<u8>, DecodeError> {
        let limits = DecoderLimits { bytes_max: 1 << 22, ratio_max: 100, ratio_floor_bytes: 1 << 16 };
        unpack_all(&[coding], packed, size, limits)
    }

    fn unpack_all(codings: &[Coding], packed: &[u8], size: usize, limits: DecoderLimits) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = Decoder::new(codings, limits);
        let mut plain = Vec::new();
        for chunk in packed.chunks(size) {
            decoder.write(chunk, &mut plain)?;
        }
        decoder.finish(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn every_coding_comes_back_whatever_the_pieces() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| format!("<p>{}</p>", n * n % 977).into_bytes()).collect();
        for coding in [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            for size in [1, 7, 4096, 1 << 20] {
                assert!(round_trip(coding, &text, size) == text, "{coding:?} in pieces of {size}");
            }
        }
    }

    fn pack(coding: Coding, text: &[u8]) -> Vec<u8> {
        let (mut encoder, mut packed) = (Encoder::new(coding).expect("an encoder can be made"), Vec::new());
        encoder.write(text, &mut packed).and_then(|()| encoder.finish(&mut packed)).expect("memory takes it");
        packed
    }

    #[test]
    fn stacked_codings_are_taken_off_from_the_last_to_the_first() {
        let text = "<p>some text</p>".repeat(500);
        let limits = DecoderLimits { bytes_max: 1 << 22, ratio_max: 100, ratio_floor_bytes: 1 << 16 };
        let codings = [Coding::Gzip, Coding::Brotli, Coding::Zstd];
        let packed = codings.iter().fold(text.clone().into_bytes(), |body, coding| pack(*coding, &body));
        for size in [1, 13, 1 << 20] {
            let plain = unpack_all(&codings, &packed, size, limits).expect("it was packed here");
            assert!(plain == text.as_bytes(), "in pieces of {size}");
        }
        let cut = &packed[..packed.len() - 1];
        assert!(matches!(unpack_all(&codings, cut, 64, limits), Err(DecodeError::Broken { .. })));
        let swapped = [Coding::Brotli, Coding::Gzip, Coding::Zstd];
        assert!(matches!(unpack_all(&swapped, &packed, 64, limits), Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn the_ratio_counts_over_the_whole_stack() {
        let text = vec![b' '; 300 << 10];
        let packed = pack(Coding::Gzip, &pack(Coding::Gzip, &text));
        let limits = DecoderLimits { bytes_max: 1 << 22, ratio_max: 1000, ratio_floor_bytes: 4 << 10 };
        // Each layer alone stays below the ratio.
        assert!(unpack_all(&[Coding::Gzip], &packed, 64, limits).is_ok());
        let once = pack(Coding::Gzip, &text);
        assert!(unpack_all(&[Coding::Gzip], &once, 64, limits).is_ok(), "{} bytes", once.len());
        assert!(matches!(unpack_all(&[Coding::Gzip, Coding::Gzip], &packed, 64, limits), Err(DecodeError::Bomb { .. })));
    }

    #[test]
    fn deflate_is_read_with_and_without_its_wrapping_and_gzip_in_several_members() {
        use flate2::{Compression, write};
        use std::io::Write as _;
        let pack = |text: &[u8]| {
            let mut encoder = write::GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        };
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"wrapped").expect("memory takes it");
        let zlib = zlib.finish().expect("memory takes it");
        let mut raw = write::DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(b"raw").expect("memory takes it");
        let raw = raw.finish().expect("memory takes it");
        for size in [1, 100] {
            assert_eq!(unpack(Coding::Deflate, &zlib, size).expect("it is zlib"), b"wrapped");
            assert_eq!(unpack(Coding::Deflate, &raw, size).expect("it is raw"), b"raw");
            let members = [pack(b"one "), pack(b"two")].concat();
            assert_eq!(unpack(Coding::Gzip, &members, size).expect("two members"), b"one two");
        }
    }

    #[test]
    fn bombs_and_broken_bodies_are_refused() {
        let zeros = vec![0; 1 << 21];
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut encoder = Encoder::new(coding).expect("an encoder can be made");
            let mut packed = Vec::new();
            encoder.write(&zeros, &mut packed).expect("memory takes it");
            encoder.finish(&mut packed).expect("memory takes it");
            assert!(matches!(unpack(coding, &packed, 64), Err(DecodeError::Bomb { .. })), "{coding:?}");

            let mut encoder = Encoder::new(coding).expect("an encoder can be made");
            packed.clear();
            encoder.write(b"a page that is cut off in the middle", &mut packed).expect("memory takes it");
            encoder.finish(&mut packed).expect("memory takes it");
            packed.truncate(packed.len() - 3);
            assert!(matches!(unpack(coding, &packed, 64), Err(DecodeError::Broken { .. })), "{coding:?}");
            assert!(matches!(unpack(coding, b"<!doctype html>", 64), Err(DecodeError::Broken { .. })), "{coding:?}");
            assert_eq!(unpack(coding, b"", 64).expect("nothing is nothing"), b"");
        }
    }
}
