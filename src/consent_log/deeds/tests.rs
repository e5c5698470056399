//! What an operator orders is done, stands in the log, and leaves nothing behind that it should not.

use std::{fs, path::Path};

use super::*;
use crate::consent_log::{
    ConsentLog, Filter, Record, Recorded,
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
