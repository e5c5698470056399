//! The way of an address: any bytes as the value of a `src`, under any base.
//!
//! The engine's own reading (character references, a short cut for plain addresses, host suffixes)
//! against html5ever and the `url` crate: a vendor's address is held, by host, by path or by query, and
//! nothing else is that a browser would load.
//!
//! Up to the first zero byte the input is the value of a `<base href>`, after it that of the `src`.

#![no_main]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../engine/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../engine/world.rs"]
mod world;

use consentry::html::PageReport;
use libfuzzer_sys::fuzz_target;
use world::{Grant, gate};

fuzz_target!(|data: &[u8]| {
    // What ends the value would make it another page: that is the other target's.
    if data.iter().any(|&byte| matches!(byte, b'"' | b'<' | b'>')) {
        return;
    }
    let cut = data.iter().position(|&byte| byte == 0);
    let (base, address) = cut.map_or((None, data), |at| (Some(&data[..at]), &data[at + 1..]));
    let page = page(base, address);
    let (_, report) = gate(&page, Grant::Nothing).expect("a page of two tags can be read");
    let live = oracle::live(&page, true);
    assert!(report.tags.len() + report.more >= live.len(), "missed: {live:?}");
    if loads(&report) > live.len() {
        // An empty address is the base's own, and browsers load nothing from it: held or not, either is right.
        let (_, empty) = gate(&self::page(base, b""), Grant::Nothing).expect("a page of two tags can be read");
        assert_eq!(loads(&report), loads(&empty), "held for nothing: {:?}", report.tags);
        assert_eq!(report.tags[0].address, empty.tags[0].address, "held for nothing");
    }
});

fn page(base: Option<&[u8]>, address: &[u8]) -> Vec<u8> {
    let mut page = b"<!DOCTYPE html><title>x</title>".to_vec();
    if let Some(base) = base {
        page.extend_from_slice(b"<base href=\"");
        page.extend_from_slice(base);
        page.extend_from_slice(b"\">");
    }
    page.extend_from_slice(b"<img src=\"");
    page.extend_from_slice(address);
    page.extend_from_slice(b"\">");
    page
}

/// How many tags are held that would load. Over other schemes, and from an address that cannot be read, nothing is
/// loaded: there, either is right.
fn loads(report: &PageReport) -> usize {
    let loads = |address: &String| address.starts_with("http://") || address.starts_with("https://");
    report.tags.iter().filter(|tag| tag.address.as_ref().is_some_and(loads)).count()
}
