//! The Merkle tree over the leaves (RFC 6962, section 2.1; RFC 9162 says the same). Pure.
//!
//! What a leaf of the tree holds is [`entry`]: the salted commitment of one leaf of the log and nothing
//! else, so the tree stays whole when a record is erased. The tree is never kept as such: the
//! [`Frontier`] is enough to grow it, [`tile`]s keep its nodes, and proofs are made from those.

mod checkpoint;
mod note;
mod proof;
mod receipt;
pub mod tile;

pub use checkpoint::{Checkpoint, NoCheckpoint};
pub use note::{NoNote, Note, Signer, Verifier};
pub use proof::{consistency, inclusion, proves_consistency, proves_inclusion};
pub use receipt::{NoReceipt, Receipt};

use sha2::{Digest, Sha256};

use crate::vocab::Hash;

/// What every entry of the tree begins with: no other kind of data is ever hashed as one.
pub const ENTRY_PREFIX: &[u8] = b"consent/v1\n";

/// The bytes that one leaf of the log has in the tree: [`ENTRY_PREFIX`], then the 32 bytes of the commitment.
pub fn entry(commitment: &Hash) -> [u8; 43] {
    let mut bytes = [0; 43];
    bytes[..ENTRY_PREFIX.len()].copy_from_slice(ENTRY_PREFIX);
    bytes[ENTRY_PREFIX.len()..].copy_from_slice(&commitment.0);
    bytes
}

/// The tree's leaf for a commitment: `SHA-256(0x00 || entry)`.
pub fn leaf(commitment: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry(commitment)).finalize().into())
}

/// The hash of two neighbours: `SHA-256(0x01 || left || right)`.
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves: the hash of nothing.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// The right edge of a tree: the roots of its whole subtrees, the largest first. It is all that is needed
/// to append leaves and to know the root: at most 64 hashes, whatever the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each bit that is set in `size`, the highest first.
    roots: Vec<Hash>,
}

/// Where the nodes of whole subtrees are kept. Level 0 are the leaves; node `i` of level `l` covers the
/// leaves from `i << l` to `(i + 1) << l`.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// A node. Only asked for where all its leaves are there.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

// === impl Frontier ===

impl Frontier {
    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each whole subtree of the same size on the left takes it in.
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("there is a root for each bit of the size");
            node = parent(&left, &node);
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The root hash (RFC 6962: `MTH`).
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => empty_root(),
            Some(smallest) => roots.fold(*smallest, |right, left| parent(left, &right)),
        }
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::default();
        leaves.into_iter().for_each(|leaf| frontier.push(leaf));
        frontier
    }
}

/// The root over the leaves from `start` to `end`, from kept nodes. `start` is a multiple of the size of the
/// largest subtree in the range, as every range is that the proofs ask for.
fn root_of<N: Nodes>(nodes: &N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let length = end - start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return nodes.node(level as u8, start >> level);
    }
    let left = split(length);
    Ok(parent(&root_of(nodes, start, start + left)?, &root_of(nodes, start + left, end)?))
}

/// The largest power of two smaller than `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

#[cfg(test)]
mod tests;
