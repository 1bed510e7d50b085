//! A person is erased from PostgreSQL as from a file, while workers go on.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::counting::older;
use super::server::{Database, wait_until};
use super::{assert_balanced, collector, map, plays};
use crate::program::Program;
use crate::support::{FIRST_SECOND, REQUESTOR, RSID};

/// An event of a person, whose ID no number of another event has.
fn of_anna(number: usize, more: &Value) -> String {
    let mut event = json!({
        "occurred_at": FIRST_SECOND + number as i64,
        "event": "play_requested",
        "requestor_id": REQUESTOR,
        "event_id": format!("anna-{number}"),
        "mvpd": "Cablevision",
        "mvpd_user_id": "anna \"A\"",
        "resource_id": format!("anna-{number}"),
        "count": 2,
    });
    event.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    format!("{event}\n")
}

const ANNA: [&str; 5] = ["forget", "--mvpd", "cablevision", "--mvpd-user-id", "anna \"A\""];

/// Every table in which a text may stand, as text.
fn everything(database: &Database) -> String {
    let tables = "SELECT string_agg(format('SELECT t::text FROM passbridge.%I t', relname), ' UNION ALL ')
        FROM pg_class WHERE relnamespace = 'passbridge'::regnamespace AND relkind = 'r'";
    database.ask(&database.ask(tables))
}

/// The users and the units of the month.
fn figures(program: &Program) -> (u64, Value) {
    let report = program.json(&["report", "--period", "2026-11", "--timezone", "UTC"]).1;
    (report["total"]["unique_users"].as_u64().expect("a number"), report["total"]["events"].clone())
}

/// A file that is ingested again brings nobody back, and is no conflict with what nobody knows any more.
#[track_caller]
fn assert_known(program: &Program) {
    for name in ["delivered", "more", "pending"] {
        let report = program.json(&["ingest", &program.place(&format!("{name}.ndjson"))]).1;
        assert_eq!(
            (&report["total"]["stored"], &report["total"]["conflicts"]),
            (&0.into(), &0.into()),
            "{report}"
        );
    }
    let changed = program.file("changed.ndjson", &of_anna(1, &json!({"count": 3})));
    let report = program.json(&["ingest", &changed]).1;
    assert_eq!(
        (&report["total"]["duplicates"], &report["total"]["conflicts"]),
        (&1.into(), &0.into()),
        "{report}"
    );
}

#[test]
fn a_person_is_erased_in_every_state_and_the_account_the_figures_and_the_tombstones_stay() {
    let Some(database) = Database::new("erasure") else { return };
    let program = database.program();
    let sandbox = collector("");
    map(&program, &sandbox, &["--on-ambiguous", "hold"]);
    // Delivered, dead because of its count, held, discarded, pending; one has no MVPD, one another spelling of it.
    let path =
        program.file("delivered.ndjson", &(plays(0..20) + &of_anna(1, &json!({"mvpd": "CABLEVISION"}))));
    assert_eq!(program.run(&["ingest", &path]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    sandbox.set_faults("reset-after:100%".parse().expect("a plan"));
    let more = of_anna(2, &json!({"count": 700}))
        + &of_anna(3, &json!({"count": 1}))
        + &of_anna(4, &json!({"count": 1}));
    let path = program.file("more.ndjson", &more);
    assert_eq!(program.run(&["ingest", &path]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    let seq = database.ask("SELECT max(seq) FROM passbridge.final WHERE state = 'held'");
    assert_eq!(program.json(&["held", "settle", "--discarded", &seq]).1["discarded"], 1);
    sandbox.set_faults("".parse().expect("no fault"));
    let others =
        [json!({"mvpd": "Other"}), json!({"mvpd_user_id": "anna"}), json!({"mvpd_user_id": "ANNA \"A\""})];
    let others: String = others.iter().enumerate().map(|(place, more)| of_anna(10 + place, more)).collect();
    let broken = of_anna(9, &json!({"occurred_at": "bad"}));
    let pending = of_anna(5, &json!({"mvpd": null})) + &others + &broken;
    let path = program.file("pending.ndjson", &pending);
    assert_eq!(program.run(&["ingest", &path]).code, 3);
    let (before, account) = (figures(&program), program.json(&["status"]).1);

    let (code, found) = program.json(&[&ANNA[..], &["--dry-run"]].concat());
    assert_eq!((code, &found["events"], &found["dry_run"]), (0, &5.into(), &true.into()), "{found}");
    assert_eq!(program.json(&["status"]).1["erased"], 0);
    let (code, forgotten) = program.json(&ANNA);
    assert_eq!((code, &forgotten["events"]), (0, &5.into()), "{forgotten}");
    assert_eq!(forgotten["metric_digests"], found["metric_digests"]);
    assert!(found["metric_digests"].as_u64() > Some(0), "{found}");
    assert_eq!((&forgotten["rejected_lines"], &found["rejected_lines"]), (&json!(1), &json!(1)));
    assert_eq!(forgotten["mvpds"], json!(["CABLEVISION", "Cablevision"]));
    let remains = forgotten["remains"].as_str().expect("a text");
    assert!(remains.contains("VACUUM") && remains.contains("archive"), "{remains}");

    let left = everything(&database);
    assert_eq!(left.matches("anna-").count(), 6, "the IDs and resources of three others: {left}");
    // The user of another MVPD who has the same ID is told apart now.
    let now = (before.0 + 1, before.1);
    assert_eq!(figures(&program), now);
    assert_balanced(&program, 28);
    let status = program.json(&["status"]).1;
    assert_eq!(status["erased"], 5);
    let states = ["pending", "delivered", "dead", "held", "discarded"];
    let erased = states
        .map(|state| account[state].as_i64().expect("a number") - status[state].as_i64().expect("a number"));
    assert_eq!(erased, [1, 1, 1, 1, 1]);

    assert_known(&program);
    assert_eq!(program.json(&ANNA).1["events"], 0);
    let nobody = program.run(&ANNA);
    assert!(nobody.code == 0 && nobody.out.contains("nobody found"), "{nobody:?}");
    assert_eq!(program.json(&["drain"]).1["delivered"], 3);

    // Retention removes the states of erased events with what is left of them.
    assert_eq!(database.ask("SELECT count(*) FROM passbridge.final WHERE state = 'erased'"), "5");
    database.ask("UPDATE passbridge.final SET at = at - interval '31 days'");
    assert_eq!(program.json(&["retention"]).1["expired_delivered"], 23);
    assert_eq!(database.ask("SELECT count(*) FROM passbridge.final"), "0");
    assert_balanced(&program, 28);
    assert_eq!(figures(&program), now);
}

#[test]
fn what_a_worker_has_in_memory_or_under_way_is_erased_under_it_and_nothing_more_of_it_is_sent() {
    let Some(database) = Database::new("erased_under_way") else { return };
    let program = database.program();
    let sandbox = collector("latency=50ms");
    map(&program, &sandbox, &["--event-ids", "off"]);
    let hers: String = (0..100).map(|number| of_anna(number, &json!({"count": 1}))).collect();
    let path = program.file("events.ndjson", &(hers + &plays(0..400)));
    assert_eq!(program.run(&["ingest", &path]).code, 0);
    let hits = || sandbox.hits().iter().filter(|hit| hit.evars[&6].starts_with("anna-")).count();
    let mut drain = program.command(&["drain"]).spawn().expect("the program starts");
    wait_until("three of hers are sent", || hits() >= 3);
    let (code, forgotten) = program.json(&ANNA);
    assert_eq!((code, &forgotten["events"]), (0, &100.into()), "{forgotten}");
    let sent = hits();
    // An attempt that is recorded may still be on its way.
    assert!(drain.wait().expect("it ends").success());
    assert!(hits() <= sent + 2, "{} after {sent}", hits());
    assert_balanced(&program, 500);
    let status = program.json(&["status"]).1;
    assert_eq!(
        (&status["erased"], &status["delivered"], &status["over_count_max"]),
        (&100.into(), &400.into(), &0.into())
    );

    // A worker that was frozen in the middle of an attempt counts nothing any more.
    let again: String = (200..210).map(|number| of_anna(number, &json!({"count": 1}))).collect();
    assert_eq!(program.run(&["ingest", &program.file("again.ndjson", &again)]).code, 0);
    let before = hits();
    let mut drain = program.command(&["drain"]).spawn().expect("the program starts");
    wait_until("one more of hers is sent", || hits() > before);
    let pid = Pid::from_child(&drain);
    kill_process(pid, Signal::STOP).expect("it stops");
    assert_eq!(program.json(&ANNA).1["events"], 10);
    let sent = hits();
    kill_process(pid, Signal::CONT).expect("it goes on");
    let ended = drain.wait().expect("it ends").code();
    assert!(matches!(ended, Some(0 | 75)), "{ended:?}");
    assert!(hits() <= sent + 2, "{} after {sent}", hits());
    assert_balanced(&program, 510);
    let status = program.json(&["status"]).1;
    assert_eq!((&status["erased"], &status["pending"]), (&110.into(), &0.into()), "{status}");
}

#[test]
fn an_erasure_waits_for_an_attempt_that_is_being_recorded_and_none_comes_after_it() {
    let Some(database) = Database::new("erased_attempt") else { return };
    let program = database.program();
    let sandbox = collector("");
    map(&program, &sandbox, &[]);
    assert_eq!(program.run(&["ingest", &program.file("events.ndjson", &of_anna(1, &json!({})))]).code, 0);
    // As a worker does that records an attempt.
    let fence = format!("BEGIN; SELECT FROM passbridge.slice WHERE rsid = '{RSID}' FOR SHARE;");
    let attempt = database.session(&database.url(), &fence);
    let mut forget = program.command(&ANNA).spawn().expect("the program starts");
    wait_until("the erasure waits", || {
        database.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'passbridge'") != "0"
    });
    attempt.end(
        "INSERT INTO passbridge.attempt (seq, attempt, rsid, n, epoch, worker, form, first_hit)
            SELECT seq, 1, 'examplersid', 0, 0, 'w', '{}', 0 FROM passbridge.event; COMMIT;",
    );
    assert!(forget.wait().expect("it ends").success());
    let left = "SELECT (SELECT count(*) FROM passbridge.attempt), (SELECT count(*) FROM passbridge.event)";
    assert_eq!(database.ask(left), "0|0");
    assert_balanced(&program, 1);
    assert_eq!((program.json(&["drain"]).1["read"].clone(), sandbox.accepted_count()), (json!(0), 0));
}

#[test]
fn events_that_an_earlier_release_stored_are_counted_before_they_are_erased() {
    let Some(database) = Database::new("erased_older") else { return };
    let program = older(&database, &[]);
    let report = ["report", "--period", "2026-03", "--timezone", "UTC"];
    let before = Database::new("erased_older_before").map(|twin| (older(&twin, &[]).json(&report).1, twin));
    let (before, _twin) = before.expect("a server");
    let (code, found) = program.json(&["forget", "--mvpd", "Cableco", "--mvpd-user-id", "u1"]);
    assert!(code == 0 && found["events"].as_u64() > Some(0), "{found}");
    assert_eq!(program.json(&report).1["total"], before["total"]);
    let done = program.run(&["status", "--verify"]);
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_take_back_that_counts_users_again_meanwhile_brings_nobody_back() {
    let Some(database) = Database::new("erased_recounted") else { return };
    let program = database.program();
    let hers = program.file("hers.ndjson", &of_anna(1, &json!({})));
    let others = program.file("others.ndjson", &of_anna(2, &json!({"mvpd_user_id": "other"})));
    for path in [&hers, &others] {
        assert_eq!(program.run(&["ingest", path]).code, 0);
    }
    // The erasure waits between her digests in the metrics and her event, because another session decides about it.
    let decides =
        "BEGIN; INSERT INTO passbridge.final (seq, state) SELECT min(seq), 'held' FROM passbridge.event;";
    let decision = database.session(&database.url(), decides);
    let mut forget = program.command(&ANNA).spawn().expect("the program starts");
    wait_until("the erasure waits", || {
        database.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'passbridge' AND datname = current_database()") != "0"
    });
    assert_eq!(program.json(&["pending", "take-back", "--source", &others, "--yes"]).1["taken_back"], 1);
    decision.end("ROLLBACK;");
    assert!(forget.wait().expect("it ends").success());
    let left = program.json(&[&ANNA[..], &["--dry-run"]].concat()).1;
    assert_eq!((&left["events"], &left["metric_digests"]), (&json!(0), &json!(0)), "{left}");
    assert_balanced(&program, 2);
}
