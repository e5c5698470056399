//! `[tls]`: where visitors come in by TLS, with which certificates, and what plain HTTP is for then.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use http::HeaderValue;
use url::{Host, Url};

use super::{
    super::{At, Place, Section},
    set_address,
};

/// TLS towards visitors, checked. The files it names are read by [`crate::tls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where visitors come in by TLS.
    pub listen: SocketAddr,
    /// Certificates in files. The first is the one for clients that name no host.
    pub certificates: Vec<CertificateFiles>,
    /// Refuse a host name that no certificate covers, instead of showing the first certificate.
    pub strict_sni: bool,
    /// Send plain HTTP to HTTPS.
    pub redirect: bool,
    /// The port that browsers know, where it is not that of `listen`.
    pub public_port: Option<u16>,
    /// `Strict-Transport-Security` of every answer over TLS (RFC 6797, 6.1).
    pub hsts: Option<HeaderValue>,
    /// Certificates by ACME.
    pub acme: Option<AcmeConfig>,
    /// Where `[tls]` stands.
    pub place: Place,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Where `cert` is named.
    pub cert_place: Place,
    /// Where `key` is named.
    pub key_place: Place,
}

/// A certificate authority that issues by ACME (RFC 8555), and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The authority's directory.
    pub directory: Url,
    /// `mailto:` addresses for the authority's warnings.
    pub contact: Vec<String>,
    /// Host names, one certificate each. Empty: those of the sites.
    pub names: Vec<String>,
    /// The ways to prove a name, tried in turn.
    pub challenges: Vec<ChallengeKind>,
    /// Roots that the authority's own server is trusted by, beside those of the system; PEM.
    pub ca: Option<PathBuf>,
    /// Where `[tls.acme]` stands.
    pub place: Place,
}

/// How a name is proven to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// An answer on plain HTTP, port 80 (RFC 8555, 8.3).
    Http01,
    /// A certificate shown on port 443 (RFC 8737).
    TlsAlpn01,
}

/// The authority that most operators mean.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl TlsConfig {
    /// Takes the files it names from `folder`.
    pub fn lie_beside(&mut self, folder: &Path) {
        let ca = self.acme.as_mut().and_then(|acme| acme.ca.as_mut());
        let files = self.certificates.iter_mut().flat_map(|files| [&mut files.cert, &mut files.key]);
        files.chain(ca).for_each(|file| *file = folder.join(&*file));
    }

    /// The same wherever it stands in the file: for telling whether an edit changed it.
    pub fn without_places(&self) -> Self {
        let mut same = self.clone();
        same.place = Place::default();
        for files in &mut same.certificates {
            (files.cert_place, files.key_place) = (Place::default(), Place::default());
        }
        if let Some(acme) = &mut same.acme {
            acme.place = Place::default();
        }
        same
    }
}

/// Reads `[tls]`, if it is there. `plain` is where the plain listener is.
pub(super) fn read(root: &mut Section<'_>, plain: SocketAddr) -> Option<TlsConfig> {
    let mut section = root.section("tls")?;
    let mut config = TlsConfig {
        listen: SocketAddr::from(([0, 0, 0, 0], 443)),
        certificates: Vec::new(),
        strict_sni: false,
        redirect: true,
        public_port: None,
        hsts: None,
        acme: None,
        place: section.place(section.offset()),
    };
    if let Some(at) = section.string("listen") {
        let offset = at.offset;
        set_address(&section, at, &mut config.listen);
        if config.listen == plain && plain.port() != 0 {
            section.fault(
                offset,
                "[server] listen has the same address",
                "give each listener a port of its own, such as 80 and 443",
            );
        }
    }
    let own = certificate(&mut section, false);
    let mut named = own.is_some();
    config.certificates.extend(own.flatten());
    for mut more in section.sections("certificate") {
        named = true;
        config.certificates.extend(certificate(&mut more, true).flatten());
        more.finish();
    }
    config.strict_sni = section.boolean("strict_sni").is_some_and(|at| at.value);
    config.redirect = section.boolean("redirect").is_none_or(|at| at.value);
    config.public_port = section.integer("public_port", 1..=65_535).and_then(|at| u16::try_from(at.value).ok());
    if let Some(at) = section.string("hsts") {
        match hsts(&at.value) {
            Ok(value) => config.hsts = Some(value),
            Err(message) => {
                section.fault(at.offset, message, "write \"max-age=31536000\" or \"max-age=31536000; includeSubDomains\"")
            }
        }
    }
    let named_acme = section.section("acme");
    if !named && named_acme.is_none() {
        section.fault(
            section.offset(),
            "[tls] has no certificate",
            "add `cert` and `key`, or [tls.acme] to get certificates issued",
        );
    }
    config.acme = named_acme.and_then(acme);
    section.finish();
    Some(config)
}

/// `cert` and `key`: both or, unless `required`, neither (`None`). `Some(None)` is at fault.
fn certificate(section: &mut Section<'_>, required: bool) -> Option<Option<CertificateFiles>> {
    let (cert, key) = match required {
        true => (section.required_string("cert"), section.required_string("key")),
        false => (section.string("cert"), section.string("key")),
    };
    let files = match (cert, key) {
        (None, None) if !required => return None,
        (Some(cert), Some(key)) => Some(CertificateFiles {
            cert_place: section.place(cert.offset),
            key_place: section.place(key.offset),
            cert: PathBuf::from(cert.value),
            key: PathBuf::from(key.value),
        }),
        (None, Some(at)) if !required => {
            section.fault(at.offset, "`key` has no `cert` beside it", "add `cert = \"fullchain.pem\"`");
            None
        }
        (Some(at), None) if !required => {
            section.fault(at.offset, "`cert` has no `key` beside it", "add `key = \"key.pem\"`");
            None
        }
        _ => None,
    };
    Some(files)
}

fn acme(mut section: Section<'_>) -> Option<AcmeConfig> {
    let place = section.place(section.offset());
    let agreed = section.boolean("agree");
    if !agreed.as_ref().is_some_and(|at| at.value) {
        section.fault(
            agreed.map_or(section.offset(), |at| at.offset),
            "the certificate authority's terms of service are not agreed to",
            "read them, then write `agree = true` under [tls.acme]",
        );
    }
    let directory = section.string("directory").unwrap_or(At { value: DIRECTORY.to_owned(), offset: section.offset() });
    let url = Url::parse(&directory.value).ok().filter(|url| url.scheme() == "https" && url.host().is_some());
    if url.is_none() {
        section.fault(directory.offset, format!("`{}` is no https URL", directory.value), format!("write \"{DIRECTORY}\", say"));
    }
    let mut contact = Vec::new();
    for at in section.string_or_strings("contact").unwrap_or_default() {
        let address = at.value.strip_prefix("mailto:").unwrap_or(&at.value);
        let plain = address.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.'));
        match plain && !address.contains([' ', ',', '?']) {
            true => contact.push(format!("mailto:{address}")),
            false => section.fault(at.offset, format!("`{}` is no e-mail address", at.value), "write \"you@example.org\""),
        }
    }
    let mut names = Vec::new();
    for at in section.strings("names").unwrap_or_default() {
        match acme_name(&at.value) {
            Ok(name) if names.contains(&name) => {
                section.fault(at.offset, format!("`{name}` is named twice"), "remove one of them")
            }
            Ok(name) => names.push(name),
            Err((message, mend)) => section.fault(at.offset, message, mend),
        }
    }
    let mut challenges = Vec::new();
    for at in section.strings("challenges").unwrap_or_default() {
        match at.value.as_str() {
            "http-01" => challenges.push(ChallengeKind::Http01),
            "tls-alpn-01" => challenges.push(ChallengeKind::TlsAlpn01),
            other => section.fault(at.offset, format!("`{other}` is no challenge"), "known: http-01, tls-alpn-01"),
        }
    }
    if challenges.is_empty() {
        challenges = vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01];
    }
    let ca = section.string("ca").map(|at| PathBuf::from(at.value));
    section.finish();
    Some(AcmeConfig { directory: url?, contact, names, challenges, ca, place })
}

/// A host name that an authority can prove by coming here, in ASCII and lower case; else what is wrong and the mend.
fn acme_name(text: &str) -> Result<String, (String, &'static str)> {
    if text.starts_with("*.") {
        let message = format!("`{text}`: a wildcard takes the DNS challenge, which is not there");
        return Err((message, "name each host, or get the certificate elsewhere and name its files under [[tls.certificate]]"));
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) if !name.ends_with('.') && !name.contains('*') => Ok(name),
        _ => Err((format!("`{text}` is no host name"), "write \"www.example.org\"")),
    }
}

/// The value of `Strict-Transport-Security` (RFC 6797, 6.1, and `preload` as browsers' lists want it).
fn hsts(text: &str) -> Result<HeaderValue, String> {
    let mut seen = BTreeSet::new();
    let mut max_age = None;
    for directive in text.split(';').map(str::trim) {
        let (name, value) =
            directive.split_once('=').map_or((directive, None), |(name, value)| (name.trim(), Some(value.trim())));
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("max-age", Some(value)) => {
                let seconds = value.trim_matches('"');
                let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
                max_age = digits.then(|| seconds.parse::<u64>().ok()).flatten();
                if max_age.is_none() {
                    return Err(format!("`max-age={value}` is no number of seconds"));
                }
            }
            ("includesubdomains" | "preload", None) => {}
            _ => return Err(format!("`{directive}` is no directive of Strict-Transport-Security")),
        }
        if !seen.insert(name) {
            return Err(format!("`{directive}` stands there twice"));
        }
    }
    let age = max_age.ok_or("Strict-Transport-Security takes a max-age")?;
    if seen.contains("preload") && !(seen.contains("includesubdomains") && age >= 31_536_000) {
        return Err("`preload` takes includeSubDomains and a max-age of at least 31536000".to_owned());
    }
    HeaderValue::from_str(text.trim()).map_err(|_| "this is no header value".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::Config, *};

    fn faults(text: &str) -> Vec<(usize, String)> {
        let (_, faults, _) = Config::read("c.toml", text);
        faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
[tls]
listen = "[::]:8443"
cert = "a.pem"
key = "a.key"
strict_sni = true
redirect = false
public_port = 443
hsts = "max-age=63072000; includeSubDomains; preload"
[[tls.certificate]]
cert = "/b.pem"
key = "/b.key"
[tls.acme]
agree = true
directory = "https://ca.example/dir"
contact = ["a@b.example"]
names = ["Bücher.example"]
challenges = ["tls-alpn-01"]
ca = "root.pem"
"#;
        let (config, faults, _) = Config::read("c.toml", text);
        assert!(faults.is_empty(), "{faults:?}");
        let mut tls = config.tls.expect("[tls] is there");
        tls.lie_beside(Path::new("/etc"));
        assert_eq!(tls.listen.port(), 8443);
        assert!(tls.strict_sni && !tls.redirect && tls.public_port == Some(443) && tls.hsts.is_some());
        let files: Vec<_> = tls.certificates.iter().map(|files| files.cert.display().to_string()).collect();
        assert_eq!(files, ["/etc/a.pem", "/b.pem"]);
        assert_eq!(tls.certificates[1].key_place.line, 12);
        let acme = tls.acme.expect("[tls.acme] is there");
        assert_eq!((acme.names[0].as_str(), acme.contact[0].as_str()), ("xn--bcher-kva.example", "mailto:a@b.example"));
        assert_eq!((acme.challenges, acme.ca), (vec![ChallengeKind::TlsAlpn01], Some(PathBuf::from("/etc/root.pem"))));
    }

    #[test]
    fn faults_stand_where_they_are_written() {
        let found = faults("[tls]\n");
        assert_eq!(found, [(1, "[tls] has no certificate".to_owned())]);
        let text = "[server]\nlisten = \"0.0.0.0:443\"\n[tls]\nlisten = \"0.0.0.0:443\"\ncert = \"a\"\nhsts = \"includeSubDomains\"\n[[tls.certificate]]\nkey = \"b\"\n[tls.acme]\ndirectory = \"http://ca.example\"\ncontact = [\"me\"]\nnames = [\"*.a.example\", \"10.0.0.1\", \"b.example\", \"b.example\"]\nchallenges = [\"dns-01\"]\n";
        let lines: Vec<usize> = faults(text).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 9, 10, 11, 12, 12, 12, 13], "{:#?}", faults(text));
    }

    #[test]
    fn hsts_is_what_the_specification_says() {
        for good in
            ["max-age=0", "max-age=\"31536000\"", "Max-Age=1; IncludeSubDomains", "max-age=31536000;includeSubDomains;preload"]
        {
            assert!(hsts(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "includeSubDomains",
            "max-age",
            "max-age=x",
            "max-age=-1",
            "max-age=1; max-age=2",
            "max-age=1; include",
            "max-age=1; preload",
            "max-age=1;",
        ] {
            assert!(hsts(bad).is_err(), "{bad}");
        }
    }
}
