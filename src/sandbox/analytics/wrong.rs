//! How a suite is set: right, but for what it was told to have wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::suites::TimestampSetting;
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

/// A setting of a suite that is not as the integration needs it. Its text is as [`WRONG_SYNTAX`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WrongSetting {
    /// There is no such suite.
    Missing,
    /// The credential may not see it.
    Invisible,
    /// It is a view of another suite.
    VirtualOf(Rsid),
    TimeZone(Tz),
    Timestamps(TimestampSetting),
    /// Values are read as ISO-8859-1.
    SingleByte,
    /// Hits whose user agent contains this are in no report.
    Bot(String),
    /// Hits whose IP address begins so are in no report.
    ExcludedAddress(String),
    /// Of an event: its number, 0 for all.
    Event(u16, WrongEvent),
    /// Of an eVar: its number, 0 for all.
    Evar(u16, WrongEvar),
}

/// What may be wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongEvent {
    /// It is not enabled.
    Disabled,
    /// The credential may not see it.
    Forbidden,
    Name(String),
    Type(EventType),
    Recording(Recording),
}

/// What may be wrong with an eVar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongEvar {
    /// It is not enabled.
    Disabled,
    /// The credential may not see it.
    Forbidden,
    Name(String),
    Type(EvarType),
    Allocation(Allocation),
    /// When its values expire.
    Expiration(Expiration),
    /// How its values bind to products.
    Merchandising(Merchandising),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal, $label:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`, ", $label, " in the admin pages.")] $variant,)*
        }

        impl $name {
            /// The word of the syntax and, where it has one, of the API.
            pub(super) fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// What the admin pages call it.
            pub(super) fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)* }
            }
        }
    };
}

words! {
    /// The type of an event.
    EventType { Counter = "counter", "Counter"; Numeric = "numeric", "Numeric"; Currency = "currency", "Currency"; }
}
words! {
    Recording {
        UseEventId = "use_event_id", "Use Event ID";
        AlwaysRecord = "always_record", "Always Record Event";
        OncePerVisit = "once_per_visit", "Record Once Per Visit";
    }
}
words! {
    /// The type of an eVar.
    EvarType { Text = "text", "Text String"; Counter = "counter", "Counter"; }
}
words! {
    /// The allocation of an eVar.
    Allocation {
        MostRecentLast = "most_recent_last", "Most Recent (Last)";
        OriginalValueFirst = "original_value_first", "Original Value (First)";
        Linear = "linear", "Linear";
    }
}
words! {
    /// When the value of an eVar expires.
    Expiration {
        PageView = "page_view", "Hit";
        Visit = "visit", "Visit";
        Minute = "minute", "Minute";
        Hour = "hour", "Hour";
        Day = "day", "Day";
        Week = "week", "Week";
        Month = "month", "Month";
        Quarter = "quarter", "Quarter";
        Year = "year", "Year";
        Never = "never", "Never";
        Purchase = "purchase", "Purchase";
    }
}
words! {
    /// How the values of an eVar bind to products.
    Merchandising {
        Product = "product", "Product Syntax";
        ConversionVariable = "conversion_variable", "Conversion Variable Syntax";
    }
}

/// Why a text is no wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no wrong setting: {why}")]
pub struct WrongError {
    text: String,
    why: String,
}

impl FromStr for WrongSetting {
    type Err = WrongError;

    fn from_str(text: &str) -> Result<WrongSetting, WrongError> {
        let refuse = |why: String| WrongError { text: text.to_owned(), why };
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let (subject, part) = key.split_once('.').unwrap_or((key, ""));
        let lower = subject.to_ascii_lowercase();
        let setting = if let Some(number) = lower.strip_prefix("event") {
            Some(WrongSetting::Event(
                number_of(number, 18).map_err(refuse)?,
                event(part, value).map_err(refuse)?,
            ))
        } else if let Some(number) = lower.strip_prefix("evar") {
            Some(WrongSetting::Evar(
                number_of(number, 34).map_err(refuse)?,
                evar(part, value).map_err(refuse)?,
            ))
        } else {
            match (key, value) {
                ("missing", "") => Some(WrongSetting::Missing),
                ("invisible", "") => Some(WrongSetting::Invisible),
                ("single_byte", "") => Some(WrongSetting::SingleByte),
                ("virtual", rsid) => {
                    let parent = rsid.parse::<Rsid>().map_err(|error| refuse(error.to_string()))?;
                    Some(WrongSetting::VirtualOf(parent))
                }
                ("timezone", zone) => {
                    let zone = zone.parse().map_err(|_| refuse("it names no IANA time zone".to_owned()))?;
                    Some(WrongSetting::TimeZone(zone))
                }
                ("timestamps", word) => Some(WrongSetting::Timestamps(word_of(word).map_err(refuse)?)),
                ("bot", text) if !text.is_empty() => Some(WrongSetting::Bot(text.to_owned())),
                ("ip", text) if !text.is_empty() => Some(WrongSetting::ExcludedAddress(text.to_owned())),
                _ => None,
            }
        };
        setting.ok_or_else(|| refuse("see passbridge sandbox --help".to_owned()))
    }
}

fn number_of(text: &str, last: u16) -> Result<u16, String> {
    let number =
        if text == "*" { Some(0) } else { text.parse().ok().filter(|number| (1..=last).contains(number)) };
    number.ok_or_else(|| format!("numbers go from 1 to {last}, and * stands for all"))
}

fn event(part: &str, value: &str) -> Result<WrongEvent, String> {
    match (part, value) {
        ("", "disabled") => Ok(WrongEvent::Disabled),
        ("", "forbidden") => Ok(WrongEvent::Forbidden),
        ("name", name) => Ok(WrongEvent::Name(name.to_owned())),
        ("type", word) => word_of(word).map(WrongEvent::Type),
        ("recording", word) => word_of(word).map(WrongEvent::Recording),
        _ => Err("an event has name, type and recording, or is disabled or forbidden".to_owned()),
    }
}

fn evar(part: &str, value: &str) -> Result<WrongEvar, String> {
    match (part, value) {
        ("", "disabled") => Ok(WrongEvar::Disabled),
        ("", "forbidden") => Ok(WrongEvar::Forbidden),
        ("name", name) => Ok(WrongEvar::Name(name.to_owned())),
        ("type", word) => word_of(word).map(WrongEvar::Type),
        ("allocation", word) => word_of(word).map(WrongEvar::Allocation),
        ("expiration", word) => word_of(word).map(WrongEvar::Expiration),
        ("merchandising", word) => word_of(word).map(WrongEvar::Merchandising),
        _ => Err(
            "an eVar has name, type, allocation, expiration and merchandising, or is disabled or forbidden"
                .to_owned(),
        ),
    }
}

fn word_of<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(word.into()).map_err(|error| error.to_string())
}

impl fmt::Display for WrongSetting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = |number: u16| if number == 0 { "*".to_owned() } else { number.to_string() };
        match self {
            WrongSetting::Missing => out.write_str("missing"),
            WrongSetting::Invisible => out.write_str("invisible"),
            WrongSetting::VirtualOf(parent) => write!(out, "virtual={}", parent.as_str()),
            WrongSetting::TimeZone(zone) => write!(out, "timezone={}", zone.name()),
            WrongSetting::Timestamps(setting) => write!(out, "timestamps={}", setting.word()),
            WrongSetting::SingleByte => out.write_str("single_byte"),
            WrongSetting::Bot(text) => write!(out, "bot={text}"),
            WrongSetting::ExcludedAddress(text) => write!(out, "ip={text}"),
            WrongSetting::Event(number, wrong) => {
                write!(out, "event{}", star(*number))?;
                match wrong {
                    WrongEvent::Disabled => out.write_str("=disabled"),
                    WrongEvent::Forbidden => out.write_str("=forbidden"),
                    WrongEvent::Name(name) => write!(out, ".name={name}"),
                    WrongEvent::Type(kind) => write!(out, ".type={}", kind.word()),
                    WrongEvent::Recording(recording) => write!(out, ".recording={}", recording.word()),
                }
            }
            WrongSetting::Evar(number, wrong) => {
                write!(out, "evar{}", star(*number))?;
                match wrong {
                    WrongEvar::Disabled => out.write_str("=disabled"),
                    WrongEvar::Forbidden => out.write_str("=forbidden"),
                    WrongEvar::Name(name) => write!(out, ".name={name}"),
                    WrongEvar::Type(kind) => write!(out, ".type={}", kind.word()),
                    WrongEvar::Allocation(allocation) => write!(out, ".allocation={}", allocation.word()),
                    WrongEvar::Expiration(expiration) => write!(out, ".expiration={}", expiration.word()),
                    WrongEvar::Merchandising(syntax) => write!(out, ".merchandising={}", syntax.word()),
                }
            }
        }
    }
}

impl TryFrom<String> for WrongSetting {
    type Error = WrongError;

    fn try_from(text: String) -> Result<WrongSetting, WrongError> {
        text.parse()
    }
}

impl From<WrongSetting> for String {
    fn from(setting: WrongSetting) -> String {
        setting.to_string()
    }
}

/// What a credential can see of an event or an eVar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    Disabled,
    Forbidden,
}

#[derive(Debug, Clone)]
pub(super) struct EventMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) kind: EventType,
    /// `None`: as the suite's own settings have it for all events alike.
    pub(super) recording: Option<Recording>,
}

#[derive(Debug, Clone)]
pub(super) struct EvarMakeup {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) kind: EvarType,
    pub(super) allocation: Allocation,
    pub(super) expiration: Expiration,
    pub(super) merchandising: Option<Merchandising>,
}

/// All settings of a suite.
#[derive(Debug, Clone)]
pub(super) struct Makeup {
    pub(super) is_missing: bool,
    pub(super) is_invisible: bool,
    pub(super) parent: Option<Rsid>,
    pub(super) timezone: Tz,
    pub(super) timestamps: Option<TimestampSetting>,
    pub(super) is_multi_byte: bool,
    pub(super) bots: Vec<String>,
    pub(super) excluded_addresses: Vec<String>,
    pub(super) events: BTreeMap<u16, EventMakeup>,
    pub(super) evars: BTreeMap<u16, EvarMakeup>,
}

impl Makeup {
    /// That of a suite that is set as the integration needs it.
    fn right() -> Makeup {
        let event = |kind: EventKind| {
            let name = kind.label().to_owned();
            let makeup =
                EventMakeup { name, access: Access::Open, kind: EventType::Counter, recording: None };
            (u16::from(kind.slot()), makeup)
        };
        let evar = |property: &Property| {
            let makeup = EvarMakeup {
                name: property.label().to_owned(),
                access: Access::Open,
                kind: EvarType::Text,
                allocation: Allocation::MostRecentLast,
                expiration: Expiration::PageView,
                merchandising: None,
            };
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
        wrong.iter().for_each(|wrong| makeup.spoil(wrong));
        makeup
    }

    fn spoil(&mut self, wrong: &WrongSetting) {
        match wrong {
            WrongSetting::Missing => self.is_missing = true,
            WrongSetting::Invisible => self.is_invisible = true,
            WrongSetting::VirtualOf(parent) => self.parent = Some(parent.clone()),
            WrongSetting::TimeZone(zone) => self.timezone = *zone,
            WrongSetting::Timestamps(setting) => self.timestamps = Some(*setting),
            WrongSetting::SingleByte => self.is_multi_byte = false,
            WrongSetting::Bot(text) => self.bots.push(text.to_lowercase()),
            WrongSetting::ExcludedAddress(text) => self.excluded_addresses.push(text.clone()),
            WrongSetting::Event(number, wrong) => {
                let is_meant = |own: &u16| *number == 0 || own == number;
                self.events
                    .iter_mut()
                    .filter(|(own, _)| is_meant(own))
                    .for_each(|(_, event)| event.spoil(wrong));
            }
            WrongSetting::Evar(number, wrong) => {
                let is_meant = |own: &u16| *number == 0 || own == number;
                self.evars
                    .iter_mut()
                    .filter(|(own, _)| is_meant(own))
                    .for_each(|(_, evar)| evar.spoil(wrong));
            }
        }
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

impl EventMakeup {
    fn spoil(&mut self, wrong: &WrongEvent) {
        match wrong {
            WrongEvent::Disabled => self.access = Access::Disabled,
            WrongEvent::Forbidden => self.access = Access::Forbidden,
            WrongEvent::Name(name) => self.name.clone_from(name),
            WrongEvent::Type(kind) => self.kind = *kind,
            WrongEvent::Recording(recording) => self.recording = Some(*recording),
        }
    }
}

impl EvarMakeup {
    fn spoil(&mut self, wrong: &WrongEvar) {
        match wrong {
            WrongEvar::Disabled => self.access = Access::Disabled,
            WrongEvar::Forbidden => self.access = Access::Forbidden,
            WrongEvar::Name(name) => self.name.clone_from(name),
            WrongEvar::Type(kind) => self.kind = *kind,
            WrongEvar::Allocation(allocation) => self.allocation = *allocation,
            WrongEvar::Expiration(expiration) => self.expiration = *expiration,
            WrongEvar::Merchandising(syntax) => self.merchandising = Some(*syntax),
        }
    }
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
