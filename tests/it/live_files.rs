//! Live events by files: a drain sends a suite's events as a backfill by files would, beside the single hits of other suites.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use passbridge::sandbox::{BulkFault, BulkSettings};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::backfill::{Backfills, faulty, history, limits};
use crate::program::send;
use crate::support::{PATIENCE, RSID, counted};

impl Backfills {
    /// A house whose suite goes this way, with these events waiting.
    fn live(bulk: BulkSettings, faults: &str, via: &str, events: &str) -> Backfills {
        let house = Backfills::new(bulk, faults);
        house.set("--via", via);
        house.ingest(events);
        house
    }

    fn set(&self, option: &str, value: &str) {
        let done = self.program.run(&["suite", "set", RSID, option, value]);
        assert_eq!(done.code, 0, "{done:?}");
    }

    fn ingest(&self, events: &str) {
        let file = self.file("live.ndjson", events);
        // Their days were delivered already, for the most part.
        assert_eq!(self.program.run(&["ingest", &file, "--accept-days", "2026-11-01"]).code, 0);
    }

    fn in_files(&self) -> u64 {
        let (code, status) = self.program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{status}");
        status["in_files"].as_u64().expect("a number")
    }

    /// A drain that is killed once a file has arrived.
    fn killed_with_a_file(&self) {
        let mut child = self.start(&["drain"]);
        let since = Instant::now();
        while self.sandbox.bulk_files().is_empty() {
            assert!(since.elapsed() < PATIENCE, "a file is sent");
            thread::sleep(Duration::from_millis(10));
        }
        kill(&mut child);
    }

    /// How many events went as single hits.
    fn single_hits(&self) -> usize {
        let rows: u64 = self.sandbox.bulk_files().iter().map(|file| file.rows).sum();
        self.sandbox.hits().len() - rows as usize
    }
}

fn kill(child: &mut Child) {
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
}

/// Uploads whose answers are lost, and whose keys nobody finds for a while.
fn unanswered() -> BulkSettings {
    BulkSettings { faults: [(BulkFault::LoseAnswer, 100.0)].into(), lookup_blind_ms: 600_000, ..limits() }
}

#[test]
fn a_drain_sends_a_suite_by_files_and_another_by_single_hits() {
    let house = Backfills::live(limits(), "", "bulk", &history(0, 3000));
    let url = house.sandbox.url();
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", "other", "--collection-url", &url];
    assert_eq!(house.program.run(&add).code, 0);
    house.ingest(&history(5000, 5200).replace("REF30", "REF40"));
    let (code, report) = house.program.json(&["drain"]);
    assert_eq!((code, &report["delivered"], &report["read"]), (0, &json!(3200), &json!(3200)), "{report}");
    assert_eq!(
        (&report["hits"], &report["left"], &report["stopped"]),
        (&json!(200), &json!(false), &Value::Null)
    );
    let files = house.sandbox.bulk_files().len();
    assert_eq!(report["suites"][RSID], json!({"delivered": 3000, "dead": 0, "held": 0, "files": files}));
    assert_eq!(report["suites"]["other"], json!({"delivered": 200, "dead": 0, "held": 0, "files": 0}));
    assert_eq!((house.sandbox.hits().len(), house.in_files()), (3200, 0));
    let left =
        std::fs::read_dir(house.program.path("bulk/live:examplersid")).expect("the folder of files").count();
    assert_eq!(left, 0, "files are removed once their answers are recorded");
    // The next drain has nothing to send, the one after that goes on in the same groups without asking for a validation.
    assert_eq!(house.program.json(&["drain"]).1["read"], 0);
    house.ingest(&history(3000, 3500));
    assert_eq!(house.program.json(&["drain"]).1["delivered"], 500);
    assert_eq!((house.sandbox.hits().len(), counted(&house.sandbox)), (3700, 3500));
    assert_eq!((house.sandbox.summary().inversions, house.sandbox.violations()), (0, vec![]));
    assert_eq!(house.sandbox.bulk_validations(), 1);
    let (_, suites) = house.program.json(&["suite", "list"]);
    assert_eq!(
        (&suites["suites"][0]["route"], &suites["suites"][1]["route"]),
        (&json!("bulk"), &json!("dia"))
    );
    assert_eq!(
        house.program.json(&["backfill", "status"]).1["backfills"],
        json!([]),
        "it is no backfill of a person"
    );
}

#[test]
fn events_of_a_file_without_an_answer_go_by_no_other_way_and_those_behind_them_wait() {
    let house = Backfills::live(unanswered(), "", "bulk", &history(0, 600));
    house.killed_with_a_file();
    // From now on single hits are meant, and the key is still not to be found.
    house.set("--via", "dia");
    house.ingest(&history(600, 900));
    let before = house.single_hits();
    let mut child = house.start(&["drain"]);
    thread::sleep(Duration::from_millis(500));
    kill(&mut child);
    assert_eq!((house.single_hits(), before), (0, 0), "nothing overtakes the file");
    assert_ne!(house.in_files(), 0);
    house.sandbox.set_bulk(limits());
    let (code, report) = house.program.json(&["drain"]);
    assert_eq!((code, &report["left"]), (4, &json!(true)), "the file is settled, the rest waits: {report}");
    assert_eq!((house.single_hits(), house.in_files()), (0, 0));
    assert_eq!(house.program.run(&["drain"]).code, 0);
    assert!(house.single_hits() >= 300);
    house.assert_whole(900);
}

#[test]
fn a_hit_in_doubt_goes_in_a_file_as_it_went_before() {
    let house = Backfills::live(limits(), "reset-after:100%", "dia", &history(0, 300));
    let mut child = house.start(&["drain"]);
    assert!(house.sandbox.wait_accepted(20, PATIENCE));
    kill(&mut child);
    house.sandbox.set_faults("".parse().expect("no faults"));
    house.set("--event-ids", "off");
    house.set("--via", "bulk");
    assert_eq!(house.program.run(&["drain"]).code, 0);
    assert!(house.sandbox.accepted_count() > 300, "some came twice");
    house.assert_whole(300);
}

#[test]
fn files_of_live_events_count_once_through_faults_and_kills() {
    let house = Backfills::live(faulty(), "", "bulk", &history(0, 16_000));
    for (kill_number, via) in
        ["bulk", "bulk", "auto", "dia", "bulk", "auto", "bulk", "bulk"].iter().enumerate()
    {
        house.set("--via", via);
        let mut child = house.start(&["drain"]);
        thread::sleep(Duration::from_millis(100 + kill_number as u64 * 137 % 700));
        kill(&mut child);
        house.in_files();
    }
    house.set("--via", "bulk");
    let (code, report) = house.program.json(&["drain"]);
    assert_eq!((code, &report["pending"]), (0, &json!(0)), "{report}");
    house.assert_whole(16_000);
}

#[test]
fn a_suite_chooses_files_where_many_events_wait_and_stays_with_them_for_a_while() {
    let house = Backfills::live(limits(), "", "auto", &history(0, 500));
    let drain = |above: &str| {
        let mut command = house.program.command(&["drain", "--json"]);
        command.env("PASSBRIDGE_BULK__AUTO_ABOVE_EVENTS", above);
        let done = crate::program::done(command);
        assert_eq!(done.code, 0, "{done:?}");
        serde_json::from_str::<Value>(&done.out).expect("JSON")["suites"][RSID]["files"].as_u64()
    };
    assert_eq!(drain("500"), Some(0), "as many as the limit go as single hits");
    house.ingest(&history(500, 1001));
    assert!(drain("500") > Some(0), "one more goes by files");
    house.ingest(&history(1001, 1101));
    assert!(drain("500") > Some(0), "no hit overtakes a file that Analytics still processes");
    house.assert_whole(1101);
}

#[test]
fn a_stop_a_limit_and_a_pause_end_the_files_of_a_drain() {
    let house = Backfills::live(limits(), "", "bulk", &history(0, 24_000));
    let (code, report) = house.program.json(&["drain", "--limit", "700"]);
    let expected = (4, &json!(700), &json!("limit"));
    assert_eq!((code, &report["delivered"], &report["stopped"]), expected, "{report}");
    let before = house.sandbox.accepted_count();
    let mut child = house.start(&["drain"]);
    assert!(house.sandbox.wait_accepted(before + 1, PATIENCE));
    send(&child, Signal::TERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "all that was under way is recorded");
    assert_eq!(house.in_files(), 0);
    let before = house.sandbox.accepted_count();
    let mut child = house.start(&["drain"]);
    assert!(house.sandbox.wait_accepted(before + 1, PATIENCE));
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "what is left is parked");
    let parked = house.program.json(&["status"]).1["parked"].as_u64().expect("a number");
    assert!(parked > 0 && counted(&house.sandbox) + parked == 24_000, "{parked}");
    assert_eq!(house.program.run(&["suite", "resume", RSID]).code, 0);
    assert_eq!(house.program.run(&["drain"]).code, 0);
    house.assert_whole(24_000);
}

#[test]
fn rows_that_adobe_refuses_without_a_name_stop_the_suite_until_a_person_decides() {
    let refusing = BulkSettings { invalid_rows_per_100000: 5000, ..limits() };
    let house = Backfills::live(refusing, "", "bulk", &history(0, 2000));
    for _ in 0..2 {
        let (code, report) = house.program.json(&["drain"]);
        assert_eq!((code, &report["stopped"]), (4, &json!("suite")), "{report}");
        let trouble = &report["troubles"][0];
        assert_eq!((&trouble["rsid"], &trouble["stopped"]), (&json!(RSID), &json!(true)));
        assert!(
            trouble["advice"].as_str().is_some_and(|advice| advice.contains("drain --accept-unnamed")),
            "{report}"
        );
    }
    let (_, status) = house.program.json(&["status"]);
    assert_eq!(status["troubles"][0]["rsid"], RSID, "{status}");
    let (code, report) = house.program.json(&["drain", "--accept-unnamed"]);
    assert_eq!((code, &report["pending"]), (3, &json!(0)), "{report}");
    house.in_files();
}

#[test]
fn a_suite_whose_files_cannot_go_holds_up_no_other() {
    let house = Backfills::live(limits(), "", "bulk", &history(0, 100));
    let url = house.sandbox.url();
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", "other", "--collection-url", &url];
    assert_eq!(house.program.run(&add).code, 0);
    house.ingest(&history(5000, 5200).replace("REF30", "REF40"));
    house.program.write("secret", "another\n");
    let (code, report) = house.program.json(&["drain"]);
    assert_eq!((code, &report["delivered"], &report["pending"]), (4, &json!(200), &json!(100)), "{report}");
    assert!(
        report["troubles"][0]["advice"].as_str().is_some_and(|advice| advice.contains("bulk.")),
        "{report}"
    );
    let refused = house.program.run(&["suite", "remove", RSID]);
    assert_eq!(refused.code, 0, "nothing of it is in doubt: {refused:?}");
}

#[test]
fn who_is_in_a_file_is_not_forgotten_before_its_answer_nor_taken_by_a_backfill() {
    let house = Backfills::live(unanswered(), "", "bulk", &history(0, 600));
    house.killed_with_a_file();
    let forget = ["forget", "--mvpd", "M", "--mvpd-user-id", "u7"];
    let refused = house.program.run(&forget);
    let told = ["live:examplersid has files", "drain; then run this again"];
    assert!(refused.code == 1 && told.iter().all(|told| refused.err.contains(told)), "{refused:?}");
    let refused = house.program.run(&["suite", "remove", RSID]);
    assert!(refused.code == 2 && refused.err.contains("in doubt"), "{refused:?}");
    // A backfill takes neither the file nor its events.
    let span = ["--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z"];
    let in_files = house.in_files();
    let taken = house.program.json(&[&["backfill", "run", "b"][..], &span].concat()).1;
    assert_eq!((&taken["delivered"], house.in_files()), (&json!(600 - in_files), in_files), "{taken}");
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["drain"]).code, 0);
    house.in_files();
    assert_eq!(counted(&house.sandbox), 600);
    assert_eq!(house.program.run(&forget).code, 0);
}

#[test]
fn a_suite_that_is_set_to_files_without_a_credential_says_at_once_what_is_missing() {
    let program = crate::program::Program::new();
    program.suite("http://127.0.0.1:1");
    for (route, warns) in [("bulk", true), ("auto", true), ("dia", false)] {
        let done = program.run(&["suite", "set", "examplersid", "--via", route]);
        assert_eq!((done.code, done.err.contains("WARN")), (0, warns), "{done:?}");
        assert_eq!(done.err.contains("bulk.client_id"), warns, "{done:?}");
    }
}
