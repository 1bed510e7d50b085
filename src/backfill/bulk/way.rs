//! How files are made and sent: Adobe's limits and the configuration.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backfill::error::BackfillError;
use crate::buffer::JobRecord;
use crate::config::BulkConfig;
use crate::web::BulkClient;

/// A slow job sends a file at least as often as this.
const STEADY: Duration = Duration::from_secs(60);

/// Adobe's limits, or the limits of a contract.
#[derive(Debug, Clone)]
pub struct BulkLimits {
    pub file_rows: u64,
    pub file_bytes: u64,
    pub file_bytes_unpacked: u64,
    pub call_spacing: Duration,
    pub group_spacing: Duration,
    pub group_rows_per_second: NonZeroU32,
    /// How long the key of a file must stay unknown before the file is sent again.
    pub lookup: Duration,
    /// The first pause before an upload is tried again.
    pub backoff_base: Duration,
    pub backoff_max: Duration,
}

impl BulkLimits {
    pub fn of(config: &BulkConfig) -> BulkLimits {
        BulkLimits {
            file_rows: u64::from(config.file_rows),
            file_bytes: config.file_bytes,
            file_bytes_unpacked: config.file_bytes_unpacked,
            call_spacing: Duration::from_millis(config.call_spacing_ms),
            group_spacing: Duration::from_millis(config.group_spacing_ms),
            group_rows_per_second: NonZeroU32::new(config.group_rows_per_second).unwrap_or(NonZeroU32::MIN),
            lookup: Duration::from_millis(config.lookup_ms),
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_millis(config.backoff_max_ms),
        }
    }
}

/// How files are made and sent.
#[derive(Clone)]
pub struct BulkWay {
    /// The client that uploads; `None` if none is configured, which is enough for jobs of the DIA route.
    pub client: Option<Arc<BulkClient>>,
    pub limits: BulkLimits,
    /// Rows per second for jobs without a rate.
    pub rate: NonZeroU32,
    pub dir: PathBuf,
    /// The beginning of the names of groups.
    pub company: String,
    /// The value for an unknown user agent.
    pub user_agent: String,
    /// Whether files are kept once their answers are recorded.
    pub keeps_files: bool,
    /// Whether the job goes on although Adobe refused rows without naming them.
    pub accepts_unnamed: bool,
}

impl BulkWay {
    pub(in crate::backfill) fn client(&self) -> Result<&Arc<BulkClient>, BackfillError> {
        self.client.as_ref().ok_or(BackfillError::NotConfigured)
    }

    pub(super) fn rate(&self, job: &JobRecord) -> u32 {
        job.settings.rate.unwrap_or(self.rate.get())
    }

    /// Rows of a file: at most what the rate allows in a minute or three spacings, so that a slow job sends evenly.
    pub(super) fn file_rows(&self, job: &JobRecord, groups: u32, rows_max: u64) -> u64 {
        let seconds = (self.limits.group_spacing * 3).max(STEADY).as_secs_f64();
        let share = f64::from(self.rate(job)) / f64::from(groups.max(1));
        rows_max.min((share * seconds).ceil() as u64).max(1)
    }

    /// The smallest number of groups that can send at the job's rate.
    pub fn groups(&self, job: &JobRecord) -> u32 {
        self.rate(job).div_ceil(self.limits.group_rows_per_second.get()).max(1)
    }
}
