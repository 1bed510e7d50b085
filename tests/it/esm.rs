//! Reports of Entitlement Service Monitoring, from files and from the sandbox: each count once, corrections told, no mixing.

mod again;
mod night;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use passbridge::buffer::{Batch, BufferError, Feed, JobKey, MemoryRow};
use passbridge::readers::memory::MemoryKey;
use passbridge::sandbox::{Handle, Sandbox, SandboxOptions};
use serde_json::{Value, json};

use crate::fixture;
use crate::program::{Program, done};
use crate::support::House;

/// A report of one hour with one record.
fn report(hour: &str, metrics: &Value) -> String {
    let mut record = json!({"year": "2026", "month": "11", "day": "10", "hour": hour, "requestor-id": "REF30", "mvpd": "M"});
    for (name, value) in metrics.as_object().expect("metrics") {
        record[name] = value.clone();
    }
    json!({"_links": {"self": {"href": "/esm/v3/x?limit=10000"}}, "report": [record]}).to_string()
}

fn ingest(program: &Program, text: &str) -> (i32, Value) {
    program.write("report.json", text);
    program.json(&["ingest", "--format", "esm", program.path("report.json").to_str().expect("UTF-8")])
}

/// The events that a report would give, as NDJSON objects.
fn events(program: &Program, arguments: &[&str]) -> Vec<Value> {
    let done = program.run(&[&["ingest", "--dry-run", "--why"], arguments].concat());
    assert_eq!(done.code, 0, "{done:?}");
    done.out.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect()
}

/// Units of each event in the account.
fn units(program: &Program) -> u64 {
    program.json(&["status"]).1["accounting"]["pending"]["units"].as_u64().expect("units")
}

#[test]
fn a_report_gives_the_same_events_in_every_form() {
    let program = Program::new();
    // The list has the number of the record, which in CSV has the lines above it.
    let told = |event: &Value, above: u64| {
        let keys = ["event", "occurred_at", "count", "requestor_id", "mvpd", "proxy"];
        let mut line: Value = keys
            .iter()
            .map(|key| ((*key).to_owned(), event[*key].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        line["line"] = json!(event["why"]["line"].as_u64().expect("a line") - above);
        line["count"] = json!(event["count"].as_u64().unwrap_or(1));
        line.to_string()
    };
    let list = std::fs::read_to_string(fixture::path("esm/hour.expected")).expect("a list");
    let expected: BTreeSet<String> =
        list.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON").to_string()).collect();
    let mut identities = BTreeSet::new();
    for form in ["hour.json", "hour.xml", "hour.csv"] {
        let path = fixture::path(&format!("esm/{form}"));
        let found = events(&program, &[path.to_str().expect("UTF-8")]);
        let above = u64::from(form == "hour.csv");
        let lines: BTreeSet<String> = found.iter().map(|event| told(event, above)).collect();
        assert_eq!(lines, expected, "{form}");
        identities.insert(found.iter().map(|event| event["event_id"].to_string()).collect::<BTreeSet<_>>());
    }
    assert_eq!(identities.len(), 1, "a count has one identity in all forms");
}

#[test]
fn a_count_is_counted_once_and_a_correction_by_its_increase() {
    let program = Program::new();
    let first = json!({"authz-attempts": "40", "media-tokens": "7", "unique-accounts": "5"});
    assert_eq!(ingest(&program, &report("8", &first)).1["total"]["stored"], 2);
    assert_eq!(units(&program), 47);
    let (code, again) = ingest(&program, &report("8", &first));
    assert_eq!((code, &again["total"]["stored"]), (0, &json!(0)), "{again}");
    let corrected = json!({"authz-attempts": "43", "media-tokens": "5", "unique-accounts": "6"});
    let (code, document) = ingest(&program, &report("8", &corrected));
    assert_eq!((code, &document["total"]["stored"]), (0, &json!(1)), "{document}");
    assert_eq!((&document["esm"]["decreases"], &document["esm"]["decreased_units"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&document["esm"]["skipped_metrics"], &document["esm"]["stated_accounts"]),
        (&json!({}), &json!(1))
    );
    assert_eq!(units(&program), 50);
    // What was 5 for a while and is 7 again was counted as 7 all the time.
    assert_eq!(ingest(&program, &report("8", &first)).1["total"]["stored"], 0);
    let done =
        program.run(&["ingest", "--format", "esm", program.path("report.json").to_str().expect("UTF-8")]);
    assert!(done.err.contains("lower than when they were read before, by 3 units"), "{}", done.err);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn what_a_later_report_of_an_hour_no_longer_has_is_told_and_stays_counted() {
    let program = Program::new();
    let rows = |rows: &[&str]| {
        let rows: String = rows.iter().map(|row| format!("2026,11,10,{row}\n")).collect();
        let report = format!("year,month,day,hour,requestor-id,mvpd,authn-attempts\n{rows}");
        program.write("report.csv", &report);
        let path = program.path("report.csv");
        let done = program.run(&["ingest", "--json", path.to_str().expect("UTF-8")]);
        assert_eq!(done.code, 0, "{done:?}");
        let document: Value = serde_json::from_str(&done.out).expect("JSON");
        let told = done.err.lines().filter(|it| it.contains("no longer")).collect::<Vec<_>>();
        (document["esm"]["vanished"].clone(), told.join("\n"))
    };
    let nothing = (json!(0), String::new());
    assert_eq!(rows(&["8,REF30,M,5", "8,REF30,N,3", "8,OTHER,N,1", "9,REF30,O,2", "9,REF30,P,0"]), nothing);
    for again in [
        &["8,REF30,M,5", "8,REF30,N ,3", "9,REF30,O,2"][..],
        &["8,REF30,M,6", "8,REF30,N,0"],
        &["10,REF30,M,5"],
        &["9,REF30,O,2"],
    ] {
        assert_eq!(rows(again), nothing, "{again:?}");
    }
    let (vanished, told) = rows(&["8,REF30,M,7", "9,REF30,P,1"]);
    assert_eq!(vanished, 1);
    assert!(told.contains("first N of REF30 in the hour 2026-11-10T16:00:00Z"), "{told}");
    assert_eq!(units(&program), 7 + 3 + 1 + 2 + 1 + 5);
    // What is spelt otherwise, with other numbers, is refused. An hour all of whose MVPDs have other names is told.
    assert!(told.contains("take this input back then"), "{told}");
    assert_eq!(rows(&["10,REF30,Emm,5"]).0, 1);
    // Another page of the hour has other MVPDs, too.
    assert_eq!(rows(&["10,REF30,Page2,1"]), nothing);
    assert_eq!(units(&program), 7 + 3 + 1 + 2 + 1 + 5 + 5 + 1);
    // A report by minute may have some minutes of the hour alone.
    let minutes = "year,month,day,hour,minute,requestor-id,mvpd,authn-attempts\n";
    for row in ["11,5,REF30,M,5", "11,6,REF30,N,5"] {
        let document = ingest(&program, &format!("{minutes}2026,11,10,{row}\n")).1;
        assert_eq!(document["esm"]["vanished"], 0, "{document}");
    }
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

/// A report of these rows in CSV, JSON and XML.
fn in_every_form(header: &str, rows: &[&str]) -> [(&'static str, String); 3] {
    let names: Vec<&str> = header.split(',').collect();
    let records: Vec<Vec<&str>> = rows.iter().map(|row| row.split(',').collect()).collect();
    let objects = records.iter().map(|record| {
        let pairs = names.iter().zip(record).map(|(name, value)| {
            ((*name).to_owned(), if value.is_empty() { Value::Null } else { json!(value) })
        });
        Value::Object(pairs.collect())
    });
    let tags: String = records
        .iter()
        .map(|record| {
            let pairs = names.iter().zip(record).map(|(name, value)| format!(" {name}=\"{value}\""));
            format!("<record{}/>", pairs.collect::<String>())
        })
        .collect();
    [
        ("report.csv", format!("{header}\n{}\n", rows.join("\n"))),
        ("report.json", json!({"_links": {}, "report": objects.collect::<Vec<_>>()}).to_string()),
        ("report.xml", format!("<resource href=\"/x\"><report>{tags}</report></resource>")),
    ]
}

#[test]
fn records_that_sum_up_others_are_rejected_and_those_of_nobody_known_are_counted() {
    let header = "year,month,day,hour,requestor-id,mvpd,platform,authn-attempts,authn-successful";
    let parts =
        ["2026,11,10,8,REF30,M,tv,30,4", "2026,11,10,8,REF30,N,tv,20,1", "2026,11,10,8,REF30,N,web,7,0"];
    for (more, sums, counted) in [
        (&["2026,11,10,8,REF30,,tv,50,5"][..], &["mvpd"][..], 0),
        (&["2026,11,10,8,REF30,,,57,5"], &["mvpd"], 0),
        (&["2026,11,10,8,REF30,NULL,,57,5", "2026,11,10,8,,,,57,5"], &["mvpd", "mvpd"], 0),
        // All of CUBE: by each alone, and in all.
        (
            &[
                "2026,11,10,8,REF30,M,,30,4",
                "2026,11,10,8,REF30,N,,27,1",
                "2026,11,10,8,REF30,,tv,50,5",
                "2026,11,10,8,REF30,,web,7,0",
                "2026,11,10,8,REF30,,,57,5",
            ],
            &["platform", "platform", "mvpd", "mvpd", "mvpd"],
            0,
        ),
        // Of an unknown MVPD, once beside others and once alone in its hour, and of another requestor.
        (&["2026,11,10,8,REF30,,tv,50,4", "2026,11,10,9,REF30,,tv,57,5"], &[], 54 + 62),
        (&["2026,11,10,8,OTHER,,tv,50,5"], &[], 55),
    ] {
        for (name, report) in in_every_form(header, &[&parts[..], more].concat()) {
            let program = Program::new();
            program.write(name, &report);
            let done = program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]);
            assert_eq!(done.code, if sums.is_empty() { 0 } else { 3 }, "{name} {more:?}: {done:?}");
            assert_eq!(units(&program), 62 + counted, "{name} {more:?}: {done:?}");
            for sum in sums {
                let told = format!("has no {sum}, and its numbers are the sums");
                assert!(done.err.contains(&told), "{name} {more:?}: {done:?}");
            }
            assert_eq!(done.err.matches("its numbers are the sums").count(), sums.len(), "{name}: {done:?}");
        }
    }
}

#[test]
fn small_counts_that_are_equal_by_chance_stay_counted() {
    let header = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n";
    let hour =
        |hour, one, other| format!("2026,11,10,{hour},REF30,M,{one}\n2026,11,10,{hour},REF30,,{other}\n");
    let program = Program::new();
    program.write("report.csv", &[header, &hour(8, 1, 1), &hour(9, 2, 1), &hour(10, 3, 2)].concat());
    let done = program.run(&["ingest", program.path("report.csv").to_str().expect("UTF-8")]);
    assert_eq!((done.code, units(&program)), (0, 10), "{done:?}");
}

/// What `ingest --format esm` says of a report, with its status.
fn told(program: &Program, name: &str, text: &str) -> (i32, String) {
    program.write(name, text);
    let done = program.run(&["ingest", "--format", "esm", &program.place(name)]);
    (done.code, done.err)
}

#[test]
fn a_total_is_rejected_by_any_of_its_names() {
    let header = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n";
    let totals = [
        "Total:",
        "ALL_MVPDS",
        "REF30 Total",
        "MVPD Total",
        "Total (2)",
        "Totale complessivo",
        "Total Geral",
        "Eindtotaal",
        "Overall",
        "Somme",
        "Toplam",
        "Sous-total",
        "合计",
        "総計",
        "Totalsumma",
        "Общий итог",
        "Suma końcowa",
        "REF30 Ergebnis",
        "Σ",
        "*",
        "(all)",
        "GRAND TOTAL",
        "Total REF30",
    ];
    // Each of the others is a name.
    let names = ["Totalplay", "Allo", "All West", "Sum Telecom", "Total Play", "Overall Cable"];
    let row = |day: usize, requestor: &str, mvpd: &str| format!("2026,11,{day},8,{requestor},{mvpd},5\n");
    // At most 20 rejected records of an input are named.
    for (is_requestor, totals) in
        [false, true].iter().flat_map(|is| totals.chunks(12).map(move |totals| (*is, totals)))
    {
        let of = |(day, name): (usize, &&str)| {
            let total = if is_requestor { row(day, name, "") } else { row(day, "REF30", name) };
            row(day, "REF30", "M") + &total
        };
        let days: String = (1..).zip(totals).map(of).collect();
        let program = Program::new();
        let (code, said) = told(&program, "r.csv", &format!("{header}{days}"));
        assert_eq!((code, units(&program)), (3, 5 * totals.len() as u64), "{said}");
        for name in totals {
            assert!(said.contains(&format!("{name:?}: it sums up other records")), "{name}: {said}");
        }
    }
    let days: String = (1..).zip(&names).map(|(day, name)| row(day, "REF30", name)).collect();
    let program = Program::new();
    assert_eq!(told(&program, "r.csv", &format!("{header}{days}")), (0, String::new()));
    assert_eq!(units(&program), 5 * names.len() as u64);
}

#[test]
fn a_value_that_has_the_sums_of_all_others_is_a_total_whatever_its_name() {
    let header =
        "year,month,day,hour,requestor-id,mvpd,platform,authn-attempts,authn-successful,media-tokens";
    let of = |hour: u32, name: &str, [a, b, c]: [u32; 3]| format!("2026,11,10,{hour},{name},{a},{b},{c}");
    let two = |hour, a: [u32; 3], b: [u32; 3]| [of(hour, "REF30,M,tv", a), of(hour, "REF30,N,tv", b)];
    let first = two(8, [40, 130, 97], [21, 70, 83]);
    let second = two(9, [25, 0, 12], [11, 0, 3]);
    for (sums, code, counted, what) in [
        (vec![of(8, "REF30,Razem 1,tv", [61, 200, 180])], 3, 441, "has mvpd \"Razem 1\": it sums up other"),
        (vec![of(8, "REF30,Razem 1,", [61, 200, 180])], 3, 441, "has mvpd \"Razem 1\": it sums up other"),
        (vec![of(8, "Razem 1,,", [61, 200, 180])], 3, 441, "has requestor-id \"Razem 1\": it sums up"),
        // Where it is known, it is so in an hour with few.
        (
            vec![of(8, "REF30,Razem 1,tv", [61, 200, 180]), of(9, "REF30,Razem 1,tv", [36, 0, 15])],
            3,
            441 + 51,
            "2 of",
        ),
        // One number is another, or nothing but one small number is equal: it may be an MVPD.
        (vec![of(8, "REF30,Razem 1,tv", [61, 200, 181])], 0, 441 + 442, ""),
        (
            vec![of(8, "REF30,Razem 1,tv", [61, 200, 180]), of(9, "REF30,Razem 1,tv", [37, 0, 15])],
            0,
            882 + 103,
            "1 of 2 places",
        ),
        (vec![of(9, "REF30,Razem 1,tv", [36, 0, 15])], 0, 102, "has the sums of all others in 1 of 1 places"),
    ] {
        let has = |hour| sums.iter().any(|row| row.starts_with(&format!("2026,11,10,{hour},")));
        let mut rows = vec![header.to_owned()];
        rows.extend(first.iter().filter(|_| has(8)).cloned());
        rows.extend(second.iter().filter(|_| has(9)).cloned());
        rows.extend(sums.iter().cloned());
        for (name, report) in in_every_form(header, &rows[1..].iter().map(String::as_str).collect::<Vec<_>>())
        {
            let program = Program::new();
            let (found, said) = told(&program, name, &report);
            assert_eq!((found, units(&program)), (code, counted), "{name} {sums:?}: {said}");
            assert!(
                said.contains(what) || what == "2 of" && said.matches("it sums up").count() == 2,
                "{said}"
            );
            assert_eq!(said.is_empty(), what.is_empty(), "{said}");
        }
    }
    // Beside one other alone, equal numbers are no sum.
    let program = Program::new();
    let (m, n) = (of(8, "REF30,M,tv", [61, 200, 180]), of(8, "REF30,N,tv", [61, 200, 180]));
    assert_eq!(told(&program, "r.csv", &format!("{header}\n{m}\n{n}\n")), (0, String::new()));
}

#[test]
fn a_name_that_lost_its_accents_is_not_counted_again_in_silence() {
    let rows = |mvpd: &str, counts: [u32; 2]| {
        let header = "year,month,day,hour,requestor-id,mvpd,authn-attempts,media-tokens";
        format!("{header}\n2026,11,10,8,REF30,{mvpd},{},{}\n", counts[0], counts[1])
    };
    for (mvpd, code, what) in [
        ("Tele", 3, "has mvpd \"Tele\", and was counted with \"Télé\""),
        ("TELE", 3, "and was counted with"),
        ("T?l?", 0, "first Télé of REF30 in the hour 2026-11-10T16:00:00Z, which it spells in another way"),
        ("T\u{fffd}l\u{fffd}", 0, "1 identifiers have U+FFFD, first mvpd \"T\u{fffd}l\u{fffd}\""),
    ] {
        let program = Program::new();
        assert_eq!(told(&program, "r.csv", &rows("Télé", [50, 20])), (0, String::new()));
        let (found, said) = told(&program, "r.csv", &rows(mvpd, [75, 30]));
        assert!(found == code && said.contains(what), "{mvpd}: {found} {said}");
    }
}

#[test]
fn what_a_spreadsheet_puts_around_a_value_is_no_part_of_it() {
    let rows = |mvpd: &str, count: &str| {
        format!("year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,{mvpd},{count}\n")
    };
    let program = Program::new();
    for (mvpd, count) in
        [("\"=\"\"0012\"\"\"", "\"=\"\"5\"\"\""), ("0012", "5"), ("'0012", "5"), ("=\"0012\"", "5")]
    {
        let (code, said) = told(&program, "r.csv", &rows(mvpd, count));
        assert_eq!((code, units(&program)), (0, 5), "{mvpd}: {said}");
    }
    let shown = program.run(&["report", "--period", "2026-11-10"]).out;
    assert!(shown.contains("0012") && !shown.contains('='), "{shown}");
}

#[test]
fn what_is_not_quite_a_report_is_told_with_its_cure() {
    let record = json!({"year": 2026, "month": 11, "day": 10, "hour": 8, "requestor-id": "REF30", "mvpd": "A", "authn-attempts": 4});
    let csv = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,M,5\n";
    let whole = json!({"report": [record]});
    for (name, text, what) in [
        ("r.ndjson", format!("{record}\n{record}\n"), "jq -s '{report: flatten}' FILE"),
        ("r.json", json!([record]).to_string(), "jq -s '{report: flatten}' FILE"),
        ("r.json", json!({"report": record}).to_string(), "jq '.report |= [.]' FILE"),
        ("r.json", json!({"_links": {}, "report": record}).to_string(), "jq '.report |= [.]' FILE"),
        ("r.json", json!([whole]).to_string(), "jq '.[]' FILE"),
        ("r.csv", format!("Report of November\n\n{csv}"), "its header is line 3: take off"),
        ("r.json", format!("{whole}\n{record}\n"), "what follows the report is no other report: take it off"),
        (
            "r.json",
            format!("{whole}\nend of file\n"),
            "what follows the report is no other report: take it off",
        ),
    ] {
        let program = Program::new();
        let (code, said) = told(&program, name, &text);
        assert!(code == 1 && said.contains(what) && units(&program) == 0, "{text}: {code} {said}");
    }
    let program = Program::new();
    let guessed = program.run(&["ingest", &program.file("r.csv", &format!("November\n{csv}"))]);
    assert!(guessed.code == 1 && guessed.err.contains("its header is line 2"), "{guessed:?}");
}

#[test]
fn half_a_character_rejects_its_record_alone_and_is_named() {
    let program = Program::new();
    let whole = report("08", &json!({"authn-attempts": 5}));
    let half =
        |rest: &str| report("09", &json!({"authn-attempts": 7, "platform": "tv HALF"})).replace("HALF", rest);
    program.write("report.json", &[whole, half("\\ud83d"), half("\\ud83e")].join("\n"));
    let path = program.path("report.json");
    let done = program.run(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!((done.code, units(&program)), (3, 5), "{done:?}");
    assert_eq!(done.err.matches("has platform").count(), 2, "{done:?}");
    assert!(done.err.contains("half a character"), "{done:?}");
}

#[test]
fn each_page_in_xml_is_compared_with_its_own_limit() {
    let page = |hour: u32, limit: u32| {
        format!(
            "<resource href=\"/x?limit={limit}\"><report><record year=\"2026\" month=\"11\" day=\"9\" hour=\"{hour}\" \
             requestor-id=\"REF30\" authn-attempts=\"1\"/></report></resource>\n"
        )
    };
    for (pages, is_full) in [([page(1, 1), page(2, 9)], true), ([page(1, 9), page(2, 2)], false)] {
        let program = Program::new();
        program.write("report.xml", &pages.concat());
        let done = program.run(&["ingest", program.path("report.xml").to_str().expect("UTF-8")]);
        assert_eq!((done.code, units(&program)), (0, 2), "{done:?}");
        assert_eq!(done.err.contains("rows that it may have"), is_full, "{pages:?}: {done:?}");
    }
}

#[test]
fn a_suite_that_takes_no_large_counts_is_named() {
    let program = Program::new();
    program.suite("http://127.0.0.1:1");
    let sums = report("8", &json!({"media-tokens": "4000"}));
    program.write("report.json", &sums);
    let path = program.path("report.json");
    let ingest = ["ingest", path.to_str().expect("UTF-8")];
    let done = program.run(&ingest);
    assert!(done.code == 0 && done.err.contains("examplersid takes no count above 100"), "{done:?}");
    assert_eq!(program.run(&["suite", "set", "examplersid", "--count-with-id"]).code, 0);
    assert!(!program.run(&ingest).err.contains("takes no count"), "it takes them now");
}

#[test]
fn hours_follow_the_clock_of_the_zone_through_both_changes() {
    let program = Program::new();
    let csv = "year,month,day,hour,minute,requestor-id,media-tokens\n\
               2026,1,15,8,0,REF30,1\n\
               2026,7,15,8,0,REF30,2\n\
               2026,3,8,1,59,REF30,3\n\
               2026,3,8,3,0,REF30,4\n\
               2026,11,1,1,30,REF30,5\n\
               2026,11,1,1,30,REF30,6\n\
               2026,11,1,2,0,REF30,7\n";
    program.write("clock.csv", csv);
    let path = program.path("clock.csv");
    let found = events(&program, &[path.to_str().expect("UTF-8")]);
    let times: Vec<_> = found
        .iter()
        .map(|event| (event["count"].as_u64().unwrap_or(1), event["occurred_at"].as_str()))
        .collect();
    assert_eq!(
        times,
        [
            (1, Some("2026-01-15T16:00:00Z")),
            (2, Some("2026-07-15T15:00:00Z")),
            (3, Some("2026-03-08T09:59:00Z")),
            (4, Some("2026-03-08T10:00:00Z")),
            // The hour that the clock shows twice: first its first pass.
            (5, Some("2026-11-01T08:30:00Z")),
            (6, Some("2026-11-01T09:30:00Z")),
            (7, Some("2026-11-01T10:00:00Z")),
        ]
    );
    // An hour that the clock skips is no hour of this zone.
    program.write("gap.csv", "year,month,day,hour,requestor-id,media-tokens\n2026,3,8,2,REF30,1\n");
    let done = program.run(&["ingest", program.path("gap.csv").to_str().expect("UTF-8")]);
    assert_eq!(done.code, 3);
    assert!(done.err.contains("esm.timezone"), "{}", done.err);
    let fixed = Program::with("[esm]\ntimezone = \"Etc/GMT+8\"\n");
    let found = events(&fixed, &[program.path("gap.csv").to_str().expect("UTF-8")]);
    assert_eq!(found[0]["occurred_at"], "2026-03-08T10:00:00Z");
}

#[test]
fn what_would_count_twice_or_nowhere_is_refused_with_its_reason() {
    let program = Program::new();
    let refused = |text: &str, why: &str| {
        let name = match text.chars().next() {
            Some('{') => "bad.json",
            Some('<') => "bad.xml",
            _ => "bad.csv",
        };
        program.write(name, text);
        let done = program.run(&["ingest", "--format", "esm", program.path(name).to_str().expect("UTF-8")]);
        assert_ne!(done.code, 0, "{text}");
        assert!(done.err.contains(why), "{why}: {}", done.err);
    };
    let hour = "year,month,day,hour,requestor-id";
    refused("year,month,day,requestor-id,media-tokens\n2026,11,10,REF30,4\n", "has no hour");
    refused("year,month,day,hour,mvpd,media-tokens\n2026,11,10,8,M,4\n", "has no requestor-id");
    refused(&format!("{hour},media-tokens\n2026,13,10,8,REF30,4\n"), "which no calendar has");
    refused(&format!("{hour},media-tokens\n2026,11,10,8,REF30,four\n"), "\"four\", which is no count");
    refused(&format!("{hour},media-tokens\n2026,11,10,8,REF30,18446744073709551615\n"), "which is no count");
    refused(&format!("{hour},media-tokens\n2026,11,10,8,REF30,5.000\n"), "\"5.000\", which is no count");
    let json =
        report("8", &json!({"media-tokens": 0})).replace("\"media-tokens\":0", "\"media-tokens\":1.2346e7");
    refused(&json, "\"1.2346e7\", which is no count: write all its digits");
    refused(&format!("{hour},media-tokens\n26,11,10,8,REF30,4\n"), "has year 26, which has not four digits");
    let record = "year=\"2026\" month=\"11\" day=\"10\" hour=\"8\" requestor-id=\"REF30\" media-tokens=\"4\"";
    let xml =
        |mvpd: &str| format!("<resource href=\"/x?a=1&b=2\"><record {record} mvpd=\"{mvpd}\"/></resource>");
    refused(&xml("a&#xD83D;b"), "mvpd \"a&#xD83D;b\" has a character reference that XML does not know");
    for (part, named) in [
        (format!("<row {record}/>"), "<row>"),
        (format!("<![CDATA[<record {record}/>]]>"), "CDATA"),
        (format!("&lt;record {record}/&gt;"), "text"),
        (format!("<record {record}/>year 2026"), "text"),
    ] {
        refused(
            &format!("<resource><report>{part}</report></resource>"),
            &format!("its <report> has {named} where"),
        );
    }
    for part in ["<row {record}/>", "<row><record {record}/></row>", "<links/><data><year>2026</year></data>"]
    {
        let part = part.replace("{record}", record);
        refused(&format!("<resource>{part}</resource>"), "its <resource> has <");
    }
    refused(&xml("a&nbsp;b"), "has a character reference that XML does not know");
    refused(&format!("{hour},media-tokens\n2026,11,10,8,REF30\n"), "a row has 5 cells, the header 6");
    refused(&format!("{hour},media-tokens\n2036,11,10,8,REF30,4\n"), "ahead");
    refused(
        "{\"report\":[{\"year\":\"2026\",\"month\":\"11\",\"day\":\"10\",\"hour\":[8],\"requestor-id\":\"REF30\"}]}",
        "which is no number",
    );
    refused("{\"_links\":{\"self\":{\"href\":\"/esm/v3\"}},\"report\":[{\"year\":", "breaks off");
    // The same hour by other dimensions.
    assert_eq!(ingest(&program, &report("9", &json!({"media-tokens": "4"}))).0, 0);
    refused(&format!("{hour},media-tokens\n2026,11,10,9,REF30,4\n"), "was counted by hour/mvpd/requestor-id");
    assert_eq!(units(&program), 4, "what was there first is counted, nothing else");

    // A page that is as full as it may be.
    let full = report("10", &json!({"media-tokens": "1"})).replace("limit=10000", "limit=1");
    program.write("full.json", &full);
    let done = program.run(&["ingest", program.path("full.json").to_str().expect("UTF-8")]);
    assert!(done.code == 0 && done.err.contains("has all 1 rows that it may have"), "{done:?}");
}

#[test]
fn reports_that_were_put_together_are_read_each_by_its_own_header_and_again_without_a_word() {
    let program = Program::new();
    let first =
        "year,month,day,hour,requestor-id,mvpd,authn-attempts,authn-successful\n2026,11,10,8,REF30,M,7,3\n";
    let second =
        "year,month,day,hour,mvpd,requestor-id,authn-successful,authn-attempts\n2026,11,10,9,M,REF30,3,7\n";
    program.write("all.csv", &format!("{first}{second}{second}"));
    let path = program.path("all.csv");
    let ingest = ["ingest", path.to_str().expect("UTF-8")];
    let done = program.run(&ingest);
    let notes = [
        "all.csv:3: 1 header rows name other columns, or in another order, and hold from there on",
        "all.csv:5: 1 header rows repeat the one before, and were passed over",
    ];
    assert!(done.code == 0 && notes.iter().all(|note| done.err.contains(note)), "{done:?}");
    assert_eq!(units(&program), 20, "7 and 3 of each hour, the second report once");
    program.write("all.csv", first);
    let again = program.run(&ingest);
    assert!(again.code == 0 && again.err.is_empty(), "{again:?}");
}

#[test]
fn a_report_by_an_unknown_dimension_is_counted_once_that_is_named() {
    let hour = "year,month,day,hour,requestor-id,planet,media-tokens";
    let cases = [
        format!("{hour}\n2026,11,10,8,REF30,Earth,4\n2026,11,10,8,REF30,Mars,5\n"),
        format!("{hour}\n2026,11,10,8,REF30,3,4\n2026,11,10,8,REF30,4,5\n"),
    ];
    for text in cases {
        let program = Program::new();
        program.write("planets.csv", &text);
        let path = program.path("planets.csv");
        let arguments = ["ingest", path.to_str().expect("UTF-8")];
        let done = program.run(&arguments);
        assert!(done.code != 0 && done.err.contains("in esm.dimensions"), "{done:?}");
        assert_eq!(units(&program), 0, "a part of it would be known by an identity that it has not");
        program.write("c.toml", "[esm]\ndimensions = [\"planet\"]\n");
        assert_eq!(program.run(&arguments).code, 0);
        assert_eq!(units(&program), 9);
    }
    // The same page saved twice is no other dimension.
    let program = Program::new();
    let page = report("8", &json!({"media-tokens": "4"}));
    assert_eq!(ingest(&program, &format!("{page}\n{page}")).1["total"]["stored"], 1);
}

#[test]
fn events_and_their_sums_are_never_mixed_for_a_requestor() {
    let sums = report("8", &json!({"media-tokens": "4"}));
    let one = "{\"occurred_at\":\"2026-11-10T16:10:00Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"event_id\":\"1\"}\n";
    let events_first = Program::new();
    events_first.write("one.ndjson", one);
    let path = events_first.path("one.ndjson");
    assert_eq!(events_first.run(&["ingest", path.to_str().expect("UTF-8")]).code, 0);
    let (code, document) = ingest(&events_first, &sums);
    assert_eq!((code, &document["total"]["rejected"]), (3, &json!(1)), "{document}");
    assert_eq!(units(&events_first), 1);
    // Another requestor may have the other kind.
    assert_eq!(ingest(&events_first, &sums.replace("REF30", "OTHER")).1["total"]["stored"], 1);

    let sums_first = Program::new();
    assert_eq!(ingest(&sums_first, &sums).0, 0);
    sums_first.write("one.ndjson", &format!("{one}{}", one.replace("REF30", "OTHER")));
    let path = sums_first.path("one.ndjson");
    let done = sums_first.run(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 3);
    assert!(
        done.err.contains("one.ndjson:1: is of requestor \"REF30\", whose counts come from ESM"),
        "{}",
        done.err
    );
    assert_eq!(units(&sums_first), 4 + 1);
    let exchanges = fixture::path("rest-v2/login-authorize-logout.ndjson");
    let done = sums_first.run(&["ingest", exchanges.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 3);
    assert!(done.err.contains("whose counts come from ESM reports"), "{}", done.err);
    assert_eq!(units(&sums_first), 4 + 1);
    assert_eq!(sums_first.run(&["status", "--verify"]).code, 0);
}

/// A program whose ESM is a sandbox, with a statement and settings.
fn pulling(sandbox: &Handle, settings: &str) -> Program {
    let url = sandbox.url();
    let program = Program::with(&format!(
        "[log]\nlevel = \"trace\"\n[esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{url}\"\n\
         software_statement_file = \"statement\"\n{settings}"
    ));
    program.write("statement", "STATEMENT.of.tests\n");
    program
}

fn set(sandbox: &Handle, settings: &Value) {
    let body = settings.to_string();
    let mut socket = std::net::TcpStream::connect(sandbox.address()).expect("a connection");
    write!(
        socket,
        "PUT /sandbox/esm HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

const SPAN: [&str; 6] = ["pull", "esm", "--from", "2026-11-10", "--to", "2026-11-12"];

#[test]
fn hours_are_pulled_once_and_corrections_by_their_increase() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    let (code, document) = program.json(&SPAN);
    assert_eq!(code, 0, "{document}");
    // 48 hours of 3 rows, 9 of 12 metrics each are events.
    assert_eq!(
        (&document["reports"], &document["total"]["stored"]),
        (&json!(2), &json!(48 * 3 * 9)),
        "{document}"
    );
    assert_eq!(
        document["esm"]["skipped_metrics"].as_object().expect("names").keys().collect::<Vec<_>>(),
        ["authz-latency", "authz-rejected"]
    );
    let before = units(&program);
    assert_eq!(program.json(&SPAN).1["total"]["stored"], 0, "the same hours again add nothing");

    set(&sandbox, &json!({"add": {"2026-11-10T08": 5, "2026-11-11T09": -3}}));
    let (code, document) = program.json(&SPAN);
    assert_eq!((code, &document["total"]["stored"]), (0, &json!(9)), "{document}");
    assert_eq!(units(&program), before + 9 * 5);
    assert_eq!((&document["esm"]["decreases"], &document["esm"]["decreased_units"]), (&json!(9), &json!(27)));
    assert_eq!(program.run(&["status", "--verify"]).code, 0);

    let one = [&SPAN[..], &["--requestor", "OTHER"]].concat();
    let fresh = pulling(&sandbox, "");
    assert_eq!(fresh.json(&one).1["total"]["stored"], json!(48 * 9));
}

#[test]
fn a_pull_goes_on_from_the_last_hour_and_says_which_hours_are_missing() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    let pull = |args: &[&str]| {
        let (code, report) = program.json(&[&["pull", "esm"], args].concat());
        assert_eq!(code, 0, "{args:?} {report}");
        let missing = report["missing_from"].as_str().map(str::to_owned);
        (report["from"].as_str().expect("an hour").to_owned(), missing)
    };
    let at = |day: u32| format!("2026-11-{day:02} 00:00:00");
    // The first one has nothing to go on from, and a dry run leaves nothing behind.
    assert_eq!(pull(&["--to", "2026-11-06", "--dry-run"]), (at(4), None));
    assert_eq!(pull(&["--to", "2026-11-09"]), (at(7), None));
    assert_eq!(pull(&["--to", "2026-11-13"]), (at(9), None), "four days later, and not two");
    assert_eq!(pull(&["--from", "2026-11-15", "--to", "2026-11-16"]), (at(15), Some(at(13))));
    let warned = program.run(&["pull", "esm", "--from", "2026-11-15", "--to", "2026-11-16"]).err;
    let of_gap = "the hours from 2026-11-13 00:00:00 to 2026-11-15 00:00:00 were never fetched";
    assert!(warned.contains(of_gap), "{warned}");
    let told = program.run(&["pull", "esm", "--to", "2026-11-17", "--dry-run"]).err;
    assert!(told.contains("goes on from 2026-11-13 00:00:00"), "{told}");
    assert_eq!(pull(&["--to", "2026-11-17"]), (at(13), None), "what was left out is fetched");
    assert_eq!(pull(&["--to", "2026-11-18"]), (at(16), None), "corrections of two days");
    // Other requestors have hours of their own.
    assert_eq!(pull(&["--to", "2026-11-20", "--requestor", "REF30"]), (at(18), None));
}

#[test]
fn what_pulled_reports_have_no_column_of_is_empty() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    assert_eq!(program.json(&SPAN).0, 0);
    let (_, json) = program.json(&["report", "--period", "2026-11-10"]);
    assert_eq!((&json["total"]["events"][7], json["total"]["events"][1].is_u64()), (&Value::Null, true));
    let remarks = json["remarks"].to_string();
    assert!(remarks.contains("authn-failed of OTHER, REF30 in 24 hours"), "{remarks}");
}

#[test]
fn names_of_any_length_and_number_make_no_long_warning() {
    let program = Program::new();
    let names: Vec<String> = (0..300).map(|index| format!("m{index}{}", "m".repeat(5_000))).collect();
    let head = format!("year,month,day,hour,requestor-id,mvpd,authn-attempts,{}", names.join(","));
    program.write("wide.csv", &format!("{head}\n2026,11,10,8,REF30,A,1{}\n", ",2".repeat(names.len())));
    let done = program.run(&["ingest", "--format", "esm", program.path("wide.csv").to_str().expect("UTF-8")]);
    assert!(done.code == 0 && done.err.contains("no event stands for m0mmm"), "{done:?}");
    assert!(done.err.contains("others") && done.err.len() < 3_000, "{}", done.err.len());
    for row in ["REF30,A,{}", "{},A,1", "REF30,{},x"] {
        let row = row.replace("{}", &"9e9".repeat(9_000));
        program.write(
            "long.csv",
            &format!("year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,{row}\n"),
        );
        let path = program.path("long.csv");
        let done = program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]);
        assert!(done.err.len() < 3_000, "{} {}", done.code, done.err.len());
    }
}

#[test]
fn records_that_stand_in_a_report_twice_are_counted_once_and_said() {
    let program = Program::new();
    let again = "2026,11,10,8,REF30,A,1,N/A\n".repeat(3);
    let head = "year,month,day,hour,requestor-id,mvpd,authn-attempts,unique-accounts";
    program.write("twice.csv", &format!("{head}\n{again}2026,11,10,8,REF30,B,2,7\n"));
    let path = program.path("twice.csv");
    let done = program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]);
    assert_eq!((done.code, units(&program)), (0, 3), "{done:?}");
    assert!(done.err.contains("2 records repeat others of the report: each is counted once"), "{done:?}");
    assert!(done.err.contains("unique-accounts without a number"), "{done:?}");
}

#[test]
fn credentials_that_root_keeps_belong_to_the_owner_of_the_buffer() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    assert_eq!(program.run(&["status"]).code, 0);
    chown(program.path("passbridge.db"), Some(54_321), Some(54_321)).expect("another owner");
    assert_eq!(program.run(&SPAN).code, 0);
    let kept = std::fs::metadata(program.path("esm-client.json")).expect("credentials");
    assert_eq!((kept.uid(), kept.permissions().mode() & 0o777), (54_321, 0o600));
}

#[test]
fn credentials_are_had_once_and_a_refused_token_anew() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    // What a crash left behind, open for everybody.
    program.write("esm-client.json.new", "{}");
    let mut written = Vec::new();
    for round in 0..3 {
        let done = program.run(&SPAN);
        assert_eq!(done.code, 0, "{round} {done:?}");
        assert_eq!(done.err.contains("client credentials were had"), round == 0, "{}", done.err);
        written.push(format!("{}{}", done.out, done.err));
    }
    let path = program.path("esm-client.json");
    let mode = std::fs::metadata(&path).expect("credentials").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    // In the middle of a pull every token is forgotten: one more is had. A server that is busy is asked again.
    // A report that breaks off is asked for again too, and nothing of it is taken.
    set(&sandbox, &json!({"break_next": 1}));
    let done = program.run(&SPAN);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.err.matches("no whole answer yet").count(), 1, "{}", done.err);
    set(&sandbox, &json!({"forget_tokens_after": 1, "refuse_next": 1}));
    let done = program.run(&SPAN);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.err.matches("is refused, and is had anew").count(), 1, "{}", done.err);
    assert_eq!(done.err.matches("asking again").count(), 1, "{}", done.err);
    written.push(format!("{}{}", done.out, done.err));

    // Credentials that nobody knows are refused in Adobe's words, without a word of theirs.
    program.write("esm-client.json", "{\"client_id\":\"client-77\",\"client_secret\":\"secret-of-nobody\"}");
    let done = program.run(&SPAN);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("refuses an access token with status 400: invalid_client"), "{}", done.err);
    written.push(format!("{}{}", done.out, done.err));
    program.write("esm-client.json", "{\"client_id\":\"secret-of-nobody");
    let done = program.run(&SPAN);
    assert_eq!(done.code, 2, "{done:?}");
    written.push(format!("{}{}", done.out, done.err));
    for text in &written {
        for secret in ["STATEMENT", "secret-of", "token-1", "token-2"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_full_report_is_fetched_in_shorter_parts() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let whole = pulling(&sandbox, "");
    assert_eq!(whole.run(&SPAN).code, 0);
    // 24 hours of 3 rows do not fit into 10, whether we ask for no more or are given no more.
    let asking = pulling(&sandbox, "rows = 10\n");
    let given = pulling(&sandbox, "");
    for (program, limit) in [(&asking, 0), (&given, 10)] {
        set(&sandbox, &json!({"limit": limit}));
        let (code, document) = program.json(&SPAN);
        assert_eq!((code, &document["reports"]), (0, &json!(16)), "{document}");
        assert_eq!(units(program), units(&whole));
    }
    set(&sandbox, &json!({}));
    let never = pulling(&sandbox, "rows = 3\n");
    let done = never.run(&SPAN);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.err.contains("2026-11-10 00:00:00 has all 3 rows") && done.err.contains("raise esm.rows"),
        "{}",
        done.err
    );
    assert_eq!(units(&never), 0);
}

#[test]
fn a_report_by_minute_is_fetched_in_parts_of_an_hour() {
    const HOUR: [&str; 6] = ["pull", "esm", "--from", "2026-11-10T08", "--to", "2026-11-10T09"];
    const BY_MINUTE: &str = "group_by = \"minute/media-company/proxy/mvpd/requestor-id\"\n";
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let by_hour = pulling(&sandbox, "");
    assert_eq!(by_hour.run(&HOUR).code, 0);
    // 60 minutes of 3 rows do not fit into 50.
    let by_minute = pulling(&sandbox, &format!("{BY_MINUTE}rows = 50\n"));
    let (code, document) = by_minute.json(&HOUR);
    assert_eq!((code, &document["reports"]), (0, &json!(4)), "{document}");
    assert_eq!(units(&by_minute), units(&by_hour));
    let never = pulling(&sandbox, &format!("{BY_MINUTE}rows = 3\n"));
    let done = never.run(&HOUR);
    assert!(done.code == 2 && done.err.contains("2026-11-10 08:00:00 has all 3 rows"), "{done:?}");
}

#[test]
fn a_dry_run_says_what_would_be_stored() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let program = pulling(&sandbox, "");
    let dry = [&SPAN[..], &["--dry-run"]].concat();
    for _ in 0..2 {
        let (code, document) = program.json(&dry);
        assert_eq!((code, &document["dry_run"]), (0, &json!(true)), "{document}");
        assert_eq!(document["total"]["stored"], 48 * 3 * 9, "{document}");
        assert_eq!(units(&program), 0);
    }
    // A proxy of the environment is not for this host, and there is none.
    let mut command = program.command(&SPAN);
    command.env("HTTP_PROXY", "http://127.0.0.1:1");
    let pulled = done(command);
    assert_eq!(pulled.code, 0, "{pulled:?}");
    assert_eq!(program.json(&dry).1["total"]["stored"], 0);
    set(&sandbox, &json!({"add": {"2026-11-10T08": 5}}));
    assert_eq!(program.json(&dry).1["total"]["stored"], 9);
}

/// Asks a sandbox something; its status and the text behind the head.
fn ask(sandbox: &Handle, head: &str, body: &str) -> (u16, String) {
    let mut socket = std::net::TcpStream::connect(sandbox.address()).expect("a connection");
    let length = body.len();
    write!(socket, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

#[test]
fn the_sandbox_answers_as_the_documentation_says() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    let field = |text: &str, name: &str| {
        serde_json::from_str::<Value>(text).expect("JSON")[name].as_str().expect("a text").to_owned()
    };
    let register = "POST /o/client/register HTTP/1.1";
    assert_eq!(ask(&sandbox, register, "{}"), (400, "{\"error\":\"invalid_software_statement\"}".to_owned()));
    let (code, client) = ask(&sandbox, register, "{\"software_statement\":\"a.b.c\"}");
    assert_eq!(code, 201, "{client}");
    let form = format!(
        "client_id={}&client_secret={}",
        field(&client, "client_id"),
        field(&client, "client_secret")
    );
    let token = "POST /o/client/token HTTP/1.1";
    assert_eq!(ask(&sandbox, token, &form), (400, "{\"error\":\"unsupported_grant_type\"}".to_owned()));
    let (code, token) = ask(&sandbox, token, &format!("{form}&grant_type=client_credentials"));
    assert_eq!(code, 201, "{token}");
    let token = field(&token, "access_token");

    let get = |what: &str, header: &str| {
        ask(&sandbox, &format!("GET /esm/v3/year/month/day/hour/{what} HTTP/1.1{header}"), "")
    };
    let bearer = format!("\r\nAuthorization: Bearer {token}");
    let span = "start=2026-11-10T08&end=2026-11-10T10";
    assert_eq!(get(&format!("platform?{span}"), "").0, 401);
    for (what, code) in [
        (format!("requestor-id/proxy?{span}"), 404),
        ("platform?start=yesterday&end=2026".to_owned(), 400),
        ("platform?start=2020&end=2026".to_owned(), 400),
        (format!("platform?{span}&format=pdf"), 406),
    ] {
        let (found, why) = get(&what, &bearer);
        assert!(found == code && !why.is_empty() && !why.starts_with('{'), "{what}: {found} {why}");
    }

    // The suffix of the path wins over the parameter, and that over the header.
    let path = "media-company/proxy/mvpd/requestor-id";
    let forms = [
        ("json", get(&format!("{path}?{span}"), &bearer)),
        ("csv", get(&format!("{path}.csv?{span}&format=json"), &bearer)),
        ("xml", get(&format!("{path}?{span}&format=xml"), &format!("{bearer}\r\nAccept: text/csv"))),
    ];
    let program = Program::new();
    let mut found = BTreeSet::new();
    for (suffix, (code, text)) in forms {
        assert_eq!(code, 200, "{text}");
        let name = format!("report.{suffix}");
        program.write(&name, &text);
        let events = events(&program, &[program.path(&name).to_str().expect("UTF-8")]);
        assert_eq!(events.len(), 2 * 3 * 9);
        let told = |event: &Value| format!("{} {}", event["event_id"], event["count"]);
        found.insert(events.iter().map(told).collect::<BTreeSet<_>>());
    }
    assert_eq!(found.len(), 1, "all three forms say the same");
}

#[test]
fn what_cannot_be_pulled_says_why() {
    let sandbox = Sandbox::start(SandboxOptions::default()).expect("a sandbox");
    for (settings, arguments, code, why) in [
        ("group_by = \"requestor-id/proxy/mvpd\"\n", &SPAN[..], 1, "status 404: no such drill-down"),
        ("group_by = \"planet\"\n", &SPAN[..], 2, "has no requestor-id"),
        ("software_statement_file = \"nowhere\"\n", &SPAN[..], 2, "esm.software_statement_file"),
        ("", &["pull", "esm", "--from", "2026-11-12", "--to", "2026-11-10"], 2, "--from before --to"),
        (
            "",
            &["pull", "esm", "--from", "2036-11-12", "--to", "2036-11-13"],
            2,
            "no span of hours that are over",
        ),
        ("", &["pull", "esm", "--from", "yesterday"], 2, "is no hour"),
    ] {
        let program = pulling(&sandbox, "");
        let config = std::fs::read_to_string(program.path("c.toml")).expect("a configuration");
        let config = match settings.split_once(" = ") {
            Some((key, _)) => {
                config.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n")
            }
            None => config,
        };
        program.write("c.toml", &format!("{config}\n{settings}"));
        let done = program.run(arguments);
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.err.contains(why), "{why}: {}", done.err);
    }
    let program = pulling(&sandbox, "");
    drop(sandbox);
    let mut command = program.command(&SPAN);
    command.env("NO_PROXY", "*");
    let gone = done(command);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.err.contains("cannot be had from 127.0.0.1"), "{}", gone.err);
    program.write("c.toml", "[esm]\nurl = \"http://mgmt.example/esm/v3\"\n");
    let clear = program.run(&SPAN);
    assert!(clear.code == 2 && clear.err.contains("secrets in clear"), "{clear:?}");
}

#[test]
fn of_two_that_count_the_same_hour_at_once_the_second_is_refused() {
    let house = House::new();
    let input = house.buffer.open_input("two at once").expect("an input");
    let row = |key: u8, body: &str| MemoryRow {
        key: MemoryKey([key; 16]),
        drops_at: passbridge::event::Instant::from_nanos(i64::MAX),
        body: Some(body.to_owned()),
    };
    let store = |rows: Vec<MemoryRow>| {
        house.buffer.store(Batch {
            input,
            feed: Feed::Esm,
            job: JobKey::LIVE,
            events: Default::default(),
            memory: rows,
            stated: Vec::new(),
            rejected: 0,
        })
    };
    store(vec![row(1, "esm hour/mvpd"), row(2, "esm 30 0")]).expect("the first");
    for late in [row(2, "esm 43 0"), row(2, "esm 43 29"), row(1, "esm hour/mvpd/proxy")] {
        let refused = store(vec![row(3, "esm 7 0"), late]).expect_err("the hour was counted meanwhile");
        assert!(matches!(refused, BufferError::CountedMeanwhile), "{refused:?}");
    }
    // What was refused left nothing, and the next in its turn is taken.
    store(vec![row(3, "esm 7 0"), row(1, "esm hour/mvpd"), row(2, "esm 43 30")]).expect("the next");
}

#[test]
fn a_report_of_which_nothing_is_used_is_3_and_says_which_metrics_are_missing() {
    let program = Program::new();
    let unused = |text: &str| {
        let (code, summary) = ingest(&program, text);
        (code, summary["inputs"][0]["unused"].as_str().unwrap_or_default().to_owned())
    };
    let head = "year,month,day,hour,mvpd,requestor-id";
    let record = "2026,11,10,8,M,REF30";
    for text in [
        format!("{head}\n{record}\n"),
        format!("{head},autn-attempts\n{record},4\n"),
        format!("{head},authn-attempts\n{record},\n"),
        report("8", &json!({"media-tokens": null})),
        report("8", &json!({})),
        "<resource><record year=\"2026\" month=\"11\" day=\"10\" hour=\"8\" requestor-id=\"R\"/></resource>"
            .to_owned(),
    ] {
        let (code, why) = unused(&text);
        assert!(code == 3 && why.contains("authn-attempts, "), "{code} {why}: {text}");
    }
    let zeros = format!("{head},authn-attempts,media-tokens\n{record},0,0\n");
    assert_eq!(unused(&zeros), (0, String::new()));
    assert_eq!(unused(&report("9", &json!({"media-tokens": "4", "authn-attempts": null}))).0, 0);
    assert_eq!(unused(&report("9", &json!({"media-tokens": "4"}))), (0, String::new()), "the same again");
    program.write("blank.json", &report("10", &json!({"media-tokens": "4", "authn-attempts": null})));
    let done = program.run(&["ingest", program.path("blank.json").to_str().expect("UTF-8")]);
    assert!(done.err.contains("no event stands for authn-attempts without a number"), "{done:?}");
}

#[test]
fn a_report_in_which_no_record_says_its_mvpd_or_proxy_is_refused() {
    let program = Program::new();
    for name in ["mvpd", "proxy"] {
        for blank in [json!(null), json!(""), json!(" ")] {
            let (code, summary) = ingest(&program, &report("8", &json!({"media-tokens": "4", name: blank})));
            let why = summary["failures"][0].as_str().unwrap_or_default();
            assert!(code == 1 && why.contains(&format!("no record says its {name}")), "{summary}");
        }
    }
    assert_eq!(ingest(&program, &report("8", &json!({"media-tokens": "4"}))).0, 0);
    assert_eq!(units(&program), 4);
}
