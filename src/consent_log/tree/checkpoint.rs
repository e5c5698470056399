//! Checkpoints (c2sp.org/tlog-checkpoint): what the log says its tree is, in the text of a signed note.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::vocab::Hash;

/// The tree of one log at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of the key that signs.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is no checkpoint: an origin, a size and a root in base64, a line each")]
pub struct NoCheckpoint;

impl Checkpoint {
    /// The text that is signed. Ends in a line feed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a note. Lines behind the root are other people's extensions and stay unread.
    pub fn parse(text: &str) -> Result<Self, NoCheckpoint> {
        let mut lines = text.strip_suffix('\n').ok_or(NoCheckpoint)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else { return Err(NoCheckpoint) };
        // One way to write a number: `01` and `+1` are others.
        let number: u64 = size.parse().map_err(|_| NoCheckpoint)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(NoCheckpoint)?;
        if origin.is_empty() || number.to_string() != size || lines.any(str::is_empty) {
            return Err(NoCheckpoint);
        }
        Ok(Self { origin: origin.to_owned(), size: number, root: Hash(root) })
    }
}
