//! Durability: what the consent log acknowledged is there after a crash, and the flush came first.
//!
//! `kill -9` alone proves little, since the page cache survives a process. So the disk is taken away as a power cut
//! takes it (a log that does not flush loses records then), system calls are watched (the flush of the log comes before
//! the answer; with flushing off the same check fails) and made to fail one by one (after the first failure nothing is
//! acknowledged any more).
//! Needs a C compiler, strace, prlimit and mkfs.ext4, and root for disks of its own; `tests/run` installs what is missing.

mod beside;
mod child;
mod client;
mod clock;
mod disk;
mod ending;
mod failing;
mod gate;
mod histories;
mod killed;
mod mount;
mod power;
mod shim;
mod traced;
