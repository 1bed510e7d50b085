//! The items that must be right about a report suite, and a person's confirmation that an item is right.

use serde::{Deserialize, Serialize};

use crate::event::{EventKind, Instant, Property};
use crate::suite::{CountForm, ReportSuite};
use crate::word::words;

/// The facts about an item.
pub struct About {
    pub title: &'static str,
    /// How many settings the item consists of.
    pub settings: usize,
    /// Whether the file of Admin > Report Suites > Download shows the item.
    pub is_in_file: bool,
    /// Whether a probe can prove that the item is right.
    pub is_provable: bool,
    /// What must be true. A person who confirms the item says that this is true.
    pub claim: &'static str,
    /// What to check, and where.
    pub look: &'static str,
}

/// Makes the enum of the items and its method `about`, from the facts about each item.
macro_rules! items {
    ($($variant:ident = $name:literal, $title:literal, $settings:expr, in file: $is_in_file:literal, provable: $is_provable:literal,
       $claim:literal, $look:literal;)*) => {
        words! {
            /// An item that must be right about a suite. Items that lose hits silently when they are wrong come first.
            #[derive(PartialOrd, Ord)]
            pub enum Item {
                $(#[doc = concat!("`", $name, "`: ", $claim, ".")] $variant = $name,)*
            }
        }

        impl Item {
            pub fn about(self) -> About {
                match self {
                    $(Item::$variant => About {
                        title: $title,
                        settings: $settings,
                        is_in_file: $is_in_file,
                        is_provable: $is_provable,
                        claim: $claim,
                        look: $look,
                    },)*
                }
            }
        }
    };
}

items! {
    Timestamps = "timestamps", "Timestamps", 1, in file: true, provable: true,
        "timestamps are optional or required, so that hits with one are recorded",
        "see that Admin > Report Suites > Edit Settings > General > Timestamps Optional says optional or required";
    Suite = "suite", "Report Suite ID", 1, in file: true, provable: true,
        "the suite exists at this collection host, and is no virtual report suite",
        "see that Admin > Report Suites lists it, and not as a virtual report suite";
    Events = "events", "Success Events", EventKind::ALL.len(), in file: true, provable: true,
        "event1 to event18 are enabled and named by the table",
        "see that Admin > Report Suites > Edit Settings > Conversion > Success Events has event1 to event18 as in: passbridge suite sheet";
    Evars = "evars", "Conversion Variables", Property::EVARS, in file: true, provable: true,
        "eVar1 to eVar34 are enabled and set by the table: Text String, Most Recent (Last), expire after Hit",
        "see that Admin > Report Suites > Edit Settings > Conversion > Conversion Variables has eVar1 to eVar34 as in: passbridge \
         suite sheet";
    UniqueEventRecording = "unique-event-recording", "Unique Event Recording", EventKind::ALL.len(), in file: true, provable: true,
        "Unique Event Recording of event1 to event18 is \"Use Event ID\"",
        "see that Admin > Report Suites > Edit Settings > Conversion > Success Events says Use Event ID under Unique Event Recording \
         of event1 to event18";
    EventTypes = "event-types", "Type of events", EventKind::ALL.len(), in file: true, provable: false,
        "event1 to event18 are of type Counter",
        "see that Admin > Report Suites > Edit Settings > Conversion > Success Events says Counter for event1 to event18";
    MultiByte = "multi-byte", "Multi-byte character support", 1, in file: true, provable: true,
        "multi-byte character support is on",
        "see that Admin > Report Suites > Edit Settings > General > General Account Settings says that multi-byte character support \
         is on";
    TimeZone = "time-zone", "Time zone", 1, in file: true, provable: false,
        "the suite's time zone is US/Pacific, or another one on purpose",
        "see that Admin > Report Suites > Edit Settings > General > General Account Settings says US/Pacific";
    BotRules = "bot-rules", "Bot rules and IP exclusions", 1, in file: false, provable: false,
        "bot rules and IP exclusions do not take viewers or this host for robots",
        "see that Admin > Report Suites > Edit Settings > General > Bot Rules, and Admin > Exclude by IP Address, match neither \
         viewers' agents and addresses nor this host";
    Visitors = "visitors", "Unique Visitors", 1, in file: false, provable: false,
        "whoever reads the reports knows what a unique visitor is in this suite",
        "tell those who will read the reports";
}

impl Item {
    /// The settings of passbridge that a confirmation of this item is about. When they change, the confirmation is
    /// void, because nobody gave it for the new settings.
    pub fn basis(self, suite: &ReportSuite, requestors: &[String]) -> String {
        let form = &suite.form;
        match self {
            Item::UniqueEventRecording => {
                let counts = match form.count_form {
                    CountForm::SingleHits => "single hits",
                    CountForm::CountWithId => "eventN=count:id",
                };
                format!("event IDs {}, counts as {counts}", form.event_ids)
            }
            // In Admin, the right option of this setting depends on whether hits have a visitorID.
            Item::Timestamps => format!("identity {}", form.identity_text()),
            Item::Suite => format!("collection host {}", suite.collection_url),
            Item::Visitors => {
                let mut names = requestors.to_vec();
                names.sort_unstable();
                format!("identity {}, requestors {}", form.identity_text(), names.join(", "))
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

/// A person's confirmation that an item is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    pub item: Item,
    pub by: String,
    pub at: Instant,
    #[serde(default)]
    pub note: Option<String>,
    /// [`Item::basis`] at the time of the confirmation.
    pub basis: String,
}

impl Confirmation {
    pub fn holds(&self, suite: &ReportSuite, requestors: &[String]) -> bool {
        self.basis == self.item.basis(suite, requestors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{EventIds, IdentityKind};

    fn suite() -> ReportSuite {
        let rsid = "examplersid".parse().expect("a report suite");
        ReportSuite::with_defaults(rsid, "https://c.example.com".parse().expect("a URL"))
    }

    fn voided(change: impl FnOnce(&mut ReportSuite, &mut Vec<String>)) -> Vec<&'static str> {
        let (before, requestors) = (suite(), vec!["REF30".to_owned()]);
        let (mut after, mut requestors_after) = (before.clone(), requestors.clone());
        change(&mut after, &mut requestors_after);
        let void = |item: &Item| item.basis(&before, &requestors) != item.basis(&after, &requestors_after);
        Item::ALL.into_iter().filter(void).map(Item::as_str).collect()
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
            assert_eq!(item.as_str().parse(), Ok(item));
        }
        assert!("Timestamps".parse::<Item>().is_err());
    }
}
