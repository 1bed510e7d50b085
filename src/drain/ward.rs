//! The refused events of a suite until it is decided whether the events or the suite are at fault, and the choice of
//! the events that a trial of the suite sends next. This module neither waits nor sends.
//!
//! A refused event stays undecided until either a hit that was sent after the refusal came back succeeds (then the
//! event was at fault), or no event is left to try (then the suite is at fault). An earlier hit that succeeds proves
//! nothing, because the suite may have begun to refuse later. During a trial the events of the suite wait here, and
//! each is sent only as a candidate of the trial.

use std::collections::{HashMap, HashSet, VecDeque};

use super::parcel::Parcel;
use super::verdict::{Candidate, Refusal, Verdict};
use crate::delivery::{Outcome, Sequence, SuiteFault};
use crate::hit::VisitorKey;

/// How many events of a suite may wait here during a trial, over all lanes: about 10 MiB of hits.
const WAITING_MAX: usize = 4_096;

/// Whether the events of a suite are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Events are sent, but no hit has succeeded yet or a refusal is undecided.
    Watched,
    /// Events are sent, a hit has succeeded, and no refused event is left to settle.
    Flows,
    /// Only candidates are sent.
    OnTrial,
    /// The run sends no more events of the suite because of its fault.
    Stopped,
    /// The run sends no more events, because the suite was paused or removed. Its events are parked.
    Paused,
}

impl Phase {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Paused)
    }
}

/// What lanes and feed share about a suite.
pub(super) struct Ward {
    pub(super) phase: Phase,
    verdict: Verdict,
    /// Why the suite was stopped.
    pub(super) fault: Option<SuiteFault>,
    refused: Vec<Refused>,
    /// Waiting events by lane, each lane's in their order.
    waiting: Vec<VecDeque<Parcel>>,
    /// Candidates without a reply yet.
    in_trial: usize,
    /// The number of the trial. Its scouts, which are events that the feed deals ahead of their turn, carry it.
    trial: u64,
    is_scouting: bool,
    /// Whether a scout of the last search was sent: if so, another search may find more.
    finds_others: bool,
    /// Scouts on their way to their lanes.
    scouts: u32,
    /// Events that were sent as scouts: the feed skips them.
    ahead: HashSet<Sequence>,
    /// Whether the feed shall deal more events for the trial.
    pub(super) is_feeding: bool,
    is_fed_out: bool,
    /// How many hits of the suite were sent so far.
    pub(super) sent: u64,
    /// The highest number of a hit that succeeded.
    pub(super) succeeded: u64,
    /// Events that were dealt to lanes and are not settled.
    pub(super) outstanding: usize,
    /// Whether lanes and feed must be woken.
    pub(super) has_news: bool,
}

/// An event that was refused. Its lane settles it once it is decided who is at fault.
pub(super) struct Refused {
    pub(super) lane: usize,
    pub(super) parcel: Parcel,
    pub(super) outcome: Outcome,
    /// Whether its visitor's later events must wait for the decision.
    pub(super) is_blocking: bool,
    /// How many hits of the suite had been sent when the refusal came back.
    pub(super) known_at: u64,
    /// Whose fault the refusal was, once decided. If the run ends before, the next run tries the event.
    pub(super) whose: Option<Whose>,
}

/// Whose fault a refusal was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Events,
    /// Too few events were refused to blame the suite, and no other event was left to try.
    Unknown,
}

impl Ward {
    /// A suite that the previous run stopped is on trial from the start. That run ended with `refused_before`
    /// refusals.
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

    /// The suite's fault, how many events it refused, and whether the suite is stopped.
    pub(super) fn trouble(&self) -> Option<(SuiteFault, u64, bool)> {
        let events = if self.verdict.is_clear() { 1 } else { u64::from(self.verdict.in_a_row()) };
        let fault = self.fault.clone().or_else(|| self.verdict.fault())?;
        Some((fault, events, self.fault.is_some()))
    }

    /// Ends sending to the suite in this run because of its fault.
    pub(super) fn stop(&mut self, fault: SuiteFault) {
        if !self.phase.is_over() {
            (self.phase, self.fault) = (Phase::Stopped, Some(fault));
        }
        self.has_news = true;
    }

    /// Ends sending to the suite in this run because it was paused or removed meanwhile.
    pub(super) fn pause(&mut self) {
        (self.phase, self.has_news) = (Phase::Paused, true);
    }

    /// Records that this hit succeeded. Events whose refusal came back before it was sent are at fault themselves.
    pub(super) fn succeed(&mut self, sent: u64) {
        self.verdict.succeed(sent);
        for refused in self.refused.iter_mut().filter(|refused| refused.known_at < sent) {
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
        // Scouts that are still on their way to lanes carry the old number, so no lane sends them ahead.
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

    /// Keeps a refused event until it is decided who is at fault.
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

    /// Decides when no event is left to try. If the trial sent no candidate, a weaker proof counts: an event is at
    /// fault if it was sent before a hit that succeeded. The remaining refusals may be the suite's fault.
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

    /// Keeps an event whose suite is on trial, or of whose visitor an earlier event is undecided.
    pub(super) fn wait(&mut self, lane: usize, parcel: Parcel) {
        self.waiting[lane].push_back(parcel);
        self.consider();
    }

    /// Records that an event was settled or waits for another attempt. Then it is no candidate any more.
    pub(super) fn end_try(&mut self, was_candidate: bool) {
        self.in_trial -= usize::from(was_candidate);
        self.consider();
    }

    /// Takes the next event of this lane that the trial may try.
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

    /// Makes a scout a candidate, unless its trial is over or a lane or the ward has earlier events of its visitor.
    pub(super) fn admit_scout(&mut self, parcel: &mut Parcel, is_known: bool) -> bool {
        if parcel.scout != Some(self.trial) || self.phase != Phase::OnTrial {
            return false;
        }
        self.scouts -= 1;
        let is_known = is_known
            // It was sent for an earlier trial, and the feed has not reached it yet.
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

    /// Gives a lane its decided events, and those that wait unless the suite is on trial; at the end all its events.
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

    /// The number of the trial for which the feed shall find scouts.
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

    /// The events that were sent as scouts and that the feed has not reached yet.
    pub(super) fn gone_ahead(&self) -> HashSet<Sequence> {
        self.ahead.clone()
    }

    /// Whether this event was sent as a scout. Forgets it, because the feed reaches an event once.
    pub(super) fn went_ahead(&mut self, sequence: Sequence) -> bool {
        self.ahead.remove(&sequence)
    }

    /// Records that the feed has no more events of the suite.
    pub(super) fn fed_out(&mut self) {
        (self.is_fed_out, self.is_scouting, self.has_news) = (true, false, true);
        self.consider();
    }

    /// Concludes if no candidate or other event on its way can still decide.
    fn consider(&mut self) {
        let (undecided, waiting) = (self.undecided().count(), self.waiting());
        let is_under_way = self.outstanding > undecided + waiting
            || self.in_trial > 0
            || self.scouts > 0
            || self.is_scouting;
        if self.phase == Phase::Watched {
            // There are too few refusals for a trial, and no other event is left or no room for waiting events.
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
            // This wakes the lane that has the candidate.
            self.has_news = true;
        } else if has_room && !self.is_fed_out && waiting < WAITING_MAX {
            (self.is_feeding, self.has_news) = (true, true);
        } else if let Some(fault) = self.verdict.fault() {
            if self.is_fed_out && waiting == 0 { self.conclude() } else { self.stop(fault) }
        } else if waiting > 0 {
            // The candidates failed for another reason than a refusal, which does not stop the suite.
            self.end_trial();
        }
    }

    /// Whether the room is full of events that wait behind refused events of their visitors. Other waiting events do
    /// not count: after a trial their lanes take them back.
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

    /// The next event to try, as its lane, its place there and its kind. Prefers an event of another visitor in this
    /// lane, chosen at random, because the first ones of the lane may all be bad. Followers are tried one at a time,
    /// first those of the visitor that was refused most often.
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
        // Later events of one visitor lead past its bad ones. The second events of all may be as bad as the first.
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
