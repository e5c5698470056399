//! Policy, notices and scripts of every site, from the files that people edit. Sites with the same
//! files share what was made of them, and what did not change is not made again.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use super::files::{self, Folders, Look};
use crate::{
    browser::{Scripts, Texts},
    config::{Fault, SiteConfig},
    notice::{Notices, TemplateSources},
    policy::{Policy, Sources},
    site::Snapshot,
};

/// Compiles what the files of sites say, and remembers it.
pub struct Compiler {
    /// The policies that lie under every site's own.
    base: Sources,
    known: HashMap<Made, (Look, Arc<Snapshot>)>,
}

/// One snapshot a site and the warnings, or every fault.
pub type Compiled = Result<(Vec<Arc<Snapshot>>, Vec<Fault>), Vec<Fault>>;

/// What a snapshot is made from.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Made {
    policies: Option<PathBuf>,
    templates: Option<PathBuf>,
    prefix: String,
}

impl Compiler {
    /// Lays every site's policy files over `base`: the embedded ones, but in the demo.
    pub fn new(base: Sources) -> Self {
        Self { base, known: HashMap::new() }
    }

    /// Has every file read again, whether it looks changed or not.
    pub fn forget(&mut self) {
        self.known.values_mut().for_each(|(look, _)| *look = files::unseen());
    }

    /// One snapshot a site, in their order, and the warnings; or every fault of every file. Faults and
    /// warnings name the files as they lie on the disk.
    pub fn compile(&mut self, sites: &[SiteConfig]) -> Compiled {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let wanted: Vec<Made> = sites.iter().map(Made::of).collect();
        let mut seen = HashSet::new();
        for made in wanted.iter().filter(|made| seen.insert(*made)) {
            // Before the files are read: an edit in between is a change at the next look.
            let look = made.look();
            let old = self.known.get(made);
            if old.is_some_and(|(then, _)| *then == look) {
                continue;
            }
            match made.make(&self.base) {
                Ok((snapshot, mut found)) => {
                    let kept = old.map(|(_, old)| old).filter(|old| old.fingerprint() == snapshot.fingerprint());
                    if kept.is_none() {
                        warnings.append(&mut found);
                    }
                    let snapshot = kept.map_or_else(|| Arc::new(snapshot), Arc::clone);
                    self.known.insert(made.clone(), (look, snapshot));
                }
                Err(mut found) => faults.append(&mut found),
            }
        }
        if !faults.is_empty() {
            return Err(tidy(faults));
        }
        self.known.retain(|made, _| seen.contains(made));
        Ok((wanted.iter().map(|made| Arc::clone(&self.known[made].1)).collect(), tidy(warnings)))
    }
}

/// What is wrong with a file that two sites share is told once.
fn tidy(mut faults: Vec<Fault>) -> Vec<Fault> {
    let mut told = HashSet::new();
    faults.retain(|fault| told.insert(fault.to_string()));
    faults
}

impl Made {
    fn of(site: &SiteConfig) -> Self {
        Self { policies: site.policies.clone(), templates: site.templates.clone(), prefix: site.prefix.clone() }
    }

    fn look(&self) -> Look {
        files::look(&[], [&self.policies, &self.templates].into_iter().flatten())
    }

    fn make(&self, base: &Sources) -> Result<(Snapshot, Vec<Fault>), Vec<Fault>> {
        let policies = files::read_policies_over(base.clone(), self.policies.as_deref());
        let templates = files::read_templates(self.templates.as_deref());
        let (policies, templates) = match (policies, templates) {
            (Ok(policies), Ok(templates)) => (policies, templates),
            (policies, templates) => {
                return Err([policies.err().unwrap_or_default(), templates.err().unwrap_or_default()].concat());
            }
        };
        let folders = Folders { policies: self.policies.clone(), templates: self.templates.clone() };
        match snapshot(&policies, &templates, &self.prefix) {
            Ok((snapshot, warnings)) => Ok((snapshot, folders.name(warnings))),
            Err(faults) => Err(folders.name(faults)),
        }
    }
}

/// Policy, notices and scripts that belong together; warnings beside them. `prefix` is where the
/// gate's own paths are.
fn snapshot(policies: &Sources, templates: &TemplateSources, prefix: &str) -> Result<(Snapshot, Vec<Fault>), Vec<Fault>> {
    let (policy, mut warnings) = Policy::compile(policies)?;
    let (notices, mut more) = Notices::build(&policy, templates, &policy.controller().name)?;
    warnings.append(&mut more);
    let texts = Texts {
        shared: templates.fixed("guard/shared.js"),
        guard: templates.fixed("guard/guard.js"),
        stand_ins: templates.fixed("guard/stand-ins.js"),
        worker: templates.fixed("guard/worker.js"),
        gate: templates.fixed("guard/gate.js"),
    };
    let scripts = Scripts::build(&policy, prefix, &texts);
    Ok((Snapshot::new(policy, notices, scripts), warnings))
}

/// The texts for requests to no site: the embedded ones alone.
pub(super) fn plain() -> Arc<Snapshot> {
    let made = snapshot(&Sources::embedded(), &TemplateSources::embedded(), "/_consent");
    Arc::new(made.expect("the embedded files are good: a test compiles them").0)
}
