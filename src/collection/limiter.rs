//! Limits the hits per second of all lanes together.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After a pause, the hits of one second divided by this number may be sent at once.
const BURSTS_PER_SECOND: u128 = 10;
/// The time of one hit, in nanoseconds times hits per second. This is a whole number, so no rate drifts.
const HIT: u128 = 1_000_000_000;

/// Tells each lane how long to wait. So all lanes together keep a rate, which is exact over a long time.
/// After a pause, the hits of a tenth of a second, but at least one hit, may be sent at once.
#[derive(Debug)]
pub struct Limiter {
    /// `None` means no limit.
    hits_per_second: Option<u128>,
    /// How far behind the clock the next hit may be, in nanoseconds times hits per second.
    slack: u128,
    started_at: Instant,
    /// When the next hit is due after `started_at`, in the unit of `slack`.
    next: Mutex<u128>,
}

impl Limiter {
    /// A limiter that begins now.
    pub fn new(hits_per_second: Option<NonZeroU32>, now: Instant) -> Limiter {
        let hits_per_second = hits_per_second.map(|rate| u128::from(rate.get()));
        let burst = (hits_per_second.unwrap_or(0) / BURSTS_PER_SECOND).max(1);
        Limiter { hits_per_second, slack: (burst - 1) * HIT, started_at: now, next: Mutex::new(0) }
    }

    pub fn has_rate(&self) -> bool {
        self.hits_per_second.is_some()
    }

    /// How long the next hit would have to wait.
    pub fn wait(&self, now: Instant) -> Duration {
        self.find(now, |_, _| {})
    }

    /// Reserves the time of the next hit and returns how long to wait for it. A reservation cannot be given back, so
    /// a lane that does not send after all leaves a gap of one hit.
    pub fn reserve(&self, now: Instant) -> Duration {
        self.find(now, |next, due| *next = due + HIT)
    }

    /// How long a hit has to wait. `change` gets the time of this hit, and may set the time of the next hit.
    fn find(&self, now: Instant, change: impl FnOnce(&mut u128, u128)) -> Duration {
        let Some(rate) = self.hits_per_second else { return Duration::ZERO };
        let elapsed = now.saturating_duration_since(self.started_at).as_nanos() * rate;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).max(elapsed.saturating_sub(self.slack));
        change(&mut next, due);
        let wait = due.saturating_sub(elapsed).div_ceil(rate);
        Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(hits_per_second: u32) -> (Limiter, Instant) {
        let now = Instant::now();
        (Limiter::new(NonZeroU32::new(hits_per_second), now), now)
    }

    #[test]
    fn no_rate_is_no_wait() {
        let (limiter, now) = limiter(0);
        assert!((0..1000).all(|_| limiter.reserve(now).is_zero()));
    }

    #[test]
    fn dia_62_a_rate_is_exact_over_the_long_run() {
        for (hits_per_second, hits) in
            [(1, 100_u32), (3, 10_000), (7, 70_000), (999, 999_000), (1_000_000, 10)]
        {
            let (limiter, now) = limiter(hits_per_second);
            let last = (0..=hits).map(|_| limiter.reserve(now)).last().expect("hits");
            let exact = Duration::from_secs(u64::from(hits)).as_nanos().div_ceil(u128::from(hits_per_second));
            assert_eq!(last.as_nanos(), exact, "{hits_per_second} a second");
        }
    }

    #[test]
    fn the_first_hits_are_paced_too() {
        let (limiter, now) = limiter(100);
        let waits: Vec<_> = (0..4).map(|_| limiter.reserve(now).as_millis()).collect();
        assert_eq!(waits, [0, 10, 20, 30]);
        let asked: Vec<_> = (0..2).map(|_| limiter.wait(now).as_millis()).collect();
        assert_eq!(asked, [40, 40], "to ask reserves nothing");
    }

    #[test]
    fn a_pause_earns_a_tenth_of_a_second_and_no_more() {
        let (limiter, start) = limiter(100);
        let now = start + Duration::from_secs(3600);
        let at_once = (0..50).take_while(|_| limiter.reserve(now).is_zero()).count();
        assert_eq!(at_once, 10);
    }

    #[test]
    fn a_slow_rate_never_bursts() {
        let (limiter, start) = limiter(2);
        let now = start + Duration::from_secs(60);
        let waits: Vec<_> = (0..3).map(|_| limiter.reserve(now).as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000]);
    }

    #[test]
    fn no_second_holds_more_than_its_rate_and_a_burst() {
        let (limiter, start) = limiter(50);
        let mut sent_at = Vec::new();
        let mut now = start;
        for step in 0..2000u64 {
            now += Duration::from_millis(step * 7919 % 40);
            now += limiter.reserve(now);
            sent_at.push(now);
        }
        for (first, at) in sent_at.iter().enumerate() {
            let within =
                sent_at[first..].iter().take_while(|later| **later - *at < Duration::from_secs(1)).count();
            assert!(within <= 55, "{within} hits within a second");
        }
    }

    #[test]
    fn an_earlier_instant_is_no_panic() {
        let (limiter, now) = limiter(10);
        limiter.reserve(now + Duration::from_secs(5));
        let before = now.checked_sub(Duration::from_millis(1)).expect("an uptime");
        assert!(limiter.reserve(before) > Duration::from_secs(4));
    }
}
