//! A buffer that was moved goes on elsewhere and nowhere else, and whoever is forgotten is found in every spelling.

use serde_json::{Value, json};

use crate::program::{Program, lines};
use crate::support::{counted, sandbox};

#[test]
fn a_buffer_that_was_moved_sends_what_was_left_and_its_original_is_closed() {
    let sandbox = sandbox("");
    let program = Program::new();
    program.map("REF30", "examplersid", &sandbox.url(), &["--event-ids", "off"]);
    program.ingest(4);
    assert_eq!(program.run(&["drain"]).code, 0);
    let more = &*program.file("more.ndjson", &lines(10));
    assert_eq!(program.run(&["ingest", more]).code, 0);

    let other = Program::bare();
    other.write("c.toml", "");
    let way = other.file("in-the-way", "");
    assert_ne!(program.run(&["backup", &way, "--move"]).code, 0);
    assert_eq!(program.run(&["status"]).code, 0, "what could not be moved is open as before");

    let (code, moved) = program.json(&["backup", &other.place("passbridge.db"), "--move"]);
    assert_eq!((code, &moved["moved"]), (0, &json!(true)), "{moved}");
    for closed in [&["drain"][..], &["status"], &["ingest", more]] {
        let refused = program.run(closed);
        assert!(refused.code == 2 && refused.err.contains("was moved at"), "{closed:?}: {refused:?}");
    }

    // Without event IDs a copy would ask for --accept-repeat.
    assert_eq!(other.run(&["drain"]).code, 0);
    assert_eq!(counted(&sandbox), 10, "each event once");
    assert_eq!(other.json(&["ingest", more]).1["total"]["duplicates"], 10);
    assert_eq!(other.run(&["status", "--verify"]).code, 0);

    let second = Program::bare();
    let again = program.run(&["backup", &second.place("again.db"), "--move"]);
    assert_eq!(again.code, 0, "if the first is lost");
}

#[test]
fn a_person_is_found_in_every_spelling_and_a_dry_run_changes_nothing() {
    let program = Program::new();
    let event = |number: u32, keys: Value| {
        let mut event = json!({"event": "play_requested", "occurred_at": "2026-11-01T10:00:00Z", "requestor_id": "REF30",
            "event_id": number.to_string()});
        event.as_object_mut().expect("an object").extend(keys.as_object().expect("keys").clone());
        event.to_string()
    };
    let events = [
        event(1, json!({"mvpd": "Cableco", "mvpd_user_id": "u1"})),
        event(2, json!({"mvpd": "CABLECO", "mvpd_user_id": "u1", "device_id": "d1"})),
        event(3, json!({"mvpd": "Other", "mvpd_user_id": "u1", "session_id": "s1"})),
        event(4, json!({"ip_address": "2001:0DB8:0:0:0:0:0:1", "device_id": "d1"})),
        event(5, json!({"ip_address": "[2001:db8::1]:443", "session_id": "s1"})),
        event(6, json!({"ip_address": "2001:db8::2"})),
        // A rejected line of the same person.
        event(7, json!({"mvpd": "CableCo", "mvpd_user_id": "u1"})).replace("2026-11-01", "2026-99-01"),
    ];
    let path = program.file("events.ndjson", &events.join("\n"));
    assert_eq!(program.run(&["ingest", &path]).code, 3);
    let person = ["forget", "--mvpd", "cableco", "--mvpd-user-id", "u1"];
    let would = program.json(&[&person[..], &["--dry-run"]].concat()).1;
    assert_eq!(
        (&would["events"], &would["rejected_lines"], &would["dry_run"]),
        (&json!(2), &json!(1), &json!(true)),
        "{would}"
    );
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 6, "nothing is erased");
    let forgotten = program.json(&person).1;
    for count in ["events", "rejected_lines", "metric_digests", "inbox_rows", "mvpds"] {
        assert_eq!(forgotten[count], would[count], "{count}");
    }
    assert_eq!(forgotten["mvpds"], json!(["CABLECO", "Cableco"]));
    for (option, value, events) in
        [("--ip-address", "2001:db8:0::1", 2), ("--session-id", "s1", 1), ("--device-id", "d1", 0)]
    {
        let forgotten = program.json(&["forget", option, value]).1;
        assert_eq!(forgotten["events"], events, "{option} {forgotten}");
    }
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 1);
}
