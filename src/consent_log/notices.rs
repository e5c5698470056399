//! The notices in the log: which there were, when they were answered, and what was shown.

use std::{collections::HashMap, ops::ControlFlow};

use jiff::Timestamp;

use super::{Filter, LogError, Reader, ShownNotice, leaf::LeafKind};
use crate::vocab::Hash;

/// One notice, and how it was used.
#[derive(Clone, Debug)]
pub struct NoticeSummary {
    /// Its address.
    pub sha256: Hash,
    /// The leaf that it came with.
    pub index: u64,
    /// When it was put into the log.
    pub since: Timestamp,
    /// Its language (BCP 47), as the notice says.
    pub language: String,
    /// Its layer, as the notice says.
    pub layer: String,
    /// Decisions that answered it.
    pub decisions: u64,
    /// The newest of them.
    pub last: Option<Timestamp>,
}

impl Reader {
    /// Every notice in the order of the log, with how often it was answered.
    pub fn notices(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<NoticeSummary>, LogError> {
        let mut all: Vec<NoticeSummary> = Vec::new();
        let mut places: HashMap<Hash, usize> = HashMap::new();
        self.scan(&Filter { restricted: true, ..Filter::default() }, progress, &mut |leaf| {
            match (leaf.kind, &leaf.record) {
                (LeafKind::Notice, _) => {
                    let value = self.value(&leaf)?;
                    let text = |name: &str| value["snapshot"][name].as_str().unwrap_or("-").to_owned();
                    let sha256 = self.member(&leaf, "notice")?;
                    let since = value["t"].as_str().and_then(|time| time.parse().ok()).unwrap_or_default();
                    places.insert(sha256, all.len());
                    all.push(NoticeSummary {
                        sha256,
                        index: leaf.index,
                        since,
                        language: text("lang"),
                        layer: text("layer"),
                        decisions: 0,
                        last: None,
                    });
                }
                (_, Some(record)) => {
                    if let Some(notice) = places.get(&record.notice).and_then(|at| all.get_mut(*at)) {
                        notice.decisions += 1;
                        notice.last = notice.last.max(Some(record.time));
                    }
                }
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// A notice as it was shown, by the first digits of its address: as many as make it the only one.
    pub fn notice(&self, digits: &str) -> Result<ShownNotice, LogError> {
        let wanted = digits.to_ascii_lowercase();
        let all = self.notices(&mut |_, _| {})?;
        let mut fitting = all.iter().filter(|notice| !wanted.is_empty() && notice.sha256.to_string().starts_with(&wanted));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => self.show(&one.index.to_string())?.notice.ok_or_else(|| self.not_found(digits)),
            _ => Err(self.not_found(digits)),
        }
    }

    fn not_found(&self, digits: &str) -> LogError {
        LogError::NotFound { wanted: format!("single notice `{digits}`"), dir: self.dir.clone() }
    }
}
