//! What an operator orders is done, stands in the log, and leaves nothing behind that it should not.

use std::{fs, path::Path};

use super::*;
use crate::consent_log::{
    Certificate, ConsentLog, Done, Filter, Keep, NoCertificate, Record, Recorded,
    key::verifiers,
    tests::{folder, ready, record, small, sql},
};

fn subject(number: u64) -> SubjectId {
    // Nothing that stands in a file by chance.
    let hash = Hash::of(&number.to_le_bytes());
    SubjectId(hash.0[..16].try_into().expect("16 bytes"))
}

/// Decisions of so many visitors, `each` of them in turns: a visitor's records are spread over the log.
async fn decided(log: &ConsentLog, visitors: u64, each: u64) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for at in 0..visitors * each {
        let time = record().time + jiff::SignedDuration::from_secs(at as i64);
        let prev = (at >= visitors).then(|| all[(at - visitors) as usize].id());
        let own = Record { id: record_id(time), time, subject: Some(subject(at % visitors)), prev, ..record() };
        all.push(log.append(own).await.expect("a decision"));
    }
    all
}

fn order(what: What) -> Order {
    Order { operator: "anna".to_owned(), what, dry_run: false }
}

fn why() -> Why {
    Why { reason: "request".to_owned(), reference: Some("ticket 4711".to_owned()) }
}

fn erase(number: u64) -> Order {
    order(What::Erase { whose: Whose::Subject(subject(number).encode()), why: why(), restricted: false })
}

/// Every file of the folder, those below it included.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.append(&mut files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            all.push((path.display().to_string(), bytes));
        }
    }
    all
}

/// The files that hold a sequence of bytes.
fn holding(dir: &Path, needle: &[u8]) -> Vec<String> {
    let finder = memchr::memmem::Finder::new(needle);
    files(dir).into_iter().filter(|(_, bytes)| finder.find(bytes).is_some()).map(|(file, _)| file).collect()
}

/// What must be gone once a record is erased: its salt, its text, its visitor in both forms.
fn traces(dir: &Path, of: &[&Recorded]) -> Vec<(String, Vec<u8>)> {
    let conn = sql(dir);
    let mut all = Vec::new();
    for recorded in of {
        let select = "SELECT salt, record FROM payload WHERE event_id = ?1";
        let (salt, text): (Vec<u8>, String) =
            conn.query_row(select, [recorded.id().as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).expect("a record");
        let subject = recorded.record().subject.expect("a visitor");
        all.push((format!("salt of {}", recorded.index()), salt));
        all.push((format!("record {}", recorded.index()), text.into_bytes()));
        all.push((format!("id in words of {}", recorded.index()), format!("\"id\":\"{}\"", recorded.id()).into_bytes()));
        all.push((format!("visitor of {}", recorded.index()), subject.0.to_vec()));
        all.push((format!("visitor of {} in words", recorded.index()), subject.encode().into_bytes()));
    }
    all
}

#[track_caller]
fn verified(dir: &Path) {
    let found = Reader::open(dir).expect("a log").verify(None, &mut |_, _| {}).expect("readable");
    assert_eq!(found.findings, []);
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_and_the_tree_stays_whole() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 200, 3).await;
    let of: Vec<&Recorded> =
        all.iter().filter(|recorded| (40..50).any(|number| recorded.record().subject == Some(subject(number)))).collect();
    assert_eq!(of.len(), 30);
    let traces = traces(dir.path(), &of);
    for (name, bytes) in &traces {
        assert!(!holding(dir.path(), bytes).is_empty(), "{name} is there before: the search finds things");
    }
    let old = log.checkpoint().expect("a checkpoint");
    let proofs: Vec<_> = [0, 1, 2, 100, 601]
        .map(|index: u64| Reader::open(dir.path()).expect("a log").prove(&index.to_string()).expect("a proof"))
        .into();
    for number in 40..50 {
        let done = log.carry_out(erase(number)).await.expect("erased");
        assert_eq!((done.count, done.wiped), (3, true), "{done:?}");
    }
    // While the gate goes on, and after it has ended.
    for closed in [false, true] {
        if closed {
            log.close().await;
        }
        for (name, bytes) in &traces {
            assert_eq!(holding(dir.path(), bytes), Vec::<String>::new(), "{name}; closed: {closed}");
        }
    }
    verified(dir.path());
    let reader = Reader::open(dir.path()).expect("a log");
    assert_eq!(reader.verify(Some(&old), &mut |_, _| {}).expect("readable").findings, [], "grown from the older checkpoint");
    let key = &verifiers(dir.path()).expect("keys")[0];
    for proof in proofs {
        proof.receipt.check(&proof.leaf.commitment, key).expect("an older receipt still proves");
    }
    // A leaf whose record is gone can still be proved to stand there.
    reader
        .prove(&of[0].index().to_string())
        .expect("a proof")
        .receipt
        .check(&reader.show(&of[0].index().to_string()).expect("a leaf").leaf.commitment, key)
        .expect("it is proved");
    let rest = reader.find(&Filter::default(), 1000).expect("readable").leaves;
    assert_eq!(rest.len(), 570);
}

#[tokio::test]
async fn a_certificate_proves_the_act_and_names_nobody() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 5, 2).await;
    let done = log.carry_out(erase(3)).await.expect("erased");
    let act = done.act.expect("an act");
    assert_eq!((done.count, done.indices.as_str(), act.index), (2, "5,10", 12));
    let note = done.certificate.expect("a certificate");
    let keys = verifiers(dir.path()).expect("keys");
    let certificate = Certificate::check(&note, &keys).expect("it certifies");
    assert_eq!((certificate.act.id, certificate.index, certificate.checkpoint.size), (act.id, 12, 13));
    assert_eq!(certificate.act.operator, "anna");
    assert!(certificate.is_about("ticket 4711") && !certificate.is_about("ticket 4712"));
    for part in [subject(3).encode(), all[3].id().to_string(), "4711".to_owned()] {
        assert!(!note.contains(&part), "{part} in {note}");
        assert!(!log.checkpoint().expect("a checkpoint").contains(&part));
    }
    // Every changed character of what is signed is seen, and a change in the words under a signature too.
    let end = note.rfind("\n\n").expect("a note");
    for at in (0..end).step_by(7) {
        let mut changed = note.clone().into_bytes();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(changed == note || Certificate::check(&changed, &keys).is_err(), "at {at}: {changed}");
    }
    let signer = crate::consent_log::key::open(dir.path()).expect("keys").signer;
    let signed = |text: String| Certificate::check(&signer.sign(&text), &keys);
    assert_eq!(signed(certificate.text()), Ok(certificate.clone()));
    assert_eq!(signed(certificate.text().replace("records 2", "records 3")), Err(NoCertificate::Words));
    assert_eq!(signed(certificate.text().replace("leaf 12", "leaf 11")), Err(NoCertificate::Path));
    assert_eq!(signed("something else\n".to_owned()), Err(NoCertificate::Form));
}

#[tokio::test]
async fn who_is_erased_while_deciding_is_not_named_again() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 2, 1).await;
    assert!(!log.is_erased(all[0].id()));
    log.carry_out(erase(0)).await.expect("erased");
    assert!(log.is_erased(all[0].id()) && !log.is_erased(all[1].id()));
    let time = record().time;
    let late = Record { id: record_id(time), prev: Some(all[0].id()), subject: Some(subject(0)), ..record() };
    assert!(matches!(log.append(late).await, Err(LogError::Erased(id)) if id == all[0].id()));
    let other = Record { id: record_id(time), prev: Some(all[1].id()), subject: Some(subject(1)), ..record() };
    log.append(other).await.expect("another visitor's");
    // Nothing is left to erase: no act is written for it.
    let leaves = log.leaves();
    assert_eq!(log.carry_out(erase(0)).await.expect("nothing"), Done::default());
    assert_eq!(log.leaves(), leaves);
    log.close().await;
    let log = ConsentLog::open(dir.path(), small()).expect("the same log");
    assert!(log.is_erased(all[0].id()), "known after a start");
}

/// Everything that a backup has: the database, the key and what is published.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copied(&path, &to.join(name));
        } else if name != *crate::consent_log::ERASURES {
            fs::copy(path, to.join(name)).expect("a copy");
        }
    }
}

#[tokio::test]
async fn an_older_copy_does_not_bring_an_erased_record_back() {
    let (dir, backup) = (folder(), folder());
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 4, 2).await;
    log.close().await;
    copied(dir.path(), backup.path());
    let log = ConsentLog::open(dir.path(), small()).expect("the same log");
    let late = decided(&log, 1, 1).await;
    log.carry_out(erase(0)).await.expect("erased");
    log.carry_out(erase(2)).await.expect("erased");
    log.close().await;

    let traces = traces(backup.path(), &[&all[0], &all[4], &all[2], &all[6]]);
    fs::remove_dir_all(dir.path().join(crate::consent_log::TILES)).expect("a folder");
    copied(backup.path(), dir.path());
    assert!(traces.iter().all(|(_, bytes)| !holding(dir.path(), bytes).is_empty()), "they are back");
    let log = ConsentLog::open(dir.path(), small()).expect("a restored log");
    for (name, bytes) in &traces {
        assert_eq!(holding(dir.path(), bytes), Vec::<String>::new(), "{name}");
    }
    for erased in [&all[0], &all[2], &all[4], &all[6], &late[0]] {
        assert!(log.is_erased(erased.id()), "a cookie of it says nothing, though the log may never have had the record");
    }
    assert!(!log.is_erased(all[1].id()));
    log.close().await;
    verified(dir.path());
    // Once is enough.
    let leaves = Reader::open(dir.path()).expect("a log").leaves().expect("a count");
    ConsentLog::open(dir.path(), small()).expect("the same log").close().await;
    assert_eq!(Reader::open(dir.path()).expect("a log").leaves().expect("a count"), leaves);
}

#[tokio::test]
async fn an_erasure_that_fails_half_way_is_done_by_the_next_start() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 2, 2).await;
    let traces = traces(dir.path(), &[&all[0], &all[2]]);
    sql(dir.path()).execute_batch("ALTER TABLE erased RENAME TO away").expect("sabotage");
    let error = log.carry_out(erase(0)).await.expect_err("no table");
    assert!(matches!(error, LogError::WriteFailed { .. }), "{error}");
    assert!(log.is_erased(all[0].id()), "it is promised: no grant of that visitor holds any more");
    sql(dir.path()).execute_batch("ALTER TABLE away RENAME TO erased").expect("mended");
    for order in [erase(1), order(What::Read { command: "find".to_owned(), rows: None })] {
        assert!(matches!(log.carry_out(order).await, Err(LogError::Poisoned { .. })), "never tried again");
    }
    log.close().await;
    assert!(!holding(dir.path(), &traces[1].1).is_empty(), "nothing was deleted yet");
    ConsentLog::open(dir.path(), small()).expect("a new start").close().await;
    for (name, bytes) in &traces {
        assert_eq!(holding(dir.path(), bytes), Vec::<String>::new(), "{name}");
    }
    verified(dir.path());
    let acts = Reader::open(dir.path()).expect("a log").show("6").expect("the act").leaf;
    assert_eq!(Act::parse(acts.bytes.as_bytes()).expect("an act").on().expect("records").indices.to_string(), "2,4");
}

#[tokio::test]
async fn erasing_needs_no_room_on_the_disk() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    decided(&log, 2, 1).await;
    log.close().await;
    let full = crate::consent_log::Options { reserve_bytes: u64::MAX, ..small() };
    let log = ConsentLog::open(dir.path(), full).expect("a log on a full disk");
    assert!(matches!(log.append(record()).await, Err(LogError::DiskReserve { .. })));
    assert_eq!(log.carry_out(erase(1)).await.expect("erased").count, 1);
    log.close().await;
    verified(dir.path());
}

#[tokio::test]
async fn restricted_records_are_kept_and_kept_back() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    decided(&log, 3, 2).await;
    let whose = |number| Whose::Subject(subject(number).encode());
    let restrict = |number| order(What::Restrict { whose: whose(number), why: why() });
    let lift = order(What::Unrestrict { whose: whose(1), why: why() });
    assert_eq!(log.carry_out(restrict(1)).await.expect("restricted").indices, "3,6");
    assert_eq!(log.carry_out(restrict(1)).await.expect("nothing more"), Done::default());

    let counted = |restricted| {
        let filter = Filter { restricted, ..Filter::default() };
        let reader = Reader::open(dir.path()).expect("a log");
        let mut text = Vec::new();
        reader.export(&filter, crate::consent_log::Format::Jsonl, &mut text, &mut |_, _| {}).expect("an export");
        let text = String::from_utf8(text).expect("text");
        let stats = reader.stats(&filter, &[crate::consent_log::Group::Site], &mut |_, _| {}).expect("counts");
        let found = reader.find(&filter, 100).expect("readable").leaves.len();
        (
            found,
            text.contains(&subject(1).encode()),
            text.lines().count(),
            stats.rows.values().map(|counts| counts.partial).sum::<u64>(),
        )
    };
    assert_eq!(counted(false), (4, false, 9, 4), "every leaf has a line, and the restricted ones say nothing");
    assert_eq!(counted(true), (6, true, 9, 6));
    let of_visitor = Filter { subject: Some(subject(1)), ..Filter::default() };
    assert!(Reader::open(dir.path()).expect("a log").find(&of_visitor, 9).expect("readable").leaves.is_empty());

    // Neither retention nor an erasure that does not know of it takes them.
    let error = log.carry_out(erase(1)).await.expect_err("restricted");
    assert!(matches!(error, LogError::Restricted { count: 2, act: 8 }), "{error}");
    let keep = Keep { months_max: Some(0), ..Keep::default() };
    let retained = log.carry_out(order(What::Retain(keep))).await.expect("retained");
    assert_eq!(retained.count, if past() { 4 } else { 0 });
    log.carry_out(lift).await.expect("lifted");
    assert_eq!(log.carry_out(erase(1)).await.expect("erased").count, 2);
    log.close().await;
    verified(dir.path());
}

/// Whether the test's records have run out by now.
fn past() -> bool {
    record().expires < Timestamp::now()
}

/// A policy that promises to keep proof for so many months.
fn keeping(months: u64) -> crate::consent_log::PolicyLeaf {
    let canonical = format!(r#"{{"regime":{{"id":"eu","proof_months":{months}}},"v":"consent-policy/1"}}"#);
    let revision = crate::vocab::PolicyRevision(Hash::of(canonical.as_bytes()));
    crate::consent_log::PolicyLeaf { revision, canonical, source_hashes: Default::default() }
}

#[tokio::test]
async fn what_is_past_its_time_is_deleted_and_the_shorter_time_counts() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let now = Timestamp::now();
    let months_ago = |months: i64| {
        let then = TimeZone::UTC.to_datetime(now).checked_sub(months.months()).expect("a date");
        TimeZone::UTC.to_timestamp(then).expect("a time")
    };
    for months in [6, 24] {
        log.ensure_policy(&keeping(months)).await.expect("a policy");
    }
    let mut indices = Vec::new();
    for (policy, ran_out) in [(6, 5), (6, 7), (24, 7), (24, 23), (24, 25), (0, 30)] {
        // The last one's policy is one that says nothing of it.
        let policy = if policy == 0 { record().policy } else { keeping(policy).revision };
        let time = months_ago(ran_out + 6);
        let own = Record { id: record_id(time), time, expires: months_ago(ran_out), policy, regime: "eu".to_owned(), ..record() };
        indices.push(log.append(own).await.expect("a decision").index());
    }
    assert_eq!(indices, [4, 5, 6, 7, 8, 9]);
    let dry = |keep: Keep| Order { dry_run: true, ..order(What::Retain(keep)) };
    let would = async |keep| log.carry_out(dry(keep)).await.expect("an answer").indices;
    let regime = |months| Keep { months: [("eu".to_owned(), months)].into(), months_max: None };
    assert_eq!(would(Keep::default()).await, "5,8", "each as its own policy says; where none does, it is kept");
    assert_eq!(would(regime(12)).await, "5,7-9", "the operator keeps less now");
    assert_eq!(would(regime(60)).await, "5,8", "and never more than was said");
    assert_eq!(would(Keep { months_max: Some(1), ..Keep::default() }).await, "4-9");
    assert_eq!(log.leaves(), 10, "nothing was done");

    let before = log.checkpoint().expect("a checkpoint");
    let done = log.carry_out(order(What::Retain(regime(12)))).await.expect("retained");
    assert_eq!((done.count, done.indices.as_str(), done.more, done.wiped), (4, "5,7-9", false, true));
    let act = Reader::open(dir.path()).expect("a log").show("10").expect("the tombstone").leaf;
    let act = Act::parse(act.bytes.as_bytes()).expect("an act");
    assert_eq!(act.on().map(|on| (on.indices.to_string(), on.reason)), Some(("5,7-9".to_owned(), Reason::Expired)));
    assert!(!log.is_erased(Uuid::nil()) && !dir.path().join(crate::consent_log::ERASURES).exists(), "a restore runs it again");
    log.close().await;
    verified(dir.path());
    let reader = Reader::open(dir.path()).expect("a log");
    assert_eq!(reader.verify(Some(&before), &mut |_, _| {}).expect("readable").findings, []);
}

#[tokio::test]
async fn an_order_that_makes_no_sense_changes_nothing() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    decided(&log, 1, 1).await;
    let whose = Whose::Subject(subject(0).encode());
    for what in [
        What::Erase { whose: Whose::Subject("short".to_owned()), why: why(), restricted: false },
        What::Erase { whose, why: Why { reason: "because".to_owned(), reference: None }, restricted: false },
    ] {
        assert!(matches!(log.carry_out(order(what)).await, Err(LogError::BadOrder(_))));
    }
    assert_eq!(log.leaves(), 3);
}

#[tokio::test]
async fn what_a_reader_keeps_from_being_wiped_is_wiped_once_it_is_done() {
    let dir = folder();
    let log = ready(dir.path(), small()).await;
    let all = decided(&log, 2, 1).await;
    let traces = traces(dir.path(), &[&all[0]]);
    let reader = sql(dir.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM leaf").expect("a reader that takes its time");
    let done = log.carry_out(erase(0)).await.expect("erased");
    assert_eq!((done.count, done.wiped), (1, false));
    assert!(!holding(dir.path(), &traces[0].1).is_empty(), "the reader still sees the database as it was");
    let time = record().time;
    log.append(Record { id: record_id(time), subject: None, ..record() }).await.expect("decisions go on");
    reader.execute_batch("COMMIT").expect("done");
    let began = std::time::Instant::now();
    while traces.iter().any(|(_, bytes)| !holding(dir.path(), bytes).is_empty()) {
        assert!(began.elapsed() < Duration::from_secs(60), "it is wiped by itself");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    log.close().await;
    verified(dir.path());
}
