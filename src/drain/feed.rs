//! Walks the backlog of one collection host in time order, makes hits of the events, and deals them out to the lanes.
//!
//! Runs on a thread of its own, so that reading, mapping and encoding never delay a request in flight. Lanes get
//! batches, because one hand-over costs as much as mapping an event.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::bindings::waiting_a_lane;
use super::host::HostRun;
use super::parcel::{Parcel, Work};
use super::verdict::OTHERS_MAX;
use super::ward::{Phase, Ward};
use crate::buffer::{Backlog, BufferError, Flow, Merge, RequestorKey};
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::hit::VisitorKey;
use crate::mapping;

/// The bytes of a block of hits. A larger block saves nothing, and one hit that waits keeps its whole block.
const BLOCK_BYTES: usize = 32 << 10;
/// How many visitors one search for scouts (see `ward`) samples: enough for several trials, and enough to
/// include rare kinds of events. The sample takes about 3 MiB of hits.
const SAMPLED_VISITORS: usize = 1_000;
/// The most events that one search reads: a few seconds of work.
const SEARCHED_MAX: usize = 1_000_000;
/// How often the feed checks whether a suite that has a pace has room for more events.
const PACE_POLL: Duration = Duration::from_millis(10);

/// Feeds the lanes until the backlog, the allowance or the run ends. `runtime` is the runtime of the lanes.
pub(super) fn feed(
    backlog: Backlog,
    host: &HostRun,
    lanes: &[UnboundedSender<Vec<Parcel>>],
    runtime: &Handle,
) -> Result<(), BufferError> {
    let fed = Feed::new(backlog, host, lanes).walk(runtime);
    // Also after a failure, the suites learn that no more events come. Else a trial would wait for ever.
    host.suites.iter().for_each(|suite| suite.ward(Ward::fed_out));
    fed
}

/// The walk over the backlog of a host.
struct Feed<'a> {
    backlog: Backlog,
    host: &'a HostRun,
    merge: Merge,
    /// The suite of each requestor, by the requestor's place in the merge.
    suites: Vec<usize>,
    deal: Deal<'a>,
    /// Where the next hits are written: one block of memory for many hits, which is freed with the last of them.
    block: BytesMut,
    /// The scouts that were dealt out and that the walk has not reached yet.
    scouts: HashSet<Sequence>,
    /// By suite: the scouts that the last search found and that are not yet dealt out.
    found: Vec<VecDeque<Parcel>>,
    /// By suite: the time and number of the last event that the walk has read.
    walked: Vec<(Instant, Sequence)>,
}

impl<'a> Feed<'a> {
    fn new(backlog: Backlog, host: &'a HostRun, lanes: &'a [UnboundedSender<Vec<Parcel>>]) -> Feed<'a> {
        let by_suite = host.suites.iter().enumerate();
        let (suites, requestors): (Vec<usize>, Vec<RequestorKey>) = by_suite
            .flat_map(|(place, suite)| suite.requestors.iter().map(move |requestor| (place, *requestor)))
            .unzip();
        let (merge, deal) = (Merge::new(requestors), Deal::new(host, lanes));
        let found = host.suites.iter().map(|_| VecDeque::new()).collect();
        let walked = vec![(Instant::from_nanos(i64::MIN), Sequence(i64::MIN)); host.suites.len()];
        let (block, scouts) = (BytesMut::with_capacity(BLOCK_BYTES), HashSet::new());
        Feed { backlog, host, merge, suites, deal, block, scouts, found, walked }
    }

    fn walk(&mut self, runtime: &Handle) -> Result<(), BufferError> {
        let mut changes = self.host.changes();
        let is_cut_short = loop {
            if self.host.is_stopped() {
                break true;
            }
            changes.borrow_and_update();
            self.deal_scouts()?;
            let (host, suites) = (self.host, &self.suites);
            // At the limit, the walk waits while refused events may still give back their part of the limit.
            let waits = host.known.allowance.load(Ordering::Relaxed) == 0
                && host.suites.iter().any(|suite| suite.ward(|ward| ward.may_refuse()));
            let flow = |place: usize| if waits { Flow::Waits } else { host.suites[suites[place]].flow() };
            let Some((place, pending)) = self.merge.next(&mut self.backlog, self.host.known.cover, flow)?
            else {
                self.flush();
                if !self.has_waiting() {
                    break false;
                }
                runtime.block_on(async {
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = self.host.stopped() => {}
                        () = sleep(PACE_POLL) => {}
                    }
                });
                continue;
            };
            let (suite, sequence) = (self.suites[place], pending.reference.sequence);
            self.walked[suite] = (pending.reference.occurred_at, sequence);
            let was_taken = self.scouts.remove(&sequence);
            if was_taken && self.host.suites[suite].ward(|ward| ward.went_ahead(sequence)) {
                continue;
            }
            if !was_taken && !self.take_one() {
                self.host.known.tally.counts().is_limited = true;
                self.host.suites.iter().for_each(|suite| suite.ward(|ward| ward.is_cut_short = true));
                break true;
            }
            let run = &self.host.suites[suite];
            let parcel = Parcel::new(suite, (&run.suite.form, run.form), &pending, &mut self.block);
            if self.deal.add(parcel).is_err() {
                break true;
            }
        };
        let is_cut_off = |place: usize| {
            self.host.suites[self.suites[place]].is_stopped() && !self.merge.is_exhausted(place)
        };
        if is_cut_short || (0..self.suites.len()).any(is_cut_off) {
            self.host.known.tally.counts().left = true;
        }
        self.flush();
        Ok(())
    }

    /// Sends the batches to the lanes. If a lane has ended, its batch stays pending, and the run notes this.
    fn flush(&mut self) {
        if self.deal.flush().is_err() {
            self.host.known.tally.counts().left = true;
        }
    }

    /// Counts one event towards the limit of the run. Returns false if the limit was already reached.
    fn take_one(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.host.known.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Whether a suite that is not over has more events to read; the merge may have given none only because such suites
    /// wait. If a suite that is on trial or full has no more events, its ward is told so.
    fn has_waiting(&self) -> bool {
        let mut waits = false;
        for (number, suite) in self.host.suites.iter().enumerate().filter(|(_, suite)| !suite.is_over()) {
            let mut places = (0..self.suites.len()).filter(|place| self.suites[*place] == number);
            if !places.all(|place| self.merge.is_exhausted(place)) {
                waits = true;
            } else if suite.is(Phase::OnTrial) || suite.is_full() {
                suite.ward(Ward::fed_out);
            }
        }
        waits
    }

    /// Deals out scouts (see `ward`), which are events before their turn, for the suites whose trial asks for them.
    fn deal_scouts(&mut self) -> Result<(), BufferError> {
        let host = self.host;
        for (number, suite) in host.suites.iter().enumerate() {
            let wanted = suite.is(Phase::OnTrial).then(|| suite.ward(|ward| ward.wants_scouts()));
            let Some(trial) = wanted.flatten() else { continue };
            let walked = self.walked[number];
            self.found[number].retain(|scout| scout.order() > walked);
            if self.found[number].is_empty() {
                self.found[number] = self.find_scouts(number)?;
            }
            let dealt = self.found[number].len().min(OTHERS_MAX as usize);
            let mut scouts: Vec<Parcel> = self.found[number].drain(..dealt).collect();
            scouts.iter_mut().for_each(|scout| scout.scout = Some(trial));
            scouts.retain(|scout| self.scouts.contains(&scout.event.sequence) || self.take_one());
            suite.ward(|ward| ward.scouted(trial, scouts.len()));
            self.scouts.extend(scouts.iter().map(|scout| scout.event.sequence));
            // The error is ignored: the walk meets the same error.
            let dealt = scouts.into_iter().try_for_each(|scout| self.deal.add(scout));
            drop(dealt.and_then(|()| self.deal.flush()));
        }
        Ok(())
    }

    /// Finds scouts: the first pending events of visitors, spread over the backlog of the suite and the kinds
    /// of events. A visitor is in the sample because of its digest, not because of an event. So the scout is
    /// the visitor's first pending event that can be sent. A salt makes every search sample other visitors,
    /// because all events of the last sample may be bad.
    fn find_scouts(&mut self, suite: usize) -> Result<VecDeque<Parcel>, BufferError> {
        let salt = fastrand::u64(..);
        let ahead = self.host.suites[suite].ward(|ward| ward.gone_ahead());
        let mut tried: HashSet<VisitorKey> = HashSet::new();
        let mut rest =
            self.merge.rest_of((0..self.suites.len()).filter(|place| self.suites[*place] == suite));
        let mut sample: BTreeMap<u64, Parcel> = BTreeMap::new();
        for _ in 0..SEARCHED_MAX {
            let next = rest.next(&mut self.backlog, self.host.known.cover, |_| Flow::Flows)?;
            let Some((_, pending)) = next.filter(|_| !self.host.is_stopped()) else { break };
            let form = pending.doubted.as_ref().map_or(&self.host.suites[suite].suite.form, |one| &*one.form);
            let visitor = mapping::visitor(&pending.event, pending.id, form);
            if ahead.contains(&pending.reference.sequence) {
                tried.insert(visitor);
            }
            let rank = visitor.0 ^ salt;
            let last = sample.last_key_value().map(|(last, _)| *last);
            let is_beyond = sample.len() == SAMPLED_VISITORS && last.is_some_and(|last| rank > last);
            if is_beyond || tried.contains(&visitor) || sample.contains_key(&rank) {
                continue;
            }
            let run = &self.host.suites[suite];
            let mut scout = Parcel::new(suite, (&run.suite.form, run.form), &pending, &mut self.block);
            if matches!(scout.work, Work::Bury(_)) {
                continue;
            }
            scout.leave_block();
            sample.insert(rank, scout);
            if sample.len() > SAMPLED_VISITORS {
                sample.pop_last();
            }
        }
        // First comes one scout of each kind of event, then a second scout of each kind, and so on.
        let mut of_kind: BTreeMap<u8, u32> = BTreeMap::new();
        let mut found: Vec<Parcel> = sample.into_values().collect();
        found.sort_by_cached_key(|scout| {
            let number = of_kind.entry(scout.event.kind.slot()).or_default();
            *number += 1;
            *number
        });
        Ok(found.into())
    }
}

/// Batches for the lanes.
struct Deal<'a> {
    host: &'a HostRun,
    lanes: &'a [UnboundedSender<Vec<Parcel>>],
    hands: Vec<Vec<Parcel>>,
    dealt: usize,
    /// How many hits are gathered before all lanes get their batches: half of what may wait there.
    dealt_max: usize,
}

struct LanesGone;

impl<'a> Deal<'a> {
    fn new(host: &'a HostRun, lanes: &'a [UnboundedSender<Vec<Parcel>>]) -> Deal<'a> {
        let dealt_max = (waiting_a_lane(lanes.len()) * lanes.len()).div_ceil(2);
        Deal { host, lanes, hands: lanes.iter().map(|_| Vec::new()).collect(), dealt: 0, dealt_max }
    }

    fn add(&mut self, parcel: Parcel) -> Result<(), LanesGone> {
        // Counts hits, not events, because hits take the memory.
        self.dealt += parcel.waiting;
        self.host.suite(&parcel).deal();
        self.hands[self.host.bindings.bind(parcel.visitor, parcel.waiting)].push(parcel);
        if self.dealt < self.dealt_max {
            return Ok(());
        }
        self.flush()?;
        self.host.bindings.wait_for_room(|| self.lanes.iter().all(UnboundedSender::is_closed));
        Ok(())
    }

    /// Sends the batches to the lanes, and with them the events that trials asked for.
    fn flush(&mut self) -> Result<(), LanesGone> {
        self.dealt = 0;
        let dealt = self.hands.iter().flatten().map(|parcel| self.host.suite(parcel));
        dealt
            .filter(|suite| suite.is(Phase::OnTrial))
            .for_each(|suite| suite.ward(|ward| ward.is_feeding = false));
        for (lane, hand) in self.lanes.iter().zip(&mut self.hands) {
            if !hand.is_empty() {
                lane.send(std::mem::take(hand)).map_err(|_| LanesGone)?;
            }
        }
        Ok(())
    }
}
