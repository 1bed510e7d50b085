//! How to ingest: the settings that files, the inbox and HTTP have in common.

use crate::buffer::JobKey;
use crate::clock::Clock;
use crate::config::{EsmConfig, IngestConfig, RestV2Config};
use crate::event::{Instant, TimeBounds};
use crate::readers::Format;
use crate::readers::rest_v2::ServiceKeys;

/// Which format the inputs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatChoice {
    /// Found by the extension of each, then by its content.
    #[default]
    Auto,
    Is(Format),
}

/// How to ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The format of the inputs. The inbox is always NDJSON.
    pub format: FormatChoice,
    /// Section `[ingest]` of the configuration, its paths resolved.
    pub config: IngestConfig,
    pub rest_v2: RestV2Config,
    pub esm: EsmConfig,
    /// What codes and devices are digested with; `None`: the buffer keeps one of its own.
    pub secret: Option<Vec<u8>>,
    /// The keys that service tokens are checked with.
    pub service_keys: ServiceKeys,
    /// What brings the events: nothing for live ones, else a backfill.
    pub job: JobKey,
    /// What tells whether an event is ahead of its time.
    pub clock: Clock,
}

impl IngestOptions {
    pub(super) fn bounds(&self) -> TimeBounds {
        let now = self.clock.now();
        let skew_nanos = i64::from(self.config.future_skew_seconds) * 1_000_000_000;
        TimeBounds { latest: Instant::from_nanos(now.nanos().saturating_add(skew_nanos)), now }
    }
}
