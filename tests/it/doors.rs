//! Other programs read the buffer: its views are as the page says, and exports skip and repeat nothing.

use std::collections::BTreeMap;
use std::path::Path;

use passbridge::event::{EventKind, Property};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::program::Program;
use crate::support::sandbox;

const VIEWS: [&str; 5] = ["v_events", "v_outcomes", "v_runs", "v_inputs", "v_metrics"];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reporting.md");
    let page = std::fs::read_to_string(path).expect("the page");
    page.split_once("\n## Query the buffer in place").expect("the section").1.to_owned()
}

/// Three events that are delivered, one that is dead, one pending without a suite, and one that a person discarded.
fn in_all_states(program: &Program) -> passbridge::sandbox::Handle {
    let sandbox = sandbox("");
    program.suite(&sandbox.url());
    let line = |id: &str, requestor: &str, more: &str| {
        format!(
            "{{\"occurred_at\":\"2026-11-01T00:00:00.1234Z\",\"event\":\"authn_ok\",\"requestor_id\":\"{requestor}\",\
             \"event_id\":\"{id}\",\"mvpd\":\"Cable, \\\"Co\\\"\",\"mvpd_user_id\":\"u1\"{more}}}\n"
        )
    };
    let text = [
        line("a", "REF30", ""),
        line("b", "REF30", ",\"count\":3"),
        line("c", "REF30", ",\"user_agent\":\"\u{202e}é\\u0001\""),
        line("d", "REF30", ",\"count\":900000"),
        line("e", "REF30", ",\"count\":900001"),
        line("f", "REF40", ""),
    ];
    program.write("all.ndjson", &text.concat());
    assert_eq!(program.run(&["ingest", program.path("all.ndjson").to_str().expect("UTF-8")]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    assert_eq!(program.run(&["dead-letter", "discard", "5"]).code, 0);
    sandbox
}

fn database(program: &Program) -> Connection {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(program.path("passbridge.db"), flags).expect("a reader")
}

fn columns(database: &Connection, view: &str) -> Vec<String> {
    let statement = database.prepare(&format!("SELECT * FROM {view}")).expect(view);
    statement.column_names().map(str::to_owned).collect()
}

/// The rows of a view, as JSON objects without what is NULL.
fn rows(database: &Connection, view: &str) -> Vec<BTreeMap<String, Value>> {
    let names = columns(database, view);
    let mut statement = database.prepare(&format!("SELECT * FROM {view} ORDER BY sequence")).expect(view);
    let rows = statement.query_map([], |row| {
        let cells = names.iter().enumerate().map(|(index, name)| {
            let value = match row.get_ref(index).expect("a cell") {
                rusqlite::types::ValueRef::Integer(number) => json!(number),
                rusqlite::types::ValueRef::Text(text) => json!(str::from_utf8(text).expect("UTF-8")),
                _ => Value::Null,
            };
            (name.clone(), value)
        });
        Ok(cells.filter(|(_, value)| !value.is_null()).collect())
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

fn objects(text: &str) -> Vec<BTreeMap<String, Value>> {
    let read = |line: &str| {
        let object: BTreeMap<String, Value> = serde_json::from_str(line).expect("JSON");
        object.into_iter().filter(|(_, value)| !value.is_null()).collect()
    };
    text.lines().map(read).collect()
}

fn cursor(err: &str) -> String {
    err.lines().find_map(|line| line.strip_prefix("cursor ")).expect("a cursor").to_owned()
}

#[test]
fn the_views_have_what_the_page_says_and_its_queries_answer() {
    let program = Program::new();
    let _sandbox = in_all_states(&program);
    let (database, page) = (database(&program), page());
    for view in VIEWS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{view}`"))).expect(view);
        for column in columns(&database, view) {
            let is_property = Property::from_name(&column).is_some() && view == "v_events";
            assert!(is_property || row.contains(&format!("`{column}`")), "{view}: {column}");
        }
    }
    let kinds: Vec<(u8, String)> = database
        .prepare("SELECT slot, event FROM event_kinds ORDER BY slot")
        .and_then(|mut kinds| kinds.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .expect("kinds");
    assert_eq!(kinds, EventKind::ALL.map(|kind| (kind.slot(), kind.name().to_owned())));
    let (_, block) = page.split_once("```sql\n").expect("queries");
    let queries: Vec<&str> = block.split_once("```").expect("an end").0.split_inclusive(";\n").collect();
    assert!(queries.len() > 5);
    for query in queries {
        let mut statement = database.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let found = statement.query([]).and_then(|mut rows| Ok(rows.next()?.is_some()));
        assert!(found.expect(query), "{query}");
    }
}

#[test]
fn an_export_has_every_column_of_its_view_and_the_serial_that_was_sent() {
    let program = Program::new();
    let sandbox = in_all_states(&program);
    let database = database(&program);
    let events = program.run(&["export", "events"]);
    assert_eq!(objects(&events.out), rows(&database, "v_events"));
    let states: Vec<Value> = objects(&events.out).iter().map(|event| event["state"].clone()).collect();
    assert_eq!(states, ["delivered", "delivered", "delivered", "dead", "discarded", "pending"]);
    let outcomes = objects(&program.run(&["export", "outcomes"]).out);
    let mut last: BTreeMap<u64, BTreeMap<String, Value>> = BTreeMap::new();
    for mut outcome in outcomes {
        let serial = outcome.remove("serial").expect("a serial");
        if outcome["state"] == "delivered" {
            let serial = serial.as_str().expect("text");
            assert!(sandbox.hits().iter().any(|hit| format!("{hit:?}").contains(serial)), "{serial}");
        }
        last.insert(outcome["sequence"].as_u64().expect("a number"), outcome);
    }
    assert_eq!(last.into_values().collect::<Vec<_>>(), rows(&database, "v_outcomes"));
    for (kind, view) in [("events", "v_events"), ("outcomes", "v_outcomes")] {
        let csv = program.run(&["export", kind, "--format", "csv"]);
        let mut names: Vec<String> =
            csv.out.lines().next().expect("a header").split(',').map(str::to_owned).collect();
        names.retain(|name| name != "serial");
        assert_eq!(names, columns(&database, view));
        assert_eq!(cursor(&csv.err), cursor(&program.run(&["export", kind]).err));
    }
    let csv = program.run(&["export", "events", "--format", "csv"]).out;
    let first = csv.lines().nth(1).expect("an event");
    assert!(
        first.contains(",a,\"Cable, \"\"Co\"\"\",") && first.contains("2026-11-01T00:00:00.123Z"),
        "{first}"
    );
}

#[test]
fn exports_in_a_row_skip_nothing_and_repeat_nothing() {
    let program = Program::new();
    let sandbox = sandbox("");
    program.suite(&sandbox.url());
    let mut cursors: BTreeMap<&str, String> = BTreeMap::new();
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for round in 1..=3 {
        program.write("more.ndjson", &crate::program::lines(5_000 * round));
        let more = program.place("more.ndjson");
        assert_eq!(program.run(&["ingest", &more, "--accept-days", "2026-11-01"]).code, 0);
        assert_eq!(program.run(&["drain", "--limit", "3000"]).code, 4);
        for kind in ["events", "outcomes"] {
            let mut args = vec!["export", kind];
            if let Some(cursor) = cursors.get(kind) {
                args.extend(["--since", cursor.as_str()]);
            }
            let done = program.run(&args);
            assert_eq!(done.code, 0, "{done:?}");
            let rows = objects(&done.out).into_iter().map(|row| row["sequence"].as_u64().expect("a number"));
            seen.entry(kind).or_default().extend(rows);
            cursors.insert(kind, cursor(&done.err));
        }
    }
    assert_eq!(seen["events"], (1..=15_000).collect::<Vec<_>>());
    let mut outcomes = seen.remove("outcomes").expect("outcomes");
    assert!(outcomes.len() >= 9_000, "{}", outcomes.len());
    outcomes.sort_unstable();
    outcomes.dedup();
    let delivered: usize = database(&program)
        .query_row("SELECT count(*) FROM delivered", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(outcomes.len(), delivered);
    // With a file for the rows, the cursor is in the document.
    let file = program.path("rows.ndjson");
    let (code, report) = program.json(&[
        "export",
        "events",
        "--since",
        &cursors["events"],
        "--output",
        file.to_str().expect("UTF-8"),
    ]);
    assert_eq!((code, &report["rows"], &report["cursor"]), (0, &json!(0), &json!(cursors["events"])));
    assert_eq!(program.json(&["export", "events"]).0, 2);
}

#[test]
fn what_a_person_decides_comes_behind_the_cursor() {
    let program = Program::new();
    let _sandbox = in_all_states(&program);
    let first = program.run(&["export", "outcomes"]);
    let states = |text: &str| {
        let rows = objects(text).into_iter();
        rows.map(|row| format!("{} {}", row["sequence"], row["state"].as_str().expect("text")))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(&first.out),
        ["4 dead", "5 dead", "5 discarded", "1 delivered", "2 delivered", "3 delivered"]
    );
    assert_eq!(program.run(&["dead-letter", "discard", "4"]).code, 0);
    let second = program.run(&["export", "outcomes", "--since", &cursor(&first.err)]);
    assert_eq!(states(&second.out), ["4 discarded"]);
}

#[test]
fn a_cursor_of_another_buffer_export_or_time_is_refused() {
    let (program, other) = (Program::new(), Program::new());
    for program in [&program, &other] {
        program.ingest(3);
    }
    let of = |program: &Program| cursor(&program.run(&["export", "events"]).err);
    let own = of(&program);
    let code = |cursor: &str| program.run(&["export", "events", "--since", cursor]).code;
    let outcomes = cursor(&program.run(&["export", "outcomes"]).err);
    assert_eq!([&own, &of(&other), &outcomes, "events:1"].map(code), [0, 2, 2, 2]);
    let copy = program.path("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    assert_eq!(program.run(&["backup", copy]).code, 0);
    assert_eq!(program.run(&["restore", copy]).code, 0);
    let refused = program.run(&["export", "events", "--since", &own]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("restored"), "{}", refused.err);
}
