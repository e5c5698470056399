//! The way of a request: accept, read, decide, forward, filter, stream. [`pipeline`] is the one
//! place where branches are; the other files are its straight steps.

mod answers;
mod asked;
mod closing;
mod contain;
mod heads;
mod hop;
pub mod hosts;
mod interim;
pub mod listen;
mod methods;
mod mime;
mod observe;
mod page;
mod pages;
mod paths;
mod peek;
pub mod pipeline;
mod plan;
pub mod progress;
pub mod secure;
mod silence;
mod tunnel;
pub mod upstream;
mod worker;
