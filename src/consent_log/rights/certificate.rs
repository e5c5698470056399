//! The certificate of an act: a signed note (c2sp.org/signed-note) that an operator hands to whoever asked for it.
//! Pure.
//!
//! It says what was done to how many records, and proves that the act stands in the log: from the act's own bytes
//! and salt follows its commitment, from that by the path the root of the tree, and log's key signs all of it. It
//! names no visitor.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::consent_log::{
    act::Act,
    leaf::commitment,
    reader::Leaf,
    record::stamp,
    tree::{self, Checkpoint, Note, Signer, Verifier},
    verify::Proof,
};
use crate::vocab::Hash;

/// The first line of every certificate; no checkpoint begins so.
const FORMAT: &str = "consentry.act-certificate/1";

/// A certificate's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The act.
    pub act: Act,
    /// Its index in the log.
    pub index: u64,
    /// The salt of its leaf.
    pub salt: Hash,
    /// What the operator's reference was hashed with.
    pub reference_salt: Option<Hash>,
    /// The tree that the path leads to.
    pub checkpoint: Checkpoint,
    /// The neighbours from the leaf upward.
    pub path: Vec<Hash>,
}

/// Why a text is no certificate, or certifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    /// Another format.
    #[error("it is no certificate of the form {FORMAT}")]
    Form,
    /// Not signed with the key of this log.
    #[error("it is not signed with a key of this log")]
    Signature,
    /// What it says of the act is not what the act says.
    #[error("what it says is not what the act in it says")]
    Words,
    /// The act does not stand in the tree.
    #[error("the act is not what stands at this place of the log")]
    Path,
}

impl Certificate {
    /// The certificate of an act that names records; `None` for any other act.
    pub(in crate::consent_log) fn of(act: &Act, proof: &Proof, reference_salt: Option<[u8; 32]>) -> Option<Self> {
        act.on()?;
        let leaf: &Leaf = &proof.leaf;
        let checkpoint = Checkpoint::parse(&Note::parse(&proof.receipt.checkpoint).ok()?.text).ok()?;
        // As it stands in the log: times are cut to the millisecond there.
        let act = Act::parse(leaf.bytes.as_bytes()).ok()?;
        Some(Self {
            act,
            index: leaf.index,
            salt: Hash(leaf.salt),
            reference_salt: reference_salt.map(Hash),
            checkpoint,
            path: proof.receipt.path.clone(),
        })
    }

    /// The text that is signed: a word and its value a line.
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // A String never fails to be written to.
            let _ = writeln!(text, "{name} {value}");
        };
        line("log", &self.checkpoint.origin);
        line("act", &self.act.kind());
        line("id", &self.act.id);
        line("time", &stamp(self.act.time));
        if let Some(on) = self.act.on() {
            line("records", &on.indices.len());
            line("indices-sha256", &Hash::of(on.indices.to_string().as_bytes()));
            line("reason", &on.reason);
        }
        if let Some(salt) = self.reference_salt {
            line("reference-salt", &salt);
        }
        line("leaf", &self.index);
        line("leaf-salt", &self.salt);
        line("leaf-record", &self.act.canonical());
        line("tree-size", &self.checkpoint.size);
        line("tree-root", &STANDARD.encode(self.checkpoint.root.0));
        for hash in &self.path {
            line("tree-path", &STANDARD.encode(hash.0));
        }
        text
    }

    pub(in crate::consent_log) fn sign(&self, signer: &Signer) -> String {
        signer.sign(&self.text())
    }

    /// Reads a certificate and checks all of it: the signature, the words, the path.
    pub fn check(note: &str, keys: &[Verifier]) -> Result<Self, NoCertificate> {
        let note = Note::parse(note).map_err(|_| NoCertificate::Form)?;
        let certificate = Self::parse(&note.text).ok_or(NoCertificate::Form)?;
        let own = keys.iter().filter(|key| key.name() == certificate.checkpoint.origin).any(|key| key.check(&note).is_ok());
        if !own {
            return Err(NoCertificate::Signature);
        }
        if certificate.text() != note.text {
            return Err(NoCertificate::Words);
        }
        let leaf = tree::leaf(&commitment(&certificate.salt.0, certificate.act.canonical().as_bytes()));
        let Checkpoint { size, root, .. } = &certificate.checkpoint;
        let proved = tree::proves_inclusion(leaf, certificate.index, *size, &certificate.path, root);
        if proved { Ok(certificate) } else { Err(NoCertificate::Path) }
    }

    /// Whether this is the ticket that the operator named when the act was done.
    pub fn is_about(&self, ticket: &str) -> bool {
        let reference = self.act.on().and_then(|on| on.reference);
        let made = self.reference_salt.map(|salt| crate::consent_log::deeds::reference(&salt.0, ticket));
        reference.is_some() && reference == made
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| line.split_once(' ')).peekable();
        if text.lines().next() != Some(FORMAT) {
            return None;
        }
        let mut last = |name: &str| {
            let mut found = None;
            while let Some((own, value)) = lines.peek().copied() {
                if own == name {
                    lines.next();
                    found = Some(value);
                    break;
                }
                if name == "reference-salt" {
                    break;
                }
                lines.next();
            }
            found
        };
        let hash = |text: &str| Some(Hash(STANDARD.decode(text).ok()?.try_into().ok()?));
        let origin = last("log")?.to_owned();
        last("reason")?;
        let reference_salt = match last("reference-salt") {
            Some(salt) => Some(Hash::parse(salt)?),
            None => None,
        };
        let index = last("leaf")?.parse().ok()?;
        let salt = Hash::parse(last("leaf-salt")?)?;
        let act = Act::parse(last("leaf-record")?.as_bytes()).ok()?;
        let size = last("tree-size")?.parse().ok()?;
        let root = hash(last("tree-root")?)?;
        let path = lines.map(|(name, value)| if name == "tree-path" { hash(value) } else { None }).collect::<Option<_>>()?;
        Some(Self { act, index, salt, reference_salt, checkpoint: Checkpoint { origin, size, root }, path })
    }
}
