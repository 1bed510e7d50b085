//! The settings that the events and eVars of a suite need, and where to set them. Sheet, check and probe use them.

use super::reading::plain;
use super::settings_file::Field;
use crate::analytics::EvarFacts;

pub(super) const EVENTS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Success Events";
pub(super) const EVARS_PAGE: &str =
    "Admin > Report Suites > Edit Settings > Conversion > Conversion Variables";
pub(super) const USE_EVENT_ID: &str = "Use Event ID";

/// A setting that is the same for every eVar.
pub(super) struct EvarSetting {
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
    pub(super) field: Field,
    /// What the API says of the setting; empty if it says nothing.
    pub(super) in_api: fn(&EvarFacts) -> &str,
    /// Every wording of the expected value, as [`plain`] writes it.
    right: &'static [&'static str],
    pub(super) why: &'static str,
    /// Whether an eVar counts as shown only if a source shows this setting.
    pub(super) is_needed: bool,
}

impl EvarSetting {
    pub(super) fn is_right(&self, text: &str) -> bool {
        self.right.contains(&plain(text).as_str())
    }
}

/// The settings of an eVar besides its name and whether it is enabled.
pub(super) const EVAR_SETTINGS: [EvarSetting; 4] = [
    EvarSetting {
        name: "Type",
        expected: "Text String",
        field: Field::Kind,
        in_api: |facts| &facts.data_type,
        right: &["text", "string", "text string"],
        why: "a counter keeps no text",
        is_needed: true,
    },
    EvarSetting {
        name: "Allocation",
        expected: "Most Recent (Last)",
        field: Field::Allocation,
        in_api: |facts| &facts.allocation,
        right: &["most recent", "most recent last", "last", "last touch", "recent"],
        why: "as it is, an event is credited to an earlier value, or to several",
        is_needed: true,
    },
    EvarSetting {
        name: "Expire After",
        expected: "Hit",
        field: Field::Expiration,
        in_api: |facts| &facts.expiration,
        // Adobe's interfaces have no word for Hit. They say page view.
        right: &["hit", "page view", "pageview", "page", "hit level", "page view or hit"],
        why: "as it is, a value is credited with later events that have none of their own",
        is_needed: true,
    },
    EvarSetting {
        name: "Merchandising",
        expected: "off",
        field: Field::Merchandising,
        in_api: |facts| &facts.merchandising,
        right: &["", "none", "disabled", "off", "no", "false", "0"],
        why: "a merchandising eVar takes its value from products, which Pass events have none of",
        is_needed: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_an_evar_is_right_in_every_wording_that_is_known() {
        let [kind, allocation, expiration, merchandising] = EVAR_SETTINGS;
        assert!(kind.is_right("Text String") && kind.is_right("STRING") && !kind.is_right("Counter"));
        assert!(allocation.is_right("Most Recent (Last)") && allocation.is_right("most_recent_last"));
        assert!(!allocation.is_right("Original Value (First)") && !allocation.is_right("linear"));
        assert!(expiration.is_right("Hit") && expiration.is_right("page_view"));
        assert!(!expiration.is_right("Visit"));
        assert!(merchandising.is_right("Disabled") && !merchandising.is_right("product"));
    }
}
