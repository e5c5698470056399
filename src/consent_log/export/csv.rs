//! One row for each decision and purpose, and one for each vendor that differs from its purposes
//! (`vendor.<id>` in the column `purpose`). Only decisions: notices and policies have no cells.

use std::{borrow::Cow, io::Write};

use csv::{Terminator, Writer, WriterBuilder};

use super::output;
use crate::consent_log::{Leaf, LogError, record::stamp};

const COLUMNS: [&str; 15] = [
    "idx",
    "id",
    "t",
    "kind",
    "site",
    "subject",
    "purpose",
    "choice",
    "method",
    "layer",
    "lang",
    "policy",
    "notice_sha256",
    "jur",
    "exp",
];

/// A table being written.
pub(super) struct Table<W: Write>(Writer<W>);

impl<W: Write> Table<W> {
    pub(super) fn new(out: W) -> Result<Self, LogError> {
        // RFC 4180 section 2: lines end with CRLF.
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
        writer.write_record(COLUMNS).map_err(output)?;
        Ok(Self(writer))
    }

    /// The rows of one leaf, narrowed to one purpose where one is asked for.
    pub(super) fn write(&mut self, leaf: &Leaf, only: Option<&str>) -> Result<u64, LogError> {
        let Some(record) = &leaf.record else { return Ok(0) };
        let mut rows = 0;
        for (purpose, granted) in record.choices().filter(|(purpose, _)| only.is_none_or(|only| only == purpose)) {
            let cells: [&str; 15] = [
                &leaf.index.to_string(),
                &record.id.to_string(),
                &stamp(record.time),
                record.kind.as_str(),
                &record.site,
                &record.subject.map(|subject| subject.encode()).unwrap_or_default(),
                &purpose,
                if granted { "1" } else { "0" },
                record.method.as_str(),
                record.layer.as_str(),
                &record.language,
                &record.policy.to_string(),
                &record.notice.to_string(),
                &record.jurisdiction,
                &stamp(record.expires),
            ];
            self.0.write_record(cells.map(|cell| inert(cell).into_owned())).map_err(output)?;
            rows += 1;
        }
        Ok(rows)
    }

    pub(super) fn finish(mut self) -> Result<(), LogError> {
        self.0.flush().map_err(output)
    }
}

/// A cell that no spreadsheet reads as a formula. The wide forms are for programs set to Chinese or
/// Japanese, which take them for the narrow ones.
fn inert(cell: &str) -> Cow<'_, str> {
    const LEADS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if cell.starts_with(LEADS) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_starts_a_formula() {
        for lead in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\u{ff1d}1", "\u{ff0b}1", "\u{ff0d}1", "\u{ff20}1"] {
            assert_eq!(inert(lead), format!("'{lead}"));
        }
        for plain in ["", "shop.example", "a=1", "2026-01-01T00:00:00.000Z", "'=1"] {
            assert_eq!(inert(plain), plain);
        }
    }
}
