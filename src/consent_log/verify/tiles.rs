//! The published tiles against the tree, while it grows.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    consent_log::{
        tiles::TILES,
        tree::{
            Frontier,
            tile::{self, Tile, WIDTH},
        },
    },
    vocab::Hash,
};

/// Compares the published tiles with the tree while it grows: a row of hashes a level.
#[derive(Default)]
pub(super) struct TileCheck {
    folder: PathBuf,
    /// Leaves that the published checkpoint is over.
    size: u64,
    leaves: u64,
    levels: Vec<(u64, Vec<Hash>)>,
    entries: Vec<Hash>,
    /// How many were compared.
    pub(super) read: u64,
}

impl TileCheck {
    pub(super) fn new(dir: &Path, size: u64) -> Self {
        Self { folder: dir.join(TILES), size, ..Self::default() }
    }

    pub(super) fn push(&mut self, commitment: Hash, leaf: Hash) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.leaves == self.size {
            return wrong;
        }
        self.leaves += 1;
        self.entries.push(commitment);
        if self.entries.len() as u64 == WIDTH {
            let index = self.leaves / WIDTH - 1;
            wrong.extend(self.compare(&tile::entries_path(index, WIDTH as u16), &tile::bundle(&self.entries)));
            self.entries.clear();
        }
        let mut node = Some(leaf);
        let mut level = 0;
        while let Some(hash) = node.take() {
            if self.levels.len() == level {
                self.levels.push((0, Vec::new()));
            }
            let (index, row) = &mut self.levels[level];
            row.push(hash);
            if row.len() as u64 == WIDTH {
                let tile = Tile { level: level as u8, index: *index, width: WIDTH as u16 };
                let full = std::mem::take(row);
                *index += 1;
                wrong.extend(self.compare(&tile.path(), &bytes(&full)));
                node = Some(full.into_iter().collect::<Frontier>().root());
                level += 1;
            }
        }
        wrong
    }

    /// The partial tiles at the right edge, those of earlier checkpoints that are still there included.
    pub(super) fn finish(&mut self) -> Vec<(u64, String)> {
        let mut wrong = Vec::new();
        if self.leaves < self.size {
            return wrong;
        }
        let index = self.leaves / WIDTH;
        let mut edges: Vec<(u64, u16, String, Vec<u8>)> = Vec::new();
        if !self.entries.is_empty() {
            let width = self.entries.len() as u16;
            edges.push((index * WIDTH, width, tile::entries_path(index, width), tile::bundle(&self.entries)));
        }
        for (level, (index, row)) in self.levels.iter().enumerate().filter(|(_, (_, row))| !row.is_empty()) {
            let tile = Tile { level: level as u8, index: *index, width: row.len() as u16 };
            edges.push((index << (8 * (level + 1)).min(63), tile.width, tile.path(), bytes(row)));
        }
        for (first, width, path, whole) in edges {
            wrong.extend(self.compare(&path, &whole).map(|what| (first, what)));
            let Some((folder, _)) = path.rsplit_once('/') else { continue };
            for narrower in 1..width {
                let path = format!("{folder}/{narrower}");
                if self.folder.join(&path).exists() {
                    let part = whole.len() / usize::from(width) * usize::from(narrower);
                    wrong.extend(self.compare(&path, &whole[..part]).map(|what| (first, what)));
                }
            }
        }
        wrong
    }

    fn compare(&mut self, path: &str, expected: &[u8]) -> Option<String> {
        self.read += 1;
        let same = match fs::read(self.folder.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.begins_full(path, expected).ok_or(error),
            found => found.map(|found| found == expected),
        };
        match same {
            Ok(true) => None,
            Ok(false) => Some(format!("{TILES}/{path} is not what the leaves come to")),
            Err(error) => Some(format!("{TILES}/{path} cannot be read: {error}")),
        }
    }

    /// Whether the full tile begins with what a partial one had: while the log grows, the full one takes
    /// its place. `None` where there is neither.
    fn begins_full(&self, path: &str, expected: &[u8]) -> Option<bool> {
        let (full, _) = path.rsplit_once(".p/")?;
        fs::read(self.folder.join(full)).ok().map(|found| found.starts_with(expected))
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
