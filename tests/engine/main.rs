//! Properties of the page gate, on pages written for it and on generated ones, with html5ever as the
//! browser.
//!
//! - identity: where nothing is to be held and nothing inserted, the output is the input;
//! - chunks: the output does not depend on how the bytes arrived, and nothing is lost at the end;
//! - inverse: taking the markers out gives the input (cuts are put back in the room's own tests);
//! - closure: no tag of a gated vendor is live in the output, with scripts on and with scripts off;
//! - again: what is remembered of a page is what the engine comes to, for whom it is said to be;
//! - completeness: what is live in the input is in the report.
//!
//! Style sheets keep the same properties, with another reading of CSS as the browser.

#![expect(clippy::print_stdout, reason = "a test prints how much it went through")]

mod again;
mod documents;
mod foreign;
mod html5lib;
mod oracle;
mod world;
mod xml;

use std::collections::BTreeSet;

use proptest::prelude::*;

use world::{CHUNKS, Grant, gate, gate_in_chunks, unmark};

/// Every page of the corpus, by its file's name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/corpus");
    let mut pages: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is in the repository")
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("it can be read")))
        .collect();
    pages.sort();
    assert!(pages.len() >= 12, "the corpus is there");
    pages
}

#[test]
fn corpus_pages_keep_every_property() {
    for (name, page) in corpus() {
        let live = oracle::live(&page, true);
        assert_ne!(live.len(), 0, "{name}: a page of the corpus has a live tag to begin with");
        check_all(&name, &page);
    }
}

#[test]
fn corpus_pages_cut_at_any_byte_keep_closure_and_identity() {
    for (name, page) in corpus() {
        for end in (0..page.len()).step_by(13) {
            let page = &page[..end];
            check_identity(&name, page);
            check_closure(&name, page, true);
        }
    }
}

#[test]
fn corpus_pages_with_broken_bytes_keep_every_property() {
    for (name, page) in corpus() {
        for seed in 0..20usize {
            let mut page = page.clone();
            for n in 0..page.len() / 50 {
                let at = (seed * 7919 + n * 104_729) % page.len();
                page[at] = [0xff, 0, b'<', b'"', b'>', 0xe9][(seed + n) % 6];
            }
            check_identity(&name, &page);
            check_chunks(&name, &page);
            check_closure(&name, &page, true);
        }
    }
}

proptest! {
    // For a hunt: 100,000 and a quarter of an hour.
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn wild_documents_keep_identity_chunks_inverse_and_closure(page in documents::wild()) {
        let page = page.as_bytes();
        check_identity("wild", page);
        check_chunks("wild", page);
        check_inverse("wild", page);
        check_closure("wild", page, true);
        check_completeness("wild", page);
    }

    #[test]
    fn style_sheets_keep_every_property(css in documents::css()) {
        let (out, report) = world::gate_sheet(&css, Grant::Nothing, usize::MAX);
        for size in CHUNKS {
            prop_assert_eq!(&world::gate_sheet(&css, Grant::Nothing, size).0, &out, "chunks of {}\n{}", size, css);
        }
        prop_assert!(unmark(out.as_bytes()) == css.as_bytes(), "inverse\n{}", css);
        prop_assert_eq!(&world::gate_sheet(&css, Grant::NothingKnown, 7).0, &css, "identity");
        let gated = |css: &str| oracle::css_addresses(css).into_iter().filter(|address| oracle::is_gated(address)).count();
        prop_assert_eq!(gated(&out), 0, "closure\n{}\n{}", css, out);
        prop_assert!(gated(&css) <= report.tags.len(), "completeness\n{}", css);
    }

    #[test]
    fn well_formed_documents_keep_closure_without_scripts_too(page in documents::well_formed()) {
        check_all("well formed", page.as_bytes());
    }
}

fn check_all(name: &str, page: &[u8]) {
    check_identity(name, page);
    check_chunks(name, page);
    check_inverse(name, page);
    check_closure(name, page, true);
    check_closure(name, page, false);
    check_completeness(name, page);
}

/// A page may be refused (that is closed), but only as a whole and for every chunking alike.
fn check_identity(name: &str, page: &[u8]) {
    if let Ok((out, report)) = gate(page, Grant::NothingKnown) {
        // A `srcdoc` too deep to be read is closed whoever is known.
        if report.tags.iter().any(|tag| tag.rules.is_empty()) {
            return;
        }
        assert!(out == page, "{name}: identity\n{}\n{}", text(page), text(&out));
    }
}

fn check_chunks(name: &str, page: &[u8]) {
    let whole = gate(page, Grant::Nothing);
    for size in CHUNKS {
        let pieces = gate_in_chunks(page, Grant::Nothing, size);
        match (&whole, &pieces) {
            (Ok((whole, _)), Ok((pieces, _))) => {
                assert!(whole == pieces, "{name}: chunks of {size}\n{}\n{}\n{}", text(page), text(whole), text(pieces));
            }
            (Err(_), Err(_)) => {}
            _ => panic!("{name}: refused only in some chunkings ({size})\n{}", text(page)),
        }
    }
}

fn check_inverse(name: &str, page: &[u8]) {
    if let Ok((out, report)) = gate(page, Grant::Nothing)
        && report.tags.iter().all(|tag| tag.verdict != consentry::vocab::Verdict::Strip)
    {
        let undone = unmark(&out);
        assert!(undone == page, "{name}: inverse\n{}\n{}", text(page), text(&undone));
    }
}

fn check_closure(name: &str, page: &[u8], scripts: bool) {
    if let Ok((out, _)) = gate(page, Grant::Nothing) {
        let live = oracle::live(&out, scripts);
        assert!(live.is_empty(), "{name}: live with scripts {scripts}: {live:?}\n{}\n{}", text(page), text(&out));
    }
}

fn check_completeness(name: &str, page: &[u8]) {
    if let Ok((_, report)) = gate(page, Grant::Nothing) {
        // Browsers copy an unclosed `<a>` into every block that follows: the same tag, found again.
        let live: BTreeSet<String> = oracle::live(page, true).into_iter().collect();
        let reported = report.tags.len() + report.more;
        assert!(live.len() <= reported, "{name}: {live:?} in {reported} reports\n{}", text(page));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
