//! The keys that sign cookies and notice tokens: several, so that they rotate with overlap.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bytes of a truncated HMAC-SHA-256: 128 bits, as RFC 2104 section 5 allows.
pub(super) const MAC_BYTES: usize = 16;

/// The signing keys, newest first: the first signs, all of them verify.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    secret: [u8; 32],
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct KeyFault {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong and how to mend it.
    pub message: &'static str,
}

/// What a signature is for: one key signs both, and neither can stand in for the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Cookie,
    Token,
}

impl Keys {
    /// One key of 32 random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(vec![Key { id: "k1".to_owned(), secret }])
    }

    /// Reads a key file: a line `id base64url-of-32-bytes` a key, newest first; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let fault = |message| KeyFault { line: index + 1, message };
            let (id, secret) = line.split_once(char::is_whitespace).ok_or_else(|| fault("write `id secret`"))?;
            let plain = id.len() <= 16 && id.bytes().all(|b| b.is_ascii_alphanumeric());
            if !plain || keys.iter().any(|key| key.id == id) {
                return Err(fault("a key id is up to 16 letters and digits, each once"));
            }
            let secret = URL_SAFE_NO_PAD.decode(secret.trim()).ok().and_then(|bytes| bytes.try_into().ok());
            keys.push(Key { id: id.to_owned(), secret: secret.ok_or_else(|| fault("a secret is 32 bytes in base64url"))? });
        }
        if keys.is_empty() {
            return Err(KeyFault { line: 1, message: "there is no key" });
        }
        Ok(Self(keys))
    }

    /// The key file's text.
    pub fn to_text(&self) -> String {
        let mut text = "# Signs the consent cookies. Keep it secret and keep it: without it every visitor is asked again.\n\
                        # To rotate, add a new key as the first line; delete the old one after six months.\n"
            .to_owned();
        for key in &self.0 {
            text.push_str(&format!("{} {}\n", key.id, URL_SAFE_NO_PAD.encode(key.secret)));
        }
        text
    }

    /// The id of the key that signs.
    pub(super) fn current(&self) -> &str {
        &self.0[0].id
    }

    /// Signs with the newest key.
    pub(super) fn sign(&self, purpose: Use, message: &[u8]) -> [u8; MAC_BYTES] {
        self.0[0].sign(purpose, message)
    }

    /// Verifies with the key of that id, in constant time.
    pub(super) fn verify(&self, id: &str, purpose: Use, message: &[u8], mac: &[u8]) -> bool {
        self.0.iter().find(|key| key.id == id).is_some_and(|key| bool::from(key.sign(purpose, message).as_slice().ct_eq(mac)))
    }
}

impl Key {
    fn sign(&self, purpose: Use, message: &[u8]) -> [u8; MAC_BYTES] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        hmac.update(match purpose {
            Use::Cookie => b"consentry cookie 1\0",
            Use::Token => b"consentry notice token 1\0",
        });
        hmac.update(message);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hmac.finalize().into_bytes()[..MAC_BYTES]);
        mac
    }
}

/// Keys do not go into traces.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_still_verifies_and_the_new_one_signs() {
        let old = Keys::new([7; 32]);
        let mac = old.sign(Use::Cookie, b"x");
        let text = format!("k2 {}\n{}", URL_SAFE_NO_PAD.encode([8; 32]), old.to_text());
        let both = Keys::parse(&text).expect("two keys");
        assert_eq!(both.current(), "k2");
        assert!(both.verify("k1", Use::Cookie, b"x", &mac));
        assert!(!both.verify("k1", Use::Token, b"x", &mac), "a cookie's signature is no token's");
        assert!(!both.verify("k2", Use::Cookie, b"x", &mac));
        assert!(!both.verify("k1", Use::Cookie, b"y", &mac));
    }

    #[test]
    fn a_broken_key_file_is_named_by_line() {
        for (text, line) in [("", 1), ("k1 short", 1), ("# c\nk1", 2), ("k! AAAA", 1)] {
            assert_eq!(Keys::parse(text).err().map(|fault| fault.line), Some(line), "{text}");
        }
    }
}
