//! What one site behind the gate has: `[upstream]`, `[gate]` and the folders where there is one site,
//! `[[site]]` where there are several. What a `[[site]]` does not say it takes from those sections.

use std::{collections::BTreeMap, path::PathBuf};

use url::Url;

use super::{
    super::{At, PathPatterns, Section},
    HostPattern,
};

/// One site behind the gate, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// The names it answers to. Empty only where it is the one site: it answers to every name then.
    pub hosts: Vec<HostPattern>,
    /// The servers of the site behind: scheme, host and port each. Empty until given in the file or on the command line.
    pub upstreams: Vec<Url>,
    /// Which `Host` the site behind gets.
    pub upstream_host: UpstreamHost,
    /// Certificate authorities of the site behind (PEM), beside the system's.
    pub upstream_ca: Option<PathBuf>,
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
    /// The operator's policy files, over the embedded ones.
    pub policies: Option<PathBuf>,
    /// The operator's templates, over the embedded ones.
    pub templates: Option<PathBuf>,
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

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            upstreams: Vec::new(),
            upstream_host: UpstreamHost::Upstream,
            upstream_ca: None,
            prefix: "/_consent".to_owned(),
            exempt: PathPatterns::default(),
            observe: false,
            containment: Containment::default(),
            rings: Rings::default(),
            policies: None,
            templates: None,
        }
    }
}

/// Takes a warning: byte offset, message, mend.
pub(super) type Warn<'w> = &'w mut dyn FnMut(usize, &str, &str);

impl SiteConfig {
    /// What the operator knows it by in messages: its first host, or `*` for the site that answers to every name.
    pub fn name(&self) -> String {
        self.hosts.first().map_or_else(|| "*".to_owned(), ToString::to_string)
    }

    /// How well it fits a host, where it has names ([`HostPattern::fit`]); least where it answers to every name.
    pub fn fit(&self, host: &str) -> Option<usize> {
        if self.hosts.is_empty() { Some(0) } else { self.hosts.iter().filter_map(|pattern| pattern.fit(host)).max() }
    }

    /// The files and folders it names, each to be taken from where the file stands.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.policies, &mut self.templates, &mut self.upstream_ca].into_iter().flatten()
    }

    /// Reads every site of a file: each `[[site]]`, or else the one that the other sections make.
    pub(super) fn read_all(root: &mut Section<'_>, warn: Warn<'_>) -> Vec<Self> {
        let mut base = Self::default();
        base.read_folders(root);
        if let Some(mut gate) = root.section("gate") {
            base.read_gate(&mut gate, warn);
            gate.finish();
        }
        let url = base.read_upstream(root);
        let sections = root.sections("site");
        if sections.is_empty() {
            return vec![base];
        }
        if let (Some(offset), Some(first)) = (url, sections.first()) {
            let line = first.line(first.offset());
            let message = format!("[upstream] url and [[site]] (line {line}) both say what is behind the gate");
            first.fault(offset, message, "move this url into a [[site]] of its own, as `upstream`");
            base.upstreams.clear();
        }
        let mut taken = BTreeMap::new();
        sections.into_iter().map(|section| Self::read_one(section, &base, &mut taken, warn)).collect()
    }

    /// Reads one `[[site]]`. `taken` has the hosts of those before it, with the line each stands in.
    fn read_one(mut section: Section<'_>, base: &Self, taken: &mut BTreeMap<HostPattern, usize>, warn: Warn<'_>) -> Self {
        let mut site = base.clone();
        let start = section.offset();
        let hosts = section.string_or_strings("hosts");
        if hosts.as_ref().map_or(!section.has("hosts"), Vec::is_empty) {
            section.fault(start, "a [[site]] without hosts answers to nobody", "write hosts = [\"www.example.org\"]");
        }
        for at in hosts.unwrap_or_default() {
            match HostPattern::parse(&at.value) {
                Ok(host) => match taken.get(&host) {
                    Some(line) => {
                        let message = format!("`{host}` is named twice: line {line} has it, too");
                        section.fault(at.offset, message, "leave it with the one site that is to answer");
                    }
                    None => {
                        taken.insert(host.clone(), section.line(at.offset));
                        site.hosts.push(host);
                    }
                },
                Err(message) => section.fault(
                    at.offset,
                    format!("`{}` {message}", at.value),
                    "write \"www.example.org\", or \"*.example.org\" for every name below it",
                ),
            }
        }
        match section.string_or_strings("upstream") {
            Some(urls) if !urls.is_empty() => drop(site.set_upstreams(&section, urls)),
            None if section.has("upstream") => {}
            Some(_) | None => no_upstream(&section),
        }
        if let Some(at) = section.string("upstream_host") {
            site.set_upstream_host(&section, &at);
        }
        if let Some(at) = section.string("upstream_ca") {
            site.upstream_ca = Some(PathBuf::from(at.value));
        }
        site.read_folders(&mut section);
        site.read_gate(&mut section, warn);
        section.finish();
        site
    }

    /// `[upstream]`. Returns where its `url` stands.
    fn read_upstream(&mut self, root: &mut Section<'_>) -> Option<usize> {
        let mut section = root.section("upstream")?;
        let urls = section.string_or_strings("url");
        if urls.as_ref().is_some_and(Vec::is_empty) {
            section.fault(section.offset(), "`url` names no upstream", "write \"https://a.site\", or leave the key out");
        }
        let place = urls.and_then(|urls| self.set_upstreams(&section, urls));
        if let Some(at) = section.string("host") {
            self.set_upstream_host(&section, &at);
        }
        if let Some(at) = section.string("ca") {
            self.upstream_ca = Some(PathBuf::from(at.value));
        }
        section.finish();
        place
    }

    fn set_upstreams(&mut self, section: &Section<'_>, urls: Vec<At<String>>) -> Option<usize> {
        self.upstreams.clear();
        let place = urls.first().map(|at| at.offset);
        for at in urls {
            match parse_upstream(&at.value) {
                Ok(url) if self.upstreams.contains(&url) => {
                    section.fault(at.offset, format!("`{}` is named twice", at.value), "name each upstream once");
                }
                Ok(url) => self.upstreams.push(url),
                Err(message) => section.fault(at.offset, message, "write \"https://a.site\" or \"http://127.0.0.1:3000\""),
            }
        }
        place
    }

    fn set_upstream_host(&mut self, section: &Section<'_>, at: &At<String>) {
        match at.value.as_str() {
            "upstream" => self.upstream_host = UpstreamHost::Upstream,
            "visitor" => self.upstream_host = UpstreamHost::Visitor,
            other => section.fault(at.offset, format!("`{other}` is no choice"), "write \"upstream\" or \"visitor\""),
        }
    }

    /// The folders, from the top of the file or from a `[[site]]`.
    fn read_folders(&mut self, section: &mut Section<'_>) {
        if let Some(at) = section.string("policies") {
            self.policies = Some(PathBuf::from(at.value));
        }
        if let Some(at) = section.string("templates") {
            self.templates = Some(PathBuf::from(at.value));
        }
    }

    /// The keys of `[gate]`, from there or from a `[[site]]`. Each that is there replaces what it had.
    fn read_gate(&mut self, section: &mut Section<'_>, warn: Warn<'_>) {
        if let Some(at) = section.string("prefix") {
            let plain = at.value.len() > 1
                && at.value.starts_with('/')
                && !at.value.ends_with('/')
                && !at.value.contains("//")
                && at.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_'));
            if plain {
                self.prefix = at.value;
            } else {
                section.fault(
                    at.offset,
                    format!("`{}` is no prefix", at.value),
                    "write a path such as \"/_consent\", without a slash at its end",
                );
            }
        }
        if let Some(list) = section.strings("exempt") {
            self.exempt = PathPatterns::default();
            for at in list {
                if let Err(message) = self.exempt.add(&at.value) {
                    section.fault(at.offset, message, "write \"/wp-admin/*\" or \"/feed.xml\"");
                }
            }
        }
        if let Some(at) = section.boolean("observe") {
            self.observe = at.value;
        }
        if let Some(at) = section.string("containment") {
            match at.value.as_str() {
                "off" => self.containment = Containment::Off,
                "report" => self.containment = Containment::Report,
                "enforce" => self.containment = Containment::Enforce,
                other => {
                    section.fault(at.offset, format!("`{other}` is no containment"), "write \"off\", \"report\" or \"enforce\"");
                }
            }
        }
        self.read_rings(section, warn);
    }

    fn read_rings(&mut self, section: &mut Section<'_>, warn: Warn<'_>) {
        let Some(list) = section.strings("rings") else { return };
        let offset = list.first().map_or(section.offset(), |at| at.offset);
        self.rings = Rings { markup: false, headers: false, paths: false, guard: false };
        for at in list {
            match at.value.as_str() {
                "markup" => self.rings.markup = true,
                "headers" => self.rings.headers = true,
                "paths" => self.rings.paths = true,
                "guard" => self.rings.guard = true,
                other => section.fault(
                    at.offset,
                    format!("`{other}` is no ring"),
                    "known: markup, headers, paths, guard; leave `rings` out for all of them",
                ),
            }
        }
        if self.rings != Rings::default() {
            warn(
                offset,
                "a ring is switched off: vendors without consent get through",
                "leave `rings` out; it is there to find the ring that breaks a page",
            );
        }
    }
}

fn no_upstream(section: &Section<'_>) {
    section.fault(
        section.offset(),
        "a [[site]] without upstream has nothing behind it",
        "write upstream = \"http://127.0.0.1:3000\", or a list of such",
    );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_site_takes_from_the_other_sections_what_it_does_not_say() {
        let text = r#"
policies = "p"
templates = "t"
[upstream]
host = "visitor"
[gate]
exempt = ["/admin/*"]
containment = "enforce"
[[site]]
hosts = ["a.example", "*.a.example"]
upstream = "http://127.0.0.1:1"
[[site]]
hosts = "b.example"
upstream = ["http://127.0.0.1:2", "https://b.internal"]
upstream_host = "upstream"
upstream_ca = "ca.pem"
exempt = []
observe = true
containment = "off"
prefix = "/_b"
rings = ["markup"]
policies = "pb"
"#;
        let (config, faults, warnings) = Config::read("c.toml", text);
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(warnings.len(), 1, "the ring that is off: {warnings:?}");
        let [a, b] = config.sites.as_slice() else { panic!("two sites: {:?}", config.sites) };
        assert_eq!((a.name().as_str(), a.hosts.len(), a.upstreams.len()), ("a.example", 2, 1));
        assert_eq!((a.upstream_host, a.containment, a.observe), (UpstreamHost::Visitor, Containment::Enforce, false));
        assert!(a.exempt.contains("/admin/x") && !b.exempt.contains("/admin/x"), "a list replaces the list");
        assert_eq!((b.upstream_host, b.containment, b.observe), (UpstreamHost::Upstream, Containment::Off, true));
        assert_eq!((b.prefix.as_str(), b.upstreams.len(), b.rings.markup, b.rings.guard), ("/_b", 2, true, false));
        assert_eq!(a.policies.as_deref().and_then(|p| p.to_str()), Some("p"));
        assert_eq!(b.policies.as_deref().and_then(|p| p.to_str()), Some("pb"));
        assert_eq!(b.templates.as_deref().and_then(|p| p.to_str()), Some("t"));
    }

    #[test]
    fn every_fault_of_every_site_is_named_with_its_line() {
        let text = r#"[upstream]
url = "http://127.0.0.1:1"
[[site]]
hosts = ["a.example", "b/c"]
upstream = "http://127.0.0.1:1"
[[site]]
hosts = []
upstream = []
[[site]]
hosts = ["A.example."]
[[site]]
hosts = ["d.example"]
upstream = ["http://127.0.0.1:1", "http://127.0.0.1:1", "ftp://x"]
upstreams = "x"
"#;
        let (_, faults, _) = Config::read("c.toml", text);
        let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.line, fault.message)).collect();
        let want = [
            "2: [upstream] url and [[site]] (line 3) both say what is behind the gate",
            "4: `b/c` is no host name",
            "6: a [[site]] without hosts answers to nobody",
            "6: a [[site]] without upstream has nothing behind it",
            "9: a [[site]] without upstream has nothing behind it",
            "10: `a.example` is named twice: line 4 has it, too",
            "13: `http://127.0.0.1:1` is named twice",
            "13: the upstream is no http or https URL",
            "14: unknown key `site.upstreams`",
        ];
        assert_eq!(told, want);
    }
}
