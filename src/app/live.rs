//! The sites in force: built from a checked configuration, and put in place of those before, whole.
//! What did not change goes on as it was: its upstreams with their open connections, its counters.

use std::sync::{Arc, OnceLock};

use tracing::warn;

use super::{AppError, compile};
use crate::{
    config::{Config, Containment, Fault, Limits, SiteConfig},
    headers::csp,
    proxy::{
        hosts::{Hosts, Table},
        pipeline::Pipeline,
        upstream::{self, Upstreams},
    },
    site::{Shared, Site, Sites, Snapshot},
};

/// The sites in force.
pub(super) struct Live {
    /// The configuration they were built from.
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    /// Which site a request is for.
    pub(super) hosts: Arc<Hosts>,
    /// All of them, in the order of the configuration.
    pub(super) sites: Arc<Sites>,
    pipelines: Vec<Arc<Pipeline>>,
    /// The texts for requests to no site, once they were needed.
    plain: OnceLock<Arc<Snapshot>>,
}

impl Live {
    /// Builds the sites a process begins with. `snapshots` has one a site, in their order.
    pub(super) fn open(shared: Shared, config: Config, snapshots: Vec<Arc<Snapshot>>) -> Result<Self, AppError> {
        let shared = Arc::new(shared);
        let pipelines = pipelines(&[], &config, &shared, snapshots)?;
        let plain = OnceLock::new();
        let hosts = Hosts::new(table(&shared, &pipelines, &plain));
        let sites = Sites::new(pipelines.iter().map(|pipeline| Arc::clone(pipeline.site())).collect());
        Ok(Self { config, shared, hosts: Arc::new(hosts), sites: Arc::new(sites), pipelines, plain })
    }

    /// Puts other sites in place: all of them, or none where one cannot be built.
    pub(super) fn swap(&mut self, config: Config, snapshots: Vec<Arc<Snapshot>>) -> Result<(), AppError> {
        if config.limits != self.config.limits || config.trusted_proxies != self.config.trusted_proxies {
            let shared = Arc::new(self.shared.under(config.limits.clone(), config.trusted_proxies.clone()));
            self.pipelines = pipelines(&self.pipelines, &config, &shared, snapshots)?;
            self.shared = shared;
        } else {
            self.pipelines = pipelines(&self.pipelines, &config, &self.shared, snapshots)?;
        }
        self.hosts.swap(table(&self.shared, &self.pipelines, &self.plain));
        self.sites.swap(self.pipelines.iter().map(|pipeline| Arc::clone(pipeline.site())).collect());
        self.config = config;
        Ok(())
    }
}

fn table(shared: &Arc<Shared>, pipelines: &[Arc<Pipeline>], plain: &OnceLock<Arc<Snapshot>>) -> Table {
    Table::new(Arc::clone(shared), pipelines.to_vec(), || Arc::clone(plain.get_or_init(compile::plain)))
}

/// One pipeline a site. A site is known again by its first host.
fn pipelines(
    old: &[Arc<Pipeline>],
    config: &Config,
    shared: &Arc<Shared>,
    snapshots: Vec<Arc<Snapshot>>,
) -> Result<Vec<Arc<Pipeline>>, AppError> {
    let mut made = Vec::new();
    let mut kept = Vec::new();
    for (site, snapshot) in config.sites.iter().zip(snapshots) {
        tell_of_wall(site, config, &snapshot);
        let setting = upstream_setting(site, &config.limits)?;
        let before = old.iter().find(|pipeline| pipeline.site().config.name() == site.name());
        let same = |before: &Arc<Pipeline>| {
            let old = before.site();
            old.config == *site && Arc::ptr_eq(&old.shared, shared) && *before.upstreams().setting() == setting
        };
        match before {
            Some(before) if same(before) => {
                kept.push((Arc::clone(before.site()), snapshot));
                made.push(Arc::clone(before));
            }
            before => made.push(Arc::new(pipeline(before, site, shared, snapshot, setting)?)),
        }
    }
    // Only now that every site is there: all or none.
    for (site, snapshot) in kept.iter().filter(|(site, snapshot)| !Arc::ptr_eq(&site.snapshot(), snapshot)) {
        site.swap(Arc::clone(snapshot));
    }
    Ok(made)
}

fn pipeline(
    before: Option<&Arc<Pipeline>>,
    config: &SiteConfig,
    shared: &Arc<Shared>,
    snapshot: Arc<Snapshot>,
    setting: upstream::Setting,
) -> Result<Pipeline, AppError> {
    let upstreams = Upstreams::new(&config.upstreams, setting, before.map(|before| before.upstreams()))?;
    let site = match before {
        Some(before) => before.site().succeeded_by(config.clone(), Arc::clone(shared), snapshot),
        None => Site::new(config.clone(), Arc::clone(shared), snapshot),
    };
    Ok(Pipeline::new(Arc::new(site), upstreams)?)
}

/// What a site's upstreams are asked with; a fault names the file.
pub(super) fn upstream_setting(site: &SiteConfig, limits: &Limits) -> Result<upstream::Setting, AppError> {
    let Some(file) = &site.upstream_ca else { return Ok(upstream::Setting::of(limits, None)?) };
    let fault = |message: String| {
        let mend = "name a PEM file with the certificate of the authority";
        AppError::Faults(vec![Fault::whole(&file.to_string_lossy(), message, mend)])
    };
    let pem = std::fs::read(file).map_err(|error| fault(format!("the file cannot be read: {error}")))?;
    upstream::Setting::of(limits, Some(pem)).map_err(|error| fault(error.to_string()))
}

/// A wall that lets everything through for those who grant everything is not what `enforce` promises.
fn tell_of_wall(site: &SiteConfig, config: &Config, snapshot: &Snapshot) {
    if site.containment != Containment::Enforce {
        return;
    }
    let setting = csp::Setting::of(site.containment, &config.limits, "");
    let wall = csp::Wall::build(&snapshot.policy, &snapshot.policy.everything(), &setting);
    if wall.fit == csp::Fit::Open {
        warn!(
            site = site.name(),
            "a visitor who grants every vendor gets a containment policy that lets all https through: declare only the vendors that the site uses, or raise [limits] containment_bytes"
        );
    }
}
