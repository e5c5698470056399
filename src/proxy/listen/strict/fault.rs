//! What can be wrong with the bytes of a request, and the one table of answers to it.

use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};

use crate::wire::{self, Body};

/// Why a request is refused before anything of it is believed. The connection ends with the answer:
/// after a fault nobody knows where the next request begins.
///
/// The answer is plain text of the protocol's own words: browsers do not send such requests, and no
/// site, and so no language of one, is known at this point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No request line of method, target and version with single spaces between (RFC 9112, 3), HTTP/0.9 among them.
    RequestLine,
    /// A method of no sensible length (RFC 9110, 9.1).
    Method,
    /// `CONNECT` or `TRACE`: the gate is no tunnel, and an echo of a request shows cookies to scripts (RFC 9110, 9.3).
    MethodRefused,
    /// Neither a path nor an `http` or `https` address (RFC 9112, 3.2), or one with bytes that no address has.
    Target,
    /// A target above the bound (`[limits] target_bytes`).
    TargetTooLong,
    /// A version of HTTP other than 1.0 and 1.1.
    Version,
    /// No `Host`, several, or one that is no host and port (RFC 9112, 3.2).
    Host,
    /// A line that is no `name: value`: a space in the name, a folded line, a control byte (RFC 9112, 5).
    HeaderLine,
    /// A line that ends in LF alone. Recipients may take it for an end of line (RFC 9112, 2.2); not all
    /// do, and requests hide where two of them differ.
    BareLineFeed,
    /// A head above the bound (`[limits] head_bytes`).
    HeadTooLarge,
    /// More header lines than the bound (`[limits] head_lines`).
    TooManyLines,
    /// A head that came too slowly (`[limits] head_s`).
    SlowHead,
    /// `Content-Length` is repeated, a list, or no plain number (RFC 9112, 6.3).
    ContentLength,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112, 6.1).
    TwoFramings,
    /// `Transfer-Encoding` is anything but one `chunked`, or stands in HTTP/1.0 (RFC 9112, 6.1).
    TransferEncoding,
    /// A transfer coding that is not read here (RFC 9112, 6.1).
    UnknownCoding,
    /// An expectation other than `100-continue` (RFC 9110, 10.1.1).
    Expectation,
    /// A chunk that cannot be read, or with more extensions than the bound (`[limits] chunk_extension_bytes`; RFC 9112, 7.1).
    Chunk,
    /// Trailer lines that cannot be read, or too many of them (RFC 9112, 7.1.2).
    Trailers,
}

impl Fault {
    /// The one table from fault to status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::RequestLine
            | Self::Target
            | Self::Host
            | Self::HeaderLine
            | Self::BareLineFeed
            | Self::ContentLength
            | Self::TwoFramings
            | Self::TransferEncoding
            | Self::Chunk
            | Self::Trailers => StatusCode::BAD_REQUEST,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowHead => StatusCode::REQUEST_TIMEOUT,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge | Self::TooManyLines => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method | Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "the request line is not `method target version`",
            Self::Method => "the method is not known",
            Self::MethodRefused => "the method is not allowed",
            Self::Target => "the target is neither a path nor an http address",
            Self::TargetTooLong => "the target is too long",
            Self::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
            Self::Host => "the request does not name one host",
            Self::HeaderLine => "a header line is not `name: value`",
            Self::BareLineFeed => "a line ends without a carriage return",
            Self::HeadTooLarge => "the head is too large",
            Self::TooManyLines => "the head has too many lines",
            Self::SlowHead => "the head came too slowly",
            Self::ContentLength => "Content-Length is not one plain number",
            Self::TwoFramings => "Content-Length and Transfer-Encoding exclude each other",
            Self::TransferEncoding => "Transfer-Encoding is not one `chunked`",
            Self::UnknownCoding => "the transfer coding is not known",
            Self::Expectation => "the expectation cannot be met",
            Self::Chunk => "a chunk cannot be read",
            Self::Trailers => "the trailers cannot be read",
        }
    }

    /// The answer, after which the connection closes.
    pub(super) fn answer(self) -> Response<Body> {
        let mut resp = wire::answer(self.status(), "text/plain; charset=utf-8", format!("{self}\n"));
        resp.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if self == Self::MethodRefused {
            resp.headers_mut().insert(header::ALLOW, HeaderValue::from_static(crate::proxy::methods::ALLOWED));
        }
        resp
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status(), self.reason())
    }
}

impl std::error::Error for Fault {}
