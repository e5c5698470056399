//! The consent log: the append-only sequence of consent records, notices and policy revisions.
//!
//! - [`Record`] (pure) is the proof of one decision; its canonical bytes are what is hashed and kept.
//! - [`ConsentLog`] is the writer: one thread, one flush for many decisions, an answer only once it
//!   is on the disk. It alone makes a [`Recorded`], and without one no grant reaches a cookie.
//! - [`Reader`] reads beside a running writer or without one, in short reads.
//! - [`Order`]s are what an operator has done to the log: [`order()`] carries one out, through the gate that runs
//!   or without one, and each leaves an [`Act`] in the log.
//! - `rights/` is what the people in it may ask for, `custody/` the log in the hands of others, `figures/` sums over it.
//! - `store/` keeps the leaves; nothing else knows SQL.
//!
//! Leaves have contiguous indices from 0, and each commits to its bytes with a salt. [`tree`] is the
//! Merkle tree over the commitments. Not here: what the visitor's cookie holds, and what a decision may contain.

mod article30;
mod canonical;
mod custody;
mod error;
mod export;
mod figures;
mod folder;
mod key;
mod leaf;
mod notices;
mod reader;
mod record;
mod rights;
mod room;
mod store;
mod tiles;
pub mod tree;
mod verify;
mod writer;

use custody::{backup, bundle, witness};
use figures::{impressions, stats, suppress};
use rights::{access, act, certificate, control, deeds, journal, order};

pub use access::{HeldReceipt, InForce, NoVisitor, Status, Visitor};
pub use act::{Act, ActKind, Deed, Indices, NoIndices, On, Reason};
pub use backup::{BackedUp, Restore, Restored, back_up, restore, rotate_key};
pub use bundle::{Bundled, verify as verify_bundle};
pub use canonical::{NotCanonical, canonical};
pub use certificate::{Certificate, NoCertificate};
pub use control::{Control, SOCKET, order};
pub use custody::timestamp;
pub use error::{Damage, LogError};
pub use export::Format;
pub use impressions::{Impression, Shown as ShownCount};
pub use journal::ERASURES;
pub use key::{KEY_FILE, KeyFault};
pub use leaf::{LeafKind, NoticeLeaf, PolicyLeaf, commitment};
pub use notices::NoticeSummary;
pub use order::{Done, Keep, Order, Placed, What, Whose, Why};
pub use reader::{Filter, Found, Leaf, Reader, Shown, ShownNotice};
pub use record::{BrowserClass, Kind, Layer, Method, Record, RecordFault, record_id};
pub use stats::{Counts, Group, Published, Stats};
pub use store::{FILE, StoreError, Synchronous};
pub use tiles::TILES;
pub use verify::{Finding, Proof, Verified};
pub use witness::{NotPushed, Pushed, Pushes, Way, Witness, last_note};
pub use writer::{ConsentLog, Health, Options, Recorded};

#[cfg(test)]
pub(crate) mod tests;
