//! The values that an event adds to the metrics in addition to its count. `mapping` computes them.

use sha2::{Digest, Sha256};

use super::PassEvent;

/// Separates the values of a group. Analytics shows no control characters, so no value contains it.
const SEPARATOR: char = '\u{1f}';

/// Computes what an event adds to the metrics.
pub type MeasureOf = fn(&PassEvent) -> Measure;

/// What an event adds to the metrics in addition to its count.
#[derive(Debug, Clone)]
pub struct Measure {
    /// The values of the group in one text, so that an event needs one allocation and one look-up.
    group: Box<str>,
    user: Option<MeasuredUser>,
}

/// The user of an event, before the buffer makes a keyed digest with its secret.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredUser {
    pub digest: PlainDigest,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
}

impl Measure {
    /// A measure with a group of MVPD, proxy, SDK type, device type and reason; empty texts for absent values.
    pub fn new(values: [&str; 5], user: Option<MeasuredUser>) -> Measure {
        let mut group = String::with_capacity(64);
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                group.push(SEPARATOR);
            }
            group.push_str(value);
        }
        Measure { group: group.into(), user }
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    /// The group without its reason, by which users are kept.
    pub fn group_of_users(&self) -> &str {
        self.group.rfind(SEPARATOR).map_or("", |end| &self.group[..=end])
    }

    /// The values of a group.
    pub fn values_of(group: &str) -> [&str; 5] {
        let mut values = group.split(SEPARATOR);
        std::array::from_fn(|_| values.next().unwrap_or_default())
    }

    pub fn user(&self) -> Option<MeasuredUser> {
        self.user
    }
}

/// A digest of a user ID without a secret. It is never stored, because IDs could be guessed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlainDigest([u8; 16]);

impl PlainDigest {
    /// The digest of an ID, which must have no white space at its ends.
    pub fn of(id: &str) -> PlainDigest {
        let digest = Sha256::new_with_prefix(b"passbridge user 1").chain_update(id).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        PlainDigest(bytes)
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}
