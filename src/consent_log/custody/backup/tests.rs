//! A backup comes back as it was, without what was erased since, and never as a second log under one name.

use tempfile::TempDir;

use super::*;
use crate::consent_log::{
    ConsentLog, Record, Verified, What, Whose,
    order::Why,
    record_id,
    tests::{filled, folder, record, small},
    verify_bundle,
};

struct Log {
    dir: TempDir,
    around: TempDir,
}

impl Log {
    /// A log of six leaves with its backup.
    async fn backed_up() -> (Self, BackedUp, Vec<crate::consent_log::Recorded>) {
        let (dir, around) = (folder(), folder());
        let all = filled(dir.path()).await;
        fs::write(dir.path().join(COOKIE_KEYS), "keys").expect("writable");
        let told = back_up(dir.path(), &around.path().join("backup")).expect("a backup");
        (Self { dir, around }, told, all)
    }

    fn backup(&self) -> PathBuf {
        self.around.path().join("backup")
    }

    fn place(&self) -> PathBuf {
        self.around.path().join("new")
    }

    /// One more decision than the backup has.
    async fn decide(&self) {
        let log = ConsentLog::open(self.dir.path(), small()).expect("the log");
        log.append(Record { id: record_id(record().time), ..record() }).await.expect("a decision");
        log.close().await;
    }

    fn checkpoint(&self) -> String {
        published_note(self.dir.path()).expect("a published checkpoint")
    }
}

fn how() -> Restore {
    Restore { operator: "anna".to_owned(), ..Restore::default() }
}

fn verified(dir: &Path, held: Option<&str>) -> Verified {
    Reader::open(dir).expect("a log").verify(held, &mut |_, _| {}).expect("readable")
}

#[tokio::test]
async fn a_backup_comes_back_as_it_was() {
    let (log, told, all) = Log::backed_up().await;
    assert_eq!((told.leaves, told.files), (6, 3), "{told:?}");
    for entry in fs::read_dir(log.backup()).expect("a backup").flatten() {
        assert_eq!(entry.metadata().expect("an entry").permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
    assert!(matches!(back_up(log.dir.path(), &log.backup()), Err(LogError::Backup { .. })), "nothing is written over");
    // Nothing is missing, as the newest checkpoint says: it is the same log.
    let same = Restore { checkpoint: Some(log.checkpoint()), ..how() };
    let restored = restore(&log.backup(), &log.place(), &same).expect("restored");
    assert_eq!(restored, Restored { leaves: 6, lost: 0, key: None, aside: None });
    let found = verified(&log.place(), Some(&log.checkpoint()));
    assert_eq!((found.findings.clone(), found.leaves), (vec![], 7), "the act of restoring is one more");
    assert_eq!(fs::read_to_string(log.place().join(COOKIE_KEYS)).expect("keys"), "keys");
    assert!(Reader::open(&log.place()).expect("a log").show(&all[3].id().to_string()).is_ok());
    assert!(matches!(restore(&log.backup(), &log.place(), &same), Err(LogError::Occupied { .. })), "never over a log");
}

#[tokio::test]
async fn a_backup_is_made_while_the_log_is_written() {
    let (log, ..) = Log::backed_up().await;
    let open = ConsentLog::open(log.dir.path(), small()).expect("the log");
    open.append(Record { id: record_id(record().time), ..record() }).await.expect("a decision");
    let to = log.around.path().join("second");
    assert_eq!(back_up(log.dir.path(), &to).expect("a backup").leaves, 7);
    open.close().await;
    assert_eq!(verified(&to, None).findings, []);
}

#[tokio::test]
async fn a_restore_that_loses_entries_says_so_and_goes_on_under_another_name() {
    let (log, ..) = Log::backed_up().await;
    log.decide().await;
    let late = log.checkpoint();
    // Into the folder where the log was: its published checkpoint is still there.
    fs::create_dir_all(log.place().join(TILES)).expect("a folder");
    fs::write(log.place().join(TILES).join("checkpoint"), &late).expect("writable");
    let refused = restore(&log.backup(), &log.place(), &how()).expect_err("an entry would be lost");
    assert!(matches!(refused, LogError::Loss { leaves: 6, before: 7 }), "{refused}");
    assert!(refused.to_string().contains("the last 1 are lost"), "{refused}");
    assert!(!log.place().join(FILE).exists());
    let restored = restore(&log.backup(), &log.place(), &Restore { accept_loss: true, ..how() }).expect("restored");
    assert_eq!((restored.leaves, restored.lost), (6, 1));
    let key = restored.key.clone().expect("another key");
    assert!(restored.aside.is_some_and(|aside| aside.join("checkpoint").exists()), "what was promised is kept");
    let found = verified(&log.place(), None);
    assert_eq!((found.findings.clone(), found.key.as_deref()), (vec![], Some(key.as_str())));
    // Both logs went on behind six entries, under two names: this one with the acts of the restore and of its new key.
    let own = Reader::open(&log.place()).expect("a log").newest_checkpoint().expect("readable").expect("a checkpoint");
    let origin = |note: &str| note.lines().next().unwrap_or_default().to_owned();
    assert_eq!(own.size, 8);
    assert_ne!(
        (origin(&own.note), own.root),
        (origin(&late), Checkpoint::parse(&Note::parse(&late).expect("a note").text).expect("one").root)
    );
    assert_ne!(origin(&own.note), origin(&late));
    // Who holds the promise sees that it was not kept.
    assert!(!verified(&log.place(), Some(&late)).findings.is_empty());
    // Where nothing is known of what came after, nothing is promised twice either.
    let unknown = log.around.path().join("unknown");
    assert!(restore(&log.backup(), &unknown, &how()).expect("restored").key.is_some());
}

#[tokio::test]
async fn what_was_erased_since_does_not_come_back() {
    let (log, _, all) = Log::backed_up().await;
    let id = all[0].id();
    let why = Why { reason: "request".to_owned(), reference: None };
    let what = What::Erase { whose: Whose::Record(id), why, restricted: false };
    order(log.dir.path(), &Order { operator: "anna".to_owned(), what, dry_run: false }).expect("erased");
    assert!(!log.backup().join(ERASURES).exists());
    let text = |dir: &Path| {
        let mut out = Vec::new();
        let format = crate::consent_log::Format::Jsonl;
        Reader::open(dir).expect("a log").export(&Default::default(), format, &mut out, &mut |_, _| {}).expect("an export");
        String::from_utf8(out).expect("text")
    };
    let subject = "AQEBAQEBAQEBAQEBAQEBAQ";
    assert!(text(&log.backup()).contains(subject) && !text(log.dir.path()).contains(subject));
    // Given, and lying in the folder already.
    let given = Restore { erasures: Some(log.dir.path().join(ERASURES)), accept_loss: true, ..how() };
    restore(&log.backup(), &log.place(), &given).expect("restored");
    let lying = log.around.path().join("lying");
    fs::create_dir(&lying).expect("a folder");
    fs::copy(log.dir.path().join(ERASURES), lying.join(ERASURES)).expect("a copy");
    restore(&log.backup(), &lying, &how()).expect("restored");
    for dir in [log.place(), lying] {
        assert!(!text(&dir).contains(subject));
        let bytes = fs::read(dir.join(FILE)).expect("the database");
        assert!(!bytes.windows(subject.len()).any(|part| part == subject.as_bytes()), "not in the file either");
        assert_eq!(verified(&dir, None).findings, []);
        let bundle = dir.join("bundle");
        Reader::open(&dir).expect("a log").bundle(&bundle, &Default::default(), &mut |_, _| {}).expect("a bundle");
        assert_eq!(verify_bundle(&bundle, None, &mut |_, _| {}).expect("readable").findings, []);
    }
}

#[tokio::test]
async fn a_backup_that_was_changed_is_not_restored() {
    let (log, ..) = Log::backed_up().await;
    for name in [FILE, KEY_FILE, COOKIE_KEYS, MANIFEST] {
        let file = log.backup().join(name);
        let bytes = fs::read(&file).expect("a file");
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(40)) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            fs::write(&file, &other).expect("writable");
            let restored = restore(&log.backup(), &log.place(), &Restore { accept_loss: true, ..how() });
            // The manifest's own words of when and by what version are for people.
            assert!(restored.is_err() || name == MANIFEST, "{name} byte {at}");
            let _ = fs::remove_dir_all(log.place());
        }
        fs::remove_file(&file).expect("removable");
        assert!(restore(&log.backup(), &log.place(), &how()).is_err(), "{name} is gone");
        fs::write(&file, &bytes).expect("writable");
    }
    let other = Restore { checkpoint: Some(Log::backed_up().await.0.checkpoint()), accept_loss: true, ..how() };
    assert!(matches!(restore(&log.backup(), &log.place(), &other), Err(LogError::NotBackup { .. })), "another log's checkpoint");
}

#[tokio::test]
async fn a_backup_from_before_a_rotation_is_restored_under_the_keys_of_today() {
    let (log, told, _) = Log::backed_up().await;
    let rotated = rotate_key(log.dir.path(), "anna").expect("a new key");
    log.decide().await;
    let newest = log.checkpoint();
    fs::remove_file(log.dir.path().join(FILE)).expect("a log");
    let how = Restore { accept_loss: true, ..how() };
    let restored = restore(&log.backup(), log.dir.path(), &how).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((restored.leaves, restored.lost > 0), (told.leaves, true), "{restored:?}");
    assert_eq!(verified(log.dir.path(), None).findings, []);
    let keys: Vec<String> = key::verifiers(log.dir.path()).expect("keys").iter().map(ToString::to_string).collect();
    assert_eq!(keys[..2], [restored.key.expect("another name"), rotated], "no key that ever signed is forgotten: {keys:?}");
    assert!(is_signed(&key::verifiers(log.dir.path()).expect("keys"), &Note::parse(&newest).expect("a note")));

    // The folder of another log is no place for it.
    let other = folder();
    filled(other.path()).await;
    fs::remove_file(other.path().join(FILE)).expect("a log");
    fs::remove_dir_all(other.path().join(TILES)).expect("tiles");
    let (error, before) = (restore(&log.backup(), other.path(), &how), fs::read(other.path().join(KEY_FILE)).expect("a key"));
    let error = error.expect_err("another log's keys").to_string();
    assert!(error.contains("has the keys of another log"), "{error}");
    assert_eq!(fs::read(other.path().join(KEY_FILE)).expect("a key"), before);
}

#[tokio::test]
async fn what_was_written_ahead_for_a_lost_database_stays_out() {
    let (log, told, _) = Log::backed_up().await;
    let wal = log.dir.path().join(format!("{FILE}-wal"));
    let open = ConsentLog::open(log.dir.path(), small()).expect("the log");
    open.append(Record { id: record_id(record().time), ..record() }).await.expect("a decision");
    let ahead = fs::read(&wal).expect("it is open");
    assert!(!ahead.is_empty(), "otherwise this shows nothing");
    open.close().await;
    fs::remove_file(log.dir.path().join(FILE)).expect("a log");
    fs::write(&wal, ahead).expect("writable");
    restore(&log.backup(), log.dir.path(), &Restore { accept_loss: true, ..how() }).unwrap_or_else(|error| panic!("{error}"));
    let verified = verified(log.dir.path(), None);
    assert_eq!(verified.findings, []);
    assert_eq!(verified.leaves, told.leaves + 2, "the backup, and the acts that put it there and name its new key");
}

#[tokio::test]
async fn a_rotated_key_signs_and_the_old_one_vouches_for_what_it_signed() {
    let (log, told, _) = Log::backed_up().await;
    let old = log.checkpoint();
    let open = ConsentLog::open(log.dir.path(), small()).expect("the log");
    assert!(matches!(rotate_key(log.dir.path(), "anna"), Err(LogError::InUse { .. })), "not while a gate signs");
    open.close().await;
    let key = rotate_key(log.dir.path(), "anna").expect("a new key");
    let act = Reader::open(log.dir.path()).expect("a log").show(&told.leaves.to_string()).expect("a leaf").leaf.bytes;
    assert!(act.contains(r#""act":"rotate_key""#) && act.contains(&key), "the log names its new key: {act}");
    log.decide().await;
    let found = verified(log.dir.path(), Some(&old));
    assert_eq!((found.findings, found.key), (vec![], Some(key.clone())));
    let mode = fs::metadata(log.dir.path().join(KEY_FILE)).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bundle = log.around.path().join("bundle");
    Reader::open(log.dir.path()).expect("a log").bundle(&bundle, &Default::default(), &mut |_, _| {}).expect("a bundle");
    let script = std::process::Command::new("sh").arg(bundle.join("verify.sh")).args(["--key", &key]).output().expect("a shell");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stdout));
    assert!(matches!(rotate_key(&log.place(), "anna"), Err(LogError::Missing { .. })));
}
