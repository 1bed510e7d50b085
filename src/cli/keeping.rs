//! Retention for a buffer on PostgreSQL, and the report of `retention` for both kinds of buffer.

use std::fmt;

use serde::Serialize;

use super::{Context, Failure, Settings};
use crate::buffer::RetentionReport;
use crate::clock::Clock;
use crate::config::Config;
use crate::ingest;
use crate::postgres::SharedBuffer;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) buffer: RetentionReport,
    pub(super) expired_rejects_files: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetentionReport { expired_delivered, expired_discarded, forgotten_identities, .. } = self.buffer;
        writeln!(out, "deleted    {expired_delivered} delivered and {expired_discarded} discarded events")?;
        writeln!(out, "forgotten  {forgotten_identities} identities of events deleted before")?;
        writeln!(out, "rejects    {} files deleted", self.expired_rejects_files)
    }
}

/// What retention needs.
pub(super) struct Keeping {
    pub(super) config: Config,
    pub(super) clock: Clock,
    /// Whether the database's clock alone decides what is old, even if this host's clock differs.
    pub(super) trusts_database: bool,
}

impl Keeping {
    pub(super) fn new(settings: &Settings, context: &Context) -> Keeping {
        let (config, clock) = (settings.config.clone(), context.clock.clone());
        Keeping { config, clock, trusts_database: false }
    }

    pub(super) async fn retain(&self, buffer: &mut SharedBuffer) -> Result<Report, Failure> {
        let now = (!self.trusts_database).then(|| self.clock.now());
        let report = buffer.retain(&self.config.buffer, now).await?;
        let mut expired = Vec::new();
        if !report.clock_jumped {
            expired = ingest::expire_rejects(&self.config.ingest, self.clock.now())?;
            buffer.forget_rejects(&expired).await?;
        }
        Ok(Report { buffer: report, expired_rejects_files: expired.len() as u64 })
    }
}
