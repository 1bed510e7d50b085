//! What goes wrong around a backfill: files that vanish, people who change their mind, rows that Adobe refuses one by one.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use passbridge::sandbox::{BulkFault, BulkSettings};
use serde_json::json;

use crate::backfill::{Backfills, history, limits};
use crate::ingest_formats::gzip;
use crate::program::{Program, done};
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
    let house = Backfills::new(
        BulkSettings {
            faults: [(BulkFault::LoseAnswer, 30.0), (BulkFault::BreakBefore, 30.0)].into(),
            ..limits()
        },
        "",
    );
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
    let house = Backfills::new(
        BulkSettings { invalid_rows_per_100000: 3000, name_all_invalid: true, ..limits() },
        "",
    );
    let file = house.file("h.ndjson", &history(0, 8000));
    let mut child = house.start(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(house.sandbox.wait_accepted(1, PATIENCE));
    assert_eq!(house.program.run(&["backfill", "pause", "h"]).code, 0);
    child.wait().expect("it ends");
    let dead = house.status("h")["dead"].as_u64().expect("a number");
    assert_ne!(dead, 0);
    assert_eq!(house.program.run(&["dead-letter", "discard", "--all"]).code, 0);
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
fn a_backfill_whose_file_breaks_off_begins_anew_with_the_mended_file_as_its_messages_say() {
    let house = Backfills::new(limits(), "");
    let program = &house.program;
    let one = house.file("one.ndjson", &history(0, 100));
    let whole = gzip(history(100, 4000).as_bytes());
    let two = program.place("two.ndjson.gz");
    fs::write(&two, &whole[..whole.len() / 2]).expect("a file");
    let begin_anew = "passbridge pending take-back --backfill b --yes; passbridge backfill cancel b; passbridge backfill run b FILE...";
    let begin_anew =
        begin_anew.replace("passbridge ", &format!("passbridge --config {} ", program.place("c.toml")));
    // A plan has stored nothing that could be taken back.
    let planned = program.run(&["backfill", "plan", "b", &one, &two]);
    assert!(planned.code == 1 && planned.err.contains("nothing of it was stored"), "{planned:?}");
    assert!(!planned.err.contains("take-back"), "{planned:?}");
    let broken = program.run(&["backfill", "run", "b"]);
    assert!(broken.code == 1 && broken.err.contains(&begin_anew), "{broken:?}");
    assert!(house.status("b")["pending"].as_u64() > Some(100), "{}", house.status("b"));
    fs::write(&two, &whole).expect("the mended file");
    let refused = program.run(&["backfill", "resume", "b"]);
    assert!(refused.code == 2 && refused.err.contains(&begin_anew), "{refused:?}");
    // The way is open to who has cancelled it already, too.
    let cancelled = program.run(&["backfill", "cancel", "b"]);
    assert!(
        cancelled.code == 0 && cancelled.out.contains("in other inputs they are duplicates"),
        "{cancelled:?}"
    );
    assert_eq!(program.run(&["backfill", "resume", "b"]).code, 2);
    assert_eq!(house.sandbox.accepted_count(), 0);
    let live = house.file("live.ndjson", &history(4000, 4010));
    assert_eq!(program.run(&["ingest", &live]).code, 0);
    assert_eq!(program.run(&["pending", "take-back", "--backfill", "b", "--yes"]).code, 0);
    assert_eq!(program.json(&["status"]).1["pending"], 10, "the live events stay");
    let (code, cancelled) = program.json(&["backfill", "cancel", "b"]);
    assert_eq!((code, &cancelled["is_forgotten"]), (0, &json!(true)), "{cancelled}");
    assert_eq!(program.run(&["backfill", "run", "b", &one, &two]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    house.assert_whole(4010);
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
fn a_settled_file_that_was_left_is_removed_by_who_comes_next() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 300));
    assert_eq!(house.program.run(&["backfill", "run", "h", "--via", "bulk", "--keep-files", &file]).code, 0);
    // As a kill leaves it behind the last event and before the removal.
    let connection = rusqlite::Connection::open(house.program.path("passbridge.db")).expect("the buffer");
    assert!(connection.execute("UPDATE bulk_files SET state = 'received'", []).expect("files") > 0);
    drop(connection);
    // No one can remove a folder as a file.
    let (first, aside) = (house.files("h")[0].clone(), house.program.path("aside"));
    fs::rename(&first, &aside).expect("it goes");
    fs::create_dir(&first).expect("a folder");
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    assert_eq!(house.files("h"), std::slice::from_ref(&first), "the others are gone");
    fs::remove_dir(&first).expect("it goes");
    fs::rename(&aside, &first).expect("it is back");
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    assert_eq!(house.files("h"), Vec::<PathBuf>::new());
    house.assert_whole(300);
}

#[test]
fn nobody_is_forgotten_while_a_file_that_may_name_them_has_no_answer() {
    let house = Backfills::new(unanswered(), "");
    let file = house.file("h.ndjson", &history(0, 600));
    house.killed(&["backfill", "run", "h", "--via", "bulk", &file]);
    let forget = ["forget", "--mvpd", "M", "--mvpd-user-id", "u7"];
    let refused = house.program.run(&forget);
    assert!(refused.code == 1 && refused.err.contains("backfill resume h"), "{refused:?}");
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    let (code, report) = house.program.json(&forget);
    assert_eq!((code, &report["events"]), (0, &json!(2)), "{report}");
    house.balanced();
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
fn a_backfill_by_files_without_a_credential_changes_nothing() {
    let program = Program::new();
    program.write("1.ndjson", &history(0, 5));
    let file = program.path("1.ndjson");
    let file = file.to_str().expect("UTF-8");
    let refused = program.run(&["backfill", "run", "h", "--via", "bulk", file]);
    assert!(refused.code == 2 && refused.err.contains("bulk.client_id"), "{refused:?}");
    assert_eq!(program.run(&["backfill", "status", "h"]).code, 2, "there is no such backfill");
    assert_eq!(program.run(&["backfill", "plan", "h", file]).code, 0);
    for command in ["run", "resume"] {
        assert_eq!(program.run(&["backfill", command, "h", "--via", "bulk"]).code, 2);
        let (_, status) = program.json(&["backfill", "status", "h"]);
        let job = &status["backfills"][0];
        assert_eq!([&job["state"], &job["route"]], ["planned", "dia"], "{command}: {status}");
    }
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

/// Uploads whose answers are lost, and whose keys nobody finds for a while.
fn unanswered() -> BulkSettings {
    BulkSettings { faults: [(BulkFault::LoseAnswer, 100.0)].into(), lookup_blind_ms: 600_000, ..limits() }
}

#[test]
fn a_suite_stays_while_nobody_knows_whether_adobe_has_a_file_of_it() {
    let house = Backfills::new(unanswered(), "");
    let file = house.file("h.ndjson", &history(0, 600));
    house.killed(&["backfill", "run", "h", "--via", "bulk", &file]);
    let refused = house.program.run(&["suite", "remove", RSID]);
    assert!(refused.code == 2 && refused.err.contains("in doubt"), "{refused:?}");
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(600);
    assert_eq!(house.program.run(&["suite", "remove", RSID]).code, 0);
}

#[test]
fn a_file_without_an_answer_is_settled_before_another_backfill_sends() {
    let house = Backfills::new(unanswered(), "");
    let (one, other) =
        (house.file("1.ndjson", &history(0, 400)), house.file("2.ndjson", &history(5000, 5400)));
    house.killed(&["backfill", "run", "one", "--via", "bulk", &one]);
    let in_files = house.status("one")["in_files"].clone();
    assert_ne!(in_files, 0);
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "run", "other", "--via", "bulk", &other]).code, 0);
    let status = house.status("one");
    assert_eq!((&status["delivered"], &status["in_files"]), (&in_files, &json!(0)), "{status}");
    assert_eq!(house.program.run(&["backfill", "resume", "one"]).code, 0);
    assert_eq!(counted(&house.sandbox), 800);
    house.balanced();
}

#[test]
fn doubts_that_stand_in_a_file_are_not_held_while_it_has_no_answer() {
    let house = Backfills::new(unanswered(), "");
    let file = house.file("h.ndjson", &history(0, 300));
    // Every hit is counted, and no answer to it arrives.
    house.sandbox.set_faults("reset-after:100%".parse().expect("a fault plan"));
    let mut child = house.start(&["backfill", "run", "h", &file]);
    assert!(house.sandbox.wait_accepted(20, PATIENCE));
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    let before = house.sandbox.accepted_count();
    let mut child = house.start(&["backfill", "resume", "h", "--via", "bulk"]);
    assert!(house.sandbox.wait_accepted(before + 1, PATIENCE));
    let since = Instant::now();
    while house.status("h")["in_files"] != 300 {
        assert!(since.elapsed() < PATIENCE, "every event is in a file");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    let (_, status) = house.program.json(&["status", "--in-doubt"]);
    let doubted = status["doubted"].as_array().expect("a list").len();
    assert!(doubted > 0, "{status}");
    house.sandbox.set_bulk(limits());
    house.sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(house.program.run(&["suite", "set", RSID, "--on-ambiguous", "hold"]).code, 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(300);
}

#[test]
fn what_may_have_been_counted_goes_in_a_file_as_it_went_before() {
    let house = Backfills::new(limits(), "reset-after:100%");
    let file = house.file("h.ndjson", &history(0, 300));
    let mut child = house.start(&["backfill", "run", "h", &file]);
    assert!(house.sandbox.wait_accepted(20, PATIENCE));
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    house.sandbox.set_faults("".parse().expect("no faults"));
    // From now on nothing carries an ID by which a repeat would be known, save what carried one before.
    assert_eq!(house.program.run(&["suite", "set", RSID, "--event-ids", "off"]).code, 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h", "--via", "bulk"]).code, 0);
    assert!(house.sandbox.accepted_count() > 300, "some came twice");
    house.assert_whole(300);
}

#[test]
fn a_job_keeps_its_visitor_groups_whatever_its_rate() {
    let house = Backfills::new(limits(), "");
    let file = house.file("h.ndjson", &history(0, 6000));
    house.killed(&["backfill", "run", "h", "--via", "bulk", &file]);
    // Half the rate would take half the groups, and a visitor of the other half would change hers.
    assert_eq!(house.program.run(&["backfill", "resume", "h", "--rate", "200000"]).code, 0);
    house.assert_whole(6000);
}

#[test]
fn events_of_which_all_that_is_sent_is_alike_are_two_events() {
    let house = Backfills::new(limits(), "");
    assert_eq!(house.program.run(&["suite", "set", RSID, "--event-ids", "off"]).code, 0);
    let file = house.file("h.ndjson", &(history(0, 1) + &history(0, 1).replace("e0", "e1")));
    let mut command = house.program.command(&["backfill", "run", "h", "--via", "bulk", &file]);
    command.env("PASSBRIDGE_BULK__FILE_ROWS", "1");
    let done = done(command);
    assert_eq!(done.code, 0, "{done:?}");
    let files = house.sandbox.bulk_files();
    assert!(files.len() == 2 && files[0].key != files[1].key, "{files:?}");
    assert_eq!(counted(&house.sandbox), 2);
    house.balanced();
}

#[test]
fn a_file_that_is_stuck_keeps_no_other_backfill_from_going() {
    let house = Backfills::new(BulkSettings { rows_untold: 7, ..limits() }, "");
    let (one, other) =
        (house.file("1.ndjson", &history(0, 400)), house.file("2.ndjson", &history(5000, 5400)));
    assert_eq!(house.program.run(&["backfill", "run", "one", "--via", "bulk", &one]).code, 1);
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "run", "other", "--via", "bulk", &other]).code, 0);
    assert_ne!(house.status("one")["in_files"], 0, "who resumes it decides");
    house.balanced();
}

#[test]
fn a_file_that_may_be_in_stays_on_record_when_its_repeat_is_refused() {
    let blind = || BulkSettings { lookup_blind_ms: 3_600_000, ..limits() };
    let house =
        Backfills::new(BulkSettings { faults: [(BulkFault::LoseAnswer, 100.0)].into(), ..blind() }, "");
    let file = house.file("h.ndjson", &history(0, 300));
    house.killed(&["backfill", "run", "h", "--via", "bulk", &file]);
    let in_files = house.status("h")["in_files"].clone();
    house.sandbox.set_bulk(BulkSettings { faults: [(BulkFault::Reject, 100.0)].into(), ..blind() });
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 1);
    let status = house.status("h");
    assert_eq!((&status["in_files"], &status["delivered"]), (&in_files, &json!(0)), "{status}");
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(300);
}

#[test]
fn a_file_that_never_arrived_does_not_go_to_a_suite_that_is_paused_by_now() {
    let house =
        Backfills::new(BulkSettings { faults: [(BulkFault::BreakBefore, 100.0)].into(), ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 300));
    let mut child = house.start(&["backfill", "run", "h", "--via", "bulk", &file]);
    let since = Instant::now();
    while house.program.json(&["backfill", "status"]).1["backfills"][0]["in_files"].as_u64().unwrap_or(0) == 0
    {
        assert!(since.elapsed() < PATIENCE, "a file is sent");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    assert_eq!(house.program.run(&["suite", "pause", RSID]).code, 0);
    house.sandbox.set_bulk(limits());
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0, "all of it is parked");
    assert_eq!((counted(&house.sandbox), &house.status("h")["pending"]), (0, &json!(300)));
    assert_eq!(house.program.run(&["suite", "resume", RSID]).code, 0);
    assert_eq!(house.program.run(&["backfill", "resume", "h"]).code, 0);
    house.assert_whole(300);
}

#[test]
fn a_token_that_ends_before_its_time_is_had_anew() {
    let house = Backfills::new(BulkSettings { forget_tokens_after: 2, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 2000));
    let done = house.program.run(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert_eq!(done.code, 0, "{done:?}");
    house.assert_whole(2000);
}

#[test]
fn files_of_two_runs_keep_their_distance() {
    const SPACING: Duration = Duration::from_secs(4);
    let spacing_ms = SPACING.as_millis() as u64;
    let house = Backfills::new(BulkSettings { group_spacing_ms: spacing_ms, ..limits() }, "");
    let mut ended = Vec::new();
    for (name, first) in [("one", 0), ("other", 5000)] {
        let file = house.file(name, &history(first, first + 100));
        let accepted = ["--accept-days", "2026-01-01..2026-12-31"];
        let run = [&["backfill", "run", name, "--via", "bulk", &file][..], &accepted].concat();
        let mut command = house.program.command(&run);
        command.env("PASSBRIDGE_BULK__GROUP_SPACING_MS", spacing_ms.to_string());
        assert_eq!(done(command).code, 0);
        ended.push(Instant::now());
    }
    assert!(ended[1] - ended[0] >= SPACING);
    assert_eq!(counted(&house.sandbox), 200);
}

#[test]
fn rows_that_an_answer_does_not_count_stop_the_job() {
    let house = Backfills::new(BulkSettings { rows_untold: 7, ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 100));
    let ended = house.program.run(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(ended.code == 1 && ended.err.contains("--accept-unnamed"), "{ended:?}");
    let (code, report) = house.program.json(&["backfill", "resume", "h", "--accept-unnamed"]);
    let missing = 7 * house.sandbox.bulk_files().len();
    assert_eq!((code, &report["unnamed_rows"]), (0, &json!(missing)), "{report}");
}

#[test]
fn a_single_event_that_is_too_large_a_file_ends_with_what_to_do() {
    let house =
        Backfills::new(BulkSettings { faults: [(BulkFault::TooLarge, 100.0)].into(), ..limits() }, "");
    let file = house.file("h.ndjson", &history(0, 3));
    let ended = house.program.run(&["backfill", "run", "h", "--via", "bulk", &file]);
    assert!(ended.code == 1 && ended.err.contains("--via dia"), "{ended:?}");
    assert_eq!(house.status("h")["pending"], 3);
    let resumed = house.program.run(&["backfill", "resume", "h", "--via", "dia"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    house.assert_whole(3);
}

#[test]
fn a_restored_buffer_without_event_ids_is_not_sent_again_by_files() {
    let house = Backfills::new(limits(), "");
    assert_eq!(house.program.run(&["suite", "set", RSID, "--event-ids", "off"]).code, 0);
    let file = house.file("h.ndjson", &history(0, 200));
    assert_eq!(house.program.run(&["ingest", &file]).code, 0);
    let copy = house.program.path("copy.db").to_str().expect("UTF-8").to_owned();
    assert_eq!(house.program.run(&["backup", &copy]).code, 0);
    let span = ["--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z"];
    let run = |name: &str| {
        let args = ["backfill", "run", name, "--via", "bulk"];
        house.program.run(&[&args[..], &span].concat())
    };
    assert_eq!(run("h").code, 0);
    for suffix in ["", "-wal", "-shm"] {
        let path = house.program.path(&format!("passbridge.db{suffix}"));
        if path.exists() {
            fs::remove_file(path).expect("it goes");
        }
    }
    fs::rename(copy, house.program.path("passbridge.db")).expect("it is restored");
    let refused = run("again");
    assert!(refused.code != 0 && refused.err.contains("--accept-repeat"), "{refused:?}");
    assert_eq!(counted(&house.sandbox), 200);
}

#[test]
fn what_a_killed_run_was_sending_is_not_discarded_by_a_cancel() {
    let house = Backfills::new(limits(), "timeout-after");
    let file = house.file("h.ndjson", &history(0, 300));
    house.killed(&["backfill", "run", "h", &file]);
    let (code, cancelled) = house.program.json(&["backfill", "cancel", "h"]);
    assert_eq!(code, 0, "{cancelled}");
    let taken = house.sandbox.accepted_count();
    let waiting = cancelled["pending"].as_u64().expect("a count");
    assert!(taken > 0 && waiting >= taken, "{taken} may have been counted: {cancelled}");
    assert_eq!(cancelled["discarded"], 300 - waiting, "{cancelled}");
    let (_, status) = house.program.json(&["status", "--verify"]);
    assert_eq!(
        (&status["in_doubt"], &status["accounting"]["balanced"]),
        (&json!(waiting), &json!(true)),
        "{status}"
    );
}
