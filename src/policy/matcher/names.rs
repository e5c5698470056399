//! A map by names that a policy knows. Every address of a page is looked up in some, under each of its domains: the
//! hash is a quick one. Nothing that a page says is ever put in, so nobody can make names collide.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// What is known under each name.
pub(super) type Names<T> = HashMap<Box<str>, T, BuildHasherDefault<Quick>>;

/// Eight bytes at a time: rotate, mix, multiply.
#[derive(Default)]
pub(super) struct Quick(u64);

/// 2^64 over the golden ratio, odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.write_u64(u64::from_le_bytes(rest));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        // Tables take the lowest bits, and a product's highest are the mixed ones.
        self.0 ^ (self.0 >> 32)
    }
}
