//! The end of a request: one access line, once the answer's body is over, so that bytes and time are true.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use jiff::Timestamp;

use crate::{
    site::Site,
    telemetry::{AccessLine, Ending, Outcome, Route, TraceId, Trail},
    wire::{self, Body, BodyError},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request under way, and what will be told of it.
pub(super) struct Closing {
    site: Arc<Site>,
    trail: Arc<Trail>,
    started: Instant,
    line: AccessLine,
    /// Bytes of the body by its head; `None` where the head does not say.
    expected: Option<u64>,
}

impl Closing {
    /// Takes from a request's head what may be told of it.
    pub(super) fn open<B>(site: &Arc<Site>, req: &Request<B>) -> Self {
        let telemetry = &site.shared.telemetry;
        let told = telemetry.access.is_some() && telemetry.routes;
        let line = AccessLine {
            time: Timestamp::now(),
            site: Arc::clone(site.metrics.site()),
            method: method(req.method()),
            route: told.then(|| Route::of(req.uri().path())),
            status: 0,
            bytes: 0,
            duration: Duration::ZERO,
            first_byte: None,
            protocol: protocol(req.version()),
            kind: Outcome::Passed,
            ending: Ending::Whole,
            held: 0,
            stripped: 0,
            trace_id: wire::single(req.headers(), &TRACEPARENT).and_then(|value| TraceId::of(value.as_bytes())),
        };
        Self { site: Arc::clone(site), trail: Arc::default(), started: Instant::now(), line, expected: None }
    }

    /// Where those on the way say what they find out.
    pub(super) fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// The answer, whose end closes the request.
    pub(super) fn at_end_of(mut self, resp: Response<Body>) -> Response<Body> {
        self.line.status = resp.status().as_u16();
        let bodiless = self.line.method == "HEAD"
            || resp.status().is_informational()
            || matches!(resp.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || resp.body().is_end_stream() {
            self.close(Ending::Whole);
            return resp;
        }
        self.expected = resp.body().size_hint().exact();
        resp.map(|body| Closed { body: Some(body), closing: Some(self) }.boxed_unsync())
    }

    fn close(mut self, ending: Ending) {
        self.line.ending = ending;
        self.line.duration = self.started.elapsed();
        self.line.follow(&self.trail);
        self.site.metrics.answered(&self.line);
        if let Some(access) = &self.site.shared.telemetry.access {
            access.write(self.line);
        }
    }
}

/// A body that closes its request. It is told apart who ended it: whoever sends a body drops it once all
/// that its head promised is sent, without asking for the end.
struct Closed {
    /// Dropped before the request is closed: what the body knows is told by then.
    body: Option<Body>,
    closing: Option<Closing>,
}

impl Closed {
    fn close(&mut self, ending: Ending) {
        self.body = None;
        if let Some(closing) = self.closing.take() {
            closing.close(ending);
        }
    }
}

impl HttpBody for Closed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(closing)) = (frame.data_ref(), &mut self.closing) {
                    closing.line.bytes += data.len() as u64;
                }
            }
            Some(Err(_)) => self.close(Ending::Cut),
            None => self.close(Ending::Whole),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let sent = self.closing.as_ref().map(|closing| (closing.line.bytes, closing.expected));
        let whole = self.is_end_stream() || sent.is_some_and(|(bytes, expected)| expected == Some(bytes));
        self.close(if whole { Ending::Whole } else { Ending::Left });
    }
}

/// A method can be any token: only those of RFC 9110 and RFC 5789 are told by name.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "other",
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
