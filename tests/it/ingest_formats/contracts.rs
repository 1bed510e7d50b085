//! What breaks a contract is rejected with the reason, through every door, and a key that vanished is told without one.

use serde_json::{Value, json};

use crate::program::Program;

const CONTRACT: &str = r#"
[contract.ref30]
requestors = ["REF30"]
events = ["authz_ok"]
required = ["mvpd", "MVPD_USER_ID"]
mvpds = ["Cableco"]
count_max = 100
age_max = "400d"
[contract.gateway]
sources = ["*/gateway-*.ndjson"]
unknown_keys = "reject"
"#;

fn line(change: Value) -> String {
    let mut event = json!({"occurred_at": "2026-11-10T08:00:00Z", "event": "authz_ok", "requestor_id": "REF30",
        "mvpd": "Cableco", "mvpd_user_id": "u1"});
    let fields = event.as_object_mut().expect("an object");
    change.as_object().expect("an object").iter().for_each(|(key, value)| {
        fields.insert(key.clone(), value.clone());
    });
    format!("{event}\n")
}

#[test]
fn what_breaks_a_contract_is_rejected_with_the_reason_and_other_sources_are_not() {
    let program = Program::with(CONTRACT);
    let path = |name: &str| program.path(name).to_str().expect("UTF-8").to_owned();
    for (change, expected) in [
        (json!({}), None),
        (json!({"mvpd_user_id": null}), Some("breaks contract.ref30: mvpd_user_id is missing")),
        (json!({"mvpd": "Other"}), Some("breaks contract.ref30: mvpd \"Other\" is not known there")),
        (json!({"count": 101}), Some("breaks contract.ref30: count is above 100: 101")),
        (
            json!({"occurred_at": "2024-11-10T08:00:00Z"}),
            Some("breaks contract.ref30: occurred_at is older than 400d: 2024-11-10T08:00:00Z"),
        ),
        (json!({"event": "authn_requested", "mvpd": null, "mvpd_user_id": null}), None),
        (json!({"requestor_id": "REF40", "mvpd": "Other", "zone": 1}), None),
    ] {
        program.write("a.ndjson", &line(change.clone()));
        for dry_run in [true, false] {
            let (file, mut args) = (path("a.ndjson"), vec!["ingest"]);
            args.extend(dry_run.then_some("--dry-run"));
            args.push(&file);
            let done = program.run(&args);
            assert_eq!(done.code, if expected.is_some() { 3 } else { 0 }, "{change}: {}", done.err);
            assert!(expected.is_none_or(|reason| done.err.contains(reason)), "{change}: {}", done.err);
        }
    }
    program.write("gateway-1.ndjson", &line(json!({"requestor_id": "REF40", "mvpd_userid": "u"})));
    let done = program.run(&["ingest", &path("gateway-1.ndjson")]);
    let told = ["breaks contract.gateway: no event has the key \"mvpd_userid\"", "is it \"mvpd_user_id\"?"];
    assert!(done.code == 3 && told.iter().all(|part| done.err.contains(part)), "{done:?}");
    let (_, report) = program.json(&["ingest", "--dry-run", &path("gateway-1.ndjson")]);
    assert_eq!(report["unknown_keys"], json!({"mvpd_userid": 1}), "{report}");
    program.write("c.toml", "[contract.x]\nrequired = [\"mvpd_usr\"]\n");
    let done = program.run(&["ingest", "--dry-run", "/dev/null"]);
    let told = "contract.x: \"mvpd_usr\" is no key of an event; the nearest is \"mvpd\"";
    assert!(done.code == 2 && done.err.contains(told), "{done:?}");
}

/// So many events of REF30 with this key in the place of `mvpd`.
fn lines(key: &str, from: usize, count: usize) -> String {
    let lines = (from..from + count).map(|number| line(json!({"event_id": number.to_string()})));
    lines.collect::<String>().replace("\"mvpd\"", &format!("\"{key}\""))
}

#[test]
fn a_file_without_a_key_that_nearly_all_events_had_is_kept_out_until_the_key_is_named() {
    let program = Program::new();
    let good = program.file("a.ndjson", &lines("mvpd", 0, 30));
    let few = program.file("few.ndjson", &lines("provider", 100, 1));
    assert_eq!(program.run(&["ingest", &good, &few]).code, 0);
    let renamed = program.file("b.ndjson", &lines("provider", 200, 25));
    let other = program.file("c.ndjson", &lines("mvpd", 300, 30));
    let (code, report) = program.json(&["ingest", &good, &renamed, &other]);
    assert_eq!((code, &report["total"]["stored"]), (3, &json!(30)), "{report}");
    let why = report["inputs"][1]["unused"].as_str().expect("a reason");
    let told = "lacks keys that nearly all events before had: mvpd of REF30";
    assert!(why.contains(told) && why.ends_with("--accept-missing mvpd"), "{why}");
    let done = program.run(&["ingest", &renamed, "--accept-missing", "mvpd_user_id"]);
    assert!(done.code == 3 && done.err.contains(told), "{done:?}");
    let done = program.run(&["ingest", &renamed, "--accept-missing", "provider"]);
    assert!(done.code == 2 && done.err.contains("is no key of an event"), "{done:?}");
    let (code, report) = program.json(&["ingest", &renamed, "--accept-missing", "mvpd"]);
    assert_eq!((code, &report["total"]["stored"]), (0, &json!(25)), "{report}");
}

#[test]
fn a_pipe_and_the_inbox_tell_of_a_lost_key_once_and_are_taken() {
    let program = Program::new();
    program.write("a.ndjson", &lines("mvpd", 0, 30));
    let piped = |name: &str| {
        let mut command = program.command(&["ingest", "-"]);
        command.stdin(std::fs::File::open(program.path(name)).expect("a file"));
        crate::program::done(command)
    };
    assert!(!piped("a.ndjson").err.contains("nearly all"));
    let told = "lacks keys that nearly all events before had: mvpd of REF30";
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    for row in lines("provider", 100, 25).lines() {
        database.execute("INSERT INTO inbox VALUES (?1)", [row]).expect("a row");
    }
    let drained = program.run(&["drain"]);
    assert!(drained.err.contains(told), "{drained:?}");
    program.write("b.ndjson", &(lines("provider", 200, 25)));
    program.write("c.ndjson", &(lines("mvpd", 300, 1_000)));
    assert!(!piped("c.ndjson").err.contains("nearly all"));
    let done = piped("b.ndjson");
    assert!(done.code == 0 && done.err.contains(told), "{done:?}");
    assert_eq!(program.json(&["status"]).1["pending"], 30 + 25 + 1_000 + 25);
}
