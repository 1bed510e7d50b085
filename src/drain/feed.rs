//! Walks the backlog of one collection host in time order, makes hits of the events and deals them to the lanes.
//!
//! Runs on a thread of its own, so that reading, mapping and encoding never delay a request in flight. Lanes get batches:
//! a hand-over costs as much as mapping an event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::Stop;
use super::host::{HostRun, SuiteRun};
use super::summary::Tally;
use crate::buffer::{Backlog, BufferError, Cursor, EventRef, FormKey, PendingEvent, RequestorKey};
use crate::delivery::{DeadReason, Sequence};
use crate::event::Instant;
use crate::hit::VisitorKey;
use crate::{encode, mapping};

/// Events read ahead over all requestors of a host: about 12 MiB of them.
const READ_AHEAD: usize = 8_192;
/// Events read at a time of one requestor: enough that a query's start costs nothing beside its rows.
const ROWS_MAX: usize = 1_024;
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
    pub(super) is_late: bool,
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
    // History is late by nature, and asking about each of its events would cost more than sending it.
    let latest_sent = if backlog.is_live() { backlog.latest_sent()? } else { None };
    let mut sources = Sources::new(host);
    let mut deal = Deal::new(lanes);
    while let Some((suite, pending)) = sources.pop(&mut backlog, scope.cover)? {
        if scope.stop.requested().is_some() || host.is_given_up() {
            scope.tally.counts().left = true;
            break;
        }
        if !take_one(&scope.allowance) {
            let mut counts = scope.tally.counts();
            (counts.left, counts.is_limited) = (true, true);
            break;
        }
        let mut parcel = parcel(suite, pending);
        parcel.is_late = latest_sent.is_some_and(|latest| parcel.event.occurred_at < latest)
            && backlog.is_late(parcel.visitor.0, parcel.event.occurred_at)?;
        if deal.add(parcel).is_err() {
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
        is_late: false,
        is_doubted: pending.doubted.is_some(),
        attempts: 0,
        bare_failures: 0,
        suite,
    }
}

/// The requestors of a host, merged by time: one visitor may have events under two requestors of a suite.
struct Sources {
    sources: Vec<Source>,
    /// The head of each source that has one.
    heads: BinaryHeap<Reverse<(Instant, Sequence, usize)>>,
    rows: usize,
    started: bool,
}

struct Source {
    suite: Arc<SuiteRun>,
    requestor: RequestorKey,
    cursor: Cursor,
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Sources {
    fn new(host: &HostRun) -> Sources {
        let sources: Vec<Source> = host
            .suites
            .iter()
            .flat_map(|suite| suite.requestors.iter().map(|requestor| (suite.clone(), *requestor)))
            .map(|(suite, requestor)| Source {
                suite,
                requestor,
                cursor: Cursor::START,
                ready: VecDeque::new(),
                is_exhausted: false,
            })
            .collect();
        let rows = (READ_AHEAD / sources.len().max(1)).clamp(8, ROWS_MAX);
        Sources { heads: BinaryHeap::with_capacity(sources.len()), sources, rows, started: false }
    }

    /// The next event of all; sources whose suite was stopped are not read any further.
    fn pop(
        &mut self,
        backlog: &mut Backlog,
        cover: Sequence,
    ) -> Result<Option<(Arc<SuiteRun>, PendingEvent)>, BufferError> {
        if !self.started {
            self.started = true;
            for index in 0..self.sources.len() {
                self.refill(index, backlog, cover)?;
            }
        }
        while let Some(Reverse((_, _, index))) = self.heads.pop() {
            let source = &mut self.sources[index];
            if !source.suite.flows() {
                continue;
            }
            let Some(pending) = source.ready.pop_front() else { continue };
            let suite = source.suite.clone();
            self.refill(index, backlog, cover)?;
            return Ok(Some((suite, pending)));
        }
        Ok(None)
    }

    /// Makes sure that a source has a head, where it has anything left.
    fn refill(&mut self, index: usize, backlog: &mut Backlog, cover: Sequence) -> Result<(), BufferError> {
        let source = &mut self.sources[index];
        if source.ready.is_empty() && !source.is_exhausted {
            let events = backlog.next(source.requestor, source.cursor, cover, self.rows)?;
            source.is_exhausted = events.len() < self.rows;
            if let Some(last) = events.last() {
                source.cursor = Cursor::after(&last.reference);
            }
            source.ready = events.into();
        }
        if let Some(head) = source.ready.front() {
            self.heads.push(Reverse((head.reference.occurred_at, head.reference.sequence, index)));
        }
        Ok(())
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
