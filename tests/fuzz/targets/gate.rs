//! Locate and classify: any bytes, in any chunks, as a page.
//!
//! Where no vendor is known the output is the input; where vendors are known the output does not
//! depend on the chunks, and nothing of theirs is live in it when html5ever reads it again.
//!
//! The first byte of the input is the size of the chunks, the rest is the page.

#![no_main]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../engine/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../engine/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::{Grant, gate, gate_in_chunks};

fuzz_target!(|data: &[u8]| {
    let Some((&size, page)) = data.split_first() else { return };
    let size = usize::from(size).max(1);
    if let Ok((out, report)) = gate_in_chunks(page, Grant::NothingKnown, size)
        && report.tags.iter().all(|tag| !tag.rules.is_empty())
    {
        assert_eq!(out, page, "identity");
    }
    match (gate_in_chunks(page, Grant::Nothing, size), gate(page, Grant::Nothing)) {
        (Ok((chunked, _)), Ok((whole, _))) => {
            assert_eq!(chunked, whole, "chunk invariance");
            let live = oracle::live(&whole, true);
            assert!(live.is_empty(), "closure: {live:?}");
        }
        (Err(_), Err(_)) => {}
        (chunked, whole) => panic!("refused in one chunking only: {:?} {:?}", chunked.is_ok(), whole.is_ok()),
    }
});
