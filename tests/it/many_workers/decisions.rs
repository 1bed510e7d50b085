//! What a person decides about dead and held events in PostgreSQL, by the words that a file has for it.

use std::collections::BTreeMap;

use passbridge::sandbox::{EventRecording, FaultPlan, SandboxOptions, SuiteSettings};
use serde_json::{Value, json};

use super::server::Database;
use crate::program::Program;
use crate::support::{FIRST_SECOND, sandbox_with};

/// Two suites: the hits of one have IDs.
const SUITES: [(&str, &str); 2] = [("REF30", "exact"), ("REF40", "doubled")];

fn line(requestor: &str, number: u32, count: u32) -> String {
    let event = json!({
        "occurred_at": FIRST_SECOND + i64::from(number),
        "event": "play_requested",
        "requestor_id": requestor,
        "event_id": format!("{requestor}-{number}"),
        "mvpd": "Cablevision",
        "mvpd_user_id": format!("user{number}"),
        "resource_id": "SPORT1",
        "count": count,
    });
    format!("{event}\n")
}

fn numbers(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|one| one["seq"].to_string()).collect()
}

/// The account of a buffer whose rows were counted: pending, delivered, dead, held, discarded.
fn account(program: &Program) -> [i64; 5] {
    let (code, status) = program.json(&["status", "--verify"]);
    assert_eq!(
        (code, &status["discrepancies"], &status["accounting"]["balanced"]),
        (0, &json!([]), &true.into()),
        "{status}"
    );
    ["pending", "delivered", "dead", "held", "discarded"]
        .map(|state| status[state].as_i64().expect("a number"))
}

#[test]
fn dead_and_held_events_are_requeued_settled_and_discarded_and_the_account_follows() {
    let Some(database) = Database::new("decisions") else { return };
    let program = database.program();
    let sandbox = sandbox_with("reset-after:100%", |options: &mut SandboxOptions| {
        let settings = |recording| SuiteSettings { recording, ..SuiteSettings::default() };
        let [exact, doubled] = SUITES.map(|(_, rsid)| rsid.parse().expect("an rsid"));
        options.suites = BTreeMap::from([
            (exact, settings(EventRecording::UseEventId)),
            (doubled, settings(EventRecording::AlwaysRecord)),
        ]);
    });
    for ((requestor, rsid), ids) in SUITES.into_iter().zip(["on", "off"]) {
        program.map(requestor, rsid, &sandbox.url(), &["--event-ids", ids, "--on-ambiguous", "hold"]);
    }
    let lines: String = (0..5).map(|number| line("REF30", number, 1)).collect();
    let lines = lines + &line("REF30", 5, 500) + &line("REF30", 6, 600) + &line("REF40", 7, 1);
    let path = program.file("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", &path]).code, 0);
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["held"], &drained["dead"]), (3, &6.into(), &2.into()), "{drained}");
    assert_eq!(account(&program), [0, 0, 2, 6, 0]);

    let (code, dead) = program.json(&["dead-letter", "list"]);
    assert_eq!(code, 0);
    let reasons: Vec<&Value> =
        dead["dead_letters"].as_array().expect("a list").iter().map(|one| &one["reason"]).collect();
    assert!(reasons.contains(&&json!("count_too_large:500")), "{dead}");
    let group =
        json!({"reason": "count_too_large:500", "mvpd": "Cablevision", "resource_id": "SPORT1", "events": 1});
    assert_eq!(dead["groups"][0], group);
    let seq = &numbers(&dead["dead_letters"])[0];
    let shown = program.run(&["dead-letter", "show", seq]);
    assert!(
        shown.code == 0 && shown.out.contains("count_too_large") && shown.out.contains("\"event_id\""),
        "{shown:?}"
    );

    let held = |program: &Program, of: &str| -> Vec<String> {
        let (_, held) = program.json(&["held", "list"]);
        let list = held["held"].as_array().expect("a list");
        let own: Vec<Value> = list.iter().filter(|one| one["requestor_id"] == of).cloned().collect();
        assert!(own.iter().all(|one| one["attempts"] == 1 && one["rsid"].is_string()), "{held}");
        numbers(&own.into())
    };
    let exact = held(&program, "REF30");
    let [again, counted, never, stays, ..] = &exact[..] else { panic!("{exact:?}") };
    // What may count twice is sent again only if a person says so.
    let doubled = &held(&program, "REF40")[0];
    let (code, report) = program.json(&["held", "requeue", doubled]);
    assert_eq!((code, &report["requeued"], &report["may_double"]), (3, &0.into(), &1.into()));
    let (code, report) = program.json(&["held", "requeue", again, doubled, "--accept-repeat"]);
    assert_eq!((code, &report["requeued"]), (0, &2.into()), "{report}");
    let (_, report) = program.json(&["held", "settle", counted, "--delivered"]);
    assert_eq!(report["delivered"], 1);
    let (_, report) = program.json(&["held", "settle", never, "--discarded"]);
    assert_eq!(report["discarded"], 1);
    let (_, report) = program.json(&["dead-letter", "discard", "--reason", "count_too_large:600"]);
    assert_eq!(report["discarded"], 1);
    assert_eq!(account(&program), [2, 1, 1, 2, 2]);
    let done = program.run(&["held", "settle", counted, "--discarded"]);
    assert!(done.code == 2 && done.err.contains("is not held"), "{done:?}");
    let done = program.run(&["held", "requeue", stays, counted]);
    assert!(done.code == 3 && done.err.contains("is not held"), "{done:?}");

    sandbox.set_faults(FaultPlan::default());
    let (code, drained) = program.json(&["drain"]);
    assert_eq!((code, &drained["delivered"], &drained["held"]), (0, &3.into(), &0.into()), "{drained}");
    assert_eq!(account(&program), [0, 4, 1, 1, 2]);
    let [exact, doubled] = SUITES.map(|(_, rsid)| sandbox.counted(rsid).iter().sum::<u64>());
    assert_eq!((exact, doubled), (5, 2), "a repeat with its ID counts once");
    assert_eq!(program.json(&["status"]).1["over_count_max"], 1);
}
