//! What plain HTTP is for beside TLS: challenges are answered, everything else is sent to HTTPS.

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::{Tls, acme};

impl Tls {
    /// Whether a path is one that authorities ask for their challenges' answers by.
    pub fn is_challenge_path(path: &str) -> bool {
        path.starts_with(acme::PATH)
    }

    /// Where a request over plain HTTP goes to instead, if redirects are on: the same path over HTTPS.
    /// `host` is the request's host name without port, in lower case; `port` is the TLS listener's. Only names
    /// that a certificate covers now are sent on: nobody can make the gate name another host, and a name whose
    /// certificate is still to be issued is not sent to a handshake that fails. A challenge of the site behind
    /// is left alone.
    pub fn redirect(&self, host: &str, target: &Uri, port: u16) -> Option<HeaderValue> {
        let config = &self.shared.config;
        let path = target.path_and_query().map_or("/", |target| target.as_str());
        let covered = || self.shared.resolver.table.load().covers(host);
        if !config.redirect || Self::is_challenge_path(path) || !path.starts_with('/') || !covered() {
            return None;
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let location = match config.public_port.unwrap_or(port) {
            443 => format!("https://{host}{path}"),
            port => format!("https://{host}:{port}{path}"),
        };
        HeaderValue::from_str(&location).ok()
    }

    /// Sets `Strict-Transport-Security` on an answer over TLS: ours in the place of the site's, since browsers
    /// read only the first (RFC 6797, 8.1). Without the option the site's own stays.
    pub fn secure(&self, headers: &mut HeaderMap) {
        if let Some(value) = self.hsts() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
    }
}

/// The status of such a redirect: method and body stay what they are (RFC 9110, 15.4.9).
pub const REDIRECT: StatusCode = StatusCode::PERMANENT_REDIRECT;
