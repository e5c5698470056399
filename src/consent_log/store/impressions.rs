//! How often notices were shown: sums, added to by the writer.

use rusqlite::params;

use super::{
    StoreError, failed,
    read::View,
    write::{CommitError, Store},
};
use crate::{
    consent_log::{
        LogError,
        impressions::{Impression, Shown},
    },
    vocab::Hash,
};

impl Store {
    /// Adds counts to those of before, in one transaction.
    pub(in crate::consent_log) fn add_impressions(&mut self, counted: &[Impression]) -> Result<(), CommitError> {
        let failure = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => CommitError::Busy,
            _ => CommitError::Failed(StoreError::from(error)),
        };
        let tx = self.conn().unchecked_transaction().map_err(failure)?;
        for Impression { shown, count } in counted {
            tx.prepare_cached(
                "INSERT INTO impression (day, site, regime, notice, count) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO UPDATE SET count = count + excluded.count",
            )
            .and_then(|mut add| add.execute(params![shown.day, shown.site, shown.regime, shown.notice.0, *count as i64]))
            .map_err(failure)?;
        }
        tx.commit().map_err(failure)
    }
}

impl View {
    /// Every count, sorted. They are few: days by sites by notices.
    pub(in crate::consent_log) fn impressions(&self) -> Result<Vec<Impression>, LogError> {
        if self.is_older_than(3) {
            return Ok(Vec::new());
        }
        let read = || -> rusqlite::Result<Vec<Impression>> {
            let sql = "SELECT day, site, regime, notice, count FROM impression ORDER BY day, site, regime, notice";
            let mut statement = self.conn().prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                let shown = Shown { day: row.get(0)?, site: row.get(1)?, regime: row.get(2)?, notice: Hash(row.get(3)?) };
                Ok(Impression { shown, count: row.get::<_, i64>(4)? as u64 })
            };
            statement.query_map([], row)?.collect()
        };
        read().map_err(failed(self.file()))
    }
}
