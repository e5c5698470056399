//! Which site a request is for: a table from host name to pipeline, swapped whole by a reload. A
//! request keeps the pipeline it was given, with all that hangs on it, until it is answered.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tracing::debug;

use super::pipeline::{Negotiated, Pipeline};
use crate::{
    endpoint,
    site::{Front, Peer, Shared, Snapshot, UpstreamState},
    wire::{Body, Failure},
};

/// The sites by the names they answer to.
pub struct Hosts(ArcSwap<Table>);

/// One state of the table.
pub struct Table {
    shared: Arc<Shared>,
    /// In the order of the configuration.
    all: Vec<Arc<Pipeline>>,
    names: Names,
}

enum Names {
    /// One site for every name.
    Any(Arc<Pipeline>),
    /// Several, or one that has names.
    Named {
        exact: HashMap<String, Arc<Pipeline>>,
        /// By what stands behind `*.`.
        below: HashMap<String, Arc<Pipeline>>,
        /// The texts for those who ask for none of them: built in, with nothing of any site.
        plain: Arc<Snapshot>,
    },
}

impl Hosts {
    /// Answers by a table until another takes its place.
    pub fn new(table: Table) -> Self {
        Self(ArcSwap::from_pointee(table))
    }

    /// Puts another table in place: for requests that come from now on.
    pub fn swap(&self, table: Table) {
        self.0.store(Arc::new(table));
    }

    /// The pipelines of every site, in the order of the configuration.
    pub fn pipelines(&self) -> Vec<Arc<Pipeline>> {
        self.0.load().all.clone()
    }

    /// How the upstreams of every site are doing, by the name the site is known by.
    pub fn upstreams(&self) -> Vec<(String, Vec<UpstreamState>)> {
        let table = self.0.load();
        table.all.iter().map(|pipeline| (pipeline.site().config.name(), pipeline.upstreams().state())).collect()
    }

    /// Answers a request by the site it names; a name of no site gets 421 (RFC 9110, 15.5.20).
    pub async fn handle(&self, req: Request<Incoming>, peer: Peer) -> Response<Body> {
        let table = self.0.load_full();
        let front = Front::of(&req, peer, &table.shared.trusted_proxies);
        let failure = match &table.names {
            Names::Any(one) => return one.handle(req, peer, front).await,
            Names::Named { .. } => match front {
                Ok(front) => match table.find(&front.host).map(Arc::clone) {
                    Some(pipeline) => {
                        // The old table may go while this request is under way.
                        drop(table);
                        return pipeline.handle(req, peer, Ok(front)).await;
                    }
                    None => Failure::Misdirected,
                },
                Err(failure) => failure,
            },
        };
        debug!(status = failure.status().as_u16(), "{failure}");
        let Names::Named { plain, .. } = &table.names else { unreachable!("a site for every name has answered") };
        endpoint::failure_page(&plain.notices, &Negotiated::of(req.headers()).headers(), &failure)
    }
}

impl Table {
    /// Puts together the pipelines of all sites, whose names differ. `plain` has the texts for a request
    /// that is for none of them; it is asked for only where a site has names.
    pub fn new(shared: Arc<Shared>, all: Vec<Arc<Pipeline>>, plain: impl FnOnce() -> Arc<Snapshot>) -> Self {
        if let Some(one) = all.iter().find(|pipeline| pipeline.site().config.hosts.is_empty()).map(Arc::clone) {
            return Self { shared, all, names: Names::Any(one) };
        }
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for pipeline in &all {
            for host in &pipeline.site().config.hosts {
                let names = if host.below { &mut below } else { &mut exact };
                names.insert(host.name.clone(), Arc::clone(pipeline));
            }
        }
        Self { shared, all, names: Names::Named { exact, below, plain: plain() } }
    }

    /// The name itself before names below, the longest of these first. `host` is as [`Front`] has it: in
    /// lower case and ASCII, without port and last dot.
    fn find(&self, host: &str) -> Option<&Arc<Pipeline>> {
        let Names::Named { exact, below, .. } = &self.names else { return None };
        exact.get(host).or_else(|| {
            let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
            parents.filter(|parent| !parent.is_empty()).find_map(|parent| below.get(parent))
        })
    }
}
