//! Where events in PostgreSQL came from, and what became of each, in the words that a file has for it.

use std::fs;

use serde_json::{Value, json};

use super::CONFIG;
use super::server::Database;
use crate::program::{Program, lines};
use crate::support::sandbox;

/// Three events, of which two met an error before they were delivered, one that waits, and one line that is none.
fn live(program: &Program) {
    let collector = sandbox("status=503 first=2");
    program.map("REF30", "examplersid", &collector.url(), &["--identity", "mvpd_user_id"]);
    assert_eq!(program.run(&["ingest", &program.file("events.ndjson", &lines(3))]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    let conflict = lines(1).replace("\"u0\"", "\"other\"");
    let text = format!("{}no event\n{conflict}", lines(4));
    assert_eq!(program.run(&["ingest", &program.file("more.ndjson", &text)]).code, 3);
}

fn traced(program: &Program, args: &[&str]) -> Value {
    let (code, report) = program.json(&[&["trace"], args].concat());
    assert_eq!(code, 0, "{args:?} {report}");
    report["events"][0].clone()
}

#[test]
fn an_event_is_traced_as_in_a_file_by_its_number_and_both_of_its_ids() {
    let Some(database) = Database::new("traces") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    live(&shared);
    live(&file);
    let mut met = Vec::new();
    for id in ["e0", "e1", "e2", "e3"] {
        let (own, other) = (traced(&shared, &[id]), traced(&file, &[id]));
        for key in ["state", "line", "reason", "in_doubt", "hit", "backfill"] {
            assert_eq!(own[key], other[key], "{id} {key}");
        }
        let identity = own["hit"]["event_id"].as_str().expect("an identity");
        assert_eq!(traced(&shared, &[identity]), own);
        assert_eq!(traced(&shared, &["--sequence", &own["seq"].to_string()]), own);
        assert_eq!(own["since"].is_string(), id != "e3", "{own}");
        met.extend(own["attempts"].as_array().expect("a list").clone());
    }
    let replies: Vec<_> =
        met.iter().map(|one| (&one["reply"], &one["run"], one["worker"].is_string())).collect();
    assert_eq!(replies, [(&json!("HTTP 503"), &json!(null), true); 2]);
    let text = shared.run(&["trace", "e1"]).out;
    assert!(text.contains("state     delivered since"), "{text}");
    let done = shared.run(&["trace", "--sequence", "99"]);
    assert!(done.code == 2 && done.err.contains("no such event"), "{done:?}");

    // What is not decided yet: an attempt of a worker that is alive, and then the same of one that is gone.
    let attempt = "INSERT INTO passbridge.worker VALUES ('w', 'h', 1, now() + interval '1 hour', now() + interval '1 hour');
        INSERT INTO passbridge.attempt (seq, attempt, rsid, n, epoch, worker, form, first_hit)
        SELECT e.seq, 1, a.rsid, a.n, a.epoch, 'w', a.form, 0
        FROM passbridge.event e, (SELECT * FROM passbridge.attempt LIMIT 1) a ORDER BY e.seq DESC LIMIT 1";
    database.ask(attempt);
    let state = || ["state", "in_doubt"].map(|key| traced(&shared, &["e3"])[key].clone());
    assert_eq!(state(), [json!("in_flight"), json!(0)]);
    database.ask("UPDATE passbridge.worker SET gone_at = now()");
    assert_eq!(state(), [json!("pending"), json!(1)]);
    let (code, explained) = shared.json(&["explain", &shared.file("one.ndjson", &lines(1))]);
    assert_eq!((code, &explained), (0, &traced(&shared, &["e0"])["hit"]));
}

#[test]
fn events_are_found_by_user_serial_and_line_and_files_of_rejects_are_listed_as_of_a_file() {
    let Some(database) = Database::new("searches") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    live(&shared);
    live(&file);
    let tags = traced(&shared, &["e1"])["hit"]["tags"].clone();
    let events =
        tags.as_array().expect("tags").iter().find(|tag| tag["tag"] == "events").expect("a tag").clone();
    let (_, serial) = events["value"].as_str().and_then(|events| events.split_once(':')).expect("a serial");
    let ends = |program: &Program, args: &[&str]| {
        let (code, report) = program.json(&[&["trace"], args].concat());
        let events = report["events"].as_array().cloned().unwrap_or_default();
        let events: Vec<_> = events
            .iter()
            .map(|event| (event["line"].clone(), event["state"].clone(), event["hit"].clone()))
            .collect();
        let reason = report["rejects"][0]["reason"].clone();
        (code, events, report["not_shown"].clone(), reason)
    };
    for (args, events) in [
        (&["--user", "u1"][..], 1),
        (&["--user", "u9"], 0),
        (&["--serial", serial], 1),
        (&["--serial", "0123456789abcdef"], 0),
        (&["--line", "events.ndjson:2"], 1),
        (&["--line", "more.ndjson:4"], 1),
        (&["--line", "more.ndjson:5"], 0),
        (&["--line", "other.ndjson:1"], 0),
        (&["--user", "u1", "--limit", "0"], 0),
    ] {
        let of_shared = ends(&shared, args);
        assert_eq!(of_shared, ends(&file, args), "{args:?}");
        assert_eq!(of_shared.1.len(), events, "{args:?}");
    }

    let listed = |program: &Program| {
        let (code, listed) = program.json(&["rejects", "list"]);
        assert_eq!(code, 0, "{listed}");
        listed["rejects"].as_array().expect("a list").clone()
    };
    let kept = |program: &Program| {
        let all = listed(program);
        let shown = program.json(&["rejects", "show", all[0]["name"].as_str().expect("a name")]).1;
        assert_eq!(shown["rejects"][0], all[0]);
        let folder = program.path("").display().to_string();
        ["lines", "reasons", "done_at"].map(|key| all[0][key].to_string().replace(&folder, ""))
    };
    assert_eq!(kept(&shared), kept(&file));
    assert_eq!(kept(&shared)[2], "null");
    assert_eq!(shared.run(&["rejects", "show", "none"]).code, 2);
    // A file that was mended and went in whole is done.
    for program in [&shared, &file] {
        let name = listed(program)[0]["name"].as_str().expect("a name").to_owned();
        let path = program.path("rejects").join(&name);
        std::fs::write(&path, lines(1)).expect("it is mended");
        assert_eq!(program.run(&["ingest", path.to_str().expect("UTF-8")]).code, 0);
        assert!(listed(program)[0]["done_at"].is_string(), "{:?}", listed(program));
    }
}

#[test]
fn inputs_and_what_is_held_of_a_person_are_told_as_of_a_file() {
    let Some(database) = Database::new("inputs") else { return };
    let (shared, file) = (database.program(), Program::with(CONFIG));
    live(&shared);
    live(&file);
    let listed = |program: &Program| {
        let (code, listed) = program.json(&["inputs", "list"]);
        assert_eq!(code, 0);
        let one = |input: &Value| {
            let summary = ["digest", "bytes", "rejected_by_reason"].map(|key| input["summary"][key].clone());
            let counts =
                ["input", "stored", "duplicates", "conflicts", "rejected"].map(|key| input[key].clone());
            assert!(input["opened_at"].is_string() && input["ended_at"].is_string(), "{input}");
            (counts, summary)
        };
        listed["inputs"].as_array().expect("inputs").iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(listed(&shared), listed(&file));
    assert_eq!(listed(&shared)[0].0, [2, 1, 3, 1, 1].map(|number| json!(number)));
    let shown = shared.run(&["inputs", "show", "2"]);
    assert!(shown.code == 0 && shown.out.contains("rejected because"), "{shown:?}");
    assert_eq!(shared.run(&["inputs", "show", "9"]).code, 2);

    let held = |program: &Program| {
        let output = program.place("person.ndjson");
        let whom = ["export", "person", "--mvpd", "m", "--mvpd-user-id", "u1", "--output", &output];
        let (code, report) = program.json(&whom);
        assert_eq!((code, &report["events"]), (0, &json!(1)), "{report}");
        let line: Value =
            serde_json::from_str(&fs::read_to_string(&output).expect("a file")).expect("one line");
        ["held", "event"]
            .map(|key| line[key].clone())
            .into_iter()
            .chain([line["trace"]["state"].clone()])
            .collect::<Vec<_>>()
    };
    assert_eq!(held(&shared), held(&file));
    assert_eq!(held(&shared)[2], "delivered");
}
