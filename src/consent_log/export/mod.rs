//! Exports: the log as lines that can be verified, or as a table for people.

mod csv;
mod jsonl;

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use super::{Filter, LogError, Reader};
pub(super) use jsonl::line;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One leaf a line, with salt and commitment: can be verified without this program.
    Jsonl,
    /// One row for each decision and purpose (RFC 4180). No cell can become a formula.
    Csv,
}

impl Reader {
    /// Writes every leaf that fits. `progress` is told how many leaves of how many were passed.
    /// Returns how many lines or rows were written, the header of a table not counted.
    pub fn export(
        &self,
        filter: &Filter,
        format: Format,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, LogError> {
        let mut rows = 0;
        match format {
            Format::Jsonl => self.scan(filter, progress, &mut |leaf| {
                jsonl::write(self, &leaf, out)?;
                rows += 1;
                Ok(ControlFlow::Continue(()))
            })?,
            Format::Csv => {
                let mut table = csv::Table::new(&mut *out)?;
                self.scan(filter, progress, &mut |leaf| {
                    rows += table.write(&leaf, filter.purpose.as_deref())?;
                    Ok(ControlFlow::Continue(()))
                })?;
                table.finish()?;
            }
        }
        out.flush().map_err(LogError::Output)?;
        Ok(rows)
    }
}

fn output(error: impl Into<io::Error>) -> LogError {
    LogError::Output(error.into())
}
