//! Server-side metrics have the meaning that Adobe's page gives them, are exact for any period of any time zone, and outlive the
//! events that they count.

mod independent;
mod lacking;
pub(crate) mod lasting;
mod printed;
mod world;

use passbridge::buffer::Discarded;
use passbridge::event::{EventKind, PassEvent};
use passbridge::report::{Dimension, Figures, Metrics, Period, Report, ReportOptions, Row, report};
use serde_json::json;

use crate::support::{House, event};

/// A report by these dimensions of a period of so-called names, on this clock.
fn report_of(house: &House, period: Period, by: &[&str]) -> Report {
    let by = by.iter().map(|name| Dimension::from_name(name).expect("a dimension")).collect();
    let metrics = Metrics::File(house.buffer.metrics().expect("metrics"));
    report(
        &metrics,
        house.buffer.now(),
        &ReportOptions { period, requestors: Vec::new(), by, discarded: Discarded::Counted },
    )
    .expect("a report")
}

/// A period by its name, in US Pacific time.
fn pacific(name: &str) -> Period {
    let now = "2026-11-20T12:00:00Z".parse().expect("an instant");
    Period::named(name, chrono_tz::America::Los_Angeles, now).expect("a period")
}

/// What one viewer's events add to the metrics of the page.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    authn_attempts: u64,
    authn_granted: u64,
    authz_attempts: u64,
    authz_granted: u64,
    plays: u64,
    unique_users: u64,
}

impl Page {
    fn of(figures: &Figures) -> Page {
        Page {
            authn_attempts: figures.units(EventKind::AuthnRequested).expect("known"),
            authn_granted: figures.units(EventKind::AuthnOk).expect("known"),
            authz_attempts: figures.units(EventKind::AuthzRequested).expect("known"),
            authz_granted: figures.units(EventKind::AuthzOk).expect("known"),
            plays: figures.units(EventKind::PlayRequested).expect("known"),
            unique_users: figures.unique_users.expect("known"),
        }
    }
}

/// The figures of a day of the report, in US Pacific time.
fn day<'a>(report: &'a Report, day: &str) -> &'a Figures {
    let has_day = |row: &&Row| row.key == [day];
    &report.trend.iter().find(has_day).expect("a day of the period").figures
}

/// User XYZ of the page at an MVPD, doing these things at this instant.
fn xyz(at: &str, kinds: &[&str]) -> Vec<PassEvent> {
    let one = |kind: &&str| {
        let mut fields = json!({"occurred_at": at, "event": kind, "mvpd": "MVPD 1"});
        if *kind != "authn_requested" {
            fields["mvpd_user_id"] = "XYZ".into();
        }
        event(fields)
    };
    kinds.iter().map(one).collect()
}

const FULL_FLOW: [&str; 6] =
    ["authn_requested", "authn_pending", "authn_ok", "authz_requested", "authz_ok", "play_requested"];

#[test]
fn a_user_of_days_one_three_and_thirty_one_counts_as_the_page_says() {
    let house = House::new();
    house.store(xyz("2026-03-01T20:00:00-08:00", &FULL_FLOW));
    house.store(xyz("2026-03-01T23:30:00-08:00", &["play_requested"]));
    house.store(xyz("2026-03-03T20:00:00-08:00", &["authz_requested", "authz_ok", "play_requested"]));
    house.store(xyz("2026-03-31T20:00:00-07:00", &FULL_FLOW));
    let month = report_of(&house, pacific("2026-03"), &[]);
    let page = |authn, authz, plays, unique_users| Page {
        authn_attempts: authn,
        authn_granted: authn,
        authz_attempts: authz,
        authz_granted: authz,
        plays,
        unique_users,
    };
    assert_eq!(month.trend.len(), 31);
    assert_eq!(Page::of(day(&month, "2026-03-01")), page(1, 1, 2, 1));
    assert_eq!(Page::of(day(&month, "2026-03-02")), page(0, 0, 0, 0));
    assert_eq!(Page::of(day(&month, "2026-03-03")), page(0, 1, 1, 1));
    assert_eq!(Page::of(day(&month, "2026-03-31")), page(1, 1, 1, 1));
    assert_eq!(Page::of(&month.total), page(2, 3, 4, 1), "the month has one user, its days have three");
    assert_eq!(month.total.events[1], Some(2), "AuthN pending");
    assert_eq!(month.notes, []);
}

#[test]
fn a_failed_authorization_has_a_user_although_nothing_was_played() {
    let house = House::new();
    house.store(xyz("2026-03-31T10:00:00Z", &["authn_requested", "authn_ok", "authz_requested"]));
    house.store([event(json!({
        "occurred_at": "2026-03-31T10:00:01Z", "event": "authz_failed", "mvpd": "MVPD 1", "mvpd_user_id": "XYZ",
        "authz_error_type": "noAuthZ",
    }))]);
    let month = report_of(&house, pacific("2026-03"), &[]);
    let expected = Page {
        authn_attempts: 1,
        authn_granted: 1,
        authz_attempts: 1,
        authz_granted: 0,
        plays: 0,
        unique_users: 1,
    };
    assert_eq!(Page::of(&month.total), expected);
    let failure = &month.failures[0];
    assert_eq!(
        (failure.event.as_str(), failure.reason.as_str(), failure.count),
        ("authz_failed", "noAuthZ", 1)
    );
    let ratio = |of, to| month.total.ratio(of, to);
    let (asked, granted) = (EventKind::AuthzRequested, EventKind::AuthzOk);
    assert_eq!((ratio(granted, asked), ratio(asked, granted)), (Some(0.0), None));
}

#[test]
fn with_single_sign_on_there_are_more_users_than_authentications() {
    let house = House::new();
    house.store(xyz("2026-03-05T10:00:00Z", &FULL_FLOW));
    for user in ["via-sso-1", "via-sso-2"] {
        house.store(["authz_requested", "authz_ok", "play_requested"].map(|kind| {
            event(json!({"occurred_at": "2026-03-05T11:00:00Z", "event": kind, "mvpd": "MVPD 1", "mvpd_user_id": user}))
        }));
    }
    let total = report_of(&house, pacific("2026-03"), &[]).total;
    assert_eq!((total.units(EventKind::AuthnOk), total.unique_users), (Some(1), Some(3)));
}

#[test]
fn an_id_is_one_user_in_the_total_and_one_in_each_mvpd_and_none_before_the_login() {
    let house = House::new();
    let seen = |kind: &str, requestor: &str, mvpd: &str, id: &str| {
        event(json!({
            "occurred_at": "2026-03-05T10:00:00Z", "event": kind, "requestor_id": requestor, "mvpd": mvpd, "mvpd_user_id": id,
        }))
    };
    house.store([
        seen("play_requested", "REF30", "A", "one"),
        seen("play_requested", "REF40", "A", " one "),
        seen("play_requested", "REF40", "B", "one"),
        seen("authz_failed", "REF40", "B", "two"),
        // Nobody has logged in yet, whatever a source says.
        seen("authn_requested", "REF40", "B", "three"),
        seen("authn_failed", "REF40", "B", "NULL"),
        seen("authn_failed", "REF40", "B", "0"),
    ]);
    let report = report_of(&house, pacific("2026-03"), &["requestor"]);
    let users = |figures: &Figures| figures.unique_users.expect("known");
    assert_eq!(users(&report.total), 2);
    assert_eq!(report.mvpds.iter().map(|column| users(&column.figures)).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(report.rows.iter().map(|row| users(&row.figures)).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn synthetic_ids_are_shown_apart() {
    let house = House::new();
    let seen = |id: &str, token: &str| {
        event(json!({
            "occurred_at": "2026-03-05T10:00:00Z", "event": "authn_ok", "mvpd": "A", "mvpd_user_id": id, "token_type": token,
        }))
    };
    house.store([
        seen("95cf93bcd183214a0001", "normal"),
        seen("temppass_1", "normal"),
        seen("temppass_2", "normal"),
        seen("anybody", "AuthNAll"),
        seen("somebody", "authzall"),
        seen("somebody", "normal"),
    ]);
    let total = report_of(&house, pacific("2026-03"), &[]).total;
    assert_eq!(
        (total.unique_users, total.synthetic_users, total.units(EventKind::AuthnOk)),
        (Some(1), Some(4), Some(6))
    );
}

#[test]
fn counts_weigh_and_defaults_of_the_table_are_values() {
    let house = House::new();
    house.store([event(json!({
        "occurred_at": "2026-03-05T10:00:00Z", "event": "preflight_granted", "count": 1000, "mvpd": " A ", "device_type": "TV",
    }))]);
    let report = report_of(&house, pacific("2026-03-05"), &["proxy", "mvpd", "sdk-type", "device", "hour"]);
    assert_eq!(report.by, ["proxy", "mvpd", "sdk_type", "device_type", "hour"]);
    assert_eq!(report.rows[0].key, ["Direct", "A", "", "TV", "2026-03-05T02:00-08:00"]);
    assert_eq!(
        (report.rows.len(), report.rows[0].figures.events[16], report.trend.len()),
        (1, Some(1000), 24)
    );
    // A default of the table that only the mapping knows, by a property that metrics do not keep.
    let report = report_of(&house, pacific("2026-03-05"), &["token_type", "day"]);
    assert_eq!(report.rows[0].key, ["normal", "2026-03-05"]);
    assert!(report.rows_note.contains("1000 of 1000 units"), "{}", report.rows_note);
}

#[test]
fn an_inequality_that_does_not_hold_is_noted_with_its_numbers() {
    let house = House::new();
    house.store(xyz("2026-03-05T10:00:00Z", &["authn_ok", "authz_ok"]));
    let notes = report_of(&house, pacific("2026-03"), &[]).notes;
    let of = |mvpds: &[&str]| notes.iter().filter(|note| note.mvpds == mvpds).count();
    assert_eq!((of(&[]), of(&["MVPD 1"]), notes.len()), (4, 4, 8), "{notes:?}");
    assert!(notes[0].found.starts_with("0 < 1; most likely "), "{notes:?}");
}
