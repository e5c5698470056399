//! The head of a request, checked byte by byte before a parser sees it. Pure: bytes in, a finding out.
//!
//! Everything where two readers of HTTP/1.1 are known to differ is refused, so that the gate and the
//! site behind cannot take one stream of bytes for two different ones (request smuggling). What is
//! accepted hyper reads in the same way; a property test holds the two together.

use memchr::memchr;

use super::fault::Fault;

/// The bounds that a head is held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the target.
    pub target_bytes_max: usize,
    /// Bytes of the head, from the method to the empty line.
    pub head_bytes_max: usize,
    /// Header lines; trailer lines likewise.
    pub head_lines_max: usize,
    /// Bytes of all chunk extensions of one body.
    pub chunk_extension_bytes_max: usize,
}

/// How the end of a request's body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// As many bytes; never 0.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// A head that was found to be in order.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    /// A token, as sent.
    pub method: &'h [u8],
    /// A path with its query, an absolute `http` or `https` address, or `*`.
    pub target: &'h [u8],
    /// 0 or 1: the minor version of HTTP/1.
    pub minor: u8,
    /// How the body ends.
    pub framing: Framing,
    /// Whether it asks for another protocol (RFC 9110, 7.8), so that what follows may be none of HTTP.
    pub asks_upgrade: bool,
}

/// Room in the request line beside the target: the longest method, the version, the spaces.
const BESIDE_TARGET: usize = METHOD_BYTES_MAX + " HTTP/1.1".len() + 1;
const METHOD_BYTES_MAX: usize = 64;
/// Of a `Host`: 253 bytes of a name, a port, and some room.
const HOST_BYTES_MAX: usize = 255;

// === the end of a head ===

/// Looks for the end of a head in bytes that come piece by piece; each byte is looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    looked_at: usize,
    line_start: usize,
    lines: usize,
}

impl Scan {
    /// `bytes` are all bytes since the head's first one. Returns the head's length once it is whole.
    pub fn advance(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<usize>, Fault> {
        while let Some(found) = memchr(b'\n', &bytes[self.looked_at..]) {
            let feed = self.looked_at + found;
            let line = bytes[self.line_start..feed].strip_suffix(b"\r").ok_or(Fault::BareLineFeed)?;
            (self.looked_at, self.line_start) = (feed + 1, feed + 1);
            if line.is_empty() {
                // An empty line before the request line is the caller's.
                let whole = if self.lines == 0 { Err(Fault::RequestLine) } else { Ok(Some(self.line_start)) };
                return if self.line_start > bounds.head_bytes_max { Err(Fault::HeadTooLarge) } else { whole };
            }
            self.lines += 1;
            // The request line is none of the header lines.
            if self.lines > bounds.head_lines_max + 1 {
                return Err(Fault::TooManyLines);
            }
        }
        self.looked_at = bytes.len();
        if self.lines == 0 && bytes.len() > bounds.target_bytes_max + BESIDE_TARGET {
            return Err(Fault::TargetTooLong);
        }
        if bytes.len() > bounds.head_bytes_max { Err(Fault::HeadTooLarge) } else { Ok(None) }
    }
}

// === the head itself ===

/// Checks a whole head, from the method to the empty line; every line has to end in CR LF, as [`Scan`] found it.
pub fn check<'h>(head: &'h [u8], bounds: &Bounds) -> Result<Head<'h>, Fault> {
    let mut lines = Lines { rest: head };
    let (method, target, minor) = request_line(lines.next_raw().ok_or(Fault::RequestLine)?, bounds)?;
    let mut seen = Seen::default();
    for line in lines {
        let (name, value) = line?;
        seen.line(name, value, minor)?;
    }
    seen.host_is_named(minor)?;
    Ok(Head { method, target, minor, framing: seen.framing()?, asks_upgrade: seen.upgrade && minor == 1 })
}

/// The header lines of a head as name and value, without the space around the value.
pub fn lines(head: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Fault>> {
    let mut lines = Lines { rest: head };
    lines.next_raw();
    lines
}

struct Lines<'h> {
    rest: &'h [u8],
}

impl<'h> Lines<'h> {
    /// A line without its CR LF; `None` at the empty one.
    fn next_raw(&mut self) -> Option<&'h [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}

impl<'h> Iterator for Lines<'h> {
    type Item = Result<(&'h [u8], &'h [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_raw()?;
        let colon = line.iter().position(|&byte| !is_token(byte)).unwrap_or(line.len());
        // A name ends at its colon: `name :`, a folded line and a line without a name all fail here.
        if colon == 0 || line.get(colon) != Some(&b':') {
            return Some(Err(Fault::HeaderLine));
        }
        let value = &line[colon + 1..];
        if !value.iter().all(|&byte| is_value(byte)) {
            return Some(Err(Fault::HeaderLine));
        }
        Some(Ok((&line[..colon], trim(value))))
    }
}

/// RFC 9112, 3: single spaces, nothing else between the three.
fn request_line<'h>(line: &'h [u8], bounds: &Bounds) -> Result<(&'h [u8], &'h [u8], u8), Fault> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Fault::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
        return Err(Fault::RequestLine);
    }
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Fault::Version);
        }
        _ => return Err(Fault::RequestLine),
    };
    if method.len() > METHOD_BYTES_MAX {
        return Err(Fault::Method);
    }
    if matches!(method, b"CONNECT" | b"TRACE") {
        return Err(Fault::MethodRefused);
    }
    if target.len() > bounds.target_bytes_max {
        return Err(Fault::TargetTooLong);
    }
    if is_target(target, method) { Ok((method, target, minor)) } else { Err(Fault::Target) }
}

/// Origin form, absolute form of `http` and `https`, or `*` for `OPTIONS` (RFC 9112, 3.2). A fragment
/// is no part of a target: some readers would drop it, others not.
fn is_target(target: &[u8], method: &[u8]) -> bool {
    match target {
        b"*" => method == b"OPTIONS",
        [b'/', rest @ ..] => rest.iter().all(|&byte| is_plain_in_target(byte)) || is_odd_target(target),
        _ => authority(target).is_some_and(is_host) && is_odd_target(target),
    }
}

/// The part between `http://` and the path.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let scheme_end = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let rest = &target[scheme_end..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// What browsers send although RFC 3986 does not list it (`|`, `"`, raw UTF-8): as the HTTP library reads it, or not at all.
fn is_odd_target(target: &[u8]) -> bool {
    memchr(b'#', target).is_none() && http::Uri::try_from(target).is_ok()
}

// === bytes ===

/// RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// RFC 9110, 5.5: visible characters, space, tab, and bytes above ASCII.
pub(super) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 3986: what stands in a path or a query.
fn is_plain_in_target(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & IN_TARGET != 0
}

const TOKEN: u8 = 1;
const IN_TARGET: u8 = 2;

/// Every byte of every head is looked up here: a table costs less than comparing.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            classes[byte] = TOKEN | IN_TARGET;
        }
        byte += 1;
    }
    classes = mark(classes, b"!#$%&'*+-.^_`|~", TOKEN);
    mark(classes, b"-._~/%&=:@!$'()*+,;?", IN_TARGET)
};

const fn mark(mut classes: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut at = 0;
    while at < bytes.len() {
        classes[bytes[at] as usize] |= class;
        at += 1;
    }
    classes
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A name or an address with an optional port, without user information (RFC 9110, 7.2).
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => match memchr(b']', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => return false,
        },
        _ => value.split_at(memchr(b':', value).unwrap_or(value.len())),
    };
    let bracketed = value.first() == Some(&b'[');
    let is_part =
        |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || (bracketed && byte == b':');
    let port_is_number = match port {
        [] => true,
        [b':', digits @ ..] => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !host.is_empty() && value.len() <= HOST_BYTES_MAX && host.iter().all(is_part) && port_is_number
}

// === what the lines say together ===

/// The lines that say where the request goes and where it ends.
#[derive(Default)]
struct Seen<'h> {
    host: Option<&'h [u8]>,
    content_length: Option<&'h [u8]>,
    transfer_encoding: Option<&'h [u8]>,
    upgrade: bool,
}

impl<'h> Seen<'h> {
    fn line(&mut self, name: &[u8], value: &'h [u8], minor: u8) -> Result<(), Fault> {
        // Names of any other length are of no interest here.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => once(&mut self.host, value, Fault::Host),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                // It means nothing in HTTP/1.0 (RFC 9110, 10.1.1).
                let known = minor == 0 || value.eq_ignore_ascii_case(b"100-continue");
                if known { Ok(()) } else { Err(Fault::Expectation) }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => once(&mut self.content_length, value, Fault::ContentLength),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if minor == 0 {
                    return Err(Fault::TransferEncoding);
                }
                let again = if is_chunked(value) { Fault::TransferEncoding } else { coding_fault(value) };
                once(&mut self.transfer_encoding, value, again)
            }
            _ => Ok(()),
        }
    }

    /// HTTP/1.1 demands exactly one, although it does not count where the target is an absolute address
    /// (RFC 9112, 3.2.2). HTTP/1.0 knows none: whether the gate can do without is decided where sites are known.
    fn host_is_named(&self, minor: u8) -> Result<(), Fault> {
        let named = self.host.map_or(minor == 0, is_host);
        if named { Ok(()) } else { Err(Fault::Host) }
    }

    fn framing(&self) -> Result<Framing, Fault> {
        match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(_)) => Err(Fault::TwoFramings),
            (None, None) => Ok(Framing::None),
            (None, Some(coding)) if is_chunked(coding) => Ok(Framing::Chunked),
            (None, Some(coding)) => Err(coding_fault(coding)),
            (Some(length), None) => match parse_length(length).ok_or(Fault::ContentLength)? {
                0 => Ok(Framing::None),
                length => Ok(Framing::Length(length)),
            },
        }
    }
}

fn once<'h>(place: &mut Option<&'h [u8]>, value: &'h [u8], again: Fault) -> Result<(), Fault> {
    if place.replace(value).is_some() { Err(again) } else { Ok(()) }
}

fn is_chunked(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"chunked")
}

/// 501 for a coding that could be one (RFC 9112, 6.1), 400 for what is none.
fn coding_fault(value: &[u8]) -> Fault {
    let mut codings = value.split(|&byte| byte == b',').map(trim);
    let plain = codings.clone().all(|coding| !coding.is_empty() && coding.iter().all(|&byte| is_token(byte)));
    if plain && codings.any(|coding| !is_chunked(coding)) { Fault::UnknownCoding } else { Fault::TransferEncoding }
}

/// Digits alone, no more than a length can have: `+1`, `1, 1`, `0x1` and an empty value are none.
fn parse_length(value: &[u8]) -> Option<u64> {
    // The greatest length that hyper takes lies a little below 2^64; 18 digits are below that, and an exabyte.
    let plain = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    plain.then(|| value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
