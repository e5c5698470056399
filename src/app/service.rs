//! What a service manager (systemd) and the gate say to each other: sockets that it has opened, so that
//! no port below 1024 needs a privilege and no connection is lost while the gate starts anew; that the
//! gate is ready, reloads or stops; that it still runs. Without a service manager all of it is nothing.

use std::{
    env, io,
    net::TcpListener as StdListener,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tracing::{debug, warn};

/// Sockets that were handed over, by what they are for. Several of a kind are IPv4 and IPv6, say.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// For visitors.
    pub(super) http: Vec<TcpListener>,
    /// For visitors, with TLS.
    pub(super) https: Vec<TcpListener>,
    /// For health.
    pub(super) admin: Vec<TcpListener>,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Http,
    Https,
    Admin,
}

impl Given {
    /// Takes the sockets of sd_listen_fds(3). `tls` says whether one for TLS is expected. Has to be called
    /// within a runtime, and once: the second time there are none.
    pub(super) fn take(tls: bool) -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let purposes = purposes(&names, sockets.len(), tls)?;
        let mut given = Self::default();
        for (at, purpose) in purposes.into_iter().enumerate() {
            let Some(socket) = sockets.take_tcp_listener(at)? else { continue };
            let socket = listening(socket)?;
            match purpose {
                Purpose::Http => given.http.push(socket),
                Purpose::Https => given.https.push(socket),
                Purpose::Admin => given.admin.push(socket),
            }
        }
        Ok(given)
    }
}

fn listening(socket: StdListener) -> io::Result<TcpListener> {
    if !is_listening(socket.as_fd())? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket that was handed over does not listen (Accept=no)"));
    }
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// A connection that was accepted by the service manager (Accept=yes) is no listener.
fn is_listening(socket: BorrowedFd<'_>) -> io::Result<bool> {
    socket2::SockRef::from(&socket).is_listener()
}

/// What each of `count` sockets is for: by its name where one is named so, else by their order.
fn purposes(names: &str, count: usize, tls: bool) -> io::Result<Vec<Purpose>> {
    let named: Vec<Option<Purpose>> = names.split(':').map(purpose).collect();
    if named.iter().any(Option::is_some) {
        let whole: Option<Vec<Purpose>> = named.into_iter().collect();
        return whole.filter(|all| all.len() == count).ok_or_else(|| {
            let message = format!("sockets were handed over as `{names}`: name each http, https or admin (FileDescriptorName=)");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        });
    }
    let order: &[Purpose] = if tls { &[Purpose::Http, Purpose::Https, Purpose::Admin] } else { &[Purpose::Http, Purpose::Admin] };
    if count > order.len() {
        let message =
            format!("{count} sockets were handed over without names: name each http, https or admin (FileDescriptorName=)");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(order[..count].to_vec())
}

fn purpose(name: &str) -> Option<Purpose> {
    match name {
        "http" => Some(Purpose::Http),
        "https" => Some(Purpose::Https),
        "admin" => Some(Purpose::Admin),
        _ => None,
    }
}

/// Every port is open and everything was checked; also what is said after [`reloading`].
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Edited files are being read.
pub(super) fn reloading() {
    // Since systemd 253 the one without the other is a failed reload.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the system has no clock"),
    }
}

/// Nothing new is taken.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the gate runs, twice as often as it has to (WatchdogSec=); for ever. It is said by a task
/// among those of the visitors: where none of them moves, nothing is said.
pub(super) async fn watchdog() {
    let mut limit_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut limit_us) || limit_us == 0 {
        return std::future::pending().await;
    }
    let every = Duration::from_micros(limit_us) / 2;
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(every).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        warn!(%error, "the service manager cannot be told how the gate is (NOTIFY_SOCKET)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_apart_by_name_and_else_by_order() {
        use Purpose::{Admin, Http, Https};
        for (names, count, tls, want) in [
            ("", 0, false, Some(vec![])),
            ("", 1, false, Some(vec![Http])),
            ("", 2, false, Some(vec![Http, Admin])),
            ("consentry.socket:consentry.socket", 2, true, Some(vec![Http, Https])),
            ("unknown:unknown:unknown", 3, true, Some(vec![Http, Https, Admin])),
            ("", 3, false, None),
            ("https:http:http:admin", 4, true, Some(vec![Https, Http, Http, Admin])),
            ("http:other", 2, false, None),
            ("http", 2, false, None),
        ] {
            assert_eq!(purposes(names, count, tls).ok(), want, "{names} {count} {tls}");
        }
    }
}
