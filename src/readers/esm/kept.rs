//! The rows that memory keeps for ESM: `esm TOTAL BEFORE` for a count; for an hour of a requestor `esm GROUPING`, and
//! `esm lacking COLUMNS` if its reports lack columns.

use crate::event::KindSet;
use crate::readers::memory::{Keyring, MemoryKey};

/// The key for the digests of counts. It is public and constant, because these digests must outlive every secret.
pub(super) const NO_SECRET: &[u8] = b"esm";
/// The start of every row for ESM, which distinguishes it from rows about a person.
pub const ROW_PREFIX: &str = "esm ";

/// What the key of a row is about that has the grouping of an hour.
pub const GROUPING: &str = "grouping";
/// The first word of a row that tells which columns the reports of an hour lack, as the bits of their [`KindSet`].
pub const LACKING: &str = "lacking";

/// The key of a row about an hour of a requestor, which is counted from the Unix epoch.
pub fn hour_key(about: &str, requestor_id: &str, hour: i64) -> MemoryKey {
    Keyring::new(NO_SECRET).digest(about, &[requestor_id.as_bytes(), &hour.to_be_bytes()])
}

/// The kinds of events whose columns the reports of an hour lack, as their row tells.
pub fn lacking(row: Option<&str>) -> KindSet {
    let bits = row.and_then(|row| row.strip_prefix(ROW_PREFIX)?.strip_prefix(LACKING)?.trim().parse().ok());
    KindSet(bits.unwrap_or(0))
}

/// The total of a row of a count.
pub fn counted_total(row: &str) -> Option<u64> {
    first_word(row)?.parse().ok()
}

/// The row of the count that an event raised, and the totals before and after it, from the event's ID.
pub fn growth_of(event_id: &str) -> Option<(MemoryKey, u64, u64)> {
    let mut parts = event_id.strip_prefix("esm-")?.split('-');
    let (key, from, to) = (parts.next()?, parts.next()?, parts.next()?);
    let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
    Some((MemoryKey(key), from.parse().ok()?, to.parse().ok()?))
}

/// The first word after the prefix: the total or the grouping.
pub(super) fn first_word(row: &str) -> Option<&str> {
    row.strip_prefix(ROW_PREFIX)?.split(' ').next()
}

/// Whether a row may still replace the stored row. Two ingests of the same hour may read the same total before either
/// stores a new one; the second would then count the increase of the first again. So a row contains the total before
/// it, which must be the stored total. The grouping of an hour never changes. Of what is lacking the last word counts.
pub fn follows_from(row: &str, stored: Option<&str>) -> bool {
    let known = stored.and_then(first_word);
    match row.split(' ').collect::<Vec<_>>()[..] {
        [_, LACKING, _] => true,
        [_, _, before] => known.unwrap_or("0") == before,
        _ => known.is_none() || known == first_word(row),
    }
}
