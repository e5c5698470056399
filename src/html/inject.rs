//! Where the gate's own markup goes: after the `<head>` tag and after the `<body>` tag, or where a
//! browser would imply them.
//!
//! A second parser reads along, with every element, until both places are known; the one that runs
//! over the whole page can then stay with the elements that carry tags. Never before the doctype,
//! which would switch the page to quirks mode, and never at the end, where an unclosed `textarea`
//! of the page would swallow it.

use super::{
    GateError, Limits, Page,
    finding::Findings,
    insert::Insert,
    locate::{Batch, Event, Inside, Locator, Plan, Start},
    splice::View,
};

/// Looks for the two places.
pub(super) struct Scout {
    locator: Locator,
    batch: Batch,
    head: Option<Insert>,
    body: Option<Insert>,
    /// Open templates: what is in one is not yet in the page.
    templates: u32,
}

impl Scout {
    /// `None` if there is nothing to insert.
    pub(super) fn new(page: &Page, limits: &Limits) -> Option<Self> {
        if page.observe || page.head.is_empty() && page.body.is_empty() {
            return None;
        }
        Some(Self {
            locator: Locator::new(Plan::Prologue, 0, Inside::default(), limits.memory_bytes_max),
            batch: Batch::default(),
            head: (!page.head.is_empty()).then_some(Insert::Head),
            body: (!page.body.is_empty()).then_some(Insert::Body),
            templates: 0,
        })
    }

    /// Reads on. `view` covers what is read and what is held because of it.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        view: View<'_>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Result<(), GateError> {
        self.locator.write(bytes, &mut self.batch).map_err(|fault| GateError::from_locate(fault, limits))?;
        for event in std::mem::take(&mut self.batch.events) {
            match event {
                Event::Start(start) if self.is_amp(view, &start) => (self.head, self.body) = (None, None),
                Event::Start(start) => self.start(view, &start, findings),
                Event::End(_) => self.templates = self.templates.saturating_sub(1),
            }
        }
        Ok(())
    }

    /// Nothing from here on may be sent while places are still looked for.
    pub(super) fn safe(&self) -> usize {
        self.locator.safe()
    }

    /// Whether both places were found.
    pub(super) fn is_done(&self) -> bool {
        self.head.is_none() && self.body.is_none()
    }

    /// AMP allows no foreign scripts, and brings a consent component of its own.
    fn is_amp(&self, view: View<'_>, start: &Start) -> bool {
        const MARKS: [&str; 4] = ["amp", "\u{26a1}", "amp4ads", "\u{26a1}4ads"];
        self.batch.attributes(start).iter().any(|attribute| {
            let name = view.get(attribute.name.clone());
            MARKS.iter().any(|mark| name.eq_ignore_ascii_case(mark.as_bytes()))
        })
    }

    fn start(&mut self, view: View<'_>, start: &Start, findings: &mut Findings) {
        let name = name(view, start);
        match name.as_str() {
            "html" => return,
            "head" => self.insert_head(start.span.end, findings),
            _ => self.insert_head(start.span.start, findings),
        }
        match name.as_str() {
            "template" if start.has_content => self.templates += 1,
            _ if self.templates > 0 => {}
            // A frameset takes the body's place: markup before it would take the frames away.
            "frameset" => self.body = None,
            "body" => self.insert_body(start.span.end, findings),
            "base" | "basefont" | "bgsound" | "head" | "link" | "meta" | "noframes" | "noscript" | "script" | "style"
            | "template" | "title" => {}
            _ => self.insert_body(start.span.start, findings),
        }
    }

    fn insert_head(&mut self, at: usize, findings: &mut Findings) {
        if let Some(head) = self.head.take() {
            findings.patches.insert(at, head);
        }
    }

    fn insert_body(&mut self, at: usize, findings: &mut Findings) {
        if let Some(body) = self.body.take() {
            findings.patches.insert(at, body);
        }
    }
}

fn name(view: View<'_>, start: &Start) -> String {
    let tag = view.get(start.span.start + 1..start.span.end);
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')).unwrap_or(tag.len());
    String::from_utf8_lossy(&tag[..end]).to_ascii_lowercase()
}
