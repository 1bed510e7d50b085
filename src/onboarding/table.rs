//! What the events and eVars of a suite must be set to, and where: the table that sheet, check and probe walk.

use super::reading;
use super::settings_file::Field;
use crate::analytics::EvarFacts;

/// Where events are set.
pub(super) const EVENTS_PAGE: &str = "Admin > Report Suites > Edit Settings > Conversion > Success Events";
/// Where eVars are set.
pub(super) const EVARS_PAGE: &str =
    "Admin > Report Suites > Edit Settings > Conversion > Conversion Variables";
/// What an event's Unique Event Recording must be.
pub(super) const USE_EVENT_ID: &str = "Use Event ID";

/// A setting that is the same for every eVar.
pub(super) struct EvarSetting {
    /// Its name on the admin page.
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
    /// The field of the settings file that says it.
    pub(super) field: Field,
    /// What the API says of it; empty where it says nothing.
    pub(super) in_api: fn(&EvarFacts) -> &str,
    pub(super) is_right: fn(&str) -> bool,
    /// What is wrong otherwise.
    pub(super) why: &'static str,
    /// Whether an eVar is known only once a source has shown it.
    pub(super) is_needed: bool,
}

/// Every setting of an eVar but its name.
pub(super) const EVAR_SETTINGS: [EvarSetting; 4] = [
    EvarSetting {
        name: "Type",
        expected: "Text String",
        field: Field::Kind,
        in_api: |facts| &facts.data_type,
        is_right: reading::is_text,
        why: "a counter keeps no text",
        is_needed: true,
    },
    EvarSetting {
        name: "Allocation",
        expected: "Most Recent (Last)",
        field: Field::Allocation,
        in_api: |facts| &facts.allocation,
        is_right: reading::is_most_recent,
        why: "as it is, an event is credited to an earlier value, or to several",
        is_needed: true,
    },
    EvarSetting {
        name: "Expire After",
        expected: "Hit",
        field: Field::Expiration,
        in_api: |facts| &facts.expiration,
        is_right: reading::expires_at_hit,
        why: "as it is, a value is credited with later events that have none of their own",
        is_needed: true,
    },
    EvarSetting {
        name: "Merchandising",
        expected: "off",
        field: Field::Merchandising,
        in_api: |facts| &facts.merchandising,
        is_right: reading::is_no_merchandising,
        why: "a merchandising eVar takes its value from products, which Pass events have none of",
        is_needed: false,
    },
];
