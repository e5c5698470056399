//! How often the gate asks for memory for a request that passes, and how much of it a connection at rest keeps, held
//! to bounds: `cargo test --test allocations`.
//! Visitor and origin are threads of this process that ask for none themselves.

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use consentry::{app::App, config::Config};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;
use tokio::runtime::Runtime;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-type: image/png\r\n\
    content-length: 10\r\nlast-modified: Tue, 24 Nov 2026 12:00:00 GMT\r\netag: \"1\"\r\naccept-ranges: bytes\r\n\r\n0123456789";

const REQUEST: &[u8] = b"GET /1k.png HTTP/1.1\r\nhost: localhost\r\naccept: image/avif,image/webp,*/*;q=0.8\r\n\
    accept-language: en\r\naccept-encoding: gzip, br\r\nsec-fetch-dest: image\r\nsec-fetch-mode: no-cors\r\nsec-fetch-site: same-origin\r\n\r\n";

const REQUESTS: usize = 1_000;

/// Allocations and reallocations a request. What was measured is told with the bound's last change.
const MOST: usize = 90;

const CONNECTIONS: usize = 200;
const REST: Duration = Duration::from_millis(1_500);
/// Bytes of a plain connection at rest that has asked once, without the kernel's part.
const KEPT: isize = 6_000;

/// Reads a message whose end is `end`.
fn read_until(stream: &mut TcpStream, end: &[u8], buffer: &mut [u8; 8192]) -> bool {
    let mut length = 0;
    loop {
        match stream.read(&mut buffer[length..]) {
            Ok(0) | Err(_) => return false,
            Ok(read) => length += read,
        }
        if buffer[..length].ends_with(end) {
            return true;
        }
    }
}

fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut buffer = [0; 8192];
                while read_until(&mut stream, b"\r\n\r\n", &mut buffer) && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

/// One test at a time: the count is of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// A gate on one thread, and where it listens.
struct Gate {
    address: SocketAddr,
    _runtime: Runtime,
    _data: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Gate {
    fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = Runtime::new().expect("a runtime");
        let data = tempfile::tempdir().expect("a folder");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config { listen: any, admin: any, data: data.path().to_owned(), workers: 1, ..Config::default() };
        config.sites[0].upstreams = vec![format!("http://{}", origin()).parse().expect("an address")];
        config.limits.connections_per_client = 0;
        let app = runtime.block_on(App::open(config)).expect("the gate opens");
        let address = app.address().expect("an open port");
        runtime.spawn(app.run(std::future::pending()));
        Self { address, _runtime: runtime, _data: data, _alone: alone }
    }

    fn visitor(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("it listens")
    }
}

fn ask(visitor: &mut TcpStream) {
    visitor.write_all(REQUEST).expect("it reads");
    assert!(read_until(visitor, b"0123456789", &mut [0; 8192]), "it answers");
}

#[test]
fn a_request_that_passes_asks_for_memory_so_often_and_no_more() {
    let gate = Gate::start();
    let mut visitor = gate.visitor();
    let mut ask = |count: usize| (0..count).for_each(|_| ask(&mut visitor));
    ask(REQUESTS);
    // The least of several: the gate looks after its files now and then.
    let each = (0..5).map(|_| {
        let region = Region::new(COUNTED);
        ask(REQUESTS);
        let change = region.change();
        ((change.allocations + change.reallocations) / REQUESTS, change.bytes_allocated / REQUESTS)
    });
    let (count, bytes) = each.min().expect("several");
    assert!(count <= MOST, "{count} allocations a request, of {bytes} bytes in all; at most {MOST} were allowed");
    // A bound far above what is needed holds nothing.
    assert!(count * 3 > MOST * 2, "only {count} allocations a request: lower the bound");
}

#[test]
fn a_connection_at_rest_keeps_so_much_memory_and_no_more() {
    let gate = Gate::start();
    let open = |count: usize| -> Vec<TcpStream> {
        let one = |_| {
            let mut visitor = gate.visitor();
            ask(&mut visitor);
            visitor
        };
        let all = (0..count).map(one).collect();
        // Until it is certain that they are at rest.
        thread::sleep(REST);
        all
    };
    let _before = open(20);
    let region = Region::new(COUNTED);
    let mut visitors = open(CONNECTIONS);
    let change = region.change();
    // `bytes_reallocated` is what growing and shrinking made of it.
    let kept = change.bytes_allocated as isize - change.bytes_deallocated as isize + change.bytes_reallocated;
    let each = kept / CONNECTIONS as isize;
    assert!(each <= KEPT, "{each} bytes a connection; at most {KEPT} were allowed");
    assert!(each * 3 > KEPT, "only {each} bytes a connection: lower the bound");
    // They are as good as new ones.
    visitors.iter_mut().for_each(ask);
}
