//! Decides whether events or their suite are at fault for refusals. Each suite of a run has one such state machine,
//! which does no input or output, so that tables of tests can cover its rules.
//!
//! ```text
//!           REFUSALS_IN_A_ROW without a later success         nobody is left to try
//!   flows -------------------------------------> on trial -------------------------> stopped: the suite's fault
//!     ^                                             |
//!     +---------- a success: the refusals were the events' own ----------------------+
//! ```
//!
//! A success is later than a refusal if its hit was sent after the refusal had come back. The numbers of hits tell.

use crate::delivery::{Outcome, SuiteFault};

/// So many events refused in a row, without a success of their suite in between, put the suite on trial.
const REFUSALS_IN_A_ROW: u32 = 3;
/// Each trial that a suite wins doubles `REFUSALS_IN_A_ROW` up to this limit, so that many bad events cost few
/// trials.
const REFUSALS_IN_A_ROW_MAX: u32 = 48;
/// If a suite delivered in this run, its last so many events may all be bad. More are the suite's fault.
const LAST_BAD_MAX: u32 = 10;
/// How many other visitors (without a refused event) the first trial tries, and one search of the backlog deals.
pub(super) const OTHERS_MAX: u32 = 50;
/// Each trial that a suite wins doubles `OTHERS_MAX` up to this limit. A suite that accepts one event in fifty
/// loses one trial in three with 50 visitors, but only one in three thousand with 400.
const OTHERS_AFTER_SUCCESS_MAX: u32 = 400;
/// The limit of other visitors if a refused hit may have been counted: every try may count one hit too many.
const OTHERS_DOUBTED_MAX: u32 = 10;
/// How many followers (later events of refused visitors) a trial tries after `OTHERS_MAX` other visitors: the first
/// events of all visitors may be bad.
const FOLLOWERS_MAX: u32 = 50;
/// How many followers a trial tries with fewer other visitors: good events must not wait for ever behind bad ones.
const FOLLOWERS_OF_FEW_MAX: u32 = 600;

/// A complete reply that is no success and may be about the event or its suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: String,
    /// Whether the hit may have been counted although the reply is no success.
    pub(super) is_doubtful: bool,
}

impl Refusal {
    /// Reads an outcome. Returns `None` for a success and for a fault that is surely the host's or the suite's.
    pub(super) fn of(outcome: &Outcome) -> Option<Refusal> {
        let (cause, is_doubtful) = match outcome {
            Outcome::Rejected(reason) => (reason.to_string(), false),
            Outcome::BareFailure => ("Adobe says FAILURE without a reason".to_owned(), false),
            Outcome::Refused { status } => (format!("HTTP {status}"), false),
            Outcome::Ambiguous(doubt) if outcome.trouble().is_none() => (doubt.to_string(), true),
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::SuiteFault(_) | Outcome::Ambiguous(_) => {
                return None;
            }
        };
        Some(Refusal { cause, is_doubtful })
    }
}

/// An event that a trial may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// An event of a visitor without a refused event.
    Other,
    /// An event of a visitor whose earlier events were refused.
    Follower,
}

/// A suite's standing in a run.
#[derive(Debug)]
pub(super) struct Verdict {
    /// How many events in a row were refused when the previous run ended.
    before: u32,
    /// Events refused in this run, without a later success.
    row: Vec<InRow>,
    in_a_row_max: u32,
    latest: Option<Refusal>,
    trial: Option<Tried>,
}

/// An event that was refused.
#[derive(Debug)]
struct InRow {
    /// The number of its hit.
    sent: u64,
    /// How many hits had been sent when the refusal came back.
    known_at: u64,
}

#[derive(Debug, Default)]
struct Tried {
    /// How many hits had been sent when the trial began.
    since: u64,
    others: u32,
    followers: u32,
}

impl Verdict {
    /// A suite that the previous run stopped is on trial from the start. That run ended with `before` refusals.
    pub(super) fn new(before: u64, was_stopped: bool) -> Verdict {
        let before = u32::try_from(before).unwrap_or(u32::MAX).min(REFUSALS_IN_A_ROW - 1);
        let trial = was_stopped.then(Tried::default);
        Verdict { before, row: Vec::new(), in_a_row_max: REFUSALS_IN_A_ROW, latest: None, trial }
    }

    /// Whether every refusal was followed by a later success.
    pub(super) fn is_clear(&self) -> bool {
        self.latest.is_none()
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether the hit of the latest refusal may have been counted.
    fn is_doubtful(&self) -> bool {
        self.latest.as_ref().is_some_and(|refusal| refusal.is_doubtful)
    }

    /// How many events were refused in a row, including those of the previous run.
    pub(super) fn in_a_row(&self) -> u32 {
        self.before + u32::try_from(self.row.len()).unwrap_or(u32::MAX - REFUSALS_IN_A_ROW)
    }

    /// Whether the suite is at fault, once no event is left to try. `delivers`: it delivered in this run.
    pub(super) fn is_guilty(&self, delivers: bool) -> bool {
        let events_max = if delivers && !self.is_doubtful() { LAST_BAD_MAX } else { REFUSALS_IN_A_ROW - 1 };
        self.in_a_row() > events_max
    }

    /// Whether the trial has sent a candidate.
    pub(super) fn has_asked(&self) -> bool {
        self.trial.as_ref().is_some_and(|tried| tried.others + tried.followers > 0)
    }

    /// Records that this hit succeeded. Refusals that came back before it was sent were the events' own fault.
    pub(super) fn succeed(&mut self, sent: u64) {
        let is_sure = !self.is_doubtful();
        if self.trial.take_if(|tried| tried.since < sent).is_some() && is_sure {
            self.in_a_row_max = (self.in_a_row_max * 2).min(REFUSALS_IN_A_ROW_MAX);
        }
        self.before = 0;
        self.strike(|refused| refused.known_at < sent);
    }

    /// Removes refusals of hits sent before a hit that succeeded: a weaker proof, for when no event is left to try.
    pub(super) fn pardon(&mut self, succeeded: u64) {
        self.strike(|refused| refused.sent < succeeded);
    }

    fn strike(&mut self, is_own: impl Fn(&InRow) -> bool) {
        self.row.retain(|refused| !is_own(refused));
        if self.row.is_empty() {
            self.latest = None;
        }
    }

    pub(super) fn end_trial(&mut self) {
        self.trial = None;
    }

    /// Records the first refusal of an event in this run: of the hit with the number `sent`, after `known_at` hits
    /// had been sent. Returns true if this begins a trial.
    pub(super) fn refuse(&mut self, refusal: Refusal, sent: u64, known_at: u64) -> bool {
        self.row.push(InRow { sent, known_at });
        self.latest = Some(refusal);
        let begins = self.trial.is_none() && self.in_a_row() >= self.in_a_row_max;
        if begins {
            self.trial = Some(Tried { since: known_at, ..Tried::default() });
        }
        begins
    }

    /// How many candidates of a kind the trial may still try.
    pub(super) fn room(&self, candidate: Candidate) -> u32 {
        let Some(tried) = &self.trial else { return 0 };
        // Before the first refusal it is unknown whether a try leaves a doubt, so the lower limit holds.
        let is_doubtful = self.latest.as_ref().is_none_or(|refusal| refusal.is_doubtful);
        let won = self.in_a_row_max / REFUSALS_IN_A_ROW;
        let others_max =
            if is_doubtful { OTHERS_DOUBTED_MAX } else { (OTHERS_MAX * won).min(OTHERS_AFTER_SUCCESS_MAX) };
        let followers_max = match tried.others < OTHERS_MAX {
            _ if is_doubtful => 0,
            true => FOLLOWERS_OF_FEW_MAX,
            false => FOLLOWERS_MAX,
        };
        match candidate {
            Candidate::Other => others_max.saturating_sub(tried.others),
            Candidate::Follower => followers_max.saturating_sub(tried.followers),
        }
    }

    /// Counts one more candidate. Returns false if there is no room.
    pub(super) fn admit(&mut self, candidate: Candidate) -> bool {
        let has_room = self.room(candidate) > 0;
        if let Some(tried) = self.trial.as_mut().filter(|_| has_room) {
            match candidate {
                Candidate::Other => tried.others += 1,
                Candidate::Follower => tried.followers += 1,
            }
        }
        has_room
    }

    /// The suite's fault if no candidate is left; `None` if a later success followed every refusal.
    pub(super) fn fault(&self) -> Option<SuiteFault> {
        let refusal = self.latest.as_ref()?;
        Some(SuiteFault::RefusesAll { cause: refusal.cause.clone(), events: self.in_a_row() - self.before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeadReason, Doubt, NotReceived};

    fn refusal(is_doubtful: bool) -> Refusal {
        Refusal { cause: "no".to_owned(), is_doubtful }
    }

    fn refused(times: u32, is_doubtful: bool) -> Verdict {
        let mut verdict = Verdict::new(0, false);
        (1..=u64::from(times)).for_each(|hit| {
            verdict.refuse(refusal(is_doubtful), hit, hit);
        });
        verdict
    }

    #[test]
    fn three_in_a_row_begin_a_trial_and_two_do_not() {
        assert!(!refused(2, false).is_on_trial());
        assert!(refused(3, false).is_on_trial());
        let mut verdict = refused(2, false);
        verdict.succeed(3);
        verdict.refuse(refusal(false), 4, 4);
        assert_eq!((verdict.is_on_trial(), verdict.in_a_row()), (false, 1));
    }

    #[test]
    fn only_a_hit_that_was_sent_after_a_refusal_had_come_back_proves_that_it_was_the_events_own() {
        let mut verdict = refused(2, false);
        // Sent as the fourth hit, and refused when nine had been sent: hits 5 to 9 were under way.
        verdict.refuse(refusal(false), 4, 9);
        for (succeeded, in_a_row) in [(1, 3), (9, 1), (10, 0)] {
            verdict.succeed(succeeded);
            assert_eq!((verdict.in_a_row(), verdict.is_on_trial()), (in_a_row, in_a_row > 0), "{succeeded}");
        }
        let mut verdict = refused(1, false);
        verdict.refuse(refusal(false), 4, 9);
        verdict.pardon(5);
        assert!(verdict.is_clear(), "nobody is left to ask, and the fifth hit succeeded");
    }

    #[test]
    fn what_the_run_before_left_counts_until_a_success() {
        for (before, was_stopped, refusals) in [(1, false, 2), (2, false, 1), (9, false, 1), (60, true, 0)] {
            let mut verdict = Verdict::new(before, was_stopped);
            assert_eq!(verdict.fault(), None, "nobody was refused in this run");
            (0..refusals).for_each(|_| {
                assert!(!verdict.is_on_trial());
                verdict.refuse(refusal(false), 1, 1);
            });
            assert!(verdict.is_on_trial(), "{before} {was_stopped}");
        }
    }

    #[test]
    fn a_trial_has_room_for_a_number_of_candidates_and_for_few_where_each_is_a_doubt() {
        for (is_doubtful, others, followers) in [(false, 50, 50), (true, 10, 0)] {
            let mut verdict = refused(3, is_doubtful);
            let admitted =
                |verdict: &mut Verdict, candidate| (0..9_999).filter(|_| verdict.admit(candidate)).count();
            assert_eq!(admitted(&mut verdict, Candidate::Other), others);
            assert_eq!(admitted(&mut verdict, Candidate::Follower), followers);
            assert!(matches!(verdict.fault(), Some(SuiteFault::RefusesAll { events: 3, .. })));
        }
        assert_eq!(refused(3, false).room(Candidate::Follower), FOLLOWERS_OF_FEW_MAX);
        assert_eq!(refused(2, false).room(Candidate::Other), 0, "there is no trial");
    }

    #[test]
    fn each_trial_won_lets_the_next_one_try_more_visitors_up_to_a_limit() {
        for (is_doubtful, rooms) in [(false, [50, 100, 200, 400, 400]), (true, [10; 5])] {
            let mut verdict = Verdict::new(0, false);
            for room in rooms {
                while !verdict.refuse(refusal(is_doubtful), 1, 1) {}
                assert_eq!(verdict.room(Candidate::Other), room);
                verdict.succeed(2);
            }
        }
    }

    #[test]
    fn each_trial_won_makes_the_next_row_longer_unless_each_refusal_is_a_doubt() {
        for (is_doubtful, rows) in [(false, [3, 6, 12, 24, 48, 48]), (true, [3; 6])] {
            let mut verdict = Verdict::new(0, false);
            for row in rows {
                let begins = (1..).find(|_| verdict.refuse(refusal(is_doubtful), 1, 1));
                assert_eq!(begins, Some(row));
                verdict.succeed(2);
                assert!(!verdict.is_on_trial() && verdict.is_clear());
            }
        }
    }

    #[test]
    fn a_complete_reply_without_success_is_a_refusal_and_a_fault_of_the_host_is_none() {
        let retry = Outcome::Retry { cause: NotReceived::Status(503), retry_after: None };
        for (outcome, is_doubtful) in [
            (Outcome::Rejected(DeadReason::Adobe("NO timestamp".to_owned())), Some(false)),
            (Outcome::BareFailure, Some(false)),
            (Outcome::Refused { status: 403 }, Some(false)),
            (Outcome::Ambiguous(Doubt::Status(302)), Some(true)),
            (Outcome::Ambiguous(Doubt::Unreadable(200)), Some(true)),
            (Outcome::Ambiguous(Doubt::Status(502)), None),
            (Outcome::Ambiguous(Doubt::TimedOut), None),
            (Outcome::SuiteFault(SuiteFault::NotFound), None),
            (Outcome::Delivered, None),
            (retry, None),
        ] {
            assert_eq!(Refusal::of(&outcome).map(|refusal| refusal.is_doubtful), is_doubtful, "{outcome:?}");
        }
    }
}
