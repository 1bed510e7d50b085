//! The night on which the clock goes back, names that stand twice, and reports as large as they may be.

use serde_json::Value;

use super::{pulling, set, units};
use crate::fixture;
use crate::program::{Program, done};
use passbridge::sandbox::{Sandbox, SandboxOptions};

const FORMS: [&str; 3] = ["csv", "json", "xml"];

/// A report of these rows, the first of which has the names, in one of the three forms.
fn report(form: &str, rows: &[&str]) -> String {
    let names: Vec<&str> = rows[0].split(',').collect();
    let records = || rows[1..].iter().map(|row| names.iter().copied().zip(row.split(',')));
    let joined =
        |record: &mut dyn Iterator<Item = (&str, &str)>, between: &str, pair: fn(&str, &str) -> String| {
            record.map(|(name, value)| pair(name, value)).collect::<Vec<_>>().join(between)
        };
    match form {
        "csv" => rows.join("\n") + "\n",
        "json" => {
            let each = records().map(|mut record| {
                format!("{{{}}}", joined(&mut record, ",", |name, value| format!("\"{name}\":\"{value}\"")))
            });
            format!("{{\"report\":[{}]}}", each.collect::<Vec<_>>().join(",\n"))
        }
        _ => {
            let each = records().map(|mut record| {
                format!(
                    "<record {}/>\n",
                    joined(&mut record, " ", |name, value| format!("{name}=\"{value}\""))
                )
            });
            format!("<resource href=\"x\"><report>\n{}</report></resource>", each.collect::<String>())
        }
    }
}

/// Reads a report by its file or from standard input; the exit status, and what was said.
fn read(program: &Program, form: &str, door: &str, rows: &[&str]) -> (i32, String) {
    let name = format!("report.{form}");
    program.write(&name, &report(form, rows));
    let path = program.path(&name);
    let read = match door {
        "file" => program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]),
        _ => {
            let mut command = program.command(&["ingest", "--format", "esm", "-"]);
            command.stdin(std::fs::File::open(&path).expect("a report"));
            done(command)
        }
    };
    (read.code, read.err)
}

/// What is counted by hour: the UTC hour and the units.
fn hours(program: &Program) -> Vec<(String, u64)> {
    let args = ["report", "--period", "2026-11-01", "--by", "hour", "--timezone", "UTC"];
    let (_, document) = program.json(&args);
    let rows = document["rows"].as_array().expect("rows").iter();
    rows.map(|row| {
        let units = row["events"].as_array().expect("events").iter().filter_map(Value::as_u64).sum();
        (row["key"][0].as_str().expect("an hour")[11..13].to_owned(), units)
    })
    .collect()
}

const HOUR: &str = "year,month,day,hour,requestor-id,mvpd,authn-attempts";
const NIGHT: [&str; 5] = [
    HOUR,
    "2026,11,1,0,REF30,M,1",
    "2026,11,1,1,REF30,M,5",
    "2026,11,1,1,REF30,M,7",
    "2026,11,1,2,REF30,M,2",
];

/// The four hours of [`NIGHT`]: 1 o'clock in summer time is 8 o'clock UTC, in winter time it is 9.
fn night() -> Vec<(String, u64)> {
    [("07", 1), ("08", 5), ("09", 7), ("10", 2)].map(|(hour, units)| (hour.to_owned(), units)).into()
}

#[test]
fn both_hours_of_the_night_stay_what_they_are_in_any_order_and_part() {
    let backwards: Vec<&str> = [HOUR].into_iter().chain(NIGHT[1..].iter().rev().copied()).collect();
    let parts: [&[&str]; 5] = [
        &NIGHT,
        &backwards,
        &[HOUR, NIGHT[2], NIGHT[3]],
        &[HOUR, NIGHT[3]],
        &[HOUR, NIGHT[1], NIGHT[2], NIGHT[4]],
    ];
    for (first, form) in [&NIGHT[..], &backwards].into_iter().zip(["csv", "xml"]) {
        let program = Program::new();
        assert_eq!(read(&program, form, "file", first).0, 0);
        assert_eq!(hours(&program), night());
        for (form, door) in FORMS.iter().flat_map(|form| [(form, "file"), (form, "stdin")]) {
            for part in parts {
                let (code, said) = read(&program, form, door, part);
                assert_eq!((code, units(&program)), (0, 15), "{form} {door} {part:?}: {said}");
            }
        }
        assert_eq!(hours(&program), night());
    }
}

#[test]
fn an_mvpd_with_one_record_behind_a_pair_of_another_is_held_back_where_the_order_may_be_by_mvpd() {
    let row = |mvpd: &str, count: u32| format!("2026,11,1,1,REF30,{mvpd},{count}");
    let [a5, a7, b50, b3, c9] = [row("A", 5), row("A", 7), row("B", 50), row("B", 3), row("C", 9)];
    for (rows, code, counted) in [
        (vec![&a5, &a7, &b50], 3, 15),
        (vec![&b50, &a5, &a7], 3, 15),
        (vec![&a5, &b50, &a7], 3, 15),
        (vec![&a5, &b50, &a7, &b3, &c9], 0, 77),
    ] {
        for backwards in [false, true] {
            let program = Program::new();
            let inside = rows.iter().map(|row| row.as_str());
            let mut all: Vec<&str> = [NIGHT[1]].into_iter().chain(inside).chain([NIGHT[4]]).collect();
            if backwards {
                all.reverse();
            }
            all.insert(0, HOUR);
            let (found, said) = read(&program, "csv", "file", &all);
            assert_eq!((found, units(&program)), (code, counted), "{all:?}: {said}");
            assert_eq!(said.contains("shows twice that night"), code == 3, "{said}");
        }
    }
}

#[test]
fn an_hour_that_may_be_either_is_held_back_until_its_report_says_which() {
    for form in FORMS {
        for door in ["file", "stdin"] {
            let program = Program::new();
            let (code, said) = read(&program, form, door, &[HOUR, NIGHT[1], NIGHT[3], NIGHT[4]]);
            assert_eq!((code, units(&program)), (3, 3), "{form}: {said}");
            assert!(said.contains("shows twice that night") && said.contains("utc-offset"), "{said}");
            // With its offset it is the second, and the first comes from a report that has both.
            let told = [
                "year,month,day,hour,utc-offset,requestor-id,mvpd,authn-attempts",
                "2026,11,1,1,-08:00,REF30,M,7",
            ];
            assert_eq!(read(&program, form, door, &told).0, 0);
            assert_eq!(read(&program, form, door, &NIGHT).0, 0);
            assert_eq!(hours(&program), night());
            // A column of offsets without a value is no offset, and a total of zero tells no hour of its accounts.
            let blank = [told[0], "2026,11,1,0,-07:00,REF30,M,1", "2026,11,1,1,,REF30,M,9"];
            let (code, said) = read(&program, form, door, &blank);
            assert!(code == 3 && said.contains("shows twice that night"), "{form} {code} {said}");
            let accounts = [
                "year,month,day,hour,requestor-id,mvpd,authn-attempts,unique-accounts",
                "2026,11,1,1,REF30,N,0,4",
            ];
            let (code, said) = read(&program, form, door, &accounts);
            assert!(code == 3 && said.contains("shows twice that night"), "{form} {code} {said}");
            assert_eq!(hours(&program), night());
            let wrong = [told[0], "2026,11,1,1,-05:00,REF30,M,7"];
            assert!(read(&program, form, door, &wrong).1.contains("a utc-offset that the clock"), "{form}");
        }
    }
}

#[test]
fn minutes_of_the_night_are_told_apart_where_the_time_falls() {
    let head = "year,month,day,hour,minute,requestor-id,mvpd,authn-attempts";
    let by_time = [
        head,
        "2026,11,1,0,50,REF30,M,1",
        "2026,11,1,1,10,REF30,M,2",
        "2026,11,1,1,45,REF30,N,3",
        "2026,11,1,1,5,REF30,M,4",
        "2026,11,1,1,45,REF30,M,5",
        "2026,11,1,2,0,REF30,M,6",
    ];
    let backwards: Vec<&str> = [head].into_iter().chain(by_time[1..].iter().rev().copied()).collect();
    let by_mvpd: Vec<&str> =
        [0, 1, 2, 4, 5, 6].map(|row| by_time[row]).into_iter().chain([by_time[3]]).collect();
    let expected = |second: u64| {
        [("07", 1), ("08", second), ("09", 9), ("10", 6)]
            .map(|(hour, units)| (hour.to_owned(), units))
            .to_vec()
    };
    for form in FORMS {
        for (rows, code, first) in [(&by_time[..], 0, 5), (&backwards, 0, 5), (&by_mvpd, 3, 2)] {
            let program = Program::new();
            let (found, said) = read(&program, form, "file", rows);
            // Of N alone nothing says whether its 1:45 is the first or the second.
            assert_eq!((found, hours(&program)), (code, expected(first)), "{form} {rows:?}: {said}");
            assert_eq!(read(&program, form, "stdin", rows).0, code);
            assert_eq!(hours(&program), expected(first), "again");
        }
    }
}

#[test]
fn rows_in_no_order_do_not_say_which_hour_is_the_first() {
    // Another MVPD has the hours before and after, in whatever order.
    let n = [
        "2026,11,1,3,REF30,N,10",
        "2026,11,1,0,REF30,N,20",
        "2026,11,1,4,REF30,N,30",
        "2026,11,1,2,REF30,N,40",
    ];
    let two = [HOUR, NIGHT[3], NIGHT[2]];
    let shuffled = [HOUR, n[0], NIGHT[4], n[1], NIGHT[3], n[2], NIGHT[1], NIGHT[2], n[3]];
    // By MVPD, so that the times of M are in order, though those of the report are not.
    let by_mvpd = [HOUR, n[1], n[3], n[0], n[2], NIGHT[1], NIGHT[2], NIGHT[3], NIGHT[4]];
    for form in FORMS {
        for (rows, code, before) in [(&two[..], 3, 0), (&shuffled, 3, 103), (&by_mvpd, 0, 115)] {
            let program = Program::new();
            let (found, said) = read(&program, form, "file", rows);
            assert_eq!((found, units(&program)), (code, before), "{form} {rows:?}: {said}");
            assert_eq!(said.contains("shows twice that night"), code == 3, "{form} {rows:?}: {said}");
            assert_eq!(read(&program, form, "stdin", &NIGHT).0, 0);
            assert_eq!(hours(&program)[1..3], night()[1..3], "{form} {rows:?}");
        }
    }
    let program = Program::new();
    assert_eq!(read(&program, "csv", "file", &NIGHT).0, 0);
    let corrected = [HOUR, NIGHT[1], NIGHT[2], "2026,11,1,1,REF30,M,8", NIGHT[4]];
    assert_eq!(read(&program, "csv", "file", &corrected).0, 0);
    assert_eq!(units(&program), 16);
}

#[test]
fn a_report_of_more_records_than_memory_is_meant_for_is_refused() {
    let program = Program::new();
    let rows = |form: &str, count: usize| match form {
        "csv" => format!("year,month\n{}", "1,1\n".repeat(count)),
        "json" => format!("{{\"report\":[{}{{\"year\":1}}]}}", "{\"year\":1},\n".repeat(count - 1)),
        _ => format!("<resource>{}</resource>", "<record year=\"1\"/>\n".repeat(count)),
    };
    for form in FORMS {
        let name = format!("report.{form}");
        program.write(&name, &rows(form, 1_000_002));
        let path = program.path(&name);
        let args = ["ingest", "--dry-run", "--format", "esm", path.to_str().expect("UTF-8")];
        let (code, peak) = peak_mib(&program, &args);
        assert!(code != 0 && peak < 300, "{form}: {code}, {peak} MiB");
        let done = program.run(&args);
        assert!(done.err.contains("at most 1000000 records: fetch it in parts"), "{form}: {done:?}");
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_with_both_places_and_nothing_is_counted() {
    let csv = std::fs::read_to_string(fixture::path("esm/named-twice.csv")).expect("a report");
    let rows: Vec<&str> = csv.lines().collect();
    let also = [
        rows[0].replace("authn-attempts,authn-attempts", "authn-attempts,AuthN Attempts"),
        rows[1].to_owned(),
    ];
    for (form, place) in [("csv", "column"), ("json", "member"), ("xml", "attribute")] {
        for door in ["file", "stdin"] {
            let mut all = vec![rows.clone()];
            if form != "xml" {
                all.push(also.iter().map(String::as_str).collect());
            }
            for rows in all {
                let program = Program::new();
                let (code, said) = read(&program, form, door, &rows);
                let places = format!("\"authn-attempts\" twice: {place} 7 and {place} 8");
                assert!(code == 1 && said.contains(&places), "{form} {door}: {code} {said}");
                assert_eq!(units(&program), 0);
                let name = format!("report.{form}");
                let path = program.path(&name);
                let args =
                    ["reconcile", "--no-analytics", "--from", "2026-11-20", "--to", "2026-11-20", "--esm"];
                let compared = program.run(&[&args[..], &[path.to_str().expect("UTF-8")]].concat());
                assert!(compared.code != 0, "{compared:?}");
            }
        }
    }
}

#[test]
fn what_a_spreadsheet_leaves_around_a_report_is_passed_over() {
    let program = Program::new();
    program.write("report.csv", &format!("\u{feff}sep=,\r\n{}\r\n,,,,,,\r\n", NIGHT.join("\r\n")));
    assert_eq!(program.run(&["ingest", program.path("report.csv").to_str().expect("UTF-8")]).code, 0);
    assert_eq!(hours(&program), night());
}

#[test]
fn the_night_is_pulled_with_both_hours_and_pulled_again_without_a_count() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    let span = ["pull", "esm", "--from", "2026-11-01", "--to", "2026-11-02"];
    let (_, document) = program.json(&span);
    let before = units(&program);
    assert!(document["total"]["stored"].as_u64().is_some_and(|stored| stored > 0), "{document}");
    set(&sandbox, &serde_json::json!({}));
    assert_eq!(program.json(&span).1["total"]["stored"], 0);
    assert_eq!(units(&program), before);
}

/// The most memory that a child of this shell had, in MiB.
fn peak_mib(program: &Program, args: &[&str]) -> (i32, u64) {
    let mut command = program.command(args);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0) >> 10);
        }
        if let Some(status) = child.try_wait().expect("a child") {
            return (status.code().expect("it exits by itself"), peak);
        }
    }
}

#[test]
fn a_dry_run_of_a_report_with_many_counts_takes_no_more_memory_than_its_documentation_says() {
    let metrics = "authn-attempts,authn-pending,authn-successful,authz-attempts,authz-successful,authz-failed,media-tokens,authn-failed";
    let mut text = format!("year,month,day,hour,requestor-id,mvpd,resource-id,{metrics}\n");
    for row in 0..40_000 {
        let (day, hour) = (1 + row / 24 % 28, row % 24);
        text.push_str(&format!(
            "2026,10,{day},{hour},REF30,mvpd{},a resource of the report {row:040},11,12,13,14,15,16,17,18\n",
            row % 50
        ));
    }
    let program = Program::new();
    program.write("report.csv", &text);
    let path = program.path("report.csv");
    let path = path.to_str().expect("UTF-8");
    let (code, peak) = peak_mib(&program, &["ingest", "--dry-run", "--json", "--format", "esm", path]);
    let size = text.len() as u64 >> 20;
    // Six times its size, and what the program has without it.
    assert!(code == 0 && peak <= 6 * size + 30, "{code}: {peak} MiB for {size} MiB");
}

#[test]
fn a_report_of_twenty_megabytes_takes_little_more_memory_than_its_documentation_says() {
    let head = "year,month,day,hour,requestor-id,proxy,mvpd,authn-attempts,unique-accounts,authz-latency";
    let rows: Vec<String> = (0..100_000)
        .map(|row| {
            let (day, hour) = (1 + row / 24 % 28, row % 24);
            format!("2026,10,{day},{hour},REF{},Direct,{row:0150},1,1,1", row % 12)
        })
        .collect();
    let all: Vec<&str> = [head].into_iter().chain(rows.iter().map(String::as_str)).collect();
    for form in FORMS {
        let program = Program::new();
        let text = report(form, &all);
        let name = format!("report.{form}");
        program.write(&name, &text);
        let path = program.path(&name);
        let path = path.to_str().expect("UTF-8");
        if form == "csv" {
            let dry = program.run(&["ingest", "--dry-run", "--format", "esm", path]);
            assert_eq!(dry.out.lines().count(), rows.len(), "every record is read");
        }
        let (code, peak) = peak_mib(&program, &["ingest", "--format", "esm", path]);
        let size = (text.len() >> 20) as u64;
        assert!(code == 0 && size >= 15, "{form}: {code}, {size} MiB");
        // Six times its size, and what the program has without it: 64 MiB are the cache of the buffer's database.
        assert!(peak <= 6 * size + 64 + 30, "{form}: {peak} MiB for {size} MiB");
    }
}
