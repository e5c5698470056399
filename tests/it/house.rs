//! The house rules that are facts: who may import whom, and what is named only where.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Rooms by floor. A room imports only from lower floors, never from its own.
const FLOORS: [&[&str]; 10] = [
    &["vocab", "wire", "telemetry"],
    &["config", "consent", "asset"],
    &["policy", "tls"],
    &["html", "headers", "browser", "notice", "consent_log"],
    &[], // events come here
    &["site"],
    &["endpoint", "admin"],
    &["proxy"],
    &["app"],
    &["cli"],
];

/// Every source file with its text, tests cut off.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the sources are there").flatten() {
            let path = entry.path();
            if path.is_dir() { collect(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            (path, code)
        })
        .collect()
}

/// The room a file is in: the first folder or file name below `src/`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    below.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Code lines without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// The rooms that a file's code names by `crate::room`, in `use` groups as well.
fn imports(text: &str) -> Vec<String> {
    let flat: String = code(text).collect::<Vec<_>>().join(" ");
    let mut rooms = Vec::new();
    for (at, _) in flat.match_indices("crate::") {
        let rest = &flat[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    name.push(c);
                }
            }
            rooms.extend(name.split(',').map(|part| part.trim().split("::").next().unwrap_or_default().trim().to_owned()));
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn a_room_imports_from_lower_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let own = room(&path);
        if matches!(own.as_str(), "lib" | "main") {
            continue;
        }
        let own_floor = floor(&own).unwrap_or_else(|| panic!("{own} has no floor: add it to the picture"));
        for other in imports(&text).into_iter().filter(|other| *other != own) {
            match floor(&other) {
                Some(other_floor) if other_floor < own_floor => {}
                Some(_) => wrong.push(format!("{}: {own} may not import {other}", path.display())),
                // Names at the crate's root are rooms only.
                None => wrong.push(format!("{}: `crate::{other}` is no room", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_named_only_where() {
    let only: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("lol_html", &["html/"][..]),
        ("rusqlite", &["consent_log/store/"]),
        ("cookie::encode(", &["site/"]),
        ("minijinja", &["notice/"]),
        ("process::exit", &[]),
    ]);
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let shown = path.display().to_string();
        for (name, places) in &only {
            if code(&text).any(|line| line.contains(name)) && !places.iter().any(|place| shown.contains(&format!("/src/{place}")))
            {
                wrong.push(format!("{shown}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn vendors_are_data_and_not_code() {
    let names = [
        "facebook",
        "fbq",
        "tiktok",
        "linkedin",
        "pinterest",
        "snapchat",
        "reddit",
        "googletag",
        "gtag",
        "hotjar",
        "hubspot",
        "matomo",
        "youtube",
        "doubleclick",
        "clarity.ms",
        "bing.com",
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for line in code(&text) {
            let lower = line.to_lowercase();
            if let Some(name) = names.iter().find(|name| lower.contains(*name)) {
                wrong.push(format!("{}: {name}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_lives_in_it() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path.display().to_string()).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
