//! Checks a bundle as its script does, and what the script leaves to a program that reads JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{ERASED, HERE, LEFT_OUT, RESTRICTED, leaf_line, pem};
use crate::{
    consent_log::{
        Act, Damage, Deed, Finding, LeafKind, LogError, Record, Verified, canonical, commitment, timestamp,
        tree::{self, Checkpoint, Frontier, Note, Verifier},
        verify::FINDINGS_MAX,
    },
    vocab::Hash,
};

/// The lines of a checkpoint in the list of them: origin, size, root, nothing, signature.
const NOTE_LINES: usize = 5;

/// Checks a bundle. `held` is a checkpoint from outside that must be one of the log's past; `progress` is told how
/// many leaves of how many are done. What is wrong is in the result; an error is what kept the check from being
/// made.
pub fn verify(dir: &Path, held: Option<&str>, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, LogError> {
    let mut check = Check { dir: dir.to_owned(), ..Check::default() };
    check.keys()?;
    let leaves = check.leaves()?;
    check.records(&leaves, progress)?;
    check.files();
    check.tree(&leaves, held)?;
    check.timestamps();
    check.result.findings.sort_by_key(|finding| finding.index);
    check.result.findings.truncate(FINDINGS_MAX);
    Ok(check.result)
}

#[derive(Default)]
struct Check {
    dir: PathBuf,
    verifiers: Vec<Verifier>,
    /// Notes by the size that they are over.
    notes: BTreeMap<u64, String>,
    notices: BTreeSet<Hash>,
    policies: BTreeSet<Hash>,
    /// Files that some leaf stands for.
    expected: BTreeSet<String>,
    /// Leaves that an act says were erased.
    erased: BTreeSet<u64>,
    /// Leaves that acts say are restricted now.
    restricted: BTreeSet<u64>,
    seen: BTreeSet<u64>,
    ids: BTreeSet<uuid::Uuid>,
    result: Verified,
}

impl Check {
    fn found(&mut self, index: u64, what: impl Into<String>) {
        let finding = Finding { index, what: what.into() };
        if !self.result.findings.contains(&finding) {
            self.result.findings.push(finding);
        }
    }

    fn text(&mut self, name: &str) -> Result<String, LogError> {
        let path = self.dir.join(name);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(source) => return Err(LogError::Bundle { path, source }),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            self.found(0, format!("{name} ends within a line"));
        }
        Ok(text)
    }

    fn keys(&mut self) -> Result<(), LogError> {
        let text = self.text("log.pub")?;
        let mut files = BTreeSet::new();
        for (at, line) in text.lines().enumerate() {
            match Verifier::parse(line).ok().filter(|verifier| verifier.to_string() == line) {
                Some(verifier) => {
                    let name = format!("{}.pem", verifier.id());
                    if fs::read_to_string(self.dir.join("keys").join(&name)).ok() != Some(pem(&verifier)) {
                        self.found(0, format!("keys/{name} is not the key of log.pub"));
                    }
                    files.insert(name);
                    self.verifiers.push(verifier);
                }
                None => self.found(0, format!("line {} of log.pub is no key: name+id+base64", at + 1)),
            }
        }
        for name in self.names("keys") {
            if !files.contains(&name) {
                self.found(0, format!("keys/{name} is no key of log.pub"));
            }
        }
        Ok(())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn leaves(&mut self) -> Result<Vec<(Hash, String)>, LogError> {
        let scope = self.text("scope")?;
        if !["all\n", "part\n"].contains(&scope.as_str()) {
            self.found(0, "the file scope says neither all nor part");
        }
        let text = self.text("leaves")?;
        let mut leaves = Vec::new();
        for (index, line) in (0..).zip(text.lines()) {
            let (commitment, state) = match leaf_line(line, index) {
                Some((commitment, state)) => (commitment, state.to_owned()),
                None => {
                    self.found(index, "its line in leaves is not: index, commitment, here or erased or restricted or left-out");
                    (Hash([0; 32]), String::new())
                }
            };
            if state == LEFT_OUT && scope == "all\n" {
                self.found(index, "its record is left out of a bundle that says it has all");
            }
            leaves.push((commitment, state));
        }
        self.result.leaves = leaves.len() as u64;
        Ok(leaves)
    }

    fn records(&mut self, leaves: &[(Hash, String)], progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        let path = self.dir.join("records.jsonl");
        let failed = |source| LogError::Bundle { path: path.clone(), source };
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        let (mut line, mut last) = (Vec::new(), None);
        while file.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            let next = last.map_or(0, |last| last + 1);
            let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            match text.and_then(Line::parse) {
                None => self.found(next, "a line of records.jsonl is not index, kind, leaf, salt and record"),
                Some(read) if read.index < next => {
                    self.found(read.index, "its line in records.jsonl stands behind a later one, or twice");
                }
                Some(read) => {
                    last = Some(read.index);
                    match leaves.get(read.index as usize) {
                        Some((commitment, state)) => self.record(&read, commitment, state),
                        None => self.found(read.index, "it is no leaf of this log"),
                    }
                    progress(read.index + 1, leaves.len() as u64);
                }
            }
            line.clear();
        }
        let all = leaves.iter().all(|(_, state)| state == HERE);
        for (index, (_, state)) in (0..).zip(leaves) {
            let (here, named) = (self.seen.contains(&index), self.erased.contains(&index));
            if state == HERE && !here {
                self.found(index, "its record is missing");
            }
            if state == ERASED && !named {
                self.found(index, "its record is missing and no act says that it was erased");
            }
            if state == RESTRICTED && !self.restricted.contains(&index) {
                self.found(index, "its record is kept back and no act says that it is restricted");
            }
            if state != ERASED && named {
                self.found(index, "an act says that its record was erased, and the leaf says that it was not");
            }
        }
        if !all {
            // A withdrawal may cite what is not in the bundle.
            self.result.findings.retain(|finding| !finding.what.starts_with(PREV));
        }
        Ok(())
    }

    fn record(&mut self, line: &Line, leaf: &Hash, state: &str) {
        let index = line.index;
        self.seen.insert(index);
        self.result.records += 1;
        if state != HERE {
            self.found(index, format!("its record is here, and the leaf says {state}"));
        }
        if *leaf != line.leaf {
            self.found(index, "its record names another leaf");
        }
        if commitment(&line.salt, line.bytes.as_bytes()) != *leaf {
            self.found(index, Damage::Commitment.to_string());
        }
        let value: Value = serde_json::from_str(&line.bytes).unwrap_or_default();
        if value["v"] != version(line.kind) {
            return self.found(index, "its kind is not that of its record");
        }
        match line.kind {
            LeafKind::Decision => self.decision(index, &line.bytes),
            LeafKind::Notice => self.notice(index, &value),
            LeafKind::Policy => self.policy(index, &value),
            LeafKind::Act => self.act(index, &line.bytes),
        }
    }

    fn act(&mut self, index: u64, bytes: &str) {
        let act = match Act::parse(bytes.as_bytes()) {
            Ok(act) => act,
            Err(fault) => return self.found(index, Damage::Record(fault).to_string()),
        };
        let Some(on) = act.on() else { return };
        if on.indices.last().is_some_and(|last| last >= index) {
            return self.found(index, "the act names records that do not stand before it");
        }
        match act.deed {
            Deed::Restrict(_) => self.restricted.extend(on.indices.iter()),
            Deed::Unrestrict(_) => self.restricted.retain(|index| !on.indices.contains(*index)),
            _ => self.erased.extend(on.indices.iter()),
        }
    }

    fn decision(&mut self, index: u64, bytes: &str) {
        let record = match Record::parse(bytes.as_bytes()) {
            Ok(record) => record,
            Err(fault) => return self.found(index, Damage::Record(fault).to_string()),
        };
        if !self.notices.contains(&record.notice) {
            self.found(index, format!("the notice {} that it cites does not stand before it", record.notice));
        }
        if !self.policies.contains(&record.policy.0) {
            self.found(index, format!("the policy {} that it cites does not stand before it", record.policy));
        }
        if let Some(prev) = record.prev.filter(|prev| !self.ids.contains(prev)) {
            self.found(index, format!("{PREV} {prev} that it cites does not stand before it"));
        }
        self.ids.insert(record.id);
    }

    fn notice(&mut self, index: u64, value: &Value) {
        let (Some(address), Some(html)) = (hash(value, "notice"), hash(value, "html_sha256")) else {
            return self.found(index, "the notice has no address");
        };
        let json = canonical(&value["snapshot"]).map(|text| Hash::of(text.as_bytes())).ok();
        for (name, wanted, what) in [
            (format!("notices/{address}.html"), Some(html), "the notice that was shown"),
            (format!("notices/{address}.json"), json, "the notice in the log"),
        ] {
            if wanted.is_none() || self.digest(&name) != wanted {
                self.found(index, format!("{name} is not {what}"));
            }
            self.expected.insert(name);
        }
        if address != html && Some(address) != json {
            self.found(index, format!("the notice {address} is not addressed by what it is"));
        }
        self.notices.insert(address);
    }

    fn policy(&mut self, index: u64, value: &Value) {
        let Some(revision) = hash(value, "policy") else { return self.found(index, "the policy has no address") };
        let name = format!("policies/{revision}.json");
        let inside = value["canonical"].as_str().map(|text| Hash::of(text.as_bytes()));
        if self.digest(&name) != Some(revision) || inside != Some(revision) {
            self.found(index, format!("{name} is not the policy that was in force"));
        }
        self.expected.insert(name);
        self.policies.insert(revision);
    }

    fn digest(&self, name: &str) -> Option<Hash> {
        fs::read(self.dir.join(name)).ok().map(|bytes| Hash::of(&bytes))
    }

    fn files(&mut self) {
        for folder in ["notices", "policies"] {
            for name in self.names(folder) {
                let name = format!("{folder}/{name}");
                if !self.expected.contains(&name) {
                    self.found(0, format!("{name}: no leaf stands for it"));
                }
            }
        }
    }

    fn tree(&mut self, leaves: &[(Hash, String)], held: Option<&str>) -> Result<(), LogError> {
        let mut due = self.checkpoints()?;
        let size = leaves.len() as u64;
        if let Some(note) = held {
            match self.signed(note) {
                Some((checkpoint, _)) => due.push(("given", checkpoint)),
                None => self.found(0, "the given checkpoint is not signed with a key of log.pub"),
            }
        }
        due.sort_by_key(|(_, checkpoint)| checkpoint.size);
        let mut due = due.into_iter().peekable();
        let mut tree = Frontier::default();
        for (commitment, _) in leaves {
            tree.push(tree::leaf(commitment));
            while let Some((which, checkpoint)) = due.next_if(|(_, checkpoint)| checkpoint.size <= tree.size()) {
                if checkpoint.size != tree.size() || checkpoint.root != tree.root() {
                    let size = checkpoint.size;
                    let what =
                        format!("the {which} checkpoint of {size} leaves has another root: something before it was changed");
                    self.found(size.saturating_sub(1), what);
                }
            }
        }
        self.result.root = (size > 0).then(|| tree.root());
        for (which, checkpoint) in due {
            let more = checkpoint.size;
            self.found(size, format!("the {which} checkpoint is over {more} leaves and {size} are here: the end was cut off"));
        }
        let newest = self.notes.keys().next_back().copied().unwrap_or(0);
        if newest < size {
            self.found(newest, "there is no checkpoint over this leaf and those behind it");
        }
        Ok(())
    }

    fn checkpoints(&mut self) -> Result<Vec<(&'static str, Checkpoint)>, LogError> {
        let text = self.text("checkpoints")?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (mut all, mut last) = (Vec::new(), 0);
        for chunk in lines.chunks(NOTE_LINES) {
            let note = chunk.concat();
            match self.signed(&note) {
                None => self.found(last, format!("the checkpoint behind that of {last} leaves is not what was signed")),
                Some((checkpoint, _)) if checkpoint.size <= last => {
                    self.found(checkpoint.size.saturating_sub(1), "its checkpoint stands behind a later one, or twice");
                }
                Some((checkpoint, key)) => {
                    last = checkpoint.size;
                    self.result.checkpoints += 1;
                    self.result.key = Some(key);
                    self.notes.insert(last, note);
                    all.push(("kept", checkpoint));
                }
            }
        }
        Ok(all)
    }

    /// A checkpoint that a key of the bundle signed under its own name.
    fn signed(&self, text: &str) -> Option<(Checkpoint, String)> {
        let note = Note::parse(text).ok()?;
        let verifier = self.verifiers.iter().find(|verifier| verifier.check(&note).is_ok())?;
        let checkpoint = Checkpoint::parse(&note.text).ok()?;
        (checkpoint.origin == verifier.name() && checkpoint.size > 0).then(|| (checkpoint, verifier.to_string()))
    }

    fn timestamps(&mut self) {
        for name in self.names("timestamps") {
            let size = name.strip_suffix(".tsr").and_then(|stem| stem.parse::<u64>().ok());
            let note = size.and_then(|size| self.notes.get(&size)).cloned();
            let index = size.unwrap_or(0).saturating_sub(1);
            let token = fs::read(self.dir.join("timestamps").join(&name)).unwrap_or_default();
            match (note, timestamp::read(&token)) {
                (None, _) => self.found(index, format!("timestamps/{name} is of no checkpoint that is here")),
                (_, Err(fault)) => self.found(index, format!("timestamps/{name} is no time stamp: {fault}")),
                (Some(note), Ok(stamp)) if stamp.imprint != Hash::of(note.as_bytes()) => {
                    self.found(index, format!("timestamps/{name} is not over that checkpoint"));
                }
                _ => {}
            }
        }
    }
}

/// How a finding about what a withdrawal cites begins.
const PREV: &str = "the record";

fn hash(value: &Value, name: &str) -> Option<Hash> {
    value[name].as_str().and_then(Hash::parse)
}

fn version(kind: LeafKind) -> &'static str {
    match kind {
        LeafKind::Decision => "consent-record/1",
        LeafKind::Notice => "consent-notice-leaf/1",
        LeafKind::Policy => "consent-policy-leaf/1",
        LeafKind::Act => "consent-act/1",
    }
}

/// One line of `records.jsonl`.
struct Line {
    index: u64,
    kind: LeafKind,
    leaf: Hash,
    salt: [u8; 32],
    bytes: String,
}

impl Line {
    /// In the one form that it is written in: what is before the record is not committed to.
    fn parse(line: &str) -> Option<Self> {
        let (number, rest) = line.strip_prefix("{\"_idx\":")?.split_once(",\"_kind\":\"")?;
        let (kind, rest) = rest.split_once("\",\"_leaf\":\"")?;
        let (leaf, rest) = rest.split_once("\",\"_salt\":\"")?;
        let (salt, members) = rest.split_once("\",")?;
        let index = number.parse().ok().filter(|index: &u64| index.to_string() == number)?;
        let hex = |text: &str| Hash::parse(text).filter(|hash| hash.to_string() == text);
        let bytes = format!("{{{members}");
        Some(Self { index, kind: LeafKind::parse(kind)?, leaf: hex(leaf)?, salt: hex(salt)?.0, bytes })
    }
}
