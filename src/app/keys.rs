//! The signing keys' file: made at the first start, readable by its owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::AppError;
use crate::consent::Keys;

const FILE: &str = "cookie-keys";

/// Reads the keys of a data folder, or makes the first one.
pub(super) fn open(data: &Path) -> Result<Keys, AppError> {
    let file = data.join(FILE);
    let fault = |source| AppError::Keys { file: file.clone(), source };
    match fs::read_to_string(&file) {
        Ok(text) => Keys::parse(&text).map_err(|error| fault(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&file).map_err(fault),
        Err(error) => Err(fault(error.into())),
    }
}

fn create(file: &Path) -> Result<Keys, Box<dyn std::error::Error + Send + Sync>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let keys = Keys::new(secret);
    // Whole or not at all: a key file cut by a crash would sign with nothing, so it is written
    // beside and renamed, and both file and folder are flushed.
    let beside = file.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    out.write_all(keys.to_text().as_bytes())?;
    out.sync_all()?;
    fs::rename(&beside, file)?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(keys)
}
