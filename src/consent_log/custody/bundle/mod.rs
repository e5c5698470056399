//! Bundles: a folder with the log, or a part of it, that somebody without this program can verify.
//!
//! `README.txt` in it says what is where; `verify.sh` checks it with openssl and coreutils, [`verify`] does the
//! same here. Every leaf is in it by its commitment, whatever part was asked for: a tree has no parts.

mod check;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::consent_log::{
    Filter, LeafKind, LogError, Reader, canonical,
    export::line,
    key,
    reader::Leaf,
    store::{Bounds, Row},
    tiles::TIMESTAMPS,
    tree::Verifier,
};
use crate::vocab::Hash;

pub use check::verify;

/// Leaves read at a time.
const PAGE: u64 = 500;
const SCRIPT: &str = include_str!("verify.sh");
const README: &str = include_str!("README.txt");
/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410, section 4) in DER is this and the key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Leaves of the log.
    pub leaves: u64,
    /// Those whose records are in the bundle.
    pub here: u64,
    /// Those whose records were erased.
    pub erased: u64,
    /// Those whose records are restricted, and so not in the bundle.
    pub restricted: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Time stamps.
    pub timestamps: u64,
}

/// What stands behind a commitment in the list of leaves.
const HERE: &str = "here";
const ERASED: &str = "erased";
const RESTRICTED: &str = "restricted";
const LEFT_OUT: &str = "left-out";

impl Reader {
    /// Writes a bundle into a folder, which is made and must be empty or not there; it is there under its name
    /// only once it is complete. `filter` narrows decisions by time and site; notices, policies and acts are all
    /// in it. `progress` is told how many leaves of how many are done.
    pub fn bundle(&self, folder: &Path, filter: &Filter, progress: &mut dyn FnMut(u64, u64)) -> Result<Bundled, LogError> {
        let failed = |source| LogError::Bundle { path: folder.to_owned(), source };
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "something is in it; name an empty folder")));
        }
        let mut part = folder.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let _ = fs::remove_dir_all(&part);
        for below in ["", "keys", "notices", "policies", "timestamps"] {
            DirBuilder::new().recursive(true).mode(0o700).create(part.join(below)).map_err(failed)?;
        }
        let written = self.bundle_into(&part, filter, progress).map_err(|error| match error {
            LogError::Output(source) => failed(source),
            other => other,
        });
        let written = written.inspect_err(|_| drop(fs::remove_dir_all(&part)))?;
        fs::rename(&part, folder).map_err(failed)?;
        Ok(written)
    }

    fn bundle_into(&self, part: &Path, filter: &Filter, progress: &mut dyn FnMut(u64, u64)) -> Result<Bundled, LogError> {
        // Up to the newest checkpoint as of now: what is recorded meanwhile is behind it.
        let unsigned = || LogError::NotFound { wanted: "checkpoint".to_owned(), dir: self.dir.clone() };
        let end = self.newest_checkpoint()?.ok_or_else(unsigned)?.size;
        let mut told = Bundled { leaves: end, here: 0, erased: 0, restricted: 0, checkpoints: 0, timestamps: 0 };
        let mut leaves = file(part, "leaves")?;
        let mut records = file(part, "records.jsonl")?;
        let mut start = 0;
        while start < end {
            let next = (start + PAGE).min(end);
            let rows = self.view.page(start..next, &Bounds::default())?;
            let mut expected = start;
            for row in rows {
                if row.index != expected {
                    return Err(self.view.gap(expected));
                }
                expected += 1;
                self.bundle_row(part, row, filter, &mut leaves, &mut records, &mut told)?;
            }
            if expected != next {
                return Err(self.view.gap(expected));
            }
            start = next;
            progress(start, end);
        }
        close(leaves)?;
        close(records)?;
        told.checkpoints = self.bundle_checkpoints(part, end)?;
        told.timestamps = self.bundle_timestamps(part, end)?;
        bundle_keys(part, &key::verifiers(&self.dir)?)?;
        let whole = told.here + told.erased + told.restricted == told.leaves;
        for (name, text) in [("scope", if whole { "all\n" } else { "part\n" }), ("README.txt", README), ("verify.sh", SCRIPT)] {
            write(part, name, text.as_bytes())?;
        }
        Ok(told)
    }

    fn bundle_row(
        &self,
        part: &Path,
        row: Row,
        filter: &Filter,
        leaves: &mut dyn Write,
        records: &mut dyn Write,
        told: &mut Bundled,
    ) -> Result<(), LogError> {
        let (index, commitment) = (row.index, row.commitment);
        let leaf = self.checked(row)?;
        let state = if leaf.erased.is_some() {
            told.erased += 1;
            ERASED
        } else if leaf.restricted.is_some() {
            told.restricted += 1;
            RESTRICTED
        } else if wants(filter, &leaf) {
            told.here += 1;
            line(&leaf, None, records)?;
            self.bundle_named(part, &leaf)?;
            HERE
        } else {
            LEFT_OUT
        };
        writeln!(leaves, "{index} {commitment} {state}").map_err(LogError::Output)
    }

    /// A notice or a policy beside its leaf, by its address.
    fn bundle_named(&self, part: &Path, leaf: &Leaf) -> Result<(), LogError> {
        match leaf.kind {
            LeafKind::Notice => {
                let address = self.member(leaf, "notice")?;
                write(part, &format!("notices/{address}.html"), self.notice_html(leaf)?.as_bytes())?;
                let snapshot = canonical(&self.value(leaf)?["snapshot"])?;
                write(part, &format!("notices/{address}.json"), snapshot.as_bytes())
            }
            LeafKind::Policy => {
                let revision = self.member(leaf, "policy")?;
                let value = self.value(leaf)?;
                let text = value["canonical"].as_str().unwrap_or_default();
                write(part, &format!("policies/{revision}.json"), text.as_bytes())
            }
            _ => Ok(()),
        }
    }

    fn bundle_checkpoints(&self, part: &Path, end: u64) -> Result<u64, LogError> {
        let mut out = file(part, "checkpoints")?;
        let (mut after, mut count) = (0, 0);
        while after < end {
            let rows = self.view.checkpoints(after, PAGE as usize)?;
            let Some(last) = rows.last() else { break };
            after = last.size;
            for row in rows.iter().filter(|row| row.size <= end) {
                out.write_all(row.note.as_bytes()).map_err(LogError::Output)?;
                count += 1;
            }
        }
        close(out)?;
        Ok(count)
    }

    fn bundle_timestamps(&self, part: &Path, end: u64) -> Result<u64, LogError> {
        let mut count = 0;
        let Ok(entries) = fs::read_dir(self.dir.join(TIMESTAMPS)) else { return Ok(0) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let size = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let Some(size) = size.filter(|size| *size <= end && path.extension().is_some_and(|ending| ending == "tsr")) {
                write(part, &format!("timestamps/{size}.tsr"), &fs::read(&path).map_err(LogError::Output)?)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// As the columns of the log are narrowed, for decisions only.
fn wants(filter: &Filter, leaf: &Leaf) -> bool {
    leaf.record.as_ref().is_none_or(|record| {
        filter.from.is_none_or(|from| record.time >= from)
            && filter.to.is_none_or(|to| record.time < to)
            && filter.site.as_ref().is_none_or(|site| record.site == *site)
    })
}

fn bundle_keys(part: &Path, verifiers: &[Verifier]) -> Result<(), LogError> {
    let lines: String = verifiers.iter().map(|verifier| format!("{verifier}\n")).collect();
    write(part, "log.pub", lines.as_bytes())?;
    verifiers.iter().try_for_each(|verifier| write(part, &format!("keys/{}.pem", verifier.id()), pem(verifier).as_bytes()))
}

/// The public key as openssl takes it.
fn pem(verifier: &Verifier) -> String {
    let der = [&SPKI[..], verifier.key()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// The commitment's line in the list of leaves.
fn leaf_line(line: &str, index: u64) -> Option<(Hash, &str)> {
    let (number, rest) = line.split_once(' ')?;
    let (commitment, state) = rest.split_once(' ')?;
    let hash = Hash::parse(commitment).filter(|hash| hash.to_string() == commitment)?;
    (number == index.to_string() && [HERE, ERASED, RESTRICTED, LEFT_OUT].contains(&state)).then_some((hash, state))
}

fn file(part: &Path, name: &str) -> Result<BufWriter<File>, LogError> {
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part.join(name));
    made.map(BufWriter::new).map_err(LogError::Output)
}

fn close(out: BufWriter<File>) -> Result<(), LogError> {
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(LogError::Output)
}

fn write(part: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let mut out = file(part, name)?;
    out.write_all(bytes).map_err(LogError::Output)?;
    close(out)
}

#[cfg(test)]
mod tests;
