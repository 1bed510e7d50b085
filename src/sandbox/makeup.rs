//! The settings of a suite in the sandbox: what the integration needs, with the wrong settings that a user asks for.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::syntax::{SyntaxError, name_and_value};
use crate::event::{EventKind, Property};
use crate::suite::Rsid;

/// The syntax of wrong settings, as `--help` shows it.
pub const WRONG_SYNTAX: &str = include_str!("wrong_settings.txt").trim_ascii_end();

/// A setting of a suite that is not what the integration needs, written in [`WRONG_SYNTAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct WrongSetting(String);

impl FromStr for WrongSetting {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<WrongSetting, SyntaxError> {
        let refuse = |why| SyntaxError { what: "wrong setting", text: text.to_owned(), why };
        Makeup::default().spoil(text).map(|()| WrongSetting(text.to_owned())).map_err(refuse)
    }
}

impl TryFrom<String> for WrongSetting {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<WrongSetting, SyntaxError> {
        text.parse()
    }
}

/// Enums of settings. In the syntax and in the API, a value is written as its name in snake case; the admin pages
/// show its label. The first value is the right one.
macro_rules! settings {
    ($($(#[$doc:meta])* $visibility:vis $name:ident { $right:ident = $right_label:literal, $($variant:ident = $label:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        $visibility enum $name {
            #[default]
            $right,
            $($variant,)*
        }

        impl $name {
            pub(super) fn label(self) -> &'static str {
                match self { $name::$right => $right_label, $($name::$variant => $label,)* }
            }
        }
    )*};
}

settings! {
    /// What a suite does with timestamps (Adobe Analytics guide, "Timestamps optional"). A hit that lacks a required
    /// timestamp, or has one that is not allowed, is answered with SUCCESS and dropped.
    pub TimestampSetting { Optional = "Optional", Required = "Required", NotAllowed = "Not Allowed", }
    /// What a suite does with event IDs (Adobe Analytics guide, "Event serialization"). The summary counts
    /// `OncePerVisit` like `UseEventId`.
    pub EventRecording {
        UseEventId = "Use Event ID", AlwaysRecord = "Always Record Event", OncePerVisit = "Record Once Per Visit",
    }
    pub(super) EventType { Counter = "Counter", Numeric = "Numeric", Currency = "Currency", }
    pub(super) EvarType { Text = "Text String", Counter = "Counter", }
    pub(super) Allocation {
        MostRecentLast = "Most Recent (Last)", OriginalValueFirst = "Original Value (First)", Linear = "Linear",
    }
    pub(super) Expiration {
        PageView = "Hit", Visit = "Visit", Minute = "Minute", Hour = "Hour", Day = "Day", Week = "Week", Month = "Month",
        Quarter = "Quarter", Year = "Year", Never = "Never", Purchase = "Purchase",
    }
    /// How the values of an eVar bind to products.
    pub(super) Merchandising {
        Disabled = "Disabled", Product = "Product Syntax", ConversionVariable = "Conversion Variable Syntax",
    }
}

impl TimestampSetting {
    /// Whether a hit is dropped, depending on whether it has a timestamp.
    pub(super) fn drops(self, is_timestamped: bool) -> bool {
        match self {
            TimestampSetting::Optional => false,
            TimestampSetting::Required => !is_timestamped,
            TimestampSetting::NotAllowed => is_timestamped,
        }
    }
}

/// Whether the client is expected to send event IDs to a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedIds {
    #[default]
    Either,
    /// A hit without an event ID is a violation.
    Always,
    /// A hit with an event ID is a violation.
    Never,
}

/// The settings of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuiteSettings {
    pub timestamps: TimestampSetting,
    /// Unique event recording, the same for all events. Default `UseEventId`.
    pub recording: EventRecording,
    pub expected_ids: ExpectedIds,
}

/// What a credential can see of an event or an eVar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Access {
    #[default]
    Open,
    Disabled,
    Forbidden,
}

/// The settings of an event. A wrong setting names a field by its name in JSON, such as `type` for `kind`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    #[serde(rename = "type")]
    pub(super) kind: EventType,
    pub(super) recording: EventRecording,
}

/// The settings of an eVar. A wrong setting names a field by its name in JSON, such as `type` for `kind`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvarMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    #[serde(rename = "type")]
    pub(super) kind: EvarType,
    pub(super) allocation: Allocation,
    pub(super) expiration: Expiration,
    pub(super) merchandising: Merchandising,
}

/// All settings of a suite that a wrong setting can change.
#[derive(Debug, Clone)]
pub(super) struct Makeup {
    pub(super) is_missing: bool,
    pub(super) is_invisible: bool,
    pub(super) parent: Option<Rsid>,
    pub(super) timezone: Tz,
    pub(super) timestamps: TimestampSetting,
    pub(super) is_multi_byte: bool,
    /// Texts in lower case. Hits whose user agent contains one are in no report.
    pub(super) bots: Vec<String>,
    /// Beginnings of IP addresses. Hits from such an address are in no report.
    pub(super) excluded_addresses: Vec<String>,
    pub(super) events: BTreeMap<u16, EventMakeup>,
    pub(super) evars: BTreeMap<u16, EvarMakeup>,
}

/// The settings that the integration needs.
impl Default for Makeup {
    fn default() -> Makeup {
        Makeup::right(&SuiteSettings::default())
    }
}

impl Makeup {
    /// The settings that the integration needs, with the suite's own `settings`.
    fn right(settings: &SuiteSettings) -> Makeup {
        let event = |kind: EventKind| {
            let recording = settings.recording;
            let makeup = EventMakeup { name: kind.label().to_owned(), recording, ..EventMakeup::default() };
            (u16::from(kind.slot()), makeup)
        };
        let evar = |property: &Property| {
            let makeup = EvarMakeup { name: property.label().to_owned(), ..EvarMakeup::default() };
            property.evar().map(|number| (u16::from(number), makeup))
        };
        Makeup {
            is_missing: false,
            is_invisible: false,
            parent: None,
            timezone: Tz::US__Pacific,
            timestamps: settings.timestamps,
            is_multi_byte: true,
            bots: Vec::new(),
            excluded_addresses: Vec::new(),
            events: EventKind::ALL.into_iter().map(event).collect(),
            evars: Property::reported().iter().filter_map(evar).collect(),
        }
    }

    /// The settings that the integration needs, changed by all these wrong settings.
    pub(super) fn of(settings: &SuiteSettings, wrong: &[WrongSetting]) -> Makeup {
        let mut makeup = Makeup::right(settings);
        for WrongSetting(text) in wrong {
            makeup.spoil(text).expect("a wrong setting is read once before it is one");
        }
        makeup
    }

    /// Applies the text of a wrong setting; an error says why the text cannot be applied.
    fn spoil(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = name_and_value(text);
        let (subject, part) = name.split_once('.').unwrap_or((name, ""));
        let subject = subject.to_ascii_lowercase();
        if let Some(number) = subject.strip_prefix("event") {
            return spoil_part(&mut self.events, number, part, value);
        }
        if let Some(number) = subject.strip_prefix("evar") {
            return spoil_part(&mut self.evars, number, part, value);
        }
        match (name, value) {
            ("missing", None) => self.is_missing = true,
            ("invisible", None) => self.is_invisible = true,
            ("single_byte", None) => self.is_multi_byte = false,
            ("virtual", Some(rsid)) => self.parent = Some(rsid.parse().map_err(|error| format!("{error}"))?),
            ("timezone", Some(zone)) => {
                self.timezone = zone.parse().map_err(|_| "it names no IANA time zone")?;
            }
            ("timestamps", Some(word)) => {
                self.timestamps = serde_json::from_value(word.into()).map_err(told)?
            }
            ("bot", Some(text)) if !text.is_empty() => self.bots.push(text.to_lowercase()),
            ("ip", Some(text)) if !text.is_empty() => self.excluded_addresses.push(text.to_owned()),
            _ => return Err("see passbridge sandbox --help".to_owned()),
        }
        Ok(())
    }

    /// What a credential can see of an event. Events beyond those of the integration are disabled.
    pub(super) fn event_access(&self, number: u16) -> Access {
        self.events.get(&number).map_or(Access::Disabled, |event| event.access)
    }

    pub(super) fn evar_access(&self, number: u16) -> Access {
        self.evars.get(&number).map_or(Access::Disabled, |evar| evar.access)
    }

    pub(super) fn collects(&self) -> bool {
        !self.is_missing && self.parent.is_none()
    }
}

/// Sets the field `part` of the event or eVar with this number (`*`: of all). An empty `part` means `access`.
fn spoil_part<T: Serialize + DeserializeOwned>(
    all: &mut BTreeMap<u16, T>,
    number: &str,
    part: &str,
    word: Option<&str>,
) -> Result<(), String> {
    let last = all.keys().next_back().copied().unwrap_or(0);
    let only: Option<u16> = number.parse().ok();
    if number != "*" && only.is_none_or(|number| !all.contains_key(&number)) {
        return Err(format!("numbers go from 1 to {last}, and * stands for all"));
    }
    let part = if part.is_empty() { "access" } else { part };
    for (_, one) in all.iter_mut().filter(|(own, _)| only.is_none_or(|only| only == **own)) {
        let mut parts = serde_json::to_value(&*one).map_err(told)?;
        parts[part] = word.unwrap_or("").into();
        *one = serde_json::from_value(parts).map_err(told)?;
    }
    Ok(())
}

fn told(error: serde_json::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read_as_it_is_written() {
        for text in [
            "missing",
            "invisible",
            "virtual=other.suite",
            "timezone=Europe/Berlin",
            "timestamps=not_allowed",
            "single_byte",
            "bot=curl/",
            "ip=10.0.",
            "event7=disabled",
            "event7=forbidden",
            "event7.name=Plays = starts",
            "event18.type=currency",
            "event*.recording=once_per_visit",
            "evar1=disabled",
            "evar34=forbidden",
            "evar2.name=",
            "evar2.type=counter",
            "evar2.allocation=original_value_first",
            "evar*.expiration=visit",
            "evar2.merchandising=product",
        ] {
            assert_eq!(text.parse::<WrongSetting>().map(|setting| setting.0), Ok(text.to_owned()));
        }
        for text in [
            "",
            "miss",
            "event0=disabled",
            "event19=disabled",
            "evar35=disabled",
            "event1",
            "event1.size=2",
            "evar1.type=list",
            "timezone=Mars",
            "bot=",
        ] {
            assert!(text.parse::<WrongSetting>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_is_all_of_them_and_a_later_setting_wins() {
        let wrong = ["evar*.expiration=visit", "evar3.expiration=never", "event*.type=numeric"];
        let wrong = wrong.map(|text| text.parse().expect("a wrong setting"));
        let makeup = Makeup::of(&SuiteSettings::default(), &wrong);
        assert_eq!(makeup.evars[&34].expiration, Expiration::Visit);
        assert_eq!(makeup.evars[&3].expiration, Expiration::Never);
        assert!(makeup.events.values().all(|event| event.kind == EventType::Numeric));
        assert_eq!((makeup.evar_access(34), makeup.evar_access(35)), (Access::Open, Access::Disabled));
    }
}
