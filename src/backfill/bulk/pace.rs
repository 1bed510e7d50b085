//! Tells when the next upload may begin, by Adobe's spacing of all calls and of the files of a group.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::config::BulkConfig;
use crate::web;

/// The percentage added to the spacing of calls. A call that has to connect arrives late, so the gap after it shrinks.
const CALL_MARGIN_PERCENT: u32 = 25;
/// The percentage added to the spacing of the files of a group.
const GROUP_MARGIN_PERCENT: u32 = 5;
/// The smallest margin. A busy host may delay one call but not the next, so Adobe sees a smaller gap. With 20
/// ms, two programs on two cores called too early once in some hundred files.
const MARGIN_MIN: Duration = Duration::from_millis(50);

/// The pace that the groups of a job share.
pub(super) struct Pace {
    /// When the next call may begin.
    pub(super) calls: Arc<web::Pace>,
    group_spacing: Duration,
    /// Rows per second of one group: the lower of Adobe's limit and the group's share of the job's rate.
    group_rate: f64,
    /// Whether a file of the job was found valid. Locked while the first file is validated, so that no other group
    /// validates a file too.
    pub(super) is_valid: Mutex<bool>,
}

impl Pace {
    /// `share` is the group's share of the job's rate.
    pub(super) fn new(calls: Arc<web::Pace>, config: &BulkConfig, share: f64, is_valid: bool) -> Pace {
        Pace {
            calls,
            group_spacing: stretched(Duration::from_millis(config.group_spacing_ms), GROUP_MARGIN_PERCENT),
            group_rate: share.min(f64::from(config.group_rows_per_second)).max(1.0),
            is_valid: Mutex::new(is_valid),
        }
    }

    /// The pause between the answer to one upload of a group and the next upload. The larger file has `rows` rows.
    pub(super) fn gap(&self, rows: u64) -> Duration {
        self.group_spacing
            .max(stretched(Duration::from_secs_f64(rows as f64 / self.group_rate), GROUP_MARGIN_PERCENT))
    }
}

/// The pace of all calls. The first call waits one spacing too, because an earlier process may just have made a call.
pub(in crate::backfill) fn pace_of_calls(config: &BulkConfig) -> Arc<web::Pace> {
    let spacing = Duration::from_millis(config.call_spacing_ms);
    Arc::new(web::Pace::new(stretched(spacing, CALL_MARGIN_PERCENT)))
}

fn stretched(spacing: Duration, percent: u32) -> Duration {
    spacing + (spacing * percent / 100).max(MARGIN_MIN)
}
