//! Proofs over the tree (RFC 6962, sections 2.1.1 and 2.1.2), and how they are checked (RFC 9162, sections
//! 2.1.3.2 and 2.1.4.2).

use super::{Nodes, parent, root_of, split};
use crate::vocab::Hash;

/// The path from leaf `index` to the root of the tree of `size` leaves: the neighbours' hashes from the leaf
/// upward. `index` is smaller than `size`.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    debug_assert!(index < size, "a leaf of the tree");
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(root_of(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(root_of(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Why the tree of `old` leaves is the beginning of the one of `new` leaves. `1 <= old <= new`; empty where
/// both are the same.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    debug_assert!((1..=new).contains(&old), "a tree that grew");
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    // The old tree's own root is known to whoever checks, until a part of it is asked for.
    let mut whole = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(root_of(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(root_of(nodes, start, middle)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(root_of(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` leads from `leaf` at `index` to the root of a tree of `size` leaves.
pub fn proves_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut index, mut last, mut node) = (index, size - 1, leaf);
    for neighbour in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            node = parent(neighbour, &node);
            // A node without a neighbour on the right moves up by itself.
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            node = parent(&node, neighbour);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && node == *root
}

/// Whether `path` shows that the tree of `old` leaves with `old_root` is the beginning of the one of `new`
/// leaves with `new_root`. A tree without leaves is the beginning of every other and needs no path.
pub fn proves_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    match (old, path) {
        _ if old > new => return false,
        _ if old == new => return path.is_empty() && old_root == new_root,
        (0, path) => return path.is_empty() && *old_root == super::empty_root(),
        (_, []) => return false,
        _ => {}
    }
    // Where the old tree is whole, its root is the first node.
    let mut path = path.iter();
    let first = if old.is_power_of_two() { old_root } else { path.next().expect("it is not empty") };
    let (mut index, mut last) = (old - 1, new - 1);
    while index & 1 == 1 {
        (index, last) = (index >> 1, last >> 1);
    }
    let (mut old_node, mut new_node) = (*first, *first);
    for neighbour in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            old_node = parent(neighbour, &old_node);
            new_node = parent(neighbour, &new_node);
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            new_node = parent(&new_node, neighbour);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && old_node == *old_root && new_node == *new_root
}
