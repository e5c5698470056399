//! Who may ask the admin listener, and how much they are told.

use http::{Request, header, uri::Authority};

use crate::{config::AdminToken, wire};

/// How far a request is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It may ask for everything.
    Whole,
    /// It may ask whether the gate lives and is ready, and gets the status and no more: load balancers
    /// carry no token.
    StatusOnly,
    /// The `Host` header names another machine.
    WrongHost,
}

/// Looks at a request. A page elsewhere that rebinds its name to this address sends that name as `Host`
/// and knows no token (traps: admin).
pub(super) fn entry<B>(req: &Request<B>, token: Option<&AdminToken>) -> Entry {
    match token {
        Some(token) if bearer(req).is_some_and(|shown| token.is(shown)) => Entry::Whole,
        Some(_) if host(req).is_some_and(|host| host.is_address) => Entry::StatusOnly,
        None if host(req).is_some_and(|host| host.is_this_machine) => Entry::Whole,
        Some(_) | None => Entry::WrongHost,
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, 2.1; the scheme in any case, RFC 9110, 11.1).
fn bearer<B>(req: &Request<B>) -> Option<&str> {
    let (scheme, shown) = wire::single(req.headers(), &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim_start_matches(' '))
}

struct Host {
    /// `localhost`, or an address of this machine's own.
    is_this_machine: bool,
    /// `localhost`, or any address: no name that somebody's name server answers for.
    is_address: bool,
}

fn host<B>(req: &Request<B>) -> Option<Host> {
    let authority: Authority = wire::single(req.headers(), &header::HOST)?.parse().ok()?;
    let name = authority.host().trim_matches(['[', ']']);
    let address = name.parse::<std::net::IpAddr>().ok();
    let local = name.eq_ignore_ascii_case("localhost");
    Some(Host {
        is_this_machine: local || address.is_some_and(|address| address.is_loopback()),
        is_address: local || address.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_machines_are_turned_away_and_a_token_opens() {
        let token = AdminToken::new("a-secret-of-the-operator").expect("long enough");
        let (right, wrong) = ("Bearer a-secret-of-the-operator", "Bearer a-secret-of-nobody-else");
        for (host, shown, without, with) in [
            ("localhost:8081", "", Entry::Whole, Entry::StatusOnly),
            ("127.0.0.1", "", Entry::Whole, Entry::StatusOnly),
            ("[::1]:8081", "", Entry::Whole, Entry::StatusOnly),
            ("10.0.0.1:8081", "", Entry::WrongHost, Entry::StatusOnly),
            ("evil.example", "", Entry::WrongHost, Entry::WrongHost),
            ("evil.example", wrong, Entry::WrongHost, Entry::WrongHost),
            ("10.0.0.1", wrong, Entry::WrongHost, Entry::StatusOnly),
            ("10.0.0.1", "Basic a-secret-of-the-operator", Entry::WrongHost, Entry::StatusOnly),
            ("10.0.0.1", right, Entry::WrongHost, Entry::Whole),
            ("gate.internal:8081", right, Entry::WrongHost, Entry::Whole),
            ("127.0.0.1", "bearer a-secret-of-the-operator", Entry::Whole, Entry::Whole),
        ] {
            let req = Request::builder().header("host", host).header("authorization", shown).body(()).expect("a test request");
            assert_eq!(entry(&req, None), without, "{host} {shown}");
            assert_eq!(entry(&req, Some(&token)), with, "{host} {shown} with a token set");
        }
    }
}
