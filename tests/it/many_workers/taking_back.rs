//! What was taken back from PostgreSQL is as if it had never come in, while drains and ingests go on.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use super::server::{Database, wait_until};
use super::{CONFIG, assert_balanced, collector, ingest, map, plays};
use crate::program::{Program, lines};
use crate::support::{PATIENCE, REQUESTOR, RSID};

/// What a person sees of an ingest that is taken back in part: groups, figures, inputs, and what take-back said.
fn told(program: &Program) -> Vec<Value> {
    let mut told = Vec::new();
    let path = |name: &str, text: &str| {
        let (code, report) = program.json(&["ingest", &program.file(name, text)]);
        assert_eq!(code, 0, "{report}");
        program.place(name)
    };
    let groups = |more: &[&str]| {
        let (_, mut listed) = program.json(&[&["pending", "list"], more].concat());
        for group in listed["pending"].as_array_mut().expect("a list") {
            group["source"] = group["source"].as_str().and_then(|path| path.rsplit('/').next()).into();
            assert!(group["read_at"].take().is_string(), "{group}");
        }
        listed
    };
    let figures = || {
        let by_mvpd = ["--by", "mvpd", "--by", "hour"];
        let month = ["report", "--period", "2026-11-01", "--timezone", "UTC"];
        [program.json(&month).1, program.json(&[&month[..], &by_mvpd].concat()).1]
    };
    // Users and days are shared with what stays; one event is on another day, and one has no user.
    path("good.ndjson", &lines(2));
    told.extend(figures());
    let bad = lines(5)
        .replace("\"event_id\":\"e", "\"event_id\":\"b")
        .replace("\"mvpd\":\"M\"", "\"mvpd\":\"Wrong\"");
    let other = json!({"occurred_at": "2026-11-03T00:00:00Z", "event": "logout_requested", "requestor_id": "REF40", "count": 7});
    let bad = path("bad.ndjson", &format!("{bad}{other}\n"));
    told.extend([groups(&[]), groups(&["--requestor", "REF40"]), groups(&["--to", "2026-11-02T00:00:00Z"])]);
    told.extend(figures());

    assert_eq!(program.run(&["pending", "take-back", "--source", &bad]).code, 2, "--yes is missing");
    assert_eq!(program.run(&["pending", "take-back", "--backfill", "none", "--yes"]).code, 2);
    let (code, taken) = program.json(&["pending", "take-back", "--source", &bad, "--yes"]);
    assert_eq!((code, &taken["taken_back"], &taken["units"]), (0, &json!(6), &json!(12)), "{taken}");
    told.push(taken);
    let now = figures();
    assert_eq!(now[..], told[..2], "as if it had never come in");
    told.extend(now);
    assert_eq!(
        program.run(&["pending", "take-back", "--source", &bad, "--yes"]).code,
        2,
        "nothing is left of it"
    );
    told.push(groups(&[]));
    let inputs = program.json(&["inputs", "list"]).1["inputs"].clone();
    told.extend(inputs.as_array().expect("a list").iter().map(|one| one["summary"]["taken_back"].clone()));
    let found = program.run(&["trace", "b0"]);
    assert!(found.code == 2 && found.err.contains("no such event"), "{found:?}");

    path("bad.ndjson", &lines(5).replace("\"event_id\":\"e", "\"event_id\":\"b"));
    told.push(groups(&["--input", "3"]));
    told.extend(figures());
    told
}

/// Deletes what is decided, as retention does after a month.
fn expire(program: &Program, database: &Database) {
    database.ask("UPDATE passbridge.final SET at = at - interval '31 days'");
    assert_eq!(program.run(&["retention"]).code, 0);
}

#[test]
fn a_file_is_taken_back_from_postgresql_as_from_a_file_and_goes_in_mended() {
    let Some(database) = Database::new("take_back") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    assert_eq!(told(&shared), told(&file));
    assert_balanced(&shared, 13);
    let (_, status) = shared.json(&["status"]);
    assert_eq!((&status["taken_back"], &status["pending"]), (&json!(6), &json!(7)), "{status}");
    assert!(shared.run(&["status"]).out.contains("taken back 6"));

    // What was taken back is not sent, and its mended events are, although a drain has covered their slices.
    let sandbox = collector("");
    map(&shared, &sandbox, &[]);
    assert_eq!(shared.json(&["drain"]).1["delivered"], 7);
    shared.json(&["ingest", &shared.file("more.ndjson", &lines(9))]);
    let taken = shared.json(&["pending", "take-back", "--requestor", "REF30", "--yes"]).1;
    assert_eq!(taken["taken_back"], 7, "{taken}");
    shared.json(&["ingest", &shared.file("more.ndjson", &lines(9))]);
    assert_eq!(shared.json(&["drain"]).1["delivered"], 7);
    // Retention removes what kept workers from sending it, and the account keeps it.
    expire(&shared, &database);
    assert_eq!(database.ask("SELECT count(*) FROM passbridge.final"), "0");
    assert_balanced(&shared, 27);
}

#[test]
fn users_of_a_day_of_which_events_are_gone_stay_and_the_report_says_so() {
    let Some(database) = Database::new("take_back_day") else { return };
    let sandbox = collector("");
    let program = database.program();
    program.suite(&sandbox.url());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0);
    expire(&program, &database);
    program.json(&["ingest", &program.file("bad.ndjson", &lines(5))]);
    let (code, taken) = program.json(&["pending", "take-back", "--input", "2", "--yes"]);
    assert_eq!(
        (code, &taken["taken_back"], &taken["days_with_old_users"]),
        (0, &json!(2), &json!(1)),
        "{taken}"
    );
    let report = program.json(&["report", "--period", "2026-11-01", "--timezone", "UTC"]).1;
    assert_eq!(
        (&report["total"]["unique_users"], &report["total"]["successful_play_requests"]),
        (&json!(5), &json!(3))
    );
    assert!(
        report["remarks"].to_string().contains("Unique users of REF30 on the UTC day 2026-11-01"),
        "{report}"
    );
    assert_balanced(&program, 5);
}

#[test]
fn what_may_have_been_counted_is_never_taken_back() {
    let Some(database) = Database::new("take_back_doubt") else { return };
    let sandbox = collector("reset-after:50%; seed=3");
    let program = Program::with(&format!(
        "[buffer]\nurl = \"{}\"\n[delivery]\nlanes = 2\ngive_up_seconds = 1\nmax_attempts = 1\nbackoff_base_ms = 5\n",
        database.url()
    ));
    map(&program, &sandbox, &[]);
    ingest(&program, "some.ndjson", 0..40);
    program.run(&["drain"]);
    ingest(&program, "more.ndjson", 0..50);
    let before = program.json(&["status"]).1;
    let [in_doubt, delivered] = ["in_doubt", "delivered"].map(|key| before[key].as_i64().expect("a number"));
    assert!(in_doubt > 0 && delivered > 0, "{before}");
    let (code, taken) = program.json(&["pending", "take-back", "--requestor", REQUESTOR, "--yes"]);
    assert_eq!((code, &taken["left_with_attempt"]), (3, &json!(in_doubt)), "{taken}");
    assert_balanced(&program, 50);
    let status = program.json(&["status"]).1;
    assert_eq!((&status["pending"], &status["delivered"]), (&json!(in_doubt), &json!(delivered)));
    assert_eq!(status["taken_back"], 50 - in_doubt - delivered);
}

#[test]
fn what_drains_have_in_memory_is_taken_back_under_them_and_nothing_of_it_is_sent() {
    let Some(database) = Database::new("take_back_drain") else { return };
    let sandbox = collector("latency=20ms");
    let program = database.program();
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..2_000);
    let mut drain = program.command(&["drain"]).stdout(Stdio::null()).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(100, PATIENCE));
    let args = ["pending", "take-back", "--source", &program.place("events.ndjson"), "--yes"];
    let again = program.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let (code, taken) = program.json(&args);
    assert!(matches!(code, 0 | 2 | 3), "{taken}");
    again.expect("the program starts").wait().expect("it ends");
    assert!(matches!(drain.wait().expect("it ends").code(), Some(0 | 75)));
    program.run(&["drain"]);
    assert_balanced(&program, 2_000);
    let status = program.json(&["status"]).1;
    let [back, delivered] = ["taken_back", "delivered"].map(|key| status[key].as_u64().expect("a number"));
    assert!(back > 500 && back + delivered == 2_000, "{status}");
    assert_eq!(sandbox.accepted_count(), delivered, "nothing that was taken back was sent");
    let sent: BTreeSet<String> = sandbox.hits().iter().map(|hit| hit.evars[&6].clone()).collect();
    assert_eq!(sent.len() as u64, delivered);
    // The whole file again: what was sent is known, and the rest is new.
    let (_, report) = program.json(&["ingest", &program.place("events.ndjson")]);
    assert_eq!(
        (&report["total"]["stored"], &report["total"]["duplicates"]),
        (&json!(back), &json!(delivered))
    );
}

#[test]
fn a_take_back_waits_for_an_attempt_that_is_being_recorded_and_leaves_its_event() {
    let Some(database) = Database::new("take_back_attempt") else { return };
    let program = database.program();
    let sandbox = collector("");
    map(&program, &sandbox, &[]);
    ingest(&program, "one.ndjson", 0..2);
    // As a worker does that records an attempt.
    let fence = format!("BEGIN; SELECT FROM passbridge.slice WHERE rsid = '{RSID}' FOR SHARE;");
    let attempt = database.session(&database.url(), &fence);
    let args = ["pending", "take-back", "--input", "1", "--yes", "--json"];
    let take_back = program.command(&args).stdout(Stdio::piped()).spawn().expect("the program starts");
    wait_until("the take-back waits", || {
        database.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'passbridge' AND datname = current_database()") != "0"
    });
    attempt.end(
        "INSERT INTO passbridge.attempt (seq, attempt, rsid, n, epoch, worker, form, first_hit)
            SELECT min(seq), 1, 'examplersid', 0, 0, 'w', '{}', 0 FROM passbridge.event; COMMIT;",
    );
    let done = take_back.wait_with_output().expect("it ends");
    let taken: Value = serde_json::from_slice(&done.stdout).expect("a document");
    assert_eq!(
        (done.status.code(), &taken["taken_back"], &taken["left_with_attempt"]),
        (Some(3), &json!(1), &json!(1)),
        "{taken}"
    );
    let left = "SELECT (SELECT count(*) FROM passbridge.attempt), (SELECT count(*) FROM passbridge.event)";
    assert_eq!(database.ask(left), "1|1");
    assert_balanced(&program, 2);
}

#[test]
fn a_take_back_that_is_killed_leaves_the_account_balanced_and_goes_on() {
    let Some(database) = Database::new("take_back_killed") else { return };
    let program = database.program();
    program.write("many.ndjson", &plays(0..5_000));
    let path = program.place("many.ndjson");
    assert_eq!(program.run(&["ingest", &path]).code, 0);
    let args = ["pending", "take-back", "--source", &path, "--yes"];
    let mut child = program.command(&args).stdout(Stdio::null()).spawn().expect("it starts");
    wait_until("something is taken back", || database.ask("SELECT count(*) FROM passbridge.event") != "5000");
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    assert_balanced(&program, 5_000);
    let left: u64 = database.ask("SELECT count(*) FROM passbridge.event").parse().expect("a number");
    let again = program.json(&args);
    assert!(again.0 == 0 && again.1["taken_back"] == left, "{again:?} of {left}");
    assert_balanced(&program, 5_000);
    // Neither a user nor a row without units is left.
    let rest = "SELECT (SELECT count(*) FROM passbridge.metric_users), (SELECT count(*) FROM passbridge.metric_count),
        (SELECT count(*) FROM passbridge.metric_delta), (SELECT count(*) FROM passbridge.metric_users_stale)";
    assert_eq!(database.ask(rest), "0|0|0|0");
}
