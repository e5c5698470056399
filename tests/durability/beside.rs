//! Beside a running gate: a second one on the same folder, which is told so, and every command.

use std::{
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::{
    ending::id,
    gate::{CONSENTRY, Gate, Start, assert_whole, command, data_folder, exported, site},
    killed::{decide_until, wait_for},
};

#[test]
fn a_second_gate_is_told_who_has_the_folder_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let (data, upstream) = (data_folder(&folder), site());
    let mut first = Gate::start(Command::new("env"), &data, upstream);
    let mut acks = vec![id(&first.choose("accept_all", ""))];
    let second = || Start { under: Command::new("env"), data: &data, beside: other.path(), upstream, limits: "" };
    let mut refused = second().spawn();
    assert_eq!(refused.ended(), Some(1));
    let said = refused.said();
    let named = format!("in use by another consentry (process {})", first.process.id());
    assert!(said.contains(&named) && said.contains("--data"), "{said}");
    acks.push(id(&first.choose("accept_all", "")));
    assert_whole(&data, &acks);
    // A killed process holds nothing.
    first.kill();
    let second = second().ready();
    acks.push(id(&second.choose("accept_all", "")));
    assert_whole(&data, &acks);
}

/// Every command of `log` and `notice` that there is, while many decide.
#[test]
fn every_command_works_while_the_gate_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, upstream) = (data_folder(&folder), site());
    let gate = Gate::start(Command::new("env"), &data, upstream);
    let (record, erased) = (id(&gate.choose("accept_all", "")), id(&gate.choose("accept_all", "")));
    let leaves: Vec<Value> = exported(&data).lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let visitor = |record: &str| {
        let leaf = leaves.iter().find(|leaf| leaf["id"] == record).expect("it is there");
        format!("--subject={}", leaf["sub"].as_str().expect("a visitor"))
    };
    let notice = leaves.iter().find_map(|leaf| leaf["notice"].as_str()).expect("a notice");
    let (visitor, forgotten) = (visitor(&record), visitor(&erased));
    let (bundle, backup) =
        (folder.path().join("bundle").display().to_string(), folder.path().join("backup").display().to_string());
    let known: &[&[&str]] = &[
        &["log", "export", "--format", "jsonl"],
        &["log", "export", "--format", "csv"],
        &["log", "find"],
        &["log", "show", &record],
        &["log", "stats"],
        &["log", "prove", &record],
        &["log", "verify"],
        &["log", "access", &visitor],
        &["log", "state", &visitor],
        &["log", "article30"],
        &["log", "restrict", &visitor],
        &["log", "restrict", "--lift", &visitor],
        &["log", "retain"],
        &["log", "erase", &forgotten],
        &["log", "bundle", "-o", &bundle],
        &["log", "backup", &backup],
        &["notice", "list"],
        &["notice", "show", notice],
        &["notice", "diff", notice, notice],
    ];
    // They put other files in place of those that the gate has open.
    let refused: &[&[&str]] = &[&["log", "restore", &backup], &["log", "rotate-key"]];
    let there: Vec<String> = ["log", "notice"]
        .into_iter()
        .flat_map(|room| commands(room).into_iter().map(move |word| format!("{room} {word}")))
        .collect();
    let is_there = |words: &&&[&str]| there.contains(&words[..2].join(" "));
    let (done, acks) = (AtomicBool::new(false), Mutex::new(vec![record.clone()]));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| decide_until(&done, gate.address, &acks));
        }
        wait_for(&acks, 8);
        let told = |words: &&[&str]| (format!("{words:?}"), command(words, &data));
        let wrong: Vec<String> = (known.iter().filter(is_there).map(told).filter(|(_, told)| told.0 != Some(0)))
            .chain(refused.iter().filter(is_there).map(told).filter(|(_, told)| told.0 == Some(0) || !told.2.contains("in use")))
            .map(|(words, told)| format!("{words}: {told:?}"))
            .collect();
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
    let tried = |command: &&String| known.iter().chain(refused).any(|words| words[..2].join(" ") == **command);
    let untried: Vec<&String> = there.iter().filter(|command| !tried(command)).collect();
    assert!(untried.is_empty(), "add these commands to this test: {untried:?}");
    assert_whole(&data, &acks.into_inner().expect("no client panicked"));
}

/// The commands that the help lists.
fn commands(room: &str) -> Vec<String> {
    let help = Command::new(CONSENTRY).args([room, "--help"]).output().expect("the program under test");
    let text = String::from_utf8(help.stdout).expect("it is UTF-8");
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that goes on over the next line stands further in.
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").map(str::to_owned).collect()
}
