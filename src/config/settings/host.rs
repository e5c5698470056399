//! Host names as a `[[site]]` lists them.

use std::fmt;

/// A name that a site answers to, or every name below one: `a.example`, `*.b.example`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    /// In lower case and ASCII (IDNA), without a dot at its end; an IPv6 address in brackets.
    pub name: String,
    /// Whether the names below are meant, at any depth, and not the name itself.
    pub below: bool,
}

impl HostPattern {
    /// Reads a host name (in any case, in any script, RFC 5891) or an IP address; with `*.` in front, every name below.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        // `Host::parse` takes more than the authority of an address may carry.
        if name.contains(['*', '/', '@', '?', '#', '%', ' ']) || name.is_empty() {
            return Err("is no host name");
        }
        let host = url::Host::parse(name).map_err(|_| {
            if name.contains(':') { "has more than a host name: ports are not looked at" } else { "is no host name" }
        })?;
        if below && !matches!(host, url::Host::Domain(_)) {
            return Err("is an address: there are no names below it");
        }
        let name = host.to_string().trim_end_matches('.').to_owned();
        let labels = |name: &str| name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        if matches!(host, url::Host::Domain(_)) && (name.len() > 253 || !labels(&name)) {
            return Err("is no host name");
        }
        Ok(Self { name, below })
    }

    /// How well it fits a host in lower case and ASCII: the name itself before names below, the longest of
    /// these first; `None` where it does not.
    pub fn fit(&self, host: &str) -> Option<usize> {
        match self.below {
            false => (host == self.name).then_some(usize::MAX),
            true => host
                .strip_suffix(self.name.as_str())
                .filter(|rest| rest.len() > 1 && rest.ends_with('.'))
                .map(|_| self.name.len()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_whatever_its_case_script_or_last_dot() {
        for (text, want) in [
            ("A.Example", Some("a.example")),
            ("a.example.", Some("a.example")),
            ("*.b.example", Some("*.b.example")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("localhost", Some("localhost")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("a.example:443", None),
            ("https://a.example", None),
            ("a.example/x", None),
            ("*", None),
            ("*.", None),
            ("a.*.example", None),
            ("*.127.0.0.1", None),
            ("a..example", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(HostPattern::parse(text).ok().map(|host| host.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn the_name_itself_fits_best_and_then_the_longest_above_it() {
        let fit = |pattern: &str, host: &str| HostPattern::parse(pattern).expect("a pattern").fit(host);
        assert_eq!(fit("a.example", "a.example"), Some(usize::MAX));
        assert!(fit("*.b.a.example", "x.y.b.a.example") > fit("*.a.example", "x.y.b.a.example"));
        for (pattern, host) in [
            ("*.a.example", "a.example"),
            ("*.a.example", "xa.example"),
            ("*.a.example", ".a.example"),
            ("a.example", "x.a.example"),
        ] {
            assert_eq!(fit(pattern, host), None, "{pattern} {host}");
        }
    }
}
