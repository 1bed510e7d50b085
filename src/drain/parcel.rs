//! An event with its hits, on its way through a lane.

use std::collections::{HashSet, VecDeque};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::buffer::{EventRef, FormKey, PendingEvent};
use crate::delivery::{DeadReason, Sequence};
use crate::event::Instant as EventTime;
use crate::hit::VisitorKey;
use crate::suite::HitForm;
use crate::{encode, mapping};

/// An event with its hits.
pub(super) struct Parcel {
    pub(super) event: EventRef,
    /// The index of its suite among the suites of the host.
    pub(super) suite: usize,
    /// The form of its hits: the suite's form, or that of earlier attempts by which hits may have been counted.
    pub(super) form: FormKey,
    pub(super) visitor: VisitorKey,
    pub(super) work: Work,
    /// Whether an earlier attempt may have been counted.
    pub(super) is_doubted: bool,
    pub(super) attempts: u32,
    /// FAILUREs without a reason in this run.
    pub(super) bare_failures: u32,
    /// When its next hit may be sent by the paces of host and suite; `None` if the hit has reserved no turn.
    pub(super) turn: Option<Instant>,
    /// Whether its next hit shows if the host or the suite answers again.
    pub(super) is_probe: bool,
    pub(super) was_refused: bool,
    /// Whether a reply refused this event, and a hit of the suite that was sent after that reply succeeded.
    pub(super) is_at_fault: bool,
    /// Whether the event is sent to decide the trial of its suite (see `ward`).
    pub(super) is_candidate: bool,
    /// Its hits that wait in its lane: at first all that are left to send, none once it was set aside.
    pub(super) waiting: usize,
    /// The number of the trial for which the feed has sent this scout (see `ward`); `None` if it is no scout.
    pub(super) scout: Option<u64>,
}

/// What a lane must do with a parcel.
pub(super) enum Work {
    /// Send these documents in their order; those before `next` have succeeded.
    Send {
        first: Bytes,
        others: Vec<Bytes>,
        next: usize,
    },
    Bury(DeadReason),
}

impl Parcel {
    /// Maps and encodes an event, with its hits in `block`. An event of which hits may have been counted keeps the form
    /// of its earlier attempts.
    pub(super) fn new(
        suite: usize,
        suite_form: (&HitForm, FormKey),
        pending: &PendingEvent,
        block: &mut BytesMut,
    ) -> Parcel {
        let (form, form_key, hits_sent) = match &pending.doubted {
            Some(doubted) => (&*doubted.form, doubted.form_key, doubted.hits_sent as usize),
            None => (suite_form.0, suite_form.1, 0),
        };
        let (work, visitor, waiting) = match mapping::map(&pending.event, pending.id, form) {
            Ok(mapped) => {
                let mut hits = mapped.hits.iter().map(|hit| {
                    encode::dia(hit, block);
                    block.split().freeze()
                });
                let (first, others) = (hits.next().unwrap_or_default(), hits.collect());
                let next = hits_sent.min(mapped.hits.len() - 1);
                (Work::Send { first, others, next }, mapped.visitor, mapped.hits.len() - next)
            }
            // No hit of this event is sent, so its order among the events of its visitor does not matter.
            Err(reason) => (Work::Bury(reason), VisitorKey(0), 1),
        };
        Parcel {
            event: pending.reference,
            suite,
            form: form_key,
            visitor,
            work,
            is_doubted: pending.doubted.as_ref().is_some_and(|doubted| doubted.is_in_doubt),
            attempts: 0,
            bare_failures: 0,
            turn: None,
            is_probe: false,
            was_refused: false,
            is_at_fault: false,
            is_candidate: false,
            waiting,
            scout: None,
        }
    }

    /// Its place in the order of sending among the events of its visitor.
    pub(super) fn order(&self) -> (EventTime, Sequence) {
        (self.event.occurred_at, self.event.sequence)
    }

    pub(super) fn body(&self) -> Option<Bytes> {
        match &self.work {
            Work::Send { first, next: 0, .. } => Some(first.clone()),
            Work::Send { others, next, .. } => others.get(*next - 1).cloned(),
            Work::Bury(_) => None,
        }
    }

    /// Copies the hits out of their block, because hits that wait long would keep the whole block in memory.
    pub(super) fn leave_block(&mut self) {
        if let Work::Send { first, others, .. } = &mut self.work {
            others.iter_mut().chain([first]).for_each(|hit| *hit = Bytes::copy_from_slice(hit));
        }
    }

    pub(super) fn advance(&mut self) {
        if let Work::Send { next, .. } = &mut self.work {
            *next += 1;
        }
    }

    /// How many of its hits succeeded. A later run goes on at the next one, in the same form.
    pub(super) fn hits_sent(&self) -> u32 {
        match &self.work {
            Work::Send { next, .. } => *next as u32,
            Work::Bury(_) => 0,
        }
    }
}

/// Puts events at the front of a lane's queue, together with the queue's events of the same visitors, in the order of
/// sending. An event that comes back from a claim may be earlier than one that comes back from the `ward`.
pub(super) fn put_first(queue: &mut VecDeque<Parcel>, mut first: Vec<Parcel>) {
    if first.is_empty() {
        return;
    }
    let visitors: HashSet<VisitorKey> = first.iter().map(|parcel| parcel.visitor).collect();
    let is_theirs = |parcel: &Parcel| visitors.contains(&parcel.visitor) && parcel.scout.is_none();
    let (theirs, others): (Vec<_>, Vec<_>) = std::mem::take(queue).into_iter().partition(is_theirs);
    first.extend(theirs);
    first.sort_by_key(Parcel::order);
    queue.extend(first.into_iter().chain(others));
}
