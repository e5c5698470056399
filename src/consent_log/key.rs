//! The key that signs the log's checkpoints: made at the first start, readable by its owner only.
//!
//! The file has a line for each key. The first signs and is secret (`PRIVATE+KEY+name+id+base64`); those
//! behind it are the public halves of earlier keys (`name+id+base64`), which older checkpoints still need.
//! Both forms are those that other tools for signed notes take.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    LogError,
    tree::{Note, Signer, Verifier},
};

/// The key file, in the data folder.
pub const KEY_FILE: &str = "consent-log.key";

const SECRET: &str = "PRIVATE+KEY+";

/// The signing key and what older checkpoints are checked with.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) signer: Signer,
    pub(super) verifiers: Vec<Verifier>,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It cannot be read or made.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The first line is no secret key.
    #[error("line 1 is no secret key of the form {SECRET}name+id+base64")]
    Secret,
    /// A later line is no public key.
    #[error("line {0} is no public key of the form name+id+base64")]
    Public(usize),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// Reads the keys of a data folder, or makes the first one. The origin of the log, which is the key's name,
/// is made with it: unique, and nothing about the site.
pub(super) fn open(dir: &Path) -> Result<Keys, LogError> {
    let file = dir.join(KEY_FILE);
    let fault = |source| LogError::Key { file: file.clone(), source };
    match fs::read_to_string(&file) {
        Ok(text) => parse(&text).map_err(fault),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, &file).map_err(fault),
        Err(error) => Err(fault(error.into())),
    }
}

/// The public halves, for who only reads. None where there is no key file: nothing was ever signed here.
pub(super) fn verifiers(dir: &Path) -> Result<Vec<Verifier>, LogError> {
    let file = dir.join(KEY_FILE);
    if !file.exists() {
        return Ok(Vec::new());
    }
    open(dir).map(|keys| keys.verifiers)
}

/// Whether some key of the list signed the note.
pub(super) fn is_signed(verifiers: &[Verifier], note: &Note) -> bool {
    verifiers.iter().any(|verifier| verifier.check(note).is_ok())
}

fn parse(text: &str) -> Result<Keys, KeyFault> {
    let mut lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let secret = lines.next().and_then(|(_, line)| signer(line)).ok_or(KeyFault::Secret)?;
    let mut verifiers = vec![secret.verifier()];
    for (at, line) in lines {
        verifiers.push(Verifier::parse(line).map_err(|_| KeyFault::Public(at + 1))?);
    }
    Ok(Keys { signer: secret, verifiers })
}

fn signer(line: &str) -> Option<Signer> {
    let [name, id, key] = line.strip_prefix(SECRET)?.splitn(3, '+').collect::<Vec<_>>().try_into().ok()?;
    let [1, seed @ ..] = &STANDARD.decode(key).ok()?[..] else { return None };
    let signer = Signer::new(name, seed.try_into().ok()?)?;
    // A key that was mistyped would sign under another id.
    signer.verifier().to_string().starts_with(&format!("{name}+{id}+")).then_some(signer)
}

fn create(dir: &Path, file: &Path) -> Result<Keys, KeyFault> {
    let (signer, line) = fresh()?;
    put(dir, file, &line)?;
    let verifiers = vec![signer.verifier()];
    Ok(Keys { signer, verifiers })
}

/// Puts a new key, and with it a new origin, before those of a key file; the one that signed until now goes on to
/// vouch for older checkpoints. The folder must be the caller's alone. Returns the new public key.
pub(super) fn renew(dir: &Path) -> Result<Verifier, LogError> {
    let file = dir.join(KEY_FILE);
    let fault = |source| LogError::Key { file: file.clone(), source };
    let text = fs::read_to_string(&file).map_err(|error| fault(error.into()))?;
    let old = parse(&text).map_err(fault)?;
    let (signer, line) = fresh().map_err(fault)?;
    let behind: String = old.verifiers.iter().map(|verifier| format!("{verifier}\n")).collect();
    put(dir, &file, &(line + &behind)).map_err(|error| fault(error.into()))?;
    Ok(signer.verifier())
}

/// A key with a name of its own, and its line.
fn fresh() -> Result<(Signer, String), KeyFault> {
    let (mut seed, mut name) = ([0; 32], [0; 8]);
    getrandom::fill(&mut seed)?;
    getrandom::fill(&mut name)?;
    let name = format!("consent-log/{:016x}", u64::from_be_bytes(name));
    let signer = Signer::new(&name, &seed).ok_or(KeyFault::Secret)?;
    let mut secret = vec![1];
    secret.extend(seed);
    let line = format!("{SECRET}{name}+{}+{}\n", signer.verifier().id(), STANDARD.encode(secret));
    Ok((signer, line))
}

/// Whole or not at all, and only then signed with.
fn put(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("key.new");
    let _ = fs::remove_file(&beside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&beside)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&beside, file)?;
    File::open(dir)?.sync_all()
}
