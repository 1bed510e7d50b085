//! Servers and proxies that lie, repeat secrets or answer for something else, against the built program: it is right or loud.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::collection_wire::server::{Server, reply};
use crate::program::{Done, Program, done, lines, send};
use crate::support::PATIENCE;

/// What a server gives out, and nobody may see.
const TOKEN: &str = "tok3n/of+nobody=";
/// A secret of ours, as it stands in a form and as it is.
const SECRET: &str = "hush-hush-client-secret";

/// A server whose `answer` has the method, the path and the whole request: a status line and a body.
fn server(answer: impl Fn(&str, &str, &str) -> (String, String) + Send + Sync + 'static) -> Server {
    Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let mut words = request.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let (status, body) = answer(method, path, &request);
            peer.send(reply(&status, "", &body));
        }
    })
}

fn ok(body: impl ToString) -> (String, String) {
    ("200 OK".to_owned(), body.to_string())
}

fn refused(status: &str, body: impl ToString) -> (String, String) {
    (status.to_owned(), body.to_string())
}

fn token() -> (String, String) {
    ok(json!({"access_token": TOKEN, "expires_in": "86399.5"}))
}

/// A program that uploads to this server and has its tokens there.
fn uploading(server: &Server) -> Program {
    let url = server.url();
    let program = Program::with(&format!(
        "[bulk]\nclient_id = \"client\"\nclient_secret_file = \"secret\"\nurl = \"{url}/events\"\nims_url = \"{url}/token\"\n\
         call_spacing_ms = 1\ngroup_spacing_ms = 1\nlookup_ms = 50\nbackoff_base_ms = 1\nbackoff_max_ms = 5\n"
    ));
    program.write("secret", SECRET);
    program.suite("http://127.0.0.1:1");
    program.write("events.ndjson", &lines(20));
    program
}

fn backfill(program: &Program) -> Done {
    let file = program.path("events.ndjson");
    program.run(&["backfill", "run", "h", "--via", "bulk", file.to_str().expect("UTF-8")])
}

fn delivered(program: &Program) -> u64 {
    program.json(&["status"]).1["delivered"].as_u64().expect("a number")
}

/// Whole requests of one method to paths that begin so.
fn count(server: &Server, begins: &str) -> usize {
    server.requests().iter().filter(|request| request.starts_with(begins)).count()
}

/// The forms in which an answer in JSON, or an address in it, may repeat a secret.
fn escaped(secret: &str) -> [String; 3] {
    let unicode = secret.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let percent = secret.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    [secret.replace('/', "\\/"), unicode, percent.collect()]
}

fn assert_no_secret(done: &Done) {
    let text = format!("{}{}", done.out, done.err);
    for secret in escaped(TOKEN).iter().map(String::as_str).chain([TOKEN, SECRET, "STATEMENT"]) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// Adobe's words for an unknown key, about another file.
fn unknown_elsewhere(_: &str) -> (String, String) {
    refused("404 Not Found", json!({"error": "File not found", "idempotency_key": "another"}))
}

#[test]
fn what_a_look_up_says_of_another_file_or_in_other_words_delivers_nothing_and_repeats_nothing() {
    let own = |rest: Value| {
        move |key: &str| {
            let mut body = rest.clone();
            body["idempotency_key"] = json!(key);
            ("200 OK".to_owned(), body.to_string())
        }
    };
    type Look = Box<dyn Fn(&str) -> (String, String) + Send + Sync>;
    let cases: Vec<(&str, Look, &str)> = vec![
        (
            "rejected",
            Box::new(own(json!({"rows": 20, "status_code": "REJECTED", "processing_log": "no header"}))),
            "no header",
        ),
        (
            "another key",
            Box::new(|_| ok(json!({"rows": 20, "idempotency_key": "another"}))),
            "the key of another file",
        ),
        ("no key", Box::new(|_| ok(json!({"rows": 20}))), "cannot be read"),
        (
            "a framework",
            Box::new(|_| {
                refused("404 Not Found", json!({"status": 404, "error": "Not Found", "path": "/events/key"}))
            }),
            "status 404: Not Found",
        ),
        ("another unknown key", Box::new(unknown_elsewhere), "the key of another file"),
        ("found, and not found", Box::new(own(json!({"error": "File not found"}))), "cannot be read"),
        ("no key found", Box::new(|_| ok(json!({"error": "File not found"}))), "cannot be read"),
        ("all invalid", Box::new(own(json!({"rows": 20, "invalid_rows": 20}))), "rejects the file"),
        (
            "wrapped",
            Box::new(own(json!({"rows": 20, "invalid_rows": 18_446_744_073_709_551_596_u64}))),
            "18446744073709551596 invalid ones, of 20",
        ),
        ("too many", Box::new(own(json!({"rows": 21}))), "21 rows"),
        ("unknown code", Box::new(own(json!({"rows": 20, "status_code": "HELD"}))), "HELD"),
        (
            "an error",
            Box::new(own(json!({"rows": 20, "status_code": "UPLOADED", "invalid_rows": 0, "error": "boom"}))),
            "and an error: boom",
        ),
        (
            "more names than rows",
            Box::new(own(
                json!({"rows": 20, "status_code": "UPLOADED", "invalid_rows": 0, "processing_log": "On row: 3, no"}),
            )),
            "names 1 invalid rows, and it counts 0",
        ),
        ("a key without a value", Box::new(|_| ok(json!({"rows": 20, "idempotency_key": null}))), "or none"),
    ];
    for (name, look, why) in cases {
        let server = server(move |method, path, _| match (method, path) {
            (_, "/token") => token(),
            (_, "/events/validate") => ok(json!({"success": "File is valid"})),
            ("POST", _) => ok("<html>"),
            (_, path) => look(path.rsplit('/').next().unwrap_or("")),
        });
        let program = uploading(&server);
        let done = backfill(&program);
        assert_eq!(done.code, 1, "{name}: {done:?}");
        assert!(done.err.contains(why), "{name}: {}", done.err);
        assert_eq!((delivered(&program), count(&server, "POST /events ")), (0, 1), "{name}: {}", done.err);
        let (code, status) = program.json(&["status", "--verify"]);
        assert_eq!((code, &status["accounting"]["balanced"]), (0, &json!(true)), "{name}");
        assert_no_secret(&done);
    }
}

#[test]
fn an_upload_that_contradicts_itself_is_looked_up_and_one_that_counts_no_refused_rows_is_named() {
    for (answer, code, count, warned) in [
        (json!({"invalid_rows": 0, "error": "boom"}), 1, 0, "and an error: boom"),
        (
            json!({"invalid_rows": 2, "processing_log": "On row: 1, a. On row: 2, b. On row: 3, c"}),
            1,
            0,
            "and it counts 2",
        ),
        (json!({"processing_log": "On row: 1, no date"}), 1, 0, "names 1 invalid rows, and it counts none"),
        (json!({"invalid_rows": 0, "idempotency_key": null}), 1, 0, "the key of another file, or none"),
        (json!({"invalid_rows": 0, "idempotency_key": "left out"}), 1, 0, "the key of another file, or none"),
        (json!({}), 0, 20, "does not say whether it refused rows"),
    ] {
        let mut body = answer.clone();
        (body["status_code"], body["rows"]) = (json!("UPLOADED"), json!(20));
        let server = server(move |method, path, request| match (method, path) {
            (_, "/token") => token(),
            (_, "/events/validate") => ok(json!({"success": "File is valid"})),
            ("POST", _) => {
                let mut own = body.as_object().expect("an object").clone();
                let key = request.split("x-adobe-idempotency-key: ").nth(1).expect("a key");
                own.entry("idempotency_key").or_insert(json!(key.split("\r\n").next()));
                own.retain(|_, value| value != "left out");
                ok(json!(own))
            }
            _ => refused("400 Bad Request", json!({"error": "no look-up"})),
        });
        let program = uploading(&server);
        let done = backfill(&program);
        assert_eq!((done.code, delivered(&program)), (code, count), "{answer}: {done:?}");
        assert!(done.err.contains("WARN") && done.err.contains(warned), "{answer}: {}", done.err);
        assert!(code == 1 || done.out.contains("says nothing of rows that it refused"), "{}", done.out);
    }
}

#[test]
fn an_upload_is_believed_for_its_own_key_only() {
    for answer in [
        json!({"status_code": "UPLOADED", "rows": 20, "invalid_rows": 0, "idempotency_key": "another"}),
        json!({"status_code": "UPLOADED", "rows": 20, "invalid_rows": 18_446_744_073_709_551_596_u64}),
        json!({"status_code": "UPLOADED", "rows": 20.5}),
    ] {
        let body = answer.to_string();
        let server = server(move |method, path, _| match (method, path) {
            (_, "/token") => token(),
            (_, "/events/validate") => ok(json!({"success": "File is valid"})),
            ("POST", _) => ok(&body),
            _ => refused("404 Not Found", "<html>"),
        });
        let program = uploading(&server);
        let done = backfill(&program);
        assert_eq!((done.code, delivered(&program)), (1, 0), "{answer}: {done:?}");
        assert!(done.err.contains("bulk.url"), "{}", done.err);
    }
}

#[test]
fn a_token_that_an_upload_repeats_is_concealed_and_its_place_named() {
    let [slashes, unicode, percent] = escaped(TOKEN);
    let echo = format!("{slashes} {unicode} {percent}");
    let server = server(move |_, path, _| match path {
        "/token" => token(),
        "/events/validate" => ok(json!({"success": "File is valid"})),
        _ => refused("403 Forbidden", format!("{{\"error\":\"token {echo} of {SECRET} is \\u001b[2Jbad\"}}")),
    });
    let program = uploading(&server);
    let done = backfill(&program);
    assert_eq!(done.code, 1, "{done:?}");
    let text = format!(
        "{}/events refuses an upload with status 403: token ... ... ... of ... is \u{FFFD}[2Jbad",
        server.address
    );
    assert!(done.err.contains(&text), "{}", done.err);
    assert!(done.err.contains("check bulk.client_id"), "{}", done.err);
    assert_no_secret(&done);
}

#[test]
fn faults_of_the_token_endpoint_name_it_and_its_key_and_end() {
    for (status, body, why, advice) in [
        (
            "400 Bad Request",
            json!({"error": "invalid_client"}),
            "status 400: invalid_client",
            "check bulk.client_id",
        ),
        (
            "302 Found\r\nLocation: https://portal.example/login?secret=hush-hush-client-secret",
            json!({}),
            "status 302: without a published error code; it leads to https://portal.example/login\n",
            "check bulk.ims_url",
        ),
        ("200 OK", json!({"access_token": "two\nlines"}), "a header cannot carry it", "check bulk.ims_url"),
        ("200 OK", json!({"access_token": ""}), "a header cannot carry it", "check bulk.ims_url"),
        ("200 OK", json!({"token": TOKEN}), "it has no access_token", "check bulk.ims_url"),
        ("503 Busy", json!({}), "status 503", "check bulk.ims_url"),
    ] {
        let body = body.to_string();
        let server = server(move |_, _, _| (status.to_owned(), body.clone()));
        let done = backfill(&uploading(&server));
        assert_eq!(done.code, 1, "{status} {why}: {done:?}");
        let place = format!("{}/token", server.address);
        assert!(done.err.contains(&place) && done.err.contains(why), "{place} {why}: {}", done.err);
        assert!(done.err.contains(advice), "{advice}: {}", done.err);
        assert_no_secret(&done);
        if status.starts_with("503") {
            assert_eq!(count(&server, "POST /token"), 30, "it is tried, but not for ever");
            assert!(done.err.contains("a file could not be validated; it is tried again"), "{}", done.err);
        }
    }
}

#[test]
fn an_interface_that_throttles_is_said_to_and_what_it_asks_for_is_shown() {
    let busy = || refused("429 Too Many Requests\r\nRetry-After: 1", json!({"message": "slow"}));
    let server = server(move |_, path, _| if path == "/token" { token() } else { busy() });
    let program = reading(&server.url(), &format!("{}/token", server.url()));
    let done = program.run(&CHECK);
    assert_eq!(done.code, 1, "{done:?}");
    let says =
        |line: &&str| line.contains(" throttles: it refuses") && line.contains("asks for a rest of 1 s");
    assert_eq!(done.err.lines().filter(says).count(), 5, "four pauses and the end: {}", done.err);
}

#[test]
fn why_a_bulk_backfill_ended_stands_in_the_status_too() {
    let server =
        server(|_, path, _| if path == "/token" { token() } else { refused("403 Forbidden", "no entry") });
    let program = uploading(&server);
    assert_eq!(backfill(&program).code, 1);
    for args in [&["status"][..], &["backfill", "status"], &["status", "--check"]] {
        let done = program.run(args);
        let said = format!("{}{}", done.out, done.err);
        assert_eq!(done.code, if args.contains(&"--check") { 4 } else { 0 }, "{said}");
        for part in [&server.address.to_string(), "status 403: no entry", "backfill resume h"] {
            assert!(said.contains(part), "{args:?} {part}: {said}");
        }
        assert_no_secret(&done);
    }
    let (_, status) = program.json(&["status"]);
    assert!(
        status["backfills"][0]["failure"].as_str().is_some_and(|why| why.contains("no entry")),
        "{status}"
    );
}

/// A program that pulls from these addresses.
fn pulling(url: &str, dcr_url: &str, more: &str) -> Program {
    let program = Program::with(&format!(
        "[esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{dcr_url}\"\nsoftware_statement_file = \"statement\"\n{more}"
    ));
    program.write("statement", "\u{feff}STATEMENT.of.tests\r\n");
    program
}

const SPAN: [&str; 6] = ["pull", "esm", "--from", "2026-11-10T08", "--to", "2026-11-10T09"];

/// An ESM that has this report, whatever it is asked for.
fn esm(report: impl Fn() -> (String, String) + Send + Sync + 'static) -> Server {
    server(move |_, path, _| match path {
        "/o/client/register" => {
            ("201 Created".to_owned(), json!({"client_id": "c", "client_secret": SECRET}).to_string())
        }
        "/o/client/token" => ("201 Created".to_owned(), json!({"access_token": TOKEN}).to_string()),
        _ => report(),
    })
}

fn record(change: impl Fn(&mut Value)) -> Value {
    let mut record = json!({"year": "2026", "month": "11", "day": "10", "hour": "8", "media-company": "Ref", "proxy": "Direct",
        "mvpd": "Cableco", "requestor-id": "REF30", "media-tokens": "7"});
    change(&mut record);
    json!({"report": [record]})
}

#[test]
fn a_report_without_the_dimensions_or_the_hours_that_were_asked_for_closes_no_hour() {
    let remove = |name: &'static str| {
        record(move |record| {
            record.as_object_mut().expect("an object").remove(name);
        })
    };
    for (report, why) in [
        (remove("mvpd"), "record 1 has no mvpd"),
        (remove("hour"), "record 1 has no hour"),
        (record(|record| record["hour"] = json!("9")), "record 1 is of another time"),
        (record(|record| record["day"] = json!("9")), "record 1 is of another time"),
        (record(|record| record["month"] = json!("13")), "record 1 is of another time"),
        (
            record(|record| record["minute"] = json!("5")),
            "record 1 has minute, by which it was not asked for",
        ),
        (record(|record| record["Platform"] = json!("tvOS")), "record 1 has platform, by which"),
        (record(|record| record["planet"] = json!("Mars")), "record 1 has planet, by which"),
        (record(|record| record["requestor-id"] = json!("REF99")), "record 1 is of another requestor"),
        (json!({"report": "none"}), "no report in JSON"),
        (json!({"error": "maintenance"}), "no report in JSON"),
    ] {
        let body = report.to_string();
        let wrong = esm(move || ok(&body));
        let program = pulling(&wrong.url(), &wrong.url(), "dimensions = [\"planet\"]");
        let span = [&SPAN[..], &["--requestor", "REF30"]].concat();
        let done = program.run(&span);
        assert_eq!(done.code, 1, "{why}: {done:?}");
        let place = format!("{}/esm/v3/year/month/day/hour/", wrong.address);
        assert!(done.err.contains(why) && done.err.contains(&place), "{why}: {}", done.err);
        assert!(done.err.contains("2026-11-10 08:00:00") && done.err.contains("esm.url"), "{}", done.err);
        // The hour is as open as before.
        let right = esm(|| ok(record(|_| ())));
        program.write("esm-client.json", &format!("{{\"client_id\":\"c\",\"client_secret\":\"{SECRET}\"}}"));
        let config = std::fs::read_to_string(program.path("c.toml")).expect("a configuration");
        program.write("c.toml", &config.replace(&wrong.url(), &right.url()));
        let (code, document) = program.json(&span);
        assert_eq!((code, &document["total"]["stored"]), (0, &json!(1)), "{document}");
    }
}

#[test]
fn what_is_spoilt_or_no_text_in_a_pulled_report_is_said() {
    let spoilt = record(|record| record["mvpd"] = json!("9,99E+11")).to_string();
    let nested = record(|record| record["mvpd"] = json!({"id": "M"})).to_string();
    let note = "record 1: 1 identifiers were spoilt by a spreadsheet, first mvpd \"9,99E+11\"";
    let reject = "record 1: has mvpd \"{\\\"id\\\":\\\"M\\\"}\", which is an object";
    let blank = record(|record| record["media-tokens"] = json!(null)).to_string();
    let blank_note = "no event stands for media-tokens without a number";
    let unused = record(|record| {
        record.as_object_mut().expect("an object").remove("media-tokens");
    })
    .to_string();
    let zero = record(|record| record["media-tokens"] = json!("0")).to_string();
    for (report, code, said) in [
        (spoilt, 0, note),
        (nested, 3, reject),
        (blank, 3, blank_note),
        (
            unused,
            3,
            "nothing of it was used: none of its 1 records has a number for one of the metrics authn-attempts, ",
        ),
        (zero, 0, ""),
    ] {
        let server = esm(move || ok(&report));
        let done = pulling(&server.url(), &server.url(), "").run(&SPAN);
        assert!(done.code == code && done.err.contains(said), "{said}: {done:?}");
    }
}

#[test]
fn nothing_of_a_rejected_record_is_said_to_be_sent() {
    let program = Program::new();
    for (mvpd, said) in
        [("9,99E+11", "identifiers were spoilt"), ("undefined", "names of an MVPD or a proxy say")]
    {
        for (tokens, code) in [("many", 3), ("7", 0)] {
            let report = record(|record| {
                record["mvpd"] = json!(mvpd);
                record["media-tokens"] = json!(tokens);
            });
            program.write("report.json", &report.to_string());
            let done = program.run(&["ingest", "--format", "esm", &program.place("report.json")]);
            assert_eq!((done.code, done.err.contains(said)), (code, code == 0), "{mvpd}: {done:?}");
        }
    }
}

#[test]
fn a_requestor_whose_events_come_singly_is_named_where_its_reports_are_pulled() {
    let path = Arc::new(OnceLock::<PathBuf>::new());
    let (buffer, report) = (path.clone(), record(|_| {}).to_string());
    // As if another ingest stored single events while the report is fetched, before it is stored.
    let server = esm(move || {
        let buffer = rusqlite::Connection::open(buffer.get().expect("a path")).expect("SQLite");
        let meanwhile =
            "CREATE TRIGGER meanwhile AFTER INSERT ON inputs BEGIN INSERT OR IGNORE INTO requestors (requestor_id) VALUES ('REF30');
             INSERT INTO feeds (requestor, feed) SELECT requestor, 'events' FROM requestors WHERE requestor_id = 'REF30'; END";
        buffer.execute(meanwhile, []).expect("a trigger");
        ok(&report)
    });
    let program = pulling(&server.url(), &server.url(), "");
    path.set(program.path("passbridge.db")).expect("the first");
    let (code, document) = program.json(&SPAN);
    assert_eq!((code, &document["code"]), (2, &json!("mixed_feeds")), "{document}");
    let cause = document["cause"].as_str().expect("a cause");
    assert!(cause.contains("has both single events and ESM reports"), "{document}");
    let advice = document["try"].as_str().expect("an advice");
    assert!(advice.contains("one of the two sources"), "{document}");
}

#[test]
fn faults_of_esm_end_with_1_and_say_what_and_where_without_the_token() {
    let echo = format!("token {TOKEN} is \u{9b}31mbad{}", "x".repeat(5_000));
    for (status, body, why) in [
        ("403 Forbidden", echo.clone(), "token ... is \u{FFFD}31mbadxxx"),
        ("404 Not Found", echo.clone(), "status 404: token ..."),
        (
            "403 Forbidden",
            json!({"message": format!("{} it was", escaped(TOKEN)[2])}).to_string(),
            "... it was",
        ),
        ("403 Forbidden", format!("{{\"message\":\"{} it was\"}}", escaped(TOKEN)[1]), "... it was"),
        ("302 Found", String::new(), "status 302: without a word\n"),
        (
            "302 Found\r\nLocation: /in/tok3n%2Fof%2Bnobody%3D/\u{9b}2J\u{202e}?token=tok3n/of+nobody=",
            String::new(),
            "status 302: without a word; it leads to /in/.../\u{FFFD}2J\u{FFFD}\n",
        ),
        ("403 Forbidden\r\nLocation: /elsewhere", String::new(), "status 403: without a word\n"),
        ("200 OK", echo, "no report in JSON"),
        ("200 OK", " \n".to_owned(), "it is empty"),
    ] {
        let server = esm(move || (status.to_owned(), body.clone()));
        let done = pulling(&server.url(), &server.url(), "").run(&SPAN);
        assert_eq!(done.code, 1, "{status}: {done:?}");
        assert!(done.err.contains(why), "{status}: {}", done.err);
        assert!(done.err.contains(&format!("{}/esm/v3/year", server.address)), "{}", done.err);
        assert!(done.err.lines().all(|line| line.chars().count() < 800), "{}", done.err);
        assert_no_secret(&done);
    }
    let server = server(|_, _, _| ok("<html>"));
    let done = pulling("http://127.0.0.1:1", &server.url(), "").run(&SPAN);
    assert!(
        done.code == 1 && done.err.contains("/o/client/register") && done.err.contains("check esm.dcr_url"),
        "{done:?}"
    );
}

#[test]
fn why_a_report_of_esm_cannot_be_stored_is_told_with_what_to_do() {
    let both = |name: &'static str, values: [&'static str; 2]| {
        let record = |value| record(|record| record[name] = json!(value))["report"][0].clone();
        json!({"report": values.map(record)}).to_string()
    };
    for (report, why) in [
        (both("planet", ["Earth", "Mars"]), "name it in esm.dimensions"),
        (both("media-tokens", ["7", "8"]), "record"),
    ] {
        let server = esm(move || ok(&report));
        let (code, failed) = pulling(&server.url(), &server.url(), "").json(&SPAN);
        assert_eq!((code, &failed["code"]), (1, &json!("answer_unreadable")), "{failed}");
        let cause = failed["cause"].as_str().expect("a text");
        assert!(cause.contains(why) && !cause.ends_with("line 1"), "{failed}");
        assert!(failed["try"].as_str().is_some_and(|advice| !advice.contains("esm.url")), "{failed}");
    }
}

#[test]
fn what_the_registration_refuses_and_what_a_token_lacks_is_named() {
    for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden"] {
        let server = server(move |_, _, _| refused(status, json!({"error": "invalid_software_statement"})));
        let done = pulling(&server.url(), &server.url(), "").run(&SPAN);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.err.contains("for esm.software_statement_file"), "{}", done.err);
    }
    let server = server(|_, path, _| match path {
        "/o/client/register" => ok(json!({"client_id": "c", "client_secret": SECRET})),
        _ => ok(json!({"token": TOKEN})),
    });
    let done = pulling(&server.url(), &server.url(), "").run(&SPAN);
    assert!(done.code == 1 && done.err.contains("it has no access_token"), "{done:?}");
    assert_no_secret(&done);
}

#[test]
fn credentials_without_an_id_or_a_secret_are_refused_and_not_kept() {
    for (id, secret) in [("", SECRET), ("c", ""), ("c", "\0"), ("c\n", SECRET)] {
        let client = json!({"client_id": id, "client_secret": secret});
        let given = client.clone();
        let server = server(move |_, path, _| match path {
            "/o/client/register" => ok(&given),
            _ => ok(json!({"access_token": TOKEN})),
        });
        let program = pulling(&server.url(), &server.url(), "");
        let done = program.run(&SPAN);
        assert_eq!(done.code, 1, "{client}: {done:?}");
        assert!(
            done.err.contains("/o/client/register") && done.err.contains("check esm.dcr_url"),
            "{done:?}"
        );
        assert!(!program.path("esm-client.json").exists(), "{client}");
        assert_eq!(count(&server, "POST /o/client/token"), 0, "{client}");
        assert_no_secret(&done);
    }
}

#[test]
fn a_pull_that_ends_while_it_registers_keeps_nothing_in_the_way_of_the_next() {
    let silent = Server::start(|peer| {
        peer.request();
        peer.until_closed();
    });
    let program = pulling(&silent.url(), &silent.url(), "");
    let partial = program.path("esm-client.json.partial");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let before = silent.requests().len();
        let mut pull = program.command(&SPAN).spawn().expect("the program starts");
        while silent.requests().len() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        send(&pull, signal);
        let ended = pull.wait().expect("it ends");
        let is_killed = signal == Signal::KILL;
        assert_eq!(
            (partial.exists(), ended.code()),
            (is_killed, Some(1).filter(|_| !is_killed)),
            "{signal:?}"
        );
    }
    let next = program.run(&SPAN);
    assert!(next.err.contains("try: look at the file in the way, remove it"), "{next:?}");
}

#[test]
fn credentials_that_could_not_be_kept_are_never_asked_for() {
    let server = esm(|| ok(json!({"report": []})));
    let program = pulling(&server.url(), &server.url(), "credentials_file = \"nowhere/esm.json\"\n");
    let done = program.run(&SPAN);
    assert!(done.code == 2 && done.err.contains("esm.credentials_file"), "{done:?}");
    assert_eq!(server.requests().len(), 0, "no client was registered");
    std::fs::create_dir(program.path("nowhere")).expect("a folder");
    assert_eq!(program.run(&SPAN).code, 0);
    let kept = std::fs::metadata(program.path("nowhere/esm.json")).expect("credentials");
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(program.path("nowhere")).expect("the folder").count(), 1);
}

/// On a full disk a client must not be registered: each run would register another one.
#[test]
fn room_for_credentials_is_taken_on_the_disk_before_they_are_asked_for() {
    let place = Arc::new(OnceLock::<PathBuf>::new());
    let (looked_at, room) = (Arc::clone(&place), Arc::new(OnceLock::new()));
    let found = Arc::clone(&room);
    let server = server(move |_, path, _| match path {
        "/o/client/register" => {
            let partial = std::fs::metadata(looked_at.get().expect("a path")).expect("a file");
            found.set(partial.len()).expect("one request");
            ("201 Created".to_owned(), json!({"client_id": "c", "client_secret": SECRET}).to_string())
        }
        "/o/client/token" => ("201 Created".to_owned(), json!({"access_token": TOKEN}).to_string()),
        _ => ok(json!({"report": []})),
    });
    let program = pulling(&server.url(), &server.url(), "");
    place.set(program.path("esm-client.json.partial")).expect("once");
    assert_eq!(program.run(&SPAN).code, 0);
    assert!(room.get().is_some_and(|room| *room >= 1_024), "{room:?}");
    let kept = std::fs::read_to_string(program.path("esm-client.json")).expect("credentials");
    assert_eq!(kept, json!({"client_id": "c", "client_secret": SECRET}).to_string());
}

#[test]
fn interim_replies_without_end_take_no_longer_than_a_request_may() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000);
            let started = Instant::now();
            while started.elapsed() < PATIENCE {
                peer.send(&flood);
            }
        }
    });
    let program = pulling(&server.url(), &server.url(), "request_timeout_seconds = 1\n");
    let started = Instant::now();
    let done = program.run(&SPAN);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("/o/client/register"), "{done:?}");
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
}

/// Runs a command with these proxy variables.
fn with_proxy(program: &Program, args: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = program.command(args);
    command.envs(variables.iter().copied());
    done(command)
}

/// A program that reads Analytics there, and tries again after a millisecond.
fn reading(url: &str, ims_url: &str) -> Program {
    let program = Program::with(&format!(
        "[analytics]\nurl = \"{url}\"\nims_url = \"{ims_url}\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n\
         company = \"acme0\"\nwindow_ms = 6\n"
    ));
    program.write("secret", SECRET);
    program.suite("http://127.0.0.1:1");
    program
}

const CHECK: [&str; 3] = ["suite", "check", "examplersid"];

#[test]
fn nothing_goes_in_clear_through_a_proxy_and_a_proxys_fault_is_named_as_its_own() {
    // Tokens are had on this host, data from a remote one: the former never leaves it, the latter is tunnelled.
    for (answer, why) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "it answers 407 Proxy Authentication Required",
        ),
        ("HTTP/1.0 407 No\r\nX Y: not as HTTP has it\r\n\r\n", "it answers 407 No"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answers 502 Bad Gateway"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "its answer is not HTTP"),
    ] {
        let ims = server(|_, _, _| token());
        let proxy = Server::start(move |peer| {
            while peer.request().is_some() {
                peer.send(answer);
            }
        });
        let program = reading("https://analytics.example.test", &format!("{}/token", ims.url()));
        let url = proxy.url();
        let variables = [("HTTP_PROXY", &*url), ("HTTPS_PROXY", &*url), ("ALL_PROXY", &*url)];
        let done = with_proxy(&program, &CHECK, &variables);
        assert_eq!(done.code, 1, "{done:?}");
        let named = format!("through the proxy {}: ", proxy.address);
        assert!(done.err.contains(&named) && done.err.contains(why), "{why}: {}", done.err);
        assert!(done.err.contains("check HTTPS_PROXY"), "{}", done.err);
        assert!(!done.err.contains("analytics.url"), "{}", done.err);
        assert_eq!(count(&ims, "POST /token"), 1);
        let seen = proxy.requests();
        let is_tunnel = |request: &String| request.starts_with("CONNECT analytics.example.test:443");
        assert!(!seen.is_empty() && seen.iter().all(is_tunnel), "{seen:?}");
        assert!(!seen.concat().contains(SECRET) && !seen.concat().contains(TOKEN), "{seen:?}");
    }
}

#[test]
fn a_proxy_that_never_answers_is_named_by_every_client() {
    for answer in ["", "HTTP/1.1 200 Connection established\r\n\r\n"] {
        let proxy = Server::start(move |peer| {
            if peer.request().is_some() {
                peer.send(answer);
                peer.until_closed();
            }
        });
        let program = reading("https://analytics.example.test", "https://ims.example.test/token");
        let config = std::fs::read_to_string(program.path("c.toml")).expect("a configuration");
        program.write("c.toml", &format!("{config}request_timeout_seconds = 1\n"));
        let done = with_proxy(&program, &CHECK, &[("HTTPS_PROXY", &proxy.url())]);
        assert_eq!(done.code, 1, "{done:?}");
        let named = format!("through the proxy {}: operation timed out", proxy.address);
        assert!(done.err.contains(&named) && done.err.contains("try: check HTTPS_PROXY"), "{}", done.err);
        assert!(!done.err.contains("analytics.ims_url"), "{}", done.err);
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_by_every_client_and_never_passed_by() {
    let url = "https://adobe.example.test";
    let program = Program::with(&format!(
        "[esm]\nurl = \"{url}\"\ndcr_url = \"{url}\"\nsoftware_statement_file = \"secret\"\n\
         [analytics]\nurl = \"{url}\"\nims_url = \"{url}\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n\
         [bulk]\nurl = \"{url}\"\nims_url = \"{url}\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n"
    ));
    program.write("secret", SECRET);
    program.suite("http://127.0.0.1:1");
    program.write("events.ndjson", &lines(1));
    let file = program.path("events.ndjson");
    let upload = ["backfill", "run", "h", "--via", "bulk", file.to_str().expect("UTF-8")];
    for (number, args) in [&SPAN[..], &CHECK, &upload].into_iter().enumerate() {
        let proxy =
            ["socks5://user:hidden@p:1", "http://user:hid#den@p:1", "https://user:hidden@p:1"][number];
        // What the upload began, it would not begin again.
        let wrong_port = (number < 2).then_some("http://user:hidden@127.0.0.1:31x8");
        for proxy in [proxy].into_iter().chain(wrong_port) {
            let done = with_proxy(&program, args, &[("HTTPS_PROXY", proxy)]);
            assert_eq!(done.code, 2, "{args:?}: {done:?}");
            assert!(done.err.contains("no way to adobe.example.test: HTTPS_PROXY"), "{args:?}: {}", done.err);
            assert!(!done.err.contains("hid"), "{}", done.err);
        }
    }
}

#[test]
fn no_proxy_with_a_port_or_every_host_leads_directly() {
    let proxy = Server::start(|peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
        }
    });
    // Nobody listens there, which is told at once.
    let program = reading("https://127.0.0.2:1", "https://127.0.0.2:1");
    let url = proxy.url();
    for (no, is_direct) in [("*", true), ("127.0.0.2:1", true), ("127.0.0.0/8", true), ("127.0.0.2:2", false)]
    {
        let before = proxy.requests().len();
        let done = with_proxy(&program, &CHECK, &[("HTTPS_PROXY", &url), ("NO_PROXY", no)]);
        assert_eq!(done.code, 1, "{done:?}");
        assert_eq!(proxy.requests().len() == before, is_direct, "{no}: {}", done.err);
        assert_eq!(done.err.contains("through the proxy"), !is_direct, "{no}: {}", done.err);
    }
}

#[test]
fn a_pipe_or_a_device_is_no_file_of_a_secret() {
    let server = esm(|| ok(json!({"report": []})));
    let url = server.url();
    let program = Program::with(&format!(
        "[esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{url}\"\nsoftware_statement_file = \"statement\"\n\
         [analytics]\nurl = \"{url}\"\nims_url = \"{url}\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n\
         [rest_v2]\nsecret_file = \"sources\"\n"
    ));
    program.suite("http://127.0.0.1:1");
    program.write("events.ndjson", "");
    const NAMES: [&str; 4] = ["statement", "secret", "tokens", "sources"];
    NAMES.iter().for_each(|name| program.write(name, "of-no-use-but-long-enough"));
    let exchanges = program.path("events.ndjson");
    let ingest = ["ingest", "--format", "rest-v2", exchanges.to_str().expect("UTF-8")];
    let commands: [&[&str]; 4] = [&SPAN, &["suite", "check", "examplersid"], &["run"], &ingest];
    for (args, name) in commands.iter().zip(NAMES) {
        std::fs::remove_file(program.path(name)).expect("it goes");
        let made = Command::new("mkfifo").arg(program.path(name)).status().expect("mkfifo runs");
        assert!(made.success());
        let done = program.run(args);
        std::fs::remove_file(program.path(name)).expect("it goes");
        program.write(name, "of-no-use-but-long-enough");
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
        assert!(
            done.err.contains("it is no regular file") && done.err.contains(name),
            "{args:?}: {}",
            done.err
        );
    }
    std::fs::remove_file(program.path("secret")).expect("it goes");
    std::os::unix::fs::symlink("/dev/zero", program.path("secret")).expect("a link");
    let done = program.run(&["suite", "check", "examplersid"]);
    assert!(done.code == 2 && done.err.contains("it is no regular file"), "{done:?}");
    assert_eq!(server.requests().len(), 0);
    // The password of a database, also in the file that other programs have for it. A file that everybody may read is warned of.
    let zeros = program.path("secret");
    for (key, variable) in [("password_file = \"secret\"\n", None), ("", Some(("PGPASSFILE", zeros)))] {
        program.write("c.toml", &format!("[buffer]\nurl = \"postgres://u@127.0.0.1:1/d\"\n{key}"));
        let mut command = program.command(&["status"]);
        command.envs(variable);
        let refused = crate::program::done(command);
        assert!(refused.code == 2 && refused.err.contains("it is no regular file"), "{refused:?}");
    }
    program
        .write("c.toml", "[buffer]\nurl = \"postgres://u@127.0.0.1:1/d\"\npassword_file = \"statement\"\n");
    std::fs::set_permissions(program.path("statement"), std::fs::Permissions::from_mode(0o644))
        .expect("a mode");
    assert!(program.run(&["status"]).err.contains("everybody on this host may use the file"));
}

#[test]
fn a_secret_in_another_encoding_or_with_a_nul_is_refused_with_its_file_and_never_sent() {
    let server = esm(|| ok(json!({"report": []})));
    let url = server.url();
    let config = format!(
        "[esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{url}\"\nsoftware_statement_file = \"statement\"\n\
         [analytics]\nurl = \"{url}\"\nims_url = \"{url}\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n\
         [bulk]\nurl = \"{url}\"\nims_url = \"{url}\"\nclient_id = \"c\"\nclient_secret_file = \"upload\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n"
    );
    let program = Program::with(&config);
    program.suite("http://127.0.0.1:1");
    program.write("events.ndjson", &lines(1));
    let events = program.path("events.ndjson");
    let events = events.to_str().expect("UTF-8");
    let good = "of-no-use-but-long-enough\n";
    let little: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = format!("\u{feff}{good}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let upload = ["backfill", "run", "h", "--via", "bulk", events];
    let commands: [(&str, &[&str]); 5] = [
        ("statement", &SPAN),
        ("secret", &["suite", "check", "examplersid"]),
        ("upload", &upload),
        ("tokens", &["run"]),
        ("key", &["ingest", events]),
    ];
    for (name, args) in commands {
        if name == "key" {
            program.write("c.toml", &format!("{config}[rest_v2.service_token_keys]\none = \"key\"\n"));
        }
        for (bytes, wrong) in [
            (&little[..], "it is UTF-16"),
            (&big, "it is UTF-16"),
            (b"first-line-of-it\nof-no-use\0but-long-enough", "line 2 has a NUL byte"),
            (b"\0of-no-use-but-long-enough", "line 1 has a NUL byte"),
            (b"of-no-use-b\xfct-long-enough", "line 1 is not UTF-8"),
            (&[b'x'; 2 << 20], "it has more than 1048576 bytes"),
        ] {
            std::fs::write(program.path(name), bytes).expect("a file is written");
            let done = program.run(args);
            assert_eq!(done.code, 2, "{args:?}: {done:?}");
            let path = program.path(name);
            for part in [wrong, path.to_str().expect("UTF-8")] {
                assert!(done.err.contains(part), "{part}: {}", done.err);
            }
            assert!(!done.err.contains("of-no-use") && !done.err.contains("free some disk"), "{}", done.err);
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn faults_of_analytics_and_of_its_tokens_advise_the_right_key() {
    let analytics = |answer: fn(&str) -> (String, String)| {
        let server = server(move |_, path, _| answer(path));
        let url = server.url();
        let program = Program::with(&format!(
            "[analytics]\nurl = \"{url}/aa\"\nims_url = \"{url}/token\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\n\
             company = \"acme0\"\nwindow_ms = 6\n"
        ));
        program.write("secret", SECRET);
        program.suite("http://127.0.0.1:1");
        let done = program.run(&["suite", "check", "examplersid"]);
        assert_no_secret(&done);
        (done, server)
    };
    for (answer, place, why, advice) in [
        (
            (|_| refused("404 Not Found", "")) as fn(&str) -> _,
            "/token",
            "status 404",
            "check analytics.ims_url",
        ),
        (
            |_| refused("400 Bad", json!({"error": "invalid_scope"})),
            "/token",
            "invalid_scope",
            "analytics.scopes",
        ),
        (
            |path| if path == "/token" { token() } else { refused("500 Oops", format!("{TOKEN}\u{1b}[2J")) },
            "/aa/api/acme0/reportsuites/collections/suites/examplersid",
            "status 500: ...\u{FFFD}[2J",
            "check analytics.url",
        ),
        (
            |path| if path == "/token" { token() } else { refused("401 No", "") },
            "/aa/api/acme0/",
            "status 401",
            "check analytics.client_id, its secret and analytics.scopes",
        ),
        (
            |path| if path == "/token" { token() } else { refused("403 No", "") },
            "/aa/api/acme0/",
            "status 403",
            "product profile",
        ),
    ] {
        let (done, server) = analytics(answer);
        assert_eq!(done.code, 1, "{done:?}");
        let place = format!("{}{place}", server.address);
        assert!(done.err.contains(&place) && done.err.contains(why), "{place} {why}: {}", done.err);
        assert!(done.err.contains(advice), "{advice}: {}", done.err);
    }
}

#[test]
fn a_walk_over_all_suites_goes_on_past_one_that_cannot_be_read_and_ends_where_none_can() {
    let answer = |path: &str| match path {
        "/token" => token(),
        path if path.contains("/collections/suites/examplersid") => refused("503 Busy", ""),
        path if path.contains("/collections/suites/") => ok(json!({"rsid": "other", "name": "Other"})),
        _ => ok(json!([])),
    };
    let busy = server(move |_, path, _| answer(path));
    let program = reading(&busy.url(), &format!("{}/token", busy.url()));
    let add =
        ["suite", "add", "--requestor", "REF40", "--rsid", "other", "--collection-url", "http://127.0.0.1:1"];
    assert_eq!(program.run(&add).code, 0);
    let (code, report) = program.json(&["suite", "check", "--all"]);
    assert_eq!((code, &report["suites"][0]["rsid"]), (1, &"other".into()), "{report}");
    assert!(report["unread"]["examplersid"].as_str().is_some_and(|why| why.contains("503")), "{report}");

    let closed = server(|_, _, _| refused("401 No", json!({"error": "invalid_client"})));
    let program = reading(&closed.url(), &format!("{}/token", closed.url()));
    assert_eq!(program.run(&add).code, 0);
    let ended = program.run(&["suite", "check", "--all"]);
    assert!(ended.code == 1 && ended.out.is_empty() && ended.err.contains("/token"), "{ended:?}");
    assert_eq!(count(&closed, "POST /token"), 1, "what refuses the first refuses all");
    let barred = server(|_, path, _| if path == "/token" { token() } else { refused("401 No", "") });
    let program = reading(&barred.url(), &format!("{}/token", barred.url()));
    assert_eq!(program.run(&add).code, 0);
    let ended = program.run(&["suite", "check", "--all"]);
    assert!(ended.code == 1 && ended.out.is_empty(), "{ended:?}");
    assert!(!ended.err.contains("suites/examplersid"), "no suite is at fault: {}", ended.err);
}

#[test]
fn an_answer_about_another_suite_is_not_taken_for_this_one() {
    let server = server(|_, path, _| match path {
        "/token" => token(),
        path if path.contains("/collections/suites/") => ok(json!({"rsid": "othersuite", "name": "Other"})),
        _ => ok(json!([])),
    });
    let program = reading(&server.url(), &format!("{}/token", server.url()));
    let done = program.run(&CHECK);
    assert!(done.code == 1 && done.err.contains("it is about another report suite"), "{done:?}");
}

#[test]
fn what_a_suite_says_of_itself_cannot_steer_a_terminal() {
    let server = server(|_, path, _| match path {
        "/token" => token(),
        path if path.contains("/collections/suites/") => {
            let zone = format!("{TOKEN}\u{1b}]0;owned\u{7}\u{202e}{}", "z".repeat(9_000));
            ok(
                json!({"rsid": "examplersid", "name": "a\u{9b}2J", "timezoneZoneinfo": zone, "currency": "\u{1b}[2J"}),
            )
        }
        _ => ok(json!([])),
    });
    let url = server.url();
    let program = Program::with(&format!(
        "[analytics]\nurl = \"{url}\"\nims_url = \"{url}/token\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\ncompany = \"acme0\"\n"
    ));
    program.write("secret", SECRET);
    program.suite("http://127.0.0.1:1");
    let done = program.run(&["suite", "check", "examplersid"]);
    let text = format!("{}{}", done.out, done.err);
    assert!(text.contains("]0;owned"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 1_000), "{text}");
    assert_no_secret(&done);
}

/// What `reconcile` says where reports of Analytics are answered so, and how many were asked for.
fn reconciled(report: impl Fn(&str) -> Value + Send + Sync + 'static) -> (Done, usize) {
    let server = server(move |_, path, request| match path {
        "/token" => token(),
        path if path.ends_with("/reports") => ok(report(request)),
        path if path.contains("/collections/suites/") => {
            ok(json!({"rsid": "examplersid", "name": "a", "timezoneZoneinfo": "US/Pacific"}))
        }
        _ => ok(json!([])),
    });
    let url = server.url();
    let program = Program::with(&format!(
        "[analytics]\nurl = \"{url}\"\nims_url = \"{url}/token\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\ncompany = \"acme0\"\nwindow_ms = 6\n"
    ));
    program.write("secret", SECRET);
    program.suite("http://127.0.0.1:1");
    program.ingest(5);
    let done =
        program.run(&["reconcile", "--suite", "examplersid", "--from", "2026-11-01", "--to", "2026-11-02"]);
    (done, count(&server, "POST /api/acme0/reports"))
}

#[test]
fn a_report_without_end_is_refused_when_it_exceeds_what_it_announces() {
    let (done, reports) = reconciled(|request| {
        let page = request.split("\"page\":").nth(1).and_then(|rest| rest.split(['}', ',']).next());
        let page = page.unwrap_or("0");
        let row =
            |number: u32| json!({"itemId": format!("{page}-{number}"), "value": "v", "data": vec![0; 18]});
        let rows: Vec<Value> = (0..400).map(row).collect();
        json!({"rows": rows, "lastPage": false, "totalElements": 800, "totalPages": 2})
    });
    assert!(done.code == 1 && done.err.contains("more than the 2 pages that it announces"), "{done:?}");
    assert_eq!(reports, 2);
}

#[test]
fn a_report_that_is_never_whole_is_told_by_what_was_seen() {
    let (done, _) = reconciled(|_| {
        let rows = json!([{"itemId": "1", "value": "v", "data": vec![0; 18]}]);
        json!({"rows": rows, "lastPage": true, "totalElements": 2, "totalPages": 1})
    });
    let told = "3 times it was not whole; the last time it ended with fewer rows than it announced";
    assert!(done.code == 1 && done.err.contains(told), "{done:?}");
}

#[test]
fn a_report_that_never_ends_is_bounded_in_bytes() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            if request.contains("/o/client") {
                let body =
                    json!({"access_token": TOKEN, "client_id": "c", "client_secret": SECRET}).to_string();
                peer.send(reply("201 Created", "", &body));
                continue;
            }
            peer.send("HTTP/1.1 200 OK\r\n\r\n{\"report\":[");
            // 65 MiB where 64 are taken.
            for _ in 0..65 {
                peer.send(" ".repeat(1 << 20));
            }
            break;
        }
    });
    let done = pulling(&server.url(), &server.url(), "").run(&SPAN);
    assert!(done.code == 1 && done.err.contains("is longer than 67108864 bytes"), "{done:?}");
}
