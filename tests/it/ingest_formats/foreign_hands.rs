//! What spreadsheets, log shippers and other programs make of events on their way is read right, or said.

use super::*;

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
    let (_, notes) = told("a.ndjson", number.as_bytes());
    assert!(notes[0].starts_with("a.ndjson:1: 1 identifiers were spoilt"), "{notes:?}");
    for (key, value) in [
        ("event_id", "1e5"),
        ("event_id", "1.5E+3"),
        ("mvpd_user_id", "1e5"),
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
    let (total, notes) = told("b.ndjson", number.replace("1.23457e11", "12345678901234567890").as_bytes());
    assert_eq!((total, notes.len()), (counts(1, 1, 0, 0, 0), 0), "a long number keeps its digits");
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
fn quotes_that_are_not_doubled_are_rejected_and_not_read_as_another_value() {
    let row = |user: &str| format!("2026-11-10T08:00:00Z,authn_ok,REF30,{user}\n");
    let good = ["a\"b", "\"a\"\"b\"", "\"a,b\"", "\"a\"\"\"", "\"\"", "\"a\" "].map(row).concat();
    let bad = ["\"a\"b", "\"a\\\"b\"", "\"a\"\"\"b"].map(row).concat();
    let (total, notes) =
        told("a.csv", format!("occurred_at,event,requestor_id,mvpd_user_id\n{good}{bad}").as_bytes());
    let expected = "has text behind the closing quote of field 4: a quote inside quotes is written twice, not once and not behind a backslash";
    assert_eq!(total, counts(9, 5, 1, 0, 3), "two rows say the same: {notes:?}");
    let expected = [8, 9, 10].map(|line| format!("a.csv:{line}: {expected}"));
    assert_eq!(notes, expected);
}

#[test]
fn an_event_inside_an_object_or_a_list_is_named_with_the_way_out() {
    let event = events(1).trim().to_owned();
    for (line, expected) in [
        (format!("{{\"jsonPayload\":{event},\"insertId\":\"x\"}}"), "jq -c '.jsonPayload' FILE"),
        (format!("{{\"took\":1,\"events\":[{event}]}}"), "jq -c '.events[]' FILE"),
    ] {
        let (total, notes) = told("a.ndjson", line.as_bytes());
        assert_eq!(total, counts(1, 0, 0, 0, 1));
        assert!(notes[0].contains("holds its event inside") && notes[0].contains(expected), "{notes:?}");
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
    assert_eq!(notes, ["a.ndjson:3: 2 values of ip_address are no address, and none is sent"]);
}

#[test]
fn what_is_no_line_of_json_is_called_by_its_name() {
    let event = events(1).trim().to_owned();
    let wide: Vec<u8> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, expected) in [
        (format!("{event},\n").into_bytes(), "has a comma behind its object"),
        (format!("[{event},\n{event}]\n").into_bytes(), "is a JSON list or a part of one"),
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
    assert_eq!(told("a.ndjson", &wide).1, ["a.ndjson: is UTF-16; save it as UTF-8"]);
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
