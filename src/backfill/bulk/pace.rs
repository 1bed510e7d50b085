//! When the next upload may begin: Adobe's spacing of all calls, and of the files of a group.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

use super::way::BulkLimits;

/// What the spacing of calls is stretched by, in percent: a call may be quicker on its way than the one before, which had to
/// connect first.
const CALL_MARGIN_PERCENT: u32 = 25;
/// The same, of the spacing of a group.
const GROUP_MARGIN_PERCENT: u32 = 5;
/// The least of either: what a call may be late on its way by on busy hosts, whose next one is not. At 20 ms two programs that
/// share two cores were seen to exceed it once in some hundred files.
const MARGIN_MIN: Duration = Duration::from_millis(50);

/// What the groups of a job share.
pub(super) struct Pace {
    call_spacing: Duration,
    group_spacing: Duration,
    /// Rows a second of one group: Adobe's limit, or its share of the job's rate.
    group_rate: f64,
    next_call: Mutex<Instant>,
    is_valid: AtomicBool,
    /// Held while a first file is validated, so that only one is.
    pub(super) validation: Mutex<()>,
}

impl Pace {
    /// The first call is as far from the last one of the process before.
    pub(super) fn new(limits: &BulkLimits, rate: u32, groups: u32) -> Pace {
        let share = f64::from(rate) / f64::from(groups.max(1));
        let call_spacing = stretched(limits.call_spacing, CALL_MARGIN_PERCENT);
        Pace {
            call_spacing,
            group_spacing: stretched(limits.group_spacing, GROUP_MARGIN_PERCENT),
            group_rate: share.min(f64::from(limits.group_rows_per_second.get())).max(1.0),
            next_call: Mutex::new(Instant::now() + call_spacing),
            is_valid: AtomicBool::new(false),
            validation: Mutex::new(()),
        }
    }

    /// Waits for a call's turn.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let next_call = self.next_call.lock().await;
        sleep_until(*next_call).await;
        Turn { next_call, spacing: self.call_spacing }
    }

    /// How long after the answer to a file the next one of its group may begin, where neither has more rows.
    pub(super) fn gap(&self, rows: u64) -> Duration {
        self.group_spacing
            .max(stretched(Duration::from_secs_f64(rows as f64 / self.group_rate), GROUP_MARGIN_PERCENT))
    }

    pub(super) fn set_valid(&self) {
        self.is_valid.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_valid(&self) -> bool {
        self.is_valid.load(Ordering::Relaxed)
    }
}

/// A call's turn: nobody else has one until it begins, or is given up.
#[must_use]
pub(super) struct Turn<'a> {
    next_call: MutexGuard<'a, Instant>,
    spacing: Duration,
}

impl Turn<'_> {
    /// The call begins now. What it has to wait for was waited for before: two that wait for the same would go together.
    pub(super) fn begins(mut self) {
        *self.next_call = Instant::now() + self.spacing;
    }
}

fn stretched(spacing: Duration, percent: u32) -> Duration {
    spacing + (spacing * percent / 100).max(MARGIN_MIN)
}
