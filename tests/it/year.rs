//! The cases that a year of unattended running brings.

use passbridge::buffer::{AfterRestore, Buffer, BufferError, Requeue, Selection, Settled, Undecided};
use passbridge::clock::Clock;
use passbridge::config::BufferConfig;
use passbridge::drain::DrainError;
use passbridge::event::Instant;
use passbridge::suite::{EventIds, IdentityKind, OnAmbiguous, SuiteState};
use serde_json::json;

use crate::support::{
    FIRST_SECOND, House, REQUESTOR, buffer_options, counted, event, plays, report_suite, requestor_id, rsid,
    sandbox, subscriber,
};

const DAY_SECONDS: i64 = 86_400;

fn instant(unix_seconds: i64) -> Instant {
    Instant::from_nanos(unix_seconds * 1_000_000_000)
}

/// A house under a clock that stands a day after the first event.
fn house_on_the_day_after() -> House {
    House::at(Clock::fixed(instant(FIRST_SECOND + DAY_SECONDS)))
}

#[test]
fn events_of_a_requestor_without_a_suite_are_parked_and_flow_once_it_has_one() {
    let sandbox = sandbox("");
    let house = House::new();
    house.store(plays(5));
    let summary = house.drain();
    assert_eq!((summary.read, summary.pending, summary.parked, summary.left), (0, 5, 5, false));
    house.suite(&sandbox.url());
    assert_eq!(house.drain().delivered, 5);
}

#[test]
fn a_paused_suite_keeps_its_events_and_a_resumed_one_sends_them() {
    let sandbox = sandbox("");
    let house = House::new();
    let mut suite = house.suite(&sandbox.url());
    suite.state = SuiteState::Paused;
    house.buffer.set_suite(suite.clone()).expect("the suite is paused");
    house.store(plays(5));
    let summary = house.drain();
    assert_eq!((summary.read, summary.parked, summary.left), (0, 5, false));
    suite.state = SuiteState::Active;
    house.buffer.set_suite(suite).expect("the suite is resumed");
    assert_eq!(house.drain().delivered, 5);
}

#[test]
fn pausing_a_suite_stops_a_drain_that_is_under_way() {
    let sandbox = sandbox("latency=20ms");
    let house = House::new();
    let mut suite = house.suite(&sandbox.url());
    house.store(plays(2_000));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(10, crate::support::PATIENCE));
            suite.state = SuiteState::Paused;
            let other = Buffer::open(&buffer_options(house.buffer.path().to_owned(), &house.clock))
                .expect("it opens");
            other.set_suite(suite).expect("the suite is paused");
        });
        house.drain()
    });
    assert!(summary.delivered < 2_000 && summary.parked == summary.pending, "{summary:?}");
    assert_eq!((summary.left, summary.stopped), (false, None));
    house.assert_balanced();
}

#[test]
fn a_requestor_maps_to_one_suite_and_the_database_itself_says_so() {
    let house = House::new();
    house.suite("http://127.0.0.1:9");
    let other = report_suite("otherrsid", "http://127.0.0.1:9");
    let refused = house.buffer.add_suite(other, vec![requestor_id(REQUESTOR)]).expect_err("a second mapping");
    assert!(matches!(refused, BufferError::MappedElsewhere { .. }), "{refused}");
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    database
        .execute_batch(
            "INSERT INTO suites (suite, rsid, form, collection_url, on_ambiguous, state)
             SELECT 99, 'third', form, collection_url, on_ambiguous, state FROM suites",
        )
        .expect("another suite");
    let forced = database.execute("INSERT INTO mappings SELECT requestor, 99 FROM mappings", []);
    assert!(forced.expect_err("the mapping is refused").to_string().contains("UNIQUE"));
}

#[test]
fn a_suite_with_undecided_events_is_not_retired() {
    let sandbox = sandbox("timeout-after");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(1));
    let summary = house.drain_hastily(|options| options.retry.max_attempts = 1);
    assert_eq!((summary.in_doubt, summary.pending), (1, 1));
    let refused = house.buffer.remove_suite(&rsid()).expect_err("the suite is undecided");
    assert!(matches!(refused, BufferError::Undecided { in_doubt: 1, held: 0, .. }), "{refused}");
    let refused =
        house.buffer.unmap_requestor(&rsid(), &requestor_id(REQUESTOR)).expect_err("so is its requestor");
    assert!(matches!(refused, BufferError::Undecided { .. }), "{refused}");
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 1);
    house.buffer.remove_suite(&rsid()).expect("now it can be retired");
}

#[test]
fn a_retired_suite_parks_what_waits_and_a_moved_requestor_sends_it_elsewhere() {
    let sandbox = sandbox("");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(3));
    house.buffer.remove_suite(&rsid()).expect("the suite is retired");
    assert_eq!(house.drain().parked, 3);
    house.map(REQUESTOR, &report_suite("otherrsid", &sandbox.url()));
    assert_eq!(house.drain().delivered, 3);
    assert_eq!(sandbox.counted("otherrsid").iter().sum::<u64>(), 3);
}

#[test]
fn settings_that_change_under_attempts_in_doubt_do_not_change_their_repeat() {
    let sandbox = sandbox("reset-after only-evar6=0; status=503 only-evar6=1");
    let house = House::new();
    let mut suite = house.suite(&sandbox.url());
    house.store(plays(2));
    house.drain_with(|options| options.retry.max_attempts = 1).expect("a drain");
    suite.form.identity = IdentityKind::Ecid;
    suite.form.event_ids = EventIds::Off;
    house.buffer.set_suite(suite).expect("the settings change");
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.drain().delivered, 2);
    let hits = sandbox.hits();
    let of = |number: &str| {
        hits.iter().filter(|hit| hit.evars.get(&6).map(String::as_str) == Some(number)).collect::<Vec<_>>()
    };
    let (doubted, fresh) = (of("0"), of("1"));
    assert_eq!(doubted.len(), 2);
    assert_eq!((&doubted[0].serial, &doubted[0].visitor), (&doubted[1].serial, &doubted[1].visitor));
    assert_eq!(fresh[0].serial, None, "an attempt that was surely not received freezes nothing");
    assert_eq!(counted(&sandbox), 2);
}

#[test]
fn hold_turned_on_later_holds_what_is_in_doubt() {
    let sandbox = sandbox("timeout-after");
    let house = House::new();
    let mut suite = house.suite(&sandbox.url());
    house.store(plays(1));
    house.drain_hastily(|options| options.retry.max_attempts = 1);
    suite.on_ambiguous = OnAmbiguous::Hold;
    house.buffer.set_suite(suite).expect("the policy changes");
    sandbox.set_faults("".parse().expect("no faults"));
    let summary = house.drain();
    assert_eq!((summary.held, summary.delivered), (1, 0));
    assert_eq!(
        house.buffer.settle(Undecided::Held, &Selection::All, Settled::Delivered).expect("it is settled"),
        1
    );
    assert_eq!(house.buffer.status().expect("a status").over_count.worst_case_units, 0);
    house.buffer.remove_suite(&rsid()).expect("nothing is undecided any more");
    house.assert_balanced();
}

#[test]
fn a_requeue_that_may_double_is_left_until_it_is_wanted() {
    let sandbox = sandbox("reset-after");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| {
        suite.form.event_ids = EventIds::Off;
        suite.on_ambiguous = OnAmbiguous::Hold;
    });
    house.store(plays(1));
    assert_eq!(house.drain().held, 1);
    sandbox.set_faults("".parse().expect("no faults"));
    let asked =
        house.buffer.requeue(Undecided::Held, &Selection::All, Requeue::OnlyExact).expect("a question");
    assert_eq!((asked.requeued, asked.may_double), (0, 1));
    let told =
        house.buffer.requeue(Undecided::Held, &Selection::All, Requeue::EvenIfDoubled).expect("an answer");
    assert_eq!((told.requeued, told.may_double), (1, 0));
    assert_eq!(house.drain().delivered, 1);
    house.assert_balanced();
}

#[test]
fn a_file_ingested_again_after_retention_is_still_a_duplicate_until_the_dedup_days_are_over() {
    let sandbox = sandbox("");
    let house = house_on_the_day_after();
    house.suite(&sandbox.url());
    house.store(plays(10));
    assert_eq!(house.drain().delivered, 10);
    house.buffer.retain(&BufferConfig::default()).expect("a look at the clock");
    for day in (5..36).step_by(5) {
        house.clock.set(instant(FIRST_SECOND + day * DAY_SECONDS));
        house.buffer.retain(&BufferConfig::default()).expect("retention");
    }
    let status = house.buffer.status().expect("a status");
    assert_eq!((status.delivered, status.accounting.expired_delivered.events), (0, 10));
    assert_eq!(house.store(plays(10)).duplicates, 10);
    for day in (40..460).step_by(5) {
        house.clock.set(instant(FIRST_SECOND + day * DAY_SECONDS));
        house.buffer.retain(&BufferConfig::default()).expect("retention");
    }
    assert_eq!(house.store(plays(10)).stored, 10);
    house.assert_balanced();
}

#[test]
fn retention_never_takes_what_waits_is_held_or_is_dead() {
    let sandbox = sandbox("failure=\"Syntax Error\" only-evar6=0; reset-after only-evar6=1");
    let house = house_on_the_day_after();
    house.suite_with(&sandbox.url(), |suite| suite.on_ambiguous = OnAmbiguous::Hold);
    house.store(plays(3));
    house.store([event(json!({"requestor_id": "PARKED"}))]);
    house.drain_with(|options| options.lanes = 1).expect("a drain");
    for day in (1..90).step_by(5) {
        house.clock.set(instant(FIRST_SECOND + day * DAY_SECONDS));
        house.buffer.retain(&BufferConfig::default()).expect("retention");
    }
    let status = house.buffer.status().expect("a status");
    assert_eq!((status.pending, status.dead, status.held), (1, 1, 1));
}

#[test]
fn a_clock_that_jumps_during_the_first_drain_deletes_nothing_of_it() {
    let sandbox = sandbox("");
    let house = house_on_the_day_after();
    house.suite(&sandbox.url());
    house.store(plays(10));
    house.drain();
    // Nobody has looked at the clock before.
    house.clock.set(instant(2_096_000_000));
    let report = house.buffer.retain(&BufferConfig::default()).expect("retention");
    assert_eq!((report.clock_jumped, report.expired_delivered), (true, 0));
}

#[test]
fn a_clock_set_to_2036_deletes_nothing_until_somebody_vouches_for_it() {
    let sandbox = sandbox("");
    let house = house_on_the_day_after();
    house.suite(&sandbox.url());
    house.store(plays(10));
    house.drain();
    house.buffer.retain(&BufferConfig::default()).expect("a look at the clock");
    let in_2036 = 2_096_000_000;
    for hour in 0..3 {
        house.clock.set(instant(in_2036 + hour * 3_600));
        let report = house.buffer.retain(&BufferConfig::default()).expect("retention");
        assert_eq!((report.clock_jumped, report.expired_delivered), (true, 0));
    }
    house.clock.set(instant(FIRST_SECOND + 2 * DAY_SECONDS));
    assert_eq!(house.buffer.retain(&BufferConfig::default()).expect("retention").expired_delivered, 0);
    assert_eq!(house.buffer.status().expect("a status").delivered, 10);
    house.clock.set(instant(in_2036));
    house.buffer.trust_clock().expect("somebody vouches");
    assert_eq!(house.buffer.retain(&BufferConfig::default()).expect("retention").expired_delivered, 10);
    house.assert_balanced();
}

#[test]
fn what_is_erased_is_gone_from_every_byte_and_its_file_is_still_a_duplicate() {
    let secret = "marked-secret-7531";
    let sandbox = sandbox("");
    let house = House::new();
    house.suite(&sandbox.url());
    let of = |user: &str, number: i64| {
        event(json!({"occurred_at": FIRST_SECOND + number, "mvpd": "Cablevision", "mvpd_user_id": user}))
    };
    house.store((0..5).map(|number| of(secret, number)));
    house.store((0..5).map(|number| of("somebody-else", number)));
    assert_eq!(house.drain().delivered, 10);
    house.store([of(secret, 100)]);
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    let row = json!({"mvpd": "Cablevision", "mvpd_user_id": secret}).to_string();
    database.execute("INSERT INTO inbox VALUES (?1)", [row]).expect("an inbox row");
    drop(database);
    let forget = subscriber("Cablevision", secret);
    let forgotten =
        house.buffer.forget(&forget, &house.buffer.lock_whole().expect("the locks")).expect("an erasure");
    assert_eq!((forgotten.events, forgotten.inbox_rows), (6, 1));
    for entry in std::fs::read_dir(house.dir.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "{path:?} holds the secret"
        );
    }
    assert_eq!(house.store((0..5).map(|number| of(secret, number))).duplicates, 5);
    assert_eq!(house.buffer.status().expect("a status").accounting.erased.events, 6);
    house.assert_balanced();
}

#[test]
fn a_restored_backup_asks_before_it_repeats_what_the_original_delivered() {
    let sandbox = sandbox("");
    let house = House::new();
    house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
    house.store(plays(3));
    let copy = house.dir.path().join("copy.db");
    house.buffer.backup(&copy, &|| true).expect("a backup");
    let restored = House {
        dir: tempfile::TempDir::new().expect("a folder"),
        clock: house.clock.clone(),
        buffer: std::sync::Arc::new(
            Buffer::open(&buffer_options(copy, &house.clock)).expect("the copy opens"),
        ),
    };
    let refused = restored.drain_with(|_| {}).expect_err("a question");
    assert!(matches!(refused, DrainError::Buffer(BufferError::Restored { .. })), "{refused}");
    let summary =
        restored.drain_with(|options| options.after_restore = AfterRestore::Accept).expect("a drain");
    assert_eq!(summary.delivered, 3);
    assert_eq!(restored.drain().delivered, 0);
}

#[test]
fn two_names_of_one_buffer_share_one_lock() {
    let house = House::new();
    let link = house.dir.path().join("other-name.db");
    std::os::unix::fs::symlink(house.buffer.path(), &link).expect("a link");
    let other = Buffer::open(&buffer_options(link, &house.clock)).expect("it opens");
    let held = house.buffer.lock().expect("the lock");
    assert!(matches!(other.lock(), Err(BufferError::Locked(_))));
    drop(held);
    assert!(other.lock().is_ok());
}

#[test]
fn a_buffer_of_a_later_release_is_refused_and_another_programs_file_too() {
    let house = House::new();
    let path = house.buffer.path().to_owned();
    rusqlite::Connection::open(&path)
        .and_then(|database| database.pragma_update(None, "user_version", 99))
        .expect("a newer schema");
    let refused = Buffer::open(&buffer_options(path, &house.clock)).expect_err("a newer schema");
    assert!(matches!(refused, BufferError::Newer { found: 99, .. }), "{refused}");
    let foreign = house.dir.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)
        .and_then(|database| database.execute_batch("CREATE TABLE t (x)"))
        .expect("a file");
    let refused = Buffer::open(&buffer_options(foreign, &house.clock)).expect_err("another program's");
    assert!(matches!(refused, BufferError::NotABuffer(_)), "{refused}");
    let missing =
        Buffer::open(&buffer_options(house.dir.path().join("none.db"), &house.clock)).expect_err("no file");
    assert!(matches!(missing, BufferError::Missing(_)), "{missing}");
}

#[test]
fn events_stored_while_a_drain_runs_wait_for_the_next() {
    let sandbox = sandbox("latency=20ms");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(200));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(5, crate::support::PATIENCE));
            house.store([event(json!({"occurred_at": FIRST_SECOND + 10_000, "mvpd_user_id": "later"}))]);
        });
        house.drain()
    });
    assert_eq!((summary.delivered, summary.pending, summary.left), (200, 1, false));
    assert_eq!(house.drain().delivered, 1);
}

#[test]
fn the_over_count_outlives_the_events_that_it_is_of() {
    // Sent three times; seven units, sent twice; refused after a doubt; never in doubt.
    let sandbox = sandbox(
        "reset-after only-evar6=0 first=2; reset-after only-evar6=1 first=1; reset-after only-evar6=2 first=1; \
         failure=BAD only-evar6=2",
    );
    let house = house_on_the_day_after();
    let mut suite = house.suite_with(&sandbox.url(), |suite| suite.form.event_ids = EventIds::Off);
    let store = |numbers: std::ops::Range<i64>| {
        house.store(numbers.map(|number| {
            event(json!({
                "occurred_at": FIRST_SECOND + number, "mvpd": "Cablevision", "mvpd_user_id": format!("user{number}"),
                "resource_id": number.to_string(), "count": if number == 1 { 7 } else { 1 },
            }))
        }));
    };
    let drain = || house.drain_with(|options| options.lanes = 1).expect("a drain");
    store(0..4);
    let summary = drain();
    assert_eq!((summary.delivered, summary.dead), (3, 1));
    // Doubted once and not sent again: held, discarded and vouched for.
    suite.on_ambiguous = OnAmbiguous::Hold;
    house.buffer.set_suite(suite.clone()).expect("the policy changes");
    sandbox.set_faults("reset-after".parse().expect("a fault"));
    store(10..13);
    assert_eq!(drain().held, 3);
    let held = house.buffer.undecided(Undecided::Held, &Selection::All, 9).expect("held events");
    let only = |place: usize| Selection::Sequences(vec![held[place].seq]);
    assert_eq!(
        house.buffer.settle(Undecided::Held, &only(0), Settled::Discarded).expect("it is discarded"),
        1
    );
    assert_eq!(house.buffer.settle(Undecided::Held, &only(1), Settled::Delivered).expect("it is settled"), 1);
    // A repeat with an event ID counts once.
    (suite.on_ambiguous, suite.form.event_ids) = (OnAmbiguous::Retry, EventIds::On);
    house.buffer.set_suite(suite.clone()).expect("the settings change");
    sandbox.set_faults("reset-after first=1".parse().expect("a fault"));
    store(20..21);
    assert_eq!(drain().delivered, 1);
    // An attempt that a killed run left.
    store(21..22);
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    let claim =
        "INSERT INTO waves (run, wave, form, seqs) SELECT 1, 1, (SELECT form FROM forms WHERE event_ids = 'off'),
         json_array(max(seq)) FROM events";
    assert_eq!(database.execute(claim, []).expect("a claim"), 1);
    let over_count = || {
        let over_count = house.buffer.status().expect("a status").over_count;
        (over_count.events, over_count.worst_case_units)
    };
    assert_eq!(over_count(), (3, 2 + 7 + 1));
    for day in (1..40).step_by(5) {
        house.clock.set(instant(FIRST_SECOND + day * DAY_SECONDS));
        house.buffer.retain(&BufferConfig::default()).expect("retention");
    }
    let status = house.buffer.status().expect("a status");
    assert_eq!((status.delivered, status.discarded, over_count()), (0, 0, (3, 10)));
    for number in [2, 10, 11, 12, 21] {
        let mvpd_user_id = format!("user{number}");
        let forget = subscriber("Cablevision", &mvpd_user_id);
        let lock = house.buffer.lock_whole().expect("the locks");
        house.buffer.forget(&forget, &lock).expect("an erasure");
        assert_eq!(over_count(), (3, 10), "{number}");
    }
    house.assert_balanced();
}

#[test]
fn a_backup_taken_during_a_drain_is_whole() {
    let sandbox = sandbox("latency=2ms");
    let house = House::new();
    house.suite(&sandbox.url());
    house.store(plays(2_000));
    let copy = house.dir.path().join("copy.db");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(sandbox.wait_accepted(50, crate::support::PATIENCE));
            house.buffer.backup(&copy, &|| true).expect("a backup");
        });
        assert_eq!(house.drain().delivered, 2_000);
    });
    let restored = Buffer::open(&buffer_options(copy, &house.clock)).expect("the copy opens");
    assert_eq!(restored.verify().expect("a recount"), []);
    let status = restored.status().expect("a status");
    assert_eq!(status.accounting.ingested.events, 2_000);
    assert!(status.pending > 0, "the copy was taken after the drain");
}

#[test]
fn a_recount_finds_every_row_that_was_tampered_with() {
    for damage in [
        "DELETE FROM queue WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "INSERT INTO delivered (seq, occurred_at, delivered_at) VALUES (3, 0, 0)",
        "UPDATE events SET count = 7 WHERE seq = 3",
        "INSERT INTO discarded (seq, discarded_at) VALUES (99, 0)",
    ] {
        let house = House::new();
        house.store(plays(5));
        let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
        database.execute_batch(damage).expect("some damage");
        assert_ne!(house.buffer.verify().expect("a recount"), [], "{damage}");
    }
}

#[test]
fn a_buffer_with_a_second_name_is_refused() {
    let house = House::new();
    std::fs::hard_link(house.buffer.path(), house.dir.path().join("second.db")).expect("a hard link");
    let refused =
        Buffer::open(&buffer_options(house.buffer.path().to_owned(), &house.clock)).expect_err("two names");
    assert!(matches!(refused, BufferError::SecondName { .. }), "{refused}");
}

#[test]
fn a_broken_line_is_forgotten_with_the_person_that_it_names_however_it_is_broken() {
    let forget = subscriber("Sling", "user-17");
    for (text, concerns) in [
        (r#"{"mvpd":"Sling","mvpd_user_id":"user-17"}"#, true),
        (r#"{"data":{"mvpd":"Sling","mvpd_user_id":"user-17"}}"#, true),
        (r#"{"mvpd":"Sling","mvpd_user_id":"user-17","mvpd_user_id":"other"}"#, true),
        (r#"{"mvpd":"Sling","mvpdUserId":"user-17"}"#, true),
        (r#"{"mvpd":"Sling ","mvpd_user_id":" user-17 "}"#, true),
        (r#"{"mvpd_user_id":"user-17"}"#, true),
        (r#"{"mvpd":"Sling","mvpd_user_id":"\u0075ser-17"}"#, true),
        (r#"{"mvpd":"Sling","mvpd_user_id":"user-17""#, true),
        (r#"{"mvpd":"Other","mvpd_user_id":"user-17"}"#, false),
        (r#"{"mvpd":"Sling","mvpd_user_id":"user-171"}"#, false),
        ("", false),
    ] {
        assert_eq!(forget.concerns(text), concerns, "{text}");
    }
}

#[test]
fn a_damaged_file_is_no_proof_of_an_account_that_balances() {
    let house = House::new();
    house.store(plays(500));
    let path = house.buffer.path().to_owned();
    let database = rusqlite::Connection::open(&path).expect("the database opens");
    database.pragma_update(None, "wal_checkpoint", "TRUNCATE").expect("a checkpoint");
    drop(database);
    let mut bytes = std::fs::read(&path).expect("the file");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x55);
    let damaged = house.dir.path().join("damaged.db");
    std::fs::write(&damaged, bytes).expect("the damage");
    let buffer = Buffer::open(&buffer_options(damaged, &house.clock)).expect("it opens all the same");
    assert_ne!(buffer.verify().unwrap_or_default(), []);
}

/// Every schema ever released must open; the schema after one whose release forgot to add its buffer fails here.
#[test]
fn a_buffer_of_every_released_schema_opens_and_balances() {
    let house = House::new();
    let database = rusqlite::Connection::open(house.buffer.path()).expect("the database opens");
    let latest: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version");
    for version in 1..=latest {
        let stored = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("fixtures/buffers/schema-{version}.sqlite"));
        let copy = house.dir.path().join(format!("{version}.db"));
        std::fs::copy(&stored, &copy).unwrap_or_else(|error| panic!("{stored:?}: {error}"));
        let buffer = Buffer::open(&buffer_options(copy, &house.clock)).expect("it opens");
        assert_eq!(buffer.verify().expect("a recount"), []);
        let status = buffer.status().expect("a status");
        assert_eq!((status.accounting.ingested.events, status.parked, status.inbox), (20, 20, 1));
    }
}
