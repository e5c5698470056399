//! The runs: straight at the site, in every state, and with one ring off at a time.

use std::collections::BTreeMap;

use super::{
    data::{self, Case, Ring, SWITCHED, Time, Vendor},
    pages::{self, Unit},
    round::{Round, State},
};
use crate::{cdp::Script, origin::Manner, report::Report, world::World};

/// The measure.
const CASES_MIN: usize = 150;

/// Every ring but containment.
const CORE: [Ring; 4] = SWITCHED;
/// Every ring.
const ALL: [Ring; 5] = [Ring::Markup, Ring::Headers, Ring::Paths, Ring::Guard, Ring::Containment];

/// The operator allows one third party.
pub(super) fn policies() -> [(&'static str, &'static str); 1] {
    [("hosts.toml", "allowed = [\"friend.example\"]\npresets = []\n")]
}

/// What there is to try.
pub(super) struct Corpus {
    /// Everybody's addresses.
    pub(super) vendors: BTreeMap<String, Vendor>,
    /// The pages.
    pub(super) units: Vec<Unit>,
}

impl Corpus {
    /// Everything.
    pub(super) fn read() -> Self {
        Self::of(&data::cases())
    }

    fn of(cases: &[Case]) -> Self {
        Self { vendors: data::vendors(), units: pages::units(cases) }
    }

    fn units_for(&self, script: Script) -> Vec<Unit> {
        self.units.iter().filter(|unit| unit.is_for(script)).cloned().collect()
    }
}

/// The gate with containment one way or the other.
pub(super) fn settings(containment: &str, rings: &[Ring]) -> String {
    let rings: Vec<String> = SWITCHED
        .iter()
        .filter(|ring| rings.contains(ring))
        .map(|ring| format!("\"{}\"", format!("{ring:?}").to_lowercase()))
        .collect();
    format!("[gate]\ncontainment = \"{containment}\"\nrings = [{}]\n", rings.join(", "))
}

async fn play(round: Round<'_>, corpus: &Corpus, report: &mut Report) {
    let units = corpus.units_for(round.script);
    let started = std::time::Instant::now();
    let outcome = round.run(&units, &corpus.vendors, report).await;
    round.judge(&units, &outcome, report).await;
    if std::env::var_os("HOSTILE_TIMES").is_some() {
        println!("  round {}: {} pages in {:.1?}", round.name, units.len(), started.elapsed());
    }
}

#[tokio::test]
async fn every_hostile_case_fires_without_the_gate() {
    let corpus = Corpus::read();
    let cases = data::cases();
    count(&cases);
    let world = World::bare(Manner::default()).await;
    let mut report = Report::new("hostile control");
    for (name, script) in [("control", Script::On), ("control-nojs", Script::Off)] {
        play(Round { world: &world, name, state: State::Control, script, leaking: false, rings: &[] }, &corpus, &mut report)
            .await;
    }
    report.finish();
    if std::env::var_os("HOSTILE").is_none() && std::env::var_os("HOSTILE_RING").is_none() {
        assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    }
}

/// Prints how many there are, by what stops them and by moment.
fn count(cases: &[Case]) {
    let units = pages::units(cases);
    let instances: usize = units.iter().map(|unit| unit.instances.len()).sum();
    let by = |key: &dyn Fn(&Case) -> String| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for case in cases {
            *counts.entry(key(case)).or_default() += 1;
        }
        counts.into_iter().map(|(key, count)| format!("{key} {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut times: BTreeMap<Time, usize> = BTreeMap::new();
    for instance in units.iter().flat_map(|unit| &unit.instances) {
        *times.entry(instance.time).or_default() += 1;
    }
    println!("hostile corpus: {} cases, {} pages, {instances} instances", cases.len(), units.len());
    println!("  themes: {}", by(&|case| case.theme.clone()));
    println!(
        "  stopped by: {}",
        by(&|case| if case.is_benign() { "nobody (benign)".to_owned() } else { format!("{:?}", case.rings) })
    );
    println!("  moments: {times:?}");
}

async fn states(test: &'static str, containment: &str, rings: &'static [Ring], rounds: &[(&'static str, State, Script)]) {
    let corpus = Corpus::read();
    let world = World::gated_with(&settings(containment, rings), &policies()).await;
    let mut report = Report::new(test);
    for &(name, state, script) in rounds {
        play(Round { world: &world, name, state, script, leaking: false, rings }, &corpus, &mut report).await;
    }
    report.finish();
}

#[tokio::test]
async fn hostile_pages_are_silent_without_consent() {
    let rounds = [
        ("none", State::Undecided, Script::On),
        ("rejected", State::Rejected, Script::On),
        ("withdrawn", State::Withdrawn, Script::On),
        ("none-nojs", State::Undecided, Script::Off),
        ("rejected-nojs", State::Rejected, Script::Off),
    ];
    states("hostile, containment off, no consent", "off", &CORE, &rounds).await;
}

#[tokio::test]
async fn hostile_pages_work_with_consent() {
    let rounds = [
        ("accepts", State::Accepts, Script::On),
        ("granted", State::Granted, Script::On),
        ("granted-nojs", State::Granted, Script::Off),
    ];
    states("hostile, containment off, consent", "off", &CORE, &rounds).await;
}

#[tokio::test]
async fn containment_stops_everybody_without_consent() {
    let rounds = [
        ("none", State::Undecided, Script::On),
        ("withdrawn", State::Withdrawn, Script::On),
        ("none-nojs", State::Undecided, Script::Off),
    ];
    states("hostile, containment enforced, no consent", "enforce", &ALL, &rounds).await;
}

#[tokio::test]
async fn containment_lets_through_what_was_granted() {
    // Accept all brings the page anew there: what follows is a granted page.
    let rounds = [("granted", State::Granted, Script::On)];
    states("hostile, containment enforced, consent", "enforce", &ALL, &rounds).await;
}

async fn without(ring: Ring) {
    let own: Vec<Case> = data::cases().into_iter().filter(|case| case.is_of(ring)).collect();
    let corpus = Corpus::of(&own);
    // Some tags of the parser's the guard takes away before they load, as it happens: luck is no ring.
    let lucky = |other: Ring| ring == Ring::Markup && other == Ring::Guard;
    let rings: Vec<Ring> = SWITCHED.into_iter().filter(|&other| other != ring && !lucky(other)).collect();
    let name = format!("{ring:?}").to_lowercase();
    let world = World::gated_with(&settings("off", &rings), &policies()).await;
    let mut report = Report::new("one ring off");
    let (mut leaking, mut silent) = (0, Vec::new());
    for (round, script) in [("off", Script::On), ("off-nojs", Script::Off)] {
        let round = Round { world: &world, name: round, state: State::Undecided, script, leaking: true, rings: &rings };
        let units = corpus.units_for(script);
        let outcome = round.run(&units, &corpus.vendors, &mut report).await;
        for (unit, seen) in units.iter().zip(&outcome.seen) {
            for (instance, seen) in unit.instances.iter().zip(seen) {
                if *seen > 0 {
                    leaking += 1;
                } else {
                    silent.push(format!("{} {} {:?}", unit.case(instance).name, instance.vendor, instance.time));
                }
            }
        }
    }
    println!("ring {name} off: {leaking} of {} of its instances ({} cases) leak", leaking + silent.len(), own.len());
    for one in silent {
        report.unfired(&name, format_args!("{one}: something else stops it"));
    }
    report.looked_at(leaking);
    report.finish();
}

#[tokio::test]
async fn the_markup_ring_is_needed() {
    without(Ring::Markup).await;
}

#[tokio::test]
async fn the_headers_ring_is_needed() {
    without(Ring::Headers).await;
}

#[tokio::test]
async fn the_paths_ring_is_needed() {
    without(Ring::Paths).await;
}

#[tokio::test]
async fn the_guard_is_needed() {
    without(Ring::Guard).await;
}
