//! A line that is no event is kept with its reason, and goes in once it is mended.

use std::os::unix::fs::{PermissionsExt, symlink};

use passbridge::buffer::Forget;
use passbridge::ingest::{forget_rejects, retain_rejects};
use serde_json::Value;

use super::*;
use crate::support::subscriber;

/// The lines of a run's rejects.
pub(super) fn kept(summary: &IngestSummary) -> Vec<Value> {
    let path = summary.rejects_path.as_ref().expect("rejects");
    let text = std::fs::read_to_string(path).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn reasons(summary: &IngestSummary) -> Vec<(u64, String)> {
    let reason = |line: &Value| {
        (line["line"].as_u64().expect("a number"), line["reason"].as_str().expect("text").to_owned())
    };
    kept(summary).iter().map(reason).collect()
}

#[test]
fn bad_lines_are_named_with_their_reason_and_the_rest_goes_in() {
    let intake = Intake::new();
    let summary = intake.load(&[&fixture("ndjson/bad-lines.ndjson")]);
    assert_eq!(summary.total, counts(17, 3, 1, 0, 13));
    let expected = [
        (2, "breaks off at column 56, inside its object; get the whole line from its source"),
        (3, "is not JSON: expected ident at column 2"),
        (4, "is not a JSON object"),
        (5, "event \"authz_okay\" is unknown; the nearest is \"authz_ok\""),
        (6, "occurred_at \"2026-11-09 08:20\" has no offset: add Z for UTC, or one such as +01:00"),
        (7, "occurred_at is missing"),
        (
            8,
            "occurred_at 1999-12-31T23:59:59Z is before the year 2000; seconds and milliseconds may be mixed up",
        ),
        (
            9,
            "occurred_at 2099-01-01T00:00:00Z is ahead of this host's clock (2026-11-20T12:00:00Z) by more than ingest.future_skew_seconds; check the clock of the source and of this host",
        ),
        (10, "count \"0\" must be a whole number from 1 to 1,000,000"),
        (11, "mvpd must be text, a number or a boolean, not an object or a list"),
        (12, "mvpd is given twice, at columns 86 and 97"),
        (13, "is not UTF-8 from byte 97 on"),
        (
            14,
            "requestor_id \" HarborNews\" must be 1 to 255 bytes without control characters or white space at its ends",
        ),
    ];
    assert_eq!(reasons(&summary), expected.map(|(line, reason)| (line, reason.to_owned())));
    assert_eq!(kept(&summary)[11]["is_lossy"], true);
}

#[test]
fn bad_rows_are_named_with_the_line_they_start_in() {
    let intake = Intake::new();
    let summary = intake.load(&[&fixture("csv/bad-rows.csv")]);
    assert_eq!(summary.total, counts(8, 2, 0, 0, 6));
    let expected = [
        (3, "has 3 fields; the header has 4"),
        (4, "has 5 fields; the header has 4"),
        (
            5,
            "occurred_at \"09/11/2026 08:40\" is no RFC 3339 instant with an offset, such as 2026-11-20T08:30:00Z",
        ),
        (6, "event is missing"),
        (7, "is not UTF-8 from byte 45 on"),
        (
            10,
            "opens a quote that is never closed; everything behind it is in this row, or the source breaks off here",
        ),
    ];
    assert_eq!(reasons(&summary), expected.map(|(line, reason)| (line, reason.to_owned())));
    assert_eq!(kept(&summary)[0]["header"], "occurred_at,event,requestor_id,mvpd");
}

#[test]
fn rejects_are_for_their_owner_and_two_runs_never_share_a_file() {
    let intake = Intake::new();
    let names: Vec<String> = ["ndjson/bad-lines.ndjson", "csv/bad-rows.csv"]
        .iter()
        .map(|input| {
            let path = intake.load(&[&fixture(input)]).rejects_path.expect("rejects");
            assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
            path.strip_prefix(&intake.options.config.rejects_dir).expect("there").display().to_string()
        })
        .collect();
    assert_eq!(names, ["rejected-20261120T120000Z-1.ndjson", "rejected-20261120T120000Z-2.ndjson"]);
}

#[test]
fn rejects_that_nobody_mended_are_rejected_again_in_the_same_form() {
    let intake = Intake::new();
    let first = intake.load(&[&fixture("ndjson/bad-lines.ndjson"), &fixture("csv/bad-rows.csv")]);
    let again = intake.load(&[first.rejects_path.as_ref().expect("rejects")]);
    assert_eq!(again.total, counts(19, 0, 0, 0, 19));
    assert!(again.warnings.iter().all(|warning| !warning.to_string().contains("kept out")));
    let without_origin = |summary: &IngestSummary| {
        let mut lines = kept(summary);
        lines.iter_mut().for_each(|line| {
            let line = line.as_object_mut().expect("an object");
            ["path", "line", "reason"].iter().for_each(|key| drop(line.remove(*key)));
        });
        lines
    };
    assert_eq!(without_origin(&again), without_origin(&first));
}

#[test]
fn rejects_go_in_once_they_are_mended() {
    let intake = Intake::new();
    let first = intake.load(&[&fixture("ndjson/bad-lines.ndjson"), &fixture("csv/bad-rows.csv")]);
    let path = first.rejects_path.expect("rejects");
    let text = std::fs::read_to_string(&path).expect("UTF-8");
    let mended = text.replace("authz_okay", "authz_ok").replace("Caf\u{fffd}", "Café").replace(
        "2026-11-09T08:40:02Z,authz_ok,HarborNews",
        "2026-11-09T08:40:02Z,authz_ok,HarborNews,Brightline",
    );
    let mended = intake.file("mended.ndjson", mended.as_bytes());
    let again = intake.load(&[&mended]);
    assert_eq!(again.total, counts(19, 4, 0, 0, 15));
    assert_eq!(intake.stored().iter().filter(|event| event.contains("Café")).count(), 2);
    assert_eq!(intake.load(&[&mended]).total, counts(19, 0, 4, 0, 15));
}

#[test]
fn a_line_above_four_mebibytes_is_rejected_by_its_start() {
    let intake = Intake::new();
    let long = format!("{{\"mvpd\":\"{}\"}}\n", "é".repeat(3 << 20));
    let path = intake.file("long.ndjson", [long.as_str(), &events(1)].concat().as_bytes());
    let summary = intake.load(&[&path]);
    assert_eq!(summary.total, counts(2, 1, 0, 0, 1));
    let kept = kept(&summary).remove(0);
    assert_eq!(kept["reason"], "is 6291467 bytes long; the most is 4194304");
    assert_eq!(kept["line_bytes"], 6_291_467);
    assert!(
        kept["text"].as_str().is_some_and(|text| text.len() < 70_000 && text.starts_with("{\"mvpd\":\"éé"))
    );
}

fn files_of_rejects(intake: &Intake) -> usize {
    std::fs::read_dir(&intake.options.config.rejects_dir).expect("a folder").count()
}

#[test]
fn a_flood_of_rejects_is_kept_up_to_a_limit_and_the_rest_is_counted_and_said() {
    let intake = Intake::new();
    let path = intake.file("flood.ndjson", "x\n".repeat(30_000).as_bytes());
    let small = intake.file("small.ndjson", b"y\n");
    let summary = intake.load(&[&path, &small]);
    assert_eq!(summary.total, counts(30_001, 0, 0, 0, 30_001));
    assert_eq!(kept(&summary).len(), 10_001, "the limit is one of each input");
    assert_eq!(summary.rejects_not_kept, 20_000);
    assert_eq!(summary.warnings.len(), 22);
    let told: Vec<String> = summary.warnings[20..].iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!(
                "{}: 20000 more rejected lines are counted and not kept; ingest.rejects_max limits them",
                path.display()
            ),
            "29981 more rejected lines are not named here".to_owned(),
        ]
    );
    let again = intake.load(&[&path, &small]);
    assert_eq!((again.rejects_kept_before, again.rejects_not_kept), (10_001, 20_000));
    assert_eq!(again.rejects_path, summary.rejects_path, "it names where the earlier run kept them");
    assert_eq!(files_of_rejects(&intake), 1, "a daily reading of the same file fills no disk");
}

#[test]
fn a_reject_that_is_read_again_is_kept_once_while_its_file_is_there() {
    let intake = Intake::new();
    let path = intake.file("daily.ndjson", b"bad\nworse\n");
    let first = intake.load(&[&path]).rejects_path.expect("rejects");
    let again = intake.load(&[&path]);
    assert_eq!((again.total, again.rejects_path.as_ref()), (counts(2, 0, 0, 0, 2), Some(&first)));
    assert_eq!(files_of_rejects(&intake), 1);
    let told = again.warnings.last().map(ToString::to_string);
    let before = format!("{}: 2 rejected lines were kept before, in {}", path.display(), first.display());
    assert_eq!(told, Some(before));

    // A line more, and one that is another now.
    let path = intake.file("daily.ndjson", b"bad\nworst\nnew\n");
    let third = intake.load(&[&path]);
    assert_eq!(reasons(&third).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(third.rejects_kept_before, 1);

    // Conflicts and standard sources go the same way; a file of rejects that somebody removed is no place to look at.
    std::fs::remove_file(first).expect("the rejects");
    assert_eq!(reasons(&intake.load(&[&path])).len(), 1);
    let files = files_of_rejects(&intake);
    assert_eq!(intake.load(&[&path]).rejects_kept_before, 3);
    assert_eq!(files_of_rejects(&intake), files);
}

#[test]
fn rejects_stop_at_the_floor_of_their_own_disk() {
    let mut intake = Intake::new();
    // Free for the buffer, which is looked at before; what is between the two is the test's own.
    intake.options.config.min_free_bytes = u64::MAX;
    let input = InputPath::new(fixture("ndjson/bad-lines.ndjson"));
    let error = load(&*intake.house.buffer, &[input], &intake.options, &mut ()).expect_err("a full disk");
    assert!(matches!(error, IngestError::DiskFloor { .. }), "{error}");
    intake.options.config.min_free_bytes = intake.house.buffer.free_bytes().expect("a disk") / 2;
    intake.options.config.rejects_dir = PathBuf::from("/proc/self");
    let input = InputPath::new(fixture("ndjson/bad-lines.ndjson"));
    let error = load(&*intake.house.buffer, &[input], &intake.options, &mut ()).expect_err("no room there");
    assert!(matches!(error, IngestError::RejectsDiskFloor { .. }), "{error}");
}

#[test]
fn rejects_expire_by_a_retention_of_their_own_and_are_kept_again_after_it() {
    let intake = Intake::new();
    let path = intake.file("daily.ndjson", b"bad\n");
    let kept = intake.load(&[&path]).rejects_path.expect("rejects");
    let other = intake.options.config.rejects_dir.join("notes.txt");
    std::fs::write(&other, "mine").expect("a file");
    let retain = |days: i64| {
        let at = now().nanos() - days * 86_400_000_000_000;
        for file in [&kept, &other] {
            let file = std::fs::File::options().write(true).open(file).expect("a file");
            let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(at as u64);
            file.set_modified(at).expect("a time");
        }
        retain_rejects(&intake.house.buffer, &intake.options.config, now()).expect("a folder")
    };
    assert_eq!(retain(90), 0);
    assert_eq!(intake.load(&[&path]).rejects_path.as_ref(), Some(&kept));
    assert_eq!(retain(91), 1);
    assert!(!kept.exists() && other.exists());
    assert!(intake.load(&[&path]).rejects_path.is_some());
}

#[test]
fn rejects_that_cannot_be_kept_stop_the_ingest() {
    let mut intake = Intake::new();
    intake.options.config.rejects_dir = intake.file("a-file", b"");
    let input = InputPath::new(fixture("ndjson/bad-lines.ndjson"));
    let error = load(&*intake.house.buffer, &[input], &intake.options, &mut ()).expect_err("no folder");
    assert!(matches!(error, IngestError::Rejects { .. }), "{error}");
    assert!(error.to_string().contains("a-file"), "{error}");
}

#[test]
fn a_forgotten_person_is_gone_from_the_rejects_and_everybody_else_stays() {
    let intake = Intake::new();
    let (rejects_dir, buffer) = (&intake.options.config.rejects_dir, intake.house.buffer.path());
    let forget = |forget: &Forget| forget_rejects(rejects_dir, forget, buffer).expect("the folder");
    assert_eq!(forget(&subscriber("Brightline", "u1")), 0, "where there is no folder");
    let lines = "{\"mvpd\":\"Brightline\",\"mvpd_user_id\":\"u1\"}\n\
                 {\"mvpd\":\"Brightline\",\"mvpd_user_id\":\"u10\"}\n\
                 {\"mvpd\":\"OrbitTV\",\"mvpd_user_id\":\"u1\"}\n\
                 {\"mvpd\":\"Brightline\",\"mvpd_user_id\":\"u1\",\n";
    let json = intake.load(&[&intake.file("a.ndjson", lines.as_bytes())]);
    let rows =
        "occurred_at,event,requestor_id,mvpd,mvpd_user_id\nyesterday,authn_ok,HarborNews,Brightline,u1\n";
    let csv = intake.load(&[&intake.file("a.csv", rows.as_bytes())]);

    assert_eq!(forget(&subscriber("Brightline", "u1")), 3);
    let left: Vec<Value> = kept(&json).iter().map(|line| line["line"].clone()).collect();
    assert_eq!(left, [2, 3]);
    let mode =
        std::fs::metadata(json.rejects_path.as_ref().expect("rejects")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!csv.rejects_path.expect("rejects").exists(), "a file without a line");
    assert_eq!(std::fs::read_dir(&intake.options.config.rejects_dir).expect("a folder").count(), 1);
    assert_eq!(forget(&subscriber("Brightline", "u1")), 0);

    // The lines behind a link, or under a second name, would stay.
    for is_symbolic in [true, false] {
        let (moved, linked) =
            (intake.file("moved.ndjson", lines.as_bytes()), rejects_dir.join("linked.ndjson"));
        let made = if is_symbolic { symlink(&moved, &linked) } else { std::fs::hard_link(&moved, &linked) };
        made.expect("a link");
        let refused =
            forget_rejects(rejects_dir, &subscriber("Brightline", "u1"), buffer).expect_err("a link");
        assert!(refused.to_string().contains("linked.ndjson"), "{refused}");
        std::fs::remove_file(&linked).expect("the link goes");
    }
}

#[test]
fn a_number_for_an_event_is_told_what_to_write_and_a_count_may_be_text() {
    let intake = Intake::new();
    let event = r#"{"occurred_at":1794000000,"event":"event6","requestor_id":"HarborNews"}"#;
    let count = r#"{"occurred_at":"1794000000","event":"authn_ok","requestor_id":"HarborNews","count":"3"}"#;
    let path = intake.file("mistakes.ndjson", format!("{event}\n{count}\n").as_bytes());
    let expected =
        [(1, "event \"event6\" is Analytics' number of an event: write \"authz_failed\"".to_owned())];
    assert_eq!(reasons(&intake.load(&[&path])), expected);
    assert!(intake.stored()[0].contains("\"count\":3"));
}

#[test]
fn a_reject_is_kept_once_by_whatever_path_its_file_is_read() {
    let intake = Intake::new();
    let path = intake.file("daily.ndjson", b"bad\nworse\n");
    let first = intake.load(&[&path]).rejects_path.expect("rejects");
    let beside = |name: &str| path.with_file_name(name);
    std::os::unix::fs::symlink(&path, beside("symbolic.ndjson")).expect("a symbolic link");
    std::fs::hard_link(&path, beside("hard.ndjson")).expect("a hard link");
    let roundabout = intake.options.config.rejects_dir.join("../daily.ndjson");
    for other in [beside("symbolic.ndjson"), beside("hard.ndjson"), roundabout] {
        let again = intake.load(&[&other]);
        assert_eq!((again.rejects_kept_before, again.rejects_path.as_ref()), (2, Some(&first)), "{other:?}");
    }
    // A newer file in its place, with a line that the older one had, and another file with that line.
    let newer = intake.file("newer", b"bad\nworst\n");
    std::fs::rename(newer, &path).expect("the newer file in the place of the older");
    assert_eq!(reasons(&intake.load(&[&path])).len(), 1);
    let another = intake.file("another.ndjson", b"bad\n");
    assert_eq!(intake.load(&[&another]).rejects_kept_before, 0);
}

#[test]
fn a_reject_that_moves_in_its_file_is_not_kept_again() {
    let intake = Intake::new();
    let path = intake.file("rolling.ndjson", b"old\nbad\nbad\nworse\n");
    assert_eq!(reasons(&intake.load(&[&path])).len(), 4);
    // The first line is gone, and two came at the end, one of them equal to two lines before it.
    let path = intake.file("rolling.ndjson", b"bad\nbad\nworse\nbad\nnew\n");
    let rolled = intake.load(&[&path]);
    assert_eq!(rolled.rejects_kept_before, 3);
    assert_eq!(reasons(&rolled).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5]);
    let path = intake.file("rolling.ndjson", b"worse\nbad\nnew\n");
    assert_eq!(intake.load(&[&path]).rejects_kept_before, 3);
    assert_eq!(files_of_rejects(&intake), 2);
}
