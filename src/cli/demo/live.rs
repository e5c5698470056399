//! The live page: what the gate held and what went out, as it happens, by Server-Sent Events.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::broadcast;

use super::{FILES, played::Played};
use crate::{
    consent_log::Health,
    policy::Policy,
    site::{Seen, Site},
    vocab::Verdict,
    wire::{self, Body, BodyError},
};

/// Collects what happens and tells every open live page.
pub(super) struct Board {
    site: Arc<Site>,
    lines: broadcast::Sender<Arc<str>>,
}

impl Board {
    pub(super) fn new(site: &Arc<Site>) -> Arc<Self> {
        Arc::new(Self { site: Arc::clone(site), lines: broadcast::Sender::new(512) })
    }

    /// Passes on what the gate sees, until the site is gone.
    pub(super) async fn follow(self: &Arc<Self>) {
        let mut seen = self.site.seen.subscribe();
        while self.site.shared.log.health() != Health::Closed {
            let page = tokio::time::timeout(std::time::Duration::from_millis(500), seen.recv()).await;
            if let Ok(Ok(page)) = page {
                self.tell_seen(&page);
            }
        }
    }

    fn tell_seen(&self, seen: &Seen) {
        let t = Timestamp::now().to_string();
        match seen {
            Seen::Decision { choice, purposes } => {
                let what = if purposes.is_empty() { (*choice).to_owned() } else { format!("{choice}: {}", purposes.join(", ")) };
                self.tell(&json!({ "t": t, "kind": "decision", "vendor": "", "what": what, "page": "" }));
            }
            Seen::Page { page, tags } => {
                for tag in tags.iter().filter(|tag| tag.verdict != Verdict::Allow) {
                    let what = match &tag.address {
                        Some(address) => format!("{} {}", tag.element, address.replace(".localhost", "")),
                        None => format!("{} (inline)", tag.element),
                    };
                    self.tell(&json!({ "t": t, "kind": "held", "vendor": tag.vendors.join(", "), "what": what, "page": page }));
                }
            }
        }
    }

    fn tell_sent(&self, policy: &Policy, host: &str, target: &http::Uri) {
        let hits = policy.match_address(host, target.path(), target.query());
        let vendor = hits.iter().next().map_or(host, |rule| policy.vendor_def(policy.rule(rule).vendor).id.as_str());
        self.tell(&json!({
            "t": Timestamp::now().to_string(), "kind": "sent", "vendor": vendor, "what": format!("{host}{}", target.path()), "page": "",
        }));
    }

    fn tell(&self, line: &serde_json::Value) {
        // Nobody may have the page open.
        let _ = self.lines.send(format!("data: {line}\n\n").into());
    }
}

/// Answers for the live page, and for every vendor's name below `.localhost`.
pub(super) fn answer<B>(req: Request<B>, played: &Played, board: &Arc<Board>) -> Response<Body> {
    let host = wire::single(req.headers(), &header::HOST).and_then(|host| host.parse::<Authority>().ok());
    let vendor = host.as_ref().and_then(|authority| authority.host().strip_suffix(".localhost")).map(str::to_owned);
    if let Some(host) = vendor {
        let policy = Arc::clone(&board.site.snapshot().policy);
        board.tell_sent(&policy, &host, req.uri());
        return played.answer(req.method(), &host, req.uri().path()).0;
    }
    let file = |path: &str, content_type| match FILES.get_file(path).and_then(|file| file.contents_utf8()) {
        Some(text) => wire::answer(StatusCode::OK, content_type, text),
        None => wire::answer(StatusCode::NOT_FOUND, "text/plain", "not here\n"),
    };
    match req.uri().path() {
        "/" => file("live.html", wire::HTML),
        "/live.css" => file("live.css", "text/css; charset=utf-8"),
        "/live.js" => file("live.js", "text/javascript; charset=utf-8"),
        "/events" => events(board),
        _ => wire::answer(StatusCode::NOT_FOUND, "text/plain", "not here\n"),
    }
}

fn events(board: &Board) -> Response<Body> {
    let lines = Lines { next: Box::pin(receive(board.lines.subscribe())) };
    let mut resp = Response::new(lines.map_err(|never| -> BodyError { match never {} }).boxed_unsync());
    resp.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    resp.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    resp
}

type Receiver = broadcast::Receiver<Arc<str>>;
type Received = Pin<Box<dyn Future<Output = Option<(Arc<str>, Receiver)>> + Send>>;

async fn receive(mut lines: Receiver) -> Option<(Arc<str>, Receiver)> {
    loop {
        match lines.recv().await {
            Ok(line) => return Some((line, lines)),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}

/// A body of lines as they come.
struct Lines {
    next: Received,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((line, lines)) = ready!(self.next.as_mut().poll(cx)) else { return Poll::Ready(None) };
        self.next = Box::pin(receive(lines));
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(line.as_bytes())))))
    }
}
