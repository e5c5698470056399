//! A power cut: everything that was not flushed is gone. The log lies in the image of a disk; its writer is killed,
//! the image is copied as it is at that moment, without what only the memory of this machine had, and the copy is
//! mounted like a disk after the cut.
//!
//! The control, a log that does not flush, loses what it acknowledged: the test can fail.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use consentry::consent_log::{ConsentLog, FILE, Options, Reader, Synchronous};
use uuid::Uuid;

use crate::{
    child::{self, Role, Said},
    gate::kill,
    mount::{self, Mount},
};

const CUTS: usize = 12;
const DISK_MIB: u64 = 48;

#[test]
fn acknowledged_decisions_survive_a_power_cut() {
    if !mount::possible("that acknowledged decisions survive a power cut") {
        return;
    }
    for cut in 0..CUTS {
        // At another moment of the work in every round, the first commit and the first checkpoint among them.
        let decisions = [1, 2, 3, 5, 8, 13, 40, 80, 120, 200, 300, 500][cut % 12];
        let (acked, present) = after_a_cut(Synchronous::Full, decisions);
        let present = present.unwrap_or_else(|why| panic!("cut {cut}: {why}"));
        let lost: Vec<_> = acked.iter().filter(|id| !present.contains(id)).collect();
        assert!(lost.is_empty(), "cut {cut}: {} of {} acknowledged decisions are gone: {lost:?}", lost.len(), acked.len());
    }
}

#[test]
fn without_flushing_a_power_cut_loses_decisions() {
    if !mount::possible("that a log that does not flush fails the test of power cuts") {
        return;
    }
    for _ in 0..3 {
        let (acked, present) = after_a_cut(Synchronous::Off, 100);
        let present = present.unwrap_or_default();
        let lost = acked.iter().filter(|id| !present.contains(id)).count();
        assert!(lost > 0, "all of {} decisions that were never flushed are there: this proves nothing", acked.len());
    }
}

/// What a writer saw acknowledged until it had made so many decisions and the power went, and what is in the log on
/// the disk after that, if there is one.
fn after_a_cut(synchronous: Synchronous, decisions: usize) -> (Vec<Uuid>, Result<Vec<Uuid>, String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (disk, at) = (folder.path().join("disk"), folder.path().join("at"));
    mount::image(&disk, DISK_MIB);
    let copy = folder.path().join("copy");
    let acked = {
        let _mounted = Mount::image(&disk, &at).expect("it was possible a moment ago");
        let acked = acknowledged_until_killed(&at.join("data"), synchronous, decisions);
        // Not through the file system in the image: that would flush it.
        fs::copy(&disk, &copy).expect("room for a copy");
        acked
    };
    let _after = Mount::image(&copy, &folder.path().join("after")).expect("the journal mends the file system");
    (acked, present(&folder.path().join("after/data")))
}

/// The ids that a child acknowledged before it was killed, in the middle of its work.
fn acknowledged_until_killed(data: &Path, synchronous: Synchronous, decisions: usize) -> Vec<Uuid> {
    let role = match synchronous {
        Synchronous::Full => Role::AppendForEver,
        Synchronous::Off => Role::AppendForEverUnflushed,
    };
    let (exe, arguments, variables) = child::command(role, data);
    let mut child = Command::new(exe);
    child.args(arguments).envs(variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = child.spawn().expect("this program");
    let mut acked = Vec::new();
    let began = Instant::now();
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        match Said::parse(&line) {
            Some(Said::Acked(id)) => acked.push(id.parse().expect("an id")),
            Some(Said::Refused(why)) => panic!("the disk is in order: {why}"),
            _ => {}
        }
        if acked.len() == decisions {
            // Whatever it acknowledges until it is gone is read as well.
            crate::gate::signal(child.id());
        }
    }
    kill(&mut child);
    assert!(acked.len() >= decisions, "only {} decisions in {:?}", acked.len(), began.elapsed());
    acked
}

/// The ids in a log that a new process opens and closes, as a start after the cut does, and then verifies.
pub(crate) fn present(data: &Path) -> Result<Vec<Uuid>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    if !data.join(FILE).exists() {
        return Err("there is no log".to_owned());
    }
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let log = ConsentLog::open(data, options).map_err(|error| text(&error))?;
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(log.close());
    let reader = Reader::open(data).map_err(|error| text(&error))?;
    let verified = reader.verify(None, &mut |_, _| {}).map_err(|error| text(&error))?;
    if let Some(finding) = verified.findings.first() {
        return Err(format!("index {}: {}", finding.index, finding.what));
    }
    let found = reader.find(&consentry::consent_log::Filter::default(), usize::MAX).map_err(|error| text(&error))?;
    Ok(found.leaves.iter().map(|leaf| leaf.id).collect())
}
