//! A clock that is set back shows one hour twice. The pass of a record says which of the two hours it belongs to.
//!
//! ```text
//! report by time     00:50  01:10  01:45 | 01:05  01:45  02:00      the clock goes back where the time falls,
//!                    M 0h   M 1h   N 1h  | M 1h          M 2h       or between two equal hours of one MVPD (M, N)
//! ```
//!
//! If a report is in the order of time, the place where its time falls separates the two hours. If a report is in
//! another order, the records with equal dimensions may still be in the order of time. Otherwise the pass is unknown,
//! and a guess could count an hour twice.

use std::collections::HashMap;
use std::fmt::Display;

use chrono::{LocalResult, NaiveDateTime, NaiveTime, TimeZone};

use super::record::Grouping;
use super::report::Record;
use super::time::{Pass, day_alone, local_time};
use crate::readers::memory::Keyring;

/// The pass of each record.
pub(super) struct Passes {
    pub(super) of: Vec<Pass>,
    /// Records of the first hour, each with the record of the second hour that has the same dimensions.
    pub(super) twins: HashMap<usize, usize>,
}

/// A record of an hour that the clock shows twice.
struct Shown {
    index: usize,
    local: NaiveDateTime,
    dimensions: [u8; 16],
}

/// The local time and the digest of the dimensions of a record.
type Moment = (NaiveDateTime, [u8; 16]);

impl Grouping {
    /// Finds the pass of each record. If two records differ although their time and dimensions are equal, or a text
    /// stands in the place of a number, the report groups by an unknown dimension: then no count has an identity, and
    /// the result is the number of that record and the reason.
    pub(super) fn passes(&self, records: &[Record]) -> Result<Passes, (u64, String)> {
        let keyring = Keyring::new(b"");
        let mut known: HashMap<Moment, usize> = HashMap::with_capacity(records.len());
        let mut second: HashMap<Moment, usize> = HashMap::new();
        let mut moments: Vec<Option<Moment>> = Vec::with_capacity(records.len());
        let mut passes = Passes { of: vec![Pass::First; records.len()], twins: HashMap::new() };
        let (mut shown, mut repeated) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            self.refuse_unknown_text(record)?;
            // A time that cannot be read is refused later, when the record is counted.
            let (time, is_day) = match day_alone(record) {
                Ok(Some(day)) => (Ok(day.and_time(NaiveTime::MIN)), true),
                Ok(None) | Err(_) => (local_time(record), false),
            };
            let Ok(local) = time else {
                moments.push(None);
                continue;
            };
            let values: Vec<&[u8]> =
                self.dimensions().map(|name| record.field(name).unwrap_or("").as_bytes()).collect();
            let moment = (local, keyring.derived(if is_day { "day" } else { "cell" }, &values).0);
            moments.push(Some(moment));
            let is_shown_twice = !is_day
                && matches!(self.config.timezone.0.from_local_datetime(&local), LocalResult::Ambiguous(..));
            let first = *known.entry(moment).or_insert(index);
            if is_shown_twice && record.has_name("utc-offset") {
                passes.of[index] = Pass::Told;
            } else if is_shown_twice {
                let twin = (first != index).then(|| *second.entry(moment).or_insert(index));
                match twin.filter(|twin| *twin != index) {
                    None => shown.push(Shown { index, local, dimensions: moment.1 }),
                    // A third record must repeat one of the two, as overlapping pages do.
                    Some(twin) => {
                        let like = [first, twin].into_iter().find(|at| records[*at].is_like(record));
                        repeated.push((index, like.ok_or_else(|| same_cell(record, &records[first]))?));
                    }
                }
            } else if first != index && !records[first].is_like(record) {
                return Err(same_cell(record, &records[first]));
            }
        }
        resolve(&shown, &moments, &mut passes);
        for (index, like) in repeated {
            passes.of[index] = passes.of[like];
        }
        Ok(passes)
    }
}

/// Why a record with an unknown pass is held back.
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
        "has the hour and the dimensions of record {}: the report groups by something that is neither a known dimension nor a \
         metric; name it in esm.dimensions",
        first.number
    );
    (record.number, what)
}

/// Finds the pass of each record whose hour the clock shows twice.
fn resolve(shown: &[Shown], moments: &[Option<Moment>], passes: &mut Passes) {
    if shown.is_empty() {
        return;
    }
    // How often the time rises and falls between neighbours: of all records, and of those with the same dimensions.
    let (mut all, mut alike, mut has_foreign_fall) = (Turns::default(), Turns::default(), [false; 2]);
    let is_shown = |index: usize| shown.binary_search_by_key(&index, |each| each.index).is_ok();
    let mut before: Option<(usize, Moment)> = None;
    for (index, moment) in moments.iter().enumerate().filter_map(|(index, moment)| Some((index, (*moment)?)))
    {
        if let Some((last, one)) = before {
            all.see(one.0, moment.0);
            if one.1 == moment.1 {
                alike.see(one.0, moment.0);
            }
            // The time changes outside the repeated hour. If it falls there, the report is not in the order of time.
            if one.0 != moment.0 && !(is_shown(last) && is_shown(index)) {
                has_foreign_fall[usize::from(moment.0 > one.0)] = true;
            }
        }
        before = Some((index, moment));
    }
    let is_backwards = all.falls > all.rises;
    if !has_foreign_fall[usize::from(is_backwards)] {
        settle(shown.iter().collect(), is_backwards, all.tells(), passes);
        return;
    }
    let mut groups: HashMap<[u8; 16], Vec<&Shown>> = HashMap::new();
    shown.iter().for_each(|each| groups.entry(each.dimensions).or_default().push(each));
    groups.into_values().for_each(|group| settle(group, alike.falls > alike.rises, alike.tells(), passes));
}

#[derive(Default)]
struct Turns {
    rises: u64,
    falls: u64,
}

impl Turns {
    fn see(&mut self, one: NaiveDateTime, next: NaiveDateTime) {
        self.rises += u64::from(next > one);
        self.falls += u64::from(next < one);
    }

    /// Whether rises and falls show the order of the records.
    fn tells(&self) -> bool {
        self.rises != self.falls
    }
}

/// Finds where the clock was set back, in records in the order of time: records before that place are of the first
/// hour, records after it of the second. Otherwise only two records with the same time and dimensions get a pass.
fn settle(mut shown: Vec<&Shown>, is_backwards: bool, is_order_known: bool, passes: &mut Passes) {
    if is_backwards {
        shown.reverse();
    }
    // How many records are certainly of the first hour, and the index of the first that is certainly of the second.
    let (mut before, mut behind, mut pairs) = (0, shown.len(), vec![None; shown.len()]);
    let mut cells: HashMap<Moment, usize> = HashMap::new();
    for (place, each) in shown.iter().enumerate() {
        if place > 0 && each.local < shown[place - 1].local {
            (before, behind) = (before.max(place), behind.min(place));
        }
        if let Some(first) = cells.insert((each.local, each.dimensions), place) {
            (before, behind) = (before.max(first + 1), behind.min(place));
            (pairs[first], pairs[place]) = (Some(Pass::First), Some(Pass::Second));
            passes.twins.insert(shown[first].index, each.index);
        }
    }
    let is_certain = is_order_known && before > 0 && before <= behind;
    for (place, each) in shown.iter().enumerate() {
        passes.of[each.index] = match pairs[place] {
            Some(pass) => pass,
            None if is_certain && place < before => Pass::First,
            None if is_certain && place >= behind => Pass::Second,
            None => Pass::Unknown,
        };
    }
}
