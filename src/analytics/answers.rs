//! Adobe's answers about suites, eVars and events. Unknown members are ignored.

use serde::{Deserialize, Serialize};

use crate::suite::Rsid;
use crate::web::{self, ApiError, Endpoint};

/// The most characters of a name that are kept; Adobe's own names are shorter.
const NAME_CHARS_MAX: usize = 200;

/// The settings of a report suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteFacts {
    pub name: String,
    /// The parent suite, for a virtual report suite only. A virtual suite collects no hits.
    pub parent: Option<Rsid>,
    /// The IANA name of its time zone in Adobe's spelling, which may be an older alias such as `US/Pacific`.
    pub timezone: String,
}

/// The settings of an eVar. Enumerations are in lower case; an absent setting is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvarFacts {
    pub name: String,
    /// `text` or `counter`.
    pub data_type: String,
    /// The allocation, such as `most_recent_last`.
    pub allocation: String,
    /// The expiration, such as `page_view`, which the admin pages also call Hit.
    pub expiration: String,
    /// How values bind to products if merchandising is on: `product`, `conversion_variable`, or an allocation that
    /// only merchandising eVars have.
    pub merchandising: String,
}

/// The settings of a success event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFacts {
    pub name: String,
    /// `int`, `decimal` or `currency`, in lower case.
    pub kind: String,
    /// The number of decimals; `None` if Adobe does not name it.
    pub precision: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery {
    #[serde(default)]
    ims_orgs: Vec<Organisation>,
}

#[derive(Deserialize)]
struct Organisation {
    #[serde(default)]
    companies: Vec<Company>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Company {
    global_company_id: String,
}

/// A name that is safe to show to people.
fn named(name: Option<String>) -> String {
    web::words(&name.unwrap_or_default(), NAME_CHARS_MAX)
}

impl Discovery {
    pub(super) fn companies(self) -> impl Iterator<Item = String> {
        let companies = self.ims_orgs.into_iter().flat_map(|organisation| organisation.companies);
        companies.map(|company| named(Some(company.global_company_id)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Suite {
    rsid: Option<String>,
    id: Option<String>,
    name: Option<String>,
    parent_rsid: Option<String>,
    timezone_zoneinfo: Option<String>,
}

impl Suite {
    /// Tells if this is the suite `rsid`. Case is ignored, because Adobe writes suite IDs in lower case.
    pub(super) fn is(&self, rsid: &Rsid) -> bool {
        let own = self.rsid.as_ref().or(self.id.as_ref());
        own.is_some_and(|own| own.eq_ignore_ascii_case(rsid.as_str()))
    }

    pub(super) fn facts(self, endpoint: &Endpoint) -> Result<SuiteFacts, ApiError> {
        // Some answers name a suite as its own parent.
        let parent =
            self.parent_rsid.filter(|parent| !parent.is_empty() && Some(parent) != self.rsid.as_ref());
        let parent = parent.map(|parent| parent.parse()).transpose();
        let parent = parent.map_err(|_| endpoint.unreadable("its parentRsid is no report suite ID"))?;
        Ok(SuiteFacts { name: named(self.name), parent, timezone: named(self.timezone_zoneinfo) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dimension {
    id: String,
    name: Option<String>,
    data_type: Option<String>,
    allocation_type: Option<String>,
    expiration_type: Option<String>,
    merchandising_syntax: Option<String>,
}

impl Dimension {
    /// The number and the settings of an eVar (`variables/evar1`); `None` for all others, such as classifications.
    pub(super) fn evar(self) -> Option<(u16, EvarFacts)> {
        let number = numbered(&self.id, "variables/", "evar")?;
        let lower = |text| named(text).to_ascii_lowercase();
        let allocation = lower(self.allocation_type);
        let mut merchandising = lower(self.merchandising_syntax);
        if merchandising.is_empty() && allocation.starts_with("merchandising") {
            merchandising = allocation.clone();
        }
        let facts = EvarFacts {
            name: named(self.name),
            data_type: lower(self.data_type),
            allocation,
            expiration: lower(self.expiration_type),
            merchandising,
        };
        Some((number, facts))
    }
}

#[derive(Deserialize)]
pub(super) struct Metric {
    id: String,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    precision: Option<u32>,
}

impl Metric {
    /// The number and the settings of a success event (`metrics/event1`); `None` for other metrics.
    pub(super) fn event(self) -> Option<(u16, EventFacts)> {
        let number = numbered(&self.id, "metrics/", "event")?;
        let facts = EventFacts {
            name: named(self.name),
            kind: named(self.kind).to_ascii_lowercase(),
            precision: self.precision,
        };
        Some((number, facts))
    }
}

/// The number of `variables/evar12`, or of `evar12`.
fn numbered(id: &str, folder: &str, family: &str) -> Option<u16> {
    let digits = id.strip_prefix(folder).unwrap_or(id).strip_prefix(family)?;
    let is_number = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_evars_and_events_themselves() {
        let evar = |id| numbered(id, "variables/", "evar");
        assert_eq!((evar("variables/evar1"), evar("evar250")), (Some(1), Some(250)));
        for id in [
            "variables/evar1.campaign",
            "variables/evar",
            "variables/evar01",
            "variables/prop1",
            "variables/evar+1",
        ] {
            assert_eq!(evar(id), None, "{id}");
        }
        assert_eq!(numbered("metrics/event18", "metrics/", "event"), Some(18));
        assert_eq!(numbered("metrics/evar1instances", "metrics/", "event"), None);
    }

    #[test]
    fn enumerations_are_compared_in_lower_case_and_unknown_members_ignored() {
        let text = r#"{"id":"variables/evar2","name":"MVPD","type":"STRING","dataType":"TEXT","allocationType":"MERCHANDISING_LAST",
            "expirationType":"Page_View","merchandisingSyntax":null,"new":{"a":[1]}}"#;
        let dimension: Dimension = serde_json::from_str(text).expect("a dimension");
        let (number, facts) = dimension.evar().expect("an eVar");
        let expected = EvarFacts {
            name: "MVPD".to_owned(),
            data_type: "text".to_owned(),
            allocation: "merchandising_last".to_owned(),
            expiration: "page_view".to_owned(),
            merchandising: "merchandising_last".to_owned(),
        };
        assert_eq!((number, facts), (2, expected));
    }

    #[test]
    fn what_adobe_says_of_a_suite_is_short_and_harmless() {
        let zone = format!("US/Pacific\u{1b}[2J{}", "x".repeat(5_000));
        let suite = serde_json::json!({ "rsid": "a", "timezoneZoneinfo": zone, "name": "U\u{202e}SD" });
        let url = reqwest::Url::parse("https://analytics.example/").expect("a URL");
        let suite: Suite = serde_json::from_value(suite).expect("a suite");
        let facts = suite.facts(&Endpoint::new("the report suite", "analytics.url", &url)).expect("facts");
        assert_eq!((facts.timezone.chars().count(), facts.name.as_str()), (NAME_CHARS_MAX, "U\u{FFFD}SD"));
        assert!(facts.timezone.starts_with("US/Pacific\u{FFFD}[2J"), "{}", facts.timezone);
    }
}
