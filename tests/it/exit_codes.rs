//! Every documented exit status is reached, and means what `docs/operating.md` says.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use passbridge::buffer::Buffer;
use passbridge::clock::Clock;
use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Done, Program, Running, bare_command, done, lines, send};
use crate::serve::Listening;
use crate::support::{PATIENCE, buffer_options, sandbox};

#[test]
fn done_is_0() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.suite(&sandbox.url());
    program.ingest(3);
    let drained = program.run(&["drain"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    assert_eq!(sandbox.counted("examplersid")[6], 3);
    assert_eq!(program.run(&["status", "--verify", "--max-age", "2h"]).code, 0);
}

#[test]
fn an_input_that_cannot_be_read_to_its_end_is_1_and_the_others_go_in() {
    let program = Program::new();
    program.write("good.ndjson", &lines(2));
    let good = program.path("good.ndjson");
    for bad in ["no-such-file.ndjson", ""] {
        let bad = program.path(bad);
        let paths = [bad.to_str().expect("UTF-8"), good.to_str().expect("UTF-8")];
        let ingested = program.run(&["ingest", paths[0], paths[1]]);
        assert_eq!(ingested.code, 1, "{ingested:?}");
        assert!(ingested.err.contains(paths[0]), "{ingested:?}");
    }
    assert_eq!(program.json(&["status"]).1["pending"], 2);
    // Each of several is named, and not only the last.
    let bad = ["a.ndjson", "b.ndjson"].map(|name| program.path(name));
    let bad = bad.each_ref().map(|path| path.to_str().expect("UTF-8"));
    let ingested = program.run(&["ingest", bad[0], good.to_str().expect("UTF-8"), bad[1]]);
    assert!(bad.iter().all(|path| ingested.err.contains(path)), "{ingested:?}");
}

#[test]
fn output_that_cannot_be_written_is_1() {
    let program = Program::new();
    let mut command = program.command(&["status"]);
    command.stdout(OpenOptions::new().write(true).open("/dev/full").expect("the device that is always full"));
    let full = done(command);
    assert_eq!((full.code, full.err.contains("standard output")), (1, true), "{full:?}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let program = Program::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = program.command(&["status"]);
    command.stdout(writer);
    let left = done(command);
    assert_eq!((left.code, left.err.as_str()), (0, ""));
}

#[test]
fn wrong_arguments_or_configuration_is_2_and_changes_nothing() {
    let program = Program::bare();
    let folder = program.path("");
    let bare = |args: &[&str]| {
        let mut command = bare_command(&folder);
        command.args(args);
        done(command).code
    };
    assert_eq!(bare(&["drain"]), 2, "no configuration");
    assert_eq!(bare(&["no-such-command"]), 2);
    assert_eq!(bare(&["drain", "--limit", "0"]), 2);
    assert_eq!(bare(&["suite", "add", "--requestor", "A", "--rsid", "a b"]), 2);
    program.write("c.toml", "");
    assert_eq!(program.run(&["status"]).code, 2, "no buffer");
    program.write("c.toml", "[delivery]\nlanes = 0\n");
    assert_eq!(program.run(&["init"]).code, 2);
    assert!(!program.path("passbridge.db").exists());
    program.write("c.toml", "");
    assert_eq!(program.run(&["init"]).code, 0);
    assert_eq!(program.run(&["init"]).code, 2, "there is a buffer already");
    std::fs::remove_file(program.path("c.toml")).expect("a file");
    let mended = program.run(&["init"]);
    assert_eq!((mended.code, program.run(&["status"]).code), (0, 0), "{mended:?}");
    assert!(mended.out.contains("kept as it was") && mended.out.contains("next: passbridge --config "));
}

#[test]
fn rejected_lines_are_3_and_the_rest_goes_in() {
    let program = Program::new();
    program.write("mixed.ndjson", &format!("{}no json\n", lines(2)));
    let path = program.path("mixed.ndjson");
    let (code, report) = program.json(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!(code, 3);
    assert_eq!((&report["total"]["stored"], &report["total"]["rejected"]), (&2.into(), &1.into()));
}

#[test]
fn conflicts_are_3_and_the_rejects_have_them() {
    let program = Program::new();
    program.write("twice.ndjson", &format!("{0}{1}", lines(1), lines(1).replace("\"u0\"", "\"other\"")));
    let path = program.path("twice.ndjson");
    let (code, report) = program.json(&["ingest", path.to_str().expect("UTF-8")]);
    assert_eq!((code, &report["total"]["conflicts"]), (3, &1.into()), "{report}");
    let kept = std::fs::read_to_string(report["rejects"].as_str().expect("a file")).expect("UTF-8");
    assert!(kept.contains(&format!("has the event_id of {}:1", path.display())), "{kept}");
}

/// Inserts as another program would.
fn insert(program: &Program, body: &str) {
    let database = rusqlite::Connection::open(program.path("passbridge.db")).expect("the file");
    database.execute("INSERT INTO inbox (body) VALUES (?1)", [body]).expect("an open table");
}

#[test]
fn a_full_disk_or_an_unwritable_rejects_folder_leaves_the_inbox_and_the_drain_goes_on_with_3() {
    for (config, row, why) in [
        ("[ingest]\nmin_free_bytes = 9000000000000000000\n", lines(1), "ingest.min_free_bytes"),
        ("[ingest]\nrejects_dir = \"c.toml\"\n", "no event".to_owned(), "cannot keep rejected lines"),
    ] {
        let (sandbox, program) = (sandbox(""), Program::new());
        program.suite(&sandbox.url());
        program.ingest(2);
        program.write("c.toml", config);
        insert(&program, row.trim_end());
        let (code, run) = program.json(&["drain"]);
        assert_eq!((code, &run["delivered"], sandbox.accepted_count()), (3, &2.into(), 2), "{run}");
        assert!(run["inbox"]["left"].as_str().is_some_and(|left| left.contains(why)), "{run}");
        let again = program.run(&["drain"]);
        assert!(again.out.contains("the inbox was left") && again.err.contains("WARN"), "{again:?}");
        assert_eq!(program.json(&["status"]).1["inbox"], 1);
        // A drain that ends with 3 is no failure of its service, so the monitor tells of it.
        let (code, checked) = program.json(&["status", "--check"]);
        let told = checked["checks"].as_array().expect("checks").iter().find(|one| one["check"] == "inbox");
        assert!(code == 4 && told.is_some_and(|one| one["broken"] == true), "{checked}");
        assert!(program.run(&["status"]).out.contains("drains could not move since"));
        // What a later drain has moved is forgotten.
        program.write("c.toml", "");
        program.run(&["drain"]);
        let (_, status) = program.json(&["status"]);
        assert_eq!((&status["inbox"], &status["inbox_left_since"]), (&0.into(), &Value::Null), "{status}");
    }
}

#[test]
fn rows_of_the_inbox_that_are_rejected_are_3_and_the_report_says_so() {
    let program = Program::new();
    insert(&program, lines(1).trim_end());
    insert(&program, "no event");
    let drained = program.run(&["drain"]);
    assert_eq!(drained.code, 3, "{drained:?}");
    assert!(drained.out.contains("inbox: 2 read, 1 stored, 1 rejected: /"), "{drained:?}");
    insert(&program, lines(1).trim_end());
    let (code, run) = program.json(&["drain"]);
    assert_eq!(
        (code, &run["inbox"]["read"], &run["inbox"]["duplicates"]),
        (0, &1.into(), &1.into()),
        "{run}"
    );
}

#[test]
fn a_selection_of_nothing_is_2_and_of_some_is_3() {
    let (sandbox, program) = (sandbox("failure=BAD first=2"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 3);
    for (words, why) in [
        (&["dead-letter", "discard", "999"][..], "event 999 is no dead letter"),
        (&["dead-letter", "requeue", "--reason", "none"], "there are no dead letters with the reason"),
        (&["held", "settle", "--delivered", "1", "2"], "events 1, 2 are not held"),
        (&["held", "requeue", "--reason", "none"], "there are no held events with the reason"),
    ] {
        let done = program.run(words);
        assert_eq!((done.code, done.err.contains(why)), (2, true), "{done:?}");
    }
    let some = program.run(&["dead-letter", "discard", "1", "999"]);
    assert_eq!((some.code, some.out.as_str()), (3, "1 discarded\n"), "{some:?}");
    assert!(some.err.contains("event 999 is no dead letter"), "{some:?}");
    assert_eq!(program.run(&["dead-letter", "discard", "--all"]).code, 0);
    assert_eq!(program.run(&["dead-letter", "discard", "--all"]).code, 0, "all of none");
}

#[test]
fn nobody_found_to_forget_is_said_and_two_kinds_of_person_are_2() {
    let program = Program::new();
    let nobody = program.run(&["forget", "--visitor-id", "v"]);
    assert_eq!((nobody.code, nobody.out.contains("case-sensitive")), (0, true), "{nobody:?}");
    assert_eq!(program.run(&["forget", "--visitor-id", "v", "--mvpd", "M"]).code, 2);
}

#[test]
fn events_left_dead_or_held_are_3() {
    for (faults, policy, list) in
        [("failure=BAD first=2", "retry", "dead-letter"), ("empty first=2", "hold", "held")]
    {
        let (sandbox, program) = (sandbox(faults), Program::with("[delivery]\nlanes = 1\n"));
        program.suite(&sandbox.url());
        assert_eq!(program.run(&["suite", "set", "examplersid", "--on-ambiguous", policy]).code, 0);
        program.ingest(3);
        let (code, run) = program.json(&["drain"]);
        assert_eq!(code, 3, "{run}");
        assert_eq!(run["dead"].as_u64().zip(run["held"].as_u64()).map(|(dead, held)| dead + held), Some(2));
        assert_eq!(program.run(&[list, "list"]).out.lines().count(), 3);
    }
}

#[test]
fn events_left_pending_that_could_have_gone_are_4() {
    let (sandbox, program) = (sandbox("refuse"), Program::new());
    program.suite(&sandbox.url());
    program.ingest(2);
    let (code, run) = program.json(&["drain"]);
    assert_eq!((code, &run["stopped"], &run["pending"]), (4, &"host".into(), &2.into()), "{run}");
    assert_eq!(
        program.run(&["status", "--max-age", "1h"]).code,
        0,
        "they happened long ago, and came in just now"
    );
}

#[test]
fn a_limit_that_leaves_events_is_4_and_parked_ones_do_not_count() {
    let (sandbox, program) = (sandbox(""), Program::new());
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0, "parked events could not have gone");
    program.suite(&sandbox.url());
    let (code, run) = program.json(&["drain", "--limit", "2"]);
    assert_eq!((code, &run["stopped"], &run["delivered"]), (4, &"limit".into(), &2.into()), "{run}");
}

#[test]
fn a_lock_that_is_held_is_75() {
    let program = Program::new();
    let buffer =
        Buffer::open(&buffer_options(program.path("passbridge.db"), &Clock::system())).expect("it opens");
    program.suite("http://127.0.0.1:1");
    let changes = [
        &["suite", "remove", "examplersid"][..],
        &["suite", "remove", "examplersid", "--requestor", "REF30"],
        &[
            "suite",
            "set",
            "examplersid",
            "--identity",
            "ecid",
            "--org-id",
            "1234567890ABCDEF12345678@AdobeOrg",
            "--split-visitors",
        ],
    ];
    {
        let _lock = buffer.lock().expect("the lock is free");
        for command in
            [&["drain"][..], &["retention"], &["forget", "--visitor-id", "v"]].iter().chain(&changes)
        {
            assert_eq!(program.run(command).code, 75, "{command:?}");
        }
        assert_eq!(program.run(&["status"]).code, 0, "who only reads needs no lock");
        assert_eq!(program.run(&["suite", "pause", "examplersid"]).code, 0, "a drain heeds that itself");
    }
    let _lock = buffer.lock_backfill().expect("the lock is free");
    for command in changes {
        let refused = program.run(command);
        assert!(refused.code == 75 && refused.err.contains("backfill"), "{command:?} {refused:?}");
    }
}

/// A drain whose requests are never answered, once so many are in flight.
fn hanging_drain(signals: &[Signal], grace_seconds: u32) -> (Done, Program) {
    let sandbox = sandbox("timeout-before");
    let program = Program::with(&format!("[delivery]\nlanes = 2\nstop_grace_seconds = {grace_seconds}\n"));
    program.suite(&sandbox.url());
    program.ingest(5);
    let mut child = program.command(&["drain", "--json"]).stderr(Stdio::null()).spawn().expect("it starts");
    while sandbox.summary().requests < 2 {
        assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    for (number, signal) in signals.iter().enumerate() {
        // The second one must find the first one heard; nothing outside tells when.
        std::thread::sleep(Duration::from_millis(if number == 0 { 0 } else { 300 }));
        send(&child, *signal);
    }
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    (Done { code: output.status.code().expect("no signal kills it"), out, err: String::new() }, program)
}

#[test]
fn a_first_signal_records_what_is_in_flight_and_is_4() {
    let (done, program) = hanging_drain(&[Signal::TERM], 1);
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.out.contains("\"stopped\":\"signal\""), "{done:?}");
    assert_eq!(program.json(&["status"]).1["pending"], 5);
}

/// A drain that is stopped after its first reply, while a slow suite makes the rest wait.
fn drain_stopped_by(signal: Signal, faults: &str) -> (i32, Value) {
    let (sandbox, program) = (sandbox(faults), Program::new());
    program.suite(&sandbox.url());
    assert_eq!(program.run(&["suite", "set", "examplersid", "--rate", "1"]).code, 0);
    program.ingest(60);
    let child = program.command(&["drain", "--json"]).stderr(Stdio::null()).spawn().expect("it starts");
    // The second success: what was refused before the first is decided by then.
    while sandbox.accepted_count() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, signal);
    let output = child.wait_with_output().expect("it ends");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    (output.status.code().expect("no signal kills it"), report)
}

#[test]
fn a_signal_with_everything_recorded_is_0_or_3_where_events_are_dead() {
    for (signal, faults, exit) in
        [(Signal::TERM, "", 0), (Signal::HUP, "", 0), (Signal::INT, "failure=BAD first=1", 3)]
    {
        let (code, report) = drain_stopped_by(signal, faults);
        assert_eq!(
            (code, &report["stopped"], &report["cut_off"]),
            (exit, &"signal".into(), &0.into()),
            "{report}"
        );
        assert!(report["pending"].as_u64().is_some_and(|pending| pending > 0), "{report}");
    }
}

#[test]
fn an_ingest_stopped_by_a_signal_is_1_and_says_what_is_stored() {
    let program = Program::new();
    program.write("first.ndjson", &lines(5));
    let first = program.path("first.ndjson");
    let mut child = program
        .command(&["ingest", "--json", first.to_str().expect("UTF-8"), "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Standard input stays open and gives nothing, so the ingest waits there.
    let input = child.stdin.take();
    while program.json(&["status"]).1["pending"] != 5 {
        assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
    }
    send(&child, Signal::TERM);
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!((output.status.code(), &report["total"]["stored"]), (Some(1), &5.into()), "{report}");
    let failures = report["failures"].as_array().expect("a list");
    assert!(
        failures.len() == 1 && failures[0].as_str().is_some_and(|why| why.contains("stopped")),
        "{report}"
    );
    let failure = &report["failure"];
    assert_eq!(failure["code"], "stopped", "{report}");
    assert!(failure["try"].as_str().is_some_and(|advice| !advice.contains("mend")), "{report}");
}

#[test]
fn an_ingest_of_a_pipe_that_is_stopped_stores_the_whole_lines_before() {
    for format in ["auto", "ndjson"] {
        let program = Program::new();
        let mut child = program
            .command(&["ingest", "--json", "--format", format, "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("a pipe");
        let text = lines(26);
        let cut = text.trim_end().len() - 10;
        std::io::Write::write_all(&mut input, &text.as_bytes()[..cut]).expect("room in the pipe");
        while rustix::io::ioctl_fionread(&input).expect("a pipe") > 0 {
            assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
        }
        send(&child, Signal::TERM);
        let output = child.wait_with_output().expect("it ends");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let counts = [&report["total"]["stored"], &report["total"]["rejected"]];
        assert_eq!((output.status.code(), counts), (Some(1), [&25.into(), &0.into()]), "{format} {report}");
        assert_eq!(report["failure"]["code"], "stopped", "{report}");
    }
}

#[test]
fn a_hangup_has_run_read_its_configuration_and_tokens_again() {
    let tokens = "0123456789abcdef\n";
    let config = |cron: &str, lanes: u32, port: &str| {
        format!(
            "[schedule]\ncron = \"{cron}\"\n[delivery]\nlanes = {lanes}\n[serve]\nlisten = \"{port}\"\ningest = true\ntokens_file = \"tokens\"\n"
        )
    };
    let (sandbox, program) = (sandbox(""), Program::with(&config("0 0 1 1 *", 4, "127.0.0.1:0")));
    program.write("tokens", tokens);
    program.suite(&sandbox.url());
    program.ingest(2);
    let mut child = program.command(&["run"]).spawn().expect("it starts");
    let log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut log = log.lines().map(|line| line.expect("UTF-8"));
    let mut wait_for =
        |what: &str| log.find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    let started = wait_for("started");
    for setup in ["lanes=4", "cron=\"0 0 1 1 *\"", "suites=1", "passbridge.db"] {
        assert!(started.contains(setup), "{setup} in {started}");
    }
    wait_for("waiting for the next slot");
    program.write("c.toml", "[delivery]\nlane = 1\n");
    program.write("tokens", &format!("{tokens}abcdef0123456789\n"));
    send(&child, Signal::HUP);
    assert!(wait_for("the old one stays").contains("lane"));
    wait_for("the tokens have changed");
    program.write("c.toml", &config("* * * * * *", 2, "127.0.0.2:0"));
    send(&child, Signal::HUP);
    let taken = wait_for("was read again");
    assert!(taken.contains("delivery.lanes") && taken.contains("needs_restart=\"serve.listen\""), "{taken}");
    assert!(sandbox.wait_accepted(2, PATIENCE), "the new schedule is not in force");
    send(&child, Signal::TERM);
    assert!(log.any(|line| line.contains("stopping")));
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_hangup_has_pages_and_readiness_look_at_the_new_limits() {
    let config = |floor: u64, parked: u64| {
        format!(
            "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = {floor}\n[monitor]\nmax_parked = {parked}\n\
             [serve]\nlisten = \"127.0.0.1:0\"\n"
        )
    };
    let program = Program::with(&config(0, 10));
    program.ingest(2);
    let running = Listening::start(&program);
    let statuses = || ["/readyz", "/check"].map(|path| running.look(path, "Host: localhost\r\n").0);
    assert_eq!(statuses(), [200, 200]);
    program.write("c.toml", &config(9_000_000_000_000_000_000, 1));
    send(running.child(), Signal::HUP);
    let started = std::time::Instant::now();
    while statuses() != [503, 503] {
        assert!(started.elapsed() < PATIENCE, "the old limits hold");
    }
    let log = running.stop();
    assert!(log.contains("changed=\"ingest.min_free_bytes monitor.max_parked\" needs_restart=\"\""), "{log}");
}

#[test]
fn a_hangup_names_a_secret_that_has_changed_and_does_not_show_it() {
    let program = Program::with("[bulk]\nclient_id = \"c\"\nclient_secret = \"the-first-secret\"\n");
    let running = Running::start(program.command(&["run"]));
    running.wait_for_log("waiting for the next slot");
    program.write("c.toml", "[bulk]\nclient_id = \"c\"\nclient_secret = \"another-secret\"\n");
    send(running.child(), Signal::HUP);
    running.wait_for_log("was read again");
    send(running.child(), Signal::TERM);
    let log = running.wait().err;
    assert!(log.contains("changed=\"bulk.client_secret\"") && !log.contains("-secret\\\""), "{log}");
    assert!(!log.contains("the-first-secret") && !log.contains("another-secret"), "{log}");
}

#[test]
fn a_hangup_names_a_file_of_a_secret_whose_content_has_changed() {
    let program = Program::with(
        "[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n\
         [rest_v2]\nsecret_file = \"secret\"\n[bulk]\nclient_secret_file = \"bulk\"\n",
    );
    let secrets = ["the-first-secret", "another-secret-now"];
    for name in ["tokens", "secret", "bulk"] {
        program.write(name, secrets[0]);
    }
    let running = Running::start(program.command(&["run"]));
    running.wait_for_log("waiting for the next slot");
    for (file, secret, says) in [
        ("secret", secrets[1], "changed=\"rest_v2.secret_file\" needs_restart=\"rest_v2.secret_file\""),
        ("bulk", secrets[1], "changed=\"bulk.client_secret_file\" needs_restart=\"rest_v2.secret_file\""),
        ("secret", secrets[0], "changed=\"rest_v2.secret_file\" needs_restart=\"\""),
    ] {
        program.write(file, secret);
        send(running.child(), Signal::HUP);
        running.wait_for_log(says);
    }
    send(running.child(), Signal::TERM);
    let log = running.wait().err;
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn lines_have_their_priority_where_the_journal_listens() {
    let program = Program::new();
    let log = program.path("journal");
    let run = |stream: &str| {
        let file = File::create(&log).expect("a file");
        let mut command = program.command(&["suite", "show", "unknown"]);
        let metadata = file.metadata().expect("a file");
        let stream = stream
            .replace("DEVICE", &metadata.dev().to_string())
            .replace("INODE", &metadata.ino().to_string());
        command.env("JOURNAL_STREAM", stream).stderr(file);
        assert_eq!(done(command).code, 2);
        std::fs::read_to_string(&log).expect("UTF-8")
    };
    let journal = run("DEVICE:INODE");
    assert!(journal.lines().count() > 1 && journal.lines().all(|line| line.starts_with("<3>")), "{journal}");
    let elsewhere = run("DEVICE:1");
    assert!(elsewhere.starts_with("error: "), "{elsewhere}");
}

#[test]
fn a_second_signal_ends_at_once_with_130_or_143_and_loses_nothing() {
    for (second, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // Longer than the busiest machine keeps the second signal waiting: it alone may end the drain.
        let (done, program) = hanging_drain(&[Signal::TERM, second], 25);
        assert_eq!(done.code, code);
        let (verified, status) = program.json(&["status", "--verify"]);
        assert_eq!((verified, &status["pending"]), (0, &5.into()), "{status}");
    }
}

#[test]
fn run_drains_on_its_schedule_sees_new_suites_and_exits_0_on_a_signal() {
    let sandbox = sandbox("");
    let program = Program::with("[schedule]\ncron = \"* * * * * *\"\n");
    program.ingest(2);
    let child =
        program.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    program.suite(&sandbox.url());
    assert!(sandbox.wait_accepted(2, PATIENCE), "the suite was not seen");
    send(&child, Signal::TERM);
    let status = child.wait_with_output().expect("it ends").status;
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_signal_that_comes_as_soon_as_run_says_anything_ends_it_with_0() {
    let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n[serve]\nlisten = \"127.0.0.1:0\"\n");
    for word in ["started", "listening"].into_iter().cycle().take(10) {
        let run = Running::start(program.command(&["run"]));
        run.wait_for_log(word);
        send(run.child(), Signal::TERM);
        assert_eq!(run.wait().code, 0, "{word}");
    }
}

#[test]
fn the_demo_needs_nothing_and_leaves_nothing() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut command = bare_command(Path::new("/"));
    command.env("TMPDIR", folder.path()).arg("demo");
    let demo = done(command);
    assert_eq!(demo.code, 0, "{demo:?}");
    assert!(demo.out.contains("38 events read, 38 delivered in 40 hits"), "{}", demo.out);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
