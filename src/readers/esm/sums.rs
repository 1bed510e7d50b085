//! Records that sum up others of a report, as `GROUP BY ROLLUP` and `CUBE` add them. They lack a value of a dimension,
//! and have the numbers of all records that have one.
//!
//! ```text
//! M 5, N 3, (blank) 8     the last one is a sum        M 5, N 3, (blank) 2     the last one is of an unknown MVPD
//! ```

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fields::{ACCOUNTS, METRICS, REJECTED};
use super::record::Grouping;
use super::report::Record;
use super::time::{Pass, local_time_with};
use crate::event::{is_no_value, whole_number};

/// The most records that are compared, each once for each set of blank dimensions. Reports of 10,000 records never have
/// so many sets; of a larger one, the most frequent sets are looked at.
const COMPARED_MAX: usize = 20_000_000;
/// Numbers whose sum is below this may be equal by chance. Such a record is taken for a sum unless most records with the
/// same blanks are none.
const CHANCE_UNITS: u64 = 20;
/// The numbers of a record: metrics that add up, and at the end its unique accounts.
type Numbers = [u64; METRICS.len() + 2];

/// A record that may be a sum, with the sums of the records that have values where it has none, by their own blanks.
/// Under its own blanks are all of them that are no sums themselves.
struct Candidate {
    index: usize,
    parts: BTreeMap<u64, Numbers>,
}

impl Grouping {
    /// Marks records that sum up others of the same time.
    pub(super) fn mark_sums(&self, records: &[Record], passes: &mut [Pass]) {
        let names: Vec<&str> = self.dimensions().take(64).collect();
        let blanks_of = |record: &Record| {
            (0..)
                .zip(&names)
                .fold(0, |all, (bit, name)| all | (u64::from(value(record, name).is_none()) << bit))
        };
        let rows: Vec<(usize, u64)> = (0..records.len())
            .filter(|index| passes[*index] != Pass::Repeated)
            .map(|index| (index, blanks_of(&records[index])))
            .collect();
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, blanks) in rows.iter().filter(|(_, blanks)| *blanks > 0) {
            *counts.entry(*blanks).or_default() += 1;
        }
        let mut sets: Vec<u64> = counts.keys().copied().collect();
        sets.sort_by_key(|blanks| std::cmp::Reverse(counts[blanks]));
        sets.truncate(COMPARED_MAX / rows.len().max(1));
        // A sum of few records comes before a sum of such sums.
        sets.sort_by_key(|blanks| blanks.count_ones());
        for blanks in sets {
            let named: Vec<&str> = (0..)
                .zip(&names)
                .filter(|(bit, _)| (blanks >> bit) & 1 == 0)
                .map(|(_, name)| *name)
                .collect();
            for (index, bit) in
                sums_of(blanks, &rows, |index| place(&records[index], passes[index], &named), records, passes)
            {
                passes[index] = Pass::Sum(bit);
            }
        }
    }

    /// Why a record is refused that sums up others. `bit` is the dimension that it lacks and they have.
    pub(super) fn sum(&self, bit: u8) -> String {
        let name = self.dimensions().nth(bit.into()).unwrap_or_default();
        let column = name.replace('-', "_");
        format!(
            "has no {name}, and its numbers are the sums of the other records of its time: GROUP BY ROLLUP and CUBE add such records, \
             which would count all of them again; take them out (WHERE {column} IS NOT NULL); if it is no sum, name its {name}"
        )
    }
}

/// The records with these blanks that are sums, each with a dimension that it lacks and its parts have.
fn sums_of(
    blanks: u64,
    rows: &[(usize, u64)],
    place: impl Fn(usize) -> Option<u64>,
    records: &[Record],
    passes: &[Pass],
) -> Vec<(usize, u8)> {
    let mut candidates: HashMap<u64, Candidate> = HashMap::new();
    for (index, _) in rows.iter().filter(|(_, its)| *its == blanks) {
        let candidate = Candidate { index: *index, parts: BTreeMap::new() };
        candidates.extend(place(*index).map(|place| (place, candidate)));
    }
    for (index, its) in rows.iter().filter(|(_, its)| *its != blanks && its & !blanks == 0) {
        let Some(candidate) = place(*index).and_then(|place| candidates.get_mut(&place)) else { continue };
        let numbers = numbers(&records[*index]);
        let is_sum = matches!(passes[*index], Pass::Sum(_));
        for key in [Some(*its), (!is_sum).then_some(blanks)].into_iter().flatten() {
            let sums = candidate.parts.entry(key).or_default();
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.saturating_add(number));
        }
    }
    let (mut sums, mut others) = (Vec::new(), 0);
    for Candidate { index, parts } in candidates.into_values() {
        let own = numbers(&records[index]);
        // Unique accounts do not add up, so they are compared only if the record has no other number.
        let counted = METRICS.len() + 1;
        let units: u64 = own[..counted].iter().fold(0, |sum, number| sum.saturating_add(*number));
        let compared = if units > 0 { 0..counted } else { counted..own.len() };
        let is_sum = |sums: &Numbers| sums[compared.clone()] == own[compared.clone()];
        if own == Numbers::default() || parts.is_empty() {
            continue;
        }
        if parts.values().any(is_sum) {
            let named = parts.keys().map(|its| blanks & !its).find(|named| *named > 0).unwrap_or(blanks);
            sums.push((index, named.trailing_zeros() as u8, units));
        } else {
            others += 1;
        }
    }
    let is_chance = sums.len() < others;
    sums.retain(|(.., units)| !is_chance || *units >= CHANCE_UNITS);
    sums.into_iter().map(|(index, bit, _)| (index, bit)).collect()
}

/// A value of a dimension; `None` if it is blank, or a word of a database for none.
fn value<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.field(name).filter(|text| !is_no_value(text))
}

/// A digest of a record's time and of these dimensions. A time that cannot be read is refused elsewhere.
fn place(record: &Record, pass: Pass, named: &[&str]) -> Option<u64> {
    let is_day = record.field("hour").is_none();
    let local = local_time_with(record, [None, is_day.then_some(0)]).ok()?;
    let mut digest = DefaultHasher::new();
    (local, is_day, record.field("utc-offset"), pass == Pass::Second).hash(&mut digest);
    named.iter().for_each(|name| value(record, name).hash(&mut digest));
    Some(digest.finish())
}

fn numbers(record: &Record) -> Numbers {
    let names = METRICS.into_iter().map(|(name, _)| name).chain([REJECTED, ACCOUNTS]);
    let mut numbers = Numbers::default();
    for (number, name) in numbers.iter_mut().zip(names) {
        *number = record.field(name).and_then(whole_number).unwrap_or(0);
    }
    numbers
}
