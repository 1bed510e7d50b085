//! `status --check` of a buffer in PostgreSQL alarms when it should, and only then.

use std::fs;

use serde_json::Value;

use super::server::{Cluster, Database};
use super::{collector, ingest, map, plays};
use crate::program::{Done, Program};
use crate::support::{REQUESTOR, RSID};

fn check(program: &Program, args: &[&str]) -> Done {
    program.run(&[&["status", "--check"], args].concat())
}

/// The checks that are broken: the name of each, and what it is about.
fn broken(program: &Program, args: &[&str]) -> Vec<String> {
    let (_, report) = program.json(&[&["status", "--check"], args].concat());
    let checks = report["checks"].as_array().expect("checks");
    let name = |check: &Value| format!("{} {}", check["check"], check["of"]).replace(['"', '\\'], "");
    checks.iter().filter(|check| check["broken"] == true).map(name).collect()
}

#[test]
fn limits_that_are_broken_are_told_with_what_to_do_and_nothing_else_is() {
    let Some(database) = Database::new("monitor") else { return };
    let program = database.program();
    let sandbox = collector("");
    map(&program, &sandbox, &[]);
    ingest(&program, "events.ndjson", 0..20);
    let done = check(&program, &[]);
    assert_eq!((done.code, &done.err[..]), (0, ""), "a new buffer is no alarm");
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(check(&program, &["--max-silence", "1h"]).code, 0);

    // The same words as for a file.
    program.write("other.ndjson", &plays(20..30).replace(REQUESTOR, "REF40"));
    assert_eq!(program.run(&["ingest", &program.place("other.ndjson")]).code, 0);
    let done = check(&program, &["--max-parked", "9"]);
    let parked = "max_parked: 10 events are parked (10 of REF40: no suite): passbridge";
    assert!(done.code == 4 && done.err.contains(parked), "{done:?}");
    let silent = ["--max-silence", "REF99=1h", "--max-silence", "REF40=1h"];
    assert_eq!(broken(&program, &silent), ["max_silence REF99"]);
    let count = r#"{"occurred_at":"2026-11-01T00:00:00Z","event":"play_requested","requestor_id":"REF30","mvpd_user_id":"u","count":600}"#;
    let file = program.file("dead.ndjson", count);
    assert_eq!(program.run(&["ingest", &file]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    assert_eq!(broken(&program, &["--max-dead", "0"]), ["max_dead null"]);
    program.write("bad.ndjson", "{\"event\":\"nothing\"}\n");
    program.run(&["ingest", &program.place("bad.ndjson")]);
    assert_eq!(broken(&program, &["--max-rejects", "0"]), ["max_rejects null"]);

    // Nobody drains for three hours.
    ingest(&program, "late.ndjson", 30..40);
    assert_eq!(broken(&program, &[]), [""; 0]);
    let ago = |table: &str, column: &str| {
        database.ask(&format!("UPDATE passbridge.{table} SET {column} = {column} - interval '3 hours'"));
    };
    ago("slice", "covered_at");
    assert_eq!(broken(&program, &[]), ["max_age last_run", &format!("max_trouble {RSID}")]);
    let done = check(&program, &[]);
    assert!(
        done.code == 4 && done.err.contains("10 events wait, and no drain has covered all of its slices"),
        "{done:?}"
    );
    assert_eq!(broken(&program, &["--max-age", "1d", "--max-trouble", "off"]), [""; 0]);
    // A paused suite has no trouble: its events are parked.
    assert_eq!(program.run(&["suite", "pause", RSID]).code, 0);
    assert_eq!(broken(&program, &[]), ["max_age last_run"]);
    assert_eq!(program.run(&["suite", "resume", RSID]).code, 0);

    // What a drain could not send is an event that waits, although slices are covered.
    let config = fs::read_to_string(program.path("c.toml")).expect("a configuration");
    program.write("c.toml", &config.replace("max_attempts = 50", "max_attempts = 1"));
    sandbox.set_faults("reset-after:100%".parse().expect("a fault"));
    assert_eq!(program.run(&["drain"]).code, 4);
    assert_eq!(broken(&program, &[]), [""; 0]);
    ago("input", "opened_at");
    assert_eq!(broken(&program, &[]), ["max_age null"]);
    sandbox.set_faults("".parse().expect("no fault"));
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(broken(&program, &[]), [""; 0]);
}

#[test]
fn what_holds_the_database_back_is_an_alarm() {
    let Some(cluster) = Cluster::start(&["max_prepared_transactions = 2", "max_connections = 30"]) else {
        return;
    };
    let database = Database::on(&cluster.url(), "held_back");
    let program = database.program();
    assert_eq!(broken(&program, &[]), [""; 0]);
    let sessions: Vec<_> = (0..27)
        .map(|number| database.session(&database.url(), &format!("BEGIN; SELECT {number};")))
        .collect();
    assert_eq!(broken(&program, &[]), ["database connections"]);
    sessions.into_iter().for_each(|session| session.end("ROLLBACK;"));
    database.ask("BEGIN; CREATE TABLE public.left_over (n int); PREPARE TRANSACTION 'forgotten'");
    assert_eq!(broken(&program, &[]), [""; 0], "one that is new is no alarm");
    // The clock of the database, as a session of this database sees it.
    database.ask(
        "CREATE SCHEMA later; CREATE FUNCTION later.clock_timestamp() RETURNS timestamptz LANGUAGE sql
         AS 'SELECT pg_catalog.clock_timestamp() + interval ''3 hours''';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = later, pg_catalog', current_database()); END $$",
    );
    let alarms = broken(&program, &[]);
    assert!(alarms.contains(&"database prepared transactions".to_owned()), "{alarms:?}");
    database.ask("ROLLBACK PREPARED 'forgotten'");
}
