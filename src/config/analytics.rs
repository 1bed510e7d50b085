//! How Adobe Analytics is read.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;

/// `[analytics]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsConfig {
    /// Where the Analytics 2.0 API is. Default `https://analytics.adobe.io`.
    pub url: String,
    /// The global company ID. Default none: the only one that the credential has.
    pub company: String,
    /// The client ID of the OAuth server-to-server credential. No default.
    pub client_id: String,
    /// The file of its secret. No default.
    pub client_secret_file: PathBuf,
    /// Its secret, for the environment: PASSBRIDGE_ANALYTICS__CLIENT_SECRET. No default.
    pub client_secret: Secret,
    /// Its scopes, as the Developer Console lists them.
    pub scopes: String,
    /// Where access tokens are had. Default `https://ims-na1.adobelogin.com/ims/token/v3`.
    pub ims_url: String,
    /// How long a request may take, in seconds. Default 90: Adobe gives up after 60.
    pub request_timeout_seconds: u64,
    /// Calls within a window at the most. Default 12, which is Adobe's limit for a user.
    pub calls_per_window: u32,
    /// How long a window is, in milliseconds; pauses before a call is tried again follow it. Default 6000, which is Adobe's.
    pub window_ms: u64,
    /// How long a probe, or a settings file, proves how a suite is set, in days. Default 90.
    pub proof_days: u32,
}

impl AnalyticsConfig {
    /// How long a proof counts.
    pub fn proof_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.proof_days) * 86_400)
    }
}

impl Default for AnalyticsConfig {
    fn default() -> AnalyticsConfig {
        AnalyticsConfig {
            url: "https://analytics.adobe.io".to_owned(),
            company: String::new(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            client_secret: Secret::default(),
            scopes: "openid,AdobeID,read_organizations,additional_info.projectedProductContext,\
                     additional_info.job_function"
                .to_owned(),
            ims_url: "https://ims-na1.adobelogin.com/ims/token/v3".to_owned(),
            request_timeout_seconds: 90,
            calls_per_window: 12,
            window_ms: 6_000,
            proof_days: 90,
        }
    }
}
