//! Days are those of ESM, whatever clock the suite has, and through both changes of the year.

use passbridge::reconcile::{EsmSource, ReconcileError, Reconciliation, Verdict};
use serde_json::json;

use super::world::{Grain, World, esm_csv, esm_json, esm_xml};
use crate::support::{REQUESTOR, RSID, event};

/// An event an hour for so many hours from an instant on, counted as often as its number.
fn hourly(from: &str, hours: i64) -> Vec<passbridge::event::PassEvent> {
    let from: passbridge::event::Instant = from.parse().expect("an instant");
    (0..hours)
        .map(|hour| {
            event(json!({
                "occurred_at": from.unix_seconds() + hour * 3600 + 60 * (hour % 60),
                "event_id": format!("hour {hour}"),
                "mvpd": "M",
                "mvpd_user_id": "u",
                "count": hour % 7 + 1,
            }))
        })
        .collect()
}

fn world_in(zone: &str, events: &[passbridge::event::PassEvent]) -> World {
    let world = World::new(&[REQUESTOR]);
    world.analytics.set_wrong(RSID, vec![format!("timezone={zone}").parse().expect("a setting")]);
    world.deliver(events.to_vec());
    world.pass_hours(48);
    world
}

fn days(found: &Reconciliation) -> Vec<(&str, u64, u64)> {
    found
        .days
        .iter()
        .map(|line| (line.name.as_str(), line.sums.counted, line.sums.analytics.unwrap_or(0)))
        .collect()
}

#[test]
fn a_suite_in_another_zone_agrees_day_by_day() {
    for (from, first, last) in [
        ("2026-10-30T00:00:00Z", "2026-10-30", "2026-11-04"),
        // The clock goes forward in Berlin two weeks after Los Angeles.
        ("2026-03-06T00:00:00Z", "2026-03-06", "2026-03-11"),
        ("2026-03-27T00:00:00Z", "2026-03-27", "2026-03-31"),
    ] {
        let events = hourly(from, 24 * 6);
        for zone in ["US/Pacific", "Europe/Berlin", "Asia/Kolkata", "UTC"] {
            let found = world_in(zone, &events).compare(first, last);
            assert_eq!(found.verdict, Verdict::Agrees, "{zone} {:?}", days(&found));
            assert!(found.remarks.is_empty() && found.total.counted > 300, "{zone} {:?}", found.remarks);
            assert_eq!(found.suite_timezone.as_deref(), Some(zone));
        }
    }
}

#[test]
fn days_that_the_suite_shows_as_one_are_compared_as_one_and_said() {
    let events = hourly("2026-10-30T00:00:00Z", 24 * 6);
    let found = world_in("America/Chicago", &events).compare("2026-10-31", "2026-11-03");
    assert_eq!(found.verdict, Verdict::Agrees, "{:?}", days(&found));
    let labels: Vec<_> = found.days.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(labels, ["2026-10-31..2026-11-01", "2026-11-02"]);
    assert!(found.remarks[0].contains("America/Chicago"), "{:?}", found.remarks);
}

#[test]
fn days_of_another_zone_can_be_asked_for() {
    let events = hourly("2026-10-30T00:00:00Z", 24 * 6);
    let world = world_in("US/Pacific", &events);
    let mut options = world.options("2026-10-31", "2026-11-03");
    options.zone = "Asia/Kolkata".parse().expect("a zone");
    let found = world.compare_with(&options, EsmSource::None).expect("a comparison");
    assert_eq!(found.verdict, Verdict::Agrees);
    let expected: u64 = events
        .iter()
        .filter(|event| {
            // 31 October 00:00 to 3 November 00:00 in Kolkata.
            (1_793_385_000..1_793_644_200).contains(&event.occurred_at().unix_seconds())
        })
        .map(|event| u64::from(event.count()))
        .sum();
    assert_eq!(found.total.counted, expected);
    // An hour of ESM lies across the edge of two such days.
    let reports = vec![("esm.json".to_owned(), esm_json(events.iter(), Grain::Hour))];
    let error = world.compare_with(&options, EsmSource::Reports(reports)).expect_err("no comparison");
    assert!(error.to_string().contains("in which a day of Asia/Kolkata begins"), "{error}");
}

#[test]
fn reports_of_esm_are_the_same_in_every_form_and_by_day() {
    let events = hourly("2026-10-30T07:00:00Z", 24 * 6);
    let world = world_in("US/Pacific", &events);
    let options = world.options("2026-10-30", "2026-11-04");
    for (name, document) in [
        ("hour.json", esm_json(events.iter(), Grain::Hour)),
        ("hour.xml", esm_xml(events.iter(), Grain::Hour)),
        ("hour.csv", esm_csv(events.iter(), Grain::Hour)),
        ("day.json", esm_json(events.iter(), Grain::Day)),
        ("day.xml", esm_xml(events.iter(), Grain::Day)),
        ("day.csv", esm_csv(events.iter(), Grain::Day)),
    ] {
        let once = vec![(name.to_owned(), document)];
        // A report that is given twice counts once.
        let twice = [once.clone(), once.clone()].concat();
        for reports in [once, twice] {
            let found = world
                .compare_with(&options, EsmSource::Reports(reports))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found.verdict, Verdict::Agrees, "{name} {:?}", found.days);
            assert_eq!(
                (found.total.esm, Some(found.total.counted_beside_esm)),
                (Some(found.total.counted), Some(found.total.counted)),
                "{name}"
            );
        }
    }
}

#[test]
fn what_esm_counted_elsewhere_is_a_difference_and_what_it_lacks_is_said() {
    let mut events = hourly("2026-11-02T08:00:00Z", 48);
    let world = world_in("US/Pacific", &events);
    events.pop();
    let first_day: Vec<_> = events.iter().take(24).cloned().collect();
    let options = world.options("2026-11-02", "2026-11-04");
    let compare = |events: &[passbridge::event::PassEvent]| {
        let reports = vec![("esm.json".to_owned(), esm_json(events.iter(), Grain::Hour))];
        world.compare_with(&options, EsmSource::Reports(reports)).expect("a comparison")
    };
    let found = compare(&events);
    let differing: Vec<_> = found.cells.iter().filter(|cell| cell.verdict == Verdict::Differs).collect();
    let [cell] = &differing[..] else { panic!("one cell, not {differing:?}") };
    // The last event counts six times.
    assert_eq!((cell.day.as_str(), cell.esm_unexplained, cell.analytics_unexplained), ("2026-11-03", 6, 0));
    let half = compare(&first_day);
    assert_eq!(half.verdict, Verdict::Agrees);
    assert!(half.remarks.iter().any(|remark| remark.contains("nothing of 2026-11-03")), "{:?}", half.remarks);
}

#[test]
fn reports_that_cannot_be_compared_are_refused_with_their_reason() {
    let world = World::new(&[REQUESTOR]);
    let mut options = world.options("2026-11-01", "2026-11-08");
    let header = "year,month,day,hour,requestor-id,";
    let refused = |options: &passbridge::reconcile::ReconcileOptions, documents: &[&str]| {
        let reports = documents.iter().map(|text| ("r.csv".to_owned(), text.as_bytes().to_vec())).collect();
        match world.compare_with(options, EsmSource::Reports(reports)) {
            Err(error @ ReconcileError::Report { .. }) => error.to_string(),
            other => panic!("{documents:?}: {other:?}"),
        }
    };
    let by_mvpd = format!("{header}mvpd,media-tokens\n2026,11,3,8,REF30,M,5\n");
    for (documents, why) in [
        (vec![format!("{header}media-tokens\n2026,11,3,8,REF30,5\n")], "tells no MVPDs apart"),
        (
            vec![
                by_mvpd.clone(),
                format!("{header}mvpd,platform,media-tokens\n2026,11,3,9,REF30,M,Roku,5\n"),
            ],
            "together they count twice",
        ),
        // Days and hours of the same time hold the same counts.
        (
            vec![
                by_mvpd.clone(),
                "year,month,day,requestor-id,mvpd,media-tokens\n2026,11,3,REF30,M,5\n".to_owned(),
            ],
            "together they count twice",
        ),
        (vec!["hello".to_owned()], "no ESM report"),
        (vec![format!("{header}mvpd,media-tokens\n2026,11,3,8,REF30,M,many\n")], "many"),
        (vec![format!("{by_mvpd}2026,11,3,8,REF30,M,6\n")], "record"),
    ] {
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        let told = refused(&options, &documents);
        assert!(told.contains(why), "{told}");
    }
    options.zone = "UTC".parse().expect("a zone");
    let told = refused(&options, &["year,month,day,requestor-id,mvpd,media-tokens\n2026,11,3,REF30,M,5\n"]);
    assert!(
        told.contains("2026-11-03T08:00:00Z to 2026-11-04T08:00:00Z, in which a day of UTC begins"),
        "{told}"
    );
}

#[test]
fn a_report_of_one_requestor_says_nothing_of_another_one() {
    let world = World::new(&[REQUESTOR, "REF40"]);
    let play = |requestor: &str, at: &str| {
        event(
            json!({"occurred_at": at, "event_id": format!("{requestor} {at}"), "requestor_id": requestor, "mvpd": "M"}),
        )
    };
    let days =
        ["2026-11-02T20:00:00Z", "2026-11-03T20:00:00Z", "2026-11-04T20:00:00Z", "2026-11-05T20:00:00Z"];
    let [first, second] = [REQUESTOR, "REF40"].map(|requestor| days.map(|at| play(requestor, at)));
    world.deliver(first.iter().chain(&second).cloned());
    world.pass_hours(48);
    let reports = [
        ("first.json".to_owned(), esm_json(first.iter(), Grain::Hour)),
        ("second.json".to_owned(), esm_json(second[..1].iter(), Grain::Hour)),
    ];
    let options = world.options("2026-11-02", "2026-11-06");
    for order in [[0, 1], [1, 0]] {
        let reports = order.map(|place| reports[place].clone()).to_vec();
        let found = world.compare_with(&options, EsmSource::Reports(reports)).expect("a comparison");
        let of = |requestor: &str| -> Vec<Option<u64>> {
            found.cells.iter().filter(|cell| cell.requestor_id == requestor).map(|cell| cell.esm).collect()
        };
        assert_eq!((of(REQUESTOR), of("REF40")), (vec![Some(1); 4], vec![Some(1), None, None, None]));
        assert_eq!(found.verdict, Verdict::Agrees, "{:?}", found.remarks);
        let told = "nothing of REF40 on 2026-11-03 to 2026-11-05: compared without them";
        assert!(
            found.remarks.iter().any(|remark| remark.contains("no metric of authn_requested")),
            "{:?}",
            found.remarks
        );
        assert!(found.remarks.iter().any(|remark| remark.contains(told)), "{:?}", found.remarks);
    }
}
