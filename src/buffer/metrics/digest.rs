//! The digests of users in the metrics. They are keyed, so they mean nothing outside of one buffer.

use std::fmt;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::super::error::Result;
use super::super::facts::metrics_secret;
use crate::event::{Measure, PlainDigest};

/// The key of the digests of one buffer.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// The user of an event. It is equal for equal MVPD User IDs, and means nothing outside this buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserMark {
    pub user: u64,
    /// Whether the ID stands for degraded or temporary access, not for a person.
    pub is_synthetic: bool,
}

impl Secret {
    /// The key with these bytes, which nobody can guess.
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    /// The user of an event with this measure; `None` if the event has no known user.
    pub fn mark(&self, measure: &Measure) -> Option<UserMark> {
        let user = measure.user()?;
        Some(UserMark { user: self.keyed(user.digest).0, is_synthetic: user.is_synthetic })
    }

    pub(super) fn of(connection: &Connection) -> Result<Secret> {
        metrics_secret(connection).map(Secret)
    }

    /// The digest that is stored. Among ten million users, two have the same digest with a chance of 1 in 370,000.
    pub(super) fn keyed(&self, user: PlainDigest) -> KeyedDigest {
        // Both parts have fixed lengths, so different pairs give different input.
        let digest = Sha256::new_with_prefix(self.0).chain_update(user.bytes()).finalize();
        KeyedDigest(digest[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// The keyed digest of a user ID. It is equal for equal IDs in one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyedDigest(pub(super) u64);
