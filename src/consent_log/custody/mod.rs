//! The log in the hands of others: bundles for auditors, checkpoints pushed to a second party, time stamps, backups.

pub(super) mod backup;
pub(super) mod bundle;
pub mod timestamp;
pub(super) mod witness;
