//! Content codings: asking the upstream only for what the gate can read, and choosing one that the
//! visitor accepts.

use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};

/// A content coding (RFC 9110, section 8.4.1) that the gate reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None at all.
    Identity,
    /// RFC 1952; `x-gzip` is its old name.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1950 (zlib), in practice often RFC 1951.
    Deflate,
}

impl Coding {
    /// Every coding, in the order in which they are asked for.
    const ALL: [Self; 5] = [Self::Gzip, Self::Brotli, Self::Zstd, Self::Deflate, Self::Identity];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }

    /// The coding of that name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        Self::ALL.into_iter().find(|coding| coding.token().eq_ignore_ascii_case(name))
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|&coding| coding == self).expect("every coding is listed")
    }
}

/// Reduces `Accept-Encoding` (RFC 9110, section 12.5.3) to codings the gate reads, weights kept. `*`
/// is spelled out; a request without the header stays without one; nothing readable left is `identity`.
pub fn limit_accept_encoding(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let weights = read(headers);
    let members = Coding::ALL.into_iter().filter_map(|coding| match weights.of(coding)? {
        1000 => Some(coding.token().to_owned()),
        // Only of `identity` does silence not mean refusal.
        0 if coding != Coding::Identity => None,
        weight => Some(format!("{};q={}", coding.token(), decimal(weight))),
    });
    let members: Vec<String> = members.collect();
    let value = if members.is_empty() { Coding::Identity.token().to_owned() } else { members.join(", ") };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(&value).expect("codings and weights are ASCII"));
}

/// 0 to 1000 as `0`, `0.5`, `0.125`.
fn decimal(weight: u16) -> String {
    let text = format!("{}.{:03}", weight / 1000, weight % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What codings a visitor accepts, and how gladly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCodings {
    /// In thousandths, by the place in [`Coding::ALL`]; 0 is a refusal.
    weights: [u16; 5],
}

impl AcceptedCodings {
    /// Whether an answer in this coding is accepted.
    pub fn allows(&self, coding: Coding) -> bool {
        self.weights[coding.index()] > 0
    }

    /// The most wanted of `offered`, of equals the first; none if all are refused.
    pub fn best(&self, offered: &[Coding]) -> Option<Coding> {
        let wanted = offered.iter().filter(|&&coding| self.allows(coding));
        // Reversed, since of equals `max_by_key` takes the last.
        wanted.rev().max_by_key(|coding| self.weights[coding.index()]).copied()
    }
}

/// What codings the request accepts (RFC 9110, section 12.5.3). Without the header only `identity`:
/// the standard allows any then, but who does not say that they can decode usually cannot. `identity`
/// that is not mentioned is accepted, less gladly than anything that is.
pub fn accepted(headers: &HeaderMap) -> AcceptedCodings {
    let read = read(headers);
    let weights = Coding::ALL.map(|coding| match read.of(coding) {
        Some(weight) => weight,
        None if coding == Coding::Identity => 1,
        None => 0,
    });
    AcceptedCodings { weights }
}

/// The weights that the header names; the first of a name counts.
#[derive(Default)]
struct Weights {
    named: [Option<u16>; 5],
    others: Option<u16>,
}

impl Weights {
    /// The weight of a coding; none where the header says nothing about it.
    fn of(&self, coding: Coding) -> Option<u16> {
        self.named[coding.index()].or(self.others)
    }
}

fn read(headers: &HeaderMap) -> Weights {
    let mut weights = Weights::default();
    for line in headers.get_all(ACCEPT_ENCODING) {
        for member in line.to_str().unwrap_or_default().split(',') {
            let mut parts = member.split(';').map(str::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let slot = match Coding::parse(name) {
                Some(coding) => &mut weights.named[coding.index()],
                None if name == "*" => &mut weights.others,
                None => continue,
            };
            // A weight that cannot be read is a refusal: nobody gets what they may not be able to decode.
            slot.get_or_insert(parts.next().map_or(Some(1000), read_weight).unwrap_or(0));
        }
    }
    weights
}

/// `q=0.5` in thousandths (RFC 9110, section 12.4.2).
fn read_weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, fraction) = value.trim_ascii().split_once('.').unwrap_or((value.trim_ascii(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok().filter(|_| digits)?;
    match (name.trim_ascii(), whole) {
        ("q" | "Q", "0") => Some(thousandths),
        ("q" | "Q", "1") if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::headers::sample::{headers, lines};

    const OFFERED: &[Coding] = &[Coding::Brotli, Coding::Zstd, Coding::Gzip, Coding::Identity];

    #[test]
    fn only_readable_codings_are_asked_for_and_weights_are_kept() {
        for (sent, want, best) in [
            (&["gzip, deflate, br, zstd"][..], "gzip, br, zstd, deflate", Some(Coding::Brotli)),
            (&["gzip, deflate, br, zstd, dcb, dcz"], "gzip, br, zstd, deflate", Some(Coding::Brotli)),
            (&["br;q=0.5, gzip;q=1.0, compress"], "gzip, br;q=0.5", Some(Coding::Gzip)),
            (&["GZip ; Q=0.125", "BR;q=0.1"], "gzip;q=0.125, br;q=0.1", Some(Coding::Gzip)),
            (&["x-gzip"], "gzip", Some(Coding::Gzip)),
            (&["*"], "gzip, br, zstd, deflate, identity", Some(Coding::Brotli)),
            (&["gzip, *;q=0.2"], "gzip, br;q=0.2, zstd;q=0.2, deflate;q=0.2, identity;q=0.2", Some(Coding::Gzip)),
            (&["br;q=0, *"], "gzip, zstd, deflate, identity", Some(Coding::Zstd)),
            (&["gzip, *;q=0"], "gzip, identity;q=0", Some(Coding::Gzip)),
            (&["*;q=0"], "identity;q=0", None),
            (&["dcb, identity;q=0"], "identity;q=0", None),
            (&["identity, gzip;q=0.5"], "gzip;q=0.5, identity", Some(Coding::Identity)),
            (&["gzip;q=0"], "identity", Some(Coding::Identity)),
            (&["dcb"], "identity", Some(Coding::Identity)),
            (&[""], "identity", Some(Coding::Identity)),
            (&["gzip;q=x, br;q=0.1234, zstd;q=1.5, deflate;x=1"], "identity", Some(Coding::Identity)),
            (&["gzip;q=0, gzip"], "identity", Some(Coding::Identity)),
            (&["gzip;q=0.001"], "gzip;q=0.001", Some(Coding::Gzip)),
        ] {
            let mut map = headers("accept-encoding", sent);
            assert_eq!(accepted(&map).best(OFFERED), best, "{sent:?}");
            limit_accept_encoding(&mut map);
            assert_eq!(lines(&map, "accept-encoding"), [want], "{sent:?}");
        }
    }

    #[test]
    fn without_the_header_nothing_is_asked_for_and_nothing_is_encoded() {
        let mut map = HeaderMap::new();
        assert_eq!(accepted(&map).best(OFFERED), Some(Coding::Identity));
        limit_accept_encoding(&mut map);
        assert!(map.is_empty());
    }

    proptest! {
        /// The reduced header accepts what the whole one accepts, as far as the gate's codings go.
        #[test]
        fn reducing_changes_no_answer(members in prop::collection::vec(("gzip|br|zstd|deflate|identity|\\*|dcb|x-gzip", "|;q=0|;q=0\\.[0-9]{1,3}|;q=1|; q=1\\.000|;q=2"), 0..7)) {
            let text: Vec<String> = members.iter().map(|(name, weight)| format!("{name}{weight}")).collect();
            let mut map = headers("accept-encoding", &[&text.join(", ")]);
            let before = accepted(&map);
            limit_accept_encoding(&mut map);
            let after = accepted(&map);
            for coding in Coding::ALL {
                prop_assert_eq!(before.allows(coding), after.allows(coding), "{:?} in {:?}", coding, map);
            }
            prop_assert_eq!(before.best(OFFERED), after.best(OFFERED), "{:?}", map);
        }
    }
}
