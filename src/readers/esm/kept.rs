//! The rows that memory keeps for ESM:
//!
//! - for a count: `esm TOTAL BEFORE`
//! - for an hour of a requestor: `esm GROUPING@ZONE` (earlier builds: `esm GROUPING`), and if its records lack columns,
//!   `esm lacking MVPD:COLUMNS ...`
//! - for a row that an input changed: `esm before ...`
//! - for a name: `esm spelled LIST`
//! - for a requestor: `esm clocks ZONE ...`

use std::collections::BTreeMap;

use super::summary::StatedAccounts;
use crate::event::KindSet;
use crate::readers::memory::{Keyring, MemoryKey, start_of};

/// The key for the digests of counts, hours and MVPDs. It is public and constant: these digests outlive every secret.
pub(super) const NO_SECRET: &[u8] = b"esm";
/// The start of every row for ESM, which distinguishes it from rows about a person.
pub const ROW_PREFIX: &str = "esm ";

/// The `about` of [`hour_key`] for the row that has the grouping of an hour.
pub const GROUPING: &str = "grouping";
/// The word after the prefix of a row that tells which columns the records of an hour lack. Then each MVPD that lacks
/// any has a word: its [`mvpd_digest`] in hexadecimal digits, a colon, and the bits of the [`KindSet`].
pub const LACKING: &str = "lacking";
/// The words after the prefix of a row with the counted spellings of a name, and of one with the clocks of a requestor.
pub(super) const SPELLED: &str = "spelled";
pub(super) const CLOCKS: &str = "clocks";
/// The start of a row that keeps what a `LACKING` row, or a number of accounts, was before an input changed it.
pub const BEFORE: &str = "esm before ";

/// The key of a row about an hour of a requestor. Hours are counted from the Unix epoch.
pub fn hour_key(about: &str, requestor_id: &str, hour: i64) -> MemoryKey {
    Keyring::new(NO_SECRET).digest(about, &[requestor_id.as_bytes(), &hour.to_be_bytes()])
}

/// The digest that stands for every MVPD, in rows of earlier builds, which had one [`KindSet`] for a whole hour.
pub const EVERY_MVPD: u64 = 0;
/// The digest of an MVPD is made of its name up to the letter that reaches this many bytes. Analytics keeps 255.
const MVPD_BYTES_MAX: usize = 200;

/// The longest row about missing columns, in bytes: enough for a thousand MVPDs, more than anybody has.
const LACKING_BYTES_MAX: usize = 24_000;

/// The kinds of events whose columns the records of an hour lack, by the digest of each MVPD that lacks any.
pub fn lacking(row: Option<&str>) -> BTreeMap<u64, KindSet> {
    let words = row.and_then(|row| row.strip_prefix(ROW_PREFIX)?.strip_prefix(LACKING)).unwrap_or_default();
    let read = |word: &str| {
        // A word without a digest is of an earlier build.
        let (mvpd, bits) = word.split_once(':').unwrap_or(("0", word));
        Some((u64::from_str_radix(mvpd, 16).ok()?, KindSet(bits.parse().ok()?)))
    };
    words.split_whitespace().filter_map(read).collect()
}

/// The `LACKING` row after a change for one MVPD; `None` if the row stays as it is. Only one word is read and written,
/// because a large report changes the same row once for each of a hundred MVPDs.
pub(super) fn with_lacking(
    row: Option<&str>,
    mvpd: u64,
    change: impl FnOnce(KindSet) -> KindSet,
) -> Option<String> {
    let start = format!("{ROW_PREFIX}{LACKING}");
    let row = row.unwrap_or(&start);
    let name = format!(" {mvpd:016x}:");
    let at = memchr::memmem::find(row.as_bytes(), name.as_bytes()).unwrap_or(row.len());
    let (front, word) = row.split_at(at);
    let end = word.get(1..).and_then(|word| word.find(' ')).map_or(word.len(), |end| end + 1);
    let before = word[..end].strip_prefix(&name).and_then(|bits| bits.parse().ok());
    let before = KindSet(before.unwrap_or(0));
    let after = change(before);
    if after == before {
        return None;
    }
    let changed = if after == KindSet::default() { String::new() } else { format!("{name}{}", after.0) };
    let row = [front, &changed, &word[end..]].concat();
    (row.len() <= LACKING_BYTES_MAX).then_some(row)
}

/// Undoes the change from `before` to `after` in a row. Each of the three is a `LACKING` row, or empty.
pub fn lacking_without(row: &str, before: &str, after: &str) -> String {
    let (before, after) = (lacking(Some(before)), lacking(Some(after)));
    let mut row = row.to_owned();
    for mvpd in before.keys().chain(after.keys()) {
        let [before, after] = [&before, &after].map(|of| of.get(mvpd).copied().unwrap_or_default());
        let undo = |now: KindSet| now.without(after.without(before)).with(before.without(after));
        row = with_lacking(Some(&*row).filter(|row| !row.is_empty()), *mvpd, undo).unwrap_or(row);
    }
    row
}

/// The key under which unique accounts are kept as they were before an input changed them, and the key of the row with
/// the grouping of their hour, which the first input of that hour stored.
pub fn accounts_keys(stated: &StatedAccounts) -> (MemoryKey, MemoryKey) {
    let StatedAccounts { requestor_id, from, to, mvpd, dimensions, .. } = stated;
    let span = [from, to].map(|at| at.nanos().to_be_bytes());
    let parts =
        [requestor_id.as_str().as_bytes(), &span[0], &span[1], mvpd.as_bytes(), dimensions.as_bytes()];
    let hour = hour_key(GROUPING, requestor_id.as_str(), from.unix_hour());
    (Keyring::new(NO_SECRET).derived("accounts", &parts), hour)
}

/// A digest of an MVPD, the same for ESM's spelling and that of reports: case, white space and controls do not count.
/// With names instead of digests, the rows of a large report would be too long.
pub fn mvpd_digest(mvpd: &str) -> u64 {
    let is_shown = |letter: &char| {
        !letter.is_whitespace() && !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}')
    };
    let mut text = String::new();
    for letter in mvpd.chars().filter(is_shown).flat_map(char::to_lowercase) {
        if text.len() >= MVPD_BYTES_MAX {
            break;
        }
        text.push(letter);
    }
    start_of(Keyring::new(NO_SECRET).derived("mvpd", &[text.as_bytes()]))
}

/// The total of a row of a count.
pub fn counted_total(row: &str) -> Option<u64> {
    first_word(row)?.parse().ok()
}

/// Reads from an event's ID the key of the count that the event raised, and the totals before and after the event.
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

/// The grouping of an hour, and the clock on which it was counted if that is known.
pub(super) fn grouping_and_clock(row: &str) -> Option<(&str, Option<&str>)> {
    let word = first_word(row)?;
    Some(word.split_once('@').map_or((word, None), |(grouping, clock)| (grouping, Some(clock))))
}

/// Whether a row may still replace the stored row. Two ingests of one hour may read the same total before either stores
/// a new one; the second would then count the increase of the first again. So a row has the total before it, which must
/// be the stored total. The grouping of an hour never changes. Rows of lists always replace the stored ones.
pub fn follows_from(row: &str, stored: Option<&str>) -> bool {
    let known = stored.and_then(first_word);
    let grouping = |row| grouping_and_clock(row).map(|(grouping, _)| grouping);
    match row.split(' ').collect::<Vec<_>>()[..] {
        [_, LACKING | SPELLED | CLOCKS, ..] => true,
        [_, _, before] => known.unwrap_or("0") == before,
        _ => known.is_none() || stored.and_then(grouping) == grouping(row),
    }
}
