//! The body of a request, followed to its end so that the next head is found, and checked on the way:
//! a chunk that two readers could take differently never arrives at one. Pure, and fed in pieces.

use super::{
    fault::Fault,
    head::{Bounds, Framing, is_token, is_value},
};

/// Bytes of the trailer section: few send one at all.
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// Where in its body a request is.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    at: At,
    extension_bytes_left: usize,
    trailer_bytes_left: usize,
    trailer_lines_left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a body of known length, or in a chunk: so many bytes are still to come.
    Bytes {
        left: u64,
        chunk: bool,
    },
    /// In a chunk's size of so many digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size's semicolon.
    Extension {
        size: u64,
    },
    /// The CR of the size's line is there.
    SizeEnd {
        size: u64,
    },
    /// Behind a chunk's bytes: its CR, then its LF.
    ChunkEnd {
        cr: bool,
    },
    /// At the beginning of a trailer line.
    Trailer,
    TrailerName,
    TrailerValue,
    /// The CR of a trailer line is there.
    TrailerEnd,
    /// The CR of the last, empty line is there.
    LastEnd,
    /// Behind the body.
    Over,
}

impl Body {
    /// At the beginning of a body; `None` where there is none.
    pub fn new(framing: Framing, bounds: &Bounds) -> Option<Self> {
        let at = match framing {
            Framing::None => return None,
            Framing::Length(left) => At::Bytes { left, chunk: false },
            Framing::Chunked => At::Size { size: 0, digits: 0 },
        };
        Some(Self {
            at,
            extension_bytes_left: bounds.chunk_extension_bytes_max,
            trailer_bytes_left: TRAILER_BYTES_MAX.min(bounds.head_bytes_max),
            trailer_lines_left: bounds.head_lines_max,
        })
    }

    /// Whether the body has come to its end.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// Follows the body through `bytes`. Returns how many of them belong to it; fewer than all only at its end.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < bytes.len() && self.at != At::Over {
            if let At::Bytes { left, chunk } = self.at {
                let here = left.min((bytes.len() - done) as u64);
                done += usize::try_from(here).expect("no more than a slice has");
                self.at = match (left - here, chunk) {
                    (0, true) => At::ChunkEnd { cr: false },
                    (0, false) => At::Over,
                    (left, chunk) => At::Bytes { left, chunk },
                };
            } else {
                self.at = self.step(bytes[done])?;
                done += 1;
            }
        }
        Ok(done)
    }

    /// One byte of what lies between the chunks (RFC 9112, 7.1).
    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                // 15 digits: an exabyte, and far from an overflow anywhere.
                let digit = char::from(byte).to_digit(16).ok_or(Fault::Chunk)?;
                if digits < 15 {
                    Ok(At::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
                } else {
                    Err(Fault::Chunk)
                }
            }
            (At::Size { size, digits: 1.. }, b'\r') | (At::Extension { size }, b'\r') => Ok(At::SizeEnd { size }),
            (At::Size { size, digits: 1.. }, b';') => self.extension(size),
            (At::Extension { size }, _) if is_value(byte) => self.extension(size),
            (At::SizeEnd { size: 0 }, b'\n') => Ok(At::Trailer),
            (At::SizeEnd { size }, b'\n') => Ok(At::Bytes { left: size, chunk: true }),
            (At::ChunkEnd { cr: false }, b'\r') => Ok(At::ChunkEnd { cr: true }),
            (At::ChunkEnd { cr: true }, b'\n') => Ok(At::Size { size: 0, digits: 0 }),
            (At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerEnd | At::LastEnd, _) => self.trailer(byte),
            _ => Err(Fault::Chunk),
        }
    }

    fn extension(&mut self, size: u64) -> Result<At, Fault> {
        self.extension_bytes_left = self.extension_bytes_left.checked_sub(1).ok_or(Fault::Chunk)?;
        Ok(At::Extension { size })
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Fault> {
        self.trailer_bytes_left = self.trailer_bytes_left.checked_sub(1).ok_or(Fault::Trailers)?;
        match (self.at, byte) {
            (At::Trailer, b'\r') => Ok(At::LastEnd),
            (At::Trailer, _) if is_token(byte) => {
                self.trailer_lines_left = self.trailer_lines_left.checked_sub(1).ok_or(Fault::Trailers)?;
                Ok(At::TrailerName)
            }
            (At::TrailerName, _) if is_token(byte) => Ok(At::TrailerName),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerEnd),
            (At::TrailerValue, _) if is_value(byte) => Ok(At::TrailerValue),
            (At::TrailerEnd, b'\n') => Ok(At::Trailer),
            (At::LastEnd, b'\n') => Ok(At::Over),
            _ => Err(Fault::Trailers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { target_bytes_max: 100, head_bytes_max: 1_000, head_lines_max: 3, chunk_extension_bytes_max: 8 };

    /// The body's length in `bytes`, whatever the pieces they come in.
    fn length(framing: Framing, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut found: Option<Result<Option<usize>, Fault>> = None;
        for size in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut body = Body::new(framing, &BOUNDS).expect("a body");
            let mut done = 0;
            let mut end = Ok(None);
            for piece in bytes.chunks(size) {
                match body.follow(piece) {
                    Ok(here) => done += here,
                    Err(fault) => {
                        end = Err(fault);
                        break;
                    }
                }
                if body.is_over() {
                    end = Ok(Some(done));
                    break;
                }
            }
            assert_eq!(*found.get_or_insert(end), end, "pieces of {size}: {}", bytes.escape_ascii());
        }
        found.expect("at least one way to cut")
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        assert_eq!(length(Framing::Length(3), b"abcGET"), Ok(Some(3)));
        assert_eq!(length(Framing::Length(3), b"ab"), Ok(None));
        for (bytes, want) in [
            ("0\r\n\r\n", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            ("0003\r\nabc\r\n00\r\n\r\n", Some(17)),
            ("A\r\n0123456789\r\n0\r\n\r\n", Some(20)),
            ("1;a=b\r\nx\r\n0;c\r\n\r\n", Some(17)),
            ("0\r\nx: y\r\nz:\r\n\r\nGET", Some(15)),
            ("3\r\nab", None),
            ("0\r\n", None),
        ] {
            assert_eq!(length(Framing::Chunked, bytes.as_bytes()), Ok(want), "{}", bytes.escape_debug());
        }
    }

    #[test]
    fn a_chunk_that_two_readers_could_take_differently_is_refused() {
        for bytes in [
            "\r\nabc",
            "g\r\n",
            "-1\r\n",
            "+1\r\nx",
            "0x1\r\nx",
            " 1\r\nx",
            "1 \r\nx",
            "1\nx",
            "1\r\r\n",
            "1\rx",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1\r\nx\r0",
            "1;a\nb\r\n",
            "1;a\rb",
            "1;a\0\r\n",
            "1;123456789\r\n",
            "1234567890123456\r\n",
            ";a\r\n",
            "1,1\r\nx",
        ] {
            assert_eq!(length(Framing::Chunked, bytes.as_bytes()), Err(Fault::Chunk), "{}", bytes.escape_debug());
        }
        for bytes in [
            "0\r\n\n",
            "0\r\nx\r\n",
            "0\r\n: y\r\n",
            "0\r\nx : y\r\n",
            "0\r\n x: y\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx: \0\r\n",
            "0\r\nx: y\rz",
            "0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n",
        ] {
            assert_eq!(length(Framing::Chunked, bytes.as_bytes()), Err(Fault::Trailers), "{}", bytes.escape_debug());
        }
        let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(10_000));
        assert_eq!(length(Framing::Chunked, long.as_bytes()), Err(Fault::Trailers));
    }
}
