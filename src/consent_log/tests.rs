//! The log at its door: what is acknowledged is there, verifiable, and nothing else is.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::vocab::{Hash, PolicyRevision, SubjectId};

const CANONICAL: &str = r#"{"v":"consent-policy/1"}"#;
const HTML: &str = "<p>Do you agree?</p>";

fn revision() -> PolicyRevision {
    PolicyRevision(Hash::of(CANONICAL.as_bytes()))
}

pub(super) fn policy() -> PolicyLeaf {
    let source_hashes = BTreeMap::from([("site.toml".to_owned(), Hash::of(b"site"))]);
    PolicyLeaf { revision: revision(), canonical: CANONICAL.to_owned(), source_hashes }
}

pub(super) fn notice() -> NoticeLeaf {
    let json = r#"{"texts": {"title": "Do you agree?"}, "lang": "en"}"#.to_owned();
    NoticeLeaf { sha256: Hash::of(HTML.as_bytes()), json, html: HTML.to_owned() }
}

pub(super) fn record() -> Record {
    let time: Timestamp = "2026-05-31T10:00:00.123456Z".parse().expect("a time");
    Record {
        id: record_id(time),
        prev: None,
        kind: Kind::Partial,
        time,
        expires: "2026-11-30T10:00:00.123Z".parse().expect("a time"),
        site: "shop.example".to_owned(),
        controller: "Theatre e.V.".to_owned(),
        subject: Some(SubjectId([7; 16])),
        notice: notice().sha256,
        policy: revision(),
        language: "de".to_owned(),
        layer: Layer::Banner,
        method: Method::Save,
        gpc: true,
        purposes: [("analytics", false), ("marketing", true), ("necessary", true)].map(|(id, on)| (id.to_owned(), on)).into(),
        vendors: BTreeMap::from([("tiktok".to_owned(), false)]),
        jurisdiction: "EU".to_owned(),
        regime: "eu".to_owned(),
        browser: BrowserClass::parse("chrome/desktop"),
        enforced: policy().address(),
        product: "0.1.0".to_owned(),
    }
}

pub(super) fn small() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

/// A log with a policy (0) and a notice (1) in it.
pub(super) async fn ready(dir: &Path, options: Options) -> ConsentLog {
    let log = ConsentLog::open(dir, options).expect("an empty folder");
    log.ensure_policy(&policy()).await.expect("a policy");
    log.ensure_notice(notice()).await.expect("a notice");
    log
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub(super) fn sql(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(FILE)).expect("the database")
}

fn exported(dir: &Path, filter: &Filter, format: Format) -> Result<String, LogError> {
    let mut out = Vec::new();
    Reader::open(dir)?.export(filter, format, &mut out, &mut |_, _| {})?;
    Ok(String::from_utf8(out).expect("exports are UTF-8"))
}

/// Verifies a line as somebody without this program would: cut, salt, hash, compare.
#[track_caller]
fn verified(line: &str, index: u64) -> Value {
    let value: Value = serde_json::from_str(line).expect("a line is JSON");
    assert_eq!(canonical(&value).expect("a line is canonical"), line);
    assert_eq!(value["_idx"], index);
    let salt = Hash::parse(value["_salt"].as_str().expect("a salt")).expect("a salt").0;
    let cut = line.find("\"_salt\":\"").expect("a salt") + "\"_salt\":\"".len() + 64 + "\",".len();
    let bytes = format!("{{{}", &line[cut..]);
    assert_eq!(value["_leaf"], commitment(&salt, bytes.as_bytes()).to_string());
    value
}

// === records ===

#[test]
fn a_record_has_one_form() {
    let record = record();
    let text = record.canonical();
    assert_eq!(
        text,
        format!(
            r#"{{"by":"subject","ctrl":"Theatre e.V.","enf":"{}","exp":"2026-11-30T10:00:00.123Z","id":"{}","jur":{{"area":"EU","regime":"eu"}},"kind":"partial","lang":"de","layer":"banner","method":"save","notice":"{}","p":{{"analytics":0,"marketing":1,"necessary":1}},"policy":"{}","prev":null,"sig":{{"gpc":true}},"site":"shop.example","src":{{"version":"0.1.0"}},"sub":"BwcHBwcHBwcHBwcHBwcHBw","t":"2026-05-31T10:00:00.123Z","type":"expressed","ua":"chrome/desktop","v":"consent-record/1","vd":{{"tiktok":0}}}}"#,
            record.enforced, record.id, record.notice, record.policy
        )
    );
    let read = Record::parse(text.as_bytes()).expect("its own form");
    assert_eq!(read.canonical(), text);
    for other in [
        text.replace(":", ": "),
        text.replace("\"type\":\"expressed\"", "\"type\":\"implied\""),
        text.replace("{\"by\"", "{\"a\":1,\"by\""),
        text.replace("\"marketing\":1", "\"marketing\":2"),
        text.replace("\"prev\":null,", ""),
        text.replace("10:00:00.123Z\",\"type", "12:00:00.123+02:00\",\"type"),
    ] {
        assert!(Record::parse(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn a_refusal_without_history_names_nobody() {
    let record = Record { subject: None, browser: None, kind: Kind::Refused, ..record() };
    let text = record.canonical();
    assert!(!text.contains("\"sub\""), "{text}");
    assert_eq!(Record::parse(text.as_bytes()).expect("its own form").subject, None);
}

#[test]
fn a_user_agent_string_is_no_browser_class() {
    assert!(BrowserClass::parse("firefox/mobile").is_some());
    for text in ["", "/", "chrome", "Mozilla/5.0 (X11; Linux x86_64)", "chrome/desktop/x", "aaaaaaaaaaaaaaaaaaaaaaaaaa/b"] {
        assert_eq!(BrowserClass::parse(text), None, "{text}");
    }
}

#[test]
fn a_record_id_carries_its_time() {
    let time: Timestamp = "2026-05-31T10:00:00.123Z".parse().expect("a time");
    let id = record_id(time);
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(id.get_timestamp().map(|t| t.to_unix()), Some((1_780_221_600, 123_000_000)));
    assert_ne!(record_id(time), id);
}

// === writing ===

#[tokio::test]
async fn every_leaf_from_zero_is_in_the_export() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let first = log.append(record()).await.expect("a decision");
    assert_eq!((first.index(), first.time().to_string()), (2, "2026-05-31T10:00:00.123Z".to_owned()));
    // Written once each.
    assert_eq!(log.ensure_policy(&policy()).await.expect("known"), 0);
    assert_eq!(log.ensure_notice(notice()).await.expect("known"), 1);
    // The same revision with another file is another rule set.
    let mut other = policy();
    other.source_hashes.insert("vendors/meta.toml".to_owned(), Hash::of(b"meta"));
    assert_eq!(log.ensure_policy(&other).await.expect("new"), 3);
    log.close().await;
    // Closed cleanly, the log is one file; beside it stand its key and what follows from it.
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).expect("the folder").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["consent-log", "consent-log.db", "consent-log.key", "consent-log.lock"]);

    let text = exported(dir.path(), &Filter::default(), Format::Jsonl).expect("an export");
    let lines: Vec<Value> = (0..).zip(text.lines()).map(|(index, line)| verified(line, index)).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["_kind"].as_str()).collect();
    assert_eq!(kinds, ["policy", "notice", "decision", "policy"]);
    assert_eq!(lines[0]["canonical"], CANONICAL);
    assert_eq!(lines[1]["_html"], HTML);
    assert_eq!(lines[1]["snapshot"]["texts"]["title"], "Do you agree?");
    assert_eq!(lines[2]["enf"], lines[0]["enf"]);
}

#[tokio::test]
async fn a_decision_needs_its_notice_and_policy_in_the_log() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let unknown = Hash::of(b"unknown");
    let error = log.append(Record { notice: unknown, ..record() }).await.expect_err("an unknown notice");
    assert!(matches!(error, LogError::UnknownNotice(hash) if hash == unknown), "{error}");
    let error = log.append(Record { policy: PolicyRevision(unknown), ..record() }).await.expect_err("an unknown policy");
    assert!(matches!(error, LogError::UnknownPolicy(_)), "{error}");
    // Neither took an index, and neither harmed the log.
    assert_eq!(log.append(record()).await.expect("a decision").index(), 2);
}

#[tokio::test]
async fn one_id_is_one_record() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let record = record();
    assert_eq!(log.append(record.clone()).await.expect("a decision").index(), 2);
    assert_eq!(log.append(record.clone()).await.expect("the same again").index(), 2);
    let error = log.append(Record { gpc: false, ..record.clone() }).await.expect_err("another under its id");
    assert!(matches!(error, LogError::IdTaken(id) if id == record.id), "{error}");
}

#[tokio::test]
async fn content_must_have_its_address() {
    let dir = folder();
    let log = ConsentLog::open(dir.path(), small()).expect("an empty folder");
    let error = log.ensure_notice(NoticeLeaf { sha256: Hash::of(b"other"), ..notice() }).await.expect_err("a wrong address");
    assert!(matches!(error, LogError::WrongAddress { kind: LeafKind::Notice, .. }), "{error}");
    let by_json = NoticeLeaf { sha256: Hash::of(notice().json.as_bytes()), ..notice() };
    assert_eq!(log.ensure_notice(by_json).await.expect("addressed by its data"), 0);
    let error = log.ensure_policy(&PolicyLeaf { canonical: "{}".to_owned(), ..policy() }).await.expect_err("a wrong revision");
    assert!(matches!(error, LogError::WrongAddress { kind: LeafKind::Policy, .. }), "{error}");
}

#[tokio::test]
async fn a_second_process_is_told_who_is_there() {
    let dir = folder();
    let log = ConsentLog::open(dir.path(), small()).expect("an empty folder");
    let error = ConsentLog::open(dir.path(), small()).err().expect("the folder is taken").to_string();
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    log.close().await;
    ConsentLog::open(dir.path(), small()).expect("the folder was let go");
}

#[tokio::test]
async fn nothing_is_written_below_the_reserve() {
    let dir = folder();
    ready(dir.path(), small()).await.close().await;
    let log = ConsentLog::open(dir.path(), Options { reserve_bytes: u64::MAX, ..Options::default() }).expect("a log");
    let error = log.append(record()).await.expect_err("no room");
    assert!(matches!(error, LogError::DiskReserve { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    assert!(matches!(log.health(), Health::LowDisk { .. }));
    assert_eq!(Reader::open(dir.path()).expect("a log").leaves().expect("a count"), 2);
}

#[tokio::test]
async fn a_failed_write_stops_the_log_for_good() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    assert_eq!(log.health(), Health::Ready);
    sql(dir.path()).execute_batch("ALTER TABLE payload RENAME TO away").expect("sabotage");
    let error = log.append(record()).await.expect_err("no table");
    assert!(matches!(error, LogError::WriteFailed { .. }), "{error}");
    // The cause is mended; a write would succeed; it is not tried.
    sql(dir.path()).execute_batch("ALTER TABLE away RENAME TO payload").expect("mended");
    let error = log.append(record()).await.expect_err("stopped");
    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
    assert!(matches!(log.health(), Health::Poisoned { .. }));
    assert!(matches!(log.failed().await, LogError::Poisoned { .. }), "and whoever runs it is told to end");
    log.close().await;
    let log = ConsentLog::open(dir.path(), small()).expect("a new start");
    assert_eq!(log.append(record()).await.expect("a decision").index(), 2);
}

#[tokio::test]
async fn a_full_queue_answers_at_once_and_a_dropped_caller_takes_nothing_back() {
    let dir = folder();
    let log = ready(dir.path(), Options { queue_max: 1, ..small() }).await;
    let other = sql(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("another writer");
    let (mut refused, mut sent) = (0, 0);
    while refused == 0 {
        // Polled once, then dropped: sent, with nobody waiting.
        let mut append = std::pin::pin!(log.append(record()));
        tokio::select! {
            biased;
            error = &mut append => {
                assert!(matches!(error, Err(LogError::QueueFull(1))), "{error:?}");
                refused += 1;
            }
            () = std::future::ready(()) => sent += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    other.execute_batch("ROLLBACK").expect("let go");
    log.close().await;
    assert_eq!(Reader::open(dir.path()).expect("a log").leaves().expect("a count"), 2 + sent);
    assert!(sent >= 1);
    assert!(matches!(log.append(record()).await, Err(LogError::Closed)));
    assert_eq!(log.health(), Health::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However writers interleave: indices have no gap, each acknowledged record stands at the
    /// index it was told, and every commitment verifies.
    #[test]
    fn acknowledged_is_present(writers in prop::collection::vec(1..12_usize, 1..8), batch_max in 1..40_usize) {
        let dir = folder();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let acks: Vec<Recorded> = runtime.block_on(async {
            let log = std::sync::Arc::new(ready(dir.path(), Options { batch_max, ..small() }).await);
            let tasks: Vec<_> = writers.iter().map(|&decisions| {
                let log = std::sync::Arc::clone(&log);
                tokio::spawn(async move {
                    let mut acks = Vec::new();
                    for _ in 0..decisions {
                        acks.push(log.append(record()).await.expect("a decision"));
                    }
                    acks
                })
            }).collect();
            let mut acks = Vec::new();
            for task in tasks {
                acks.append(&mut task.await.expect("a writer"));
            }
            log.close().await;
            acks
        });
        let text = exported(dir.path(), &Filter::default(), Format::Jsonl).expect("an export");
        let lines: Vec<Value> = (0..).zip(text.lines()).map(|(index, line)| verified(line, index)).collect();
        prop_assert_eq!(lines.len(), 2 + writers.iter().sum::<usize>());
        for ack in acks {
            prop_assert_eq!(&lines[ack.index() as usize]["id"], &ack.id().to_string());
        }
    }
}

// === reading ===

/// A log with decisions by two visitors on two sites over three days.
pub(crate) async fn filled(dir: &Path) -> Vec<Recorded> {
    let log = ready(dir, small()).await;
    let mut all = Vec::new();
    for (day, site, subject, kind, granted) in [
        ("2026-05-30", "a.example", Some(1), Kind::Given, true),
        ("2026-05-31", "a.example", Some(2), Kind::Given, true),
        ("2026-05-31", "b.example", None, Kind::Refused, false),
        ("2026-06-01", "a.example", Some(1), Kind::Withdrawn, false),
    ] {
        let time: Timestamp = format!("{day}T12:00:00Z").parse().expect("a time");
        let decided = Record {
            id: record_id(time),
            time,
            kind,
            prev: all.first().filter(|_| kind == Kind::Withdrawn).map(Recorded::id),
            site: site.to_owned(),
            subject: subject.map(|byte| SubjectId([byte; 16])),
            purposes: BTreeMap::from([("analytics".to_owned(), granted), ("marketing".to_owned(), granted)]),
            ..record()
        };
        all.push(log.append(decided).await.expect("a decision"));
    }
    log.close().await;
    all
}

#[tokio::test]
async fn a_filter_narrows() {
    let dir = folder();
    let all = filled(dir.path()).await;
    let reader = Reader::open(dir.path()).expect("a log");
    let check = |filter: Filter, want: &[usize]| {
        let found = reader.find(&filter, 100).expect("a search");
        let ids: Vec<_> = found.leaves.iter().map(|leaf| leaf.id).collect();
        assert_eq!(ids, want.iter().map(|&nth| all[nth].id()).collect::<Vec<_>>(), "{filter:?}");
    };
    let time = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
    check(Filter::default(), &[0, 1, 2, 3]);
    check(Filter { subject: Some(SubjectId([1; 16])), ..Filter::default() }, &[0, 3]);
    check(Filter { subject: Some(SubjectId([1; 16])), from: time("2026-05-31T00:00:00Z"), ..Filter::default() }, &[3]);
    check(Filter { site: Some("b.example".to_owned()), ..Filter::default() }, &[2]);
    check(Filter { from: time("2026-05-31T12:00:00Z"), to: time("2026-06-01T12:00:00Z"), ..Filter::default() }, &[1, 2]);
    check(Filter { purpose: Some("analytics".to_owned()), ..Filter::default() }, &[0, 1, 2, 3]);
    check(Filter { purpose: Some("functional".to_owned()), ..Filter::default() }, &[]);
    let first = reader.find(&Filter::default(), 2).expect("a search");
    assert_eq!((first.leaves.len(), first.more), (2, true));
}

#[tokio::test]
async fn one_record_is_shown_with_what_was_asked() {
    let dir = folder();
    let all = filled(dir.path()).await;
    let reader = Reader::open(dir.path()).expect("a log");
    let shown = reader.show(&all[0].id().to_string()).expect("a record");
    assert_eq!((shown.leaf.index, shown.leaf.commitment), (2, shown.recomputed));
    let notice = shown.notice.expect("the notice that was answered");
    assert_eq!((notice.index, notice.html.as_str()), (1, HTML));
    assert_eq!(reader.show("1").expect("a notice").notice.expect("itself").sha256, Hash::of(HTML.as_bytes()));
    assert!(reader.show("0").expect("a policy").notice.is_none());
    for missing in ["99", "00000000-0000-7000-8000-000000000000", "x", "18446744073709551615"] {
        assert!(matches!(reader.show(missing), Err(LogError::NotFound { .. })), "{missing}");
    }
}

#[tokio::test]
async fn counts_are_by_what_is_asked() {
    let dir = folder();
    filled(dir.path()).await;
    let reader = Reader::open(dir.path()).expect("a log");
    let count = |by: &[Group]| -> Vec<(String, [u64; 4])> {
        let stats = reader.stats(&Filter::default(), by, &mut |_, _| {}).expect("counts");
        stats.rows.iter().map(|(key, c)| (key.join(" "), [c.given, c.partial, c.refused, c.withdrawn])).collect()
    };
    assert_eq!(count(&[]), [(String::new(), [2, 0, 1, 1])]);
    assert_eq!(
        count(&[Group::Day]),
        [
            ("2026-05-30".to_owned(), [1, 0, 0, 0]),
            ("2026-05-31".to_owned(), [1, 0, 1, 0]),
            ("2026-06-01".to_owned(), [0, 0, 0, 1])
        ]
    );
    assert_eq!(
        count(&[Group::Purpose, Group::Site]),
        [
            ("analytics a.example".to_owned(), [2, 0, 0, 1]),
            ("analytics b.example".to_owned(), [0, 0, 1, 0]),
            ("marketing a.example".to_owned(), [2, 0, 0, 1]),
            ("marketing b.example".to_owned(), [0, 0, 1, 0]),
            // The one vendor that differs from its purposes in every record of this test.
            ("vendor.tiktok a.example".to_owned(), [0, 0, 2, 1]),
            ("vendor.tiktok b.example".to_owned(), [0, 0, 1, 0])
        ]
    );
}

#[tokio::test]
async fn a_table_has_a_row_for_each_purpose_and_no_formula() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let hostile = Record {
        site: "=HYPERLINK(\"x\",\"y\")".to_owned(),
        subject: SubjectId::parse("-AAAAAAAAAAAAAAAAAAAAA"),
        purposes: BTreeMap::from([("+marketing".to_owned(), true), ("analytics".to_owned(), false)]),
        ..record()
    };
    let id = log.append(hostile).await.expect("a decision").id();
    log.close().await;
    let text = exported(dir.path(), &Filter::default(), Format::Csv).expect("a table");
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "idx,id,t,kind,site,subject,purpose,choice,method,layer,lang,policy,notice_sha256,jur,exp");
    let want = format!(
        "2,{id},2026-05-31T10:00:00.123Z,partial,\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",'-AAAAAAAAAAAAAAAAAAAAA,'+marketing,1,save,banner,de,{},{},EU,2026-11-30T10:00:00.123Z",
        revision(),
        notice().sha256
    );
    assert_eq!(lines[1], want);
    assert!(lines[3].contains(",vendor.tiktok,0,save,"), "a vendor that differs has a row: {}", lines[3]);
    assert_eq!((lines.len(), lines[4]), (5, ""));
    let one = Filter { purpose: Some("analytics".to_owned()), ..Filter::default() };
    assert_eq!(exported(dir.path(), &one, Format::Csv).expect("a table").matches("\r\n").count(), 2);
}

#[tokio::test]
async fn an_export_holds_no_read_transaction_between_pages() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let records: Vec<Record> = (0..1200).map(|_| record()).collect();
    let appended = records.into_iter().map(|record| log.append(record));
    futures_util::future::join_all(appended).await.into_iter().for_each(|ack| assert!(ack.is_ok()));
    let reader = Reader::open(dir.path()).expect("a log");
    let other = sql(dir.path());
    let mut pages = 0;
    let mut progress = |_, _| {
        pages += 1;
        let busy: i64 = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
        assert_eq!(busy, 0, "the export holds the write-ahead log");
    };
    let rows = reader.export(&Filter::default(), Format::Jsonl, &mut std::io::sink(), &mut progress).expect("an export");
    assert_eq!((rows, pages), (1202, 3));
    log.close().await;
}

#[tokio::test]
async fn the_write_ahead_log_stays_short_under_load() {
    let dir = folder();
    let log = ready(dir.path(), Options { batch_max: 4, ..small() }).await;
    for _ in 0..40 {
        let appended = (0..50).map(|_| log.append(record()));
        futures_util::future::join_all(appended).await.into_iter().for_each(|ack| assert!(ack.is_ok()));
    }
    let wal = std::fs::metadata(dir.path().join("consent-log.db-wal")).expect("the write-ahead log").len();
    assert!(wal < 6 << 20, "{wal} bytes");
    log.close().await;
}

// === damage ===

#[tokio::test]
async fn damage_is_named_with_its_index() {
    #[track_caller]
    fn check(dir: &Path, index: u64, what: &str) {
        let error = exported(dir, &Filter::default(), Format::Jsonl).expect_err("damage").to_string();
        assert!(error.contains(&format!("at index {index}: ")) && error.contains(what), "{error}");
    }
    for (sabotage, index, what) in [
        (
            "UPDATE payload SET record = replace(record, '\"marketing\":1', '\"marketing\":0') WHERE site = 'a.example'",
            2,
            "commitment",
        ),
        ("UPDATE payload SET salt = zeroblob(32) WHERE site IS NULL", 0, "commitment"),
        ("UPDATE payload SET site = 'c.example' WHERE site = 'b.example'", 4, "columns"),
        ("UPDATE leaf SET time = time + 1 WHERE idx = 5", 5, "columns"),
        ("UPDATE notice SET html = '<p>Agree!</p>'", 1, "commitment"),
        ("UPDATE leaf SET kind = 'other' WHERE idx = 3", 3, "kind"),
        ("DELETE FROM payload WHERE site = 'b.example'", 4, "record is missing"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM leaf WHERE idx = 3", 3, "leaf is missing"),
        ("UPDATE payload SET record = 'x' WHERE site = 'b.example'", 4, "not JSON"),
    ] {
        let dir = folder();
        filled(dir.path()).await;
        sql(dir.path()).execute_batch(sabotage).expect("sabotage");
        check(dir.path(), index, what);
        // Nor is anything written behind it.
        assert!(matches!(ConsentLog::open(dir.path(), small()), Err(LogError::Damaged { .. })) || sabotage.contains("html"));
    }
}

#[tokio::test]
async fn an_altered_record_is_shown_as_altered() {
    let dir = folder();
    filled(dir.path()).await;
    let flip = "UPDATE payload SET record = replace(record, '\"marketing\":1', '\"marketing\":0')";
    sql(dir.path()).execute_batch(flip).expect("sabotage");
    let shown = Reader::open(dir.path()).expect("a log").show("2").expect("a record");
    assert_ne!(shown.leaf.commitment, shown.recomputed);
}

#[tokio::test]
async fn other_files_are_not_taken_for_a_log() {
    let dir = folder();
    assert!(matches!(Reader::open(dir.path()), Err(LogError::Missing { .. })));

    ready(dir.path(), small()).await.close().await;
    sql(dir.path()).execute_batch("UPDATE meta SET value = 9 WHERE key = 'format'").expect("a newer format");
    assert!(matches!(Reader::open(dir.path()), Err(LogError::Newer { found: 9, .. })));
    assert!(matches!(ConsentLog::open(dir.path(), small()), Err(LogError::Newer { found: 9, .. })));

    let dir = folder();
    sql(dir.path()).execute_batch("CREATE TABLE t (x)").expect("another database");
    assert!(matches!(ConsentLog::open(dir.path(), small()), Err(LogError::Foreign { .. })));
    assert!(matches!(Reader::open(dir.path()), Err(LogError::Foreign { .. })));

    let dir = folder();
    std::fs::write(dir.path().join(FILE), "a text file, long enough to be looked at as if it were a database ...........")
        .expect("a file");
    assert!(matches!(ConsentLog::open(dir.path(), small()), Err(LogError::Foreign { .. })));
    assert!(matches!(Reader::open(dir.path()), Err(LogError::Foreign { .. })));
}
