//! Backfills with the built program against the sandbox: both routes, killed, paused, resumed, cancelled.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use passbridge::sandbox::{AcceptedHit, BulkFault, BulkSettings, Handle, Violation};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Program, Running, send};
use crate::support::{PATIENCE, RSID, buffer_options, counted, sandbox, sandbox_with};

/// A hundredth of Adobe's waits; files small enough that there are many.
const CONFIG: &str = "
[delivery]
lanes = 8
give_up_seconds = 2
backoff_base_ms = 5
backoff_max_seconds = 1
max_attempts = 50
request_timeout_seconds = 2
[log]
level = \"warn\"
[bulk]
client_id = \"client\"
call_spacing_ms = 10
group_spacing_ms = 200
group_rows_per_second = 200000
file_rows = 500
lookup_ms = 200
backoff_base_ms = 10
backoff_max_ms = 100
request_timeout_seconds = 5
company = \"acme\"
rate = 400000
";

/// What the sandbox is told, to match.
pub(crate) fn limits() -> BulkSettings {
    BulkSettings {
        call_spacing_ms: 10,
        group_spacing_ms: 200,
        group_rows_per_second: 200_000,
        company: "acme".to_owned(),
        ..BulkSettings::default()
    }
}

pub(crate) struct Backfills {
    pub(crate) program: Program,
    pub(crate) sandbox: Handle,
}

impl Backfills {
    pub(crate) fn new(bulk: BulkSettings, faults: &str) -> Backfills {
        let sandbox = sandbox_with(faults, |options| options.bulk = bulk);
        let program = Program::bare();
        program.write("secret", "secret-of-client\n");
        let url = sandbox.url();
        program.write(
            "c.toml",
            &format!(
                "{CONFIG}client_secret_file = \"secret\"\nurl = \"{url}/aa/collect/v1/events\"\nims_url = \"{url}/ims/token/v3\"\n"
            ),
        );
        assert_eq!(program.run(&["init"]).code, 0);
        program.suite(&url);
        Backfills { program, sandbox }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.program.write(name, text);
        self.program.path(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.program.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        let (code, document) = self.program.json(&["backfill", "status", name]);
        assert_eq!(code, 0, "{document}");
        document["backfills"][0].clone()
    }

    pub(crate) fn assert_whole(&self, events: u64) {
        let (code, status) = self.program.json(&["status", "--verify"]);
        assert_eq!(code, 0, "{status}");
        assert_eq!(status["accounting"]["balanced"], true);
        assert_eq!(status["delivered"], events);
        assert_eq!(counted(&self.sandbox), events);
        assert_eq!(self.sandbox.summary().inversions, 0);
        assert_eq!(self.breaches(), []);
    }

    /// The violations, but for a second validation: a kill may come between a validation and its record.
    fn breaches(&self) -> Vec<Violation> {
        let found = self.sandbox.violations().into_iter();
        found.filter(|violation| violation.rule.as_str() != "BDIA-37").collect()
    }
}

/// Faults of all kinds, and tokens that end early.
pub(crate) fn faulty() -> BulkSettings {
    let faults = [
        (BulkFault::LoseAnswer, 15.0),
        (BulkFault::BreakBefore, 10.0),
        (BulkFault::Busy, 10.0),
        (BulkFault::ServerError, 5.0),
        (BulkFault::ServerErrorAfter, 5.0),
    ];
    BulkSettings {
        faults: faults.into(),
        forget_tokens_after: 7,
        token_seconds: 2,
        lookup_blind_ms: 60,
        ..limits()
    }
}

/// Events of a few viewers over a day, each with an ID of its own.
pub(crate) fn history(from: usize, to: usize) -> String {
    let line = |number: usize| {
        let (hour, minute, second) = (number / 3600 % 24, number / 60 % 60, number % 60);
        format!(
            "{{\"occurred_at\":\"2026-11-01T{hour:02}:{minute:02}:{second:02}Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\
             \"event_id\":\"e{number}\",\"mvpd\":\"M\",\"mvpd_user_id\":\"u{}\"}}\n",
            number % 300
        )
    };
    (from..to).map(line).collect()
}

#[test]
fn history_goes_by_single_hits_and_what_is_known_goes_once() {
    let house = Backfills::new(limits(), "");
    let (one, other) = (
        house.file("1.ndjson", &history(0, 800)),
        house.file("2.ndjson", &(history(700, 1500) + "no event\n")),
    );
    let (code, report) = house.program.json(&["backfill", "run", "h", "--rate", "100000", &other, &one]);
    assert_eq!(code, 3, "a line was rejected: {report}");
    assert_eq!(
        (&report["state"], &report["events"], &report["delivered"]),
        (&json!("done"), &json!(1500), &json!(1500))
    );
    let counts: Vec<&Value> =
        report["inputs"].as_array().expect("inputs").iter().map(|input| &input["counts"]).collect();
    assert_eq!((&counts[1]["duplicates"], &counts[0]["rejected"]), (&json!(100), &json!(1)));
    house.assert_whole(1500);
    // Nothing of it is a live drain's, and the same history again is nothing new.
    let (code, report) = house.program.json(&["backfill", "run", "again", "--via", "bulk", &one, &other]);
    assert_eq!((code, &report["events"]), (3, &json!(0)), "{report}");
    house.assert_whole(1500);
    let again = house.program.run(&["backfill", "run", "again", &one]);
    assert!(again.code == 2 && again.err.contains("backfill resume again"), "{again:?}");
}

#[test]
fn history_goes_by_files_and_counts_like_hits() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 6000));
    let (code, report) = house.program.json(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert_eq!((code, &report["delivered"]), (0, &json!(6000)), "{report}");
    house.assert_whole(6000);
    let files = house.sandbox.bulk_files();
    assert!(files.len() >= 12, "{files:?}");
    assert_eq!(house.sandbox.bulk_validations(), 1, "the first file was validated, and no other");
    let left = std::fs::read_dir(house.program.path("bulk/h")).expect("the folder of files").count();
    assert_eq!(left, 0, "files are removed once their answers are recorded");
    // The same events by the other route count no second time: their serials are the same.
    let hits = house.sandbox.hits();
    let serials: BTreeSet<_> = hits.iter().filter_map(|hit| hit.serial.clone()).collect();
    assert_eq!((hits.len(), serials.len()), (6000, 6000));
}

#[test]
fn an_event_that_goes_by_both_routes_counts_once() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 900));
    assert_eq!(house.program.run(&["backfill", "run", "h", "--via", "bulk", &file]).code, 0);
    // Another buffer, which knows nothing of the first one.
    let other = Program::new();
    other.suite(&house.sandbox.url());
    assert_eq!(other.run(&["ingest", &file]).code, 0);
    assert_eq!(other.json(&["drain"]).1["delivered"], 900);
    assert_eq!((house.sandbox.hits().len(), counted(&house.sandbox)), (1800, 900));
}

#[test]
fn a_suite_that_is_paused_gets_no_further_file() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 24_000));
    let mut child = house.start(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(house.sandbox.wait_accepted(1, PATIENCE));
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "what is left is parked");
    let parked = house.status("h")["pending"].as_u64().expect("a number");
    assert!(parked > 0 && counted(&house.sandbox) + parked == 24_000, "{parked}");
    assert_eq!(house.program.run(&["suite", "resume", RSID]).code, 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(24_000);
}

#[test]
fn files_are_counted_once_through_faults_and_kills() {
    let faults = BulkSettings { invalid_rows_per_100000: 40, name_all_invalid: true, ..faulty() };
    let house = Backfills::new(faults, "");
    let count = 20_000;
    let file = house.file("h.ndjson", &history(0, count));
    let mut args = vec!["backfill", "run", "h", "--via", "bulk", &file];
    for kill in 0..8_u64 {
        let mut child = house.start(&args);
        std::thread::sleep(Duration::from_millis(100 + kill * 137 % 700));
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
        let known = house.program.json(&["backfill", "status"]).1;
        args = match known["backfills"].as_array().expect("a list").first() {
            // The kill came before the job was named, or before it was running.
            None => args,
            Some(job) if job["state"] == "planned" => vec!["backfill", "run", "h"],
            Some(_) => vec!["backfill", "resume", "h"],
        };
        let (code, status) = house.program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{status}");
    }
    let (code, report) = house.program.json(&args);
    let dead = report["dead"].as_u64().expect("a number");
    assert_eq!((code, &report["state"]), (3, &json!("done")), "{report}");
    assert!(dead > 0, "some rows are invalid");
    // Of a file whose answer was lost, nobody says which rows were refused: they count as delivered.
    let looked_up = house.status("h")["looked_up_files"].clone();
    let is_looked_up = |key: &str| looked_up.as_array().expect("keys").iter().any(|known| known == key);
    let files = house.sandbox.bulk_files();
    let unknown: u64 =
        files.iter().filter(|file| is_looked_up(&file.key)).map(|file| file.invalid_rows).sum();
    assert_eq!(counted(&house.sandbox), count as u64 - dead - unknown);
    assert_eq!((house.sandbox.summary().inversions, house.breaches()), (0, vec![]));
    assert_eq!(house.program.run(&["status", "--verify"]).code, 0);
    let reasons: BTreeMap<String, u64> = house.program.json(&["status"]).1["dead_by_reason"]
        .as_array()
        .expect("reasons")
        .iter()
        .map(|reason| {
            (reason["explanation"].as_str().unwrap_or("").to_owned(), reason["events"].as_u64().unwrap_or(0))
        })
        .collect();
    assert!(reasons.keys().all(|reason| reason.contains("invalid row")), "{reasons:?}");
}

#[test]
fn rows_that_adobe_refuses_without_a_name_stop_the_job_until_a_person_decides() {
    let house = Backfills::new(BulkSettings { invalid_rows_per_100000: 5000, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 2000));
    let done = house.program.run(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(done.code == 1 && done.err.contains("--accept-unnamed"), "{done:?}");
    let again = house.program.run(&["backfill", "resume", "h"]);
    assert!(again.code == 1 && again.err.contains("--accept-unnamed"), "{again:?}");
    let (code, report) = house.program.json(&["backfill", "resume", "h", "--accept-unnamed"]);
    assert_eq!((code, &report["state"], &report["pending"]), (3, &json!("done"), &json!(0)), "{report}");
}

#[test]
fn a_job_is_paused_resumed_by_the_other_route_cancelled_and_brought_back() {
    let house = Backfills::new(limits(), "latency=5ms");
    let file = house.file("h.ndjson", &history(0, 3000));
    let mut child = house.start(&["backfill", "run", "h", "--rate", "400", &file]);
    assert!(house.sandbox.wait_accepted(100, PATIENCE));
    let busy = house.program.run(&["backfill", "resume", "h"]);
    assert_eq!(busy.code, 75, "{busy:?}");
    assert_eq!(house.status("h")["is_at_work"], true);
    assert_eq!(house.program.run(&["backfill", "pause", "h"]).code, 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(4), "events wait");
    let status = house.status("h");
    assert_eq!((&status["state"], &status["is_at_work"]), (&json!("paused"), &json!(false)));
    // Nothing of it is sent by a live drain.
    let before = counted(&house.sandbox);
    assert_eq!(house.program.run(&["drain"]).code, 0);
    assert_eq!(counted(&house.sandbox), before);
    assert_eq!(house.program.run(&["backfill", "cancel", "h"]).code, 0);
    let status = house.status("h");
    assert_eq!((&status["state"], &status["pending"]), (&json!("cancelled"), &json!(0)), "{status}");
    let (code, report) = house.program.json(&["backfill", "resume", "h", "--via", "bulk"]);
    assert_eq!((code, &report["delivered"]), (0, &json!(3000)), "{report}");
    house.assert_whole(3000);
}

/// Seconds of the day, by which the events of [`history`] are numbered.
const SECONDS_A_DAY: i64 = 86_400;

#[test]
fn a_live_drain_goes_first() {
    let house = Backfills::new(limits(), "latency=20ms");
    let file = house.file("h.ndjson", &history(0, 3000));
    let mut child = house.start(&["backfill", "run", "h", &file]);
    assert!(house.sandbox.wait_accepted(50, PATIENCE));
    let live = house.file("live.ndjson", &history(5000, 5400));
    assert_eq!(house.program.run(&["ingest", &live]).code, 0);
    let (code, drained) = house.program.json(&["drain"]);
    assert_eq!((code, &drained["delivered"]), (0, &json!(400)), "{drained}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    // Beside the live ones go only the requests that were in flight already: one a lane, and one more where the end of a
    // leg had been heard too late.
    let hits = house.sandbox.hits();
    let is_live = |hit: &&AcceptedHit| hit.timestamp.is_some_and(|at| at % SECONDS_A_DAY >= 5000);
    let receipts: Vec<u64> = hits.iter().filter(is_live).map(|hit| hit.receipt).collect();
    let (first, last) = (receipts[0], receipts[receipts.len() - 1]);
    let beside = hits.iter().filter(|hit| (first..last).contains(&hit.receipt) && !is_live(hit)).count();
    assert!(receipts.len() == 400 && beside <= 16, "{beside} of the backfill while 400 live ones went");
    // Neither took what the other had under way for the remains of a crash.
    let (_, status) = house.program.json(&["status", "--in-doubt"]);
    assert_eq!(status["doubted"], json!([]));
    assert_eq!(counted(&house.sandbox), 3400);
}

#[test]
fn loading_waits_for_a_live_drain_and_a_person_is_heard_meanwhile() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 300));
    let options = buffer_options(house.program.path("passbridge.db"), &Clock::system());
    let buffer = Buffer::open(&options).expect("it opens");
    let lock = buffer.lock().expect("nobody drains");
    let mut child = house.start(&["backfill", "run", "h", &file]);
    let since = Instant::now();
    while house.program.json(&["backfill", "status"]).1["backfills"][0]["is_at_work"] != true {
        assert!(since.elapsed() < PATIENCE, "it is under way");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(house.status("h")["events"], 0);
    assert_eq!(house.program.run(&["backfill", "pause", "h"]).code, 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    assert_eq!(house.status("h")["events"], 0);
    drop(lock);
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(300);
}

#[test]
fn one_that_was_cut_off_and_an_input_that_was_not_read_to_its_end_are_told_wherever_one_looks() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 300));
    let other = house.file("g.ndjson", &history(300, 400));
    let options = buffer_options(house.program.path("passbridge.db"), &Clock::system());
    let lock = Buffer::open(&options).expect("it opens").lock().expect("nobody drains");
    let loading = |args: &[&str]| {
        let child = house.start(args);
        let since = Instant::now();
        while house.status(args[2])["is_at_work"] != true {
            assert!(since.elapsed() < PATIENCE, "it is under way");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    };
    let end = |mut child: Child, signal: Signal| {
        send(&child, signal);
        child.wait().expect("it ends").code()
    };
    assert_eq!(house.program.run(&["backfill", "plan", "h", &file]).code, 0);
    assert_eq!(house.program.run(&["backfill", "plan", "g", &other]).code, 0);
    assert_eq!(end(loading(&["backfill", "run", "h"]), Signal::KILL), None);
    let told = |looks: &[(&[&str], i32)], parts: &[&str]| {
        for (args, code) in looks {
            let done = house.program.run(args);
            assert_eq!(done.code, *code, "{args:?}: {done:?}");
            let text = format!("{}{}", done.out, done.err);
            parts.iter().for_each(|part| assert!(text.contains(part), "{args:?} {part}: {text}"));
        }
    };
    let cut_off = [
        "cut off by a kill, a crash or a power loss",
        "since 20",
        "backfill resume h",
        "not read to their end: 1",
    ];
    let shown = ["h", "cut off by a kill", "not read to their end: 1", "backfill resume h"];
    told(&[(&["status"], 0), (&["status", "--check"], 4)], &cut_off);
    told(&[(&["backfill", "status"], 0)], &shown);
    // Another backfill that is at work is not taken for this one.
    let another = loading(&["backfill", "run", "g"]);
    assert_eq!(house.status("h")["state"], "stopped");
    told(&[(&["status", "--check"], 4)], &cut_off);
    // Of a person who stops one there is no alarm, but the input is named.
    assert_eq!(end(another, Signal::TERM), Some(4));
    told(&[(&["backfill", "status", "g"], 0)], &["not read to their end: 1", "resume g"]);
    assert!(house.status("g")["failure"].is_null());
    // Nor is it forgotten what happened, however many runs come after it.
    let buffer = Connection::open(house.program.path("passbridge.db")).expect("SQLite");
    let later = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
         INSERT INTO runs (started_at, finished_at) SELECT 1, 1 FROM n";
    buffer.execute(later, []).expect("runs");
    buffer.execute("UPDATE runs SET started_at = 1", []).expect("runs of long ago");
    drop(lock);
    assert_eq!(house.program.run(&["retention", "--trust-clock"]).code, 0);
    told(&[(&["status", "--check"], 4)], &["cut off by a kill", "since 1970"]);
    let resumed = house.program.run(&["backfill", "resume", "h"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    told(&[(&["backfill", "status", "h"], 0)], &["done"]);
    assert!(house.status("h")["failure"].is_null() && house.status("h")["inputs_left"] == 0);
}

#[test]
fn a_stop_while_the_input_is_loaded_says_that_it_was_not_read_to_its_end() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 300));
    let options = buffer_options(house.program.path("passbridge.db"), &Clock::system());
    let _lock = Buffer::open(&options).expect("it opens").lock().expect("nobody drains");
    let running = Running::start(house.program.command(&["backfill", "run", "h", &file]));
    let since = Instant::now();
    while house.program.json(&["backfill", "status"]).1["backfills"][0]["is_at_work"] != true {
        assert!(since.elapsed() < PATIENCE, "it is under way");
        std::thread::sleep(Duration::from_millis(20));
    }
    send(running.child(), Signal::TERM);
    let done = running.wait();
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.out.contains("not read to their end: 1") && done.out.contains("resume h"), "{done:?}");
}

#[test]
fn what_ended_a_backfill_by_files_has_its_time() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 3));
    house.program.write("secret", "wrong");
    assert_eq!(house.program.run(&["backfill", "run", "h", &file, "--via", "bulk"]).code, 1);
    for args in [&["status", "--check"][..], &["status"], &["backfill", "status"]] {
        let done = house.program.run(args);
        let text = format!("{}{}", done.out, done.err);
        for part in ["invalid_client (since 20", "backfill resume h"] {
            assert!(text.contains(part), "{args:?} {part}: {text}");
        }
    }
}

#[test]
fn hours_that_are_over_send_nothing() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 10));
    let now = chrono::Utc::now();
    let (from, to) = (now + chrono::TimeDelta::hours(2), now + chrono::TimeDelta::hours(4));
    let text = std::fs::read_to_string(house.program.path("c.toml")).expect("the configuration");
    house.program.write("c.toml", &(text + "[schedule]\ntimezone = \"UTC\"\n"));
    let window = format!("{}-{}", from.format("%H:%M"), to.format("%H:%M"));
    let mut child = house.start(&["backfill", "run", "h", "--window", &window, &file]);
    let since = Instant::now();
    while house.program.json(&["backfill", "status"]).1["backfills"][0]["events"] != 10 {
        assert!(since.elapsed() < PATIENCE, "its events are loaded");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300));
    send(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    assert_eq!(counted(&house.sandbox), 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h", "--window", "always"]).code, 0);
    assert_eq!(counted(&house.sandbox), 10);
}

#[test]
fn events_that_wait_in_the_buffer_are_taken_over_by_their_time() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 1000));
    assert_eq!(house.program.run(&["ingest", &file]).code, 0);
    let run = [
        "backfill",
        "run",
        "b",
        "--via",
        "bulk",
        "--from",
        "2026-11-01T00:00:00Z",
        "--to",
        "2026-11-01T00:10:00Z",
    ];
    let (code, report) = house.program.json(&run);
    assert_eq!((code, &report["events"], &report["delivered"]), (0, &json!(600), &json!(600)), "{report}");
    assert_eq!(counted(&house.sandbox), 600);
    assert_eq!(house.program.run(&["drain"]).code, 0);
    house.assert_whole(1000);
}

#[test]
fn files_too_large_are_written_smaller_and_an_export_sends_nothing() {
    let house = Backfills::new(BulkSettings { compressed_bytes_max: 6_000, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 2000));
    let (code, report) =
        house.program.json(&["backfill", "run", "h", "--via", "bulk", "--keep-files", &file]);
    assert_eq!((code, &report["delivered"]), (0, &json!(2000)), "{report}");
    assert_eq!(counted(&house.sandbox), 2000);
    let violations = house.sandbox.violations();
    assert!(violations.iter().all(|violation| violation.rule.as_str() == "BDIA-01"), "{violations:?}");
    let kept = std::fs::read_dir(house.program.path("bulk/h")).expect("the folder").count();
    assert_eq!(kept, house.sandbox.bulk_files().len());

    let other = sandbox("");
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 1200));
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    let (code, report) = house.program.json(&["backfill", "run", "h", &file]);
    assert_eq!((code, &report["parked"]), (0, &json!(1200)), "{report}");
    assert_eq!(house.program.run(&["suite", "resume", RSID]).code, 0);
    let folder = house.program.path("out").to_str().expect("UTF-8").to_owned();
    let (code, export) = house.program.json(&["backfill", "export", "h", &folder]);
    assert_eq!((code, &export["rows"]), (0, &json!(1200)), "{export}");
    assert_eq!((counted(&house.sandbox), counted(&other)), (0, 0));
    assert_eq!(house.status("h")["pending"], 1200);
}

#[test]
fn an_export_that_a_signal_stops_leaves_no_unfinished_file() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 12_000));
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    assert_eq!(house.program.run(&["backfill", "run", "h", &file]).code, 0);
    assert_eq!(house.program.run(&["suite", "resume", RSID]).code, 0);
    let folder = house.program.path("out");
    let running =
        Running::start(house.program.command(&["backfill", "export", "h", folder.to_str().expect("UTF-8")]));
    let unfinished = || {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        files.filter(|file| !file.file_name().to_string_lossy().ends_with(".csv.gz")).count()
    };
    let started = Instant::now();
    while unfinished() == 0 {
        assert!(started.elapsed() < PATIENCE, "no file is begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    send(running.child(), Signal::TERM);
    let ended = running.wait();
    assert!(ended.code == 1 && ended.err.contains("stopped"), "{ended:?}");
    assert_eq!(unfinished(), 0, "{:?}", std::fs::read_dir(&folder).expect("a folder").collect::<Vec<_>>());
}
