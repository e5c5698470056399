//! Which of the offered languages a visitor gets: the lookup of RFC 4647 section 3.4 over the
//! `Accept-Language` header (RFC 9110 section 12.5.4).

/// Ranges looked at: a browser sends a handful, and the header is open to anybody.
const RANGES_MAX: usize = 32;

/// The index of the tag that suits best; `None` where none does.
pub(super) fn lookup(accept_language: &str, offered: &[&str]) -> Option<usize> {
    let mut ranges: Vec<(u16, &str)> = accept_language.split(',').take(RANGES_MAX).filter_map(range).collect();
    // Stable: among equals the first one named counts more.
    ranges.sort_by_key(|&(quality, _)| std::cmp::Reverse(quality));
    ranges
        .iter()
        .filter(|&&(quality, _)| quality > 0)
        .find_map(|&(_, range)| truncations(range).find_map(|tag| place(tag, offered)))
}

/// A range and its quality in thousandths; `None` where the item is not well formed.
fn range(item: &str) -> Option<(u16, &str)> {
    let mut parts = item.split(';');
    let range = parts.next()?.trim();
    let well_formed = !range.is_empty() && range.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let quality = match parts.next().map(str::trim) {
        None => 1000,
        Some(weight) => quality(weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?)?,
    };
    // `*` names no language: the default answers it.
    (well_formed && parts.next().is_none()).then_some((quality, range))
}

/// `0`, `0.8`, `1.000`: RFC 9110 section 12.4.2.
fn quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    let thousandths = format!("{decimals:0<3}").parse::<u16>().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// `zh-hant-x-a`, `zh-hant`, `zh`: a subtag at a time, and never ending in a single letter.
fn truncations(range: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(range), |range| {
        let (mut shorter, _) = range.rsplit_once('-')?;
        while let Some((rest, last)) = shorter.rsplit_once('-').filter(|(_, last)| last.len() == 1) {
            debug_assert_eq!(last.len(), 1);
            shorter = rest;
        }
        Some(shorter)
    })
}

fn place(tag: &str, offered: &[&str]) -> Option<usize> {
    offered.iter().position(|known| known.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiation_follows_rfc_4647_lookup() {
        let offered = ["de", "en", "pt-br", "zh-hant"];
        for (header, want) in [
            ("de", Some("de")),
            ("DE-at", Some("de")),
            ("de-CH-1996, en;q=0.9", Some("de")),
            ("fr, en;q=0.5, de;q=0.7", Some("de")),
            ("en;q=0.5,de;q=0.5", Some("en")),
            ("de;q=0, en;q=0.1", Some("en")),
            ("de;q=0", None),
            ("fr-CA, fr", None),
            ("pt-BR", Some("pt-br")),
            ("pt", None),
            ("zh-Hant-x-private", Some("zh-hant")),
            ("*", None),
            ("*, de;q=0.1", Some("de")),
            ("", None),
            ("de;q=2, en;q=0.2", Some("en")),
            ("de;q=0.1234, en;q=0.2", Some("en")),
            ("de;level=1, en;q=0.2", Some("en")),
            ("<script>, de", Some("de")),
            (" en ; q=0.3 ,de ; q=1.0", Some("de")),
        ] {
            assert_eq!(lookup(header, &offered).map(|index| offered[index]), want, "{header}");
        }
    }

    #[test]
    fn a_header_without_end_is_read_only_at_its_beginning() {
        let header = format!("{}de", "xx,".repeat(10_000));
        assert_eq!(lookup(&header, &["de"]), None);
    }
}
