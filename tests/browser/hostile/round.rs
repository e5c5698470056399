//! One round: every page visited once in one state, by several visitors side by side.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    data::{Expect, Ring, Time, Vendor},
    pages::{Instance, Unit},
};
use crate::{
    cdp::{Page, Script, Visitor},
    hand::{ACCEPT, BANNER, REJECT, decide, follow, withdraw},
    report::Report,
    world::World,
};

/// So many tabs at once: pages wait for timers more than for the processor.
const TABS: usize = 6;
/// What fires does so in a fraction of it.
const FIRE_TIMEOUT: Duration = Duration::from_secs(12);
/// What has to stay silent gets so long at each step.
const SILENCE: Duration = Duration::from_millis(260);
/// A browser follows some things as it likes (what to fetch ahead, for one), and late on a busy machine: pages on
/// which something did not fire are visited so often by visitors with nothing else to do.
const TURNS_MAX: usize = 3;
/// More of them than this have another reason.
const LATE_MAX: usize = 6;
/// After the last page, for what comes late.
const AFTERMATH: Duration = Duration::from_millis(1200);

/// What the visitors decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no gate.
    Control,
    /// Nothing yet.
    Undecided,
    /// **Reject all**.
    Rejected,
    /// **Accept all**, on each page.
    Accepts,
    /// **Accept all**, on a page before.
    Granted,
    /// Granted and taken back.
    Withdrawn,
}

/// A round and what it is to show.
#[derive(Clone, Copy)]
pub(super) struct Round<'world> {
    /// The world it is in.
    pub(super) world: &'world World,
    /// In ids and addresses, unique in a world.
    pub(super) name: &'world str,
    /// What the visitors decided.
    pub(super) state: State,
    /// Whether their browser runs scripts.
    pub(super) script: Script,
    /// Whether everything that no ring stops has to fire: a run with a ring off.
    pub(super) leaking: bool,
    /// The rings that are on; containment is one when it is enforced.
    pub(super) rings: &'world [Ring],
}

/// How often each instance was seen, and what the pages complained about.
pub(super) struct Outcome {
    /// In the order of the units and of their instances.
    pub(super) seen: Vec<Vec<usize>>,
    /// By unit.
    pub(super) complaints: BTreeMap<usize, Vec<String>>,
}

/// What an instance has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    /// Reach somebody.
    Fire,
    /// Reach nobody.
    Silence,
    /// Either.
    Any,
}

impl Round<'_> {
    /// What an instance has to do in this round.
    pub(super) fn must(&self, unit: &Unit, instance: &Instance) -> Must {
        let case = unit.case(instance);
        let stopped = case.is_stopped_by(self.rings);
        match self.state {
            State::Control => Must::Fire,
            _ if case.refused && !stopped => Must::Any,
            State::Granted | State::Accepts if case.refused => Must::Any,
            State::Accepts if !case.banner && !case.is_benign() => Must::Any,
            _ if self.leaking && !stopped => Must::Fire,
            _ if case.is_benign() => Must::Fire,
            _ if case.is_unknown() => {
                if stopped {
                    Must::Silence
                } else {
                    Must::Fire
                }
            }
            State::Granted if case.walled && self.rings.contains(&Ring::Containment) => Must::Any,
            State::Granted => Must::Fire,
            State::Accepts if case.released || matches!(instance.time, Time::Click | Time::Leave) => Must::Fire,
            // It was tried before the click.
            State::Accepts => Must::Any,
            _ if stopped => Must::Silence,
            _ => Must::Any,
        }
    }

    /// Visits every page, and again the few on which not everything fired that has to.
    pub(super) async fn run(&self, units: &[Unit], vendors: &BTreeMap<String, Vendor>, report: &mut Report) -> Outcome {
        let mut outcome = self.tour(units, vendors, report).await;
        for turn in 2..=TURNS_MAX {
            let late: Vec<usize> = (0..units.len()).filter(|&at| self.is_late(&units[at], &outcome.seen[at])).collect();
            if late.is_empty() || late.len() > LATE_MAX {
                break;
            }
            let pages: Vec<Unit> = late.iter().map(|&at| units[at].clone()).collect();
            let names: Vec<&str> = pages.iter().map(|unit| unit.name.as_str()).collect();
            println!("  round {}, visited again: {}", self.name, names.join(", "));
            let round = Round { name: &format!("{}-{turn}", self.name), ..*self };
            let seen = round.tour(&pages, vendors, report).await.seen;
            for (at, seen) in late.into_iter().zip(seen) {
                if !self.is_late(&units[at], &seen) {
                    // What was seen where nothing may be stays seen.
                    let first = std::mem::replace(&mut outcome.seen[at], seen);
                    let fixed = units[at].instances.iter().zip(&mut outcome.seen[at]).zip(first);
                    fixed
                        .filter(|((instance, _), _)| self.must(&units[at], instance) != Must::Fire)
                        .for_each(|((_, seen), first)| *seen = (*seen).max(first));
                }
            }
        }
        outcome
    }

    /// Whether something did not fire, or not as often as it should.
    fn is_late(&self, unit: &Unit, seen: &[usize]) -> bool {
        unit.instances.iter().zip(seen).any(|(instance, &seen)| {
            let count = unit.case(instance).count;
            self.must(unit, instance) == Must::Fire && (seen == 0 || (count > 0 && seen != count))
        })
    }

    /// Visits every page once.
    async fn tour(&self, units: &[Unit], vendors: &BTreeMap<String, Vendor>, report: &mut Report) -> Outcome {
        for unit in units {
            unit.stock(&self.world.origin, self.name, vendors);
        }
        let queue: Mutex<VecDeque<usize>> = Mutex::new((0..units.len()).collect());
        let outcome = Mutex::new(Outcome {
            seen: units.iter().map(|unit| vec![0; unit.instances.len()]).collect(),
            complaints: BTreeMap::new(),
        });
        let tabs = (0..TABS).map(|_| self.tab(units, &queue, &outcome));
        for fault in join_all(tabs).await.into_iter().flatten() {
            report.broken(self.name, fault);
        }
        tokio::time::sleep(AFTERMATH).await;
        let mut outcome = outcome.into_inner().expect("no holder panics");
        for (unit, seen) in units.iter().zip(&mut outcome.seen) {
            for (instance, seen) in unit.instances.iter().zip(seen) {
                *seen = (*seen).max(self.count(unit, instance));
            }
        }
        outcome
    }

    /// One visitor with one tab, for pages as long as there are any.
    async fn tab(&self, units: &[Unit], queue: &Mutex<VecDeque<usize>>, outcome: &Mutex<Outcome>) -> Vec<String> {
        let visitor = self.world.browser.visitor().await;
        let mut faults = Vec::new();
        if let Err(fault) = self.prepare(&visitor).await {
            return vec![fault];
        }
        let page = visitor.page(self.script).await;
        loop {
            let Some(at) = queue.lock().expect("no holder panics").pop_front() else { break };
            let unit = &units[at];
            if self.state == State::Accepts {
                visitor.start_over(&page).await;
            }
            match self.visit(&page, &visitor, unit).await {
                Ok(seen) => outcome.lock().expect("no holder panics").seen[at] = seen,
                Err(fault) => faults.push(format!("{}: {fault}", &unit.name)),
            }
            let complaints: Vec<String> = page.complaints().into_iter().filter(|text| is_own(text)).collect();
            // That the gate may refuse the document is part of such a case.
            let refused = unit.cases[0].refused && self.state != State::Control;
            let complaints: Vec<String> =
                complaints.into_iter().filter(|text| !refused || !text.contains("status of 502")).collect();
            if self.state == State::Control {
                // A case whose own code is wrong shows nothing.
                let wrong = ["SyntaxError", "ReferenceError", "TypeError", "Error: "];
                let thrown = complaints.iter().filter(|text| wrong.iter().any(|kind| text.contains(kind)));
                faults.extend(thrown.map(|text| format!("{}: {text}", &unit.name)));
            }
            if !complaints.is_empty() {
                outcome.lock().expect("no holder panics").complaints.insert(at, complaints);
            }
        }
        visitor.leave().await;
        faults
    }

    /// Brings the visitor into the round's state.
    async fn prepare(&self, visitor: &Visitor<'_>) -> Result<(), String> {
        let button = match self.state {
            State::Control | State::Undecided | State::Accepts => return Ok(()),
            State::Rejected => REJECT,
            State::Granted | State::Withdrawn => ACCEPT,
        };
        self.world.origin.put("/plain", crate::origin::Doc::shop("", ""));
        let page = visitor.page(self.script).await;
        page.go(&self.world.through("/plain")).await?;
        let mut report = Report::new("a decision");
        let done = if self.script == Script::On {
            decide(&page, button, &mut report, "prepared").await
        } else {
            follow(self.world, &page, button, &mut report, "prepared").await
        };
        let done = done && (self.state != State::Withdrawn || withdraw(self.world, &page, &mut report, "prepared").await);
        if done { Ok(()) } else { Err(format!("no decision: {}", report.faults().join("; "))) }
    }

    /// A visit with everything that can happen on it; what was seen by other means than requests.
    async fn visit(&self, page: &Page, visitor: &Visitor<'_>, unit: &Unit) -> Result<Vec<usize>, String> {
        let path = unit.base(self.name);
        let address = if self.state == State::Control { self.world.direct(&path) } else { self.world.through(&path) };
        // A page that goes somewhere else at once is not seen to load.
        let went = page.go(&address).await;
        if went.is_err() && unit.cases[0].refused && self.state != State::Control {
            return Ok(vec![0; unit.instances.len()]);
        }
        if let Err(fault) = &went
            && !fault.contains("ERR_ABORTED")
        {
            return Err(fault.clone());
        }
        if self.state == State::Accepts && unit.cases[0].banner {
            // What the page tries before the click is over by then.
            tokio::time::sleep(SILENCE).await;
            page.click(ACCEPT).await?;
            let start = Instant::now();
            while crate::hand::shows(page, BANNER).await {
                if start.elapsed() > FIRE_TIMEOUT {
                    return Err("the banner stays".to_owned());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.wait(unit, |time| matches!(time, Time::Parse | Time::Load | Time::Later)).await;
        if unit.has(Time::Click) {
            page.click("#go").await?;
            self.wait(unit, |time| time == Time::Click).await;
        }
        let mut seen = vec![0; unit.instances.len()];
        if unit.cases[0].expect == Expect::Cookie {
            let jar = visitor.cookies().await;
            let here = jar.iter().filter(|cookie| cookie.path == path || cookie.path == path.trim_end_matches('/')).count();
            seen.fill(here.min(1));
        }
        if unit.cases[0].expect == Expect::Stored {
            let there = page.eval(&unit.cases[0].stored).await == true;
            seen.fill(usize::from(there));
        }
        page.go("about:blank").await?;
        self.wait(unit, |time| time == Time::Leave).await;
        Ok(seen)
    }

    /// Waits for what has to come at these moments, or long enough for what must not.
    async fn wait(&self, unit: &Unit, at: impl Fn(Time) -> bool) {
        let due: Vec<&Instance> = unit.instances.iter().filter(|instance| at(instance.time)).collect();
        let start = Instant::now();
        if due.is_empty() {
            return;
        }
        if matches!(unit.cases[0].expect, Expect::Stored | Expect::Cookie) {
            return tokio::time::sleep(SILENCE).await;
        }
        let firing: Vec<&&Instance> = due.iter().filter(|instance| self.must(unit, instance) == Must::Fire).collect();
        while firing.iter().any(|instance| self.count(unit, instance) < unit.case(instance).count.max(1))
            && start.elapsed() < FIRE_TIMEOUT
        {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        if firing.len() < due.len() {
            tokio::time::sleep(SILENCE.saturating_sub(start.elapsed())).await;
        }
    }

    fn count(&self, unit: &Unit, instance: &Instance) -> usize {
        let id = unit.id(instance, self.name);
        match unit.case(instance).expect {
            Expect::Heard => self.world.recorder.tagged(&id),
            Expect::Origin => self.world.origin.tagged(&id),
            Expect::Greeted | Expect::Cookie | Expect::Stored => 0,
        }
    }

    /// Compares what happened with what has to, and says so in the report.
    pub(super) async fn judge(&self, units: &[Unit], outcome: &Outcome, report: &mut Report) {
        for (unit, seen) in units.iter().zip(&outcome.seen) {
            // One line a case and fault: a ring that is missing makes hundreds of them.
            for (at, case) in unit.cases.iter().enumerate() {
                let (mut leaks, mut missing, mut uneven) = (Vec::new(), Vec::new(), Vec::new());
                for (instance, &seen) in unit.instances.iter().zip(seen).filter(|(instance, _)| instance.case == at) {
                    let which = format!("{} {:?}", instance.vendor, instance.time);
                    report.looked_at(1);
                    match self.must(unit, instance) {
                        Must::Silence if seen > 0 => leaks.push(which),
                        Must::Fire if seen == 0 => missing.push(which),
                        Must::Fire if case.count > 0 && seen != case.count => {
                            uneven.push(format!("{which} {seen} times and not {}", case.count));
                        }
                        _ => {}
                    }
                }
                let place = format!("{}/{} ({}, {:?})", self.name, case.name, case.theme, case.rings);
                if !leaks.is_empty() {
                    report.leak(&place, leaks.join(", "));
                }
                if !missing.is_empty() {
                    report.unfired(&place, format_args!("never: {}", missing.join(", ")));
                }
                if !uneven.is_empty() {
                    report.unfired(&place, format_args!("unlike the control: {}", uneven.join(", ")));
                }
            }
        }
        for (at, complaint) in self.new_complaints(units, outcome).await {
            report.broken(&format!("{}/{}", self.name, units[at].name), complaint);
        }
    }

    /// What pages complain about that they do not complain about without the gate.
    async fn new_complaints(&self, units: &[Unit], outcome: &Outcome) -> Vec<(usize, String)> {
        let mut new = Vec::new();
        if self.state == State::Control {
            return new;
        }
        let visitor = self.world.browser.visitor().await;
        let page = visitor.page(self.script).await;
        let mut control: HashMap<usize, Vec<String>> = HashMap::new();
        for (&at, complaints) in &outcome.complaints {
            let bare = Round {
                world: self.world,
                name: self.name,
                state: State::Control,
                script: self.script,
                leaking: false,
                rings: &[],
            };
            let _ = bare.visit(&page, &visitor, &units[at]).await; // Its complaints are what matters.
            control.insert(at, page.complaints().iter().map(|text| plain(text)).collect());
            new.extend(complaints.iter().filter(|text| !control[&at].contains(&plain(text))).map(|text| (at, text.clone())));
        }
        visitor.leave().await;
        new
    }
}

/// Whether a page's complaint is about its own code and not about a case's load that came to nothing.
fn is_own(complaint: &str) -> bool {
    !["hc=", "Content Security Policy", "/favicon.ico"].iter().any(|mark| complaint.contains(mark))
}

/// A complaint without what differs from visit to visit.
fn plain(complaint: &str) -> String {
    complaint.chars().filter(|c| !c.is_ascii_digit()).collect()
}
