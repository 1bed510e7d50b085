//! What a warehouse gets from PostgreSQL: the rows that a file gives, each once, whatever commits late.

use std::process::Stdio;

use serde_json::{Value, json};

use super::server::{Database, wait_until};
use super::{CONFIG, collector, ingest, map, play, plays};
use crate::program::{Program, lines};
use crate::support::event;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// The rows of an export behind a cursor, and the cursor behind them.
fn exported(program: &Program, kind: &str, since: &str) -> (Vec<Value>, String) {
    let since = if since.is_empty() { vec![] } else { vec!["--since", since] };
    let done = program.run(&[&["export", kind][..], &since].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let cursor = done.err.lines().find_map(|line| line.split_once("cursor ")).expect("a cursor").1;
    (rows(&done.out), cursor.to_owned())
}

/// Events that are delivered, dead, held and pending; then what a person decides about some of them.
fn told(program: &Program) -> Vec<Vec<Value>> {
    let comparable = |rows: Vec<Value>| {
        let mut rows: Vec<Value> = rows
            .into_iter()
            .map(|mut row| {
                let outcome = ["outcome_at"].map(|key| row[key].as_str().map(str::len));
                for key in ["sequence", "path", "outcome_at", "run", "input"] {
                    row[key].take();
                }
                row["outcome_at"] = json!(outcome);
                row
            })
            .collect();
        rows.sort_by_key(|row| row["event_key"].to_string());
        rows
    };
    let sandbox = collector("");
    map(program, &sandbox, &["--on-ambiguous", "hold"]);
    let dead = lines(1).replace("\"e0\"", "\"dead\"").replace('{', "{\"count\":700,\"resource_id\":\"a b\",");
    assert_eq!(program.run(&["ingest", &program.file("some.ndjson", &(lines(3) + &dead))]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    sandbox.set_faults("reset-after:100%".parse().expect("a plan"));
    let held = lines(2).replace("\"event_id\":\"e", "\"event_id\":\"held");
    assert_eq!(program.run(&["ingest", &program.file("more.ndjson", &held)]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    assert_eq!(program.run(&["ingest", &program.file("last.ndjson", &lines(5))]).code, 0);

    let (events, after_events) = exported(program, "events", "");
    let (outcomes, after_outcomes) = exported(program, "outcomes", "");
    for (kind, cursor) in [("events", &after_events), ("outcomes", &after_outcomes)] {
        assert_eq!(exported(program, kind, cursor).0, Vec::<Value>::new(), "{kind}");
    }
    assert_eq!(program.json(&["held", "settle", "--discarded", "--all"]).1["discarded"], 2);
    assert_eq!(program.run(&["ingest", &program.file("last.ndjson", &lines(6))]).code, 0);
    let more =
        [exported(program, "events", &after_events).0, exported(program, "outcomes", &after_outcomes).0];
    assert_eq!([more[0].len(), more[1].len()], [1, 2], "{more:?}");
    let mut told: Vec<Vec<Value>> = [events, outcomes].into_iter().chain(more).map(comparable).collect();
    for kind in ["events", "outcomes"] {
        let csv = program.run(&["export", kind, "--format", "csv"]);
        told.push(vec![csv.out.lines().next().into()]);
        let path = program.place("rows.csv");
        let (code, report) = program.json(&["export", kind, "--format", "csv", "--output", &path]);
        assert_eq!(report["rows"], csv.out.lines().count() - 1);
        assert_eq!((code, std::fs::read_to_string(path).expect("a file")), (0, csv.out));
    }
    told
}

#[test]
fn events_and_outcomes_are_exported_as_from_a_file_and_go_on_at_a_cursor() {
    let Some(database) = Database::new("exports") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    assert_eq!(told(&shared), told(&file));

    // Only the latest outcome of each event is kept. Those that an earlier release recorded have no number.
    let (all, cursor) = exported(&shared, "outcomes", "");
    assert_eq!(all.len(), 6);
    database.ask("UPDATE passbridge.final SET number = 0");
    assert_eq!(exported(&shared, "outcomes", "").0.len(), all.len());
    assert_eq!(exported(&shared, "outcomes", &cursor).0.len(), 0);
    // What is taken back or erased has no row.
    assert_eq!(shared.json(&["pending", "take-back", "--requestor", "REF30", "--yes"]).1["taken_back"], 3);
    assert_eq!(exported(&shared, "outcomes", &cursor).0.len(), 0);
    assert_eq!(exported(&shared, "events", "").0.len(), 6);

    let Some(other) = Database::new("exports_other") else { return };
    let done = other.program().run(&["export", "outcomes", "--since", &cursor]);
    assert!(done.code == 2 && done.err.contains("the cursor is of another buffer"), "{done:?}");
}

#[test]
fn an_export_waits_for_events_that_commit_late_and_the_next_one_skips_none() {
    let Some(database) = Database::new("exports_late") else { return };
    let program = database.program();
    // An identity that another session holds makes the ingest of it wait, with its numbers taken.
    let id = event(play(3)).identity().id;
    let blocks = format!(
        "BEGIN; INSERT INTO passbridge.identity (id, content, seq) VALUES (decode('{id}', 'hex'), 0, 0);"
    );
    let blocking = database.session(&database.url(), &blocks);
    let late = program.file("late.ndjson", &plays(0..10));
    let mut late =
        program.command(&["ingest", &late]).stdout(Stdio::null()).spawn().expect("the program starts");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
         AND application_name = 'passbridge' AND datname = current_database()";
    wait_until("the ingest waits", || database.ask(waiting) != "0");
    ingest(&program, "early.ndjson", 10..20);

    let mut export = program.command(&["export", "events"]);
    let export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let asks =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_locks%' AND pid <> pg_backend_pid()
         AND datname = current_database()";
    wait_until("the export waits", || database.ask(asks) != "0");
    // Whoever begins later is not waited for.
    ingest(&program, "later.ndjson", 20..30);
    blocking.end("ROLLBACK;");
    assert!(late.wait().expect("the ingest ends").success());
    let done = export.wait_with_output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let cursor = err.split_once("cursor ").expect("a cursor").1.trim();
    let (more, _) = exported(&program, "events", cursor);
    let mut seen: Vec<i64> =
        rows(&out).iter().chain(&more).map(|row| row["sequence"].as_i64().expect("a number")).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), rows(&out).len() + more.len()), (30, 30), "each event once: {cursor}");
    assert!(more.len() >= 10 || rows(&out).len() == 30);
}
