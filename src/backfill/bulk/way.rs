//! How files are made and sent.

use std::sync::Arc;
use std::time::Duration;

use crate::backfill::error::BackfillError;
use crate::buffer::JobRecord;
use crate::config::BulkConfig;
use crate::web::BulkClient;

/// How long the rows of one file last at the rate of a slow job, so that the job sends evenly.
const STEADY: Duration = Duration::from_secs(60);

/// How files are made and sent.
#[derive(Clone)]
pub struct BulkWay {
    /// The client that uploads; `None` if it is not configured. Jobs of the DIA route need no client.
    pub client: Option<Arc<BulkClient>>,
    /// Adobe's limits, or those of a contract, and the rate of jobs that set no rate.
    pub config: BulkConfig,
    /// Whether files are kept once their answers are recorded.
    pub keeps_files: bool,
    /// Whether the job goes on although Adobe refused rows without naming them.
    pub accepts_unnamed: bool,
}

impl BulkWay {
    /// The client, or the error that none is configured.
    pub fn client(&self) -> Result<&Arc<BulkClient>, BackfillError> {
        self.client.as_ref().ok_or(BackfillError::NotConfigured)
    }

    pub(super) fn rate(&self, job: &JobRecord) -> u32 {
        job.settings.rate.unwrap_or(self.config.rate.max(1))
    }

    /// The most rows of a file: what a group may send in `STEADY`, or in three spacings if longer, up to `rows_max`.
    pub(super) fn file_rows(&self, job: &JobRecord, groups: u32, rows_max: u64) -> u64 {
        let three_spacings = Duration::from_millis(self.config.group_spacing_ms) * 3;
        let seconds = three_spacings.max(STEADY).as_secs_f64();
        let share = f64::from(self.rate(job)) / f64::from(groups.max(1));
        rows_max.min((share * seconds).ceil() as u64).max(1)
    }

    /// The smallest number of groups that can send at the job's rate.
    pub fn groups(&self, job: &JobRecord) -> u32 {
        self.rate(job).div_ceil(self.config.group_rows_per_second.max(1)).max(1)
    }
}
