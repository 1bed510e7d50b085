//! What has to be right about a report suite, by name, and a person's word that it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::Instant;
use crate::suite::{CountForm, EventIds, IdentityKind, ReportSuite};

macro_rules! items {
    ($($variant:ident = $name:literal, $claim:literal;)*) => {
        /// One thing that has to be right about a suite, in the order in which it matters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Item {
            $(#[doc = concat!("`", $name, "`: ", $claim, ".")] $variant,)*
        }

        impl Item {
            /// Every item, what drops hits silently first.
            pub const ALL: [Item; 10] = [$(Item::$variant,)*];

            /// The name that commands and JSON use.
            pub fn name(self) -> &'static str {
                match self { $(Item::$variant => $name,)* }
            }

            /// What who confirms it vouches for.
            pub fn claim(self) -> &'static str {
                match self { $(Item::$variant => $claim,)* }
            }
        }
    };
}

items! {
    Timestamps = "timestamps", "timestamps are optional or required, so that hits with one are recorded";
    Suite = "suite", "the suite exists at this collection host, and is no virtual report suite";
    Events = "events", "event1 to event18 are enabled and named by the table";
    Evars = "evars", "eVar1 to eVar34 are enabled and set by the table: Text String, Most Recent (Last), expire after Hit";
    UniqueEventRecording = "unique-event-recording", "Unique Event Recording of event1 to event18 is \"Use Event ID\"";
    EventTypes = "event-types", "event1 to event18 are of type Counter";
    MultiByte = "multi-byte", "multi-byte character support is on";
    TimeZone = "time-zone", "the suite's time zone is US/Pacific, or another one on purpose";
    BotRules = "bot-rules", "bot rules and IP exclusions do not take viewers or this host for robots";
    Visitors = "visitors", "whoever reads the reports knows what a unique visitor is in this suite";
}

impl Item {
    /// The settings of ours that a word on this item rests on. When they change, the word is void: nobody gave it for what
    /// holds now.
    pub fn basis(self, suite: &ReportSuite, requestors: &[String]) -> String {
        let form = &suite.form;
        let identity = match (form.identity, &form.org_id) {
            (IdentityKind::MvpdUserId, _) => "mvpd_user_id".to_owned(),
            (IdentityKind::Ecid, None) => "ecid".to_owned(),
            (IdentityKind::Ecid, Some(org_id)) => format!("ecid of {org_id}"),
        };
        match self {
            Item::UniqueEventRecording => {
                let event_ids = if form.event_ids == EventIds::On { "on" } else { "off" };
                let counts = match form.count_form {
                    CountForm::SingleHits => "single hits",
                    CountForm::CountWithId => "eventN=count:id",
                };
                format!("event IDs {event_ids}, counts as {counts}")
            }
            // The setting's labels in Admin tell apart hits with a visitorID of their own.
            Item::Timestamps => format!("identity {identity}"),
            Item::Suite => format!("collection host {}", suite.collection_url),
            Item::Visitors => {
                let mut names = requestors.to_vec();
                names.sort_unstable();
                format!("identity {identity}, requestors {}", names.join(", "))
            }
            Item::Events
            | Item::Evars
            | Item::EventTypes
            | Item::MultiByte
            | Item::TimeZone
            | Item::BotRules => String::new(),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Not the name of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing to confirm; there are {names}", names = names())]
pub struct UnknownItem(pub String);

fn names() -> String {
    Item::ALL.map(Item::name).join(", ")
}

impl FromStr for Item {
    type Err = UnknownItem;

    fn from_str(text: &str) -> Result<Item, UnknownItem> {
        let known = Item::ALL.into_iter().find(|item| item.name() == text);
        known.ok_or_else(|| UnknownItem(text.to_owned()))
    }
}

impl Serialize for Item {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A person's word that an item is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    pub item: Item,
    pub by: String,
    /// When it was given.
    pub at: Instant,
    #[serde(default)]
    pub note: Option<String>,
    /// The settings that it rests on: [`Item::basis`] when it was given.
    pub basis: String,
}

impl Confirmation {
    /// Whether it still holds for this suite.
    pub fn holds(&self, suite: &ReportSuite, requestors: &[String]) -> bool {
        self.basis == self.item.basis(suite, requestors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> ReportSuite {
        let rsid = "examplersid".parse().expect("a report suite");
        ReportSuite::with_defaults(rsid, "https://c.example.com".parse().expect("a URL"))
    }

    fn voided(change: impl FnOnce(&mut ReportSuite, &mut Vec<String>)) -> Vec<&'static str> {
        let (before, requestors) = (suite(), vec!["REF30".to_owned()]);
        let (mut after, mut requestors_after) = (before.clone(), requestors.clone());
        change(&mut after, &mut requestors_after);
        let void = |item: &Item| item.basis(&before, &requestors) != item.basis(&after, &requestors_after);
        Item::ALL.into_iter().filter(void).map(Item::name).collect()
    }

    #[test]
    fn a_changed_setting_voids_the_words_that_rest_on_it() {
        assert_eq!(voided(|suite, _| suite.form.event_ids = EventIds::Off), ["unique-event-recording"]);
        assert_eq!(
            voided(|suite, _| suite.form.count_form = CountForm::CountWithId),
            ["unique-event-recording"]
        );
        assert_eq!(voided(|suite, _| suite.form.identity = IdentityKind::Ecid), ["timestamps", "visitors"]);
        assert_eq!(voided(|_, requestors| requestors.push("REF40".to_owned())), ["visitors"]);
        let elsewhere = "https://d.example.com".parse().expect("a URL");
        assert_eq!(voided(|suite, _| suite.collection_url = elsewhere), ["suite"]);
        assert_eq!(voided(|suite, _| suite.hits_per_second = std::num::NonZeroU32::new(7)), [""; 0]);
    }

    #[test]
    fn names_lead_back_to_their_item() {
        for item in Item::ALL {
            assert_eq!(item.name().parse(), Ok(item));
        }
        assert_eq!("Timestamps".parse::<Item>(), Err(UnknownItem("Timestamps".to_owned())));
    }
}
