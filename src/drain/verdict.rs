//! Decides whether events or their suite are at fault for refusals. Each suite of a run has this state machine.
//! It does no input or output, so that tables of tests can cover its rules.
//!
//! ```text
//!           REFUSALS_IN_A_ROW without a later success         no event is left to try
//!   flows -------------------------------------> on trial -------------------------> stopped: the suite's fault
//!     ^                                             |
//!     +-- a later success: the events are at fault -+
//! ```
//!
//! A success is later than a refusal if its hit was sent after the refusal had come back. Hits are numbered
//! in the order of sending, and these numbers are compared.

use crate::delivery::{Outcome, SuiteFault};

/// A trial of the suite begins when this many events were refused in a row without a later success.
const REFUSALS_IN_A_ROW: u32 = 3;
/// Each trial that a suite wins doubles the number of refusals that begin the next one, up to this limit, so that
/// many bad events cost few trials. The number stays the same if the refused hits may have been counted.
const REFUSALS_IN_A_ROW_MAX: u32 = 48;
/// The limit of other visitors (without a refused event) in the first trial, and of scouts (see `ward`) at a time.
pub(super) const OTHERS_MAX: u32 = 50;
/// A trial that a suite wins doubles the number of other visitors for the next one, up to this limit. A suite that
/// accepts one event in fifty loses one trial in three with 50 visitors, but only one in three thousand with 400.
const OTHERS_AFTER_SUCCESS_MAX: u32 = 400;
/// The most other visitors if the refused hits may have been counted: every try may count one hit too many.
const OTHERS_DOUBTED_MAX: u32 = 10;
/// How many followers (later events of refused visitors) a trial tries: the first events of all visitors may be bad.
const FOLLOWERS_MAX: u32 = 50;
/// If the previous run stopped the suite and a trial has tried fewer than `OTHERS_MAX` other visitors, the limit of
/// followers is twice that run's refusals in a row, from `FOLLOWERS_MAX` to this: good events must not wait for ever.
const FOLLOWERS_OF_FEW_MAX: u32 = 600;

/// A complete reply that is no success and may be about the event or its suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) cause: String,
    /// Whether the hit may have been counted although the reply is no success.
    pub(crate) is_doubtful: bool,
}

impl Refusal {
    /// Reads an outcome. Returns `None` for a success, and for a trouble, which says nothing about the event.
    pub(crate) fn of(outcome: &Outcome) -> Option<Refusal> {
        let (cause, is_doubtful) = match outcome {
            Outcome::Rejected(reason) => (reason.to_string(), false),
            Outcome::BareFailure => ("Adobe says FAILURE without a reason".to_owned(), false),
            Outcome::Refused { status } => (format!("HTTP {status}"), false),
            Outcome::SuiteFault(fault) => (fault.to_string(), false),
            Outcome::Ambiguous(doubt) if outcome.trouble().is_none() => (doubt.to_string(), true),
            Outcome::Delivered | Outcome::Retry { .. } | Outcome::Ambiguous(_) => return None,
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
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// How many refusals in a row the previous run ended with, at most two. A success resets the number.
    before: u32,
    /// For each refusal in this run without a later success: how many hits had been sent when it came back.
    row: Vec<u64>,
    in_a_row_max: u32,
    /// The limit of followers if a trial has tried fewer than `OTHERS_MAX` other visitors.
    followers_of_few_max: u32,
    latest: Option<Refusal>,
    trial: Option<Tried>,
}

#[derive(Debug, Default)]
struct Tried {
    /// How many hits had been sent when the trial began.
    since: u64,
    others: u32,
    followers: u32,
}

impl Verdict {
    /// The previous run ended with `before` refusals in a row. If it stopped the suite, a trial has begun.
    pub(super) fn new(before: u64, was_stopped: bool) -> Verdict {
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let twice = if was_stopped { before.saturating_mul(2) } else { 0 };
        Verdict {
            before: before.min(REFUSALS_IN_A_ROW - 1),
            in_a_row_max: REFUSALS_IN_A_ROW,
            followers_of_few_max: twice.clamp(FOLLOWERS_MAX, FOLLOWERS_OF_FEW_MAX),
            trial: was_stopped.then(Tried::default),
            ..Verdict::default()
        }
    }

    /// Whether a later success followed every refusal in this run.
    pub(super) fn is_clear(&self) -> bool {
        self.latest.is_none()
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// How many events were refused in a row, including those of the previous run.
    pub(super) fn in_a_row(&self) -> u32 {
        self.before + u32::try_from(self.row.len()).unwrap_or(u32::MAX - REFUSALS_IN_A_ROW)
    }

    /// Whether the suite is at fault, once no event is left to try.
    pub(super) fn is_guilty(&self) -> bool {
        self.in_a_row() >= REFUSALS_IN_A_ROW
    }

    /// Records that hit number `sent` succeeded. Refusals that came back before it was sent were the events' own
    /// fault, and a trial that began before it was sent is won.
    pub(super) fn succeed(&mut self, sent: u64) {
        let is_sure = self.latest.as_ref().is_none_or(|refusal| !refusal.is_doubtful);
        if self.trial.take_if(|tried| tried.since < sent).is_some() && is_sure {
            self.in_a_row_max = (self.in_a_row_max * 2).min(REFUSALS_IN_A_ROW_MAX);
        }
        self.before = 0;
        self.row.retain(|known_at| *known_at >= sent);
        if self.row.is_empty() {
            self.latest = None;
        }
    }

    pub(super) fn end_trial(&mut self) {
        self.trial = None;
    }

    /// Records that an event was refused for the first time in this run. When the refusal came back, `known_at` hits
    /// had been sent. Returns true if this begins a trial.
    pub(super) fn refuse(&mut self, refusal: Refusal, known_at: u64) -> bool {
        self.row.push(known_at);
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
        // Before the first refusal nobody knows whether refused hits may be counted, so the lower limit holds.
        let is_doubtful = self.latest.as_ref().is_none_or(|refusal| refusal.is_doubtful);
        let won = self.in_a_row_max / REFUSALS_IN_A_ROW;
        let others_max =
            if is_doubtful { OTHERS_DOUBTED_MAX } else { (OTHERS_MAX * won).min(OTHERS_AFTER_SUCCESS_MAX) };
        let followers_max = match tried.others < OTHERS_MAX {
            _ if is_doubtful => 0,
            true => self.followers_of_few_max,
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
            tried.others += u32::from(candidate == Candidate::Other);
            tried.followers += u32::from(candidate == Candidate::Follower);
        }
        has_room
    }

    /// The suite's fault if no event is left to try; `None` if a later success followed every refusal.
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
            verdict.refuse(refusal(is_doubtful), hit);
        });
        verdict
    }

    #[test]
    fn three_in_a_row_begin_a_trial_and_two_do_not() {
        assert!(!refused(2, false).is_on_trial());
        assert!(refused(3, false).is_on_trial());
        let mut verdict = refused(2, false);
        verdict.succeed(3);
        verdict.refuse(refusal(false), 4);
        assert_eq!((verdict.is_on_trial(), verdict.in_a_row()), (false, 1));
    }

    #[test]
    fn only_a_hit_that_was_sent_after_a_refusal_had_come_back_proves_that_it_was_the_events_own() {
        let mut verdict = refused(2, false);
        // This refusal came back when nine hits had been sent, some of which were still under way.
        verdict.refuse(refusal(false), 9);
        for (succeeded, in_a_row) in [(1, 3), (9, 1), (10, 0)] {
            verdict.succeed(succeeded);
            assert_eq!((verdict.in_a_row(), verdict.is_on_trial()), (in_a_row, in_a_row > 0), "{succeeded}");
        }
    }

    #[test]
    fn where_nobody_is_left_to_ask_three_in_a_row_are_the_suites_fault_whatever_was_under_way() {
        for (refusals, is_guilty) in [(2, false), (3, true)] {
            let mut verdict = refused(refusals, false);
            verdict.succeed(1);
            assert_eq!(verdict.is_guilty(), is_guilty, "{refusals}");
        }
    }

    #[test]
    fn what_the_run_before_left_counts_until_a_success() {
        for (before, was_stopped, refusals) in [(1, false, 2), (2, false, 1), (9, false, 1), (60, true, 0)] {
            let mut verdict = Verdict::new(before, was_stopped);
            assert_eq!(verdict.fault(), None, "nobody was refused in this run");
            (0..refusals).for_each(|_| {
                assert!(!verdict.is_on_trial());
                verdict.refuse(refusal(false), 1);
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
        for (before, was_stopped, room) in
            [(900, false, 50), (9, true, 50), (90, true, 180), (900, true, 600)]
        {
            let mut verdict = Verdict::new(before, was_stopped);
            let begun =
                (0..3).map(|hit| verdict.refuse(refusal(false), hit)).filter(|begins| *begins).count();
            assert_eq!(begun, usize::from(!was_stopped), "{before}");
            assert_eq!(verdict.room(Candidate::Follower), room, "{before}");
        }
        assert_eq!(refused(2, false).room(Candidate::Other), 0, "there is no trial");
    }

    #[test]
    fn each_trial_won_lets_the_next_one_try_more_visitors_up_to_a_limit() {
        for (is_doubtful, rooms) in [(false, [50, 100, 200, 400, 400]), (true, [10; 5])] {
            let mut verdict = Verdict::new(0, false);
            for room in rooms {
                while !verdict.refuse(refusal(is_doubtful), 1) {}
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
                let begins = (1..).find(|_| verdict.refuse(refusal(is_doubtful), 1));
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
            (Outcome::SuiteFault(SuiteFault::NotFound), Some(false)),
            (Outcome::Delivered, None),
            (retry, None),
        ] {
            assert_eq!(Refusal::of(&outcome).map(|refusal| refusal.is_doubtful), is_doubtful, "{outcome:?}");
        }
    }
}
