//! What a suite may be besides: not there, a view of another, set wrong, shared with others, without traffic.

use passbridge::config::BufferConfig;
use passbridge::event::{EventKind, PassEvent};
use passbridge::reconcile::{EsmSource, ReconcileError, Reconciliation, Stranger, Verdict};
use passbridge::suite::IdentityKind;
use serde_json::json;

use super::world::World;
use crate::report::lasting::through_schema_4;
use crate::support::{REQUESTOR, RSID, event, report_suite};

const AT: &str = "2026-11-03T20:00:00Z";

fn some(requestor: &str, mvpd: &str, kind: EventKind, count: u32) -> PassEvent {
    event(json!({
        "occurred_at": AT, "requestor_id": requestor, "mvpd": mvpd, "event": kind.name(), "count": count,
        "mvpd_user_id": "u",
    }))
}

fn every_kind() -> Vec<PassEvent> {
    EventKind::ALL.map(|kind| some("REF30", "M", kind, 2)).to_vec()
}

fn compared(world: &World) -> Reconciliation {
    world.pass_hours(48);
    world.compare("2026-11-03", "2026-11-04")
}

fn with_settings(settings: &[&str]) -> World {
    let world = World::new(&["REF30"]);
    world.analytics.set_wrong(RSID, settings.iter().map(|text| text.parse().expect("a setting")).collect());
    world.deliver(every_kind());
    world
}

#[test]
fn a_column_that_is_refused_is_not_known_and_the_message_says_what_to_enable() {
    for (setting, why) in
        [("event14=disabled", "not_enabled_metric"), ("event14=forbidden", "unauthorized_metric")]
    {
        let found = compared(&with_settings(&[setting]));
        let unknown: Vec<_> = found.cells.iter().filter(|cell| cell.verdict != Verdict::Agrees).collect();
        let [cell] = &unknown[..] else { panic!("one cell, not {unknown:?}") };
        assert_eq!((cell.slot, cell.verdict, cell.analytics), (14, Verdict::Unknown, None));
        assert_eq!((found.verdict, found.total.agrees, found.total.unknown), (Verdict::Unknown, 17, 1));
        let [remark] = &found.remarks[..] else { panic!("one remark, not {:?}", found.remarks) };
        for word in ["event14 (Logout failed)", "2026-11-03", why, "Success Events"] {
            assert!(remark.contains(word), "{remark}");
        }
    }
}

#[test]
fn an_evar_that_is_refused_is_named_once() {
    for (setting, word) in [("evar1=disabled", "eVar1"), ("evar2=disabled", "eVar2")] {
        let found = compared(&with_settings(&[setting]));
        assert_eq!((found.verdict, found.total.unknown), (Verdict::Unknown, 18), "{setting}");
        let [remark] = &found.remarks[..] else { panic!("one remark, not {:?}", found.remarks) };
        assert!(remark.contains(word) && remark.contains("Conversion Variables"), "{remark}");
    }
}

#[test]
fn a_suite_that_cannot_be_compared_says_why() {
    for (setting, why) in [
        ("missing", "shows these credentials no report suite examplersid"),
        ("invisible", "shows these credentials no report suite examplersid"),
        ("virtual=parentsuite", "is a virtual report suite: its data is that of parentsuite"),
    ] {
        let world = with_settings(&[setting]);
        let options = world.options("2026-11-03", "2026-11-04");
        let error = world.compare_with(&options, EsmSource::None).expect_err("no comparison");
        assert!(
            matches!(error, ReconcileError::NoSuite(_) | ReconcileError::VirtualSuite { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn mvpds_and_requestors_that_differ_in_case_alone_are_one() {
    let world = World::new(&["REF30"]);
    let play = EventKind::PlayRequested;
    let spellings = ["Cableco", "CABLECO", " cableco ", "Müller", "MÜLLER"];
    let events = spellings.iter().map(|mvpd| some("REF30", mvpd, play, 1)).collect::<Vec<_>>();
    world.deliver(events);
    world.deliver_elsewhere(vec![some("ref30", "cABLECO", EventKind::PlayFailed, 1)]);
    let found = compared(&world);
    let told: Vec<_> = found
        .cells
        .iter()
        .map(|cell| {
            (cell.requestor_id.as_str(), cell.mvpd.to_lowercase(), cell.slot, cell.counted, cell.analytics)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("REF30", "cableco".to_owned(), 7, 3, Some(3)),
            ("REF30", "cableco".to_owned(), 11, 0, Some(1)),
            ("REF30", "müller".to_owned(), 7, 2, Some(2)),
        ]
    );
    assert!(found.strangers.is_empty());
}

#[test]
fn long_values_are_compared_as_they_are_sent() {
    let world = World::new(&["REF30"]);
    let long = "Ä".repeat(200);
    for mvpd in [long.as_str(), "D=v1", "a\tb", "  "] {
        world.house.store([some("REF30", mvpd, EventKind::AuthzOk, 1)]);
    }
    world.house.drain();
    let found = compared(&world);
    assert_eq!((found.verdict, found.total.agrees), (Verdict::Agrees, 4), "{:?}", found.cells);
}

#[test]
fn requestors_of_others_and_without_traffic_are_listed() {
    let world = World::new(&["REF30", "SILENT"]);
    let other = report_suite("othersuite", &world.analytics.url());
    world.house.map("MOVED", &other);
    world.deliver(every_kind());
    world.deliver_elsewhere(vec![
        some("STRANGER", "M", EventKind::AuthzOk, 3),
        some("MOVED", "M", EventKind::AuthzOk, 4),
    ]);
    let found = compared(&world);
    assert_eq!(found.verdict, Verdict::Agrees);
    let stranger = |requestor: &str, units, is_known, rsid: Option<&str>| Stranger {
        requestor_id: requestor.to_owned(),
        units,
        is_known,
        rsid: rsid.map(str::to_owned),
    };
    assert_eq!(
        found.strangers,
        [stranger("MOVED", 4, true, Some("othersuite")), stranger("STRANGER", 3, false, None)]
    );
    let silent = &found.requestors[1];
    assert_eq!((silent.name.as_str(), silent.sums.agrees), ("SILENT", 0));
}

/// One that has delivered everything and deleted it.
fn expired() -> World {
    let world = World::new(&["REF30"]);
    world.deliver(every_kind());
    let policy = BufferConfig { retention_days: 0, ..BufferConfig::default() };
    world.house.buffer.trust_clock().expect("a clock");
    world.clock.set(passbridge::event::Instant::from_nanos(world.clock.now().nanos() + 3_600_000_000_000));
    assert_eq!(world.house.buffer.retain(&policy).expect("retention").expired_delivered, 18);
    world
}

#[test]
fn what_retention_has_deleted_is_still_compared() {
    let found = compared(&expired());
    assert_eq!(
        (found.verdict, found.total.delivered, found.total.analytics),
        (Verdict::Agrees, 36, Some(36))
    );
}

#[test]
fn what_was_deleted_before_there_were_metrics_is_not_known() {
    let mut world = expired();
    // Of the next day it knows all.
    world.house.store([event(json!({"occurred_at": "2026-11-04T20:00:00Z", "mvpd": "M"}))]);
    world.house.drain();
    world.house = through_schema_4(&world.house);
    world.pass_hours(48);
    let found = world.compare("2026-11-03", "2026-11-05");
    let days: Vec<_> = found.days.iter().map(|line| (line.name.as_str(), line.sums.verdict())).collect();
    assert_eq!(days, [("2026-11-03", Verdict::Unknown), ("2026-11-04", Verdict::Agrees)]);
    assert!(found.remarks[0].contains("does not know all of 2026-11-03"), "{:?}", found.remarks);
}

#[test]
fn user_ids_with_blanks_at_their_ends_are_said_to_be_visitors_of_their_own() {
    let world = World::new(&[REQUESTOR]);
    world.house.map("REF40", &report_suite("otherrsid", "http://127.0.0.1:9"));
    let ids = ["u1", " u1", "u1\t", " u1", "u2", " "];
    let play = |(number, id): (usize, &str)| {
        event(
            json!({"occurred_at": "2026-11-03T20:00:00Z", "event_id": number.to_string(), "mvpd": "M", "mvpd_user_id": id}),
        )
    };
    world.deliver(ids.into_iter().enumerate().map(play));
    let other =
        json!({"occurred_at": "2026-11-03T20:00:00Z", "requestor_id": "REF40", "mvpd_user_id": "u3 "});
    world.house.store([event(other)]);
    let remarks = |from, to| world.compare(from, to).remarks;
    let told = "3 events of these days have an MVPD User ID with blanks at its ends (2 such IDs)";
    let within = remarks("2026-11-01", "2026-11-08");
    assert!(within.iter().any(|remark| remark.starts_with(told)), "{within:?}");
    let is_silent = |remarks: &[String]| !remarks.iter().any(|remark| remark.contains("blanks"));
    for (from, to) in [("2026-11-04", "2026-11-08"), ("2026-11-01", "2026-11-03")] {
        assert!(is_silent(&remarks(from, to)), "{from}");
    }
    // Where the visitors are no users of MVPDs, the blanks make no visitor.
    let world = World::with(&[REQUESTOR], "", |suite| suite.form.identity = IdentityKind::Ecid);
    world.house.store(ids.into_iter().enumerate().map(play));
    assert!(is_silent(&world.compare("2026-11-01", "2026-11-08").remarks));
}
