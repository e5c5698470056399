//! The files that people edit: any text.
//!
//! Whatever stands in them, they are read to a value or to faults that name a line; nothing panics.
//!
//! The first byte of the input says which file the rest is.

#![no_main]

use consentry::{
    config::{Config, Fault},
    policy::{Policy, Sources},
};
use libfuzzer_sys::fuzz_target;

/// The policy files; the last two kinds are folders, and the file is one that was not there.
const FILES: [&str; 7] =
    ["site.toml", "default.toml", "hosts.toml", "presets.toml", "headers.toml", "regimes/eu.toml", "vendors/fuzzed.toml"];

fuzz_target!(|data: &[u8]| {
    let Some((&which, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let faults = match FILES.get(usize::from(which) % (FILES.len() + 1)) {
        None => Config::read("consentry.toml", text).1,
        Some(file) => {
            let mut sources = Sources::embedded();
            sources.insert(*file, text);
            Policy::compile(&sources).map_or_else(|faults| faults, |(_, warnings)| warnings)
        }
    };
    let lines = text.lines().count() + 1;
    let edited = |fault: &&Fault| fault.file == "consentry.toml";
    assert!(faults.iter().filter(edited).all(|fault| fault.line <= lines), "{faults:?}");
});
