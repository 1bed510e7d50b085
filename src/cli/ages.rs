//! Ages and durations, for people.

use std::time::Duration;

use crate::event::Instant;

/// The time since an instant; zero for an instant in the future.
pub(super) fn passed(at: Instant, now: Instant) -> Duration {
    Duration::from_nanos(now.nanos().saturating_sub(at.nanos()).max(0).unsigned_abs())
}

/// A duration: in one unit if it is shorter than an hour, else in its two largest units.
pub(super) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

pub(super) fn ago(at: Instant, now: Instant) -> String {
    let ahead = passed(now, at);
    let told = if ahead.as_secs() > 0 {
        format!("{} ahead of this host's clock", age(ahead))
    } else {
        format!("{} ago", age(passed(at, now)))
    };
    format!("{} ({told})", at.to_the_second())
}
