//! What should be seen of a probe's hits, as a table, and what was seen.

use std::collections::BTreeMap;

use super::plan::{BARE_KINDS, Group, Plan};
use crate::event::EventKind;

/// The eVars that are asked while waiting: the MVPD User ID, and the two that the bare hits carry. One of them being disabled
/// does not hide the others.
pub(super) const WAITED_FOR: [u8; 3] = [10, 6, 5];

/// Units of each event: `[0]` is event1.
pub(super) type Units = [u64; EventKind::ALL.len()];

/// A value that a probe sends, and what is credited to it when every setting is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedRow {
    pub(super) text: String,
    pub(super) units: Units,
    /// Whether it is a value of the probe's own visitor, whose hits show the events.
    pub(super) is_main: bool,
}

/// Everything that should be seen.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    id: String,
    /// The eVar of the suite's identity, with the value of the probe's own visitor.
    identity: (u8, String),
    /// By eVar, then by key.
    rows: BTreeMap<u8, BTreeMap<String, ExpectedRow>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// By eVar; one that is absent was not asked for.
    pub(super) rows: BTreeMap<u8, Vec<ObservedRow>>,
    /// The events that Analytics has an error for.
    pub(super) refused: BTreeMap<u8, String>,
    /// The eVars that it refuses as a whole, such as `eVar3`.
    pub(super) refused_evars: BTreeMap<String, String>,
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObservedRow {
    pub(super) item_id: String,
    pub(super) value: String,
    pub(super) units: Units,
}

/// How far the hits have come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) units: u64,
    pub(super) is_complete: bool,
    /// Whether what is missing may be missing for good: then a second look that shows no more ends the wait.
    pub(super) is_plausible: bool,
}

pub(super) fn index(kind: EventKind) -> usize {
    usize::from(kind.slot()) - 1
}

impl Expected {
    pub(super) fn of(plan: &Plan) -> Expected {
        let evar = plan.identity().evar().unwrap_or(0);
        let own = plan.hits.iter().find(|hit| hit.group == Group::First);
        let own = own.and_then(|hit| hit.evars.iter().find(|(number, _)| *number == evar));
        let identity = (evar, own.map(|(_, value)| value.clone()).unwrap_or_default());
        let mut expected = Expected { id: plan.record.id.clone(), identity, rows: BTreeMap::new() };
        for hit in &plan.hits {
            for (evar, value) in &hit.evars {
                let Some(key) = expected.key(*evar, value) else { continue };
                let row = expected.rows.entry(*evar).or_default().entry(key).or_insert_with(|| ExpectedRow {
                    text: value.clone(),
                    units: Units::default(),
                    is_main: hit.group.is_own(),
                });
                if hit.group != Group::Repeat {
                    row.units[index(hit.kind)] += u64::from(hit.count);
                }
            }
        }
        expected
    }

    /// What names a value of this probe, whatever became of the rest of it; `None` for values that are not its own, such
    /// as documented defaults. Analytics tells no case apart in eVars.
    pub(super) fn key(&self, evar: u8, value: &str) -> Option<String> {
        let value = value.to_lowercase();
        let (identity, own) = &self.identity;
        if evar == 1 || (evar == *identity && value == own.to_lowercase()) {
            return Some(value);
        }
        let at = value.find(&self.id)?;
        value[at..].split_whitespace().next().map(str::to_owned)
    }

    /// What rows of an eVar are searched for.
    pub(super) fn search(&self, evar: u8) -> &str {
        let (identity, own) = &self.identity;
        if evar == *identity { own } else { &self.id }
    }

    /// The eVar of the suite's identity.
    pub(super) fn identity(&self) -> u8 {
        self.identity.0
    }

    /// The row of the probe's own visitor.
    pub(super) fn main(&self, evar: u8) -> Option<(&str, &ExpectedRow)> {
        let rows = self.rows.get(&evar)?;
        rows.iter().find(|(_, row)| row.is_main).map(|(key, row)| (key.as_str(), row))
    }

    /// The row of a key.
    pub(super) fn row(&self, evar: u8, key: &str) -> Option<&ExpectedRow> {
        self.rows.get(&evar)?.get(key)
    }

    /// How often an event should be counted for the probe's own visitor.
    pub(super) fn units_of(&self, kind: EventKind) -> u64 {
        self.main(WAITED_FOR[0]).map_or(0, |(_, row)| row.units[index(kind)])
    }

    /// All that a wait is for: the events of the probe's own visitor, and the bare hits.
    pub(super) fn units(&self) -> u64 {
        EventKind::ALL.iter().map(|kind| self.units_of(*kind)).sum::<u64>() + BARE_KINDS.len() as u64
    }

    /// The row of the probe's own visitor in what was seen of an eVar.
    pub(super) fn own_row<'a>(&self, observed: &'a Observed, evar: u8) -> Option<&'a ObservedRow> {
        let (main, _) = self.main(evar)?;
        observed.rows.get(&evar)?.iter().find(|row| self.key(evar, &row.value).as_deref() == Some(main))
    }

    /// How often an event was counted for the probe's own visitor, by whichever eVar shows most of it.
    pub(super) fn seen(&self, observed: &Observed, kind: EventKind) -> u64 {
        let evars = observed.rows.keys().filter(|evar| **evar != 1);
        let rows = evars.filter_map(|evar| self.own_row(observed, *evar));
        rows.map(|row| row.units[index(kind)]).max().unwrap_or(0)
    }

    /// Whether a bare hit was seen, by its own value or by one that it should not have.
    pub(super) fn is_bare_seen(&self, observed: &Observed, kind: EventKind) -> bool {
        observed.rows.iter().filter(|(evar, _)| **evar != 1).any(|(evar, rows)| {
            let main = self.main(*evar).map(|(main, _)| main);
            rows.iter().any(|row| {
                let key = self.key(*evar, &row.value);
                key.is_some() && key.as_deref() != main && row.units[index(kind)] > 0
            })
        })
    }

    /// How far the hits have come in. A visitor's hits are processed in their order, so that a repeat that counts again has
    /// counted once the hit after it is seen.
    pub(super) fn progress(&self, observed: &Observed) -> Progress {
        let mut progress = Progress { units: 0, is_complete: true, is_plausible: true };
        for kind in EventKind::ALL {
            let (seen, expected) = (self.seen(observed, kind), self.units_of(kind));
            let is_refused = observed.refused.contains_key(&kind.slot());
            progress.units += seen;
            progress.is_complete &= is_refused || seen >= expected;
            progress.is_plausible &= is_refused || seen > 0;
        }
        let bare = BARE_KINDS
            .map(|kind| observed.refused.contains_key(&kind.slot()) || self.is_bare_seen(observed, kind));
        progress.units += bare.iter().filter(|is_seen| **is_seen).count() as u64;
        progress.is_complete &= bare.iter().all(|is_seen| *is_seen);
        progress.is_plausible &= bare.iter().any(|is_seen| *is_seen);
        progress
    }

    /// A value of the probe's own visitor that was seen, by which a report can be narrowed to its hits.
    pub(super) fn anchor(&self, observed: &Observed) -> Option<(u16, String)> {
        WAITED_FOR.into_iter().find_map(|evar| {
            let row = self.own_row(observed, evar)?;
            Some((u16::from(evar), row.item_id.clone()))
        })
    }
}

impl Observed {
    pub(super) fn is_anything_seen(&self) -> bool {
        self.rows.values().flatten().any(|row| row.units.iter().any(|units| *units > 0))
    }
}
