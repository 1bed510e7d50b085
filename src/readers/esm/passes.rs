//! A clock that is set back shows one hour twice. The pass of a record says to which of the two hours it belongs.
//!
//! ```text
//! report by time     00:50  01:10  01:45 | 01:05  01:45  02:00      the clock goes back where the time falls,
//!                    M 0h   M 1h   N 1h  | M 1h          M 2h       or where an MVPD (M or N) has an equal hour
//! ```
//!
//! If a report is in the order of time, the second hour begins where its time falls. If a report is in another order,
//! all records with equal dimensions may still be in the order of time. Otherwise the pass is unknown: a guess could
//! count an hour twice, or swap the two hours.

use std::collections::HashMap;
use std::fmt::Display;

use chrono::{LocalResult, NaiveDateTime, TimeZone};

use super::record::Grouping;
use super::report::Record;
use super::time::{Pass, local_time, local_time_with};
use crate::readers::memory::Keyring;

/// A record without `utc-offset` of an hour that the clock shows twice.
struct Shown {
    index: usize,
    local: NaiveDateTime,
    dimensions: [u8; 16],
}

/// The pass of each record, and the first value that may sum up others: its record, and a text for people.
pub(super) struct Passes {
    pub(super) all: Vec<Pass>,
    pub(super) likely_sum: Option<(u64, String)>,
}

/// The local time and the digest of the dimensions of a record.
type Moment = (NaiveDateTime, [u8; 16]);

impl Grouping {
    /// Finds the pass of each record. Fails with the number of a record and the reason if the report groups by an
    /// unknown dimension, because its counts then have no identity. Signs of such a dimension are a text in the place
    /// of a number, and two different records with the same time and dimensions.
    pub(super) fn passes(&self, records: &[Record]) -> Result<Passes, (u64, String)> {
        let keyring = Keyring::new(b"");
        let mut known: HashMap<Moment, usize> = HashMap::with_capacity(records.len());
        let mut second: HashMap<Moment, usize> = HashMap::new();
        let mut moments: Vec<(usize, Moment)> = Vec::with_capacity(records.len());
        let mut passes = vec![Pass::First; records.len()];
        let mut shown = Vec::new();
        for (index, record) in records.iter().enumerate() {
            self.refuse_unknown_text(record)?;
            // A time that cannot be read is refused later, when the record is counted.
            let is_day = record.field("hour").is_none();
            let Ok(local) = local_time_with(record, [None, is_day.then_some(0)]) else { continue };
            let values: Vec<&[u8]> =
                self.dimensions().map(|name| record.field(name).unwrap_or("").as_bytes()).collect();
            let moment = (local, keyring.derived(if is_day { "day" } else { "cell" }, &values).0);
            let is_shown_twice = !is_day
                && matches!(self.config.timezone.0.from_local_datetime(&local), LocalResult::Ambiguous(..));
            let first = *known.entry(moment).or_insert(index);
            if is_shown_twice && record.field("utc-offset").is_some() {
                passes[index] = Pass::Told;
            } else if is_shown_twice {
                let twin = (first != index).then(|| *second.entry(moment).or_insert(index));
                match twin.filter(|twin| *twin != index) {
                    None => shown.push(Shown { index, local, dimensions: moment.1 }),
                    // A third record is accepted only if it repeats one of the two, as in pages that overlap.
                    Some(twin) if [first, twin].iter().any(|at| records[*at].is_like(record)) => {
                        passes[index] = Pass::Repeated;
                        continue;
                    }
                    Some(_) => return Err(same_cell(record, &records[first])),
                }
            } else if first != index {
                if !records[first].is_like(record) {
                    return Err(same_cell(record, &records[first]));
                }
                // A page that repeats records of the page before does not change their order.
                passes[index] = Pass::Repeated;
                continue;
            }
            moments.push((index, moment));
        }
        resolve(&shown, &moments, &mut passes);
        // Both are as long as the report, and the search for sums needs as much.
        drop((known, moments));
        let likely_sum = self.mark_sums(records, &mut passes);
        Ok(Passes { all: passes, likely_sum })
    }
}

/// Why a record with an unknown pass is refused.
pub(super) fn in_doubt(record: &Record, zone: impl Display) -> String {
    let local = local_time(record).map_or(String::new(), |local| local.to_string());
    format!(
        "is of {local}, which the clock of {zone} shows twice that night, and the report does not say which of the two: read \
         one that has both in the order of time, or give the record a utc-offset such as -08:00; where the reports have no \
         summer time, set esm.timezone to a zone without"
    )
}

fn same_cell(record: &Record, first: &Record) -> (u64, String) {
    let what = format!(
        "has the hour and the dimensions of record (in CSV: line) {}, and other numbers: two fetches of one hour stand in one file, which \
         are to be ingested one after the other; or the report groups by something that is neither a known dimension nor a metric, to be named in esm.dimensions",
        first.number
    );
    (record.number, what)
}

/// Finds the pass of each record whose hour the clock shows twice.
fn resolve(shown: &[Shown], moments: &[(usize, Moment)], passes: &mut [Pass]) {
    if shown.is_empty() {
        return;
    }
    // From one record to the next, how often the time rises and falls: in all (`all`); within a day but not within the
    // repeated hour (`outside`); as `outside`, but among records with equal dimensions (`alike`). Days may be unsorted.
    let [mut all, mut outside, mut alike] = <[Turns; 3]>::default();
    let is_shown = |index: usize| shown.binary_search_by_key(&index, |each| each.index).is_ok();
    let mut last: HashMap<Option<[u8; 16]>, (bool, NaiveDateTime)> = HashMap::new();
    for (index, (local, dimensions)) in moments {
        let is_inside = is_shown(*index);
        let mut before = |dimensions| last.insert(dimensions, (is_inside, *local));
        let is_outside = |(was_inside, before): &(bool, NaiveDateTime)| {
            before.date() == local.date() && !(*was_inside && is_inside)
        };
        let (any, same) = (before(None), before(Some(*dimensions)));
        all.see(any, *local);
        outside.see(any.filter(is_outside), *local);
        alike.see(same.filter(is_outside), *local);
    }
    // If the report has no other hour of these days, the time falls at most once: where the clock goes back.
    let is_alone = outside.rises == 0 && outside.falls == 0;
    let is_sorted =
        outside.is_one_way() || is_alone && all.rises != all.falls && all.rises.min(all.falls) <= 1;
    if is_sorted || !alike.is_one_way() {
        let is_backwards = if is_alone { all.falls > all.rises } else { outside.falls > 0 };
        settle(shown.iter().collect(), is_backwards, is_sorted, passes);
        return;
    }
    let mut groups: HashMap<[u8; 16], Vec<&Shown>> = HashMap::new();
    shown.iter().for_each(|each| groups.entry(each.dimensions).or_default().push(each));
    groups.into_values().for_each(|group| settle(group, alike.falls > 0, true, passes));
}

/// How often the time rises and falls.
#[derive(Default)]
struct Turns {
    rises: u64,
    falls: u64,
}

impl Turns {
    fn see(&mut self, before: Option<(bool, NaiveDateTime)>, next: NaiveDateTime) {
        self.rises += u64::from(before.is_some_and(|(_, before)| next > before));
        self.falls += u64::from(before.is_some_and(|(_, before)| next < before));
    }

    fn is_one_way(&self) -> bool {
        (self.rises == 0) != (self.falls == 0)
    }
}

/// Finds where the clock was set back, in records in the order of time. Records before that place are of the first
/// hour, records after it of the second. If the order is unknown, so are all passes. If the place is uncertain, because
/// all pairs with equal time and dimensions stand side by side and the time never falls, only these pairs get a pass.
fn settle(mut shown: Vec<&Shown>, is_backwards: bool, is_order_known: bool, passes: &mut [Pass]) {
    if !is_order_known {
        shown.iter().for_each(|each| passes[each.index] = Pass::Unknown);
        return;
    }
    if is_backwards {
        shown.reverse();
    }
    // How many records surely are of the first hour, and the index from which all are of the second.
    let (mut before, mut behind, mut pairs) = (0, shown.len(), vec![None; shown.len()]);
    let (mut cells, mut is_proved) = (HashMap::<Moment, usize>::new(), false);
    for (place, each) in shown.iter().enumerate() {
        if place > 0 && each.local < shown[place - 1].local {
            is_proved = true;
            (before, behind) = (before.max(place), behind.min(place));
        }
        if let Some(first) = cells.insert((each.local, each.dimensions), place) {
            is_proved |= place > first + 1;
            (before, behind) = (before.max(first + 1), behind.min(place));
            (pairs[first], pairs[place]) = (Some(Pass::First), Some(Pass::Second));
        }
    }
    let is_certain = is_proved && before > 0 && before <= behind;
    for (place, each) in shown.iter().enumerate() {
        passes[each.index] = match pairs[place] {
            Some(pass) => pass,
            None if is_certain && place < before => Pass::First,
            None if is_certain && place >= behind => Pass::Second,
            None => Pass::Unknown,
        };
    }
}
