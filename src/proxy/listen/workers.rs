//! Threads that serve visitors, one a core: each has a runtime of its own and a listening socket of its own
//! (`SO_REUSEPORT`), so that a connection, its requests and mostly their upstream connections stay on one core.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket as System, Type};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tracing::warn;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 1_024;

/// Tasks of a worker that ends get this long to be dropped.
const ENDING: Duration = Duration::from_secs(1);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker that this thread is, from 1; 0 for any other thread.
pub(in crate::proxy) fn number() -> usize {
    NUMBER.get()
}

/// Running workers. Dropped, they end with all that they serve.
#[derive(Default)]
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    handle: Handle,
    /// Its end tells the worker to end.
    over: oneshot::Sender<()>,
    /// Ends when the worker has.
    ended: oneshot::Receiver<()>,
}

impl Workers {
    /// Starts so many threads, which wait for work.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        (1..=count).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// Their runtimes.
    pub(super) fn handles(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.handle)
    }

    /// Drops what still runs, and waits until it is dropped.
    pub(super) async fn end(self) {
        for Worker { over, ended, .. } in self.0 {
            drop(over);
            let _ = tokio::time::timeout(ENDING, ended).await;
        }
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (over, told) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            NUMBER.set(number);
            // Nothing is ever sent: it is the end of the sender that is waited for.
            let _ = runtime.block_on(told);
            runtime.shutdown_background();
            let _ = end.send(());
        })?;
        Ok(Self { handle, over, ended })
    }
}

/// One listening socket for each of `count` workers. A socket that was handed over (`given`) belongs to
/// somebody else as well and is left as it is: all workers accept from it. The same goes for a system that
/// does not let sockets share a port.
///
/// The first socket of the gate was bound without `SO_REUSEPORT`: so a second gate, or any other server,
/// on the same port is still told that it is in use.
pub(super) fn shares(listener: StdListener, count: usize, given: bool) -> io::Result<Vec<StdListener>> {
    if !given && count > 1 {
        match siblings(&listener, count - 1) {
            Ok(siblings) => return Ok(std::iter::once(listener).chain(siblings).collect()),
            Err(error) => warn!(%error, "workers share one listening socket: SO_REUSEPORT is not to be had"),
        }
    }
    let copies: io::Result<Vec<_>> = (1..count).map(|_| listener.try_clone()).collect();
    Ok(std::iter::once(listener).chain(copies?).collect())
}

fn siblings(listener: &StdListener, count: usize) -> io::Result<Vec<StdListener>> {
    let address = listener.local_addr()?;
    SockRef::from(listener).set_reuse_port(true)?;
    (0..count).map(|_| sibling(listener, address)).collect()
}

fn sibling(listener: &StdListener, address: SocketAddr) -> io::Result<StdListener> {
    let socket = System::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(SockRef::from(listener).only_v6()?)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn workers_have_sockets_of_their_own_on_one_port_and_nobody_else_gets_it() {
        let first = StdListener::bind("127.0.0.1:0").expect("a port");
        let address = first.local_addr().expect("an address");
        let all = shares(first, 3, false).expect("sockets");
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|socket| socket.local_addr().is_ok_and(|own| own == address)));
        assert_eq!(StdListener::bind(address).expect_err("it is in use").kind(), io::ErrorKind::AddrInUse);
        all.iter().for_each(|socket| socket.set_nonblocking(true).expect("an option"));
        // Each is in the system's table: of many connections every one gets some.
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).expect("it listens")).collect();
        let accepted: Vec<usize> = all.iter().map(|socket| std::iter::from_fn(|| socket.accept().ok()).count()).collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_socket_that_was_handed_over_stays_one() {
        let given = StdListener::bind("127.0.0.1:0").expect("a port");
        let all = shares(given, 3, true).expect("sockets");
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|socket| !SockRef::from(socket).reuse_port().expect("an option")));
    }
}
