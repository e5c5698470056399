//! The consent log: the append-only sequence of consent records, notices and policy revisions.
//!
//! - [`Record`] (pure) is the proof of one decision; its canonical bytes are what is hashed and kept.
//! - [`ConsentLog`] is the writer: one thread, one flush for many decisions, an answer only once it
//!   is on the disk. It alone makes a [`Recorded`], and without one no grant reaches a cookie.
//! - [`Reader`] reads beside a running writer or without one, in short reads.
//! - `store/` keeps the leaves; nothing else knows SQL.
//!
//! Leaves have contiguous indices from 0, and each commits to its bytes with a salt. [`tree`] is the
//! Merkle tree over the commitments. Not here: what the visitor's cookie holds, and what a decision may contain.

mod canonical;
mod error;
mod export;
mod folder;
mod key;
mod leaf;
mod notices;
mod reader;
mod record;
mod stats;
mod store;
mod tiles;
pub mod tree;
mod verify;
mod writer;

pub use canonical::{NotCanonical, canonical};
pub use error::{Damage, LogError};
pub use export::Format;
pub use key::{KEY_FILE, KeyFault};
pub use leaf::{LeafKind, NoticeLeaf, PolicyLeaf, commitment};
pub use notices::NoticeSummary;
pub use reader::{Filter, Found, Leaf, Reader, Shown, ShownNotice};
pub use record::{BrowserClass, Kind, Layer, Method, Record, RecordFault, record_id};
pub use stats::{Counts, Group, Stats};
pub use store::{FILE, StoreError, Synchronous};
pub use tiles::TILES;
pub use verify::{Finding, Proof, Verified};
pub use writer::{ConsentLog, Health, Options, Recorded};

#[cfg(test)]
pub(crate) mod tests;
