//! The content of a sheet: a topic for each place where something is set, each with a table of settings.

use serde::Serialize;

use crate::event::{EventKind, Property};
use crate::onboarding::table::{EVAR_SETTINGS, EVARS_PAGE, EVENTS_PAGE, USE_EVENT_ID};
use crate::suite::{EventIds, IdentityKind, ReportSuite};

pub(super) const DONE: &str = "Done";
const ROWS: &str = include_str!("rows.txt");
/// A blank for a person to fill in, if no suite is mapped yet.
const TO_FILL_IN: &str = "________";
const SETTING: &[&str] = &["Setting", "Value", "Where", "Why"];

/// The suite and the requestors that a sheet is for.
#[derive(Debug, Clone, Default)]
pub struct SheetOf {
    pub suite: Option<ReportSuite>,
    pub requestors: Vec<String>,
}

/// A configuration sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sheet {
    pub title: String,
    /// The topics, in the order in which a person works through them.
    pub topics: Vec<Topic>,
}

/// Settings that are found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// The name, short enough for the tab of a workbook.
    pub name: &'static str,
    pub place: &'static str,
    pub note: &'static str,
    /// The names of the columns. Every form for people has one more column, to tick off.
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}

pub(super) fn all(of: &SheetOf) -> Vec<Topic> {
    vec![suite(of), events(of), evars(), metrics(), agreements()]
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn section(name: &str) -> impl Iterator<Item = Vec<String>> {
    let title = format!("[{name}]");
    let rows = ROWS.lines().skip_while(move |line| *line != title).skip(1);
    rows.take_while(|line| !line.is_empty()).map(|line| row(&line.split(" | ").collect::<Vec<_>>()))
}

fn suite(of: &SheetOf) -> Topic {
    let by_identity: &[&str] = match of.suite.as_ref().map(|suite| suite.form.identity) {
        Some(IdentityKind::Ecid) => &["visitor: ecid", "users: ecid"],
        Some(IdentityKind::MvpdUserId) => &["visitor: mvpd_user_id", "users: mvpd_user_id"],
        None => &["visitor: mvpd_user_id", "visitor: choice", "users: mvpd_user_id", "users: ecid"],
    };
    let sections = [&["destination"], by_identity, &["general"]].concat();
    let mut rows: Vec<Vec<String>> = sections.iter().flat_map(|name| section(name)).collect();
    let suite = of.suite.as_ref();
    let own = [
        ("{rsid}", suite.map(|suite| suite.form.rsid.to_string())),
        ("{requestors}", Some(of.requestors.join(", ")).filter(|names| !names.is_empty())),
        ("{host}", suite.map(|suite| suite.collection_url.to_string())),
    ];
    for (mark, text) in own {
        let cells = rows.iter_mut().flatten().filter(|cell| *cell == mark);
        cells.for_each(|cell| *cell = text.clone().unwrap_or_else(|| TO_FILL_IN.to_owned()));
    }
    Topic {
        name: "Suite",
        place: "Admin > Report Suites > Edit Settings",
        note: "Set all of this before the first event is sent: what Adobe dropped or counted cannot be taken back.",
        columns: SETTING,
        rows,
    }
}

fn events(of: &SheetOf) -> Topic {
    let has_event_ids = of.suite.as_ref().is_none_or(|suite| suite.form.event_ids == EventIds::On);
    let recording = if has_event_ids { USE_EVENT_ID } else { "Always Record Event" };
    let rows = EventKind::ALL.iter().map(|kind| {
        let event = format!("event{}", kind.slot());
        row(&[&event, kind.label(), "Counter (no subrelations)", recording, "Enabled"])
    });
    Topic {
        name: "Events",
        place: EVENTS_PAGE,
        note: if has_event_ids {
            "Newer admin pages call the type Counter. With \"Use Event ID\" a hit that is sent again counts once. Until it is set, map the suite \
             with --event-ids off. Never choose Record Once Per Visit: it would count less than happened."
        } else {
            "Newer admin pages call the type Counter. This suite is mapped with --event-ids off: a hit that is sent again after a lost answer may \
             count twice. Never choose Record Once Per Visit: it would count less than happened."
        },
        columns: &["Event", "Name", "Type", "Unique event recording", "Visibility"],
        rows: rows.collect(),
    }
}

fn evars() -> Topic {
    let [kind, allocation, expiration, _] = EVAR_SETTINGS.map(|setting| setting.expected);
    let rows = (1..).zip(Property::reported()).map(|(number, property)| {
        let (evar, label, name) = (format!("eVar{number}"), property.label(), property.name());
        row(&[&evar, label, kind, allocation, expiration, "Basic Subrelations", "Off", name])
    });
    Topic {
        name: "eVars",
        place: EVARS_PAGE,
        note: "Some admin pages call the expiry Page View. At its default, Visit, an eVar would credit an old MVPD with later events. Breakdowns need \
               Basic Subrelations.",
        columns: &[
            "eVar",
            "Name",
            "Type",
            "Allocation",
            "Expire after",
            "Status",
            "Merchandising",
            "Property of the event",
        ],
        rows: rows.collect(),
    }
}

fn metrics() -> Topic {
    Topic {
        name: "Metrics",
        place: "Components > Calculated Metrics",
        note: "All of them count events, not users: who tries eight times and then succeeds weighs as one in nine. The ratios are what Adobe's page \
               of server-side metrics prints as conversion rate; they are the shares turned over.",
        columns: &["Metric", "Formula", "Format", "Polarity", "What it says"],
        rows: section("metrics").collect(),
    }
}

fn agreements() -> Topic {
    Topic {
        name: "Agreements",
        place: "With the customer and with Adobe, beside the settings above",
        note: "Settle these before the first event, and record the checks when they are done.",
        columns: SETTING,
        rows: section("agreements").collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{CollectionUrl, ReportSuite, Rsid};

    fn of(identity: IdentityKind, event_ids: EventIds) -> SheetOf {
        let rsid: Rsid = "examplersid".parse().expect("a suite ID");
        let url: CollectionUrl = "https://example.sc.omtrdc.net".parse().expect("a host");
        let mut suite = ReportSuite::with_defaults(rsid, url);
        (suite.form.identity, suite.form.event_ids) = (identity, event_ids);
        SheetOf { suite: Some(suite), requestors: vec!["REF30".to_owned(), "REF31".to_owned()] }
    }

    fn cell<'a>(topic: &'a Topic, setting: &str, column: usize) -> &'a str {
        let row = topic.rows.iter().find(|row| row[0] == setting);
        row.map_or_else(|| panic!("no {setting}"), |row| row[column].as_str())
    }

    #[test]
    fn every_event_and_evar_stands_once_with_its_label() {
        let topics = all(&SheetOf::default());
        let names: Vec<_> = topics.iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["Suite", "Events", "eVars", "Metrics", "Agreements"]);
        assert_eq!((topics[1].rows.len(), topics[2].rows.len()), (18, 34));
        assert_eq!(topics[1].rows[6][..2], ["event7", "Play request"]);
        assert_eq!(topics[2].rows[9][..2], ["eVar10", "MVPD User ID"]);
        for topic in &topics {
            assert!(topic.rows.iter().all(|row| row.len() == topic.columns.len()), "{}", topic.name);
        }
    }

    #[test]
    fn a_mapped_suite_has_its_own_values() {
        let topics = all(&of(IdentityKind::Ecid, EventIds::Off));
        assert_eq!(cell(&topics[0], "Report suite ID", 1), "examplersid");
        assert_eq!(cell(&topics[0], "Requestors", 1), "REF30, REF31");
        assert!(cell(&topics[0], "Unique visitor", 1).contains("marketingCloudVisitorID"));
        assert!(topics[1].rows.iter().all(|row| row[3] == "Always Record Event"));
        assert!(topics[1].note.contains("may count twice"));
        let topics = all(&of(IdentityKind::MvpdUserId, EventIds::On));
        assert!(cell(&topics[0], "Unique visitor", 1).contains("visitorID"));
        assert!(topics[1].rows.iter().all(|row| row[3] == "Use Event ID"));
    }

    #[test]
    fn both_rates_are_shares_and_the_published_ratios_are_named() {
        let topics = all(&SheetOf::default());
        assert_eq!(
            cell(&topics[3], "Authentication conversion", 1),
            "event3 / event1 (AuthN OK / AuthN requested)"
        );
        let label = |slot| EventKind::from_slot(slot).map_or("", EventKind::label);
        for (row, [above, below]) in topics[3].rows.iter().zip([[3, 1], [5, 4], [1, 3], [4, 5]]) {
            let formula = format!("event{above} / event{below} ({} / {})", label(above), label(below));
            assert_eq!(row[1], formula, "{row:?}");
        }
        assert_eq!(
            cell(&topics[3], "Authorization ratio, as published", 1),
            "event4 / event5 (AuthZ requested / AuthZ OK)"
        );
    }
}
