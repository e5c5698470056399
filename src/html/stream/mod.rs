//! A body in, a gated body out: decode, settle kind and charset, transcode where it must be, gate,
//! encode. The only part of this room that waits for anything.
//!
//! Pulled by whoever sends it, so a slow visitor slows the upstream. Trailers are dropped: they
//! speak about bytes that are no longer these. After an error the body ends with that error, which
//! cuts the connection where everybody can see it.

mod engine;
mod known;
mod plain;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use engine::{Engine, Transcoder};
use known::Learning;
pub use known::{Learn, Learnt, gate_known};
pub use plain::sheet_is_plain;

use super::{
    GateError, Limits, Page, PageReport, charset,
    codec::{Coding, DecodeError, Decoder, DecoderLimits, Encoder},
    sniff::{self, Kind},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the headers say about the bodies on both sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyHead<'h> {
    /// `Content-Type` of the upstream: one type, of a document. `None` where it is for the bytes to say.
    pub content_type: Option<&'h str>,
    /// `Content-Encoding` of the upstream; several headers joined with commas.
    pub content_encoding: Option<&'h str>,
    /// The `Content-Encoding` that the visitor gets: `gzip`, `br` or `zstd`; none of them is none.
    pub answer_encoding: Option<&'h str>,
}

/// A page on its way to the visitor, and the headers that describe it now.
#[derive(Debug)]
pub struct Gated<B> {
    /// The body to send.
    pub body: GatedBody<B>,
    /// The `Content-Encoding` to send; `None` for none.
    pub content_encoding: Option<&'static str>,
    /// The `Content-Type` to send, with the charset that the page was gated in. `None` where there
    /// was none and the body is no document: it passes unchanged, and **must** be sent without a type and
    /// with `X-Content-Type-Options: nosniff`, so that no browser takes it for one after all.
    pub content_type: Option<String>,
}

/// Why a page is not sent at all. Nothing of it has left, so the answer can be an error page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its content coding.
    #[error(
        "the body has the content coding `{0}`, which is not read; let the site answer with gzip, br, zstd or none, and no \
         more than three of them over each other"
    )]
    Coding(String),
    /// It broke off, or is broken, within its first bytes.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The upstream broke off.
    #[error("the upstream broke off")]
    Upstream(#[source] BoxError),
    /// The upstream's coding is broken, or it is a bomb.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The page could not be gated.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Our own encoder failed.
    #[error("the page could not be compressed")]
    Encode(#[source] std::io::Error),
}

/// How a page ended.
#[derive(Debug)]
pub enum Ending<'e> {
    /// All of it was handed over.
    Complete,
    /// It was cut.
    Cut(&'e BodyError),
    /// The visitor left before its end.
    Left,
}

/// Called once, with what was met in the page.
pub type OnEnd = Box<dyn FnOnce(&PageReport, Ending<'_>) + Send>;

/// Decides about the body from its head and its first bytes, of which it waits for as many as that
/// takes: none beyond the first if the Content-Type names a charset, else up to 1024. What was found in a page that
/// went through whole is told to `learn`.
pub async fn gate_body<B>(
    upstream: B,
    head: BodyHead<'_>,
    page: Page,
    limits: Limits,
    on_end: OnEnd,
    learn: Option<Learn>,
) -> Result<Gated<B>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let Some(codings) = Coding::all_of(head.content_encoding) else {
        return Err(Refusal::Coding(head.content_encoding.unwrap_or_default().to_owned()));
    };
    let answer = answer_coding(head.answer_encoding);
    let is_coded = !codings.is_empty();
    let mut body = GatedBody {
        upstream,
        input: Bytes::new(),
        decoder: Decoder::new(&codings, decoder_limits(&limits)),
        plain: Vec::new(),
        transcoder: None,
        engine: None,
        fault: None,
        paused: false,
        encoder: Encoder::new(answer).map_err(BodyError::Encode)?,
        out: Vec::new(),
        unflushed: false,
        upstream_ended: false,
        ended: false,
        on_end: None,
        learning: None,
    };
    let label = head.content_type.and_then(charset::label_of);
    let essence = head.content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let mut complete = false;
    let settled = loop {
        let kind = match essence {
            // Who sends a body here takes it for a document, whatever its type says.
            Some(essence) => Some(Kind::of(&essence.to_ascii_lowercase()).unwrap_or(Kind::Html)),
            None if complete || body.plain.len() >= sniff::SNIFF_BYTES => match sniff::sniff(&body.plain) {
                Some(kind) => Some(kind),
                None => break None,
            },
            None => None,
        };
        if let Some(kind) = kind
            && let Some(charset) = charset::settle(kind, label, &body.plain, complete)
        {
            break Some((kind, charset));
        }
        complete = !poll_fn(|cx| body.poll_plain(cx)).await?;
    };
    let content_type = settled.map(|(kind, charset)| match head.content_type {
        // Without a label a sheet is in the encoding of the page that uses it.
        Some(said) if kind == Kind::Css && !charset.is_transcoded(kind) => said.to_owned(),
        _ => format!("{}; charset={}", essence.unwrap_or_else(|| kind.essence()), charset.name(kind)),
    });
    if let Some((kind, charset)) = settled {
        body.transcoder = Transcoder::new(kind, charset);
        let mut engine = Engine::new(kind, page, limits, charset);
        let learn = learn.filter(|_| engine.keep_outcome());
        body.learning = learn.map(|learn| Learning::new(learn, is_coded || body.transcoder.is_some(), content_type.clone()));
        body.engine = Some(engine);
    }
    // What is wrong at once can still be answered with an error page.
    body.gate_plain()?;
    if body.out.is_empty()
        && let Some(fault) = body.fault.take()
    {
        return Err(fault.into());
    }
    body.on_end = Some(on_end);
    Ok(Gated { body, content_encoding: answer.name(), content_type })
}

/// The coding of the answer: none where the name says none that is written.
fn answer_coding(name: Option<&str>) -> Coding {
    Coding::of(name).filter(|&coding| coding != Coding::Deflate).unwrap_or(Coding::Identity)
}

fn decoder_limits(limits: &Limits) -> DecoderLimits {
    DecoderLimits {
        bytes_max: limits.decoded_bytes_max,
        ratio_max: limits.decoded_ratio_max,
        ratio_floor_bytes: limits.decoded_ratio_floor_bytes,
    }
}

/// The body of a gated page.
pub struct GatedBody<B> {
    upstream: B,
    /// Received, not yet decoded.
    input: Bytes,
    decoder: Decoder,
    /// Decoded, not yet gated.
    plain: Vec<u8>,
    transcoder: Option<Transcoder>,
    /// `None` for what is no document.
    engine: Option<Engine>,
    /// What ends the body once everything before it is sent.
    fault: Option<BodyError>,
    /// Whether there was a moment for that to leave.
    paused: bool,
    encoder: Encoder,
    out: Vec<u8>,
    /// Whether the encoder may hold something back.
    unflushed: bool,
    upstream_ended: bool,
    ended: bool,
    on_end: Option<OnEnd>,
    learning: Option<Learning>,
}

/// How much is decoded at once.
const DECODE_BYTES: usize = 16 << 10;

/// From this size on a frame is handed over although there may be more.
const FRAME_BYTES: usize = 32 << 10;

impl<B> GatedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Gets more decoded bytes; `false` at the end of the body.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            if !self.input.is_empty() {
                let piece = self.input.split_to(DECODE_BYTES.min(self.input.len()));
                self.decoder.write(&piece, &mut self.plain)?;
                return Poll::Ready(Ok(true));
            }
            if self.upstream_ended {
                return Poll::Ready(Ok(false));
            }
            match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
                Some(Ok(frame)) => self.input = frame.into_data().unwrap_or_default(),
                Some(Err(fault)) => return Poll::Ready(Err(BodyError::Upstream(fault.into()))),
                None => {
                    self.upstream_ended = true;
                    self.decoder.finish(&mut self.plain)?;
                }
            }
        }
    }

    /// The next bytes for the visitor; `None` at the end.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            self.gate_plain()?;
            if self.out.len() >= FRAME_BYTES || self.fault.is_some() && !self.out.is_empty() {
                return Poll::Ready(Ok(Some(self.take_out())));
            }
            if self.fault.is_some() && !std::mem::replace(&mut self.paused, true) {
                // Servers write out what they have when there is nothing more, and drop it on an error.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(fault) = self.fault.take() {
                return Poll::Ready(Err(fault));
            }
            match self.poll_plain(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(false)) => {
                    self.finish()?;
                    if self.fault.is_none() {
                        return Poll::Ready(Ok((!self.out.is_empty()).then(|| self.take_out())));
                    }
                }
                // While the upstream thinks, the visitor gets to see everything so far.
                Poll::Pending => {
                    if std::mem::take(&mut self.unflushed) {
                        self.encoder.flush(&mut self.out).map_err(BodyError::Encode)?;
                    }
                    return if self.out.is_empty() { Poll::Pending } else { Poll::Ready(Ok(Some(self.take_out()))) };
                }
            }
        }
    }

    fn gate_plain(&mut self) -> Result<(), BodyError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        if let Some(transcoder) = &mut self.transcoder {
            let mut text = Vec::new();
            transcoder.write(&self.plain, false, &mut text);
            self.plain = text;
        }
        self.through_engine(|engine, plain, gated| engine.write(plain, gated))
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        if self.ended {
            return Ok(());
        }
        self.gate_plain()?;
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.write(&[], true, &mut self.plain);
        }
        self.through_engine(|engine, plain, gated| {
            engine.write(plain, gated)?;
            engine.end(gated)
        })?;
        if self.fault.is_some() {
            return Ok(());
        }
        self.encoder.finish(&mut self.out).map_err(BodyError::Encode)?;
        self.ended = true;
        if let Some(learning) = self.learning.take()
            && let Some(outcome) = self.engine.as_mut().and_then(Engine::take_outcome)
        {
            learning.tell(outcome);
        }
        self.tell(Ending::Complete);
        Ok(())
    }

    /// Where the text is not well-formed, a browser shows what came before: so it is sent. After any
    /// other fault nothing is.
    fn through_engine(
        &mut self,
        work: impl FnOnce(&mut Engine, &[u8], &mut Vec<u8>) -> Result<(), GateError>,
    ) -> Result<(), BodyError> {
        if let Some(learning) = &mut self.learning
            && !learning.take_in(&self.plain)
        {
            self.learning = None;
            self.engine.as_mut().into_iter().for_each(Engine::forget_outcome);
        }
        let mut gated = Vec::with_capacity(self.plain.len());
        let result = match &mut self.engine {
            Some(_) if self.fault.is_some() => Ok(()),
            Some(engine) => work(engine, &self.plain, &mut gated),
            None => {
                gated.extend_from_slice(&self.plain);
                Ok(())
            }
        };
        self.plain.clear();
        match result {
            Err(fault) if fault.is_where_browsers_stop() => {
                self.encode(&gated)?;
                self.encoder.flush(&mut self.out).map_err(BodyError::Encode)?;
                self.fault = Some(fault.into());
                Ok(())
            }
            Err(fault) => Err(fault.into()),
            Ok(()) => self.encode(&gated),
        }
    }

    fn encode(&mut self, gated: &[u8]) -> Result<(), BodyError> {
        if gated.is_empty() {
            return Ok(());
        }
        self.unflushed = true;
        self.encoder.write(gated, &mut self.out).map_err(BodyError::Encode)
    }
}

impl<B> GatedBody<B> {
    fn take_out(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.out))
    }

    fn tell(&mut self, ending: Ending<'_>) {
        if let Some(on_end) = self.on_end.take() {
            let nothing = PageReport::default();
            on_end(self.engine.as_ref().map_or(&nothing, Engine::report), ending);
        }
    }
}

impl<B> Body for GatedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.poll_out(cx)) {
            Ok(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Ok(None) => Poll::Ready(None),
            Err(fault) => {
                // What was ready before the fault is not sent either: the fault must not wait.
                this.ended = true;
                this.tell(Ending::Cut(&fault));
                Poll::Ready(Some(Err(fault)))
            }
        }
    }
}

impl<B> Drop for GatedBody<B> {
    fn drop(&mut self) {
        self.tell(Ending::Left);
    }
}

impl<B> std::fmt::Debug for GatedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatedBody").field("engine", &self.engine).field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
