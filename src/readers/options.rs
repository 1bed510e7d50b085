use std::sync::Arc;

use super::map::Map;
use super::memory::Keyring;
use super::rest_v2::ServiceKeys;
use crate::config::{EsmConfig, RestV2Config};

/// What readers need in addition to their source.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Section `[rest_v2]` of the configuration.
    pub rest_v2: RestV2Config,
    /// Section `[esm]` of the configuration.
    pub esm: EsmConfig,
    /// Makes the digests of devices and codes.
    pub keyring: Keyring,
    /// The keys with which service tokens are checked. Without keys, nothing is checked.
    pub service_keys: ServiceKeys,
    /// Whether a release before schema 6 of the buffer read exchanges. Its fingerprints are then looked up too.
    pub knows_former: bool,
    /// Whether formats that need a memory of earlier runs are refused.
    pub takes_events_only: bool,
    /// The map of events in NDJSON and CSV.
    pub map: Option<Arc<Map>>,
}

impl ReaderOptions {
    /// Defaults and no secret, for formats that use no options.
    pub fn unused() -> ReaderOptions {
        ReaderOptions {
            rest_v2: RestV2Config::default(),
            esm: EsmConfig::default(),
            keyring: Keyring::new(b""),
            service_keys: ServiceKeys::default(),
            knows_former: false,
            takes_events_only: false,
            map: None,
        }
    }
}
