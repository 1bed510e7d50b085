//! Visitors in backoff, and the events that wait behind their first one, so that the lane serves others meanwhile.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::feed::Parcel;
use crate::hit::VisitorKey;

/// Events that the lanes of a host set aside, all together: about 40 MiB of hits.
const PARCELS_PER_HOST: usize = 16_384;
/// Failed attempts after which a visitor gives way where there is no more room. Until then its lane waits with it: a busy
/// visitor would otherwise lose its run to a single 503.
const PATIENT_ATTEMPTS: u32 = 3;

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
    /// Attempts of the first so far.
    attempts: u32,
    /// Whether the first was refused, and waits elsewhere for a decision.
    is_blocked: bool,
    parcels: VecDeque<Parcel>,
}

pub(super) enum Place {
    /// Its visitor is not in backoff: it may be sent.
    Free(Parcel),
    /// It waits behind its visitor's first.
    Kept,
    /// There is no room: the lane waits for the visitor.
    NoRoom(Parcel),
    /// There is no room, and its visitor failed often enough: it waits for the next run.
    GiveWay(Parcel),
}

impl Aside {
    /// Nobody, with this lane's share of the room.
    pub(super) fn new(lanes: usize) -> Aside {
        Aside { visitors: HashMap::new(), parcels: 0, parcels_max: (PARCELS_PER_HOST / lanes).max(1) }
    }

    /// When the first backoff ends.
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
        if self.parcels < self.parcels_max {
            backoff.parcels.push_back(parcel);
            self.parcels += 1;
            return Place::Kept;
        }
        if backoff.attempts < PATIENT_ATTEMPTS { Place::NoRoom(parcel) } else { Place::GiveWay(parcel) }
    }

    /// Gives up all that waits behind a visitor's first, which keeps its place: it is older than the rest.
    pub(super) fn give_way(&mut self, visitor: VisitorKey) -> VecDeque<Parcel> {
        match self.visitors.get_mut(&visitor).filter(|backoff| backoff.due.is_some()) {
            Some(backoff) => {
                let rest = backoff.parcels.split_off(1.min(backoff.parcels.len()));
                self.parcels -= rest.len();
                rest
            }
            None => VecDeque::new(),
        }
    }

    /// Sets a visitor's first event aside until it is due.
    pub(super) fn back_off(&mut self, parcel: Parcel, due: Instant) {
        let backoff = self.visitors.entry(parcel.visitor).or_default();
        (backoff.due, backoff.attempts) = (Some(due), parcel.attempts);
        backoff.parcels.push_front(parcel);
        self.parcels += 1;
    }

    /// Keeps what comes of a visitor until its first event, which is elsewhere, is decided on; tells how many are kept already.
    pub(super) fn block(&mut self, visitor: VisitorKey) -> usize {
        let backoff = self.visitors.entry(visitor).or_default();
        backoff.is_blocked = true;
        backoff.parcels.len()
    }

    /// The decision has come; tells how many were kept.
    pub(super) fn unblock(&mut self, visitor: VisitorKey) -> usize {
        self.visitors.get_mut(&visitor).map_or(0, |backoff| {
            backoff.is_blocked = false;
            backoff.parcels.len()
        })
    }

    pub(super) fn is_blocked(&self, visitor: VisitorKey) -> bool {
        self.visitors.get(&visitor).is_some_and(|backoff| backoff.is_blocked)
    }

    pub(super) fn knows(&self, visitor: VisitorKey) -> bool {
        self.visitors.contains_key(&visitor)
    }

    /// Puts an event right behind its visitor's first, which is set aside.
    pub(super) fn follow(&mut self, parcel: Parcel) {
        let backoff = self.visitors.entry(parcel.visitor).or_default();
        backoff.parcels.insert(1.min(backoff.parcels.len()), parcel);
        self.parcels += 1;
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
