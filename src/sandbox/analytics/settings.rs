//! What the Analytics 2.0 API is told: its limits, its faults, who may ask.

use serde::{Deserialize, Serialize};

/// How the Analytics 2.0 API behaves. The limits are Adobe's where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsSettings {
    /// The companies of every credential, by their global company ID. Default `sandbo0`.
    pub companies: Vec<String>,
    /// The most calls of a credential within a window; more are refused with 429. Default 12.
    pub calls_per_window: u32,
    /// How long a window is, in milliseconds. Default 6000.
    pub window_ms: u64,
    /// How long after its receipt a hit shows in reports, in milliseconds. Default 0; Adobe's is tens of minutes.
    pub latency_ms: u64,
    /// The most rows of a page, whatever a request asks for. Default 50000.
    pub rows_per_page_max: usize,
    /// The error that every request for a token is refused with, such as `invalid_client` for a credential that has expired,
    /// or `invalid_scope`. Default none.
    pub refuse_tokens: String,
    /// Whether the credential is in no product profile: every call is refused with 403.
    pub forbidden: bool,
    /// How many calls are refused with `busy_status` before one is answered.
    pub busy_next: u32,
    /// Default 503.
    pub busy_status: u16,
    /// What `Retry-After` says then, in seconds. Default none.
    pub retry_after_seconds: Option<u32>,
    /// How many answers break off in the middle of their JSON before one is whole.
    pub break_next: u32,
    /// After how many calls all tokens are good no more, once; 0 is never.
    pub forget_tokens_after: u32,
}

impl Default for AnalyticsSettings {
    fn default() -> AnalyticsSettings {
        AnalyticsSettings {
            companies: vec!["sandbo0".to_owned()],
            calls_per_window: 12,
            window_ms: 6_000,
            latency_ms: 0,
            rows_per_page_max: 50_000,
            refuse_tokens: String::new(),
            forbidden: false,
            busy_next: 0,
            busy_status: 503,
            retry_after_seconds: None,
            break_next: 0,
            forget_tokens_after: 0,
        }
    }
}
