//! What the sheet says: a topic for each place where something is set.

use super::{SheetOf, Topic};
use crate::event::{EventKind, Property};
use crate::suite::{EventIds, IdentityKind, ReportSuite};

/// What a person writes in, where no suite is mapped yet.
const TO_FILL_IN: &str = "________";
const NOWHERE: &str = "nothing to set";
const SETTING: &[&str] = &["Setting", "Value", "Where", "Why"];

/// Every topic of a suite's sheet, in the order of the work.
pub(super) fn all(of: &SheetOf) -> Vec<Topic> {
    vec![suite(of), events(of), evars(), metrics(), agreements()]
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn suite(of: &SheetOf) -> Topic {
    let mut rows = destination(of).to_vec();
    rows.extend(visitor(of.suite.as_ref()));
    rows.extend([
        row(&[
            "Timestamps",
            "Optional or required",
            "General > Timestamps Optional",
            "Hits are sent in batches with their own time. Where timestamps are not allowed, Adobe answers SUCCESS and drops every hit for \
             good; where they are optional, hits without a timestamp go on as before.",
        ]),
        row(&[
            "Time zone",
            "US/Pacific",
            "General > General Account Settings",
            "Adobe Pass counts its days in Pacific time: another zone moves events to other days than ESM shows. A later change makes \
             a gap or a double hour.",
        ]),
        row(&[
            "Multi-byte character support",
            "On",
            "General > General Account Settings",
            "Values are UTF-8. Changing it later is Adobe's work.",
        ]),
    ]);
    Topic {
        name: "Suite",
        place: "Admin > Report Suites > Edit Settings",
        note: "Set all of this before the first event is sent: what Adobe dropped or counted cannot be taken back.",
        columns: SETTING,
        rows,
    }
}

/// Where the events go, or what to find out of that.
fn destination(of: &SheetOf) -> [Vec<String>; 3] {
    let rsid = of.suite.as_ref().map_or(TO_FILL_IN.to_owned(), |suite| suite.form.rsid.to_string());
    let host = of.suite.as_ref().map_or(TO_FILL_IN.to_owned(), |suite| suite.collection_url.to_string());
    let requestors = if of.requestors.is_empty() { TO_FILL_IN.to_owned() } else { of.requestors.join(", ") };
    [
        row(&[
            "Report suite ID",
            &rsid,
            "Report Suite Manager",
            "It must exist, be activated, and be no virtual report suite: those collect nothing.",
        ]),
        row(&[
            "Requestors",
            &requestors,
            NOWHERE,
            "One requestor ID (Channel) goes to one report suite; several may share one.",
        ]),
        row(&[
            "Collection host",
            &host,
            NOWHERE,
            "The company's own, the same for all its suites. Adobe names it.",
        ]),
    ]
}

/// Who a visitor is, and what that makes of unique visitors.
fn visitor(suite: Option<&ReportSuite>) -> Vec<Vec<String>> {
    let mvpd_user_id = row(&[
        "Unique visitor",
        "MVPD User ID, as visitorID",
        NOWHERE,
        "A subscriber is one visitor on all devices, and never the visitor of the programmer's own pages. An ID that is no plain \
         letters and digits is sent as its digest; eVar10 has the original. Adobe's page of timestamps advises against visitorID on \
         such hits because of their order: each visitor's hits are sent in order, but read no visits, time spent or paths here.",
    ]);
    let ecid = row(&[
        "Unique visitor",
        "Experience Cloud ID, as marketingCloudVisitorID",
        NOWHERE,
        "Pass events join what the visitor does on the programmer's pages and apps. A subscriber counts once for each device, so unique \
         visitors are more than the unique users of ESM: count those by eVar10.",
    ]);
    let surrogates = row(&[
        "Segment for unique users",
        "MVPD User ID (eVar10) exists",
        "Components > Segments",
        "AuthN requested has no user yet and gets a substitute, which Unique Visitors counts too. In this segment, where the visitor is the \
         MVPD User ID, it compares with the unique users of ESM. Where an MVPD's monthly users are 95 % or more of its logins, its user IDs \
         look transient (their persistence is neither guaranteed nor validated, says Adobe), and both count its logins: `report` names \
         such MVPDs.",
    ]);
    let accounts = row(&[
        "Unique users",
        "Distinct values of MVPD User ID (eVar10)",
        "Components > Calculated Metrics",
        "Where the visitor is the Experience Cloud ID, Unique Visitors counts browsers and apps, and a substitute for each event without such an \
         ID. No segment makes that the number of accounts.",
    ]);
    match suite.map(|suite| suite.form.identity) {
        Some(IdentityKind::Ecid) => vec![ecid, accounts],
        Some(IdentityKind::MvpdUserId) => vec![mvpd_user_id, surrogates],
        None => {
            let choice = "Where the programmer sends an Experience Cloud ID to Adobe Pass, map the suite with --identity ecid: Pass events then \
                          join what the visitor does elsewhere, and a subscriber counts once for each device. Decide before the first \
                          event: a change makes every visitor a new one.";
            vec![
                mvpd_user_id,
                row(&["Or: ECID", "marketingCloudVisitorID", NOWHERE, choice]),
                surrogates,
                accounts,
            ]
        }
    }
}

fn events(of: &SheetOf) -> Topic {
    let has_event_ids = of.suite.as_ref().is_none_or(|suite| suite.form.event_ids == EventIds::On);
    let recording = if has_event_ids { "Use Event ID" } else { "Always Record Event" };
    let rows = EventKind::ALL.iter().map(|kind| {
        row(&[
            &format!("event{}", kind.slot()),
            kind.label(),
            "Counter (no subrelations)",
            recording,
            "Enabled",
        ])
    });
    Topic {
        name: "Events",
        place: "Admin > Report Suites > Edit Settings > Conversion > Success Events",
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
    let rows = Property::reported().iter().filter_map(|property| {
        let number = property.evar()?;
        Some(row(&[
            &format!("eVar{number}"),
            property.label(),
            "Text String",
            "Most Recent (Last)",
            "Hit",
            "Basic Subrelations",
            "Off",
            property.name(),
        ]))
    });
    Topic {
        name: "eVars",
        place: "Admin > Report Suites > Edit Settings > Conversion > Conversion Variables",
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
    let formula = |above: EventKind, below: EventKind| {
        format!("event{} / event{} ({} / {})", above.slot(), below.slot(), above.label(), below.label())
    };
    let authentication = (EventKind::AuthnOk, EventKind::AuthnRequested);
    let authorization = (EventKind::AuthzOk, EventKind::AuthzRequested);
    let share = |name: &str, (granted, requested): (EventKind, EventKind), says: &str| {
        row(&[name, &formula(granted, requested), "Percent, 1 decimal", "Higher is better", says])
    };
    let ratio = |name: &str, (granted, requested): (EventKind, EventKind), says: &str| {
        row(&[name, &formula(requested, granted), "Percent, 1 decimal", "Lower is better", says])
    };
    Topic {
        name: "Metrics",
        place: "Components > Calculated Metrics",
        note: "All of them count events, not users: who tries eight times and then succeeds weighs as one in nine. The ratios are what Adobe's page \
               of server-side metrics prints as conversion rate; they are the shares turned over.",
        columns: &["Metric", "Formula", "Format", "Polarity", "What it says"],
        rows: vec![
            share(
                "Authentication conversion",
                authentication,
                "Of the logins that began, how many gave the viewer a token.",
            ),
            share(
                "Authorization conversion",
                authorization,
                "Of the authorizations that were asked for, how many the MVPD granted.",
            ),
            ratio(
                "Authentication ratio, as published",
                authentication,
                "(AuthN requests / AuthN granted)%: attempts for each success.",
            ),
            ratio(
                "Authorization ratio, as published",
                authorization,
                "(AuthZ requests / AuthZ granted)%: attempts for each success.",
            ),
        ],
    }
}

fn agreements() -> Topic {
    Topic {
        name: "Agreements",
        place: "With the customer and with Adobe, beside the settings above",
        note: "Settle these before the first event, and record the checks when they are done.",
        columns: SETTING,
        rows: vec![
            row(&[
                "Traffic notice",
                "Given",
                "Admin > Traffic Management",
                "Above 100 million hits a day, or with a jump of more than a quarter, Adobe wants 5 business days' notice, and a month from October to \
                 December. A backfill of history is such a jump.",
            ]),
            row(&[
                "Server calls",
                "Contract allows them",
                "the contract with Adobe",
                "Every event is a server call, and is billed, also where a bot rule or an IP exclusion leaves it out, and when it is sent again.",
            ]),
            row(&[
                "Bot rules",
                "IAB list considered",
                "General > Bot Rules",
                "A rule that matches a device's user agent takes its events out of every report but those of bots.",
            ]),
            row(&[
                "Excluded IP addresses",
                "None of viewers",
                "Admin > Exclude by IP Address",
                "Only the viewer's own address is sent, where it is known. New suites remove addresses after their look-up.",
            ]),
            row(&[
                "Privacy labels",
                "I2, ID-PERSON, DEL-PERSON, ACC-PERSON",
                "Admin > Data Governance",
                "For eVar10 (MVPD User ID) and eVar19 (Visitor Id), which identify persons. Device eVars as counsel decides.",
            ]),
            row(&[
                "Low traffic",
                "Known",
                NOWHERE,
                "Above 2,000,000 different values a month, new values of eVar10, eVar6 or eVar19 fall into one row: do not count users by the \
                 rows of a large suite.",
            ]),
            row(&[
                "Permanence",
                "Known",
                NOWHERE,
                "Events that were counted can be neither taken back nor repaired. Adobe keeps data for 25 months unless the contract says more.",
            ]),
            row(&[
                "Settings read back",
                "No difference",
                "passbridge suite check RSID",
                "Compares what Adobe's API shows with this sheet; what it cannot show is confirmed by a person.",
            ]),
            row(&[
                "A hit of each event seen",
                "All 18",
                "passbridge suite probe RSID",
                "Only reading back proves that hits are recorded: a SUCCESS does not. On a suite for development.",
            ]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{CollectionUrl, Rsid};

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
        assert_eq!(
            cell(&topics[3], "Authorization ratio, as published", 1),
            "event4 / event5 (AuthZ requested / AuthZ OK)"
        );
    }
}
