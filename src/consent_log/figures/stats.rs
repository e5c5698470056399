//! Counts over decisions and over notices shown, by day, site, purpose, language, regime, layer and method.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use crate::consent_log::{
    Filter, LogError, Reader,
    impressions::Impression,
    record::{Kind, Record, words},
    suppress::{Table, suppress},
};
use crate::vocab::Hash;

words! {
    /// What is counted by.
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
        /// The regime applied.
        Regime = "regime",
        /// Where in the workflow.
        Layer = "layer",
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
    /// How often a notice was shown to somebody who had not decided. Not divided by purpose or method: the same
    /// notice asks for all, and offers all.
    pub shown: u64,
}

/// The same as it may be published: `None` where a small count would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// [`Counts::given`].
    pub given: Option<u64>,
    /// [`Counts::partial`].
    pub partial: Option<u64>,
    /// [`Counts::refused`].
    pub refused: Option<u64>,
    /// [`Counts::withdrawn`].
    pub withdrawn: Option<u64>,
    /// [`Counts::gpc`].
    pub gpc: Option<u64>,
    /// [`Counts::shown`].
    pub shown: Option<u64>,
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
    /// Counts the decisions that fit, and the notices shown. `progress` is told how many leaves of how many were passed.
    pub fn stats(&self, filter: &Filter, by: &[Group], progress: &mut dyn FnMut(u64, u64)) -> Result<Stats, LogError> {
        let mut stats = Stats { by: by.to_vec(), rows: BTreeMap::new() };
        self.scan(filter, progress, &mut |leaf| {
            if let Some(record) = &leaf.record {
                stats.add(record, filter.purpose.as_deref());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // Nobody is counted among those who were shown a notice.
        if filter.subject.is_none() {
            let mut said = HashMap::new();
            for impression in self.impressions(filter)? {
                let (language, layer) = self.notice_said(impression.shown.notice, &mut said)?;
                stats.add_shown(&impression, &language, &layer);
            }
        }
        Ok(stats)
    }

    /// How often notices were shown, on the days and the site of a filter. A day counts as a whole.
    pub fn impressions(&self, filter: &Filter) -> Result<Vec<Impression>, LogError> {
        let day = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
        let last = filter.to.map(|to| day(to.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(to)));
        let mut all = self.view.impressions()?;
        all.retain(|one| {
            filter.from.is_none_or(|from| one.shown.day >= day(from))
                && last.as_ref().is_none_or(|last| one.shown.day <= *last)
                && filter.site.as_ref().is_none_or(|site| *site == one.shown.site)
        });
        Ok(all)
    }

    /// Language and layer of a notice, as it says.
    fn notice_said(&self, notice: Hash, said: &mut HashMap<Hash, (String, String)>) -> Result<(String, String), LogError> {
        if let Some(known) = said.get(&notice) {
            return Ok(known.clone());
        }
        let shown = self.view.index_of_notice(notice)?.map(|index| self.show(&index.to_string())).transpose()?;
        let snapshot = shown.and_then(|shown| shown.notice).map(|notice| notice.snapshot).unwrap_or_default();
        let text = |name: &str| snapshot[name].as_str().unwrap_or("-").to_owned();
        let read = (text("lang"), text("layer"));
        said.insert(notice, read.clone());
        Ok(read)
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

    /// To every row that fits; to a row of its own where there is none and nothing divides it.
    fn add_shown(&mut self, impression: &Impression, language: &str, layer: &str) {
        let shown = &impression.shown;
        let wanted: Vec<Option<&str>> = self
            .by
            .iter()
            .map(|group| match group {
                Group::Day => Some(shown.day.as_str()),
                Group::Site => Some(shown.site.as_str()),
                Group::Language => Some(language),
                Group::Regime => Some(shown.regime.as_str()),
                Group::Layer => Some(layer),
                Group::Purpose | Group::Method => None,
            })
            .collect();
        if let Some(whole) = wanted.iter().copied().collect::<Option<Vec<&str>>>() {
            let key = whole.into_iter().map(str::to_owned).collect();
            self.rows.entry(key).or_default().shown += impression.count;
            return;
        }
        for (key, counts) in &mut self.rows {
            if key.iter().zip(&wanted).all(|(part, wanted)| wanted.is_none_or(|wanted| wanted == part)) {
                counts.shown += impression.count;
            }
        }
    }

    /// The counts as they may be published: small ones are left out, and what would give them back.
    pub fn published(&self) -> BTreeMap<Vec<String>, Published> {
        // What adds up to the number of decisions comes first.
        let table: Table<6> = self
            .rows
            .iter()
            .map(|(key, c)| (key.clone(), [c.given, c.partial, c.refused, c.withdrawn, c.gpc, c.shown]))
            .collect();
        let shown = suppress(&table, 4).into_iter();
        shown
            .map(|(key, [given, partial, refused, withdrawn, gpc, shown])| {
                (key, Published { given, partial, refused, withdrawn, gpc, shown })
            })
            .collect()
    }
}

// === impl Counts ===

impl Counts {
    /// All of them as they are: not to be published.
    pub fn exact(&self) -> Published {
        Published {
            given: Some(self.given),
            partial: Some(self.partial),
            refused: Some(self.refused),
            withdrawn: Some(self.withdrawn),
            gpc: Some(self.gpc),
            shown: Some(self.shown),
        }
    }
}

// === impl Published ===

impl Published {
    /// Of those who answered without taking back, the share who granted something, in tenths of a per cent.
    pub fn opt_in_permille(&self) -> Option<u64> {
        let granted = self.given? + self.partial?;
        permille(granted, granted + self.refused?)
    }

    /// Of the times that a notice was shown, the share that led to a grant, in tenths of a per cent. Who does not
    /// answer is shown it on every page.
    pub fn of_shown_permille(&self) -> Option<u64> {
        permille(self.given? + self.partial?, self.shown?)
    }
}

fn permille(part: u64, whole: u64) -> Option<u64> {
    (whole > 0 && part <= whole).then(|| part * 1000 / whole)
}

fn key(record: &Record, group: Group, purpose: &str) -> String {
    match group {
        Group::Day => record.time.strftime("%Y-%m-%d").to_string(),
        Group::Site => record.site.clone(),
        Group::Purpose => purpose.to_owned(),
        Group::Language => record.language.clone(),
        Group::Regime => record.regime.clone(),
        Group::Layer => record.layer.to_string(),
        Group::Method => record.method.to_string(),
    }
}
