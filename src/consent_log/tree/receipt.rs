//! A leaf's proof that stands by itself (c2sp.org/tlog-proof): the path to the root of a signed checkpoint.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Checkpoint, NoCheckpoint, NoNote, Note, Verifier, leaf, proves_inclusion};
use crate::vocab::Hash;

/// The first line.
const FORMAT: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves has no longer path.
const PATH_MAX: usize = 64;

/// The proof that one leaf stands in the tree of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The leaf's index.
    pub index: u64,
    /// The neighbours from the leaf upward.
    pub path: Vec<Hash>,
    /// The checkpoint as a signed note.
    pub checkpoint: String,
}

/// Why a text is no receipt, or proves nothing.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoReceipt {
    /// Another format.
    #[error("it is no proof of the form {FORMAT}")]
    Form,
    /// What is signed is no note of the key.
    #[error(transparent)]
    Note(#[from] NoNote),
    /// What is signed is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] NoCheckpoint),
    /// The checkpoint is another log's.
    #[error("its checkpoint is another log's")]
    Origin,
    /// The path does not lead to the root.
    #[error("the record is not what stands at this place of the log")]
    Path,
}

impl Receipt {
    /// Reads a proof.
    pub fn parse(text: &str) -> Result<Self, NoReceipt> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(NoReceipt::Form)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FORMAT) {
            return Err(NoReceipt::Form);
        }
        // Application data that nothing here needs.
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(NoReceipt::Form)?;
        let number: u64 = index.parse().map_err(|_| NoReceipt::Form)?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok()).map(Hash);
        let path: Option<Vec<Hash>> = lines.map(hash).collect();
        let path = path.filter(|path| path.len() <= PATH_MAX && number.to_string() == index).ok_or(NoReceipt::Form)?;
        Ok(Self { index: number, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks the signature, and that the commitment stands at the index in the checkpoint's tree.
    pub fn check(&self, commitment: &Hash, key: &Verifier) -> Result<Checkpoint, NoReceipt> {
        let note = Note::parse(&self.checkpoint)?;
        key.check(&note)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        if checkpoint.origin != key.name() {
            return Err(NoReceipt::Origin);
        }
        let proved = proves_inclusion(leaf(commitment), self.index, checkpoint.size, &self.path, &checkpoint.root);
        if proved { Ok(checkpoint) } else { Err(NoReceipt::Path) }
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{FORMAT}\nindex {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.0)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
