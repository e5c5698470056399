//! The rights of the people in the log (GDPR articles 15 to 18) and retention: orders of the operator, carried out
//! by the writer, each of which leaves an act.

pub(super) mod access;
pub(super) mod act;
pub(super) mod certificate;
pub(super) mod control;
pub(super) mod deeds;
pub(super) mod journal;
pub(super) mod order;
