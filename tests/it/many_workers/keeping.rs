//! What retention deletes in PostgreSQL, and what stays known of it.

use serde_json::json;

use super::server::Database;
use super::{assert_balanced, collector, ingest, map};

#[test]
fn what_is_old_is_deleted_stays_a_duplicate_and_keeps_its_place_in_the_account() {
    let Some(database) = Database::new("keeping") else { return };
    let program = database.program();
    // The first reply of each is lost, so that each is counted twice without IDs.
    let sandbox = collector("reset-after:100%");
    map(&program, &sandbox, &["--event-ids", "off"]);
    ingest(&program, "events.ndjson", 0..10);
    program.write(
        "c.toml",
        &program_config(&database, "[delivery]\nmax_attempts = 1\nrequest_timeout_seconds = 1\n"),
    );
    assert_eq!(program.run(&["drain"]).code, 4);
    sandbox.set_faults("".parse().expect("no fault"));
    assert_eq!(program.run(&["drain"]).code, 0);
    ingest(&program, "later.ndjson", 10..12);
    let before = program.json(&["status"]).1;
    assert_eq!((&before["delivered"], &before["over_count_max"]), (&10.into(), &10.into()), "{before}");
    database.ask("UPDATE passbridge.final SET at = at - interval '29 days'");
    let (_, report) = program.json(&["retention"]);
    assert_eq!(report["expired_delivered"], 0, "a day is left of thirty");
    database.ask("UPDATE passbridge.final SET at = at - interval '2 days'");
    let (code, report) = program.json(&["retention"]);
    assert_eq!(
        (code, &report["expired_delivered"], &report["forgotten_identities"]),
        (0, &10.into(), &0.into()),
        "{report}"
    );
    assert_balanced(&program, 12);
    let status = program.json(&["status"]).1;
    let now = ["pending", "delivered", "expired", "over_count_max"].map(|key| status[key].clone());
    assert_eq!(now, [json!(2), json!(0), json!(10), json!(10)]);
    let left = "SELECT (SELECT count(*) FROM passbridge.event), (SELECT count(*) FROM passbridge.attempt),
        (SELECT count(*) FROM passbridge.outcome), (SELECT count(*) FROM passbridge.final)";
    assert_eq!(database.ask(left), "2|0|0|0");
    let (_, again) = program.json(&["ingest", &program.place("events.ndjson")]);
    assert_eq!(
        (&again["total"]["duplicates"], &again["total"]["stored"]),
        (&10.into(), &0.into()),
        "{again}"
    );
    database.ask("UPDATE passbridge.identity SET gone_on = gone_on - 401 WHERE gone_on IS NOT NULL");
    let (_, report) = program.json(&["retention"]);
    assert_eq!(report["forgotten_identities"], 10);
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["delivered"]), (0, &2.into()), "{drained}");
    assert_balanced(&program, 12);
}

#[test]
fn postings_of_an_hour_become_one_and_the_account_stays() {
    let Some(database) = Database::new("folding") else { return };
    let program = database.program();
    for file in 0..12 {
        ingest(&program, &format!("{file}.ndjson"), file..file + 1);
    }
    assert_eq!(database.ask("SELECT count(*) FROM passbridge.posting"), "12");
    assert_eq!(program.run(&["retention"]).code, 0);
    assert_eq!(database.ask("SELECT count(*), sum(ingested_events) FROM passbridge.posting"), "1|12");
    assert_balanced(&program, 12);
}

#[test]
fn nothing_is_deleted_where_two_clocks_are_a_day_apart_unless_a_person_says_so() {
    let Some(database) = Database::new("clocks") else { return };
    let program = database.program();
    // A database whose clock stands elsewhere, as this host sees it.
    database.ask(
        "CREATE SCHEMA wrong; CREATE FUNCTION wrong.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now() + interval ''2 days''';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = wrong, pg_catalog', current_database()); END $$",
    );
    let done = program.run(&["retention"]);
    assert!(done.code == 1 && done.err.contains("nothing was deleted"), "{done:?}");
    assert_eq!(program.run(&["retention", "--trust-clock"]).code, 0);
}

fn program_config(database: &Database, delivery: &str) -> String {
    format!("[buffer]\nurl = \"{}\"\n{delivery}[workers]\nlease_seconds = 2\n", database.url())
}
