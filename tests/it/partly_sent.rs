//! An event of several hits goes on, after an orderly pause, at the hit that is known to be next.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use passbridge::sandbox::{EventRecording, SuiteSettings};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Program, Running, send};
use crate::support::{PATIENCE, RSID, counted, sandbox, sandbox_with};

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

/// So many events of a round, each with a count of up to 40 and so as many hits.
fn round(number: u64, events: u64) -> String {
    let line = |event: u64| {
        format!(
            "{{\"occurred_at\":\"2026-11-01T00:{:02}:{:02}Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\
             \"event_id\":\"r{number}-{event}\",\"mvpd\":\"M\",\"mvpd_user_id\":\"u{}\",\"count\":{}}}\n",
            event / 60 % 60,
            event % 60,
            event % 7,
            1 + event * event % 40
        )
    };
    (0..events).map(line).collect()
}

#[test]
fn kills_at_random_points_of_drains_and_take_backs_leave_the_account_balanced_and_count_no_hit_twice() {
    const ROUNDS: u64 = 12;
    const EVENTS: u64 = 3_000;
    let sandbox = sandbox_with("latency=2ms; reset-after:1%; seed=7", |options| {
        let settings = SuiteSettings { recording: EventRecording::UseEventId, ..SuiteSettings::default() };
        options.suites = BTreeMap::from([(RSID.parse().expect("an rsid"), settings)]);
    });
    let program = program();
    program.map("REF30", RSID, &sandbox.url(), &["--event-ids", "on"]);
    let mut seed = 16_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut partly_sent, mut cut_off) = (0, 0);
    let balanced = |number: u64| -> Value {
        let (code, status) = program.json(&["status", "--verify"]);
        let ingested = &status["accounting"]["ingested"]["events"];
        assert_eq!((code, ingested), (0, &json!((number + 1) * EVENTS)), "round {number}: {status}");
        status
    };
    for number in 0..ROUNDS {
        let path = program.file(&format!("{number}.ndjson"), &round(number, EVENTS));
        assert_eq!(program.run(&["ingest", &path, "--accept-days", "2026-11-01"]).code, 0);
        let (so_far, pause) = (sandbox.accepted_count(), 1 + random(200));
        let drain = Running::start(program.command(&["drain"]));
        assert!(sandbox.wait_accepted(so_far + pause, PATIENCE), "round {number}: too little is sent");
        if random(3) == 0 {
            send(drain.child(), Signal::TERM);
            drain.wait();
        } else {
            drop(drain);
        }
        partly_sent += balanced(number)["partly_sent"].as_u64().expect("a number");

        let path = program.place(&format!("{}.ndjson", random(number + 1)));
        let mut command = program.command(&["pending", "take-back", "--source", &path, "--yes"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(random(200)));
        cut_off += u64::from(child.try_wait().expect("its state").is_none());
        child.kill().expect("it is killed, or has ended");
        child.wait().expect("it ends");
        balanced(number);
    }
    let taken = program.run(&["pending", "take-back", "--requestor", "REF30", "--yes"]);
    assert!([0, 3].contains(&taken.code), "{taken:?}");
    while program.run(&["drain"]).code == 4 {}
    let account = balanced(ROUNDS - 1)["accounting"].clone();
    let units = |term: &str| account[term]["units"].as_u64().expect("a number");
    assert_eq!((units("pending"), units("delivered")), (0, counted(&sandbox)), "{account}");
    assert!(partly_sent > 0 && cut_off > 0, "{partly_sent} events partly sent, {cut_off} take-backs cut off");
    assert!(units("delivered") > 0 && units("taken_back") > 0, "{account}");
}
