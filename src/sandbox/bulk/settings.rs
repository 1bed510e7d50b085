//! What the bulk interface is told: its limits, its faults, its tokens.

use serde::{Deserialize, Serialize};

/// How the bulk interface and the tokens for it behave. The limits are Adobe's where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkSettings {
    /// The least time between two uploads, over all groups; sooner ones are refused with 429. Default 1000.
    pub call_spacing_ms: u64,
    /// The least time between the starts of two uploads of a group; sooner ones are taken, and violations. Default 20000.
    pub group_spacing_ms: u64,
    /// The most rows of a group, per second since its previous start. Default 2000.
    pub group_rows_per_second: u64,
    /// The largest file as it is sent, in bytes. Default 100 MB.
    pub compressed_bytes_max: u64,
    /// The largest file unpacked, in bytes. Default 1 GB.
    pub raw_bytes_max: u64,
    /// What the names of groups contain, where not a suite of the file. Default none.
    pub company: String,
    /// How long a token is good, in seconds. Default a day less one second, as Adobe's.
    pub token_seconds: u64,
    /// After how many uploads all tokens are good no more, once; 0 is never.
    pub forget_tokens_after: u64,
    /// The seed of all draws.
    pub seed: u64,
    /// Percent of uploads that are counted, and then reset before the reply.
    pub lose_answer: f64,
    /// Percent of uploads that are reset, with nothing counted.
    pub break_before: f64,
    /// Percent of uploads that are answered with 429 and Retry-After, nothing counted.
    pub busy: f64,
    /// Percent of uploads that are answered with 500, nothing counted.
    pub server_error: f64,
    /// Percent of uploads that are answered with 500, though they are counted.
    pub server_error_after: f64,
    /// Percent of uploads that are answered with 413, nothing counted.
    pub too_large: f64,
    /// Percent of uploads that are REJECTED, nothing counted.
    pub reject: f64,
    /// How many of 100,000 rows are declared invalid, whatever they say: always the same ones of one seed.
    pub invalid_rows_per_100000: u32,
    /// Whether the processing log names every invalid row, not only the first ten of a kind.
    pub name_all_invalid: bool,
    /// By how many rows an answer falls short of those that were in the file.
    pub rows_untold: u64,
    /// How long after its receipt the look-up does not see a key yet.
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
            lose_answer: 0.0,
            break_before: 0.0,
            busy: 0.0,
            server_error: 0.0,
            server_error_after: 0.0,
            too_large: 0.0,
            reject: 0.0,
            invalid_rows_per_100000: 0,
            name_all_invalid: false,
            rows_untold: 0,
            lookup_blind_ms: 0,
        }
    }
}

/// What goes wrong with an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BulkFault {
    LoseAnswer,
    BreakBefore,
    Busy,
    ServerError,
    ServerErrorAfter,
    TooLarge,
    Reject,
}

impl BulkSettings {
    /// The fault of an upload, if any, by a number from 0 up to 100: the shares lie one after the other.
    pub(super) fn fault(&self, percent: f64) -> Option<BulkFault> {
        let shares = [
            (BulkFault::LoseAnswer, self.lose_answer),
            (BulkFault::BreakBefore, self.break_before),
            (BulkFault::Busy, self.busy),
            (BulkFault::ServerError, self.server_error),
            (BulkFault::ServerErrorAfter, self.server_error_after),
            (BulkFault::TooLarge, self.too_large),
            (BulkFault::Reject, self.reject),
        ];
        let mut end = 0.0;
        shares.into_iter().find_map(|(fault, share)| {
            end += share;
            (percent < end).then_some(fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_one_after_the_other() {
        let settings = BulkSettings { lose_answer: 10.0, busy: 5.0, reject: 0.5, ..BulkSettings::default() };
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
        let expected = BulkSettings { call_spacing_ms: 10, lose_answer: 5.0, ..BulkSettings::default() };
        assert_eq!(settings, expected);
        assert!(serde_json::from_str::<BulkSettings>(r#"{"lose_answers":5}"#).is_err());
    }
}
