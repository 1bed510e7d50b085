//! The time of day, passed in: the one place that asks the operating system what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::event::Instant;

/// 2262-01-01T00:00:00Z: what is stored is in nanoseconds, which end in April of that year.
const LATEST_NANOS: i64 = 9_214_646_400_000_000_000;

/// The clock shows a time that no event can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock of this host shows {0}, or even farther off, and events are from 1970 to 2261")]
pub struct ClockError(Instant);

/// Tells the time. The system's by default; tests pass one that they set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch, where the clock stands still until it is set.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Clock {
        Clock { fixed: None }
    }

    /// A clock that stands at this instant until [`Clock::set`].
    pub fn fixed(at: Instant) -> Clock {
        Clock { fixed: Some(Arc::new(AtomicI64::new(at.nanos()))) }
    }

    /// Moves a fixed clock, and every clone of it; the system's clock is not ours to move.
    pub fn set(&self, at: Instant) {
        if let Some(fixed) = &self.fixed {
            fixed.store(at.nanos(), Ordering::SeqCst);
        }
    }

    /// The time now, as HTTP dates are compared with.
    pub fn system_time(&self) -> SystemTime {
        SystemTime::from(DateTime::<Utc>::from(self.now()))
    }

    /// Whether it shows a time that events can have: a host whose battery is empty may start in any year.
    pub fn check(&self) -> Result<(), ClockError> {
        let now = self.now();
        if (0..=LATEST_NANOS).contains(&now.nanos()) { Ok(()) } else { Err(ClockError(now)) }
    }

    pub fn now(&self) -> Instant {
        match &self.fixed {
            Some(fixed) => Instant::from_nanos(fixed.load(Ordering::SeqCst)),
            // `Utc::now` panics before 1970.
            None => Instant::from(DateTime::<Utc>::from(SystemTime::now())),
        }
    }
}
