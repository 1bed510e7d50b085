//! When the next upload may begin: Adobe's spacing of all calls, and of the files of a group.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::way::BulkLimits;
use crate::web;

/// The percentage added to the spacing of calls: a call may arrive faster than the one before, which had to connect.
const CALL_MARGIN_PERCENT: u32 = 25;
/// The percentage added to the spacing of the files of a group.
const GROUP_MARGIN_PERCENT: u32 = 5;
/// The smallest margin. A busy host may delay one call by this long but not the next, so Adobe sees a smaller gap.
/// With 20 ms, two programs on two cores called too early once in some hundred files.
const MARGIN_MIN: Duration = Duration::from_millis(50);

/// The pace that the groups of a job share.
pub(super) struct Pace {
    /// When the next call may begin.
    pub(super) calls: web::Pace,
    group_spacing: Duration,
    /// Rows per second of one group: Adobe's limit, or the group's share of the job's rate.
    group_rate: f64,
    is_valid: AtomicBool,
    /// Held while the first file is validated, so that only one file is.
    pub(super) validation: Mutex<()>,
}

impl Pace {
    /// The first call waits one spacing too, because an earlier process may just have made one.
    pub(super) fn new(limits: &BulkLimits, rate: u32, groups: u32) -> Pace {
        let share = f64::from(rate) / f64::from(groups.max(1));
        Pace {
            calls: web::Pace::after_a_call(stretched(limits.call_spacing, CALL_MARGIN_PERCENT)),
            group_spacing: stretched(limits.group_spacing, GROUP_MARGIN_PERCENT),
            group_rate: share.min(f64::from(limits.group_rows_per_second.get())).max(1.0),
            is_valid: AtomicBool::new(false),
            validation: Mutex::new(()),
        }
    }

    /// How long after the answer to a file the next file of its group may begin, if neither has more than `rows`.
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

fn stretched(spacing: Duration, percent: u32) -> Duration {
    spacing + (spacing * percent / 100).max(MARGIN_MIN)
}
