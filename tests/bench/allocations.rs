//! How often the gate asks for memory for a request that passes, held to a bound: `cargo test --test allocations`.
//! Visitor and origin are threads of this process that ask for none themselves.

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use consentry::{app::App, config::Config};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-type: image/png\r\n\
    content-length: 10\r\nlast-modified: Tue, 24 Nov 2026 12:00:00 GMT\r\netag: \"1\"\r\naccept-ranges: bytes\r\n\r\n0123456789";

const REQUEST: &[u8] = b"GET /1k.png HTTP/1.1\r\nhost: localhost\r\naccept: image/avif,image/webp,*/*;q=0.8\r\n\
    accept-language: en\r\naccept-encoding: gzip, br\r\nsec-fetch-dest: image\r\nsec-fetch-mode: no-cors\r\nsec-fetch-site: same-origin\r\n\r\n";

const REQUESTS: usize = 1_000;

/// Allocations and reallocations a request. What was measured is told with the bound's last change.
const MOST: usize = 90;

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

#[test]
fn a_request_that_passes_asks_for_memory_so_often_and_no_more() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let data = tempfile::tempdir().expect("a folder");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config { listen: any, admin: any, data: data.path().to_owned(), workers: 1, ..Config::default() };
    config.sites[0].upstreams = vec![format!("http://{}", origin()).parse().expect("an address")];
    let app = runtime.block_on(App::open(config)).expect("the gate opens");
    let address = app.address().expect("an open port");
    runtime.spawn(app.run(std::future::pending()));

    let mut visitor = TcpStream::connect(address).expect("it listens");
    let mut buffer = [0; 8192];
    let mut ask = |count: usize| {
        for _ in 0..count {
            visitor.write_all(REQUEST).expect("it reads");
            assert!(read_until(&mut visitor, b"0123456789", &mut buffer), "it answers");
        }
    };
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
