//! What an event adds to the metrics beside its count. `mapping` says it, by what Analytics will show of the event.

use sha2::{Digest, Sha256};

use super::PassEvent;

/// Between the values of a group: what Analytics shows has no control characters.
const SEPARATOR: char = '\u{1f}';

/// Says what an event adds.
pub type MeasureOf = fn(&PassEvent) -> Measure;

/// What an event adds to the metrics beside its count.
#[derive(Debug, Clone)]
pub struct Measure {
    /// The values of the group, joined: one allocation and one look-up an event.
    group: Box<str>,
    user: Option<MeasuredUser>,
}

/// A user, as far as it can be known without the secret of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredUser {
    pub digest: PlainDigest,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
}

impl Measure {
    /// Of the values of a group: MVPD, proxy, SDK type, device type, reason; empty where there is none.
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

    /// The values of the group as one text.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// MVPD, proxy, SDK type, device type, reason; empty where there is none.
    pub fn values(&self) -> [&str; 5] {
        let mut values = self.group.split(SEPARATOR);
        std::array::from_fn(|_| values.next().unwrap_or_default())
    }

    pub fn user(&self) -> Option<MeasuredUser> {
        self.user
    }
}

/// The digest of a user ID without the secret: never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlainDigest([u8; 16]);

impl PlainDigest {
    /// Of an ID without white space at its ends.
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
