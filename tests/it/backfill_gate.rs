//! Nothing gets into Analytics that was not planned: a run takes what its plan has read, and adds to no day that was delivered
//! already unless somebody names it.

use serde_json::json;

use crate::program::Program;
use crate::support::sandbox;

/// So many events of a day, each with an event ID that begins with `prefix`.
fn day(date: &str, prefix: &str, count: usize) -> String {
    let line = |number: usize| {
        format!(
            "{{\"occurred_at\":\"{date}T{:02}:{:02}:00Z\",\"event\":\"authn_ok\",\"requestor_id\":\"REF30\",\
             \"event_id\":\"{prefix}{number}\",\"mvpd_user_id\":\"u{number}\"}}\n",
            number / 60 % 24,
            number % 60
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn a_run_refuses_an_input_that_was_changed_since_its_plan() {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let one = program.file("one.ndjson", &day("2026-10-01", "a", 5));
    let two = program.file("two.ndjson", &day("2026-10-02", "b", 5));
    let (code, plan) = program.json(&["backfill", "plan", "h", &one, &two]);
    assert_eq!(
        (code, &plan["inputs"][1]["bytes"]),
        (0, &json!(std::fs::metadata(&two).expect("a file").len()))
    );
    let planned = std::fs::read_to_string(&two).expect("the file");
    program.write("two.ndjson", &planned.replace("\"u4\"", "\"u5\""));
    let refused = program.run(&["backfill", "run", "h"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("two.ndjson was changed since it was planned"), "{}", refused.err);
    assert_eq!((program.json(&["status"]).1["pending"].clone(), sandbox.accepted_count()), (json!(0), 0));
    program.write("two.ndjson", &planned);
    assert_eq!(program.run(&["backfill", "run", "h"]).code, 0);
    assert_eq!(sandbox.accepted_count(), 10);
    let status = program.json(&["backfill", "status", "h"]).1;
    assert_eq!(status["backfills"][0]["plan"]["total"]["events"], 10, "{status}");
}

#[test]
fn a_run_adds_to_delivered_days_only_where_each_is_named() {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let live = program.file("live.ndjson", &(day("2026-10-01", "a", 5) + &day("2026-10-03", "a3-", 5)));
    assert_eq!(program.run(&["ingest", &live]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    let text =
        ["2026-10-01", "2026-10-02", "2026-10-03"].map(|date| day(date, &format!("again{date}"), 5)).concat();
    let again = program.file("again.ndjson", &text);
    // Planned or not, it stops before anything is loaded.
    assert_eq!(program.run(&["backfill", "plan", "planned", &again]).code, 0);
    for args in [&["backfill", "run", "planned"][..], &["backfill", "run", "unplanned", &again]] {
        for accepted in [None, Some("2026-10-01"), Some("2026-10-02..2026-10-03")] {
            let option = accepted.map(|days| ["--accept-days", days]);
            let refused =
                program.run(&[args, option.as_ref().map_or(&[][..], |option| &option[..])].concat());
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(
                refused.err.contains("days that were delivered already: REF30 2026-10-0"),
                "{}",
                refused.err
            );
            assert_eq!(refused.err.contains("REF30 2026-10-01: 5 delivered"), accepted != Some("2026-10-01"));
        }
    }
    assert_eq!(sandbox.accepted_count(), 10);
    let accepted = ["backfill", "run", "planned", "--accept-days", "2026-10-01,2026-10-03"];
    assert_eq!(program.run(&accepted).code, 0);
    assert_eq!(sandbox.accepted_count(), 25);
}

#[test]
fn a_run_stops_at_an_input_that_lacks_a_key_until_the_key_is_named() {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let with = |key: &str, prefix: &str| {
        let lines = day("2026-10-01", prefix, 25).replace('}', &format!(",\"{key}\":\"Cableco\"}}"));
        program.file(&format!("{prefix}.ndjson"), &lines)
    };
    let inputs = [with("mvpd", "a"), with("provider", "b"), with("mvpd", "c"), with("provider", "d")];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let markdown = [&["backfill", "plan", "h", "--markdown"], &inputs[..]].concat();
    let plan = program.run(&markdown);
    assert!(plan.code == 0 && plan.out.contains("| risk | high"), "{plan:?}");
    for args in [vec!["backfill", "run", "h"], [&["backfill", "run", "unplanned"], &inputs[..]].concat()] {
        for accepted in [&[][..], &["--accept-missing", "device_id"]] {
            let refused = program.run(&[&args, accepted].concat());
            let lost = "lacks keys that nearly all events before had: mvpd of REF30";
            let told = ["b.ndjson", "d.ndjson"].map(|name| format!("{name} {lost}"));
            assert!(refused.code == 2 && told.iter().all(|told| refused.err.contains(told)), "{refused:?}");
            assert!(refused.err.contains("--accept-missing mvpd"), "{refused:?}");
        }
    }
    assert_eq!((program.json(&["status"]).1["pending"].clone(), sandbox.accepted_count()), (json!(0), 0));
    assert_eq!(program.run(&["backfill", "run", "h", "--accept-missing", "mvpd"]).code, 0);
    assert_eq!(sandbox.accepted_count(), 100);
}

#[test]
fn a_plan_as_markdown_says_what_an_approval_needs() {
    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let live = program.file("live.ndjson", &day("2026-10-01", "a", 5));
    assert_eq!(program.run(&["ingest", &live]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    let calm = program.file("calm|_.ndjson", &day("2026-10-02", "c", 120));
    let plan = |name: &str, args: &[&str]| {
        let done = program.run(&[&["backfill", "plan", name, "--markdown"], args].concat());
        assert_eq!(done.code, 0, "{done:?}");
        done.out
    };
    let text = plan("calm", &[&calm, "--rate", "1"]);
    let digest = program.json(&["backfill", "status", "calm"]).1["backfills"][0]["plan"]["inputs"][0].clone();
    for told in [
        "# Backfill calm\n",
        "| server calls | 120 |",
        "| rate | 1 a second |",
        "| window | always |",
        "| --via dia (recommended) | 120 | 2m | ",
        "calm\\|_.ndjson | 120 | 0 | ",
        digest["sha256"].as_str().expect("a digest"),
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    let always = plan("always", &[&calm, "--rate", "1"]);
    let windowed = plan("windowed", &[&calm, "--rate", "1", "--window", "00:00-00:01"]);
    let finished = |text: &str| {
        let row = text.lines().find(|line| line.starts_with("| --via dia")).expect("a route").to_owned();
        row.rsplit(" | ").next().expect("a date").trim_end_matches(" |").parse::<passbridge::event::Instant>()
    };
    // Two minutes of sending need the first minutes of two nights.
    let apart = finished(&windowed).expect("a date").unix_seconds()
        - finished(&always).expect("a date").unix_seconds();
    assert!((23 * 3600..49 * 3600).contains(&apart), "{apart}\n{windowed}");
    let again = program.file("again.ndjson", &day("2026-10-01", "again", 5));
    let risky = plan("risky", &[&again]);
    assert!(
        risky.contains("| risk | high") && risky.contains("- report suite examplersid has 5 events"),
        "{risky}"
    );
}
