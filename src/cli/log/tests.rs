//! The commands as somebody types them, over a small log.

use std::{ffi::OsString, path::Path};

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::consent_log::{FILE, Recorded, tests::filled};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LogArgs,
}

async fn log() -> (TempDir, Vec<Recorded>) {
    let dir = tempfile::tempdir().expect("a folder");
    let all = filled(dir.path()).await;
    (dir, all)
}

fn typed(line: &str) -> Result<LogArgs, String> {
    let words = std::iter::once("log").chain(line.split(' ')).map(OsString::from);
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

/// What a command writes as its answer, and what beside it on a terminal.
fn ran(dir: &Path, line: &str) -> (Result<(), LogCliError>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = typed(line).expect("a command line");
    let done = run(&args, dir, &mut Streams { out: &mut out, err: &mut err, err_is_terminal: true });
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (done, text(out), text(err))
}

#[track_caller]
fn answer(dir: &Path, line: &str) -> String {
    let (done, out, _) = ran(dir, line);
    done.expect("an answer");
    out
}

#[tokio::test]
async fn find_lists_in_columns() {
    let (dir, all) = log().await;
    let want = format!(
        "\
idx  time                 id                                    kind       site       subject                 granted                                    method  valid until
  2  2026-05-30 12:00:00  {}  given      a.example  AQEBAQEBAQEBAQEBAQEBAQ  analytics marketing without vendor.tiktok  save    2026-11-30
  5  2026-06-01 12:00:00  {}  withdrawn  a.example  AQEBAQEBAQEBAQEBAQEBAQ  without vendor.tiktok                      save    2026-11-30
",
        all[0].id(),
        all[3].id()
    );
    assert_eq!(answer(dir.path(), "find --subject AQEBAQEBAQEBAQEBAQEBAQ"), want);
    assert_eq!(answer(dir.path(), "find --site c.example"), "No decision fits.\n");
    assert!(answer(dir.path(), "find --limit 3").contains("More fit than the 3 shown"));
}

#[tokio::test]
async fn stats_count_in_columns() {
    let (dir, _) = log().await;
    assert_eq!(
        answer(dir.path(), "stats --by site,purpose --exact"),
        "\
site       purpose        shown  given  partial  refused  withdrawn  gpc  opt-in
a.example  analytics          0      2        0        0          1    3  100.0 %
a.example  marketing          0      2        0        0          1    3  100.0 %
a.example  vendor.tiktok      0      0        0        2          1    3  0.0 %
b.example  analytics          0      0        0        1          0    1  0.0 %
b.example  marketing          0      0        0        1          0    1  0.0 %
b.example  vendor.tiktok      0      0        0        1          0    1  0.0 %

Days are in UTC. opt-in: of those who answered, who granted something. Small counts are not left out: not to be published.
"
    );
    let published = answer(dir.path(), "stats --by site");
    let cells: Vec<Vec<&str>> = published.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[1], ["a.example", "0", "..", "0", "0", "..", "..", ".."]);
    assert_eq!(cells[2], ["b.example", "0", "0", "0", "..", "0", "..", "-"]);
    assert!(published.contains("Counts below 10 are left out"), "{published}");
    let json: Value =
        serde_json::from_str(&answer(dir.path(), "stats --by day --from 2026-05-31 --to 2026-05-31 --json --exact"))
            .expect("JSON");
    assert_eq!(
        json,
        json!({ "by": ["day"], "suppressed": false, "rows": [{
            "day": "2026-05-31", "shown": 0, "given": 1, "partial": 0, "refused": 1, "withdrawn": 0, "gpc": 2,
            "opt_in_permille": 500, "of_shown_permille": null,
        }]})
    );
}

#[tokio::test]
async fn show_gives_record_notice_and_check() {
    let (dir, all) = log().await;
    let id = all[0].id().to_string();
    let text = answer(dir.path(), &format!("show {id}"));
    for part in ["leaf        2 (decision)\n", "(matches the record)\n", "\"kind\": \"given\"", "\"title\": \"Do you agree?\""] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json: Value = serde_json::from_str(&answer(dir.path(), "show 2 --json")).expect("JSON");
    assert_eq!((&json["id"], &json["_matches"]), (&json!(id), &json!(true)));
    assert_eq!(json["_notice"]["html"], "<p>Do you agree?</p>");

    let altered = "UPDATE payload SET record = replace(record, '\"marketing\":1', '\"marketing\":0')";
    rusqlite::Connection::open(dir.path().join(FILE)).expect("the database").execute_batch(altered).expect("sabotage");
    let (done, out, _) = ran(dir.path(), "show 2");
    assert!(out.contains("DOES NOT MATCH"), "{out}");
    assert!(matches!(done, Err(LogCliError::Altered { index: 2 })), "{done:?}");
}

#[tokio::test]
async fn an_export_to_a_file_is_whole_or_not_there() {
    let (dir, _) = log().await;
    let file = dir.path().join("out.jsonl");
    let (done, out, err) = ran(dir.path(), &format!("export --format jsonl -o {}", file.display()));
    done.expect("an export");
    assert_eq!(out, "");
    assert!(err.ends_with(&format!("6 written to {}\n", file.display())), "{err:?}");
    // Whoever reads is on record: the second export has both acts behind what the first has.
    let (first, second) = (std::fs::read_to_string(&file).expect("the file"), answer(dir.path(), "export --format jsonl"));
    let acts: Vec<Value> =
        second.strip_prefix(&first).expect("the same").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = acts.iter().map(|act| (act["act"].as_str(), act["command"].as_str(), act["rows"].as_u64())).collect();
    assert_eq!(told, [(Some("read"), Some("export"), Some(6)), (Some("read"), Some("export"), None)]);
    assert!(!dir.path().join("out.jsonl.part").exists());

    let nowhere = dir.path().join("no/such/out.jsonl");
    let (done, _, _) = ran(dir.path(), &format!("export --format csv -o {}", nowhere.display()));
    assert!(done.expect_err("no folder").to_string().contains("no/such/out.jsonl"));
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (dir, _) = log().await;
    for line in ["export --format jsonl", "export --format csv", "find", "show 2", "stats"] {
        let mut streams = Streams { out: &mut Closed, err: &mut io::sink(), err_is_terminal: false };
        run(&typed(line).expect("a command line"), dir.path(), &mut streams).expect(line);
    }
}

#[test]
fn an_empty_folder_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = ran(dir.path(), "find").0.expect_err("nothing is there").to_string();
    assert!(error.contains(&dir.path().display().to_string()) && error.contains("--data"), "{error}");
}

#[test]
fn what_is_typed_wrong_is_said_before_anything_is_read() {
    for (line, want) in [
        ("find --from yesterday", "write 2026-05-31"),
        ("find --from 2026-02-30", "write 2026-05-31"),
        ("find --subject short", "22 characters"),
        ("stats --by colour", "known: day, site, purpose, language, regime, layer, method"),
        ("export --format parquet", "possible values: jsonl, csv"),
        ("find --data a --config b", "cannot be used with"),
    ] {
        let error = typed(line).expect_err(line);
        assert!(error.contains(want), "{error}");
    }
    typed("find --subject -AAAAAAAAAAAAAAAAAAAAA --data a").expect("a pseudonym may start with a hyphen");
}

#[tokio::test]
async fn days_are_whole_and_times_exact() {
    let (dir, _) = log().await;
    let check = |line: &str, want: usize| {
        let json: Value = serde_json::from_str(&answer(dir.path(), &format!("find --json {line}"))).expect("JSON");
        assert_eq!(json["records"].as_array().map(Vec::len), Some(want), "{line}");
    };
    check("--limit 9", 4);
    check("--to 2026-05-31", 3);
    check("--from 2026-05-31", 3);
    check("--to 2026-05-31T12:00:00Z", 1);
    check("--from 2026-05-31T14:00:00+02:00", 3);
}

#[tokio::test]
async fn verify_says_that_all_is_well_and_prove_gives_the_proof() {
    let (dir, all) = log().await;
    let told = answer(dir.path(), "verify");
    assert!(told.contains("leaves       6\n") && told.ends_with("Everything in the log is as it was written.\n"), "{told}");
    let id = all[0].id().to_string();
    let proof = answer(dir.path(), &format!("prove {id}"));
    let value: Value = serde_json::from_str(&answer(dir.path(), &format!("prove {id} --json"))).expect("JSON");
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 2\n"), "{proof}");
    assert_eq!((value["_proof"].as_str(), value["id"].as_str()), (Some(proof.as_str()), Some(id.as_str())));
    let key = crate::consent_log::tree::Verifier::parse(value["_key"].as_str().expect("a key")).expect("a key");
    let leaf = Hash::parse(value["_leaf"].as_str().expect("a leaf")).expect("a leaf");
    crate::consent_log::tree::Receipt::parse(&proof).expect("a proof").check(&leaf, &key).expect("it is proved");

    // A checkpoint kept elsewhere; then the log's end is cut off, together with what it signed.
    let note = proof.split_once("\n\n").expect("a note").1;
    let kept = dir.path().join("kept");
    std::fs::write(&kept, note).expect("writable");
    let with = format!("verify --json --from-checkpoint {}", kept.display());
    let value: Value = serde_json::from_str(&answer(dir.path(), &with)).expect("JSON");
    assert_eq!((value["intact"].as_bool(), value["records"].as_u64()), (Some(true), Some(all.len() as u64)));
    let conn = rusqlite::Connection::open(dir.path().join(FILE)).expect("the database");
    conn.execute_batch("DELETE FROM leaf WHERE idx > 4; DELETE FROM checkpoint WHERE size > 5").expect("a delete");
    let (done, out, _) = ran(dir.path(), &with);
    assert!(matches!(done, Err(LogCliError::Tampered { first: 5, .. })), "{done:?}");
    assert!(out.contains("the end was cut off"), "{out}");
    assert!(matches!(ran(dir.path(), "verify --from-checkpoint nowhere").0, Err(LogCliError::Unreadable { .. })));
}
