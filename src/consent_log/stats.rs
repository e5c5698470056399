//! Counts over decisions, by day, site, purpose, language and method.
//!
//! Small counts are shown as they are: whoever publishes them has to leave out what points to a person.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    Filter, LogError, Reader,
    record::{Kind, Record, words},
};

words! {
    /// What decisions are counted by.
    Group {
        /// The day, in UTC.
        Day = "day",
        /// The site.
        Site = "site",
        /// The purpose: each decision then counts once for every purpose it was asked about, and as
        /// `vendor.<id>` for every vendor that differs from its purposes.
        Purpose = "purpose",
        /// The language of the notice.
        Language = "language",
        /// How the decision was expressed.
        Method = "method",
    }
}

/// How decisions came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Granted, renewals included.
    pub given: u64,
    /// Granted in part. None where counted by purpose: each purpose is then given or refused.
    pub partial: u64,
    /// Refused.
    pub refused: u64,
    /// Taken back.
    pub withdrawn: u64,
    /// Of all these, with a Global Privacy Control signal.
    pub gpc: u64,
}

/// Counts for each combination of the groups that occurs, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// What is counted by, in the order of the keys below.
    pub by: Vec<Group>,
    /// The counts.
    pub rows: BTreeMap<Vec<String>, Counts>,
}

impl Reader {
    /// Counts the decisions that fit. `progress` is told how many leaves of how many were passed.
    pub fn stats(&self, filter: &Filter, by: &[Group], progress: &mut dyn FnMut(u64, u64)) -> Result<Stats, LogError> {
        let mut stats = Stats { by: by.to_vec(), rows: BTreeMap::new() };
        self.scan(filter, progress, &mut |leaf| {
            if let Some(record) = &leaf.record {
                stats.add(record, filter.purpose.as_deref());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stats)
    }
}

impl Stats {
    fn add(&mut self, record: &Record, only: Option<&str>) {
        if !self.by.contains(&Group::Purpose) && only.is_none() {
            return self.count(record, "", None);
        }
        for (purpose, granted) in record.choices() {
            if only.is_none_or(|only| only == purpose) {
                self.count(record, &purpose, Some(granted));
            }
        }
    }

    fn count(&mut self, record: &Record, purpose: &str, granted: Option<bool>) {
        let key = self.by.iter().map(|group| key(record, *group, purpose)).collect();
        let counts = self.rows.entry(key).or_default();
        let slot = match (record.kind, granted) {
            (Kind::Withdrawn, None | Some(false)) => &mut counts.withdrawn,
            (_, Some(true)) | (Kind::Given | Kind::Renewed, None) => &mut counts.given,
            (_, Some(false)) | (Kind::Refused, None) => &mut counts.refused,
            (Kind::Partial, None) => &mut counts.partial,
        };
        *slot += 1;
        counts.gpc += u64::from(record.gpc);
    }
}

fn key(record: &Record, group: Group, purpose: &str) -> String {
    match group {
        Group::Day => record.time.strftime("%Y-%m-%d").to_string(),
        Group::Site => record.site.clone(),
        Group::Purpose => purpose.to_owned(),
        Group::Language => record.language.clone(),
        Group::Method => record.method.to_string(),
    }
}
