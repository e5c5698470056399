//! The head of a request, and a chunked body: any bytes.
//!
//! What the checker accepts hyper takes for the same request: method, target, headers, and where the
//! body ends. The same functions run as property tests in tests/it.

#![no_main]

#[path = "../../it/framing/oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    oracle::agree(data);
    oracle::agree_on_body(data);
});
