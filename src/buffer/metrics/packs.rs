//! Packs: the users of a day, sorted by digest and group, 24 bytes each. `schemas/buffer-5.sql` describes them.

use std::collections::HashSet;

use rusqlite::Connection;

use super::super::error::Result;
use super::super::rows::{each as each_row, first, run};
use super::digest::UserMark;
use crate::event::Instant;

pub(super) const ENTRY_BYTES: usize = 24;
/// Bytes of an entry's key: digest and group, big endian, so that bytes sort as numbers do.
const KEY_BYTES: usize = 12;
/// The bit of a group number that marks a synthetic ID, which stands for degraded or temporary access, not a person.
pub(super) const SYNTHETIC: u32 = 1 << 31;
/// Quarter hours in a day. In every time zone, days begin on a quarter hour.
const QUARTERS_A_DAY: i64 = 96;
/// The most users of a merged pack. A pack of this size has 2.4 MB, little enough for any transaction to rewrite it.
pub const MERGED_USERS_MAX: usize = 100_000;

/// A user of a day in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub(super) digest: u64,
    /// The number of the group, with the bit [`SYNTHETIC`] if the ID is synthetic.
    pub(super) group: u32,
    /// A bit for each of the 96 quarter hours of the UTC day.
    pub(super) quarters: u128,
}

impl Entry {
    /// A user seen in a group at an instant, with the UTC day of that instant.
    pub fn of(mark: UserMark, group: u32, at: Instant) -> (i64, Entry) {
        let (quarter, synthetic) = (at.unix_quarter(), if mark.is_synthetic { SYNTHETIC } else { 0 });
        let quarters = 1 << quarter.rem_euclid(QUARTERS_A_DAY);
        let entry = Entry { digest: mark.user, group: group | synthetic, quarters };
        (quarter.div_euclid(QUARTERS_A_DAY), entry)
    }

    /// A pack of this entry alone.
    pub fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.digest.to_be_bytes());
        bytes[8..KEY_BYTES].copy_from_slice(&self.group.to_be_bytes());
        bytes[KEY_BYTES..].copy_from_slice(&self.quarters.to_be_bytes()[4..]);
        bytes
    }

    fn read(bytes: &[u8]) -> Entry {
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
        };
        Entry {
            digest: number(0..8) as u64,
            group: number(8..KEY_BYTES) as u32,
            quarters: number(KEY_BYTES..ENTRY_BYTES),
        }
    }
}

/// The entries of a pack, or of a part of it.
pub fn entries(packed: &[u8]) -> impl Iterator<Item = Entry> {
    packed.chunks_exact(ENTRY_BYTES).map(Entry::read)
}

/// Packs entries in any order.
pub fn pack_sorted(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.sort_unstable_by_key(|entry| (entry.digest, entry.group));
    pack(entries.into_iter())
}

/// Packs sorted entries. Entries of the same user and group become one.
pub(super) fn pack(entries: impl Iterator<Item = Entry>) -> Vec<u8> {
    let mut packed = Vec::with_capacity(entries.size_hint().0 * ENTRY_BYTES);
    entries.for_each(|entry| push(&mut packed, &entry.bytes()));
    packed
}

/// Appends an entry, which must not sort before the last entry. If both have one key, joins their quarters.
fn push(packed: &mut Vec<u8>, entry: &[u8]) {
    if let Some(last) = packed.last_chunk_mut::<ENTRY_BYTES>()
        && last[..KEY_BYTES] == entry[..KEY_BYTES]
    {
        last[KEY_BYTES..].iter_mut().zip(&entry[KEY_BYTES..]).for_each(|(bits, more)| *bits |= more);
    } else {
        packed.extend_from_slice(entry);
    }
}

/// A pack without the users of some groups.
pub fn without_groups(packed: &[u8], groups: &HashSet<u32>) -> Vec<u8> {
    pack(entries(packed).filter(|entry| !groups.contains(&(entry.group & !SYNTHETIC))))
}

fn merge(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) =
        (one.chunks_exact(ENTRY_BYTES).peekable(), other.chunks_exact(ENTRY_BYTES).peekable());
    loop {
        let next = match (one.peek(), other.peek()) {
            (Some(first), Some(second)) if first[..KEY_BYTES] <= second[..KEY_BYTES] => one.next(),
            (Some(_), None) => one.next(),
            (_, _) => other.next(),
        };
        match next {
            Some(entry) => push(&mut merged, entry),
            None => return merged,
        }
    }
}

/// Adds a pack to a day. While the youngest pack is at most twice as large as the new pack, the two are merged, up to
/// `MERGED_USERS_MAX`. So a day has few packs, and each entry is rewritten only a few times, in any order of events.
pub(super) fn append(connection: &Connection, day: i64, mut packed: Vec<u8>) -> Result<()> {
    loop {
        let users = packed.len() / ENTRY_BYTES;
        let youngest = "SELECT pack, users FROM metric_users WHERE day = ?1 ORDER BY pack DESC LIMIT 1";
        let found: Option<(i64, usize)> =
            first(connection, youngest, [day], |row| Ok((row.get("pack")?, row.get("users")?)))?;
        let Some((pack, others)) = found else { break };
        if others > users * 2 || others + users > MERGED_USERS_MAX {
            break;
        }
        packed = connection
            .prepare_cached("SELECT packed FROM metric_users WHERE pack = ?1")?
            .query_row([pack], |row| Ok(merge(row.get_ref(0)?.as_blob()?, &packed)))?;
        run(connection, "DELETE FROM metric_users WHERE pack = ?1", [pack])?;
    }
    let insert = "INSERT INTO metric_users (day, users, packed) VALUES (?1, ?2, ?3)";
    run(connection, insert, (day, packed.len() / ENTRY_BYTES, packed))?;
    Ok(())
}

/// Calls `show` for each pack, with its day, from the first to the last day.
pub(super) fn each(
    connection: &Connection,
    (first_day, last_day): (i64, i64),
    mut show: impl FnMut(i64, &[u8]),
) -> Result<()> {
    let select = "SELECT day, packed FROM metric_users WHERE day BETWEEN ?1 AND ?2 ORDER BY day, pack";
    each_row(connection, select, (first_day, last_day), |row| {
        show(row.get("day")?, row.get_ref("packed")?.as_blob().map_err(rusqlite::Error::from)?);
        Ok(())
    })
}

/// The entries of a pack whose digest is in a range, both ends included.
pub(super) fn part(packed: &[u8], first: u64, last: u64) -> &[u8] {
    let (entries, _) = packed.as_chunks::<ENTRY_BYTES>();
    let start = entries.partition_point(|entry| Entry::read(entry).digest < first);
    let end = entries.partition_point(|entry| Entry::read(entry).digest <= last);
    entries[start..end].as_flattened()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: u64, group: u32, quarter: u32) -> Entry {
        Entry { digest, group, quarters: 1 << quarter }
    }

    fn entries(packed: &[u8]) -> Vec<Entry> {
        super::entries(packed).collect()
    }

    #[test]
    fn merging_keeps_the_order_and_joins_the_quarters_of_one_user_and_group() {
        let one = pack([entry(1, 7, 0), entry(1, 7, 95), entry(5, 1, 3)].into_iter());
        let other = pack([entry(1, 6, 0), entry(1, 7, 1), entry(u64::MAX, SYNTHETIC | 1, 2)].into_iter());
        let both = Entry { digest: 1, group: 7, quarters: 1 | 2 | 1 << 95 };
        assert_eq!(
            entries(&merge(&one, &other)),
            [entry(1, 6, 0), both, entry(5, 1, 3), entry(u64::MAX, SYNTHETIC | 1, 2)]
        );
        assert_eq!(merge(&one, &[]), one);
    }

    #[test]
    fn a_part_has_the_digests_from_first_to_last() {
        let packed = pack((0..10).map(|number| entry(number * 10, 1, 0)));
        for (first, last, digests) in
            [(0, 9, vec![0]), (10, 30, vec![10, 20, 30]), (31, 39, vec![]), (85, u64::MAX, vec![90])]
        {
            let found: Vec<u64> =
                entries(part(&packed, first, last)).iter().map(|entry| entry.digest).collect();
            assert_eq!(found, digests, "{first} to {last}");
        }
        assert_eq!(part(&[], 0, u64::MAX), &[] as &[u8]);
    }
}
