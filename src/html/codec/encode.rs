//! Encoders, flushed whenever the visitor should see what is there.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

use super::Coding;

/// Encodes one body.
pub(in crate::html) enum Encoder {
    Identity,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Finished,
}

// Levels: compression costs several times what gating does, and rises steeply behind these.
const GZIP_LEVEL: u32 = 4;
const BROTLI_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// Window of brotli, as log2: 1 MiB covers a page.
const BROTLI_WINDOW_LOG: u32 = 20;

impl Encoder {
    pub(in crate::html) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            // Nobody is answered in deflate: browsers disagree on what it is.
            Coding::Identity | Coding::Deflate => Self::Identity,
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))),
            Coding::Brotli => {
                let encoder = brotli::CompressorWriter::new(Vec::new(), 4096, BROTLI_LEVEL, BROTLI_WINDOW_LOG);
                Self::Brotli(Box::new(encoder))
            }
            Coding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)),
        })
    }

    /// Encodes the next piece and appends what is ready to `out`.
    pub(in crate::html) fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Identity => out.extend_from_slice(plain),
            Self::Gzip(encoder) => encoder.write_all(plain)?,
            Self::Brotli(encoder) => encoder.write_all(plain)?,
            Self::Zstd(encoder) => encoder.write_all(plain)?,
            Self::Finished => return Err(io::Error::other("the encoder has finished")),
        }
        self.take(out);
        Ok(())
    }

    /// Makes everything written so far readable for the visitor.
    pub(in crate::html) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Identity | Self::Finished => {}
            Self::Gzip(encoder) => encoder.flush()?,
            Self::Brotli(encoder) => encoder.flush()?,
            Self::Zstd(encoder) => encoder.flush()?,
        }
        self.take(out);
        Ok(())
    }

    /// Ends the body.
    pub(in crate::html) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.take(out);
        match std::mem::replace(self, Self::Finished) {
            Self::Identity | Self::Finished => {}
            Self::Gzip(encoder) => out.append(&mut encoder.finish()?),
            Self::Brotli(encoder) => out.append(&mut encoder.into_inner()),
            Self::Zstd(encoder) => out.append(&mut encoder.finish()?),
        }
        Ok(())
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Identity | Self::Finished => {}
            Self::Gzip(encoder) => out.append(encoder.get_mut()),
            Self::Brotli(encoder) => out.append(encoder.get_mut()),
            Self::Zstd(encoder) => out.append(encoder.get_mut()),
        }
    }
}
