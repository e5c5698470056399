//! How the tree's nodes are kept and published: tiles of 256 hashes (c2sp.org/tlog-tiles). Tile `index` of
//! level `level` holds the nodes of the tree's level `8 * level` from `256 * index` on; the levels between
//! are computed from them. Entries stand in bundles of 256, each behind its length (16 bits, big-endian).

use std::{collections::HashMap, hash::BuildHasher};

use super::{Nodes, entry, parent};
use crate::vocab::Hash;

/// Hashes of a full tile, and entries of a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree in a tile.
const HEIGHT: u8 = 8;

/// One tile by its place in the tree and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// From the leaves upward; at most 7.
    pub level: u8,
    /// From the left.
    pub index: u64,
    /// Hashes in it: 1 to 256.
    pub width: u16,
}

/// Why a tile is not what its tree says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoTile {
    /// It is not there.
    #[error("{} is missing", .0.path())]
    Missing(Tile),
    /// Not whole hashes, or not as many as its name says.
    #[error("{} has {bytes} bytes, {} are its width", .tile.path(), u64::from(.tile.width) * 32)]
    Length {
        /// Which.
        tile: Tile,
        /// What it has.
        bytes: usize,
    },
}

/// Every tile of a tree of `size` leaves, the partial ones at the right edge included.
pub fn tiles(size: u64) -> Vec<Tile> {
    grown(0, size)
}

/// The tiles that are new or wider in a tree of `new` leaves than in one of `old`.
pub fn grown(old: u64, new: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let (mut before, mut now) = (old, new);
    for level in 0..8 {
        if now == 0 {
            break;
        }
        if now > before {
            for index in before / WIDTH..now.div_ceil(WIDTH) {
                let width = (now - index * WIDTH).min(WIDTH);
                tiles.push(Tile { level, index, width: u16::try_from(width).unwrap_or(256) });
            }
        }
        (before, now) = (before / WIDTH, now / WIDTH);
    }
    tiles
}

/// The path of a bundle of entries: `tile/entries/x001/234`, with `.p/W` where it is not full.
pub fn entries_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", place(index, width))
}

/// A bundle of entries from the commitments of its leaves.
pub fn bundle<'h>(commitments: impl IntoIterator<Item = &'h Hash>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for commitment in commitments {
        let entry = entry(commitment);
        bytes.extend((entry.len() as u16).to_be_bytes());
        bytes.extend(entry);
    }
    bytes
}

/// Groups of three digits, all but the last marked, so that no folder has more than a thousand names.
fn place(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if u64::from(width) < WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Tiles in memory, as they were read.
#[derive(Clone, Debug)]
pub struct Tiles<S = std::hash::RandomState> {
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>, S>,
}

// === impl Tile ===

impl Tile {
    /// The path below the log's folder: `tile/0/x001/234`, with `.p/W` where it is not full.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, place(self.index, self.width))
    }

    /// Its hashes from its bytes.
    pub fn read(&self, bytes: &[u8]) -> Result<Vec<Hash>, NoTile> {
        if bytes.len() != usize::from(self.width) * 32 {
            return Err(NoTile::Length { tile: *self, bytes: bytes.len() });
        }
        Ok(bytes.chunks_exact(32).map(|hash| Hash(hash.try_into().expect("32 bytes"))).collect())
    }

    /// Its bytes from the nodes of its tree.
    pub fn write<N: Nodes>(&self, nodes: &N) -> Result<Vec<u8>, N::Error> {
        let mut bytes = Vec::with_capacity(usize::from(self.width) * 32);
        for at in 0..u64::from(self.width) {
            bytes.extend(nodes.node(self.level * HEIGHT, self.index * WIDTH + at)?.0);
        }
        Ok(bytes)
    }
}

// === impl Tiles ===

impl Tiles {
    /// Reads every tile of a tree of `size` leaves. `read` gives a tile's bytes, `None` where it is not there.
    pub fn read<E: From<NoTile>>(size: u64, read: impl FnMut(&Tile) -> Result<Option<Vec<u8>>, E>) -> Result<Self, E> {
        Self::read_some(size, &tiles(size), read)
    }

    /// Reads only the tiles that a proof about one leaf needs, and those at the right edge.
    pub fn read_for<E: From<NoTile>>(
        index: u64,
        size: u64,
        read: impl FnMut(&Tile) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let mut wanted = Vec::new();
        for tile in tiles(size) {
            let shift = u32::from(HEIGHT * (tile.level + 1));
            let at = |leaf: u64| leaf.checked_shr(shift).unwrap_or(0);
            if tile.index == at(index) || tile.index == at(size - 1) || u64::from(tile.width) < WIDTH {
                wanted.push(tile);
            }
        }
        Self::read_some(size, &wanted, read)
    }

    fn read_some<E: From<NoTile>>(
        size: u64,
        wanted: &[Tile],
        mut read: impl FnMut(&Tile) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let mut all = HashMap::default();
        for tile in wanted {
            let bytes = read(tile)?.ok_or(NoTile::Missing(*tile))?;
            all.insert((tile.level, tile.index), tile.read(&bytes)?);
        }
        Ok(Self { size, tiles: all })
    }
}

impl<S: BuildHasher> Nodes for Tiles<S> {
    type Error = NoTile;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NoTile> {
        let (own, below) = (level / HEIGHT, level % HEIGHT);
        let first = index << below;
        let (tile, at) = (first / WIDTH, (first % WIDTH) as usize);
        let width = (self.size >> (HEIGHT * own)).saturating_sub(tile * WIDTH).min(WIDTH) as u16;
        let missing = || NoTile::Missing(Tile { level: own, index: tile, width });
        let hashes = self.tiles.get(&(own, tile)).ok_or_else(missing)?;
        let mut row = hashes.get(at..at + (1 << below)).ok_or_else(missing)?.to_vec();
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        }
        Ok(row[0])
    }
}
