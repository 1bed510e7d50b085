//! Decides the next step after an attempt. A pure function, so that a table of tests can cover its rules.

use std::time::Duration;

use crate::delivery::{DeadReason, Doubt, Outcome, SuiteFault};
use crate::suite::OnAmbiguous;
use crate::web::doubled;

/// An event that gets FAILURE without a reason this many times in a run is dead.
const BARE_FAILURES_MAX: u32 = 3;

/// The configured limits of retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryLimits {
    /// Attempts per event in one run.
    pub max_attempts: u32,
    /// The limit of the first wait, doubled for each further wait. The wait is random, from 0 to its limit.
    pub backoff_base: Duration,
    /// The longest wait, even if `Retry-After` asks for more.
    pub backoff_max: Duration,
}

/// What is known about an event when its attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// Attempts in this run, including this one.
    pub attempts: u32,
    /// FAILUREs without a reason in this run, including this one.
    pub bare_failures: u32,
    /// The policy of the suite for events in doubt.
    pub policy: OnAmbiguous,
    pub jitter: f64,
}

/// What becomes of the event. For a refused event, this applies once it is decided that the event is at fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    Delivered,
    Bury(DeadReason),
    Again(Duration),
    /// The event is not tried again in this run.
    LeavePending,
    /// A person decides, because the event may have been counted and the policy of its suite is not to repeat it.
    Hold(Doubt),
}

pub(crate) fn next(outcome: &Outcome, now: &Situation, limits: &RetryLimits) -> Next {
    match outcome {
        Outcome::Delivered => Next::Delivered,
        Outcome::Rejected(reason) => Next::Bury(reason.clone()),
        Outcome::BareFailure if now.bare_failures >= BARE_FAILURES_MAX => {
            Next::Bury(DeadReason::GeneralFailure)
        }
        Outcome::Refused { status } => Next::Bury(DeadReason::Refused(*status)),
        // Other hits of the suite succeed, so this reply is about the event.
        Outcome::SuiteFault(SuiteFault::NotFound) => Next::Bury(DeadReason::Refused(404)),
        Outcome::SuiteFault(_) => Next::Bury(DeadReason::Adobe("NO account".to_owned())),
        Outcome::Ambiguous(doubt) if now.policy == OnAmbiguous::Hold => Next::Hold(doubt.clone()),
        // Other refusals make the event dead at once. This reply may be a passing fault, so the event is retried first.
        Outcome::Ambiguous(Doubt::Status(status) | Doubt::Unreadable(status))
            if now.attempts >= limits.max_attempts && outcome.trouble().is_none() =>
        {
            Next::Bury(DeadReason::Refused(*status))
        }
        Outcome::Retry { retry_after, .. } => again(*retry_after, now, limits),
        Outcome::BareFailure | Outcome::Ambiguous(_) => again(None, now, limits),
    }
}

fn again(retry_after: Option<Duration>, now: &Situation, limits: &RetryLimits) -> Next {
    if now.attempts >= limits.max_attempts {
        return Next::LeavePending;
    }
    let asked = retry_after.unwrap_or(Duration::ZERO).min(limits.backoff_max);
    // The wait is random (full jitter), so that events that failed together do not come back together.
    let longest = doubled(limits.backoff_base, now.attempts.saturating_sub(1), limits.backoff_max);
    Next::Again(longest.mul_f64(now.jitter).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::NotReceived;

    const LIMITS: RetryLimits = RetryLimits {
        max_attempts: 8,
        backoff_base: Duration::from_millis(500),
        backoff_max: Duration::from_secs(60),
    };

    fn situation() -> Situation {
        Situation { attempts: 1, bare_failures: 1, policy: OnAmbiguous::Retry, jitter: 1.0 }
    }

    fn busy(retry_after: Option<u64>) -> Outcome {
        Outcome::Retry { cause: NotReceived::Status(503), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        for (attempts, seconds) in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0)] {
            let now = Situation { attempts, ..situation() };
            assert_eq!(next(&busy(None), &now, &LIMITS), Next::Again(Duration::from_secs_f64(seconds)));
        }
        let long = RetryLimits { max_attempts: 100, ..LIMITS };
        let now = Situation { attempts: 99, ..situation() };
        assert_eq!(next(&busy(None), &now, &long), Next::Again(Duration::from_secs(60)));
    }

    #[test]
    fn retry_after_is_obeyed_up_to_the_cap() {
        assert_eq!(next(&busy(Some(7)), &situation(), &LIMITS), Next::Again(Duration::from_secs(7)));
        assert_eq!(next(&busy(Some(9999)), &situation(), &LIMITS), Next::Again(Duration::from_secs(60)));
        let no_luck = Situation { jitter: 0.0, ..situation() };
        assert_eq!(next(&busy(Some(1)), &no_luck, &LIMITS), Next::Again(Duration::from_secs(1)));
    }

    #[test]
    fn a_fault_of_transport_leaves_the_event_pending_and_never_buries_it() {
        let last = Situation { attempts: 8, ..situation() };
        for outcome in [busy(None), Outcome::Ambiguous(Doubt::TimedOut)] {
            assert_eq!(next(&outcome, &last, &LIMITS), Next::LeavePending);
        }
    }

    #[test]
    fn only_a_reply_about_the_event_buries_it() {
        let third_time = Situation { bare_failures: 3, ..situation() };
        let syntax = DeadReason::Adobe("Syntax Error".to_owned());
        for (outcome, now, reason) in [
            (Outcome::Rejected(syntax.clone()), situation(), syntax),
            (Outcome::Refused { status: 403 }, situation(), DeadReason::Refused(403)),
            (Outcome::BareFailure, third_time, DeadReason::GeneralFailure),
        ] {
            assert_eq!(next(&outcome, &now, &LIMITS), Next::Bury(reason));
        }
        assert!(matches!(next(&Outcome::BareFailure, &situation(), &LIMITS), Next::Again(_)));
    }

    #[test]
    fn doubt_is_held_where_the_suite_says_so() {
        let hold = Situation { policy: OnAmbiguous::Hold, ..situation() };
        assert_eq!(next(&Outcome::Ambiguous(Doubt::TimedOut), &hold, &LIMITS), Next::Hold(Doubt::TimedOut));
    }
}
