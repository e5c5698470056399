//! What crosses the wire: bodies, bounded reads, failures and their one table of answers, and what
//! may stand in a trace.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Every body on the way: from the visitor, from the upstream, from the gate itself.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads a whole body of at most `bytes_max` bytes within `time_max`.
pub async fn read_bounded<B>(body: B, bytes_max: usize, time_max: Duration) -> Result<Bytes, Failure>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Failure::TooLarge { bytes_max });
    }
    tokio::time::timeout(time_max, read_all(body, bytes_max)).await.map_err(|_| Failure::SlowRequest)?
}

async fn read_all<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Failure>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::BrokenRequest(error.into()))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > bytes_max {
                return Err(Failure::TooLarge { bytes_max });
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// Everything that can go wrong with one request, by whose fault it is. The visitor reads a page
/// by [`status`](Failure::status); the operator reads the `Display` text in one trace.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    // Downstream: the visitor's request.
    /// The request cannot be read as HTTP/1.1 to one host.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The body broke off.
    #[error("the request's body broke off")]
    BrokenRequest(#[source] BodyError),
    /// The body came too slowly.
    #[error("the request's body came too slowly")]
    SlowRequest,
    /// A decision that did not come from the site's own pages.
    #[error("only this site's own pages decide: {0}; a program sends the site's own Origin")]
    CrossSite(&'static str),
    /// A decision by a program that says that it visits sites on its own.
    #[error("the user agent declares an automatic program; it cannot decide for a person, and nothing was recorded")]
    Bot,
    /// A host name that no site has (RFC 9110, 15.5.20).
    #[error("no site of this gate has the host name that the request asks for")]
    Misdirected,
    /// An own path that does not exist.
    #[error("no such path of the gate")]
    NotFound,
    /// An own path does not take this method, or no path does.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The methods it takes, as an `Allow` header.
        allow: &'static str,
    },
    /// An own path got more than it takes.
    #[error("the body is larger than {bytes_max} bytes; [limits] has the bound by name")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A body in a format that is not read.
    #[error(
        "a decision is application/x-www-form-urlencoded or application/json, a report application/csp-report, \
         application/reports+json or application/json"
    )]
    UnknownFormat,
    /// Too many requests to an own path from one network.
    #[error("too many requests from one network ([limits] {limit})")]
    TooMany {
        /// The key of the limit.
        limit: &'static str,
        /// When to come back.
        retry_after: Duration,
    },

    // Upstream: the site behind.
    /// No connection to the site.
    #[error("the upstream {upstream} cannot be reached: is it running, and is [upstream] url right?")]
    Unreachable {
        /// Its address as configured.
        upstream: String,
        /// What the connection said.
        #[source]
        source: BodyError,
    },
    /// The site took a connection and did not answer in time.
    #[error("the upstream {upstream} did not answer within {seconds} s ([limits] {limit})")]
    UpstreamTimeout {
        /// Its address as configured.
        upstream: String,
        /// The time given.
        seconds: u64,
        /// The key of the limit.
        limit: &'static str,
    },
    /// The site's answer is not HTTP, or it broke off before its head was complete.
    #[error("the upstream {upstream} broke off")]
    UpstreamBroke {
        /// Its address as configured.
        upstream: String,
        /// What the connection said.
        #[source]
        source: BodyError,
    },
    /// The request has been here before.
    #[error("the request came back to where it was: [upstream] url leads to the gate itself")]
    Loop,
    /// A page that cannot be read is not passed on.
    #[error("the page cannot be gated and is not passed on: {0}")]
    Unreadable(String),

    // Internal: the gate.
    /// A consent record could not be made durable.
    #[error("the decision could not be recorded")]
    NotRecorded(#[source] BodyError),
    /// The gate is at fault.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl Failure {
    /// The one table from failure to status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BrokenRequest(_) => StatusCode::BAD_REQUEST,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::CrossSite(_) | Self::Bot => StatusCode::FORBIDDEN,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable { .. } | Self::UpstreamBroke { .. } | Self::Unreadable(_) => StatusCode::BAD_GATEWAY,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::UpstreamTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the operator has something to mend: the others are the visitor's doing.
    pub fn concerns_operator(&self) -> bool {
        self.status().is_server_error()
    }

    /// Whether the rest of the request's body is unread, so that the connection must close.
    pub fn leaves_body_unread(&self) -> bool {
        !matches!(self, Self::NotRecorded(_))
    }

    /// The bound that was met, by its name in `[limits]`.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::TooMany { limit, .. } | Self::UpstreamTimeout { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// One word for what the site behind did wrong; none where it did nothing.
    pub fn upstream_fault(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some("unreachable"),
            Self::UpstreamTimeout { .. } => Some("timeout"),
            Self::UpstreamBroke { .. } => Some("broke"),
            Self::Loop => Some("loop"),
            _ => None,
        }
    }

    /// Headers that belong to the answer.
    pub fn headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::TooMany { retry_after, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            _ => {}
        }
    }
}

/// An error with its causes, each once, for one trace line.
pub struct Causes<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// An answer of the gate itself: never stored by a cache unless the caller says so.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut resp = Response::new(full(body));
    *resp.status_mut() = status;
    let headers = resp.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    resp
}

/// HTML, as [`answer`] types it.
pub const HTML: &str = "text/html; charset=utf-8";
/// Plain text, as [`answer`] types it.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON, as [`answer`] types it.
pub const JSON: &str = "application/json";

/// `Sec-Fetch-Site` (Fetch Metadata).
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// `Sec-Fetch-Mode` (Fetch Metadata).
pub const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// `Sec-Fetch-Dest` (Fetch Metadata).
pub const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// `Sec-GPC` (Global Privacy Control): only the exact value `1` counts.
pub const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// `CDN-Loop` (RFC 8586): every proxy a request went through.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The one value of a header that may occur once; `None` when it is absent, repeated or not ASCII.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

/// One character as it may stand in a page of any charset: non-ASCII as a numeric character reference.
pub fn push_ascii(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c);
    } else {
        write!(out, "&#{};", u32::from(c)).expect("a String takes any text");
    }
}

/// A value for a quoted attribute, in ASCII.
pub fn push_escaped(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => push_ascii(c, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        let second = Duration::from_secs(1);
        assert_eq!(read_bounded(full("12345"), 5, second).await.expect("it fits"), "12345");
        assert!(matches!(read_bounded(full("123456"), 5, second).await, Err(Failure::TooLarge { bytes_max: 5 })));
    }

    #[test]
    fn a_repeated_header_is_no_single_value() {
        let mut headers = HeaderMap::new();
        headers.append(SEC_FETCH_SITE, HeaderValue::from_static(" same-origin "));
        assert_eq!(single(&headers, &SEC_FETCH_SITE), Some("same-origin"));
        headers.append(SEC_FETCH_SITE, HeaderValue::from_static("cross-site"));
        assert_eq!(single(&headers, &SEC_FETCH_SITE), None);
    }
}
