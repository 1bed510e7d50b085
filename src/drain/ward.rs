//! The events of a suite whose refusals are not explained yet, and what its trial tries next. It neither waits nor sends.
//!
//! A refused event stays undecided until a hit of its suite succeeds that was sent after the refusal came back (the refusal was
//! its own) or nobody is left to try (it was the suite's). A success that was under way meanwhile proves nothing: the suite may
//! have begun to refuse since. While the suite is on trial, what its lanes have of it waits here, and goes only as a candidate.

use std::collections::{HashMap, HashSet, VecDeque};

use super::parcel::Parcel;
use super::verdict::{Candidate, Refusal, Verdict};
use crate::delivery::{Outcome, Sequence, SuiteFault};
use crate::hit::VisitorKey;

/// Events of a suite on trial that wait for its verdict, over all lanes: about 10 MiB of hits.
const WAITING_MAX: usize = 4_096;

/// Whether a suite's events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// They go, and a success or a settled event may decide something.
    Watched,
    /// They go, a hit has succeeded, and no refused event is left to settle.
    Flows,
    /// Only candidates go.
    OnTrial,
    /// Nothing more of it goes in this run; its events could have gone.
    Stopped,
    /// The same, because it was paused or removed meanwhile: its events are parked.
    Paused,
}

impl Phase {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Paused)
    }
}

/// What lanes and feed share of a suite.
pub(super) struct Ward {
    pub(super) phase: Phase,
    verdict: Verdict,
    /// Why it was stopped.
    pub(super) fault: Option<SuiteFault>,
    refused: Vec<Refused>,
    /// By lane, in their order.
    waiting: Vec<VecDeque<Parcel>>,
    /// Candidates whose reply has not come.
    in_trial: usize,
    /// The number of the trial; its scouts carry it.
    trial: u64,
    is_scouting: bool,
    /// Whether one of the scouts that were found last went: another search may find more.
    finds_others: bool,
    /// Scouts on their way to their lanes.
    scouts: u32,
    /// Events that went as scouts: the feed passes over them.
    ahead: HashSet<Sequence>,
    /// Whether its feed shall deal some more for its trial.
    pub(super) is_feeding: bool,
    is_fed_out: bool,
    /// Hits that it was sent so far.
    pub(super) sent: u64,
    /// The highest number of a hit that succeeded.
    pub(super) succeeded: u64,
    /// Events dealt to lanes that are not settled.
    pub(super) outstanding: usize,
    /// Whether something changed that lanes or feed may wait for.
    pub(super) has_news: bool,
}

/// An event that was refused, and its lane, which settles it once that is decided.
pub(super) struct Refused {
    pub(super) lane: usize,
    pub(super) parcel: Parcel,
    pub(super) outcome: Outcome,
    /// Whether its visitor's later events must wait for the decision.
    pub(super) is_blocking: bool,
    /// Hits that the suite had been sent when the refusal came back.
    pub(super) known_at: u64,
    /// Whose fault it was, once that is decided. Else it is left to the next run, once its suite or the run is over.
    pub(super) whose: Option<Whose>,
}

/// Whose fault a refusal was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Events,
    /// Too few were refused to say so of the suite, and nobody was left to ask.
    Unknown,
}

impl Ward {
    /// Of a suite of which so many events in a row were refused when the run before ended; one that was stopped then is on trial from
    /// the start.
    pub(super) fn new(lanes: usize, (refused_before, was_stopped): (u64, bool)) -> Ward {
        Ward {
            phase: if was_stopped { Phase::OnTrial } else { Phase::Watched },
            verdict: Verdict::new(refused_before, was_stopped),
            fault: None,
            refused: Vec::new(),
            waiting: (0..lanes).map(|_| VecDeque::new()).collect(),
            in_trial: 0,
            trial: 0,
            is_scouting: was_stopped,
            finds_others: false,
            scouts: 0,
            ahead: HashSet::new(),
            is_feeding: false,
            is_fed_out: false,
            sent: 0,
            succeeded: 0,
            outstanding: 0,
            has_news: false,
        }
    }

    /// Its fault, the events that met it, and whether it is stopped for that.
    pub(super) fn trouble(&self) -> Option<(SuiteFault, u64, bool)> {
        let events = if self.verdict.is_clear() { 1 } else { u64::from(self.verdict.in_a_row()) };
        let fault = self.fault.clone().or_else(|| self.verdict.fault())?;
        Some((fault, events, self.fault.is_some()))
    }

    /// Sends nothing more to it in this run; its events could have gone.
    pub(super) fn stop(&mut self, fault: SuiteFault) {
        if !self.phase.is_over() {
            (self.phase, self.fault) = (Phase::Stopped, Some(fault));
        }
        self.has_news = true;
    }

    /// Sends nothing more to it in this run, because it was paused or removed meanwhile.
    pub(super) fn pause(&mut self) {
        (self.phase, self.has_news) = (Phase::Paused, true);
    }

    /// The hit with this number succeeded: what was refused before it was sent was refused for its own sake.
    pub(super) fn succeed(&mut self, sent: u64) {
        self.verdict.succeed(sent);
        for refused in self.refused.iter_mut().filter(|refused| refused.known_at <= sent) {
            refused.whose.get_or_insert(Whose::Events);
            self.has_news = true;
        }
        if self.phase == Phase::OnTrial && !self.verdict.is_on_trial() {
            self.end_trial();
        }
        self.flow_freely();
    }

    fn end_trial(&mut self) {
        self.verdict.end_trial();
        (self.phase, self.is_feeding, self.is_scouting, self.scouts) = (Phase::Watched, false, false, 0);
        // Scouts that are under way to their lanes are too late.
        (self.trial, self.has_news) = (self.trial + 1, true);
    }

    /// Stops watching once a hit has succeeded and every refused event is back with its lane.
    fn flow_freely(&mut self) {
        if self.phase == Phase::Watched
            && self.refused.is_empty()
            && self.verdict.is_clear()
            && self.succeeded > 0
        {
            self.phase = Phase::Flows;
        }
    }

    /// Takes a refused event until it is decided whose fault that is.
    pub(super) fn refuse(&mut self, mut refused: Refused, refusal: Refusal) {
        self.in_trial -= usize::from(std::mem::take(&mut refused.parcel.is_candidate));
        let is_first = !std::mem::replace(&mut refused.parcel.was_refused, true);
        if self.phase == Phase::Flows {
            self.phase = Phase::Watched;
        }
        refused.known_at = self.sent;
        if is_first && self.verdict.refuse(refusal, refused.parcel.sent, self.sent) {
            self.trial += 1;
            self.is_scouting = !self.is_fed_out;
            if self.phase == Phase::Watched {
                (self.phase, self.has_news) = (Phase::OnTrial, true);
            }
        }
        self.refused.push(refused);
        self.consider();
    }

    /// No event is left that could decide. Where nobody was asked, a refused event that was sent before a hit which succeeded was
    /// refused for its own sake. What is left may be the suite's fault.
    fn conclude(&mut self) {
        let succeeded = self.succeeded;
        if !self.verdict.has_asked() {
            self.verdict.pardon(succeeded);
            for refused in self.refused.iter_mut().filter(|refused| refused.parcel.sent < succeeded) {
                refused.whose.get_or_insert(Whose::Events);
            }
        }
        if let Some(fault) = self.verdict.fault().filter(|_| self.verdict.is_guilty(succeeded > 0)) {
            self.stop(fault);
            return;
        }
        for refused in &mut self.refused {
            refused.whose.get_or_insert(Whose::Unknown);
        }
        self.end_trial();
    }

    /// Takes an event that may not go: while its suite is on trial, or before one of its visitor is decided.
    pub(super) fn wait(&mut self, lane: usize, parcel: Parcel) {
        self.waiting[lane].push_back(parcel);
        self.consider();
    }

    /// An event was settled, or waits for another attempt; a candidate is none any more.
    pub(super) fn end_try(&mut self, was_candidate: bool) {
        self.in_trial -= usize::from(was_candidate);
        self.consider();
    }

    /// An event of a lane that the trial may try.
    pub(super) fn take_candidate(&mut self, lane: usize) -> Option<Parcel> {
        let (at_lane, place, candidate) = self.candidate(Some(lane))?;
        if at_lane != lane || !self.verdict.admit(candidate) {
            return None;
        }
        let mut parcel = self.waiting[lane].remove(place)?;
        parcel.is_candidate = true;
        self.in_trial += 1;
        Some(parcel)
    }

    /// Lets a scout go as a candidate, unless its trial is over or earlier events of its visitor are about.
    pub(super) fn admit_scout(&mut self, parcel: &mut Parcel, is_known: bool) -> bool {
        if parcel.scout != Some(self.trial) || self.phase != Phase::OnTrial {
            return false;
        }
        self.scouts -= 1;
        let is_known = is_known
            // It went for an earlier trial, and its feed has not come to it yet.
            || self.ahead.contains(&parcel.event.sequence)
            || self.undecided().any(|refused| refused.parcel.visitor == parcel.visitor)
            || self.waiting.iter().flatten().any(|waiting| waiting.visitor == parcel.visitor);
        if is_known || !self.verdict.admit(Candidate::Other) {
            return false;
        }
        (parcel.scout, parcel.is_candidate, self.finds_others) = (None, true, true);
        self.in_trial += 1;
        self.ahead.insert(parcel.event.sequence);
        true
    }

    /// What a lane gets back: what was decided, and where its suite flows what waited; at the end everything.
    pub(super) fn take_back(&mut self, lane: usize, is_last: bool) -> (Vec<Refused>, VecDeque<Parcel>) {
        let takes_all = is_last || self.phase.is_over();
        let is_due = |refused: &mut Refused| refused.lane == lane && (takes_all || refused.whose.is_some());
        let refused = self.refused.extract_if(.., is_due).collect();
        self.flow_freely();
        let takes_waiting = is_last || self.phase != Phase::OnTrial;
        (refused, if takes_waiting { std::mem::take(&mut self.waiting[lane]) } else { VecDeque::new() })
    }

    pub(super) fn blocks(&self, visitor: VisitorKey) -> bool {
        self.refused.iter().any(|refused| refused.is_blocking && refused.parcel.visitor == visitor)
    }

    pub(super) fn has_some_of(&self, lane: usize) -> bool {
        !self.waiting[lane].is_empty() || self.refused.iter().any(|refused| refused.lane == lane)
    }

    /// The trial for which its feed shall find other visitors.
    pub(super) fn wants_scouts(&self) -> Option<u64> {
        (self.phase == Phase::OnTrial && self.is_scouting).then_some(self.trial)
    }

    /// The feed has looked, and deals so many.
    pub(super) fn scouted(&mut self, trial: u64, scouts: usize) {
        if self.trial == trial {
            (self.is_scouting, self.finds_others) = (false, false);
            self.scouts = u32::try_from(scouts).unwrap_or(u32::MAX);
        }
        self.has_news = true;
        self.consider();
    }

    /// The events that went as scouts and that its feed has not come to.
    pub(super) fn gone_ahead(&self) -> HashSet<Sequence> {
        self.ahead.clone()
    }

    /// Whether this event went as a scout.
    pub(super) fn went_ahead(&mut self, sequence: Sequence) -> bool {
        self.ahead.remove(&sequence)
    }

    /// The feed has nothing more of it.
    pub(super) fn fed_out(&mut self) {
        (self.is_fed_out, self.is_scouting, self.has_news) = (true, false, true);
        self.consider();
    }

    /// Concludes where nothing is under way that could still decide.
    fn consider(&mut self) {
        let (undecided, waiting) = (self.undecided().count(), self.waiting());
        let is_under_way = self.outstanding > undecided + waiting
            || self.in_trial > 0
            || self.scouts > 0
            || self.is_scouting;
        if self.phase == Phase::Watched {
            // Too few refusals for a trial, and no other event left or no more room.
            if undecided > 0 && (self.is_full_of_blocked() || (self.is_fed_out && !is_under_way)) {
                self.conclude();
            }
            return;
        }
        if is_under_way || self.phase != Phase::OnTrial {
            return;
        }
        let has_room_for_others = self.verdict.room(Candidate::Other) > 0;
        let has_room = has_room_for_others || self.verdict.room(Candidate::Follower) > 0;
        if has_room_for_others && self.finds_others && !self.is_fed_out {
            (self.is_scouting, self.has_news) = (true, true);
        } else if self.candidate(None).is_some() {
            // The lane that has the candidate is woken.
            self.has_news = true;
        } else if has_room && !self.is_fed_out && waiting < WAITING_MAX {
            (self.is_feeding, self.has_news) = (true, true);
        } else if let Some(fault) = self.verdict.fault() {
            if self.is_fed_out && waiting == 0 { self.conclude() } else { self.stop(fault) }
        } else if waiting > 0 {
            // No candidate was refused: they failed for another reason, which does not stop the suite.
            self.end_trial();
        }
    }

    /// Whether so many wait behind refused events of their visitors. What a trial made wait goes on once its lanes take it back.
    fn is_full_of_blocked(&self) -> bool {
        let is_blocked = |parcel: &&Parcel| self.blocks(parcel.visitor);
        self.waiting() >= WAITING_MAX
            && self.waiting.iter().flatten().filter(is_blocked).count() >= WAITING_MAX
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    fn undecided(&self) -> impl Iterator<Item = &Refused> {
        self.refused.iter().filter(|refused| refused.whose.is_none())
    }

    /// The next event to try, of this lane where it has one of another visitor: its lane, its place, and what it is. The other
    /// visitor may be any: those at the head of the lane may all be bad. Followers go one at a time, those of the visitor first
    /// that was refused most often.
    fn candidate(&self, lane: Option<usize>) -> Option<(usize, usize, Candidate)> {
        let takes_others = !self.is_scouting && self.verdict.room(Candidate::Other) > self.scouts;
        let takes_followers =
            self.in_trial == 0 && self.scouts == 0 && self.verdict.room(Candidate::Follower) > 0;
        if self.phase != Phase::OnTrial || (!takes_others && !takes_followers) {
            return None;
        }
        let mut refused: HashMap<VisitorKey, (u32, bool)> = HashMap::new();
        for Refused { parcel, is_blocking, whose, .. } in &self.refused {
            let (times, is_blocked) = refused.entry(parcel.visitor).or_default();
            (*times, *is_blocked) = (*times + u32::from(whose.is_none()), *is_blocked || *is_blocking);
        }
        let open = refused.values().filter(|(_, is_blocked)| !is_blocked);
        let most = open.map(|(times, _)| *times).max().unwrap_or(0);
        // One visitor's events lead past its bad ones; everybody's second may be as bad as the first.
        let least = if self.is_fed_out || self.waiting() >= WAITING_MAX { 0 } else { most };
        let mut best: Option<(u32, usize, usize)> = None;
        for (number, parcels) in self.waiting.iter().enumerate() {
            let (mut seen, mut others) = (HashSet::new(), Vec::new());
            let firsts = parcels.iter().enumerate().filter(|(_, parcel)| seen.insert(parcel.visitor));
            for (place, parcel) in firsts {
                match refused.get(&parcel.visitor) {
                    None | Some((0, false)) if takes_others && lane.is_none_or(|lane| lane == number) => {
                        others.push(place);
                    }
                    Some((times @ 1.., false))
                        if takes_followers
                            && *times >= least
                            && best.is_none_or(|(most, ..)| *times > most) =>
                    {
                        best = Some((*times, number, place));
                    }
                    None | Some(_) => {}
                }
            }
            if let Some(place) = fastrand::choice(others) {
                return Some((number, place, Candidate::Other));
            }
        }
        best.map(|(_, lane, place)| (lane, place, Candidate::Follower))
    }
}
