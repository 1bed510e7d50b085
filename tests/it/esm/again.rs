//! The same hour again, under other names, other spellings or another clock: refused or told, and never counted twice in silence.

use super::{ingest, units};
use crate::program::Program;
use serde_json::{Value, json};

/// A report of records; each names requestor, media company, proxy, MVPD, platform, and 50 attempts.
fn report(records: &[[&str; 5]]) -> String {
    let record = |[requestor, company, proxy, mvpd, platform]: &[&str; 5]| {
        json!({"year": 2026, "month": 11, "day": 10, "hour": 8, "requestor-id": requestor, "media-company": company,
               "proxy": proxy, "mvpd": mvpd, "platform": platform, "authn-attempts": 50})
    };
    json!({"report": records.iter().map(record).collect::<Vec<_>>()}).to_string()
}

/// What `ingest` says of a report, with its status.
fn say(program: &Program, text: &str) -> (i32, String) {
    program.write("report.json", text);
    let done = program.run(&["ingest", program.path("report.json").to_str().expect("UTF-8")]);
    (done.code, done.err)
}

const FIRST: [&str; 5] = ["REF30", "MC", "Direct", "Cable & Co", "iOS"];

/// The first record with another name at one place.
fn with(place: usize, name: &'static str) -> [&'static str; 5] {
    let mut record = FIRST;
    record[place] = name;
    record
}

#[test]
fn an_hour_that_comes_again_in_another_spelling_is_refused_until_the_first_is_taken_back() {
    let program = Program::new();
    assert_eq!(say(&program, &report(&[FIRST])).0, 0);
    for (record, told) in [
        (with(0, "ref30"), "has requestor-id \"ref30\", and was counted with \"REF30\""),
        (with(1, "mc "), "has media-company \"mc\", and was counted with \"MC\""),
        (with(1, "m\u{a0}c"), "and was counted with \"MC\""),
        (with(2, "direct"), "has proxy \"direct\", and was counted with \"Direct\""),
        (with(3, "CABLE & CO"), "and was counted with \"Cable & Co\""),
        (with(3, "Cable &amp; Co"), "and was counted with \"Cable & Co\""),
        (with(4, "ios"), "has platform \"ios\", and was counted with \"iOS\""),
    ] {
        let (code, said) = say(&program, &report(&[record]));
        assert!(code == 3 && said.contains(told) && said.contains("pending take-back"), "{record:?}: {said}");
        assert!(!said.contains("no longer in the report"), "{record:?}: {said}");
        assert_eq!(units(&program), 50, "{record:?}");
    }
    // Other letters, written in one form or the other.
    let accented =
        |mvpd| report(&[["REF30", "MC", "Direct", mvpd, "tvOS"]]).replace("\"hour\":8", "\"hour\":9");
    assert_eq!(say(&program, &accented("T\u{e9}l\u{e9}")).0, 0);
    let (code, said) = say(&program, &accented("Te\u{301}le\u{301}"));
    assert!(code == 3 && said.contains("and was counted with"), "{said}");
    assert_eq!(units(&program), 100);
    assert_eq!(program.run(&["pending", "take-back", "--requestor", "REF30", "--yes"]).code, 0);
    assert_eq!(say(&program, &report(&[with(2, "direct")])), (0, String::new()));
    assert_eq!(units(&program), 50);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn a_counted_record_that_a_later_report_of_its_hour_has_under_another_name_is_told() {
    let program = Program::new();
    assert_eq!(say(&program, &report(&[FIRST, with(4, "tvOS")])).0, 0);
    // The same again, with another MVPD beside it, tells nothing.
    let again = report(&[FIRST, with(4, "tvOS"), with(3, "N")]);
    assert_eq!(say(&program, &again), (0, String::new()));
    for (place, name, told) in
        [(1, "MC Group", "media-company"), (2, "Hub", "proxy"), (4, "Roku", "platform")]
    {
        let (code, said) = say(&program, &report(&[with(place, name), with(3, "N")]));
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("no longer in the report, or not with all their records"), "{said}");
        assert!(
            said.contains("first Cable & Co of REF30 in the hour 2026-11-10T16:00:00Z, with another "),
            "{said}"
        );
        assert!(said.contains(told) && said.contains("take this input back"), "{said}");
    }
    // A report that lacks a column of the earlier one lacks no record.
    let columns = |rows: &str| format!("year,month,day,hour,requestor-id,mvpd,{rows}\n");
    assert_eq!(ingest(&program, &columns("authn-attempts,media-tokens\n2026,11,10,9,REF30,M,5,7")).0, 0);
    let document = ingest(&program, &columns("authn-attempts\n2026,11,10,9,REF30,M,6")).1;
    assert_eq!(document["esm"]["vanished"], 0, "{document}");
}

#[test]
fn records_of_one_report_that_differ_in_spelling_alone_are_told_with_both_places() {
    for (other, told) in [
        (with(0, "ref30"), "first requestor-id \"ref30\" beside \"REF30\" in record (in CSV: line) 1"),
        (with(2, "direct"), "first proxy \"direct\" beside \"Direct\" in record (in CSV: line) 1"),
        (with(3, "CABLE&CO"), "first mvpd \"CABLE&CO\" beside \"Cable & Co\" in record (in CSV: line) 1"),
    ] {
        let program = Program::new();
        let text = report(&[FIRST, with(4, "tvOS"), other]);
        let (code, said) = say(&program, &text);
        assert!(
            code == 0 && said.contains("report.json:3: 1 records differ") && said.contains(told),
            "{said}"
        );
        let again: Value = ingest(&program, &text).1;
        assert_eq!(
            (units(&program), &again["esm"]["alike"], &again["total"]["stored"]),
            (150, &json!(1), &json!(0))
        );
    }
}

#[test]
fn a_report_that_is_read_again_on_another_clock_is_refused_until_the_first_is_taken_back() {
    let hours = |hours: &[u32]| {
        let rows: String = hours.iter().map(|hour| format!("2026,11,10,{hour},REF30,M,5\n")).collect();
        format!("year,month,day,hour,requestor-id,mvpd,authn-attempts\n{rows}")
    };
    let read = |program: &Program, which: &[u32]| {
        program.write("report.csv", &hours(which));
        let done = program.run(&["ingest", program.path("report.csv").to_str().expect("UTF-8")]);
        (done.code, done.err)
    };
    let program = Program::new();
    assert_eq!(read(&program, &[7, 8, 15, 16]).0, 0);
    // In winter these two are one clock.
    program.write("c.toml", "[esm]\ntimezone = \"Etc/GMT+8\"\n");
    assert_eq!(read(&program, &[7, 8, 15, 16]), (0, String::new()));
    program.write("c.toml", "[esm]\ntimezone = \"UTC\"\n");
    // Both the hours that were counted elsewhere and those in which others were counted are refused.
    for which in [&[7, 8, 15, 16][..], &[16, 15, 8, 7]] {
        let (code, said) = read(&program, which);
        assert!(code == 3 && said.contains("would be counted on the clock of UTC"), "{said}");
        assert!(
            said.contains("was counted on that of America/Los_Angeles") && said.contains("pending take-back")
        );
        assert_eq!(units(&program), 20);
    }
    // What is new is counted.
    assert_eq!((read(&program, &[9]).0, units(&program)), (0, 25));
    assert_eq!(program.run(&["pending", "take-back", "--requestor", "REF30", "--yes"]).code, 0);
    assert_eq!((read(&program, &[16, 15, 8, 7]), units(&program)), ((0, String::new()), 20));
    assert_eq!((read(&program, &[7, 8, 15, 16]), units(&program)), ((0, String::new()), 20));
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn events_and_reports_of_one_requestor_are_not_mixed_in_other_capitals() {
    let program = Program::new();
    let event = |requestor: &str| {
        format!(
            "{{\"occurred_at\":\"2026-11-10T16:30:00Z\",\"event\":\"authn_ok\",\"requestor_id\":\"{requestor}\"}}\n"
        )
    };
    let read = |requestor: &str| {
        program.write("one.ndjson", &event(requestor));
        let done = program.run(&["ingest", program.path("one.ndjson").to_str().expect("UTF-8")]);
        (done.code, done.err)
    };
    assert_eq!(read("REF40"), (0, String::new()));
    assert_eq!(say(&program, &report(&[FIRST])).0, 0);
    let (code, said) = say(&program, &report(&[with(0, "Ref40")]));
    assert!(
        code == 3 && said.contains("is of requestor \"Ref40\" (spelled \"REF40\" before), whose events"),
        "{said}"
    );
    let (code, said) = read("ref30");
    assert!(
        code == 3 && said.contains("is of requestor \"ref30\" (spelled \"REF30\" before), whose counts"),
        "{said}"
    );
    assert_eq!(units(&program), 51);
    // One feed of both spellings is taken, and Analytics shows both as one.
    assert_eq!(read("ref40"), (0, String::new()));
    let add = |id: &str, rsid: &str| {
        let host = ["--collection-url", "http://127.0.0.1:1"];
        program.run(&[&["suite", "add", "--requestor", id, "--rsid", rsid], &host[..]].concat())
    };
    assert_eq!(add("REF30", "one").err, "");
    let done = add("ref30", "two");
    assert!(done.code == 0 && done.err.contains("\"ref30\" is spelled \"REF30\" elsewhere"), "{done:?}");
}

#[test]
fn a_plan_of_a_report_says_what_its_run_will_store() {
    let program = Program::new();
    program.suite("http://127.0.0.1:1");
    let of = |attempts: u32| report(&[FIRST]).replace("50", &attempts.to_string());
    assert_eq!(say(&program, &of(50)).0, 0);
    for attempts in [65, 70, 60] {
        program.write(&format!("{attempts}.json"), &of(attempts));
    }
    let plan = |name: &str, files: &[&str]| {
        let paths: Vec<String> =
            files.iter().map(|file| program.path(file).to_str().expect("UTF-8").to_owned()).collect();
        let mut args = vec!["backfill", "plan", name];
        args.extend(paths.iter().map(String::as_str));
        program.json(&args).1["total"]["units"].clone()
    };
    assert_eq!(plan("one", &["60.json"]), 10);
    assert_eq!(plan("all", &["65.json", "70.json", "60.json"]), 20);
    assert_eq!(units(&program), 50);
}

#[test]
fn a_record_of_a_report_is_called_so_where_events_are_read_and_rejects_keep_none_to_mend() {
    let program = Program::new();
    let bad = report(&[FIRST]).replace("50", "\"1,234\"");
    program.write("report.json", &bad);
    assert_eq!(program.run(&["ingest", program.path("report.json").to_str().expect("UTF-8")]).code, 3);
    let mut kept = std::fs::read_dir(program.path("rejects")).expect("rejects");
    let rejects = std::fs::read_to_string(kept.next().expect("one").expect("a file").path()).expect("UTF-8");
    assert!(!rejects.contains("authn-attempts\\\":") && rejects.contains("\"text\":\"\""), "{rejects}");
    program.write("again.ndjson", &rejects);
    let done = program.run(&["ingest", program.path("again.ndjson").to_str().expect("UTF-8")]);
    assert!(done.code == 3 && done.err.contains("was kept without its text"), "{done:?}");
    let record = json!({"year": 2026, "month": 11, "day": 10, "hour": 8, "requestor-id": "REF30", "mvpd": "A",
                        "authn-attempts": 40});
    for (name, text) in
        [("r.ndjson", format!("{record}\n{record}\n")), ("l.json", json!([record]).to_string())]
    {
        program.write(name, &text);
        let done = program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]);
        assert!(done.code == 3 && done.err.contains("is a record of an ESM report"), "{done:?}");
    }
    assert_eq!(units(&program), 0);
}

#[test]
fn letters_of_a_report_are_read_as_meant_or_refused() {
    let xml = |declared: &str, mvpd: &[u8]| {
        let start = format!(
            "<?xml version=\"1.0\"{declared}?><resource><report><record year=\"2026\" month=\"11\" day=\"10\" hour=\"8\" \
             requestor-id=\"REF30\" authn-attempts=\"5\" mvpd=\""
        );
        [start.as_bytes(), mvpd, b"\"/></report></resource>"].concat()
    };
    let csv = |mvpd: &str| {
        format!("year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,\"{mvpd}\",5\n")
            .into_bytes()
    };
    let latin = " encoding=\"ISO-8859-1\"";
    let control = "with a control character";
    for (name, text, code, told) in [
        ("r.xml", xml("", b"A&#1;B"), 3, control),
        ("r.xml", xml("", b"A&#10;B"), 3, control),
        ("r.csv", csv("A\nB"), 3, control),
        ("r.json", report(&[with(3, "A\nB")]).into_bytes(), 3, control),
        ("r.xml", xml(latin, b"T\xe9l\xe9"), 1, "iconv -f ISO-8859-1 -t UTF-8"),
        ("r.xml", xml(latin, "T\u{e9}l".as_bytes()), 1, "iconv -f ISO-8859-1 -t UTF-8"),
        ("r.xml", xml("", b"T\xe9l\xe9"), 1, "it is not UTF-8: convert it"),
        ("r.xml", xml(latin, b"Cableco"), 0, ""),
        ("r.xml", xml(" encoding='utf-8'", "T\u{e9}l".as_bytes()), 0, ""),
        ("r.xml", xml("", b"A\nB\tC"), 0, ""),
    ] {
        let program = Program::new();
        std::fs::write(program.path(name), &text).expect("a report");
        let done = program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]);
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.err.contains(told) && done.err.is_empty() == told.is_empty(), "{done:?}");
        assert_eq!(units(&program), if code == 0 { 5 } else { 0 }, "{done:?}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_of_a_report_is_named() {
    let program = Program::new();
    let other = report(&[FIRST]).replace("50", "52");
    let (code, said) = say(&program, &[report(&[FIRST]), other].join("\n"));
    assert!(code == 1 && said.contains("two fetches of one hour stand in one file"), "{said}");
    let linked = |page: &str| report(&[FIRST]).replacen('{', &format!("{{\"_links\":{{{page}}},"), 1);
    let next = "\"next\":{\"href\":\"/esm/v3/x?page=2\"}";
    let (code, said) = say(&program, &linked(next));
    assert!(code == 0 && said.contains("names a next page"), "{said}");
    // The last page of a file has no next one.
    let pages = [linked(next), linked("").replace("\"hour\":8", "\"hour\":9")].join("\n");
    assert_eq!(say(&program, &pages), (0, String::new()));
    let done = program.run(&["ingest", program.path("report.json").to_str().expect("UTF-8")]);
    assert!(done.out.contains("nothing in 2 records is more than was counted before"), "{done:?}");
}
