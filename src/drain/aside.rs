//! Keeps visitors in backoff and their waiting events, so that the lane can send for other visitors meanwhile.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::parcel::Parcel;
use crate::hit::VisitorKey;

/// How many events all lanes of a host together may set aside: about 40 MiB of hits.
const PARCELS_PER_HOST: usize = 16_384;
/// A lane can set aside at least this many events, so that a suite that rests does not hold up the other suites.
const PARCELS_A_LANE_MIN: usize = 32;

/// One lane's visitors in backoff.
pub(super) struct Aside {
    visitors: HashMap<VisitorKey, Backoff>,
    parcels: usize,
    parcels_max: usize,
}

#[derive(Default)]
struct Backoff {
    /// When the first event may be sent; `None` while it is claimed or in flight.
    due: Option<Instant>,
    parcels: VecDeque<Parcel>,
}

/// What happens to the next event of the queue.
pub(super) enum Place {
    /// The event may be sent, because its visitor is not in backoff.
    Free(Parcel),
    /// The event waits behind the first event of its visitor.
    Kept,
    /// The event would have to wait, but there is no room for it. So the lane must wait.
    NoRoom(Parcel),
}

impl Aside {
    /// Makes the empty store of one lane, which gets an equal share of the host's room.
    pub(super) fn new(lanes: usize) -> Aside {
        Aside {
            visitors: HashMap::new(),
            parcels: 0,
            parcels_max: (PARCELS_PER_HOST / lanes).max(PARCELS_A_LANE_MIN),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.parcels < self.parcels_max
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.visitors.values().filter_map(|backoff| backoff.due).min()
    }

    /// Takes an event whose backoff is over. Its visitor stays aside until the event is settled.
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

    /// Decides what happens to the next event of the queue.
    pub(super) fn place(&mut self, parcel: Parcel) -> Place {
        let Some(backoff) = self.visitors.get_mut(&parcel.visitor) else { return Place::Free(parcel) };
        if self.parcels >= self.parcels_max {
            return Place::NoRoom(parcel);
        }
        backoff.parcels.push_back(parcel);
        self.parcels += 1;
        Place::Kept
    }

    /// Sets a visitor's first event aside until it is due. Behind it come `others`, then the events already here.
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

    /// Takes back the unsent first event of a visitor in backoff, and makes it due at once. Returns any other event.
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

    /// Ends a visitor's backoff and returns the events that waited.
    pub(super) fn release(&mut self, visitor: VisitorKey) -> VecDeque<Parcel> {
        let parcels = self.visitors.remove(&visitor).map_or_else(VecDeque::new, |backoff| backoff.parcels);
        self.parcels -= parcels.len();
        parcels
    }

    pub(super) fn parcels(&self) -> impl Iterator<Item = &Parcel> {
        self.visitors.values().flat_map(|backoff| &backoff.parcels)
    }
}
