//! The labels of the metrics, and the words that stand in them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

/// What became of a page, a style sheet or a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOutcome {
    /// It was gated to its end.
    Gated,
    /// It began, could not be read on, and was cut.
    Cut,
    /// The visitor left before its end.
    Left,
    /// It could not be read and was not passed on.
    Refused,
}

impl PageOutcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gated => "gated",
            Self::Cut => "cut",
            Self::Left => "left",
            Self::Refused => "refused",
        }
    }
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// It is on the disk.
    Recorded,
    /// It could not be made durable.
    NotRecorded,
    /// Its fields were at fault.
    Invalid,
    /// Its network had made too many.
    Limited,
    /// It came from a program that says that it visits sites on its own.
    Bot,
}

impl DecisionOutcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::NotRecorded => "not_recorded",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Bot => "bot",
        }
    }
}

/// The choice of a decision that was refused before it was read.
pub const UNREAD: &str = "unread";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfSite {
    pub(super) site: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub(super) site: Arc<str>,
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfRequest {
    pub(super) site: Arc<str>,
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfFailure {
    pub(super) site: Arc<str>,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfPage {
    pub(super) site: Arc<str>,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfVerdict {
    pub(super) site: Arc<str>,
    pub(super) vendor: String,
    pub(super) verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfDecision {
    pub(super) site: Arc<str>,
    pub(super) choice: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfLimit {
    pub(super) limit: &'static str,
}
