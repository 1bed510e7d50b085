//! What is taken of a source: by time and requestor, by a map, from folders, and under IDs that keys make.

use serde_json::json;

use crate::program::{Program, done};
use crate::support::sandbox;

fn event(at: &str, requestor: &str, user: &str, resource: &str, more: &str) -> String {
    format!(
        "{{\"occurred_at\":\"{at}\",\"event\":\"authz_ok\",\"requestor_id\":\"{requestor}\",\
         \"mvpd_user_id\":\"{user}\",\"resource_id\":\"{resource}\"{more}}}\n"
    )
}

#[test]
fn keys_make_the_id_of_an_event_without_one_and_what_differs_elsewhere_is_a_conflict() {
    let program = Program::new();
    let keys = "Resource_ID,occurred_at,event,mvpd_user_id";
    let at = "2026-10-01T08:00:00Z";
    let first = program.file("first.ndjson", &event(at, "REF30", "u1", "news", ",\"mvpd\":\"A\""));
    assert_eq!(program.run(&["ingest", "--event-id-from", keys, &first]).code, 0);
    let text = event(at, "REF30", "u1", "news", ",\"mvpd\":\"A\"")
        + &event(at, "REF30", "u1", "news", ",\"mvpd\":\"B\"")
        + &event(at, "REF30", "u1", "sport", ",\"mvpd\":\"A\"")
        + &event(at, "REF40", "u1", "news", ",\"mvpd\":\"A\"")
        + &event(at, "REF30", "u1", "news", ",\"mvpd\":\"C\",\"event_id\":\"own\"");
    let second = program.file("second.ndjson", &text);
    let keys = "occurred_at,event,mvpd_user_id,resource_id";
    let (code, report) = program.json(&["ingest", "--event-id-from", keys, &second]);
    let total = &report["total"];
    assert_eq!(
        (code, &total["stored"], &total["duplicates"], &total["conflicts"]),
        (3, &json!(3), &json!(1), &json!(1)),
        "{report}"
    );
    for (keys, told) in
        [("event_id", "event_id is what is made"), ("ocurred_at", "the nearest is \"occurred_at\"")]
    {
        let refused = program.run(&["ingest", "--event-id-from", keys, &second]);
        assert_eq!((refused.code, refused.err.contains(told)), (2, true), "{refused:?}");
    }
}

#[test]
fn a_slice_takes_a_span_and_requestors_and_counts_what_it_leaves_out() {
    let program = Program::new();
    let text = event("2026-10-01T08:00:00Z", "REF30", "u1", "a", "")
        + &event("2026-10-02T00:00:00Z", "REF30", "u2", "a", "")
        + &event("2026-10-02T23:59:59Z", "REF40", "u3", "a", "")
        + &event("2026-10-03T00:00:00Z", "REF30", "u4", "a", "")
        + "no event\n";
    let path = program.file("all.ndjson", &text);
    let span = ["--from", "2026-10-02T00:00:00Z", "--to", "2026-10-03T00:00:00Z"];
    let (code, report) = program.json(&[&["ingest"], &span[..], &["--requestor", "REF30", &path]].concat());
    let input = &report["inputs"][0];
    assert_eq!(
        (code, &input["read"], &input["stored"], &input["outside_slice"]),
        (3, &json!(2), &json!(1), &json!(3)),
        "{report}"
    );
    let dry = program.json(&[&["ingest", "--dry-run"], &span[..], &[&path]].concat()).1;
    assert_eq!(
        (&dry["inputs"][0]["read"], &dry["inputs"][0]["outside_slice"]),
        (&json!(3), &json!(2)),
        "{dry}"
    );
    let swapped = ["ingest", "--from", span[3], "--to", span[1], &path];
    assert!(program.run(&swapped).err.contains("--from is not before --to"));
    // The events of a log of exchanges rest on each other, so it is taken whole.
    let har = program.file("log.har", "{\"log\":{\"entries\":[]}}");
    let refused = program.run(&["ingest", "--requestor", "REF30", &har]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("is har, and a map, a slice"), "{refused:?}");
}

#[test]
fn a_backfill_takes_slices_of_mapped_files_below_a_folder_as_they_were_planned() {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    std::fs::create_dir(program.path("export")).expect("a folder");
    for month in ["09", "10"] {
        let row = |day: &str, user: &str| format!("2026-{month}-{day}T08:00:00Z;AuthZ OK;REF30;{user}\n");
        let rows = format!("ts;what;channel;user\n{}{}{}", row("01", "u1"), row("01", "u2"), row("02", "u1"));
        program.write(&format!("export/{month}.csv"), &rows);
    }
    let map = "separator = \";\"\n[keys]\noccurred_at = \"ts\"\nevent = \"what\"\nrequestor_id = \"channel\"\nmvpd_user_id = \"user\"\n";
    let map_file = program.file("warehouse.toml", map);
    let folder = program.path("export").to_str().expect("UTF-8").to_owned();
    let of =
        ["--map", &map_file, "--to", "2026-10-02T00:00:00Z", "--event-id-from", "mvpd_user_id,occurred_at"];
    let plan = [&["backfill", "plan", "h"], &of[..], &[&folder]].concat();
    let (code, planned) = program.json(&plan);
    assert_eq!((code, &planned["total"]["events"]), (0, &json!(5)), "{planned}");
    assert_eq!(planned["inputs"].as_array().expect("inputs").len(), 2);
    // The map is kept with the plan, so a change of its file changes nothing.
    program.write("warehouse.toml", &map.replace("user\"\n", "ts\"\n"));
    assert_eq!(program.run(&["backfill", "run", "h"]).code, 0);
    assert_eq!(sandbox.accepted_count(), 5);
    let found = program.run(&["export", "events"]);
    assert!(
        found.out.contains("\"mvpd_user_id\":\"u2\"") && found.out.contains("\"event_id\":\"keys-"),
        "{}",
        found.out
    );
    for args in [&["--requestor", "REF30"][..], &["--from", "2026-10-01T00:00:00Z"]] {
        let refused = done(program.command(&[&["backfill", "plan", "x"], args].concat()));
        assert_eq!((refused.code, refused.err.contains("no file is named")), (2, true), "{refused:?}");
    }
}
