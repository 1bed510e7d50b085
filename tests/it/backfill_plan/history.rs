//! What a plan knows of the past: deliveries, ages, order; events that wait in the buffer; and how long things take.

use std::time::Duration;

use passbridge::backfill::{Limit, plan_buffered};
use passbridge::event::EventKind;
use passbridge::suite::SuiteState;

use super::*;

fn rsid() -> passbridge::suite::Rsid {
    crate::support::rsid()
}

/// A play request of a visitor.
fn play(second: i64, visitor: &str) -> PassEvent {
    event(json!({"occurred_at": second, "mvpd_user_id": visitor}))
}

fn at(second: i64) -> Instant {
    Instant::from_nanos(second * 1_000_000_000)
}

#[test]
fn days_that_were_delivered_and_visitors_that_are_ahead_are_told() {
    let sandbox = sandbox("");
    let desk = Desk::new();
    desk.house.suite(&sandbox.url());
    // Three visitors on the 2nd, one of them on the 4th too.
    let second = FIRST_SECOND + DAY_SECONDS;
    desk.house.store([
        play(second, "a"),
        play(second + 1, "b"),
        play(second + 2, "c"),
        play(second + 2 * DAY_SECONDS, "a"),
    ]);
    assert_eq!(desk.house.drain().delivered, 4);
    // On the 1st; the same second as was sent; later than what `c` was sent; on a day without deliveries; and one known.
    let input = desk.events(
        "a.ndjson",
        &[
            play(FIRST_SECOND, "a"),
            play(FIRST_SECOND, "new"),
            event(json!({"occurred_at": second + 1, "mvpd_user_id": "b", "mvpd": "M"})),
            play(second + 3, "c"),
            play(second + DAY_SECONDS, "a"),
            play(second, "a"),
        ],
    );
    let plan = desk.plan(&[&input]);
    assert_eq!((plan.total.events, plan.total.duplicates_in_buffer), (5, 1));
    assert_eq!(
        plan.warnings,
        [
            Warning::DeliveredDays {
                rsid: rsid(),
                requestor_id: requestor_id(REQUESTOR),
                days: 1,
                first_day: day("2026-11-02"),
                last_day: day("2026-11-02"),
                delivered_events: 3,
                events: 2,
            },
            Warning::OutOfOrder { rsid: rsid(), visitors: 1, hits_at_most: 2 },
        ]
    );
}

#[test]
fn of_many_visitors_each_is_told_once() {
    let sandbox = sandbox("");
    let desk = Desk::new();
    desk.house.suite(&sandbox.url());
    let of_day = |day: i64| (0..700).map(move |number| play(day * DAY_SECONDS, &format!("v{number}")));
    let first = FIRST_SECOND / DAY_SECONDS;
    for day in [first + 3, first + 4] {
        desk.house.store(of_day(day));
        assert_eq!(desk.house.drain().delivered, 700);
    }
    let later = (700..1_000).map(|number| play(FIRST_SECOND, &format!("v{number}")));
    let input = desk.events("a.ndjson", &of_day(first).chain(later).collect::<Vec<_>>());
    let plan = desk.plan(&[&input]);
    assert_eq!(plan.total.visitors, 1_000);
    assert_eq!(plan.warnings, [Warning::OutOfOrder { rsid: rsid(), visitors: 700, hits_at_most: 700 }]);
}

#[test]
fn old_events_and_those_ahead_are_told_from_the_others() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let of_age = |seconds: i64| play(NOW_SECOND - seconds, "a");
    let input = desk.events(
        "a.ndjson",
        &[
            of_age(-200),
            of_age(92 * DAY_SECONDS),
            of_age(92 * DAY_SECONDS + 1),
            of_age(760 * DAY_SECONDS),
            of_age(760 * DAY_SECONDS + 1),
            of_age(900 * DAY_SECONDS),
        ],
    );
    assert_eq!(
        desk.plan(&[&input]).warnings,
        [
            Warning::BeyondRetention {
                rsid: rsid(),
                events: 2,
                oldest_at: at(NOW_SECOND - 900 * DAY_SECONDS)
            },
            Warning::Old { rsid: rsid(), events: 2, oldest_at: at(NOW_SECOND - 760 * DAY_SECONDS) },
            Warning::Future { rsid: rsid(), events: 1, latest_at: at(NOW_SECOND + 200) },
        ]
    );
}

#[test]
fn events_of_a_paused_suite_are_planned_and_told() {
    let desk = Desk::new();
    desk.house.suite_with(NOWHERE, |suite| suite.state = SuiteState::Paused);
    let plan = desk.plan(&[&desk.events("a.ndjson", &plays(3))]);
    assert_eq!(plan.warnings, [Warning::SuitePaused { rsid: rsid(), events: 3 }]);
    assert_eq!(plan.by_dia.requests, 3);
}

#[test]
fn events_that_wait_are_planned_within_their_window() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    // More than are read at a time; a second apart, from the 1st at midnight on.
    desk.house.store(plays(3_000));
    desk.house.store([event(json!({"requestor_id": "REF50", "occurred_at": FIRST_SECOND + 10}))]);
    let plan_of = |from: i64, to: i64| {
        plan_buffered(&desk.house.buffer, at(FIRST_SECOND + from), at(FIRST_SECOND + to), &Rates::default())
            .expect("a plan")
    };
    let plan = plan_of(10, 2_500);
    assert_eq!(
        plan.total,
        Counts { events: 2_491, units: 2_491, hits: 2_490, visitors: 2_490, ..Counts::default() }
    );
    assert!(plan.inputs.is_empty());
    assert_eq!(plan.window.expect("a window").from, at(FIRST_SECOND + 10));
    let [Warning::NoSuite { events: 1, .. }] = plan.warnings.as_slice() else {
        panic!("{:?}", plan.warnings)
    };
    assert_eq!(plan_of(0, 1).total.events, 1);
    assert_eq!(plan_of(3_000, 9_000).total, Counts::default());
    assert_eq!(plan_of(9, 9).total, Counts::default());
}

#[test]
fn the_slowest_limit_decides_how_long_it_takes_hit_by_hit() {
    let rate = |rate: u32| rate.try_into().expect("a rate");
    for (lanes, hits_per_second, of_suite, seconds, limited_by) in [
        (4, None, None, 13, Limit::Lanes),
        (4, Some(10), None, 13, Limit::Lanes),
        (64, Some(10), None, 10, Limit::HostRate),
        (64, Some(10), Some(20), 10, Limit::HostRate),
        (64, Some(10), Some(3), 34, Limit::SuiteRate(rsid())),
        (4, None, Some(7), 15, Limit::SuiteRate(rsid())),
    ] {
        let desk = Desk::new();
        desk.house.suite_with(NOWHERE, |suite| suite.hits_per_second = of_suite.map(rate));
        let input = desk.events("a.ndjson", &plays(100));
        let rates = Rates {
            lanes: rate(lanes),
            request_latency: Duration::from_millis(500),
            hits_per_second: hits_per_second.map(rate),
            ..Rates::default()
        };
        let plan = desk.plan_at(&[&input], &rates);
        let [host] = plan.by_dia.hosts.as_slice() else { panic!("one host") };
        assert_eq!(
            (plan.by_dia.seconds, &host.limited_by),
            (seconds, &limited_by),
            "{lanes} {hits_per_second:?}"
        );
        assert_eq!(host.host, "example.sc.omtrdc.net");
    }
}

#[test]
fn groups_intervals_and_calls_decide_how_long_bulk_files_take() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let input = desk.events("a.ndjson", &plays(100));
    let number = |number: u32| number.try_into().expect("a number");
    for (rows_per_second, rows_per_file, call_seconds, groups, files, seconds) in [
        // One group, one file.
        (2_000, 40_000, 1, 1, 1, 20),
        (1, 40_000, 1, 1, 1, 20),
        // Ten files, 20 s each.
        (2_000, 10, 1, 1, 10, 200),
        // 34, 33 and 33 rows: four files each, side by side.
        (5_000, 10, 1, 3, 12, 80),
        // 12 calls, 10 s each.
        (5_000, 10, 10, 3, 12, 120),
        // More groups than rows.
        (400_000, 10, 1, 200, 100, 100),
    ] {
        let mut rates = Rates { rows_per_second: number(rows_per_second), ..Rates::default() };
        rates.limits.file_rows = rows_per_file;
        rates.limits.call_spacing_ms = call_seconds * 1_000;
        let bulk = desk.plan_at(&[&input], &rates).by_bulk;
        assert_eq!((bulk.visitor_groups, bulk.files, bulk.seconds), (groups, files, seconds), "{rates:?}");
    }
}

#[test]
fn one_visitor_for_everybody_is_told_and_slows_everything() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let everybody = |count: i64| {
        let constant = (0..count).map(|second| play(FIRST_SECOND + second, "guest"));
        constant.chain(plays(10)).collect::<Vec<_>>()
    };
    let plan = desk.plan(&[&desk.events("a.ndjson", &everybody(2_501))]);
    assert_eq!(plan.warnings, [Warning::GiantVisitor { rsid: rsid(), hits: 2_501, of_hits: 2_511 }]);
    // One request of 100 ms after the other.
    assert_eq!((plan.by_dia.seconds, &plan.by_dia.hosts[0].limited_by), (251, &Limit::Visitor(rsid())));
    assert!(desk.plan(&[&desk.events("b.ndjson", &everybody(2_500))]).warnings.is_empty());
    let mut rates = Rates { rows_per_second: 20_000.try_into().expect("10 groups"), ..Rates::default() };
    rates.limits.file_rows = 500;
    // Six files of its group, 20 s each; nine others share ten rows.
    let bulk = desk.plan_at(&[&desk.events("c.ndjson", &everybody(2_501))], &rates).by_bulk;
    assert_eq!((bulk.visitor_groups, bulk.files, bulk.seconds), (10, 15, 120));
}

#[test]
fn an_input_that_breaks_off_is_planned_as_far_as_it_goes() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let whole = desk.events("a.ndjson", &plays(2_000));
    let packed = gzip(&std::fs::read_to_string(&whole).expect("text"));
    let cut = desk.file("cut.ndjson.gz", &packed[..packed.len() / 2]);
    let missing = desk.house.dir.path().join("missing.ndjson");
    let plan = desk.plan(&[&cut, &missing]);
    assert!((1..2_000).contains(&plan.total.events));
    let failures: Vec<_> = plan.failures.iter().map(|failure| failure.path.as_str()).collect();
    assert_eq!(failures, [cut.to_str().expect("UTF-8"), missing.to_str().expect("UTF-8")]);
}

#[test]
fn many_days_are_shown_by_month() {
    let desk = Desk::new();
    desk.house.suite(NOWHERE);
    let events: Vec<PassEvent> = (0..70).map(|day| play(NOW_SECOND - day * DAY_SECONDS, "a")).collect();
    let text = desk.plan(&[&desk.events("a.ndjson", &events)]).to_string();
    // 20 days of November, 31 of October, 19 of September.
    for row in [
        "month (UTC)  events  units  hits  visitors",
        "examplersid         2026-09          19     19    19  -",
        "examplersid         2026-10          31     31    31  -",
        "examplersid         2026-11          20     20    20  -",
    ] {
        assert!(text.contains(row), "{text}");
    }
}

#[test]
fn the_text_is_what_a_person_reads() {
    let desk = Desk::new();
    desk.house.suite_with(NOWHERE, |suite| suite.state = SuiteState::Paused);
    let mut events: Vec<PassEvent> = (0..3).map(|day| play(FIRST_SECOND + day * DAY_SECONDS, "a")).collect();
    events
        .push(event(json!({"event": EventKind::ALL[0].name(), "requestor_id": "REF50", "session_id": "s"})));
    events.push(events[0].clone());
    let input = desk.events("a.ndjson", &events);
    let mut plan = desk.plan(&[&input]);
    // The folder has another name each time.
    plan.inputs[0].path = "archive/2026-11.ndjson".to_owned();
    let text = plan.to_string();
    assert_eq!(text, std::fs::read_to_string(fixture::path("cli/backfill-plan.txt")).expect("a golden file"));
}
