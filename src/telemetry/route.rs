//! A path as a route: what kind of page it was, without what it says about a person. `/reset/<token>` is a
//! key to an account, `/u/jane@example.org` is a name (traps: page address as personal data).
//!
//! Only what looks like a word that somebody chose for everybody is kept. Everything else becomes `:id`:
//! a route that says too little costs an operator a guess, one that says too much costs a visitor.
//! A name in lower case cannot be told from a word: who has such paths writes no routes at all.

use std::fmt;

/// A path whose every segment is a plain word or `:id`.
#[derive(Clone, PartialEq, Eq)]
pub struct Route(String);

/// How many segments are kept; what lies deeper is `*`.
const SEGMENTS_MAX: usize = 4;
/// Characters of the longest segment that is kept.
const SEGMENT_CHARS_MAX: usize = 40;
/// Letters of the longest word in one.
const WORD_LETTERS_MAX: usize = 16;
/// Consonants in a row that no word has.
const CONSONANTS_MAX: usize = 5;
/// Letters from `a` to `f` alone, from which on they are a number in hex.
const HEX_LETTERS_MIN: usize = 8;

const ID: &str = ":id";

impl Route {
    /// The route of a path. A query, if there is one, is not looked at and not kept.
    pub fn of(path: &str) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut route = String::with_capacity(path.len().min(64));
        for (n, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
            if n == SEGMENTS_MAX {
                route.push_str("/*");
                break;
            }
            route.push('/');
            route.push_str(if is_plain(segment) { segment } else { ID });
        }
        Self(route)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words of letters with `-`, `_` and `.` between them, or the version of an interface (`v2`). A digit, a
/// percent sign or any other character is an id's.
fn is_plain(segment: &str) -> bool {
    if is_version(segment) {
        return true;
    }
    let lettered = segment.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.'));
    let hex = segment.bytes().filter(u8::is_ascii_alphabetic).all(|b| b.is_ascii_hexdigit());
    let long_hex = hex && segment.len() >= HEX_LETTERS_MIN;
    let words = segment.split(['-', '_', '.']).filter(|word| !word.is_empty());
    lettered && !long_hex && segment.len() <= SEGMENT_CHARS_MAX && words.clone().all(is_word) && !is_shredded(words)
}

fn is_version(segment: &str) -> bool {
    let number = segment.strip_prefix('v').unwrap_or_default();
    (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// A word as people write them: in one case, with a capital in front, or in camel case; not longer than
/// words are, and not of consonants alone.
fn is_word(word: &str) -> bool {
    let upper = word.bytes().filter(u8::is_ascii_uppercase).count();
    let cased = upper == 0 || upper == word.len() && upper <= 6 || is_camel(word);
    let mut row = 0;
    let spoken = word.bytes().all(|b| {
        let vowel = matches!(b.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
        row = if vowel { 0 } else { row + 1 };
        row <= CONSONANTS_MAX
    });
    word.len() <= WORD_LETTERS_MAX && cased && spoken
}

/// `Start`, `start`, `startPage`: at most three humps of at least three letters.
fn is_camel(word: &str) -> bool {
    let mut humps = Vec::from([0]);
    for (n, b) in word.bytes().enumerate() {
        match (n, b.is_ascii_uppercase()) {
            (0, _) | (_, false) => *humps.last_mut().expect("one from the start") += 1,
            (_, true) => humps.push(1),
        }
    }
    humps.len() <= 3 && humps.iter().all(|&letters| letters >= 3)
}

/// A token may have the separators of words in it: then it falls apart into scraps.
fn is_shredded<'w>(words: impl Iterator<Item = &'w str> + Clone) -> bool {
    let scraps = words.clone().filter(|word| word.len() <= 2).count();
    scraps > 2 || words.count() > 6
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_and_what_points_to_a_person_goes() {
        for (path, want) in [
            ("/", "/"),
            ("/shop/tea-pots/", "/shop/tea-pots/"),
            ("/wp-admin/admin-ajax.php", "/wp-admin/admin-ajax.php"),
            ("/api/v2/orders", "/api/v2/orders"),
            ("/About/getProducts", "/About/getProducts"),
            ("/.well-known/security.txt", "/.well-known/security.txt"),
            ("/FAQ", "/FAQ"),
            ("//double", "//double"),
            ("*", "/:id"),
            ("/a/b/c/d/e/f", "/a/b/c/d/*"),
            ("/orders/10023", "/orders/:id"),
            ("/page2", "/:id"),
            ("/reset/8f14e45fceea167a5a36dedd4bea2543", "/reset/:id"),
            ("/reset/deadbeefcafe", "/reset/:id"),
            ("/u/jane@example.org", "/u/:id"),
            ("/u/jane%40example.org", "/u/:id"),
            ("/u/J%C3%BCrgen", "/u/:id"),
            ("/u/Jürgen", "/u/:id"),
            ("/login;jsessionid=ABCDEF", "/:id"),
            ("/invite/aGVsbG8gd29ybGQ", "/invite/:id"),
            ("/invite/qwrtzpsdfg", "/invite/:id"),
            ("/f81d4fae-7dec-11d0-a765-00a0c91e6bf6/edit", "/:id/edit"),
            ("/eyJhbGciOiJIUzI.eyJzdWIiOiJ.SflKxwRJSMeKKF", "/:id"),
            ("/supercalifragilisticexpialidocious", "/:id"),
            ("/search?q=my+illness", "/search"),
            ("/search#token=a", "/search"),
            ("", "/"),
        ] {
            assert_eq!(Route::of(path).as_str(), want, "{path}");
        }
    }

    /// One segment that points to a person or opens an account, in the forms they have.
    fn telling() -> impl Strategy<Value = String> {
        let bytes = |least, most| proptest::collection::vec(any::<u8>(), least..most);
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        prop_oneof![
            "[0-9]{1,20}",
            "[a-z]{1,10}[0-9]{1,8}",
            bytes(4, 33).prop_map(hex),
            bytes(4, 33).prop_map(move |bytes| hex(bytes).to_uppercase()),
            bytes(16, 65).prop_map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)),
            bytes(16, 33).prop_map(|bytes| format!(
                "{}.{}",
                BASE64_URL_SAFE_NO_PAD.encode(&bytes),
                BASE64_URL_SAFE_NO_PAD.encode(&bytes)
            )),
            any::<u128>().prop_map(|n| uuid::Uuid::from_u128(n).to_string()),
            "[a-z]{1,12}(\\.[a-z]{1,12})?@[a-z]{2,10}\\.(com|de|org)",
            "[a-z]{1,12}%40[a-z]{2,10}\\.(com|de|org)",
            "[a-z]{1,12}%2540[a-z]{2,10}\\.com",
            "(%[0-9A-Fa-f]{2}){1,12}",
            "[a-z]{0,8}%[0-9A-F]{2}[a-z]{0,8}",
            "[a-z2-7]{26,40}",
            "[A-Za-z]{22,43}",
            "[a-z]{2,8};[a-z]{2,10}=[A-Za-z]{3,12}",
            "[\\p{L}]{1,12}[^\\x00-\\x7f/?#]",
            "\\+[0-9]{6,14}",
        ]
    }

    proptest! {
        #[test]
        fn no_telling_segment_is_kept(secret in telling(), before in "(/[a-z]{3,8}){0,3}", after in "(/[a-z]{3,8}){0,2}") {
            // A letter or two may be in any word beside it.
            prop_assume!(secret.len() > 2 || secret.bytes().any(|b| b.is_ascii_digit()));
            // The one form with digits that is kept on purpose.
            prop_assume!(!is_version(&secret));
            let route = Route::of(&format!("{before}/{secret}{after}"));
            prop_assert!(!route.as_str().contains(&secret), "{} keeps {secret}", route.as_str());
            prop_assert!(route.as_str().contains(ID), "{}", route.as_str());
        }

        #[test]
        fn a_route_is_short_and_plain_whatever_the_path_is(path in "\\PC{0,400}", query in "\\PC{0,40}") {
            let route = Route::of(&format!("/{path}?{query}"));
            prop_assert!(route.as_str().len() <= SEGMENTS_MAX * (SEGMENT_CHARS_MAX + 1) + 2);
            let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b':' | b'*');
            prop_assert!(route.as_str().bytes().all(fit), "{}", route.as_str());
            let digits: String = route.as_str().chars().filter(char::is_ascii_digit).collect();
            prop_assert!(digits.len() <= 2 * SEGMENTS_MAX);
        }
    }
}
