//! The settings of each API here: limits and faults, set over HTTP or by a test. Unknown names are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How the bulk API and its tokens behave. The default limits are Adobe's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BulkSettings {
    /// The least time between any two uploads, in ms; an upload that comes sooner gets 429. Default 1000.
    pub call_spacing_ms: u64,
    /// The least time between the starts of two uploads of a group, in ms; less is a violation. Default 20000.
    pub group_spacing_ms: u64,
    /// The most rows of a group, per second since the start of its previous upload. Default 2000.
    pub group_rows_per_second: u64,
    /// The largest file as it is sent, in bytes. Default 100 MB.
    pub compressed_bytes_max: u64,
    /// The largest file unpacked, in bytes. Default 1 GB.
    pub raw_bytes_max: u64,
    /// What the name of a group must contain, unless it contains a suite of the file. Default none.
    pub company: String,
    /// The lifetime of a token, in seconds. Default a day less one second, as at Adobe.
    pub token_seconds: u64,
    /// After this many uploads, all tokens become invalid once; 0 means never.
    pub forget_tokens_after: u32,
    pub seed: u64,
    /// The percentage of uploads that each fault strikes. In JSON the faults are keys beside the other settings.
    #[serde(flatten)]
    pub faults: BTreeMap<BulkFault, f64>,
    /// How many of 100,000 rows are declared invalid, whatever they contain; the seed decides which.
    pub invalid_rows_per_100000: u32,
    /// Whether the processing log names every invalid row, not only the first ten of a kind.
    pub name_all_invalid: bool,
    /// By how many rows the count in an answer is too low.
    pub rows_untold: u64,
    /// For how many milliseconds after its receipt a file is not found by a look-up.
    pub lookup_blind_ms: u64,
}

impl Default for BulkSettings {
    fn default() -> BulkSettings {
        BulkSettings {
            call_spacing_ms: 1_000,
            group_spacing_ms: 20_000,
            group_rows_per_second: 2_000,
            compressed_bytes_max: 100_000_000,
            raw_bytes_max: 1_000_000_000,
            company: String::new(),
            token_seconds: 86_399,
            forget_tokens_after: 0,
            seed: 0,
            faults: BTreeMap::new(),
            invalid_rows_per_100000: 0,
            name_all_invalid: false,
            rows_untold: 0,
            lookup_blind_ms: 0,
        }
    }
}

/// What goes wrong with an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkFault {
    /// The file is counted, but the connection is reset before the reply.
    LoseAnswer,
    /// The connection is reset, and nothing is counted.
    BreakBefore,
    /// The reply is 429 with Retry-After, and nothing is counted.
    Busy,
    /// The reply is 500, and nothing is counted.
    ServerError,
    /// The reply is 500, although the file is counted.
    ServerErrorAfter,
    /// The reply is 413, and nothing is counted.
    TooLarge,
    /// The reply is REJECTED, and nothing is counted.
    Reject,
}

impl BulkSettings {
    /// The fault, if any, for a random number from 0 to 100. Each fault has a range of numbers as long as its share.
    pub(super) fn fault(&self, percent: f64) -> Option<BulkFault> {
        let mut end = 0.0;
        self.faults.iter().find_map(|(fault, share)| {
            end += share;
            (percent < end).then_some(*fault)
        })
    }
}

/// How the Analytics 2.0 API behaves. The default limits are Adobe's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsSettings {
    /// The companies of every credential, by their global company ID. Default `sandbo0`.
    pub companies: Vec<String>,
    /// The most calls of a credential within a window; more are refused with 429. Default 12.
    pub calls_per_window: u32,
    /// The length of a window, in milliseconds. Default 6000.
    pub window_ms: u64,
    /// How many milliseconds after its receipt a hit appears in reports. Default 0; at Adobe tens of minutes.
    pub latency_ms: u64,
    /// The most rows of a page, whatever a request asks for. Default 50000.
    pub rows_per_page_max: usize,
    /// The error that refuses every request for a token, such as `invalid_client` or `invalid_scope`. Default none.
    pub refuse_tokens: String,
    /// Whether the credential is in no product profile: every call is refused with 403.
    pub forbidden: bool,
    /// How many calls are refused with `busy_status` before one is answered.
    pub busy_next: u32,
    /// The status of these refusals. Default 503.
    pub busy_status: u16,
    /// The header `Retry-After` of these refusals, in seconds. Default none.
    pub retry_after_seconds: Option<u32>,
    /// How many answers break off in the middle of their JSON before one is whole.
    pub break_next: u32,
    /// After this many calls, all tokens become invalid once; 0 means never.
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

/// What ESM reports contain, and how they fail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EsmSettings {
    /// By hour, a number that is added to each metric of the hour's first row.
    pub(super) add: BTreeMap<String, i64>,
    /// The most rows of a report, whatever a request asks for; with 0 the request's own limit holds.
    pub(super) limit: usize,
    /// How many requests for reports are refused with 503 before one is answered.
    pub(super) refuse_next: u32,
    /// How many packed reports break off in the middle before one is whole.
    pub(super) break_next: u32,
    /// After this many reports, all tokens become invalid once; 0 means never.
    pub(super) forget_tokens_after: u32,
}

/// Uses up one of the times that a fault is still to strike; false if no time was left.
pub(super) fn take_one(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

/// Takes one from a count; true if the count was 1.
pub(super) fn take_last(left: &mut u32) -> bool {
    take_one(left) && *left == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_one_after_the_other() {
        let faults = [(BulkFault::Reject, 0.5), (BulkFault::Busy, 5.0), (BulkFault::LoseAnswer, 10.0)].into();
        let settings = BulkSettings { faults, ..BulkSettings::default() };
        for (percent, fault) in [
            (0.0, Some(BulkFault::LoseAnswer)),
            (9.99, Some(BulkFault::LoseAnswer)),
            (10.0, Some(BulkFault::Busy)),
            (15.25, Some(BulkFault::Reject)),
            (15.5, None),
        ] {
            assert_eq!(settings.fault(percent), fault, "{percent}");
        }
        assert_eq!(BulkSettings::default().fault(0.0), None);
    }

    #[test]
    fn settings_are_read_by_name_and_unknown_ones_refused() {
        let settings: BulkSettings =
            serde_json::from_str(r#"{"call_spacing_ms":10,"lose_answer":5}"#).expect("settings");
        let faults = [(BulkFault::LoseAnswer, 5.0)].into();
        let expected = BulkSettings { call_spacing_ms: 10, faults, ..BulkSettings::default() };
        assert_eq!(serde_json::to_value(&expected).expect("JSON")["lose_answer"], 5.0);
        assert_eq!(settings, expected);
        assert!(serde_json::from_str::<BulkSettings>(r#"{"lose_answers":5}"#).is_err());
    }
}
