//! The words of the product as types: purposes, vendors, grants, subjects, revisions.
//!
//! Plain data without I/O and without a clock. A purpose or a vendor is an index into the policy
//! that named it: ids are text in files, cookies and records, and numbers on the way of a request.

use std::fmt;

use sha2::{Digest, Sha256};

/// A purpose, by its place in the policy's list (at most [`PURPOSES_MAX`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purpose(pub u8);

/// How many purposes one policy may have: the width of [`PurposeSet`].
pub const PURPOSES_MAX: usize = 64;

/// A set of purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PurposeSet(u64);

impl PurposeSet {
    /// No purpose.
    pub const EMPTY: Self = Self(0);

    /// Adds one purpose.
    pub fn insert(&mut self, purpose: Purpose) {
        self.0 |= 1 << purpose.0;
    }

    /// Whether the purpose is in the set.
    pub fn contains(self, purpose: Purpose) -> bool {
        self.0 >> purpose.0 & 1 == 1
    }

    /// Whether every purpose of this set is in the other.
    pub fn is_subset(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }

    /// The purposes in either.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The purposes in both.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no purpose is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The purposes in the policy's order.
    pub fn iter(self) -> impl Iterator<Item = Purpose> {
        (0..PURPOSES_MAX as u8).map(Purpose).filter(move |&purpose| self.contains(purpose))
    }
}

impl FromIterator<Purpose> for PurposeSet {
    fn from_iter<I: IntoIterator<Item = Purpose>>(purposes: I) -> Self {
        let mut set = Self::EMPTY;
        purposes.into_iter().for_each(|purpose| set.insert(purpose));
        set
    }
}

/// A vendor, by its place in the policy's list (at most [`VENDORS_MAX`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorId(pub u16);

/// How many vendors one policy may know: the width of [`VendorSet`].
pub const VENDORS_MAX: usize = 512;

/// A set of vendors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VendorSet([u64; VENDORS_MAX / 64]);

impl VendorSet {
    /// No vendor.
    pub const EMPTY: Self = Self([0; VENDORS_MAX / 64]);

    /// Adds one vendor.
    pub fn insert(&mut self, vendor: VendorId) {
        self.0[usize::from(vendor.0) / 64] |= 1 << (vendor.0 % 64);
    }

    /// Whether the vendor is in the set.
    pub fn contains(&self, vendor: VendorId) -> bool {
        self.0[usize::from(vendor.0) / 64] >> (vendor.0 % 64) & 1 == 1
    }

    /// Whether no vendor is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The vendors in the policy's order.
    pub fn iter(&self) -> impl Iterator<Item = VendorId> + '_ {
        (0..VENDORS_MAX as u16).map(VendorId).filter(|&vendor| self.contains(vendor))
    }

    fn zip(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        words.iter_mut().zip(other.0).for_each(|(word, o)| *word = op(*word, o));
        Self(words)
    }
}

impl FromIterator<VendorId> for VendorSet {
    fn from_iter<I: IntoIterator<Item = VendorId>>(vendors: I) -> Self {
        let mut set = Self::EMPTY;
        vendors.into_iter().for_each(|vendor| set.insert(vendor));
        set
    }
}

/// What is allowed for one request: purposes, and the vendors that differ from their purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// The purposes granted, those that need no consent included.
    pub purposes: PurposeSet,
    /// Vendors granted although not all their purposes are.
    pub allowed: VendorSet,
    /// Vendors refused although their purposes are granted.
    pub denied: VendorSet,
}

impl Grants {
    /// Whether a tag of `vendor` that needs `purposes` is covered.
    pub fn covers(&self, vendor: VendorId, purposes: PurposeSet) -> bool {
        !self.denied.contains(vendor) && (self.allowed.contains(vendor) || purposes.is_subset(self.purposes))
    }

    /// What both allow: two valid cookies count as their intersection.
    pub fn intersection(&self, other: &Self) -> Self {
        // A vendor granted by name in one only may still be covered by a purpose in the other;
        // dropping it is the closed reading.
        Self {
            purposes: self.purposes.intersection(other.purposes),
            allowed: self.allowed.zip(other.allowed, |a, b| a & b),
            denied: self.denied.zip(other.denied, |a, b| a | b),
        }
    }
}

/// What happens to a tag under given grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It stays as it is.
    Allow,
    /// It stays in the page, inert, and can be released.
    Hold,
    /// It is gone from the page: noscript pixels, preloads, hints, cookies.
    Strip,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Strip => "strip",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A SHA-256 in lower-case hex when shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (slot, pair) in hash.iter_mut().zip(bytes.chunks(2)) {
            let digit = |b: u8| (b as char).to_digit(16).filter(|_| !b.is_ascii_uppercase());
            *slot = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Self(hash))
    }

    /// The first 16 hex digits: for entity tags, asset names and lines that people read.
    pub fn short(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
        self.0[..8].iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A hash over what matters to consent in a policy; the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyRevision(pub Hash);

impl fmt::Display for PolicyRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The visitor's pseudonym: 128 random bits, derived from nothing. Never shown to page scripts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubjectId(pub [u8; 16]);

impl SubjectId {
    /// The base64url form used in cookies, records and on the command line (22 characters).
    pub fn encode(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads the base64url form.
    pub fn parse(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// Redacted: a subject belongs into records and cookies, not into traces.
impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectId(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_covered_by_its_purposes_or_by_name() {
        let marketing = PurposeSet::from_iter([Purpose(3)]);
        let mut grants = Grants { purposes: PurposeSet::from_iter([Purpose(0), Purpose(3)]), ..Grants::default() };
        assert!(grants.covers(VendorId(70), marketing));
        assert!(!grants.covers(VendorId(70), PurposeSet::from_iter([Purpose(2), Purpose(3)])));
        grants.denied.insert(VendorId(70));
        assert!(!grants.covers(VendorId(70), marketing));
        grants = Grants::default();
        grants.allowed.insert(VendorId(511));
        assert!(grants.covers(VendorId(511), marketing));
        assert!(!grants.covers(VendorId(510), marketing));
    }

    #[test]
    fn two_cookies_allow_only_what_both_allow() {
        let all = Grants { purposes: PurposeSet::from_iter([Purpose(0), Purpose(2), Purpose(3)]), ..Grants::default() };
        let mut some = Grants { purposes: PurposeSet::from_iter([Purpose(0), Purpose(3)]), ..Grants::default() };
        some.denied.insert(VendorId(1));
        let both = all.intersection(&some);
        assert_eq!(both.purposes, some.purposes);
        assert!(!both.covers(VendorId(1), PurposeSet::from_iter([Purpose(3)])));
    }

    #[test]
    fn a_hash_reads_back_only_its_own_form() {
        let hash = Hash::of(b"x");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(Hash::parse(&hash.to_string().to_uppercase()), None);
        assert_eq!(Hash::parse("00"), None);
    }
}
