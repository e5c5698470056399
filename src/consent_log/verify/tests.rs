//! A log as it was written verifies; one in which anything was changed does not, and says where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::types::Value as Sql;
use tempfile::TempDir;

use super::*;
use crate::{
    consent_log::{
        ConsentLog, KEY_FILE, Options, Order, Record, Synchronous, What, Whose, Why,
        canonical::canonical,
        commitment, record_id,
        tests::{folder, ready, record, small, sql},
    },
    vocab::SubjectId,
};

/// A log of a policy, a notice and `decisions` decisions, every second of them a withdrawal of the one before;
/// in batches as they come.
async fn written(decisions: u64) -> TempDir {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    decide(&log, decisions).await;
    log.close().await;
    dir
}

async fn decide(log: &ConsentLog, decisions: u64) {
    let mut prev = None;
    for at in 0..decisions {
        let time = record().time + jiff::SignedDuration::from_secs(at as i64);
        let withdraws = at % 2 == 1;
        let own = Record {
            id: record_id(time),
            time,
            subject: Some(SubjectId([u8::try_from(at / 2 % 200).unwrap_or(0); 16])),
            kind: if withdraws { Kind::Withdrawn } else { Kind::Partial },
            prev: prev.filter(|_| withdraws),
            ..record()
        };
        prev = Some(own.id);
        log.append(own).await.expect("a decision");
    }
}

/// A log of visitors with two decisions each, of whom one was erased and one is restricted; and one was read.
async fn acted(decisions: u64) -> TempDir {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    decide(&log, decisions).await;
    let whose = |number| Whose::Subject(SubjectId([number; 16]).encode());
    let why = Why { reason: "request".to_owned(), reference: None };
    for what in [
        What::Erase { whose: whose(0), why: why.clone(), restricted: false },
        What::Restrict { whose: whose(1), why },
        What::Read { command: "find".to_owned(), rows: Some(1) },
    ] {
        log.carry_out(Order { operator: "anna".to_owned(), what, dry_run: false }).await.expect("done");
    }
    log.close().await;
    dir
}

/// Changes an act's bytes together with its leaf, as somebody with the database would.
fn forged(dir: &Path, index: u64, from: &str, to: &str) -> Vec<Finding> {
    rewrite(dir, index, |value| {
        let text = value.to_string().replace(from, to);
        *value = serde_json::from_str(&text).expect("JSON");
    });
    findings(dir)
}

#[tokio::test]
async fn what_is_missing_without_an_act_is_named_and_so_is_an_act_that_lies() {
    let tamper = async |sql_text: &str| {
        let dir = acted(5).await;
        sql(dir.path()).execute_batch(sql_text).expect("sabotage");
        findings(dir.path())
    };
    let at = |found: &[Finding], index: u64, what: &str| {
        assert!(found.iter().any(|finding| finding.index == index && finding.what.contains(what)), "{index} {what}: {found:#?}");
        assert_eq!(found[0].index, index, "the first bad one is named first: {found:#?}");
    };
    // 0 policy, 1 notice, 2 and 3 erased, 4 and 5 restricted, 6 a third visitor's; 7 erase, 8 restrict, 9 read.
    let verified = verify(acted(5).await.path()).expect("readable");
    assert_eq!((verified.findings.len(), verified.leaves, verified.records, verified.erased, verified.acts), (0, 10, 3, 2, 3));

    let of = |index: u64| format!("(SELECT event_id FROM leaf WHERE idx = {index})");
    let delete = format!("DELETE FROM payload WHERE event_id = {}", of(6));
    at(&tamper(&delete).await, 6, "its record is missing");
    let marked = format!("{delete}; INSERT INTO erased (event_id, act) VALUES ({}, 7)", of(6));
    at(&tamper(&marked).await, 6, "no act behind it says that it was erased");
    at(&tamper(&marked.replace(", 7)", ", 9)")).await, 6, "no act behind it says");
    at(&tamper(&format!("DELETE FROM erased WHERE event_id = {}", of(3))).await, 3, "its record is missing");
    at(&tamper(&format!("UPDATE erased SET act = 8 WHERE event_id = {}", of(3))).await, 3, "the tables do not say so");
    at(&tamper("INSERT INTO erased (event_id, act) VALUES (zeroblob(16), 7)").await, 7, "not in the log");
    at(&tamper(&format!("INSERT INTO erased (event_id, act) VALUES ({}, 7)", of(6))).await, 6, "its record is there");
    at(&tamper(&format!("DELETE FROM restricted WHERE event_id = {}", of(5))).await, 5, "the tables do not say so");
    at(&tamper(&format!("INSERT INTO restricted (event_id, act) VALUES ({}, 8)", of(6))).await, 6, "no act says so");
    at(&tamper("INSERT INTO restricted (event_id, act) VALUES (zeroblob(16), 8)").await, 8, "not in the log");
    // An act that is deleted like a record.
    at(&tamper(&format!("DELETE FROM payload WHERE event_id = {}", of(7))).await, 2, "no act behind it says");

    for (from, to, index, what) in [
        ("2-3", "2-2", 7, "cannot be read"),
        ("\"2-3\"", "\"3-4\"", 2, "no act behind it says"),
        ("2-3", "8-9", 2, "no act behind it says"),
        ("2-3", "0-1", 2, "no act behind it says"),
        ("\"act\":\"erase\"", "\"act\":\"restrict\"", 2, "no act behind it says"),
    ] {
        let dir = acted(5).await;
        let found = forged(dir.path(), 7, from, to);
        assert!(found.iter().any(|finding| finding.index == index && finding.what.contains(what)), "{from} {to}: {found:#?}");
        assert!(found.iter().any(|finding| finding.what.contains("another root")), "{from} {to}: {found:#?}");
    }
    let dir = acted(5).await;
    let found = forged(dir.path(), 7, "\"2-3\"", "\"2-9\"");
    assert!(found.iter().any(|finding| finding.index == 7), "{found:#?}");
}

fn verify(dir: &Path) -> Result<Verified, LogError> {
    Reader::open(dir)?.verify(None, &mut |_, _| {})
}

/// What verification says of a log that was changed: findings, or why it cannot be read at all.
fn findings(dir: &Path) -> Vec<Finding> {
    match verify(dir) {
        Ok(verified) => verified.findings,
        Err(error) => vec![Finding { index: 0, what: crate::wire::Causes(&error).to_string() }],
    }
}

#[tokio::test]
async fn a_log_as_it_was_written_verifies_and_every_record_is_proved() {
    let dir = written(600).await;
    let verified = verify(dir.path()).expect("a readable log");
    assert_eq!(verified.findings, []);
    assert_eq!((verified.leaves, verified.records), (602, 600));
    assert!(verified.checkpoints >= 1 && verified.tiles >= 7, "{verified:?}");
    let key = Verifier::parse(&verified.key.expect("a key")).expect("a key that others read");
    let reader = Reader::open(dir.path()).expect("a log");
    for index in [0, 1, 2, 255, 256, 511, 512, 601] {
        let proof = reader.prove(&index.to_string()).expect("a proof");
        let receipt = Receipt::parse(&proof.receipt.to_string()).expect("its own form");
        let checkpoint = receipt.check(&proof.leaf.commitment, &key).expect("it is proved");
        assert_eq!((checkpoint.size, Some(checkpoint.root)), (602, verified.root));
    }
    assert!(reader.prove("602").is_err());
}

#[tokio::test]
async fn the_log_grows_from_what_was_signed_before() {
    let dir = written(3).await;
    let old = Reader::open(dir.path()).expect("a log").newest_checkpoint().expect("readable").expect("a checkpoint");
    let log = ConsentLog::open(dir.path(), small()).expect("the same log");
    assert_eq!(log.checkpoint().as_deref(), Some(old.note.as_str()));
    decide(&log, 300).await;
    assert_ne!(log.checkpoint().as_deref(), Some(old.note.as_str()));
    let verified = Reader::open(dir.path()).expect("a log").verify(Some(&old.note), &mut |_, _| {}).expect("readable");
    assert_eq!(verified.findings, [], "while the log is open");
    log.close().await;
    // Whoever read this one has looked for its partial tiles after the full ones took their place.
    fs::write(dir.path().join(TILES).join("checkpoint"), &old.note).expect("writable");
    let verified = Reader::open(dir.path()).expect("a log").verify(None, &mut |_, _| {}).expect("readable");
    assert!(verified.findings.is_empty() && verified.tiles > 0, "{verified:?}");
    let other = written(3).await;
    let foreign = Reader::open(other.path()).expect("a log").newest_checkpoint().expect("readable").expect("a checkpoint");
    let verified = Reader::open(dir.path()).expect("a log").verify(Some(&foreign.note), &mut |_, _| {}).expect("readable");
    assert_eq!(verified.findings.len(), 1, "{verified:?}");
}

/// Every value of a table: row id, column, value.
fn values(conn: &rusqlite::Connection, table: &str) -> Vec<(i64, String, Sql)> {
    let mut statement = conn.prepare(&format!("SELECT rowid AS row, * FROM {table}")).expect("a table");
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([]).expect("rows");
    let mut all = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let id: i64 = row.get(0).expect("a row id");
        all.extend(names.iter().enumerate().skip(1).map(|(at, name)| (id, name.clone(), row.get(at).expect("a value"))));
    }
    all
}

/// Every way to change one byte, or a number by one, or to leave something out.
fn changed(value: &Sql) -> Vec<Sql> {
    let flipped = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let flip = |at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        (0..bytes.len()).map(flip).collect()
    };
    match value {
        Sql::Null => vec![Sql::Integer(1), Sql::Blob(vec![1; 16]), Sql::Text("x".to_owned())],
        Sql::Integer(number) => vec![Sql::Integer(number + 1), Sql::Integer(number - 1)],
        Sql::Real(_) => Vec::new(),
        Sql::Blob(bytes) => flipped(bytes).into_iter().map(Sql::Blob).collect(),
        Sql::Text(text) => {
            flipped(text.as_bytes()).into_iter().filter_map(|bytes| String::from_utf8(bytes).ok().map(Sql::Text)).collect()
        }
    }
}

#[tokio::test]
async fn every_byte_of_every_table_counts() {
    let dir = acted(3).await;
    assert_eq!(findings(dir.path()), []);
    let conn = sql(dir.path());
    conn.pragma_update(None, "foreign_keys", false).expect("a setting");
    let (mut tried, mut refused) = (0, 0);
    for table in ["leaf", "payload", "notice", "policy_revision", "checkpoint", "erased", "restricted"] {
        for (row, column, value) in values(&conn, table) {
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2");
            for other in changed(&value) {
                // What the table's own rules forbid cannot be in a file that verification reads.
                let Ok(1) = conn.execute(&update, rusqlite::params![other, row]) else {
                    refused += 1;
                    continue;
                };
                tried += 1;
                let found = findings(dir.path());
                assert!(!found.is_empty(), "{table}.{column} of row {row}: {value:?} became {other:?}");
                // A key that moved has taken its row along.
                let key: i64 = if matches!((table, column.as_str()), ("leaf", "idx") | ("checkpoint", "size")) {
                    let Sql::Integer(moved) = other else { continue };
                    moved
                } else {
                    row
                };
                conn.execute(&update, rusqlite::params![value, key]).expect("it goes back");
            }
        }
    }
    assert_eq!(findings(dir.path()), [], "as it was");
    assert!(tried > 2_000 && refused < tried / 4, "{tried} changes, {refused} refused by the tables");
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, all) } else { all.push(path) }
    }
}

#[tokio::test]
async fn every_byte_of_every_published_file_counts() {
    let dir = written(300).await;
    let mut all = Vec::new();
    files(&dir.path().join(TILES), &mut all);
    assert!(all.len() >= 6, "{all:?}");
    for file in all {
        let bytes = fs::read(&file).expect("a file");
        // Tiles are long and all alike: some of their bytes, every one of the short files.
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(100)) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            fs::write(&file, &other).expect("writable");
            assert!(!findings(dir.path()).is_empty(), "{} byte {at}", file.display());
        }
        fs::remove_file(&file).expect("removable");
        let optional = file.ends_with("checkpoint") || file.to_string_lossy().contains(".p/");
        assert!(optional || !findings(dir.path()).is_empty(), "{} is gone", file.display());
        fs::write(&file, &bytes).expect("writable");
    }
    assert_eq!(findings(dir.path()), [], "as it was");
}

/// Changes a record together with its leaf, as somebody would who knows how the log is made.
fn rewrite(dir: &Path, index: u64, change: impl Fn(&mut serde_json::Value)) {
    let conn = sql(dir);
    let (id, salt, text): (Vec<u8>, [u8; 32], String) = conn
        .query_row(
            "SELECT event_id, salt, record FROM payload JOIN leaf USING (event_id) WHERE idx = ?1",
            [index as i64],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("a record");
    let mut value = serde_json::from_str(&text).expect("JSON");
    change(&mut value);
    let text = canonical(&value).expect("canonical");
    let hash = commitment(&salt, text.as_bytes());
    conn.execute("UPDATE payload SET record = ?1 WHERE event_id = ?2", rusqlite::params![text, id]).expect("an update");
    conn.execute("UPDATE leaf SET commitment = ?1 WHERE event_id = ?2", rusqlite::params![hash.0, id]).expect("an update");
}

#[tokio::test]
async fn a_record_rewritten_with_its_leaf_is_seen_by_the_next_checkpoint() {
    let dir = written(5).await;
    rewrite(dir.path(), 3, |value| value["p"]["analytics"] = serde_json::json!(1));
    let found = findings(dir.path());
    assert!(found.iter().any(|finding| finding.index == 3 && finding.what.contains("another root")), "{found:#?}");
    assert!(matches!(ConsentLog::open(dir.path(), small()), Err(LogError::Fork { .. })), "nothing is added to it");
}

#[tokio::test]
async fn dropped_reordered_and_cut_leaves_are_seen() {
    let dir = written(6).await;
    let old = Reader::open(dir.path()).expect("a log").newest_checkpoint().expect("readable").expect("a checkpoint").note;
    let copy = |from: &Path| {
        let to = folder();
        for name in [crate::consent_log::FILE, KEY_FILE] {
            fs::copy(from.join(name), to.path().join(name)).expect("a copy");
        }
        to
    };

    let dropped = copy(dir.path());
    sql(dropped.path()).execute("DELETE FROM leaf WHERE idx = 4", []).expect("a delete");
    let found = findings(dropped.path());
    assert_eq!(found[0], Finding { index: 4, what: Damage::Gap.to_string() }, "{found:#?}");

    let reordered = copy(dir.path());
    sql(reordered.path())
        .execute_batch("UPDATE leaf SET idx = 100 WHERE idx = 4; UPDATE leaf SET idx = 4 WHERE idx = 5; UPDATE leaf SET idx = 5 WHERE idx = 100")
        .expect("an update");
    assert!(findings(reordered.path()).iter().any(|finding| finding.index == 4), "the checkpoint over the fifth leaf");

    // Together with the checkpoints, by somebody who knows: only who holds an earlier one can tell.
    let cut = copy(dir.path());
    sql(cut.path())
        .execute_batch(
            "DELETE FROM payload WHERE event_id IN (SELECT event_id FROM leaf WHERE idx >= 6);
             DELETE FROM leaf WHERE idx >= 6; DELETE FROM checkpoint WHERE size > 6",
        )
        .expect("a delete");
    assert_eq!(findings(cut.path()), [], "a shorter log is a log");
    let held = Reader::open(cut.path()).expect("a log").verify(Some(&old), &mut |_, _| {}).expect("readable");
    assert_eq!(held.findings.len(), 1, "{held:?}");
    assert!(held.findings[0].index == 6 && held.findings[0].what.contains("cut off"), "{held:?}");
    // And who still has what was published: the gate itself.
    fs::create_dir(cut.path().join(TILES)).expect("a folder");
    fs::copy(dir.path().join(TILES).join("checkpoint"), cut.path().join(TILES).join("checkpoint")).expect("a copy");
    assert!(findings(cut.path()).iter().any(|finding| finding.what.contains("cut off")));
    assert!(matches!(ConsentLog::open(cut.path(), small()), Err(LogError::Fork { size: 8, .. })));
}

#[tokio::test]
async fn a_log_without_a_tree_gets_one_when_it_is_opened() {
    let dir = written(3).await;
    sql(dir.path())
        .execute_batch("DROP TABLE checkpoint; DROP TABLE erased; DROP TABLE restricted; DROP TABLE impression; DROP INDEX payload_expires; UPDATE meta SET value = 1 WHERE key = 'format'")
        .expect("as it was before");
    fs::remove_dir_all(dir.path().join(TILES)).expect("as it was before");
    fs::remove_file(dir.path().join(KEY_FILE)).expect("as it was before");
    assert!(findings(dir.path()).iter().any(|finding| finding.what.contains("no checkpoint")));
    ConsentLog::open(dir.path(), Options { synchronous: Synchronous::Full, ..small() }).expect("an older log").close().await;
    assert_eq!(findings(dir.path()), []);
}
