//! Inline scripts: which are executed at all, and how far one has been read.

use encoding_rs::Encoding;

use super::address::decode;

/// Text that begins like this is a framework's data about the page it has just rendered. It repeats
/// the page's own content, tag snippets included, as strings; holding it back breaks the page, and
/// running it starts no tag.
pub(super) const HYDRATION_PREFIXES: [&str; 2] = ["self.__next_f", "window.__NUXT__"];

/// A syntax error in whatever context the text before it ends: string, template, regular
/// expression, comment, class body. A script is parsed whole before it runs, so none of it does.
pub(super) const POISON: &str = "\n}])@#\n";

/// JavaScript MIME types (MIME Sniffing standard, 4.6), without their slash-separated halves'
/// repetition.
const JAVASCRIPT: [&str; 16] = [
    "application/ecmascript",
    "application/javascript",
    "application/x-ecmascript",
    "application/x-javascript",
    "text/ecmascript",
    "text/javascript",
    "text/javascript1.0",
    "text/javascript1.1",
    "text/javascript1.2",
    "text/javascript1.3",
    "text/javascript1.4",
    "text/javascript1.5",
    "text/jscript",
    "text/livescript",
    "text/x-ecmascript",
    "text/x-javascript",
];

/// What the text of a script is to a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Classic,
    Module,
    /// JSON: what module specifiers mean.
    ImportMap,
    /// JSON: what to fetch ahead. Nothing is lost without it.
    SpeculationRules,
}

/// Types that are no JavaScript MIME types.
const ACTIVE: [(&str, Script); 3] =
    [("module", Script::Module), ("importmap", Script::ImportMap), ("speculationrules", Script::SpeculationRules)];

impl Script {
    /// The kind of a script of these attributes (HTML standard, "prepare the script element"); `None` for data.
    pub(super) fn of(kind: Option<&[u8]>, language: Option<&[u8]>, encoding: &'static Encoding) -> Option<Self> {
        let javascript = |text: &str| JAVASCRIPT.iter().any(|known| known.eq_ignore_ascii_case(text)).then_some(Self::Classic);
        let kind = match (kind, language) {
            (Some(kind), _) => decode(kind, encoding).trim_matches(|c: char| c.is_ascii_whitespace()).to_owned(),
            (None, Some(language)) if !language.is_empty() => return javascript(&format!("text/{}", decode(language, encoding))),
            (None, _) => return Some(Self::Classic),
        };
        let active = ACTIVE.iter().find(|(known, _)| known.eq_ignore_ascii_case(&kind)).map(|&(_, script)| script);
        if kind.is_empty() { Some(Self::Classic) } else { active.or_else(|| javascript(&kind)) }
    }
}

/// How far the text of an open inline script has been read.
#[derive(Debug)]
pub(super) enum Progress {
    /// Its start tag is held until the text is known. `lead` bytes of white space are behind us.
    Waiting { lead: usize },
    /// Too long to hold: its start tag is gone, its text is kept, a hit ends it with a syntax error.
    Passing,
    /// Nothing to decide any more.
    Settled,
}

/// Whether the text is hydration data; `None` while it is too short to say. `lead` moves over white
/// space so that it is read once.
pub(super) fn is_hydration(text: &[u8], lead: &mut usize) -> Option<bool> {
    while text.get(*lead).is_some_and(u8::is_ascii_whitespace) {
        *lead += 1;
    }
    let text = &text[*lead..];
    if HYDRATION_PREFIXES.iter().any(|prefix| text.starts_with(prefix.as_bytes())) {
        return Some(true);
    }
    let may_become = HYDRATION_PREFIXES.iter().any(|prefix| prefix.as_bytes().starts_with(text));
    if may_become { None } else { Some(false) }
}

/// Whether a script writes into the page while it is parsed: it cannot work when released later.
pub(super) fn needs_parse_time(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"document.write").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executed_types_are_the_standards() {
        for (kind, language, want) in [
            (None, None, true),
            (Some(""), None, true),
            (Some(" TEXT/JavaScript "), None, true),
            (Some("text&#47;javascript"), None, true),
            (Some("module"), Some("vbscript"), true),
            (Some("importmap"), None, true),
            (Some("speculationrules"), None, true),
            (Some("text/javascript; charset=utf-8"), None, false),
            (Some("application/ld+json"), None, false),
            (Some("text/plain"), None, false),
            (None, Some("JavaScript1.2"), true),
            (None, Some("vbscript"), false),
        ] {
            let got = Script::of(kind.map(str::as_bytes), language.map(str::as_bytes), encoding_rs::UTF_8);
            assert_eq!(got.is_some(), want, "{kind:?} {language:?}");
        }
    }

    #[test]
    fn hydration_is_known_as_soon_as_its_prefix_is_there() {
        for (text, want) in
            [("", None), (" \n", None), ("\n self.__ne", None), (" self.__next_f.push", Some(true)), ("self.x", Some(false))]
        {
            assert_eq!(is_hydration(text.as_bytes(), &mut 0), want, "{text}");
        }
    }
}
