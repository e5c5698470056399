//! `strings/<tag>.toml` -> [`Strings`]: every text that a visitor sees, in one language.
//!
//! Text is data: the only thing done to it is that `{name}` is replaced, and which names may stand
//! where is a table below. English is complete or at fault; another language borrows from it.

use std::collections::BTreeMap;

use super::templates::TemplateSources;
use crate::{
    config::{At, Fault, File, Section, nearest},
    policy::Policy,
    vocab::VendorId,
};

/// The language that every other one borrows from, and the answer to a visitor whose languages are
/// not offered.
pub(super) const DEFAULT: &str = "en";

/// Every key by its table, with the names that may stand in its text. A name with `!` must stand
/// there: a first layer that does not say who asks, or for how long, informs nobody.
const KEYS: &[(&str, &[(&str, &str)])] = &[
    ("language", &[("name", ""), ("dir", "")]),
    ("date", &[("format", "!day !month !year"), ("months", "")]),
    ("vendors_count", &[("one", "n"), ("other", "!n")]),
    ("months", &[("one", "n"), ("other", "!n")]),
    (
        "banner",
        &[
            ("title", ""),
            ("intro", "!controller !vendors"),
            ("vendors", "vendors"),
            ("vendors_folded", "vendors"),
            ("holds", "!months !choices"),
            ("privacy_policy", ""),
            ("operator", ""),
        ],
    ),
    ("buttons", &[("accept_all", ""), ("reject_all", ""), ("choose", ""), ("save", ""), ("withdraw", "")]),
    ("choices", &[("link", "")]),
    (
        "preferences",
        &[
            ("title", ""),
            ("lead", "!controller !vendors"),
            ("undecided", ""),
            ("decided", "!decided !expires"),
            ("allowed", ""),
            ("allowed_nothing", ""),
            ("how", ""),
            ("always", ""),
            ("all_vendors", "!purpose n"),
            ("allow_purpose", "!purpose"),
            ("vendors_of", "!purpose"),
            ("company", ""),
            ("vendor_policy", ""),
            ("vendor_policy_of", "!vendor"),
            ("other_purposes", "!purposes"),
            ("listed_below", "!vendors"),
            ("decide", ""),
            ("about", ""),
            ("controller", ""),
            ("contact", ""),
            ("dpo", ""),
            ("more", ""),
            ("duration_title", ""),
            ("duration", "!months !proof"),
            ("duration_unkept", "!months"),
            ("withdrawal_title", ""),
            ("withdrawal", ""),
            ("rights_title", ""),
            ("rights", ""),
            ("transfers_title", ""),
            ("transfers", ""),
            ("back", ""),
        ],
    ),
    (
        "receipt",
        &[
            ("link", ""),
            ("title", ""),
            ("lead", "!controller"),
            ("decision", ""),
            ("kind_given", ""),
            ("kind_refused", ""),
            ("kind_partial", ""),
            ("kind_renewed", ""),
            ("kind_withdrawn", ""),
            ("decided", ""),
            ("when", "!date !time"),
            ("until", ""),
            ("how", ""),
            ("method_accept_all", "!button"),
            ("method_reject_all", "!button"),
            ("method_save", ""),
            ("method_withdraw", "!button"),
            ("method_api", ""),
            ("site", ""),
            ("gpc", ""),
            ("gpc_received", ""),
            ("purposes", ""),
            ("vendors", ""),
            ("yes", ""),
            ("no", ""),
            ("withdrawal", "!choices"),
            ("proof", ""),
            ("proof_lead", ""),
            ("record_id", ""),
            ("subject", ""),
            ("index", ""),
            ("notice", ""),
            ("policy", ""),
            ("salt", ""),
            ("commitment", ""),
            ("record", ""),
            ("path", ""),
            ("key", ""),
            ("check", ""),
            ("check_commitment", ""),
            ("check_path", ""),
            ("check_key", ""),
            ("check_program", ""),
            ("file", ""),
            ("keep", ""),
        ],
    ),
    (
        "access",
        &[
            ("title", ""),
            ("lead", ""),
            ("made", ""),
            ("count", ""),
            ("nothing", ""),
            ("restricted", ""),
            ("erased", ""),
            ("browser", ""),
            ("law", ""),
            ("notice", ""),
            ("as_shown", ""),
            ("policy", ""),
            ("policy_text", ""),
        ],
    ),
    ("messages", &[("saved", ""), ("withdrawn", ""), ("refused_unrecorded", ""), ("not_recorded", "")]),
    (
        "problems",
        &[
            ("title", ""),
            ("choice_missing", ""),
            ("choice_unknown", ""),
            ("field_unknown", "field"),
            ("value_bad", "field"),
            ("repeated", "field"),
            ("notice_missing", ""),
            ("notice_stale", ""),
            ("return_bad", ""),
        ],
    ),
    ("error_403", ERROR),
    ("error_404", ERROR),
    ("error_413", ERROR),
    ("error_421", ERROR),
    ("error_422", ERROR),
    ("error_429", ERROR),
    ("error_502", ERROR),
    ("error_503", ERROR),
    ("error_504", ERROR),
    ("error_other", ERROR),
    ("error_bot", ERROR),
];

/// The keys of the table `receipt` for what a decision came to.
pub(super) const TOLD_KINDS: [&str; 5] = ["kind_given", "kind_refused", "kind_partial", "kind_renewed", "kind_withdrawn"];
/// And for how it was expressed.
pub(super) const TOLD_METHODS: [&str; 5] =
    ["method_accept_all", "method_reject_all", "method_save", "method_withdraw", "method_api"];

const ERROR: &[(&str, &str)] = &[("title", ""), ("text", "")];

/// The texts of one language, complete.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    /// The language tag in lower case, such as `de`.
    pub(super) tag: String,
    /// By table and key.
    texts: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    purposes: BTreeMap<String, PurposeText>,
    vendors: BTreeMap<String, String>,
}

/// What a purpose is called and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PurposeText {
    pub(super) title: String,
    /// For the first layer.
    pub(super) short: String,
    pub(super) description: String,
}

/// A language as its file has it, with what is missing.
struct Read {
    strings: Strings,
    path: String,
    /// Table, key, and the byte offset nearest to where it should stand.
    missing: Vec<(&'static str, &'static str, usize)>,
}

// === impl Strings ===

impl Strings {
    /// Reads every language, sorted by tag. On a fault the list may be incomplete.
    pub(super) fn read_all(
        sources: &TemplateSources,
        policy: &Policy,
        faults: &mut Vec<Fault>,
        warnings: &mut Vec<Fault>,
    ) -> Vec<Self> {
        let mut read: Vec<Read> = Vec::new();
        for (tag, path, text) in sources.strings() {
            let ((strings, missing), mut found) = File::read(path, text, |root| read_one(root, tag));
            faults.append(&mut found);
            let mut one = Read { strings, path: path.to_owned(), missing };
            if let Some(built_in) = TemplateSources::embedded().get(path).filter(|built_in| *built_in != text) {
                one.lie_over(File::read(path, built_in, |root| read_one(root, tag)).0.0);
            }
            read.push(one);
        }
        let english = read.iter().find(|read| read.strings.tag == DEFAULT).map(|read| read.strings.clone());
        let Some(mut english) = english else {
            faults.push(Fault::whole("strings/en.toml", "the file is missing", "every other language borrows from it"));
            return Vec::new();
        };
        for read in &mut read {
            read.complete(&english, sources, if read.strings.tag == DEFAULT { &mut *faults } else { &mut *warnings });
        }
        name_the_unnamed(&mut english, policy, warnings);
        read.into_iter()
            .map(|mut read| {
                read.borrow_names(&english, policy, warnings);
                read.strings
            })
            .collect()
    }

    /// The built-in texts of a language, where it is built in.
    pub(super) fn embedded(tag: &str) -> Option<Self> {
        let path = format!("strings/{tag}.toml");
        let sources = TemplateSources::embedded();
        sources.get(&path).map(|text| File::read(&path, text, |root| read_one(root, tag)).0.0)
    }

    /// A text; the key must stand in the table of this file.
    pub(super) fn text(&self, table: &str, key: &str) -> &str {
        self.texts.get(table).and_then(|texts| texts.get(key)).expect("a language is completed when it is read")
    }

    /// A text with its names replaced.
    pub(super) fn filled(&self, table: &str, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.text(table, key), values)
    }

    /// `1 month`, `6 months`.
    pub(super) fn counted(&self, table: &str, n: u64) -> String {
        self.filled(table, if n == 1 { "one" } else { "other" }, &[("n", &n.to_string())])
    }

    /// Every text with the names that are the same all over a site replaced; others stay.
    pub(super) fn all_filled(&self, values: &[(&str, &str)]) -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
        let texts = |texts: &BTreeMap<&'static str, String>| texts.iter().map(|(&key, text)| (key, fill(text, values))).collect();
        self.texts.iter().map(|(&table, keys)| (table, texts(keys))).collect()
    }

    pub(super) fn purpose(&self, id: &str) -> PurposeText {
        self.purposes.get(id).cloned().unwrap_or_else(|| PurposeText {
            title: id.to_owned(),
            short: String::new(),
            description: String::new(),
        })
    }

    /// One sentence about the vendor, empty where no file has one.
    pub(super) fn vendor(&self, id: &str) -> &str {
        self.vendors.get(id).map_or("", String::as_str)
    }

    /// A date in words, in UTC: where the visitor is, is not known.
    pub(super) fn date(&self, at: jiff::Timestamp) -> String {
        let date = jiff::tz::Offset::UTC.to_datetime(at).date();
        let month = usize::from(date.month().unsigned_abs()) - 1;
        let name = self.text("date", "months").split_whitespace().nth(month).unwrap_or_default();
        self.filled("date", "format", &[("day", &date.day().to_string()), ("month", name), ("year", &date.year().to_string())])
    }
}

// === impl Read ===

impl Read {
    /// An edited file may hold no more than what differs: the built-in file of the same language holds for the rest.
    fn lie_over(&mut self, built_in: Strings) {
        let Strings { texts, purposes, vendors, .. } = built_in;
        self.missing.retain(|&(table, key, _)| match texts.get(table).and_then(|texts| texts.get(key)) {
            Some(text) => {
                self.strings.texts.entry(table).or_default().insert(key, text.clone());
                false
            }
            None => true,
        });
        for (id, text) in purposes {
            self.strings.purposes.entry(id).or_insert(text);
        }
        for (id, text) in vendors {
            self.strings.vendors.entry(id).or_insert(text);
        }
    }

    /// Takes from English what is missing here, and says so: many at once in one sentence.
    fn complete(&mut self, english: &Strings, sources: &TemplateSources, found: &mut Vec<Fault>) {
        let text = sources.get(&self.path).unwrap_or_default();
        if let [(table, key, _), _, _, _, ..] = self.missing.as_slice()
            && english.tag != self.strings.tag
        {
            let message = format!("{} texts are missing, `{table}.{key}` the first of them", self.missing.len());
            found.push(Fault::whole(
                &self.path,
                message,
                "the English texts are shown instead; `consentry init` writes a whole file",
            ));
            for (table, key, _) in std::mem::take(&mut self.missing) {
                let borrowed = english.texts.get(table).and_then(|texts| texts.get(key)).cloned().unwrap_or_default();
                self.strings.texts.entry(table).or_default().insert(key, borrowed);
            }
        }
        for &(table, key, offset) in &self.missing {
            let mend = match english.tag == self.strings.tag {
                true => format!("add `{key} = \"…\"` under [{table}]"),
                false => format!("the English text is shown instead; add `{key} = \"…\"` under [{table}]"),
            };
            found.push(Fault::at(&self.path, text, offset, format!("`{table}.{key}` is missing"), mend));
            let borrowed = english.texts.get(table).and_then(|texts| texts.get(key)).cloned().unwrap_or_default();
            self.strings.texts.entry(table).or_default().insert(key, borrowed);
        }
    }

    /// The same for purposes and vendors, which are the policy's and not this file's.
    fn borrow_names(&mut self, english: &Strings, policy: &Policy, warnings: &mut Vec<Fault>) {
        let mut borrow = |what: &str, id: &str| {
            let mend = format!("the English text is shown instead; add a table [{what}.{id}]");
            warnings.push(Fault::whole(&self.path, format!("`{what}.{id}` is missing"), mend));
        };
        for def in policy.purposes() {
            if !self.strings.purposes.contains_key(&def.id) {
                if self.strings.tag != DEFAULT {
                    borrow("purposes", &def.id);
                }
                self.strings.purposes.insert(def.id.clone(), english.purpose(&def.id));
            }
        }
        for id in declared(policy) {
            if !self.strings.vendors.contains_key(id) && !english.vendor(id).is_empty() {
                if self.strings.tag != DEFAULT {
                    borrow("vendors", id);
                }
                self.strings.vendors.insert(id.to_owned(), english.vendor(id).to_owned());
            }
        }
    }
}

fn declared(policy: &Policy) -> impl Iterator<Item = &str> {
    policy.declared().iter().map(|vendor: VendorId| policy.vendor_def(vendor).id.as_str())
}

/// A purpose or vendor that not even English describes is shown by its id or name, with a warning.
fn name_the_unnamed(english: &mut Strings, policy: &Policy, warnings: &mut Vec<Fault>) {
    let mut warn = |what: &str, id: &str, keys: &str| {
        let message = format!("nothing says in plain words what `{id}` is: a consent must be informed (GDPR article 4(11))");
        warnings.push(Fault::whole("strings/en.toml", message, format!("add a table [{what}.{id}] with {keys}")));
    };
    for def in policy.purposes() {
        if !english.purposes.contains_key(&def.id) {
            warn("purposes", &def.id, "title and description");
            let text = english.purpose(&def.id);
            english.purposes.insert(def.id.clone(), text);
        }
    }
    for id in declared(policy) {
        if english.vendor(id).is_empty() {
            warn("vendors", id, "description");
        }
    }
}

fn read_one(root: &mut Section<'_>, tag: &str) -> (Strings, Vec<(&'static str, &'static str, usize)>) {
    let mut texts: BTreeMap<&'static str, BTreeMap<&'static str, String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for &(table, keys) in KEYS {
        let Some(mut section) = root.section(table) else {
            missing.extend(keys.iter().map(|&(key, _)| (table, key, root.offset())));
            continue;
        };
        for &(key, names) in keys {
            match section.string(key) {
                Some(at) => {
                    check(&section, table, key, names, &at);
                    texts.entry(table).or_default().insert(key, at.value);
                }
                None => missing.push((table, key, section.offset())),
            }
        }
        section.finish();
    }
    let purposes = read_map(root, "purposes", |section| {
        let title = section.required_string("title");
        let short = section.string("short");
        let description = section.required_string("description")?.value;
        let short = short.map_or_else(|| description.clone(), |at| at.value);
        Some(PurposeText { title: title?.value, short, description })
    });
    let vendors = read_map(root, "vendors", |section| section.required_string("description").map(|at| at.value));
    (Strings { tag: tag.to_owned(), texts, purposes, vendors }, missing)
}

fn read_map<T>(root: &mut Section<'_>, key: &'static str, read: impl Fn(&mut Section<'_>) -> Option<T>) -> BTreeMap<String, T> {
    let Some(mut map) = root.section(key) else { return BTreeMap::new() };
    let mut made = BTreeMap::new();
    for At { value: id, offset } in map.names() {
        let Some(mut section) = map.named(&id) else {
            map.fault(offset, format!("`{key}.{id}` is no table"), format!("write [{key}.{id}]"));
            continue;
        };
        if let Some(item) = read(&mut section) {
            made.insert(id, item);
        }
        section.finish();
    }
    made
}

/// What a text may and must hold.
fn check(section: &Section<'_>, table: &str, key: &str, names: &str, at: &At<String>) {
    let fault = |message: String, mend: String| section.fault(at.offset, message, mend);
    if at.value.trim().is_empty() {
        fault(format!("`{table}.{key}` is empty"), "write a text, or delete the key for the English one".to_owned());
    }
    let known = || names.split_whitespace().map(|name| name.trim_start_matches('!'));
    let used: Vec<&str> = braces(&at.value).collect();
    for name in used.iter().filter(|name| !known().any(|known| known == **name)) {
        let mend = match (nearest(name, known()), names) {
            (Some(near), _) => format!("did you mean `{{{near}}}`?"),
            (None, "") => "nothing is filled in here: remove the braces".to_owned(),
            (None, _) => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
        };
        fault(format!("`{table}.{key}` has no `{{{name}}}` to fill in"), mend);
    }
    for name in names.split_whitespace().filter_map(|name| name.strip_prefix('!')).filter(|name| !used.contains(name)) {
        fault(format!("`{table}.{key}` does not say `{{{name}}}`"), "put it where the text should name it".to_owned());
    }
    match (table, key) {
        ("language", "dir") if !matches!(at.value.as_str(), "ltr" | "rtl") => {
            fault(format!("`{}` is no direction", at.value), "write \"ltr\" or \"rtl\"".to_owned());
        }
        ("date", "months") if at.value.split_whitespace().count() != 12 => {
            fault("`date.months` does not name twelve months".to_owned(), "write twelve names with spaces between".to_owned());
        }
        _ => {}
    }
}

/// The names in braces. An opening brace without its partner reaches to the end and is no known name.
fn braces(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or(rest))
}

/// Replaces in one pass: a value that holds braces is not looked at again.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let value = after
            .split_once('}')
            .and_then(|(name, tail)| values.iter().find(|(known, _)| *known == name).map(|&(_, value)| (value, tail)));
        match value {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_once_and_unknown_ones_stay() {
        let values = [("controller", "A {months} <b>"), ("months", "6")];
        assert_eq!(fill("{controller}: {months} {later} {", &values), "A {months} <b>: 6 {later} {");
    }

    #[test]
    fn a_date_is_written_as_the_language_writes_it() {
        let sources = TemplateSources::embedded();
        for (path, want) in [("strings/en.toml", "3 March 2026"), ("strings/de.toml", "3. März 2026")] {
            let text = sources.get(path).expect("it is embedded");
            let ((strings, missing), faults) = File::read(path, text, |root| read_one(root, "x"));
            assert_eq!((missing.len(), faults.len()), (0, 0), "{faults:?}");
            assert_eq!(strings.date("2026-03-03T23:59:59Z".parse().expect("a timestamp")), want);
        }
    }

    #[test]
    fn the_embedded_languages_describe_the_same_purposes_and_vendors() {
        let sources = TemplateSources::embedded();
        let described = |(tag, path, text): (&str, &str, &str)| {
            let ((strings, _), faults) = File::read(path, text, |root| read_one(root, tag));
            assert_eq!(faults, []);
            [strings.purposes.into_keys().collect::<Vec<_>>(), strings.vendors.into_keys().collect()]
        };
        let described: Vec<_> = sources.strings().map(described).collect();
        assert!(described.windows(2).all(|pair| pair[0] == pair[1]), "{described:?}");
    }
}
