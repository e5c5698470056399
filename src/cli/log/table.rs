//! Text in aligned columns.

use std::io::{self, Write};

/// Aligned columns: numbers to the right, text to the left.
pub(in crate::cli) fn table(out: &mut dyn Write, heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(heads.len());
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |column: usize| {
        let head = heads.get(column).map_or(0, |head| head.chars().count());
        cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0).max(head)
    };
    let widths: Vec<(usize, bool)> = (0..columns)
        .map(|column| (width(column), cells(column).all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))))
        .collect();
    let heads = heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>();
    for row in std::iter::once(&heads).filter(|heads| !heads.is_empty()).chain(rows) {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, (width, number))| if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") })
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}
