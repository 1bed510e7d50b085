//! What should be seen of the hits of a probe, and what was seen.

use std::collections::BTreeMap;

use super::plan::{BARE_KINDS, Group, Plan};
use crate::event::{EventKind, Instant};

/// The eVars that are read during the wait: the MVPD User ID, and the eVars of the two bare hits. If one of them is
/// disabled, the others still show the hits.
pub(super) const WAITED_FOR: [u8; 3] = [10, 6, 5];

/// Units of each event: `[0]` is event1.
pub(super) type Units = [u64; EventKind::ALL.len()];

/// A value that a probe sends, and the units that are credited to it if every setting is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedRow {
    pub(super) text: String,
    pub(super) units: Units,
    /// Whether the value belongs to the probe's own visitor, who has hits of every event.
    pub(super) is_main: bool,
}

/// Everything that should be seen of a probe, and everything that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparison {
    id: String,
    /// The eVar of the suite's identity, and its value for the probe's own visitor.
    identity: (u8, String),
    /// What should be seen, by eVar and then by key.
    expected: BTreeMap<u8, BTreeMap<String, ExpectedRow>>,
    /// What was seen, by eVar. An eVar that is not here was not read.
    pub(super) rows: BTreeMap<u8, Vec<ObservedRow>>,
    pub(super) refused: BTreeMap<u16, String>,
    pub(super) refused_evars: BTreeMap<u8, String>,
    pub(super) first_seen: BTreeMap<EventKind, Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObservedRow {
    pub(super) item_id: String,
    pub(super) value: String,
    pub(super) units: Units,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) units: u64,
    pub(super) is_complete: bool,
    /// Whether every event and a bare hit were seen. Then the wait ends once a further reading shows nothing new.
    pub(super) is_plausible: bool,
}

pub(super) fn index(kind: EventKind) -> usize {
    usize::from(kind.slot()) - 1
}

impl Comparison {
    pub(super) fn of(plan: &Plan) -> Comparison {
        let evar = plan.identity().evar().unwrap_or(0);
        let own = plan.hits.iter().find(|hit| hit.group == Group::First);
        let own = own.and_then(|hit| hit.evars.iter().find(|(number, _)| *number == evar));
        let identity = (evar, own.map(|(_, value)| value.clone()).unwrap_or_default());
        let mut new = Comparison { id: plan.record.id.clone(), identity, ..Comparison::default() };
        for hit in &plan.hits {
            for (evar, value) in &hit.evars {
                let Some(key) = new.key(*evar, value) else { continue };
                let rows = new.expected.entry(*evar).or_default();
                let row = rows.entry(key).or_insert_with(|| ExpectedRow {
                    text: value.clone(),
                    units: Units::default(),
                    is_main: hit.group.is_own(),
                });
                if hit.group != Group::Repeat {
                    row.units[index(hit.kind)] += u64::from(hit.count);
                }
            }
        }
        new
    }

    /// The part of a value that shows that the value is this probe's, even if the rest was altered; any value of eVar1.
    /// In lower case, because Analytics ignores case in eVars. `None` for others, such as documented defaults.
    pub(super) fn key(&self, evar: u8, value: &str) -> Option<String> {
        let value = value.to_lowercase();
        let (identity, own) = &self.identity;
        if evar == 1 || (evar == *identity && value == own.to_lowercase()) {
            return Some(value);
        }
        let at = value.find(&self.id)?;
        value[at..].split_whitespace().next().map(str::to_owned)
    }

    pub(super) fn search(&self, evar: u8) -> &str {
        let (identity, own) = &self.identity;
        if evar == *identity { own } else { &self.id }
    }

    pub(super) fn identity(&self) -> u8 {
        self.identity.0
    }

    pub(super) fn main(&self, evar: u8) -> Option<(&str, &ExpectedRow)> {
        let rows = self.expected.get(&evar)?;
        rows.iter().find(|(_, row)| row.is_main).map(|(key, row)| (key.as_str(), row))
    }

    pub(super) fn row(&self, evar: u8, key: &str) -> Option<&ExpectedRow> {
        self.expected.get(&evar)?.get(key)
    }

    /// How many units of an event should be counted for the probe's own visitor.
    pub(super) fn units_of(&self, kind: EventKind) -> u64 {
        self.main(WAITED_FOR[0]).map_or(0, |(_, row)| row.units[index(kind)])
    }

    /// The number of units to wait for: the events of the probe's own visitor, and the bare hits.
    pub(super) fn units(&self) -> u64 {
        EventKind::ALL.iter().map(|kind| self.units_of(*kind)).sum::<u64>() + BARE_KINDS.len() as u64
    }

    /// The row of the probe's own visitor in the report of an eVar.
    pub(super) fn own_row(&self, evar: u8) -> Option<&ObservedRow> {
        let (main, _) = self.main(evar)?;
        self.rows.get(&evar)?.iter().find(|row| self.key(evar, &row.value).as_deref() == Some(main))
    }

    pub(super) fn is_anything_seen(&self) -> bool {
        self.rows.values().flatten().any(|row| row.units.iter().any(|units| *units > 0))
    }

    /// How many units of an event were counted for the probe's own visitor, in the eVar that shows most of them.
    pub(super) fn seen(&self, kind: EventKind) -> u64 {
        let rows = self.rows.keys().filter(|evar| **evar != 1).filter_map(|evar| self.own_row(*evar));
        rows.map(|row| row.units[index(kind)]).max().unwrap_or(0)
    }

    /// As `seen`; `None` if nothing was seen because Analytics refuses to report the event.
    pub(super) fn known(&self, kind: EventKind) -> Option<u64> {
        Some(self.seen(kind)).filter(|seen| *seen > 0 || !self.is_refused(kind))
    }

    /// Whether a bare hit was seen, under its own value or under a value that it should not have.
    pub(super) fn is_bare_seen(&self, kind: EventKind) -> bool {
        self.rows.iter().filter(|(evar, _)| **evar != 1).any(|(evar, rows)| {
            let main = self.main(*evar).map(|(main, _)| main);
            rows.iter().any(|row| {
                let key = self.key(*evar, &row.value);
                key.is_some() && key.as_deref() != main && row.units[index(kind)] > 0
            })
        })
    }

    fn is_refused(&self, kind: EventKind) -> bool {
        self.refused.contains_key(&u16::from(kind.slot()))
    }

    /// How much of the probe was seen. Analytics processes the hits of a visitor in order. So if the hit after a
    /// repeat is seen, the repeat was processed too, and is counted if Analytics counts repeats.
    pub(super) fn progress(&self) -> Progress {
        let mut progress = Progress { units: 0, is_complete: true, is_plausible: true };
        for kind in EventKind::ALL {
            let (seen, is_refused) = (self.seen(kind), self.is_refused(kind));
            progress.units += seen;
            progress.is_complete &= is_refused || seen >= self.units_of(kind);
            progress.is_plausible &= is_refused || seen > 0;
        }
        let bare = BARE_KINDS.map(|kind| self.is_refused(kind) || self.is_bare_seen(kind));
        progress.units += bare.iter().filter(|is_seen| **is_seen).count() as u64;
        progress.is_complete &= bare.iter().all(|is_seen| *is_seen);
        progress.is_plausible &= bare.iter().any(|is_seen| *is_seen);
        progress
    }

    /// The eVar and item ID of a seen value of the probe's own visitor. They limit a report to the hits of the probe.
    pub(super) fn anchor(&self) -> Option<(u16, String)> {
        let row_of = |evar| Some((u16::from(evar), self.own_row(evar)?.item_id.clone()));
        WAITED_FOR.into_iter().find_map(row_of)
    }
}
