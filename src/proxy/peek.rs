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
pub(super) async fn first(body: Body, bytes: usize) -> Result<(Bytes, Body), Failure> {
    let mut first = BytesMut::new();
    let body = look(body, |piece| {
        first.extend_from_slice(piece);
        Ok(first.len() < bytes)
    });
    let body = body.await?;
    Ok((first.freeze(), body))
}

/// Shows the body to `more`, piece by piece, for as long as that says yes; returns the whole body.
pub(super) async fn look(mut body: Body, mut more: impl FnMut(&[u8]) -> Result<bool, Failure>) -> Result<Body, Failure> {
    let size = body.size_hint();
    let mut frames = VecDeque::new();
    let mut wanted = true;
    while wanted {
        let Some(frame) = body.frame().await else { break };
        let frame =
            frame.map_err(|error| Failure::Unreadable(format!("the upstream broke off within the first bytes: {error}")))?;
        wanted = frame.data_ref().map_or(Ok(true), |data| more(data))?;
        frames.push_back(frame);
    }
    Ok(again(frames, body, size))
}

/// A body behind some more bytes.
pub(super) fn behind(first: Bytes, body: Body) -> Body {
    Peeked { frames: VecDeque::from([Frame::data(first)]), body, size: SizeHint::default() }.boxed_unsync()
}

/// A body behind frames that were taken from it; `size` is that of the whole.
pub(super) fn again(frames: VecDeque<Frame<Bytes>>, body: Body, size: SizeHint) -> Body {
    Peeked { frames, body, size }.boxed_unsync()
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
