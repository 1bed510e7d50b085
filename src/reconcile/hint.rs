//! Guesses the cause of an unexplained difference. Often one cell lacks units, and another has too many.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::key::{CellKey, Name};
use crate::event::EventKind;

/// A guess at the cause of an unexplained rest. The verdict of the cell stays `Differs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Hint {
    pub side: Side,
    pub looks_like: Likeness,
    /// The day, MVPD or event of the cell with the opposite rest; empty without such a cell, or if that has no MVPD.
    pub with: String,
}

/// Whose count differs from the count of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Esm,
    Analytics,
}

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = &self.with;
        out.write_str(match (self.looks_like, self.side) {
            (Likeness::AnotherDay, _) => {
                return write!(out, "the other way round on {with}: another day or time zone?");
            }
            (Likeness::AnotherMvpd, _) if !with.is_empty() => {
                return write!(out, "the other way round under MVPD {with}: counted there?");
            }
            (Likeness::AnotherMvpd, _) => "the other way round without an MVPD: counted under none?",
            (Likeness::AnotherEvent, _) => {
                return write!(out, "the other way round for {with}: counted as that event?");
            }
            (Likeness::Doubled, Side::Analytics) => "exactly double: sent twice?",
            (Likeness::Doubled, Side::Esm) => "exactly double: two sources for one requestor?",
            (Likeness::RepeatsCounted, _) => "as many as were sent again: is this event set to Use Event ID?",
            (Likeness::NothingThere, Side::Analytics) => "nothing of it is in Analytics",
            (Likeness::NothingThere, Side::Esm) => "nothing of it came into the buffer",
            (Likeness::NeverSent, Side::Analytics) => "nothing of it was sent from here",
            (Likeness::NeverSent, Side::Esm) => "nothing of it is in ESM",
        })
    }
}

/// The kinds of guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// A neighbouring day has the same rest with the opposite sign.
    AnotherDay,
    AnotherMvpd,
    AnotherEvent,
    Doubled,
    /// The surplus equals the number of units that were sent again under the same event ID.
    RepeatsCounted,
    /// Units were expected, and none was found.
    NothingThere,
    /// Units were found, and none was expected.
    NeverSent,
}

/// The unexplained rest of a cell, with the numbers from which a cause is guessed.
#[derive(Debug, Clone)]
pub(super) struct Rest<'k> {
    pub(super) key: &'k CellKey,
    pub(super) cell: usize,
    pub(super) units: i64,
    pub(super) expected: u64,
    pub(super) found: u64,
    pub(super) repeated: u64,
}

/// The guesses for each rest, in the order of `rests`. A guess at another cell is made only if one cell alone fits.
pub(super) fn guess<'k>(rests: &[Rest<'k>]) -> Vec<Vec<(Likeness, Option<&'k CellKey>)>> {
    let mut days: HashMap<(&Name, &Name, EventKind, i64), Vec<&'k CellKey>> = HashMap::new();
    let mut mvpds: HashMap<(&Name, usize, EventKind, i64), Vec<&'k CellKey>> = HashMap::new();
    let mut events: HashMap<(&Name, usize, &Name, i64), Vec<&'k CellKey>> = HashMap::new();
    for Rest { key, units, .. } in rests {
        days.entry((&key.requestor, &key.mvpd, key.kind, *units)).or_default().push(key);
        mvpds.entry((&key.requestor, key.day, key.kind, *units)).or_default().push(key);
        events.entry((&key.requestor, key.day, &key.mvpd, *units)).or_default().push(key);
    }
    let guess = |rest: &Rest<'k>| {
        let (key, other) = (rest.key, -rest.units);
        let near = days.get(&(&key.requestor, &key.mvpd, key.kind, other)).into_iter().flatten();
        let near: Vec<&CellKey> = near.copied().filter(|other| other.day.abs_diff(key.day) == 1).collect();
        let pairs = [
            (Likeness::AnotherDay, Some(&near)),
            (Likeness::AnotherMvpd, mvpds.get(&(&key.requestor, key.day, key.kind, other))),
            (Likeness::AnotherEvent, events.get(&(&key.requestor, key.day, &key.mvpd, other))),
        ];
        let only = |(likeness, counterparts): (Likeness, Option<&Vec<&'k CellKey>>)| {
            let [counterpart] = counterparts?.as_slice() else { return None };
            Some((likeness, Some(*counterpart)))
        };
        pairs.into_iter().filter_map(only).chain(alone(rest).map(|likeness| (likeness, None))).collect()
    };
    rests.iter().map(guess).collect()
}

fn alone(rest: &Rest<'_>) -> Option<Likeness> {
    let units = rest.units.unsigned_abs();
    match rest.units {
        ..0 => (rest.found == 0).then_some(Likeness::NothingThere),
        _ if rest.expected == 0 => Some(Likeness::NeverSent),
        _ if units == rest.repeated => Some(Likeness::RepeatsCounted),
        _ => (units == rest.expected).then_some(Likeness::Doubled),
    }
}
