//! The page gate: a page's bytes in, the same bytes out with the tags of vendors held back.
//!
//! The page is never serialised anew. A parser locates (`locate`), the policy classifies (`address`,
//! `classify`, `script`), patches by byte offset change what must change (`walk`, `splice`), so a page
//! without a hit leaves byte for byte as it came. After any error nothing more is sent: what could
//! not be read may hold a tag.
//!
//! No I/O and no clock here, but for the stream adapter.

mod address;
mod attributes;
mod certain;
mod charset;
mod classify;
mod code;
mod codec;
mod css;
mod element;
mod finding;
mod foreign;
mod inject;
mod insert;
mod inventory;
mod locate;
mod noscript;
mod open;
mod outcome;
mod references;
mod script;
mod sheet;
mod sniff;
mod splice;
mod stream;
mod tag;
mod value;
mod walk;
mod xml;

use std::{collections::BTreeMap, fmt, sync::Arc};

use encoding_rs::Encoding;
use url::Url;

use crate::{
    policy::{Policy, RuleId},
    vocab::{Grants, Verdict},
};
pub use codec::{Coding, DecodeError, Opener};
pub use inventory::{Inventory, inventory, sheet_hosts};
pub use outcome::Outcome;
pub use sheet::SheetGate;
pub use sniff::{Kind, SNIFF_BYTES, sniff};
pub use stream::{
    BodyError, BodyHead, Ending, Gated, GatedBody, Learn, Learnt, OnEnd, Refusal, gate_body, gate_known, sheet_is_plain,
};
pub use xml::{XmlError, XmlGate};

use finding::Findings;
use inject::Scout;
use locate::{Batch, Inside, LocateError, Locator, Plan};
use splice::Window;
use walk::{Context, Setting, Walker};

/// Rewrites the value of a Content-Security-Policy; `None` leaves it alone.
pub type AmendCsp = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the gate needs to know about one page of one visitor.
#[derive(Clone)]
pub struct Page {
    /// What vendors look like, and what their tags need.
    pub policy: Arc<Policy>,
    /// What this visitor has granted.
    pub grants: Grants,
    /// The page's own address, which its addresses are relative to.
    pub base: Url,
    /// Part of the markers' names: 16 lower-case hex digits, new for every response, so that no page
    /// can write markers of its own.
    pub nonce: String,
    /// ASCII markup to stand right after the `<head>` tag; may be empty.
    pub head: String,
    /// ASCII markup to stand right after the `<body>` tag; may be empty.
    pub body: String,
    /// Rewrites the policies in `<meta http-equiv>`.
    pub amend_csp: Option<AmendCsp>,
    /// Changes nothing and inserts nothing: only reports what would become of each tag.
    pub observe: bool,
    /// Whether tags are held at all. If not, insertions are made and tags reported, and everything else
    /// stays as it came: a page that cannot be read passes too.
    pub hold: bool,
    /// ASCII markup to stand at the start of each document in a `srcdoc`, after its doctype; may be empty.
    pub frame: String,
}

impl Page {
    /// Whether tags are changed.
    fn changes(&self) -> bool {
        self.hold && !self.observe
    }
}

/// What one page may cost. Past a limit the page is not sent.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How much of an inline script is held until it is known what it is. A longer one is sent while
    /// it is read, and ended with a syntax error when it turns out to be a vendor's.
    pub hold_bytes_max: usize,
    /// How long a `noscript` or a `srcdoc` may be.
    pub noscript_bytes_max: usize,
    /// The parser's memory: about 8,000 open elements per MiB. Also the longest inline script.
    pub memory_bytes_max: usize,
    /// How many changes a page may need.
    pub patches_max: usize,
    /// How many tags are reported one by one.
    pub report_tags_max: usize,
    /// How often a compressed body may be larger than it was sent, once it passes
    /// `decoded_ratio_floor_bytes`.
    pub decoded_ratio_max: u64,
    /// Below this size the ratio does not matter.
    pub decoded_ratio_floor_bytes: u64,
    /// How large a body may be.
    pub decoded_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold_bytes_max: 256 << 10,
            noscript_bytes_max: 256 << 10,
            memory_bytes_max: 16 << 20,
            patches_max: 65_536,
            report_tags_max: 256,
            decoded_ratio_max: 200,
            decoded_ratio_floor_bytes: 1 << 20,
            decoded_bytes_max: 64 << 20,
        }
    }
}

/// What was met in a page.
#[derive(Clone, Debug, Default)]
pub struct PageReport {
    /// The tags of known vendors, in the order in which they were decided.
    pub tags: Vec<TagReport>,
    /// How many tags there were beyond those.
    pub more: usize,
    /// How many inline scripts were too long to hold and ended with a syntax error.
    pub poisoned: usize,
    /// Where a page that is only observed could not be read on, and why. It passed all the same.
    pub unread: Option<String>,
    /// Hosts other than the page's own that something loads from and that no rule hits, with how often
    /// they were met. At most [`OTHERS_MAX`] hosts.
    pub others: BTreeMap<String, u32>,
}

/// How many hosts a report counts.
pub const OTHERS_MAX: usize = 256;

/// One attribute or one inline script that a rule spoke about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagReport {
    /// Byte offset of the start tag in the decoded page.
    pub offset: usize,
    /// The element's name, lower case.
    pub element: String,
    /// The attribute's name, lower case; `None` for the text of a script.
    pub attribute: Option<String>,
    /// `scheme://host/path`, without the query. `None` where the attribute is a list or a document.
    pub address: Option<String>,
    /// The rules that spoke. Empty where something was held because it could not be read.
    pub rules: Vec<RuleId>,
    /// What becomes of the tag.
    pub verdict: Verdict,
    /// The script writes into the page while it is parsed: it cannot work when released later.
    pub late: bool,
}

/// Why a page could not be gated. Nothing of it is sent from there on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The parser's memory limit.
    #[error("the page needs more than {max} bytes to be read; raise `parser_memory_bytes` in [limits], or exempt the path")]
    Memory {
        /// The limit.
        max: usize,
    },
    /// A piece that is read apart is too long.
    #[error(
        "a noscript, a style in SVG or XML, or text in a select, is longer than {max} bytes; raise `noscript_hold_bytes` in [limits], or shorten it"
    )]
    Noscript {
        /// The limit.
        max: usize,
    },
    /// An inline script beyond all measure.
    #[error("an inline script is longer than {max} bytes; raise `parser_memory_bytes` in [limits], or serve it as a file")]
    Script {
        /// The limit.
        max: usize,
    },
    /// Pieces inside pieces.
    #[error("a noscript inside a noscript inside a noscript, or texts in frames as deep; write it flat, or exempt the path")]
    Nesting,
    /// Browsers disagree, or the parser cannot be sure, on what is text and what is markup.
    #[error(
        "at byte {at} of the page it is not certain what is text and what is markup: look before it for an svg or math with tags \
         that are not closed, or closed twice, above all in a title, desc or foreignObject, or for plaintext in a select; \
         change the markup, or exempt the path"
    )]
    Ambiguous {
        /// Offset in the decoded page.
        at: usize,
    },
    /// Too many changes.
    #[error("the page needs more than {max} changes; raise `page_patches` in [limits], or exempt the path")]
    Patches {
        /// The limit.
        max: usize,
    },
    /// The page is XML, and cannot be gated as such.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// The parser failed.
    #[error("the page could not be read; report it with the page, and exempt the path meanwhile")]
    Parser(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The gate was used after an error or after its end.
    #[error("the page had been closed before; this is a fault of the caller")]
    Closed,
}

impl GateError {
    /// Whether a browser reads no further than here either.
    fn is_where_browsers_stop(&self) -> bool {
        matches!(self, Self::Xml(XmlError::NotWellFormed { .. }))
    }

    fn from_locate(fault: LocateError, limits: &Limits) -> Self {
        match fault {
            LocateError::Memory => Self::Memory { max: limits.memory_bytes_max },
            other => Self::Parser(Box::new(other)),
        }
    }
}

/// Gates one page, in as many chunks as it comes. The output does not depend on them.
pub struct Gate {
    limits: Arc<Limits>,
    window: Window,
    locator: Locator,
    batch: Batch,
    walker: Walker,
    scout: Option<Scout>,
    findings: Findings,
    /// Whether a page that cannot be read passes all the same.
    lenient: bool,
    closed: bool,
    /// Whether the page was gated to its end.
    complete: bool,
}

/// How much is parsed between two looks at what may be sent.
const STEP_BYTES: usize = 32 << 10;

/// The same while a second parser reads along: less is read twice.
const SCOUT_STEP_BYTES: usize = 4 << 10;

impl Gate {
    /// A gate for a page in UTF-8, or whose encoding does not matter.
    pub fn new(page: Arc<Page>, limits: Limits) -> Self {
        Self::with_encoding(page, limits, encoding_rs::UTF_8)
    }

    /// A gate for a page in an encoding that contains ASCII. Only addresses are ever decoded, so a
    /// wrong guess cannot damage the page.
    pub fn with_encoding(page: Arc<Page>, limits: Limits, encoding: &'static Encoding) -> Self {
        let limits = Arc::new(limits);
        let ctx = Context::new(Arc::clone(&page), Arc::clone(&limits), encoding);
        Self {
            window: Window::default(),
            locator: Locator::new(Plan::Tags, 0, Inside::default(), limits.memory_bytes_max),
            batch: Batch::default(),
            walker: Walker::new(ctx, Setting::Page, 0),
            scout: Scout::new(&page, &limits),
            findings: Findings::default(),
            lenient: !page.changes(),
            closed: false,
            complete: false,
            limits,
        }
    }

    /// Keeps what it takes to use the outcome again. To be called before the first chunk, for a page in which tags are
    /// held.
    pub fn keep_outcome(&mut self) {
        if !self.lenient && self.window.end() == 0 {
            self.walker.ctx.questions = Some(Arc::default());
            self.window.applied = Some(Vec::new());
        }
    }

    /// Keeps it no longer.
    pub fn forget_outcome(&mut self) {
        self.walker.ctx.questions = None;
        self.window.applied = None;
    }

    /// The outcome, once, if it was kept and the page was gated to its end.
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        let (questions, patches) = (self.walker.ctx.questions.take()?, self.window.applied.take()?);
        let (encoding, limits) = (self.walker.ctx.encoding, Arc::clone(&self.limits));
        let report = self.report().clone();
        self.complete.then(|| Outcome::new(&questions, patches, report, self.window.end(), encoding, limits)).flatten()
    }

    /// Takes the next chunk and appends what may be sent to `out`. After an error, drop the page:
    /// every later call fails.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), GateError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let step = if self.scout.is_some() { SCOUT_STEP_BYTES } else { STEP_BYTES };
            let (piece, later) = rest.split_at(step.min(rest.len()));
            self.window.push(piece);
            self.guarded(out, |gate, out| gate.step(piece, out))?;
            rest = later;
        }
        Ok(())
    }

    /// The page is over: decides what is still open and appends the rest to `out`.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), GateError> {
        self.guarded(out, |gate, out| {
            let end = gate.window.end();
            gate.locator.end(&mut gate.batch).map_err(|fault| GateError::from_locate(fault, &gate.limits))?;
            gate.walker.walk(gate.window.view(), &gate.batch, &mut gate.findings)?;
            gate.walker.finish(gate.window.view(), end, &mut gate.findings)?;
            gate.window.emit(end, &mut gate.findings.patches, &gate.walker.ctx.page, out);
            Ok(())
        })?;
        self.closed = true;
        self.complete = true;
        Ok(())
    }

    /// What was met so far.
    pub fn report(&self) -> &PageReport {
        &self.findings.report
    }

    fn guarded(
        &mut self,
        out: &mut Vec<u8>,
        work: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), GateError>,
    ) -> Result<(), GateError> {
        if self.closed {
            return Err(GateError::Closed);
        }
        if self.findings.report.unread.is_some() {
            self.window.pass(out);
            return Ok(());
        }
        let result = work(self, out);
        match result {
            Err(fault) if self.lenient => {
                self.findings.report.unread = Some(fault.to_string());
                self.window.pass(out);
                Ok(())
            }
            result => {
                self.closed = result.is_err();
                result
            }
        }
    }

    fn step(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), GateError> {
        self.locator.write(piece, &mut self.batch).map_err(|fault| GateError::from_locate(fault, &self.limits))?;
        let view = self.window.view();
        self.walker.walk(view, &self.batch, &mut self.findings)?;
        let mut limit = self.locator.safe();
        self.walker.advance(view, limit, &mut self.findings)?;
        if let Some(scout) = &mut self.scout {
            scout.read(piece, view, &self.limits, &mut self.findings)?;
            if scout.is_done() {
                self.scout = None;
            } else {
                limit = limit.min(scout.safe());
            }
        }
        limit = self.walker.hold().map_or(limit, |hold| limit.min(hold));
        self.window.emit(limit, &mut self.findings.patches, &self.walker.ctx.page, out);
        self.window.forget(self.walker.keep().unwrap_or(usize::MAX));
        Ok(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("report", self.report()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Where addresses that are not granted stand in a script's text, each behind its quote: those that a module loads
/// before anything in it runs. For a script whose kind nobody says; in one that is no module they stand in text.
pub fn held_imports(policy: &Policy, grants: &Grants, base: &Url, script: &[u8]) -> Vec<usize> {
    let mut others = BTreeMap::new();
    let mut resolver =
        address::Resolver { policy, base, own: base.host_str(), encoding: encoding_rs::UTF_8, others: &mut others };
    let named = code::named(script::Script::Module, script, &mut resolver);
    named.into_iter().filter(|named| !policy.allows(grants, &named.hits)).map(|named| named.at).collect()
}

/// Reports what would become of every tag of a known vendor in a page, without changing it.
pub fn explain(policy: &Arc<Policy>, grants: Grants, base: &Url, html: &[u8]) -> Result<Vec<TagReport>, GateError> {
    inspect(policy, grants, base, html).map(|report| report.tags)
}

/// Reports what a page carries, tags in the order of their places, without changing it.
pub fn inspect(policy: &Arc<Policy>, grants: Grants, base: &Url, html: &[u8]) -> Result<PageReport, GateError> {
    let mut gate =
        Gate::new(Arc::new(observed(policy, grants, base)), Limits { report_tags_max: usize::MAX, ..Limits::default() });
    gate.lenient = false;
    let mut unchanged = Vec::new();
    for chunk in html.chunks(STEP_BYTES) {
        gate.write(chunk, &mut unchanged)?;
        unchanged.clear();
    }
    gate.end(&mut unchanged)?;
    let mut report = std::mem::take(&mut gate.findings.report);
    report.tags.sort_by_key(|tag| tag.offset);
    Ok(report)
}

/// A page of which it is only told what is in it.
fn observed(policy: &Arc<Policy>, grants: Grants, base: &Url) -> Page {
    Page {
        policy: Arc::clone(policy),
        grants,
        base: base.clone(),
        nonce: String::new(),
        head: String::new(),
        body: String::new(),
        amend_csp: None,
        observe: true,
        hold: true,
        frame: String::new(),
    }
}

#[cfg(test)]
mod tests;
