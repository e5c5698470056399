//! `consentry log export | find | show | stats | verify | prove | erase | restrict | retain`: what auditors and data protection officers ask.
//!
//! Arguments in, text or JSON out. What is read and how it is checked lives in `consent_log`.

mod args;
mod custody;
mod papers;
mod proofs;
mod rights;
mod stats;
mod table;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

pub(super) use self::{args::LogArgs, table::table};
use self::{
    args::{Export, Find, LogCommand, Show},
    rights::Desk,
};
use crate::{
    consent_log::{Leaf, LogError, Reader, Shown},
    vocab::Hash,
};

/// Where a command writes to.
pub(super) struct Streams<'a> {
    /// The answer.
    pub(super) out: &'a mut dyn Write,
    /// Progress and remarks.
    pub(super) err: &'a mut dyn Write,
    /// Whether a person looks at `err`.
    pub(super) err_is_terminal: bool,
}

/// Why a command failed. All are exit code 1: what was typed wrong is found before [`run`].
#[derive(Debug, thiserror::Error)]
pub(super) enum LogCliError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file for the answer could not be written.
    #[error("{} cannot be written", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was named cannot be read.
    #[error("{} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer could not be written.
    #[error("the answer cannot be written")]
    Output(#[from] io::Error),
    /// A receipt that is none, or not of this log.
    #[error("{} is no receipt of a record in this log: {why}", .file.display())]
    Receipt {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The policies that say how long records are kept cannot be read.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policies(Vec<crate::config::Fault>),
    /// A restricted record was not asked for as such.
    #[error("record {index} is restricted (act {act}): --restricted shows it, where that is what it is kept for")]
    Restricted {
        /// The leaf.
        index: u64,
        /// The act.
        act: u64,
    },
    /// A page cannot be made.
    #[error("the page cannot be made: {0}")]
    Page(String),
    /// A record is not what was written.
    #[error("record {index} does not match its commitment: it was changed after it was written")]
    Altered {
        /// The leaf.
        index: u64,
    },
    /// The log is not as it was written.
    #[error(
        "the log is not as it was written: {findings} found, the first at index {first}. Keep it as it is and restore a backup beside it"
    )]
    Tampered {
        /// How many things are wrong, in words.
        findings: String,
        /// The first bad leaf.
        first: u64,
    },
}

/// Runs a command over the log in `dir`. Whoever reads the answer may stop reading: that is no error.
pub(super) fn run(args: &LogArgs, dir: &Path, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    match &args.command {
        LogCommand::Verify(verify) if verify.bundle.is_some() => return proofs::verify_bundle(verify, streams),
        LogCommand::Restore(restore) => return custody::restore(restore, dir, args.operator.as_deref(), streams),
        LogCommand::RotateKey => return custody::rotate_key(dir, args.operator.as_deref(), streams),
        _ => {}
    }
    let reader = Reader::open(dir)?;
    let desk = Desk { dir, operator: args.operator.as_deref() };
    let done = match &args.command {
        LogCommand::Export(export) => run_export(export, &desk, &reader, streams),
        LogCommand::Find(find) => run_find(find, &desk, &reader, streams),
        LogCommand::Show(show) => run_show(show, &desk, &reader, streams),
        LogCommand::Stats(args) => stats::run(args, &reader, streams),
        LogCommand::Verify(verify) => proofs::verify(verify, &reader, streams),
        LogCommand::Access(access) => papers::access(access, &desk, &reader, streams),
        LogCommand::State(state) => papers::state(state, &desk, &reader, streams),
        LogCommand::Article30(article) => papers::article30(article, &reader, streams),
        LogCommand::Prove(prove) => proofs::prove(prove, &reader, streams),
        LogCommand::Erase(erase) => rights::erase(erase, &desk, &reader, streams),
        LogCommand::Restrict(restrict) => rights::restrict(restrict, &desk, &reader, streams),
        LogCommand::Retain(retain) => rights::retain(retain, args, &desk, streams),
        LogCommand::Bundle(bundle) => proofs::bundle(bundle, &desk, &reader, streams),
        LogCommand::Backup(backup) => custody::backup(backup, &desk, streams),
        // Above: they need no log, or none here.
        LogCommand::Restore(_) | LogCommand::RotateKey => Ok(()),
    };
    match done {
        Err(LogCliError::Output(e) | LogCliError::Log(LogError::Output(e))) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

// === export ===

fn run_export(args: &Export, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let format = args.format.into();
    let filter = args.filter.filter();
    let Some(file) = &args.output else {
        // How many it will be is only known at the end.
        desk.record_read("export", None, streams);
        let mut out = BufWriter::new(&mut *streams.out);
        let mut progress = Progress::new(streams.err, streams.err_is_terminal);
        reader.export(&filter, format, &mut out, &mut |done, of| progress.tell(done, of))?;
        return Ok(());
    };
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let failed = |source| LogCliError::File { file: file.clone(), source };
    // Renamed when complete: half an export is never taken for a whole one.
    let mut part = file.clone().into_os_string();
    part.push(".part");
    let mut out = BufWriter::new(File::create(&part).map_err(failed)?);
    let rows = reader.export(&filter, format, &mut out, &mut |done, of| progress.tell(done, of)).map_err(|e| match e {
        LogError::Output(source) => failed(source),
        other => other.into(),
    })?;
    drop(progress);
    out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    desk.record_read("export", Some(rows), streams);
    std::fs::rename(&part, file).map_err(failed)?;
    if streams.err_is_terminal {
        writeln!(streams.err, "{rows} written to {}", file.display())?;
    }
    Ok(())
}

/// A line that counts up, on a terminal only.
pub(super) struct Progress<'a> {
    err: &'a mut dyn Write,
    shown: bool,
    percent: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(err: &'a mut dyn Write, shown: bool) -> Self {
        Self { err, shown, percent: 0 }
    }

    pub(super) fn tell(&mut self, done: u64, of: u64) {
        let percent = done * 100 / of.max(1);
        if self.shown && percent > self.percent {
            self.percent = percent;
            // Nothing hangs on a line that says how far it got.
            let _ = write!(self.err, "\r{percent:3} % of {of} leaves").and_then(|()| self.err.flush());
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.percent > 0 {
            let _ = write!(self.err, "\r{:40}\r", "");
        }
    }
}

// === find ===

fn run_find(args: &Find, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let found = reader.find(&args.filter.filter(), args.limit)?;
    desk.record_read("find", Some(found.leaves.len() as u64), streams);
    let out = &mut *streams.out;
    if args.json {
        let records: Vec<Value> = found.leaves.iter().map(leaf_json).collect();
        writeln!(out, "{:#}", json!({ "more": found.more, "records": records }))?;
        return Ok(());
    }
    if found.leaves.is_empty() {
        writeln!(out, "No decision fits.")?;
        return Ok(());
    }
    table(out, &FOUND, &found.leaves.iter().filter_map(found_row).collect::<Vec<_>>())?;
    if found.more {
        let shown = found.leaves.len();
        writeln!(out, "\nMore fit than the {shown} shown: narrow the search, raise --limit, or use `log export`.")?;
    }
    Ok(())
}

const FOUND: [&str; 9] = ["idx", "time", "id", "kind", "site", "subject", "granted", "method", "valid until"];

fn found_row(leaf: &Leaf) -> Option<Vec<String>> {
    let record = leaf.record.as_ref()?;
    let mut granted: Vec<_> = record.choices().filter(|(_, granted)| *granted).map(|(id, _)| id).collect();
    let refused: Vec<_> = record.vendors.iter().filter(|(_, granted)| !**granted).map(|(id, _)| format!("vendor.{id}")).collect();
    if !refused.is_empty() {
        granted.push("without".into());
        granted.extend(refused.into_iter().map(Into::into));
    }
    Some(vec![
        leaf.index.to_string(),
        record.time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        record.id.to_string(),
        record.kind.to_string(),
        record.site.clone(),
        record.subject.map_or("-".to_owned(), |subject| subject.encode()),
        if granted.is_empty() { "-".to_owned() } else { granted.join(" ") },
        record.method.to_string(),
        record.expires.strftime("%Y-%m-%d").to_string(),
    ])
}

// === show ===

fn run_show(args: &Show, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let shown = reader.show(&args.id)?;
    if let Some(act) = shown.leaf.restricted.filter(|_| !args.restricted) {
        return Err(LogCliError::Restricted { index: shown.leaf.index, act });
    }
    if shown.leaf.record.is_some() {
        desk.record_read("show", Some(1), streams);
    }
    let intact = shown.leaf.commitment == shown.recomputed;
    if args.json {
        writeln!(streams.out, "{:#}", shown_json(&shown))?;
    } else {
        show_text(streams.out, &shown)?;
    }
    if intact { Ok(()) } else { Err(LogCliError::Altered { index: shown.leaf.index }) }
}

fn show_text(out: &mut dyn Write, shown: &Shown) -> io::Result<()> {
    let leaf = &shown.leaf;
    let check = if leaf.commitment == shown.recomputed { "matches the record" } else { "DOES NOT MATCH the record" };
    table(
        out,
        &[],
        &[
            vec!["leaf".to_owned(), format!("{} ({})", leaf.index, leaf.kind)],
            vec!["commitment".to_owned(), format!("{} ({check})", leaf.commitment)],
        ],
    )?;
    match leaf.erased.filter(|_| leaf.bytes.is_empty()) {
        Some(act) => writeln!(out, "\nThe record was erased by the act at index {act}: `log show {act}`.")?,
        None => writeln!(out, "\n{:#}", body(leaf))?,
    }
    if let Some(notice) = &shown.notice {
        let shortened = shortened(&notice.snapshot);
        writeln!(out, "\nnotice {} (leaf {})\n{shortened:#}", notice.sha256, notice.index)?;
        writeln!(out, "\n`--json` gives the notice in full, with its markup.")?;
    }
    Ok(())
}

/// Texts are for reading; markup, style and script are not.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LINE_BYTES_MAX => json!(format!("({} bytes)", text.len())),
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), shortened(member))).collect(),
        other => other.clone(),
    }
}

/// Past so many bytes a text is not read on a terminal.
const LINE_BYTES_MAX: usize = 600;

fn shown_json(shown: &Shown) -> Value {
    let mut value = leaf_json(&shown.leaf);
    value["_matches"] = json!(shown.leaf.commitment == shown.recomputed);
    value["_notice"] = match &shown.notice {
        None => Value::Null,
        Some(notice) => json!({
            "html": notice.html,
            "idx": notice.index,
            "sha256": notice.sha256.to_string(),
            "snapshot": notice.snapshot,
        }),
    };
    value
}

/// The members that an export puts before the record's own.
fn leaf_json(leaf: &Leaf) -> Value {
    let mut value = match leaf.erased.filter(|_| leaf.bytes.is_empty()) {
        Some(act) => {
            return json!({ "_erased_by": act, "_idx": leaf.index, "_kind": leaf.kind.as_str(), "_leaf": leaf.commitment.to_string() });
        }
        None => body(leaf),
    };
    if let Some(act) = leaf.restricted {
        value["_restricted_by"] = json!(act);
    }
    value["_idx"] = json!(leaf.index);
    value["_kind"] = json!(leaf.kind.as_str());
    value["_leaf"] = json!(leaf.commitment.to_string());
    value["_salt"] = json!(Hash(leaf.salt).to_string());
    value
}

fn body(leaf: &Leaf) -> Value {
    // Bytes that are not JSON are only met in a damaged log; they are shown as they are.
    serde_json::from_str(&leaf.bytes).ok().filter(Value::is_object).unwrap_or_else(|| json!({ "unreadable": leaf.bytes }))
}

#[cfg(test)]
mod tests;
