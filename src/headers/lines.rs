//! Editing the lines of one header, and cutting parts out of a line, without touching the rest.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What becomes of one line of a header.
pub(super) enum Line {
    /// It stays as it is.
    Keep,
    /// It is removed.
    Drop,
    /// It is replaced by these bytes: a valid header value with parts cut or swapped for ASCII.
    Replace(Vec<u8>),
}

/// Runs `edit` over every line of a header; the order of the lines that stay is kept.
pub(super) fn edit_lines(headers: &mut HeaderMap, name: &HeaderName, edit: impl FnMut(&HeaderValue) -> Line) {
    let edits: Vec<Line> = headers.get_all(name).iter().map(edit).collect();
    if edits.iter().all(|line| matches!(line, Line::Keep)) {
        return;
    }
    let before: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for (old, line) in before.into_iter().zip(edits) {
        let value = match line {
            Line::Keep => old,
            Line::Drop => continue,
            Line::Replace(bytes) => {
                let mut value = HeaderValue::from_bytes(&bytes).expect("parts of a header value make a header value");
                value.set_sensitive(old.is_sensitive());
                value
            }
        };
        headers.append(name, value);
    }
}

/// Cuts parts out of a separated line. `parts` are all pieces between the separators in their
/// order, with whether each stays; pieces that stay keep their bytes, the white space around them
/// included. Only white space before the first piece goes when what stood before it was cut.
pub(super) fn without_cut<'a>(parts: impl IntoIterator<Item = (&'a [u8], bool)>, separator: u8) -> Line {
    let (mut kept, mut cut, mut first_cut, mut blank) = (Vec::new(), false, false, true);
    let mut pieces = 0usize;
    for (index, (part, stays)) in parts.into_iter().enumerate() {
        if !stays {
            cut = true;
            first_cut |= index == 0;
            continue;
        }
        if pieces > 0 {
            kept.push(separator);
        }
        pieces += 1;
        blank &= part.trim_ascii().is_empty();
        kept.extend_from_slice(if pieces == 1 && first_cut { part.trim_ascii_start() } else { part });
    }
    match (cut, blank) {
        (false, _) => Line::Keep,
        (true, true) => Line::Drop,
        (true, false) => Line::Replace(kept),
    }
}
