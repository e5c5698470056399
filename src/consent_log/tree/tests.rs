//! The tree against another implementation, leaf by leaf, and against whoever changes something in it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    tile::{NoTile, Tile, Tiles},
    *,
};

/// Another's store of nodes.
struct Theirs(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|at| self.0[*at as usize]).collect())
    }
}

fn commitment(at: u64) -> Hash {
    Hash::of(&at.to_be_bytes())
}

/// Every node of a tree, level by level.
struct Levels(Vec<Vec<Hash>>);

impl Levels {
    fn of(size: u64) -> Self {
        let mut levels = vec![(0..size).map(|at| leaf(&commitment(at))).collect::<Vec<_>>()];
        while levels.last().is_some_and(|last| last.len() > 1) {
            let below = levels.last().expect("it is not empty");
            levels.push(below.chunks_exact(2).map(|pair| parent(&pair[0], &pair[1])).collect());
        }
        Self(levels)
    }
}

impl Nodes for Levels {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        Ok(self.0[usize::from(level)][index as usize])
    }
}

fn theirs(size: u64) -> Theirs {
    let mut store = Theirs(Vec::new());
    for at in 0..size {
        let new = tlog_tiles::stored_hashes(at, &entry(&commitment(at)), &store).expect("their store");
        store.0.extend(new);
    }
    store
}

fn their(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn root(size: u64) -> Hash {
    (0..size).map(|at| leaf(&commitment(at))).collect::<Frontier>().root()
}

#[test]
fn roots_and_proofs_are_another_implementations_too() {
    const SIZE: u64 = 70;
    let (ours, store) = (Levels::of(SIZE), theirs(SIZE));
    for size in 1..=SIZE {
        let top = root(size);
        assert_eq!(their(&top), tlog_tiles::tree_hash(size, &store).expect("their root"), "root of {size}");
        for index in 0..size {
            let path = inclusion(&ours, index, size).expect("it is in memory");
            let expected = tlog_tiles::prove_record(size, index, &store).expect("their proof");
            assert_eq!(path.iter().map(their).collect::<Vec<_>>(), expected, "{index} in {size}");
            assert!(proves_inclusion(leaf(&commitment(index)), index, size, &path, &top), "{index} in {size}");
        }
        for old in 1..=size {
            let path = consistency(&ours, old, size).expect("it is in memory");
            let expected = tlog_tiles::prove_tree(size, old, &store).expect("their proof");
            assert_eq!(path.iter().map(their).collect::<Vec<_>>(), expected, "{old} to {size}");
            assert!(proves_consistency(old, &root(old), size, &top, &path), "{old} to {size}");
        }
    }
}

#[test]
fn tiles_have_the_names_and_bytes_that_others_expect() {
    for (old, new) in [(0, 1), (0, 256), (255, 257), (300, 70_000), (65_535, 65_537)] {
        let ours: Vec<String> = tile::grown(old, new).iter().map(Tile::path).collect();
        let expected: Vec<String> =
            tlog_tiles::Tile::new_tiles(8, old, new).iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
        assert_eq!(ours, expected, "{old} to {new}");
    }
    assert_eq!(Tile { level: 0, index: 1_234_067, width: 3 }.path(), "tile/0/x001/x234/067.p/3");
    assert_eq!(tile::entries_path(7, 256), "tile/entries/007");
    assert_eq!(tile::bundle([&commitment(1)])[..13], *b"\0\x2bconsent/v1\n");

    const SIZE: u64 = 1_000;
    let (levels, store) = (Levels::of(SIZE), theirs(SIZE));
    for (own, other) in tile::tiles(SIZE).iter().zip(tlog_tiles::Tile::new_tiles(8, 0, SIZE)) {
        assert_eq!(own.write(&levels).expect("in memory"), other.read_data(&store).expect("their tile"), "{}", own.path());
    }
}

fn written(size: u64) -> HashMap<Tile, Vec<u8>> {
    let levels = Levels::of(size);
    tile::tiles(size).into_iter().map(|tile| (tile, tile.write(&levels).expect("in memory"))).collect()
}

#[test]
fn proofs_come_from_tiles_and_few_of_them() {
    const SIZE: u64 = 70_003;
    let (files, levels) = (written(SIZE), Levels::of(SIZE));
    let top = root(SIZE);
    for index in [0, 255, 256, 65_535, 65_536, 69_999, SIZE - 1] {
        let mut reads = 0;
        let some = Tiles::read_for::<NoTile>(index, SIZE, |tile| {
            reads += 1;
            Ok(files.get(tile).cloned())
        });
        let path = inclusion(&some.expect("they are there"), index, SIZE).expect("those that it needs");
        assert_eq!(path, inclusion(&levels, index, SIZE).expect("in memory"), "{index}");
        assert!(proves_inclusion(leaf(&commitment(index)), index, SIZE, &path, &top), "{index}");
        assert!(reads < 12, "{reads} tiles were read");
    }
    let gone = Tiles::read::<NoTile>(SIZE, |tile| Ok(files.get(tile).filter(|_| tile.index != 7).cloned()));
    assert!(matches!(gone, Err(NoTile::Missing(Tile { level: 0, index: 7, width: 256 }))));
    let short = Tiles::read::<NoTile>(SIZE, |tile| Ok(files.get(tile).map(|bytes| bytes[1..].to_vec())));
    assert!(matches!(short, Err(NoTile::Length { .. })));
}

fn signer() -> Signer {
    Signer::new("shop.example/consent-log", &[7; 32]).expect("a name without spaces")
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: signer().name().to_owned(), size, root: root(size) }
}

#[test]
fn notes_and_keys_are_read_by_another_implementation_and_theirs_by_us() {
    let note = signer().sign(&checkpoint(5).text());
    let key = signer().verifier().to_string();
    let known = signed_note::VerifierList::new(vec![Box::new(signed_note::StandardVerifier::new(&key).expect("our key"))]);
    let read = signed_note::Note::from_bytes(note.as_bytes()).expect("our note");
    assert_eq!(read.verify(&known).expect("our signature").0.len(), 1);
    let theirs = tlog_tiles::Checkpoint::from_bytes(read.text()).expect("our checkpoint");
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), ("shop.example/consent-log", 5, root(5).0));

    let verifier = Verifier::parse(&key).expect("our own key");
    assert_eq!(verifier, signer().verifier());
    let parsed = Note::parse(&note).expect("our own note");
    verifier.check(&parsed).expect("our own signature");
    assert_eq!(Checkpoint::parse(&parsed.text), Ok(checkpoint(5)));
}

#[test]
fn every_byte_of_a_note_counts() {
    let note = signer().sign(&checkpoint(5).text());
    let verifier = signer().verifier();
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let passed = Note::parse(&changed).is_ok_and(|note| verifier.check(&note).is_ok());
        assert!(!passed, "byte {at}: {changed}");
    }
    let other = Signer::new("shop.example/consent-log", &[8; 32]).expect("a name");
    assert_eq!(verifier.check(&Note::parse(&other.sign("x\n")).expect("a note")), Err(NoNote::Unsigned));
    for text in ["", "x", "x\n\n", "\n\u{2014} a AAAA\n", "x\n\n\u{2014} a b\n", "x\r\n\n\u{2014} a AAAAAAAA\n"] {
        assert!(Note::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn checkpoints_have_one_form() {
    let text = checkpoint(5).text();
    for other in [
        text.replace("\n5\n", "\n05\n"),
        text.replace("\n5\n", "\n+5\n"),
        text.replacen("shop", "\nshop", 1),
        text[..30].to_owned(),
    ] {
        assert_eq!(Checkpoint::parse(&other), Err(NoCheckpoint), "{other}");
    }
}

#[test]
fn a_receipt_proves_its_record_and_no_other() {
    let (size, index) = (1_000, 437);
    let path = inclusion(&Levels::of(size), index, size).expect("in memory");
    let receipt = Receipt { index, path, checkpoint: signer().sign(&checkpoint(size).text()) };
    let text = receipt.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 437\n"), "{text}");
    let read = Receipt::parse(&text).expect("our own receipt");
    assert_eq!(read, receipt);
    let key = signer().verifier();
    assert_eq!(read.check(&commitment(index), &key), Ok(checkpoint(size)));
    assert_eq!(read.check(&commitment(index + 1), &key), Err(NoReceipt::Path));
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let passed = Receipt::parse(&changed).is_ok_and(|receipt| receipt.check(&commitment(index), &key).is_ok());
        assert!(!passed, "byte {at}");
    }
    let with_extra = text.replacen("index", "extra AAAA\nindex", 1);
    assert_eq!(Receipt::parse(&with_extra), Ok(receipt));
}

proptest! {
    #[test]
    fn no_other_leaf_place_or_tree_passes(size in 1..600u64, index in 0..600u64, other in 0..600u64, hurt in 0..20usize) {
        let index = index % size;
        let levels = Levels::of(size);
        let top = root(size);
        let path = inclusion(&levels, index, size).expect("in memory");
        prop_assert!(proves_inclusion(leaf(&commitment(index)), index, size, &path, &top));
        if other != index {
            prop_assert!(!proves_inclusion(leaf(&commitment(other)), index, size, &path, &top));
            prop_assert!(!proves_inclusion(leaf(&commitment(index)), other, size, &path, &top));
        }
        if let Some(hash) = path.clone().get_mut(hurt) {
            hash.0[hurt] ^= 1;
            let mut changed = path.clone();
            changed[hurt] = *hash;
            prop_assert!(!proves_inclusion(leaf(&commitment(index)), index, size, &changed, &top));
        }
        let mut longer = path;
        longer.push(top);
        prop_assert!(!proves_inclusion(leaf(&commitment(index)), index, size, &longer, &top));

        let old = other % size + 1;
        let path = consistency(&levels, old, size).expect("in memory");
        prop_assert!(proves_consistency(old, &root(old), size, &top, &path));
        prop_assert!(!proves_consistency(old, &root(old + 1), size, &top, &path));
        prop_assert!(old == size || !proves_consistency(old, &top, size, &top, &path));
        prop_assert!(!proves_consistency(size + 1, &root(old), size, &top, &path));
    }
}
