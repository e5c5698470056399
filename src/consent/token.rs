//! The notice token: says which notice a decision answers. Bound to the site and the day.
//!
//! It is not the protection against forged requests: that is `Sec-Fetch-Site`, then `Origin`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::keys::{Keys, MAC_BYTES, Use};
use crate::vocab::Hash;

/// Where in the workflow a notice was shown (EDPB 05/2020, paragraph 108).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The banner in a page.
    Banner,
    /// The preference page.
    Preferences,
    /// A script of the site asked for a token.
    Api,
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The notice's hash.
    pub notice: Hash,
    /// Where it was shown.
    pub layer: Layer,
}

/// A token may be answered on its day and on the next: a page can stay open over midnight.
const DAYS_VALID: i64 = 2;
const SECONDS_PER_DAY: i64 = 86_400;
/// key id length is variable, so it goes in front with a dot; the rest is fixed: day, layer, hash, mac.
const BODY_BYTES: usize = 4 + 1 + 32;

/// A token for a notice shown now.
pub fn mint(keys: &Keys, site: &str, shown: Shown, now: Timestamp) -> String {
    let mut body = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
    body.extend_from_slice(&day(now).to_be_bytes());
    body.push(shown.layer.code());
    body.extend_from_slice(&shown.notice.0);
    let mac = keys.sign(Use::Token, &message(site, &body));
    body.extend_from_slice(&mac);
    format!("{}.{}", keys.current(), URL_SAFE_NO_PAD.encode(body))
}

/// What the token says; `None` for one that is altered, of another site, or too old.
pub fn verify(keys: &Keys, site: &str, token: &str, now: Timestamp) -> Option<Shown> {
    let (key, body) = token.split_once('.')?;
    let bytes = URL_SAFE_NO_PAD.decode(body).ok().filter(|bytes| bytes.len() == BODY_BYTES + MAC_BYTES)?;
    let (body, mac) = bytes.split_at(BODY_BYTES);
    if !keys.verify(key, Use::Token, &message(site, body), mac) {
        return None;
    }
    let minted = u32::from_be_bytes(body[..4].try_into().ok()?);
    let age = i64::from(day(now)) - i64::from(minted);
    if !(-1..DAYS_VALID).contains(&age) {
        return None;
    }
    Some(Shown { layer: Layer::from_code(body[4])?, notice: Hash(body[5..].try_into().ok()?) })
}

fn day(now: Timestamp) -> u32 {
    u32::try_from(now.as_second() / SECONDS_PER_DAY).unwrap_or(0)
}

fn message(site: &str, body: &[u8]) -> Vec<u8> {
    [site.as_bytes(), b"\0", body].concat()
}

impl Layer {
    fn code(self) -> u8 {
        match self {
            Self::Banner => 1,
            Self::Preferences => 2,
            Self::Api => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Banner, Self::Preferences, Self::Api].into_iter().find(|layer| layer.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_site_on_its_day_and_the_next() {
        let keys = Keys::new([3; 32]);
        let shown = Shown { notice: Hash::of(b"notice"), layer: Layer::Preferences };
        let at = |days: i64| Timestamp::from_second(days * SECONDS_PER_DAY + 60).expect("a test time");
        let token = mint(&keys, "a.site", shown, at(100));
        assert_eq!(verify(&keys, "a.site", &token, at(100)), Some(shown));
        assert_eq!(verify(&keys, "a.site", &token, at(101)), Some(shown));
        assert_eq!(verify(&keys, "a.site", &token, at(102)), None);
        assert_eq!(verify(&keys, "b.site", &token, at(100)), None);
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(verify(&keys, "a.site", &String::from_utf8(changed).expect("ASCII"), at(100)), None, "at {index}");
        }
    }
}
