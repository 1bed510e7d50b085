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
        (json!({"count": 101}), Some("breaks contract.ref30: count 101 is above 100")),
        (
            json!({"occurred_at": "2024-11-10T08:00:00Z"}),
            Some("breaks contract.ref30: occurred_at 2024-11-10T08:00:00Z is older than 400d"),
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

#[test]
fn a_key_that_nearly_all_events_had_and_none_has_now_is_told_without_a_contract() {
    let program = Program::new();
    let file = |name: &str, key: &str, from: usize, count: usize| {
        let lines = (from..from + count).map(|number| line(json!({"event_id": number.to_string()})));
        program.write(name, &lines.collect::<String>().replace("\"mvpd\"", key));
        program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]).err
    };
    let told = "REF30: mvpd was on nearly all of its 30 events before, and is on none of the last 25 now";
    assert!(!file("a.ndjson", "\"mvpd\"", 0, 30).contains("nearly all"));
    assert!(!file("few.ndjson", "\"provider\"", 100, 0).contains("nearly all"));
    let err = file("b.ndjson", "\"provider\"", 200, 25);
    assert!(err.contains(told), "{err}");
    let err = file("c.ndjson", "\"mvpd\"", 300, 30);
    assert!(!err.contains("nearly all"), "{err}");
}
