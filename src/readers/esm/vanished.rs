//! MVPDs that were counted before, and that a later report of the same hour no longer has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::kept::{GROUPING, hour_key};
use super::record::Grouping;
use super::respelt::folded;
use crate::event::Instant;
use crate::harmless::clip;
use crate::readers::memory::{MemoryKey, MemoryResult, Recollection};

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The hours of a report that were counted before it.
#[derive(Default)]
pub(super) struct SeenHours(BTreeMap<i64, SeenHour>);

/// What was counted in an hour before this report, by requestor and MVPD, and what this report has of each requestor.
struct SeenHour {
    counted: Vec<(String, String, u64)>,
    requestors: BTreeMap<String, SeenRequestor>,
}

/// What a report has of a requestor in an hour.
#[derive(Default)]
pub(super) struct SeenRequestor {
    /// By the folded name of each MVPD: the units of its records that were counted before.
    known: BTreeMap<String, u64>,
    spellings: BTreeSet<String>,
    units: u64,
}

impl SeenRequestor {
    /// Adds the units of a record of this MVPD, of which `known` were counted before.
    pub(super) fn add(&mut self, mvpd: &str, units: u64, known: u64) {
        *self.known.entry(folded(mvpd)).or_default() += known;
        self.spellings.insert(mvpd.to_owned());
        self.units += units;
    }
}

impl SeenHours {
    /// What the report has of a requestor in an hour.
    pub(super) fn of(
        &mut self,
        requestor_id: &str,
        hour: i64,
        memory: &mut Recollection,
    ) -> MemoryResult<&mut SeenRequestor> {
        let of_hour = match self.0.entry(hour) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(new) => {
                new.insert(SeenHour { counted: memory.counted(hour)?, requestors: BTreeMap::new() })
            }
        };
        Ok(of_hour.requestors.entry(requestor_id.to_owned()).or_default())
    }

    /// Each MVPD that was counted in an hour, if the report repeats that hour without the MVPD, spells it in another
    /// way, or lacks some of its counted records. A report with none of the earlier counts of other MVPDs also repeats
    /// the hour if it has about as many units: its MVPDs then have other names.
    pub(super) fn vanished(self, grouping: &Grouping, is_again: impl Fn(&MemoryKey) -> bool) -> Vec<String> {
        let by = grouping.dimensions().filter(|name| !["mvpd", "requestor-id"].contains(name));
        let by = by.collect::<Vec<_>>().join(", ");
        let mut vanished = Vec::new();
        for (hour, SeenHour { counted, requestors }) in self.0 {
            let at = Instant::from_nanos(hour.saturating_mul(HOUR_NANOS));
            for (requestor_id, seen) in requestors {
                let counted: Vec<(&str, String, u64)> = counted
                    .iter()
                    .filter(|(of, ..)| *of == requestor_id)
                    .map(|(_, mvpd, units)| (mvpd.as_str(), folded(mvpd), *units))
                    .collect();
                let units = |is_of: &dyn Fn(&String) -> bool| -> u64 {
                    counted.iter().filter(|(_, name, _)| is_of(name)).map(|(.., units)| units).sum()
                };
                let before = units(&|name| !seen.known.contains_key(name));
                let is_again = is_again(&hour_key(GROUPING, &requestor_id, hour))
                    || before.abs_diff(seen.units) <= before / 10;
                for (mvpd, name, _) in &counted {
                    let is_respelt = |mvpd: &str| !seen.spellings.contains(mvpd);
                    let how = match seen.known.get(name) {
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
