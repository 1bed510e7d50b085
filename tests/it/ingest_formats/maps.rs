//! What a warehouse exports under names of its own comes in by a map, through every door alike.

use std::process::Stdio;
use std::time::{Duration, Instant as Timer};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::*;
use crate::program::{Program, lines, send};
use crate::serve::Listening;
use crate::support::PATIENCE;

const MAP: &str = r#"
keys = { occurred_at = "EVENT_TIME", event = "kind", mvpd_user_id = "payload.user.id", mvpd = "provider" }
constants = { requestor_id = "REF30" }
values = { mvpd = { "cc" = "Cableco" } }
time_format = "%d.%m.%Y %H:%M:%S"
timezone = "Europe/Berlin"
null_words = ["N/V"]
"#;
const LINE: &str = r#"{"Event_Time":"10.11.2026 09:00:00","kind":"AuthZ OK","payload":{"user":{"id":"u1"}},"provider":"CC"}"#;
const TOKEN: &str = "token-of-the-warehouse";

fn program(rest: &str) -> Program {
    let program = Program::with(&format!("{rest}\n[map.warehouse]\n{MAP}"));
    program.write("map.toml", MAP);
    program
}

/// What a dry run shows of an input, and how it ends.
fn dry(program: &Program, map: &str, name: &str, content: &str) -> (i32, Vec<Value>, String) {
    program.write(name, content);
    let path = program.path(name);
    let done = program.run(&["ingest", "--dry-run", "--map", map, path.to_str().expect("UTF-8")]);
    let events = done.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (done.code, events, done.err)
}

fn event() -> Value {
    json!({"occurred_at": "2026-11-10T08:00:00Z", "event": "authz_ok", "requestor_id": "REF30", "mvpd": "Cableco",
        "mvpd_user_id": "u1"})
}

#[test]
fn a_map_of_the_configuration_or_of_a_file_means_the_same_in_every_format() {
    let program = program("");
    let file = program.path("map.toml");
    let header = "provider;payload;Kind;EVENT_TIME";
    let row = "cc;\"{\"\"user\"\":{\"\"id\"\":\"\"u1\"\"}}\";authz-ok;10.11.2026 09:00:00";
    for map in ["warehouse", file.to_str().expect("UTF-8")] {
        for (name, content) in [
            ("a.ndjson", format!("{LINE}\n")),
            ("a.json", format!("[\n{LINE}\n]\n")),
            ("a.csv", format!("{header}\n{row}\n")),
            ("a.tsv", format!("{header}\n{row}\n").replace(';', "\t")),
        ] {
            let (code, events, told) = dry(&program, map, name, &content);
            assert_eq!((code, events), (0, vec![event()]), "{map} {name}: {told}");
        }
    }
}

#[test]
fn a_renamed_column_a_map_that_is_none_and_a_format_without_one_stop_the_ingest() {
    let program = program("");
    let csv = "provider;payload;Kind;AT\ncc;;authz-ok;10.11.2026 09:00:00\n";
    let (code, events, told) = dry(&program, "warehouse", "a.csv", csv);
    assert_eq!((code, events.len()), (1, 0));
    assert!(told.contains("has no column \"EVENT_TIME\", from which the map takes occurred_at"), "{told}");
    let (code, _, told) = dry(&program, "warehouse", "b.har", "{\"log\":{\"entries\":[]}}");
    assert_eq!((code, told.contains("is har, and a map, a slice")), (1, true), "{told}");
    let (code, _, told) = dry(&program, "/nowhere", "c.ndjson", LINE);
    assert_eq!((code, told.contains("/nowhere")), (1, true), "{told}");
    program.write("d.toml", "keys = { mvpd = 1 }");
    let (code, _, told) = dry(&program, program.path("d.toml").to_str().expect("UTF-8"), "c.ndjson", LINE);
    assert_eq!((code, told.contains("d.toml\" cannot be used")), (2, true), "{told}");
    program.write("c.toml", "[map.x]\nconstants = { event = \"play\" }\n");
    let done = program.run(&["ingest", "--dry-run", "/dev/null"]);
    assert!(done.code == 2 && done.err.contains("c.toml:1: map.x: constants: event"), "{done:?}");
}

#[test]
fn rejected_lines_are_mended_under_the_map_they_came_by() {
    let program = program("");
    program.write("a.ndjson", &LINE.replace("AuthZ OK", "AuthZ or so"));
    let file = program.path("a.ndjson");
    let ingest = |path: &Path| program.json(&["ingest", "--map", "warehouse", path.to_str().expect("UTF-8")]);
    let (code, report) = ingest(&file);
    assert_eq!((code, &report["total"]["rejected"]), (3, &json!(1)), "{report}");
    let rejects = PathBuf::from(report["rejects"].as_str().expect("a path"));
    let mended = std::fs::read_to_string(&rejects).expect("rejects").replace("AuthZ or so", "AuthZ OK");
    std::fs::write(&rejects, mended).expect("written");
    let (code, report) = ingest(&rejects);
    assert_eq!((code, &report["total"]["stored"]), (0, &json!(1)), "{report}");
}

#[test]
fn the_inbox_and_each_sender_have_maps_of_their_own() {
    let program = program(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 0\ninbox_map = \"warehouse\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", &format!("{TOKEN} map=warehouse\nanother-token-of-events\n"));
    let server = Listening::start(&program);
    let ask = |token: &str, body: &str| {
        let headers = format!("Authorization: Bearer {token}\r\n");
        server.ask("/v1/events", &headers, body.as_bytes())
    };
    for (token, body, status, stored) in [
        (TOKEN, LINE.to_owned(), 202, 1),
        (TOKEN, format!("[{LINE}]"), 202, 0),
        ("another-token-of-events", LINE.to_owned(), 400, 0),
        ("another-token-of-events", event().to_string(), 202, 0),
    ] {
        let reply = ask(token, &body);
        assert_eq!(
            (reply.status, &reply.document["stored"]),
            (status, &json!(stored)),
            "{token} {body}: {reply:?}"
        );
    }
    server.stop();
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    let other = LINE.replace("u1", "u2");
    database.execute("INSERT INTO inbox (body) VALUES (?)", [other]).expect("a row");
    let (_, report) = program.json(&["drain"]);
    assert_eq!(report["inbox"]["stored"], 1, "{report}");
}

#[test]
fn nobody_whose_events_come_by_a_map_gets_past_it_with_a_line_of_a_rejects_file() {
    let program = program(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 0\ninbox_map = \"warehouse\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", &format!("{TOKEN} map=warehouse\nanother-token-of-events\n"));
    let server = Listening::start(&program);
    let ask = |token: &str, body: &str| {
        let headers = format!("Authorization: Bearer {token}\r\n");
        server.ask("/v1/events", &headers, body.as_bytes())
    };
    let text = json!({"occurred_at": "2026-11-10T08:00:00Z", "event": "authz_ok", "requestor_id": "OTHER"});
    let shaped = |rest: Value| {
        let mut line = json!({"path": "a", "line": 1, "reason": "r", "text": text.to_string()});
        line.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        line.to_string()
    };
    let header =
        json!({"header": "occurred_at,event,requestor_id", "text": "2026-11-10T08:00:00Z,authz_ok,OTHER"});
    for body in [shaped(json!({})), shaped(header), format!("[{}]", shaped(json!({})))] {
        let reply = ask(TOKEN, &body);
        assert_eq!((reply.status, &reply.document["stored"]), (400, &json!(0)), "{body}: {reply:?}");
        let told = reply.document["errors"][0]["reason"].as_str().expect("a reason");
        assert!(told.contains("map \"warehouse\""), "{told}");
    }
    let by_its_map = shaped(json!({"map": "warehouse", "text": LINE}));
    assert_eq!(ask(TOKEN, &by_its_map).document["stored"], 1);
    assert_eq!(ask("another-token-of-events", &shaped(json!({}))).document["stored"], 1);
    server.stop();
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    database.execute("INSERT INTO inbox (body) VALUES (?)", [shaped(json!({}))]).expect("a row");
    let (_, report) = program.json(&["drain"]);
    assert_eq!(
        (&report["inbox"]["stored"], &report["inbox"]["rejected"]),
        (&json!(0), &json!(1)),
        "{report}"
    );
    // What is kept of them is for the map, so that nobody takes it past the map either.
    for file in std::fs::read_dir(program.path("rejects")).expect("a folder") {
        for line in std::fs::read_to_string(file.expect("a file").path()).expect("text").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["map"], "warehouse", "{line}");
        }
    }
}

#[test]
fn two_stars_stand_for_folders_of_any_depth_and_a_pipe_below_a_folder_is_passed_over_by_name() {
    let program = Program::new();
    std::fs::create_dir_all(program.path("in/a/b")).expect("folders");
    for name in ["in/0.ndjson", "in/a/1.ndjson", "in/a/b/2.ndjson", "in/a/b/3.csv"] {
        program.write(name, &events(1));
    }
    std::os::unix::fs::symlink("..", program.path("in/a/up")).expect("a link");
    let pipe = program.path("in/a/pipe.ndjson");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let expand = |pattern: &str| passbridge::ingest::expand(&[program.path(pattern)], "-");
    for (pattern, expected) in [
        ("in/**/*.ndjson", &["in/0.ndjson", "in/a/1.ndjson", "in/a/b/2.ndjson"][..]),
        ("in/**/b/*.ndjson", &["in/a/b/2.ndjson"]),
        ("**/b", &["in/a/b/2.ndjson", "in/a/b/3.csv"]),
        ("in/a/**", &["in/a/1.ndjson", "in/a/b/2.ndjson", "in/a/b/3.csv"]),
        ("in/**/*", &["in/0.ndjson", "in/a/1.ndjson", "in/a/b/2.ndjson", "in/a/b/3.csv"]),
        ("in/a/*.ndjson", &["in/a/1.ndjson"]),
        ("in/a/b/**/*.csv", &["in/a/b/3.csv"]),
    ] {
        let mut found = expand(pattern);
        let mut expected: Vec<_> = expected.iter().map(|name| InputPath::File(program.path(name))).collect();
        found.sort_by_key(|path| path.name().into_owned());
        expected.sort_by_key(|path| path.name().into_owned());
        assert_eq!(found, expected, "{pattern}");
    }
    let done = program.run(&["ingest", program.path("in/a/*.ndjson").to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("pipe.ndjson") && done.err.contains("is no file"), "{done:?}");
    // A pipe that is named is read: a shell makes one of <(command).
    assert_eq!(expand("in/a/pipe.ndjson"), [InputPath::File(pipe)]);
}

#[test]
fn folders_and_patterns_stand_for_the_files_below_them() {
    let program = Program::new();
    for folder in ["in/day=1", "in/day=2", "in/none"] {
        std::fs::create_dir_all(program.path(folder)).expect("a folder");
    }
    for name in ["in/day=1/a.ndjson", "in/day=2/b.ndjson", "in/c.ndjson"] {
        program.write(name, &events(1));
    }
    program.write("in/_SUCCESS", "");
    program.write("in/.c.ndjson.crc", "x");
    for (argument, expected) in [
        ("in", Some(vec!["in/c.ndjson", "in/day=1/a.ndjson", "in/day=2/b.ndjson"])),
        ("in/*.ndjson", Some(vec!["in/c.ndjson"])),
        ("in/day=*/?.ndjson", Some(vec!["in/day=1/a.ndjson", "in/day=2/b.ndjson"])),
        ("in/none", None),
        ("in/*.csv", None),
    ] {
        let path = program.path(argument);
        let (code, report) = program.json(&["ingest", "--dry-run", path.to_str().expect("UTF-8")]);
        let inputs = report["inputs"].as_array().expect("inputs").iter();
        let mut read: Vec<_> =
            inputs.map(|input| PathBuf::from(input["path"].as_str().expect("a path"))).collect();
        read.sort();
        match expected {
            Some(names) => {
                let expected: Vec<_> = names.iter().map(|name| program.path(name)).collect();
                assert_eq!((code, read), (0, expected), "{argument}");
            }
            None => assert_eq!((code, read), (1, vec![path]), "{argument}"),
        }
    }
}

/// The blocks of `docs/sources.md` in this language.
fn recipes(language: &str) -> Vec<String> {
    let page = include_str!("../../../docs/sources.md");
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

#[test]
fn the_recipes_for_warehouses_take_what_these_export() {
    let maps: Vec<String> = recipes("toml").into_iter().filter(|block| block.starts_with("[map.")).collect();
    let program = Program::with(&maps.join("\n"));
    let bigquery = r#"{"ts":"1794297600250000","event_name":"AuthZ OK","mvpd":{"id":"Cableco","user":"u1"}}"#;
    let snowflake = "\"EVENT_TS\",\"EVENT_LABEL\",\"REQUESTOR_ID\",\"CHANNEL\",\"MVPD\"\n\
                     \"2026-11-10 00:00:00.250\",\"Play request\",\"REF30\",\\N,\"Cableco\"\n";
    let (code, events, told) = dry(&program, "bigquery", "part-000.json", &format!("{bigquery}\n"));
    let expected = json!({"occurred_at": "2026-11-10T08:00:00.250Z", "event": "authz_ok", "requestor_id": "REF30",
        "mvpd": "Cableco", "mvpd_user_id": "u1"});
    assert_eq!((code, events), (0, vec![expected]), "{told}");
    let (code, events, told) = dry(&program, "snowflake", "data_0_0_0.csv", snowflake);
    let expected = json!({"occurred_at": "2026-11-10T08:00:00.250Z", "event": "play_requested", "requestor_id": "REF30",
        "mvpd": "Cableco"});
    assert_eq!((code, events), (0, vec![expected]), "{told}");
}

#[test]
fn the_snippet_posts_batches_repeats_what_failed_and_takes_the_next_token() {
    let program = program(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 0\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", "another-token-of-events\n");
    let [snippet] = &recipes("python")[..] else { panic!("one snippet") };
    program.write("post.py", snippet);
    let server = Listening::start(&program);
    let url = format!("http://{}/v1/events", server.address());
    let mut python = Command::new("python3")
        .arg(program.path("post.py"))
        .args([&url, "a-token-that-was-taken-out", "another-token-of-events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(lines(1_200).as_bytes()).expect("written");
    let done = python.wait_with_output().expect("an end");
    assert_eq!((done.status.success(), &*String::from_utf8_lossy(&done.stdout)), (true, "500\n500\n200\n"));
    server.stop();
}

#[test]
fn a_stream_is_stored_while_it_flows_and_a_signal_loses_nothing_of_it() {
    let program = Program::new();
    let mut command = program.command(&["ingest", "--json", "--source", "gateway", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a start");
    let mut pipe = child.stdin.take().expect("a pipe");
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    let stored = |count: i64| {
        let started = Timer::now();
        let query = "SELECT count(*) FROM events";
        while database.query_row(query, [], |row| row.get::<_, i64>(0)).expect("a count") != count {
            assert!(started.elapsed() < PATIENCE, "{count}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let all = lines(5);
    let (first, rest) = all.split_at(all.match_indices('\n').nth(2).expect("three lines").0 + 11);
    pipe.write_all(first.as_bytes()).expect("written");
    stored(3);
    pipe.write_all(rest.as_bytes()).expect("written");
    stored(5);
    pipe.write_all(lines(6).as_bytes()).expect("written");
    send(&child, Signal::TERM);
    let done = child.wait_with_output().expect("an end");
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let input = &report["inputs"][0];
    assert_eq!((&input["path"], &input["stored"]), (&json!("gateway"), &json!(6)), "{report}");
    assert_eq!(done.status.code(), Some(1), "{report}");
}

#[test]
fn the_schemas_are_those_that_the_program_uses() {
    let program = Program::bare();
    let event = program.run_bare(&["schema", "pass-event"]).out;
    assert_eq!(event.trim_end(), include_str!("../../../schemas/pass-event.schema.json").trim_end());
    let database = rusqlite::Connection::open_in_memory().expect("a database");
    database.execute_batch(&program.run_bare(&["schema", "buffer"]).out).expect("SQL");
    let inbox: i64 = database.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("a table");
    assert_eq!(inbox, 0);
    let list = program.run_bare(&["schema"]).out;
    assert!(list.contains("pass-event") && list.contains("buffer"), "{list}");
}

/// Ingests a file and gives how it ends, its report, and what is told beside it.
fn ingested(program: &Program, map: &[&str], path: &Path) -> (i32, Value, String) {
    let done = program.run(&[&["ingest", "--json", path.to_str().expect("UTF-8")], map].concat());
    (done.code, serde_json::from_str(&done.out).expect("a report"), done.err)
}

fn mend(rejects: &Path, from: &str, to: &str) {
    let kept = std::fs::read_to_string(rejects).expect("rejects");
    assert!(kept.contains(from), "{kept}");
    std::fs::write(rejects, kept.replace(from, to)).expect("written");
}

#[test]
fn a_rejected_line_is_read_by_its_own_map_or_not_at_all() {
    let program = program("[map.other]\nkeys = { mvpd = \"x\" }");
    let twice = r#"{"EVENT_TIME":"25.10.2026 02:30:00","occurred_at":"2026-11-01T00:00:00Z","kind":"AuthZ OK","event":"authz_ok","requestor_id":"WRONG"}"#;
    program.write("a.ndjson", &format!("{twice}\n"));
    let (_, report, _) = ingested(&program, &["--map", "warehouse"], &program.path("a.ndjson"));
    let rejects = PathBuf::from(report["rejects"].as_str().expect("a path"));
    for (map, reason) in [
        (&["--map", "warehouse"][..], "shows twice"),
        (&["--map", "other"], "came by the map \"warehouse\": ingest"),
        (&[], "came by the map \"warehouse\": ingest"),
    ] {
        let (code, report, told) = ingested(&program, map, &rejects);
        assert_eq!((code, &report["total"]["rejected"]), (3, &json!(1)), "{map:?} {report}");
        assert!(told.contains(reason), "{map:?} {told}");
    }
    mend(&rejects, "25.10.2026 02:30:00", "25.10.2026 03:30:00");
    let (code, report, _) = ingested(&program, &["--map", "warehouse"], &rejects);
    assert_eq!((code, &report["total"]["stored"]), (0, &json!(1)), "{report}");
}

#[test]
fn a_mended_conflict_of_a_mapped_source_keeps_its_values() {
    let program = program("");
    program.write(
        "cf.toml",
        "keys = { mvpd = \"op\", mvpd_user_id = \"uid\" }\nvalues = { mvpd = { A = \"B\", B = \"C\" } }",
    );
    let line = |at: &str| {
        format!(
            "{{\"occurred_at\":\"2026-11-20T08:3{at}:00Z\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\",\"event_id\":\"id-1\",\"op\":\"A\",\"uid\":\"bob\"}}\n"
        )
    };
    program.write("cf.ndjson", &(line("0") + &line("1")));
    let map = program.path("cf.toml");
    let map = ["--map", map.to_str().expect("UTF-8")];
    let (_, report, _) = ingested(&program, &map, &program.path("cf.ndjson"));
    assert_eq!(report["total"]["stored"], 1, "{report}");
    let rejects = PathBuf::from(report["rejects"].as_str().expect("a path"));
    mend(&rejects, "id-1", "id-2");
    let mended = ingested(&program, &map, &rejects);
    assert_eq!((mended.0, &mended.1["total"]["stored"]), (0, &json!(1)), "{mended:?}");
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    let sql = "SELECT count(*) FROM v_events WHERE mvpd = 'B' AND mvpd_user_id = 'bob'";
    let count: i64 = database.query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 2, "{mended:?}");
}

#[test]
fn a_second_header_without_a_column_ends_the_file_and_a_row_in_quotes_is_no_value() {
    let program = program("");
    program.write("w.toml", "keys = { mvpd = \"OP\", mvpd_user_id = \"UID\" }");
    program.write(
        "qb.toml",
        "keys = { occurred_at = \"when\" }\ntime_format = \"%b %d %Y %H:%M:%S\"\ntimezone = \"UTC\"",
    );
    let start = "occurred_at,event,requestor_id";
    let row = "2026-11-20T08:30:00Z,authz_ok,REF30";
    let of_map = format!("{start},OP,UID\n{row},cc,bob\n{start},UID,OPERATOR\n{row},bob,cc\n");
    let own = format!(
        "{start},mvpd,mvpd_user_id\n{row},cc,bob\noccurred_at,event_name,requestor,mvpd_user_id,mvpd\n{row},bob,cc\n"
    );
    for (map, content, column) in [("w.toml", of_map, "OP"), ("", own, "event")] {
        program.write("k.csv", &content);
        let map = program.path(map);
        let map = ["--map", map.to_str().expect("UTF-8")];
        let map = if column == "OP" { &map[..] } else { &[] };
        let (code, report, told) = ingested(&program, map, &program.path("k.csv"));
        assert_eq!((code, &report["total"]["read"]), (1, &json!(1)), "{report}");
        assert!(told.contains("from line 3 on") && told.contains(column), "{told}");
    }
    let row = |minute: u8, end: &str| format!("Nov 20 2026 08:3{minute}:00,authz_ok,REF30,cc,{end}\n");
    let rows = [row(0, "\"open"), row(1, "x"), row(2, "closed\""), row(3, "z")].concat();
    let (_, events, told) = dry(
        &program,
        program.path("qb.toml").to_str().expect("UTF-8"),
        "qb.csv",
        &format!("when,event,requestor_id,mvpd,resource_id\n{rows}"),
    );
    assert_eq!(events.len(), 1, "{told}");
}

#[test]
fn a_key_that_a_map_takes_from_and_no_line_has_is_told() {
    let program = program("");
    program.write("m.toml", "keys = { mvpd = \"operator\", mvpd_user_id = \"user.id\" }");
    let line = |minute: u8, rest: &str| {
        format!(
            "{{\"occurred_at\":\"2026-11-20T08:3{minute}:00Z\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\"{rest}}}\n"
        )
    };
    let map = program.path("m.toml");
    let map = ["--map", map.to_str().expect("UTF-8")];
    program.write("a.ndjson", &(line(0, ",\"operator_name\":\"c\"") + &line(1, ",\"user\":{\"id\":\"u\"}")));
    let (code, report, told) = ingested(&program, &map, &program.path("a.ndjson"));
    assert_eq!(code, 0, "{report}");
    assert!(told.contains("the map takes mvpd from \"operator\", which none of 2 events has"), "{report}");
    program.write("b.ndjson", &line(2, ",\"operator\":null,\"user\":{\"id\":\"u\"}"));
    let (_, report, told) = ingested(&program, &map, &program.path("b.ndjson"));
    assert!(!told.contains("none of"), "{report}");
}

#[test]
fn what_cannot_be_read_in_a_folder_or_by_a_pattern_is_an_error_that_names_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let program = Program::new();
    for folder in ["in", "in/day=1", "in/day=2"] {
        std::fs::create_dir(program.path(folder)).expect("a folder");
        std::fs::set_permissions(program.path(folder), std::fs::Permissions::from_mode(0o755)).expect("ours");
    }
    program.write("in/day=1/a.ndjson", &events(1));
    symlink("/nonexistent/b.ndjson", program.path("in/day=1/b.ndjson")).expect("a link");
    symlink("day=3", program.path("in/day=3")).expect("a loop");
    for (argument, named) in [
        ("in/day=1/*.ndjson", &["day=1/b.ndjson"][..]),
        ("in/day=*/*.ndjson", &["day=1/b.ndjson", "day=3"]),
        ("in", &["day=1/b.ndjson", "day=3"]),
    ] {
        let (code, report, told) = ingested(&program, &[], &program.path(argument));
        assert_eq!(code, 1, "{argument} {report}");
        assert!(
            named.iter().all(|name| told.contains(&format!("{name}: cannot be opened"))),
            "{argument} {told}"
        );
    }
    std::fs::set_permissions(program.path("in/day=2"), std::fs::Permissions::from_mode(0o000)).expect("ours");
    std::fs::set_permissions(program.path("."), std::fs::Permissions::from_mode(0o755)).expect("ours");
    let patterns = [program.path("in"), program.path("in/day=*/*.ndjson")];
    let found = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            // The superuser may read everything, so this thread becomes another user.
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::thread::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("the superuser may");
            }
            patterns.map(|pattern| passbridge::ingest::expand(&[pattern], "-"))
        });
        reading.join().expect("paths")
    });
    let folder = InputPath::File(program.path("in/day=2"));
    assert!(found.iter().all(|found| found.contains(&folder)), "{found:?}");
}
