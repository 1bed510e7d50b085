//! The visitors' lines: the events of a visitor wait in their order, and at most one is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::lane::Parcel;
use super::work::Place;
use crate::hit::VisitorKey;

#[derive(Default)]
struct Line {
    events: VecDeque<Parcel>,
    /// Whether an event is under way, refused, or in backoff.
    is_held: bool,
}

/// The events in memory, by visitor.
#[derive(Default)]
pub(super) struct Lines {
    lines: HashMap<VisitorKey, Line>,
    /// By suite, visitors whose first event may be sent. `next` skips those that were held or removed meanwhile.
    ready: BTreeMap<usize, VecDeque<VisitorKey>>,
    /// The suite of the last event that was taken.
    latest: usize,
    /// Events in backoff.
    resting: HashMap<VisitorKey, Parcel>,
    due: BTreeSet<(Instant, VisitorKey)>,
    /// Visitors with an event that this drain leaves pending.
    ended: HashSet<VisitorKey>,
}

impl Lines {
    pub(super) fn is_ended(&self, visitor: VisitorKey) -> bool {
        self.ended.contains(&visitor)
    }

    /// Adds an event behind the others of its visitor.
    pub(super) fn push(&mut self, parcel: Parcel) {
        let (visitor, suite) = (parcel.visitor, parcel.place.0);
        let line = self.lines.entry(visitor).or_default();
        line.events.push_back(parcel);
        if line.events.len() == 1 && !line.is_held {
            self.ready.entry(suite).or_default().push_back(visitor);
        }
    }

    /// Takes the next event that may be sent; the suites that may send take turns. The event's visitor is held until
    /// [`Lines::free`] or [`Lines::back`].
    pub(super) fn next(&mut self, may_send: impl Fn(usize) -> bool) -> Option<Parcel> {
        let (before, after): (Vec<usize>, Vec<usize>) =
            self.ready.keys().partition(|suite| **suite <= self.latest);
        for suite in after.into_iter().chain(before).filter(|suite| may_send(*suite)) {
            self.latest = suite;
            while let Some(visitor) = self.ready.get_mut(&suite).and_then(VecDeque::pop_front) {
                let Some(line) = self.lines.get_mut(&visitor).filter(|line| !line.is_held) else { continue };
                if let Some(parcel) = line.events.pop_front() {
                    line.is_held = true;
                    return Some(parcel);
                }
            }
            self.ready.remove(&suite);
        }
        None
    }

    /// Allows the next event of a visitor to be sent.
    pub(super) fn free(&mut self, visitor: VisitorKey) {
        let Some(line) = self.lines.get_mut(&visitor) else { return };
        line.is_held = false;
        match line.events.front() {
            None => drop(self.lines.remove(&visitor)),
            Some(parcel) => self.ready.entry(parcel.place.0).or_default().push_back(visitor),
        }
    }

    /// Puts an event back as the first of its visitor.
    pub(super) fn back(&mut self, parcel: Parcel) {
        let visitor = parcel.visitor;
        self.lines.entry(visitor).or_default().events.push_front(parcel);
        self.free(visitor);
    }

    /// Puts an event into backoff until an instant.
    pub(super) fn rest(&mut self, parcel: Parcel, until: Instant) {
        self.due.insert((until, parcel.visitor));
        self.resting.insert(parcel.visitor, parcel);
    }

    /// Puts the events whose backoff is over back into their lines.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((until, visitor)) = self.due.first().copied().filter(|(until, _)| *until <= now) {
            self.due.remove(&(until, visitor));
            if let Some(parcel) = self.resting.remove(&visitor) {
                self.back(parcel);
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Lets this drain send nothing more of a visitor. Returns the visitor's events that were still to be sent.
    pub(super) fn end(&mut self, visitor: VisitorKey) -> impl Iterator<Item = Parcel> {
        self.ended.insert(visitor);
        self.lines.remove(&visitor).unwrap_or_default().events.into_iter()
    }

    /// Forgets the visitors of a slice, including those whose first event was refused. A visitor with an event under
    /// way stays held until the reply comes.
    pub(super) fn forget(&mut self, place: Place, refused: impl Iterator<Item = VisitorKey>) {
        let is_other = |parcel: &Parcel| parcel.place != place;
        let rested = self.resting.extract_if(|_, parcel| !is_other(parcel)).map(|(visitor, _)| visitor);
        for visitor in rested.chain(refused) {
            self.lines.remove(&visitor);
        }
        self.due.retain(|(_, visitor)| self.resting.contains_key(visitor));
        for line in self.lines.values_mut().filter(|line| !line.events.front().is_none_or(is_other)) {
            line.events.clear();
        }
        self.lines.retain(|_, line| line.is_held || !line.events.is_empty());
    }

    /// Whether an event of a suite may still be sent, now or after its backoff.
    pub(super) fn has_ready(&self, suite: usize) -> bool {
        let is_of = |parcel: &Parcel| parcel.place.0 == suite;
        self.resting.values().any(is_of)
            || self.lines.values().any(|line| !line.is_held && line.events.front().is_some_and(is_of))
    }
}
