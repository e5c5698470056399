//! `[server] admin_token`: what opens the admin listener to more than this machine.

use std::{fmt, path::PathBuf};

use subtle::ConstantTimeEq as _;

use crate::{config::Section, vocab::Hash};

/// A secret that somebody else's guess is compared with. Kept and compared as its SHA-256, in constant
/// time: neither its text nor its length can be read off anything here. Two settings are compared as any others.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Hash);

impl AdminToken {
    /// Fewer characters could be guessed. In bytes.
    pub const BYTES_MIN: usize = 16;

    /// Takes a secret of at least [`BYTES_MIN`](Self::BYTES_MIN) visible ASCII characters, as a header can carry it.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.len() < Self::BYTES_MIN {
            return Err("the admin token is shorter than 16 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the admin token has characters that no header can carry");
        }
        Ok(Self(Hash::of(text.as_bytes())))
    }

    /// Whether this is the secret.
    pub fn is(&self, shown: &str) -> bool {
        self.0.0.ct_eq(&Hash::of(shown.as_bytes()).0).into()
    }
}

/// Says that there is one, and no more.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

/// The token, or the file that holds it, which whoever reads files has to read.
pub(super) fn read_token(section: &mut Section<'_>) -> (Option<AdminToken>, Option<PathBuf>) {
    let mend = "write a long random text, such as `openssl rand -hex 32` prints";
    let token = section.string("admin_token").and_then(|at| match AdminToken::new(&at.value) {
        Ok(token) => Some(token),
        Err(message) => {
            section.fault(at.offset, message, mend);
            None
        }
    });
    let file = section.string("admin_token_file");
    if let (Some(_), Some(at)) = (&token, &file) {
        section.fault(at.offset, "there are two admin tokens", "leave out `admin_token` or `admin_token_file`");
    }
    (token, file.map(|at| PathBuf::from(at.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_tells_nothing_of_itself() {
        let token = AdminToken::new("0123456789abcdef").expect("long enough");
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is("0123456789abcdef0") && !token.is(""));
        assert!(!format!("{token:?}").contains('0'));
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdeé"] {
            assert!(AdminToken::new(bad).is_err(), "{bad}");
        }
    }
}
