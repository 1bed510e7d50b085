//! What spreadsheets, log shippers and other programs make of events on their way is read right, or said.

use passbridge::event::{EventId, PassEvent, Property, VisitorRules};
use passbridge::mapping;
use passbridge::suite::HitForm;
use serde_json::json;

use super::*;
use crate::program::Program;

/// What an ingest of a file of this name says of it, without its folder.
fn told(name: &str, content: &[u8]) -> (Counts, Vec<String>) {
    let intake = Intake::new();
    let path = intake.file(name, content);
    let summary = intake.load(&[&path]);
    let folder = format!("{}/", intake.house.dir.path().display());
    let failures = summary.failures.iter().map(ToString::to_string);
    let all = summary.warnings.iter().map(ToString::to_string).chain(failures);
    (summary.total, all.map(|warning| warning.replace(&folder, "")).collect())
}

#[test]
fn headers_within_a_file_hold_for_the_rows_behind_them() {
    let one = "occurred_at,event,requestor_id,mvpd,proxy\n2026-11-10T08:00:00Z,authn_ok,REF30,M,P\n";
    let other =
        "\u{feff}occurred_at,event,requestor_id,proxy,mvpd\n2026-11-10T08:00:00Z,authn_ok,REF30,P,M\n";
    let (total, told) = told("all.csv", format!("{one}{one}{other}").as_bytes());
    assert_eq!(total, counts(3, 1, 2, 0, 0), "the three rows say the same");
    assert_eq!(
        told,
        [
            "all.csv:3: 1 header rows repeat the one before, and were passed over",
            "all.csv:5: 1 header rows name other columns, or in another order, and hold from there on"
        ]
    );
}

#[test]
fn identifiers_that_a_spreadsheet_spoilt_are_counted_with_their_first_line() {
    let row = |user: &str, mvpd: &str| format!("2026-11-10T08:00:00Z,authn_ok,REF30,{user},{mvpd}\n");
    let header = "occurred_at,event,requestor_id,mvpd_user_id,mvpd\n";
    let rows =
        [row("bob", "M"), row("1.23457E+11", "M"), row("\"=\"\"0012345\"\"\"", "M"), row("'0012346", "#N/A")];
    let (total, notes) = told("a.csv", format!("{header}{}", rows.concat()).as_bytes());
    assert_eq!(total, counts(4, 4, 0, 0, 0));
    assert_eq!(
        notes,
        [
            "a.csv:3: 2 identifiers were spoilt by a spreadsheet, first mvpd_user_id \"1.23457E+11\": a user, device or session \
             that has lost its digits counts as nobody, and other columns are sent as they are; export these columns as text"
        ]
    );
    let number = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30","mvpd_user_id":1.23457e11}"#;
    for (key, value) in [
        ("event_id", "1e5"),
        ("event_id", "1.5E+3"),
        ("mvpd_user_id", "1e5"),
        ("mvpd_user_id", "1.23457e11"),
        ("device_id", "12E+20"),
        ("requestor_id", "1.5E+3"),
    ] {
        let line = number.replace("mvpd_user_id", "ttl").replace("1.23457e11", "1");
        let line = line.replace(
            "\"requestor_id\":\"REF30\"",
            if key == "requestor_id" { "\"proxy\":\"x\"" } else { "\"requestor_id\":\"REF30\"" },
        );
        let (total, notes) = told("c.ndjson", line.replace('{', &format!("{{\"{key}\":{value},")).as_bytes());
        assert_eq!(total, counts(1, 0, 0, 0, 1), "{key} {value}: {notes:?}");
        let expected = format!("c.ndjson:1: {key} {value} is a number with an exponent, ");
        assert!(notes[0].starts_with(&expected), "{notes:?}");
    }
    for spoilt in ["\"9,99E+11\"", "######"] {
        let (_, notes) = told("d.csv", format!("{header}{}", row(spoilt, "M")).as_bytes());
        assert!(notes.len() == 1 && notes[0].starts_with("d.csv:2: 1 identifiers were spoilt"), "{notes:?}");
    }
    let (total, notes) = told("b.ndjson", number.replace("1.23457e11", "12345678901234567891").as_bytes());
    assert_eq!((total, notes.len()), (counts(1, 1, 0, 0, 0), 0), "a long number keeps its digits");
}

#[test]
fn an_identifier_that_became_a_number_with_a_fraction_of_zeros_is_told() {
    let start = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30""#;
    for (key, value) in [
        ("mvpd_user_id", "12345.0"),
        ("mvpd_user_id", "\"12345.0\""),
        ("event_id", "7.0"),
        ("device_id", "12345.00"),
        ("mvpd", "\"17.0\""),
    ] {
        let (total, notes) = told("a.ndjson", format!("{start}}}\n{start},\"{key}\":{value}}}\n").as_bytes());
        assert_eq!(total, counts(2, 2, 0, 0, 0), "{key} {value}: {notes:?}");
        let expected = format!(
            "a.ndjson:2: 1 values are whole numbers with a fraction of zeros, first {key} \"{}\", as pandas writes a column with gaps: ",
            value.trim_matches('"')
        );
        assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{notes:?}");
    }
    let rows = "occurred_at,event,requestor_id,mvpd_user_id,event_id\n2026-11-10T08:00:00Z,authn_ok,REF30,12345.0,\n\
        2026-11-10T08:00:01Z,authn_ok,REF30,12345,8.0\n2026-11-10T08:00:02Z,authn_ok,REF30,12345.5,1.0.0\n";
    let (total, notes) = told("a.csv", rows.as_bytes());
    assert_eq!(total, counts(3, 3, 0, 0, 0));
    assert!(notes.len() == 1 && notes[0].starts_with("a.csv:2: 2 values are whole numbers"), "{notes:?}");
    let (total, notes) = told("r.ndjson", start.replace("\"REF30\"", "30.0}").as_bytes());
    assert_eq!(total, counts(1, 1, 0, 0, 0));
    assert!(notes.len() == 1 && notes[0].contains("first requestor_id \"30.0\""), "{notes:?}");
}

#[test]
fn a_csv_whose_lines_end_in_another_way_is_refused() {
    let lines = [
        "occurred_at,event,requestor_id,count",
        "2026-11-10T08:00:00Z,authn_ok,REF30,3",
        "2026-11-10T09:00:00Z,play_requested,REF31,2",
    ];
    let esm = ["year,month,day,hour,requestor-id,mvpd,authn-attempts", "2026,11,10,8,REF30,M1,5"];
    for sign in ["\u{85}", "\u{2028}", "\u{1e}", "\\n", ""] {
        for lines in [&lines[..2], &lines[..], &esm[..]] {
            let program = Program::new();
            program.write("a.csv", &lines.join(sign));
            let path = program.path("a.csv");
            let told = program.run(&["ingest", path.to_str().expect("UTF-8")]);
            assert!(told.code == 1 && told.err.contains("end with neither LF nor CR"), "{sign:?} {told:?}");
        }
    }
    // A map may have names of any kind, so values in the header show nothing: the signs alone do.
    for sign in ["\u{85}", "\u{2028}", "\u{1e}", "\\n"] {
        let program = Program::with("[map.m]\nkeys = { occurred_at = \"t\" }\n");
        program.write("a.csv", &["event,requestor_id,t", "authn_ok,REF30,2026-11-10T08:00:00Z"].join(sign));
        let path = program.path("a.csv");
        let told = program.run(&["ingest", "--map", "m", path.to_str().expect("UTF-8")]);
        assert!(told.code == 1 && told.err.contains("end with neither LF nor CR"), "{sign:?} {told:?}");
    }
}

#[test]
fn an_identifier_with_letters_that_a_program_could_not_read_is_told() {
    let start = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30""#;
    for key in ["mvpd_user_id", "device_id", "event_id", "mvpd"] {
        let lines = format!("{start},\"{key}\":\"José\"}}\n{start},\"{key}\":\"Jos\u{fffd}\"}}\n");
        let (total, notes) = told("a.ndjson", lines.as_bytes());
        assert_eq!(total, counts(2, 2, 0, 0, 0), "{key}: {notes:?}");
        let expected = format!("a.ndjson:2: 1 identifiers have U+FFFD, first {key} \"Jos\u{fffd}\"");
        assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{notes:?}");
    }
    let rows =
        "occurred_at,event,requestor_id,mvpd_user_id\n2026-11-10T08:00:00Z,authn_ok,REF30,Jos\u{fffd}\n";
    let (total, notes) = told("a.csv", rows.as_bytes());
    assert_eq!((total, notes.len()), (counts(1, 1, 0, 0, 0), 1), "{notes:?}");
}

#[test]
fn identifiers_that_lost_their_last_digits_to_zeros_are_told() {
    let rows = |ids: &[&str]| {
        let row =
            |(second, id): (usize, &&str)| format!("2026-11-10T08:00:{second:02}Z,authn_ok,REF30,{id}\n");
        let rows: String = ids.iter().enumerate().map(row).collect();
        format!("occurred_at,event,requestor_id,mvpd_user_id\n{rows}")
    };
    // A spreadsheet keeps 15 digits of a number, and JavaScript 17.
    for (ids, expected) in [
        (&["1234567890123460", "1234567890123470"][..], Some("a.csv:2: 2 of 2")),
        (&["12345678901234567000", "9876543210987654321"], None),
        (
            &["1234567890123451", "123456789012340", "12345678901234500000", "98765432109876000"],
            Some("a.csv:4: 2 of 3"),
        ),
        (&["1234567890123451", "1234567890123452", "1234567890123450"], None),
        (&["1000000000000000a", "150", "abc0"], None),
    ] {
        let (total, notes) = told("a.csv", rows(ids).as_bytes());
        assert_eq!(total.stored, ids.len() as u64, "{notes:?}");
        match expected {
            None => assert_eq!(notes, [""; 0], "{ids:?}"),
            Some(start) => {
                assert!(notes.len() == 1 && notes[0].starts_with(start), "{notes:?}");
                assert!(notes[0].contains("first mvpd_user_id") && notes[0].contains("as text"), "{notes:?}");
            }
        }
    }
    let line = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30","device_id":12345678901234500000}"#;
    let (_, notes) = told("a.ndjson", line.as_bytes());
    assert!(notes.len() == 1 && notes[0].contains("first device_id"), "{notes:?}");
}

#[test]
fn what_a_database_writes_for_no_value_is_none_in_every_column() {
    for word in ["\\N", "NULL", "null", "(null)", "<NULL>"] {
        let header =
            "occurred_at,event,requestor_id,mvpd,resource_id,device_type,proxy,event_id,count,mvpd_user_id";
        let row = |second: u8, mvpd: &str| {
            format!(
                "2026-11-10T08:00:0{second}Z,authn_ok,REF30,{mvpd},{word},{word},{word},{word},{word},u1\n"
            )
        };
        let (total, notes) = told("a.csv", format!("{header}\n{}{}", row(1, "M"), row(2, word)).as_bytes());
        assert_eq!((total, notes), (counts(2, 2, 0, 0, 0), Vec::new()), "{word}");
        let at = |value: &str| {
            let event =
                json!({"occurred_at": "2026-11-10T08:00:00Z", "event": "authn_ok", "requestor_id": "REF30"});
            let mut event = event.as_object().expect("an object").clone();
            // The user ID and the visitor ID are shown as they came, whatever word they are.
            let shown = [Property::RequestorId, Property::MvpdUserId, Property::VisitorId];
            for property in Property::reported().iter().filter(|it| !shown.contains(it)) {
                event.insert(property.name().to_owned(), json!(value));
            }
            crate::support::event(event.into())
        };
        let evars = |event: &PassEvent, rules: VisitorRules| {
            let form = HitForm {
                visitor_rules: rules,
                ..HitForm::with_defaults("examplersid".parse().expect("RSID"))
            };
            let mapped = mapping::map(event, EventId::from_bytes([7; 16]), &form).expect("a hit");
            mapped.hits[0]
                .evars
                .iter()
                .map(|(number, value)| (*number, value.to_string()))
                .collect::<Vec<_>>()
        };
        let (nulls, nothing) = (at(word), at(""));
        assert_eq!(evars(&nulls, VisitorRules::V4), evars(&nothing, VisitorRules::V4), "{word}");
        assert!(evars(&nulls, VisitorRules::V3).contains(&(2, word.to_owned())), "as it was sent before");
    }
}

#[test]
fn an_event_id_or_a_requestor_that_is_none_is_rejected() {
    let header = "occurred_at,event,requestor_id,event_id\n";
    let row = |requestor: &str, id: &str| format!("2026-11-10T08:00:00Z,authn_ok,{requestor},{id}\n");
    let rows = [
        row("REF30", "1.23457E+11"),
        row("null", "a"),
        row("REF30\u{200b}", "a"),
        row("#REF!", "a"),
        row("REF30", "a"),
    ];
    let (total, notes) = told("a.csv", format!("{header}{}", rows.concat()).as_bytes());
    assert_eq!(total, counts(5, 1, 0, 0, 4));
    assert_eq!(
        notes,
        [
            "a.csv:2: event_id \"1.23457E+11\" was spoilt by a spreadsheet, so that events may share it; export that column as text",
            "a.csv:3: requestor_id \"null\" names no requestor: it says that there is none",
            "a.csv:4: requestor_id \"REF30\\u{200b}\" names no requestor: it has letters without a width; take them out",
            "a.csv:5: requestor_id \"#REF!\" names no requestor: a spreadsheet spoilt it; export that column as text"
        ]
    );
}

#[test]
fn a_requestor_that_is_a_word_for_nobody_is_none_as_a_number_or_a_flag_too() {
    for (requestor, stored) in
        [("0", 0), ("-0.0", 0), ("false", 0), ("\"[REDACTED]\"", 0), ("\"#N/D\"", 0), ("30", 1)]
    {
        let event =
            format!("{{\"occurred_at\":1794000000,\"event\":\"authn_ok\",\"requestor_id\":{requestor}}}\n");
        let (total, notes) = told("a.ndjson", event.as_bytes());
        assert_eq!((total.stored, total.rejected), (stored, 1 - stored), "{requestor}: {notes:?}");
    }
}

#[test]
fn a_format_is_known_by_its_keys_in_capitals_and_by_what_else_an_event_has() {
    let report = r#"{"report":[{"YEAR":2026,"MONTH":11,"DAY":10,"HOUR":8,"REQUESTOR_ID":"REF30","MVPD":"M","AUTHN_ATTEMPTS":5}]}"#;
    assert_eq!(told("e.json", report.as_bytes()).0, counts(1, 1, 0, 0, 0));
    let of_exchange = r#","started_at":"2026-11-20T08:30:00Z","request":{"method":"GET","url":"/x"}}"#;
    let event = events(1).trim_end().replacen('}', of_exchange, 1);
    let other = event.replacen("\"event\":\"", "\"event\":\"http_", 1);
    assert_eq!(told("a.ndjson", format!("{event}\n{}", events(1)).as_bytes()).0.rejected, 0);
    let (total, notes) = told("a.ndjson", other.as_bytes());
    assert_eq!(total, Counts::default(), "the line of a gateway is an exchange: {notes:?}");
}

#[test]
fn quotes_that_are_not_doubled_are_rejected_and_not_read_as_another_value() {
    let row = |user: &str| format!("2026-11-10T08:00:00Z,authn_ok,REF30,{user}\n");
    let good = ["a\"b", "\"a\"\"b\"", "\"a,b\"", "\"a\"\"\"", "\"\"", "\"a\" "].map(row).concat();
    let bad = ["\"a\"b", "\"a\\\"b\"", "\"a\"\"\"b"].map(row).concat();
    let (total, notes) =
        told("a.csv", format!("occurred_at,event,requestor_id,mvpd_user_id\n{good}{bad}").as_bytes());
    let expected = "has text behind the closing quote of field 4: a quote inside quotes is written twice, not once and not behind a backslash";
    assert_eq!(total, counts(9, 5, 1, 0, 3), "two rows say the same: {notes:?}");
    let expected = [8, 9, 10].map(|line| format!("a.csv:{line}: {expected}"));
    assert_eq!(notes[..3], expected);
    assert!(notes[3].starts_with("a.csv:7: 1 identifiers end with blanks"), "{notes:?}");
    // Blanks before a quote make it a part of the value, and a separator inside the quotes ends the value.
    let bad = [" \"u1\"", "\t\"a,b\"", "  \"\""].map(row).concat();
    let good = ["  ", " a\"b\"", " "].map(row).concat();
    let rows = format!("occurred_at,event,requestor_id,mvpd_user_id\n{good}{bad}");
    let (total, notes) = told("b.csv", rows.as_bytes());
    assert_eq!(total.rejected, 3, "{notes:?}");
    let expected = "has a blank before the opening quote of field 4, ";
    assert!(
        notes.iter().zip(5..8).all(|(note, line)| note.starts_with(&format!("b.csv:{line}: {expected}"))),
        "{notes:?}"
    );
    let (_, notes) = told("c.csv", format!("occurred_at, \"event\",requestor_id\n{}", row("u")).as_bytes());
    assert!(notes[0].contains("its header has a blank before the opening quote of field 2"), "{notes:?}");
}

#[test]
fn rows_that_two_stray_quotes_swallowed_are_named_and_none_is_taken() {
    let header = "occurred_at,event,requestor_id,resource_id,mvpd\n";
    let row = |minute: u32, resource: &str, mvpd: &str| {
        format!("2026-11-20T08:{minute:02}:00Z,authn_ok,REF30,{resource},{mvpd}\n")
    };
    let rows = [row(1, "A", "M"), row(2, "\"B", "M"), row(3, "C", "M"), row(4, "D\"", "M"), row(5, "E", "M")]
        .concat();
    let why = "has rows inside its quotes, lines 4 to 5: a quote before them was opened by mistake";
    for ending in ["\n", "\r\n"] {
        let (total, notes) = told("a.csv", format!("{header}{rows}").replace('\n', ending).as_bytes());
        assert_eq!(total, counts(3, 2, 0, 0, 1), "{notes:?}");
        assert!(notes.len() == 1 && notes[0].starts_with(&format!("a.csv:3: {why}")), "{notes:?}");
    }
    // Texts of several lines, with as many commas, are texts.
    let (total, notes) =
        told("a.csv", format!("{header}{}", row(1, "\"a\nb, c, d, e, f\n7\"", "M")).as_bytes());
    assert_eq!((total.stored, notes.len()), (1, 0), "{notes:?}");
    let report = "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,20,8,REF30,\"M,5\n2026,11,20,9,REF30,N\",6\n";
    let (total, notes) = told("e.csv", report.as_bytes());
    assert_eq!(total, Counts::default());
    assert!(notes.iter().any(|note| note.contains("has rows inside its quotes, lines 3 to 3")), "{notes:?}");
}

#[test]
fn a_header_right_behind_the_last_cell_of_a_file_is_no_part_of_a_row() {
    let row = |quote: &str| format!("2026-11-20T08:01:00Z,authn_ok,REF30,P,{quote}M{quote}");
    for (quote, of_name) in [("", ""), ("\"", ""), ("\"", "\"")] {
        let first = format!("occurred_at,event,requestor_id,proxy,mvpd\n{}", row(quote));
        let names = ["occurred_at", "event", "requestor_id", "mvpd", "proxy"]
            .map(|name| format!("{of_name}{name}{of_name}"));
        let (total, notes) = told("ab.csv", format!("{first}{}\n{}\n", names.join(","), row("")).as_bytes());
        assert_eq!(total, Counts::default(), "the row behind it has the other header: {notes:?}");
        assert!(notes[0].contains("ab.csv: cannot be read from line 2 on: the header there"), "{notes:?}");
    }
}

#[test]
fn an_event_inside_an_object_or_a_list_is_named_with_the_way_out() {
    let event = events(1).trim().to_owned();
    for (line, expected) in [
        (format!("{{\"jsonPayload\":{event},\"insertId\":\"x\"}}"), "jq -c '.jsonPayload' FILE"),
        (format!("{{\"took\":1,\"events\":[{event}]}}"), "jq -c '.events[]' FILE"),
        (format!("{{\"time\":1,\"event\":{event}}}"), "jq -c '.event' FILE"),
        (format!("{{\"rows\":{{\"0\":{event},\"1\":{event}}}}}"), "jq -c '.rows.[]' FILE"),
        (format!("{{\"@all\":[{event}]}}"), "jq -c '.\"@all\"[]' FILE"),
        (format!("{{\"2nd\":{event}}}"), "jq -c '.\"2nd\"' FILE"),
    ] {
        let (total, notes) = told("a.ndjson", line.as_bytes());
        assert_eq!(total, counts(1, 0, 0, 0, 1));
        assert!(notes[0].contains("holds its event inside") && notes[0].contains(expected), "{notes:?}");
    }
}

/// What a shell makes of an advice, with the content as its FILE: the counts of what comes out.
fn heeded(advice: &str, content: &[u8]) -> Counts {
    let intake = Intake::new();
    let file = intake.file("source", content);
    let command =
        advice.split_once(", as ").expect("a command").1.split_once(" | passbridge").expect("a pipe").0;
    let command = command.replace("FILE", file.to_str().expect("UTF-8"));
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert!(output.status.success(), "{command}: {output:?}");
    intake.load(&[&intake.file("out.ndjson", &output.stdout)]).total
}

#[test]
fn only_the_new_rows_of_a_change_log_are_events_and_the_advice_takes_those() {
    let [one, two, three] = [0, 1, 2].map(|at| events(3).lines().nth(at).expect("an event").to_owned());
    let change = |before: &str, after: &str, op: &str| {
        format!("{{\"before\":{before},\"after\":{after},\"source\":{{\"table\":\"t\"}},\"op\":\"{op}\"}}")
    };
    let changes = [
        change("null", &one, "c"),
        change("null", &two, "r"),
        change(&one, &three, "u"),
        change("null", &three, "u"),
        change(&two, "null", "d"),
    ];
    let wrapped = changes.iter().map(|change| format!("{{\"schema\":{{}},\"payload\":{change}}}\n"));
    let as_text = [
        change("null", &serde_json::to_string(&one).expect("a text"), "c"),
        changes[1].replace(&two, "\"{}\""),
    ];
    for (content, command) in [
        (changes.join("\n"), r#"jq -c 'select(.op=="c" or .op=="r").after' FILE | passbridge ingest -"#),
        (
            wrapped.collect(),
            r#"jq -c '.payload|select(.op=="c" or .op=="r").after' FILE | passbridge ingest -"#,
        ),
        (as_text.join("\n"), r#"jq -r 'select(.op=="c" or .op=="r").after' FILE | passbridge ingest -"#),
    ] {
        let (total, notes) = told("a.ndjson", content.as_bytes());
        assert_eq!(total.stored, 0);
        let lines = content.lines().filter(|line| line.contains("authz_ok")).count();
        let why = "a changed or deleted row of a database's change log";
        let told = |note: &&String| note.contains(command) || note.contains(why);
        assert_eq!(notes.iter().filter(told).count(), lines, "{notes:?}");
        assert!(notes.iter().any(|note| note.contains(command)), "{notes:?}");
    }
}

#[test]
fn base64_of_events_is_called_base64_and_the_advice_decodes_it() {
    let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let lines: String = events(3).lines().map(|line| encoded(&format!("{line}\n")) + "\n").collect();
    for (name, content) in [("a.txt", lines.clone()), ("a", encoded(&events(3))), ("a.csv", lines)] {
        let (total, notes) = told(name, content.as_bytes());
        assert_eq!(total.stored, 0);
        assert!(notes[0].contains("is Base64"), "{notes:?}");
        assert_eq!(heeded(&notes[0], content.as_bytes()).stored, 3, "{notes:?}");
    }
    let data = encoded(events(1).trim());
    let loki = format!("{{\"streams\":[{{\"values\":[[\"1794297601\",{}]]}}]}}", json!(events(1).trim()));
    for (member, place) in [
        (format!("{{\"data\":\"{data}\"}}"), ".data|@base64d"),
        (
            format!("{{\"Records\":[{{\"kinesis\":{{\"data\":\"{data}\"}}}}]}}"),
            ".Records[].kinesis.data|@base64d",
        ),
        (loki, ".streams[].values[][1]"),
    ] {
        let (total, notes) = told("a.ndjson", member.as_bytes());
        assert_eq!(total.rejected, 1);
        assert!(notes[0].contains(&format!("jq -r '{place}'")), "{notes:?}");
    }
    let packed = format!("{{\"data\":\"{}\"}}", encoded(&data));
    let (_, notes) = told("a.ndjson", packed.as_bytes());
    assert!(
        notes[0].contains("holds text as Base64") && notes[0].contains("jq -r '.NAME|@base64d'"),
        "{notes:?}"
    );
    let padded = r#"{"occurred_at":" 2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30"}"#;
    let (_, notes) = told("a.ndjson", padded.as_bytes());
    assert!(notes[0].contains("has blanks around it: take them off"), "{notes:?}");
    let token = r#"{"data":"eyJhbGciOiJIUzI1NiJ9.e30.x"}"#;
    let (_, notes) = told("a.ndjson", token.as_bytes());
    assert!(notes[0].contains("looks like an exchange"), "a token is no event: {notes:?}");
}

#[test]
fn files_of_another_kind_are_called_by_their_names() {
    let text = events(3);
    let packed = zlib(text.as_bytes());
    for (content, expected) in [
        (&packed[..], "is packed as zlib; only gzip"),
        (b"\x1F\x9D\x90e\xDC", "is packed as compress (.Z); only gzip"),
        (b"7z\xBC\xAF\x27\x1C\0\x04", "is packed as 7z; only gzip"),
        (b"Rar!\x1A\x07\x01\0", "is packed as rar; only gzip"),
        (b"\x04\x22\x4D\x18d@", "is packed as lz4; only gzip"),
        (b"SQLite format 3\0\x10\0", "is a SQLite database; only gzip"),
        (b"PAR1\x15\x04\x15\x10", "is a Parquet file; only gzip"),
        (b"Obj\x01\x04\x16avro.schema", "is an Avro file; only gzip"),
        (b"ORC\x1D\0\0\x0A", "is an ORC file; only gzip"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "is an .xls workbook or another file of Office; only gzip"),
    ] {
        for (name, content) in
            [("a.ndjson", content.to_vec()), ("a", content.to_vec()), ("a.gz", gzip(content))]
        {
            let (_, notes) = told(name, &content);
            assert!(notes[0].contains(expected), "{name} {expected}: {notes:?}");
        }
    }
    for text in ["x^2,a\n", "SQLite,x\n", "PAR1,x\n", "ORC,x\n"] {
        let (_, notes) = told("a.txt", text.as_bytes());
        assert!(notes[0].contains("has no column"), "{text} is a text: {notes:?}");
    }
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content).expect("memory");
    packed.finish().expect("memory")
}

#[test]
fn a_line_that_breaks_off_says_so_and_a_long_window_is_no_damage() {
    let text = events(3);
    let (total, notes) = told("a.ndjson", &text.as_bytes()[..text.len() - 9]);
    assert_eq!((total.stored, total.rejected), (2, 1));
    assert!(
        notes[0].contains("breaks off at column") && notes[0].contains("get the whole line"),
        "{notes:?}"
    );

    let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    packed.window_log(28).expect("a window");
    packed.long_distance_matching(true).expect("a window");
    packed.write_all(text.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let (total, notes) = told("a.ndjson.zst", &packed);
    assert_eq!(total.stored, 0);
    assert!(notes[0].contains("a longer window than 128 MB"), "{notes:?}");
}

#[test]
fn a_report_of_esm_is_known_by_any_separator_of_a_spreadsheet() {
    for separator in [",", ";", "\t", "|"] {
        let text =
            "Year,Month,Day,Hour,Requestor-ID,\"MVPD\",AuthN-Attempts\n2026,11,2,8,REF30,\"A,;\t|B\",5\n";
        let cells = ["2026,11,2,8,REF30,", ",5\n"].map(|part| part.replace(',', separator));
        let header = text.lines().next().expect("a header").replace(',', separator);
        for sep in ["", "sep=?\r\n"] {
            let text =
                format!("{}{header}\n{}\"A,;\t|B\"{}", sep.replace('?', separator), cells[0], cells[1]);
            let intake = Intake::new();
            let summary = intake.load(&[&intake.file("a.csv", text.as_bytes())]);
            assert_eq!(summary.esm.map(|esm| esm.used), Some(1), "{text:?}");
            assert!(intake.stored()[0].contains("A,;\\t|B"), "{text:?} {:?}", intake.stored());
        }
    }
}

#[test]
fn addresses_that_are_none_are_counted_with_their_first_line() {
    let event = |address: &str, second: u32| {
        format!(
            "{{\"occurred_at\":\"2026-11-10T08:00:{second:02}Z\",\"event\":\"authn_ok\",\"requestor_id\":\"REF30\",\"ip_address\":\"{address}\"}}\n"
        )
    };
    let addresses = [
        "for=203.0.113.9;proto=https",
        "unknown",
        "203.0.113.0/24",
        "/203.0.113.9:51234",
        "viewer",
        "203.0.113.9",
    ];
    let lines: String = addresses.iter().zip(0..).map(|(address, second)| event(address, second)).collect();
    let (total, notes) = told("a.ndjson", lines.as_bytes());
    assert_eq!(total, counts(6, 6, 0, 0, 0));
    assert_eq!(notes, ["a.ndjson:3: 2 values of ip_address are no address of a viewer, and none is sent"]);
}

#[test]
fn what_is_no_line_of_json_is_called_by_its_name() {
    let event = events(1).trim().to_owned();
    let wide: Vec<u8> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, expected) in [
        (format!("{event},\n").into_bytes(), "has a comma behind its object"),
        (format!("{{}}\n[{event},\n{event}]\n").into_bytes(), "is a JSON list or a part of one"),
        (
            event.replace('{', "{\n").replace(',', ",\n").into_bytes(),
            "is a part of a JSON object on several lines",
        ),
        (event.replace('{', "{\"ttl\":NaN,").into_bytes(), "has NaN at column 8"),
        (serde_json::to_vec(&event).expect("text"), "is JSON as a text"),
        ([&b"{}\n"[..], &gzip(event.as_bytes())].concat(), "is compressed data among plain text"),
    ] {
        let (total, notes) = told("a.ndjson", &content);
        assert_eq!((total.stored, total.rejected > 0), (0, true), "{expected}: {notes:?}");
        assert!(notes.iter().any(|note| note.contains(expected)), "{expected}: {notes:?}");
    }
    assert_eq!(
        told("a.ndjson", &wide).1,
        ["a.ndjson: is UTF-16; save it as UTF-8, as iconv -f UTF-16 -t UTF-8 FILE does"]
    );
    for mark in ["", "\u{feff}"] {
        let letters: Vec<u32> = format!("{mark}{event}").chars().map(u32::from).collect();
        let small: Vec<u8> = letters.iter().flat_map(|letter| letter.to_le_bytes()).collect();
        let big: Vec<u8> = letters.iter().flat_map(|letter| letter.to_be_bytes()).collect();
        for wide in [small, big] {
            let expected = "a.ndjson: is UTF-32; save it as UTF-8, as iconv -f UTF-32 -t UTF-8 FILE does";
            assert_eq!(told("a.ndjson", &wide).1, [expected], "{mark:?}");
        }
    }
}

#[test]
fn a_source_with_a_header_alone_or_an_empty_report_is_said_to_be_empty() {
    for (name, content) in [
        ("a.csv", "occurred_at,event,requestor_id\n"),
        ("b.json", "{\"report\":[]}"),
        ("c.csv", "year,month,day,hour,requestor-id,authn-successful\n"),
        ("d.har", "{\"log\":{\"version\":\"1.2\",\"entries\":[]}}"),
    ] {
        let (total, notes) = told(name, content.as_bytes());
        let expected =
            format!("{name}: is empty but for its header or frame: nothing in it could be an event");
        assert_eq!((total, notes), (Counts::default(), vec![expected]));
    }
}

/// A report of one requestor in each form of ESM, with these columns in addition: name and value of a CSV cell.
fn reports(columns: &[(&str, &str)]) -> [(&'static str, String); 3] {
    let time = [("year", "2026"), ("month", "11"), ("day", "10"), ("hour", "8"), ("requestor-id", "REF30")];
    let all: Vec<(&str, &str)> = time.iter().chain(columns).copied().collect();
    let joined = |separator: &str, one: &dyn Fn(&str, &str) -> String| {
        all.iter().map(|(name, value)| one(name, value)).collect::<Vec<_>>().join(separator)
    };
    let names = joined(",", &|name, _| name.to_owned());
    let cells = joined(",", &|_, value| format!("\"{value}\""));
    let members = joined(",", &|name, value| format!("\"{name}\":\"{value}\""));
    let attributes = joined(" ", &|name, value| format!("{name}=\"{value}\""));
    [
        ("r.csv", format!("{names}\n{cells}\n")),
        ("r.json", format!("{{\"report\":[{{{members}}}]}}")),
        ("r.xml", format!("<resource href=\"x\"><report>\n<record {attributes}/></report></resource>")),
    ]
}

#[test]
fn dimensions_of_a_report_that_a_spreadsheet_spoilt_are_said_in_every_form() {
    for spoilt in ["9,99E+11", "1.23457E+11", "######", "#N/A"] {
        for dimension in ["mvpd", "proxy", "resource-id", "device", "application-name"] {
            for metric in ["authn-attempts", "unique-accounts"] {
                for (name, report) in reports(&[(dimension, spoilt), (metric, "5")]) {
                    let (total, notes) = told(name, report.as_bytes());
                    assert_eq!(
                        (total.stored, total.rejected),
                        (u64::from(metric == "authn-attempts"), 0),
                        "{notes:?}"
                    );
                    let line = if name == "r.csv" { 2 } else { 1 };
                    let expected = format!(
                        "{name}:{line}: 1 identifiers were spoilt by a spreadsheet, first {dimension} {spoilt:?}"
                    );
                    assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{expected}: {notes:?}");
                }
            }
        }
        for metric in ["authn-attempts", "clientless-failures", "unique-accounts"] {
            for (name, report) in reports(&[("mvpd", "M"), (metric, spoilt)]) {
                let (total, notes) = told(name, report.as_bytes());
                assert_eq!((total.stored, total.rejected), (0, 1), "{name} {metric}: {notes:?}");
                assert!(notes[0].contains(&format!("has {metric} {spoilt:?}")), "{name}: {notes:?}");
            }
        }
    }
}

#[test]
fn a_value_of_a_report_in_json_that_is_no_text_costs_its_record_and_is_named() {
    let [_, (_, report), _] = reports(&[("mvpd", "MVPD"), ("authn-attempts", "5"), ("authz-latency", "7")]);
    let record = report.trim_start_matches("{\"report\":[").trim_end_matches("]}");
    let good = record.replace("\"8\"", "\"9\"");
    for (name, whole, value) in [
        ("mvpd", "\"MVPD\"", "{\"id\":\"M\"}"),
        ("mvpd", "\"MVPD\"", "[\"M\"]"),
        ("mvpd", "\"MVPD\"", "9.99e11"),
        ("mvpd", "\"MVPD\"", "12345678901234567890123"),
        ("authn-attempts", "\"5\"", "{\"n\":5}"),
        ("authz-latency", "\"7\"", "[7]"),
    ] {
        let report = format!("{{\"report\":[{},\n{good}]}}", record.replace(whole, value));
        let (total, notes) = told("r.json", report.as_bytes());
        assert_eq!((total.stored, total.rejected), (1, 1), "{report}: {notes:?}");
        assert!(notes[0].starts_with(&format!("r.json:1: has {name} ")), "{value}: {notes:?}");
    }
}

#[test]
fn rejects_of_a_report_in_csv_have_the_line_in_the_file() {
    let csv = "sep=,\nyear,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,\"M\n\n1\",5\n\n2026,11,10,8,REF30,N,many\n";
    let (total, notes) = told("r.csv", csv.as_bytes());
    assert_eq!(total, counts(2, 0, 0, 0, 2));
    assert!(notes[0].starts_with("r.csv:3: has mvpd "), "a line end within a name: {notes:?}");
    assert_eq!(notes[1], "r.csv:7: has authn-attempts \"many\", which is no count");
    let (_, notes) = told("r.csv", format!("{csv}1,2\n").as_bytes());
    assert!(notes[0].contains("breaks off in line 8: a row has 2 cells"), "{notes:?}");
}

#[test]
fn what_follows_a_report_in_xml_is_refused_and_its_tags_have_any_case() {
    let [_, _, (name, report)] = reports(&[("mvpd", "M"), ("authn-attempts", "5")]);
    let capitals =
        report.replace("resource", "RESOURCE").replace("report", "Report").replace("record", "Record");
    for whole in [capitals, format!("{report}\n<!-- end -->\n")] {
        let (total, notes) = told(name, whole.as_bytes());
        assert_eq!((total.stored, notes.len()), (1, 0), "{whole}: {notes:?}");
    }
    let (total, notes) = told(name, format!("{report}\n{report}").as_bytes());
    assert_eq!((total.stored, notes.len()), (1, 1), "the same report twice: {notes:?}");
    assert!(notes[0].contains("1 records repeat others of the report"), "{notes:?}");
    let record =
        &report[report.find("<record").expect("a record")..report.find("</report>").expect("its end")];
    for tail in ["HTTP/1.1 500", "<![CDATA[x]]>", "&amp;", record] {
        let (total, notes) = told(name, format!("{report}\n{tail}").as_bytes());
        assert_eq!(total.stored, 0, "{tail}");
        assert!(notes[0].contains("line 3: something follows the </resource>"), "{tail}: {notes:?}");
    }
}

#[test]
fn an_mvpd_that_says_there_is_none_is_told_and_such_a_requestor_is_rejected() {
    for word in ["n/a", "unknown", "undefined", "None", "nil"] {
        let row = |requestor: &str, mvpd: &str| format!("2026-11-10T08:00:00Z,authn_ok,{requestor},{mvpd}\n");
        let rows = [row("REF30", "M"), row("REF30", word), row(word, "M")].concat();
        let (total, notes) = told("a.csv", format!("occurred_at,event,requestor_id,mvpd\n{rows}").as_bytes());
        assert_eq!(total, counts(3, 2, 0, 0, 1), "{word}: {notes:?}");
        assert!(notes[0].ends_with("names no requestor: it says that there is none"), "{notes:?}");
        let expected =
            format!("a.csv:3: 1 names of an MVPD or a proxy say that there is none, first mvpd {word:?}");
        assert!(notes.len() == 2 && notes[1].starts_with(&expected), "{notes:?}");
    }
}

#[test]
fn a_record_of_a_report_that_sums_up_others_is_rejected() {
    for (name, totals) in [("mvpd", "Total"), ("mvpd", "GRAND TOTAL"), ("requestor-id", "total")] {
        let (requestor, mvpd) = if name == "mvpd" { ("REF30", totals) } else { (totals, "A") };
        let report = format!(
            "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,A,3\n2026,11,10,8,{requestor},{mvpd},3\n"
        );
        let (total, notes) = told("esm.csv", report.as_bytes());
        assert_eq!((total.stored, total.rejected), (1, 1), "{notes:?}");
        assert!(notes[0].contains(&format!("has {name} {totals:?}: it sums up other records")), "{notes:?}");
    }
}

#[test]
fn a_row_that_its_source_breaks_off_is_rejected_or_told() {
    let start = "occurred_at,event,requestor_id,mvpd_user_id\n2026-11-10T08:00:00Z,authn_ok,REF30,user1\n";
    let read = |end: &str| told("a.csv", format!("{start}{end}").as_bytes());
    let (total, notes) = read("2026-11-10T08:00:01Z,authn_ok,REF30,us");
    assert_eq!(total, counts(2, 2, 0, 0, 0));
    assert!(notes.len() == 1 && notes[0].starts_with("a.csv:3: 1 rows have no line end: "), "{notes:?}");
    let whole = "2026-11-10T08:00:01Z,authn_ok,REF30,";
    for end in ["user2\r\n", "\"user2\""] {
        assert_eq!(read(&format!("{whole}{end}")), (counts(2, 2, 0, 0, 0), vec![]), "{end}");
    }
    for (end, why) in [
        (
            "2026-11-10T08:00:01Z,authn_ok,RE",
            "has 3 fields and no line end; the header has 4: the source breaks off here",
        ),
        ("2026-11-10T08:00:01Z,authn_ok,REF30,\"us", "opens a quote that is never closed; "),
    ] {
        let (total, notes) = read(end);
        assert_eq!(total, counts(2, 1, 0, 0, 1), "{notes:?}");
        assert!(notes[0].starts_with(&format!("a.csv:3: {why}")), "{notes:?}");
    }
}

#[test]
fn zero_bytes_between_lines_are_told_with_the_first_line() {
    let line = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30"}"#;
    let other = line.replace(":00Z", ":01Z");
    let (total, notes) = told("a.ndjson", format!("{line}\n\0\0\0{other}\n\0\n").as_bytes());
    assert_eq!(total, counts(2, 2, 0, 0, 0));
    assert!(
        notes.len() == 1 && notes[0].starts_with("a.ndjson:2: has 4 zero bytes from here on"),
        "{notes:?}"
    );
}

#[test]
fn the_name_of_a_file_is_told_on_one_line() {
    let (_, notes) = told("a\nWARN b.ndjson", b"{}\n");
    assert_eq!(notes, ["a\\u000aWARN b.ndjson:1: occurred_at is missing"]);
}

#[test]
fn a_lone_line_that_is_no_event_does_not_say_that_it_follows_one() {
    let (_, notes) = told("a.ndjson", b"\"a text\"\n");
    let expected = "a.ndjson:1: is a part of an exchange, or of an object on several lines, or follows one";
    assert!(notes[0].starts_with(expected), "{notes:?}");
}

#[test]
fn what_no_format_fits_is_called_by_its_name() {
    let ebcdic: Vec<u8> = [
        0x96, 0x83, 0x83, 0xA4, 0x99, 0x99, 0x85, 0x84, 0x6D, 0x81, 0xA3, 0x6B, 0x85, 0xA5, 0x85, 0x95, 0xA3,
        0x25,
    ]
    .repeat(9);
    let event = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30"}"#;
    let form = format!(
        "--------------------------d7\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{event}\r\n"
    );
    for (name, content, what) in [
        ("a.csv", &ebcdic[..], "is EBCDIC; convert it, as iconv -f IBM-1047 -t UTF-8 FILE does"),
        ("a", &ebcdic, "is EBCDIC"),
        ("a.ndjson", form.replace("occurred_at", "at").as_bytes(), "is a multipart form; send what is in its part alone"),
        ("a.json", form.as_bytes(), "is a multipart form"),
        (
            "a.xml",
            b"<?xml version='1.0' encoding='UTF-8' ?>\n<?charles serialization-version='2.0' ?>\n<charles-session>",
            "is a session of Charles; export it as an HTTP archive (HAR) there",
        ),
        (
            "a.chlsj",
            br#"[{"status":"COMPLETE","method":"GET","protocolVersion":"HTTP/1.1","scheme":"https"}]"#,
            "is a session of Charles",
        ),
        ("a.yml", b"---\nhttp_interactions:\n- request:\n    method: get\n", "is a recording of VCR"),
        ("a.json", br#"{"http_interactions":[{"request":{"method":"get"}}]}"#, "is a recording of VCR"),
    ] {
        let (total, notes) = told(name, content);
        let is_named = notes.len() == 1 && notes[0].starts_with(&format!("{name}: {what}"));
        assert!(is_named && total == Counts::default(), "{name}: {notes:?}");
    }
    // An event may have such words in its values.
    let words = event.replace("REF30\"", "REF30\",\"resource_id\":\"http_interactions:\"");
    assert_eq!(told("a.ndjson", words.as_bytes()).0, counts(1, 1, 0, 0, 0));
}

#[test]
fn a_document_that_is_no_report_or_archive_is_not_said_to_break_off() {
    let report =
        "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2026,11,10,8,REF30,T\u{e9}l\u{e9},5\n";
    let latin: Vec<u8> = report.chars().map(|letter| letter as u8).collect();
    for (format, content, what) in [
        ("esm", &latin[..], "iconv -f WINDOWS-1252 -t UTF-8 FILE"),
        ("esm", b"<?xml version=\"1.0\"?><rss><record year=\"2026\"/></rss>", "no ESM report"),
        ("har", b"[]", "no HTTP archive"),
    ] {
        let program = Program::new();
        std::fs::write(program.path("a.txt"), content).expect("a file");
        let path = program.path("a.txt");
        let done = program.run(&["ingest", "--format", format, path.to_str().expect("UTF-8")]);
        let is_right = done.code == 1 && done.err.contains("cannot be read") && done.err.contains(what);
        assert!(is_right && !done.err.contains("breaks off"), "{done:?}");
    }
}

#[test]
fn lines_that_end_with_two_returns_and_a_feed_are_counted_once() {
    let rows = "occurred_at,event,requestor_id\n2026-11-10T08:00:00Z,authn_ok,REF30\nx,authn_ok,REF30\n2026-11-10T09:00:00Z,authn_ok,REF30\ny,authn_ok,REF30\n";
    for end in ["\n", "\r\n", "\r\r\n", "\r"] {
        let (total, notes) = told("a.csv", rows.replace('\n', end).as_bytes());
        assert_eq!(total, counts(4, 2, 0, 0, 2), "{end:?}");
        let lines: Vec<&str> = notes.iter().map(|note| note.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(lines, ["a.csv:3", "a.csv:5"], "{end:?}");
    }
}

#[test]
fn identifiers_that_a_column_padded_with_blanks_are_told() {
    let start = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30""#;
    for key in ["mvpd_user_id", "device_id", "event_id"] {
        let lines = format!("{start},\"{key}\":\"bob\"}}\n{start},\"{key}\":\"bob   \"}}\n");
        let (total, notes) = told("a.ndjson", lines.as_bytes());
        assert_eq!(total, counts(2, 2, 0, 0, 0), "{key}: {notes:?}");
        let expected = format!("a.ndjson:2: 1 identifiers end with blanks, first {key} \"bob   \"");
        assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{notes:?}");
    }
}

#[test]
fn identifiers_as_a_program_prints_them_and_numbers_as_pandas_writes_them_are_told() {
    let start = r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"authn_ok","requestor_id":"REF30""#;
    for (key, value, is_told) in [
        ("mvpd", json!("\"Cableco\""), Some("identifiers are printed")),
        ("mvpd", json!("Grand Total"), Some("names of an MVPD or a proxy mean the sum of others")),
        ("mvpd", json!("Totalplay"), None),
        ("mvpd_user_id", json!("Optional[u1]"), Some("identifiers are printed")),
        ("mvpd_user_id", json!("b'u1'"), Some("identifiers are printed")),
        ("mvpd_user_id", json!("dXNlcg%3D%3D"), Some("identifiers are printed")),
        ("mvpd_user_id", json!("u1\u{200b}"), Some("identifiers are printed")),
        ("mvpd_user_id", json!("\u{202a}u1"), Some("identifiers are printed")),
        ("mvpd_user_id", json!("bob"), None),
        ("mvpd_user_id", json!("Ünal"), None),
        ("resource_id", json!("[News]"), None),
        ("latency_ms", json!("120.0"), Some("values are whole numbers with a fraction of zeros")),
        ("ttl", json!(3600.0), Some("values are whole numbers with a fraction of zeros")),
        ("latency_ms", json!("12.5"), None),
    ] {
        let (total, notes) = told("a.ndjson", format!("{start},\"{key}\":{value}}}\n").as_bytes());
        assert_eq!(total, counts(1, 1, 0, 0, 0), "{value}: {notes:?}");
        let found = notes.iter().find(|note| is_told.is_some_and(|told| note.contains(told)));
        assert!(found.is_some() == is_told.is_some() && notes.len() <= 1, "{key} {value}: {notes:?}");
    }
}

#[test]
fn the_value_that_the_name_of_a_folder_has_is_asked_for_in_each_line() {
    let program = Program::new();
    let line =
        r#"{"occurred_at":"2026-11-10T08:00:00Z","event":"play_requested","requestor_id":"REF30","count":5"#;
    for (folder, rest) in [
        ("mvpd=Cableco", ""),
        ("mvpd=Brightline/day=2026-11-10", ""),
        ("mvpd=Other", ",\"mvpd\":\"Other\""),
        ("mvpd=__HIVE_DEFAULT_PARTITION__", ""),
    ] {
        let folder = program.path("out").join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("part-0.json"), format!("{line}{rest}}}\n")).expect("a file");
    }
    let out = program.path("out");
    let (code, done) = program.json(&["ingest", out.to_str().expect("UTF-8")]);
    let total = &done["total"];
    assert_eq!((code, &total["stored"], &total["rejected"]), (3, &json!(2), &json!(2)), "{done}");
    let rejects = std::fs::read_dir(program.path("rejects")).expect("rejects").next().expect("a file");
    let kept = std::fs::read_to_string(rejects.expect("an entry").path()).expect("UTF-8");
    assert!(kept.contains("has no mvpd, and its folder \\\"mvpd=Cableco\\\" has one"), "{kept}");
}

#[test]
fn the_nearest_name_is_searched_for_a_few_unknown_events_alone() {
    let row = |number: usize| {
        format!(
            "2026-11-10T08:00:00Z,{},REF30\n",
            if number == 59 { "authn_0k".to_owned() } else { format!("authn_{number}") }
        )
    };
    let rows: String = (0..60).chain([0]).map(row).collect();
    let intake = Intake::new();
    let path = intake.file("a.csv", format!("occurred_at,event,requestor_id\n{rows}").as_bytes());
    let summary = intake.load(&[&path]);
    assert_eq!(summary.total, counts(61, 0, 0, 0, 61));
    let kept = std::fs::read_to_string(summary.rejects_path.expect("rejects")).expect("a file");
    assert_eq!(kept.lines().count(), 61);
    let searched: Vec<bool> = kept.lines().map(|line| line.contains("is unknown; the nearest is")).collect();
    assert_eq!(searched.iter().filter(|it| **it).count(), 21, "twenty names, one of them twice");
    assert!(searched[0] && searched[60] && !searched[59]);
}
