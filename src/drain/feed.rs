//! Walks the backlog of one collection host in time order, makes hits of the events and deals them to the lanes.
//!
//! Runs on a thread of its own, so that reading, mapping and encoding never delay a request in flight. Lanes get batches:
//! a hand-over costs as much as mapping an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::Stop;
use super::host::{HostRun, SuiteRun};
use super::summary::Tally;
use crate::buffer::{Backlog, BufferError, EventRef, FormKey, Merge, PendingEvent, RequestorKey};
use crate::delivery::{DeadReason, Sequence};
use crate::hit::VisitorKey;
use crate::{encode, mapping};

/// Events dealt to a lane at a time.
const DEALT_A_LANE: usize = 16;
/// What a hit takes at most in most cases; longer ones grow.
const BODY_BYTES: usize = 2_048;

/// An event with its hits, on its way through a lane.
pub(super) struct Parcel {
    pub(super) event: EventRef,
    pub(super) suite: Arc<SuiteRun>,
    /// The form of its hits: the suite's, or that of earlier attempts of unknown outcome.
    pub(super) form: FormKey,
    pub(super) visitor: VisitorKey,
    pub(super) work: Work,
    /// Whether an earlier attempt may have been counted.
    pub(super) is_doubted: bool,
    /// Attempts in this run.
    pub(super) attempts: u32,
    /// Bare FAILUREs in this run.
    pub(super) bare_failures: u32,
}

/// What there is to do with a parcel.
pub(super) enum Work {
    /// Send these documents in their order; those before `next` have succeeded.
    Send {
        /// One document per hit.
        hits: Vec<Bytes>,
        /// The first that has not succeeded.
        next: usize,
    },
    /// Nothing can be sent of it.
    Bury(DeadReason),
}

/// How far a run may go.
pub(super) struct Scope {
    /// The last event that it covers.
    pub(super) cover: Sequence,
    /// Events it may still take, over all hosts.
    pub(super) allowance: Arc<AtomicU64>,
    pub(super) stop: Stop,
    pub(super) tally: Arc<Tally>,
}

/// Feeds the lanes until the backlog, the allowance or the run ends.
pub(super) fn feed(
    mut backlog: Backlog,
    host: &HostRun,
    scope: &Scope,
    lanes: &[Sender<Vec<Parcel>>],
) -> Result<(), BufferError> {
    let (suites, requestors): (Vec<_>, Vec<RequestorKey>) = host
        .suites
        .iter()
        .flat_map(|suite| suite.requestors.iter().map(move |requestor| (suite, *requestor)))
        .unzip();
    let mut merge = Merge::new(requestors);
    let mut deal = Deal::new(lanes);
    while let Some((place, pending)) = merge.next(&mut backlog, scope.cover, |place| suites[place].flows())? {
        if scope.stop.requested().is_some() || host.is_given_up() {
            scope.tally.counts().left = true;
            break;
        }
        if !take_one(&scope.allowance) {
            let mut counts = scope.tally.counts();
            (counts.left, counts.is_limited) = (true, true);
            break;
        }
        if deal.add(parcel(suites[place].clone(), pending)).is_err() {
            scope.tally.counts().left = true;
            break;
        }
    }
    // Lanes that have ended took themselves off; what they left is counted there.
    drop(deal.flush());
    Ok(())
}

fn take_one(allowance: &AtomicU64) -> bool {
    allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn parcel(suite: Arc<SuiteRun>, pending: PendingEvent) -> Parcel {
    let (form, form_key) = match &pending.doubted {
        Some(doubted) => (&*doubted.form, doubted.form_key),
        None => (&suite.suite.form, suite.form),
    };
    let (work, visitor) = match mapping::map(&pending.event, pending.id, form) {
        Ok(mapped) => {
            let hits = mapped.hits.iter().map(|hit| {
                let mut body = Vec::with_capacity(BODY_BYTES);
                encode::dia(hit, &mut body);
                Bytes::from(body)
            });
            (Work::Send { hits: hits.collect(), next: 0 }, mapped.visitor)
        }
        // Nothing of it is sent, so it has no order to keep.
        Err(reason) => (Work::Bury(reason), VisitorKey(0)),
    };
    Parcel {
        event: pending.reference,
        form: form_key,
        visitor,
        work,
        is_doubted: pending.doubted.is_some(),
        attempts: 0,
        bare_failures: 0,
        suite,
    }
}

/// Batches for the lanes: a visitor always goes to the same one.
struct Deal<'a> {
    lanes: &'a [Sender<Vec<Parcel>>],
    hands: Vec<Vec<Parcel>>,
    dealt: usize,
}

/// The lanes have ended.
struct LanesGone;

impl<'a> Deal<'a> {
    fn new(lanes: &'a [Sender<Vec<Parcel>>]) -> Deal<'a> {
        Deal { lanes, hands: lanes.iter().map(|_| Vec::new()).collect(), dealt: 0 }
    }

    fn add(&mut self, parcel: Parcel) -> Result<(), LanesGone> {
        let lane = (parcel.visitor.0 % self.lanes.len() as u64) as usize;
        // Counted in hits, not in events: they are what takes memory.
        self.dealt += match &parcel.work {
            Work::Send { hits, .. } => hits.len(),
            Work::Bury(_) => 1,
        };
        self.hands[lane].push(parcel);
        if self.dealt >= DEALT_A_LANE * self.lanes.len() { self.flush() } else { Ok(()) }
    }

    /// Hands out what was dealt; waits where a lane is behind.
    fn flush(&mut self) -> Result<(), LanesGone> {
        self.dealt = 0;
        for (lane, hand) in self.lanes.iter().zip(&mut self.hands) {
            if !hand.is_empty() {
                lane.blocking_send(std::mem::take(hand)).map_err(|_| LanesGone)?;
            }
        }
        Ok(())
    }
}
