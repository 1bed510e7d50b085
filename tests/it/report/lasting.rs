//! Metrics outlive what they were counted from: retention, erasure, kills, and the releases that had none.

use std::time::Duration;

use passbridge::buffer::{Buffer, Forget, Selection, Settled, Undecided};
use passbridge::clock::Clock;
use passbridge::config::BufferConfig;
use passbridge::event::{Instant, Property};
use passbridge::report::{Period, Report};
use serde_json::json;

use super::independent::{EVENTS, random_event, random_house};
use super::report_of;
use crate::program::Program;
use crate::support::{FIRST_SECOND, House, buffer_options, event, sandbox, subscriber};

/// 2026-11-08T00:00:00Z, after every event of these tests.
const LATER: i64 = FIRST_SECOND + 7 * 86_400;

/// Reports of all that these tests store, by everything that metrics keep.
fn reports(house: &House) -> [Report; 3] {
    let now = Instant::from_nanos(LATER * 1_000_000_000);
    let period =
        |from, to| Period::from_to(from, Some(to), chrono_tz::America::Los_Angeles, now).expect("a period");
    [
        report_of(
            house,
            period("2026-10-30", "2026-11-09"),
            &["requestor", "mvpd", "proxy", "device", "sdk_type", "day"],
        ),
        report_of(house, period("2026-11-02", "2026-11-03"), &["hour"]),
        report_of(house, period("2026-11-03T01:15:00Z", "2026-11-05T17:30:00Z"), &[]),
    ]
}

fn events(seed: u64, shared: bool) -> Vec<passbridge::event::PassEvent> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..EVENTS).map(|number| random_event(&mut random, FIRST_SECOND, 7, number, shared)).collect()
}

/// A buffer with these events, under a clock after them.
fn stored_later(events: Vec<passbridge::event::PassEvent>) -> House {
    let house = House::at(Clock::fixed(Instant::from_nanos(LATER * 1_000_000_000)));
    house.store(events);
    house
}

/// Sends everything, and lets retention delete it.
fn deliver_and_expire(house: &House) {
    let sandbox = sandbox("");
    let suite = house.suite(&sandbox.url());
    for requestor in ["REF40", "REF50"] {
        house.map(requestor, &suite);
    }
    let delivered = house.drain().delivered;
    let policy = BufferConfig { retention_days: 0, ..BufferConfig::default() };
    house.clock.set(Instant::from_nanos((LATER + 3600) * 1_000_000_000));
    assert_eq!(house.buffer.retain(&policy).expect("retention").expired_delivered, delivered);
    house.clock.set(Instant::from_nanos(LATER * 1_000_000_000));
}

fn count(house: &House, sql: &str) -> i64 {
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    database.query_row(sql, [], |row| row.get(0)).expect("a number")
}

#[test]
fn reports_are_the_same_after_retention_has_deleted_the_events() {
    let house = stored_later(events(11, true));
    let before = reports(&house);
    assert!(before[0].total.unique_users > Some(100) && before[0].rows.len() > 500);
    deliver_and_expire(&house);
    assert_eq!(count(&house, "SELECT count(*) FROM events"), 0);
    assert_eq!(reports(&house), before);
    house.assert_balanced();
    let period = Period::named("2026-11", chrono_tz::UTC, house.buffer.now()).expect("a period");
    let by_resource = report_of(&house, period, &["resource_id"]);
    assert_eq!(by_resource.rows, []);
    let remark = &by_resource.rows_note;
    assert!(
        remark.contains(" 0 of ") && remark.contains("before 2026-11-08T00:00:00Z some are gone"),
        "{remark}"
    );
}

#[test]
fn reports_are_the_same_after_a_person_was_forgotten_and_who_comes_back_is_somebody_else() {
    let house = stored_later(events(12, false));
    let before = reports(&house);
    let forget = subscriber("A", "uA7");
    let forget_now = || {
        let lock = house.buffer.lock_whole().expect("the lock");
        house.buffer.forget(&forget, &lock).expect("an erasure").events
    };
    let erased = forget_now();
    assert!(erased > 0);
    assert_eq!(reports(&house), before);
    house.assert_balanced();
    let withdrawn = "SELECT sum(units_00 + units_15 + units_30 + units_45) FROM metric_withdrawn";
    assert_eq!(count(&house, withdrawn), count(&house, "SELECT sum(erased_units) FROM ledger"));

    let back = |number: &str| {
        event(json!({
            "occurred_at": FIRST_SECOND + 86_400, "mvpd": "A", "mvpd_user_id": "uA7", "event_id": number,
        }))
    };
    let known = |report: &Report| report.total.unique_users.expect("known");
    let users = || known(&reports(&house)[0]);
    house.store([back("back")]);
    assert_eq!(users(), known(&before[0]) + 1);
    house.store([back("again")]);
    assert_eq!(users(), known(&before[0]) + 1);

    // Also where only the metrics are left.
    deliver_and_expire(&house);
    assert_eq!(forget_now(), 0);
    house.store([back("and again")]);
    assert_eq!(users(), known(&before[0]) + 2);
}

#[test]
fn a_visitor_who_is_forgotten_takes_the_user_of_their_events_along() {
    let house = House::new();
    let play = |number: &str| {
        event(
            json!({"mvpd": "A", "mvpd_user_id": "u", "visitor_id": "v", "event_id": number, "occurred_at": FIRST_SECOND}),
        )
    };
    house.store([play("1")]);
    let lock = house.buffer.lock_whole().expect("the lock");
    let forget = Forget { property: Property::VisitorId, mvpd: None, ..subscriber("", "v") };
    assert_eq!(house.buffer.forget(&forget, &lock).expect("an erasure").events, 1);
    drop(lock);
    house.store([play("2")]);
    assert_eq!(reports(&house)[0].total.unique_users, Some(2));
}

#[test]
fn what_is_discarded_and_expires_is_withdrawn() {
    let house = House::at(Clock::fixed(Instant::from_nanos(LATER * 1_000_000_000)));
    let sandbox = sandbox("");
    house.suite(&sandbox.url());
    // Dead by itself: it would take more hits than are sent for one event.
    house.store([
        event(json!({"count": 101, "mvpd": "A", "occurred_at": FIRST_SECOND + 900})),
        event(json!({"mvpd": "A"})),
    ]);
    assert_eq!(house.drain().dead, 1);
    house.buffer.settle(Undecided::Dead, &Selection::All, Settled::Discarded).expect("discarded");
    house.clock.set(Instant::from_nanos((LATER + 3600) * 1_000_000_000));
    house.buffer.retain(&BufferConfig { retention_days: 0, ..BufferConfig::default() }).expect("retention");
    let mut withdrawn = Vec::new();
    let hour = FIRST_SECOND / 3600;
    let reader = house.buffer.metrics().expect("a view");
    reader
        .each_withdrawn(hour, hour, |counted| withdrawn.push((counted.kind.name(), counted.units)))
        .expect("a look");
    assert_eq!(withdrawn, [("play_requested", [0, 101, 0, 0])]);
    house.assert_balanced();
}

/// A buffer of schema 4 with what this one has, at the end of a migration.
pub(crate) fn through_schema_4(house: &House) -> House {
    let old = House::new();
    let path = old.dir.path().join("old.db");
    std::fs::copy(crate::fixture::path("buffers/schema-4.sqlite"), &path).expect("a buffer of schema 4");
    let database = rusqlite::Connection::open(&path).expect("the database opens");
    let from = house.buffer.path().to_str().expect("UTF-8");
    database.execute("ATTACH ?1 AS later", [from]).expect("attached");
    let tables: Vec<String> = database
        .prepare(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                  AND name IN (SELECT name FROM later.sqlite_master)",
        )
        .and_then(|mut tables| tables.query_map([], |row| row.get(0))?.collect())
        .expect("tables");
    database.pragma_update(None, "foreign_keys", "OFF").expect("off");
    for table in tables {
        // Only the columns that the older schema has.
        let columns: String = database
            .query_row("SELECT group_concat(name) FROM pragma_table_info(?1, 'main')", [&table], |row| {
                row.get(0)
            })
            .expect("its columns");
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {columns} FROM later.{table};"
        );
        database.execute_batch(&copy).expect(&table);
    }
    database.execute_batch("DELETE FROM secrets WHERE name = 'metrics'; DETACH later;").expect("as it was");
    drop(database);
    let buffer = Buffer::open(&buffer_options(path, &house.clock)).expect("it is migrated");
    House { buffer: std::sync::Arc::new(buffer), clock: house.clock.clone(), ..old }
}

#[test]
fn a_buffer_of_the_schema_before_reports_what_a_fresh_ingest_does() {
    let house = stored_later(events(13, true));
    let old = through_schema_4(&house);
    assert_eq!(reports(&old), reports(&house));
    old.assert_balanced();
}

#[test]
fn what_had_expired_before_metrics_were_is_said_to_be_missing() {
    let house = stored_later(events(14, true));
    deliver_and_expire(&house);
    house.store(vec![event(
        json!({"occurred_at": LATER, "event_id": "late", "mvpd": "A", "mvpd_user_id": "u"}),
    )]);
    let old = through_schema_4(&house);
    old.assert_balanced();
    let all = &reports(&old)[0];
    assert_eq!((all.total.events[6], all.total.unique_users), (Some(1), Some(1)));
    assert!(
        all.remarks[1].contains("Before 2026-11-07T16:00:00-08:00 metrics are not whole"),
        "{:?}",
        all.remarks
    );
    let period = Period::from_to(
        "2026-11-08T00:00:00Z",
        Some("2026-11-08T01:00:00Z"),
        chrono_tz::UTC,
        old.buffer.now(),
    );
    let whole = report_of(&old, period.expect("a period"), &[]);
    assert!(!whole.remarks.iter().any(|remark| remark.contains("not whole")), "{:?}", whole.remarks);
}

#[test]
fn an_ingest_that_was_killed_and_repeated_reports_what_one_ingest_does() {
    let lines: String = events(15, true)
        .iter()
        .map(|event| format!("{}\n", serde_json::to_string(event).expect("JSON")))
        .collect();
    // Enough for several portions, so that a kill meets some of them stored.
    let lines: String =
        (0..20).map(|copy| lines.replace("\"event_id\":\"", &format!("\"event_id\":\"{copy}-"))).collect();
    let ask =
        |program: &Program| program.json(&["report", "--period", "2026-11", "--by", "mvpd", "--by", "day"]).1;
    let (killed, whole) = (Program::new(), Program::new());
    for program in [&killed, &whole] {
        program.write("events.ndjson", &lines);
    }
    let path = killed.path("events.ndjson");
    let path = path.to_str().expect("UTF-8");
    for pause_ms in [40, 120, 250, 400] {
        let mut ingest = killed.command(&["ingest", path]).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(pause_ms));
        ingest.kill().expect("the ingest is killed");
        ingest.wait().expect("the ingest ends");
        let (code, status) = killed.json(&["status", "--verify"]);
        assert_eq!((code, &status["discrepancies"]), (0, &json!([])));
    }
    assert_eq!(killed.run(&["ingest", path]).code, 0);
    assert_eq!(whole.run(&["ingest", whole.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    assert_eq!(ask(&killed), ask(&whole));
}

#[test]
fn metrics_that_differ_from_the_ledger_are_found() {
    let house = random_house(16, FIRST_SECOND, true);
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    database.execute("UPDATE metric_counts SET units_15 = units_15 + 1 WHERE hour = (SELECT min(hour) FROM metric_counts) AND slot = (SELECT min(slot) FROM metric_counts WHERE hour = (SELECT min(hour) FROM metric_counts))", []).expect("the damage");
    let found = house.buffer.verify().expect("a recount");
    assert!(!found.is_empty() && found.iter().all(|each| each.state == "metrics"), "{found:?}");
}
