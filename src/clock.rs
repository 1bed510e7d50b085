//! The time of day, passed in: the one place that asks the operating system what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::event::Instant;

/// Tells the time. The system's by default; tests pass one that they set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch, where the clock stands still until it is set.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The operating system's clock.
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

    /// The time now.
    pub fn now(&self) -> Instant {
        match &self.fixed {
            Some(fixed) => Instant::from_nanos(fixed.load(Ordering::SeqCst)),
            None => Instant::from(Utc::now()),
        }
    }
}
