//! The clock, which is passed to all code that needs the time. Only this file asks the system what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

use crate::event::Instant;

/// 2262-01-01T00:00:00Z. Times are stored as nanoseconds in 64 bits. The last such time is in April 2262.
const LATEST_NANOS: i64 = 9_214_646_400_000_000_000;

/// The clock shows a time that no event can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock of this host shows {0} or a time even farther away, but events are from 1970 to 2261")]
pub struct ClockError(Instant);

/// The system's clock, or a clock that tests set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// The time of a clock that stands still until it is set, in nanoseconds since the Unix epoch.
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

    /// Sets a fixed clock and all its clones. Does nothing to the system's clock.
    pub fn set(&self, at: Instant) {
        if let Some(fixed) = &self.fixed {
            fixed.store(at.nanos(), Ordering::SeqCst);
        }
    }

    /// The current time, in the type in which HTTP dates are read.
    pub fn system_time(&self) -> SystemTime {
        SystemTime::from(DateTime::<Utc>::from(self.now()))
    }

    /// Fails if the clock shows a time that no event can have. A host with an empty battery may start in any year.
    pub fn check(&self) -> Result<(), ClockError> {
        let now = self.now();
        if (0..=LATEST_NANOS).contains(&now.nanos()) { Ok(()) } else { Err(ClockError(now)) }
    }

    pub fn now(&self) -> Instant {
        match &self.fixed {
            Some(fixed) => Instant::from_nanos(fixed.load(Ordering::SeqCst)),
            None => Instant::from(SystemTime::now()),
        }
    }
}

/// The time since this host started. It also runs while the process is stopped and, on Linux, while the host sleeps.
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl From<SystemTime> for Instant {
    /// A time before 1677 or after 2262 becomes the nearest possible instant. chrono panics far beyond these.
    fn from(at: SystemTime) -> Instant {
        let nanos = |apart: Duration| i64::try_from(apart.as_nanos()).unwrap_or(i64::MAX);
        Instant::from_nanos(match at.duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        })
    }
}
