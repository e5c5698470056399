//! The first bytes of a body, looked at before it is decided what becomes of it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::wire::{Body, BodyError, Failure};

/// Reads until `bytes` are there or the body ends; returns them and the whole body.
pub(super) async fn first(mut body: Body, bytes: usize) -> Result<(Bytes, Body), Failure> {
    let size = body.size_hint();
    let mut frames = VecDeque::new();
    let mut first = BytesMut::new();
    while first.len() < bytes {
        let Some(frame) = body.frame().await else { break };
        let frame =
            frame.map_err(|error| Failure::Unreadable(format!("the upstream broke off within the first bytes: {error}")))?;
        first.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
        frames.push_back(frame);
    }
    Ok((first.freeze(), Peeked { frames, body, size }.boxed_unsync()))
}

/// A body behind some more bytes.
pub(super) fn behind(first: Bytes, body: Body) -> Body {
    Peeked { frames: VecDeque::from([Frame::data(first)]), body, size: SizeHint::default() }.boxed_unsync()
}

struct Peeked {
    frames: VecDeque<Frame<Bytes>>,
    body: Body,
    /// Of the whole body.
    size: SizeHint,
}

impl HttpBody for Peeked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
