//! What is distinct, told apart by 64 bits of a digest.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// 64 bits that are evenly spread already. As bytes, so that entries are not padded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 8]);

impl Digest {
    pub(super) fn of(number: u64) -> Digest {
        Digest(number.to_ne_bytes())
    }

    pub(super) fn number(self) -> u64 {
        u64::from_ne_bytes(self.0)
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.number());
    }
}

/// Takes a digest as its own hash.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        // Only digests are hashed, by write_u64; anything else would still be right, and slow.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) type DigestMap<V> = HashMap<Digest, V, BuildHasherDefault<AsItIs>>;
pub(super) type DigestSet = HashSet<Digest, BuildHasherDefault<AsItIs>>;
