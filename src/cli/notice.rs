//! `consentry notice list | show | diff`: what visitors were shown, word for word.

use std::{collections::BTreeMap, io, path::PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failed, log};
use crate::consent_log::Reader;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The data folder of the gate
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "config")]
    pub(super) data: Option<PathBuf>,
    /// The configuration that names the data folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Every notice, since when, and how often it was answered
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the page part as it was shown: markup, or with --json everything it was made from
    Show {
        /// The first digits of its address
        #[arg(value_name = "SHA256")]
        notice: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What is different between two notices
    Diff {
        /// The first digits of the older one's address
        #[arg(value_name = "SHA256")]
        old: String,
        /// The first digits of the newer one's address
        #[arg(value_name = "SHA256")]
        new: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, data: &std::path::Path, streams: &mut log::Streams<'_>) -> Result<(), Failed> {
    let done = tell(args, data, streams);
    match done {
        Err(Failed::Working(error))
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn tell(args: &Args, data: &std::path::Path, streams: &mut log::Streams<'_>) -> Result<(), Failed> {
    let reader = Reader::open(data).map_err(working)?;
    match &args.command {
        Command::List { json } => list(&reader, *json, streams),
        Command::Show { notice, json } => {
            let shown = reader.notice(notice).map_err(working)?;
            match json {
                true => {
                    let all = json!({ "sha256": shown.sha256.to_string(), "idx": shown.index, "snapshot": shown.snapshot, "html": shown.html });
                    writeln!(streams.out, "{all:#}")
                }
                false => writeln!(streams.out, "{}", shown.html),
            }
            .map_err(working)
        }
        Command::Diff { old, new, json } => {
            let (old, new) = (reader.notice(old).map_err(working)?, reader.notice(new).map_err(working)?);
            let changes = changes(&old.snapshot, &new.snapshot);
            differences(&changes, old.html != new.html, *json, streams)
        }
    }
}

fn list(reader: &Reader, as_json: bool, streams: &mut log::Streams<'_>) -> Result<(), Failed> {
    let mut progress = log::Progress::new(streams.err, streams.err_is_terminal);
    let all = reader.notices(&mut |done, of| progress.tell(done, of)).map_err(working)?;
    drop(progress);
    if as_json {
        let all: Vec<Value> = all
            .iter()
            .map(|one| {
                json!({
                    "sha256": one.sha256.to_string(), "idx": one.index, "since": one.since.to_string(), "lang": one.language,
                    "layer": one.layer, "decisions": one.decisions, "last": one.last.map(|time| time.to_string()),
                })
            })
            .collect();
        return writeln!(streams.out, "{:#}", json!(all)).map_err(working);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let day = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
            vec![
                one.index.to_string(),
                one.sha256.short(),
                one.language.clone(),
                one.layer.clone(),
                day(one.since),
                one.decisions.to_string(),
                one.last.map_or("-".to_owned(), day),
            ]
        })
        .collect();
    if rows.is_empty() {
        return writeln!(streams.out, "There is no notice in the log.").map_err(working);
    }
    log::table(streams.out, &["idx", "notice", "lang", "layer", "since", "decisions", "last"], &rows).map_err(working)
}

/// A place in a notice, and what stood and stands there.
type Changes = BTreeMap<String, (Option<String>, Option<String>)>;

fn changes(old: &Value, new: &Value) -> Changes {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", old, &mut before);
    flatten("", new, &mut after);
    let places = before.keys().chain(after.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
    let pair = |place: String| {
        let both = (before.get(&place).cloned(), after.get(&place).cloned());
        (both.0 != both.1).then_some((place, both))
    };
    places.into_iter().filter_map(pair).collect()
}

/// Every text and number under its path. Members of a list that have an id stand under that: one that is added
/// in front does not make all behind it different.
fn flatten(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| flatten(&format!("{path}/{name}"), member, all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| {
            let name = item["id"].as_str().map_or_else(|| at.to_string(), str::to_owned);
            flatten(&format!("{path}/{name}"), item, all);
        }),
        Value::String(text) => drop(all.insert(path.to_owned(), text.clone())),
        Value::Null => {}
        other => drop(all.insert(path.to_owned(), other.to_string())),
    }
}

fn differences(changes: &Changes, markup: bool, as_json: bool, streams: &mut log::Streams<'_>) -> Result<(), Failed> {
    let out = &mut *streams.out;
    if as_json {
        let all: Vec<Value> =
            changes.iter().map(|(place, (old, new))| json!({ "place": place, "old": old, "new": new })).collect();
        return writeln!(out, "{:#}", json!({ "markup": markup, "changes": all })).map_err(working);
    }
    let mut write = || -> io::Result<()> {
        for (place, (old, new)) in changes {
            writeln!(out, "{place}")?;
            old.iter().try_for_each(|old| writeln!(out, "  - {old}"))?;
            new.iter().try_for_each(|new| writeln!(out, "  + {new}"))?;
        }
        match (changes.is_empty(), markup) {
            (true, false) => writeln!(out, "Both are the same, word for word."),
            (true, true) => writeln!(out, "The words are the same; the markup is not."),
            _ => Ok(()),
        }
    };
    write().map_err(working)
}

fn working(error: impl Into<anyhow::Error>) -> Failed {
    Failed::Working(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_compared_by_their_id_and_texts_by_their_place() {
        let old =
            json!({ "texts": { "title": "Cookies?" }, "vendors": [{ "id": "a", "name": "A" }, { "id": "b", "name": "B" }] });
        let new = json!({ "texts": { "title": "May we?" }, "vendors": [{ "id": "c", "name": "C" }, { "id": "a", "name": "A" }] });
        let found: Vec<(String, Option<String>, Option<String>)> =
            changes(&old, &new).into_iter().map(|(place, (old, new))| (place, old, new)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("/texts/title".to_owned(), text("Cookies?"), text("May we?")),
                ("/vendors/b/id".to_owned(), text("b"), None),
                ("/vendors/b/name".to_owned(), text("B"), None),
                ("/vendors/c/id".to_owned(), None, text("c")),
                ("/vendors/c/name".to_owned(), None, text("C")),
            ]
        );
        assert!(changes(&new, &new).is_empty());
    }
}
