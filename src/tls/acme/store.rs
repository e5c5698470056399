//! What ACME keeps: `acme/<authority>/` in the data folder, one file a name, readable by the gate's
//! user only. A file is written beside the old one, flushed and put in its place.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use url::Url;

use super::super::TlsError;

/// The folder of one authority: accounts and certificates of a test authority never mix with real ones.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// Orders of one name that failed in a row, kept over restarts: a process that is started again and again must
/// not try each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// How many failed since the last success.
    pub(super) failures: u32,
    /// When the last order began, in milliseconds since 1970; 0: never.
    pub(super) last_ms: i64,
}

impl Store {
    /// Makes the folder below `data`, if it is not there.
    pub(super) fn open(data: &Path, directory: &Url) -> Result<Self, TlsError> {
        let folder = data.join("acme").join(folder_name(directory));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| TlsError::Store { file: folder.display().to_string(), source })?;
        Ok(Self { folder })
    }

    /// The account's credentials, as the library writes them.
    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.file("account.json"))
    }

    pub(super) fn put_account(&self, json: &[u8]) -> io::Result<()> {
        self.write("account.json", json)
    }

    /// The authority no longer knows it.
    pub(super) fn forget_account(&self) -> io::Result<()> {
        fs::rename(self.file("account.json"), self.file("account.json.unknown"))
    }

    /// Key and chain of a name, both PEM.
    pub(super) fn certificate(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.file(&format!("{name}.pem")))
    }

    pub(super) fn put_certificate(&self, name: &str, pem: &[u8]) -> io::Result<()> {
        self.write(&format!("{name}.pem"), pem)
    }

    /// A file that cannot be read counts as no attempt.
    pub(super) fn attempts(&self, name: &str) -> Attempts {
        let bytes = read(&self.file(&format!("{name}.attempts.json"))).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn put_attempts(&self, name: &str, attempts: &Attempts) -> io::Result<()> {
        self.write(&format!("{name}.attempts.json"), &serde_json::to_vec(attempts)?)
    }

    /// Where a name's files are, for messages.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.file(&format!(".{name}.new"));
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.file(name))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directory's address as a file name.
fn folder_name(directory: &Url) -> String {
    let address = directory.as_str().trim_start_matches("https://").trim_end_matches('/');
    address.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' }).collect()
}
