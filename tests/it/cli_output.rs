//! Text for users is tested text: help and error texts are golden files, and JSON has fixed fields.

use std::fs;
use std::path::Path;

use passbridge::cli;
use serde_json::{Value, json};

use crate::program::{Program, bare_command, done, lines};
use crate::support::sandbox;

/// The words of a command and of every command below it, in the order of their help.
fn commands(command: &clap::Command, words: &[&str]) -> Vec<Vec<String>> {
    let own = words.iter().map(|word| (*word).to_owned()).collect();
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    let below = below.flat_map(|below| commands(below, &[words, &[below.get_name()]].concat()));
    [own].into_iter().chain(below).collect()
}

/// Compares with a golden file. Where they differ, the new text lies in the target folder, ready to be looked at and copied.
fn assert_golden(name: &str, text: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cli").join(name);
    if fs::read_to_string(&golden).is_ok_and(|expected| expected == text) {
        return;
    }
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&new, text).expect("the new text is written");
    panic!(
        "{} differs; if the new text is right: cp {} {}",
        golden.display(),
        new.display(),
        golden.display()
    );
}

#[test]
fn every_help_text_is_as_it_was_read() {
    let mut text = String::new();
    for words in commands(&cli::command(), &[]) {
        let mut command = bare_command(Path::new("/"));
        command.env("COLUMNS", "100").args(&words).arg("--help");
        let help = done(command);
        assert_eq!(help.code, 0, "{words:?}");
        text.push_str(&format!(
            "$ passbridge {}--help\n",
            words.iter().map(|word| format!("{word} ")).collect::<String>()
        ));
        help.out.lines().for_each(|line| text.push_str(&format!("{}\n", line.trim_end())));
        text.push('\n');
    }
    assert_golden("help.txt", &text);
}

#[test]
fn every_mistake_says_what_happened_and_what_to_do() {
    let program = Program::new();
    program.suite("http://127.0.0.1:9");
    program.write("lines.ndjson", &lines(1));
    program.write("bad.json", "{\"event\":\"play_request\"}");
    let folder = program.path("");
    let folder = folder.to_str().expect("UTF-8").trim_end_matches('/');
    let (lines, bad) = (format!("{folder}/lines.ndjson"), format!("{folder}/bad.json"));
    let (missing, empty) = (format!("{folder}/missing"), format!("{folder}/empty"));
    std::fs::create_dir(&empty).expect("a folder");
    let mistakes: [&[&str]; 17] = [
        &["init"],
        &["suite", "add", "--requestor", "REF40", "--rsid", "new"],
        &["suite", "add", "--requestor", "REF40", "--rsid", "a b", "--collection-url", "https://h"],
        &["suite", "add", "--requestor", "REF40", "--rsid", "new", "--collection-url", "http://example.com"],
        &["suite", "add", "--requestor", "REF30", "--rsid", "new", "--collection-url", "https://h"],
        &["suite", "add", "--requestor", "REF40", "--rsid", "examplersid", "--event-ids", "off"],
        &["suite", "set", "examplersid", "--identity", "ecid"],
        &["suite", "show", "unknown"],
        &["suite", "remove", "examplersid", "--requestor", "REF99"],
        &["suite", "import", &lines],
        &["dead-letter", "show", "7"],
        &["held", "show", "7"],
        &["ingest", &empty],
        &["ingest", &missing],
        &["explain", &bad],
        &["drain", "--deadline", "soon"],
        &["backup", &lines],
    ];
    let mut text = String::new();
    for words in mistakes {
        let done = program.run(words);
        assert_ne!(done.code, 0, "{words:?}");
        text.push_str(&format!("$ passbridge {}\n{}[{}]\n\n", words.join(" "), done.err, done.code));
    }
    program.write("c.toml", "[delivery]\nlane = 3\n");
    text.push_str(&format!("$ passbridge status\n{}", program.run(&["status"]).err));
    assert_golden("mistakes.txt", &text.replace(folder, "FOLDER"));
}

/// That a document has these fields, each a number.
fn assert_numbers(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document[field].is_u64(), "{field} in {document}");
    }
}

#[test]
fn json_has_the_fields_of_the_design() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.write("events.ndjson", &lines(3));
    let path = program.path("events.ndjson");
    let (_, ingested) = program.json(&["ingest", path.to_str().expect("UTF-8")]);
    let counts = ["read", "stored", "duplicates", "conflicts", "rejected"];
    assert_numbers(&ingested["total"], &counts);
    assert_numbers(&ingested["inputs"][0], &counts);
    assert!(ingested["inputs"][0]["path"].is_string());

    let (_, run) = program.json(&["drain"]);
    let counts =
        ["run_id", "read", "hits", "delivered", "dead", "held", "in_doubt", "retries", "pending", "parked"];
    assert_numbers(&run, &counts);
    assert_eq!(run["troubles"], serde_json::json!([]));
    assert!(
        run["started_at"].is_string() && run["finished_at"].is_string() && run["stopped"].is_null(),
        "{run}"
    );
    assert_numbers(&run["inbox"], &["read", "stored", "duplicates", "conflicts", "rejected"]);
    assert_numbers(&run["suites"]["examplersid"], &["delivered", "dead", "held"]);

    let (_, status) = program.json(&["status"]);
    let counts = ["pending", "delivered", "dead", "held", "discarded", "parked", "in_doubt", "inbox"];
    assert_numbers(&status, &counts);
    assert_eq!(status["accounting"]["balanced"], true);
    assert_eq!(status["accounting"]["ingested"]["units"], 3);
    let requestor = &status["requestors"][0];
    assert_eq!((&requestor["requestor_id"], &requestor["rsid"]), (&"REF30".into(), &"examplersid".into()));
    assert!(requestor["pending"].is_u64() && requestor["oldest_occurred_at"].is_null());
    assert_eq!(status["runs"][0]["run_id"], run["run_id"]);
}

#[test]
fn suites_move_to_another_host_by_export_and_import() {
    let (here, there) = (Program::new(), Program::new());
    here.suite("http://127.0.0.1:9");
    assert_eq!(here.run(&["suite", "set", "examplersid", "--rate", "7", "--on-ambiguous", "hold"]).code, 0);
    let export = here.run(&["suite", "export"]).out;
    there.write("suites.json", &export);
    let path = there.path("suites.json");
    for _ in 0..2 {
        assert_eq!(there.run(&["suite", "import", path.to_str().expect("UTF-8")]).code, 0);
    }
    assert_eq!(there.run(&["suite", "export"]).out, export);
    for (from, to, word) in [("\"rate\"", "\"pace\"", "\"pace\""), ("\"hold\"", "\"held\"", "held")] {
        there.write("suites.json", &export.replace(from, to));
        let refused = there.run(&["suite", "import", path.to_str().expect("UTF-8")]);
        assert!(refused.code == 2 && refused.err.contains(word), "{refused:?}");
    }
}

#[test]
fn a_paused_suite_parks_its_events_and_a_resumed_one_sends_them() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(2);
    assert_eq!(program.run(&["suite", "pause", "examplersid"]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!((sandbox.accepted_count(), &program.json(&["status"]).1["parked"]), (0, &2.into()));
    assert_eq!(program.run(&["suite", "resume", "examplersid"]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(sandbox.accepted_count(), 2);
}

#[test]
fn explain_needs_no_configuration_and_takes_an_object_on_several_lines() {
    let program = Program::bare();
    let event = lines(1).replace(",\"", ",\n  \"");
    program.write("event.json", &event);
    let mut command = bare_command(&program.path(""));
    command.args(["explain", "event.json"]);
    let explained = done(command);
    assert_eq!(explained.code, 0, "{explained:?}");
    assert!(explained.out.contains("event7") && explained.err.contains("default settings"), "{explained:?}");
    assert!(explained.out.contains("none: REF30 has no suite yet"), "{explained:?}");
    program.write("events.ndjson", &lines(20));
    let mut command = bare_command(&program.path(""));
    command.args(["explain", "events.ndjson"]);
    assert!(done(command).err.contains("shown: line 1 of 20"));
    let mut command = bare_command(&program.path(""));
    command.arg("explain");
    assert!(done(command).err.contains("error: standard input holds no event"));
}

#[test]
fn a_mistake_is_named_with_its_cause_and_the_right_form() {
    let program = Program::new();
    program.suite("http://127.0.0.1:9");
    let compare = ["reconcile", "--suite", "examplersid", "--no-analytics", "--to", "2026-11-10", "--from"];
    let missing = program.path("missing.json");
    let missing = missing.to_str().expect("UTF-8");
    for (words, says) in [
        (&["suite"][..], "requires a subcommand"),
        (&["backfill"], "requires a subcommand"),
        (&["pull", "esm"], "esm.software_statement_file is not set"),
        (&[&compare[..], &["10.11.2026"]].concat(), "is no date such as 2026-11-10"),
        (&[&compare[..], &["2026-11-10", "--esm", missing]].concat(), "cannot be opened"),
    ] {
        let (code, failure) = program.json(words);
        let said = failure["error"].as_str().unwrap_or_default();
        assert!(code == 2 && said.contains(says) && said.len() < 250, "{words:?}: {failure}");
        assert!(failure["cause"].as_str().is_some_and(|cause| cause.len() < 200), "{words:?}: {failure}");
        if words.contains(&"--esm") {
            assert!(failure["cause"].to_string().contains("No such file"), "{failure}");
        }
    }
}

#[test]
fn notes_and_errors_of_explain_are_json_lines_where_the_log_is() {
    let program = Program::with("[log]\nformat = \"json\"\n");
    program.write("events.ndjson", &lines(2));
    program.write("none.ndjson", "no event\n");
    for (file, lines) in [("events.ndjson", 2), ("none.ndjson", 1), ("missing", 1)] {
        let explained = program.run(&["explain", program.path(file).to_str().expect("UTF-8")]);
        let told: Vec<Value> =
            explained.err.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        assert_eq!(told.len(), lines, "{explained:?}");
    }
    // A group without its command shows its help to people, and a sentence to programs.
    let group = program.run(&["suite"]);
    let told: Value = serde_json::from_str(group.err.trim_end()).expect("a JSON line");
    assert_eq!((group.code, told["message"].as_str()), (2, Some("a command is missing: the usage has them")));
}

#[test]
fn dead_letters_are_listed_to_the_second() {
    let (sandbox, program) = (sandbox("failure=BAD first=1"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    program.ingest(2);
    program.run(&["drain"]);
    for words in [&["dead-letter", "list"][..], &["dead-letter", "show", "1"]] {
        let shown = program.run(words);
        let above = shown.out.lines().take(4).filter(|line| !line.starts_with('{')).collect::<String>();
        assert!(shown.code == 0 && above.contains("Z") && !above.contains('.'), "{shown:?}");
    }
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.write("events.ndjson", &lines(2));
    let path = program.path("events.ndjson");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(program.json(&["ingest", "--dry-run", path]).1["total"]["read"], 2);
    let printed = program.run(&["ingest", "--dry-run", path]);
    let events: Vec<Value> =
        printed.out.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!((events.len(), &events[1]["event_id"]), (2, &"e1".into()));
    assert!(printed.err.contains("nothing was stored"), "{printed:?}");
    assert_eq!(program.json(&["status"]).1["pending"], 0);
    program.ingest(2);
    assert_eq!(program.json(&["drain", "--dry-run"]).1["hits"], 2);
    assert_eq!((sandbox.accepted_count(), &program.json(&["status"]).1["pending"]), (0, &2.into()));
}

#[test]
fn wrong_arguments_name_the_help_of_their_own_command() {
    let program = Program::new();
    for (line, command) in [
        ("suite add --nothing", "passbridge suite add --help"),
        ("suite add --requestor", "passbridge suite add --help"),
        ("dead-letter list --limit x", "passbridge dead-letter list --help"),
        ("ingest --format nothing a", "passbridge ingest --help"),
        ("nothing", "passbridge --help"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let (code, document) = program.json(&words);
        let expected = json!(format!("see the usage: {command}"));
        assert_eq!((code, &document["try"]), (2, &expected), "{line}: {document}");
    }
}
