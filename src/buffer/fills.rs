//! Which keys the latest events of each requestor have: a sample, to notice a key that a source no longer fills.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::database::Buffer;
use super::error::Result;
use super::rows::each;
use crate::delivery::Sequence;

/// How many of the latest events are looked at, some 5 ms of work.
const EVENTS_MAX: u32 = 2_000;

/// How many events of a requestor were looked at, and how many of them have each key.
#[derive(Debug, Default)]
pub struct Filled {
    pub events: u32,
    pub keys: BTreeMap<String, u32>,
}

impl Buffer {
    /// The keys of the latest events whose number is above `behind`, by requestor, and the highest number read.
    pub fn filled(&self, behind: Sequence) -> Result<(BTreeMap<String, Filled>, Sequence)> {
        let (mut filled, mut last) = (BTreeMap::<String, Filled>::new(), behind);
        let select = "SELECT e.seq, r.requestor_id, e.body
             FROM (SELECT seq, requestor, body FROM events WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2) e
             JOIN requestors r ON r.requestor = e.requestor";
        self.read(|connection| {
            each(connection, select, (behind, EVENTS_MAX), |row| {
                last = last.max(row.get("seq")?);
                let of = filled.entry(row.get("requestor_id")?).or_default();
                of.events += 1;
                let body: String = row.get("body")?;
                let keys: BTreeMap<String, IgnoredAny> = serde_json::from_str(&body).unwrap_or_default();
                keys.into_keys().for_each(|key| *of.keys.entry(key).or_default() += 1);
                Ok(())
            })
        })?;
        Ok((filled, last))
    }
}
