//! Bodies that may be known: read whole where that costs nobody anything, hashed on their way otherwise, and how much
//! memory all of them may take.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::sleep;

use super::super::peek;
use crate::wire::{Body, BodyError, Failure};

/// How long the rest of a page is waited for that is thought to be known. A site that makes its page slowly sends the
/// beginning first, and its visitors see that: they are not kept longer than this.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What came.
pub(super) enum Came {
    /// All of it.
    Whole(Bytes, Permit),
    /// Some of it; more follows.
    Streaming(Body),
    /// More than is ever remembered.
    Large(Body),
}

/// Takes in what is there; with `wait` also what comes soon. Never more than `bytes_max`, and nothing where there is no
/// room.
pub(super) async fn read(mut body: Body, bytes_max: usize, wait: bool, room: &Arc<Room>) -> Result<Came, Failure> {
    let size = body.size_hint();
    if size.lower() > bytes_max as u64 {
        return Ok(Came::Large(body));
    }
    let expected = size.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(bytes_max);
    let Some(permit) = room.take(expected) else { return Ok(Came::Streaming(body)) };
    // Costs nothing until there is something to wait for.
    let mut over = pin!(sleep(WAIT_MAX));
    let (mut frames, mut length) = (VecDeque::new(), 0);
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending if wait => over.as_mut().poll(cx).map(|()| None),
            Poll::Pending => Poll::Ready(None),
        });
        match frame.await {
            Some(None) => return Ok(Came::Whole(joined(frames, length), permit)),
            Some(Some(Ok(frame))) => {
                length += frame.data_ref().map_or(0, Bytes::len);
                frames.push_back(frame);
                if length > bytes_max {
                    return Ok(Came::Large(peek::again(frames, body, size)));
                }
            }
            Some(Some(Err(error))) => {
                return Err(Failure::Unreadable(format!("the upstream broke off within the first bytes: {error}")));
            }
            None => return Ok(Came::Streaming(peek::again(frames, body, size))),
        }
    }
}

/// Without trailers: they speak about bytes that the visitor does not get.
fn joined(frames: VecDeque<Frame<Bytes>>, length: usize) -> Bytes {
    let mut pieces = frames.into_iter().filter_map(|frame| frame.into_data().ok());
    let Some(first) = pieces.next() else { return Bytes::new() };
    if first.len() == length {
        return first;
    }
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(&first);
    pieces.for_each(|piece| whole.extend_from_slice(&piece));
    whole.freeze()
}

/// How many bytes of pages may be held whole at a time: a thousand visitors who read slowly must not be a thousand
/// pages in memory.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: usize,
    taken: AtomicUsize,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, taken: AtomicUsize::new(0) }
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit { room: Arc::clone(self), bytes };
        (before.saturating_add(bytes) <= self.bytes_max).then_some(permit)
    }
}

/// Room for a body; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    room: Arc<Room>,
    bytes: usize,
}

impl Permit {
    /// From now on for so many bytes, which were taken already.
    pub(super) fn hold(&mut self, bytes: usize) {
        self.room.taken.fetch_add(bytes, Ordering::Relaxed);
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that stands in memory.
pub(super) struct Held {
    bytes: Option<Bytes>,
    _permit: Permit,
}

impl Held {
    pub(super) fn new(bytes: Bytes, permit: Permit) -> Self {
        Self { bytes: (!bytes.is_empty()).then_some(bytes), _permit: permit }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// A body that is hashed as it passes.
pub(super) struct Hashed {
    body: Body,
    hashing: Option<Hashing>,
}

struct Hashing {
    hasher: blake3::Hasher,
    /// How much more of it is of interest.
    left: usize,
    at_end: Box<dyn FnOnce([u8; 32]) + Send>,
}

impl Hashed {
    /// Tells `at_end` the hash of the whole, unless that is more than `bytes_max`.
    pub(super) fn new(body: Body, hasher: blake3::Hasher, bytes_max: usize, at_end: Box<dyn FnOnce([u8; 32]) + Send>) -> Self {
        Self { body, hashing: Some(Hashing { hasher, left: bytes_max, at_end }) }
    }
}

impl HttpBody for Hashed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(hashing)) = (frame.data_ref(), &mut self.hashing) {
                    match hashing.left.checked_sub(data.len()) {
                        Some(left) => {
                            hashing.left = left;
                            hashing.hasher.update(data);
                        }
                        None => self.hashing = None,
                    }
                }
            }
            Some(Err(_)) => self.hashing = None,
            None => {
                if let Some(Hashing { hasher, at_end, .. }) = self.hashing.take() {
                    at_end(*hasher.finalize().as_bytes());
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Its end is to be asked for: that is when its hash is known.
        self.hashing.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// Two pieces, and then nothing for ever; or the end.
    struct Pieces {
        left: usize,
        ends: bool,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
                }
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn body(ends: bool) -> Body {
        Pieces { left: 2, ends }.boxed_unsync()
    }

    #[tokio::test]
    async fn a_body_that_stops_is_not_waited_for_long_and_loses_nothing() {
        let room = Arc::new(Room::new(1 << 10));
        for wait in [false, true] {
            let came = tokio::time::timeout(Duration::from_secs(5), read(body(false), 100, wait, &room)).await;
            let Ok(Ok(Came::Streaming(mut body))) = came else { panic!("it streams on") };
            for _ in 0..2 {
                let frame = body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
                assert_eq!(frame.as_deref(), Some(&b"piece"[..]));
            }
        }
        assert_eq!(room.taken.load(Ordering::Relaxed), 0, "room is given back");
    }

    #[tokio::test]
    async fn what_is_read_whole_takes_room_and_gives_it_back() {
        let room = Arc::new(Room::new(150));
        let Ok(Came::Whole(bytes, permit)) = read(body(true), 100, false, &room).await else { panic!("it is there") };
        assert_eq!(&bytes[..], b"piecepiece");
        assert!(matches!(read(body(true), 100, false, &room).await, Ok(Came::Streaming(_))), "there is no room for two");
        drop(permit);
        assert!(matches!(read(body(true), 100, false, &room).await, Ok(Came::Whole(..))));
        assert!(matches!(read(body(true), 7, false, &room).await, Ok(Came::Large(_))), "it is longer than that");
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
