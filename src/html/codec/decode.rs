//! Decoders, fed piece by piece into a bounded buffer.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::Coding;

/// How much a body may decode to.
#[derive(Clone, Copy, Debug)]
pub(in crate::html) struct DecoderLimits {
    pub(in crate::html) bytes_max: u64,
    /// Decoded to encoded, once `ratio_floor_bytes` are decoded.
    pub(in crate::html) ratio_max: u64,
    pub(in crate::html) ratio_floor_bytes: u64,
}

/// Why a body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It decodes to more than it may.
    #[error(
        "the body decodes to more than {bytes_max} bytes, or to more than {ratio_max} times its size; raise `page_bytes` or `page_ratio` in [limits], or exempt the path"
    )]
    Bomb {
        /// The limit in bytes.
        bytes_max: u64,
        /// The limit of the ratio.
        ratio_max: u64,
    },
    /// It is not what its header says, or it is cut off.
    #[error("the body is not valid {coding}, or it is cut off; check the Content-Encoding of the site")]
    Broken {
        /// The name of the coding.
        coding: &'static str,
        /// What the decoder says.
        #[source]
        source: io::Error,
    },
}

/// Decodes one body through all of its codings.
pub(in crate::html) struct Decoder {
    /// The coding that was applied last comes first. Never empty.
    layers: Vec<Layer>,
    received: u64,
}

/// One coding of a body.
struct Layer {
    state: State,
    coding: Coding,
    limits: DecoderLimits,
    begun: bool,
}

enum State {
    Identity(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// Until two bytes are there to tell zlib from raw.
    Deflate(Vec<u8>, Sink),
    Zlib(Box<ZlibDecoder<Sink>>),
    Raw(Box<DeflateDecoder<Sink>>),
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
    Failed,
}

/// How much is decoded at once: what a bomb can cost before it is looked at.
const PIECE_BYTES: usize = 4 << 10;

/// Window of zstd, as log2: 8 MiB is the most a content coding may ask for (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Decoder {
    /// A decoder for codings in the order in which they were applied.
    pub(in crate::html) fn new(codings: &[Coding], limits: DecoderLimits) -> Self {
        let codings = if codings.is_empty() { &[Coding::Identity] } else { codings };
        Self { layers: codings.iter().rev().map(|coding| Layer::new(*coding, limits)).collect(), received: 0 }
    }

    /// Decodes the next piece and appends to `plain`.
    pub(in crate::html) fn write(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.received += piece.len() as u64;
            self.write_from(0, piece, plain)?;
        }
        Ok(())
    }

    /// The body is over: a coded one must be, too.
    pub(in crate::html) fn finish(&mut self, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        for index in 0..self.layers.len() {
            let mut rest = Vec::new();
            self.layers[index].finish(&mut rest)?;
            self.write_from(index + 1, &rest, plain)?;
        }
        Ok(())
    }

    /// Sends bytes through the layers from one on. What came over the wire is what every layer's ratio
    /// is measured by: a stack must not multiply what one coding may do.
    fn write_from(&mut self, index: usize, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        let Some(layer) = self.layers.get_mut(index) else {
            plain.extend_from_slice(bytes);
            return Ok(());
        };
        // What decodes to much is handed on in pieces, so that the limits of what follows are met early.
        let mut decoded = Vec::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            layer.write(piece, self.received, &mut decoded)?;
        }
        self.write_from(index + 1, &decoded, plain)
    }
}

impl Layer {
    fn new(coding: Coding, limits: DecoderLimits) -> Self {
        let sink = Sink { bytes: Vec::new(), received: 0, produced: 0, over: false, limits };
        let state = match coding {
            Coding::Identity => State::Identity(sink),
            Coding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Coding::Deflate => State::Deflate(Vec::new(), sink),
            Coding::Brotli => State::Brotli(Box::new(brotli::DecompressorWriter::new(sink, PIECE_BYTES))),
            Coding::Zstd => zstd_decoder(sink),
        };
        Self { state, coding, limits, begun: false }
    }

    /// Decodes the next piece; `received` bytes have come over the wire.
    fn write(&mut self, piece: &[u8], received: u64, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.begun = true;
        if let Some(sink) = self.state.sink() {
            sink.received = received;
        }
        let result = self.state.write(piece);
        self.settle(result, plain)
    }

    fn finish(&mut self, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        // No body at all is no broken body.
        let result = if self.begun { self.state.finish() } else { Ok(()) };
        self.settle(result, plain)
    }

    fn settle(&mut self, result: io::Result<()>, plain: &mut Vec<u8>) -> Result<(), DecodeError> {
        let sink = self.state.sink();
        let over = sink.as_ref().is_some_and(|sink| sink.over);
        if let Some(sink) = sink {
            plain.append(&mut sink.bytes);
        }
        let Err(source) = result else { return Ok(()) };
        self.state = State::Failed;
        Err(if over {
            DecodeError::Bomb { bytes_max: self.limits.bytes_max, ratio_max: self.limits.ratio_max }
        } else {
            DecodeError::Broken { coding: self.coding.name().unwrap_or("identity"), source }
        })
    }
}

fn zstd_decoder(sink: Sink) -> State {
    let Ok(mut decoder) = zstd::stream::raw::Decoder::new() else { return State::Failed };
    match decoder.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)) {
        Ok(()) => State::Zstd(Box::new(zstd::stream::write::Decoder::with_decoder(sink, decoder))),
        Err(_) => State::Failed,
    }
}

impl State {
    fn sink(&mut self) -> Option<&mut Sink> {
        match self {
            Self::Identity(sink) | Self::Deflate(_, sink) => Some(sink),
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zlib(decoder) => Some(decoder.get_mut()),
            Self::Raw(decoder) => Some(decoder.get_mut()),
            Self::Brotli(decoder) => Some(decoder.get_mut()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
            Self::Failed => None,
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.write_all(piece),
            Self::Gzip(decoder) => push(decoder, piece),
            Self::Zlib(decoder) => push(decoder, piece),
            Self::Raw(decoder) => push(decoder, piece),
            Self::Brotli(decoder) => push(decoder, piece),
            Self::Zstd(decoder) => push(decoder, piece),
            Self::Deflate(start, _) => {
                start.extend_from_slice(piece);
                self.tell_zlib_from_raw()
            }
            Self::Failed => Err(io::Error::other("the decoder has failed before")),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.do_finish(),
            Self::Deflate(..) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Failed => Err(io::Error::other("the decoder has failed before")),
        }
    }

    /// A zlib header is a multiple of 31 and says "deflate" in its low bits (RFC 1950, 2.2).
    fn tell_zlib_from_raw(&mut self) -> io::Result<()> {
        let Self::Deflate(start, _) = self else { return Ok(()) };
        let &[first, second, ..] = start.as_slice() else { return Ok(()) };
        let is_zlib = first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0;
        let Self::Deflate(start, sink) = std::mem::replace(self, Self::Failed) else { return Ok(()) };
        *self =
            if is_zlib { Self::Zlib(Box::new(ZlibDecoder::new(sink))) } else { Self::Raw(Box::new(DeflateDecoder::new(sink))) };
        self.write(&start)
    }
}

fn push(decoder: &mut impl Write, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        match decoder.write(piece)? {
            // Bytes behind the end of the coded body: browsers ignore them, too.
            0 => break,
            taken => piece = &piece[taken..],
        }
    }
    decoder.flush()
}

/// Where decoded bytes go: a buffer that refuses to grow beyond the limits.
struct Sink {
    bytes: Vec<u8>,
    received: u64,
    produced: u64,
    over: bool,
    limits: DecoderLimits,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let produced = self.produced + bytes.len() as u64;
        let by_ratio = self.received.saturating_mul(self.limits.ratio_max).max(self.limits.ratio_floor_bytes);
        if produced > by_ratio.min(self.limits.bytes_max) {
            self.over = true;
            return Err(io::Error::other("the decoded body is too large"));
        }
        self.produced = produced;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
