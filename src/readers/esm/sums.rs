//! Records that sum up others of a report. `GROUP BY ROLLUP` and `CUBE` add records that lack a value of a dimension and
//! have the numbers of all records that have one. Spreadsheets and pivot tables give such a record a name.
//!
//! ```text
//! M 5, N 3, (blank) 8     the last one is a sum        M 5, N 3, (blank) 2     the last one is of an unknown MVPD
//! M 61, N 40, Razem 101   so is the last one, if it has the sums of the others in nearly all its hours
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};

use super::fields::{ACCOUNTS, METRICS, REJECTED};
use super::record::Grouping;
use super::report::{ALWAYS_NAMED, Record};
use super::respelt::digest_of;
use super::time::{Pass, local_time_with};
use crate::event::{is_no_value, whole_number};
use crate::harmless::clip;
use crate::readers::totals::{plain, total_of};

/// The most comparisons of records. A set of blank dimensions takes one for each record, and one more for each record
/// and dimension. Up to 7 dimensions, a report of 10,000 records has no more sets than that; of any other report, the
/// most frequent sets are looked at.
const COMPARED_MAX: usize = 20_000_000;
/// Numbers whose sum is below this may be equal by chance. Such a record is taken for a sum unless most records with the
/// same blanks are none.
const CHANCE_UNITS: u64 = 20;
/// A named value is a sum if its numbers, each counted once, have `SURE_BITS` binary digits together: by chance, so many
/// are equal in one of 65,000 cases. From `LIKELY_BITS` on (one of 32 cases) it may be a sum: then a note says so.
const SURE_BITS: u32 = 16;
const LIKELY_BITS: u32 = 5;
/// How many of the numbers of a record add up; the last one is its unique accounts.
const COUNTED: usize = METRICS.len() + 1;
type Numbers = [u64; COUNTED + 1];

/// A record that may be a sum. Its parts are the records that have a value where it has none. `parts` has their sums: for
/// each set of blanks, the sum of the parts with that set; for the record's own set, that of all parts that are no sums.
struct Candidate {
    index: usize,
    parts: BTreeMap<u64, Numbers>,
}

/// A value of a dimension that has the sums of all other values in some places.
#[derive(Default)]
struct Likely {
    first: usize,
    sums: usize,
    /// In how many places it stands beside two others or more.
    places: usize,
    bits: u32,
    seen: Vec<Numbers>,
}

/// A record that repeats none.
struct Row {
    index: usize,
    /// The dimensions without a value: a bit for each, in the order of names.
    blanks: u64,
    /// The sum of the digests of its time and of its dimensions.
    place: u64,
    /// The sum of its numbers that add up.
    units: u64,
}

/// The records of a report, and digests of their dimensions.
struct Rows<'r> {
    names: Vec<&'r str>,
    all: Vec<Row>,
    digests: Vec<u64>,
}

impl Grouping {
    /// Marks records that sum up others of the same time. Returns a record that may be one, as text for people, with its
    /// number.
    pub(super) fn mark_sums(&self, records: &[Record], passes: &mut [Pass]) -> Option<(u64, String)> {
        let rows = self.rows(records, passes);
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for row in rows.all.iter().filter(|row| row.blanks > 0) {
            *counts.entry(row.blanks).or_default() += 1;
        }
        let mut sets: Vec<u64> = counts.keys().copied().collect();
        sets.sort_by_key(|blanks| std::cmp::Reverse(counts[blanks]));
        sets.truncate(COMPARED_MAX / (rows.digests.len() + rows.all.len()).max(1));
        sets.push(0);
        // A sum of few records comes before a sum of such sums.
        sets.sort_by_key(|blanks| blanks.count_ones());
        let mut likely = None;
        for blanks in sets {
            for (index, bit) in sums_of(blanks, &rows, records, passes) {
                passes[index] = Pass::Sum(bit);
            }
            for bit in (0..rows.names.len()).filter(|bit| (blanks >> bit) & 1 == 0) {
                likely = rows.mark_named(blanks, bit, records, passes).or(likely);
            }
        }
        likely
    }

    /// The records that repeat none. Those with the name of a total are marked.
    fn rows<'r>(&'r self, records: &[Record], passes: &mut [Pass]) -> Rows<'r> {
        let names: Vec<&str> = self.dimensions().take(64).collect();
        let mut rows = Rows { all: Vec::with_capacity(records.len()), digests: Vec::new(), names };
        let (mut known, mut owners, mut totals) = (HashSet::new(), HashSet::new(), HashMap::new());
        for (index, record) in
            records.iter().enumerate().filter(|(index, _)| passes[*index] != Pass::Repeated)
        {
            let Some(mut place) = time_of(record, passes[index]) else { continue };
            let mut blanks = 0;
            for (bit, name) in rows.names.iter().enumerate() {
                let value = record.field(name).filter(|text| !is_no_value(text));
                blanks |= u64::from(value.is_none()) << bit;
                let digest = digest_of(&(bit, value));
                place = place.wrapping_add(digest);
                rows.digests.push(digest);
                let Some(text) = value.filter(|_| ALWAYS_NAMED.contains(name) && known.insert(digest)) else {
                    continue;
                };
                if *name == "requestor-id" {
                    owners.insert(plain(text));
                }
                if let Some(of) = total_of(text) {
                    totals.insert(digest, of);
                }
            }
            let units =
                numbers(record)[..COUNTED].iter().fold(0, |sum: u64, number| sum.saturating_add(*number));
            rows.all.push(Row { index, blanks, place, units });
        }
        owners.extend(rows.names.iter().map(|name| plain(name)));
        owners.extend(["", "mvpds", "requestor", "requestors"].map(str::to_owned));
        totals.retain(|_, of| owners.contains(of));
        for (row, digests) in rows.all.iter().zip(rows.digests.chunks(rows.names.len().max(1))) {
            if let Some(bit) = digests.iter().position(|digest| totals.contains_key(digest)) {
                passes[row.index] = Pass::Sum(bit as u8);
            }
        }
        rows
    }

    /// Why a record is refused that sums up others. `bit` is the dimension that it lacks and they have, or that has the
    /// name of a total.
    pub(super) fn sum(&self, record: &Record, bit: u8) -> String {
        let name = self.dimensions().nth(bit.into()).unwrap_or_default();
        let column = name.replace('-', "_");
        match record.field(name).filter(|text| !is_no_value(text)) {
            Some(text) => format!(
                "has {name} {:?}: it sums up other records, and would count them again; take such records out",
                clip(text)
            ),
            None => format!(
                "has no {name}, and its numbers are the sums of the other records of its time: GROUP BY ROLLUP and CUBE add such records, \
                 which would count all of them again; take them out (WHERE {column} IS NOT NULL); if it is no sum, name its {name}"
            ),
        }
    }
}

impl Rows<'_> {
    /// A digest of the time and the dimensions of a record but these.
    fn place(&self, at: usize, but: u64) -> u64 {
        (0..self.names.len())
            .filter(|bit| (but >> bit) & 1 == 1)
            .fold(self.all[at].place, |place, bit| place.wrapping_sub(self.digest(at, bit)))
    }

    fn digest(&self, at: usize, bit: usize) -> u64 {
        self.digests[at * self.names.len() + bit]
    }

    /// Marks the records with these blanks whose value of the dimension `bit` has, in nearly all its places, the sums of
    /// all other values there. Returns a record whose value only may be a sum: its number, and a text for people.
    fn mark_named(
        &self,
        blanks: u64,
        bit: usize,
        records: &[Record],
        passes: &mut [Pass],
    ) -> Option<(u64, String)> {
        let is_of = |row: &Row| {
            row.blanks & !blanks == 0 && row.units > 0 && !matches!(passes[row.index], Pass::Sum(_))
        };
        let at = (0..self.all.len()).filter(|at| is_of(&self.all[*at]));
        let mut placed: Vec<(u64, usize)> = at.map(|at| (self.place(at, blanks | 1 << bit), at)).collect();
        placed.sort_unstable();
        let places = || placed.chunk_by(|one, other| one.0 == other.0).filter(|place| place.len() > 2);
        let is_candidate = |at: &usize| self.all[*at].blanks == blanks;
        let mut likely: HashMap<u64, Likely> = HashMap::new();
        for place in places() {
            let candidates = place.iter().map(|(_, at)| *at).filter(is_candidate);
            let Some(top) = candidates.max_by_key(|at| self.all[*at].units) else { continue };
            let units = place.iter().fold(0, |sum: u64, (_, at)| sum.saturating_add(self.all[*at].units));
            if units / 2 != self.all[top].units {
                continue;
            }
            let all = place.iter().map(|(_, at)| numbers(&records[self.all[*at].index]));
            let sums = all.fold(Numbers::default(), added);
            let own = numbers(&records[self.all[top].index]);
            if (0..COUNTED).all(|at| sums[at] == own[at].saturating_mul(2)) {
                likely.entry(self.digest(top, bit)).or_default().see(top, own);
            }
        }
        if likely.is_empty() {
            return None;
        }
        for at in places().flatten().map(|(_, at)| *at).filter(is_candidate) {
            likely.entry(self.digest(at, bit)).and_modify(|value| value.places += 1);
        }
        for row in (0..self.all.len()).filter(is_candidate) {
            if likely.get(&self.digest(row, bit)).is_some_and(Likely::is_sure) {
                passes[self.all[row].index] = Pass::Sum(bit as u8);
            }
        }
        let doubtful = likely.into_values().filter(|value| !value.is_sure() && value.is_told());
        doubtful.min_by_key(|value| value.first).map(|Likely { first, sums, places, .. }| {
            let (record, name) = (&records[self.all[first].index], self.names[bit]);
            let text = clip(record.field(name).unwrap_or_default());
            (
                record.number,
                format!("{name} {text:?} has the sums of all others in {sums} of {places} places"),
            )
        })
    }
}

impl Likely {
    fn see(&mut self, at: usize, own: Numbers) {
        if self.sums == 0 {
            self.first = at;
        }
        self.sums += 1;
        if self.bits < SURE_BITS && !self.seen.contains(&own) {
            let mut numbers = own[..COUNTED].to_vec();
            numbers.sort_unstable();
            numbers.dedup();
            self.bits += numbers.into_iter().map(|number| (number + 1).ilog2()).sum::<u32>();
            self.seen.push(own);
        }
    }

    fn is_sure(&self) -> bool {
        self.bits >= SURE_BITS && self.sums * 10 >= self.places * 9
    }

    fn is_told(&self) -> bool {
        self.bits >= LIKELY_BITS && self.sums * 2 >= self.places
    }
}

fn added(sums: Numbers, numbers: Numbers) -> Numbers {
    std::array::from_fn(|at| sums[at].saturating_add(numbers[at]))
}

/// A digest of a record's time. A time that cannot be read is refused elsewhere.
fn time_of(record: &Record, pass: Pass) -> Option<u64> {
    let is_day = record.field("hour").is_none();
    let local = local_time_with(record, [None, is_day.then_some(0)]).ok()?;
    Some(digest_of(&(local, is_day, record.field("utc-offset"), pass == Pass::Second)))
}

/// The records with these blanks that are sums, each with a dimension that it lacks and its parts have.
fn sums_of(blanks: u64, rows: &Rows<'_>, records: &[Record], passes: &[Pass]) -> Vec<(usize, u8)> {
    if blanks == 0 {
        return Vec::new();
    }
    let mut candidates: HashMap<u64, Candidate> = HashMap::new();
    for (at, row) in rows.all.iter().enumerate().filter(|(_, row)| row.blanks == blanks) {
        candidates.insert(rows.place(at, blanks), Candidate { index: row.index, parts: BTreeMap::new() });
    }
    let is_part = |(_, row): &(usize, &Row)| row.blanks != blanks && row.blanks & !blanks == 0;
    for (at, row) in rows.all.iter().enumerate().filter(is_part) {
        let Some(candidate) = candidates.get_mut(&rows.place(at, blanks)) else { continue };
        let numbers = numbers(&records[row.index]);
        let is_sum = matches!(passes[row.index], Pass::Sum(_));
        for key in [Some(row.blanks), (!is_sum).then_some(blanks)].into_iter().flatten() {
            let sums = candidate.parts.entry(key).or_default();
            *sums = added(*sums, numbers);
        }
    }
    let (mut sums, mut others) = (Vec::new(), 0);
    for Candidate { index, parts } in candidates.into_values() {
        let own = numbers(&records[index]);
        // Unique accounts do not add up, so they are compared only if the record has no other number.
        let units: u64 = own[..COUNTED].iter().fold(0, |sum, number| sum.saturating_add(*number));
        let compared = if units > 0 { 0..COUNTED } else { COUNTED..own.len() };
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

fn numbers(record: &Record) -> Numbers {
    let names = METRICS.into_iter().map(|(name, _)| name).chain([REJECTED, ACCOUNTS]);
    let mut numbers = Numbers::default();
    for (number, name) in numbers.iter_mut().zip(names) {
        *number = record.field(name).and_then(whole_number).unwrap_or(0);
    }
    numbers
}
