//! MVPDs that were counted before, and that a later report of the same hour no longer has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::kept::{GROUPING, hour_key};
use super::record::Grouping;
use super::respelt::folded;
use crate::event::{Instant, KindSet};
use crate::harmless::clip;
use crate::readers::memory::{CountedMvpd, MemoryKey, MemoryResult, Recollection};

/// The hours of a report that were counted before it.
#[derive(Default)]
pub(super) struct SeenHours(BTreeMap<i64, SeenHour>);

/// What was counted in an hour before this report, by requestor and MVPD, and what this report has of each requestor.
struct SeenHour {
    counted: Vec<CountedMvpd>,
    requestors: BTreeMap<String, SeenRequestor>,
}

/// What a report has of a requestor in an hour.
#[derive(Default)]
pub(super) struct SeenRequestor {
    /// By the folded name of each MVPD: the units of its records that were counted before.
    known: BTreeMap<Rc<str>, u64>,
    spellings: BTreeSet<String>,
    units: u64,
}

impl SeenRequestor {
    /// Adds the units of a record of this MVPD, of which `known` were counted before. `folded` is its folded name.
    pub(super) fn add(&mut self, mvpd: &str, folded: Rc<str>, units: u64, known: u64) {
        *self.known.entry(folded).or_default() += known;
        if !self.spellings.contains(mvpd) {
            self.spellings.insert(mvpd.to_owned());
        }
        self.units += units;
    }
}

impl SeenHours {
    /// The kinds of events that were counted of a requestor in an hour before this report; `None` if nothing tells.
    pub(super) fn kinds(
        &mut self,
        requestor_id: &str,
        hour: i64,
        memory: &mut Recollection,
    ) -> MemoryResult<Option<KindSet>> {
        let counted =
            self.hour(hour, memory)?.counted.iter().filter(|mvpd| mvpd.requestor_id == requestor_id);
        Ok(counted.map(|mvpd| mvpd.kinds).reduce(KindSet::with))
    }

    /// What the report has of a requestor in an hour.
    pub(super) fn of(
        &mut self,
        requestor_id: &str,
        hour: i64,
        memory: &mut Recollection,
    ) -> MemoryResult<&mut SeenRequestor> {
        let requestors = &mut self.hour(hour, memory)?.requestors;
        if !requestors.contains_key(requestor_id) {
            requestors.insert(requestor_id.to_owned(), SeenRequestor::default());
        }
        Ok(requestors.get_mut(requestor_id).expect("it was inserted"))
    }

    fn hour(&mut self, hour: i64, memory: &mut Recollection) -> MemoryResult<&mut SeenHour> {
        Ok(match self.0.entry(hour) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(new) => {
                new.insert(SeenHour { counted: memory.counted(hour)?, requestors: BTreeMap::new() })
            }
        })
    }

    /// Each MVPD that was counted in an hour, if the report repeats that hour without the MVPD, spells it in another
    /// way, or lacks some of its counted records. A report repeats an hour if it has a count of it that was counted
    /// before, or if its units there are, within a tenth, those that were counted of the MVPDs that it lacks: then its
    /// MVPDs most likely have other names.
    pub(super) fn vanished(self, grouping: &Grouping, is_again: impl Fn(&MemoryKey) -> bool) -> Vec<String> {
        let by = grouping.dimensions().filter(|name| !["mvpd", "requestor-id"].contains(name));
        let by = by.collect::<Vec<_>>().join(", ");
        let mut vanished = Vec::new();
        for (hour, SeenHour { counted, requestors }) in self.0 {
            let at = Instant::of_quarter(hour.saturating_mul(4));
            for (requestor_id, seen) in requestors {
                let counted: Vec<(&str, String, u64)> = counted
                    .iter()
                    .filter(|mvpd| mvpd.requestor_id == requestor_id)
                    .map(|CountedMvpd { mvpd, units, .. }| (mvpd.as_str(), folded(mvpd), *units))
                    .collect();
                let units = |is_of: &dyn Fn(&String) -> bool| -> u64 {
                    counted.iter().filter(|(_, name, _)| is_of(name)).map(|(.., units)| units).sum()
                };
                let before = units(&|name| !seen.known.contains_key(&**name));
                let is_again = is_again(&hour_key(GROUPING, &requestor_id, hour))
                    || before.abs_diff(seen.units) <= before / 10;
                for (mvpd, name, _) in &counted {
                    let is_respelt = |mvpd: &str| !seen.spellings.contains(mvpd);
                    let is_lossy = || seen.spellings.iter().any(|other| is_without_letters(mvpd, other));
                    let how = match seen.known.get(&**name) {
                        None if is_lossy() => ", which it spells in another way".to_owned(),
                        None if is_again => String::new(),
                        Some(known) if *known >= units(&|of| of == name) => continue,
                        Some(_) if is_respelt(mvpd) => ", which it spells in another way".to_owned(),
                        Some(_) if !counted.iter().any(|(mvpd, of, _)| of == name && is_respelt(mvpd)) => {
                            format!(", with another {by} than in the report")
                        }
                        _ => continue,
                    };
                    vanished.push(format!("{} of {requestor_id} in the hour {at}{how}", clip(mvpd)));
                }
            }
        }
        vanished
    }
}

/// Whether one of two names is the other one with `?` or U+FFFD for each letter that is not ASCII.
fn is_without_letters(one: &str, other: &str) -> bool {
    let lost = |text: &str| text.replace(|letter: char| !letter.is_ascii(), "?");
    one != other
        && lost(one) == lost(other)
        && [one, other].iter().any(|text| text.contains(['?', '\u{fffd}']))
}
