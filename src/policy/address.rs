//! Reads the rules of vendor files that look at addresses, and refuses those that would hit anybody's pages.

use super::{glob::Glob, vendor::What};
use crate::config::{At, Section};

/// Reads hosts, paths and parameters of a rule; none where it would hit anything.
pub(super) fn read(
    section: &Section<'_>,
    hosts: Option<Vec<At<String>>>,
    paths: Option<Vec<At<String>>>,
    queries: [Option<Vec<At<String>>>; 3],
) -> Option<What> {
    let any_host = hosts.is_none();
    let hosts = hosts.unwrap_or_default();
    for host in &hosts {
        check_host(section, host);
    }
    let [query, query_all, unless_query] = queries.map(|list| read_query(section, list.unwrap_or_default()));
    let paths = paths.unwrap_or_default();
    for path in &paths {
        if !path.value.starts_with(['/', '*']) {
            section.fault(path.offset, "a path pattern begins with `/` or `*`", "write \"/…\"");
        } else if any_host && !is_distinctive(&path.value, !query.is_empty() || !query_all.is_empty()) {
            section.fault(
                path.offset,
                format!("the path `{}` would hit pages of any site", path.value),
                "a rule for any host needs more of the path, such as \"*/name.js\", or `query` beside it, or `hosts`",
            );
        }
    }
    if any_host && paths.is_empty() && !are_distinctive(&query_all) {
        section.fault(
            section.offset(),
            "a rule for any host needs `paths`, or two parameters in `query_all`",
            "add `paths = [\"*/name.js\"]`, `query_all = [\"v=2\", \"tid=G-*\"]` or `hosts`",
        );
        return None;
    }
    Some(What::Address {
        query,
        query_all,
        unless_query,
        hosts: hosts.into_iter().map(|at| at.value).collect(),
        paths: paths.into_iter().map(|at| Glob::new(&at.value)).collect(),
    })
}

/// A host name as files write it: `name.*` stands for every country's ending.
pub(super) fn check_host(section: &Section<'_>, host: &At<String>) {
    let name = host.value.as_str();
    let stem = name.strip_suffix(".*");
    let plain = |text: &str| {
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        letters && !text.is_empty() && !text.starts_with('.') && !text.ends_with('.')
    };
    if !stem.map_or_else(|| plain(name) && name.contains('.'), plain) {
        section.fault(
            host.offset,
            format!("`{name}` is no host name"),
            "write it in lower case without scheme or port; names below it match as well, and `name.*` stands for every country's ending",
        );
    }
}

/// Whether a path can stand for a vendor on a host of anybody's: four letters or digits that are no
/// star, or a single one where query parameters have to match as well.
fn is_distinctive(path: &str, with_query: bool) -> bool {
    path.chars().filter(char::is_ascii_alphanumeric).count() >= if with_query { 1 } else { 4 }
}

/// The same of parameters without a path: two at least, one of them with two characters of its value.
fn are_distinctive(query_all: &[(String, Glob)]) -> bool {
    let literal = |glob: &Glob| glob.pattern().chars().filter(|&c| c != '*').count();
    query_all.len() >= 2 && query_all.iter().any(|(name, value)| name.len() >= 2 && literal(value) >= 2)
}

fn read_query(section: &Section<'_>, list: Vec<At<String>>) -> Vec<(String, Glob)> {
    let pair = |at: At<String>| match at.value.split_once('=') {
        Some((name, value)) if !name.is_empty() => Some((name.to_owned(), Glob::new(value))),
        _ => {
            section.fault(at.offset, "a query pattern is `name=pattern`", "write \"id=G-*\"");
            None
        }
    };
    list.into_iter().filter_map(pair).collect()
}
