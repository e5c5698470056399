//! What the engine came to in one document, to be used again for the same document.
//!
//! The engine is a function of the text, of what surrounds it (address, policy, limits), and of the answers it gets
//! when it asks whether some rules are granted: nothing else of a visitor reaches it. So an outcome is kept as patches
//! by offset, with the questions and the answers on the way there, and it is every visitor's for whom the answers are
//! the same. What it puts in is written out for each response.

use std::{
    mem::size_of,
    sync::{Arc, Mutex, PoisonError},
};

use encoding_rs::Encoding;

use super::{Gate, GateError, Limits, Page, PageReport, TagReport, splice::Patch};
use crate::policy::Hits;

/// How many questions about grants an outcome may rest on. Each is asked once however often its rules are hit.
const QUESTIONS_MAX: usize = 256;

/// What was asked about the visitor's grants, and the answers.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Vec<(Hits, bool)>>);

impl Questions {
    pub(super) fn note(&self, hits: &Hits, allowed: bool) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than the limit says that there were too many.
        if asked.len() <= QUESTIONS_MAX && !asked.iter().any(|(known, _)| known == hits) {
            asked.push((hits.clone(), allowed));
        }
    }

    fn take(&self) -> Vec<(Hits, bool)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What became of one document: patches by offset into its text, and the report.
///
/// It holds for that text and for pages that differ from the one it was found with in nothing but grants, nonce and the
/// markup to insert; markup that was empty must be empty. The policy must be compiled from the same files.
#[derive(Debug)]
pub struct Outcome {
    questions: Box<[(Hits, bool)]>,
    patches: Box<[Patch]>,
    report: PageReport,
    length: usize,
    encoding: &'static Encoding,
    limits: Arc<Limits>,
}

impl Outcome {
    /// `None` where it rests on more questions than are kept.
    pub(super) fn new(
        questions: &Questions,
        patches: Vec<Patch>,
        report: PageReport,
        length: usize,
        encoding: &'static Encoding,
        limits: Arc<Limits>,
    ) -> Option<Self> {
        let questions = questions.take();
        (questions.len() <= QUESTIONS_MAX).then(|| Self {
            questions: questions.into(),
            patches: patches.into(),
            report,
            length,
            encoding,
            limits,
        })
    }

    /// Whether it is this visitor's, too.
    pub fn is_for(&self, page: &Page) -> bool {
        self.questions.iter().all(|(hits, allowed)| page.policy.allows(&page.grants, hits) == *allowed)
    }

    /// Whether it is for the same visitors as another of the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        self.questions == other.questions
    }

    /// The text as it goes to the visitor: what the engine would send, byte for byte. `None` where the text is not of
    /// the length that it was found in; that it is the same text is for the caller to know.
    pub fn apply(&self, text: &[u8], page: &Page) -> Option<Vec<u8>> {
        if text.len() != self.length {
            return None;
        }
        const ROOM_FOR_A_PATCH_BYTES: usize = 80;
        let added = self.patches.len() * ROOM_FOR_A_PATCH_BYTES + page.head.len() + page.body.len();
        let mut out = Vec::with_capacity(text.len() + added);
        let mut sent = 0;
        for patch in &self.patches {
            out.extend_from_slice(text.get(sent..patch.at).unwrap_or_default());
            patch.insert.write(page, &mut out);
            sent = sent.max(patch.at + patch.cut);
        }
        out.extend_from_slice(text.get(sent..)?);
        Some(out)
    }

    /// The text through the engine: to compare with [`apply`](Self::apply).
    pub fn gate_anew(&self, text: &[u8], page: &Page) -> Result<Vec<u8>, GateError> {
        let mut gate = Gate::with_encoding(Arc::new(page.clone()), Limits::clone(&self.limits), self.encoding);
        let mut out = Vec::new();
        gate.write(text, &mut out)?;
        gate.end(&mut out)?;
        Ok(out)
    }

    /// What was met in the page.
    pub fn report(&self) -> &PageReport {
        &self.report
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let patches: usize = self.patches.iter().map(|patch| size_of::<Patch>() + patch.insert.weight()).sum();
        let tag = |tag: &TagReport| {
            let texts = [&tag.attribute, &tag.address].into_iter().flatten().map(String::len).sum::<usize>();
            size_of::<TagReport>() + tag.element.len() + texts + tag.rules.len() * 2
        };
        let tags: usize = self.report.tags.iter().map(tag).sum();
        let others: usize = self.report.others.keys().map(|host| host.len() + 64).sum();
        size_of::<Self>() + patches + tags + others + self.questions.len() * 64
    }
}
