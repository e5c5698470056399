//! The strict layer below hyper on an HTTP/1.1 connection: each request's head is read and checked
//! whole before hyper sees a byte of it, each body is followed to its end. hyper gets exactly the bytes
//! that were checked.
//!
//! A request that is refused never reaches hyper, nor does anything behind it. In its place hyper gets a
//! request of ours without meaning, so that the answer takes its turn behind the answers that are still
//! under way; the connection's watch answers it, and the connection ends. A body that is refused breaks off.
//!
//! Nothing here knows sites, paths or consent. HTTP/2 connections do not come by: it frames by length.

pub mod body;
mod fault;
pub mod head;
mod watch;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

pub use fault::Fault;
use head::{Bounds, Scan};
use watch::Decision;
pub(super) use watch::Watch;

use crate::{config::Limits, proxy::silence::Clock};

/// How much is read at a time while a head is incomplete.
const PIECE_BYTES: usize = 4 << 10;
/// How long what a visitor still sends is read after the last answer: a socket that is closed over
/// unread bytes is reset, and the reset can overtake the answer (RFC 9112, 9.6).
const LINGER_MAX: Duration = Duration::from_secs(3);
/// A connection without a request for so long stands still.
const STILL: Duration = Duration::from_millis(200);
/// Stands for a request that was refused.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// Likewise for `HEAD`, whose answer has no body.
const REFUSED_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// An HTTP/1.1 connection's transport, with the strict layer in it.
#[derive(Debug)]
pub(super) struct Strict<I> {
    io: I,
    bounds: Bounds,
    head_max: Duration,
    idle_max: Duration,
    state: State,
    /// Heads that were handed on.
    heads: u64,
    /// Read, and not handed on yet.
    held: BytesMut,
    /// So much of it, from its front, is checked.
    checked: usize,
    /// When the head that is coming in began; for the first one, when the connection did.
    head_since: Option<Instant>,
    clock: Clock,
    /// Until when a visitor who still sends is read after the last answer.
    linger_until: Option<Instant>,
    closing: Closing,
    /// Whether the last write is unfinished.
    unwritten: bool,
    watch: Watch,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A head comes in.
    Head(Scan),
    /// A body comes in.
    Body(body::Body),
    /// The last head asked for another protocol: what follows is read once that is decided.
    Undecided,
    /// Another protocol.
    Switched,
    /// A head was refused: nothing is read any more, while the answers go out.
    Refused,
    /// A body was refused.
    Broken(Fault),
    /// Nobody asked anything for too long.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Our side is shut down, the visitor's is read to its end.
    Lingering,
    Done,
}

impl<I> Strict<I> {
    /// Wraps a transport. The watch answers the connection's requests.
    pub(super) fn new(io: I, limits: &Limits) -> (Self, Watch) {
        let watch = Watch::new();
        let strict = Self {
            io,
            bounds: bounds(limits),
            head_max: Limits::seconds(limits.head_s),
            idle_max: Limits::seconds(limits.idle_s),
            state: State::Head(Scan::default()),
            heads: 0,
            held: BytesMut::new(),
            checked: 0,
            head_since: Some(Instant::now()),
            clock: Clock::default(),
            linger_until: None,
            closing: Closing::No,
            unwritten: false,
            watch: watch.clone(),
        };
        (strict, watch)
    }

    /// Checks what it can of `bytes`, which follow what was checked before. Returns how many of them may be
    /// handed on. A fault is returned only where nothing stands before it: it is found again in its turn.
    fn check(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut done = 0;
        loop {
            match self.check_part(&bytes[done..]) {
                Ok(0) => return Ok(done),
                Ok(here) => done += here,
                Err(_) if done > 0 => return Ok(done),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// One head, or one stretch of a body. A fault changes nothing.
    fn check_part(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.state {
            State::Head(mut scan) => {
                let Some(length) = scan.advance(bytes, &self.bounds)? else {
                    self.state = State::Head(scan);
                    return Ok(0);
                };
                let head = head::check(&bytes[..length], &self.bounds)?;
                self.state = match body::Body::new(head.framing, &self.bounds) {
                    Some(body) => State::Body(body),
                    None if head.asks_upgrade => State::Undecided,
                    None => State::Head(Scan::default()),
                };
                self.heads += 1;
                self.head_since = None;
                Ok(length)
            }
            State::Body(mut body) => {
                let length = body.follow(bytes)?;
                self.state = if body.is_over() { State::Head(Scan::default()) } else { State::Body(body) };
                Ok(length)
            }
            State::Undecided | State::Switched | State::Refused | State::Broken(_) | State::Ended => Ok(0),
        }
    }

    /// The end of this connection by `fault`.
    fn refuse(&mut self, fault: Fault) {
        tracing::debug!(status = fault.status().as_u16(), %fault, "a request was refused");
        if matches!(self.state, State::Body(_)) {
            self.state = State::Broken(fault);
            return;
        }
        let stands = if self.held.starts_with(b"HEAD ") { REFUSED_HEAD } else { REFUSED };
        self.held = BytesMut::from(stands);
        self.checked = stands.len();
        self.watch.refuse(self.heads, fault);
        self.state = State::Refused;
    }

    /// One empty line before a request is read over (RFC 9112, 2.2); more are none of HTTP.
    fn skip_empty_line(&mut self) {
        let before_head = matches!(self.state, State::Head(_)) && self.checked == 0;
        if before_head && self.held.starts_with(b"\r\n") {
            self.held.advance(2);
            self.state = State::Head(Scan::default());
        }
    }

    /// Until when the visitor has to send something. While an answer is due or under way nobody has to:
    /// then it is the time to look again.
    fn deadline(&self) -> Instant {
        match (self.head_since, self.watch.idle_since()) {
            (Some(since), _) => since + self.head_max,
            (None, Some(since)) => since + self.idle_max,
            (None, None) => Instant::now() + self.idle_max,
        }
    }

    /// Ready once the deadline has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.deadline();
            ready!(self.clock.poll_at(deadline, cx));
            if self.deadline() <= deadline {
                return Poll::Ready(());
            }
        }
    }

    /// Nothing came while a head was due.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.state, State::Head(_)) {
            return Poll::Pending;
        }
        ready!(self.poll_deadline(cx));
        if self.held.is_empty() {
            self.state = State::Ended;
        } else {
            self.refuse(Fault::SlowHead);
        }
        Poll::Ready(())
    }

    /// Ready once a connection has stood still for [`STILL`]: it has answered something, all of it is written, and
    /// nothing that comes in is unread.
    pub(in crate::proxy::listen) fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unread = !self.held.is_empty() || self.head_since.is_some();
        if !matches!(self.state, State::Head(_)) || unread || self.unwritten {
            return Poll::Pending;
        }
        match self.watch.all_answered_since(self.heads) {
            Some(since) if self.heads > 0 => self.clock.poll_at(since + STILL, cx),
            _ => Poll::Pending,
        }
    }

    fn give(&mut self, length: usize, out: &mut ReadBuf<'_>) {
        let length = length.min(out.remaining());
        out.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.checked = self.checked.saturating_sub(length);
        if self.held.is_empty() {
            // Its memory is not kept while the connection is idle.
            self.held = BytesMut::new();
        }
    }
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        target_bytes_max: limits.target_bytes as usize,
        head_bytes_max: limits.head_bytes as usize,
        head_lines_max: limits.head_lines as usize,
        chunk_extension_bytes_max: limits.chunk_extension_bytes as usize,
    }
}

impl<I: AsyncRead + Unpin> Strict<I> {
    /// For a connection that stood still: ready when there is something to read, be it the end. What was read
    /// is held.
    pub(in crate::proxy::listen) fn poll_moves(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_more(cx) {
            // An end or an error is found again by who reads next.
            Poll::Ready(_) => {}
            Poll::Pending => ready!(self.poll_silence(cx)),
        }
        Poll::Ready(())
    }

    /// Reads into `out` itself and takes back what may not be handed on: nearly always nothing, so that
    /// bodies and whole heads are copied nowhere. Returns whether the visitor is gone.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        let fresh = &out.filled()[before..];
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        // An empty line in front, and a fault, are dealt with where the bytes are held.
        let done = self.check(fresh).unwrap_or(0);
        if done < fresh.len() {
            self.held.extend_from_slice(&fresh[done..]);
            out.set_filled(before + done);
        }
        Poll::Ready(Ok(false))
    }

    /// Reads more of a head or a body that began in what is held. Returns whether the visitor is gone.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE_BYTES];
        let mut read = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.held.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().is_empty()))
    }

    /// Checks what is held.
    fn check_held(&mut self) {
        self.skip_empty_line();
        let held = std::mem::take(&mut self.held);
        let found = self.check(&held);
        self.held = held;
        match found {
            Ok(length) => self.checked = length,
            Err(fault) => self.refuse(fault),
        }
        if matches!(self.state, State::Head(_)) && self.held.len() > self.checked {
            self.head_since.get_or_insert_with(Instant::now);
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Strict<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        loop {
            if this.checked > 0 {
                this.give(this.checked, out);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Head(_) | State::Body(_) => {}
                State::Undecided => {
                    let decision = ready!(this.watch.poll_decision(this.heads - 1, cx));
                    this.state = match decision {
                        Decision::Switched => State::Switched,
                        Decision::Stayed => State::Head(Scan::default()),
                    };
                    continue;
                }
                State::Switched if this.held.is_empty() => return Pin::new(&mut this.io).poll_read(cx, out),
                State::Switched => {
                    this.give(this.held.len(), out);
                    return Poll::Ready(Ok(()));
                }
                // An end would make hyper give up the answers that are under way.
                State::Refused => return Poll::Pending,
                State::Broken(fault) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault))),
                State::Ended => return Poll::Ready(Ok(())),
            }
            if !this.held.is_empty() {
                this.check_held();
                if this.checked > 0 || !matches!(this.state, State::Head(_) | State::Body(_)) {
                    continue;
                }
            }
            let polled = if this.held.is_empty() { this.poll_fresh(cx, out) } else { this.poll_more(cx) };
            let gone = match polled {
                Poll::Ready(gone) => gone?,
                Poll::Pending => {
                    ready!(this.poll_silence(cx));
                    false
                }
            };
            if gone || out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.unwritten = polled.is_pending();
        polled
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, bytes);
        this.unwritten = polled.is_pending();
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_flush(cx);
        this.unwritten = polled.is_pending();
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing == Closing::No {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            let unread = matches!(this.state, State::Body(_) | State::Refused | State::Broken(_)) || !this.held.is_empty();
            this.closing = if unread { Closing::Lingering } else { Closing::Done };
            this.linger_until = unread.then(|| Instant::now() + LINGER_MAX);
        }
        while this.closing == Closing::Lingering {
            let late = this.linger_until.is_none_or(|until| this.clock.poll_at(until, cx).is_ready());
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            let gone =
                late || !matches!(ready!(Pin::new(&mut this.io).poll_read(cx, &mut read)), Ok(()) if !read.filled().is_empty());
            if gone {
                this.closing = Closing::Done;
            }
        }
        Poll::Ready(Ok(()))
    }
}
