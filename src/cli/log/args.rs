//! `consentry log` as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Timestamp, ToSpan, civil::Date};

use crate::{
    consent_log::{Filter, Format, Group, Reason},
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
    /// Delete a visitor's records for good, and certify it (GDPR article 17)
    ///
    /// Records and their salts are deleted from the disk; what stays in the log is a number that nobody can trace back
    /// to a person, and every proof made before still holds. The visitor's cookie is no longer valid: the next page asks
    /// again. A restored backup does not bring the records back, since the file consent-log.erasures in the data folder
    /// says what was erased: keep that file, and never put it into a backup of the log.
    Erase(Erase),
    /// Keep a visitor's records and use them no longer (GDPR article 18)
    ///
    /// Restricted records stay where they are: retention does not delete them, and export, find, show and stats leave
    /// them out unless called with --restricted. Decisions that the visitor makes later are not restricted.
    Restrict(Restrict),
    /// Delete the records whose time has passed, as the policies say (GDPR article 5(1)(e))
    ///
    /// A record is kept for `proof_months` (policies/regimes/, 24 unless you say otherwise) after its decision ran out;
    /// the shorter of what the record's own policy said and what --config says today counts. Restricted records are kept.
    /// `consentry serve` does the same once a day.
    Retain(Retain),
    /// Write everything about one visitor into one file, to hand over (GDPR articles 15 and 20)
    Access(Access),
    /// Tell what was in force for a visitor at a time
    State(StateArgs),
    /// Write the record of processing of the log itself (GDPR article 30)
    Article30(Article30),
    /// Write a folder that an auditor verifies without this program
    Bundle(Bundle),
    /// Copy the log and its keys into a folder, while the gate runs or not
    Backup(Backup),
    /// Check a backup and put it into a data folder that has no log
    Restore(Restore),
    /// Give the log a new key and name from its next checkpoint on; the gate must be stopped
    RotateKey,
}

/// Whose records.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct WhoseArgs {
    /// The visitor, by pseudonym: the 22 characters under `subject` in `log find`
    #[arg(long, value_name = "ID", value_parser = parse_subject, allow_hyphen_values = true)]
    pub(in crate::cli) subject: Option<SubjectId>,
    /// The visitor, by a receipt: the file that the visitor got at /_consent/receipt
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) receipt: Option<PathBuf>,
}

/// What an order about somebody's records has beside them and its reason.
#[derive(Args, Debug)]
pub(in crate::cli) struct OrderArgs {
    /// Your own reference, such as the ticket's number: only a salted hash of it is kept, and the salt is in the certificate
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reference: Option<String>,
    /// Only say which records it would be about
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Write the signed certificate to this file; otherwise it follows on standard output
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `consentry log erase`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Erase {
    /// Whose records.
    #[command(flatten)]
    pub(in crate::cli) whose: WhoseArgs,
    /// Why: request, withdrawal, objection, unlawful, obligation
    #[arg(long, value_name = "WORD", default_value = "request", value_parser = parse_erasure)]
    pub(in crate::cli) reason: Reason,
    /// Records that are restricted as well: whoever had them restricted may need them
    #[arg(long)]
    pub(in crate::cli) restricted: bool,
    #[command(flatten)]
    pub(in crate::cli) order: OrderArgs,
}

/// `consentry log restrict`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Restrict {
    /// Whose records.
    #[command(flatten)]
    pub(in crate::cli) whose: WhoseArgs,
    /// Lift the restriction
    #[arg(long)]
    pub(in crate::cli) lift: bool,
    /// Why: request, accuracy, unlawful, claims, objection
    #[arg(long, value_name = "WORD", default_value = "request", value_parser = parse_restriction)]
    pub(in crate::cli) reason: Reason,
    #[command(flatten)]
    pub(in crate::cli) order: OrderArgs,
}

/// `consentry log retain`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Retain {
    /// Keep no record longer than this after its decision ran out, whatever the policies say
    #[arg(long, value_name = "MONTHS", value_parser = clap::value_parser!(u64).range(0..=1200))]
    pub(in crate::cli) keep: Option<u64>,
    /// Only say what would be deleted
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
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
    /// A restricted record as well (GDPR article 18): only where that is what it is kept for
    #[arg(long)]
    pub(in crate::cli) restricted: bool,
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
    /// Check this folder, which `log bundle` wrote, instead of a log
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bundle: Option<PathBuf>,
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

/// `consentry log bundle`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Bundle {
    /// The folder to write, which must be empty or not there
    #[arg(short, long, value_name = "DIR")]
    pub(in crate::cli) output: PathBuf,
    /// Decided at or after this time (RFC 3339) or day (UTC)
    #[arg(long, value_name = "T", value_parser = parse_from)]
    pub(in crate::cli) from: Option<Timestamp>,
    /// Decided before this time (RFC 3339), or up to the end of this day (UTC)
    #[arg(long, value_name = "T", value_parser = parse_to)]
    pub(in crate::cli) to: Option<Timestamp>,
    /// On this site
    #[arg(long, value_name = "S")]
    pub(in crate::cli) site: Option<String>,
}

/// `consentry log backup`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Backup {
    /// The folder to write, which must be empty or not there
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
}

/// `consentry log restore`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Restore {
    /// The folder that `log backup` wrote
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    /// A journal of erasures, beside one that lies in the data folder: what was erased is erased again
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) erasures: Option<PathBuf>,
    /// The newest checkpoint that is known from elsewhere, such as the one that was pushed last
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) from_checkpoint: Option<PathBuf>,
    /// Go on although entries are lost; the log gets a new key
    #[arg(long)]
    pub(in crate::cli) accept_loss: bool,
}

impl Bundle {
    /// As the log understands it.
    pub(super) fn filter(&self) -> Filter {
        Filter { from: self.from, to: self.to, site: self.site.clone(), ..Filter::default() }
    }
}

/// `consentry log access`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Access {
    /// Whose.
    #[command(flatten)]
    pub(in crate::cli) visitor: WhoseArgs,
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
    pub(in crate::cli) visitor: WhoseArgs,
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

fn parse_erasure(text: &str) -> Result<Reason, String> {
    use Reason::{Objection, Obligation, Request, Unlawful, Withdrawal};
    parse_reason(text, &[Request, Withdrawal, Objection, Unlawful, Obligation])
}

fn parse_restriction(text: &str) -> Result<Reason, String> {
    use Reason::{Accuracy, Claims, Objection, Request, Unlawful};
    parse_reason(text, &[Request, Accuracy, Unlawful, Claims, Objection])
}

fn parse_reason(text: &str, known: &[Reason]) -> Result<Reason, String> {
    let found = Reason::parse(text).filter(|reason| known.contains(reason));
    found.ok_or_else(|| format!("known: {}", known.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ")))
}
