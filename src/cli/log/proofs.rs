//! `consentry log verify` and `prove`.

use std::fs;

use serde_json::json;

use super::{
    LogCliError, Progress, Streams,
    args::{Prove, Verify},
    leaf_json,
    table::table,
};
use crate::{
    cli::count,
    consent_log::{Reader, Verified},
};

pub(super) fn verify(args: &Verify, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let held = args
        .from_checkpoint
        .as_ref()
        .map(|file| fs::read_to_string(file).map_err(|source| LogCliError::Unreadable { file: file.clone(), source }));
    let held = held.transpose()?;
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let verified = reader.verify(held.as_deref(), &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    if args.json {
        writeln!(streams.out, "{:#}", verified_json(&verified))?;
    } else {
        told(&verified, held.is_some(), streams)?;
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
