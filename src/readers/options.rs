//! What readers need beside their source.

use super::memory::Keyring;
use super::rest_v2::ServiceKeys;
use crate::config::{EsmConfig, RestV2Config};

/// What readers need beside their source.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Section `[rest_v2]` of the configuration.
    pub rest_v2: RestV2Config,
    /// Section `[esm]`.
    pub esm: EsmConfig,
    /// What devices and codes are digested with.
    pub keyring: Keyring,
    /// The keys that service tokens are checked with; none: they are not.
    pub service_keys: ServiceKeys,
    /// Whether a release before schema 6 of the buffer read exchanges into it, so that what it knew them by is looked up too.
    pub knows_former: bool,
}

impl ReaderOptions {
    /// With the defaults and without a secret: for formats that need neither.
    pub fn unused() -> ReaderOptions {
        ReaderOptions {
            rest_v2: RestV2Config::default(),
            esm: EsmConfig::default(),
            keyring: Keyring::new(b""),
            service_keys: ServiceKeys::default(),
            knows_former: false,
        }
    }
}
