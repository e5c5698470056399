//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): a proxy in front that passes
//! bytes on says with one header whose they are. It is read from trusted proxies only, and there it is not
//! optional: who could leave it out could be anybody.

use std::{io, net::SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::transport::Rewound;

/// The longest header of version 1, its end included.
const V1_BYTES_MAX: usize = 107;
/// Of version 2 far more are allowed; addresses and what proxies add to them stay below.
const V2_BYTES_MAX: usize = 4 << 10;
/// In version 2 the length stands in the last two of these.
const V2_FIXED_BYTES: usize = 16;
/// `PP2_TYPE_SSL`, and in its first byte `PP2_CLIENT_SSL`.
const SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    /// The visitor; `None` where the proxy speaks for itself (health checks) or does not know.
    pub(super) address: Option<SocketAddr>,
    /// Whether the visitor spoke TLS to the proxy.
    pub(super) tls: bool,
}

/// Reads the header; what follows it is left to be read. Anything else than a header is an error.
pub(super) async fn read<I: AsyncRead + Unpin>(io: &mut Rewound<I>) -> io::Result<Proxied> {
    let mut bytes = Vec::with_capacity(V1_BYTES_MAX);
    let end = loop {
        match end(&bytes)? {
            Some(end) if end <= bytes.len() => break end,
            _ => {}
        }
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    io.put_back(&bytes[end..]);
    parse(&bytes[..end]).ok_or_else(|| malformed("its PROXY header is malformed"))
}

/// Where the header ends, once that can be told. The parser itself takes half an address for a wrong one.
fn end(bytes: &[u8]) -> io::Result<Option<usize>> {
    let length = bytes.len().min(v2::PROTOCOL_PREFIX.len());
    if bytes[..length] == v2::PROTOCOL_PREFIX[..length] {
        let Some(fixed) = bytes.get(..V2_FIXED_BYTES) else { return Ok(None) };
        let whole = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        return if whole <= V2_BYTES_MAX { Ok(Some(whole)) } else { Err(malformed("its PROXY header is too long")) };
    }
    let length = bytes.len().min(v1::PROTOCOL_PREFIX.len());
    if bytes[..length] != v1::PROTOCOL_PREFIX.as_bytes()[..length] {
        return Err(malformed("it comes from a trusted proxy and does not begin with a PROXY header"));
    }
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    match line.windows(2).position(|window| window == b"\r\n") {
        Some(at) => Ok(Some(at + 2)),
        None if line.len() == V1_BYTES_MAX => Err(malformed("its PROXY header is too long")),
        None => Ok(None),
    }
}

fn parse(header: &[u8]) -> Option<Proxied> {
    // What follows this word is ignored; the parser takes four more words only.
    if [&b"PROXY UNKNOWN\r"[..], b"PROXY UNKNOWN "].iter().any(|start| header.starts_with(start)) {
        return Some(Proxied { address: None, tls: false });
    }
    if !header.starts_with(v2::PROTOCOL_PREFIX) {
        let address = match v1::Header::try_from(header).ok()?.addresses {
            v1::Addresses::Tcp4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
            v1::Addresses::Tcp6(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
            v1::Addresses::Unknown => None,
        };
        return Some(Proxied { address, tls: false });
    }
    let header = v2::Header::try_from(header).ok()?;
    if header.command == v2::Command::Local {
        return Some(Proxied { address: None, tls: false });
    }
    let address = match header.addresses {
        v2::Addresses::IPv4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        v2::Addresses::IPv6(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    };
    // Bytes of datagrams are no HTTP.
    if address.is_some() && header.protocol != v2::Protocol::Stream {
        return None;
    }
    let mut tls = false;
    for value in header.tlvs() {
        let value = value.ok()?;
        tls |= value.kind == SSL && value.value.first().is_some_and(|client| client & CLIENT_SSL != 0);
    }
    Some(Proxied { address, tls })
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("a short header").to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    const FOUR: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x0f, 0xa0, 0, 80];

    /// The address and whether it is TLS, or `None` for a fault; at every piece size the same.
    async fn check(sent: &[u8], want: Option<(Option<&str>, bool)>) {
        for piece in [1, 16, 5_000] {
            let (mut client, server) = tokio::io::duplex(100_000);
            for bytes in sent.chunks(piece) {
                client.write_all(bytes).await.expect("room");
            }
            client.write_all(b"GET").await.expect("room");
            drop(client);
            let mut io = Rewound::new(server);
            let read = read(&mut io).await.ok();
            let told = read.map(|proxied| (proxied.address.map(|address| address.to_string()), proxied.tls));
            assert_eq!(told, want.map(|(address, tls)| (address.map(str::to_owned), tls)), "{sent:?}");
            if want.is_some() {
                let mut rest = String::new();
                io.read_to_string(&mut rest).await.expect("text");
                assert_eq!(rest, "GET", "what follows is left");
            }
        }
    }

    #[tokio::test]
    async fn a_header_of_either_version_names_the_visitor() {
        let six: Vec<u8> =
            [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0x0f, 0xa0, 0, 80]].concat();
        for (sent, want) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\r\n".to_vec(), (Some("203.0.113.9:4000"), false)),
            (b"PROXY TCP6 2001:db8::7 ::1 4000 80\r\n".to_vec(), (Some("[2001:db8::7]:4000"), false)),
            (b"PROXY UNKNOWN\r\n".to_vec(), (None, false)),
            (b"PROXY UNKNOWN whatever it is 1 2\r\n".to_vec(), (None, false)),
            (v2(0x21, 0x11, &FOUR), (Some("203.0.113.9:4000"), false)),
            (v2(0x21, 0x21, &six), (Some("[2001:db8::7]:4000"), false)),
            (v2(0x21, 0x11, &[&FOUR[..], &[SSL, 0, 5, CLIENT_SSL, 0, 0, 0, 0]].concat()), (Some("203.0.113.9:4000"), true)),
            (v2(0x21, 0x11, &[&FOUR[..], &[SSL, 0, 5, 0, 0, 0, 0, 0]].concat()), (Some("203.0.113.9:4000"), false)),
            (v2(0x20, 0x11, &FOUR), (None, false)),
            (v2(0x20, 0x00, &[]), (None, false)),
            (v2(0x21, 0x31, &[0; 216]), (None, false)),
        ] {
            check(&sent, Some(want)).await;
        }
    }

    #[tokio::test]
    async fn anything_malformed_is_a_fault() {
        for sent in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4000\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.999 10.0.0.1 4000 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 4000 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 99999 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4000 80\n".to_vec(),
            b"PROXYTCP4 203.0.113.9 10.0.0.1 4000 80\r\n".to_vec(),
            b"proxy TCP4 203.0.113.9 10.0.0.1 4000 80\r\n".to_vec(),
            format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).into_bytes(),
            v2(0x11, 0x11, &FOUR),
            v2(0x22, 0x11, &FOUR),
            v2(0x21, 0x12, &FOUR),
            v2(0x21, 0x11, &FOUR[..8]),
            v2(0x21, 0x41, &FOUR),
            v2(0x21, 0x11, &[&FOUR[..], &[SSL, 0, 50, 1]].concat()),
            v2(0x21, 0x11, &[0; 5_000]),
            v2(0x21, 0x11, &FOUR)[..20].to_vec(),
        ] {
            check(&sent, None).await;
        }
    }
}
