//! Suites that change: the same steps on a buffer in a file and on one in PostgreSQL come to the same figures.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use passbridge::sandbox::{EventRecording, Handle, SandboxOptions, SuiteSettings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::CONFIG;
use super::server::{Database, wait_until};
use crate::program::{Done, Program};
use crate::support::{FIRST_SECOND, PATIENCE, REQUESTOR, RSID, sandbox_with};

const OTHER: &str = "REF40";
const SECOND: &str = "secondrsid";
const ORGANISATION: [&str; 3] = ["--org-id", "0123456789ABCDEF01234567@AdobeOrg", "--split-visitors"];
const DAY: i64 = 86_400;
const MONTH_SECONDS: i64 = 31 * DAY;

/// Does the steps on a buffer in a file, then on one in PostgreSQL, and compares what they returned.
fn on_both(name: &str, config: &str, steps: impl Fn(&Program) -> Value) {
    let config = format!("{CONFIG}{config}");
    let on_file = steps(&Program::with(&config));
    let Some(database) = Database::new(name) else { return };
    let url = database.url();
    let on_postgres = steps(&Program::with(&format!("[buffer]\nurl = \"{url}\"\n{config}")));
    assert_eq!(on_file, on_postgres);
}

fn collector(faults: &str, recording: EventRecording) -> Handle {
    sandbox_with(faults, |options: &mut SandboxOptions| {
        let settings = SuiteSettings { recording, ..SuiteSettings::default() };
        let named = |rsid: &str| (rsid.parse().expect("an rsid"), settings);
        options.suites = [RSID, SECOND].map(named).into();
    })
}

/// Stores events of seven viewers, from this second on, each with an MVPD User ID and an Experience Cloud ID.
fn ingest(program: &Program, requestor: &str, from: i64, numbers: std::ops::Range<i64>, count: u32) {
    let line = |number: i64| {
        let event = json!({
            "occurred_at": from + number,
            "event": "play_requested",
            "requestor_id": requestor,
            "event_id": format!("{requestor}-{number}"),
            "mvpd": "Cablevision",
            "mvpd_user_id": format!("{requestor}{}", number % 7),
            "visitor_id": format!("{:038}", number % 7 + 1),
            "resource_id": number.to_string(),
            "count": count,
        });
        format!("{event}\n")
    };
    let lines: String = numbers.clone().map(line).collect();
    let file = program.file(&format!("{requestor}-{}.ndjson", numbers.start), &lines);
    assert_eq!(program.run(&["ingest", &file]).code, 0);
}

/// Drains; what the drain ended with, and what it left.
fn drain(program: &Program) -> Value {
    let (code, drained) = program.json(&["drain"]);
    json!([
        code,
        drained["delivered"],
        drained["dead"],
        drained["held"],
        drained["pending"],
        drained["parked"]
    ])
}

fn state(program: &Program) -> Value {
    let (code, status) = program.json(&["status", "--verify"]);
    assert_eq!((code, &status["discrepancies"]), (0, &json!([])), "{status}");
    ["pending", "parked", "in_doubt", "delivered", "dead", "held"].map(|term| status[term].clone()).into()
}

/// What each suite counted, and from how many visitors of each kind. Nobody's hits were out of order.
fn seen(sandbox: &Handle) -> Value {
    assert_eq!(sandbox.summary().inversions, 0);
    let mut visitors: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for hit in sandbox.hits() {
        let kind = format!("{} {:?}", hit.rsid, hit.visitor_kind);
        *visitors.entry(kind).or_default().entry(hit.visitor).or_default() += 1;
    }
    let visitors: BTreeMap<String, usize> = visitors.into_iter().map(|(kind, of)| (kind, of.len())).collect();
    let counted = [RSID, SECOND].map(|rsid| sandbox.counted(rsid).iter().sum::<u64>());
    json!({"counted": counted, "visitors": visitors})
}

/// What went wrong, without the advice, which names the configuration.
fn said(done: &Done) -> Value {
    done.err.lines().next().into()
}

fn suite(program: &Program, args: &[&str]) {
    let done = program.run(&[&["suite"], args].concat());
    assert_eq!(done.code, 0, "{args:?}: {done:?}");
}

#[test]
fn a_requestor_that_is_mapped_after_a_month_parked_freed_and_mapped_elsewhere_loses_nothing() {
    on_both("parked", "", |program| {
        let sandbox = collector("", EventRecording::UseEventId);
        program.map(REQUESTOR, RSID, &sandbox.url(), &[]);
        ingest(program, OTHER, FIRST_SECOND - MONTH_SECONDS, 0..40, 1);
        let mut found = Vec::new();
        for day in 0..3 {
            ingest(program, REQUESTOR, FIRST_SECOND + day * DAY, day * 10..day * 10 + 10, 1);
            found.push(drain(program));
        }
        suite(program, &["add", "--requestor", OTHER, "--rsid", RSID]);
        found.extend([drain(program), state(program)]);
        assert_eq!(found[4], json!([0, 0, 0, 70, 0, 0]));
        // What comes while nobody has the requestor is the next suite's, and the first one's if it comes back there.
        suite(program, &["remove", RSID, "--requestor", OTHER]);
        ingest(program, OTHER, FIRST_SECOND, 40..60, 1);
        found.push(drain(program));
        program.map(OTHER, SECOND, &sandbox.url(), &["--paused"]);
        found.push(drain(program));
        suite(program, &["remove", SECOND]);
        suite(program, &["add", "--requestor", OTHER, "--rsid", RSID]);
        found.extend([drain(program), state(program), seen(&sandbox)]);
        assert_eq!(found[8], json!([0, 0, 0, 90, 0, 0]));
        assert_eq!(found[9]["counted"], json!([90, 0]));
        let unknown = program.run(&["suite", "remove", RSID, "--requestor", "REF99"]);
        assert_eq!(unknown.code, 2);
        found.push(said(&unknown));
        found.into()
    });
}

#[test]
fn what_is_dead_comes_back_although_its_requestor_was_at_another_suite_meanwhile() {
    on_both("requeued", "", |program| {
        let sandbox = collector("", EventRecording::UseEventId);
        program.map(REQUESTOR, RSID, &sandbox.url(), &[]);
        ingest(program, REQUESTOR, FIRST_SECOND, 0..10, 1);
        // More single hits than an event may have.
        ingest(program, REQUESTOR, FIRST_SECOND, 10..12, 600);
        let mut found = vec![drain(program)];
        suite(program, &["remove", RSID, "--requestor", REQUESTOR]);
        program.map(REQUESTOR, SECOND, &sandbox.url(), &["--count-with-id", "--event-ids", "on"]);
        found.push(json!(program.run(&["dead-letter", "requeue", "--all"]).code));
        suite(program, &["remove", SECOND, "--requestor", REQUESTOR]);
        suite(program, &["set", RSID, "--count-with-id"]);
        suite(program, &["add", "--requestor", REQUESTOR, "--rsid", RSID]);
        found.extend([drain(program), state(program), seen(&sandbox)]);
        assert_eq!(found[3], json!([0, 0, 0, 12, 0, 0]));
        found.into()
    });
}

#[test]
fn a_suite_that_is_paused_in_a_drain_and_resumed_sends_the_rest() {
    on_both("resumed", "", |program| {
        let sandbox = collector("latency=20ms", EventRecording::UseEventId);
        program.map(REQUESTOR, RSID, &sandbox.url(), &[]);
        ingest(program, REQUESTOR, FIRST_SECOND, 0..700, 1);
        let mut running = program.command(&["drain"]).spawn().expect("the program starts");
        assert!(sandbox.wait_accepted(50, PATIENCE));
        suite(program, &["pause", RSID]);
        running.wait().expect("it ends");
        let sent = sandbox.accepted_count();
        assert!((50..700).contains(&sent), "{sent}");
        let before = state(program);
        assert_eq!((&before[0], &before[1], &before[2]), (&json!(700 - sent), &json!(700 - sent), &json!(0)));
        ingest(program, REQUESTOR, FIRST_SECOND - MONTH_SECONDS, 700..720, 1);
        assert_eq!(drain(program)[4], json!(720 - sent));
        suite(program, &["resume", RSID]);
        drain(program);
        assert_eq!(sandbox.accepted_count(), 720, "nothing was sent twice");
        json!([state(program), sandbox.counted(RSID)])
    });
}

#[test]
fn a_suite_whose_identity_changes_keeps_what_is_in_doubt_in_its_form_and_sends_the_rest_in_the_new_one() {
    on_both("identity", "", |program| {
        let sandbox = collector("", EventRecording::UseEventId);
        program.map(REQUESTOR, RSID, &sandbox.url(), &[]);
        ingest(program, REQUESTOR, FIRST_SECOND, 0..21, 1);
        let mut found = vec![drain(program)];
        let hasty = |program: &Program| {
            let config = std::fs::read_to_string(program.path("c.toml")).expect("a configuration");
            program.write("c.toml", &config.replace("max_attempts = 50", "max_attempts = 1"));
        };
        hasty(program);
        ingest(program, REQUESTOR, FIRST_SECOND + DAY, 21..42, 1);
        sandbox.set_faults("reset-after:100%".parse().expect("a fault"));
        let doubted = drain(program);
        assert_eq!((&doubted[0], &doubted[4]), (&json!(4), &json!(21)), "{doubted}");
        sandbox.set_faults("".parse().expect("no fault"));
        ingest(program, REQUESTOR, FIRST_SECOND + 2 * DAY, 42..63, 1);
        let change = ["suite", "set", RSID, "--identity", "ecid"];
        let refused = program.run(&change);
        assert_eq!(refused.code, 2);
        let refused = said(&refused);
        let (code, shown) = program.json(&[&change[..], &ORGANISATION].concat());
        found.push(json!([refused, code, shown]));
        found.extend([drain(program), state(program), seen(&sandbox)]);
        assert_eq!(found[3], json!([0, 0, 0, 63, 0, 0]));
        assert_eq!(found[4]["counted"], json!([63, 0]));
        let (code, shown) = program.json(&["suite", "show", RSID]);
        found.push(json!([code, shown["identity"], shown["org_id"]]));
        // Back again: nothing that was sent is sent a second time.
        suite(program, &["set", RSID, "--identity", "mvpd_user_id", "--split-visitors"]);
        let accepted = sandbox.accepted_count();
        ingest(program, REQUESTOR, FIRST_SECOND + 3 * DAY, 63..70, 1);
        found.extend([drain(program), state(program), json!(sandbox.accepted_count() - accepted)]);
        let mut listed = program.json(&["suite", "list"]).1;
        listed["suites"][0]["collection_url"].take();
        found[1][2]["collection_url"].take();
        found.push(listed);
        found.into()
    });
}

#[test]
fn settings_that_change_hold_from_the_next_drain_on() {
    on_both("settings", "", |program| {
        let [first, second] = [(); 2].map(|()| collector("", EventRecording::UseEventId));
        program.map(REQUESTOR, RSID, &first.url(), &[]);
        ingest(program, REQUESTOR, FIRST_SECOND, 0..10, 1);
        let mut found = vec![drain(program)];
        let set = [
            "set",
            RSID,
            "--collection-url",
            &second.url(),
            "--on-ambiguous",
            "hold",
            "--stage",
            "development",
        ];
        suite(program, &set);
        ingest(program, REQUESTOR, FIRST_SECOND + DAY, 10..20, 1);
        found.push(drain(program));
        assert_eq!([first.accepted_count(), second.accepted_count()], [10, 10]);
        for args in [
            &["add", "--requestor", OTHER, "--rsid", RSID, "--stage", "production"][..],
            &["add", "--requestor", OTHER, "--rsid", "ExampleRsid", "--collection-url", "http://127.0.0.1:1"],
            &["add", "--requestor", REQUESTOR, "--rsid", SECOND, "--collection-url", "http://127.0.0.1:1"],
            &["set", SECOND, "--stage", "development"],
            &["show", "nobody"],
            &["remove", "nobody"],
        ] {
            let done = program.run(&[&["suite"], args].concat());
            assert_eq!(done.code, 2, "{args:?}: {done:?}");
            found.push(said(&done));
        }
        // An event that may have been counted keeps its suite.
        second.set_faults("reset-after:100%".parse().expect("a fault"));
        ingest(program, REQUESTOR, FIRST_SECOND + 2 * DAY, 20..22, 1);
        found.push(drain(program));
        for args in [&["remove", RSID][..], &["remove", RSID, "--requestor", REQUESTOR]] {
            let done = program.run(&[&["suite"], args].concat());
            assert!(done.code == 2 && done.err.contains("2 held"), "{done:?}");
            found.push(said(&done));
        }
        assert_eq!(program.run(&["held", "settle", "--all", "--discarded"]).code, 0);
        let (code, removed) = program.json(&["suite", "remove", RSID]);
        found.push(json!([code, removed, program.json(&["suite", "list"]).1]));
        found.into()
    });
}

#[test]
fn events_of_several_hits_count_right_when_a_drain_is_killed_between_the_hits() {
    // Without IDs, an event of any count is one hit.
    for (ids, recording, kills) in
        [("on", EventRecording::UseEventId, [40, 120]), ("off", EventRecording::AlwaysRecord, [20, 45])]
    {
        on_both(&format!("hits_{ids}"), "", |program| {
            let sandbox = collector("latency=5ms", recording);
            program.map(REQUESTOR, RSID, &sandbox.url(), &["--event-ids", ids]);
            ingest(program, REQUESTOR, FIRST_SECOND, 0..70, 5);
            for accepted in kills {
                let mut running = program.command(&["drain"]).spawn().expect("the program starts");
                assert!(sandbox.wait_accepted(accepted, PATIENCE));
                running.kill().expect("it is killed");
                running.wait().expect("it ends");
            }
            let drained = drain(program);
            let status = program.json(&["status"]).1;
            let bound =
                status["over_count_max"].as_u64().or(status["over_count"]["worst_case_units"].as_u64());
            let counted = sandbox.counted(RSID).iter().sum::<u64>();
            let bound = if ids == "on" { 0 } else { bound.expect("a bound") };
            assert!((350..=350 + bound).contains(&counted), "{counted}, at most {bound} too many: {status}");
            json!([drained[0], drained[4], state(program)])
        });
    }
}

#[test]
fn what_would_give_a_visitor_two_senders_waits_for_the_drain() {
    let Some(database) = Database::new("sending") else { return };
    let program = database.program();
    let sandbox = collector("latency=20ms", EventRecording::UseEventId);
    program.map(REQUESTOR, RSID, &sandbox.url(), &[]);
    ingest(&program, REQUESTOR, FIRST_SECOND, 0..700, 1);
    let mut running = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(50, PATIENCE));
    let change = [&["suite", "set", RSID, "--identity", "ecid"], &ORGANISATION[..]].concat();
    for args in [&change[..], &["suite", "remove", RSID, "--requestor", REQUESTOR]] {
        let done = program.run(args);
        assert!(done.code == 2 && done.err.contains("suite pause examplersid; then"), "{done:?}");
    }
    // Other settings may change at any time, and what is running goes on.
    suite(&program, &["set", RSID, "--stage", "development", "--on-ambiguous", "hold"]);
    suite(&program, &["pause", RSID]);
    let free = "SELECT count(*) FROM passbridge.slice WHERE owner IS NOT NULL";
    wait_until("the drain gives its slices back", || database.ask(free) == "0");
    assert_eq!(program.run(&change).code, 0);
    suite(&program, &["resume", RSID]);
    running.wait().expect("it ends");
    assert_eq!(drain(&program), json!([0, 700 - first_kind(&sandbox), 0, 0, 0, 0]));
    assert_eq!((sandbox.accepted_count(), sandbox.counted(RSID)[6]), (700, 700));

    // Of a worker that died in a drain, nothing is left once its lease is over.
    ingest(&program, REQUESTOR, FIRST_SECOND, 700..1_400, 1);
    let mut running = program.command(&["drain"]).spawn().expect("the program starts");
    assert!(sandbox.wait_accepted(750, PATIENCE));
    kill_process(Pid::from_child(&running), Signal::STOP).expect("it stops");
    sleep(Duration::from_secs(5));
    suite(&program, &["set", RSID, "--identity", "mvpd_user_id", "--split-visitors"]);
    kill_process(Pid::from_child(&running), Signal::CONT).expect("it goes on");
    running.wait().expect("it ends");
    assert_eq!(drain(&program)[4], json!(0));
    assert_eq!((sandbox.counted(RSID)[6], database.ask(super::STALE_ATTEMPTS)), (1_400, "0".to_owned()));
}

/// How many hits had a visitor ID that is an MVPD User ID.
fn first_kind(sandbox: &Handle) -> usize {
    sandbox.hits().iter().filter(|hit| hit.visitor_kind == sandbox.hits()[0].visitor_kind).count()
}
