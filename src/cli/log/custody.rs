//! `consentry log backup`, `restore` and `rotate-key`.

use std::path::Path;

use super::{
    LogCliError, Streams,
    args::{Backup, Restore},
    proofs::text,
    rights::{Desk, user},
    table::table,
};
use crate::consent_log::{self, back_up, rotate_key as rotate};

pub(super) fn backup(args: &Backup, desk: &Desk<'_>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    desk.record_read("backup", None, streams);
    let told = back_up(desk.dir, &args.folder)?;
    let rows = [("leaves", told.leaves), ("files", told.files), ("bytes", told.bytes)];
    table(streams.out, &[], &rows.map(|(name, number)| vec![name.to_owned(), number.to_string()]))?;
    let folder = args.folder.display();
    writeln!(streams.out, "\nWritten to {folder}, keys included: keep it as closed as the data folder.")?;
    let journal = desk.dir.join(consent_log::ERASURES);
    writeln!(streams.out, "Keep the journal of erasures elsewhere, and newer than every backup: {}", journal.display())?;
    Ok(())
}

pub(super) fn restore(args: &Restore, data: &Path, operator: Option<&str>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let how = consent_log::Restore {
        operator: operator.map_or_else(user, str::to_owned),
        erasures: args.erasures.clone(),
        checkpoint: args.from_checkpoint.as_ref().map(text).transpose()?,
        accept_loss: args.accept_loss,
    };
    let told = consent_log::restore(&args.folder, data, &how)?;
    let out = &mut *streams.out;
    writeln!(out, "{} entries were checked and put into {}.", told.leaves, data.display())?;
    if told.lost > 0 {
        writeln!(out, "{} entries that the log had are lost; an act in it says so.", told.lost)?;
    }
    if let Some(aside) = &told.aside {
        writeln!(out, "What was published of the log before was moved to {}.", aside.display())?;
    }
    if let Some(key) = &told.key {
        writeln!(out, "Nothing shows that no entry is missing, so the log goes on under another name and a new key:\n{key}")?;
        writeln!(out, "Tell those who hold checkpoints. Older checkpoints and receipts stay valid with the key before.")?;
    }
    Ok(())
}

pub(super) fn rotate_key(data: &Path, operator: Option<&str>, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let key = rotate(data, &operator.map_or_else(user, str::to_owned))?;
    writeln!(streams.out, "{key}")?;
    writeln!(
        streams.out,
        "\nThis key signs from now on, and an act in the log names it. The keys before it stay in the file, without their secret halves, and go on to vouch for what they signed. Tell those who hold checkpoints, and make a backup."
    )?;
    Ok(())
}
