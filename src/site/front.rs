//! Who asks, and under which name: scheme, authority and client address of a request as the visitor
//! sees them. Forwarding headers are believed only from trusted proxies.

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::Deref,
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, header, uri::Authority};
use ipnet::IpNet;
use url::Url;

use crate::wire::{self, Failure, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};

/// The other end of a connection, as the listener saw it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The visitor, or the proxy nearest to us.
    pub address: SocketAddr,
    /// Whether this connection speaks TLS to us.
    pub tls: bool,
}

impl Peer {
    /// Its address; one of IPv4 that came in over an IPv6 socket is an IPv4 address.
    pub fn ip(&self) -> IpAddr {
        plain(self.address.ip())
    }
}

/// The name that a request is for. Requests for the same one share it.
#[derive(Debug)]
pub struct Name {
    /// `http://host[:port]/`: the origin the visitor's browser knows.
    pub origin: Url,
    /// Host name without port, lower case: the site in cookies and records.
    pub host: String,
    /// Host and port as in the `Host` header.
    pub authority: String,
}

/// The visitor's side of one request.
#[derive(Clone, Debug)]
pub struct Front {
    name: Arc<Name>,
    /// The visitor's address, as far as trusted proxies tell. Never logged.
    pub client: IpAddr,
    /// Whether the connection comes from a trusted proxy.
    pub trusted: bool,
}

impl Deref for Front {
    type Target = Name;

    fn deref(&self) -> &Name {
        &self.name
    }
}

/// How many names a thread remembers.
const NAMES_MAX: usize = 8;

thread_local! {
    /// Names that were read last, as they were written: most requests are for one of a few.
    static NAMES: RefCell<VecDeque<(&'static str, String, Arc<Name>)>> = const { RefCell::new(VecDeque::new()) };
}

impl Name {
    /// Reads what a head says; `None` where it names no host.
    fn of(scheme: &'static str, written: &str) -> Option<Arc<Self>> {
        NAMES.with_borrow_mut(|names| {
            let known = names.iter().find(|(with, as_written, _)| *with == scheme && as_written == written);
            if let Some((_, _, name)) = known {
                return Some(Arc::clone(name));
            }
            let authority = parse_authority(written)?;
            let origin = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
            let host = origin.host_str()?.trim_end_matches('.').to_owned();
            let name = Arc::new(Self { host, authority: authority.to_ascii_lowercase(), origin });
            names.truncate(NAMES_MAX - 1);
            names.push_front((scheme, written.to_owned(), Arc::clone(&name)));
            Some(name)
        })
    }
}

impl Front {
    /// Reads a request's head. An absolute-form target names the host, as RFC 9112 section 3.2.2 demands.
    pub fn of<B>(req: &Request<B>, peer: Peer, trusted_proxies: &[IpNet]) -> Result<Self, Failure> {
        let trusted = is_trusted(peer.ip(), trusted_proxies);
        let headers = req.headers();
        let named = match req.uri().authority() {
            Some(authority) => authority.as_str(),
            None => wire::single(headers, &header::HOST).ok_or(Failure::BadRequest("no Host header, or more than one"))?,
        };
        let forwarded = |name: HeaderName| trusted.then(|| first_member(headers, &name)).flatten();
        let authority = forwarded(X_FORWARDED_HOST).unwrap_or(named);
        let scheme = match forwarded(X_FORWARDED_PROTO) {
            Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
            None if peer.tls => "https",
            _ => "http",
        };
        let name = Name::of(scheme, authority).ok_or(Failure::BadRequest("the Host header names no host"))?;
        let client = if trusted { rightmost_untrusted(headers, trusted_proxies).unwrap_or(peer.ip()) } else { peer.ip() };
        Ok(Self { name, client, trusted })
    }

    /// Whether the visitor's browser speaks TLS to us or to a proxy in front: cookie names depend on it.
    pub fn is_https(&self) -> bool {
        self.origin.scheme() == "https"
    }

    /// The network that limits count by: an IPv4 address, or the /64 of an IPv6 address.
    pub fn network(&self) -> IpAddr {
        match self.client {
            IpAddr::V4(_) => self.client,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        }
    }

    /// Sets `X-Forwarded-For`, `-Proto` and `-Host` for the site behind. What came in is kept only
    /// from a trusted proxy.
    pub fn forward(&self, headers: &mut HeaderMap, peer: IpAddr) {
        let peer = plain(peer).to_string();
        let mut chain: Vec<&str> = Vec::new();
        if self.trusted {
            chain.extend(headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()));
        }
        chain.push(&peer);
        let chain = chain.join(", ");
        for (name, value) in
            [(X_FORWARDED_FOR, chain.as_str()), (X_FORWARDED_PROTO, self.origin.scheme()), (X_FORWARDED_HOST, &self.authority)]
        {
            match HeaderValue::from_str(value) {
                Ok(value) => headers.insert(name, value),
                Err(_) => headers.remove(name),
            };
        }
        if !self.trusted {
            headers.remove(header::FORWARDED);
        }
    }
}

/// An IPv4 address that came in over an IPv6 socket is an IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The last address in `X-Forwarded-For` that no trusted proxy has: everything left of it can be invented.
fn rightmost_untrusted(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut hops: Vec<&str> = Vec::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        hops.extend(value.to_str().ok()?.split(','));
    }
    let addresses = hops.into_iter().rev().map_while(|hop| parse_hop(hop.trim()).map(plain));
    let mut last = None;
    for address in addresses {
        last = Some(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    last
}

/// An address, with a port as some proxies write it, or without.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    hop.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

/// The first of a list: what the proxy nearest to the visitor wrote. A visitor who invents it harms
/// only the own visit.
fn first_member<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|member| !member.is_empty())
}

/// Host and optional port, without user information.
fn parse_authority(text: &str) -> Option<&str> {
    let authority: Authority = text.parse().ok()?;
    let plain = !text.contains('@') && !authority.host().is_empty() && text.len() <= 255 && !text.ends_with(':');
    plain.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(lines: &[(&str, &str)], target: &str, peer: &str) -> Result<Front, Failure> {
        let mut req = Request::builder().uri(target);
        for (name, value) in lines {
            req = req.header(*name, *value);
        }
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a test network")];
        let peer = Peer { address: SocketAddr::new(peer.parse().expect("a test address"), 4000), tls: false };
        Front::of(&req.body(()).expect("a test request"), peer, &trusted)
    }

    #[test]
    fn forwarding_headers_count_only_from_a_trusted_proxy() {
        let lines = [
            ("host", "inner:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "Shop.Example"),
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.7"),
        ];
        let trusted = front(&lines, "/", "10.1.2.3").expect("a good request");
        assert_eq!(trusted.origin.as_str(), "https://shop.example/");
        assert_eq!(trusted.client.to_string(), "203.0.113.9");
        let direct = front(&lines, "/", "198.51.100.2").expect("a good request");
        assert_eq!(direct.origin.as_str(), "http://inner:8080/");
        assert_eq!(direct.client.to_string(), "198.51.100.2");

        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, value)| {
            headers.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
        });
        direct.forward(&mut headers, "198.51.100.2".parse().expect("a test address"));
        assert_eq!(headers[X_FORWARDED_FOR], "198.51.100.2");
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_HOST], "inner:8080");
    }

    #[test]
    fn lists_and_ports_of_proxies_in_a_row_are_read() {
        let lines = [
            ("host", "inner"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "shop.example, inner"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "203.0.113.9:4000"),
        ];
        let front = front(&lines, "/", "10.1.2.3").expect("a good request");
        assert_eq!((front.origin.as_str(), front.client.to_string().as_str()), ("https://shop.example/", "203.0.113.9"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        front.forward(&mut headers, "10.1.2.3".parse().expect("a test address"));
        assert_eq!(headers[X_FORWARDED_FOR], "6.6.6.6, 203.0.113.9:4000, 10.1.2.3");
    }

    #[test]
    fn a_request_names_one_plain_host() {
        assert_eq!(front(&[("host", "evil")], "http://a.site/x", "::1").expect("absolute form").host, "a.site");
        for lines in
            [&[][..], &[("host", "a"), ("host", "b")], &[("host", "u@a")], &[("host", "a/b")], &[("host", "")], &[("host", "a:")]]
        {
            assert!(front(lines, "/", "::1").is_err(), "{lines:?}");
        }
    }

    #[test]
    fn limits_count_an_ipv6_network_as_one() {
        let of = |peer| front(&[("host", "a")], "/", peer).expect("a good request").network().to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
