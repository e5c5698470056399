//! The head of a request: any bytes.
//!
//! What the checker accepts hyper takes for the same request: method, target, headers, and where the
//! body ends. The same function runs as a property test in tests/it.

#![no_main]

#[path = "../../it/framing/oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    oracle::agree(data);
});
