//! Consent: plain data in, plain data out. What a visitor decided, how the answer comes in, how it
//! is kept in a signed cookie, and what a notice token says.
//!
//! No I/O and no clock here. [`cookie::encode`] is called by [`crate::site`] only, which does so with
//! a proof of a durable record in hand.

pub mod cookie;
pub mod decision;
mod keys;
mod place;
pub mod token;

pub use cookie::VisitorState;
pub use decision::{Choice, Decision, FieldFault, Offered, Problem, Rejected};
pub use keys::{KeyFault, Keys};
pub use place::safe_return;
