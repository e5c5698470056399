//! How many connections one client may have open: so that nobody takes all of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

/// Open connections by client address. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// 0: no limit.
    most: u64,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, u64>>,
}

/// Leave for one connection, until it is dropped.
#[derive(Debug)]
pub struct Admission {
    clients: Arc<Shared>,
    /// `None`: not counted.
    counted: Option<IpAddr>,
}

impl Clients {
    /// At most `most` connections from one address, or from one /64 of IPv6 (a household gets as many
    /// addresses); 0: no limit. `exempt` networks are not counted: behind a proxy are many visitors.
    pub fn new(most: u64, exempt: Vec<IpNet>) -> Self {
        Self(Arc::new(Shared { most, exempt, open: Mutex::default() }))
    }

    /// Likewise, where neither this machine nor the trusted proxies are counted.
    pub fn of_visitors(most: u64, trusted_proxies: &[IpNet]) -> Self {
        let loopback = [IpAddr::from([127, 0, 0, 0]), Ipv6Addr::LOCALHOST.into()];
        let loopback = loopback.into_iter().zip([8, 128]).filter_map(|(address, bits)| IpNet::new(address, bits).ok());
        Self::new(most, loopback.chain(trusted_proxies.iter().copied()).collect())
    }

    /// Leave for one more connection from `address`; `None` where it has too many.
    pub fn admit(&self, address: IpAddr) -> Option<Admission> {
        let address = address.to_canonical();
        let shared = &self.0;
        let admission = |counted| Some(Admission { clients: Arc::clone(shared), counted });
        if shared.most == 0 || shared.exempt.iter().any(|network| network.contains(&address)) {
            return admission(None);
        }
        let client = client(address);
        let mut open = shared.open();
        let count = open.entry(client).or_default();
        if *count >= shared.most {
            return None;
        }
        *count += 1;
        admission(Some(client))
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(client) = self.counted else { return };
        let mut open = self.clients.open();
        if let Some(count) = open.get_mut(&client) {
            *count -= 1;
            // Only who is here is in the table: it cannot grow by addresses that come and go.
            if *count == 0 {
                open.remove(&client);
            }
        }
    }
}

/// What is counted as one client.
fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("a test address")
    }

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let clients = Clients::of_visitors(2, &["10.0.0.0/8".parse().expect("a test network")]);
        let first = clients.admit(ip("192.0.2.1")).expect("the first");
        let _second = clients.admit(ip("::ffff:192.0.2.1")).expect("the second, by IPv6");
        assert!(clients.admit(ip("192.0.2.1")).is_none());
        assert!(clients.admit(ip("192.0.2.2")).is_some(), "another client");
        drop(first);
        assert!(clients.admit(ip("192.0.2.1")).is_some(), "one has gone");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let clients = Clients::of_visitors(1, &[]);
        let _one = clients.admit(ip("2001:db8:1:2::1")).expect("the first");
        assert!(clients.admit(ip("2001:db8:1:2:3:4:5:6")).is_none());
        assert!(clients.admit(ip("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn this_machine_and_trusted_proxies_are_not_counted() {
        let clients = Clients::of_visitors(1, &["10.0.0.0/8".parse().expect("a test network")]);
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            let all: Vec<_> = (0..10).map(|_| clients.admit(ip(address))).collect();
            assert!(all.iter().all(Option::is_some), "{address}");
        }
        let free = Clients::of_visitors(0, &[]);
        let all: Vec<_> = (0..10).map(|_| free.admit(ip("192.0.2.1"))).collect();
        assert!(all.iter().all(Option::is_some));
    }

    #[test]
    fn who_has_left_is_not_remembered() {
        let clients = Clients::of_visitors(5, &[]);
        for n in 0..1_000 {
            drop(clients.admit(IpAddr::from([192, 0, (n / 250) as u8, (n % 250) as u8])));
        }
        assert!(clients.0.open().is_empty());
    }
}
