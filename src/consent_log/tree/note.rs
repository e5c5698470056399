//! Signed notes (c2sp.org/signed-note): a text, a blank line, and a line for each signature.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The signature type of Ed25519 keys.
const ED25519_TYPE: u8 = 1;
/// An em dash and a space begin a signature line.
const LINE: &str = "\u{2014} ";

/// A key that signs notes under a name.
pub struct Signer {
    name: String,
    pair: Ed25519KeyPair,
}

/// A key that notes are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

/// A note taken apart. What its signatures are worth only a [`Verifier`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text with its last line feed.
    pub text: String,
    /// Names, key ids and signatures, in order.
    signatures: Vec<(String, [u8; 4], Vec<u8>)>,
}

/// Why a text is no note, or no key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoNote {
    /// No blank line with signatures behind it, or a control character in it.
    #[error("it is no signed note: a text, a blank line, then lines that begin with an em dash")]
    Form,
    /// A signature line that cannot be read.
    #[error("a signature line of the note cannot be read")]
    Signature,
    /// Not `name+id+key`, or of another type than Ed25519.
    #[error("it is no key of the form name+id+base64 with an Ed25519 key")]
    Key,
    /// Nothing of that key in the note.
    #[error("the note carries no signature of the key")]
    Unsigned,
    /// The signature is not the key's.
    #[error("the signature is not the one of the key over this text")]
    Wrong,
}

fn key_id(name: &str, key: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519_TYPE]).chain_update(key).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A key's name: no space, no plus sign, something in it.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('+') && !name.chars().any(char::is_whitespace)
}

// === impl Signer ===

impl Signer {
    /// A signer from a 32-byte Ed25519 seed (RFC 8032). `None` where the name cannot stand in a note.
    pub fn new(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        is_name(name).then(|| Self { name: name.to_owned(), pair })
    }

    /// The name it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn verifier(&self) -> Verifier {
        let key = self.pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        Verifier { name: self.name.clone(), key }
    }

    /// The note of a text, which ends in a line feed and has no blank line at its end.
    pub fn sign(&self, text: &str) -> String {
        let mut signed = key_id(&self.name, self.pair.public_key().as_ref()).to_vec();
        signed.extend(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{LINE}{} {}\n", self.name, STANDARD.encode(signed))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Verifier ===

impl Verifier {
    /// Reads `name+id+base64`, the form that other tools take.
    pub fn parse(text: &str) -> Result<Self, NoNote> {
        let mut parts = text.trim_end().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoNote::Key) };
        let key = STANDARD.decode(key).map_err(|_| NoNote::Key)?;
        let [ED25519_TYPE, key @ ..] = &key[..] else { return Err(NoNote::Key) };
        let key: [u8; 32] = key.try_into().map_err(|_| NoNote::Key)?;
        let same = u32::from_str_radix(id, 16).is_ok_and(|id| id.to_be_bytes() == key_id(name, &key));
        if same && id.len() == 8 && is_name(name) { Ok(Self { name: name.to_owned(), key }) } else { Err(NoNote::Key) }
    }

    /// The name it goes by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key id (c2sp.org/signed-note), 8 hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(key_id(&self.name, &self.key)))
    }

    /// The Ed25519 public key (RFC 8032), 32 bytes.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Checks that the note carries this key's signature over its text.
    pub fn check(&self, note: &Note) -> Result<(), NoNote> {
        let id = key_id(&self.name, &self.key);
        let mut own = note.signatures.iter().filter(|(name, of, _)| *name == self.name && *of == id).peekable();
        if own.peek().is_none() {
            return Err(NoNote::Unsigned);
        }
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        if own.all(|(_, _, signature)| key.verify(note.text.as_bytes(), signature).is_ok()) { Ok(()) } else { Err(NoNote::Wrong) }
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend(self.key);
        write!(f, "{}+{}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

// === impl Note ===

impl Note {
    /// Takes a note apart.
    pub fn parse(note: &str) -> Result<Self, NoNote> {
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoNote::Form);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoNote::Form)?;
        let lines = lines.strip_suffix('\n').filter(|_| !text.is_empty()).ok_or(NoNote::Form)?;
        let signatures = lines.split('\n').map(signature).collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

fn signature(line: &str) -> Result<(String, [u8; 4], Vec<u8>), NoNote> {
    let (name, signed) = line.strip_prefix(LINE).and_then(|line| line.split_once(' ')).ok_or(NoNote::Signature)?;
    let signed = STANDARD.decode(signed).map_err(|_| NoNote::Signature)?;
    let (id, signature) = signed.split_first_chunk::<4>().ok_or(NoNote::Signature)?;
    if !is_name(name) || signature.is_empty() {
        return Err(NoNote::Signature);
    }
    Ok((name.to_owned(), *id, signature.to_vec()))
}
