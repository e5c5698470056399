//! Sums over the log: decisions and notices shown, without small counts.

pub(super) mod impressions;
pub(super) mod stats;
pub(super) mod suppress;
