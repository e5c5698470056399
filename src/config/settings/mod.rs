//! `consentry.toml`: as typed in, a checked [`Config`] out.

mod access;
mod admin;
mod host;
mod sites;
mod tls;
mod witness;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{At, Fault, File, Section};
pub use tls::{AcmeConfig, CertificateFiles, ChallengeKind, TlsConfig};

pub use access::Access;
pub use admin::AdminToken;
pub use host::HostPattern;
pub use sites::{Containment, Rings, SiteConfig, UpstreamHost, parse_upstream};
pub use witness::WitnessConfig;

/// Everything `consentry serve` needs to know, checked: what the process has, and its sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where visitors come in.
    pub listen: SocketAddr,
    /// Where health is told: loopback unless a token is set.
    pub admin: SocketAddr,
    /// What opens the admin listener to other machines.
    pub admin_token: Option<AdminToken>,
    /// The file that holds it; [`crate::app`] reads it.
    pub admin_token_file: Option<PathBuf>,
    /// Proxies in front whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from those begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Threads that serve visitors; 0: as many as there are cores.
    pub workers: u64,
    /// TLS towards visitors; `None`: plain HTTP only.
    pub tls: Option<TlsConfig>,
    /// The sites behind: one that answers to every name, or several with names of their own. Never empty.
    pub sites: Vec<SiteConfig>,
    /// The folder of the consent log, the signing keys and what ACME issued.
    pub data: PathBuf,
    /// Who else gets the consent log's checkpoints; `None`: nobody.
    pub witness: Option<WitnessConfig>,
    /// What is told of each request.
    pub access: Access,
    /// Every bound by name.
    pub limits: Limits,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $default:literal in $low:literal..=$high:literal;)*) => {
        /// Every bound by name, as `[limits]` in `consentry.toml` spells it. Units stand last in the names.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $($(#[$doc])* pub $name: u64,)* }

        impl Default for Limits {
            fn default() -> Self { Self { $($name: $default,)* } }
        }

        impl Limits {
            fn read(section: &mut Section<'_>) -> Self {
                let mut limits = Self::default();
                $(if let Some(At { value, .. }) = section.integer(stringify!($name), $low..=$high) { limits.$name = value; })*
                limits
            }

            /// Every bound with its default, its least and its greatest value: for the commented file of `consentry init`.
            pub const TABLE: &'static [(&'static str, u64, u64, u64)] = &[$((stringify!($name), $default, $low, $high),)*];
        }
    };
}

limits! {
    /// Decisions a client network may post in a minute; 0: no limit.
    decisions_per_minute: 60 in 0..=1_000_000;
    /// Requests a client network may make to the gate's other own paths in a minute; 0: no limit.
    own_requests_per_minute: 6_000 in 0..=1_000_000;
    /// Bytes of a posted decision.
    decision_bytes: 65_536 in 1_024..=1_048_576;
    /// Connections from visitors at a time.
    connections: 10_000 in 1..=1_000_000;
    /// Connections at a time from one client address, or from one /64 of IPv6; 0: no limit. Loopback and trusted proxies are not counted.
    connections_per_client: 256 in 0..=1_000_000;
    /// Bytes of a request's or an answer's head.
    head_bytes: 65_536 in 8_192..=1_048_576;
    /// Header lines of a request or an answer.
    head_lines: 200 in 50..=2_000;
    /// Bytes of a request's target.
    target_bytes: 16_384 in 1_024..=65_000;
    /// Bytes of all chunk extensions of a request's body; nobody uses them.
    chunk_extension_bytes: 1_024 in 0..=16_384;
    /// Seconds for a request's head to come in.
    head_s: 30 in 1..=3_600;
    /// Seconds for a connection's PROXY header, and for its TLS handshake.
    handshake_s: 10 in 1..=300;
    /// Seconds in which a tunnel (WebSocket) has to carry something, in one direction or the other.
    tunnel_idle_s: 3_600 in 1..=86_400;
    /// Requests at a time on one connection of HTTP/2.
    http2_streams: 128 in 1..=10_000;
    /// Bytes of an upload under way in one request of HTTP/2.
    http2_stream_window_bytes: 262_144 in 65_535..=16_777_216;
    /// Bytes of all uploads under way on one connection of HTTP/2.
    http2_connection_window_bytes: 1_048_576 in 65_535..=67_108_864;
    /// Bytes of an answer that wait in one stream of HTTP/2, beside the piece that was read last.
    http2_send_bytes: 65_536 in 16_384..=16_777_216;
    /// Requests of HTTP/2 that are taken back within a second; beyond, and if that is most of them, the connection ends.
    http2_resets: 200 in 10..=1_000_000;
    /// Faulty requests on one connection of HTTP/2.
    http2_faults: 100 in 1..=100_000;
    /// Seconds between two pings on a connection of HTTP/2, and for each to be answered.
    http2_ping_s: 30 in 1..=3_600;
    /// Seconds that a connection of HTTP/2 without a request stays open.
    http2_idle_s: 120 in 1..=3_600;
    /// Seconds that a connection without a request stays open.
    idle_s: 60 in 1..=3_600;
    /// Seconds between two pieces of a request's body.
    body_idle_s: 60 in 1..=3_600;
    /// Bytes a second that a request's body has to bring, over any `body_idle_s` of waiting for it; 0: no limit.
    body_bytes_per_s: 100 in 0..=1_000_000;
    /// Seconds that a visitor may leave an answer unread.
    write_idle_s: 60 in 1..=3_600;
    /// Seconds for a connection to the upstream, TLS included.
    upstream_connect_s: 5 in 1..=300;
    /// Seconds until the upstream's answer begins.
    upstream_first_byte_s: 60 in 1..=3_600;
    /// Seconds between two pieces of the upstream's answer; streams of events may be silent.
    upstream_body_idle_s: 300 in 1..=86_400;
    /// Interim answers (1xx) of the upstream to one request.
    upstream_interim_answers: 16 in 0..=1_000;
    /// Idle connections kept open to the upstream.
    upstream_idle: 64 in 0..=10_000;
    /// Seconds such a connection is kept.
    upstream_idle_s: 30 in 1..=3_600;
    /// Requests in a row without an answer, until one upstream of several is left out.
    upstream_failures: 3 in 1..=1_000;
    /// Seconds it is left out at first; doubled each time it still gives no answer.
    upstream_out_s: 5 in 1..=3_600;
    /// Seconds it is left out at most.
    upstream_out_max_s: 300 in 1..=86_400;
    /// Bytes of an inline script held back until it is classified; beyond, it streams and is poisoned on a hit.
    script_hold_bytes: 262_144 in 16_384..=4_194_304;
    /// Bytes of a `noscript` held back; beyond, the page is not passed on.
    noscript_hold_bytes: 262_144 in 16_384..=4_194_304;
    /// Bytes of a script of the site's own, decoded, that are looked at for a vendor's before it is passed on.
    answer_scan_bytes: 65_536 in 4_096..=4_194_304;
    /// Bytes of memory for the page parser, open elements included.
    parser_memory_bytes: 16_777_216 in 1_048_576..=268_435_456;
    /// Changes to one page.
    page_patches: 50_000 in 100..=1_000_000;
    /// Bytes of a page after decompression.
    page_bytes: 268_435_456 in 1_048_576..=4_294_967_296;
    /// How many times larger a page may become by decompression.
    page_ratio: 1_000 in 10..=100_000;
    /// Bytes of a page, as it comes and decompressed, beyond which what was found in it is not remembered; 0: never.
    cached_page_bytes: 1_048_576 in 0..=16_777_216;
    /// Bytes of memory for what was found in pages, and as many again for known pages on their way; 0: nothing is remembered.
    page_cache_bytes: 67_108_864 in 0..=17_179_869_184;
    /// Bytes of the list of hosts in a containment policy; beyond, it names domains, and then lets all https through.
    containment_bytes: 3_072 in 512..=65_536;
    /// Bytes of a report that a browser posts.
    report_bytes: 65_536 in 1_024..=1_048_576;
    /// Hosts that reports are counted by.
    report_hosts: 256 in 16..=10_000;
    /// Decisions waiting for the disk.
    log_queue: 4_096 in 16..=1_000_000;
    /// Bytes of free disk below which no grant is recorded.
    log_reserve_bytes: 67_108_864 in 0..=1_099_511_627_776;
    /// Seconds that a gate whose consent log failed goes on, holding tags and taking refusals, before it drains and ends.
    log_failed_s: 5 in 0..=3_600;
    /// Seconds until a certificate order that failed is tried again; each further failure doubles them, up to a day.
    acme_retry_s: 300 in 1..=86_400;
    /// Seconds that requests under way are given when the gate stops.
    drain_s: 20 in 0..=3_600;
}

impl Limits {
    /// A bound in seconds as a duration.
    pub fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_token: None,
            admin_token_file: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            workers: 0,
            sites: vec![SiteConfig::default()],
            tls: None,
            data: PathBuf::from("consentry-data"),
            witness: None,
            access: Access::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Every host name of a site, without those of wildcards and without addresses.
    pub fn names(&self) -> Vec<String> {
        let hosts = self.sites.iter().flat_map(|site| &site.hosts).filter(|host| !host.below);
        hosts
            .map(|host| host.name.clone())
            .filter(|name| name.parse::<std::net::IpAddr>().is_err() && !name.starts_with('['))
            .collect()
    }

    /// Reads the file's text. Returns the configuration, the faults and the warnings; with faults
    /// the configuration is not to be used.
    pub fn read(name: &str, text: &str) -> (Self, Vec<Fault>, Vec<Fault>) {
        let mut config = Self::default();
        let mut warnings = Vec::new();
        let ((), faults) = File::read(name, text, |root| {
            read_server(root, &mut config);
            config.sites = SiteConfig::read_all(root, &mut |offset, message: &str, mend: &str| {
                warnings.push(Fault::at(name, text, offset, message, mend));
            });
            if let Some(at) = root.string("data") {
                config.data = PathBuf::from(at.value);
            }
            config.witness = read_log(root);
            config.tls = tls::read(root, config.listen);
            config.access = Access::read(root);
            if let Some(mut section) = root.section("limits") {
                config.limits = Limits::read(&mut section);
                section.finish();
            }
        });
        (config, faults, warnings)
    }
}

/// The most threads that serve visitors: more than there are cores bring nothing.
const WORKERS_MAX: u64 = 1_024;

fn read_server(root: &mut Section<'_>, config: &mut Config) {
    let Some(mut section) = root.section("server") else { return };
    if let Some(at) = section.string("listen") {
        set_address(&section, at, &mut config.listen);
    }
    (config.admin_token, config.admin_token_file) = admin::read_token(&mut section);
    if let Some(at) = section.string("admin") {
        let offset = at.offset;
        set_address(&section, at, &mut config.admin);
        if !config.admin.ip().is_loopback() && config.admin_token.is_none() && config.admin_token_file.is_none() {
            let mend = "use a loopback address such as 127.0.0.1:8081, or set admin_token";
            section.fault(offset, "the admin listener is open to the network", mend);
        }
    }
    for at in section.strings("trusted_proxies").unwrap_or_default() {
        match parse_network(&at.value) {
            Some(network) => config.trusted_proxies.push(network),
            None => section.fault(at.offset, format!("`{}` is no network", at.value), "write \"10.0.0.0/8\" or one address"),
        }
    }
    if let Some(at) = section.boolean("proxy_protocol") {
        config.proxy_protocol = at.value;
        if at.value && config.trusted_proxies.is_empty() {
            section.fault(at.offset, "nobody may send the PROXY header", "name the proxies in trusted_proxies");
        }
    }
    if let Some(at) = section.integer("workers", 0..=WORKERS_MAX) {
        config.workers = at.value;
    }
    section.finish();
}

fn set_address(section: &Section<'_>, at: At<String>, address: &mut SocketAddr) {
    match at.value.parse() {
        Ok(parsed) => *address = parsed,
        Err(_) => section.fault(at.offset, format!("`{}` is no address", at.value), "write \"127.0.0.1:8080\" or \"[::]:8080\""),
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn read_log(root: &mut Section<'_>) -> Option<WitnessConfig> {
    let mut section = root.section("log")?;
    if let Some(at) = section.string("store")
        && at.value != "sqlite"
    {
        section.fault(
            at.offset,
            format!("the store `{}` is not there in this version", at.value.split(':').next().unwrap_or_default()),
            "write \"sqlite\": consent-log.db in the data folder",
        );
    }
    let witness = WitnessConfig::read(&mut section);
    section.finish();
    witness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        let (config, faults, warnings) = Config::read("consentry.toml", "");
        assert!(faults.is_empty() && warnings.is_empty());
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits.decisions_per_minute, 60);
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
policies = "p"
templates = "t"
data = "d"
[server]
listen = "[::]:80"
admin = "127.0.0.1:9"
trusted_proxies = ["10.0.0.0/8", "::1"]
proxy_protocol = true
[upstream]
url = "https://a.site"
host = "visitor"
[gate]
prefix = "/_c"
exempt = ["/wp-admin/*"]
observe = true
containment = "enforce"
rings = ["markup", "guard"]
[log]
store = "sqlite"
[limits]
decisions_per_minute = 0
"#;
        let (config, faults, warnings) = Config::read("consentry.toml", text);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(warnings.len(), 1, "a ring that is off is told: {warnings:?}");
        assert_eq!(config.trusted_proxies.len(), 2);
        assert!(config.proxy_protocol);
        let [site] = config.sites.as_slice() else { panic!("one site: {:?}", config.sites) };
        assert!(site.hosts.is_empty(), "it answers to every name");
        assert_eq!((site.containment, site.upstream_host), (Containment::Enforce, UpstreamHost::Visitor));
        assert!(site.rings.markup && site.rings.guard && !site.rings.headers && !site.rings.paths);
        assert_eq!(site.upstreams.iter().map(url::Url::as_str).collect::<Vec<_>>(), ["https://a.site/"]);
        assert!(site.exempt.contains("/wp-admin/post.php") && site.observe);
        assert_eq!(config.limits.decisions_per_minute, 0);
    }

    #[test]
    fn what_is_not_enforced_is_a_fault_and_all_faults_are_named() {
        let text = "[gate]\ncontainment = \"on\"\nprefix = \"x\"\n[tls]\ncert = \"c\"\n[log]\nstore = \"postgres://x\"\n[server]\nadmin = \"0.0.0.0:1\"\n[upstream]\nurl = \"ftp://a\"\n[limits]\nconnections = 0\n";
        let (_, faults, _) = Config::read("c.toml", text);
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 5, 7, 9, 11, 13], "{faults:#?}");
    }
}
