//! What an unexplained rest looks like: pairs of cells of which one has too few and the other as many too many.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::cell::{CellKey, Name};
use crate::event::EventKind;

/// What a rest looks like. A guess that says where to look first; the cell differs all the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Hint {
    /// Whose number it is about.
    pub side: Side,
    /// Of which kind the guess is.
    pub looks_like: Likeness,
    /// The day, MVPD or event that has the counterpart; empty where there is none.
    pub with: String,
}

/// Whose number differs from the buffer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Esm,
    Analytics,
}

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = &self.with;
        match (self.looks_like, self.side) {
            (Likeness::AnotherDay, _) => {
                write!(out, "the other way round on {with}: another day or time zone?")
            }
            (Likeness::AnotherMvpd, _) if with.is_empty() => {
                write!(out, "the other way round without an MVPD: counted under none?")
            }
            (Likeness::AnotherMvpd, _) => {
                write!(out, "the other way round under MVPD {with}: counted there?")
            }
            (Likeness::AnotherEvent, _) => {
                write!(out, "the other way round for {with}: counted as that event?")
            }
            (Likeness::Doubled, Side::Analytics) => write!(out, "exactly double: sent twice?"),
            (Likeness::Doubled, Side::Esm) => write!(out, "exactly double: two sources for one requestor?"),
            (Likeness::RepeatsCounted, _) => {
                write!(out, "as many as were sent again: is this event set to Use Event ID?")
            }
            (Likeness::NothingThere, Side::Analytics) => write!(out, "nothing of it is in Analytics"),
            (Likeness::NothingThere, Side::Esm) => write!(out, "nothing of it came into the buffer"),
            (Likeness::NeverSent, Side::Analytics) => write!(out, "nothing of it was sent from here"),
            (Likeness::NeverSent, Side::Esm) => write!(out, "nothing of it is in ESM"),
        }
    }
}

/// The kinds of guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// A neighbouring day has the same number with the other sign.
    AnotherDay,
    /// Another MVPD of the day has.
    AnotherMvpd,
    /// Another event of the day and MVPD has.
    AnotherEvent,
    /// Exactly twice what it should be.
    Doubled,
    /// As many too many as were sent again with the same event ID.
    RepeatsCounted,
    /// Nothing of it is there.
    NothingThere,
    /// It is there, and nothing of it should be.
    NeverSent,
}

/// A rest, with what is needed to guess.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) key: CellKey,
    /// Too many, or below zero too few.
    pub(super) units: i64,
    pub(super) expected: u64,
    pub(super) found: u64,
    /// Units that were sent again with the same event ID.
    pub(super) repeated: u64,
}

/// The guesses for each rest, in their order. A counterpart is named where it is the only one of its kind.
pub(super) fn guess(rests: &[Rest]) -> Vec<Vec<(Likeness, Option<CellKey>)>> {
    let mut days: HashMap<(&Name, &Name, EventKind, i64), Vec<&CellKey>> = HashMap::new();
    let mut mvpds: HashMap<(&Name, usize, EventKind, i64), Vec<&CellKey>> = HashMap::new();
    let mut events: HashMap<(&Name, usize, &Name, i64), Vec<&CellKey>> = HashMap::new();
    for Rest { key, units, .. } in rests {
        days.entry((&key.requestor, &key.mvpd, key.kind, *units)).or_default().push(key);
        mvpds.entry((&key.requestor, key.day, key.kind, *units)).or_default().push(key);
        events.entry((&key.requestor, key.day, &key.mvpd, *units)).or_default().push(key);
    }
    let guess = |rest: &Rest| {
        let (key, other) = (&rest.key, -rest.units);
        let mut found = Vec::new();
        let near = days.get(&(&key.requestor, &key.mvpd, key.kind, other)).into_iter().flatten().copied();
        let near: Vec<_> = near.filter(|other| other.day.abs_diff(key.day) == 1).collect();
        for (likeness, counterparts) in [
            (Likeness::AnotherDay, near.as_slice()),
            (
                Likeness::AnotherMvpd,
                mvpds.get(&(&key.requestor, key.day, key.kind, other)).map_or(&[][..], Vec::as_slice),
            ),
            (
                Likeness::AnotherEvent,
                events.get(&(&key.requestor, key.day, &key.mvpd, other)).map_or(&[][..], Vec::as_slice),
            ),
        ] {
            if let [counterpart] = counterparts {
                found.push((likeness, Some((*counterpart).clone())));
            }
        }
        found.extend(alone(rest).map(|likeness| (likeness, None)));
        found
    };
    rests.iter().map(guess).collect()
}

/// What a rest looks like by itself.
fn alone(rest: &Rest) -> Option<Likeness> {
    if rest.units < 0 {
        return (rest.found == 0).then_some(Likeness::NothingThere);
    }
    if rest.expected == 0 {
        return Some(Likeness::NeverSent);
    }
    if rest.units.unsigned_abs() == rest.repeated {
        return Some(Likeness::RepeatsCounted);
    }
    (rest.units.unsigned_abs() == rest.expected).then_some(Likeness::Doubled)
}
