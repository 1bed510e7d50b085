//! The settings of each API here: limits and faults, set over HTTP or by a test. Unknown names are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::with_defaults;

with_defaults! {
    /// How the bulk API and its tokens behave. The default limits are Adobe's.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    pub struct BulkSettings {
        /// The least time between any two uploads, in ms; an upload that comes sooner gets 429.
        pub call_spacing_ms: u64 = 1_000;
        /// The least time between the starts of two uploads of a group, in ms; less is a violation.
        pub group_spacing_ms: u64 = 20_000;
        /// The most rows of a group, per second since the start of its previous upload.
        pub group_rows_per_second: u64 = 2_000;
        /// The largest file as it is sent, in bytes.
        pub compressed_bytes_max: u64 = 100_000_000;
        /// The largest file unpacked, in bytes.
        pub raw_bytes_max: u64 = 1_000_000_000;
        /// What the name of a group must contain, unless it contains a suite of the file.
        pub company: String = String::new();
        /// The lifetime of a token, in seconds. Default a day less one second, as at Adobe.
        pub token_seconds: u64 = 86_399;
        /// After this many uploads, all tokens become invalid once; 0 means never.
        pub forget_tokens_after: u32 = 0;
        pub seed: u64 = 0;
        /// The percentage of uploads that each fault strikes. In JSON the faults are keys beside the other settings.
        #[serde(flatten)]
        pub faults: BTreeMap<BulkFault, f64> = BTreeMap::new();
        /// How many of 100,000 rows are declared invalid, whatever they contain; the seed decides which.
        pub invalid_rows_per_100000: u32 = 0;
        /// Whether the processing log names every invalid row, not only the first ten of a kind.
        pub name_all_invalid: bool = false;
        /// By how many rows the count in an answer is too low.
        pub rows_untold: u64 = 0;
        /// For how many milliseconds after its receipt a file is not found by a look-up.
        pub lookup_blind_ms: u64 = 0;
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

with_defaults! {
    /// How the Analytics 2.0 API behaves. The default limits are Adobe's.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct AnalyticsSettings {
        /// The companies of every credential, by their global company ID.
        pub companies: Vec<String> = vec!["sandbo0".to_owned()];
        /// The most calls of a credential within a window; more are refused with 429.
        pub calls_per_window: u32 = 12;
        pub window_ms: u64 = 6_000;
        /// How many milliseconds after its receipt a hit appears in reports. At Adobe tens of minutes.
        pub latency_ms: u64 = 0;
        /// The most rows of a page, whatever a request asks for.
        pub rows_per_page_max: usize = 50_000;
        /// The error that refuses every request for a token, such as `invalid_client` or `invalid_scope`.
        pub refuse_tokens: String = String::new();
        /// Whether the credential is in no product profile: every call is refused with 403.
        pub forbidden: bool = false;
        /// How many calls are refused with `busy_status` before one is answered.
        pub busy_next: u32 = 0;
        /// The status of these refusals.
        pub busy_status: u16 = 503;
        /// The header `Retry-After` of these refusals, in seconds.
        pub retry_after_seconds: Option<u32> = None;
        /// How many answers break off in the middle of their JSON before one is whole.
        pub break_next: u32 = 0;
        /// After this many calls, all tokens become invalid once; 0 means never.
        pub forget_tokens_after: u32 = 0;
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

/// Counts down how often a fault still strikes. Returns false if the fault does not strike any more.
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
