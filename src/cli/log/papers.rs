//! `consentry log access | state | article30`: what is handed to a visitor, a data protection officer, an authority.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    LogCliError, Streams,
    args::{Access, AccessFormat, Article30, StateArgs, WhoseArgs},
    rights::Desk,
    table::table,
};
use crate::{
    consent_log::{HeldReceipt, Reader, Visitor},
    notice::{access_languages, access_page},
};

pub(super) fn access(args: &Access, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let visitor = visitor(&args.visitor, reader)?;
    let data = reader.access(&visitor, Timestamp::now())?;
    let records = data["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let newest = records.last().and_then(|record| record["language"].as_str()).unwrap_or("en").to_owned();
    let rows = records.len() as u64;
    let text = match args.format {
        AccessFormat::Json => format!("{data:#}\n"),
        AccessFormat::Html => {
            let known = access_languages();
            let built_in = |tag: &str| known.iter().find(|known| *known == tag || tag.split('-').next() == Some(known));
            let language = args.lang.as_deref().unwrap_or(&newest).to_lowercase();
            if args.lang.is_some() && built_in(&language).is_none() {
                writeln!(streams.err, "consentry: there is no `{language}` here, English is taken; known: {}", known.join(", "))?;
            }
            access_page(built_in(&language).map_or("en", String::as_str), &data).map_err(LogCliError::Page)?
        }
    };
    desk.record_read("access", Some(rows), streams);
    let Some(file) = &args.output else { return Ok(streams.out.write_all(text.as_bytes())?) };
    let failed = |source| LogCliError::File { file: file.clone(), source };
    // Personal data: nobody else on the machine reads it.
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).map_err(failed)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    if streams.err_is_terminal {
        writeln!(streams.err, "{} written to {}", crate::cli::count(records.len(), "record"), file.display())?;
    }
    Ok(())
}

/// The visitor that is meant; a receipt must be one of this very log.
fn visitor(args: &WhoseArgs, reader: &Reader) -> Result<Visitor, LogCliError> {
    if let Some(subject) = args.subject {
        return Ok(Visitor::Subject(subject));
    }
    let file = args.receipt.clone().unwrap_or_default();
    let text = fs::read_to_string(&file).map_err(|source| LogCliError::Unreadable { file: file.clone(), source })?;
    let receipt = HeldReceipt::parse(&text).map_err(|fault| LogCliError::Receipt { file, why: fault.to_string() })?;
    Ok(reader.visitor_of(&receipt)?)
}

pub(super) fn state(args: &StateArgs, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let at = args.at.unwrap_or_else(Timestamp::now);
    let in_force = reader.state(&visitor(&args.visitor, reader)?, at)?;
    desk.record_read("state", Some(u64::from(!in_force.is_empty())), streams);
    let out = &mut *streams.out;
    if args.json {
        let all = in_force.iter().map(|one| {
            json!({
                "purpose": one.name,
                "status": one.status.as_str(),
                "since": one.since.to_string(),
                "valid_until": one.valid_until.to_string(),
                "record": one.record.to_string(),
                "idx": one.index,
                "restricted": one.restricted,
            })
        });
        let all: Vec<Value> = all.collect();
        writeln!(out, "{:#}", json!({ "at": at.to_string(), "decided": !all.is_empty(), "purposes": all }))?;
        return Ok(());
    }
    if in_force.is_empty() {
        writeln!(out, "No decision of this visitor is on record up to then.")?;
        return Ok(());
    }
    let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let rows: Vec<Vec<String>> = in_force
        .iter()
        .map(|one| {
            let status = if one.restricted { format!("{} (restricted)", one.status) } else { one.status.to_string() };
            vec![one.name.clone(), status, time(one.since), time(one.valid_until), one.index.to_string(), one.record.to_string()]
        })
        .collect();
    table(out, &["purpose", "status", "since", "valid until", "idx", "record"], &rows)?;
    writeln!(out, "\nTimes are in UTC.")?;
    Ok(())
}

pub(super) fn article30(args: &Article30, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let entry = reader.article30(Timestamp::now())?;
    if args.json {
        writeln!(streams.out, "{entry:#}")?;
        return Ok(());
    }
    let lines = |value: &Value| match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(one) => vec![one.clone()],
        other => vec![other.to_string()],
    };
    writeln!(streams.out, "Record of processing activities (GDPR article 30): the consent log\n")?;
    for (title, name) in ARTICLE_30 {
        writeln!(streams.out, "{title}")?;
        for line in lines(&entry[name]) {
            writeln!(streams.out, "  {line}")?;
        }
    }
    Ok(())
}

/// The headings of article 30(1), each with its member.
const ARTICLE_30: [(&str, &str); 11] = [
    ("Controller (a)", "controller_lines"),
    ("Sites", "sites"),
    ("Purposes (b)", "purposes"),
    ("Legal basis (beyond article 30)", "legal_basis"),
    ("Categories of data subjects (c)", "data_subjects"),
    ("Categories of personal data (c)", "data_categories"),
    ("Recipients (d)", "recipients"),
    ("Transfers to third countries (e)", "transfers"),
    ("Time limits for erasure (f)", "retention"),
    ("Technical and organisational measures (g)", "measures"),
    ("As of", "as_of_lines"),
];
