//! Digests of values, equal as long as the program runs.

use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
