//! `consentry log erase | restrict | retain`, and how reading is put on record.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    LogCliError, Streams,
    args::{Erase, LogArgs, OrderArgs, Restrict, Retain, WhoseArgs},
    found_row,
    table::table,
};
use crate::{
    app::{load_config, read_policies},
    cli::count,
    consent_log::{self, Done, Filter, HeldReceipt, Keep, Leaf, LogError, Order, Reader, Visitor, What, Whose, Why},
    policy::Policy,
    wire::Causes,
};

/// Records that a dry run lists; a person rarely has more.
const LISTED_MAX: usize = 1000;

/// Where orders are given, and by whom.
pub(super) struct Desk<'a> {
    /// The data folder.
    pub(super) dir: &'a Path,
    /// The operator as typed.
    pub(super) operator: Option<&'a str>,
}

impl Desk<'_> {
    /// Puts on record that a command gives records away: their number where it is known before the first is given.
    /// To be called before anything is printed. A copy that nothing can be added to is read all the same, with a
    /// remark.
    pub(super) fn record_read(&self, command: &str, rows: Option<u64>, streams: &mut Streams<'_>) {
        let what = What::Read { command: command.to_owned(), rows };
        if let Err(error) = self.order(what, false) {
            // Nothing hangs on the remark.
            let _ = writeln!(streams.err, "consentry: that this was read is not put on record: {}", Causes(&error));
        }
    }

    /// Has an order carried out by the gate that runs on the folder, or without one.
    pub(super) fn order(&self, what: What, dry_run: bool) -> Result<Done, LogError> {
        let operator = self.operator.map_or_else(user, str::to_owned);
        consent_log::order(self.dir, &Order { operator, what, dry_run })
    }
}

/// The name of this system's user; the one who became root by sudo rather than root.
pub(super) fn user() -> String {
    let id = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    if let Some(name) = std::env::var("SUDO_USER").ok().filter(|_| id == 0) {
        return name;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {id}"))
}

// === erase and restrict ===

/// What an order that names a visitor has in common.
struct Wording<'a> {
    /// `erase`, `restrict`.
    command: &'a str,
    /// `erased`, `restricted`, `released`.
    done: &'a str,
    order: &'a OrderArgs,
    /// What it means, in a sentence.
    means: &'a str,
}

pub(super) fn erase(args: &Erase, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let why = Why { reason: args.reason.as_str().to_owned(), reference: args.order.reference.clone() };
    let whose = whose(&args.whose, reader)?;
    let what = What::Erase { whose: whose.clone(), why, restricted: args.restricted };
    let means = "Records and salts are gone from the data folder, and the visitor's cookie is no longer valid. Copies that you \
                 made yourself (exports, backups) are not changed; a restored backup does not bring the records back.";
    carry_out(what, &whose, &Wording { command: "erase", done: "erased", order: &args.order, means }, desk, reader, streams)
}

pub(super) fn restrict(args: &Restrict, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let why = Why { reason: args.reason.as_str().to_owned(), reference: args.order.reference.clone() };
    let whose = whose(&args.whose, reader)?;
    let (what, done, means) = match args.lift {
        false => {
            let means = "They are kept, also from retention, and left out of export, find, show and stats unless called with --restricted.";
            (What::Restrict { whose: whose.clone(), why }, "restricted", means)
        }
        true => (What::Unrestrict { whose: whose.clone(), why }, "released", "They are records like any other again."),
    };
    carry_out(what, &whose, &Wording { command: "restrict", done, order: &args.order, means }, desk, reader, streams)
}

fn carry_out(
    what: What,
    whose: &Whose,
    wording: &Wording<'_>,
    desk: &Desk<'_>,
    reader: &Reader,
    streams: &mut Streams<'_>,
) -> Result<(), LogCliError> {
    if wording.order.dry_run {
        let done = desk.order(what, true)?;
        let leaves = listed(whose, &done, reader)?;
        desk.record_read(&format!("{} --dry-run", wording.command), Some(leaves.len() as u64), streams);
        return told_dry(&done, &leaves, wording, streams);
    }
    // Before anything is done: a certificate that cannot be written is lost.
    let mut file = wording.order.output.as_ref().map(|path| certificate_file(path)).transpose()?;
    let done = desk.order(what, false);
    if let (Some((path, _)), false) = (&file, done.as_ref().is_ok_and(|done| done.act.is_some())) {
        // Nothing was done, so there is nothing to certify.
        let _ = fs::remove_file(path);
    }
    let done = done?;
    if let (Some((path, file)), Some(text)) = (&mut file, &done.certificate) {
        let failed = |source| LogCliError::File { file: path.clone(), source };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    told(&done, wording, streams)
}

/// The visitor's records that an order is about.
fn listed(whose: &Whose, done: &Done, reader: &Reader) -> Result<Vec<Leaf>, LogCliError> {
    let indices = done.indices.parse::<consent_log::Indices>().unwrap_or_default();
    let subject = match whose {
        Whose::Subject(text) => crate::vocab::SubjectId::parse(text),
        Whose::Record(id) => reader.show(&id.to_string())?.leaf.record.and_then(|record| record.subject),
    };
    let Some(subject) = subject else {
        let one = indices.first().map(|index| reader.show(&index.to_string())).transpose()?;
        return Ok(one.map(|shown| shown.leaf).into_iter().collect());
    };
    let filter = Filter { subject: Some(subject), restricted: true, ..Filter::default() };
    let found = reader.find(&filter, LISTED_MAX)?.leaves;
    Ok(found.into_iter().filter(|leaf| indices.contains(leaf.index)).collect())
}

fn told_dry(done: &Done, leaves: &[Leaf], wording: &Wording<'_>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let out = &mut *streams.out;
    if wording.order.json {
        let value = json!({ "dry_run": true, "count": done.count, "indices": done.indices, "more": done.more });
        return Ok(writeln!(out, "{value:#}")?);
    }
    if done.count == 0 {
        return Ok(writeln!(out, "Nothing fits: nothing would be {}.", wording.done)?);
    }
    table(out, &super::FOUND, &leaves.iter().filter_map(found_row).collect::<Vec<_>>())?;
    let (records, done) = (count(done.count as usize, "record"), wording.done);
    Ok(writeln!(out, "\n{records} would be {done}. Nothing was changed: leave out --dry-run to do it.")?)
}

fn told(done: &Done, wording: &Wording<'_>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let out = &mut *streams.out;
    if wording.order.json {
        return Ok(writeln!(out, "{:#}", done_json(done))?);
    }
    let Some(act) = &done.act else {
        return Ok(writeln!(out, "Nothing fits: nothing was {}.", wording.done)?);
    };
    let mut rows = vec![
        vec![wording.done.to_owned(), count(done.count as usize, "record")],
        vec!["indices".to_owned(), done.indices.clone()],
        vec!["act".to_owned(), format!("{} (leaf {})", act.id, act.index)],
        vec!["time".to_owned(), act.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()],
    ];
    rows.extend(wording.order.output.as_ref().map(|path| vec!["certificate".to_owned(), path.display().to_string()]));
    table(out, &[], &rows)?;
    writeln!(out, "\n{}", wording.means)?;
    if !done.wiped && wording.done == "erased" {
        writeln!(out, "Another process is reading the database: its write-ahead log is cut off as soon as that one is done.")?;
    }
    match (&done.certificate, &wording.order.output) {
        (Some(certificate), None) => writeln!(out, "\n{certificate}")?,
        (Some(_), Some(_)) => {}
        (None, _) => writeln!(out, "The certificate could not be made; `log prove {}` proves the act.", act.index)?,
    }
    Ok(())
}

fn done_json(done: &Done) -> Value {
    json!({
        "dry_run": false,
        "count": done.count,
        "indices": done.indices,
        "more": done.more,
        "wiped": done.wiped,
        "act": done.act.as_ref().map(|act| json!({ "id": act.id.to_string(), "idx": act.index, "t": act.time.to_string() })),
        "certificate": done.certificate,
    })
}

/// A new file for a certificate, for the operator's eyes: it holds the salt of the reference.
fn certificate_file(path: &Path) -> Result<(PathBuf, fs::File), LogCliError> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = made.map_err(|source| LogCliError::File { file: path.to_owned(), source })?;
    Ok((path.to_owned(), file))
}

// === whose ===

fn whose(args: &WhoseArgs, reader: &Reader) -> Result<Whose, LogCliError> {
    match (&args.subject, &args.receipt) {
        (Some(subject), _) => Ok(Whose::Subject(subject.encode())),
        (None, Some(file)) => of_receipt(file, reader),
        (None, None) => Err(LogError::BadOrder("name the visitor with --subject or --receipt".to_owned()).into()),
    }
}

/// Who a receipt is about. What it says is only believed where it is what the log has committed to, be the record
/// erased or not.
fn of_receipt(file: &Path, reader: &Reader) -> Result<Whose, LogCliError> {
    let text = fs::read_to_string(file).map_err(|source| LogCliError::Unreadable { file: file.to_owned(), source })?;
    let none = |why: &str| LogCliError::Receipt { file: file.to_owned(), why: why.to_owned() };
    let receipt = HeldReceipt::parse(&text).map_err(|fault| none(&fault.to_string()))?;
    match reader.visitor_of(&receipt) {
        Ok(Visitor::Subject(subject)) => Ok(Whose::Subject(subject.encode())),
        Ok(Visitor::Record(id)) => Ok(Whose::Record(id)),
        Err(LogError::NotFound { .. }) => Err(none("the log has nothing, or something else, under its id")),
        Err(error) => Err(error.into()),
    }
}

// === retain ===

pub(super) fn retain(args: &Retain, log: &LogArgs, desk: &Desk<'_>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let keep = Keep { months_max: args.keep, ..in_force(log)? };
    let mut acts = Vec::new();
    let (mut records, mut more) = (0, true);
    let mut progress = super::Progress::new(streams.err, streams.err_is_terminal);
    while more {
        let done = desk.order(What::Retain(keep.clone()), args.dry_run)?;
        records += done.count;
        more = done.more && !args.dry_run;
        progress.tell(records, records + u64::from(more));
        acts.push(done);
    }
    drop(progress);
    let beyond = args.dry_run && acts.iter().any(|done| done.more);
    let out = &mut *streams.out;
    if args.json {
        let acts: Vec<Value> = acts.iter().filter(|done| done.count > 0).map(done_json).collect();
        let value = json!({ "dry_run": args.dry_run, "count": records, "more": beyond, "acts": acts });
        return Ok(writeln!(out, "{value:#}")?);
    }
    let said = if args.dry_run { "would be deleted" } else { "deleted" };
    if records == 0 {
        return Ok(writeln!(out, "No record's time has passed.")?);
    }
    let rows: Vec<Vec<String>> = acts
        .iter()
        .filter(|done| done.count > 0)
        .map(|done| {
            let act = done.act.as_ref().map_or("-".to_owned(), |act| act.index.to_string());
            vec![act, done.count.to_string(), done.indices.clone()]
        })
        .collect();
    table(out, &["act", "records", "indices"], &rows)?;
    let least = if beyond { "at least " } else { "" };
    Ok(writeln!(out, "\n{least}{} {said}; restricted ones are kept.", count(records as usize, "record"))?)
}

/// How long the policies of the configuration keep records now; without a configuration each record's own policy,
/// which stands in the log, says so.
fn in_force(log: &LogArgs) -> Result<Keep, LogCliError> {
    if log.data.is_some() {
        return Ok(Keep::default());
    }
    let (config, _) = load_config(log.config.as_deref()).map_err(LogCliError::Policies)?;
    let mut policies = Vec::new();
    for site in &config.sites {
        let sources = read_policies(site.policies.as_deref()).map_err(LogCliError::Policies)?;
        policies.push(Policy::compile(&sources).map_err(LogCliError::Policies)?.0);
    }
    Ok(Keep::under(policies.iter().map(Policy::regime)))
}
