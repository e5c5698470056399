//! Patterns with `*` for any run of characters, as vendor files write paths, query values and cookie names.

/// A compiled pattern: literal pieces between stars. The whole text must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Every text is a valid pattern.
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> String {
        self.0.join("*")
    }

    /// Whether the whole text matches. Linear in the text for each piece: no backtracking, since
    /// the earliest place for a middle piece is never worse than a later one.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else { return self.0[0] == text };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last.as_str())
    }

    /// The longest piece between stars: what a text must contain to match at all.
    pub(super) fn longest_piece(&self) -> &str {
        self.0.iter().max_by_key(|piece| piece.len()).map_or("", String::as_str)
    }

    /// The literal after the last `/`, if the pattern ends in one.
    pub(super) fn last_segment(&self) -> Option<&str> {
        let tail = self.0.last()?;
        tail.rfind('/').map(|slash| &tail[slash + 1..]).filter(|segment| !segment.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, text, want) in [
            ("/tr", "/tr", true),
            ("/tr", "/tr/", false),
            ("/*/fbevents.js", "/en_US/fbevents.js", true),
            ("/*/fbevents.js", "/fbevents.js", false),
            ("*/matomo.js", "/a/b/matomo.js", true),
            ("/i18n/*", "/i18n/", true),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("*", "", true),
            ("G-*", "AW-1", false),
            ("aba*aba", "aba", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn the_last_segment_is_the_literal_after_the_last_slash() {
        assert_eq!(Glob::new("*/matomo.js").last_segment(), Some("matomo.js"));
        assert_eq!(Glob::new("*/container_*.js").last_segment(), None);
        assert_eq!(Glob::new("/a/").last_segment(), None);
    }
}
