//! Edited files are picked up while the gate runs: validated first, swapped whole, the old ones kept
//! when the new ones are at fault. No connection notices: each request keeps what it began with.
//!
//! Files are looked at three times a second by size and time of change. Notifications of the file
//! system would save that look, and miss changes on network and container mounts.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use super::{
    Compiled, Compiler, ConfigSource, distinct,
    files::{self, Look},
    live::Live,
    put_on_record, service,
};
use crate::{
    config::{Config, Fault, Limits, TlsConfig},
    site::{Site, Snapshot},
    wire::Causes,
};

/// A change is taken up once it has stood still for one look.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(super) struct Reloader {
    compiler: Arc<Mutex<Compiler>>,
    /// Where the configuration is read again; without one it stays.
    source: Option<ConfigSource>,
    /// The configuration as last read, whether it came into force or not: its files are looked at.
    watched: Config,
    /// The files as they were when they were last read.
    applied: Look,
    /// Whether the files as last read were at fault.
    at_fault: bool,
    asked: Arc<Notify>,
}

impl Reloader {
    /// To be made before the files of `config` are read.
    pub(super) fn new(compiler: Compiler, source: Option<ConfigSource>, config: &Config) -> Self {
        let applied = look(source.as_ref(), config);
        let compiler = Arc::new(Mutex::new(compiler));
        Self { compiler, source, watched: config.clone(), applied, at_fault: false, asked: Arc::default() }
    }

    /// Whoever notifies this has everything read again.
    pub(super) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Looks until `stop` turns true.
    pub(super) async fn run(mut self, mut live: Live, mut stop: watch::Receiver<bool>) {
        let mut last = self.applied.clone();
        let asked = self.asked();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = asked.notified() => true,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let now = look(self.source.as_ref(), &self.watched);
            if asked || now != self.applied && now == last {
                // Where the configuration names other folders than before, the next look differs and all
                // is read once more: an edit in between is not missed.
                self.applied.clone_from(&now);
                if asked {
                    self.compiler.lock().unwrap_or_else(PoisonError::into_inner).forget();
                }
                service::reloading();
                self.reload(&mut live, asked).await;
                service::ready();
            }
            last = now;
        }
    }

    /// Compiles away from the threads that answer requests.
    pub(super) async fn compile(&mut self, config: &Config) -> Compiled {
        let (compiler, sites) = (Arc::clone(&self.compiler), config.sites.clone());
        let compiled =
            tokio::task::spawn_blocking(move || compiler.lock().unwrap_or_else(PoisonError::into_inner).compile(&sites));
        compiled.await.unwrap_or_else(|error| Err(vec![Fault::whole("consentry", format!("internal fault: {error}"), "")]))
    }

    async fn reload(&mut self, live: &mut Live, asked: bool) {
        let (config, snapshots) = match self.read(live).await {
            Ok(read) => read,
            Err(faults) => {
                self.at_fault = true;
                faults.iter().for_each(|fault| error!("{fault}"));
                return error!(faults = faults.len(), "the edited files are at fault: what is in force stays");
            }
        };
        let mended = std::mem::take(&mut self.at_fault);
        let sites = live.sites.all();
        let same = |site: &Arc<Site>, new: &Arc<Snapshot>| Arc::ptr_eq(&site.snapshot(), new);
        let unchanged = config == live.config && sites.iter().zip(&snapshots).all(|(site, new)| same(site, new));
        if unchanged {
            if mended || asked {
                info!("the edited files are in order, and as they were");
            }
            return;
        }
        // On record before it is in force: a decision made under it cites it.
        for snapshot in distinct(&snapshots) {
            if let Err(error) = put_on_record(&live.shared.log, snapshot).await {
                return error!("an edited policy cannot be put on record, what is in force stays: {}", Causes(&error));
            }
        }
        tell_of_next_start(&live.config, &config);
        let revisions =
            |snapshots: Vec<Arc<Snapshot>>| -> Vec<_> { snapshots.iter().map(|snapshot| snapshot.policy.revision()).collect() };
        let before = revisions(sites.iter().map(|site| site.snapshot()).collect());
        if let Err(error) = live.swap(config, snapshots) {
            self.at_fault = true;
            return error!("the edited configuration cannot be put in force, the old one stays: {}", Causes(&error));
        }
        let sites = live.sites.all();
        let asked_again = before != revisions(sites.iter().map(|site| site.snapshot()).collect());
        info!(sites = sites.len(), asked_again, "edited files are in force");
    }

    /// Reads and checks everything; warnings are told.
    async fn read(&mut self, live: &Live) -> Result<(Config, Vec<Arc<Snapshot>>), Vec<Fault>> {
        let (config, mut warnings) = match &self.source {
            Some(source) => source.load()?,
            None => (live.config.clone(), Vec::new()),
        };
        self.watched.clone_from(&config);
        if config.sites.iter().any(|site| site.upstreams.is_empty()) {
            let file = self.source.as_ref().and_then(ConfigSource::file).unwrap_or(Path::new("consentry.toml"));
            return Err(vec![Fault::whole(&file.to_string_lossy(), "there is no upstream", "add [upstream] url")]);
        }
        let changed = config != live.config;
        let (snapshots, mut more) = self.compile(&config).await?;
        if !changed {
            warnings.clear();
        }
        warnings.append(&mut more);
        warnings.iter().for_each(|warning| warn!("{warning}"));
        Ok((config, snapshots))
    }
}

/// The files of a configuration: itself, and what its sites name.
fn look(source: Option<&ConfigSource>, config: &Config) -> Look {
    let files: Vec<&Path> = source
        .and_then(ConfigSource::file)
        .into_iter()
        .chain(config.sites.iter().filter_map(|site| site.upstream_ca.as_deref()))
        .collect();
    let folders = config.sites.iter().flat_map(|site| [&site.policies, &site.templates]).flatten();
    files::look(&files, folders)
}

/// A bound as `[limits]` names it, and where it is read.
type Bound = (&'static str, fn(&Limits) -> u64);

/// Bounds that were built into listeners, log and certificate orders when the process began. `head_bytes`
/// and `head_lines` bound upstreams' answers as well, and those at once.
const FROM_NEXT_START: &[Bound] = &[
    ("[limits] connections", |limits| limits.connections),
    ("[limits] connections_per_client", |limits| limits.connections_per_client),
    ("[limits] head_bytes (for visitors' requests)", |limits| limits.head_bytes),
    ("[limits] head_lines (for visitors' requests)", |limits| limits.head_lines),
    ("[limits] target_bytes", |limits| limits.target_bytes),
    ("[limits] chunk_extension_bytes", |limits| limits.chunk_extension_bytes),
    ("[limits] head_s", |limits| limits.head_s),
    ("[limits] handshake_s", |limits| limits.handshake_s),
    ("[limits] http2_streams", |limits| limits.http2_streams),
    ("[limits] http2_stream_window_bytes", |limits| limits.http2_stream_window_bytes),
    ("[limits] http2_connection_window_bytes", |limits| limits.http2_connection_window_bytes),
    ("[limits] http2_send_bytes", |limits| limits.http2_send_bytes),
    ("[limits] http2_resets", |limits| limits.http2_resets),
    ("[limits] http2_faults", |limits| limits.http2_faults),
    ("[limits] http2_ping_s", |limits| limits.http2_ping_s),
    ("[limits] http2_idle_s", |limits| limits.http2_idle_s),
    ("[limits] idle_s", |limits| limits.idle_s),
    ("[limits] write_idle_s", |limits| limits.write_idle_s),
    ("[limits] drain_s", |limits| limits.drain_s),
    ("[limits] log_queue", |limits| limits.log_queue),
    ("[limits] log_reserve_bytes", |limits| limits.log_reserve_bytes),
    ("[limits] log_failed_s", |limits| limits.log_failed_s),
    ("[limits] acme_retry_s", |limits| limits.acme_retry_s),
];

fn tell_of_next_start(old: &Config, new: &Config) {
    for key in from_next_start(old, new) {
        warn!(key, "this change takes effect at the next start");
    }
}

/// The keys that changed and take effect at the next start. Certificates in files are read again by themselves.
fn from_next_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let tls = |config: &Config| config.tls.as_ref().map(TlsConfig::without_places);
    // An order without names of its own is for those of the sites.
    let orders_for_sites = |config: &Config| {
        config.tls.as_ref().and_then(|tls| tls.acme.as_ref()).filter(|acme| acme.names.is_empty()).map(|_| config.names())
    };
    let rest = [
        ("[server] listen", old.listen != new.listen),
        ("[server] admin", old.admin != new.admin),
        ("[server] workers", old.workers != new.workers),
        ("[server] proxy_protocol", old.proxy_protocol != new.proxy_protocol),
        // Sites believe other proxies at once; what comes before it is known which site is asked does not.
        (
            "[server] trusted_proxies (for PROXY headers, the way to HTTPS and connections_per_client)",
            old.trusted_proxies != new.trusted_proxies,
        ),
        ("[tls]", tls(old) != tls(new)),
        ("[[site]] hosts (for [tls.acme] orders)", orders_for_sites(old) != orders_for_sites(new)),
        ("data", old.data != new.data),
        ("[access]", old.access != new.access),
        ("[server] admin_token", old.admin_token != new.admin_token),
    ];
    let limits = FROM_NEXT_START.iter().map(|(key, read)| (*key, read(&old.limits) != read(&new.limits)));
    rest.into_iter().chain(limits).filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[server]\nlisten = \"127.0.0.1:80\"\n[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n[limits]\nidle_s = 60\n";

    #[track_caller]
    fn told(new: &str) -> Vec<&'static str> {
        let read = |text: &str| {
            let (config, faults, _) = Config::read("consentry.toml", text);
            assert!(faults.is_empty(), "{faults:?}");
            config
        };
        from_next_start(&read(OLD), &read(new))
    }

    #[test]
    fn what_changed_for_the_next_start_is_told_and_nothing_else() {
        assert!(told(&format!("# moved\n{OLD}")).is_empty());
        assert!(told(&format!("{OLD}tunnel_idle_s = 5\nbody_idle_s = 5\n")).is_empty(), "read again for each request");
        assert_eq!(told(&OLD.replace("\"c.pem\"", "\"d.pem\"")), ["[tls]"]);
        let many = OLD.replace(":80", ":81").replace("idle_s = 60", "idle_s = 61\nhttp2_streams = 9\nconnections_per_client = 3");
        let limits = ["[limits] connections_per_client", "[limits] http2_streams", "[limits] idle_s"];
        assert_eq!(told(&many), [&["[server] listen"][..], &limits].concat());
    }

    #[test]
    fn orders_without_names_are_for_the_sites_as_they_were() {
        let orders = |host: &str, names: &str| {
            format!(
                "[tls.acme]\nagree = true\n{names}\n[[site]]\nhosts = [\"{host}\"]\nupstream = \"http://127.0.0.1:1\"\n[limits]\nidle_s = 60\n"
            )
        };
        let read = |text: String| Config::read("consentry.toml", &text).0;
        let told = |names| from_next_start(&read(orders("a.example", names)), &read(orders("b.example", names)));
        assert_eq!(told(""), ["[[site]] hosts (for [tls.acme] orders)"]);
        assert!(told("names = [\"a.example\"]").is_empty());
    }
}
