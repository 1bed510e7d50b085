//! Keeps the refused events of a suite until it is decided whether the events or the suite are at fault, and chooses
//! the events that a trial of the suite sends next (its candidates). This module neither waits nor sends.
//!
//! A refused event is decided in one of two ways. If a hit succeeds, and was sent after the refusal had come back, the
//! event is at fault. If no other event can be tried, the suite is at fault, provided that enough events were refused
//! in a row. Otherwise nobody knows, and the event waits for the next run. The success of an earlier hit proves
//! nothing, because the suite may have begun to refuse later.
//!
//! Two kinds of events wait here: later events of a visitor whose refused event is undecided and, during a trial,
//! events that were never sent. The latter wait until they become candidates or the trial is over.

use std::collections::{HashMap, HashSet, VecDeque};

use super::parcel::Parcel;
use super::verdict::{Candidate, Refusal, Verdict};
use crate::delivery::{Outcome, Sequence, SuiteFault};
use crate::hit::VisitorKey;

/// How many events of a suite may wait here, over all lanes: about 10 MiB of hits.
const WAITING_MAX: usize = 4_096;

/// Whether the events of a suite are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(super) enum Phase {
    /// Events are sent, but the conditions of `Flows` are not yet met.
    #[default]
    Watched,
    /// Events are sent, a hit has succeeded, every refusal has a later success, and no event is kept here.
    Flows,
    /// Only candidates of the trial are sent, and events that were sent before and are due for another attempt.
    OnTrial,
    /// The run sends no more events of the suite because of its fault.
    Stopped,
    /// The run sends no more events of the suite, because the host answered them with errors for too long.
    GivenUp,
    /// The run sends no more events of the suite, because it was paused, blocked, removed, or lost a requestor.
    Paused,
}

impl Phase {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::GivenUp | Phase::Paused)
    }
}

/// What the lanes and the feed share about a suite.
#[derive(Default)]
pub(super) struct Ward {
    pub(super) phase: Phase,
    verdict: Verdict,
    /// Why the suite was stopped.
    pub(super) fault: Option<SuiteFault>,
    refused: Vec<Refused>,
    /// Events that the suite refused in the previous run and that were left pending. The next field tells whether a hit
    /// of the suite has succeeded since.
    pub(super) refused_before: HashSet<Sequence>,
    pub(super) has_succeeded_since: bool,
    /// The waiting events of each lane, in their order.
    waiting: Vec<VecDeque<Parcel>>,
    /// Candidates without a reply yet.
    in_trial: usize,
    /// The number of the trial, which its scouts carry. A scout is an event that the feed gives to its lane before
    /// the event's turn, so that the trial can try another visitor.
    trial: u64,
    is_scouting: bool,
    /// Whether a scout of the last search became a candidate. If so, another search may find more visitors.
    finds_others: bool,
    /// Scouts of this trial that are on their way to their lanes.
    scouts: u32,
    /// Scouts that became candidates. The feed skips these events when their turn comes.
    ahead: HashSet<Sequence>,
    /// Whether the feed shall give the lanes more events for the trial.
    pub(super) is_feeding: bool,
    is_fed_out: bool,
    /// Whether the limit of the run ended the search for events to try, so that nobody can decide.
    pub(super) is_cut_short: bool,
    /// How many hits of the suite were sent so far.
    pub(super) sent: u64,
    /// The highest number of a hit that succeeded.
    pub(super) succeeded: u64,
    /// Events that the feed gave to lanes, without those that are settled or left pending.
    pub(super) outstanding: usize,
    /// Whether the lanes and the feed must be woken.
    pub(super) has_news: bool,
}

/// A refused event. Once it is decided who is at fault, its lane takes the next step with it.
pub(super) struct Refused {
    pub(super) lane: usize,
    pub(super) parcel: Parcel,
    pub(super) outcome: Outcome,
    /// Whether its visitor's later events must wait for the decision.
    pub(super) is_blocking: bool,
    /// How many hits of the suite had been sent when the refusal came back.
    pub(super) known_at: u64,
    /// Whether the lane may take the event back: the event is at fault, or it is left to the next run.
    pub(super) is_decided: bool,
}

impl Ward {
    /// When the previous run ended, `refused_before` events had been refused in a row. If that run stopped the suite,
    /// the suite is on trial from the start.
    pub(super) fn new(lanes: usize, (refused_before, was_stopped): (u64, bool)) -> Ward {
        Ward {
            phase: if was_stopped { Phase::OnTrial } else { Phase::Watched },
            verdict: Verdict::new(refused_before, was_stopped),
            waiting: (0..lanes).map(|_| VecDeque::new()).collect(),
            is_scouting: was_stopped,
            ..Ward::default()
        }
    }

    /// The suite's fault, how many events it refused in a row, and whether it is stopped; `None` without a fault.
    pub(super) fn trouble(&self) -> Option<(SuiteFault, u64, bool)> {
        let events = u64::from(self.verdict.in_a_row()).max(1);
        let fault = self.fault.clone().or_else(|| self.verdict.fault())?;
        Some((fault, events, self.fault.is_some()))
    }

    /// Ends sending to the suite in this run.
    pub(super) fn end(&mut self, phase: Phase) {
        (self.phase, self.has_news) = (phase, true);
    }

    /// Records that hit `sent` succeeded. Events whose refusal came back before it was sent are at fault.
    pub(super) fn succeed(&mut self, sent: u64) {
        self.verdict.succeed(sent);
        for refused in self.refused.iter_mut().filter(|refused| refused.known_at < sent) {
            (refused.is_decided, refused.parcel.is_at_fault, self.has_news) = (true, true, true);
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

    /// Changes the phase from `Watched` to `Flows` once its conditions are true.
    fn flow_freely(&mut self) {
        if self.phase == Phase::Watched
            && self.refused.is_empty()
            && self.verdict.is_clear()
            && self.succeeded > 0
            && self.waiting() == 0
        {
            self.phase = Phase::Flows;
        }
    }

    /// Keeps a refused event until it is decided who is at fault. Begins a trial if enough were refused in a row.
    pub(super) fn refuse(&mut self, mut refused: Refused, refusal: Refusal) {
        self.in_trial -= usize::from(std::mem::take(&mut refused.parcel.is_candidate));
        let is_first = !std::mem::replace(&mut refused.parcel.was_refused, true);
        if self.phase == Phase::Flows {
            self.phase = Phase::Watched;
        }
        let is_known = self.refused_before.contains(&refused.parcel.event.sequence);
        refused.known_at = if is_known { 0 } else { self.sent };
        refused.parcel.is_at_fault |= is_known && (self.succeeded > 0 || self.has_succeeded_since);
        // During a trial, a second refusal of an event may be the suite's fault too.
        refused.is_decided = refused.parcel.is_at_fault && self.phase != Phase::OnTrial;
        self.has_news |= refused.is_decided;
        if is_first && !refused.is_decided && self.verdict.refuse(refusal, refused.known_at) {
            self.trial += 1;
            self.is_scouting = !self.is_fed_out;
            if self.phase == Phase::Watched {
                (self.phase, self.has_news) = (Phase::OnTrial, true);
            }
        }
        self.refused.push(refused);
        self.consider();
    }

    /// Decides who is at fault when no other event can be tried: the suite if enough events were refused in a row.
    /// If they were fewer, nobody knows, and a trial ends without a verdict.
    fn conclude(&mut self) {
        if let Some(fault) = self.verdict.fault().filter(|_| self.verdict.is_guilty() && !self.is_cut_short) {
            self.fault = Some(fault);
            return self.end(Phase::Stopped);
        }
        self.refused.iter_mut().for_each(|refused| refused.is_decided = true);
        self.end_trial();
    }

    /// Keeps an event because its suite is on trial, or because an earlier event of its visitor is undecided.
    pub(super) fn wait(&mut self, lane: usize, mut parcel: Parcel) {
        // A lane gives a candidate back if the candidate's visitor was blocked meanwhile. The event then
        // waits like any other, so that the trial does not expect a reply to it.
        self.in_trial -= usize::from(std::mem::take(&mut parcel.is_candidate));
        if self.phase == Phase::Flows {
            // The lane read the phase before the trial ended. Later events of the visitor must not overtake this one.
            self.phase = Phase::Watched;
        }
        // Usually the place is the end. But a lane may return a claimed event after a later event of its visitor came.
        let waiting = &mut self.waiting[lane];
        let is_later = |other: &Parcel| other.visitor == parcel.visitor && other.order() > parcel.order();
        let place = waiting.iter().position(is_later).unwrap_or(waiting.len());
        waiting.insert(place, parcel);
        self.consider();
    }

    /// Records that an event was settled, left pending or set aside, and is no candidate any more.
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

    /// Makes a scout a candidate. Returns false if the trial is over or may try no more visitors, or if an
    /// earlier event of the same visitor is in the scout's lane (`is_known`) or in the ward.
    pub(super) fn admit_scout(&mut self, parcel: &mut Parcel, is_known: bool) -> bool {
        if parcel.scout != Some(self.trial) || self.phase != Phase::OnTrial {
            return false;
        }
        self.scouts -= 1;
        let is_known = is_known
            // An earlier trial already sent this scout's event, and the feed has not reached the event yet.
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

    /// Gives a lane its events back: the refused ones that are decided and, outside a trial, the waiting ones.
    /// Gives back all its events if the lane ends (`is_last`) or if the run sends no more events of the suite.
    pub(super) fn take_back(&mut self, lane: usize, is_last: bool) -> (Vec<Refused>, VecDeque<Parcel>) {
        let takes_all = is_last || self.phase.is_over();
        let is_due = |refused: &mut Refused| refused.lane == lane && (takes_all || refused.is_decided);
        let refused = self.refused.extract_if(.., is_due).collect();
        let takes_waiting = is_last || self.phase != Phase::OnTrial;
        let waiting = if takes_waiting { std::mem::take(&mut self.waiting[lane]) } else { VecDeque::new() };
        self.flow_freely();
        (refused, waiting)
    }

    pub(super) fn blocks(&self, visitor: VisitorKey) -> bool {
        self.refused.iter().any(|refused| refused.is_blocking && refused.parcel.visitor == visitor)
    }

    /// Whether an earlier event of the same visitor waits here. The lane has to take that event back first.
    pub(super) fn holds_earlier(&self, lane: usize, parcel: &Parcel) -> bool {
        let is_earlier = |other: &Parcel| other.visitor == parcel.visitor && other.order() < parcel.order();
        self.waiting[lane].iter().any(is_earlier)
    }

    pub(super) fn has_some_of(&self, lane: usize) -> bool {
        !self.waiting[lane].is_empty() || self.refused.iter().any(|refused| refused.lane == lane)
    }

    /// The number of the trial for which the feed shall find scouts.
    pub(super) fn wants_scouts(&self) -> Option<u64> {
        (self.phase == Phase::OnTrial && self.is_scouting).then_some(self.trial)
    }

    /// Records that the feed has searched for scouts of this trial and gives `scouts` of them to the lanes.
    pub(super) fn scouted(&mut self, trial: u64, scouts: usize) {
        if self.trial == trial {
            (self.is_scouting, self.finds_others) = (false, false);
            self.scouts = u32::try_from(scouts).unwrap_or(u32::MAX);
        }
        self.has_news = true;
        self.consider();
    }

    /// The events that became candidates as scouts and that the feed has not reached yet.
    pub(super) fn gone_ahead(&self) -> HashSet<Sequence> {
        self.ahead.clone()
    }

    /// Whether this event became a candidate as a scout. Forgets the event, because the feed reaches it only once.
    pub(super) fn went_ahead(&mut self, sequence: Sequence) -> bool {
        self.ahead.remove(&sequence)
    }

    /// Records that the feed has no more events of the suite.
    pub(super) fn fed_out(&mut self) {
        if !std::mem::replace(&mut self.is_fed_out, true) {
            (self.is_scouting, self.has_news) = (false, true);
            self.consider();
        }
    }

    /// Does nothing while a reply that is still to come may decide a trial. Otherwise takes its next step: asks the
    /// feed for scouts, wakes the lane that has a candidate, asks the feed for more events, or decides who is at
    /// fault. Without a trial, decides who is at fault once no further event can show it.
    fn consider(&mut self) {
        let is_under_way = self.under_way() > 0 || self.in_trial > 0 || self.scouts > 0 || self.is_scouting;
        if self.phase == Phase::Watched {
            if self.undecided().next().is_some()
                && (self.is_full_of_blocked() || (self.is_fed_out && !is_under_way))
            {
                // Too few events were refused for a trial, and no other event can be tried: there is none, or
                // blocked events leave no room for others here.
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
        } else if has_room && !self.is_fed_out && self.waiting() < WAITING_MAX {
            (self.is_feeding, self.has_news) = (true, true);
        } else {
            self.conclude();
        }
    }

    /// Whether `WAITING_MAX` events wait behind refused events of their visitors. Other waiting events do not
    /// count, because their lanes take them back after a trial.
    fn is_full_of_blocked(&self) -> bool {
        let is_blocked = |parcel: &&Parcel| self.blocks(parcel.visitor);
        self.waiting() >= WAITING_MAX
            && self.waiting.iter().flatten().filter(is_blocked).count() >= WAITING_MAX
    }

    /// How many events the lanes have, without those that are undecided or wait here.
    pub(super) fn under_way(&self) -> usize {
        self.outstanding.saturating_sub(self.undecided().count() + self.waiting())
    }

    /// Whether lanes still get replies, even if the feed gives no more events. Such a reply may refuse an event.
    pub(super) fn may_refuse(&self) -> bool {
        self.under_way() > 0 || (self.phase == Phase::OnTrial && !self.is_feeding)
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    fn undecided(&self) -> impl Iterator<Item = &Refused> {
        self.refused.iter().filter(|refused| !refused.is_decided)
    }

    /// The next event to try: its lane, its index among the waiting events there, and its kind. Events of
    /// other visitors come first; if `lane` is given, only those of that lane. One of them is chosen at
    /// random, because the first events of a lane may all be refused. Then come followers, one at a time:
    /// first those of the visitor that was refused most often.
    fn candidate(&self, lane: Option<usize>) -> Option<(usize, usize, Candidate)> {
        let takes_others = !self.is_scouting && self.verdict.room(Candidate::Other) > self.scouts;
        let takes_followers =
            self.in_trial == 0 && self.scouts == 0 && self.verdict.room(Candidate::Follower) > 0;
        if self.phase != Phase::OnTrial || (!takes_others && !takes_followers) {
            return None;
        }
        let mut refused: HashMap<VisitorKey, (u32, bool)> = HashMap::new();
        for Refused { parcel, is_blocking, is_decided, .. } in &self.refused {
            let (times, is_blocked) = refused.entry(parcel.visitor).or_default();
            (*times, *is_blocked) = (*times + u32::from(!is_decided), *is_blocked || *is_blocking);
        }
        let open = refused.values().filter(|(_, is_blocked)| !is_blocked);
        let most = open.map(|(times, _)| *times).max().unwrap_or(0);
        // While more events can come, the only followers to try are those of the visitor that was refused
        // most often: after some bad events, this visitor may have a good one. To try one follower of every
        // visitor would prove less, because the second event of each visitor may be as bad as the first.
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

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::buffer::{EventRef, FormKey, JobKey, RequestorKey};
    use crate::delivery::Doubt;
    use crate::drain::parcel::{Work, put_first};
    use crate::event::{EventKind, Instant};

    /// An event whose time is its number.
    fn parcel(number: i64, visitor: u64) -> Parcel {
        Parcel {
            event: EventRef {
                sequence: Sequence(number),
                job: JobKey::LIVE,
                requestor: RequestorKey::default(),
                kind: EventKind::AuthzOk,
                occurred_at: Instant::from_nanos(number),
                count: 1,
            },
            suite: 0,
            form: FormKey::default(),
            visitor: VisitorKey(visitor),
            work: Work::Send { first: Bytes::new(), others: Vec::new(), next: 0 },
            is_doubted: false,
            attempts: 0,
            bare_failures: 0,
            turn: None,
            is_probe: false,
            was_refused: false,
            is_at_fault: false,
            is_candidate: false,
            waiting: 0,
            scout: None,
        }
    }

    fn refuse(ward: &mut Ward, parcel: Parcel) {
        ward.sent += 1;
        let outcome = Outcome::Ambiguous(Doubt::Unreadable(200));
        let refusal = Refusal { cause: "200".to_owned(), is_doubtful: true };
        let refused = Refused { lane: 0, parcel, outcome, is_blocking: true, known_at: 0, is_decided: false };
        ward.refuse(refused, refusal);
    }

    #[test]
    fn an_event_that_is_set_aside_keeps_no_block_of_other_hits_in_memory() {
        let mut block = BytesMut::from("one hit, another hit, hits of others");
        let [first, another] = [7, 13].map(|bytes| block.split_to(bytes).freeze());
        let mut waiting = parcel(1, 1);
        waiting.work = Work::Send { first, others: vec![another], next: 0 };
        waiting.leave_block();
        for hit in ["one hit", ", another hit"] {
            let own = waiting.body().expect("a hit");
            waiting.advance();
            assert_eq!(own, hit);
        }
        let Work::Send { first, others, .. } = waiting.work else { panic!("it has hits") };
        assert!(first.is_unique() && others[0].is_unique());
    }

    #[test]
    fn a_candidate_that_has_to_wait_ends_no_trial_in_a_deadlock() {
        let mut ward = Ward::new(1, (0, false));
        ward.outstanding = 5;
        (1..=3).for_each(|number| refuse(&mut ward, parcel(number, number.unsigned_abs())));
        assert_eq!(ward.phase, Phase::OnTrial);
        // No other event comes. Of another visitor's two events, one becomes the candidate, and the other is refused.
        ward.scouted(ward.trial, 0);
        ward.fed_out();
        ward.wait(0, parcel(4, 9));
        let candidate = ward.take_candidate(0).expect("a candidate");
        refuse(&mut ward, parcel(5, 9));
        assert_eq!(ward.phase, Phase::OnTrial, "the candidate may still decide");
        // Before the candidate goes, its lane finds that it has to wait for the refused event, and gives it back.
        ward.wait(0, candidate);
        assert_eq!(ward.phase, Phase::Stopped, "nobody is left to ask");
    }

    #[test]
    fn a_trial_that_is_lost_stops_no_suite_whose_hit_in_flight_leaves_fewer_than_three_in_the_row() {
        for (succeeds, phase) in [(false, Phase::Stopped), (true, Phase::Watched)] {
            let mut ward = Ward::new(1, (0, false));
            ward.outstanding = 4;
            (1..=2).for_each(|number| refuse(&mut ward, parcel(number, number.unsigned_abs())));
            // The third hit goes out after two refusals, and its reply comes after the refusal of the fourth.
            ward.sent += 1;
            refuse(&mut ward, parcel(4, 4));
            ward.scouted(ward.trial, 0);
            assert_eq!(ward.phase, Phase::OnTrial);
            if succeeds {
                ward.succeeded = 3;
                ward.succeed(3);
            }
            let dead = ward.take_back(0, false).0;
            assert_eq!(dead.len(), if succeeds { 2 } else { 0 });
            ward.outstanding -= 1 + dead.len();
            ward.fed_out();
            assert_eq!(ward.phase, phase);
        }
    }

    #[test]
    fn a_trial_that_the_limit_of_the_run_cuts_short_decides_nothing() {
        for (is_cut_short, phase) in [(true, Phase::Watched), (false, Phase::Stopped)] {
            let mut ward = Ward::new(1, (0, false));
            ward.outstanding = 3;
            (1..=3).for_each(|number| refuse(&mut ward, parcel(number, number.unsigned_abs())));
            ward.scouted(ward.trial, 0);
            assert_eq!(ward.phase, Phase::OnTrial);
            ward.is_cut_short = is_cut_short;
            ward.fed_out();
            assert_eq!(ward.phase, phase);
        }
    }

    #[test]
    fn events_of_a_visitor_wait_in_their_order_and_none_overtakes_them() {
        let mut ward = Ward::new(1, (0, true));
        ward.outstanding = 9;
        // The lane gives back a claimed event after a later one of its visitor came here.
        [6, 5, 7].into_iter().for_each(|number| ward.wait(0, parcel(number, 9)));
        assert!(ward.holds_earlier(0, &parcel(8, 9)));
        assert!(!ward.holds_earlier(0, &parcel(4, 9)) && !ward.holds_earlier(0, &parcel(8, 1)));
        (ward.sent, ward.succeeded) = (1, 1);
        ward.succeed(1);
        assert_eq!(ward.phase, Phase::Watched, "events wait here");
        let numbers: Vec<i64> = ward.take_back(0, false).1.iter().map(|one| one.event.sequence.0).collect();
        assert_eq!((numbers, ward.phase), (vec![5, 6, 7], Phase::Flows));
        // The lane read the phase while the suite was on trial, and hands this event in after the trial has ended.
        ward.wait(0, parcel(8, 9));
        assert_eq!(ward.phase, Phase::Watched);
    }

    #[test]
    fn events_that_come_back_stand_before_the_others_and_in_the_order_of_their_visitor() {
        let mut queue = VecDeque::from([parcel(3, 1), parcel(1, 9), parcel(4, 9), parcel(5, 2)]);
        put_first(&mut queue, vec![parcel(6, 9), parcel(2, 9)]);
        let numbers: Vec<i64> = queue.iter().map(|parcel| parcel.event.sequence.0).collect();
        assert_eq!(numbers, [1, 2, 4, 6, 3, 5]);
    }
}
