//! Stops sending to what is down: a host, or one report suite there. Every complete reply is a sign of life, also
//! 511, but not 408, 429 or any other 5xx.
//!
//! ```text
//!    N failures in a row or Retry-After     the wait is over
//!   closed ----------------------> open ----------------------> probing
//!     ^                             ^                              |
//!     |                             +--- the probe fails: a longer wait
//!     +------ any sign of life, but not before the end of a rest that was asked for
//!
//!   open, probing, or closed and failing ---- give_up since the first failure ----> given up
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::Outcome;
use crate::web::doubled;

/// How long the other lanes wait before they ask again, while one lane probes.
const PROBE_POLL: Duration = Duration::from_millis(50);

/// When a host or a suite counts as down, and for how long it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerOptions {
    /// How many failures in a row, over all lanes, open the breaker. Default 10.
    pub failures_to_open: u32,
    /// The limit of the first wait before a probe, doubled with each failed probe. A wait is random. Default 500 ms.
    pub backoff_base: Duration,
    /// The highest limit of a wait before a probe. Default 60 s.
    pub backoff_max: Duration,
    /// How long to try without a sign of life, counted from the first failure. Default 300 s.
    pub give_up: Duration,
}

impl Default for BreakerOptions {
    fn default() -> BreakerOptions {
        BreakerOptions {
            failures_to_open: 10,
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            give_up: Duration::from_secs(300),
        }
    }
}

/// Whether a request may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// The request may go out; its outcome must be recorded.
    Go,
    /// Only this request may go out. Its outcome must be recorded; if it is not sent, the permit must be given back.
    Probe,
    Wait(Duration),
    /// There was no sign of life for too long: send nothing more in this run.
    GivenUp,
}

/// A breaker that lanes share. It never sleeps: the caller tells it the time, and does the waiting.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    /// How long a probe may have no result. After that, its lane counts as stopped, and the next caller may probe.
    probe_time_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    failures: u32,
    first_failure_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
        probes: u32,
        /// Whether the host asked for this wait. Then replies to hits that were sent earlier do not end it.
        is_rest: bool,
    },
    Probing {
        since: Instant,
        probes: u32,
    },
    GivenUp,
}

impl Breaker {
    /// A closed breaker. A probe without a result is forgotten after `request_timeout`.
    pub fn new(options: BreakerOptions, request_timeout: Duration) -> Breaker {
        Breaker { options, probe_time_max: request_timeout, state: Mutex::default() }
    }

    /// Whether every request may go out, because nobody knows of an outage.
    pub fn is_closed(&self) -> bool {
        matches!(self.state().phase, Phase::Closed)
    }

    /// Whether the latest attempt failed.
    pub fn is_failing(&self) -> bool {
        self.state().first_failure_at.is_some()
    }

    /// Whether a request may go out at `now`. An open breaker gives [`Permit::Probe`] to one caller at a time.
    pub fn permit(&self, now: Instant) -> Permit {
        let mut state = self.state();
        match state.phase {
            Phase::Closed => Permit::Go,
            Phase::GivenUp => Permit::GivenUp,
            Phase::Probing { since, .. } if now.saturating_duration_since(since) < self.probe_time_max => {
                Permit::Wait(PROBE_POLL)
            }
            Phase::Open { .. } | Phase::Probing { .. } if self.is_over(&state, now) => {
                state.phase = Phase::GivenUp;
                Permit::GivenUp
            }
            Phase::Open { until, .. } if now < until => Permit::Wait(until - now),
            Phase::Open { probes, .. } | Phase::Probing { probes, .. } => {
                state.phase = Phase::Probing { since: now, probes };
                Permit::Probe
            }
        }
    }

    /// Records the outcome of an attempt that ended at `now`. Returns whether the attempt before it failed.
    pub fn record(&self, now: Instant, outcome: &Outcome) -> bool {
        let mut state = self.state();
        let was_failing = state.first_failure_at.is_some();
        if outcome.trouble().is_none() {
            let phase = match state.phase {
                rest @ Phase::Open { until, is_rest: true, .. } if now < until => rest,
                _ => Phase::Closed,
            };
            *state = State { phase, ..State::default() };
        } else {
            self.fail(&mut state, now);
        }
        if let Outcome::Retry { retry_after: Some(asked), .. } = outcome {
            let until = now + (*asked).min(self.options.backoff_max);
            let until = match state.phase {
                Phase::GivenUp => return was_failing,
                Phase::Open { until: later, .. } => until.max(later),
                Phase::Closed | Phase::Probing { .. } => until,
            };
            state.phase = Phase::Open { until, probes: 0, is_rest: true };
        }
        was_failing
    }

    /// Takes back an unused permit to probe.
    pub fn return_probe(&self, now: Instant) {
        let mut state = self.state();
        if let Phase::Probing { probes, .. } = state.phase {
            state.phase = Phase::Open { until: now, probes, is_rest: false };
        }
    }

    fn fail(&self, state: &mut State, now: Instant) {
        state.failures = state.failures.saturating_add(1);
        let first_failure_at = *state.first_failure_at.get_or_insert(now);
        let is_over = self.is_over(state, now);
        let probes = match state.phase {
            Phase::Closed if state.failures < self.options.failures_to_open && !is_over => return,
            Phase::Closed => 0,
            Phase::Probing { probes, .. } => probes.saturating_add(1),
            // The failure of a request that was sent before the breaker opened says nothing new.
            Phase::Open { .. } | Phase::GivenUp => return,
        };
        // The wait is random, so that processes that wait for the same host do not all probe at the same time.
        let longest = doubled(self.options.backoff_base, probes, self.options.backoff_max);
        let until = now + longest.mul_f64(fastrand::f64());
        let last = first_failure_at + self.options.give_up;
        state.phase = match is_over {
            true => Phase::GivenUp,
            false => Phase::Open { until: until.min(last), probes, is_rest: false },
        };
    }

    fn is_over(&self, state: &State, now: Instant) -> bool {
        state.first_failure_at.is_some_and(|at| now.saturating_duration_since(at) >= self.options.give_up)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeadReason, Doubt, NotReceived, SuiteFault};

    fn down() -> Outcome {
        Outcome::Ambiguous(Doubt::TimedOut)
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(BreakerOptions::default(), 30 * SECOND), Instant::now())
    }

    fn opened() -> (Breaker, Instant) {
        let (breaker, now) = breaker();
        for _ in 0..10 {
            breaker.record(now, &down());
        }
        (breaker, now)
    }

    /// Advances the time as a waiting lane would. Returns the time at which a request may be sent; `None` if given up.
    fn probe_at(breaker: &Breaker, mut now: Instant) -> Option<Instant> {
        loop {
            match breaker.permit(now) {
                Permit::Go | Permit::Probe => return Some(now),
                Permit::Wait(wait) => now += wait,
                Permit::GivenUp => return None,
            }
        }
    }

    #[test]
    fn a_host_that_asks_for_rest_is_left_alone_by_every_lane_until_then() {
        let (breaker, now) = breaker();
        let cause = NotReceived::Status(429);
        breaker.record(now, &Outcome::Retry { cause, retry_after: Some(2 * SECOND) });
        // The reply to a hit that was under way.
        breaker.record(now + SECOND, &Outcome::Delivered);
        assert_eq!(breaker.permit(now + SECOND), Permit::Wait(SECOND));
        assert_eq!(breaker.permit(now + 2 * SECOND), Permit::Probe);
        assert!(matches!(breaker.permit(now + 2 * SECOND), Permit::Wait(_)));
        breaker.return_probe(now + 2 * SECOND);
        assert_eq!(breaker.permit(now + 2 * SECOND), Permit::Probe);
        breaker.record(now + 2 * SECOND, &Outcome::Delivered);
        assert!(breaker.is_closed());
    }

    #[test]
    fn ten_failures_in_a_row_open_it() {
        let (breaker, now) = breaker();
        for _ in 0..9 {
            breaker.record(now, &down());
        }
        assert_eq!(breaker.permit(now), Permit::Go);
        breaker.record(now, &Outcome::Delivered);
        for _ in 0..9 {
            breaker.record(now, &down());
        }
        assert_eq!(breaker.permit(now), Permit::Go);
        breaker.record(now, &down());
        assert!(matches!(breaker.permit(now), Permit::Wait(_)));
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_at_a_time() {
        let (breaker, now) = opened();
        let now = probe_at(&breaker, now).expect("a probe");
        assert_eq!(breaker.permit(now), Permit::Wait(PROBE_POLL));
        assert_eq!(breaker.permit(now + 29 * SECOND), Permit::Wait(PROBE_POLL));
        breaker.record(now, &Outcome::Delivered);
        assert_eq!([breaker.permit(now), breaker.permit(now)], [Permit::Go, Permit::Go]);
    }

    #[test]
    fn a_probe_that_was_stopped_is_replaced() {
        let (breaker, now) = opened();
        let now = probe_at(&breaker, now).expect("a probe");
        assert_eq!(breaker.permit(now + 30 * SECOND), Permit::Probe);
        assert_eq!(breaker.permit(now + 30 * SECOND), Permit::Wait(PROBE_POLL));
    }

    #[test]
    fn waits_grow_to_their_cap_and_are_jittered() {
        let mut longest = [Duration::ZERO; 12];
        let mut shortest = [Duration::MAX; 12];
        for _ in 0..200 {
            let options =
                BreakerOptions { give_up: Duration::from_secs(1 << 20), ..BreakerOptions::default() };
            let breaker = Breaker::new(options, SECOND);
            let mut now = Instant::now();
            for _ in 0..10 {
                breaker.record(now, &down());
            }
            for (longest, shortest) in longest.iter_mut().zip(&mut shortest) {
                let at = probe_at(&breaker, now).expect("a probe");
                *longest = (*longest).max(at - now);
                *shortest = (*shortest).min(at - now);
                now = at;
                breaker.record(now, &down());
            }
        }
        for (probes, (longest, shortest)) in longest.into_iter().zip(shortest).enumerate() {
            let cap = (SECOND / 2 * (1 << probes)).min(60 * SECOND);
            assert!(longest <= cap && longest > cap / 2, "probe {probes}: {longest:?}");
            assert!(shortest < cap / 4, "probe {probes}: {shortest:?}");
        }
    }

    #[test]
    fn failures_from_before_it_opened_do_not_lengthen_the_wait() {
        let (breaker, now) = opened();
        for _ in 0..100 {
            breaker.record(now, &down());
        }
        let at = probe_at(&breaker, now).expect("a probe");
        assert!(at - now <= SECOND / 2);
    }

    #[test]
    fn a_host_without_a_sign_of_life_is_given_up_after_five_minutes() {
        let (breaker, start) = opened();
        let mut now = start;
        while let Some(at) = probe_at(&breaker, now) {
            now = at + SECOND;
            breaker.record(now, &down());
        }
        assert!((now - start) < 302 * SECOND, "{:?}", now - start);
        assert_eq!(breaker.permit(start + 300 * SECOND), Permit::GivenUp);
        breaker.record(now, &Outcome::Delivered);
        assert_eq!(breaker.permit(now), Permit::Go);
    }

    #[test]
    fn a_single_lane_of_time_outs_gives_up_too() {
        let (breaker, start) = breaker();
        breaker.record(start, &down());
        breaker.record(start + 299 * SECOND, &down());
        assert_eq!(breaker.permit(start + 299 * SECOND), Permit::Go);
        breaker.record(start + 300 * SECOND, &down());
        assert_eq!(breaker.permit(start + 300 * SECOND), Permit::GivenUp);
    }

    #[test]
    fn any_complete_reply_but_5xx_429_and_408_is_a_sign_of_life() {
        let retry = |cause| Outcome::Retry { cause, retry_after: None };
        for (outcome, is_alive) in [
            (Outcome::Delivered, true),
            (Outcome::Rejected(DeadReason::Adobe("Syntax Error".to_owned())), true),
            (Outcome::BareFailure, true),
            (Outcome::Refused { status: 403 }, true),
            (Outcome::SuiteFault(SuiteFault::NoAccount), true),
            (Outcome::Ambiguous(Doubt::Unreadable(200)), true),
            (Outcome::Ambiguous(Doubt::Status(302)), true),
            (Outcome::Ambiguous(Doubt::Status(511)), true),
            (Outcome::Ambiguous(Doubt::Status(502)), false),
            (Outcome::Ambiguous(Doubt::Broken("reset".to_owned())), false),
            (Outcome::Ambiguous(Doubt::TimedOut), false),
            (retry(NotReceived::Status(429)), false),
            (retry(NotReceived::Status(503)), false),
            (retry(NotReceived::Connect("refused".to_owned())), false),
            (retry(NotReceived::BeforeFirstByte), false),
        ] {
            assert_eq!(outcome.trouble().is_none(), is_alive, "{outcome:?}");
        }
    }
}
