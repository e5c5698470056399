//! Entity tags (RFC 9110, section 8.8.3), and the gate's mark in them.
//!
//! A gated page's bytes follow from the origin's bytes and from the variant, so its tag names both:
//! `"abc"` becomes `W/"abc;s-<variant>"` and `W/"abc"` becomes `W/"abc;w-<variant>"`. The letter keeps
//! whether the origin's tag was strong; the gate's own never is, since it promises no equal bytes.

/// An entity tag as it stands in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag {
    pub(super) weak: bool,
    /// What stands between the quotes: any bytes but `"` and controls.
    pub(super) opaque: Vec<u8>,
}

const VARIANT_LEN: usize = 16;
const MARK_LEN: usize = ";s-".len() + VARIANT_LEN;

impl EntityTag {
    /// Reads one tag; none if it is not well-formed.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (weak, quoted) = text.strip_prefix(b"W/").map_or((false, text), |quoted| (true, quoted));
        let opaque = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let legal = |&byte: &u8| byte == b'!' || byte >= b'#' && byte != 0x7f;
        opaque.iter().all(legal).then(|| Self { weak, opaque: opaque.to_vec() })
    }

    /// Reads a list such as `If-None-Match` holds; commas may stand within the quotes. Members that are
    /// no tags are left out.
    pub(super) fn parse_list(text: &[u8]) -> Vec<Self> {
        let mut quoted = false;
        let members = text.split(|&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        members.filter_map(Self::parse).collect()
    }

    /// The tag as it is written.
    pub(super) fn write(&self) -> Vec<u8> {
        [if self.weak { &b"W/\""[..] } else { b"\"" }, &self.opaque, b"\""].concat()
    }

    /// The tag of this tag's page under a variant (16 lower-case hex digits).
    pub(super) fn marked(&self, variant: &str) -> Self {
        let strength: &[u8] = if self.weak { b";w-" } else { b";s-" };
        Self { weak: true, opaque: [&self.opaque, strength, variant.as_bytes()].concat() }
    }

    /// The origin's tag and the variant, if this tag carries the gate's mark.
    pub(super) fn unmarked(&self) -> Option<(Self, &str)> {
        let (opaque, mark) = self.opaque.split_at_checked(self.opaque.len().checked_sub(MARK_LEN)?)?;
        let (strength, variant) = mark.split_at(3);
        let weak = match strength {
            b";w-" => true,
            b";s-" => false,
            _ => return None,
        };
        let variant = std::str::from_utf8(variant).ok().filter(|variant| is_variant(variant))?;
        Some((Self { weak, opaque: opaque.to_vec() }, variant))
    }
}

/// 16 lower-case hex digits.
pub(super) fn is_variant(text: &str) -> bool {
    text.len() == VARIANT_LEN && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_read_by_the_grammar() {
        for (text, want) in [
            ("\"abc\"", Some((false, "abc"))),
            (" W/\"\" ", Some((true, ""))),
            ("\"a,b;c\\\"", Some((false, "a,b;c\\"))),
            ("w/\"abc\"", None),
            ("abc", None),
            ("\"", None),
            ("\"a b\"", None),
            ("\"a\"b\"", None),
            ("*", None),
        ] {
            let tag = EntityTag::parse(text.as_bytes());
            assert_eq!(tag, want.map(|(weak, opaque)| EntityTag { weak, opaque: opaque.into() }), "{text}");
        }
        let list = EntityTag::parse_list(b"\"a,b\" , W/\"c\", junk, \"d\"");
        assert_eq!(list.iter().map(EntityTag::write).collect::<Vec<_>>(), [&b"\"a,b\""[..], b"W/\"c\"", b"\"d\""]);
    }

    #[test]
    fn what_only_looks_like_a_mark_is_none() {
        for opaque in
            ["abc", "abc;s-0123456789abcde", "abc;x-0123456789abcdef", "abc;s-0123456789ABCDEF", "abc;s-0123456789abcdef-gzip"]
        {
            assert_eq!(EntityTag { weak: true, opaque: opaque.into() }.unmarked(), None, "{opaque}");
        }
    }

    proptest! {
        #[test]
        fn a_mark_comes_off_again(weak: bool, opaque in prop::collection::vec(prop_oneof![Just(b'!'), 0x23..=0x7eu8, 0x80..=0xffu8], 0..30)) {
            let tag = EntityTag { weak, opaque };
            let marked = tag.marked("0123456789abcdef");
            prop_assert!(marked.weak);
            prop_assert_eq!(EntityTag::parse(&marked.write()), Some(marked.clone()));
            prop_assert_eq!(marked.unmarked(), Some((tag.clone(), "0123456789abcdef")));
            // The mark of a gate before another gate is that gate's business.
            let twice = marked.marked("fedcba9876543210");
            prop_assert_eq!(twice.unmarked(), Some((marked, "fedcba9876543210")));
        }
    }
}
