//! `consentry.toml`: as typed in, a checked [`Config`] out.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use url::Url;

use super::{At, Fault, File, Section, paths::PathPatterns};

/// Everything `consentry serve` needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where visitors come in.
    pub listen: SocketAddr,
    /// Where health is told: loopback unless a token is set.
    pub admin: SocketAddr,
    /// Proxies in front whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The site behind: scheme, host and port. `None` until given in the file or on the command line.
    pub upstream: Option<Url>,
    /// Which `Host` the site behind gets.
    pub upstream_host: UpstreamHost,
    /// The prefix of the gate's own paths, without a slash at its end.
    pub prefix: String,
    /// Paths that pass untouched.
    pub exempt: PathPatterns,
    /// Change nothing in the pages, report what would have been held.
    pub observe: bool,
    /// What becomes of third parties that nobody classified.
    pub containment: Containment,
    /// Which of the gate's rings work: all of them, unless the operator looks for the one that breaks a page.
    pub rings: Rings,
    /// The folder of the consent log and the signing keys.
    pub data: PathBuf,
    /// The operator's policy files, over the embedded ones.
    pub policies: Option<PathBuf>,
    /// The operator's templates, over the embedded ones.
    pub templates: Option<PathBuf>,
    /// Every bound by name.
    pub limits: Limits,
}

/// Which `Host` header the site behind gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The upstream's own name (`[upstream] host = "upstream"`): what `--upstream https://a.site` on localhost needs.
    Upstream,
    /// The name the visitor asked for (`host = "visitor"`): for a site behind that knows its public name.
    Visitor,
}

/// The browser's own wall: a generated Content-Security-Policy beside the site's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Containment {
    /// None. Known vendors are held all the same.
    Off,
    /// Browsers report what an enforced policy would stop.
    #[default]
    Report,
    /// Browsers stop what is neither the site's, nor allowed by the operator, nor a granted vendor's.
    Enforce,
}

/// The rings that can be switched off one by one, to find out which of them breaks a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Tags in the markup of pages, style sheets and documents.
    pub markup: bool,
    /// Headers and cookies of requests and answers.
    pub headers: bool,
    /// Vendors behind the site's own paths.
    pub paths: bool,
    /// Code that runs later, in the browser.
    pub guard: bool,
}

impl Default for Rings {
    fn default() -> Self {
        Self { markup: true, headers: true, paths: true, guard: true }
    }
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
    /// Bytes of a request's or an answer's head.
    head_bytes: 65_536 in 8_192..=1_048_576;
    /// Header lines of a request or an answer.
    head_lines: 200 in 50..=2_000;
    /// Seconds for a request's head to come in, and for an idle connection to stay open.
    head_s: 30 in 1..=3_600;
    /// Seconds between two pieces of a request's body.
    body_idle_s: 60 in 1..=3_600;
    /// Seconds for a connection to the upstream, TLS included.
    upstream_connect_s: 5 in 1..=300;
    /// Seconds until the upstream's answer begins.
    upstream_first_byte_s: 60 in 1..=3_600;
    /// Idle connections kept open to the upstream.
    upstream_idle: 64 in 0..=10_000;
    /// Seconds such a connection is kept.
    upstream_idle_s: 30 in 1..=3_600;
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
            trusted_proxies: Vec::new(),
            upstream: None,
            upstream_host: UpstreamHost::Upstream,
            prefix: "/_consent".to_owned(),
            exempt: PathPatterns::default(),
            observe: false,
            containment: Containment::default(),
            rings: Rings::default(),
            data: PathBuf::from("consentry-data"),
            policies: None,
            templates: None,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Reads the file's text. Returns the configuration, the faults and the warnings; with faults
    /// the configuration is not to be used.
    pub fn read(name: &str, text: &str) -> (Self, Vec<Fault>, Vec<Fault>) {
        let mut config = Self::default();
        let mut warnings = Vec::new();
        let ((), faults) = File::read(name, text, |root| {
            read_server(root, &mut config);
            read_upstream(root, &mut config);
            read_gate(root, &mut config, &mut |offset, message: &str, mend: &str| {
                warnings.push(Fault::at(name, text, offset, message, mend));
            });
            read_folders(root, &mut config);
            read_log(root);
            if let Some(mut section) = root.section("limits") {
                config.limits = Limits::read(&mut section);
                section.finish();
            }
            refuse_later_settings(root);
        });
        (config, faults, warnings)
    }
}

fn read_server(root: &mut Section<'_>, config: &mut Config) {
    let Some(mut section) = root.section("server") else { return };
    if let Some(at) = section.string("listen") {
        set_address(&section, at, &mut config.listen);
    }
    if let Some(at) = section.string("admin") {
        let offset = at.offset;
        set_address(&section, at, &mut config.admin);
        if !config.admin.ip().is_loopback() {
            section.fault(offset, "the admin listener is open to the network", "use a loopback address such as 127.0.0.1:8081");
        }
    }
    for at in section.strings("trusted_proxies").unwrap_or_default() {
        match parse_network(&at.value) {
            Some(network) => config.trusted_proxies.push(network),
            None => section.fault(at.offset, format!("`{}` is no network", at.value), "write \"10.0.0.0/8\" or one address"),
        }
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

fn read_upstream(root: &mut Section<'_>, config: &mut Config) {
    let Some(mut section) = root.section("upstream") else { return };
    if let Some(at) = section.string("url") {
        match parse_upstream(&at.value) {
            Ok(url) => config.upstream = Some(url),
            Err(message) => section.fault(at.offset, message, "write \"https://a.site\" or \"http://127.0.0.1:3000\""),
        }
    }
    if let Some(at) = section.string("host") {
        match at.value.as_str() {
            "upstream" => config.upstream_host = UpstreamHost::Upstream,
            "visitor" => config.upstream_host = UpstreamHost::Visitor,
            other => section.fault(at.offset, format!("`{other}` is no choice"), "write \"upstream\" or \"visitor\""),
        }
    }
    section.finish();
}

/// An upstream is a scheme, a host and a port, and nothing else.
pub fn parse_upstream(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "the upstream is no URL: write http:// or https:// in front")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("the upstream is no http or https URL");
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("the upstream has more than scheme, host and port");
    }
    Ok(url)
}

fn read_gate(root: &mut Section<'_>, config: &mut Config, warn: &mut dyn FnMut(usize, &str, &str)) {
    let Some(mut section) = root.section("gate") else { return };
    if let Some(at) = section.string("prefix") {
        let plain = at.value.len() > 1
            && at.value.starts_with('/')
            && !at.value.ends_with('/')
            && !at.value.contains("//")
            && at.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_'));
        if plain {
            config.prefix = at.value;
        } else {
            section.fault(
                at.offset,
                format!("`{}` is no prefix", at.value),
                "write a path such as \"/_consent\", without a slash at its end",
            );
        }
    }
    for at in section.strings("exempt").unwrap_or_default() {
        if let Err(message) = config.exempt.add(&at.value) {
            section.fault(at.offset, message, "write \"/wp-admin/*\" or \"/feed.xml\"");
        }
    }
    if let Some(at) = section.boolean("observe") {
        config.observe = at.value;
    }
    if let Some(at) = section.string("containment") {
        match at.value.as_str() {
            "off" => config.containment = Containment::Off,
            "report" => config.containment = Containment::Report,
            "enforce" => config.containment = Containment::Enforce,
            other => section.fault(at.offset, format!("`{other}` is no containment"), "write \"off\", \"report\" or \"enforce\""),
        }
    }
    if let Some(list) = section.strings("rings") {
        let offset = list.first().map_or(section.offset(), |at| at.offset);
        config.rings = Rings { markup: false, headers: false, paths: false, guard: false };
        for at in list {
            match at.value.as_str() {
                "markup" => config.rings.markup = true,
                "headers" => config.rings.headers = true,
                "paths" => config.rings.paths = true,
                "guard" => config.rings.guard = true,
                other => section.fault(
                    at.offset,
                    format!("`{other}` is no ring"),
                    "known: markup, headers, paths, guard; leave `rings` out for all of them",
                ),
            }
        }
        if config.rings != Rings::default() {
            warn(
                offset,
                "a ring is switched off: vendors without consent get through",
                "leave `rings` out; it is there to find the ring that breaks a page",
            );
        }
    }
    section.finish();
}

fn read_folders(root: &mut Section<'_>, config: &mut Config) {
    if let Some(at) = root.string("policies") {
        config.policies = Some(PathBuf::from(at.value));
    }
    if let Some(at) = root.string("templates") {
        config.templates = Some(PathBuf::from(at.value));
    }
    if let Some(at) = root.string("data") {
        config.data = PathBuf::from(at.value);
    }
}

fn read_log(root: &mut Section<'_>) {
    let Some(mut section) = root.section("log") else { return };
    if let Some(at) = section.string("store")
        && at.value != "sqlite"
    {
        section.fault(
            at.offset,
            format!("the store `{}` is not there in this version", at.value.split(':').next().unwrap_or_default()),
            "write \"sqlite\": consent-log.db in the data folder",
        );
    }
    section.finish();
}

/// Keys of the contract that a later version honours: refused by name, never silently accepted.
fn refuse_later_settings(root: &mut Section<'_>) {
    if let Some(section) = root.section("tls") {
        section.fault(
            section.offset(),
            "[tls] is not there in this version",
            "put a proxy that speaks TLS in front and name it in [server] trusted_proxies",
        );
    }
    for section in root.sections("site") {
        section.fault(section.offset(), "[[site]] is not there in this version", "use [upstream] url, and one process a site");
    }
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
        assert_eq!(config.containment, Containment::Enforce);
        assert!(config.rings.markup && config.rings.guard && !config.rings.headers && !config.rings.paths);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.upstream.map(String::from), Some("https://a.site/".to_owned()));
        assert!(config.exempt.contains("/wp-admin/post.php") && config.observe);
        assert_eq!(config.limits.decisions_per_minute, 0);
    }

    #[test]
    fn what_is_not_enforced_is_a_fault_and_all_faults_are_named() {
        let text = "[gate]\ncontainment = \"on\"\nprefix = \"x\"\n[tls]\ncert = \"c\"\n[[site]]\nhosts = []\n[log]\nstore = \"postgres://x\"\n[server]\nadmin = \"0.0.0.0:1\"\n[upstream]\nurl = \"ftp://a\"\n[limits]\nconnections = 0\n";
        let (_, faults, _) = Config::read("c.toml", text);
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 6, 9, 11, 13, 15], "{faults:#?}");
    }
}
