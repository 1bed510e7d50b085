//! `trace` tells the life of one event, and why a line became none.

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fixture;
use crate::program::{Program, lines};
use crate::support::{buffer_options, sandbox};

fn ingest(program: &Program, name: &str, text: &str) -> i32 {
    program.run(&["ingest", &program.file(name, text)]).code
}

/// The events that a search finds.
fn traced(program: &Program, args: &[&str]) -> Vec<Value> {
    let (code, report) = program.json(&[&["trace"], args].concat());
    assert_eq!(code, 0, "{args:?} {report}");
    report["events"].as_array().expect("events").clone()
}

#[test]
fn an_event_is_found_by_every_mark_and_has_its_source_attempts_and_hit() {
    let (sandbox, program) = (sandbox("status=503 first=2"), Program::new());
    program.suite(&sandbox.url());
    let folder = program.path("");
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0);

    let all: Vec<Value> =
        (1..=3).flat_map(|number: i32| traced(&program, &["--sequence", &number.to_string()])).collect();
    let tried = all.iter().filter(|event| event["attempts"] != json!([]));
    let replies: Vec<&Value> =
        tried.clone().flat_map(|event| event["attempts"].as_array().expect("a list")).collect();
    assert_eq!(
        replies.iter().filter(|one| one["reply"] == "HTTP 503" && one["run"] == 1).count(),
        2,
        "{all:?}"
    );
    assert_eq!(all.iter().filter(|event| event["attempts"] == json!([])).count() + tried.count(), 3);

    let event = &all[1];
    assert_eq!(
        (&event["state"], &event["run"], &event["line"]),
        (&json!("delivered"), &json!(1), &json!(2)),
        "{event}"
    );
    assert!(event["path"].as_str().expect("a path").ends_with("/events.ndjson"));
    assert!(event["since"].is_string() && event["stored_at"].is_string(), "{event}");
    let hits = sandbox.hits();
    let tags = event["hit"]["tags"].as_array().expect("tags").iter();
    let events = tags.clone().find(|tag| tag["tag"] == "events").and_then(|tag| tag["value"].as_str());
    let serial = events.and_then(|events| events.split_once(':')).expect("a serial").1;
    assert!(hits.iter().any(|hit| format!("{hit:?}").contains(serial)), "{serial} {hits:?}");
    assert_eq!(event["hit"]["event"]["event_id"], "e1");

    let id = event["hit"]["event_id"].as_str().expect("an identity");
    let line = format!("{}:2", folder.join("events.ndjson").display());
    for mark in [
        &["e1"][..],
        &[id],
        &["--serial", serial],
        &["--user", "u1"],
        &["--line", &line],
        &["--line", "events.ndjson:2"],
    ] {
        let found = traced(&program, mark);
        assert_eq!((found.len(), &found[0]), (1, event), "{mark:?}");
    }
    let text = program.run(&["trace", "e1"]).out;
    for part in [
        "sequence  2\n",
        "state     delivered since ",
        ", run 1\n",
        &format!("event7:{serial}"),
        "events.ndjson:2, stored at ",
        "eVar1           Channel = \"REF30\"  requestor_id",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for nothing in [
        &["e7"][..],
        &["--sequence", "9"],
        &["--user", "u"],
        &["--serial", "x"],
        &["--line", "events.ndjson:4"],
        &["--line", "other:1"],
    ] {
        let done = program.run(&[&["trace"], nothing].concat());
        assert_eq!(done.code, 2, "{done:?}");
    }
}

#[test]
fn a_dead_event_and_one_of_a_killed_run_have_their_attempts_and_a_first_success_leaves_no_row() {
    let (sandbox, program) = (sandbox("failure=BAD first=1"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 3);
    let dead = &traced(&program, &["--user", "u0"])[0];
    assert_eq!(
        (&dead["state"], &dead["attempts"][0]["reply"]),
        (&json!("dead"), &json!("Adobe says \"BAD\"")),
        "{dead}"
    );
    let database = Connection::open(program.path("passbridge.db")).expect("the file");
    let rows: i64 =
        database.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).expect("a count");
    assert_eq!(rows, 1, "the other two succeeded at once");

    ingest(&program, "more.ndjson", &lines(4));
    database
        .execute_batch("INSERT INTO waves (run, wave, form, seqs) SELECT 1, 1, form, '[4]' FROM suites")
        .expect("as a killed run leaves it");
    assert_eq!(traced(&program, &["e3"])[0]["state"], "in_flight");
    assert_eq!(program.run(&["drain"]).code, 0);
    let doubted = &traced(&program, &["e3"])[0];
    let attempt = (&doubted["attempts"][0]["reply"], &doubted["in_doubt"], &doubted["state"]);
    assert_eq!(
        attempt,
        (&json!("the run ended before the reply was recorded"), &json!(1), &json!("delivered"))
    );
}

#[test]
fn what_came_again_and_what_was_rejected_is_found_from_both_sides() {
    let program = Program::new();
    program.ingest(3);
    let conflict = lines(1).replace("\"u0\"", "\"other\"");
    assert_eq!(ingest(&program, "again.ndjson", &format!("{}no event\n{conflict}", lines(5))), 3);
    let event = &traced(&program, &["e0"])[0];
    let repeats: Vec<_> = event["repeats"]
        .as_array()
        .expect("repeats")
        .iter()
        .map(|one| (one["line"].as_u64(), one["is_conflict"].as_bool()))
        .collect();
    assert_eq!(repeats, [(Some(1), Some(false)), (Some(7), Some(true))]);
    let text = program.run(&["trace", "e0"]).out;
    assert!(text.contains("came again, not stored") && text.contains("another"), "{text}");

    let again = program.run(&["trace", "--line", "again.ndjson:3"]);
    assert!(
        again.code == 0 && again.out.contains("has the content of event 3: not stored again"),
        "{again:?}"
    );
    let conflict = program.run(&["trace", "--line", "again.ndjson:7"]);
    assert!(
        conflict.out.contains("has the ID, but other content, of event 1: not stored again"),
        "{conflict:?}"
    );
    assert_eq!(traced(&program, &["--line", "again.ndjson:4"])[0]["seq"], 4);
    let rejected = program.run(&["trace", "--line", "again.ndjson:6"]);
    assert!(rejected.code == 0 && rejected.out.contains("again.ndjson:6 is not JSON"), "{rejected:?}");

    // A thousand lines that come again in their order are one row.
    assert_eq!(ingest(&program, "many.ndjson", &lines(1000)), 0);
    assert_eq!(ingest(&program, "many-again.ndjson", &lines(1000)), 0);
    let database = Connection::open(program.path("passbridge.db")).expect("the file");
    let count =
        "SELECT count(*), max(events) FROM repeats JOIN inputs USING (input) WHERE path LIKE '%many-again%'";
    let rows: (i64, i64) =
        database.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a count");
    assert_eq!(rows, (1, 1000));
}

#[test]
fn attempts_go_with_retention_and_their_event_stays_while_it_waits() {
    let sandbox = sandbox("status=503");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(1);
    assert_eq!(program.run(&["drain"]).code, 4);
    assert!(!traced(&program, &["e0"])[0]["attempts"].as_array().expect("attempts").is_empty());
    let database = Connection::open(program.path("passbridge.db")).expect("the file");
    let days = |count: i64| count * 86_400 * 1_000_000_000;
    for (age, is_kept) in [(29, true), (2, false)] {
        database.execute("UPDATE attempts SET at = at - ?1", [days(age)]).expect("older attempts");
        assert_eq!(program.run(&["retention"]).code, 0);
        let attempts = traced(&program, &["e0"])[0]["attempts"].as_array().expect("attempts").len();
        assert_eq!(attempts > 0, is_kept);
    }
    let event = &traced(&program, &["e0"])[0];
    assert_eq!((&event["state"], &event["attempts"]), (&json!("pending"), &json!([])), "{event}");
}

#[test]
fn an_expired_event_is_told_as_that() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(1);
    assert_eq!(program.run(&["drain"]).code, 0);
    let database = Connection::open(program.path("passbridge.db")).expect("the file");
    let bury =
        "UPDATE identities SET seq = NULL, buried_on = 20000; DELETE FROM delivered; DELETE FROM events;";
    database.execute_batch(bury).expect("as retention does");
    let gone = program.run(&["trace", "e0"]);
    assert!(gone.code == 2 && gone.err.contains("has expired, or was erased"), "{gone:?}");
}

/// By an ID or a number nothing is read from end to end but `delivered`, which has no index of numbers.
#[test]
fn a_trace_by_id_or_number_reads_no_table_from_end_to_end_but_the_deliveries() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("passbridge.db");
    Buffer::create(&buffer_options(path.clone(), &Clock::system())).expect("a buffer");
    let connection = Connection::open(path).expect("SQLite");
    let code = include_str!("../../src/buffer/trace.rs");
    let is_of_search =
        |sql: &&str| sql.contains("BETWEEN") || sql.contains("min(seq)") || sql.contains("r.input IN");
    let statements = code.split('"').filter(|text| text.starts_with("SELECT "));
    let mut count = 0;
    for sql in statements.filter(|sql| !is_of_search(sql)) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().expect("a plan") {
            let step: String = row.get("detail").expect("a step");
            // A requestor has a few bytes, and of claims there are eight a lane.
            let is_small = step.starts_with("SCAN requestors")
                || step.starts_with("SCAN w")
                || step.starts_with("SCAN c ")
                || step.contains("VIRTUAL TABLE");
            assert!(!step.starts_with("SCAN") || is_small || step == "SCAN delivered", "{step}: {sql}");
        }
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn an_exchange_is_told_with_its_rule_and_a_line_of_an_unused_input_with_the_reason() {
    let program = Program::new();
    let text = |name: &str| {
        std::fs::read_to_string(fixture::path(&format!("exchanges/{name}.ndjson"))).expect("a log")
    };
    assert_eq!(ingest(&program, "gateway.ndjson", &text("oldest-first")), 0);
    let poll = program.run(&["trace", "--line", "gateway.ndjson:2"]);
    assert_eq!(poll.code, 0, "{poll:?}");
    assert_eq!(
        poll.out,
        "rule      11 poll without news, which gives no event (if the file is read alone)\n"
    );
    let (_, login) = program.json(&["trace", "--line", "gateway.ndjson:3"]);
    assert_eq!(
        (&login["rule"], login["events"].as_array().map(Vec::len)),
        (&json!("10 login completed"), Some(3))
    );

    assert_eq!(ingest(&program, "other.ndjson", &text("other-path")), 3);
    let other = program.run(&["trace", "--line", "other.ndjson:1"]);
    assert!(
        other.code == 0 && other.out.starts_with("input     nothing of it was used: 7 exchanges"),
        "{other:?}"
    );
    // A log that rolled on is another one.
    program.write("gateway.ndjson", &text("newest-first"));
    assert_eq!(program.run(&["trace", "--line", "gateway.ndjson:2"]).code, 2);
}
