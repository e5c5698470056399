//! Any history of a log verifies: writers, erasures, restrictions, retention runs and reads at the same time, restarts,
//! crashes and restored backups between them, in any order. And it says what it should: an acknowledged record is
//! there until somebody erased it, its time was up, or an older backup was put back; an erased one never comes back.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use consentry::{
    consent_log::{
        ConsentLog, ERASURES, FILE, Filter, Keep, LogError, NoticeLeaf, Options, Order, Reader, Record, Restore, What, Whose,
        Why, back_up, record_id, restore, rotate_key,
    },
    vocab::SubjectId,
};
use futures_util::{FutureExt as _, future::join_all};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use crate::child::{Size, notice, policy, record};

/// What somebody does, at the same time as others of a step.
#[derive(Clone, Debug)]
enum Deed {
    /// A visitor decides; what was decided `long_ago` has run out.
    Decide {
        visitor: u8,
        long_ago: bool,
    },
    Erase {
        visitor: u8,
    },
    Restrict {
        visitor: u8,
    },
    Unrestrict {
        visitor: u8,
    },
    Retain,
    Read,
}

/// What happens between two steps.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Restart,
    /// What is on the disk at this moment goes on elsewhere.
    Crash,
    /// While the log is open.
    BackUp,
    /// Its database is lost: the newest backup goes into what is left of the folder, or into a new one.
    Restore {
        elsewhere: bool,
    },
    RotateKey,
}

/// An acknowledged record.
#[derive(Clone, Debug)]
struct Known {
    id: Uuid,
    index: u64,
    visitor: u8,
    run_out: bool,
    /// Erased, retained or under a restriction at some time: which of it came first is for the log to say.
    touched: bool,
    /// Under a restriction at some time.
    restricted: bool,
    /// It must not be there: its time was up at a retention run, or it was erased.
    gone: bool,
    /// Nor may it come back with an older backup.
    erased: bool,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..4_u8, prop::bool::weighted(0.3)).prop_map(|(visitor, long_ago)| Deed::Decide { visitor, long_ago }),
        2 => (0..4_u8).prop_map(|visitor| Deed::Erase { visitor }),
        1 => (0..4_u8).prop_map(|visitor| Deed::Restrict { visitor }),
        1 => (0..4_u8).prop_map(|visitor| Deed::Unrestrict { visitor }),
        1 => Just(Deed::Retain),
        1 => Just(Deed::Read),
    ]
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        2 => Just(Between::Nothing),
        1 => Just(Between::Restart),
        2 => Just(Between::Crash),
        2 => Just(Between::BackUp),
        2 => any::<bool>().prop_map(|elsewhere| Between::Restore { elsewhere }),
        1 => Just(Between::RotateKey),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_verifies(steps in prop::collection::vec((prop::collection::vec(deed(), 1..10), between()), 1..8), batch_max in 1..6_usize) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut history = History::begin(batch_max).await;
            for (deeds, between) in steps {
                history.step(&deeds).await;
                history.check(&deeds);
                history.between(between).await;
                history.check(&[]);
            }
        });
    }
}

struct History {
    around: tempfile::TempDir,
    data: PathBuf,
    options: Options,
    log: ConsentLog,
    known: Vec<Known>,
    /// The newest backup, and what was known when it was made.
    backup: Option<(PathBuf, Vec<Known>)>,
    /// For names.
    folders: usize,
}

impl History {
    async fn begin(batch_max: usize) -> Self {
        let around = tempfile::tempdir().expect("a folder");
        let (data, options) = (around.path().join("data"), Options { batch_max, reserve_bytes: 0, ..Options::default() });
        let log = open(&data, &options).await;
        Self { around, data, options, log, known: Vec::new(), backup: None, folders: 0 }
    }

    /// Everything at the same time.
    async fn step(&mut self, deeds: &[Deed]) {
        let log = &self.log;
        let running = deeds.iter().map(|deed| match *deed {
            Deed::Decide { visitor, long_ago } => async move {
                let record = decision(visitor, long_ago);
                let recorded = log.append(record).await.expect("the disk is in order");
                let (id, index) = (recorded.id(), recorded.index());
                Some(Known {
                    id,
                    index,
                    visitor,
                    run_out: long_ago,
                    touched: false,
                    restricted: false,
                    gone: false,
                    erased: false,
                })
            }
            .left_future(),
            ref ordered => async move {
                log.carry_out(order(ordered)).await.unwrap_or_else(|error| panic!("{ordered:?}: {error}"));
                None
            }
            .right_future(),
        });
        let decided: Vec<Known> = join_all(running).await.into_iter().flatten().collect();
        for deed in deeds {
            // What was there before the step is meant; what was decided in it may have been before or after.
            self.known.iter_mut().for_each(|known| known.meet(deed));
        }
        self.known.extend(decided.into_iter().map(|mut known| {
            known.touched = deeds.iter().any(|deed| known.is_touched_by(deed));
            known.restricted = known.touched;
            known
        }));
    }

    async fn between(&mut self, between: Between) {
        match between {
            Between::Nothing => {}
            Between::Restart => {
                self.log.close().await;
                self.log = open(&self.data, &self.options).await;
            }
            Between::RotateKey => {
                self.log.close().await;
                rotate_key(&self.data, "anna").unwrap_or_else(|error| panic!("{error}"));
                self.log = open(&self.data, &self.options).await;
            }
            Between::Crash => {
                let elsewhere = self.folder("data");
                copy(&self.data, &elsewhere);
                self.log.close().await;
                self.data = elsewhere;
                self.log = open(&self.data, &self.options).await;
            }
            Between::BackUp => {
                let to = self.folder("backup");
                back_up(&self.data, &to).unwrap_or_else(|error| panic!("{error}"));
                self.backup = Some((to, self.known.clone()));
            }
            Between::Restore { elsewhere } => {
                let Some((from, then)) = self.backup.clone() else { return };
                self.log.close().await;
                self.restore(&from, elsewhere);
                self.go_back(then);
                self.log = open(&self.data, &self.options).await;
            }
        }
    }

    /// A folder that is not there yet.
    fn folder(&mut self, name: &str) -> PathBuf {
        self.folders += 1;
        self.around.path().join(format!("{name}-{}", self.folders))
    }

    fn restore(&mut self, from: &Path, elsewhere: bool) {
        let mut how = Restore { operator: "anna".to_owned(), accept_loss: true, ..Restore::default() };
        if elsewhere {
            let journal = self.data.join(ERASURES);
            how.erasures = journal.exists().then_some(journal);
            self.data = self.folder("data");
        } else {
            for part in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(self.data.join(format!("{FILE}{part}"))); // Not each is there.
            }
        }
        restore(from, &self.data, &how).unwrap_or_else(|error| panic!("elsewhere {elsewhere}: {error}"));
    }

    /// What is known after an older backup was put back: it is as it was then, but for what was erased since.
    fn go_back(&mut self, then: Vec<Known>) {
        let now = std::mem::replace(&mut self.known, then);
        for known in &mut self.known {
            let Some(newer) = now.iter().find(|newer| newer.id == known.id) else { continue };
            // What had run out may have been erased or retained: only the former does not come back.
            known.touched |= newer.touched;
            if newer.erased {
                (known.touched, known.gone, known.erased) = (true, true, true);
            }
        }
    }

    /// The log verifies and says of every record what is known of it.
    #[track_caller]
    fn check(&self, deeds: &[Deed]) {
        let reader = Reader::open(&self.data).expect("a log");
        let verified = reader.verify(None, &mut |_, _| {}).expect("a log");
        assert!(verified.findings.is_empty(), "after {deeds:?}: {:?}", verified.findings);
        let present: BTreeMap<Uuid, u64> = reader
            .find(&Filter::default(), usize::MAX)
            .expect("a log")
            .leaves
            .into_iter()
            .map(|leaf| (leaf.id, leaf.index))
            .collect();
        for known in &self.known {
            let there = present.get(&known.id);
            assert!(known.touched || there == Some(&known.index), "after {deeds:?}: {known:?} is at {there:?}");
            assert!(!known.gone || there.is_none(), "after {deeds:?}: {known:?} is at {there:?}");
            assert!(!known.erased || (there.is_none() && self.log.is_erased(known.id)), "after {deeds:?}: {known:?} is back");
        }
    }
}

impl Known {
    fn is_touched_by(&self, deed: &Deed) -> bool {
        match *deed {
            Deed::Erase { visitor } | Deed::Restrict { visitor } | Deed::Unrestrict { visitor } => visitor == self.visitor,
            Deed::Retain => self.run_out,
            Deed::Decide { .. } | Deed::Read => false,
        }
    }

    fn meet(&mut self, deed: &Deed) {
        let erased = matches!(*deed, Deed::Erase { visitor } if visitor == self.visitor);
        // What retention deleted before is not erased again, nor is what it deletes in the same step.
        self.erased |= erased && !self.run_out;
        self.restricted |= matches!(*deed, Deed::Restrict { visitor } if visitor == self.visitor);
        self.gone |= erased || matches!(deed, Deed::Retain) && self.run_out && !self.restricted;
        self.touched |= self.is_touched_by(deed);
    }
}

async fn open(data: &Path, options: &Options) -> ConsentLog {
    let log = ConsentLog::open(data, options.clone()).unwrap_or_else(|error: LogError| panic!("{error}"));
    log.ensure_policy(&policy()).await.expect("a policy");
    let (sha256, html) = notice(0, Size::Small);
    log.ensure_notice(NoticeLeaf { sha256, json: "{}".to_owned(), html }).await.expect("a notice");
    log
}

fn decision(visitor: u8, long_ago: bool) -> Record {
    let time = Timestamp::now() - SignedDuration::from_hours(if long_ago { 24 * 800 } else { 0 });
    let (expires, subject) = (time + SignedDuration::from_hours(24 * 180), Some(SubjectId([visitor; 16])));
    Record { id: record_id(time), time, expires, subject, ..record(notice(0, Size::Small).0) }
}

fn order(deed: &Deed) -> Order {
    let whose = |visitor: u8| Whose::Subject(SubjectId([visitor; 16]).encode());
    let why = || Why { reason: "request".to_owned(), reference: None };
    let what = match *deed {
        Deed::Erase { visitor } => What::Erase { whose: whose(visitor), why: why(), restricted: true },
        Deed::Restrict { visitor } => What::Restrict { whose: whose(visitor), why: why() },
        Deed::Unrestrict { visitor } => What::Unrestrict { whose: whose(visitor), why: why() },
        Deed::Retain => What::Retain(Keep { months_max: Some(0), ..Keep::default() }),
        Deed::Decide { .. } | Deed::Read => What::Read { command: "find".to_owned(), rows: Some(1) },
    };
    Order { operator: "anna".to_owned(), what, dry_run: false }
}

/// Files and folders; a socket is its process's.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a kind");
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            // One that is written beside and renamed may be gone by now.
            let _ = fs::copy(entry.path(), target);
        }
    }
}
