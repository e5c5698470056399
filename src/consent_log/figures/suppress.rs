//! Small counts are left out, and with them as many others as it takes that no sum gives them back.
//!
//! A count below ten may point to a person. Leaving it out is not enough: beside the total of its line (which a
//! coarser table shows) a single gap can be worked out. So each line, along every way of counting and across the
//! outcomes of one row, has no gap or at least two. What two tables of different periods tell together is not
//! held: whoever publishes both has to compare them.

use std::collections::BTreeMap;

/// Counts below this, other than none, are left out.
pub(in crate::consent_log) const SMALL: u64 = 10;

/// A table by the same number of keys each.
pub(in crate::consent_log) type Table<const N: usize> = BTreeMap<Vec<String>, [u64; N]>;

/// The same with gaps. The first `summed` of the columns add up to a total of their own, which other tables show.
pub(in crate::consent_log) fn suppress<const N: usize>(
    table: &Table<N>,
    summed: usize,
) -> BTreeMap<Vec<String>, [Option<u64>; N]> {
    let cells: Vec<&Vec<String>> = table.keys().collect();
    let counts: Vec<[u64; N]> = table.values().copied().collect();
    let mut gaps: Vec<[bool; N]> = counts.iter().map(|row| row.map(|count| count > 0 && count < SMALL)).collect();
    let lines = lines(&cells, N, summed);
    // Each round adds at least one gap or is the last.
    loop {
        let mut added = false;
        for line in &lines {
            added |= close(line, &counts, &mut gaps);
        }
        if !added {
            break;
        }
    }
    let rows = counts.iter().zip(&gaps).map(|(row, gaps)| {
        let mut shown = row.map(Some);
        shown.iter_mut().zip(gaps).filter(|(_, gap)| **gap).for_each(|(count, _)| *count = None);
        shown
    });
    cells.into_iter().cloned().zip(rows).collect()
}

/// Cells whose sum a coarser table shows, as (row, column): those that differ in one key only, column by column,
/// all of a column, and the summed outcomes of each row.
fn lines(cells: &[&Vec<String>], columns: usize, summed: usize) -> Vec<Vec<(usize, usize)>> {
    let mut rows_of: BTreeMap<Vec<Option<&str>>, Vec<usize>> = BTreeMap::new();
    let keys = cells.first().map_or(0, |key| key.len());
    for (row, key) in cells.iter().enumerate() {
        // Each set of keys may be left out of a coarser table.
        for left_out in 1..(1u32 << keys) {
            let kept = key.iter().enumerate().map(|(at, part)| (left_out & (1 << at) == 0).then_some(part.as_str()));
            rows_of.entry(kept.collect()).or_default().push(row);
        }
    }
    let mut lines: Vec<Vec<(usize, usize)>> = (0..columns)
        .flat_map(|column| rows_of.values().map(move |rows| rows.iter().map(|row| (*row, column)).collect()))
        .collect();
    lines.extend((0..cells.len()).map(|row| (0..summed).map(|column| (row, column)).collect()));
    lines
}

/// Where a line has a single gap, leaves its smallest other count out as well. Where there is no other count, the
/// total is the gap itself: one that is small is left out wherever it is shown, and beside one that is only left out
/// for another's sake a none is.
fn close<const N: usize>(line: &[(usize, usize)], counts: &[[u64; N]], gaps: &mut [[bool; N]]) -> bool {
    let count = |(row, column): (usize, usize)| counts[row][column];
    let (left_out, others): (Vec<_>, Vec<_>) = line.iter().copied().partition(|&(row, column)| gaps[row][column]);
    let [alone] = left_out[..] else { return false };
    let counted = others.iter().copied().filter(|&other| count(other) > 0).min_by_key(|&other| count(other));
    match counted.or_else(|| others.first().copied().filter(|_| count(alone) >= SMALL)) {
        Some((row, column)) => {
            gaps[row][column] = true;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[(&[&str], [u64; 3])]) -> Table<3> {
        rows.iter().map(|(key, counts)| (key.iter().map(|&part| part.to_owned()).collect(), *counts)).collect()
    }

    #[test]
    fn a_small_count_and_what_would_give_it_back_are_left_out() {
        let shown = suppress(&table(&[(&["mon"], [100, 50, 7]), (&["tue"], [120, 60, 30]), (&["wed"], [90, 0, 40])]), 2);
        let rows: Vec<[Option<u64>; 3]> = shown.into_values().collect();
        // The third column is a total of its own: only its column can give a gap back.
        assert_eq!(rows, [[Some(100), Some(50), None], [Some(120), Some(60), None], [Some(90), Some(0), Some(40)]]);
        // Within a row: who knows how many decided, and how many of them agreed, knows the rest.
        let rows: Vec<_> = suppress(&table(&[(&["mon"], [100, 3, 0])]), 2).into_values().collect();
        assert_eq!(rows, [[None, None, Some(0)]]);
        // What is left out for another's sake is not given back by the total of a line where all else is none.
        let both =
            table(&[(&["a", "x"], [0, 1, 0]), (&["a", "y"], [10, 0, 0]), (&["b", "y"], [0, 0, 0]), (&["c", "y"], [0, 10, 0])]);
        let ys = suppress(&both, 2).into_iter().filter(|(key, row)| key[1] == "y" && row[1].is_none());
        assert_eq!(ys.count(), 2);
    }

    proptest! {
        #[test]
        fn no_total_gives_a_small_count_back(counts in proptest::collection::vec((0u64..40, 0u64..40, 0u64..40), 6)) {
            let keys = [["a", "x"], ["a", "y"], ["b", "x"], ["b", "y"], ["c", "x"], ["c", "y"]];
            let rows: Vec<(&[&str], [u64; 3])> = keys.iter().zip(&counts).map(|(key, &(a, b, c))| (&key[..], [a, b, c])).collect();
            let table = table(&rows);
            let shown = suppress(&table, 2);
            let keys: Vec<&Vec<String>> = table.keys().collect();
            let value = |row: usize, column: usize| table[keys[row]][column];
            let gap = |row: usize, column: usize| shown[keys[row]][column].is_none();
            for row in 0..keys.len() {
                for column in 0..3 {
                    prop_assert!(gap(row, column) || value(row, column) == 0 || value(row, column) >= SMALL);
                }
            }
            for line in lines(&keys, 3, 2) {
                let gaps: Vec<_> = line.iter().filter(|(row, column)| gap(*row, *column)).collect();
                let total: u64 = line.iter().map(|(row, column)| value(*row, *column)).sum();
                // A single gap stands only where the total is the small count itself.
                prop_assert!(gaps.len() != 1 || total < SMALL, "{line:?} {table:?} {shown:?}");
            }
        }
    }
}
