//! A report suite in a run: whether it flows, and the parcels that wait for its verdict.
//!
//! A refused event stays undecided until a hit of its suite succeeds (the refusal was its own) or nobody is left to try (it was
//! the suite's). While the suite is on trial, what its lanes have of it waits here, and goes only as a candidate.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::StopReason;
use super::feed::Parcel;
use super::verdict::{Candidate, Refusal, Verdict};
use crate::buffer::{FormKey, RequestorKey, Route};
use crate::collection::Limiter;
use crate::delivery::{Outcome, Sequence, SuiteFault, Trouble, TroubleKind};
use crate::hit::VisitorKey;
use crate::suite::{ReportSuite, Rsid};

/// Events of a suite on trial that wait for its verdict, over all lanes: about 10 MiB of hits.
const WAITING_MAX: usize = 4_096;

const FLOWS: u8 = 0;
const ON_TRIAL: u8 = 1;
const STOPPED: u8 = 2;
const PAUSED: u8 = 3;

/// A report suite in a run.
pub(super) struct SuiteRun {
    pub(super) suite: ReportSuite,
    pub(super) form: FormKey,
    pub(super) requestors: Vec<RequestorKey>,
    pub(super) limiter: Limiter,
    state: AtomicU8,
    succeeded: AtomicBool,
    /// Events dealt to lanes that are not settled.
    outstanding: AtomicUsize,
    /// Those of them that lanes keep behind a refused event of their visitor.
    kept: AtomicUsize,
    /// Whether a success or a settled event may decide something.
    is_watched: AtomicBool,
    /// Whether its feed shall deal some more for its trial.
    is_feeding: AtomicBool,
    ward: Mutex<Ward>,
    /// Told of whatever lanes and feed may wait for.
    changes: Arc<watch::Sender<u64>>,
}

struct Ward {
    verdict: Verdict,
    fault: Option<SuiteFault>,
    undecided: Vec<Refused>,
    decided: Vec<Refused>,
    /// By lane, in their order.
    waiting: Vec<VecDeque<Parcel>>,
    in_trial: usize,
    /// The number of the trial; its scouts carry it.
    trial: u64,
    is_scouting: bool,
    /// Scouts on their way to their lanes.
    scouts: u32,
    /// Events that went as scouts: the feed passes over them.
    ahead: HashSet<Sequence>,
    is_fed_out: bool,
}

/// An event that was refused, and who decides on it.
pub(super) struct Refused {
    pub(super) lane: usize,
    pub(super) parcel: Parcel,
    pub(super) outcome: Outcome,
    /// Whether its visitor's later events must wait for the decision.
    pub(super) is_blocking: bool,
}

/// What comes back to a lane from a suite.
#[derive(Default)]
pub(super) struct Returned {
    /// Their refusal was their own.
    pub(super) decided: Vec<Refused>,
    /// Their suite was stopped, or the run was, before anything was decided.
    pub(super) undecided: Vec<Refused>,
    pub(super) waiting: VecDeque<Parcel>,
}

impl SuiteRun {
    /// `earlier` is what the runs before recorded.
    pub(super) fn new(
        route: Route,
        lanes: usize,
        changes: Arc<watch::Sender<u64>>,
        earlier: &[Trouble],
    ) -> SuiteRun {
        let rsid = &route.suite.form.rsid;
        let refused = |trouble: &&Trouble| {
            trouble.kind == TroubleKind::Refused
                && trouble.host == route.suite.collection_url
                && trouble.rsid.as_ref().is_none_or(|of| of == rsid)
        };
        let (before, was_stopped) =
            earlier.iter().find(refused).map_or((0, false), |trouble| (trouble.attempts, trouble.stopped));
        let ward = Ward {
            verdict: Verdict::new(before, was_stopped),
            fault: None,
            undecided: Vec::new(),
            decided: Vec::new(),
            waiting: (0..lanes).map(|_| VecDeque::new()).collect(),
            in_trial: 0,
            trial: 0,
            is_scouting: was_stopped,
            scouts: 0,
            ahead: HashSet::new(),
            is_fed_out: false,
        };
        SuiteRun {
            limiter: Limiter::new(route.suite.hits_per_second, Instant::now()),
            suite: route.suite,
            form: route.form,
            requestors: route.requestors,
            state: AtomicU8::new(if was_stopped { ON_TRIAL } else { FLOWS }),
            succeeded: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            is_watched: AtomicBool::new(was_stopped),
            is_feeding: AtomicBool::new(false),
            ward: Mutex::new(ward),
            changes,
        }
    }

    pub(super) fn rsid(&self) -> &Rsid {
        &self.suite.form.rsid
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    pub(super) fn flows(&self) -> bool {
        self.state() == FLOWS
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.state() == ON_TRIAL
    }

    /// Whether nothing more of it goes in this run.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state(), STOPPED | PAUSED)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state() == PAUSED
    }

    /// Whether this event may go now: it flows, is a candidate, or went before.
    pub(super) fn lets_go(&self, parcel: &Parcel) -> bool {
        self.flows() || (self.is_on_trial() && (parcel.is_candidate || parcel.attempts > 0))
    }

    /// Sends nothing more to it in this run; its events could have gone.
    pub(super) fn stop(&self, fault: &SuiteFault) {
        let before = self.state.swap(STOPPED, Ordering::Relaxed);
        if matches!(before, FLOWS | ON_TRIAL) {
            tracing::error!(rsid = %self.rsid(), host = %self.suite.collection_url, %fault, "report suite stopped for this run; its events wait");
            self.ward().fault = Some(fault.clone());
        }
        self.tell();
    }

    /// Sends nothing more to it in this run, because it was paused or removed meanwhile: its events are parked.
    pub(super) fn pause(&self) {
        let before = self.state.swap(PAUSED, Ordering::Relaxed);
        if matches!(before, FLOWS | ON_TRIAL) {
            tracing::warn!(rsid = %self.rsid(), "report suite paused or changed during the run; its events wait");
        }
        self.tell();
    }

    /// Why the run ended early because of this suite, if it did.
    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        (self.state() == STOPPED).then_some(StopReason::Suite)
    }

    /// Whether every event that was tried is refused, as far as the run came; `None` where none was tried.
    pub(super) fn refuses_all(&self) -> Option<bool> {
        let is_refused =
            self.ward().fault.as_ref().map(|fault| matches!(fault, SuiteFault::RefusesAll { .. }));
        let is_idle = self.outstanding.load(Ordering::Relaxed) == 0 && !self.has_succeeded();
        is_refused.or(if is_idle { None } else { Some(false) })
    }

    /// What stands in its way: kind, cause and events.
    pub(super) fn trouble(&self) -> Option<(SuiteFault, u64, bool)> {
        let ward = self.ward();
        let events = ward.verdict.standing().map_or(0, |(_, events)| u64::from(events));
        let standing = || {
            let (refusal, events) = ward.verdict.standing()?;
            Some(SuiteFault::RefusesAll { cause: refusal.cause.clone(), events })
        };
        let fault = ward.fault.clone().or_else(standing)?;
        Some((fault, events.max(1), ward.fault.is_some()))
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// A hit succeeded: what was refused before was refused for its own sake, and a trial ends.
    pub(super) fn succeed(&self) {
        self.succeeded.store(true, Ordering::Relaxed);
        if !self.is_watched.load(Ordering::Relaxed) {
            return;
        }
        let mut ward = self.ward();
        ward.verdict.succeed();
        ward.decide();
        self.set_state(ON_TRIAL, FLOWS);
        self.is_watched.store(false, Ordering::Relaxed);
        self.is_feeding.store(false, Ordering::Relaxed);
        self.tell();
    }

    /// Takes a refused event until it is decided whose fault that is.
    pub(super) fn refuse(&self, mut refused: Refused, refusal: Refusal) {
        let mut ward = self.ward();
        ward.end_candidate(std::mem::take(&mut refused.parcel.is_candidate));
        if !std::mem::replace(&mut refused.parcel.was_refused, true) && ward.verdict.refuse(refusal) {
            ward.trial += 1;
            ward.is_scouting = !ward.is_fed_out;
            if self.set_state(FLOWS, ON_TRIAL) {
                tracing::warn!(rsid = %self.rsid(), "the latest events were all refused: trying other visitors before the rest goes on");
                self.tell();
            }
        }
        ward.undecided.push(refused);
        self.is_watched.store(true, Ordering::Relaxed);
        self.consider(&mut ward);
    }

    /// Takes an event that may not go while its suite is on trial.
    pub(super) fn wait(&self, lane: usize, parcel: Parcel) {
        let mut ward = self.ward();
        ward.waiting[lane].push_back(parcel);
        self.consider(&mut ward);
    }

    /// An event of a lane that the trial may try.
    pub(super) fn take_candidate(&self, lane: usize) -> Option<Parcel> {
        let mut ward = self.ward();
        if !self.is_on_trial() {
            return None;
        }
        let (at_lane, place, candidate) = ward.candidate(Some(lane))?;
        if at_lane != lane || !ward.verdict.admit(candidate) {
            return None;
        }
        let mut parcel = ward.waiting[lane].remove(place)?;
        parcel.is_candidate = true;
        ward.in_trial += 1;
        Some(parcel)
    }

    /// Whether a scout may go; `is_known` where its lane has earlier events of its visitor.
    pub(super) fn admit_scout(&self, parcel: &mut Parcel, is_known: bool) -> bool {
        let mut ward = self.ward();
        let is_of_this_trial = parcel.scout == Some(ward.trial) && self.is_on_trial();
        if is_of_this_trial {
            ward.scouts -= 1;
        }
        let goes = is_of_this_trial
            && !is_known
            && !ward.knows(parcel.visitor)
            && ward.verdict.admit(Candidate::Other);
        if goes {
            (parcel.scout, parcel.is_candidate) = (None, true);
            ward.in_trial += 1;
            ward.ahead.insert(parcel.event.sequence);
        } else {
            self.outstanding.fetch_sub(1, Ordering::Relaxed);
            self.consider(&mut ward);
        }
        goes
    }

    /// What a lane gets back: where its suite flows what was decided and what waited, where it is over everything.
    pub(super) fn take_back(&self, lane: usize, is_last: bool) -> Returned {
        let mut ward = self.ward();
        let mut returned = Returned::default();
        let of_lane = |refused: &mut Refused| refused.lane == lane;
        returned.decided.extend(ward.decided.extract_if(.., of_lane));
        if is_last || self.is_over() {
            returned.undecided.extend(ward.undecided.extract_if(.., of_lane));
        }
        if is_last || !self.is_on_trial() {
            returned.waiting = std::mem::take(&mut ward.waiting[lane]);
        }
        returned
    }

    pub(super) fn has_some_of(&self, lane: usize) -> bool {
        let ward = self.ward();
        !ward.waiting[lane].is_empty()
            || ward.undecided.iter().chain(&ward.decided).any(|refused| refused.lane == lane)
    }

    /// Counts an event as dealt.
    pub(super) fn deal(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event as settled.
    pub(super) fn settle(&self, parcel: &Parcel) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.pass(parcel.is_candidate);
    }

    /// A candidate is none any more: it was settled, or waits for another attempt.
    pub(super) fn pass(&self, was_candidate: bool) {
        if was_candidate || self.is_watched.load(Ordering::Relaxed) {
            let mut ward = self.ward();
            ward.end_candidate(was_candidate);
            self.consider(&mut ward);
        }
    }

    /// Counts events that a lane keeps behind a refused one.
    pub(super) fn keep(&self, events: usize) {
        self.kept.fetch_add(events, Ordering::Relaxed);
        self.pass(false);
    }

    /// Counts events that a lane keeps no more.
    pub(super) fn keep_no_more(&self, events: usize) {
        self.kept.fetch_sub(events, Ordering::Relaxed);
    }

    /// A lane has no room for more events behind a refused one: it is taken at its word.
    pub(super) fn decide_now(&self) {
        self.ward().decide();
        self.tell();
    }

    /// The trial for which its feed shall find other visitors.
    pub(super) fn wants_scouts(&self) -> Option<u64> {
        if !self.is_on_trial() {
            return None;
        }
        let ward = self.ward();
        ward.is_scouting.then_some(ward.trial)
    }

    /// The feed has looked, and deals so many.
    pub(super) fn scouted(&self, trial: u64, scouts: usize) {
        let mut ward = self.ward();
        if ward.trial == trial {
            (ward.is_scouting, ward.scouts) = (false, u32::try_from(scouts).unwrap_or(u32::MAX));
        }
        self.consider(&mut ward);
        self.tell();
    }

    /// Whether this event went as a scout.
    pub(super) fn went_ahead(&self, sequence: Sequence) -> bool {
        self.ward().ahead.remove(&sequence)
    }

    /// Whether the feed deals its events.
    pub(super) fn is_fed(&self) -> bool {
        self.flows() || self.is_feeding.load(Ordering::Relaxed)
    }

    /// The feed has dealt what a trial asked for.
    pub(super) fn fed(&self) {
        self.is_feeding.store(false, Ordering::Relaxed);
    }

    /// The feed has nothing more of it.
    pub(super) fn fed_out(&self) {
        let mut ward = self.ward();
        (ward.is_fed_out, ward.is_scouting) = (true, false);
        self.consider(&mut ward);
        self.tell();
    }

    /// Concludes where nothing is under way that could still decide.
    fn consider(&self, ward: &mut Ward) {
        let waiting: usize = ward.waiting.iter().map(VecDeque::len).sum();
        let kept = self.kept.load(Ordering::Relaxed);
        let is_under_way = self.outstanding.load(Ordering::Relaxed) > ward.undecided.len() + waiting + kept;
        if is_under_way || ward.in_trial > 0 || ward.scouts > 0 || ward.is_scouting {
            return;
        }
        if !self.is_on_trial() {
            if self.flows() && ward.is_fed_out && waiting == 0 && !ward.undecided.is_empty() {
                // Fewer than make a row, and no others: each is taken at its word.
                ward.decide();
                self.tell();
            }
            return;
        }
        if ward.candidate(None).is_some() {
            self.tell();
            return;
        }
        let has_room = [Candidate::Other, Candidate::Follower].map(|of| ward.verdict.room(of) > 0);
        if has_room.contains(&true) && !ward.is_fed_out && waiting < WAITING_MAX {
            self.is_feeding.store(true, Ordering::Relaxed);
            self.tell();
        } else if let Some(fault) = ward.verdict.conclude() {
            ward.fault = Some(fault.clone());
            if self.set_state(ON_TRIAL, STOPPED) {
                tracing::error!(rsid = %self.rsid(), host = %self.suite.collection_url, %fault, "report suite stopped for this run; its events wait");
            }
            self.tell();
        } else if waiting > 0 {
            // Nobody was refused: they met another trouble, and so may the rest.
            ward.verdict.acquit();
            self.set_state(ON_TRIAL, FLOWS);
            self.tell();
        }
    }

    fn set_state(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn tell(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    fn ward(&self) -> MutexGuard<'_, Ward> {
        self.ward.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ward {
    /// What was refused so far was refused for its own sake.
    fn decide(&mut self) {
        self.decided.append(&mut self.undecided);
        (self.is_scouting, self.scouts) = (false, 0);
        self.trial += 1;
    }

    fn end_candidate(&mut self, was_candidate: bool) {
        self.in_trial -= usize::from(was_candidate);
    }

    fn knows(&self, visitor: VisitorKey) -> bool {
        self.undecided.iter().any(|refused| refused.parcel.visitor == visitor)
            || self.waiting.iter().flatten().any(|parcel| parcel.visitor == visitor)
    }

    /// The next event to try, of this lane where it has one of another visitor: its lane, its place, and what it is. Followers go
    /// one at a time, those of the visitor first that was refused most often.
    fn candidate(&self, lane: Option<usize>) -> Option<(usize, usize, Candidate)> {
        let may_take_others = !self.is_scouting && self.verdict.room(Candidate::Other) > self.scouts;
        let may_follow = self.in_trial == 0 && self.scouts == 0 && self.verdict.room(Candidate::Follower) > 0;
        if !may_take_others && !may_follow {
            return None;
        }
        let mut refused: HashMap<VisitorKey, (u32, bool)> = HashMap::new();
        for Refused { parcel, is_blocking, .. } in &self.undecided {
            let (times, is_blocked) = refused.entry(parcel.visitor).or_default();
            (*times, *is_blocked) = (*times + 1, *is_blocked || *is_blocking);
        }
        let open = refused.values().filter(|(_, is_blocked)| !is_blocked);
        let most = open.map(|(times, _)| *times).max().unwrap_or(0);
        let waiting: usize = self.waiting.iter().map(VecDeque::len).sum();
        // One visitor's events lead past its bad ones; everybody's second may be as bad as the first.
        let least = if self.is_fed_out || waiting >= WAITING_MAX { 0 } else { most };
        let mut best: Option<(u32, usize, usize)> = None;
        for (number, parcels) in self.waiting.iter().enumerate() {
            let mut seen = HashSet::new();
            for (place, parcel) in parcels.iter().enumerate() {
                if !seen.insert(parcel.visitor) {
                    continue;
                }
                match refused.get(&parcel.visitor) {
                    None if may_take_others && lane.is_none_or(|lane| lane == number) => {
                        return Some((number, place, Candidate::Other));
                    }
                    Some((times, false))
                        if may_follow && *times >= least && best.is_none_or(|(most, ..)| *times > most) =>
                    {
                        best = Some((*times, number, place));
                    }
                    None | Some(_) => {}
                }
            }
        }
        best.map(|(_, lane, place)| (lane, place, Candidate::Follower))
    }
}
