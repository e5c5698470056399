//! Where the elements are: `lol_html` as a locator that never mutates.
//!
//! Everything leaves as byte offsets into the document; no type of `lol_html` does. There is no text
//! handler, because even an idle one makes it re-encode, and the sink only counts: what it was given
//! is what no later event can lie in front of.
//!
//! Handlers only note offsets. What they mean is decided afterwards, by whoever has the bytes.

use std::{
    any::Any,
    borrow::Cow,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use lol_html::{
    AsciiCompatibleEncoding, MemorySettings, OutputSink, Selector,
    errors::RewritingError,
    html_content::EndTag,
    send::{Element, ElementContentHandlers, HtmlRewriter, Settings},
};

use super::tag::{AMP, ATTRIBUTES, UNCOMMON, is_watched};

/// What to look out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The elements that can carry tags: cheap for every other element.
    Tags,
    /// Every element, for short pieces: setting up a list of selectors would cost more than reading
    /// a piece.
    Piece,
    /// Every element without its attributes, to find the places for insertions.
    Prologue,
}

/// Something that was seen, in document order.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Start(Start),
    End(End),
}

/// A start tag.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// Names the element in its [`End`].
    pub(super) id: u32,
    /// From `<` to behind `>`.
    pub(super) span: Range<usize>,
    /// Where its attributes are in the batch.
    pub(super) attributes: Range<usize>,
    /// Whether it stands in SVG or MathML, as far as can be told.
    pub(super) foreign: bool,
    /// Whether content can follow: neither void nor self-closed in foreign content.
    pub(super) has_content: bool,
    pub(super) inside: Inside,
    /// Whether the tag may be missing without a change in how the rest is read. In foreign content an
    /// `<img>` takes the parser back to HTML, so without it the text that follows may become markup.
    pub(super) expendable: bool,
}

/// Whether an element stands where browsers leave most tags out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inside {
    /// In a `select`: older browsers read the text of most elements as markup.
    pub(super) select: bool,
    /// In a `frameset`: all browsers do, even that of scripts.
    pub(super) frameset: bool,
}

impl Inside {
    /// Whether a text needs a second reading, as markup.
    pub(super) fn any(self) -> bool {
        self.select || self.frameset
    }
}

/// The end tag that closed an element: its own, or an ancestor's.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) id: u32,
    /// From `</` to behind `>`.
    pub(super) span: Range<usize>,
}

/// An attribute as written. Names may repeat, values are undecoded.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) name: Range<usize>,
    /// Without quotes; `None` for an attribute without `=`.
    pub(super) value: Option<Range<usize>>,
}

/// Events of one write, in reused memory.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    attributes: Vec<Attribute>,
}

impl Batch {
    pub(super) fn attributes(&self, start: &Start) -> &[Attribute] {
        &self.attributes[start.attributes.clone()]
    }

    fn clear(&mut self) {
        self.events.clear();
        self.attributes.clear();
    }
}

/// Why the parser gave up. It is never used again after that.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocateError {
    #[error("memory limit reached")]
    Memory,
    #[error("panic: {0}")]
    Panic(String),
    #[error(transparent)]
    Parser(Box<dyn std::error::Error + Send + Sync>),
}

/// The parser of one document or piece.
pub(super) struct Locator {
    /// `None` once it failed or ended: writing to it again would panic.
    rewriter: Option<HtmlRewriter<'static, Counter>>,
    log: Arc<Mutex<Log>>,
    passed: Arc<AtomicUsize>,
    origin: usize,
}

impl Locator {
    /// `origin` is the document offset of the first byte it will be given, `inside` says where that
    /// stands.
    pub(super) fn new(plan: Plan, origin: usize, inside: Inside, memory_bytes_max: usize) -> Self {
        let log = Arc::new(Mutex::new(Log { origin, inside, ..Log::default() }));
        let passed = Arc::new(AtomicUsize::new(0));
        // The preallocated size must not exceed the limit: the parser panics then.
        let memory = MemorySettings::new()
            .with_preallocated_parsing_buffer_size(memory_bytes_max.min(1024))
            .with_max_allowed_memory_usage(memory_bytes_max);
        let mut settings =
            Settings::new_send().with_strict(false).with_encoding(AsciiCompatibleEncoding::utf_8()).with_memory_settings(memory);
        for (selector, watch) in watches(plan) {
            let log = Arc::clone(&log);
            let handlers = ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
                note_start(&log, watch, element);
                Ok(())
            });
            settings = settings.append_element_content_handler((Cow::Borrowed(selector), handlers));
        }
        let rewriter = Some(HtmlRewriter::new(settings, Counter(Arc::clone(&passed))));
        Self { rewriter, log, passed, origin }
    }

    /// Reads the next bytes; `batch` then holds what was seen in them.
    pub(super) fn write(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<(), LocateError> {
        let Some(rewriter) = &mut self.rewriter else { return Err(LocateError::Panic("used after its end".to_owned())) };
        let result = guarded(|| rewriter.write(bytes));
        if result.is_err() {
            self.rewriter = None;
        }
        self.take(batch);
        result
    }

    /// The document is over.
    pub(super) fn end(&mut self, batch: &mut Batch) -> Result<(), LocateError> {
        let result = match self.rewriter.take() {
            Some(rewriter) => guarded(|| rewriter.end()),
            None => Err(LocateError::Panic("used after its end".to_owned())),
        };
        self.take(batch);
        result
    }

    /// No later event begins before this offset, but for the end of an element that is open.
    pub(super) fn safe(&self) -> usize {
        self.origin + self.passed.load(Ordering::Relaxed)
    }

    fn take(&self, batch: &mut Batch) {
        batch.clear();
        let mut log = lock(&self.log);
        std::mem::swap(batch, &mut log.batch);
    }
}

// === handlers ===

/// Counts what the parser lets go.
struct Counter(Arc<AtomicUsize>);

impl OutputSink for Counter {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        // One writer: no need for an atomic addition.
        self.0.store(self.0.load(Ordering::Relaxed) + chunk.len(), Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Log {
    batch: Batch,
    origin: usize,
    next_id: u32,
    /// Where the last start tag is: several handlers may see it.
    last: Option<usize>,
    /// Open `select` elements.
    selects: u32,
    /// A `frameset` is never left again, nor is, in older browsers, a `select` that another end tag
    /// closed.
    inside: Inside,
    /// Whether there has been foreign content in a piece; not asked in a page.
    foreign: bool,
}

/// What a handler notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// Start tags, and end tags by name, of elements that matter by their name.
    Named,
    /// Start tags.
    Opening,
    /// Start tags, and end tags by name.
    Any,
    /// Start tags, of all but `html` without attributes, and the end of `template`.
    Prologue,
    /// Start and end tags of those with a name of AMP's.
    Amp,
}

fn watches(plan: Plan) -> Vec<(&'static Selector, Watch)> {
    static SELECTORS: LazyLock<[Selector; 4]> = LazyLock::new(|| {
        [UNCOMMON, ATTRIBUTES, "*", AMP].map(|text| text.parse().expect("the selectors are constants that parse"))
    });
    let [uncommon, attributes, any, amp] = &*SELECTORS;
    match plan {
        Plan::Tags => {
            vec![(uncommon, Watch::Named), (attributes, Watch::Opening), (amp, Watch::Amp)]
        }
        Plan::Piece => vec![(any, Watch::Any)],
        Plan::Prologue => vec![(any, Watch::Prologue)],
    }
}

fn note_start(shared: &Arc<Mutex<Log>>, watch: Watch, element: &mut Element<'_, '_>) {
    // A name costs an allocation: only where an end tag may be wanted, or a name changes the state.
    let name = if watch == Watch::Opening { String::new() } else { element.tag_name() };
    if watch == Watch::Amp && !name.starts_with("amp-") || watch == Watch::Named && !is_watched(&name) {
        return;
    }
    let mut log = lock(shared);
    let has_content = element.can_have_content();
    let (id, again) = log.number(element);
    let wants_end = has_content
        && match watch {
            Watch::Named | Watch::Any => match name.as_str() {
                "script" | "style" | "noscript" | "iframe" | "select" | "template" => true,
                "textarea" | "title" | "xmp" | "noembed" | "noframes" => true,
                // Only in pieces is one of them cut with its content.
                "object" | "video" | "audio" | "applet" => watch == Watch::Any,
                _ => false,
            },
            Watch::Prologue => name == "template",
            Watch::Amp => true,
            _ => false,
        };
    if !again {
        log.start(id, has_content, watch != Watch::Prologue || name == "html", element);
    }
    match name.as_str() {
        "select" if has_content => log.selects += 1,
        "frameset" => log.inside.frameset = true,
        "svg" | "math" => log.foreign |= watch == Watch::Any,
        _ => {}
    }
    drop(log);
    if wants_end && let Some(handlers) = element.end_tag_handlers() {
        let shared = Arc::clone(shared);
        handlers.push(Box::new(move |end| {
            lock(&shared).end(id, name == "select", end);
            Ok(())
        }));
    }
}

impl Log {
    fn inside(&self) -> Inside {
        Inside { select: self.inside.select || self.selects > 0, ..self.inside }
    }

    /// The element's number, and whether another handler has noted it.
    fn number(&mut self, element: &Element<'_, '_>) -> (u32, bool) {
        let at = element.source_location().bytes().start;
        if self.last == Some(at) {
            return (self.next_id, true);
        }
        self.last = Some(at);
        self.next_id = self.next_id.wrapping_add(1);
        (self.next_id, false)
    }

    fn start(&mut self, id: u32, has_content: bool, with_attributes: bool, element: &Element<'_, '_>) {
        let from = self.batch.attributes.len();
        let origin = self.origin;
        if with_attributes {
            self.batch.attributes.extend(element.attributes().iter().filter_map(|attribute| {
                Some(Attribute {
                    name: shift(attribute.name_source_location()?.bytes(), origin),
                    value: attribute.value_source_location().map(|at| shift(at.bytes(), origin)),
                })
            }));
        }
        let foreign = element.namespace_uri() != "http://www.w3.org/1999/xhtml";
        self.batch.events.push(Event::Start(Start {
            id,
            span: shift(element.source_location().bytes(), origin),
            attributes: from..self.batch.attributes.len(),
            foreign,
            expendable: !foreign && !self.foreign,
            has_content,
            inside: self.inside(),
        }));
    }

    fn end(&mut self, id: u32, is_select: bool, end: &EndTag<'_>) {
        if is_select {
            self.selects = self.selects.saturating_sub(1);
            self.inside.select |= end.name() != "select";
        }
        let span = shift(end.source_location().bytes(), self.origin);
        self.batch.events.push(Event::End(End { id, span }));
    }
}

fn shift(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // A poisoned lock means a panic inside the parser, which ends this page anyway.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guarded(work: impl FnOnce() -> Result<(), RewritingError>) -> Result<(), LocateError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(RewritingError::MemoryLimitExceeded(_))) => Err(LocateError::Memory),
        Ok(Err(other)) => Err(LocateError::Parser(Box::new(other))),
        Err(panic) => Err(LocateError::Panic(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
