//! Exports: the log as lines that can be verified, or as a table for people.

mod csv;
mod jsonl;
mod standard;

use std::{
    collections::HashMap,
    io::{self, Write},
    ops::ControlFlow,
};

use serde_json::{Value, json};

use super::{Filter, Leaf, LogError, Reader, canonical};
use crate::vocab::Hash;
pub(super) use jsonl::line;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One leaf a line, with salt and commitment: can be verified without this program.
    Jsonl,
    /// One row for each decision and purpose (RFC 4180). No cell can become a formula.
    Csv,
    /// One JSON-LD document of consent records by the Data Privacy Vocabulary (ISO/IEC TS 27560:2023).
    Jsonld,
    /// One JSON list of consent receipts by Kantara 1.1: of records that grant something.
    Kantara,
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
            Format::Jsonld => {
                let head = format!("{{\"@context\":{},\"@graph\":[", canonical(&standard::context())?);
                let one = |leaf: &Leaf, notice: &Value| Some(standard::jsonld(leaf, leaf.record.as_ref()?, notice));
                rows = self.list(filter, (&head, "]}"), &one, out, progress)?;
            }
            Format::Kantara => {
                let one = |leaf: &Leaf, notice: &Value| standard::kantara(leaf.record.as_ref()?, notice);
                rows = self.list(filter, ("[", "]"), &one, out, progress)?;
            }
        }
        out.flush().map_err(LogError::Output)?;
        Ok(rows)
    }
}

impl Reader {
    /// One value for each decision, one a line, between head and tail of a JSON document.
    fn list(
        &self,
        filter: &Filter,
        (head, tail): (&str, &str),
        one: &dyn Fn(&Leaf, &Value) -> Option<Value>,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, LogError> {
        let (mut rows, mut notices) = (0, HashMap::<Hash, Value>::new());
        write!(out, "{head}").map_err(output)?;
        self.scan(filter, progress, &mut |leaf| {
            let Some(record) = &leaf.record else { return Ok(ControlFlow::Continue(())) };
            let notice = match notices.get(&record.notice) {
                Some(notice) => notice,
                None => {
                    let shown = self.show(&leaf.index.to_string())?.notice;
                    notices.entry(record.notice).or_insert(shown.map_or(json!({}), |shown| shown.snapshot))
                }
            };
            if let Some(value) = one(&leaf, notice) {
                let comma = if rows == 0 { "" } else { "," };
                write!(out, "{comma}\n{value}").map_err(output)?;
                rows += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        writeln!(out, "\n{tail}").map_err(output)?;
        Ok(rows)
    }
}

fn output(error: impl Into<io::Error>) -> LogError {
    LogError::Output(error.into())
}
