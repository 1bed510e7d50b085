//! `report` as it is typed and read: text, CSV and JSON of the same figures.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::program::{Program, done};

/// The events of the demo, in a buffer: all of June 2025.
fn program() -> Program {
    let program = Program::new();
    for file in ["demo/ref30.ndjson", "demo/ref40.csv", "demo/ref50.ndjson"] {
        let path = crate::fixture::path(file);
        assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 0);
    }
    program
}

const JUNE: [&str; 3] = ["report", "--period", "2025-06"];

#[test]
fn more_rows_than_the_documented_memory_is_for_are_refused() {
    let program = Program::new();
    let line = |asset: u32| {
        let event = "\"event\":\"play_requested\",\"requestor_id\":\"R\"";
        format!("{{\"occurred_at\":\"2025-06-02T10:00:00Z\",{event},\"resource_id\":\"{asset}\"}}\n")
    };
    for (assets, code) in [(0..100_000, 0), (100_000..100_001, 2)] {
        program.write("many.ndjson", &assets.map(line).collect::<String>());
        assert_eq!(program.run(&["ingest", &program.place("many.ndjson")]).code, 0);
        let report = program.run(&[&JUNE[..], &["--csv", "--by", "resource_id"]].concat());
        assert_eq!(report.code, code, "{}", report.err);
        let said = report.err.contains("there are more than 100,000 rows");
        assert_eq!((said, report.out.is_empty()), (code == 2, code == 2));
    }
}

#[test]
fn text_csv_and_json_have_the_same_figures() {
    let program = program();
    let (code, json) = program.json(&JUNE);
    assert_eq!(code, 0);
    assert_eq!(
        (&json["from"], &json["timezone"]),
        (&"2025-06-01T00:00:00-07:00".into(), &"America/Los_Angeles".into())
    );
    let csv = program.run(&[&JUNE[..], &["--csv"]].concat()).out;
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("a heading");
    let columns = json["mvpds"].as_array().expect("columns");
    let figures: Vec<&Value> = [&json["total"]].into_iter().chain(columns).collect();
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), figures.len());
    assert!(columns.len() >= 2);
    for (line, figures) in lines.iter().zip(&figures) {
        let cell = |name: &str| line[head.iter().position(|heading| *heading == name).expect("a heading")];
        for name in
            ["successful_play_requests", "unique_users", "unsuccessful_authentications", "synthetic_users"]
        {
            assert_eq!(cell(name), figures[name].to_string(), "{name}");
        }
        assert_eq!(cell("mvpd"), figures["mvpd"].as_str().unwrap_or(""));
        assert_eq!(cell("preflight_granted"), figures["events"][16].to_string());
    }
    let text = program.run(&JUNE).out;
    for (metric, name) in [
        ("Successful Authentications", "successful_authentications"),
        ("Successful Play Requests", "successful_play_requests"),
        ("Unique Users", "unique_users"),
        ("Attempted Authorizations", "attempted_authorizations"),
    ] {
        let line = text.lines().find(|line| line.trim_start().starts_with(metric)).expect(metric);
        let total = line.split_whitespace().last().expect("a total");
        assert_eq!(total, json["total"][name].to_string(), "{line}");
    }
    let is_sentence = |line: &str| line.starts_with("note") || line.contains("subscription");
    assert!(text.lines().all(|line| line.chars().count() <= 100 || is_sentence(line)), "{text}");
}

#[test]
fn a_page_that_cannot_be_written_leaves_the_one_before() {
    let program = program();
    let page = program.path("page.html");
    let report = [&JUNE[..], &["--html", page.to_str().expect("UTF-8")]].concat();
    std::fs::write(&page, "the page before").expect("a page");
    // Where it would be written first, nothing can be.
    std::fs::create_dir(program.path("page.html.partial")).expect("a folder");
    let failed = program.run(&report);
    assert!(failed.code == 1 && failed.err.contains("page.html"), "{failed:?}");
    assert_eq!(std::fs::read_to_string(&page).expect("a page"), "the page before");
    std::fs::remove_dir(program.path("page.html.partial")).expect("it goes");
    assert_eq!(program.run(&report).code, 0);
    assert!(std::fs::read_to_string(&page).expect("a page").starts_with("<!DOCTYPE html>"));
}

#[test]
fn a_page_takes_the_place_of_a_link_and_follows_none() {
    let program = program();
    let (page, other) = (program.path("page.html"), program.path("other"));
    let report = [&JUNE[..], &["--html", page.to_str().expect("UTF-8")]].concat();
    std::fs::write(&other, "somebody else's").expect("a file");
    for target in [&other, &program.path("nowhere")] {
        std::os::unix::fs::symlink(target, &page).expect("a link");
        assert_eq!(program.run(&report).code, 0);
        assert!(std::fs::symlink_metadata(&page).expect("a page").is_file(), "{target:?}");
        std::fs::remove_file(&page).expect("it goes");
    }
    assert_eq!(std::fs::read_to_string(&other).expect("a file"), "somebody else's");
    assert!(!program.path("nowhere").exists());
    // What stands for an open file is no name that another file may take.
    let mut to_open_file = program.command(&[&JUNE[..], &["--html", "/dev/fd/1"]].concat());
    to_open_file.stdout(std::fs::File::create(&page).expect("a file"));
    assert_eq!(done(to_open_file).code, 0);
}

#[test]
fn a_page_with_the_ids_of_viewers_is_for_its_owner_alone() {
    let program = program();
    for by in ["mvpd_user_id", "visitor_id"] {
        let page = program.path(&format!("{by}.html"));
        let report =
            [&JUNE[..], &["--by", "mvpd", "--by", by, "--html", page.to_str().expect("UTF-8")]].concat();
        assert_eq!(program.run(&report).code, 0);
        let mode = std::fs::metadata(&page).expect("a page").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{by}");
    }
}

#[test]
fn many_mvpds_stay_within_a_hundred_characters_and_every_block_has_the_total() {
    let program = Program::new();
    let lines: String = (0..23)
        .map(|number| {
            format!(
                "{{\"occurred_at\":\"2026-03-02T00:00:00Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\
                 \"count\":{},\"mvpd\":\"A cable company with a long name {number}\"}}\n",
                number + 1
            )
        })
        .collect();
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let text = program.run(&["report", "--period", "2026-03"]).out;
    let plays = text.lines().filter(|line| line.contains("Successful Play Requests"));
    let totals: Vec<&str> = plays.clone().filter_map(|line| line.split_whitespace().last()).collect();
    // Twelve of them, the other eleven together, and the total at the end of each of the four blocks.
    assert_eq!(totals, ["276"; 4]);
    assert!(text.contains("11 others") && text.contains("23 MVPDs, the largest first"), "{text}");
    assert!(plays.clone().next().expect("a block").contains(" 23 "), "the most played come first");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn rows_are_printed_with_their_values_and_a_total() {
    let program = program();
    let text = program
        .run(&[&JUNE[..], &["--by", "requestor", "--by", "mvpd", "--requestor", "REF30"]].concat())
        .out;
    assert!(
        text.contains("of REF30 only") && text.contains("requestor_id") && text.contains("TOTAL"),
        "{text}"
    );
    assert!(!text.contains("REF40"), "{text}");
    let csv = program.run(&[&JUNE[..], &["--by", "day", "--csv"]].concat()).out;
    assert!(csv.starts_with("from,to,timezone,scope,day,") && csv.contains(",row,2025-06-02,"), "{csv}");
}

#[test]
fn a_wrong_question_is_answered_with_what_to_ask() {
    let program = program();
    for (args, expected) in [
        (vec!["--period", "march"], "\"march\" is no period: write 2026, 2026-03"),
        (vec!["--from", "2026-03-02", "--to", "2026-03-01"], "which is not after"),
        (vec!["--from", "2026-03-02T00:00:01Z"], "is not on a quarter of an hour"),
        (vec!["--to", "2026-03-02"], "--from"),
        (vec!["--by", "mvpds"], "the nearest is \"mvpd\""),
        (vec!["--by", "device_id"], "is no property that is reported"),
        (vec!["--by", "authn_ok"], "every row has the units of every event"),
        (vec!["--timezone", "Mars/Olympus"], "is no IANA time zone"),
        (vec!["--requestor", "REF31"], "name one of which events were: REF30, REF40, REF50"),
        (vec!["--period", "2025-06", "--from", "2025-06-01"], "cannot be used with"),
        (vec!["--csv", "--json"], "cannot be used with"),
    ] {
        let done = program.run(&[&["report"], args.as_slice()].concat());
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
        assert!(done.err.contains(expected), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_period_without_an_event_says_where_there_are_some() {
    let program = program();
    let done = program.run(&["report", "--period", "2024-02"]);
    assert_eq!(done.code, 0);
    assert!(done.out.contains("The buffer has events from 2025-06-02T10:00:00-07:00 to "), "{}", done.out);
    assert!(Program::new().run(&["report"]).out.contains("no event was ever stored in this buffer"));
}
