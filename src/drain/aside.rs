//! Visitors in backoff, and the events that wait behind their first one, so that the lane serves others meanwhile.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::parcel::Parcel;
use crate::hit::VisitorKey;

/// Events that the lanes of a host set aside, all together: about 40 MiB of hits.
const PARCELS_PER_HOST: usize = 16_384;

/// One lane's visitors in backoff.
pub(super) struct Aside {
    visitors: HashMap<VisitorKey, Backoff>,
    parcels: usize,
    parcels_max: usize,
}

#[derive(Default)]
struct Backoff {
    /// When the first may go; `None` while it is claimed or in flight.
    due: Option<Instant>,
    parcels: VecDeque<Parcel>,
}

/// Where the next event of the queue goes.
pub(super) enum Place {
    /// Its visitor is not in backoff: it may be sent.
    Free(Parcel),
    /// It waits behind its visitor's first.
    Kept,
    /// There is no room: the lane waits for the visitor.
    NoRoom(Parcel),
}

impl Aside {
    /// Nobody, with this lane's share of the room.
    pub(super) fn new(lanes: usize) -> Aside {
        Aside { visitors: HashMap::new(), parcels: 0, parcels_max: (PARCELS_PER_HOST / lanes).max(1) }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.visitors.values().filter_map(|backoff| backoff.due).min()
    }

    /// An event whose backoff is over; its visitor stays aside until it is settled.
    pub(super) fn take_due(&mut self) -> Option<Parcel> {
        if self.visitors.is_empty() {
            return None;
        }
        let now = Instant::now();
        let backoff = self.visitors.values_mut().find(|backoff| backoff.due.is_some_and(|due| due <= now))?;
        backoff.due = None;
        self.parcels -= 1;
        backoff.parcels.pop_front()
    }

    /// Finds the place of the next event of the queue.
    pub(super) fn place(&mut self, parcel: Parcel) -> Place {
        let Some(backoff) = self.visitors.get_mut(&parcel.visitor) else { return Place::Free(parcel) };
        if self.parcels >= self.parcels_max {
            return Place::NoRoom(parcel);
        }
        backoff.parcels.push_back(parcel);
        self.parcels += 1;
        Place::Kept
    }

    /// Sets a visitor's first event aside until it is due, and behind it others of the visitor, before what waits already.
    pub(super) fn back_off(&mut self, first: Parcel, others: Vec<Parcel>, due: Instant) {
        let backoff = self.visitors.entry(first.visitor).or_default();
        backoff.due = Some(due);
        self.parcels += 1 + others.len();
        others.into_iter().rev().for_each(|parcel| backoff.parcels.push_front(parcel));
        backoff.parcels.push_front(first);
    }

    pub(super) fn knows(&self, visitor: VisitorKey) -> bool {
        self.visitors.contains_key(&visitor)
    }

    /// Takes the first of a visitor back unsent, due at once; an event of a visitor who is not in backoff comes back.
    pub(super) fn take_back(&mut self, parcel: Parcel) -> Option<Parcel> {
        match self.visitors.get_mut(&parcel.visitor) {
            Some(backoff) if backoff.due.is_none() => {
                backoff.due = Some(Instant::now());
                backoff.parcels.push_front(parcel);
                self.parcels += 1;
                None
            }
            _ => Some(parcel),
        }
    }

    /// Ends a visitor's backoff, and hands out what waited.
    pub(super) fn release(&mut self, visitor: VisitorKey) -> VecDeque<Parcel> {
        let parcels = self.visitors.remove(&visitor).map_or_else(VecDeque::new, |backoff| backoff.parcels);
        self.parcels -= parcels.len();
        parcels
    }

    pub(super) fn parcels(&self) -> impl Iterator<Item = &Parcel> {
        self.visitors.values().flat_map(|backoff| &backoff.parcels)
    }
}
