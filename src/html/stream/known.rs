//! Pages that were met before: what is learnt from one that goes through whole, and the short way for the next.

use bytes::Bytes;

use super::{
    super::{Outcome, Page, codec::Encoder},
    BodyError, answer_coding,
};

/// What was learnt of a page.
#[derive(Debug)]
pub struct Learnt {
    /// What the engine came to.
    pub outcome: Outcome,
    /// The text that the outcome's offsets are of; `None` where that is the body as it came.
    pub text: Option<Bytes>,
    /// The `Content-Type` to send with it.
    pub content_type: Option<String>,
}

/// Who wants to learn.
pub struct Learn {
    /// Of texts of at most so many bytes.
    pub bytes_max: usize,
    /// Told once, when the whole page has been gated.
    pub then: Box<dyn FnOnce(Learnt) + Send>,
}

impl std::fmt::Debug for Learn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learn").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

/// A page about which something is being learnt.
#[derive(Debug)]
pub(super) struct Learning {
    learn: Learn,
    /// Kept where the body as it came is something else.
    text: Option<Vec<u8>>,
    length: usize,
    content_type: Option<String>,
}

impl Learning {
    pub(super) fn new(learn: Learn, keeps_text: bool, content_type: Option<String>) -> Self {
        Self { learn, text: keeps_text.then(Vec::new), length: 0, content_type }
    }

    /// Takes in what goes to the engine; `false` once that is too much.
    pub(super) fn take_in(&mut self, piece: &[u8]) -> bool {
        self.length += piece.len();
        let fits = self.length <= self.learn.bytes_max;
        if let Some(text) = self.text.as_mut().filter(|_| fits) {
            text.extend_from_slice(piece);
        }
        fits
    }

    pub(super) fn tell(self, outcome: Outcome) {
        let text = self.text.map(|text| Bytes::from(text.into_boxed_slice()));
        (self.learn.then)(Learnt { outcome, text, content_type: self.content_type });
    }
}

/// The body of a page whose text and outcome are known, in the coding of that name, and the `Content-Encoding` that it
/// has then. `None` where the outcome is not this visitor's or not of this text: then the engine has to look.
pub fn gate_known(
    text: &[u8],
    outcome: &Outcome,
    page: &Page,
    answer_encoding: Option<&str>,
) -> Option<Result<(Bytes, Option<&'static str>), BodyError>> {
    if !outcome.is_for(page) {
        return None;
    }
    let gated = outcome.apply(text, page)?;
    debug_assert!(is_as_the_engine_would(&gated, text, outcome, page), "an outcome that the engine does not come to");
    let coding = answer_coding(answer_encoding);
    if coding.name().is_none() {
        return Some(Ok((Bytes::from(gated), None)));
    }
    let mut out = Vec::new();
    let encoded = Encoder::new(coding).and_then(|mut encoder| {
        encoder.write(&gated, &mut out)?;
        encoder.finish(&mut out)
    });
    Some(encoded.map(|()| (Bytes::from(out), coding.name())).map_err(BodyError::Encode))
}

/// Looked at now and then, and only where such things are looked at.
fn is_as_the_engine_would(gated: &[u8], text: &[u8], outcome: &Outcome, page: &Page) -> bool {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const EVERY: usize = 4;
    static USED: AtomicUsize = AtomicUsize::new(0);
    let is_due = USED.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY);
    !is_due || outcome.gate_anew(text, page).is_ok_and(|anew| anew == gated)
}
