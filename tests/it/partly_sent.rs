//! An event of several hits goes on, after an orderly pause, at the hit that is known to be next.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::program::{Program, Running, send};
use crate::support::{PATIENCE, counted, sandbox};

const COUNT: u64 = 60;

fn line(number: u32) -> String {
    format!(
        "{{\"occurred_at\":\"2026-11-01T00:00:0{number}Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"event_id\":\"p{number}\",\
         \"mvpd\":\"M\",\"mvpd_user_id\":\"u1\",\"count\":{COUNT}}}\n"
    )
}

fn program() -> Program {
    Program::with("[delivery]\nlanes = 2\ngive_up_seconds = 2\nbackoff_base_ms = 5\n")
}

/// Starts a command, and stops it in the middle of the first event.
fn stop_half_way(program: &Program, sandbox: &passbridge::sandbox::Handle, args: &[&str]) -> u64 {
    let running = Running::start(program.command(args));
    assert!(sandbox.wait_accepted(10, PATIENCE), "the first hits are sent");
    send(running.child(), Signal::TERM);
    running.wait();
    let sent = sandbox.accepted_count();
    assert!((10..COUNT).contains(&sent), "{sent} hits were sent before the stop");
    sent
}

#[test]
fn a_stopped_drain_goes_on_at_the_next_hit_in_the_same_form() {
    let sandbox = sandbox("latency=15ms");
    let program = program();
    program.suite(&sandbox.url());
    let path = &*program.file("events.ndjson", &[line(1), line(2)].concat());
    assert_eq!(program.run(&["ingest", path]).code, 0);
    stop_half_way(&program, &sandbox, &["drain"]);

    let status = program.json(&["status", "--verify"]).1;
    assert_eq!(
        (&status["pending"], &status["partly_sent"], &status["in_doubt"]),
        (&json!(2), &json!(1), &json!(0)),
        "{status}"
    );
    assert!(program.run(&["status"]).out.contains("partly sent  1 of them"));
    let removed = program.run(&["suite", "remove", "examplersid"]);
    assert!(removed.code == 2 && removed.err.contains("1 partly sent"), "{removed:?}");
    let split = [
        "suite",
        "set",
        "examplersid",
        "--identity",
        "ecid",
        "--org-id",
        "0123456789ABCDEF01234567@AdobeOrg",
        "--split-visitors",
    ];
    let split = program.run(&split);
    assert!(split.code == 2 && split.err.contains("1 partly sent"), "{split:?}");
    let (code, taken) = program.json(&["pending", "take-back", "--source", path, "--yes"]);
    assert_eq!(
        (code, &taken["taken_back"], &taken["left_with_attempt"]),
        (3, &json!(1), &json!(1)),
        "{taken}"
    );

    // Another form of counts is set since: the event keeps its own.
    assert_eq!(program.run(&["suite", "set", "examplersid", "--count-with-id"]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!((sandbox.accepted_count(), counted(&sandbox)), (COUNT, COUNT), "no hit was sent twice");
    let status = program.json(&["status", "--verify"]).1;
    assert_eq!((&status["delivered"], &status["partly_sent"]), (&json!(1), &json!(0)), "{status}");
}

#[test]
fn a_paused_backfill_sends_as_many_calls_as_were_planned_and_a_file_has_only_the_hits_left() {
    let sandbox = sandbox("latency=15ms");
    let program = program();
    program.suite(&sandbox.url());
    let path = program.file("events.ndjson", &line(1));
    let sent = stop_half_way(&program, &sandbox, &["backfill", "run", "h", &path]);

    let shown = program.json(&["backfill", "status", "h"]).1["backfills"][0].clone();
    let calls = ["planned_calls", "sent_calls", "left_calls"].map(|name| shown[name].clone());
    assert_eq!(calls, [json!(COUNT), json!(sent), json!(COUNT - sent)], "{shown}");
    let text = program.run(&["backfill", "status", "h"]).out;
    assert!(
        text.contains(&format!("{sent} of {COUNT} planned server calls sent, {} left", COUNT - sent)),
        "{text}"
    );

    let folder = program.path("files");
    let exported = program.json(&["backfill", "export", "h", folder.to_str().expect("UTF-8")]).1;
    assert_eq!(exported["rows"], COUNT - sent, "{exported}");

    let (code, report) = program.json(&["backfill", "resume", "h"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(
        (&report["planned_calls"], &report["sent_calls"], &report["percent"]),
        (&json!(COUNT), &json!(COUNT), &json!(100.0)),
        "{report}"
    );
    assert_eq!((sandbox.accepted_count(), counted(&sandbox)), (COUNT, COUNT), "no hit was sent twice");
}

#[test]
fn a_backfill_outside_its_hours_says_until_when_it_waits() {
    let sandbox = sandbox("");
    let program = program();
    program.suite(&sandbox.url());
    let path = program.file("events.ndjson", &line(1));
    // Half an hour that begins in some hours, in any zone of America.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let from = (now.as_secs() / 3600 + 12) % 24;
    let window = format!("{from:02}:00-{from:02}:30");
    let running = Running::start(program.command(&["backfill", "run", "h", &path, "--window", &window]));
    let started = std::time::Instant::now();
    let text = loop {
        let text = program.run(&["backfill", "status", "h"]).out;
        if text.contains("waiting until") {
            break text;
        }
        assert!(started.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(text.contains(&format!("window {window}, waiting until {from:02}:00 (")), "{text}");
    drop(running);
    assert_eq!(sandbox.accepted_count(), 0);
}
