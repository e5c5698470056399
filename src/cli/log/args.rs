//! `consentry log` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Timestamp, ToSpan, civil::Date};

use crate::{
    consent_log::{Filter, Format, Group},
    vocab::SubjectId,
};

/// `consentry log`.
#[derive(Args, Debug)]
pub(in crate::cli) struct LogArgs {
    /// The data folder of the gate
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "config")]
    pub(in crate::cli) data: Option<PathBuf>,
    /// The configuration that names the data folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Who gives the order, for the log of acts [default: this system's user]
    #[arg(long, global = true, value_name = "NAME")]
    pub(in crate::cli) operator: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(in crate::cli) command: LogCommand,
}

/// What to do with the consent log.
#[derive(Subcommand, Debug)]
pub(in crate::cli) enum LogCommand {
    /// Write the log as lines that can be verified (jsonl) or as a table (csv)
    Export(Export),
    /// List decisions
    Find(Find),
    /// Show one record in full, with the notice it answered
    Show(Show),
    /// Count decisions
    Stats(StatsArgs),
    /// Check every record, leaf, checkpoint and tile against each other
    Verify(Verify),
    /// Write the proof that a record stands in the log
    Prove(Prove),
    /// Write everything about one visitor into one file, to hand over (GDPR articles 15 and 20)
    Access(Access),
    /// Tell what was in force for a visitor at a time
    State(StateArgs),
    /// Write the record of processing of the log itself (GDPR article 30)
    Article30(Article30),
}

/// Which decisions.
#[derive(Args, Debug, Default)]
pub(in crate::cli) struct FilterArgs {
    /// Decided at or after this time (RFC 3339) or day (UTC)
    #[arg(long, value_name = "T", value_parser = parse_from)]
    pub(in crate::cli) from: Option<Timestamp>,
    /// Decided before this time (RFC 3339), or up to the end of this day (UTC)
    #[arg(long, value_name = "T", value_parser = parse_to)]
    pub(in crate::cli) to: Option<Timestamp>,
    /// On this site
    #[arg(long, value_name = "S")]
    pub(in crate::cli) site: Option<String>,
    /// By this visitor: the 22 characters of the pseudonym
    #[arg(long, value_name = "ID", value_parser = parse_subject, allow_hyphen_values = true)]
    pub(in crate::cli) subject: Option<SubjectId>,
    /// Where this purpose was asked for
    #[arg(long, value_name = "P")]
    pub(in crate::cli) purpose: Option<String>,
    /// Restricted records as well (GDPR article 18): only where that is what they are kept for
    #[arg(long)]
    pub(in crate::cli) restricted: bool,
}

/// `consentry log export`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Export {
    /// jsonl: every leaf with salt and commitment; csv: one row for each decision and purpose; jsonld: ISO/IEC TS 27560
    /// records (DPV); kantara: consent receipts 1.1 of what was granted
    #[arg(long, value_enum)]
    pub(in crate::cli) format: FormatArg,
    /// Write to this file, which is there only once it is complete; otherwise to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Which decisions.
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// The form of an export, as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum FormatArg {
    /// Lines.
    Jsonl,
    /// A table.
    Csv,
    /// DPV, ISO/IEC TS 27560.
    Jsonld,
    /// Kantara 1.1.
    Kantara,
}

impl From<FormatArg> for Format {
    fn from(typed: FormatArg) -> Self {
        match typed {
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Csv => Self::Csv,
            FormatArg::Jsonld => Self::Jsonld,
            FormatArg::Kantara => Self::Kantara,
        }
    }
}

/// `consentry log find`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Find {
    /// Which decisions.
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(in crate::cli) limit: usize,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log show`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    /// The record's id, or its index in the log
    #[arg(value_name = "ID")]
    pub(in crate::cli) id: String,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log stats`.
#[derive(Args, Debug)]
pub(in crate::cli) struct StatsArgs {
    /// Which decisions.
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
    /// Count by: day, site, purpose, language, regime, layer, method
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "day,purpose", value_parser = parse_group)]
    pub(in crate::cli) by: Vec<Group>,
    /// Small counts as they are: for the operator's own eyes, not to be published
    #[arg(long)]
    pub(in crate::cli) exact: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log verify`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// A checkpoint kept elsewhere: the log must have grown from it
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) from_checkpoint: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log prove`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Prove {
    /// The record's id, or its index in the log
    #[arg(value_name = "ID")]
    pub(in crate::cli) id: String,
    /// Write the proof (c2sp.org/tlog-proof) to this file; otherwise to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Record, salt, proof and key as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Whose.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct VisitorArgs {
    /// The visitor's pseudonym, 22 characters
    #[arg(long, value_name = "ID", value_parser = parse_subject, allow_hyphen_values = true)]
    pub(in crate::cli) subject: Option<SubjectId>,
    /// A receipt that the visitor sent
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) receipt: Option<PathBuf>,
}

/// `consentry log access`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Access {
    /// Whose.
    #[command(flatten)]
    pub(in crate::cli) visitor: VisitorArgs,
    /// Write to this file, which only you can read; otherwise to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// html: to be read; json: to be taken elsewhere
    #[arg(long, value_enum, default_value_t = AccessFormat::Html)]
    pub(in crate::cli) format: AccessFormat,
    /// The language of the page's own words [default: that of the newest record, where it is built in]
    #[arg(long, value_name = "TAG")]
    pub(in crate::cli) lang: Option<String>,
}

/// The form of an answer to an access request.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum AccessFormat {
    /// A page that loads nothing.
    Html,
    /// Data.
    Json,
}

/// `consentry log state`.
#[derive(Args, Debug)]
pub(in crate::cli) struct StateArgs {
    /// Whose.
    #[command(flatten)]
    pub(in crate::cli) visitor: VisitorArgs,
    /// At this time (RFC 3339) or the start of this day (UTC) [default: now]
    #[arg(long, value_name = "T", value_parser = parse_from)]
    pub(in crate::cli) at: Option<Timestamp>,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log article30`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Article30 {
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

impl FilterArgs {
    /// As the log understands it.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            from: self.from,
            to: self.to,
            site: self.site.clone(),
            subject: self.subject,
            purpose: self.purpose.clone(),
            restricted: self.restricted,
        }
    }
}

fn parse_from(text: &str) -> Result<Timestamp, String> {
    parse_time(text, 0)
}

/// A day is meant whole: its end is the start of the next.
fn parse_to(text: &str) -> Result<Timestamp, String> {
    parse_time(text, 1)
}

fn parse_time(text: &str, days_after: i64) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10).and_then(|day| day.checked_add(days_after.days()).ok());
    let start = day.and_then(|day| format!("{day}T00:00:00Z").parse().ok());
    start.ok_or_else(|| "write 2026-05-31, or a time such as 2026-05-31T12:00:00Z".to_owned())
}

fn parse_subject(text: &str) -> Result<SubjectId, String> {
    SubjectId::parse(text).ok_or_else(|| "a visitor's pseudonym has 22 characters (A-Z a-z 0-9 - _)".to_owned())
}

fn parse_group(text: &str) -> Result<Group, String> {
    Group::parse(text).ok_or_else(|| format!("known: {}", Group::ALL.iter().map(|g| g.as_str()).collect::<Vec<_>>().join(", ")))
}
