//! `consentry log erase | restrict | retain`, and how reading is put on record.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::Streams;
use crate::{
    consent_log::{self, Done, LogError, Order, What},
    wire::Causes,
};

/// Where orders are given, and by whom.
pub(super) struct Desk<'a> {
    /// The data folder.
    pub(super) dir: &'a Path,
    /// The operator as typed.
    pub(super) operator: Option<&'a str>,
}

impl Desk<'_> {
    /// Puts on record that a command gives records away: their number where it is known before the first is given.
    /// To be called before anything is printed. A copy that nothing can be added to is read all the same, with a
    /// remark.
    pub(super) fn record_read(&self, command: &str, rows: Option<u64>, streams: &mut Streams<'_>) {
        let what = What::Read { command: command.to_owned(), rows };
        if let Err(error) = self.order(what, false) {
            // Nothing hangs on the remark.
            let _ = writeln!(streams.err, "consentry: that this was read is not put on record: {}", Causes(&error));
        }
    }

    /// Has an order carried out by the gate that runs on the folder, or without one.
    pub(super) fn order(&self, what: What, dry_run: bool) -> Result<Done, LogError> {
        let operator = self.operator.map_or_else(user, str::to_owned);
        consent_log::order(self.dir, &Order { operator, what, dry_run })
    }
}

/// The name of this system's user; the one who became root by sudo rather than root.
fn user() -> String {
    let id = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    if let Some(name) = std::env::var("SUDO_USER").ok().filter(|_| id == 0) {
        return name;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {id}"))
}
