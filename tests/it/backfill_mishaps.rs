//! What goes wrong around a backfill: files that vanish, people who change their mind, rows that Adobe refuses one by one.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use passbridge::sandbox::BulkSettings;
use serde_json::json;

use crate::backfill::{Backfills, history, limits};
use crate::support::{PATIENCE, RSID, counted};

impl Backfills {
    fn files(&self, job: &str) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.program.path("bulk").join(job));
        folder.map_or(Vec::new(), |files| files.map(|file| file.expect("a file").path()).collect())
    }

    fn balanced(&self) {
        let (code, status) = self.program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{status}");
    }

    /// Kills a run of files once the sandbox has some rows.
    fn killed(&self, args: &[&str]) {
        let before = self.sandbox.accepted_count();
        let mut child = self.start(args);
        assert!(self.sandbox.wait_accepted(before + 1, PATIENCE));
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }
}

/// One event for each number, each with this count.
fn counts(numbers: std::ops::Range<usize>, count: u32) -> String {
    history(numbers.start, numbers.end).replace("\"event\":", &format!("\"count\":{count},\"event\":"))
}

#[test]
fn files_that_vanish_are_written_anew_once_it_is_known_that_nothing_of_them_is_in() {
    let house = Backfills::new(BulkSettings { lose_answer: 30.0, break_before: 30.0, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 6000));
    house.killed(&["backfill", "run", "h", "--via", "bulk", &file]);
    for file in house.files("h") {
        fs::remove_file(file).expect("it goes");
    }
    house.balanced();
    let mut resumed = house.program.run(&["backfill", "resume", "h"]);
    // One that is cut short is as good as none.
    if resumed.code != 0 {
        for file in house.files("h") {
            fs::write(file, "cut").expect("it is cut");
        }
        resumed = house.program.run(&["backfill", "resume", "h"]);
    }
    assert_eq!(resumed.code, 0, "{resumed:?}");
    house.assert_whole(6000);
}

#[test]
fn what_is_cancelled_was_not_sent_and_what_was_discarded_before_stays_so() {
    let house =
        Backfills::new(BulkSettings { invalid_rows_per_100000: 300, name_all_invalid: true, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 8000));
    let mut child = house.start(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(house.sandbox.wait_accepted(1, PATIENCE));
    assert_eq!(house.program.run(&["backfill", "pause", "h"]).code, 0);
    child.wait().expect("it ends");
    let dead = house.status("h")["dead"].as_u64().expect("a number");
    if dead > 0 {
        assert_eq!(house.program.run(&["dead-letter", "discard", "--all"]).code, 0);
    }
    let (code, cancelled) = house.program.json(&["backfill", "cancel", "h"]);
    assert_eq!(
        (code, &cancelled["pending"], &cancelled["is_forgotten"]),
        (0, &json!(0), &json!(false)),
        "{cancelled}"
    );
    assert_eq!(house.files("h"), Vec::<PathBuf>::new());
    let (_, report) = house.program.json(&["backfill", "resume", "h"]);
    assert_eq!((&report["pending"], &report["discarded"]), (&json!(0), &json!(dead)), "{report}");
    house.balanced();
    assert_eq!(report["delivered"], counted(&house.sandbox));
    let refused = house.program.run(&["backfill", "cancel", "h"]);
    assert!(refused.code == 2 && refused.err.contains("is done"), "{refused:?}");
}

#[test]
fn an_event_of_which_a_row_is_refused_is_dead_and_in_doubt() {
    let house = Backfills::new(
        BulkSettings { invalid_rows_per_100000: 2000, name_all_invalid: true, ..limits() },
        "",
    );
    let file = house.file("h.ndjson", &counts(0..300, 3));
    let (code, report) = house.program.json(&["backfill", "run", "h", "--via", "bulk", &file]);
    let dead = report["dead"].as_u64().expect("a number");
    assert!(code == 3 && dead > 0, "{report}");
    let (_, status) = house.program.json(&["status", "--in-doubt"]);
    let doubted = status["doubted"].as_array().expect("a list").len() as u64;
    assert_eq!(doubted, dead, "two of three rows counted, and a repeat repeats them");
    house.balanced();
}

#[test]
fn a_file_of_nothing_but_refused_rows_ends_as_dead_letters() {
    let house = Backfills::new(
        BulkSettings { invalid_rows_per_100000: 100_000, name_all_invalid: true, ..limits() },
        "",
    );
    let file = house.file("h.ndjson", &history(0, 3));
    let (code, report) = house.program.json(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert_eq!((code, &report["dead"], &report["state"]), (3, &json!(3), &json!("done")), "{report}");
    // They are requeued into their backfill, and wait there.
    assert_eq!(house.program.run(&["dead-letter", "requeue", "--all"]).code, 0);
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.json(&["drain"]).1["delivered"], 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(3);
}

#[test]
fn who_is_forgotten_is_in_no_file_either() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 1000));
    assert_eq!(house.program.run(&["backfill", "run", "h", "--via", "bulk", "--keep-files", &file]).code, 0);
    assert!(!house.files("h").is_empty());
    let forget = ["forget", "--mvpd", "M", "--mvpd-user-id", "u7"];
    let (code, report) = house.program.json(&forget);
    assert_eq!((code, &report["events"]), (0, &json!(4)), "{report}");
    assert!(report["bulk_files"].as_u64() > Some(0), "{report}");
    assert_eq!(house.files("h"), Vec::<PathBuf>::new());
    house.balanced();
    assert_eq!(house.status("h")["delivered"], 996);
}

#[test]
fn names_are_free_again_where_nothing_came_of_them_and_spans_have_an_order() {
    let house = Backfills::new(limits(), "");
    let empty = house.file("empty.ndjson", "");
    assert_eq!(house.program.run(&["backfill", "plan", "p", &empty]).code, 0);
    let (_, cancelled) = house.program.json(&["backfill", "cancel", "p"]);
    assert_eq!(cancelled["is_forgotten"], true, "{cancelled}");
    let span = ["backfill", "run", "b", "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"];
    let refused = house.program.run(&span);
    assert!(refused.code == 2 && refused.err.contains("--from is not before --to"), "{refused:?}");
    assert_eq!(house.program.run(&["backfill", "status", "b"]).code, 2);
    let unnamed = house.program.run(&["backfill", "run", "n", "/nowhere.ndjson"]);
    assert!(unnamed.code != 0 && unnamed.err.contains("/nowhere.ndjson"), "{unnamed:?}");
    assert_eq!(house.program.run(&["backfill", "status", "n"]).code, 2, "its name is free");
}

#[test]
fn a_job_that_waits_for_another_changes_nothing() {
    let house = Backfills::new(limits(), "latency=20ms");
    let (one, other) =
        (house.file("1.ndjson", &history(0, 3000)), house.file("2.ndjson", &history(5000, 5010)));
    let mut child = house.start(&["backfill", "run", "j", "--rate", "200", &one]);
    assert!(house.sandbox.wait_accepted(20, PATIENCE));
    assert_eq!(house.program.run(&["backfill", "run", "k", &other]).code, 75);
    assert_eq!(house.program.run(&["backfill", "status", "k"]).code, 2, "there is no such job yet");
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    child.wait().expect("it ends");
    std::thread::sleep(Duration::from_millis(50));
    house.balanced();
}
