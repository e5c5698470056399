//! `consentry log verify`, `prove` and `bundle`.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::{
    LogCliError, Progress, Streams,
    args::{Bundle, Prove, Verify},
    leaf_json,
    rights::Desk,
    table::table,
};
use crate::{
    cli::count,
    consent_log::{self, Reader, Verified},
};

pub(super) fn verify(args: &Verify, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let held = args.from_checkpoint.as_ref().map(text).transpose()?;
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let verified = reader.verify(held.as_deref(), &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    answer(&verified, args, streams)
}

pub(super) fn verify_bundle(args: &Verify, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let Some(folder) = &args.bundle else { return Ok(()) };
    let held = args.from_checkpoint.as_ref().map(text).transpose()?;
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let verified = consent_log::verify_bundle(folder, held.as_deref(), &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    answer(&verified, args, streams)
}

pub(super) fn text(file: &PathBuf) -> Result<String, LogCliError> {
    fs::read_to_string(file).map_err(|source| LogCliError::Unreadable { file: file.clone(), source })
}

fn answer(verified: &Verified, args: &Verify, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    if args.json {
        writeln!(streams.out, "{:#}", verified_json(verified))?;
    } else {
        told(verified, args.from_checkpoint.is_some(), streams)?;
    }
    match verified.findings.first() {
        None => Ok(()),
        Some(first) => Err(LogCliError::Tampered { findings: count(verified.findings.len(), "fault"), first: first.index }),
    }
}

fn told(verified: &Verified, held: bool, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let out = &mut *streams.out;
    let mut rows = vec![
        vec!["leaves".to_owned(), verified.leaves.to_string()],
        vec!["records".to_owned(), verified.records.to_string()],
        vec!["erased".to_owned(), verified.erased.to_string()],
        vec!["acts".to_owned(), verified.acts.to_string()],
        vec!["checkpoints".to_owned(), verified.checkpoints.to_string()],
        vec!["tiles".to_owned(), verified.tiles.to_string()],
    ];
    rows.extend(verified.root.map(|root| vec!["root".to_owned(), root.to_string()]));
    rows.extend(verified.key.clone().map(|key| vec!["key".to_owned(), key]));
    table(out, &[], &rows)?;
    if verified.findings.is_empty() {
        let grown = if held { " It has grown from the given checkpoint." } else { "" };
        writeln!(out, "\nEverything in the log is as it was written.{grown}")?;
    } else {
        writeln!(out)?;
        let rows: Vec<Vec<String>> =
            verified.findings.iter().map(|finding| vec![finding.index.to_string(), finding.what.clone()]).collect();
        table(out, &["index", "what is wrong"], &rows)?;
    }
    Ok(())
}

fn verified_json(verified: &Verified) -> serde_json::Value {
    let findings = verified.findings.iter().map(|finding| json!({ "index": finding.index, "what": finding.what }));
    json!({
        "intact": verified.findings.is_empty(),
        "leaves": verified.leaves,
        "records": verified.records,
        "erased": verified.erased,
        "acts": verified.acts,
        "checkpoints": verified.checkpoints,
        "tiles": verified.tiles,
        "root": verified.root.map(|root| root.to_string()),
        "key": verified.key,
        "findings": findings.collect::<Vec<_>>(),
    })
}

pub(super) fn prove(args: &Prove, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let proof = reader.prove(&args.id)?;
    let text = if args.json {
        let mut value = leaf_json(&proof.leaf);
        value["_proof"] = json!(proof.receipt.to_string());
        value["_key"] = json!(proof.key);
        format!("{value:#}\n")
    } else {
        proof.receipt.to_string()
    };
    match &args.output {
        Some(file) => fs::write(file, text).map_err(|source| LogCliError::File { file: file.clone(), source }),
        None => Ok(streams.out.write_all(text.as_bytes())?),
    }
}

pub(super) fn bundle(args: &Bundle, desk: &Desk<'_>, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    // Before the bundle is made: the act that says so is then in it.
    desk.record_read("bundle", None, streams);
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let told = reader.bundle(&args.output, &args.filter(), &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    let rows = [
        ("leaves", told.leaves),
        ("here", told.here),
        ("erased", told.erased),
        ("restricted", told.restricted),
        ("checkpoints", told.checkpoints),
        ("time stamps", told.timestamps),
    ];
    table(streams.out, &[], &rows.map(|(name, number)| vec![name.to_owned(), number.to_string()]))?;
    let folder = args.output.display();
    writeln!(streams.out, "\nWritten to {folder}. Check it with: sh {folder}/verify.sh")?;
    writeln!(streams.out, "It holds personal data: hand it over as such.")?;
    Ok(())
}
