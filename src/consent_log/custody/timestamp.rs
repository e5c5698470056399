//! Time stamps of checkpoints (RFC 3161): the request, and what an answer says. Pure.
//!
//! A time-stamping authority signs that it saw a digest at a time. Whether that signature is one to trust is
//! for `openssl ts -verify`, with the certificates that the auditor trusts; here it is checked that the answer
//! is one, grants, is over what was asked, and answers this request and no other.

use crate::vocab::Hash;

/// What requests are sent as.
pub const QUERY_TYPE: &str = "application/timestamp-query";
/// What answers come as.
pub const REPLY_TYPE: &str = "application/timestamp-reply";

/// 2.16.840.1.101.3.4.2.1.
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 1.2.840.113549.1.7.2: id-signedData (RFC 5652, section 5).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.16.1.4: id-ct-TSTInfo (RFC 3161, section 2.4.2).
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] EXPLICIT`.
const TAG_0: u8 = 0xa0;

/// What an authority said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The SHA-256 that was stamped.
    pub imprint: Hash,
    /// The number that the request came with, as the bytes of its integer.
    pub nonce: Option<Vec<u8>>,
    /// When, as the authority wrote it: `20260531100000Z`.
    pub time: String,
}

/// Why an answer is no time stamp.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoStamp {
    /// It is not the DER of one.
    #[error("it is no answer of a time-stamping authority (RFC 3161)")]
    Form,
    /// The authority refused; RFC 3161, section 2.4.2 lists the numbers.
    #[error("the authority refused it (status {0})")]
    Refused(u8),
    /// It is over something else.
    #[error("it is over something else than what was sent")]
    Imprint,
    /// It answers another request.
    #[error("it answers another request (nonce)")]
    Nonce,
}

/// The request for a time stamp of `digest`. Asks for the authority's certificate, so that the answer can be
/// checked by itself. `nonce` is random.
pub fn request(digest: &Hash, nonce: u64) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[der(OID, SHA256), der(NULL, &[])].concat());
    let imprint = der(SEQUENCE, &[algorithm, der(OCTETS, &digest.0)].concat());
    let parts = [der(INTEGER, &[1]), imprint, der(INTEGER, &integer(nonce)), der(BOOLEAN, &[0xff])];
    der(SEQUENCE, &parts.concat())
}

/// Reads an answer, whatever it is over.
pub fn read(reply: &[u8]) -> Result<Stamp, NoStamp> {
    let mut reply = whole(reply, SEQUENCE)?;
    let mut status = take(&mut reply, SEQUENCE)?;
    // 0: granted; 1: granted with modifications.
    match take(&mut status, INTEGER)? {
        [0 | 1] => {}
        [.., code] => return Err(NoStamp::Refused(*code)),
        [] => return Err(NoStamp::Form),
    }
    let mut token = whole(reply, SEQUENCE)?;
    expect(take(&mut token, OID)?, SIGNED_DATA)?;
    let mut signed = whole(whole(token, TAG_0)?, SEQUENCE)?;
    take(&mut signed, INTEGER)?;
    take(&mut signed, SET)?;
    let mut content = take(&mut signed, SEQUENCE)?;
    expect(take(&mut content, OID)?, TST_INFO)?;
    let mut info = whole(whole(whole(content, TAG_0)?, OCTETS)?, SEQUENCE)?;
    take(&mut info, INTEGER)?;
    take(&mut info, OID)?;
    let mut imprint = take(&mut info, SEQUENCE)?;
    let mut algorithm = take(&mut imprint, SEQUENCE)?;
    expect(take(&mut algorithm, OID)?, SHA256)?;
    let digest = whole(imprint, OCTETS)?.try_into().map_err(|_| NoStamp::Form)?;
    take(&mut info, INTEGER)?;
    let time = String::from_utf8(take(&mut info, TIME)?.to_vec()).map_err(|_| NoStamp::Form)?;
    // Accuracy and ordering may stand before the nonce; extensions and the authority's name behind it.
    let mut nonce = None;
    while let Some((tag, value)) = next(&mut info)? {
        if tag == INTEGER {
            nonce = Some(value.to_vec());
        }
    }
    Ok(Stamp { imprint: Hash(digest), nonce, time })
}

/// Checks that `reply` answers [`request`] with these arguments.
pub fn check(reply: &[u8], digest: &Hash, nonce: u64) -> Result<Stamp, NoStamp> {
    let stamp = read(reply)?;
    if stamp.imprint != *digest {
        return Err(NoStamp::Imprint);
    }
    if stamp.nonce.as_deref() != Some(&integer(nonce)) {
        return Err(NoStamp::Nonce);
    }
    Ok(stamp)
}

/// The bytes of a number that is not negative: as few as there can be, the first bit 0.
fn integer(number: u64) -> Vec<u8> {
    let bytes = [&[0][..], &number.to_be_bytes()].concat();
    let from = (0..bytes.len() - 1).find(|&at| bytes[at] != 0 || bytes[at + 1] >= 0x80).unwrap_or(bytes.len() - 1);
    bytes[from..].to_vec()
}

/// A value with its tag and length. Requests are short: fewer than 128 bytes.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    debug_assert!(value.len() < 0x80, "the short form of a length");
    [&[tag, value.len() as u8][..], value].concat()
}

/// The next value of a sequence.
fn next<'b>(bytes: &mut &'b [u8]) -> Result<Option<(u8, &'b [u8])>, NoStamp> {
    let [tag, length, rest @ ..] = *bytes else { return if bytes.is_empty() { Ok(None) } else { Err(NoStamp::Form) } };
    let (length, rest) = match *length {
        short if short < 0x80 => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(long - 0x80)).ok_or(NoStamp::Form)?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return Err(NoStamp::Form),
    };
    let (value, rest) = rest.split_at_checked(length).ok_or(NoStamp::Form)?;
    *bytes = rest;
    Ok(Some((*tag, value)))
}

fn take<'b>(bytes: &mut &'b [u8], tag: u8) -> Result<&'b [u8], NoStamp> {
    next(bytes)?.filter(|(found, _)| *found == tag).map(|(_, value)| value).ok_or(NoStamp::Form)
}

/// The one value that the bytes are.
fn whole(mut bytes: &[u8], tag: u8) -> Result<&[u8], NoStamp> {
    let value = take(&mut bytes, tag)?;
    if bytes.is_empty() { Ok(value) } else { Err(NoStamp::Form) }
}

fn expect(found: &[u8], wanted: &[u8]) -> Result<(), NoStamp> {
    if found == wanted { Ok(()) } else { Err(NoStamp::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_openssl_makes() {
        // `openssl ts -query -digest 00…00 -sha256 -cert`, with this nonce.
        let request = request(&Hash([0; 32]), 0x8000_0000_0000_0001);
        let head = [0x30, 0x44, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09];
        assert_eq!(request[..11], head);
        assert_eq!(request[11..24], [SHA256, &[0x05, 0x00, 0x04, 0x20]].concat());
        assert_eq!(request[56..], [0x02, 0x09, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 1, 0x01, 0x01, 0xff]);
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (number, bytes) in [(0, vec![0]), (0x7f, vec![0x7f]), (0x80, vec![0, 0x80]), (0x1234, vec![0x12, 0x34])] {
            assert_eq!(integer(number), bytes);
        }
        assert_eq!(integer(u64::MAX).len(), 9);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert_eq!(read(&[]), Err(NoStamp::Form));
        assert_eq!(read(&[0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02]), Err(NoStamp::Refused(2)));
        for bytes in [&[0x30][..], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x03, 0x02, 0x01, 0x00]] {
            assert_eq!(read(bytes), Err(NoStamp::Form), "{bytes:?}");
        }
    }
}
