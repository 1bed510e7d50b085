//! A command that fails says so in the form that its caller reads, and nothing from outside steers a terminal.

use std::path::Path;

use serde_json::Value;

use crate::program::{Done, Program, bare_command, done, lines};
use crate::support::sandbox;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_failed_command_prints_one_document_with_a_stable_code() {
    let program = Program::new();
    program.suite("http://127.0.0.1:9");
    let there = program.path("c.toml");
    let there = there.to_str().expect("UTF-8");
    for (words, exit, code) in [
        (&["init"][..], 2, "buffer_exists"),
        (&["suite", "show", "unknown"], 2, "suite_unknown"),
        (&["suite", "remove", "examplersid", "--requestor", "REF99"], 2, "mapping"),
        (&["backup", there], 2, "refused"),
        (&["backfill", "resume", "none"], 2, "backfill_state"),
        (&["drain", "--deadline", "soon"], 2, "arguments"),
        (&["nonsense"], 2, "arguments"),
    ] {
        let text = program.run(words);
        let (json, failed) = program.json(words);
        assert_eq!((text.code, json), (exit, exit), "{words:?} {text:?}");
        assert_eq!(failed["code"], code, "{failed}");
        assert!(
            text.out.is_empty() && text.err.contains(failed["error"].as_str().expect("a text")),
            "{text:?}"
        );
        assert!(
            failed["cause"].is_string() && failed["try"].as_str().is_some_and(|advice| !advice.is_empty())
        );
    }
    // Metrics are no document, so nothing but a refusal can stand where one was asked for.
    assert_eq!(program.json(&["status", "--prometheus"]).1["code"], "arguments");
    program.write("c.toml", "[delivery]\nlane = 3\n");
    assert_eq!(program.json(&["status"]).1["code"], "config_invalid");
}

#[test]
fn an_ingest_that_fails_says_why_in_its_document() {
    let program = Program::new();
    program.write("wide.ndjson", "{\0\"\0");
    program.write("good.ndjson", &lines(1));
    let [missing, wide, good] = ["missing", "wide.ndjson", "good.ndjson"].map(|name| program.path(name));
    for (bad, code) in [(&missing, "file"), (&wide, "input_unreadable")] {
        let paths = [bad, &good].map(|path| path.to_str().expect("UTF-8"));
        for words in [&["ingest"][..], &["ingest", "--dry-run"]] {
            let (exit, report) = program.json(&[words, &paths].concat());
            let failure = &report["failure"];
            assert_eq!((exit, &failure["code"]), (1, &code.into()), "{report}");
            assert!(failure["error"].as_str().is_some_and(|error| error.contains(paths[0])), "{report}");
            assert!(failure["try"].as_str().is_some_and(|advice| !advice.is_empty()), "{report}");
            assert_eq!(report["total"]["read"], 1, "{report}");
        }
    }
}

#[test]
fn a_command_that_did_part_of_its_work_says_why_the_rest_failed() {
    let program = Program::new();
    program.ingest(3);
    assert_eq!(program.run(&["retention"]).code, 0);
    let buffer = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    for change in ["UPDATE facts SET value = 0 WHERE name = 'clock_seen_at'", "DELETE FROM queue"] {
        assert!(buffer.execute(change, []).expect("a statement") > 0);
    }
    program.write("wide.ndjson", "{\0\"\0");
    let wide = program.path("wide.ndjson");
    for (words, code) in [
        (&["retention"][..], "clock"),
        (&["status", "--verify"], "buffer_damaged"),
        (&["backfill", "plan", "history", text(&wide)], "input_unreadable"),
    ] {
        let (exit, report) = program.json(words);
        let failure = &report["failure"];
        assert_eq!((exit, &failure["code"]), (1, &code.into()), "{words:?} {report}");
        let told = program.run(words);
        for (key, before) in [("error", "error: "), ("try", "try: ")] {
            let says = format!("{before}{}", failure[key].as_str().expect("a text"));
            assert!(says.len() > 9 && told.err.contains(&says), "{words:?} {told:?}");
        }
        assert_eq!(told.code, 1, "{words:?} {told:?}");
    }
}

#[test]
fn a_drain_that_cannot_start_names_its_code_and_its_cause() {
    let program = Program::new();
    std::fs::remove_file(program.path("passbridge.db")).expect("the buffer is gone");
    assert_eq!(program.json(&["drain"]).1["code"], "buffer_missing");
    std::fs::create_dir(program.path("passbridge.db.lock")).expect("a folder where the lock belongs");
    assert_eq!(program.run(&["init"]).code, 0);
    let (exit, failed) = program.json(&["drain"]);
    assert_eq!((exit, &failed["code"]), (1, &"buffer_unusable".into()), "{failed}");
    assert!(failed["cause"].as_str().is_some_and(|cause| cause.contains("directory")), "{failed}");
}

#[test]
fn with_a_json_log_errors_and_warnings_are_json_lines() {
    let program = Program::with("[log]\nformat = \"json\"\n");
    program.write("bad.ndjson", "nonsense\n");
    let path = program.path("bad.ndjson");
    let missing = program.path("missing");
    let of = |done: &Done| -> Vec<Value> {
        done.err
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{done:?}")))
            .collect()
    };
    let ingested = program.run(&["ingest", path.to_str().expect("UTF-8"), missing.to_str().expect("UTF-8")]);
    assert!(of(&ingested).iter().any(|line| line["level"] == "ERROR"), "{ingested:?}");
    let shown = program.run(&["suite", "show", "unknown"]);
    let [error] = &of(&shown)[..] else { panic!("one line: {shown:?}") };
    assert_eq!((&error["level"], &error["code"]), (&"ERROR".into(), &"suite_unknown".into()));
    assert!(error["message"].is_string() && error["try"].is_string(), "{error}");
    program.write("odd.ndjson", &lines(1).replace("\"mvpd\"", "\"odd\":1,\"mvpd\""));
    let odd = program.run(&["ingest", program.path("odd.ndjson").to_str().expect("UTF-8")]);
    assert_eq!(of(&odd)[0]["level"], "WARN", "{odd:?}");
    // What is wrong elsewhere in the configuration is told in the same form.
    program.write("c.toml", "[log]\nformat = \"json\"\n[delivery]\nlane = 3\n");
    assert_eq!(of(&program.run(&["status"]))[0]["code"], "config_invalid");
}

/// Letters that would steer a terminal, break a line or turn text round.
const HARMFUL: [char; 7] = ['\u{1b}', '\u{9b}', '\u{85}', '\u{2028}', '\u{202e}', '\u{2067}', '\u{200f}'];

#[test]
fn no_text_from_outside_steers_a_terminal() {
    let (sandbox, program) = (sandbox("failure=BAD first=1"), Program::with("[delivery]\nlanes = 1\n"));
    let harm: String = HARMFUL.iter().collect();
    // Where a reader refuses a letter, the rejects and their reasons show it instead.
    let event = |requestor: &str, user: &str| {
        format!(
            "{{\"occurred_at\":\"2026-11-01T00:00:00Z\",\"event\":\"play_requested\",\"requestor_id\":\"{requestor}\",\
             \"mvpd\":\"M{harm}\",\"mvpd_user_id\":\"{user}\",\"resource_id\":\"r{harm}\"}}\n"
        )
    };
    program.suite(&sandbox.url());
    let name = format!("events{harm}.ndjson");
    let odd_requestor = event(&format!("R{}", '\u{202e}'), "v");
    let events = format!("{}{}{odd_requestor}{harm}\n", event("REF30", "u"), event("REF30", "w"));
    program.write(&name, &events);
    let path = program.path(&name);
    let path = path.to_str().expect("UTF-8");
    let missing = program.path(&format!("missing{harm}"));
    let odd = format!("no{harm}suite");
    for words in [
        &["ingest", path][..],
        &["ingest", missing.to_str().expect("UTF-8")],
        &["ingest", "--dry-run", path],
        &["explain", path],
        &["drain"],
        &["status"],
        &["dead-letter", "list"],
        &["dead-letter", "show", "1"],
        &["report", "--period", "2026-11"],
        &["report", "--period", "2026-11", "--by", "mvpd"],
        &["report", "--period", "2026-11", "--csv"],
        &["report", "--period", "2026-11", "--html", text(&program.path("page.html"))],
        &["suite", "show", &odd],
        &["suite", "sheet", "examplersid"],
        &[&odd],
    ] {
        for json in [&[][..], &["--json"]] {
            let done = program.run(&[words, json].concat());
            for (text, stream) in [(&done.out, "out"), (&done.err, "err")] {
                assert!(!text.contains(HARMFUL), "{stream} of {words:?} {json:?}: {text:?}");
            }
        }
    }
    let page = std::fs::read_to_string(program.path("page.html")).expect("a page");
    assert!(!page.contains(HARMFUL), "{page:?}");
}

#[test]
fn a_password_in_a_url_is_never_echoed() {
    let program = Program::new();
    let url = "https://user:hunter2@example.com";
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", "new", "--collection-url"];
    let mut everything = String::new();
    for url in [url, "https://user:hun/ter2@example.com", "ftp://user:hunter2@example.com"] {
        for form in [&[url][..], &[url, "--json"]] {
            let done = program.run(&[&add[..], form].concat());
            assert_eq!(done.code, 2, "{done:?}");
            everything.push_str(&format!("{}{}", done.out, done.err));
        }
    }
    for section in ["bulk", "analytics", "esm"] {
        program.write("c.toml", &format!("[{section}]\nurl = \"ftp://user:hunter2@example.com\"\n"));
        for words in [&["pull", "esm"][..], &["suite", "check", "new"], &["status"]] {
            let done = program.run(words);
            everything.push_str(&format!("{}{}", done.out, done.err));
        }
    }
    let mut command = bare_command(Path::new("/"));
    command.args(["drain", "--limit", url]);
    everything.push_str(&done(command).err);
    assert!(everything.contains("***") && !everything.contains("ter2"), "{everything}");
}

#[test]
fn a_token_in_a_refused_collection_url_is_never_echoed() {
    let program = Program::new();
    program.suite("http://127.0.0.1:9");
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", "new", "--collection-url"];
    for url in [
        "https://SECRETTOKEN@h.example",
        "https://h.example/?token=SECRETTOKEN",
        "https://h.example/#token=SECRETTOKEN",
        "https://SECRETTOKEN@h.example/b/ss?k=SECRETTOKEN",
        "https://joe:SECRET TOKEN@h.example?SECRETTOKEN",
        "h.example?token=SECRETTOKEN",
    ] {
        for words in [&add[..], &["suite", "set", "examplersid", "--collection-url"]] {
            for json in [&[][..], &["--json"]] {
                let done = program.run(&[words, &[url], json].concat());
                let text = format!("{}{}", done.out, done.err);
                assert_eq!(done.code, 2, "{url}: {text}");
                // Of a URL with a blank in it, nobody knows where the password ends.
                let is_named = text.contains("h.example") || url.contains(' ') && text.contains("***");
                assert!(!text.contains("TOKEN") && is_named, "{url}: {text}");
            }
        }
    }
}

#[test]
fn a_password_in_the_path_of_a_file_is_never_echoed() {
    let program = Program::new();
    program.suite("http://127.0.0.1:9");
    std::fs::create_dir_all(program.path("ftp:/user:hunter2@h")).expect("folders");
    program.write("ftp:/user:hunter2@h/events.ndjson", &format!("{}no event\n", lines(2)));
    let path = |name: &str| format!("{}ftp://user:hunter2@h/{name}", program.path("").display());
    let (events, page, copy, rejects) =
        (path("events.ndjson"), path("page.html"), path("copy.db"), path("rejects.ndjson"));
    for words in [
        &["ingest", "--dry-run", &events][..],
        &["ingest", "https:joe:hunter2@h"],
        &["ingest", "h;Password=hunter2"],
        &["ingest", &events, "--rejects", &rejects],
        &["backfill", "plan", "old", &events],
        &["report", "--period", "2026", "--html", &page],
        &["backup", &copy],
        &["restore", &copy],
        &["suite", "sheet", "examplersid", "--out", &page],
    ] {
        for json in [&[][..], &["--json"]] {
            let done = program.run(&[words, json].concat());
            assert!(
                ![&done.out, &done.err].iter().any(|text| text.contains("hunter2")),
                "{words:?}: {done:?}"
            );
            if let [.., "--json"] = json {
                serde_json::from_str::<serde_json::Value>(&done.out).expect("one document");
            }
        }
    }
    // The buffer would keep the name of an input.
    let (code, refused) = program.json(&["ingest", &events]);
    assert!(code == 2 && refused["error"].as_str().is_some_and(|error| error.contains("has a password")));
}

#[test]
fn a_password_in_what_is_no_url_is_never_echoed_either() {
    let program = Program::new();
    let add = ["suite", "add", "--requestor", "REF40", "--rsid", "new", "--collection-url"];
    for url in [
        "joe:hunter2@host",
        "//joe:hunter2@h",
        "HTTPS:\\\\joe:hunter2@h",
        "https:joe:hunter2@h",
        "https:/joe:hunter2@h",
        "https://joe:hun ter2@h",
        "joe:hun\"ter2@h",
        "https://h/;password=hunter2",
        "jdbc:x://h;user=joe;DB_PWD=hunter2",
    ] {
        let is_bare = !url.contains([' ', '"', '\\']);
        let mut failed: Vec<Done> = Vec::new();
        for json in [&[][..], &["--json"]] {
            failed.push(program.run(&[&add[..], &[url], json].concat()));
            failed.push(program.run(&[&["suite", "show", url][..], json].concat()));
            failed.push(program.run(&[&["reconcile", "--suite", "a", "--from", url][..], json].concat()));
            failed.push(program.run(&[&[url][..], json].concat()));
            for section in ["bulk", "analytics", "esm"] {
                let mut command = program.command(&[&["pull", "esm"][..], json].concat());
                command.env(format!("PASSBRIDGE_{}__URL", section.to_uppercase()), url);
                failed.push(done(command));
            }
            for key in [
                "bulk.rate",
                "log.format",
                "monitor.max_age",
                "esm.group_by",
                "serve.listen",
                "schedule.cron",
            ] {
                program.write("d.toml", &format!("{key} = '{url}'\n"));
                let mut command = bare_command(&program.path(""));
                command.args(["--config", "d.toml", "status"]).args(json);
                failed.push(done(command));
            }
        }
        for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"].into_iter().filter(|_| is_bare) {
            let mut command = program.command(&["pull", "esm"]);
            command.env(proxy, url);
            failed.push(done(command));
        }
        for failed in failed {
            let text = format!("{}{}", failed.out, failed.err);
            assert!(failed.code != 0 && !text.contains("ter2") && !text.contains("hunt"), "{url}: {text}");
        }
    }
}

#[test]
fn a_pipe_or_a_device_is_no_configuration() {
    let program = Program::bare();
    let pipe = program.path("c.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for words in [&["status"][..], &["init"], &["drain", "--limit", "x"]] {
        let refused = program.run(words);
        assert_eq!(refused.code, 2, "{words:?} {refused:?}");
        assert!(words.len() > 1 || refused.err.contains("it is no regular file"), "{refused:?}");
    }
    let mut command = bare_command(Path::new("/"));
    command.args(["--config", "/dev/zero", "status"]);
    assert!(done(command).err.contains("it is no regular file"));
}

#[test]
fn arguments_that_cannot_be_read_are_json_lines_too_where_the_log_is() {
    let program = Program::with("[log]\nformat = \"json\"\n");
    let of =
        |done: &Done| -> Value { serde_json::from_str(&done.err).unwrap_or_else(|_| panic!("{done:?}")) };
    for words in
        [&["drain", "--limit", "soon"][..], &["nonsense"], &["suite", "sheet", "--out", "/x.unknown"]]
    {
        let failed = program.run(words);
        assert_eq!((failed.code, &of(&failed)["level"]), (2, &"ERROR".into()), "{failed:?}");
    }
    assert_eq!(of(&program.run(&["nonsense"]))["code"], "arguments");
    // The file that the environment names, the one in the folder, and the environment alone.
    let config = program.path("c.toml");
    let bare = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = bare_command(Path::new("/"));
        command.args(args).envs(variables.iter().copied());
        of(&done(command))
    };
    let file = config.to_str().expect("UTF-8");
    assert_eq!(bare(&[("PASSBRIDGE_CONFIG", file)], &["nonsense"])["code"], "arguments");
    assert_eq!(bare(&[("PASSBRIDGE_LOG__FORMAT", "json")], &["nonsense"])["code"], "arguments");
    assert_eq!(bare(&[("PASSBRIDGE_LOG__FORMAT", "json")], &["status"])["code"], "config_missing");
    assert_eq!(bare(&[], &[&format!("--config={file}"), "nonsense"])["code"], "arguments");
}

#[test]
fn what_a_configuration_is_written_in_and_what_it_gives_twice_is_named() {
    let program = Program::bare();
    let read = |bytes: &[u8]| {
        std::fs::write(program.path("c.toml"), bytes).expect("a file");
        program.run(&["status"]).err
    };
    for (text, line) in [
        (
            "ingest.rejects_max = 1\n[ingest]\nrejects_days = 2\n",
            "c.toml:2: ingest is given twice; the first is in line 1",
        ),
        (
            "[serve]\ningest = true\n[ingest]\n[ingest]\n",
            "c.toml:4: ingest is given twice; the first is in line 3",
        ),
        (
            "[esm]\nrows = 1\n[bulk]\nrate = 1\nrate = 2\n",
            "c.toml:5: rate is given twice; the first is in line 4",
        ),
        (
            "[ingest]\nrejects_max = 1\nrejects_max = 2\n",
            "c.toml:3: rejects_max is given twice; the first is in line 2",
        ),
    ] {
        assert!(read(text.as_bytes()).contains(line), "{text}: {}", read(text.as_bytes()));
    }
    let utf_16 = |unit: u16| unit.to_le_bytes();
    let utf_16: Vec<u8> = "\u{feff}[log]\n".encode_utf16().flat_map(utf_16).collect();
    assert!(read(&utf_16).contains("UTF-16") && read(&utf_16).contains("UTF-8"), "{}", read(&utf_16));
    let latin_1 = read(b"[log]\n# f\xfcr\n");
    assert!(
        latin_1.contains("line 2") && latin_1.contains("UTF-8") && !latin_1.contains("exists"),
        "{latin_1}"
    );
}
