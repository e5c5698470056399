//! What is remembered of a page is what the engine comes to: for the same visitor and for every other for whom it is
//! said to be, whatever their nonce and their notice.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::{
    documents,
    world::{gate_for, visitor},
};

/// How often an outcome was somebody else's, and not.
static OTHERS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn check_again(page: &[u8], first: u8, second: u8, size: usize) {
    let (first, second) = (visitor(first, "0123456789abcdef"), visitor(second, "fedcba9876543210"));
    let Ok((_, _, outcome)) = gate_for(&first, page, size) else { return };
    let mut again = consentry::html::Page::clone(&first);
    again.nonce = second.nonce.clone();
    let again = std::sync::Arc::new(again);
    for (visitor, whose) in [(&again, None), (&second, Some(&OTHERS))] {
        let is_for = outcome.is_for(visitor);
        if let Some(counts) = whose.filter(|_| first.grants != second.grants) {
            counts[usize::from(is_for)].fetch_add(1, Ordering::Relaxed);
        }
        assert!(is_for || whose.is_some(), "an outcome is for the visitor with whom it was found");
        if is_for {
            let anew = gate_for(visitor, page, usize::MAX);
            let (out, report, _) = anew.unwrap_or_else(|fault| panic!("{fault}\n{}", String::from_utf8_lossy(page)));
            let remembered = outcome.apply(page, visitor).expect("it is the same text");
            assert!(
                remembered == out,
                "{}\n{}\n{}",
                String::from_utf8_lossy(page),
                String::from_utf8_lossy(&remembered),
                String::from_utf8_lossy(&out)
            );
            assert_eq!(outcome.report().tags, report.tags);
            assert_eq!((outcome.report().poisoned, &outcome.report().others), (report.poisoned, &report.others));
        }
    }
    assert!(outcome.apply(&page[..page.len().saturating_sub(1)], &first).is_none() || page.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wild_documents_come_out_the_same_again(
        page in documents::wild(), first in 0..16u8, second in 0..16u8, size in 1..4096usize
    ) {
        check_again(page.as_bytes(), first, second, size);
    }

    #[test]
    fn well_formed_documents_come_out_the_same_again(page in documents::well_formed(), first in 0..16u8, second in 0..16u8) {
        check_again(page.as_bytes(), first, second, usize::MAX);
    }
}

#[test]
fn corpus_pages_come_out_the_same_again_for_everybody() {
    for (_, page) in crate::corpus() {
        for first in 0..16 {
            for second in 0..16 {
                check_again(&page, first, second, 1024);
            }
        }
    }
    let [not, also] = OTHERS.each_ref().map(|count| count.load(Ordering::Relaxed));
    assert!(not > 100 && also > 100, "visitors differ ({not}), and outcomes are shared ({also})");
}
