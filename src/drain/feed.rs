//! Walks the backlog of one collection host in time order, makes hits of the events and deals them to the lanes.
//!
//! Runs on a thread of its own, so that reading, mapping and encoding never delay a request in flight. Lanes get
//! batches, because one hand-over costs as much as mapping an event.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use super::Stop;
use super::host::HostRun;
use super::parcel::{Parcel, Work};
use super::suite_run::SuiteRun;
use super::summary::Tally;
use super::verdict::OTHERS_MAX;
use super::ward::Ward;
use crate::buffer::{Backlog, BufferError, Flow, Merge, PendingEvent, RequestorKey};
use crate::delivery::Sequence;
use crate::hit::VisitorKey;

/// Events dealt to a lane at a time.
const DEALT_A_LANE: usize = 16;
/// How many visitors a search samples to choose the scouts of a trial: enough to include rare kinds of event.
const SAMPLED_VISITORS: usize = 400;
/// The multiplier of Fibonacci hashing. It spreads the digests again by which lanes were chosen.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Which events a run may take.
pub(super) struct Scope {
    pub(super) cover: Sequence,
    /// How many more events the run may take, over all hosts.
    pub(super) allowance: Arc<AtomicU64>,
    pub(super) stop: Stop,
    pub(super) tally: Arc<Tally>,
}

/// Feeds the lanes until the backlog, the allowance or the run ends. `runtime` is the runtime of the lanes.
pub(super) fn feed(
    backlog: Backlog,
    host: &HostRun,
    scope: &Scope,
    lanes: &[Sender<Vec<Parcel>>],
    runtime: &Handle,
) -> Result<(), BufferError> {
    let fed = Feed::new(backlog, host, scope, lanes).walk(runtime);
    // Also after a failure: events on trial must not wait for events that will not come.
    host.suites.iter().for_each(|suite| suite.ward(Ward::fed_out));
    fed
}

/// The walk over the backlog of a host.
struct Feed<'a> {
    backlog: Backlog,
    host: &'a HostRun,
    scope: &'a Scope,
    merge: Merge,
    /// The suite of each requestor, by the requestor's place in the merge.
    suites: Vec<usize>,
    deal: Deal<'a>,
    scouts: HashSet<Sequence>,
}

impl<'a> Feed<'a> {
    fn new(
        backlog: Backlog,
        host: &'a HostRun,
        scope: &'a Scope,
        lanes: &'a [Sender<Vec<Parcel>>],
    ) -> Feed<'a> {
        let by_suite = host.suites.iter().enumerate();
        let (suites, requestors): (Vec<usize>, Vec<RequestorKey>) = by_suite
            .flat_map(|(place, suite)| suite.requestors.iter().map(move |requestor| (place, *requestor)))
            .unzip();
        let (merge, deal) = (Merge::new(requestors), Deal::new(host, lanes));
        Feed { backlog, host, scope, merge, suites, deal, scouts: HashSet::new() }
    }

    fn walk(&mut self, runtime: &Handle) -> Result<(), BufferError> {
        let mut changes = self.host.changes();
        loop {
            if self.is_stopped() {
                self.scope.tally.counts().left = true;
                break;
            }
            changes.borrow_and_update();
            self.deal_scouts()?;
            let (host, suites) = (self.host, &self.suites);
            let flow = |place: usize| host.suites[suites[place]].flow();
            let Some((place, pending)) = self.merge.next(&mut self.backlog, self.scope.cover, flow)? else {
                drop(self.deal.flush());
                if !self.has_waiting() {
                    break;
                }
                runtime.block_on(async {
                    tokio::select! {
                        _ = changes.changed() => {}
                        _ = self.scope.stop.wait() => {}
                        () = self.host.given_up() => {}
                    }
                });
                continue;
            };
            let (suite, sequence) = (self.suites[place], pending.reference.sequence);
            let went_ahead = |ward: &mut Ward| ward.went_ahead(sequence);
            if self.scouts.remove(&sequence) && self.host.suites[suite].ward(went_ahead) {
                continue;
            }
            if !self.take_one() {
                let mut counts = self.scope.tally.counts();
                (counts.left, counts.is_limited) = (true, true);
                break;
            }
            if self.deal.add(self.parcel(suite, pending)).is_err() {
                self.scope.tally.counts().left = true;
                break;
            }
        }
        let is_cut_off = |place: usize| {
            self.host.suites[self.suites[place]].is_stopped() && !self.merge.is_exhausted(place)
        };
        if (0..self.suites.len()).any(is_cut_off) {
            self.scope.tally.counts().left = true;
        }
        // The error is ignored: lanes that have ended counted the events that they left.
        drop(self.deal.flush());
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.scope.stop.requested().is_some() || self.host.is_given_up()
    }

    /// Takes one event from the limit of the run. Returns false if the limit is reached.
    fn take_one(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.scope.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn parcel(&self, suite: usize, pending: PendingEvent) -> Parcel {
        let SuiteRun { suite: settings, form, .. } = &self.host.suites[suite];
        Parcel::new(suite, (&settings.form, *form), pending)
    }

    /// Whether a suite on trial has more events to read. Marks suites without more events as fed out.
    fn has_waiting(&self) -> bool {
        let mut waits = false;
        for (number, suite) in self.host.suites.iter().enumerate().filter(|(_, suite)| suite.is_on_trial()) {
            let mut places = (0..self.suites.len()).filter(|place| self.suites[*place] == number);
            if places.all(|place| self.merge.is_exhausted(place)) {
                suite.ward(Ward::fed_out);
            } else {
                waits = true;
            }
        }
        waits
    }

    /// Deals scouts for the suites whose trial asks for them: events of other visitors, ahead of their turn.
    fn deal_scouts(&mut self) -> Result<(), BufferError> {
        let host = self.host;
        for (number, suite) in host.suites.iter().enumerate() {
            let wanted = suite.is_on_trial().then(|| suite.ward(|ward| ward.wants_scouts()));
            let Some(trial) = wanted.flatten() else { continue };
            let mut scouts = self.find_scouts(number, trial)?;
            scouts.retain(|_| self.take_one());
            suite.ward(|ward| ward.scouted(trial, scouts.len()));
            self.scouts.extend(scouts.iter().map(|scout| scout.event.sequence));
            // The error is ignored: the walk meets the same error.
            drop(
                scouts
                    .into_iter()
                    .try_for_each(|scout| self.deal.add(scout))
                    .and_then(|()| self.deal.flush()),
            );
        }
        Ok(())
    }

    /// Finds scouts: the first pending events of visitors, spread over the backlog of the suite and the kinds of
    /// event. Samples visitors by digest, so that a visitor in the sample is in it from the first event on. A salt
    /// makes every search sample other visitors, because those of the last search may all be bad.
    fn find_scouts(&mut self, suite: usize, trial: u64) -> Result<Vec<Parcel>, BufferError> {
        let salt = fastrand::u64(..);
        let ahead = self.host.suites[suite].ward(|ward| ward.gone_ahead());
        let mut tried: HashSet<VisitorKey> = HashSet::new();
        let mut rest =
            self.merge.rest_of((0..self.suites.len()).filter(|place| self.suites[*place] == suite));
        let mut sample: BTreeMap<u64, Parcel> = BTreeMap::new();
        while let Some((_, pending)) = rest.next(&mut self.backlog, self.scope.cover, |_| Flow::Flows)? {
            if self.is_stopped() {
                return Ok(Vec::new());
            }
            let scout = self.parcel(suite, pending);
            if ahead.contains(&scout.event.sequence) {
                tried.insert(scout.visitor);
            }
            let rank = (scout.visitor.0 ^ salt).wrapping_mul(SCATTER);
            let last = sample.last_key_value().map(|(last, _)| *last);
            let is_beyond = sample.len() == SAMPLED_VISITORS && last.is_some_and(|last| rank > last);
            let is_tried = tried.contains(&scout.visitor);
            if matches!(scout.work, Work::Bury(_)) || is_tried || is_beyond || sample.contains_key(&rank) {
                continue;
            }
            sample.insert(rank, Parcel { scout: Some(trial), ..scout });
            if sample.len() > SAMPLED_VISITORS {
                sample.pop_last();
            }
        }
        // One scout of each kind of event first, then a second of each kind.
        let mut of_kind: BTreeMap<u8, u32> = BTreeMap::new();
        let numbered = sample.into_values().map(|scout| {
            let number = of_kind.entry(scout.event.kind.slot()).or_default();
            *number += 1;
            (*number, scout)
        });
        let mut found: Vec<(u32, Parcel)> = numbered.collect();
        found.sort_by_key(|(number, _)| *number);
        Ok(found.into_iter().map(|(_, scout)| scout).take(OTHERS_MAX as usize).collect())
    }
}

/// Batches for the lanes. All events of a visitor go to the same lane.
struct Deal<'a> {
    host: &'a HostRun,
    lanes: &'a [Sender<Vec<Parcel>>],
    hands: Vec<Vec<Parcel>>,
    dealt: usize,
}

struct LanesGone;

impl<'a> Deal<'a> {
    fn new(host: &'a HostRun, lanes: &'a [Sender<Vec<Parcel>>]) -> Deal<'a> {
        Deal { host, lanes, hands: lanes.iter().map(|_| Vec::new()).collect(), dealt: 0 }
    }

    fn add(&mut self, parcel: Parcel) -> Result<(), LanesGone> {
        let lane = (parcel.visitor.0 % self.lanes.len() as u64) as usize;
        // Counts hits, not events, because hits take the memory.
        self.dealt += match &parcel.work {
            Work::Send { hits, .. } => hits.len(),
            Work::Bury(_) => 1,
        };
        self.host.suite(&parcel).deal();
        self.hands[lane].push(parcel);
        if self.dealt >= DEALT_A_LANE * self.lanes.len() { self.flush() } else { Ok(()) }
    }

    /// Sends the batches to the lanes. Waits if a lane is behind.
    fn flush(&mut self) -> Result<(), LanesGone> {
        self.dealt = 0;
        let dealt = self.hands.iter().flatten().map(|parcel| self.host.suite(parcel));
        dealt
            .filter(|suite| suite.is_on_trial())
            .for_each(|suite| suite.ward(|ward| ward.is_feeding = false));
        for (lane, hand) in self.lanes.iter().zip(&mut self.hands) {
            if !hand.is_empty() {
                lane.blocking_send(std::mem::take(hand)).map_err(|_| LanesGone)?;
            }
        }
        Ok(())
    }
}
