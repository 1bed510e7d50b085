//! What is forgotten is gone from wherever the program keeps it.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use crate::program::{Program, lines};
use crate::support::sandbox;

#[test]
fn a_person_is_forgotten_in_the_buffer_and_in_the_rejected_lines() {
    let program = Program::new();
    let good = lines(3);
    let broken = good.replace("2026-11-01", "2026-99-01");
    program.write("events.ndjson", &format!("{good}{broken}"));
    let path = program.path("events.ndjson");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);

    let (code, forgotten) = program.json(&["forget", "--mvpd", "M", "--mvpd-user-id", "u1"]);
    assert_eq!(
        (code, &forgotten["events"], &forgotten["rejected_lines"]),
        (0, &1.into(), &1.into()),
        "{forgotten}"
    );
    let rejects =
        fs::read_dir(program.path("rejects")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let left: String = rejects.map(|path| fs::read_to_string(path).expect("UTF-8")).collect();
    assert_eq!(
        (left.lines().count(), left.contains(r#"\"u1\""#), left.contains(r#"\"u2\""#)),
        (2, false, true),
        "{left}"
    );
    let database = fs::read(program.path("passbridge.db")).expect("the buffer");
    assert!(!database.windows(8).any(|window| window == b"\"u1\",\"mv" || window == b":\"u1\",\"m"));

    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    let status = program.json(&["status", "--verify"]).1;
    assert_eq!(
        (&status["pending"], &status["accounting"]["erased"]["events"]),
        (&2.into(), &1.into()),
        "{status}"
    );
}

#[test]
fn a_person_is_found_however_their_id_is_written_and_nobody_else_is_erased() {
    for (id, theirs, others) in [
        (
            "bobby77",
            &["bobby77", "bobby77\u{a0}", "\tbobby77", "bobby77\u{200b}", "\u{feff}bobby77", "=\"bobby77\""]
                [..],
            &["BOBBY77", "\"bobby77\"", "'bobby77", "bobby777"][..],
        ),
        ("0012345\u{a0}", &["0012345", "'0012345", "=\"0012345\""], &["12345", "'0012345'"]),
    ] {
        let program = Program::new();
        let event = |id: &str| {
            let event = json!({
                "event": "play_requested", "occurred_at": "2026-11-01T10:00:00Z", "requestor_id": "REF30",
                "mvpd": "M", "mvpd_user_id": id, "event_id": id.escape_unicode().to_string().replace(r"\u", ""),
            });
            event.to_string()
        };
        let events: Vec<String> = theirs.iter().chain(others).map(|id| event(id)).collect();
        program.write("events.ndjson", &events.join("\n"));
        assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
        let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
        for event in &events {
            database.execute("INSERT INTO inbox (body) VALUES (?1)", [event]).expect("a row");
        }
        let (_, forgotten) = program.json(&["forget", "--mvpd", "M", "--mvpd-user-id", id]);
        let count = theirs.len();
        assert_eq!((&forgotten["events"], &forgotten["inbox_rows"]), (&count.into(), &count.into()), "{id}");
        let left = |select: &str| -> Vec<String> {
            let mut statement = database.prepare(select).expect("SQL");
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.collect::<Result<_, _>>().expect("texts")
        };
        assert_eq!(left("SELECT body ->> 'mvpd_user_id' FROM inbox ORDER BY rowid"), others);
        assert_eq!(left("SELECT body ->> 'mvpd_user_id' FROM events ORDER BY seq"), others);
    }
}

#[test]
fn an_event_that_is_packed_as_text_is_not_kept_because_nobody_sees_whom_it_names() {
    let program = Program::new();
    let event = lines(1).trim_end().to_owned();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &event);
    let hex: String = event.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", event.as_bytes());
    let wrapped = json!({"kubernetes": {"pod": "a"}, "message": base64}).to_string();
    let in_event = json!({"occurred_at": "bad", "event": "authn_ok", "requestor_id": "R", "note": hex});
    let source = [&base64, &hex, &bytes, &format!("\"{base64}\""), &wrapped, &in_event.to_string()]
        .map(|line| format!("{line}\n"))
        .concat();
    let row = format!("occurred_at,event,requestor_id,note\nbad,authn_ok,R,{base64}\n");
    program.write("shipped.ndjson", &source);
    program.write("shipped.csv", &row);
    let mut said = String::new();
    for name in ["shipped.ndjson", "shipped.csv"] {
        let done = program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]);
        assert_eq!(done.code, 3, "{}", done.err);
        said += &done.err;
    }
    for rejects in fs::read_dir(program.path("rejects")).expect("a folder") {
        said += &fs::read_to_string(rejects.expect("an entry").path()).expect("UTF-8");
    }
    for part in [&base64[8..40], &hex[8..40], &bytes[8..40]] {
        assert!(!said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        said.matches("unpack it first, as base64 -d FILE | passbridge ingest - does").count(),
        14,
        "{said}"
    );
}

#[test]
fn lines_in_utf_16_or_utf_32_behind_lines_in_utf_8_are_not_kept_because_no_search_finds_a_word_in_them() {
    let program = Program::new();
    let exchange = r#"{"started_at":"2026-11-20T08:30:00Z","headers":{"Authorization":"Bearer SECRET"}}"#;
    let event = r#"{"occurred_at":"bad","event":"authn_ok","requestor_id":"REF30","mvpd_user_id":"SECRET"}"#;
    let escaped: String = exchange.chars().flat_map(|letter| [letter, '\0']).collect();
    let in_json = json!({"log": escaped}).to_string();
    let text = format!("{exchange}\n{event}\n");
    let units = |letter: u16| [u32::from(letter).to_le_bytes(), u32::from(letter).to_be_bytes()].concat();
    let of_units = |part: fn(&[u8]) -> &[u8]| -> Vec<u8> {
        text.encode_utf16().flat_map(|letter| part(&units(letter)).to_vec()).collect()
    };
    let wide = [of_units(|unit| &unit[..2]), of_units(|unit| &unit[6..]), of_units(|unit| &unit[..4])];
    let row: Vec<u8> =
        "bad,authn_ok,REF30,SECRET\n".encode_utf16().flat_map(|letter| letter.to_le_bytes()).collect();
    let header = b"occurred_at,event,requestor_id,mvpd_user_id\n";
    let mut said = String::new();
    for (name, first, rest) in [
        ("little.ndjson", lines(1).into_bytes(), &wide[0]),
        ("big.ndjson", lines(1).into_bytes(), &wide[1]),
        ("four.ndjson", lines(1).into_bytes(), &wide[2]),
        ("wrapped.ndjson", lines(1).into_bytes(), &in_json.into_bytes()),
        ("rows.csv", header.to_vec(), &row),
    ] {
        fs::write(program.path(name), [&first[..], rest].concat()).expect("a file");
        let done = program.run(&["ingest", program.path(name).to_str().expect("UTF-8")]);
        assert_eq!(done.code, 3, "{name}: {}", done.err);
        said += &done.err;
    }
    for rejects in fs::read_dir(program.path("rejects")).expect("a folder") {
        said += &fs::read_to_string(rejects.expect("an entry").path()).expect("UTF-8");
    }
    let dense = said.replace('\0', "").replace("\\u0000", "").replace("\\\\u0000", "");
    assert!(!dense.contains("SECRET"), "{dense}");
    assert!(dense.contains("nothing of it is kept, because it has letters in UTF-16 or UTF-32"), "{dense}");
}

#[test]
fn a_rejects_file_without_another_line_is_removed() {
    let program = Program::new();
    program.write("events.ndjson", "{\"event\":\"play_requested\",\"visitor_id\":\"v1\"}\n");
    let path = program.path("events.ndjson");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    assert_eq!(program.json(&["forget", "--visitor-id", "v1"]).1["rejected_lines"], 1);
    assert_eq!(fs::read_dir(program.path("rejects")).expect("a folder").count(), 0);
}

#[test]
fn what_is_replaced_in_the_metrics_is_told_and_copies_beside_the_buffer_go() {
    let sandbox = sandbox("");
    let program = Program::with("[buffer]\nretention_days = 0\n");
    program.suite(&sandbox.url());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(program.run(&["retention"]).code, 0);
    for name in [
        "passbridge.db.schema-4.backup",
        "passbridge.db.replaced-20261101T000000Z",
        "passbridge.db.partial",
        "passbridge.db.partial-journal",
        "mine.db",
    ] {
        program.write(name, "\"u1\"");
    }
    let (code, forgotten) = program.json(&["forget", "--mvpd", "M", "--mvpd-user-id", "u1"]);
    assert_eq!((code, &forgotten["events"], &forgotten["copies"]), (0, &0.into(), &3.into()), "{forgotten}");
    assert_eq!(forgotten["metric_digests"], 1, "{forgotten}");
    let left =
        fs::read_dir(program.path("")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter_map(|name| name.into_string().ok()).collect();
    let is_copy = |name: &String| ["schema-", "replaced-", ".partial"].iter().any(|part| name.contains(part));
    assert!(!left.iter().any(is_copy), "{left:?}");
    assert!(left.iter().any(|name| name == "mine.db"), "{left:?}");

    let again = program.run(&["forget", "--mvpd", "M", "--mvpd-user-id", "u1"]);
    assert!(again.out.starts_with("nobody found"), "{again:?}");
    let other = program.run(&["forget", "--mvpd", "M", "--mvpd-user-id", "u2"]);
    assert!(other.out.contains("replaced 1 digests") && !other.out.contains("nobody"), "{other:?}");
}

#[test]
fn a_copy_that_cannot_be_deleted_is_named() {
    let program = Program::new();
    let good = lines(3);
    program.write("events.ndjson", &format!("{good}{}", good.replace("2026-11-01", "2026-99-01")));
    let path = program.path("events.ndjson");
    assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3);
    fs::create_dir(program.path("passbridge.db.replaced-by-hand")).expect("a folder");
    let (code, report) = program.json(&["forget", "--mvpd", "M", "--mvpd-user-id", "u1"]);
    let counts = ["events", "rejected_lines"].map(|name| &report[name]);
    assert_eq!((code, counts), (1, [&json!(1); 2]), "what could be erased is erased, and said: {report}");
    assert!(
        report["failure"]["error"].as_str().is_some_and(|error| error.contains("replaced-by-hand")),
        "{report}"
    );
    let again = program.run(&["forget", "--mvpd", "M", "--mvpd-user-id", "u2"]);
    assert!(again.code == 1 && again.out.starts_with("not everything is erased"), "{again:?}");
    assert!(again.out.contains("erased 1 events") && again.err.contains("replaced-by-hand"), "{again:?}");
}

#[test]
fn records_of_old_runs_go_with_retention_but_for_the_latest() {
    let program = Program::with("[buffer]\nretention_days = 7\n");
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    database
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 7000)
             INSERT INTO runs (run, started_at, finished_at, summary, job)
             SELECT n, n, iif(n > 50, NULL, n), '{}', 0 FROM n;
             INSERT INTO forms (form, rsid, identity, org_id, event_ids, count_form, visitor_rules)
             VALUES (1, 'r', 'ecid', '', 'on', 'single_hits', 1);
             INSERT INTO waves (run, wave, form, seqs) VALUES (9, 1, 1, '[1]')",
        )
        .expect("many runs");
    assert_eq!(program.run(&["retention", "--trust-clock"]).code, 0);
    let left: String = database
        .query_row(
            "SELECT group_concat(run) FROM (SELECT run FROM runs WHERE run <= 6900 ORDER BY run)",
            [],
            |row| row.get(0),
        )
        .expect("runs");
    // That with an attempt that is not settled, and the last that ended.
    assert_eq!(left, "9,50");
    let kept: i64 = database.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("a count");
    assert_eq!(kept, 102);
}

#[test]
fn a_person_is_found_in_lines_whose_letters_were_lost_and_no_line_with_escaped_letters_is_kept() {
    let program = Program::new();
    let line = |mvpd: &[u8], user: &[u8]| {
        let parts: [&[u8]; 5] = [
            b"{\"occurred_at\":\"2026-11-01T08:30:00Z\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\",\"mvpd\":\"",
            mvpd,
            b"\",\"mvpd_user_id\":\"",
            user,
            b"\"}\n",
        ];
        parts.concat()
    };
    let latin =
        [line(b"cc", b"m\xfcller-7"), line(b"C\xe2ble", b"bob-77"), line(b"cc", b"m\xfcller-8")].concat();
    fs::write(program.path("latin.ndjson"), latin).expect("a file");
    program.write(
        "escaped.ndjson",
        "occurred_at=bad&event=authz_ok&mvpd=cc&mvpd_user_id=kim%40example.com\n<event occurred_at=\"bad\" mvpd_user_id=\"kim&amp;b\"/>\n",
    );
    for name in ["latin.ndjson", "escaped.ndjson"] {
        let path = program.path(name);
        assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 3, "{name}");
    }
    let kept = || -> String {
        let files = fs::read_dir(program.path("rejects")).expect("a folder");
        files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("a text")).collect()
    };
    assert!(!kept().contains("kim") && kept().contains("ller-7"), "{}", kept());
    for (mvpd, user) in [("cc", "m\u{fc}ller-7"), ("C\u{e2}ble", "bob-77")] {
        let done = program.run(&["forget", "--mvpd", mvpd, "--mvpd-user-id", user]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    let left = kept();
    assert!(!left.contains("ller-7") && !left.contains("bob-77") && left.contains("ller-8"), "{left}");
}

#[test]
fn what_is_held_of_a_person_is_exported_to_a_file_of_its_owner_and_is_what_forget_finds() {
    use std::os::unix::fs::PermissionsExt;

    let (program, sandbox) = (Program::new(), sandbox(""));
    program.suite(&sandbox.url());
    let good = lines(3);
    program.write("events.ndjson", &format!("{good}{}", good.replace("2026-11-01", "2026-99-01")));
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 3);
    assert_eq!(program.run(&["drain"]).code, 0);
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    let row = "{\"mvpd\":\"m\",\"mvpd_user_id\":\"u1\"}";
    database.execute("INSERT INTO inbox VALUES (?1)", [row]).expect("a row");
    let path = program.path("held.ndjson");
    let whom = ["--mvpd", "M", "--mvpd-user-id", "u1"];
    let export = [&["export", "person"], &whom[..], &["--output", path.to_str().expect("UTF-8")]].concat();
    let (code, report) = program.json(&export);
    let found = program.json(&[&["forget", "--dry-run"], &whom[..]].concat()).1;
    for what in ["events", "inbox_rows", "rejected_lines"] {
        assert_eq!((code, &report[what], &found[what]), (0, &json!(1), &json!(1)), "{what} {report}");
    }
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("UTF-8");
    let held: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&held[0]["held"], &held[0]["event"]["mvpd_user_id"], &held[0]["trace"]["state"]),
        (&json!("event"), &json!("u1"), &json!("delivered")),
        "{text}"
    );
    assert_eq!((&held[1]["held"], &held[1]["text"]), (&json!("inbox_row"), &json!(row)));
    assert!(
        held[2]["held"] == "rejected_line"
            && held[2]["text"].as_str().expect("a line").contains("2026-99-01")
    );
    assert!(!text.contains("u2"), "{text}");
    let buffer = program.path("passbridge.db");
    let over = [&export[..7], &[buffer.to_str().expect("UTF-8")]].concat();
    assert_eq!(program.run(&over).code, 2);
    let nobody = [&["export", "person", "--device-id", "nobody", "--output"], &export[7..]].concat();
    assert!(program.run(&nobody).out.contains("nobody found"));
}

#[test]
fn a_person_is_found_whose_mvpd_is_null_or_a_word_of_a_map_and_whose_id_is_a_long_number() {
    let program = Program::with(
        "[ingest]\ninbox_map = \"w\"\n[map.w]\nvalues = { mvpd = { \"cc\" = \"Cable\", \"dd\" = \"Dish\" } }\n",
    );
    let line = |rest: &str| {
        format!("{{\"occurred_at\":\"bad\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\",{rest}}}\n")
    };
    let id = "123456789012345678901234567890";
    let short = [
        "12345678901234567890123456789e1",
        "1.2345678901234567890123456789E+29",
        "123456789012345678901234567890.00",
    ];
    let theirs = [
        format!("\"mvpd\":null,\"mvpd_user_id\":{id}"),
        format!("\"mvpd\" : \"\",\"mvpd_user_id\":\"{id}\""),
        format!("\"proxy_mvpd\":\"Dish\",\"mvpd_user_id\":{id}"),
        format!("\"mvpd\":\"Cable\",\"mvpd_user_id\":{id}"),
        format!("\"MVPD\":\"CABLE\",\"MVPD_USER_ID\":{id}"),
        format!("\"mvpd\":null,\"mvpd_user_id\":{id},"),
        format!("\"mvpd\":null,\"mvpd_user_id\":{}", short[0]),
        format!("\"mvpd\":null,\"mvpd_user_id\":{}", short[1]),
        format!("\"mvpd\":null,\"mvpd_user_id\":{}", short[2]),
    ];
    let others = [
        format!("\"mvpd\":\"Dish\",\"mvpd_user_id\":{id}"),
        format!("\"MVPD\":\"Dish\",\"mvpd_user_id\":{id}"),
        format!("\"mvpd\":null,\"mvpd_user_id\":{id}1"),
        format!("\"mvpd\":null,\"mvpd_user_id\":{id}e1"),
        format!("\"mvpd\":null,\"mvpd_user_id\":{id}.5"),
    ];
    let plain: String = theirs.iter().chain(&others).map(|rest| line(rest)).collect();
    let mapped = line(&format!("\"mvpd\":\"cc\",\"mvpd_user_id\":{id}"));
    for (name, content, map) in
        [("plain.ndjson", &plain, &[][..]), ("mapped.ndjson", &mapped, &["--map", "w"])]
    {
        program.write(name, content);
        let path = program.path(name);
        let done = program.run(&[&["ingest", path.to_str().expect("UTF-8")], map].concat());
        assert_eq!(done.code, 3, "{done:?}");
    }
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    let of_other_word = line(&format!("\"mvpd\":\"dd\",\"mvpd_user_id\":{id}"));
    for row in plain.lines().chain([mapped.trim_end(), of_other_word.trim_end()]) {
        database.execute("INSERT INTO inbox (body) VALUES (?1)", [row]).expect("a row");
    }
    let forget = ["forget", "--mvpd", "Cable", "--mvpd-user-id", id];
    let rehearsed = program.json(&[&forget[..], &["--dry-run"]].concat()).1;
    let (_, forgotten) = program.json(&forget);
    for report in [rehearsed, forgotten] {
        let found = ["rejected_lines", "inbox_rows"].map(|name| report[name].clone());
        assert_eq!(found, [json!(theirs.len() + 1), json!(theirs.len() + 1)], "{report}");
    }
    let left: i64 = database.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("a count");
    assert_eq!(left as usize, others.len() + 1);
}

#[test]
fn a_person_is_found_in_the_rejected_lines_of_a_map_by_the_words_of_that_map() {
    let program = Program::with(
        "[map.w]\nkeys = { mvpd = \"sub.provider\", mvpd_user_id = \"sub.id\" }\nnull_words = [\"none\"]\n\
         [map.w.values.mvpd]\n\"CC\" = \"Cable\"\n\"dd\" = \"Dish\"\n\
         [map.dish]\nkeys = { mvpd_user_id = \"who\" }\nconstants = { mvpd = \"Dish\" }\n",
    );
    let line = |rest: &str| {
        format!("{{\"occurred_at\":\"bad\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\",{rest}}}\n")
    };
    let sub = |provider: &str| line(&format!("\"Sub\":{{\"Provider\":{provider},\"id\":\"u1\"}}"));
    let in_text = line("\"sub\":\"{\\\"provider\\\":\\\"cc\\\",\\\"id\\\":\\\"u1\\\"}\"");
    let theirs = [
        sub("\"cc\""),
        sub("\"CABLE\""),
        sub("null"),
        sub("\"None\""),
        sub("\"cc\"").replace('}', ""),
        sub("\"dd\",\"PROVIDER\":\"cc\""),
        in_text,
    ];
    let others = [sub("\"dd\""), sub("\"Dish\""), sub("7"), sub("\"cc\"").replace("u1", "u2")];
    for (map, lines) in [("w", theirs.concat() + &others.concat()), ("dish", line("\"who\":\"u1\""))] {
        let done = program.run(&["ingest", "--map", map, &program.file(&format!("{map}.ndjson"), &lines)]);
        assert_eq!(done.code, 3, "{done:?}");
    }
    let forget = |mvpd: &str| {
        let whom = ["forget", "--mvpd", mvpd, "--mvpd-user-id", "u1"];
        let rehearsed = program.json(&[&whom[..], &["--dry-run"]].concat()).1["rejected_lines"].clone();
        assert_eq!(program.json(&whom).1["rejected_lines"], rehearsed);
        rehearsed
    };
    assert_eq!(forget("cable"), theirs.len());
    assert_eq!(forget("Dish"), 3);
    assert_eq!(forget("7"), 1);
    let shown = program.run(&["trace", "--line", &format!("w.ndjson:{}", theirs.len() + others.len())]);
    assert!(shown.out.contains("occurred_at \"bad\""), "the other person's line stays: {shown:?}");
}

#[test]
fn no_value_of_a_rejected_line_is_where_forget_does_not_look() {
    let program = Program::new();
    let id = "jane.doe@viewer.example";
    let line = |at: &str, event: &str, rest: &str| {
        format!("{{\"occurred_at\":\"{at}\",\"event\":\"{event}\",\"requestor_id\":\"REF30\"{rest}}}\n")
    };
    let at = "2026-11-20T08:30:00Z";
    let lines = [
        line(id, "authn_ok", ",\"token\":\"x\""),
        line(at, id, ",\"password\":\"x\""),
        line(at, &format!("a\\\"{id}\\\"b"), ""),
        line(at, "authn_ok", &format!(",\"count\":\"{id}\"")),
        line(id, "authn_ok", ",\"x\":\"%41%42\"").replace('}', ""),
    ];
    let csv = format!("occurred_at,event,requestor_id,token\n{at},{id},REF30,x\n");
    for (name, text) in [("lines.ndjson", lines.concat()), ("rows.csv", csv)] {
        let done = program.run(&["ingest", &program.file(name, &text)]);
        assert_eq!(done.code, 3, "{done:?}");
        std::fs::remove_file(program.path(name)).expect("the source is not ours");
    }
    let rejects =
        std::fs::read_dir(program.path("rejects")).expect("rejects").map(|file| file.expect("a file").path());
    let rejects: Vec<_> = rejects.collect();
    let kept: String = rejects.iter().map(|file| std::fs::read_to_string(file).expect("UTF-8")).collect();
    let hidden = kept.lines().filter(|line| line.contains("nothing of it is kept"));
    assert_eq!(hidden.clone().count(), 4, "{kept}");
    assert!(hidden.clone().all(|line| !line.contains(id)), "{kept}");
    // What an earlier build kept.
    let former =
        format!("{{\"path\":\"a\",\"line\":1,\"reason\":\"event \\\"{id}\\\" is unknown\",\"text\":\"\"}}\n");
    std::fs::write(&rejects[0], std::fs::read_to_string(&rejects[0]).expect("UTF-8") + &former)
        .expect("a line");

    let (_, forgotten) = program.json(&["forget", "--mvpd", "Cable", "--mvpd-user-id", id]);
    assert_eq!(forgotten["rejected_lines"], 3, "{forgotten}");
    for file in ["passbridge.db", "passbridge.db-wal"].map(|name| program.path(name)).iter().chain(&rejects) {
        let bytes = std::fs::read(file).unwrap_or_default();
        let is_there = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!is_there(b"jane.doe"), "{}", file.display());
    }
}

/// What an ingest of these inputs said and kept in its rejects.
fn said_and_kept(program: &Program, inputs: &[(&str, String)]) -> String {
    let mut said = String::new();
    for (name, content) in inputs {
        let done = program.run(&["ingest", &program.file(name, content)]);
        assert_eq!(done.code, 3, "{name}: {}", done.err);
        said += &done.err;
    }
    for rejects in fs::read_dir(program.path("rejects")).expect("a folder") {
        said += &fs::read_to_string(rejects.expect("an entry").path()).expect("UTF-8");
    }
    said
}

#[test]
fn no_part_of_an_exchange_that_a_log_driver_cut_is_kept() {
    let body = json!({"profiles": {"Cable": {"attributes": {
        "pad": "x".repeat(60), "userID": {"value": "SECRET@example.com"}, "zip": {"value": "SECRET"},
    }}}});
    let exchange = json!({
        "started_at": "2026-11-20T08:30:00Z", "response": {"status": 200, "body": body.to_string()},
        "request": {"method": "GET", "url": "https://api.auth.adobe.com/api/v2/REF30/profiles"},
    });
    let exchange = exchange.to_string();
    let at = exchange.find("SECRET").expect("the user") - 20;
    let docker = |text: &str| json!({"log": text, "stream": "stdout", "time": "2026-11-20T08:30:00.1Z"});
    let journald = |text: &str| json!({"MESSAGE": text, "CONTAINER_PARTIAL_MESSAGE": "true"});
    let (first, second) = exchange.split_at(at);
    let last = format!("{second}\n");
    // A part that is cut again has no sign of JSON.
    let (middle, name) = ("x".repeat(20), "SECRET\n");
    let mut inputs = Vec::new();
    for (number, parts) in [
        vec![docker(first), docker(&last)],
        vec![docker(&last)],
        vec![docker(first), docker(&middle), docker(name)],
        vec![journald(first), journald(second)],
        vec![journald(second)],
    ]
    .iter()
    .enumerate()
    {
        let lines: String = parts.iter().map(|part| format!("{part}\n")).collect();
        let event =
            "{\"occurred_at\":\"bad\",\"event\":\"authn_ok\",\"requestor_id\":\"REF30\",\"mvpd\":\"Kept\"}\n";
        inputs.push((format!("cut{number}.ndjson"), lines + event));
    }
    let inputs: Vec<(&str, String)> = inputs.iter().map(|(name, text)| (&**name, text.clone())).collect();
    let program = Program::new();
    let said = said_and_kept(&program, &inputs);
    assert!(!said.contains("SECRET"), "{said}");
    assert_eq!(said.matches(r#"\"mvpd\":\"Kept\""#).count(), inputs.len(), "an event stays: {said}");
}

#[test]
fn no_credential_is_kept_whatever_its_name_and_no_packed_event() {
    let line = |name: &str, value: &str| {
        let mut event = json!({"occurred_at": "bad", "event": "authn_ok", "requestor_id": "REF30"});
        event[name] = value.into();
        event.to_string() + "\n"
    };
    let names = ["authHeader", "sid", "JSESSIONID", "dsn", "connection_string", "pswd"];
    let values = [
        "Basic dTpTRUNSRVQ=",
        "postgres://u:SECRET@h/db",
        "ghp_SECRETabcdefghijklmnopqrstuvwxyz0123",
        "xoxb-123456789012-SECRET",
        "AKIASECRETDNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----\nSECRET",
    ];
    // The packed text is 120 bytes of an event, as zlib, raw deflate, bzip2 and xz pack it.
    let packed = [
        "eJyrVspPTi4tKkpNiU8sUbJSMjIwMtM1NNQ1MggxsLAyNrAyMIhS0lFKLUvNA0knlpZk5MXnZwOFilILS1OLS/KL4jNTgDJBrm7GBkDh3LKClPjS4lSocLCrc5BrSGiwa5BDakVibkFOql5yfq5SLQCbpiW1",
        "q1bKT04uLSpKTYlPLFGyUjIyMDLTNTTUNTIIMbCwMjawMjCIUtJRSi1LzQNJJ5aWZOTF52cDhYpSC0tTi0vyi+IzU4AyQa5uxgZA4dyygpT40uJUqHCwq3OQa0hosGuQQ2pFYm5BTqpecn6uUi0A",
        "QlpoOTFBWSZTWe3LGKsAADsfgBAHeVBLAB4Qrm//SiAAdRU9IaNDagBoZA9IyCKempk0YjRoNAADQ4+K+rwE0UgQHWWKhmTUteRp0NlErUoI4ALrrnmETAdYaTSCfFxujwakm89mW51UAfCnwhMNAeoeo6K51EhIClgEqsqILYiRQ/Tfi7kinChIduWMVYA=",
        "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AB3AG1dAD2IieZ8ybLZOf96+o4u9qQ68WpkwZ6TxcTm637PcuQIKDLz5YBN1LRc8P7Ue8ZdoIy74/DTXvIPbq4EyEkggnVg+rWQDhrIcWNNJsRCi33fGsmTpg3MBQuu9162eP7x8J3gE1VtUeGtFhvOjgAAAAAA",
    ];
    let hex_of = |text: &str| {
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD_NO_PAD,
            text.trim_end_matches('='),
        );
        bytes.expect("Base64").iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let hex = packed.map(hex_of);
    let key =
        format!("-----BEGIN CERTIFICATE-----\n{}SECRET{}\n-----END", "MIIE".repeat(7), "Qw9z".repeat(7));
    let inputs = [
        ("names.ndjson", names.map(|name| line(name, "SECRET")).concat()),
        ("values.ndjson", values.map(|value| line("note", value)).concat()),
        (
            "packed.ndjson",
            packed.map(|text| line("note", text)).concat()
                + &hex.each_ref().map(|text| line("note", text)).concat(),
        ),
        ("key.ndjson", key),
        (
            "names.csv",
            format!(
                "occurred_at,event,requestor_id,{}\nbad,authn_ok,REF30{}\n",
                names.join(","),
                ",SECRET".repeat(names.len())
            ),
        ),
        (
            "values.csv",
            format!(
                "occurred_at,event,requestor_id,note\n{}",
                values.map(|value| format!("bad,authn_ok,REF30,\"{value}\"\n")).concat()
            ),
        ),
    ];
    let said = said_and_kept(&Program::new(), &inputs);
    for secret in ["SECRET", "dTpTRUNSRVQ"].into_iter().chain(packed).chain(hex.iter().map(|text| &**text)) {
        assert!(!said.contains(&secret[..secret.len().min(40)]), "{secret}: {said}");
    }
}

#[test]
fn no_name_of_an_input_has_a_password_or_a_signature() {
    let program = Program::new();
    program.write("events.ndjson", &lines(1));
    let file = program.path("events.ndjson").display().to_string();
    for name in [
        "https://user:SECRET@host/events",
        "https://b.s3.amazonaws.com/e?X-Amz-Date=1&X-Amz-Signature=SECRET",
        "https://a.blob.core.windows.net/e?sv=1&sig=SECRET",
        "e.ndjson?token=SECRET",
    ] {
        let arguments = [
            &["ingest", "--source", name, "-"][..],
            &["ingest", name],
            &["backfill", "plan", "b1", name],
            &["ingest", &file, "--source", name],
        ];
        for arguments in arguments {
            let done = program.run(arguments);
            assert_eq!(done.code, 2, "{done:?}");
            assert!(!(done.err.clone() + &done.out).contains("SECRET"), "{done:?}");
            assert!(
                done.err.contains("or has a password, token or signature, which would be kept"),
                "{done:?}"
            );
        }
    }
    assert_eq!(program.run(&["ingest", "--source", "s3://bucket/events?versionId=7", &file]).code, 0);
}

#[test]
fn a_person_is_found_in_the_text_of_a_member_as_in_a_plain_line() {
    let program = Program::new();
    let texts = |id: &str| {
        [
            format!("{{'mvpd': 'Cableco', 'mvpd_user_id': '{id}'}}"),
            format!("Event(event='authn_ok', mvpd_user_id={id})"),
            format!("mvpd_user_id: {id}, mvpd: Cableco"),
            format!("event=authn_ok mvpd_user_id={id}"),
            format!("/?mvpd_user_id={id}&mvpd=Cableco"),
        ]
    };
    let line = |text: &String| json!({"level": "info", "msg": {"text": text}}).to_string();
    let mut theirs: Vec<String> = texts("viewer-77").iter().map(line).collect();
    theirs.push(line(&"mvpd_user_id=viewer%2D77".to_owned()));
    let mut others: Vec<String> = texts("viewer-771").iter().map(line).collect();
    others.push(json!({"event": "bad", "resource_id": "a: viewer-77"}).to_string());
    others.push(json!({"mvpd": "Other", "msg": "mvpd_user_id: viewer-77"}).to_string());
    let path = program.file("a.ndjson", &[theirs.as_slice(), &others].concat().join("\n"));
    assert_eq!(program.run(&["ingest", &path]).code, 3);
    let (_, forgotten) = program.json(&["forget", "--mvpd", "Cableco", "--mvpd-user-id", "viewer-77"]);
    assert_eq!(forgotten["rejected_lines"], theirs.len(), "{forgotten}");
}

#[test]
fn no_byte_of_packed_events_is_kept_because_nobody_sees_whom_they_name() {
    let program = Program::new();
    let events = |count: u32| -> String {
        let ids = (0..count).map(|at| format!("jane.{}@viewer.example", at * 7919 % 9973));
        ids.map(|id| format!("{{\"event\":\"bad\",\"mvpd_user_id\":\"{id}\"}}\n")).collect()
    };
    let packed = (40..400).map(|count| crate::ingest_formats::gzip(events(count).as_bytes()));
    let packed = packed.into_iter().find(|bytes| bytes.contains(&b'\n')).expect("bytes on several lines");
    let plain = lines(1).replace("2026-11-01", "2026-99-01");
    let mixed = program.path("mixed.ndjson");
    fs::write(&mixed, [plain.as_bytes(), &packed, b"\n", plain.as_bytes()].concat()).expect("a file");
    assert_eq!(program.run(&["ingest", mixed.to_str().expect("UTF-8")]).code, 3);
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    for body in [packed.as_slice(), plain.trim().as_bytes()] {
        database.execute("INSERT INTO inbox (body) VALUES (CAST(?1 AS BLOB))", [body]).expect("a row");
    }
    drop(database);
    program.run(&["drain"]);
    let mut kept = Vec::new();
    for rejects in fs::read_dir(program.path("rejects")).expect("a folder") {
        let text = fs::read_to_string(rejects.expect("an entry").path()).expect("UTF-8");
        kept.extend(text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")));
    }
    let is_plain = |reject: &&serde_json::Value| reject["text"] == plain.trim();
    assert_eq!(kept.iter().filter(is_plain).count(), 3, "plain lines stay: {kept:#?}");
    assert!(kept.len() > 4, "{kept:#?}");
    for reject in kept.iter().filter(|reject| !is_plain(reject)) {
        assert_eq!(reject["text"], "", "{reject}");
    }
}
