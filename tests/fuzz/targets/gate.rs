//! Any bytes, in any chunks: where no vendor is known the output is the input, where vendors are
//! known the output does not depend on the chunks,
//! and nothing panics.
//!
//! The first byte of the input is the size of the chunks, the rest is the page.

#![no_main]

use std::sync::{Arc, LazyLock};

use consentry::{
    html::{Gate, GateError, Limits, Page},
    policy::{Policy, Sources},
};
use libfuzzer_sys::fuzz_target;

const VENDOR: &str = "id = \"acme\"\nname = \"Acme\"\npurposes = [\"marketing\"]\n\
    [[rule]]\nid = \"host\"\nhosts = [\"acme.example\"]\n[[rule]]\nid = \"snippet\"\ninline = [\"acme('init'\"]\n";

static UNKNOWN: LazyLock<Arc<Policy>> = LazyLock::new(|| policy(&[]));
static KNOWN: LazyLock<Arc<Policy>> = LazyLock::new(|| policy(&[("vendors/acme.toml", VENDOR)]));

fuzz_target!(|data: &[u8]| {
    let Some((&size, page)) = data.split_first() else { return };
    let size = usize::from(size).max(1);
    if let Ok(out) = gate(&UNKNOWN, page, size) {
        assert_eq!(out, page, "identity");
    }
    match (gate(&KNOWN, page, size), gate(&KNOWN, page, usize::MAX)) {
        (Ok(chunked), Ok(whole)) => assert_eq!(chunked, whole, "chunk invariance"),
        (Err(_), Err(_)) => {}
        (chunked, whole) => panic!("refused in one chunking only: {chunked:?} {whole:?}"),
    }
});

fn gate(policy: &Arc<Policy>, page: &[u8], size: usize) -> Result<Vec<u8>, GateError> {
    let about = Page {
        policy: Arc::clone(policy),
        grants: policy.undecided(),
        base: url::Url::parse("https://shop.example/").expect("a constant"),
        nonce: "0123456789abcdef".to_owned(),
        head: String::new(),
        body: String::new(),
        amend_csp: None,
        observe: false,
        hold: true,
        frame: String::new(),
    };
    let limits = Limits { hold_bytes_max: 128, noscript_bytes_max: 1024, ..Limits::default() };
    let mut gate = Gate::new(Arc::new(about), limits);
    let mut out = Vec::new();
    for chunk in page.chunks(size) {
        gate.write(chunk, &mut out)?;
    }
    gate.end(&mut out)?;
    Ok(out)
}

fn policy(vendors: &[(&str, &str)]) -> Arc<Policy> {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../../policies/regimes/eu.toml"));
    sources.insert("site.toml", "vendors = \"all\"\n");
    vendors.iter().for_each(|(path, text)| sources.insert(*path, *text));
    Arc::new(Policy::compile(&sources).unwrap_or_else(|_| panic!("the policy is a constant")).0)
}
