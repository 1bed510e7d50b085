//! Walks the backlog of one collection host in time order, makes hits of the events and deals them to the lanes.
//!
//! Runs on a thread of its own, so that reading, mapping and encoding never delay a request in flight. Lanes get batches:
//! a hand-over costs as much as mapping an event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use super::Stop;
use super::host::HostRun;
use super::suite_run::SuiteRun;
use super::summary::Tally;
use super::verdict::OTHERS_MAX;
use crate::buffer::{Backlog, BufferError, EventRef, Flow, FormKey, Merge, PendingEvent, RequestorKey};
use crate::delivery::{DeadReason, Sequence};
use crate::hit::VisitorKey;
use crate::{encode, mapping};

/// Events dealt to a lane at a time.
const DEALT_A_LANE: usize = 16;
/// What a hit takes at most in most cases; longer ones grow.
const BODY_BYTES: usize = 2_048;
/// Visitors among whom a trial's scouts are chosen: enough that the rare kinds of event are among them.
const SAMPLED_VISITORS: usize = 400;
/// Fibonacci hashing: spreads digests that lanes were chosen by.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

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
    pub(super) attempts: u32,
    /// Bare FAILUREs in this run.
    pub(super) bare_failures: u32,
    /// Whether the pace of its next hit was reserved and waited for.
    pub(super) is_paid: bool,
    /// Whether it was refused in this run.
    pub(super) was_refused: bool,
    /// Whether it goes for the trial of its suite.
    pub(super) is_candidate: bool,
    /// The trial for which it is sent ahead of what its feed has dealt.
    pub(super) scout: Option<u64>,
}

/// What there is to do with a parcel.
pub(super) enum Work {
    /// Send these documents in their order; those before `next` have succeeded.
    Send {
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

/// Feeds the lanes until the backlog, the allowance or the run ends. `runtime` is that of the lanes.
pub(super) fn feed(
    backlog: Backlog,
    host: &HostRun,
    scope: &Scope,
    lanes: &[Sender<Vec<Parcel>>],
    runtime: &Handle,
) -> Result<(), BufferError> {
    let fed = walk(backlog, host, scope, lanes, runtime);
    // Also where it failed: what waits for a verdict must not wait for more.
    host.suites.iter().for_each(|suite| suite.fed_out());
    fed
}

fn walk(
    mut backlog: Backlog,
    host: &HostRun,
    scope: &Scope,
    lanes: &[Sender<Vec<Parcel>>],
    runtime: &Handle,
) -> Result<(), BufferError> {
    let (suites, requestors): (Vec<_>, Vec<RequestorKey>) = host
        .suites
        .iter()
        .flat_map(|suite| suite.requestors.iter().map(move |requestor| (suite, *requestor)))
        .unzip();
    let flow = |place: usize| match suites[place] {
        suite if suite.is_over() => Flow::Ends,
        suite if suite.is_fed() => Flow::Flows,
        _ => Flow::Waits,
    };
    let mut merge = Merge::new(requestors);
    let mut deal = Deal::new(lanes);
    let mut changes = host.changes();
    let is_stopped = || scope.stop.requested().is_some() || host.is_given_up();
    loop {
        if is_stopped() {
            scope.tally.counts().left = true;
            break;
        }
        changes.borrow_and_update();
        for suite in &host.suites {
            let Some(trial) = suite.wants_scouts() else { continue };
            let rest = merge.rest_of((0..suites.len()).filter(|place| Arc::ptr_eq(suites[*place], suite)));
            let mut scouts = scouts(rest, &mut backlog, suite, scope.cover, trial, &is_stopped)?;
            scouts.retain(|_| take_one(&scope.allowance));
            suite.scouted(trial, scouts.len());
            // Lanes that are gone are met again below.
            drop(scouts.into_iter().try_for_each(|scout| deal.add(scout)).and_then(|()| deal.flush()));
        }
        let Some((place, pending)) = merge.next(&mut backlog, scope.cover, flow)? else {
            drop(deal.flush());
            if !some_wait(&merge, &suites) {
                break;
            }
            runtime.block_on(async {
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = scope.stop.wait() => {}
                    () = host.given_up() => {}
                }
            });
            continue;
        };
        if suites[place].went_ahead(pending.reference.sequence) {
            continue;
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

/// Whether suites on trial have more to read. Those that have not are told so.
fn some_wait(merge: &Merge, suites: &[&Arc<SuiteRun>]) -> bool {
    let on_trial = (0..suites.len()).filter(|place| suites[*place].is_on_trial());
    let (exhausted, waiting): (Vec<_>, Vec<_>) = on_trial.partition(|place| merge.is_exhausted(*place));
    for place in exhausted {
        if waiting.iter().all(|other| !Arc::ptr_eq(suites[*other], suites[place])) {
            suites[place].fed_out();
        }
    }
    !waiting.is_empty()
}

/// The first waiting event of other visitors of a suite, spread over its backlog and the kinds of event. It samples visitors by
/// their digest, so that whoever is in the sample has been in it from their first event on.
fn scouts(
    mut rest: Merge,
    backlog: &mut Backlog,
    suite: &Arc<SuiteRun>,
    cover: Sequence,
    trial: u64,
    is_stopped: &impl Fn() -> bool,
) -> Result<Vec<Parcel>, BufferError> {
    let mut sample: BTreeMap<u64, Parcel> = BTreeMap::new();
    while let Some((_, pending)) = rest.next(backlog, cover, |_| Flow::Flows)? {
        if is_stopped() {
            return Ok(Vec::new());
        }
        let mut scout = parcel(suite.clone(), pending);
        let rank = scout.visitor.0.wrapping_mul(SCATTER);
        let is_beyond =
            sample.len() == SAMPLED_VISITORS && sample.last_key_value().is_some_and(|(last, _)| rank > *last);
        if matches!(scout.work, Work::Bury(_)) || is_beyond || sample.contains_key(&rank) {
            continue;
        }
        scout.scout = Some(trial);
        sample.insert(rank, scout);
        if sample.len() > SAMPLED_VISITORS {
            sample.pop_last();
        }
    }
    // One of each kind of event first, then a second of each.
    let mut of_kind: BTreeMap<u8, u32> = BTreeMap::new();
    let mut found: Vec<(u32, Parcel)> = sample
        .into_values()
        .map(|scout| {
            let number = of_kind.entry(scout.event.kind.slot()).or_default();
            *number += 1;
            (*number, scout)
        })
        .collect();
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, scout)| scout).take(OTHERS_MAX as usize).collect())
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
        is_paid: false,
        was_refused: false,
        is_candidate: false,
        scout: None,
        suite,
    }
}

/// Batches for the lanes: a visitor always goes to the same one.
struct Deal<'a> {
    lanes: &'a [Sender<Vec<Parcel>>],
    hands: Vec<Vec<Parcel>>,
    dealt: usize,
}

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
        parcel.suite.deal();
        self.hands[lane].push(parcel);
        if self.dealt >= DEALT_A_LANE * self.lanes.len() { self.flush() } else { Ok(()) }
    }

    /// Hands out what was dealt; waits where a lane is behind.
    fn flush(&mut self) -> Result<(), LanesGone> {
        self.dealt = 0;
        for parcel in self.hands.iter().flatten() {
            parcel.suite.fed();
        }
        for (lane, hand) in self.lanes.iter().zip(&mut self.hands) {
            if !hand.is_empty() {
                lane.blocking_send(std::mem::take(hand)).map_err(|_| LanesGone)?;
            }
        }
        Ok(())
    }
}
