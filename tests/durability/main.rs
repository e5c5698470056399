//! Durability: what the consent log acknowledged is there after a crash, and the flush came first.
//!
//! `kill -9` alone proves little, since the page cache survives a process. So system calls are
//! watched (the flush of the log comes before the answer; with flushing off the same check fails)
//! and made to fail (after the first failure nothing is acknowledged any more).
//! Needs strace and prlimit; `tests/run` installs them.

mod child;
mod client;
mod failing;
mod gate;
mod killed;
mod mount;
mod power;
mod shim;
mod traced;
