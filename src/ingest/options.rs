use std::collections::BTreeMap;
use std::sync::Arc;

use super::contract::Contract;
use crate::buffer::{JobKey, NewEvent};
use crate::clock::Clock;
use crate::config::{EsmConfig, IngestConfig, MapConfig, RestV2Config};
use crate::event::{DaySpan, Instant, Slice, TimeBounds};
use crate::readers::rest_v2::ServiceKeys;
use crate::readers::{Format, Map};

/// The format of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatChoice {
    /// The format follows from the extension of each file, then from its content.
    #[default]
    Auto,
    Is(Format),
}

/// The options of an ingest, which files, the inbox and HTTP share.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The format of the files. The inbox is always NDJSON.
    pub format: FormatChoice,
    /// Section `[ingest]` of the configuration, with absolute paths.
    pub config: IngestConfig,
    pub rest_v2: RestV2Config,
    pub esm: EsmConfig,
    /// The secret for digests of codes and devices; `None` means the buffer's own secret.
    pub secret: Option<Vec<u8>>,
    /// The keys that verify service tokens.
    pub service_keys: ServiceKeys,
    /// The job of the events: live, or a backfill.
    pub job: JobKey,
    /// The clock that decides if an event is in the future.
    pub clock: Clock,
    pub maps: Maps,
    /// What events must be like to be taken.
    pub contracts: Vec<Contract>,
    /// The part of the files that is taken.
    pub slice: Slice,
    /// The days to which a live file may add although they were delivered; `None`: no file is kept out.
    pub accept_days: Option<Vec<DaySpan>>,
    /// The keys that a live file may lack although nearly all events before had them.
    pub accept_missing: Vec<&'static str>,
}

/// The maps of events in NDJSON and CSV.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    /// The map of these inputs; over HTTP, the map of senders whose token names no map.
    pub chosen: Option<Arc<Map>>,
    /// The maps of the configuration, by their names.
    pub named: BTreeMap<String, Arc<Map>>,
}

impl Maps {
    /// The map that a section like `[map.NAME]` makes. The error names the key and says what it may be.
    pub fn of(name: &str, config: &MapConfig) -> Result<Maps, String> {
        Ok(Maps { chosen: Some(Arc::new(Map::new(config)?.named(name))), ..Maps::default() })
    }
}

impl IngestOptions {
    pub(super) fn bounds(&self) -> TimeBounds {
        let now = self.clock.now();
        let skew_nanos = i64::from(self.config.future_skew_seconds) * 1_000_000_000;
        TimeBounds { latest: Instant::from_nanos(now.nanos().saturating_add(skew_nanos)), now }
    }

    pub(super) fn contracts_of(&self, source: &str) -> Vec<Contract> {
        let configured = self.contracts.iter().filter(|contract| contract.is_of(source)).cloned();
        configured.chain(Contract::of_folders(source, &self.clock)).collect()
    }

    /// Events before this instant are of days that ended more than 24 hours ago.
    pub(super) fn settled_before(&self) -> Instant {
        Instant::of_quarter((self.clock.now().unix_quarter().div_euclid(96) - 1) * 96)
    }

    /// Whether these events are live, and one of them is of a day that ended more than 24 hours ago.
    pub(super) fn has_settled(&self, events: &[NewEvent]) -> bool {
        let before = self.settled_before();
        self.job == JobKey::LIVE && events.iter().any(|event| event.occurred_at < before)
    }
}
