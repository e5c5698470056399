//! A dry run: the body passes byte for byte, and a copy of it goes through the engine beside.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::{
    html::{self, BodyHead},
    wire::{Body, BodyError, Causes},
};

/// How many pieces the engine may lag behind. Past that it gives this page up: a dry run must not
/// slow the visitor, nor keep a page in memory for it.
const LAG: usize = 256;

/// What the upstream's head says about the body.
pub(super) struct Observed {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
}

/// Passes `body` on and reports what the engine would have done to it.
pub(super) fn tap(body: Body, head: Observed, page: html::Page, limits: html::Limits, on_end: html::OnEnd) -> Body {
    let (copies, received) = mpsc::channel(LAG);
    tokio::spawn(async move {
        let head = BodyHead {
            content_type: head.content_type.as_deref(),
            content_encoding: head.content_encoding.as_deref(),
            answer_encoding: None,
        };
        match html::gate_body(Copies(received), head, page, limits, on_end, None).await {
            // What the engine makes of it is for nobody; how it ended is told by `on_end`.
            Ok(mut gated) => while let Some(Ok(_)) = gated.body.frame().await {},
            Err(refusal) => tracing::warn!("this page would not be passed on: {}", Causes(&refusal)),
        }
    });
    Tapped { body, copies: Some(copies) }.boxed_unsync()
}

struct Tapped {
    body: Body,
    copies: Option<mpsc::Sender<Bytes>>,
}

impl HttpBody for Tapped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let behind = frame
                    .data_ref()
                    .is_some_and(|data| self.copies.as_ref().is_some_and(|copies| copies.try_send(data.clone()).is_err()));
                if behind {
                    self.copies = None;
                }
            }
            Poll::Ready(_) => self.copies = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The copies as a body.
struct Copies(mpsc::Receiver<Bytes>);

impl HttpBody for Copies {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}
