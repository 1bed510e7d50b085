//! Whose fault refusals are: a plain state machine for each suite of a run, so that its rules are a table of tests.
//!
//! ```text
//!           REFUSALS_IN_A_ROW without a success              nobody is left to try
//!   flows -------------------------------------> on trial -------------------------> stopped: the suite's fault
//!     ^                                             |
//!     +---------- a success: the refusals were the events' own ----------------------+
//! ```

use crate::delivery::{Outcome, SuiteFault};

/// Events refused in a row, without a success of their suite in between, that put the suite on trial.
const REFUSALS_IN_A_ROW: u32 = 3;
/// Each trial that a suite wins doubles that number up to this, so that a long row of bad events does not cost a trial for every
/// three of them.
const REFUSALS_IN_A_ROW_MAX: u32 = 48;
/// Other visitors that a trial tries.
pub(super) const OTHERS_MAX: u32 = 50;
/// The same where each refusal leaves in doubt whether the hit was counted: every try may be one hit too many.
const OTHERS_DOUBTED_MAX: u32 = 10;
/// Further events of visitors that were refused already, after [`OTHERS_MAX`] others: their first events may all be bad.
const FOLLOWERS_MAX: u32 = 50;
/// The same where the suite has fewer other visitors: the events of one of them must not wait behind its bad ones for ever.
const FOLLOWERS_OF_FEW_MAX: u32 = 600;

/// A complete reply that is no success and may be about the event or its suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: String,
    /// Whether the hit may have been counted all the same.
    pub(super) is_doubtful: bool,
}

impl Refusal {
    /// Reads an outcome; `None` where it is a success, the host's fault, or the suite's for sure.
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
    /// Of a visitor that was not refused.
    Other,
    /// Of a visitor whose earlier events were refused.
    Follower,
}

/// A suite's standing in a run.
#[derive(Debug)]
pub(super) struct Verdict {
    in_a_row: u32,
    in_a_row_max: u32,
    latest: Option<Refusal>,
    trial: Option<Tried>,
}

#[derive(Debug, Default)]
struct Tried {
    others: u32,
    followers: u32,
}

impl Verdict {
    /// Of a suite of which `before` events in a row were refused when the run before ended; one that was stopped then is on
    /// trial from the start.
    pub(super) fn new(before: u64, was_stopped: bool) -> Verdict {
        let before = u32::try_from(before).unwrap_or(u32::MAX).min(REFUSALS_IN_A_ROW - 1);
        let trial = was_stopped.then(Tried::default);
        Verdict { in_a_row: before, in_a_row_max: REFUSALS_IN_A_ROW, latest: None, trial }
    }

    /// Whether no refusal came after the latest success.
    pub(super) fn is_clear(&self) -> bool {
        self.latest.is_none()
    }

    /// The latest refusal and how many there were in a row, where no success came after.
    pub(super) fn standing(&self) -> Option<(&Refusal, u32)> {
        self.latest.as_ref().map(|refusal| (refusal, self.in_a_row))
    }

    /// A hit of the suite succeeded: the refusals before it were the events' own.
    pub(super) fn succeed(&mut self) {
        let is_sure = self.latest.as_ref().is_none_or(|refusal| !refusal.is_doubtful);
        if self.trial.take().is_some() && is_sure {
            self.in_a_row_max = (self.in_a_row_max * 2).min(REFUSALS_IN_A_ROW_MAX);
        }
        (self.in_a_row, self.latest) = (0, None);
    }

    /// Ends a trial in which nobody was refused.
    pub(super) fn acquit(&mut self) {
        self.trial = None;
    }

    /// An event was refused, for the first time in this run; true where that begins a trial.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> bool {
        self.in_a_row += 1;
        self.latest = Some(refusal);
        let begins = self.trial.is_none() && self.in_a_row >= self.in_a_row_max;
        if begins {
            self.trial = Some(Tried::default());
        }
        begins
    }

    /// How many candidates of a kind the trial may still try.
    pub(super) fn room(&self, candidate: Candidate) -> u32 {
        let Some(tried) = &self.trial else { return 0 };
        // Before the first reply it is unknown whether a try leaves a doubt: the lower limit holds.
        let is_doubtful = self.latest.as_ref().is_none_or(|refusal| refusal.is_doubtful);
        let others_max = if is_doubtful { OTHERS_DOUBTED_MAX } else { OTHERS_MAX };
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

    /// Counts one more candidate; false where there is no room.
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

    /// The fault of the suite if no candidate is left; `None` where no event was refused since the latest success.
    pub(super) fn fault(&self) -> Option<SuiteFault> {
        let (refusal, events) = self.standing()?;
        Some(SuiteFault::RefusesAll { cause: refusal.cause.clone(), events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeadReason, Doubt, NotReceived};

    fn refusal(is_doubtful: bool) -> Refusal {
        Refusal { cause: "no".to_owned(), is_doubtful }
    }

    fn is_on_trial(verdict: &Verdict) -> bool {
        verdict.trial.is_some()
    }

    fn refused(times: u32, is_doubtful: bool) -> Verdict {
        let mut verdict = Verdict::new(0, false);
        (0..times).for_each(|_| {
            verdict.refuse(refusal(is_doubtful));
        });
        verdict
    }

    #[test]
    fn three_in_a_row_begin_a_trial_and_two_do_not() {
        assert!(!is_on_trial(&refused(2, false)));
        assert!(is_on_trial(&refused(3, false)));
        let mut verdict = refused(2, false);
        verdict.succeed();
        verdict.refuse(refusal(false));
        assert!(!is_on_trial(&verdict) && verdict.standing().is_some_and(|(_, events)| events == 1));
    }

    #[test]
    fn what_the_run_before_left_counts_until_a_success() {
        for (before, was_stopped, refusals) in [(1, false, 2), (2, false, 1), (9, false, 1), (60, true, 0)] {
            let mut verdict = Verdict::new(before, was_stopped);
            assert_eq!(verdict.fault(), None, "nobody was refused in this run");
            (0..refusals).for_each(|_| {
                assert!(!is_on_trial(&verdict));
                verdict.refuse(refusal(false));
            });
            assert!(is_on_trial(&verdict), "{before} {was_stopped}");
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
    fn each_trial_won_makes_the_next_row_longer_unless_each_refusal_is_a_doubt() {
        for (is_doubtful, rows) in [(false, [3, 6, 12, 24, 48, 48]), (true, [3; 6])] {
            let mut verdict = Verdict::new(0, false);
            for row in rows {
                let begins = (1..).find(|_| verdict.refuse(refusal(is_doubtful)));
                assert_eq!(begins, Some(row));
                verdict.succeed();
                assert!(!is_on_trial(&verdict) && verdict.standing().is_none());
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
