//! Reads a TOML file table by table and reports every fault in one run, with line and column.
//!
//! serde stops at the first fault, and a misspelt key in a consent policy is a legal fact: so the
//! files people edit are read through [`Section`], which remembers the keys it was asked for and
//! reports the others.

use std::{cell::RefCell, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Fault, fault::Place};

/// A value and the byte offset at which it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Byte offset in the file.
    pub offset: usize,
}

/// A file being read, with the faults found so far.
pub struct File<'a> {
    name: &'a str,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> File<'a> {
    /// Parses `text` and hands its root table to `read`; returns what `read` made, and the faults.
    pub fn read<T>(name: &'a str, text: &'a str, read: impl FnOnce(&mut Section<'_>) -> T) -> (T, Vec<Fault>) {
        let file = Self { name, text, faults: RefCell::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            file.fault(offset, format!("this is not TOML: {}", error.message()), "see https://toml.io for the format");
        }
        let made = {
            let mut root = Section::new(&file, table.get_ref(), 0, String::new());
            let made = read(&mut root);
            root.finish();
            made
        };
        let mut faults = file.faults.into_inner();
        faults.sort();
        faults.dedup();
        (made, faults)
    }

    fn fault(&self, offset: usize, message: impl Into<String>, mend: impl Into<String>) {
        self.faults.borrow_mut().push(Fault::at(self.name, self.text, offset, message, mend));
    }
}

/// One table of a file. Ask it for its keys, then [`finish`](Section::finish) it.
pub struct Section<'a> {
    file: &'a File<'a>,
    table: &'a DeTable<'a>,
    offset: usize,
    path: String,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    fn new(file: &'a File<'a>, table: &'a DeTable<'a>, offset: usize, path: String) -> Self {
        Self { file, table, offset, path, asked: Vec::new() }
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let mend = match self.nearest(name) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("keys known here: {}", self.asked.join(", ")),
                };
                let start = if key.span().is_empty() { value.span().start } else { key.span().start };
                self.file.fault(start, format!("unknown key `{}{name}`", self.path), mend);
            }
        }
    }

    /// The keys of this table that stand for names the operator chose (a map, not a record).
    pub fn names(&mut self) -> Vec<At<String>> {
        self.table.iter().map(|(key, _)| At { value: key.get_ref().to_string(), offset: key.span().start }).collect()
    }

    /// Where this table begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The place at a byte offset of this file, for a fault that is found later.
    pub fn place(&self, offset: usize) -> Place {
        let Fault { file, line, column, .. } = Fault::at(self.file.name, self.file.text, offset, "", "");
        Place { file, line, column }
    }

    /// The line of a place in this file, counted from 1: for a fault that tells of two places.
    pub fn line(&self, offset: usize) -> usize {
        Fault::at("", self.file.text, offset, "", "").line
    }

    /// Whether a key is there, of whatever type.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a fault at a place in this file.
    pub fn fault(&self, offset: usize, message: impl Into<String>, mend: impl Into<String>) {
        self.file.fault(offset, message, mend);
    }

    /// A string, if the key is there.
    pub fn string(&mut self, key: &'static str) -> Option<At<String>> {
        self.value(key).and_then(|value| self.typed(key, value, "a string in quotes", |v| v.as_str().map(str::to_owned)))
    }

    /// A string that must be there and not be empty.
    pub fn required_string(&mut self, key: &'static str) -> Option<At<String>> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            self.file.fault(self.offset, format!("`{}{key}` is missing", self.path), format!("add `{key} = \"…\"`"));
            return None;
        }
        let at = self.string(key)?;
        if at.value.trim().is_empty() {
            self.file.fault(at.offset, format!("`{}{key}` is empty", self.path), "write a value between the quotes");
            return None;
        }
        Some(at)
    }

    /// A boolean, if the key is there.
    pub fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        self.value(key).and_then(|value| self.typed(key, value, "true or false", |v| v.as_bool()))
    }

    /// A whole number within bounds, if the key is there.
    pub fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<At<u64>> {
        let value = self.value(key)?;
        let at = self.typed(key, value, "a whole number", |v| {
            v.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
        })?;
        if !bounds.contains(&at.value) {
            let message = format!("`{}{key}` is {}, outside {} to {}", self.path, at.value, bounds.start(), bounds.end());
            self.file.fault(at.offset, message, "choose a number within these bounds");
            return None;
        }
        Some(at)
    }

    /// A list of strings, if the key is there.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.mistyped(key, value, "a list of strings, such as [\"a\", \"b\"]");
            return None;
        };
        Some(
            list.iter()
                .filter_map(|item| self.typed(key, item, "a list of strings", |v| v.as_str().map(str::to_owned)))
                .collect(),
        )
    }

    /// A list whose items are strings or lists of strings, if the key is there: `["a", ["b", "c"]]`.
    pub fn string_groups(&mut self, key: &'static str) -> Option<Vec<At<Vec<String>>>> {
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.mistyped(key, value, "a list of strings or of lists of strings");
            return None;
        };
        let group = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(parts) => parts.iter().map(|part| part.get_ref().as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let mut groups = Vec::new();
        for item in list.iter() {
            match group(item).filter(|g| !g.is_empty()) {
                Some(value) => groups.push(At { value, offset: item.span().start }),
                None => self.mistyped(key, item, "a string or a list of strings"),
            }
        }
        Some(groups)
    }

    /// A key that is either one string or a list of strings.
    pub fn string_or_strings(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        match self.table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::String(_)) => self.string(key).map(|at| vec![at]),
            _ => self.strings(key),
        }
    }

    /// A table, if the key is there.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.mistyped(key, value, "a table");
            return None;
        };
        Some(Section::new(self.file, table, value.span().start, format!("{}{key}.", self.path)))
    }

    /// A table under a name the operator chose.
    pub fn named(&mut self, name: &str) -> Option<Section<'a>> {
        let value = self.table.get(name)?;
        let table = value.get_ref().as_table()?;
        Some(Section::new(self.file, table, value.span().start, format!("{}{name}.", self.path)))
    }

    /// The tables of an array of tables (`[[key]]`), none if the key is absent.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.mistyped(key, value, "an array of tables");
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    sections.push(Section::new(self.file, table, item.span().start, format!("{}{key}.", self.path)));
                }
                None => self.mistyped(key, item, "a table"),
            }
        }
        sections
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    fn typed<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<At<T>> {
        let made = read(value.get_ref());
        if made.is_none() {
            self.mistyped(key, value, wanted);
        }
        made.map(|made| At { value: made, offset: value.span().start })
    }

    fn mistyped(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let message = format!("`{}{key}` is of type {}", self.path, value.get_ref().type_str());
        self.file.fault(value.span().start, message, format!("write {wanted}"));
    }

    /// The known key nearest to a misspelt one, if it is near enough to be meant.
    fn nearest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.asked.iter().copied())
    }
}

/// The candidate within two edits of `name`, for "did you mean".
pub fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates.map(|candidate| (edits(name, candidate), candidate)).filter(|&(n, _)| n <= 2).min().map(|(_, c)| c)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_file_is_reported_in_one_run() {
        let text = "naem = \"x\"\nsize = \"big\"\n\n[deep]\nlist = [1, \"a\"]\nother = 3\n";
        let (_, faults) = File::read("f.toml", text, |root| {
            root.required_string("name");
            root.integer("size", 1..=9);
            if let Some(mut deep) = root.section("deep") {
                deep.strings("list");
                deep.finish();
            }
        });
        let lines: Vec<String> = faults.iter().map(|f| format!("{}:{} {}", f.line, f.column, f.message)).collect();
        assert_eq!(
            lines,
            [
                "1:1 `name` is missing",
                "1:1 unknown key `naem`",
                "2:8 `size` is of type string",
                "5:9 `deep.list` is of type integer",
                "6:1 unknown key `deep.other`",
            ]
        );
        assert_eq!(faults[1].mend, "did you mean `name`?");
    }

    #[test]
    fn two_syntax_errors_are_two_faults() {
        let (_, faults) = File::read("f.toml", "a = \nb = 1\nc = ]\n", |root| root.integer("b", 0..=9));
        assert!(faults.iter().any(|f| f.line == 1) && faults.iter().any(|f| f.line == 3), "{faults:?}");
    }
}
