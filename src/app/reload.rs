//! Edited policies and templates are picked up while the gate runs: validated first, swapped whole,
//! the old ones kept when the new ones are at fault.
//!
//! The folders are looked at twice a second by size and time of change. Notifications of the file
//! system would save that look, and miss changes on network and container mounts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{Folders, compile, files, put_on_record, service};
use crate::{site::Site, wire::Causes};

/// A change is taken up once it has stood still for one look.
const LOOK_EVERY: Duration = Duration::from_millis(300);

type Fingerprint = Vec<(PathBuf, u64, Option<SystemTime>)>;

pub(super) struct Reloader {
    folders: Folders,
    /// The files as they were when they were last read. Empty at first: an edit between the first
    /// reading and the first look would be missed otherwise.
    applied: Fingerprint,
    /// Whether the files as last read were at fault.
    at_fault: bool,
}

impl Reloader {
    pub(super) fn new(folders: Folders) -> Self {
        Self { folders, applied: Vec::new(), at_fault: false }
    }

    /// Looks until `stop` turns true.
    pub(super) async fn run(mut self, site: Arc<Site>, mut stop: watch::Receiver<bool>) {
        if self.folders.policies.is_none() && self.folders.templates.is_none() {
            return;
        }
        let mut last = self.applied.clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let now = self.look();
            if now != self.applied && now == last {
                self.applied.clone_from(&now);
                service::reloading();
                self.reload(&site).await;
                service::ready();
            }
            last = now;
        }
    }

    async fn reload(&mut self, site: &Site) {
        let read = || {
            let policies = files::read_policies(self.folders.policies.as_deref())?;
            let templates = files::read_templates(self.folders.templates.as_deref())?;
            compile(&policies, &templates, &self.folders, &site.config.prefix)
        };
        let (snapshot, warnings) = match read() {
            Ok(compiled) => compiled,
            Err(faults) => {
                self.at_fault = true;
                faults.iter().for_each(|fault| error!("{fault}"));
                return error!(faults = faults.len(), "the edited files are at fault: the policy in force stays");
            }
        };
        let mended = std::mem::take(&mut self.at_fault);
        if snapshot.fingerprint() == site.snapshot().fingerprint() {
            if mended {
                info!("the edited files are in order again, and as they were");
            }
            return;
        }
        warnings.iter().for_each(|warning| warn!("{warning}"));
        // On record before it is in force: a decision made under it cites it.
        if let Err(error) = put_on_record(&site.log, &snapshot).await {
            return error!("the edited policy cannot be put on record, the policy in force stays: {}", Causes(&error));
        }
        let revision = snapshot.policy.revision();
        let asked_again = revision != site.snapshot().policy.revision();
        site.swap(snapshot);
        info!(revision = revision.0.short(), asked_again, "edited files are in force");
    }

    fn look(&self) -> Fingerprint {
        let mut prints = Vec::new();
        for folder in [&self.folders.policies, &self.folders.templates].into_iter().flatten() {
            prints.extend(look_below(folder));
        }
        prints.sort();
        prints
    }
}

/// A folder that cannot be read looks empty: that is a change, and the reload names the fault.
fn look_below(folder: &Path) -> Fingerprint {
    let mut paths = Vec::new();
    let _ = files::list(folder, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let meta = std::fs::metadata(&path).ok();
            let (size, changed) = meta.map_or((0, None), |meta| (meta.len(), meta.modified().ok()));
            (path, size, changed)
        })
        .collect()
}
