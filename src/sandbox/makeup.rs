//! How Analytics has a suite set: as the integration needs it, but for what it was told to have wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::syntax::{SyntaxError, name_and_value};
use crate::event::{EventKind, Property};
use crate::suite::Rsid;

/// How wrong settings are written.
pub const WRONG_SYNTAX: &str = "\
A wrong setting is one of
  missing                     there is no such suite: its hits are answered and forgotten
  invisible                   the credential's product profile does not have the suite
  virtual=RSID                it is a virtual suite, a view of that one, and collects nothing
  timezone=ZONE               its time zone; right is US/Pacific
  timestamps=SETTING          optional (right), required, not_allowed
  single_byte                 no multi-byte character support: UTF-8 is read as ISO-8859-1
  bot=TEXT                    a bot rule: hits whose user agent contains it are in no report
  ip=PREFIX                   an exclusion: hits whose IP address begins so are in no report
  eventN=disabled|forbidden   the event is not enabled, or the product profile does not have it
  eventN.name=TEXT
  eventN.type=TYPE            counter (right), numeric, currency
  eventN.recording=RECORDING  use_event_id (right), always_record, once_per_visit
  evarN=disabled|forbidden
  evarN.name=TEXT
  evarN.type=TYPE             text (right), counter
  evarN.allocation=ALLOCATION most_recent_last (right), original_value_first, linear
  evarN.expiration=EXPIRATION page_view (right, also called Hit), visit, minute, hour, day, week, month, quarter, year,
                              never, purchase
  evarN.merchandising=SYNTAX  product, conversion_variable: values bind to products, of which hits have none
event* and evar* stand for all of them. Hits keep what the settings were when they came; a time zone holds for all.";

/// A setting of a suite that is not as the integration needs it: its text is as [`WRONG_SYNTAX`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrongSetting(String);

impl FromStr for WrongSetting {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<WrongSetting, SyntaxError> {
        let refuse = |why| SyntaxError { what: "wrong setting", text: text.to_owned(), why };
        Makeup::right().spoil(text).map(|()| WrongSetting(text.to_owned())).map_err(refuse)
    }
}

impl TryFrom<String> for WrongSetting {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<WrongSetting, SyntaxError> {
        text.parse()
    }
}

impl From<WrongSetting> for String {
    fn from(setting: WrongSetting) -> String {
        setting.0
    }
}

/// Enums whose words in the syntax and in the API are their names in snake case, with what the admin pages call them. The first is
/// the right one.
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
    /// What a suite does with timestamps (Adobe Analytics guide, "Timestamps optional"): hits without one where it is required, and
    /// with one where it is not allowed, are dropped though they are answered with SUCCESS.
    pub TimestampSetting { Optional = "Optional", Required = "Required", NotAllowed = "Not Allowed", }
    /// What a suite does with event IDs (Adobe Analytics guide, "Event serialization"): each counts once per event, or every hit
    /// counts, or, which only reports follow, an event counts once a visit.
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
    /// Whether a hit is dropped that carries a timestamp, or none.
    pub(super) fn drops(self, is_timestamped: bool) -> bool {
        match self {
            TimestampSetting::Optional => false,
            TimestampSetting::Required => !is_timestamped,
            TimestampSetting::NotAllowed => is_timestamped,
        }
    }
}

/// What a credential can see of an event or an eVar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Access {
    #[default]
    Open,
    Disabled,
    Forbidden,
}

#[derive(Debug, Clone, Default)]
pub(super) struct EventMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) kind: EventType,
    /// `None`: as the suite's own settings have it for all events alike.
    pub(super) recording: Option<EventRecording>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct EvarMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) kind: EvarType,
    pub(super) allocation: Allocation,
    pub(super) expiration: Expiration,
    pub(super) merchandising: Merchandising,
}

/// All settings of a suite that wrong ones can change.
#[derive(Debug, Clone)]
pub(super) struct Makeup {
    pub(super) is_missing: bool,
    /// Whether the credential may not see it.
    pub(super) is_invisible: bool,
    /// The suite that it is a view of.
    pub(super) parent: Option<Rsid>,
    pub(super) timezone: Tz,
    /// `None`: as the suite's own settings have it.
    pub(super) timestamps: Option<TimestampSetting>,
    pub(super) is_multi_byte: bool,
    /// In lower case: hits whose user agent contains one are in no report.
    pub(super) bots: Vec<String>,
    /// Hits whose IP address begins with one are in no report.
    pub(super) excluded_addresses: Vec<String>,
    pub(super) events: BTreeMap<u16, EventMakeup>,
    pub(super) evars: BTreeMap<u16, EvarMakeup>,
}

impl Makeup {
    /// That of a suite that is set as the integration needs it.
    fn right() -> Makeup {
        let event = |kind: EventKind| {
            let makeup = EventMakeup { name: kind.label().to_owned(), ..EventMakeup::default() };
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
            timestamps: None,
            is_multi_byte: true,
            bots: Vec::new(),
            excluded_addresses: Vec::new(),
            events: EventKind::ALL.into_iter().map(event).collect(),
            evars: Property::reported().iter().filter_map(evar).collect(),
        }
    }

    /// The same, with all this wrong.
    pub(super) fn of(wrong: &[WrongSetting]) -> Makeup {
        let mut makeup = Makeup::right();
        for WrongSetting(text) in wrong {
            makeup.spoil(text).expect("a wrong setting is read once before it is one");
        }
        makeup
    }

    /// Sets what a text says, or says why it cannot.
    fn spoil(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = name_and_value(text);
        let (subject, part) = name.split_once('.').unwrap_or((name, ""));
        let subject = subject.to_ascii_lowercase();
        if let Some(number) = subject.strip_prefix("event") {
            return meant(&mut self.events, number)?
                .try_for_each(|event| event.spoil(part, value.unwrap_or("")));
        }
        if let Some(number) = subject.strip_prefix("evar") {
            return meant(&mut self.evars, number)?
                .try_for_each(|evar| evar.spoil(part, value.unwrap_or("")));
        }
        match (name, value) {
            ("missing", None) => self.is_missing = true,
            ("invisible", None) => self.is_invisible = true,
            ("single_byte", None) => self.is_multi_byte = false,
            ("virtual", Some(rsid)) => self.parent = Some(rsid.parse().map_err(|error| format!("{error}"))?),
            ("timezone", Some(zone)) => {
                self.timezone = zone.parse().map_err(|_| "it names no IANA time zone")?;
            }
            ("timestamps", Some(word)) => self.timestamps = Some(word_of(word)?),
            ("bot", Some(text)) if !text.is_empty() => self.bots.push(text.to_lowercase()),
            ("ip", Some(text)) if !text.is_empty() => self.excluded_addresses.push(text.to_owned()),
            _ => return Err("see passbridge sandbox --help".to_owned()),
        }
        Ok(())
    }

    /// What a credential can see of an event; none beyond the integration's is enabled.
    pub(super) fn event_access(&self, number: u16) -> Access {
        self.events.get(&number).map_or(Access::Disabled, |event| event.access)
    }

    /// The same of an eVar.
    pub(super) fn evar_access(&self, number: u16) -> Access {
        self.evars.get(&number).map_or(Access::Disabled, |evar| evar.access)
    }

    /// Whether hits are collected at all.
    pub(super) fn collects(&self) -> bool {
        !self.is_missing && self.parent.is_none()
    }
}

/// The event or eVar of this number, or all of them.
fn meant<'m, T>(
    all: &'m mut BTreeMap<u16, T>,
    number: &str,
) -> Result<impl Iterator<Item = &'m mut T>, String> {
    let last = all.keys().next_back().copied().unwrap_or(0);
    let only: Option<u16> = number.parse().ok();
    if number != "*" && only.is_none_or(|number| !all.contains_key(&number)) {
        return Err(format!("numbers go from 1 to {last}, and * stands for all"));
    }
    Ok(all.iter_mut().filter(move |(own, _)| only.is_none_or(|only| only == **own)).map(|(_, value)| value))
}

impl EventMakeup {
    fn spoil(&mut self, part: &str, value: &str) -> Result<(), String> {
        match (part, value) {
            ("", "disabled") => self.access = Access::Disabled,
            ("", "forbidden") => self.access = Access::Forbidden,
            ("name", name) => name.clone_into(&mut self.name),
            ("type", word) => self.kind = word_of(word)?,
            ("recording", word) => self.recording = Some(word_of(word)?),
            _ => return Err("an event has name, type and recording, or is disabled or forbidden".to_owned()),
        }
        Ok(())
    }
}

impl EvarMakeup {
    fn spoil(&mut self, part: &str, value: &str) -> Result<(), String> {
        match (part, value) {
            ("", "disabled") => self.access = Access::Disabled,
            ("", "forbidden") => self.access = Access::Forbidden,
            ("name", name) => name.clone_into(&mut self.name),
            ("type", word) => self.kind = word_of(word)?,
            ("allocation", word) => self.allocation = word_of(word)?,
            ("expiration", word) => self.expiration = word_of(word)?,
            ("merchandising", word) => self.merchandising = word_of(word)?,
            _ => {
                let parts = "name, type, allocation, expiration and merchandising";
                return Err(format!("an eVar has {parts}, or is disabled or forbidden"));
            }
        }
        Ok(())
    }
}

fn word_of<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(word.into()).map_err(|error| error.to_string())
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
            assert_eq!(text.parse::<WrongSetting>().map(String::from), Ok(text.to_owned()));
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
        let makeup = Makeup::of(&wrong.map(|text| text.parse().expect("a wrong setting")));
        assert_eq!(makeup.evars[&34].expiration, Expiration::Visit);
        assert_eq!(makeup.evars[&3].expiration, Expiration::Never);
        assert!(makeup.events.values().all(|event| event.kind == EventType::Numeric));
        assert_eq!((makeup.evar_access(34), makeup.evar_access(35)), (Access::Open, Access::Disabled));
    }
}
